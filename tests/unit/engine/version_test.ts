import assert from "node:assert/strict";
import type { TableReader } from "../../../src/engine/sstable/mod.ts";
import { firstReaching, LiveTable, tableFor, Version } from "../../../src/engine/version.ts";
import { utf8 } from "../../../src/model/mod.ts";
import { tableMeta } from "../../support/entries.ts";

/** A table whose end is told; it is never read. */
function live(
  number: number,
  range: [string, string],
  options: { minSeq?: number; maxSeq?: number; onUnused?: (number: number) => void } = {},
): LiveTable {
  const open = (): TableReader => {
    throw new Error("not opened here");
  };
  return new LiveTable(
    tableMeta(number, range, options),
    open,
    (table) => options.onUnused?.(table.meta.number),
  );
}

const numbers = (level: readonly LiveTable[]) => level.map((table) => table.meta.number);

Deno.test("level 0 is newest first, deeper levels are by key", () => {
  const version = new Version([
    { level: 0, table: live(3, ["a", "z"], { maxSeq: 10 }) },
    { level: 0, table: live(2, ["a", "z"], { maxSeq: 30 }) },
    { level: 0, table: live(5, ["a", "z"], { minSeq: 11, maxSeq: 20 }) },
    { level: 2, table: live(9, ["m", "p"]) },
    { level: 2, table: live(8, ["a", "c"]) },
  ]);
  assert.deepEqual(version.levels.map(numbers), [[2, 5, 3], [], [8, 9]]);
  assert.deepEqual(version.metas[2].map((meta) => meta.level), [2, 2]);
});

Deno.test("tables of level 0 whose sequences interleave make no version", () => {
  const pair = (minSeq: number) => [
    { level: 0, table: live(3, ["a", "b"], { minSeq: 1, maxSeq: 10 }) },
    { level: 0, table: live(5, ["x", "z"], { minSeq, maxSeq: 20 }) },
  ];
  assert.doesNotThrow(() => new Version(pair(11)));
  assert.throws(() => new Version(pair(10)), /tables 5 and 3 share sequences on level 0/);
});

Deno.test("tables that overlap below level 0 make no version [E44]", () => {
  const overlaps: [string, string][][] = [
    [["a", "c"], ["c", "d"]],
    [["a", "z"], ["b", "c"]],
    [["a", "a"], ["a", "a"]],
    [["a", "b"], ["c", "m"], ["l", "z"]],
  ];
  for (const ranges of overlaps) {
    const placed = ranges.map((range, i) => ({ level: 1, table: live(i + 1, range) }));
    assert.throws(() => new Version(placed), /overlap on level 1/);
    assert.doesNotThrow(() => new Version(placed.map(({ table }) => ({ level: 0, table }))));
  }
  const apart: [string, string][] = [["a", "b"], ["ba", "c"], ["ca", "d"]];
  const version = new Version(apart.map((range, i) => ({ level: 3, table: live(i, range) })));
  assert.equal(version.levels[3].length, 3);
});

Deno.test("tables of level 0 that do not overlap are one run", () => {
  const level0: [string, string][] = [["m", "p"], ["a", "c"], ["p", "t"], ["d", "l"], ["b", "z"]];
  const version = new Version([
    ...level0.map((range, i) => ({ level: 0, table: live(i + 1, range) })),
    { level: 1, table: live(9, ["m", "p"]) },
    { level: 1, table: live(8, ["a", "c"]) },
  ]);
  assert.deepEqual(version.runs.map(numbers), [[2, 4, 1], [5], [3], [8, 9]]);
  assert.deepEqual(new Version([]).runs, []);
});

Deno.test("tableFor() finds the one table of a level that can hold a key", () => {
  const level = [live(1, ["b", "d"]), live(2, ["f", "f"]), live(3, ["h", "k"])];
  const found: Record<string, number> = {
    a: -1,
    b: 0,
    c: 0,
    d: 0,
    da: -1,
    e: -1,
    f: 1,
    fa: -1,
    h: 2,
    k: 2,
    l: -1,
    "": -1,
  };
  for (const [key, index] of Object.entries(found)) {
    assert.equal(tableFor(level, utf8(key)), index, key);
  }
  assert.equal(tableFor([], utf8("a")), -1);
  assert.deepEqual(["", "d", "da", "k", "l"].map((key) => firstReaching(level, utf8(key))), [
    0,
    0,
    1,
    2,
    3,
  ]);
});

Deno.test("a table goes when the last version that has it is released, not before [E21, E45]", () => {
  const gone: number[] = [];
  const onUnused = (number: number) => gone.push(number);
  const [a, b, c] = [1, 2, 3].map((n) => live(n, [`${n}`, `${n}`], { onUnused }));
  const first = new Version([{ level: 1, table: a }, { level: 1, table: b }]).acquire();
  const reader = first.acquire();
  const second = first.with(new Set([1]), [{ level: 1, table: c }]).acquire();
  first.release();
  assert.deepEqual(gone, [], "a reader still holds the first version");
  reader.release();
  assert.deepEqual(gone, [1]);
  second.release();
  assert.deepEqual(gone.sort(), [1, 2, 3]);
});

Deno.test("a table that changes its level is kept", () => {
  const gone: number[] = [];
  const table = live(1, ["a", "b"], { onUnused: (number) => gone.push(number) });
  const before = new Version([{ level: 1, table }]).acquire();
  const after = before.with(new Set([1]), [{ level: 2, table }]).acquire();
  before.release();
  assert.deepEqual(gone, []);
  assert.deepEqual(after.levels.map(numbers), [[], [], [1]]);
  assert.equal(after.metas[2][0].level, 2, "its place counts, not where it was made");
});
