/**
 * A simulated world as a whole.
 * @module
 */
import assert from "node:assert/strict";
import { simRuntime } from "../../../src/runtime/mod.ts";

/** A little of everything; what happened, with times, as text. */
async function story(seed: number): Promise<string> {
  const world = simRuntime({ seed, delays: true, handler: (job) => Number(job) * 2 });
  const lines: string[] = [];
  const tell = (what: string) => void lines.push(`${world.clock.monotonicMs()} ${what}`);
  world.disk.makeDir("/d");
  const writers = [1, 2, 3].map(async (n) => {
    const file = world.disk.create(`/d/${n}`);
    for (let i = 0; i < 3; i++) {
      file.append(world.random.bytes(10));
      await file.sync();
      tell(`synced ${n}`);
    }
    tell(`job ${await world.workers.run(n)}`);
  });
  await world.clock.runUntil(Promise.all(writers));
  world.disk.crash({ seed });
  tell(world.disk.list("/").map((name) => world.disk.list(`/${name}`).join()).join());
  return lines.join("\n");
}

Deno.test("simRuntime(): one seed gives one story, to the last fraction of a ms; another another", async () => {
  const first = await story(7);
  assert.equal(await story(7), first);
  assert.notEqual(await story(8), first);
});

Deno.test("simRuntime(): without delays nothing waits for the clock", async () => {
  const world = simRuntime({ handler: () => "done" });
  world.disk.create("/f").append(Uint8Array.of(1));
  const reader = world.disk.openRead("/f");
  assert.equal(await reader.readAtAsync(new Uint8Array(1), 0), 1);
  assert.equal(await world.workers.run(1), "done");
  assert.equal(world.clock.pendingCount, 0);
  const bare = simRuntime({ image: world.disk.snapshotImage() });
  assert.deepEqual(bare.disk.readWhole("/f"), Uint8Array.of(1));
  await assert.rejects(bare.workers.run(1), /without a handler/);
});
