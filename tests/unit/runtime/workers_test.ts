/**
 * Both pools: the same cases where they must agree, and supervision of real threads.
 * @module
 */
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import type { Worker } from "node:worker_threads";
import {
  denoWorkers,
  type DenoWorkersOptions,
  SimClock,
  SimWorkers,
  WorkerJobError,
  type Workers,
  workerThread,
} from "../../../src/runtime/mod.ts";
import type { WebLocks } from "../../../src/runtime/deno/web_locks.ts";

function spawn() {
  return workerThread(new URL("./test_worker.ts", import.meta.url), 64);
}

async function withPool(
  options: Partial<DenoWorkersOptions>,
  run: (pool: Workers) => Promise<void>,
): Promise<void> {
  const pool = denoWorkers({ size: 1, spawn, ...options });
  try {
    await run(pool);
  } finally {
    await pool.close();
  }
}

function failure(message: RegExp) {
  return (error: unknown) => error instanceof WorkerJobError && message.test(error.message);
}

Deno.test("denoWorkers: a job's result comes back, shared memory is shared", async () => {
  await withPool({}, async (pool) => {
    const shared = new SharedArrayBuffer(4);
    assert.deepEqual(await pool.run({ do: "echo", n: 1, bytes: Uint8Array.of(1) }), {
      n: 1,
      bytes: Uint8Array.of(1),
    });
    assert.equal(await pool.run({ do: "add to shared", shared }), undefined);
    assert.equal(new Int32Array(shared)[0], 5);
  });
});

Deno.test("denoWorkers: jobs run side by side on up to `size` threads, and wait beyond [W1]", async () => {
  await withPool({ size: 2 }, async (pool) => {
    assert.equal(pool.size, 2);
    const shared = new SharedArrayBuffer(4);
    const blocked = pool.run({ do: "wait for shared", shared });
    // The second thread does all of these while the first is blocked.
    const counts = await Promise.all([1, 2, 3].map(() => pool.run({ do: "count" })));
    assert.deepEqual(counts, [1, 2, 3]);
    Atomics.store(new Int32Array(shared), 0, 1);
    Atomics.notify(new Int32Array(shared), 0);
    assert.equal(await blocked, "woken");
  });
});

Deno.test("denoWorkers: threads start when they are needed, and are used again", async () => {
  let spawned = 0;
  const counted = () => {
    spawned++;
    return spawn();
  };
  await withPool({ size: 3, spawn: counted }, async (pool) => {
    assert.equal(spawned, 0);
    assert.equal(await pool.run({ do: "count" }), 1);
    assert.equal(await pool.run({ do: "count" }), 2);
    assert.equal(spawned, 1);
  });
});

Deno.test("denoWorkers: prepare() starts every thread once, one after the other", async () => {
  let spawned = 0;
  const counted = () => {
    spawned++;
    return spawn();
  };
  await withPool({ size: 2, spawn: counted }, async (pool) => {
    const prepared = [pool.prepare(), pool.prepare()];
    assert.ok(spawned < 3, "not all at once");
    await Promise.all(prepared);
    assert.equal(spawned, 3);
    await Promise.all([pool.run({ do: "count" }), pool.run({ do: "count" })]);
    assert.equal(spawned, 3);
  });
});

Deno.test("denoWorkers: prepare() does not go on starting threads that cannot start", async () => {
  let spawned = 0;
  const broken = () => {
    spawned++;
    throw new Error("no thread to be had");
  };
  await withPool({ size: 2, spawn: broken }, async (pool) => {
    await pool.prepare();
    assert.equal(spawned, 1);
    await assert.rejects(pool.run({ do: "count" }), failure(/no thread to be had/));
  });
  spawned = 0;
  // Threads that are gone as soon as they are there.
  const dying = () => {
    spawned++;
    const worker = Object.assign(new EventEmitter(), { postMessage() {}, terminate() {} });
    queueMicrotask(() => worker.emit("exit"));
    return worker as unknown as Worker;
  };
  await withPool({ size: 2, spawn: dying }, (pool) => pool.prepare());
  assert.equal(spawned, 3);
});

