import assert from "node:assert/strict";
import {
  type Engine,
  type EngineOptions,
  KIND_DELETE,
  KIND_PUT,
  ReadSteps,
  type ReadTrace,
  type SecondLevelOptions,
  type Tree,
} from "../../../../src/engine/mod.ts";
import { SecondLevel } from "../../../../src/engine/second_level/mod.ts";
import { fromUtf8, utf8 } from "../../../../src/model/mod.ts";
import {
  silentLog,
  SimClock,
  SimRandom,
  type SimRuntime,
  SimSharedCache,
} from "../../../../src/runtime/mod.ts";
import { engineWorld, openTestEngine, SMALL } from "../../../support/engine.ts";

const OPTIONS = {
  mode: "read_through",
  ask: "always",
  ttlMs: 60_000,
  valueMax: 1000,
  timeoutMs: 5,
  queueBytes: 10_000,
} as const;

interface Store {
  readonly world: SimRuntime;
  readonly cache: SimSharedCache;
  readonly engine: Engine;
  readonly tree: Tree;
  put(key: string, value: string): Promise<void>;
  /** As a client reads; and where the answer came from. */
  read(key: string): Promise<[string | undefined, ReadTrace["source"]]>;
}

/** A store in which nothing stays in memory but what the caches keep, and the shared one answers. */
async function openStore(
  second: Partial<SecondLevelOptions> = {},
  options: Partial<EngineOptions> = {},
): Promise<Store> {
  const world = engineWorld({ seed: 1 });
  const cache = new SimSharedCache(world.clock, new SimRandom(1));
  const opening = openTestEngine(world, {
    ...SMALL,
    blockCacheSize: 0,
    rowCacheSize: 0,
    ...options,
    secondLevel: { ...OPTIONS, ...second, cache },
  });
  const engine = await world.clock.runUntil(opening);
  const tree = await world.clock.runUntil(engine.createTree("main", { mergeOperator: "append" }));
  await world.clock.advance(1);
  return {
    world,
    cache,
    engine,
    tree,
    put: (key, value) =>
      world.clock.runUntil(
        engine.write([{ tree, kind: KIND_PUT, key: utf8(key), value: utf8(value) }]),
      ),
    async read(key) {
      const trace: ReadTrace = { source: "none" };
      const found = engine.read(tree, utf8(key), { trace });
      const value = found instanceof Promise ? await world.clock.runUntil(found) : found;
      return [value && fromUtf8(value), trace.source];
    },
  };
}

async function withStore(
  run: (store: Store) => Promise<void>,
  second?: Partial<SecondLevelOptions>,
  options?: Partial<EngineOptions>,
): Promise<void> {
  const store = await openStore(second, options);
  await run(store);
  await store.world.clock.runUntil(store.engine.close());
}

Deno.test("read-through: what a read finds on the disk the next finds in the shared cache [K7, K8]", () =>
  withStore(async ({ world, engine, cache, put, read }) => {
    await put("k", "one");
    assert.deepEqual(await read("k"), ["one", "memtable"]);
    assert.equal(cache.size, 0);
    await world.clock.runUntil(engine.flush());
    assert.deepEqual(await read("k"), ["one", "sstable"]);
    assert.deepEqual(await read("k"), ["one", "shared_cache"]);
    assert.deepEqual(await read("none"), [undefined, "none"]);
    const stats = engine.stats();
    assert.equal(stats.sharedCacheHits, 1);
    assert.equal(stats.sharedCacheKept, 1);
    assert.equal(stats.readsFromMemtable, 1);
    assert.equal(stats.readsFromTables, 1);
    assert.equal(stats.readsFromSharedCache, 1);
    assert.equal(stats.readsOfNothing, 1);
  }));

Deno.test("a row goes on from the shared cache to the row cache [K8]", () =>
  withStore(
    async ({ world, engine, put, read }) => {
      await put("k", "one");
      await world.clock.runUntil(engine.flush());
      await read("k");
      assert.deepEqual(await read("k"), ["one", "cache"]);
      assert.equal(engine.stats().readsFromRowCache, 1);
      // Another key's row may have pushed it out; here the reader drops it.
      await world.clock.runUntil(engine.uncache(engine.tree("main")!, { start: utf8("x") }));
      assert.deepEqual(await read("k"), ["one", "cache"]);
    },
    {},
    { rowCacheSize: 8192 },
  ));

