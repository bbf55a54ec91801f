/**
 * What a read says of its way: each layer's answer and what asking took. On the simulated disk, with the
 * figures of the block cache beside it.
 * @module
 */
import assert from "node:assert/strict";
import {
  type Engine,
  type EngineOptions,
  KIND_DELETE,
  KIND_MERGE,
  KIND_PUT,
  openEngine,
  type ReadStep,
  ReadSteps,
  type ReadTrace,
  type Tree,
} from "../../../src/engine/mod.ts";
import { fromUtf8, utf8 } from "../../../src/model/mod.ts";
import { type SimRuntime, SimWorkers } from "../../../src/runtime/mod.ts";
import {
  appendOperator,
  engineWorld,
  jobHandler,
  openTestEngine,
  SMALL,
} from "../../support/engine.ts";
import { SlowDisk } from "../../support/slow_disk.ts";

/** Flushed and compacted by the test alone. */
const OPTIONS: EngineOptions = {
  ...SMALL,
  memtableSize: 1 << 20,
  blockCacheSize: 1 << 20,
  compaction: { ...SMALL.compaction, l0Trigger: 100 },
};

const NOTHING = { entries: 0, valueBytes: 0, opened: false, blocksCached: 0, blocksRead: 0 };

interface Told {
  readonly value: string | undefined;
  readonly source: string;
  readonly steps: readonly ReadStep[];
}

function explain(engine: Engine, tree: Tree, key: string): Told {
  const steps = new ReadSteps();
  const trace: ReadTrace = { source: "none", steps };
  const value = engine.get(tree, utf8(key), { trace });
  assert.equal(steps.waits, 0);
  return { value: value && fromUtf8(value), source: trace.source, steps: steps.list };
}

/** A step's figures, without bytes of blocks, which depend on how they are stored. */
function figures(step: ReadStep): Record<string, unknown> {
  const { layer, level, result, entries, valueBytes, opened, blocksCached, blocksRead } = step;
  assert.equal(step.bytesRead > 0, blocksRead > 0, "bytes come with blocks");
  assert.equal(step.table === undefined, layer !== "sstable");
  const at = level === undefined ? {} : { level };
  return { layer, ...at, result, entries, valueBytes, opened, blocksCached, blocksRead };
}

function write(engine: Engine, tree: Tree, kind: 0 | 1 | 2, key: string, value = "") {
  return engine.write([{ tree, kind, key: utf8(key), value: utf8(value) }]);
}

async function fill(engine: Engine, tree: Tree, value: string, keys = ["a", "key", "z"]) {
  for (const key of keys) await write(engine, tree, KIND_PUT, key, value);
}

async function opened(
  options: Partial<EngineOptions> = {},
  world: SimRuntime = engineWorld(),
): Promise<{ engine: Engine; tree: Tree; reopen: () => Promise<{ engine: Engine; tree: Tree }> }> {
  const all = { ...OPTIONS, ...options };
  const engine = await openTestEngine(world, all);
  const tree = await engine.createTree("t", { mergeOperator: "append" });
  const reopen = async () => {
    await engine.close();
    const again = await openTestEngine(world, all);
    return { engine: again, tree: again.tree("t")! };
  };
  return { engine, tree, reopen };
}

Deno.test("explain: the memtable answers, and nothing else is asked [B3]", async () => {
  const { engine, tree } = await opened();
  await fill(engine, tree, "12345");
  const { source, value, steps } = explain(engine, tree, "key");
  assert.deepEqual([source, value], ["memtable", "12345"]);
  assert.deepEqual(steps.map(figures), [
    { ...NOTHING, layer: "memtable", result: "found", entries: 1, valueBytes: 5 },
  ]);
  await engine.close();
});

Deno.test("explain: a frozen memtable answers, behind the active one [B3]", async () => {
  const world = engineWorld();
  const gate = Promise.withResolvers<void>();
  const handle = jobHandler(world);
  const handler = async (job: unknown) => {
    await gate.promise;
    return handle(job);
  };
  const engine = await openTestEngine({ ...world, workers: new SimWorkers({ handler }) }, OPTIONS);
  const tree = await engine.createTree("t", { mergeOperator: "append" });
  await fill(engine, tree, "1");
  const flushed = engine.flush(tree);
  await write(engine, tree, KIND_MERGE, "key", "23");
  const { source, value, steps } = explain(engine, tree, "key");
  assert.deepEqual([source, value], ["memtable", "1,23"]);
  assert.deepEqual(steps.map(figures), [
    { ...NOTHING, layer: "memtable", result: "found", entries: 1, valueBytes: 2 },
    { ...NOTHING, layer: "frozen_memtable", result: "found", entries: 1, valueBytes: 1 },
  ]);
  gate.resolve();
  await flushed;
  await engine.close();
});

