/**
 * What is dead goes, and does not come back: a node on the real engine, in a simulated world.
 */
import assert from "node:assert/strict";
import {
  COMPACTION_STRATEGIES,
  type Engine,
  type EngineOptions,
  KIND_PUT,
  type Tree,
} from "../../../src/engine/mod.ts";
import { compareClocks, encodeKey } from "../../../src/model/mod.ts";
import type { StorageNode } from "../../../src/node/mod.ts";
import type { SimRuntime } from "../../../src/runtime/mod.ts";
import { DEAD, engineWorld, mortalOperator, openTestEngine, SMALL } from "../../support/engine.ts";
import { bytes, nodeOn, text } from "../../support/node.ts";

const GRACE = 3_600_000;
const DAY = 86_400_000;
const OPTIONS: EngineOptions = {
  ...SMALL,
  compaction: { ...SMALL.compaction, l0Trigger: 1000, tombstoneGraceMs: GRACE },
};

interface Opened {
  readonly world: SimRuntime;
  engine: Engine;
  node: StorageNode;
}

async function open(world: SimRuntime, options = OPTIONS): Promise<Opened> {
  const engine = await openTestEngine(world, options);
  const node = nodeOn(engine, world);
  return { world, engine, node };
}

/** The stored state of a key of tenant `t`, dead or alive. */
function stored({ engine }: Opened, key: string): Uint8Array | undefined {
  return engine.get(treeOf(engine), encodeKey(key));
}

function treeOf(engine: Engine): Tree {
  return engine.tree("t")!;
}

/** Merges everything to the bottom, with something to merge. */
async function rewrite({ node }: Opened): Promise<void> {
  await node.put("t", { key: "other", value: bytes("x") });
  await node.compact("t");
}

Deno.test("a delete goes when its grace has passed, and not before [E36, X15]", async () => {
  const it = await open(engineWorld());
  await it.node.put("t", { key: "k", value: bytes("v") });
  await it.node.delete("t", { key: "k" });
  await rewrite(it);
  assert.ok(stored(it, "k") !== undefined);
  await it.world.clock.advance(GRACE - 1);
  await rewrite(it);
  assert.ok(stored(it, "k") !== undefined, "one millisecond short");
  await it.world.clock.advance(1);
  await rewrite(it);
  assert.equal(stored(it, "k"), undefined);
  assert.equal(it.node.get("t", "k"), undefined);
  assert.equal(text(it.node.get("t", "other")?.winner.value), "x");
  await it.node.close();
});

Deno.test("an expired value reads as absent at once, and goes when its grace has passed", async () => {
  const it = await open(engineWorld());
  await it.node.put("t", { key: "k", value: bytes("v"), ttlMs: 1000 });
  await it.world.clock.advance(999);
  assert.equal(text(it.node.get("t", "k")?.winner.value), "v");
  await it.world.clock.advance(1);
  assert.equal(it.node.get("t", "k"), undefined);
  await it.world.clock.advance(GRACE - 1);
  await rewrite(it);
  assert.ok(stored(it, "k") !== undefined);
  await it.world.clock.advance(1);
  await rewrite(it);
  assert.equal(stored(it, "k"), undefined);
  await it.node.close();
});

Deno.test("a time to live outlives flush and restart, and ends to the millisecond", async () => {
  const world = engineWorld();
  let it = await open(world);
  await it.node.createTenant("t", { ttlMs: 5000 });
  await it.node.put("t", { key: "own", value: bytes("v"), ttlMs: 1 });
  await it.node.put("t", { key: "own 2", value: bytes("v"), ttlMs: 6000 });
  await it.node.put("t", { key: "default", value: bytes("v") });
  await it.node.flush("t");
  await it.node.put("t", { key: "default 2", value: bytes("v") });
  await it.node.close();
  it = await open(world);
  const live = () => [...it.node.scan("t", {})].map(({ key }) => key);
  assert.deepEqual(live(), ["default", "default 2", "own", "own 2"]);
  await world.clock.advance(1);
  assert.deepEqual(live(), ["default", "default 2", "own 2"]);
  await world.clock.advance(4998);
  assert.deepEqual(live(), ["default", "default 2", "own 2"]);
  await world.clock.advance(1);
  assert.deepEqual(live(), ["own 2"]);
  await it.node.close();
  it = await open(world);
  assert.deepEqual(live(), ["own 2"]);
  const found = await it.node.batchGet("t", ["default", "own 2"]);
  assert.deepEqual(found.map((one) => text(one?.winner.value)), [undefined, "v"]);
  await world.clock.advance(1000);
  assert.equal(await it.node.get("t", "own 2"), undefined);
  await it.node.close();
});