for (const purge of [false, true]) {
  Deno.test(`a value that was overwritten or deleted is not read again, compacted${purge ? " and purged" : ""} or not, though the cache answers with it`, () =>
    withStore(async ({ world, engine, tree, cache, put, read }) => {
      await put("k", "one");
      await put("gone", "one");
      await world.clock.runUntil(engine.flush());
      for (const key of ["k", "gone", "k", "gone"]) await read(key);
      assert.deepEqual(await read("gone"), ["one", "shared_cache"]);
      await put("k", "two");
      const mutation = { tree, kind: KIND_DELETE, key: utf8("gone"), value: utf8("") } as const;
      await world.clock.runUntil(engine.write([mutation]));
      await world.clock.runUntil(engine.compact(tree, { purge }));
      // Nothing on the disk tells that there ever was such a key.
      assert.equal(cache.size, 2);
      assert.deepEqual(await read("gone"), [undefined, "none"]);
      assert.deepEqual(await read("k"), ["two", "sstable"]);
      assert.deepEqual(await read("k"), ["two", "shared_cache"]);
      assert.ok(engine.stats().sharedCacheUnproven > 0);
    }));
}

for (const mode of ["write_through", "write_behind"] as const) {
  Deno.test(`${mode}: what is written is in the shared cache, and is read from there when it is in memory no more [K7]`, () =>
    withStore(async ({ world, engine, tree, cache, put, read }) => {
      cache.faults = { delayMs: 3 };
      await put("k", "one");
      // Behind the answer, nobody has waited for it.
      assert.equal(cache.size, mode === "write_through" ? 1 : 0);
      await world.clock.advance(5);
      assert.equal(cache.size, 1);
      await put("k", "two");
      await put("l", "three");
      await world.clock.advance(10);
      await world.clock.runUntil(engine.compact(tree));
      assert.deepEqual(await read("k"), ["two", "shared_cache"]);
      assert.deepEqual(await read("l"), ["three", "shared_cache"]);
      await put("large", "v".repeat(1001));
      await world.clock.advance(5);
      assert.equal(cache.size, 2);
    }, { mode }));
}

Deno.test("write-through: a writer waits for the shared cache no longer than the limit, and fails for nothing of it [K7]", () =>
  withStore(async ({ world, engine, cache, put }) => {
    cache.faults = { hang: 1 };
    const startMs = world.clock.monotonicMs();
    await put("k", "one");
    const took = world.clock.monotonicMs() - startMs;
    assert.ok(took >= 5 && took < 10, `${took} ms`);
    for (let i = 0; i < 10; i++) await put("k", `${i}`);
    assert.equal(engine.stats().sharedCacheUp, 0);
    const downMs = world.clock.monotonicMs();
    await put("k", "three");
    assert.ok(world.clock.monotonicMs() - downMs < 5);
    assert.ok(engine.stats().sharedCacheDropped > 0);
  }, { mode: "write_through" }));

Deno.test("cache-aside: only what somebody asks for is kept [K7]", () =>
  withStore(async ({ world, engine, tree, cache, put, read }) => {
    for (const key of ["a1", "a2", "b"]) await put(key, `of ${key}`);
    await world.clock.runUntil(engine.flush());
    await read("a1");
    await read("b");
    assert.equal(cache.size, 0);
    const filled = await world.clock.runUntil(engine.cache(tree, { prefix: utf8("a") }));
    assert.deepEqual(filled, { keys: 2, shared: true });
    assert.deepEqual(await read("a1"), ["of a1", "shared_cache"]);
    assert.deepEqual(await read("a2"), ["of a2", "shared_cache"]);
    assert.deepEqual(await read("b"), ["of b", "sstable"]);
    const gone = await world.clock.runUntil(engine.uncache(tree, { prefix: utf8("a") }));
    assert.deepEqual(gone, { keys: 2, shared: true });
    assert.equal(cache.size, 0);
    assert.deepEqual(await read("a1"), ["of a1", "sstable"]);
  }, { mode: "cache_aside" }));

