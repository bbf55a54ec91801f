/**
 * Frozen memtables on their way to tables: what reads see meanwhile, and what comes of nothing. Small
 * memtables on the simulated clock; a flush waits where its thread is held.
 * @module
 */
import assert from "node:assert/strict";
import {
  type Engine,
  KIND_DELETE,
  KIND_PUT,
  type ReadTrace,
  type Tree,
} from "../../../src/engine/mod.ts";
import { fromUtf8, utf8 } from "../../../src/model/mod.ts";
import { SimWorkers } from "../../../src/runtime/mod.ts";
import { contents, engineWorld, jobHandler, openTestEngine, SMALL } from "../../support/engine.ts";

const OPTIONS = { ...SMALL, memtableSize: 1 << 20, rowCacheSize: 0 };

function put(engine: Engine, tree: Tree, key: string, value: string): Promise<void> {
  return engine.write([{ tree, kind: KIND_PUT, key: utf8(key), value: utf8(value) }]);
}

function read(engine: Engine, tree: Tree, key: string): [string | undefined, string] {
  const trace: ReadTrace = { source: "none" };
  const value = engine.get(tree, utf8(key), { trace });
  return [value && fromUtf8(value), trace.source];
}

Deno.test("a frozen memtable is read until its table is there, and the new one before it [E17]", async () => {
  const world = engineWorld();
  const gate = Promise.withResolvers<void>();
  const handle = jobHandler(world);
  const workers = new SimWorkers({
    handler: async (job) => {
      await gate.promise;
      return handle(job);
    },
  });
  const engine = await openTestEngine({ ...world, workers }, OPTIONS);
  const tree = await engine.createTree("main");
  await put(engine, tree, "kept", "old");
  await put(engine, tree, "changed", "old");
  await put(engine, tree, "deleted", "old");
  const flushed = engine.flush(tree);
  await put(engine, tree, "changed", "new");
  await engine.write([
    { tree, kind: KIND_DELETE, key: utf8("deleted"), value: new Uint8Array(0) },
  ]);
  assert.equal(engine.stats().tables, 0, "the table is not there yet");
  const expected = new Map([["changed", "new"], ["kept", "old"]]);
  assert.deepEqual(read(engine, tree, "kept"), ["old", "memtable"]);
  assert.deepEqual(read(engine, tree, "changed"), ["new", "memtable"]);
  assert.deepEqual(read(engine, tree, "deleted")[0], undefined);
  assert.deepEqual(contents(engine), expected);
  gate.resolve();
  await flushed;
  assert.deepEqual([engine.stats().tables, engine.stats().flushes], [1, 1]);
  assert.deepEqual(read(engine, tree, "kept"), ["old", "sstable"]);
  assert.deepEqual(read(engine, tree, "changed"), ["new", "memtable"]);
  assert.deepEqual(contents(engine), expected);
  await engine.close();
});

Deno.test("frozen memtables become tables oldest first, so that a power loss between two of them loses none [E17]", async () => {
  const world = engineWorld();
  let jobs = 0;
  const gate = Promise.withResolvers<void>();
  const handle = jobHandler(world);
  const workers = new SimWorkers({
    handler: (job) => gate.promise.then(() => ++jobs <= 2 ? handle(job) : new Promise(() => {})),
  });
  const options = { ...OPTIONS, maxImmutables: 4 };
  const engine = await openTestEngine({ ...world, workers }, options);
  const tree = await engine.createTree("main");
  for (const key of ["first", "second", "third"]) {
    await put(engine, tree, key, "v");
    await put(engine, tree, "same", key);
    // It freezes at once. The third never ends, and nobody waits for it.
    engine.flush(tree).catch(() => {});
  }
  gate.resolve();
  await world.clock.advance(1000);
  assert.deepEqual([engine.stats().tables, engine.stats().flushes], [2, 2]);
  for (const key of ["first", "second"]) {
    assert.deepEqual(read(engine, tree, key), ["v", "sstable"], key);
  }
  assert.deepEqual(read(engine, tree, "same"), ["third", "memtable"]);
  world.disk.crash("drop");
  const again = await openTestEngine(world, options);
  for (const key of ["first", "second", "third"]) {
    assert.equal(read(again, again.tree("main")!, key)[0], "v", key);
  }
  assert.equal(read(again, again.tree("main")!, "same")[0], "third");
  await again.close();
});

Deno.test("an empty memtable makes no table, whoever asks for a flush [E17]", async () => {
  const world = engineWorld();
  const engine = await openTestEngine(world, OPTIONS);
  const tree = await engine.createTree("main");
  await engine.flush(tree);
  await engine.flush();
  await put(engine, tree, "k", "v");
  await engine.flush(tree);
  const { flushes, tables, walSegments } = engine.stats();
  assert.deepEqual([flushes, tables], [1, 1]);
  await engine.flush(tree);
  await engine.compact(tree);
  assert.deepEqual([engine.stats().flushes, engine.stats().walSegments], [1, walSegments]);
  assert.equal(engine.jobs().length, 0);
  await engine.close();
});

Deno.test("flushes of many trees that end together become durable by few edits of the manifest", async () => {
  const world = engineWorld({ delays: true });
  const run = <T>(promise: Promise<T>) => world.clock.runUntil(promise);
  const engine = await run(openTestEngine(world, OPTIONS));
  const trees: Tree[] = [];
  for (let n = 0; n < 30; n++) trees.push(await run(engine.createTree(`t${n}`)));
  for (const tree of trees) await run(put(engine, tree, "k", tree.name));
  let edits = 0;
  world.disk.hook = ({ op, path }) => {
    // The end marks are not synced.
    if (op === "sync" && path.includes("MANIFEST")) edits++;
    return undefined;
  };
  await run(engine.flush());
  world.disk.hook = undefined;
  assert.deepEqual([engine.stats().tables, engine.stats().flushes], [30, 30]);
  assert.ok(edits > 0 && edits < 30, `${edits} edits`);
  // The log that all of them were in is needed no more.
  world.disk.crash("drop");
  const again = await run(openTestEngine(world, OPTIONS));
  assert.equal(again.recovery.records, 0);
  for (const { name } of trees) {
    assert.equal(read(again, again.tree(name)!, "k")[0], name);
  }
  await run(again.close());
});
