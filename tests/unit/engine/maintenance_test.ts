/**
 * Maintenance under pressure: compactions side by side, a throttled disk, a pool that refuses, threads
 * that die. On the simulated clock.
 * @module
 */
import assert from "node:assert/strict";
import { type Engine, type EngineJob, KIND_PUT, type Tree } from "../../../src/engine/mod.ts";
import { utf8 } from "../../../src/model/mod.ts";
import { SimRandom, type SimRuntime, SimWorkers } from "../../../src/runtime/mod.ts";
import { contents, engineWorld, jobHandler, openTestEngine, SMALL } from "../../support/engine.ts";

/** Writes as a client does that waits when it is told to; returns the longest wait, in ms. */
async function fill(world: SimRuntime, engine: Engine, tree: Tree, count: number, seed = 1) {
  const random = new SimRandom(seed);
  let worstMs = 0;
  for (let n = 0; n < count; n++) {
    const startedMs = world.clock.monotonicMs();
    for (let delayed = false;;) {
      const held = engine.admit(tree, delayed);
      if (held === undefined) break;
      await held;
      delayed = true;
    }
    const key = utf8(`k${String(random.below(5000)).padStart(5, "0")}`);
    await engine.write([{ tree, kind: KIND_PUT, key, value: utf8("v".repeat(60)) }]);
    worstMs = Math.max(worstMs, world.clock.monotonicMs() - startedMs);
  }
  return worstMs;
}

function tableFiles(world: SimRuntime): number {
  return world.disk.list("/data/tenants")
    .flatMap((dir) => world.disk.list(`/data/tenants/${dir}`))
    .filter((name) => name.endsWith(".sst")).length;
}

Deno.test("flushes and compactions are lines in the log, by the name of their tree [O9]", async () => {
  const world = engineWorld();
  const engine = await world.clock.runUntil(openTestEngine(world));
  const tree = await world.clock.runUntil(engine.createTree("shop"));
  for (const value of ["1", "2"]) {
    const key = utf8("k");
    await world.clock.runUntil(engine.write([{ tree, kind: KIND_PUT, key, value: utf8(value) }]));
    await world.clock.runUntil(engine.flush());
  }
  await world.clock.runUntil(engine.compact(tree));
  const flushed = world.log.named("flushed").map(({ level, fields }) => [level, fields]);
  assert.equal(flushed.length, 2);
  for (const [level, { bytes, ms, ...fields }] of flushed as [string, Record<string, unknown>][]) {
    assert.deepEqual([level, fields], ["info", { tree: "shop", entries: 1 }]);
    assert.ok(Number(bytes) > 0 && Number(ms) >= 0, `${bytes} bytes in ${ms} ms`);
  }
  const [{ level, fields }] = world.log.named("compacted");
  const { tree: name, inputs, outputs, to_level: to } = fields;
  assert.deepEqual([level, name, inputs, outputs], ["info", "shop", 2, 1]);
  assert.ok(Number(to) > 0 && typeof fields.reason === "string");
  await world.clock.runUntil(engine.close());
});

Deno.test("compactions of one tree run side by side, and the tree stays in order [E48]", async () => {
  const world = engineWorld({ delays: true, workerCount: 4, seed: 3 });
  const options = {
    ...SMALL,
    compaction: { ...SMALL.compaction, l0Slowdown: 3, l0Stop: 1000 },
    guards: { ...SMALL.guards, pendingSlowdown: 1000 },
  };
  const engine = await world.clock.runUntil(openTestEngine(world, options));
  const tree = await world.clock.runUntil(engine.createTree("t"));
  let most = 0;
  const watch = (async () => {
    for (let n = 0; n < 4000; n++) {
      const jobs = engine.jobs().filter(({ kind }) => kind === "compaction");
      most = Math.max(most, jobs.length);
      const inputs = jobs.flatMap(({ inputs }) => inputs);
      assert.equal(new Set(inputs).size, inputs.length, "no table is in two jobs");
      await world.clock.sleep(1);
    }
  })();
  await world.clock.runUntil(fill(world, engine, tree, 3000));
  await world.clock.runUntil(watch);
  assert.ok(most >= 2, `at most ${most} at a time`);
  const { compactions, jobsFailed, jobsCompleted, flushes } = engine.stats();
  assert.equal(jobsFailed, 0);
  assert.ok(compactions > 20 && flushes > 20 && jobsCompleted >= flushes);
  await world.clock.runUntil(engine.close());
});