Deno.test("expiry: the cache keeps a row for its time [K7]", () =>
  withStore(async ({ world, engine, put, read }) => {
    await put("k", "one");
    await world.clock.runUntil(engine.flush());
    await read("k");
    await world.clock.advance(1999);
    assert.deepEqual(await read("k"), ["one", "shared_cache"]);
    await world.clock.advance(1);
    assert.deepEqual(await read("k"), ["one", "sstable"]);
  }, { ttlMs: 2000 }));

Deno.test("invalidation reaches the row cache, and says when it did not reach the shared one [K7]", () =>
  withStore(
    async ({ world, engine, tree, cache, put, read }) => {
      for (const key of ["a", "b"]) await put(key, key);
      await world.clock.runUntil(engine.flush());
      await read("a");
      assert.deepEqual(await read("a"), ["a", "cache"]);
      cache.partitioned = true;
      const missed = await world.clock.runUntil(engine.uncache(tree, {}));
      assert.deepEqual(missed, { keys: 2, shared: false });
      cache.partitioned = false;
      assert.deepEqual(await read("a"), ["a", "shared_cache"]);
      assert.deepEqual(await world.clock.runUntil(engine.uncache(tree, { prefix: utf8("a") })), {
        keys: 1,
        shared: true,
      });
      assert.deepEqual(await read("a"), ["a", "sstable"]);
    },
    {},
    { rowCacheSize: 8192 },
  ));

Deno.test("a cache that is away, slow or hangs costs a read the limit at most, and soon nothing", () =>
  withStore(async ({ world, engine, cache, put, read }) => {
    await put("k", "one");
    await world.clock.runUntil(engine.flush());
    cache.faults = { hang: 1 };
    const startMs = world.clock.monotonicMs();
    for (let i = 0; i < 50; i++) assert.deepEqual(await read("k"), ["one", "sstable"]);
    // Five of them waited.
    assert.ok(world.clock.monotonicMs() - startMs < 30);
    assert.equal(engine.stats().sharedCacheUp, 0);
    assert.equal(engine.stats().sharedCacheSkipped, 45);
    cache.faults = {};
    await world.clock.advance(10_000);
    await read("k");
    assert.deepEqual(await read("k"), ["one", "shared_cache"]);
  }));

Deno.test("a read that finds its key in memory asks nobody; nor does one of a quick disk unless told to; nor explain", () =>
  withStore(async ({ world, engine, tree, cache, put }) => {
    await put("k", "one");
    assert.ok(engine.read(tree, utf8("k")) instanceof Uint8Array);
    await world.clock.runUntil(engine.flush());
    assert.ok(engine.read(tree, utf8("k")) instanceof Uint8Array);
    assert.equal(cache.calls.get, 1);
  }, { ask: "slow_disk" }).then(() =>
    withStore(async ({ world, engine, tree, put }) => {
      await put("k", "one");
      await world.clock.runUntil(engine.flush());
      assert.ok(engine.read(tree, utf8("k")) instanceof Promise);
      const steps = new ReadSteps();
      const trace: ReadTrace = { source: "none", steps };
      assert.ok(engine.read(tree, utf8("k"), { trace }) instanceof Uint8Array);
      assert.deepEqual(steps.list.map(({ layer }) => layer), ["memtable", "sstable"]);
      await world.clock.advance(10);
    })
  ));

Deno.test("a write at any step of an answer's way to the row cache is not lost to readers", async () => {
  for (let turns = 0; turns < 60; turns++) {
    await withStore(
      async ({ world, engine, tree, put, read }) => {
        await put("k", "one");
        await world.clock.runUntil(engine.flush());
        await world.clock.runUntil(engine.cache(tree, {}));
        const reading = engine.read(tree, utf8("k")) as Promise<Uint8Array>;
        for (let i = 0; i < turns; i++) await Promise.resolve();
        const written = put("k", "two");
        const found = fromUtf8(await world.clock.runUntil(reading));
        assert.equal(found, "one");
        await written;
        await world.clock.runUntil(engine.flush());
        assert.equal((await read("k"))[0], "two", `written after ${turns} turns`);
      },
      { mode: "cache_aside" },
      { rowCacheSize: 8192 },
    );
  }
});

