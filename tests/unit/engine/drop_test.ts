/**
 * Dropping a tree: at once, whatever it holds, and for good.
 */
import assert from "node:assert/strict";
import { type Engine, KIND_PUT } from "../../../src/engine/mod.ts";
import { utf8 } from "../../../src/model/mod.ts";
import type { SimRuntime } from "../../../src/runtime/mod.ts";
import { contents, engineWorld, openTestEngine } from "../../support/engine.ts";

async function fill(engine: Engine, name: string, count: number): Promise<void> {
  const tree = await engine.createTree(name);
  for (let i = 0; i < count; i++) {
    const key = utf8(`k${i * 7 % count}`);
    await engine.write([{ tree, kind: KIND_PUT, key, value: new Uint8Array(100) }]);
  }
  await engine.flush(tree);
}

/** Calls of the disk from the call until its answer. */
async function callsOf(world: SimRuntime, run: () => Promise<void>): Promise<string[]> {
  const calls: string[] = [];
  world.disk.hook = ({ op }) => {
    calls.push(op);
    return undefined;
  };
  await run();
  world.disk.hook = undefined;
  return calls;
}

Deno.test("a large tree is dropped by as much work as a small one [B2]", async () => {
  const world = engineWorld();
  const engine = await openTestEngine(world);
  await fill(engine, "small", 1);
  await fill(engine, "large", 2000);
  await fill(engine, "other", 10);
  await engine.compact();
  const { tables } = engine.treeStats(engine.tree("large")!);
  assert.ok(tables >= 20, `${tables} tables`);
  const small = await callsOf(world, () => engine.dropTree(engine.tree("small")!));
  // Its files go in the background.
  await world.clock.advance(60_000);
  const large = await callsOf(world, () => engine.dropTree(engine.tree("large")!));
  // One edit of the manifest, which is synced, and perhaps the first file of those that go in the background.
  assert.equal(large.filter((op) => op === "sync").length, 1, `${large}`);
  assert.ok(large.length <= small.length + 2, `${small} against ${large}`);
  await engine.createTree("large");
  assert.equal(contents(engine, "large").size, 0);
  assert.deepEqual(engine.usage(engine.tree("large")!), { bytes: 0, keys: 0 });
  assert.equal(contents(engine, "other").size, 10);
  await world.clock.advance(60_000);
  const left = world.disk.list("/data/tenants").filter((name) => name.startsWith("large"));
  assert.equal(left.length, 1, `${left}`);
  await engine.close();
});

Deno.test("a dropped tree is gone from the call on, and after any crash once it was answered [B2]", async () => {
  const world = engineWorld();
  let engine = await openTestEngine(world);
  await fill(engine, "t", 500);
  const tree = engine.tree("t")!;
  const dropped = engine.dropTree(tree);
  assert.equal(engine.tree("t"), undefined);
  assert.throws(() => engine.get(tree, utf8("k1")), { code: 1004 });
  await dropped;
  world.disk.crash("drop");
  engine = await openTestEngine(world);
  assert.equal(engine.tree("t"), undefined);
  await world.clock.advance(60_000);
  assert.deepEqual(world.disk.list("/data/tenants"), []);
  await engine.close();
});

Deno.test("trees that are made after a drop count on from above what the dropped one may have had", async () => {
  const world = engineWorld();
  const mergeOperator = "mortal";
  let engine = await openTestEngine(world);
  const first = await engine.createTree("first", { mergeOperator });
  assert.equal((await engine.createTree("before")).purgeFloor, 0);
  await engine.dropTree(first);
  assert.equal((await engine.createTree("first", { mergeOperator })).purgeFloor, 100);
  // After a restart, and one more, too.
  for (const name of ["second", "third"]) {
    await engine.close();
    engine = await openTestEngine(world);
    assert.equal(engine.tree("first")!.purgeFloor, 100);
    assert.equal(engine.tree("before")!.purgeFloor, 0);
    assert.equal((await engine.createTree(name)).purgeFloor, 100);
  }
  await engine.dropTree(engine.tree("first")!);
  assert.equal((await engine.createTree("first")).purgeFloor, 200);
  // One that nothing is to be remembered of changes nothing.
  await engine.dropTree(engine.tree("before")!);
  assert.equal((await engine.createTree("before")).purgeFloor, 200);
  await engine.close();
});

Deno.test("a drop does not wait for a compaction that is under way [B2]", async () => {
  const world = engineWorld({ delays: true });
  const engine = await world.clock.runUntil(openTestEngine(world));
  await world.clock.runUntil(fill(engine, "t", 500));
  const tree = engine.tree("t")!;
  const compaction = engine.compact(tree).then(() => "done", () => "given up");
  const startMs = world.clock.monotonicMs();
  await world.clock.runUntil(engine.dropTree(tree));
  assert.ok(world.clock.monotonicMs() - startMs < 1000);
  assert.equal(await world.clock.runUntil(compaction), "given up");
  await world.clock.runUntil(engine.close());
});