Deno.test("denoWorkers: what a handler throws rejects its job, and its worker goes on [W2]", async () => {
  await withPool({}, async (pool) => {
    assert.equal(await pool.run({ do: "count" }), 1);
    await assert.rejects(pool.run({ do: "throw" }), failure(/^thrown on purpose$/));
    await assert.rejects(pool.run({ do: "throw a string" }), failure(/^only a string$/));
    await assert.rejects(pool.run({ do: "throw a row" }), {
      name: "WorkerJobError",
      message: "disk full on purpose",
      error: "DiskFull",
      code: 2002,
      details: { freeBytes: 7 },
      errno: "ENOSPC",
    });
    await assert.rejects(pool.run({ do: "return a function" }), failure(/could not be cloned/));
    await assert.rejects(pool.run({ do: "echo", f: () => {} }), failure(/^cannot start the job/));
    assert.equal(await pool.run({ do: "count" }), 2);
  });
});

Deno.test("denoWorkers: the stack tells where in the worker it was thrown", async () => {
  await withPool({}, async (pool) => {
    await assert.rejects(pool.run({ do: "throw" }), { stack: /test_worker\.ts/ });
  });
});

for (
  const [how, message] of [
    ["exit", /^the worker ended itself$/],
    ["uncaught", /^the worker died: .*uncaught on purpose/],
    ["unhandled", /^the worker died: .*unhandled on purpose/],
  ] as const
) {
  Deno.test(`denoWorkers: a worker's death by ${how} rejects its job, and another takes its place [W2]`, async () => {
    await withPool({}, async (pool) => {
      assert.equal(await pool.run({ do: "count" }), 1);
      const last = pool.run({ do: how });
      const next = pool.run({ do: "count" });
      await assert.rejects(last, failure(message));
      assert.equal(await next, 1, "a new worker");
    });
  });
}

for (
  const [what, says, outcome] of [
    ["error", new Error("out of luck"), /^the worker died: out of luck$/],
    ["message", { result: 5 }, 5],
    ["nothing", undefined, /^the worker ended itself$/],
  ] as const
) {
  Deno.test(`denoWorkers: of a thread that is gone before its last words arrive (${what}) they are waited for [W2]`, async () => {
    const { locks } = navigator as unknown as { locks: WebLocks };
    /** Takes its job, and is gone without having done it. */
    const thread = () => {
      const dies = Promise.withResolvers<void>();
      const given = Promise.withResolvers<{ lock: string }>();
      const worker = Object.assign(new EventEmitter(), {
        terminate() {},
        postMessage: (data: { lock: string } | { job: unknown }) =>
          "job" in data ? dies.resolve() : given.resolve(data),
      });
      const gone = given.promise.then(async ({ lock }) => {
        await locks.request(lock, () => {
          worker.emit("message", { ready: true });
          return dies.promise;
        });
        // The pool was in the queue before: it knows.
        await locks.request(lock, () => {});
      });
      return { worker, gone };
    };
    const threads = [thread(), thread()];
    let spawned = 0;
    const spawn = () => threads[spawned++].worker as unknown as Worker;
    await withPool({ spawn }, async (pool) => {
      const done = pool.run({ do: "anything" });
      const seen = outcome instanceof RegExp
        ? assert.rejects(done, failure(outcome))
        : done.then((result) => assert.equal(result, outcome));
      const [{ worker, gone }] = threads;
      await gone;
      if (what !== "nothing") worker.emit(what, says);
      await seen;
      const { signal, abort } = stopper();
      const next = assert.rejects(pool.run({ do: "more" }, { signal }));
      assert.equal(spawned, 2, "the next job has a thread that lives");
      abort();
      await next;
      assert.deepEqual([pool.stats().active, pool.stats().queued], [0, 0]);
    });
  });
}