Deno.test("explain: level 0 answers from the disk, then from the block cache, and each says so [B3]", async () => {
  const { engine, tree } = await opened({ rowCacheSize: 0 });
  await fill(engine, tree, "old");
  await engine.flush(tree);
  await fill(engine, tree, "newer");
  await engine.flush(tree);
  engine.get(tree, utf8("no key"));
  const before = engine.stats();
  const first = explain(engine, tree, "key");
  const between = engine.stats();
  const second = explain(engine, tree, "key");
  const after = engine.stats();
  assert.deepEqual([first.source, first.value], ["sstable", "newer"]);
  const [memtable, table] = first.steps.map(figures);
  assert.deepEqual(memtable, { ...NOTHING, layer: "memtable", result: "nothing" });
  const found = { layer: "sstable", level: 0, result: "found", entries: 1, valueBytes: 5 };
  assert.deepEqual(table, { ...NOTHING, ...found, opened: table.opened, blocksRead: 1 });
  assert.equal(between.blockCacheMisses - before.blockCacheMisses, 1);
  assert.deepEqual(figures(second.steps[1]), { ...NOTHING, ...found, blocksCached: 1 });
  assert.equal(after.blockCacheHits - between.blockCacheHits, 1);
  assert.equal(second.steps.length, 2, "the older table is not asked");
  await engine.close();
});

Deno.test("explain: a read that nobody asks about finds the same, before and after [B3]", async () => {
  const { engine, tree } = await opened({ rowCacheSize: 0 });
  await fill(engine, tree, "x", ["a", "b", "c", "d"]);
  await engine.flush(tree);
  for (const key of ["a", "nothing", "d", "b"]) {
    const plain = () => engine.get(tree, utf8(key));
    const before = plain();
    assert.equal(explain(engine, tree, key).value, before && fromUtf8(before));
    assert.deepEqual(plain(), before);
  }
  await engine.close();
});

Deno.test("explain: the row cache answers a second read of a table's key [B3]", async () => {
  const { engine, tree } = await opened();
  await fill(engine, tree, "12345");
  await engine.flush(tree);
  const first = explain(engine, tree, "key");
  assert.deepEqual(first.steps.map(({ layer, result }) => [layer, result]), [
    ["memtable", "nothing"],
    ["row_cache", "nothing"],
    ["sstable", "found"],
  ]);
  const second = explain(engine, tree, "key");
  assert.deepEqual([second.source, second.value], ["cache", "12345"]);
  assert.deepEqual(second.steps.map(figures), [
    { ...NOTHING, layer: "memtable", result: "nothing" },
    { ...NOTHING, layer: "row_cache", result: "found", entries: 1, valueBytes: 5 },
  ]);
  await engine.close();
});

Deno.test("explain: level 0 says no by its filter, a level below has the key, by number [B3, E28, E32]", async () => {
  // Of 200 keys that are not there 1 in 10,000 passes the filter.
  const table = { ...OPTIONS.table, falsePositives: 0.0001 };
  const { engine, tree } = await opened({ rowCacheSize: 0, table });
  await fill(engine, tree, "deep");
  await engine.compact(tree);
  await fill(engine, tree, "other", ["a", "z"]);
  await engine.flush(tree);
  const { source, steps } = explain(engine, tree, "key");
  assert.equal(source, "sstable");
  const [, upper, lower] = steps;
  assert.deepEqual([upper.level, upper.result], [0, "filtered"]);
  assert.deepEqual([upper.blocksCached, upper.blocksRead, upper.bytesRead], [0, 0, 0]);
  assert.equal(lower.result, "found");
  assert.ok(lower.level! > 0);
  assert.ok(upper.table! > lower.table!, "a later table has a higher number");
  assert.equal(steps.length, 3);
  await engine.close();
});

Deno.test("explain: an absent key names all that was asked, and what lies out of range is not [B3, E32]", async () => {
  const table = { ...OPTIONS.table, falsePositives: 0.0001 };
  const { engine, tree } = await opened({ table });
  assert.deepEqual(explain(engine, tree, "key").steps.map(({ layer }) => layer), ["memtable"]);
  await fill(engine, tree, "x", ["a", "z"]);
  await engine.flush(tree);
  await fill(engine, tree, "x", ["b", "c"]);
  await engine.flush(tree);
  const { source, value, steps } = explain(engine, tree, "key");
  assert.deepEqual([source, value], ["none", undefined]);
  assert.deepEqual(steps.map(({ layer, result }) => [layer, result]), [
    ["memtable", "nothing"],
    ["row_cache", "nothing"],
    ["sstable", "filtered"],
  ]);
  await engine.close();
});