Deno.test("of trees that wait for a thread the one with most tables on level 0 is compacted next [E48]", async () => {
  const world = engineWorld();
  const gate = Promise.withResolvers<void>();
  const handle = jobHandler(world);
  const workers = new SimWorkers({
    size: 1,
    handler: (job) =>
      (job as EngineJob).type === "compact" ? gate.promise.then(() => handle(job)) : handle(job),
  });
  const options = {
    ...SMALL,
    memtableSize: 1 << 20,
    // All of them are behind: there is no other reason to wait than the threads.
    compaction: { ...SMALL.compaction, baseLevelSize: 1 << 20, l0Slowdown: 2 },
  };
  const engine = await openTestEngine({ ...world, workers }, options);
  const names = new Map<number, string>();
  for (const [name, tables] of [["holds", 2], ["three", 3], ["six", 6], ["two", 2], ["four", 4]]) {
    const tree = await engine.createTree(`${name}`);
    names.set(tree.id, tree.name);
    for (let n = 0; n < Number(tables); n++) {
      await engine.write([{ tree, kind: KIND_PUT, key: utf8("k"), value: utf8(`${n}`) }]);
      await engine.flush(tree);
    }
  }
  assert.deepEqual(engine.jobs().map(({ tree }) => names.get(tree!)), ["holds"]);
  gate.resolve();
  await world.clock.advance(1000);
  const done = engine.jobs({ ended: true }).filter(({ kind }) => kind === "compaction").reverse();
  const order = done.map(({ tree }) => names.get(tree!));
  assert.deepEqual(order, ["holds", "six", "four", "three", "two"]);
  await engine.close();
});

Deno.test("a throttled engine writes no faster than it may, holds its writers back, and loses nothing [E46]", async () => {
  const world = engineWorld({ delays: true, seed: 5 });
  const options = {
    ...SMALL,
    compaction: { ...SMALL.compaction, l0Slowdown: 4, l0Stop: 6 },
    guards: { ...SMALL.guards, throttle: 100_000 },
  };
  const engine = await world.clock.runUntil(openTestEngine(world, options));
  const tree = await world.clock.runUntil(engine.createTree("t"));
  const startedMs = world.clock.monotonicMs();
  const worstMs = await world.clock.runUntil(fill(world, engine, tree, 3000));
  const seconds = (world.clock.monotonicMs() - startedMs) / 1000;
  const { flushBytesWritten, compactionBytesWritten, writeStalls, ...stats } = engine.stats();
  assert.ok(stats.flushMs > 0 && stats.compactionMs > 0);
  const written = flushBytesWritten + compactionBytesWritten;
  assert.ok(written / seconds < 130_000, `${written} bytes in ${seconds} s`);
  assert.ok(writeStalls > 0);
  // The longest compaction here writes all of the 5000 keys: under half a megabyte.
  assert.ok(worstMs < 10_000, `a write waited ${worstMs} ms`);
  assert.ok(engine.treeStats(tree).tablesPerLevel[0] <= 8);
  // Without the throttle the rest is done at once.
  engine.setThrottle(0);
  await world.clock.runUntil(engine.compact(tree));
  assert.throws(() => engine.setThrottle(-1), { error: "InvalidArgument" });
  await world.clock.runUntil(engine.close());
});

