import assert from "node:assert/strict";
import {
  DEFAULT_ENGINE_OPTIONS,
  type Engine,
  KIND_PUT,
  type Tree,
} from "../../../src/engine/mod.ts";
import { MemoryBudget } from "../../../src/engine/memory_budget.ts";
import { PairError, utf8 } from "../../../src/model/mod.ts";
import { engineWorld, openTestEngine, SMALL } from "../../support/engine.ts";

function use(memtables: number, blockCache = 0, rowCache = 0) {
  return { memtables, blockCache, rowCache };
}

Deno.test("MemoryBudget: levels rise at once, by what all parts take together", () => {
  const at = (...parts: Parameters<typeof use>) => new MemoryBudget(1000).look(use(...parts), 0);
  assert.deepEqual(at(849), {
    level: "normal",
    cacheShare: 1,
    dropRows: false,
    flushEarly: false,
    pauseCompaction: false,
    refuseWrites: false,
  });
  assert.deepEqual([at(850).level, at(850).cacheShare], ["elevated", 0.5]);
  assert.equal(at(300, 300, 250).level, "elevated");
  const high = at(950);
  assert.equal(high.dropRows, true);
  assert.deepEqual([high.level, high.flushEarly, high.pauseCompaction, high.refuseWrites], [
    "high",
    true,
    true,
    false,
  ]);
  assert.deepEqual([at(1099).level, at(1100).level, at(1100).refuseWrites], [
    "high",
    "critical",
    true,
  ]);
});

Deno.test("MemoryBudget: it recovers one level at a time, a second apart, below each level's edge [M3]", () => {
  const budget = new MemoryBudget(1000);
  assert.equal(budget.look(use(2000), 0).level, "critical");
  assert.equal(budget.look(use(0), 999).level, "critical");
  assert.equal(budget.look(use(1001), 1000).level, "critical", "not yet below 1.0");
  assert.equal(budget.look(use(999), 1000).level, "high");
  assert.equal(budget.look(use(0), 1500).level, "high");
  assert.equal(budget.look(use(0), 2000).level, "elevated");
  assert.equal(budget.look(use(751), 9000).level, "elevated");
  assert.equal(budget.look(use(749), 9000).level, "normal");
  assert.equal(budget.level, "normal");
});

const OPTIONS = {
  ...SMALL,
  memtableSize: 1 << 20,
  memtableBudget: 1 << 30,
  memoryBudget: 200_000,
  rowCacheSize: 0,
  blockCacheSize: 65_536,
};

async function put(engine: Engine, tree: Tree, n: number): Promise<void> {
  const value = utf8("v".repeat(1000));
  await engine.write([{ tree, kind: KIND_PUT, key: utf8(`k${n}`), value }]);
}

Deno.test("memory near its budget is relieved by early flushes, and no write is refused [E16, M2]", async () => {
  const world = engineWorld();
  const engine = await world.clock.runUntil(openTestEngine(world, OPTIONS));
  const tree = await world.clock.runUntil(engine.createTree("t"));
  let most = 0;
  for (let n = 0; n < 2000; n++) {
    await put(engine, tree, n);
    most = Math.max(most, engine.stats().memtableBytes);
    if (n % 10 === 0) await world.clock.advance(100);
  }
  assert.ok(engine.stats().flushes >= 5, `${engine.stats().flushes} flushes`);
  assert.ok(most < OPTIONS.memtableSize, `${most} bytes`);
  await world.clock.runUntil(engine.close());
});

Deno.test("memtables that together are over their bound have the largest flushed, though none is full [E16]", async () => {
  const world = engineWorld();
  const memtableBudget = 200_000;
  const options = { ...OPTIONS, memtableSize: 256 << 10, memtableBudget, memoryBudget: 1 << 20 };
  const engine = await openTestEngine(world, options);
  const trees: Tree[] = [];
  for (const name of ["small", "large", "middle"]) trees.push(await engine.createTree(name));
  const [small, large, middle] = trees;
  let most = 0;
  for (let n = 0; engine.stats().flushes < 1; n++) {
    for (const tree of [large, middle, large, large, middle, small]) await put(engine, tree, n);
    most = Math.max(most, engine.stats().memtableBytes);
    await world.clock.advance(1);
  }
  // It looks each time that a 32nd of the memory was written.
  const slack = (1 << 20) / 32 + 20_000;
  assert.ok(most > memtableBudget - slack && most < memtableBudget + slack, `${most} bytes`);
  const tables = (tree: Tree) => engine.treeStats(tree).tables;
  assert.deepEqual([tables(large), tables(middle), tables(small)], [1, 0, 0]);
  assert.equal(engine.stats().memoryLevel, 0, "memory as a whole has room");
  await engine.close();
});

