/**
 * Reads beside everything else that an engine does: they wait for nobody, and come from memory where what
 * they ask for is hot.
 * @module
 */
import assert from "node:assert/strict";
import {
  DEFAULT_ENGINE_OPTIONS,
  type Engine,
  KIND_PUT,
  type ReadTrace,
  type Tree,
} from "../../../src/engine/mod.ts";
import { fromUtf8, utf8 } from "../../../src/model/mod.ts";
import { SimWorkers } from "../../../src/runtime/mod.ts";
import { contents, engineWorld, jobHandler, openTestEngine, SMALL } from "../../support/engine.ts";

function put(engine: Engine, tree: Tree, key: string, value: string): Promise<void> {
  return engine.write([{ tree, kind: KIND_PUT, key: utf8(key), value: utf8(value) }]);
}

function read(engine: Engine, tree: Tree, key: string): string | undefined {
  const value = engine.get(tree, utf8(key));
  return value && fromUtf8(value);
}

Deno.test("reads take no lock: they answer at once while a sync, a flush and a compaction are under way [E19]", async () => {
  const world = engineWorld({ delays: true });
  // Jobs begin, and do not end before they may.
  const gate = Promise.withResolvers<void>();
  let held = false;
  const handle = jobHandler(world);
  const workers = new SimWorkers({
    handler: async (job) => {
      if (held) await gate.promise;
      return handle(job);
    },
  });
  const compaction = { ...SMALL.compaction, l0Trigger: 1000 };
  const options = { ...SMALL, compaction };
  const engine = await world.clock.runUntil(openTestEngine({ ...world, workers }, options));
  const tree = await world.clock.runUntil(engine.createTree("main"));
  const other = await world.clock.runUntil(engine.createTree("other"));
  for (const at of [tree, other]) {
    await world.clock.runUntil(put(engine, at, "a", "1"));
    await world.clock.runUntil(engine.flush(at));
    await world.clock.runUntil(put(engine, at, "b", "1"));
  }
  await world.clock.runUntil(engine.flush(other));
  held = true;
  const flushed = engine.flush(tree);
  const compacted = engine.compact(other);
  const written = put(engine, tree, "c", "1");
  await world.clock.advance(50);
  const waiting = put(engine, tree, "d", "1");
  const kinds = engine.jobs().map(({ kind }) => kind).sort();
  assert.deepEqual(kinds, ["compaction", "flush"], "both are under way");
  for (const [at, keys] of [[tree, "abc"], [other, "ab"]] as const) {
    for (const key of keys) assert.equal(read(engine, at, key), "1", key);
  }
  // Not synced yet: it is not shown, and who asks does not wait for it.
  assert.equal(read(engine, tree, "d"), undefined);
  assert.deepEqual([...contents(engine).keys()], ["a", "b", "c"]);
  gate.resolve();
  await world.clock.runUntil(Promise.all([flushed, compacted, written, waiting]));
  assert.equal(read(engine, tree, "d"), "1");
  await world.clock.runUntil(engine.close());
});

Deno.test("writes are in one order: of all trees, for readers, and after a restart [E19]", async () => {
  const world = engineWorld({ delays: true, seed: 4 });
  const engine = await world.clock.runUntil(openTestEngine(world));
  const trees = [
    await world.clock.runUntil(engine.createTree("main")),
    await world.clock.runUntil(engine.createTree("other")),
  ];
  // Writers who do not wait for each other: each write has the number of its call.
  const acknowledged: number[] = [];
  const writes: Promise<void>[] = [];
  for (let n = 1; n <= 400; n++) {
    const write = put(engine, trees[n % 2], `k${n % 7}`, String(n));
    writes.push(write.then(() => void acknowledged.push(n)));
    if (n % 13 !== 0) continue;
    await world.clock.advance(1);
    // What a reader sees is all up to one write, and nothing behind it.
    const last = acknowledged.at(-1) ?? 0;
    for (const [i, tree] of trees.entries()) {
      const seen = Math.max(0, ...[...contents(engine, tree.name).values()].map(Number));
      assert.ok(seen === last || seen === last - 1, `tree ${i} shows ${seen}, told of ${last}`);
    }
  }
  await world.clock.runUntil(Promise.all(writes));
  assert.deepEqual(acknowledged, Array.from({ length: 400 }, (_, i) => i + 1));
  const expected = trees.map((tree) => contents(engine, tree.name));
  assert.equal(Math.max(...[...expected[0].values()].map(Number)), 400);
  world.disk.crash("drop");
  const again = await world.clock.runUntil(openTestEngine(world));
  assert.deepEqual(trees.map((tree) => contents(again, tree.name)), expected);
  await world.clock.runUntil(again.close());
});

Deno.test("of more data than memory the hot part is read from memory, the rest from tables [E41, K5]", async () => {
  const world = engineWorld();
  const options = {
    ...DEFAULT_ENGINE_OPTIONS,
    memtableSize: 8 << 10,
    memtableBudget: 16 << 10,
    blockCacheSize: 16 << 10,
    rowCacheSize: 24 << 10,
    memoryBudget: 72 << 10,
  };
  const engine = await openTestEngine(world, options);
  const tree = await engine.createTree("main");
  const KEYS = 4000;
  const key = (n: number) => `key ${String(n).padStart(6, "0")}`;
  for (let n = 0; n < KEYS; n++) {
    const held = engine.admit(tree);
    if (held !== undefined) await world.clock.runUntil(held);
    await put(engine, tree, key(n), `${n}`.repeat(20));
  }
  await engine.flush(tree);
  await world.clock.advance(60_000);
  const trace: ReadTrace = { source: "none" };
  const sources = (from: number, to: number) => {
    const count = { cache: 0, memtable: 0, shared_cache: 0, sstable: 0, none: 0 };
    for (let n = from; n < to; n++) {
      const value = engine.get(tree, utf8(key(n)), { trace });
      assert.equal(value && fromUtf8(value), `${n}`.repeat(20));
      count[trace.source]++;
    }
    return count;
  };
  for (let round = 0; round < 3; round++) sources(100, 200);
  const before = engine.stats();
  assert.ok(before.tableBytes > 4 * options.memoryBudget, `${before.tableBytes} bytes in tables`);
  assert.equal(sources(100, 200).cache, 100, "the hot keys");
  const after = engine.stats();
  assert.deepEqual(
    [after.rowCacheHits - before.rowCacheHits, after.blockCacheMisses - before.blockCacheMisses],
    [100, 0],
  );
  assert.equal(sources(1000, 4000).sstable, 3000, "the cold ones");
  const { memtableBytes, blockCacheBytes, rowCacheBytes, ...stats } = engine.stats();
  const inMemory = memtableBytes + blockCacheBytes + rowCacheBytes;
  assert.ok(inMemory <= options.memoryBudget, `${inMemory} bytes in memory`);
  assert.ok(sources(100, 200).cache > 90, "and reading those has not pushed the hot ones out");
  // What it tells of itself.
  assert.ok(rowCacheBytes > 0 && rowCacheBytes <= stats.rowCacheMaxBytes);
  assert.ok(stats.rowCacheEntries >= 100 && stats.rowCacheEntries * 64 < rowCacheBytes);
  assert.equal(stats.rowCacheUse, rowCacheBytes / stats.rowCacheMaxBytes);
  await engine.close();
});