Deno.test("writers are slowed at so many tables on level 0, held at more, and held while as many memtables wait as may [E15, E42, X13]", async () => {
  const world = engineWorld();
  const handle = jobHandler(world);
  const holds = new Map<string, PromiseWithResolvers<void>>();
  const hold = (type: EngineJob["type"]) => holds.set(type, Promise.withResolvers());
  const release = async (type: EngineJob["type"]) => {
    holds.get(type)!.resolve();
    holds.delete(type);
    await world.clock.advance(1000);
  };
  const workers = new SimWorkers({
    handler: (job) => {
      const held = holds.get((job as EngineJob).type);
      return held === undefined ? handle(job) : held.promise.then(() => handle(job));
    },
  });
  const options = {
    ...SMALL,
    memtableSize: 1 << 20,
    maxImmutables: 2,
    compaction: { ...SMALL.compaction, l0Trigger: 4, l0Slowdown: 8, l0Stop: 12 },
  };
  const engine = await openTestEngine({ ...world, workers }, options);
  const tree = await engine.createTree("t");
  const writers = () =>
    engine.admit(tree) === undefined
      ? "go on"
      : engine.admit(tree, true) === undefined
      ? "are slowed"
      : "are held";
  const write = () => engine.write([{ tree, kind: KIND_PUT, key: utf8("k"), value: utf8("v") }]);
  hold("compact");
  const seen: string[] = [];
  const running: number[] = [];
  for (let tables = 1; tables <= 12; tables++) {
    await write();
    await engine.flush(tree);
    assert.equal(engine.treeStats(tree).tablesPerLevel[0], tables);
    seen.push(writers());
    running.push(engine.jobs().filter(({ kind }) => kind === "compaction").length);
  }
  assert.deepEqual(running.slice(0, 4), [0, 0, 0, 1], "the fourth begins a compaction");
  assert.deepEqual(seen.slice(0, 7), Array(7).fill("go on"));
  assert.deepEqual(seen.slice(7, 11), Array(4).fill("are slowed"));
  assert.equal(seen[11], "are held");
  await release("compact");
  assert.equal(writers(), "go on");
  hold("flush");
  for (const expected of ["go on", "are held"]) {
    await write();
    engine.flush(tree).catch(() => {});
    assert.equal(writers(), expected);
  }
  await release("flush");
  assert.equal(writers(), "go on");
  await engine.close();
});

Deno.test("closing does not wait for the throttle", async () => {
  const world = engineWorld({ delays: true, seed: 7 });
  const options = { ...SMALL, guards: { ...SMALL.guards, throttle: 1024 } };
  const engine = await world.clock.runUntil(openTestEngine(world, options));
  const tree = await world.clock.runUntil(engine.createTree("t"));
  // Until several seconds' worth of the rate have been written by a flush that is not over.
  let count = 0;
  do await world.clock.runUntil(fill(world, engine, tree, 1, ++count)); while (
    !engine.jobs().some(({ kind, bytesDone }) => kind === "flush" && bytesDone > 0)
  );
  const startedMs = world.clock.monotonicMs();
  await world.clock.runUntil(engine.close());
  const closedMs = world.clock.monotonicMs() - startedMs;
  assert.ok(closedMs < 500, `${closedMs} ms`);
  const again = await world.clock.runUntil(openTestEngine(world));
  assert.equal(again.stats().lastSequence, count);
  await world.clock.runUntil(again.close());
});