Deno.test("when flushes fail, writes are refused before memory is out; reads go on, and it recovers", async () => {
  const world = engineWorld();
  const engine = await world.clock.runUntil(openTestEngine(world, OPTIONS));
  const tree = await world.clock.runUntil(engine.createTree("t"));
  world.disk.hook = ({ op, path }) =>
    op === "create" && path.endsWith(".sst") ? "ENOSPC" : undefined;
  let taken = 0;
  await assert.rejects(async () => {
    for (;; taken++) await put(engine, tree, taken);
  }, { error: "ResourceExhausted" });
  const { memtableBytes, memoryLevel } = engine.stats();
  assert.equal(memoryLevel, 3);
  assert.ok(memtableBytes < 2 * OPTIONS.memoryBudget, `${memtableBytes} bytes`);
  assert.ok(taken > 100);
  for (let n = 0; n < taken; n++) assert.ok(engine.get(tree, utf8(`k${n}`)) !== undefined);
  world.disk.hook = undefined;
  await world.clock.advance(35_000);
  assert.ok(engine.stats().flushes > 0);
  await put(engine, tree, taken);
  await world.clock.advance(5000);
  assert.equal(engine.stats().memoryLevel, 0);
  for (let n = 0; n <= taken; n++) assert.ok(engine.get(tree, utf8(`k${n}`)) !== undefined);
  await world.clock.runUntil(engine.close());
});

Deno.test("short memory takes from caches, holds compactions back, refuses writes at last, and lets go step by step [E51, M2, M3]", async () => {
  const world = engineWorld({ delays: true });
  const options = {
    ...DEFAULT_ENGINE_OPTIONS,
    memtableSize: 64 << 10,
    memtableBudget: 256 << 10,
    blockCacheSize: 128 << 10,
    rowCacheSize: 64 << 10,
    memoryBudget: 576 << 10,
    maxImmutables: 1000,
    compaction: { ...DEFAULT_ENGINE_OPTIONS.compaction, l0Slowdown: 1000, l0Stop: 1001 },
  };
  const engine = await world.clock.runUntil(openTestEngine(world, options));
  const run = <T>(promise: Promise<T>) => world.clock.runUntil(promise);
  const tree = await run(engine.createTree("t"));
  const KEYS = 2000;
  const key = (n: number) => utf8(`k${String(n).padStart(6, "0")}`);
  const fill = (n: number) =>
    run(engine.write([{ tree, kind: KIND_PUT, key: key(n), value: new Uint8Array(300).fill(n) }]));
  const readAll = () => {
    for (let n = 0; n < KEYS; n++) assert.ok(engine.get(tree, key(n)) !== undefined);
  };
  for (let n = 0; n < KEYS; n++) await fill(n);
  await run(engine.flush(tree));
  await run(engine.compact(tree));
  readAll();
  const calm = engine.stats();
  assert.equal(calm.memoryLevel, 0);
  assert.ok(calm.blockCacheBytes > 64 << 10 && calm.rowCacheBytes > 32 << 10);

  // No table can be written: memtables stay, and memory gets short.
  world.disk.hook = ({ op, path }) =>
    op === "create" && path.endsWith(".sst") ? "ENOSPC" : undefined;
  const levels: number[] = [];
  const refused = assert.rejects(async () => {
    for (let n = KEYS;; n++) {
      await fill(n);
      const { memoryLevel, ...stats } = engine.stats();
      if (levels.at(-1) !== memoryLevel) levels.push(memoryLevel);
      if (memoryLevel >= 1) assert.ok(stats.blockCacheBytes <= 64 << 10, "a half");
      if (memoryLevel >= 2) {
        assert.ok(stats.blockCacheBytes <= 16 << 10, "an eighth");
        assert.equal(stats.rowCacheBytes, 0);
      }
    }
  }, { error: "ResourceExhausted", code: 2008 });
  await refused;
  assert.deepEqual(levels, [0, 1, 2, 3]);
  readAll();
  assert.equal(engine.stats().rowCacheBytes, 0, "no row comes in meanwhile");

  // Tables can be written again: what waits becomes many of them, and no compaction begins by itself.
  world.disk.hook = undefined;
  const { compactions } = engine.stats();
  const seen: { level: number; share: number }[] = [];
  let held = 0;
  for (let n = 0; n < 6000 && seen.at(-1)?.level !== 0; n++) {
    await world.clock.advance(10);
    const stats = engine.stats();
    if (stats.memoryLevel >= 2 && stats.tablesPerLevel[0] >= options.compaction.l0Trigger) {
      held++;
      assert.equal(stats.compactions, compactions, "compactions wait");
      assert.ok(engine.jobs().every(({ kind }) => kind === "flush"));
    }
    if (seen.at(-1)?.level !== stats.memoryLevel) {
      seen.push({ level: stats.memoryLevel, share: n });
    }
  }
  assert.deepEqual(seen.map(({ level }) => level), [3, 2, 1, 0]);
  for (let i = 2; i < seen.length; i++) {
    assert.ok(seen[i].share - seen[i - 1].share >= 90, "a second apart");
  }
  assert.ok(held > 0);
  await world.clock.advance(10_000);
  assert.ok(engine.stats().compactions > compactions, "compactions go on");
  await fill(1);
  readAll();
  readAll();
  const after = engine.stats();
  assert.ok(after.blockCacheBytes > 64 << 10 && after.rowCacheBytes > 32 << 10, "caches are back");
  await run(engine.close());
});

