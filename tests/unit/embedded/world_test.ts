/**
 * The machine as a node's world: the pool has the size that was asked for.
 * @module
 */
import assert from "node:assert/strict";
import { machine } from "../../../src/embedded/mod.ts";

function stopper() {
  const controller = new AbortController();
  return { signal: controller.signal, abort: () => controller.abort() };
}

Deno.test("machine() makes a pool of as many threads, with as long a queue, as it is told [W1]", async () => {
  const { workers } = machine({ workers: 1, queue: 2 });
  try {
    assert.equal(workers.size, 1);
    const { signal, abort } = stopper();
    // One runs, two wait, and the fourth has no place.
    const three = [1, 2, 3].map(() =>
      assert.rejects(
        workers.run({ type: "none" }, { signal }),
        /^WorkerJobError: the job was given up/,
      )
    );
    assert.deepEqual([workers.stats().active, workers.stats().queued], [1, 2]);
    await assert.rejects(workers.run({ type: "none" }), /the worker pool is full: 2 jobs wait/);
    assert.equal(workers.stats().rejected, 1);
    abort();
    await Promise.all(three);
  } finally {
    await workers.close();
  }
});