Deno.test("explain: a filter that lets an absent key through costs a block, and a delete is an entry [B3]", async () => {
  const table = { ...OPTIONS.table, falsePositives: 0.5 };
  const { engine, tree } = await opened({ rowCacheSize: 0, table });
  await fill(engine, tree, "x");
  await engine.flush(tree);
  await write(engine, tree, KIND_DELETE, "z");
  await engine.flush(tree);
  const passed = Array.from({ length: 50 }, (_, i) => explain(engine, tree, `b${i}`).steps.at(-1)!)
    .filter(({ result }) => result === "nothing");
  assert.ok(passed.length > 0);
  for (const step of passed) {
    assert.deepEqual([step.entries, step.blocksCached + step.blocksRead], [0, 1]);
  }
  const deleted = explain(engine, tree, "z");
  assert.deepEqual([deleted.value, deleted.source], [undefined, "sstable"]);
  const { result, entries, valueBytes } = deleted.steps.at(-1)!;
  assert.deepEqual([result, entries, valueBytes], ["found", 1, 0]);
  await engine.close();
});

Deno.test("explain: a table that has to be opened first is named, and operands of all tables are counted [B3]", async () => {
  const first = await opened({ rowCacheSize: 0 });
  await write(first.engine, first.tree, KIND_PUT, "key", "a");
  await first.engine.flush(first.tree);
  await write(first.engine, first.tree, KIND_MERGE, "key", "bb");
  await write(first.engine, first.tree, KIND_MERGE, "key", "cc");
  await first.engine.flush(first.tree);
  const { engine, tree } = await first.reopen();
  const { value, steps } = explain(engine, tree, "key");
  assert.equal(value, "a,bb,cc");
  const tables = steps.slice(1);
  assert.deepEqual(tables.map((step) => [step.entries, step.valueBytes]), [[2, 4], [1, 1]]);
  assert.deepEqual(tables.map((step) => [step.opened, step.blocksRead]), [[true, 1], [true, 1]]);
  const again = explain(engine, tree, "key").steps.slice(1);
  assert.deepEqual(again.map((step) => [step.opened, step.blocksCached]), [[false, 1], [false, 1]]);
  await engine.close();
});

Deno.test("explain: a read that waits for a slow disk counts what it waited for as read, once [B3]", async () => {
  const world = engineWorld();
  const slow = new SlowDisk(world.disk, world.clock);
  const options = { ...OPTIONS, rowCacheSize: 0 };
  const open = () =>
    world.clock.runUntil(
      openEngine({ ...world, disk: slow.disk }, "/data", options, [appendOperator]),
    );
  const filling = await open();
  const made = await world.clock.runUntil(filling.createTree("t", { mergeOperator: "append" }));
  for (const [kind, value] of [[KIND_PUT, "a"], [KIND_MERGE, "b"]] as const) {
    await world.clock.runUntil(write(filling, made, kind, "key", value));
    await world.clock.runUntil(filling.flush(made));
  }
  await world.clock.runUntil(filling.createTree("other"));
  await world.clock.runUntil(write(filling, filling.tree("other")!, KIND_PUT, "key", "x"));
  await world.clock.runUntil(filling.flush());
  await world.clock.runUntil(filling.close());
  const engine = await open();
  // One read shows that the disk is slow.
  slow.dropPages();
  engine.get(engine.tree("other")!, utf8("key"));
  const steps = new ReadSteps();
  const trace: ReadTrace = { source: "none", steps };
  const reading = engine.read(engine.tree("t")!, utf8("key"), { trace });
  assert.ok(reading instanceof Promise);
  assert.equal(fromUtf8((await world.clock.runUntil(reading))!), "a,b");
  assert.ok(steps.waits >= 2, `${steps.waits}`);
  const tables = steps.list.slice(1);
  assert.deepEqual(
    tables.map((step) => [step.opened, step.blocksRead, step.blocksCached, step.entries]),
    [[true, 1, 0, 1], [true, 1, 0, 1]],
  );
  const again = explain(engine, engine.tree("t")!, "key").steps.slice(1);
  assert.deepEqual(again.map((step) => [step.blocksRead, step.blocksCached]), [[0, 1], [0, 1]]);
  await world.clock.runUntil(engine.close());
});

Deno.test("explain: parts of a large table's index and filter count as blocks, each once [B3]", async () => {
  const table = { ...OPTIONS.table, partitionSize: 16 };
  const { engine, tree, reopen } = await opened({ rowCacheSize: 0, table });
  const value = utf8("v".repeat(60));
  const keys = Array.from({ length: 1000 }, (_, i) => `k${String(i).padStart(6, "0")}`);
  await engine.write(keys.map((key) => ({ tree, kind: KIND_PUT, key: utf8(key), value })));
  await engine.flush(tree);
  const { engine: again, tree: large } = await reopen();
  const asked = () => explain(again, large, "k000345").steps.at(-1)!;
  const [first, second] = [asked(), asked()];
  assert.deepEqual([first.result, first.blocksRead, first.blocksCached], ["found", 2, 0]);
  assert.deepEqual([second.blocksRead, second.blocksCached, second.bytesRead], [0, 2, 0]);
  await again.close();
});
