/**
 * A tree's own options: set, changed in use, kept over restarts, and refused when they make no sense.
 */
import assert from "node:assert/strict";
import { COMPACTION_STRATEGIES, KIND_PUT, type TreeOptions } from "../../../src/engine/mod.ts";
import { changeOptions, NO_OPTIONS, readOptions } from "../../../src/engine/tree_options.ts";
import { fromUtf8, PairError, utf8 } from "../../../src/model/mod.ts";
import { engineWorld, openTestEngine, SMALL } from "../../support/engine.ts";

Deno.test("a tree's options outlive restarts, and go back to the engine's own", async () => {
  const world = engineWorld();
  let engine = await openTestEngine(world);
  const own: TreeOptions = { strategy: "time_window", windowMs: 60_000, ttlMs: 5 };
  await engine.createTree("a", { options: own });
  await engine.createTree("b");
  for (let i = 0; i < 2; i++) {
    assert.deepEqual(engine.tree("a")!.options, own);
    assert.deepEqual(engine.tree("b")!.options, {});
    await engine.close();
    engine = await openTestEngine(world);
  }
  await engine.setTreeOptions(engine.tree("a")!, { windowMs: 1, strategy: undefined });
  assert.deepEqual(engine.tree("a")!.options, { windowMs: 1, ttlMs: 5 });
  world.disk.crash("drop");
  engine = await openTestEngine(world);
  assert.deepEqual(engine.tree("a")!.options, { windowMs: 1, ttlMs: 5 });
  await engine.close();
});

Deno.test("options are checked at their edges, and nothing changes when they are refused", async () => {
  const engine = await openTestEngine(engineWorld());
  const tree = await engine.createTree("a", { options: { ttlMs: 7 } });
  const max = Number.MAX_SAFE_INTEGER;
  const good: TreeOptions[] = [
    { ttlMs: 0 },
    { ttlMs: 1 },
    { ttlMs: max },
    { windowMs: 1 },
    { windowMs: max },
    ...(["none", "lz4", "snappy", "zstd", undefined] as const)
      .map((compression) => ({ compression })),
    ...[1, 100, undefined].map((cacheShare) => ({ cacheShare })),
    ...(["maxBytes", "maxKeys", "maxRequests", "maxBandwidth"] as const)
      .flatMap((name) => [{ [name]: 1 }, { [name]: max }, { [name]: undefined }]),
    ...COMPACTION_STRATEGIES.map((strategy) => ({ strategy })),
  ];
  for (const options of good) {
    await engine.setTreeOptions(tree, options);
    for (const [name, value] of Object.entries(options)) {
      assert.equal(tree.options[name as keyof TreeOptions], value);
    }
  }
  const before = { ...tree.options };
  const bad = [
    { ttlMs: -1 },
    { ttlMs: max + 1 },
    { ttlMs: 0.5 },
    { ttlMs: NaN },
    { windowMs: 0 },
    { compression: "brotli" },
    { cacheShare: 0 },
    { cacheShare: 101 },
    { cacheShare: 2.5 },
    { maxBytes: 0 },
    { maxKeys: -1 },
    { maxRequests: 0.5 },
    { maxBandwidth: max + 1 },
    { windowMs: max + 1 },
    { strategy: "fastest" },
    { strategy: "" },
  ] as unknown as TreeOptions[];
  for (const options of bad) {
    const refused = (error: unknown) => error instanceof PairError && error.code === 1000;
    await assert.rejects(engine.setTreeOptions(tree, options), refused, JSON.stringify(options));
    await assert.rejects(engine.createTree("b", { options }), refused);
  }
  assert.deepEqual(tree.options, before);
  assert.equal(engine.tree("b"), undefined);
  await engine.close();
});