Deno.test("a write after the purge is newer than all that was: with an old clock, and without one", async () => {
  for (const context of ["old", "none"] as const) {
    const world = engineWorld();
    let it = await open(world);
    for (let i = 0; i < 5; i++) await it.node.put("t", { key: "k", value: bytes(`${i}`) });
    const gone = await it.node.delete("t", { key: "k" });
    await world.clock.advance(2 * GRACE);
    await rewrite(it);
    assert.equal(stored(it, "k"), undefined);
    assert.equal(treeOf(it.engine).purgeFloor, 6);
    // The floor outlives the process, and a manifest that is written anew.
    for (let i = 0; i < 2; i++) {
      await it.node.close();
      it = await open(world);
      assert.equal(treeOf(it.engine).purgeFloor, 6);
    }
    const again = await it.node.put("t", {
      key: "k",
      value: bytes("new"),
      context: context === "old" ? gone.clock : undefined,
    });
    assert.equal(compareClocks(again.clock, gone.clock), "after");
    // A replica that still has the delete sends it: it changes nothing.
    await it.node.applyReplica("t", {
      key: "k",
      value: undefined,
      deleted: true,
      clock: gone.clock,
      timestampMs: gone.timestampMs,
    }, "repair");
    assert.equal(text(it.node.get("t", "k")?.winner.value), "new");
    assert.equal(it.node.get("t", "k")?.versions.length, 1);
    // And clocks stay short, however often the key is written from now on.
    for (let i = 0; i < 20; i++) await it.node.put("t", { key: "k", value: bytes(`${i}`) });
    const { clock } = it.node.get("t", "k")!;
    assert.deepEqual([clock.entries.length, clock.dots.length], [1, 0]);
    await it.node.close();
  }
});

Deno.test("a segment of the log that is kept does not bring back what was deleted and dropped", async () => {
  const world = engineWorld();
  const options = { ...OPTIONS, memtableAgeMs: 0 };
  let it = await open(world, options);
  // A tree that is not flushed holds every segment from here on.
  await it.node.put("pin", { key: "p", value: bytes("p") });
  await it.node.put("t", { key: "k", value: bytes("v") });
  await it.node.flush("t");
  await it.node.delete("t", { key: "k" });
  await it.node.flush("t");
  await world.clock.advance(2 * GRACE);
  await rewrite(it);
  assert.equal(stored(it, "k"), undefined);
  world.disk.crash("drop");
  it = await open(world, options);
  assert.ok(it.engine.recovery.records > 0, "the old segments were replayed");
  assert.equal(text(it.node.get("pin", "p")?.winner.value), "p");
  assert.equal(stored(it, "k"), undefined);
  assert.equal(it.node.get("t", "k"), undefined);
  await it.node.close();
});

Deno.test("a snapshot keeps what was alive when it was taken", async () => {
  const it = await open(engineWorld());
  await it.node.put("t", { key: "k", value: bytes("v"), ttlMs: DAY });
  const snapshot = it.engine.snapshot();
  await it.world.clock.advance(DAY + 2 * GRACE);
  await rewrite(it);
  assert.ok(it.engine.get(treeOf(it.engine), encodeKey("k"), { snapshot }) !== undefined);
  snapshot.release();
  await rewrite(it);
  assert.equal(stored(it, "k"), undefined);
  await it.node.close();
});

Deno.test("a wall clock that jumps ahead purges nothing early, and one set back revives nothing", async () => {
  const it = await open(engineWorld());
  await it.node.put("t", { key: "k", value: bytes("v") });
  await it.node.put("t", { key: "short", value: bytes("v"), ttlMs: 1000 });
  await it.node.delete("t", { key: "k" });
  it.world.clock.jumpWall(10 * DAY);
  await rewrite(it);
  assert.ok(stored(it, "k") !== undefined, "an hour has to pass, whatever the wall clock says");
  assert.equal(it.node.get("t", "short"), undefined);
  it.world.clock.jumpWall(-11 * DAY);
  assert.equal(it.node.get("t", "short"), undefined, "gone stays gone");
  await it.world.clock.advance(2 * GRACE);
  await rewrite(it);
  assert.ok(stored(it, "k") !== undefined, "a clock that was set back delays");
  it.world.clock.jumpWall(DAY);
  await rewrite(it);
  assert.equal(stored(it, "k"), undefined);
  await it.node.close();
});