Deno.test("while memory is short no compaction begins by itself, one that is asked for does, and it goes on behind [E51, M2, M3]", async () => {
  const world = engineWorld();
  const engine = await openTestEngine(world, { ...OPTIONS, memoryBudget: 1 << 20 });
  const tree = await engine.createTree("t");
  const heap = async (heapBytes: number, collections: number) => {
    world.usage.used = { ...world.usage.used, heapBytes, heapLimitBytes: 1000, collections };
    await world.clock.advance(60_000);
    return engine.stats().memoryLevel;
  };
  const flush = async (times: number) => {
    for (let n = 0; n < times; n++) {
      await put(engine, tree, n);
      await engine.flush(tree);
    }
    await world.clock.advance(60_000);
    const { tablesPerLevel, compactions } = engine.stats();
    return [tablesPerLevel[0], compactions];
  };
  assert.equal(await heap(800, 1), 2);
  assert.deepEqual(await flush(5), [5, 0], "two are enough in calm");
  await engine.compact(tree);
  assert.deepEqual(await flush(5), [5, 1]);
  assert.equal(await heap(100, 2), 0);
  const { tablesPerLevel, compactions } = engine.stats();
  assert.ok(tablesPerLevel[0] < 2 && compactions > 1, `${tablesPerLevel}`);
  await engine.close();
});

Deno.test("heap, caches, memtables and collections are watched, and each alone is enough [M1]", async () => {
  const level = (part: Partial<Parameters<MemoryBudget["look"]>[0]>) =>
    new MemoryBudget(1000).look({ ...use(0), ...part }, 0).level;
  for (const part of ["memtables", "blockCache", "rowCache"] as const) {
    assert.equal(level({ [part]: 1000 }), "high", part);
  }
  const byHeap = [0.69, 0.7, 0.78, 0.91].map((heapShare) => level({ heapShare }));
  assert.deepEqual(byHeap, ["normal", "elevated", "high", "critical"]);

  const world = engineWorld();
  const engine = await openTestEngine(world, { ...OPTIONS, memoryBudget: 1 << 20 });
  const tree = await engine.createTree("t");
  const heap = async (heapBytes: number, collections: number) => {
    world.usage.used = { ...world.usage.used, heapBytes, heapLimitBytes: 1000, collections };
    // Nobody writes: the engine looks by itself.
    await world.clock.advance(31_000);
    return engine.stats().memoryLevel;
  };
  assert.equal(await heap(500, 1), 0);
  assert.equal(await heap(990, 1), 0, "what the next collection frees is not in use");
  assert.equal(await heap(950, 2), 3, "what it leaves is");
  const isShort = (error: unknown) =>
    error instanceof PairError && error.code === 2008 && error.details.reason === "memory";
  await assert.rejects(put(engine, tree, 1), isShort);
  assert.equal(await heap(500, 3), 0);
  await put(engine, tree, 1);
  await engine.close();
});