Deno.test("a pool that is full or whose threads die costs time, never work, and leaves no files behind [E46, W2]", async () => {
  const world = engineWorld({ delays: true, seed: 9 });
  const workers = new SimWorkers({
    handler: jobHandler(world),
    size: 1,
    queueCountMax: 1,
    clock: world.clock,
    random: world.random,
    dies: (_, index) => index % 3 === 0,
  });
  const engine = await world.clock.runUntil(openTestEngine({ ...world, workers }));
  const trees = [];
  for (const name of ["a", "b", "c", "d"]) {
    trees.push(await world.clock.runUntil(engine.createTree(name)));
  }
  await world.clock.runUntil(
    Promise.all(trees.map((tree, i) => fill(world, engine, tree, 400, i + 1))),
  );
  await world.clock.advance(60_000);
  const stats = engine.stats();
  assert.ok(stats.jobsFailed > 3, `${stats.jobsFailed} failed`);
  assert.ok(stats.jobsCompleted > 20 && stats.flushes > 10 && stats.compactions > 4);
  assert.deepEqual([stats.jobsPending, stats.jobsRunning], [0, 0]);
  assert.deepEqual([stats.workersActive, stats.workersMax], [0, 2], "every thread has its place");
  const told = world.log.events.filter(({ event }) => /^(flush|compaction) failed$/.test(event));
  assert.equal(told.length, stats.jobsFailed, "each failure is counted and logged");
  assert.ok(told.every(({ level, fields }) => level === "error" && fields.error !== undefined));
  assert.ok(told.every(({ fields }) => ["a", "b", "c", "d"].includes(String(fields.tree))));
  assert.equal(tableFiles(world), stats.tables, "no orphans");
  for (const tree of trees) assert.ok(engine.treeStats(tree).tablesPerLevel[0] < 2);
  await world.clock.runUntil(engine.close());
});

Deno.test("the pool tells how many jobs run, wait, ended well or not, were refused, and how long they waited and took [W5, O7]", async () => {
  const world = engineWorld();
  const handle = jobHandler(world);
  let gate = Promise.withResolvers<void>();
  const workers = new SimWorkers({
    // A job that is none of the engine's takes its place all the same.
    handler: (job) => gate.promise.then(() => job === "other" ? job : handle(job)),
    size: 1,
    queueCountMax: 1,
    clock: world.clock,
    delayMsMax: 0,
    dies: (_, index) => index === 2,
  });
  const engine = await openTestEngine({ ...world, workers }, { ...SMALL, memtableSize: 1 << 20 });
  const tree = await engine.createTree("t");
  await engine.write([{ tree, kind: KIND_PUT, key: utf8("k"), value: utf8("v") }]);
  const figures = () => {
    const stats = engine.stats();
    assert.equal(stats.workersMax, 2);
    return {
      active: stats.workersActive,
      queued: stats.workerQueueLength,
      refused: stats.workerRejections,
      completed: stats.jobsCompleted,
      failed: stats.jobsFailed,
    };
  };
  const none = { active: 0, queued: 0, refused: 0, completed: 0, failed: 0 };
  assert.deepEqual(figures(), none);
  const others = [workers.run("other"), workers.run("other")];
  await assert.rejects(workers.run("other"), /full/);
  assert.deepEqual(figures(), { ...none, active: 1, queued: 1, refused: 1 });
  await world.clock.advance(100);
  gate.resolve();
  await world.clock.runUntil(Promise.all(others));
  assert.deepEqual(figures(), { ...none, refused: 1 });
  assert.deepEqual([engine.stats().jobLatencyMs, engine.stats().jobLatencyMsMax], [200, 100]);
  // The third job's thread dies.
  const dying = assert.rejects(engine.flush(tree), { error: "SSTableFailed" });
  await world.clock.advance(0);
  await dying;
  assert.deepEqual(figures(), { ...none, refused: 1, failed: 1 });
  gate = Promise.withResolvers();
  const flushed = engine.flush(tree);
  await world.clock.advance(400);
  assert.deepEqual(figures(), { ...none, active: 1, refused: 1, failed: 1 });
  gate.resolve();
  await world.clock.runUntil(flushed);
  assert.deepEqual(figures(), { ...none, refused: 1, failed: 1, completed: 1 });
  assert.deepEqual([engine.stats().jobLatencyMs, engine.stats().jobLatencyMsMax], [600, 400]);
  const { workerSucceeded, workerFailed, workerWaitedMs } = engine.stats();
  // The second of the others waited for the first; all else found a thread at once.
  assert.deepEqual([workerSucceeded, workerFailed, workerWaitedMs], [3, 1, 100]);
  await world.clock.runUntil(engine.close());
});

