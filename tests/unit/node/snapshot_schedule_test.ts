/**
 * Snapshots by a schedule, of a real engine in a simulated world.
 * @module
 */
import assert from "node:assert/strict";
import { ScheduledSnapshots } from "../../../src/node/mod.ts";
import { type SimRuntime, simRuntime } from "../../../src/runtime/mod.ts";
import { engineWorld, jobHandler, openTestEngine } from "../../support/engine.ts";
import { bytes, nodeOn } from "../../support/node.ts";

const HOUR = 3_600_000;

async function open(world: SimRuntime, dataDir = "/data") {
  const engine = await openTestEngine(world);
  return nodeOn(engine, world, { dataDir });
}

Deno.test("a schedule makes a snapshot each interval over restarts, keeps the newest, and leaves people's alone [E30]", async () => {
  const world = engineWorld();
  let node = await open(world);
  await node.createSnapshot("by-hand");
  let schedule = new ScheduledSnapshots(node, world, { intervalMs: HOUR, keep: 3 });
  const sequences = () =>
    node.listSnapshots().filter(({ name }) => name.startsWith("auto-"))
      .map(({ sequence }) => sequence).sort((a, b) => a - b);
  const write = (n: number) => node.put("t", { key: "k", value: bytes(String(n)) });
  await write(1);
  schedule.start();
  await world.clock.advance(1000);
  assert.deepEqual(sequences(), [1], "the first at once");
  for (let n = 2; n <= 5; n++) {
    await write(n);
    await world.clock.advance(HOUR / 2);
    assert.ok(!sequences().includes(n), "not before its time");
    await world.clock.advance(HOUR / 2);
  }
  assert.deepEqual(sequences(), [3, 4, 5]);
  await schedule.stop();
  await node.close();

  // Half an hour is left, whatever the wall clock does meanwhile.
  node = await open(world);
  schedule = new ScheduledSnapshots(node, world, { intervalMs: HOUR, keep: 3 });
  await write(6);
  await world.clock.advance(HOUR / 2);
  schedule.start();
  await world.clock.advance(HOUR / 2 - 10_000);
  assert.deepEqual(sequences(), [3, 4, 5]);
  await world.clock.advance(20_000);
  assert.deepEqual(sequences(), [4, 5, 6]);
  world.clock.jumpWall(-1000 * HOUR);
  await write(7);
  await world.clock.advance(HOUR + 10_000);
  assert.deepEqual(sequences(), [5, 6, 7]);
  await write(8);
  await world.clock.advance(HOUR + 10_000);
  assert.deepEqual(sequences(), [6, 7, 8]);
  assert.ok(node.listSnapshots().some(({ name }) => name === "by-hand"));
  for (const { name } of node.listSnapshots()) {
    assert.match(name, /^(by-hand|auto-\d{8}T\d{6}Z)$/);
    assert.deepEqual((await node.verifySnapshot(name)).problems, []);
  }
  await schedule.stop();
  await world.clock.advance(10 * HOUR);
  assert.deepEqual(sequences(), [6, 7, 8], "stopped");
  await node.close();
});

Deno.test("a scheduled snapshot that is due in quiet hours is made after them [B6]", async () => {
  const world = engineWorld({ startWallMs: Date.UTC(2026, 4, 4, 7, 59) });
  const node = await open(world);
  const quietHours = { fromMs: 8 * HOUR, toMs: 11 * HOUR };
  const schedule = new ScheduledSnapshots(node, world, { intervalMs: HOUR, keep: 7, quietHours });
  await node.put("t", { key: "k", value: bytes("1") });
  schedule.start();
  await world.clock.advance(1000);
  assert.equal(node.listSnapshots().length, 1);
  // Made by hand they do not wait.
  await world.clock.advance(2 * HOUR);
  await world.clock.runUntil(node.createSnapshot("by-hand"));
  assert.equal(node.listSnapshots().length, 2);
  await world.clock.advance(HOUR + 2 * 60_000);
  const made = node.listSnapshots().at(-1)!;
  assert.equal(node.listSnapshots().length, 3);
  assert.ok(
    node.listSnapshots().some(({ createdAtMs }) => createdAtMs >= Date.UTC(2026, 4, 4, 11)),
  );
  assert.ok(made.name.length > 0);
  await schedule.stop();
  await node.close();
});

Deno.test("a scheduled snapshot that fails is told of and tried again, and deletes none", async () => {
  const world = engineWorld();
  const node = await open(world);
  const schedule = new ScheduledSnapshots(node, world, { intervalMs: HOUR, keep: 1 });
  await node.put("t", { key: "k", value: bytes("1") });
  schedule.start();
  await world.clock.advance(1000);
  const [{ name: first }] = node.listSnapshots();
  world.disk.hook = ({ path }) => path.includes("/snapshots/") ? "EIO" : undefined;
  await node.put("t", { key: "k", value: bytes("2") });
  await world.clock.advance(HOUR + 5 * 60_000);
  const failed = world.log.named("snapshot.failed").length;
  assert.ok(failed >= 4 && failed <= 7, `${failed} times`);
  world.disk.hook = undefined;
  assert.deepEqual(node.listSnapshots().map(({ name }) => name), [first]);
  await world.clock.advance(61_000);
  const [{ name: second }, ...others] = node.listSnapshots();
  assert.ok(second !== first && others.length === 0);
  await schedule.stop();
  await node.close();
});

Deno.test("a scheduled snapshot that is under way at a stop is given up with the node, within the limit [W3]", async () => {
  const world: SimRuntime = simRuntime({
    delays: true,
    handler: async (job) => {
      const result = await jobHandler(world)(job);
      if ((job as { type: string }).type === "files") await world.clock.sleep(1e9);
      return result;
    },
  });
  const node = await world.clock.runUntil(open(world));
  await world.clock.runUntil(node.put("t", { key: "k", value: bytes("1") }));
  const schedule = new ScheduledSnapshots(node, world, { intervalMs: HOUR, keep: 1 });
  schedule.start();
  await world.clock.advance(1000);
  assert.deepEqual(node.listJobs().jobs.map(({ kind }) => kind), ["snapshot"]);
  const startedMs = world.clock.monotonicMs();
  const stopped = schedule.stop();
  await world.clock.runUntil(node.close({ waitMs: 2000 }));
  await stopped;
  assert.ok(world.clock.monotonicMs() - startedMs < 2500);
  assert.deepEqual(world.log.named("snapshot.failed").map(({ level }) => level), ["info"]);
  const again = await world.clock.runUntil(open(world));
  assert.deepEqual(again.listSnapshots(), []);
  assert.equal(again.get("t", "k")?.winner.value?.length, 1);
  await world.clock.runUntil(again.close());
});
