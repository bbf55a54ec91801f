/**
 * Work in the background as people see it, and what it shares: states, progress, how jobs ended, and the
 * one budget. On the simulated clock.
 * @module
 */
import assert from "node:assert/strict";
import { type Engine, type JobInfo, KIND_PUT } from "../../../src/engine/mod.ts";
import { utf8 } from "../../../src/model/mod.ts";
import { type SimRuntime, SimWorkers } from "../../../src/runtime/mod.ts";
import { engineWorld, jobHandler, openTestEngine, SMALL } from "../../support/engine.ts";

async function open(world: SimRuntime, throttle = 0): Promise<Engine> {
  const options = { ...SMALL, guards: { ...SMALL.guards, throttle } };
  return await world.clock.runUntil(openTestEngine(world, options));
}

/** Writes so many keys to a tree that is made for them, and waits for nothing but the log. */
async function fill(world: SimRuntime, engine: Engine, name: string, count: number) {
  const tree = await world.clock.runUntil(engine.createTree(name));
  for (let i = 0; i < count; i++) {
    const key = utf8(`key ${String(i).padStart(6, "0")}`);
    await world.clock.runUntil(
      engine.write([{ tree, kind: KIND_PUT, key, value: new Uint8Array(100).fill(i) }]),
    );
  }
  return tree;
}

Deno.test("jobs() shows kind, tree, levels, inputs, state and progress of what runs, and how the last ended [E47]", async () => {
  const world = engineWorld({ delays: true, seed: 3 });
  const engine = await open(world);
  const tree = await fill(world, engine, "t", 600);
  await world.clock.advance(1000);
  engine.setThrottle(20_000);
  const seen = new Map<string, JobInfo[]>();
  const compacted = engine.compact(tree, { purge: true });
  let over = false;
  void compacted.finally(() => over = true);
  while (!over) {
    await world.clock.advance(1);
    for (const job of engine.jobs()) seen.set(job.kind, [...seen.get(job.kind) ?? [], job]);
  }
  await compacted;
  for (const kind of ["flush", "compaction"] as const) {
    const jobs = seen.get(kind) ?? [];
    assert.ok(jobs.length > 0, `no ${kind}`);
    for (const job of jobs) {
      assert.equal(job.tree, tree.id);
      assert.ok(job.bytes! > 0 && job.bytesDone <= job.bytes!);
      assert.equal(job.level, kind === "flush" ? -1 : job.level);
      assert.equal(job.inputs.length > 0, kind === "compaction");
      assert.equal(job.endedAtMs, undefined);
    }
    // The thread of a job that is throttled has begun: it is seen to run.
    assert.ok(jobs.some(({ state }) => state === "running"), kind);
    if (kind === "compaction") assert.ok(jobs.some(({ state }) => state === "pending"));
  }
  assert.deepEqual(engine.jobs(), []);
  const ended = engine.jobs({ ended: true });
  assert.ok(ended.length >= 2);
  assert.deepEqual(new Set(ended.map(({ state }) => state)), new Set(["completed"]));
  assert.ok(ended.every(({ endedAtMs, startedAtMs }) => endedAtMs! >= startedAtMs));
  assert.deepEqual(
    ended.map(({ endedAtMs }) => endedAtMs),
    ended.map(({ endedAtMs }) => endedAtMs).sort((a, b) => b! - a!),
  );
  await world.clock.runUntil(engine.close());
});

Deno.test("a job that failed is among those that are over, with its reason, and only 32 of those are kept [E47, W2]", async () => {
  const world = engineWorld({ delays: true, seed: 5 });
  const workers = new SimWorkers({
    handler: jobHandler(world),
    clock: world.clock,
    random: world.random,
    dies: (_, index) => index % 2 === 0,
  });
  const engine = await open({ ...world, workers });
  await fill(world, engine, "t", 1500);
  await world.clock.advance(60_000);
  const ended = engine.jobs({ ended: true });
  assert.equal(ended.length, 32);
  const failed = ended.filter(({ state }) => state === "failed");
  assert.ok(failed.length > 0);
  for (const { error } of failed) assert.match(error!, /the worker died/);
  assert.ok(ended.some(({ state }) => state === "completed"), "its place was not lost");
  await world.clock.runUntil(engine.close());
});