/** By itself nothing is flushed or compacted. */
const ASKED_ONLY = {
  ...SMALL,
  memtableSize: 1 << 20,
  compaction: { ...SMALL.compaction, l0Trigger: 1000 },
};

/** A tree of three tables, an entry each. */
async function threeTables(engine: Engine): Promise<Tree> {
  const tree = await engine.createTree("t");
  for (let n = 0; n < 3; n++) {
    await engine.write([{ tree, kind: KIND_PUT, key: utf8(`k${n}`), value: utf8(`${n}`) }]);
    await engine.flush(tree);
  }
  return tree;
}

Deno.test("a compaction that has not read all that its tables say they have replaces nothing, and says so [E45]", async () => {
  const world = engineWorld();
  const handle = jobHandler(world);
  let missing = 0;
  const workers = new SimWorkers({
    handler: (message) => {
      const job = message as EngineJob;
      if (job.type !== "compact") return handle(job);
      const [first, ...others] = job.inputs;
      return handle({
        ...job,
        inputs: [{ ...first, entries: first.entries + missing }, ...others],
      });
    },
  });
  const engine = await openTestEngine({ ...world, workers }, ASKED_ONLY);
  const tree = await threeTables(engine);
  const before = contents(engine, "t");
  missing = 1;
  await assert.rejects(engine.compact(tree), { error: "CorruptedData" });
  assert.deepEqual([tableFiles(world), engine.stats().tables], [3, 3], "neither more nor fewer");
  assert.deepEqual(contents(engine, "t"), before);
  assert.equal(engine.stats().checksumFailures, 1);
  missing = 0;
  await engine.compact(tree);
  assert.deepEqual([tableFiles(world), engine.stats().tables], [1, 1]);
  assert.deepEqual(contents(engine, "t"), before);
  await engine.close();
});

Deno.test("a stop gives up the compaction that is under way, and what it was to replace is there [E51]", async () => {
  const world = engineWorld();
  const gate = Promise.withResolvers<void>();
  const handle = jobHandler(world);
  const workers = new SimWorkers({
    handler: (job) =>
      (job as EngineJob).type === "compact" ? gate.promise.then(() => handle(job)) : handle(job),
  });
  const engine = await openTestEngine({ ...world, workers }, ASKED_ONLY);
  const tree = await threeTables(engine);
  const before = contents(engine, "t");
  const asked = assert.rejects(engine.compact(tree));
  await world.clock.advance(10);
  assert.deepEqual(engine.jobs().map(({ kind }) => kind), ["compaction"]);
  const closed = engine.close();
  await world.clock.advance(10);
  gate.resolve();
  await closed;
  await asked;
  assert.equal(tableFiles(world), 3);
  const again = await openTestEngine(world, ASKED_ONLY);
  assert.equal(again.stats().tables, 3);
  assert.deepEqual(contents(again, "t"), before);
  await again.close();
});