Deno.test("denoWorkers: a worker that cannot start fails its job, and each next job tries again", async () => {
  const spawnBroken = () =>
    workerThread(new URL("data:text/javascript,throw new Error('broken at the top')"));
  await withPool({ spawn: spawnBroken }, async (pool) => {
    await assert.rejects(pool.run(1), failure(/^the worker died: .*broken at the top/));
    await assert.rejects(pool.run(2), failure(/^the worker died: .*broken at the top/));
  });
  const spawnThrows = () => {
    throw new Error("no more threads");
  };
  await withPool({ spawn: spawnThrows }, async (pool) => {
    await assert.rejects(pool.run(1), failure(/^cannot start the job: no more threads$/));
  });
});

for (const how of ["hang", "spin", "wait for ever", "fill the heap"]) {
  Deno.test(`denoWorkers: a job that does not get on (${how}) is rejected, its thread replaced [W2]`, async () => {
    const heartbeat = new Int32Array(new SharedArrayBuffer(4));
    await withPool({ stallMsMax: 400 }, async (pool) => {
      assert.equal(await pool.run({ do: "count" }), 1);
      await assert.rejects(
        pool.run({ do: how }, { heartbeat }),
        failure(/^the job hangs: no progress for 400 ms$/),
      );
      assert.equal(await pool.run({ do: "count" }), 1, "a new worker");
      assert.equal(pool.stats().failed, 1);
    });
  });
}

Deno.test("denoWorkers: a long job that gets on is left alone", async () => {
  const shared = new SharedArrayBuffer(4);
  const heartbeat = new Int32Array(shared);
  await withPool({ stallMsMax: 100 }, async (pool) => {
    assert.equal(await pool.run({ do: "beat for 500 ms", shared }, { heartbeat }), "done");
  });
});

Deno.test("denoWorkers: an urgent job waits for no ordinary one", async () => {
  await withPool({ size: 1 }, async (pool) => {
    const shared = new SharedArrayBuffer(4);
    const blocked = pool.run({ do: "wait for shared", shared });
    const ordinary = pool.run({ do: "count" });
    assert.equal(await pool.run({ do: "count" }, { urgent: true }), 1);
    assert.equal(await pool.run({ do: "count" }, { urgent: true }), 2);
    assert.deepEqual([pool.stats().active, pool.stats().queued], [1, 1]);
    Atomics.store(new Int32Array(shared), 0, 1);
    Atomics.notify(new Int32Array(shared), 0);
    assert.equal(await blocked, "woken");
    await ordinary;
    const { active, queued, succeeded, failed, rejected, latencyMsSum, latencyMsMax } = pool
      .stats();
    assert.deepEqual([active, queued, succeeded, failed, rejected], [0, 0, 4, 0, 0]);
    assert.ok(latencyMsMax > 0 && latencyMsSum >= latencyMsMax);
  });
});

Deno.test("denoWorkers: a full queue refuses [W1, W5]", async () => {
  await withPool({ queueCountMax: 1 }, async (pool) => {
    const first = pool.run({ do: "count" });
    const second = pool.run({ do: "count" });
    await assert.rejects(pool.run({ do: "count" }), failure(/^the worker pool is full: 1 jobs/));
    assert.deepEqual(await Promise.all([first, second]), [1, 2]);
    assert.equal(pool.stats().rejected, 1);
  });
});

Deno.test("denoWorkers: a pool needs a size", () => {
  for (const size of [0, -1, 1.5, NaN]) {
    assert.throws(() => denoWorkers({ size, spawn }), RangeError);
  }
});

/** Both pools, with one thread, doing what test_worker.ts does for these jobs. */
const POOLS: Record<string, () => Workers> = {
  denoWorkers: () => denoWorkers({ size: 1, spawn }),
  SimWorkers: () =>
    new SimWorkers({
      size: 1,
      handler: (job) => {
        const { do: what, ...rest } = job as { do: string };
        if (what === "wait for ever") return new Promise(() => {});
        if (what === "throw") throw new RangeError("thrown on purpose");
        return rest;
      },
    }),
};

