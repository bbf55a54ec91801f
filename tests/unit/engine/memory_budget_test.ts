import assert from "node:assert/strict";
import { type Engine, KIND_PUT, type Tree } from "../../../src/engine/mod.ts";
import { MemoryBudget } from "../../../src/engine/memory_budget.ts";
import { utf8 } from "../../../src/model/mod.ts";
import { engineWorld, openTestEngine, SMALL } from "../../support/engine.ts";

function use(memtables: number, blockCache = 0, rowCache = 0) {
  return { memtables, blockCache, rowCache };
}

Deno.test("MemoryBudget: levels rise at once, by what all parts take together", () => {
  const at = (...parts: Parameters<typeof use>) => new MemoryBudget(1000).look(use(...parts), 0);
  assert.deepEqual(at(849), {
    level: "normal",
    cacheShare: 1,
    flushEarly: false,
    pauseCompaction: false,
    refuseWrites: false,
  });
  assert.deepEqual([at(850).level, at(850).cacheShare], ["elevated", 0.5]);
  assert.equal(at(300, 300, 250).level, "elevated");
  const high = at(950);
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

Deno.test("MemoryBudget: it recovers one level at a time, a second apart, below each level's edge", () => {
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

Deno.test("memory near its budget is relieved by early flushes, and no write is refused", async () => {
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