Deno.test("a compaction is done at once where somebody asks for it, and a stop leaves nothing half done [E51]", async () => {
  const world = engineWorld({ delays: true, seed: 11 });
  // By itself nothing is compacted.
  const options = {
    ...SMALL,
    compaction: { ...SMALL.compaction, l0Trigger: 1000, baseLevelSize: 1 << 20 },
  };
  const engine = await world.clock.runUntil(openTestEngine(world, options));
  const tree = await world.clock.runUntil(engine.createTree("t"));
  for (let n = 0; n < 4; n++) {
    await world.clock.runUntil(fill(world, engine, tree, 20, n));
    await world.clock.runUntil(engine.flush());
  }
  await world.clock.advance(60_000);
  assert.ok(engine.treeStats(tree).tablesPerLevel[0] >= 4);
  assert.equal(engine.stats().compactions, 0);
  await world.clock.runUntil(engine.compact(tree));
  assert.equal(engine.treeStats(tree).tablesPerLevel[0], 0);
  const { tables } = engine.stats();
  assert.equal(tableFiles(world), tables, "the inputs are off the disk");

  const random = new SimRandom(6);
  for (let round = 0; round < 20; round++) {
    const again = round === 0 ? engine : await world.clock.runUntil(openTestEngine(world, options));
    const at = again.tree("t")!;
    await world.clock.runUntil(fill(world, again, at, 100, round + 2));
    const before = contents(again, "t");
    const asked = again.compact(at).then(() => "done", (error) => error.error);
    await world.clock.advance(random.below(20));
    await world.clock.runUntil(again.close());
    assert.deepEqual(again.jobs(), [], "no job outlives the close");
    assert.ok(["done", "Unavailable", "SSTableFailed"].includes(await asked), await asked);
    const next = await world.clock.runUntil(openTestEngine(world, options));
    assert.equal(tableFiles(world), next.stats().tables, "no orphans, none missing");
    assert.deepEqual(contents(next, "t"), before);
    await world.clock.runUntil(next.close());
  }
});

Deno.test("writers do not wait for a compaction that the disk has no room for, and it is made when there is [X17]", async () => {
  const world = engineWorld();
  const compaction = {
    ...SMALL.compaction,
    l0Slowdown: 4,
    l0Stop: 6,
    baseLevelSize: 4 << 20,
    targetTableSize: 4 << 20,
  };
  const options = { ...SMALL, memtableSize: 64 * 1024, compaction };
  const engine = await world.clock.runUntil(openTestEngine(world, options));
  const tree = await world.clock.runUntil(engine.createTree("t"));
  // Bytes that do not compress.
  const random = new SimRandom(5);
  const put = (n: number, length: number) => {
    const key = utf8(`k${String(n).padStart(5, "0")}`);
    return engine.write([{ tree, kind: KIND_PUT, key, value: random.bytes(length) }]);
  };
  const levels = () => engine.stats().tablesPerLevel;
  const { disk } = world;
  const limitRoom = () => {
    disk.capacityBytes = undefined;
    const { totalBytes, freeBytes } = disk.space("/data");
    disk.capacityBytes = totalBytes - freeBytes + (1 << 20) + 300_000;
  };
  const load = async () => {
    disk.capacityBytes = undefined;
    // Not in order: tables that do not overlap would be moved as they are.
    for (let n = 0; n < 500; n++) await put(n * 157 % 500 * 10, 2000);
    await engine.flush(tree);
    await world.clock.sleep(1000);
  };
  const touch = async () => {
    for (let wait = engine.admit(tree); wait; wait = engine.admit(tree, true)) await wait;
    for (const key of [0, 2500, 4990]) await put(key, 10);
    await engine.flush(tree);
    await world.clock.sleep(10);
  };
  // As long as there is a level below, a table goes there as it is, without room. In the end each has one.
  for (let loads = 0; levels().length < 7 || levels()[0] > 0 || levels().includes(0, 1); loads++) {
    assert.ok(loads < 20, levels().join());
    await world.clock.runUntil(load());
    limitRoom();
    for (let n = 0; n < 4; n++) await world.clock.runUntil(touch());
    disk.capacityBytes = undefined;
    await world.clock.runUntil(world.clock.sleep(1000));
  }
  await world.clock.runUntil(load());
  limitRoom();
  let most = 0;
  for (let n = 0; n < 12; n++) {
    await world.clock.runUntil(touch());
    most = Math.max(most, levels()[0]);
  }
  assert.ok(most > compaction.l0Stop, `${most} tables on level 0`);
  disk.capacityBytes = undefined;
  await world.clock.runUntil(touch());
  while (levels()[0] >= compaction.l0Trigger) await world.clock.runUntil(world.clock.sleep(1000));
  await world.clock.runUntil(engine.close());
});