Deno.test("a snapshot is a job too, and pays for what it digests [B6]", async () => {
  const world = engineWorld({ delays: true, seed: 7 });
  const engine = await open(world);
  const tree = await fill(world, engine, "t", 500);
  await world.clock.runUntil(engine.compact(tree));
  await world.clock.advance(1000);
  engine.setThrottle(50_000);
  const startedMs = world.clock.monotonicMs();
  const making = engine.checkpoint("monday");
  await world.clock.advance(100);
  const [job] = engine.jobs();
  assert.deepEqual([job.kind, job.tree, job.state], ["snapshot", undefined, "running"]);
  const { digestedBytes } = await world.clock.runUntil(making);
  const seconds = (world.clock.monotonicMs() - startedMs) / 1000;
  // Each file is digested and verified.
  assert.ok(2 * digestedBytes / seconds < 60_000, `${digestedBytes} bytes twice in ${seconds} s`);
  const [over] = engine.jobs({ ended: true });
  assert.deepEqual([over.kind, over.state], ["snapshot", "completed"]);
  await world.clock.runUntil(engine.close());
});

Deno.test("work of the floors above shares the budget with compactions, and neither starves the other [B6, W4]", async () => {
  const rate = 200_000;
  const world = engineWorld({ delays: true, seed: 9 });
  const engine = await open(world);
  const tree = await fill(world, engine, "t", 3000);
  await world.clock.runUntil(engine.compact(tree));
  engine.setThrottle(rate);
  const startedMs = world.clock.monotonicMs();
  const transfer = engine.activity("transfer", tree, 1_000_000);
  let sent = 0;
  let over = false;
  const sending = (async () => {
    while (!over) {
      await transfer.advance(4096);
      sent += 4096;
      // Time passes even where the budget has room.
      await world.clock.sleep(1);
    }
    transfer.end();
  })();
  assert.deepEqual(engine.jobs().map(({ kind, state }) => [kind, state]), [[
    "transfer",
    "running",
  ]]);
  const { compactionBytesWritten: before, workerSucceeded } = engine.stats();
  const again = Array.from({ length: 300 }, (_, i) => {
    const key = utf8(`key ${String(i * 10).padStart(6, "0")}`);
    return { tree, kind: KIND_PUT, key, value: utf8("again") } as const;
  });
  await world.clock.runUntil(engine.write(again));
  await world.clock.runUntil(engine.compact(tree));
  over = true;
  await world.clock.runUntil(sending);
  const seconds = (world.clock.monotonicMs() - startedMs) / 1000;
  const written = engine.stats().compactionBytesWritten - before;
  const inPool = engine.stats().workerSucceeded - workerSucceeded;
  assert.ok(inPool >= 2, `${inPool} jobs of the pool: a flush and a compaction at least`);
  assert.ok(written > 0 && sent > 8192, `${written} written, ${sent} sent`);
  assert.ok(
    (written + sent) / seconds < rate * 1.25,
    `${written} and ${sent} bytes in ${seconds} s`,
  );
  assert.deepEqual(engine.jobs(), []);
  await world.clock.runUntil(engine.close());
});

Deno.test("closing an engine sets those free that wait for its budget [B6]", async () => {
  const world = engineWorld({ delays: true, seed: 11 });
  const engine = await open(world, 1024);
  const tree = await fill(world, engine, "t", 1);
  const transfer = engine.activity("transfer", tree);
  const waits = transfer.advance(1 << 20);
  assert.ok(waits !== undefined);
  await world.clock.runUntil(engine.close());
  await waits;
  transfer.end();
  transfer.end();
});