Deno.test("reads of one turn go together, and a batch is one moment", () =>
  withStore(async ({ world, engine, tree, cache, put }) => {
    const keys = Array.from({ length: 20 }, (_, i) => `k${i}`);
    for (const key of keys) await put(key, `of ${key}`);
    await world.clock.runUntil(engine.flush());
    await world.clock.runUntil(engine.cache(tree, {}));
    const { get } = cache.calls;
    const values = await world.clock.runUntil(
      Promise.resolve(engine.readMany(tree, keys.map((key) => utf8(key)))),
    );
    assert.deepEqual(values.map((value) => fromUtf8(value!)), keys.map((key) => `of ${key}`));
    assert.equal(cache.calls.get, get + 1);
  }));

/** A second level without an engine, over a cache that answers. */
async function openSecond(options: Partial<SecondLevelOptions> = {}) {
  const clock = new SimClock();
  const cache = new SimSharedCache(clock, new SimRandom(1));
  const parts = { clock, random: new SimRandom(2), log: silentLog };
  const second = new SecondLevel({ ...OPTIONS, ...options, cache }, parts);
  second.start();
  await clock.advance(1);
  return { clock, cache, second };
}

Deno.test("what is dead, or may have been dropped as such, is neither kept nor believed, whatever the wall clock does", async () => {
  const { clock, cache, second } = await openSecond();
  const diesAtMs = clock.wallMs() + 1000;
  const tree = { id: 1, purgedBeforeMs: 0, deadSince: () => diesAtMs };
  const key = utf8("k");
  await clock.runUntil(second.keep(tree, key, 5, utf8("v")));
  assert.ok(await clock.runUntil(second.get(tree, key, 5)));
  clock.jumpWall(1000);
  assert.equal(await clock.runUntil(second.get(tree, key, 5)), undefined);
  // A compaction has dropped it; then somebody sets the clock back.
  clock.jumpWall(-5000);
  assert.ok(await clock.runUntil(second.get(tree, key, 5)));
  tree.purgedBeforeMs = diesAtMs;
  assert.equal(await clock.runUntil(second.get(tree, key, 5)), undefined);
  cache.restart();
  await clock.runUntil(second.keep(tree, key, 6, utf8("v")));
  assert.equal(cache.size, 0);
  second.close();
});

Deno.test("the queue of what is to be kept is bounded, and what does not fit is counted", async () => {
  const { clock, cache, second } = await openSecond({ queueBytes: 1000 });
  const tree = { id: 1, purgedBeforeMs: 0, deadSince: () => 0 };
  cache.faults = { delayMs: 1 };
  const value = new Uint8Array(100);
  const all = Array.from({ length: 50 }, (_, i) => second.keep(tree, utf8(`k${i}`), 1, value));
  const { queuedBytes } = second.stats();
  assert.ok(queuedBytes > 500 && queuedBytes <= 1000, `${queuedBytes}`);
  await clock.runUntil(Promise.all(all));
  const { kept, dropped } = second.stats();
  assert.equal(kept + dropped, 50);
  assert.equal(kept, cache.size);
  assert.ok(dropped >= 40);
  assert.equal(second.stats().queuedBytes, 0);
  second.close();
});

Deno.test("what waits in the queue is not brought back behind an invalidation, and a close drops it", async () => {
  const { clock, cache, second } = await openSecond();
  const tree = { id: 1, purgedBeforeMs: 0, deadSince: () => 0 };
  const kept = second.keep(tree, utf8("k"), 1, utf8("v"));
  assert.ok(await clock.runUntil(second.forget(tree, [utf8("k")])));
  await kept;
  assert.equal(cache.size, 0);
  cache.faults = { hang: 1 };
  const first = second.keep(tree, utf8("a"), 1, utf8("v"));
  await clock.advance(1);
  const behind = second.keep(tree, utf8("b"), 1, utf8("v"));
  second.close();
  await behind;
  await clock.runUntil(first);
  assert.equal(second.stats().dropped, 2);
  assert.equal(second.stats().queuedBytes, 0);
});
