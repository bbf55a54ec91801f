/**
 * Steps for a disk with little room: each takes as little as there is room for, and all of them together
 * bring everything down.
 */
import assert from "node:assert/strict";
import {
  checkPlan,
  findHiding,
  NO_STATE,
  pickStep,
} from "../../../../src/engine/compaction/mod.ts";
import type { TableMeta } from "../../../../src/engine/manifest/mod.ts";
import { fromUtf8 } from "../../../../src/model/mod.ts";
import { SMALL } from "../../../support/engine.ts";
import { tableMeta } from "../../../support/entries.ts";

function levelsOf(tables: readonly TableMeta[]): TableMeta[][] {
  const levels: TableMeta[][] = [[], [], [], []];
  for (const table of tables) levels[table.level].push(table);
  levels[0].sort((a, b) => b.properties.maxSeq - a.properties.maxSeq);
  return levels;
}

/** `1,2>1`: tables 1 and 2 to level 1; then `moved`, or the keys at which the output is cut. */
function step(table: TableMeta, others: readonly TableMeta[], room: number, hopes = false): string {
  const levels = levelsOf([table, ...others]);
  const plan = pickStep(levels, table, {
    compaction: SMALL.compaction,
    room,
    hopes,
    reason: "room",
  });
  if (plan === undefined) return "none";
  checkPlan(levels, plan);
  const cuts = plan.trivialMove ? "moved" : (plan.cuts ?? []).map(fromUtf8).join(",");
  return `${plan.inputs.map(({ number }) => number)}>${plan.outputLevel} ${cuts}`.trim();
}

Deno.test("pickStep(): what a wide table of level 0 meets makes way, then it is cut, then merged piece by piece", () => {
  const wide = tableMeta(9, ["a", "z"], { size: 10 });
  const a = tableMeta(3, ["a", "f"], { level: 1, size: 40 });
  const b = tableMeta(4, ["g", "z"], { level: 1, size: 40 });
  assert.equal(step(wide, [a, b], 90), "9,3,4>1", "all of it, where it fits");
  assert.equal(step(wide, [a, b], 89), "3>2 moved");
  const below = [a, b].map((table) => ({ ...table, level: 2 }));
  assert.equal(step(wide, [below[0], b], 49), "4>2 moved");
  assert.equal(step(wide, below, 50), "9>1 g");
  const piece = tableMeta(10, ["a", "f"], { level: 1, size: 5 });
  assert.equal(step(piece, below, 50), "10,3>2");
  assert.equal(step(piece, below, 20), "10,3>2", "no smaller one is possible");
});

Deno.test("pickStep(): a wide table of a deeper level is cut in its place", () => {
  const wide = tableMeta(9, ["a", "z"], { level: 1, size: 10 });
  const below = [["a", "f"], ["g", "m"], ["n", "s"], ["t", "z"]].map((keys, i) =>
    tableMeta(i + 1, keys as [string, string], { level: 2, size: 40 })
  );
  assert.equal(step(wide, below, 170), "9,1,2,3,4>2");
  assert.equal(step(wide, below, 100), "9>1 g,n,t");
  assert.equal(step(wide, below, 169), "9>1 n", "pieces are as large as there is room for");
  assert.equal(step(wide, below, 9), "9,1,2,3,4>2", "itself it does not fit either");
  assert.equal(step(wide, [], 0), "9>2 moved");
});

Deno.test("pickStep(): on level 0 the oldest that is met goes first", () => {
  const newest = tableMeta(9, ["a", "m"]);
  const middle = tableMeta(8, ["k", "q"]);
  const oldest = tableMeta(7, ["p", "z"]);
  const beside = tableMeta(6, ["r", "s"], { maxSeq: 1 });
  assert.equal(step(newest, [middle, oldest], 1000), "7>1 moved");
  assert.equal(step(newest, [middle, oldest, beside], 1000), "6>1 moved");
  assert.equal(step(newest, [beside], 1000), "9>1 moved");
});

Deno.test("pickStep(): deletes and what they hide on level 0 become one table first", () => {
  const old = tableMeta(7, ["a", "z"], { size: 100 });
  const { properties } = tableMeta(9, ["a", "z"]);
  const deletes = {
    ...tableMeta(9, ["a", "z"], { size: 10 }),
    properties: { ...properties, entries: 5, deletes: 5 },
  };
  assert.equal(step(deletes, [old], 110), "9,7>0");
  assert.equal(step(deletes, [old], 50), "7>1 moved", "larger than there is room for");
  assert.equal(step(deletes, [old], 50, true), "9,7>0", "but likely to shrink");
  assert.equal(step(deletes, [tableMeta(7, ["0", "1"])], 200, true), "9>1 moved");
});

Deno.test("findHiding(): the table with most dead that has something below it, without waiting for the grace", () => {
  const dead = (table: TableMeta, mortal: number, lastDeathMs = 5) => ({
    ...table,
    properties: { ...table.properties, entries: 10, mortal, lastDeathMs },
  });
  const below = dead(tableMeta(1, ["a", "f"], { level: 2 }), 10);
  const few = dead(tableMeta(2, ["a", "b"], { level: 1 }), 2);
  const many = dead(tableMeta(3, ["c", "d"], { level: 1 }), 9);
  const find = (tables: TableMeta[], nowMs = 10, oldestSnapshot = Infinity) =>
    findHiding(levelsOf(tables), { ...NO_STATE, nowMs, oldestSnapshot }, SMALL.compaction)?.number;
  assert.equal(find([below]), undefined, "it hides nothing");
  assert.equal(find([below, few]), undefined);
  assert.equal(find([below, few, many]), 3);
  assert.equal(find([below, many], 4), undefined, "it lives");
  assert.equal(find([below, many], 10, 0), undefined, "a snapshot sees it");
  const whole = { ...SMALL.compaction, strategy: "time_window" as const };
  assert.equal(findHiding(levelsOf([below, many]), { ...NO_STATE, nowMs: 10 }, whole), undefined);
});