Deno.test("an operator's purge drops what is dead by now, in its range and nowhere else [X15]", async () => {
  const it = await open(engineWorld());
  for (const key of ["a", "b"]) {
    for (const name of [`${key}-live`, `${key}-dead`]) {
      await it.node.put("t", { key: name, value: bytes("v") });
    }
    // Tables of their own: whole tables are merged.
    await it.node.flush("t");
    await it.node.delete("t", { key: `${key}-dead` });
    await it.node.flush("t");
  }
  await it.world.clock.advance(1);
  const tree = treeOf(it.engine);
  await it.engine.compact(tree, { start: encodeKey("a"), end: encodeKey("b") });
  assert.ok(stored(it, "a-dead") !== undefined, "without being told to it waits for the grace");
  await it.engine.compact(tree, { start: encodeKey("a"), end: encodeKey("b"), purge: true });
  assert.equal(stored(it, "a-dead"), undefined);
  assert.ok(stored(it, "b-dead") !== undefined, "beside the range");
  await it.engine.compact(tree, { purge: true });
  assert.equal(stored(it, "b-dead"), undefined);
  for (const key of ["a", "b"]) {
    assert.equal(text(it.node.get("t", `${key}-live`)?.winner.value), "v");
  }
  assert.ok(tree.purgeFloor >= 2);
  await it.node.close();
});

Deno.test("what was written after a sequence is kept though it is dead, and what has gone is remembered", async () => {
  const world = engineWorld();
  let it = await open(world);
  for (const key of ["early", "late", "live"]) await it.node.put("t", { key, value: bytes("v") });
  await it.node.delete("t", { key: "early" });
  const early = it.engine.visible;
  const release = it.engine.keepDead(early);
  // Its time does not matter: another node's clock is behind, or it comes late.
  const { clock } = it.node.get("t", "late")!;
  const entries = [...clock.entries, { node: "far", counter: 1 }];
  const deleted = { value: undefined, deleted: true, timestampMs: 1 };
  await it.node.applyReplica(
    "t",
    { key: "late", ...deleted, clock: { entries, dots: [] } },
    "write",
  );
  const late = it.engine.visible;
  await it.node.compact("t", { purge: true });
  assert.equal(stored(it, "early"), undefined);
  assert.ok(stored(it, "late") !== undefined);
  assert.equal(treeOf(it.engine).purgedSequence, early);
  release();
  await it.node.compact("t", { purge: true });
  assert.equal(stored(it, "late"), undefined);
  assert.equal(treeOf(it.engine).purgedSequence, late);
  // Twice: it is in the manifest that is written anew as well.
  for (let i = 0; i < 2; i++) {
    await it.node.close();
    it = await open(world);
    assert.equal(treeOf(it.engine).purgedSequence, late);
  }
  await it.node.close();
});

Deno.test("an engine that is told to keeps all that is dead until it is released", async () => {
  const engine = await openTestEngine(engineWorld(), { ...OPTIONS, keepDead: true });
  const tree = await engine.createTree("t", { mergeOperator: mortalOperator.name });
  const write = (value: string) =>
    engine.write([{ tree, kind: KIND_PUT, key: encodeKey("k"), value: bytes(value) }]);
  await write(DEAD);
  await engine.compact(tree, { purge: true });
  assert.ok(engine.get(tree, encodeKey("k")) !== undefined);
  engine.releaseDead();
  await engine.compact(tree, { purge: true });
  assert.equal(engine.get(tree, encodeKey("k")), undefined);
  // Once: it is nobody else's to release.
  engine.keepDead(0);
  engine.releaseDead();
  await write(DEAD);
  await engine.compact(tree, { purge: true });
  assert.ok(engine.get(tree, encodeKey("k")) !== undefined);
  await engine.close();
});

for (const strategy of COMPACTION_STRATEGIES) {
  Deno.test(`${strategy}: what is dead goes by itself, with nothing written any more`, async () => {
    const it = await open(engineWorld(), {
      ...SMALL,
      compaction: { ...SMALL.compaction, strategy, tombstoneGraceMs: GRACE },
    });
    for (let i = 0; i < 60; i++) {
      const value = bytes("v".repeat(40));
      await it.node.put("t", { key: `short ${i}`, value, ttlMs: 1000 });
      await it.node.put("t", { key: `deleted ${i}`, value });
      await it.node.delete("t", { key: `deleted ${i}` });
    }
    await it.node.put("t", { key: "stays", value: bytes("v") });
    await it.node.flush("t");
    const full = it.engine.treeStats(treeOf(it.engine)).tableBytes;
    await it.world.clock.advance(GRACE - 60_000);
    assert.ok(it.engine.treeStats(treeOf(it.engine)).tableBytes > full / 8, "the grace runs");
    await it.world.clock.advance(180_000);
    assert.ok(it.engine.treeStats(treeOf(it.engine)).tableBytes < full / 8, "all but one are gone");
    assert.equal(text((await it.node.get("t", "stays"))?.winner.value), "v");
    const { compactions } = it.engine.stats();
    await it.world.clock.advance(DAY);
    assert.equal(it.engine.stats().compactions, compactions, "and then there is rest");
    await it.node.close();
  });
}