Deno.test("an option of a newer program is kept and ignored; a damaged one is an error", () => {
  const stored = changeOptions(new Map([["colour", "blue"]]), { ttlMs: 3 });
  assert.deepEqual(readOptions(stored), { ttlMs: 3 });
  assert.equal(changeOptions(stored, { ttlMs: undefined }).get("colour"), "blue");
  assert.deepEqual(readOptions(NO_OPTIONS), {});
  for (
    const [name, value] of [["ttl_ms", "x"], ["cache_share", "200"], ["window_ms", "0"], [
      "strategy",
      "best",
    ]]
  ) {
    assert.throws(() => readOptions(new Map([[name, value]])), /Cannot read a tree's options/);
  }
});

Deno.test("a change of strategy while the tree is written loses nothing", async () => {
  const world = engineWorld();
  const engine = await openTestEngine(world);
  const tree = await engine.createTree("a");
  const model = new Map<string, string>();
  for (let i = 0; i < 1200; i++) {
    const key = `k${(i * 7919) % 301}`;
    const value = `${i}`.padEnd(60, ".");
    model.set(key, value);
    await engine.write([{ tree, kind: KIND_PUT, key: utf8(key), value: utf8(value) }]);
    if (i % 100 === 99) {
      await engine.setTreeOptions(tree, { strategy: COMPACTION_STRATEGIES[(i / 100 | 0) % 4] });
    }
    if (i % 20 === 0) await world.clock.advance(40);
  }
  await world.clock.advance(60_000);
  const found = new Map<string, string>();
  const cursor = engine.scan(tree, {});
  while (cursor.next()) found.set(fromUtf8(cursor.key), fromUtf8(cursor.value));
  cursor.close();
  assert.deepEqual(new Map([...found].sort()), new Map([...model].sort()));
  assert.ok(engine.stats().compactions > 0);
  await engine.close();
  assert.deepEqual(world.log.events.filter((event) => event.level === "error"), []);
});

Deno.test("tables are compressed as their tree says from then on, and those before stay readable [B2]", async () => {
  const engine = await openTestEngine(engineWorld());
  const plain = await engine.createTree("plain", { options: { compression: "none" } });
  const packed = await engine.createTree("packed", { options: { compression: "zstd" } });
  const fill = async () => {
    for (const tree of [plain, packed]) {
      for (let i = 0; i < 10; i++) {
        const key = utf8(`k${i}`);
        await engine.write([{ tree, kind: KIND_PUT, key, value: new Uint8Array(100) }]);
      }
      await engine.flush(tree);
    }
  };
  await fill();
  const [before, small] = [plain, packed].map((tree) => engine.treeStats(tree).tableBytes);
  assert.ok(small < before / 2, `${small} of ${before} bytes`);
  await engine.setTreeOptions(plain, { compression: "lz4" });
  assert.equal(engine.get(plain, utf8("k1"))!.length, 100);
  await engine.compact(plain);
  await fill();
  await engine.compact(plain);
  assert.ok(engine.treeStats(plain).tableBytes < before / 2);
  assert.equal(engine.get(plain, utf8("k1"))!.length, 100);
  await engine.close();
});

Deno.test("a tree keeps to its share of the caches: from its making, after a change, and after a restart [T3]", async () => {
  const world = engineWorld();
  const caches = { ...SMALL, blockCacheSize: 64 * 1024, rowCacheSize: 64 * 1024 };
  let engine = await openTestEngine(world, caches);
  let tree = await engine.createTree("small", { options: { cacheShare: 10 } });
  const read = () => {
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 1000; i++) assert.ok(engine.get(tree, utf8(`k${i}`)));
    }
    return engine.treeStats(tree).cacheBytes;
  };
  for (let i = 0; i < 1000; i++) {
    await engine.write([{ tree, kind: KIND_PUT, key: utf8(`k${i}`), value: new Uint8Array(90) }]);
  }
  await engine.flush(tree);
  const small = read();
  assert.ok(small > 0 && small <= 2 * 6553, `${small} bytes`);
  await engine.close();
  engine = await openTestEngine(world, caches);
  tree = engine.tree("small")!;
  assert.ok(read() <= 2 * 6553);
  await engine.setTreeOptions(tree, { cacheShare: undefined });
  assert.ok(read() > 50_000);
  await engine.setTreeOptions(tree, { cacheShare: 5 });
  assert.ok(engine.treeStats(tree).cacheBytes <= 2 * 3276);
  await engine.dropTree(tree);
  assert.deepEqual([engine.stats().blockCacheBytes, engine.stats().rowCacheBytes], [0, 0]);
  await engine.close();
});