function stopper() {
  const controller = new AbortController();
  return { signal: controller.signal, abort: () => controller.abort() };
}

for (const [name, make] of Object.entries(POOLS)) {
  Deno.test(`${name}: close() lets running jobs end, refuses those that wait and those to come`, async () => {
    const pool = make();
    const running = pool.run({ do: "echo", n: 1 });
    const failing = assert.rejects(pool.run({ do: "throw" }), failure(/^the worker pool closed/));
    const closed = pool.close();
    await assert.rejects(pool.run({ do: "echo" }), failure(/^the worker pool is closed$/));
    let ended = false;
    const result = running.then((result) => {
      ended = true;
      return result;
    });
    await closed;
    assert.ok(ended, "close() waited");
    assert.deepEqual(await result, { n: 1 });
    await failing;
    await pool.close();
  });

  Deno.test(`${name}: a job that is given up is rejected, whether it runs or waits, and the pool goes on [W3]`, async () => {
    const pool = make();
    const { signal, abort } = stopper();
    const heartbeat = new Int32Array(new SharedArrayBuffer(4));
    const given = ["wait for ever", "echo"].map((what) =>
      assert.rejects(
        pool.run({ do: what }, { signal, heartbeat }),
        failure(/^the job was given up$/),
      )
    );
    const later = pool.run({ do: "echo", n: 1 });
    // One runs by now, the other two wait.
    while (pool.stats().active === 0) await Promise.resolve();
    assert.equal(pool.stats().queued, 2);
    abort();
    await Promise.all(given);
    assert.deepEqual(await later, { n: 1 });
    await assert.rejects(pool.run({ do: "echo" }, { signal }), failure(/^the job was given up$/));
    assert.deepEqual([pool.stats().active, pool.stats().queued], [0, 0]);
    await pool.close();
  });

  Deno.test(`${name}: an unused pool closes`, async () => {
    await make().close();
  });
}

Deno.test("SimWorkers: messages are copied in and out, shared memory is shared", async () => {
  const kept: { list: number[] }[] = [];
  const pool = new SimWorkers({
    handler: (job) => {
      kept.push(job as { list: number[] });
      return job;
    },
  });
  const shared = new SharedArrayBuffer(4);
  const job = { list: [1], shared };
  const running = pool.run(job);
  job.list.push(2);
  const result = await running as typeof job;
  assert.deepEqual(result.list, [1]);
  kept[0].list.push(3);
  assert.deepEqual(result.list, [1]);
  new Uint8Array(shared)[0] = 7;
  assert.equal(new Uint8Array(result.shared)[0], 7);
  await assert.rejects(pool.run(() => {}), failure(/^cannot start the job/));
});

Deno.test("SimWorkers: at most `size` jobs run at a time, on virtual time", async () => {
  const clock = new SimClock();
  let running = 0;
  let most = 0;
  const pool = new SimWorkers({
    size: 2,
    clock,
    handler: async () => {
      most = Math.max(most, ++running);
      await clock.sleep(10);
      running--;
    },
  });
  await clock.runUntil(Promise.all([1, 2, 3, 4, 5].map((n) => pool.run(n))));
  assert.equal(most, 2);
  assert.ok(clock.monotonicMs() >= 30);
});

Deno.test("SimWorkers: a job's thread dies when told to, and a row's fields come through", async () => {
  const pool = new SimWorkers({
    handler: () => {
      throw Object.assign(new Error("no"), { error: "DiskFull", details: { freeBytes: 1 } });
    },
    dies: (_, index) => index === 0,
  });
  await assert.rejects(pool.run(0), failure(/^the worker died/));
  await assert.rejects(pool.run(1), {
    error: "DiskFull",
    details: { freeBytes: 1 },
    message: "no",
  });
});
