/**
 * What an engine does because time goes by, though nobody writes; and what it does at a stop.
 * @module
 */
import assert from "node:assert/strict";
import { type Engine, KIND_PUT, type Tree } from "../../../src/engine/mod.ts";
import { fromUtf8, utf8 } from "../../../src/model/mod.ts";
import { engineWorld, openTestEngine, SMALL } from "../../support/engine.ts";

const OPTIONS = { ...SMALL, memtableSize: 1 << 20, memtableAgeMs: 0 };

function put(engine: Engine, tree: Tree, key: string, value = "v"): Promise<void> {
  return engine.write([{ tree, kind: KIND_PUT, key: utf8(key), value: utf8(value) }]);
}

function read(engine: Engine, name: string, key: string): string | undefined {
  const value = engine.get(engine.tree(name)!, utf8(key));
  return value && fromUtf8(value);
}

Deno.test("a log segment ends by age with nobody writing, its names rise whatever the clock says, and an empty one stays [E9]", async () => {
  const world = engineWorld();
  const segments = () =>
    world.disk.list("/data/wal").filter((name) => name.endsWith(".wal")).map((name) => {
      assert.match(name, /^\d{6}\.wal$/);
      return Number(name.slice(0, 6));
    }).sort((a, b) => a - b);
  const names: number[] = [];
  for (let life = 0; life < 3; life++) {
    // The wall clock goes back a year each time.
    world.clock.jumpWall(-365 * 86_400_000);
    const engine = await openTestEngine(world, OPTIONS);
    const tree = engine.tree("t") ?? await engine.createTree("t");
    const opened = segments();
    await put(engine, tree, `k${life}`);
    await world.clock.advance(OPTIONS.log.segmentAgeMs - 60_000);
    assert.deepEqual(segments(), opened, "it is not old yet");
    await world.clock.advance(120_000);
    const after = segments();
    assert.equal(after.length, opened.length + 1, `${opened} ${after}`);
    await world.clock.advance(3 * OPTIONS.log.segmentAgeMs);
    assert.deepEqual(segments(), after, "an empty one is as good as new");
    assert.ok(after.at(-1)! > opened.at(-1)!);
    for (const number of after) if (!names.includes(number)) names.push(number);
    await engine.close();
  }
  assert.deepEqual(names, [...names].sort((a, b) => a - b));
  const engine = await openTestEngine(world, OPTIONS);
  for (const life of [0, 1, 2]) assert.equal(read(engine, "t", `k${life}`), "v");
  await engine.close();
});

Deno.test("a memtable is flushed when it is full, and when it is old with nobody writing [E16]", async () => {
  const world = engineWorld();
  const engine = await openTestEngine(world, { ...OPTIONS, memtableAgeMs: 600_000 });
  const [one, other] = [await engine.createTree("one"), await engine.createTree("other")];
  await world.clock.advance(700_000);
  await put(engine, one, "a");
  await world.clock.advance(300_000);
  await put(engine, other, "a");
  await put(engine, one, "b");
  await world.clock.advance(280_000);
  assert.equal(engine.stats().flushes, 0, "not ten minutes yet");
  await world.clock.advance(80_000);
  assert.deepEqual([engine.treeStats(one).tables, engine.treeStats(other).tables], [1, 0]);
  await world.clock.advance(300_000);
  assert.deepEqual([engine.treeStats(one).tables, engine.treeStats(other).tables], [1, 1]);
  await world.clock.advance(3_600_000);
  assert.equal(engine.stats().flushes, 2, "there is nothing more");
  const big = "v".repeat(100_000);
  for (let n = 0; n < 20; n++) await put(engine, one, `big ${n}`, big);
  await world.clock.advance(1);
  assert.ok(engine.stats().flushes > 2, "by size, at once");
  await engine.close();
});

Deno.test("a stop flushes what is in memory where it is told to, and loses nothing where that fails or takes too long [E16]", async () => {
  for (const how of ["not", "well", "full disk", "late"] as const) {
    const world = engineWorld({ delays: true });
    const run = <T>(promise: Promise<T>) => world.clock.runUntil(promise);
    const guards = { ...OPTIONS.guards, throttle: 1024 };
    const engine = await run(openTestEngine(world, { ...OPTIONS, guards }));
    for (const name of ["one", "other", "empty"]) {
      const tree = await run(engine.createTree(name));
      if (name === "empty") continue;
      for (let n = 0; n < 50; n++) await run(put(engine, tree, `k${n}`, "v".repeat(200)));
    }
    if (how === "full disk") {
      world.disk.hook = ({ op, path }) =>
        op === "create" && path.includes("/one~") ? "ENOSPC" : undefined;
    }
    const startedMs = world.clock.monotonicMs();
    const flushMs = how === "not" ? 0 : how === "late" ? 0.001 : 10_000;
    await run(engine.close({ flushMs }));
    // Many seconds' worth of the throttle.
    assert.ok(world.clock.monotonicMs() - startedMs < 1000, "the throttle does not hold it up");
    world.disk.hook = undefined;
    const again = await run(openTestEngine(world, OPTIONS));
    const { tables, memtableBytes } = again.stats();
    if (how === "well") {
      assert.deepEqual([tables, memtableBytes, again.recovery.records], [2, 0, 0]);
    }
    if (how === "full disk") assert.equal(tables, 1);
    if (how === "not") assert.deepEqual([tables, again.recovery.records], [0, 100]);
    for (const name of ["one", "other"]) {
      for (let n = 0; n < 50; n++) assert.equal(read(again, name, `k${n}`)?.length, 200, how);
    }
    const told = world.log.named("not flushed at the stop");
    if (how === "full disk") assert.deepEqual(told.map(({ level }) => level), ["warn"]);
    if (how === "well" || how === "not") assert.deepEqual(told, []);
    await run(again.close());
  }
});
