import assert from "node:assert/strict";
import {
  levelBudget,
  MAX_LEVEL,
  NO_STATE,
  pickCompaction,
  targetSize,
} from "../../../../src/engine/compaction/mod.ts";
import type { TableMeta } from "../../../../src/engine/manifest/mod.ts";
import { utf8 } from "../../../../src/model/mod.ts";
import { tableMeta } from "../../../support/entries.ts";

/** Level 1 holds 1000 bytes, level 2 10,000, and so on; two tables on level 0 are too many. */
const OPTIONS = {
  strategy: "leveled" as const,
  windowMs: 1000,
  tombstoneGraceMs: 86_400_000,
  l0Trigger: 2,
  l0Slowdown: 8,
  l0Stop: 12,
  baseLevelSize: 1000,
  targetTableSize: 500,
  tableSizeMultiplier: 2,
};

/** `7:a-f/300`: table 7 with keys a to f and 300 bytes. */
function table(text: string, level: number): TableMeta {
  const [, number, from, to, size] = /^(\d+):(\w+)-(\w+)\/(\d+)$/.exec(text)!;
  return tableMeta(Number(number), [from, to], { level, size: Number(size) });
}

function levelsOf(levels: string[][]): TableMeta[][] {
  return levels.map((run, level) => run.map((text) => table(text, level)));
}

interface Case {
  what: string;
  levels: string[][];
  lastKeys?: [number, string][];
  /** Numbers of the inputs, and where they go; undefined: nothing to do. */
  inputs?: number[];
  to?: number;
  bottom?: boolean;
  move?: boolean;
}

const CASES: Case[] = [
  { what: "an empty tree needs nothing", levels: [[]] },
  { what: "one table on level 0 is not too many", levels: [["1:a-c/10"]] },
  {
    what: "level 0 at its trigger moves down whole",
    levels: [["2:a-c/10", "1:x-z/10"]],
    inputs: [2, 1],
    to: 1,
    bottom: true,
  },
  {
    what: "and takes along what it overlaps on level 1, no more",
    levels: [["2:d-f/10", "1:e-h/10"], ["3:a-c/100", "4:d-d/100", "5:h-k/100", "6:l-m/100"]],
    inputs: [2, 1, 4, 5],
    to: 1,
    bottom: true,
  },
  {
    what: "a table between two of level 0 is spanned by them",
    levels: [["2:a-b/10", "1:y-z/10"], ["3:m-n/100"]],
    inputs: [2, 1, 3],
    to: 1,
    bottom: true,
  },
  {
    what: "deeper keys in the range of any input make it no bottom",
    levels: [["2:d-f/10", "1:e-h/10"], ["3:h-q/100"], ["4:p-z/100"]],
    inputs: [2, 1, 3],
    to: 1,
    bottom: false,
  },
  {
    what: "deeper keys beside the range do not matter",
    levels: [["2:d-f/10", "1:e-h/10"], [], [], ["4:a-c/100", "5:i-z/100"]],
    inputs: [2, 1],
    to: 1,
    bottom: true,
  },
  { what: "a level within its budget stays", levels: [[], ["1:a-c/600", "2:d-f/399"]] },
  {
    what: "a level at its budget gives a table",
    levels: [[], ["1:a-c/600", "2:d-f/400"]],
    inputs: [1],
    to: 2,
    bottom: true,
    move: true,
  },
  {
    what: "the next table goes in turn",
    levels: [[], ["1:a-c/600", "2:d-f/600", "3:g-i/600"]],
    lastKeys: [[1, "c"]],
    inputs: [2],
    to: 2,
    bottom: true,
    move: true,
  },
  {
    what: "after the last the turn is the first's",
    levels: [[], ["1:a-c/600", "2:d-f/600"]],
    lastKeys: [[1, "f"]],
    inputs: [1],
    to: 2,
    bottom: true,
    move: true,
  },
  {
    what: "what overlaps below is merged, not moved",
    levels: [[], ["1:a-c/600", "2:d-f/600"], ["3:b-b/100", "4:c-e/100", "5:f-g/100"]],
    inputs: [1, 3, 4],
    to: 2,
    bottom: true,
    move: false,
  },
  {
    what: "the level that is most over its budget comes first",
    levels: [["9:a-b/10", "8:a-b/10"], ["1:a-c/3500"], ["2:a-c/500"]],
    inputs: [1, 2],
    to: 2,
    bottom: true,
  },
  {
    what: "at equal need the higher level comes first",
    levels: [["9:a-b/10", "8:a-b/10"], ["1:a-c/1000"]],
    inputs: [9, 8, 1],
    to: 1,
    bottom: true,
  },
  {
    what: "one table on level 0 over nothing only moves",
    levels: [["1:a-c/10", "2:d-e/10"], ["3:x-z/100"]],
    inputs: [1, 2],
    to: 1,
    bottom: true,
    move: false,
  },
  {
    what: "the deepest level has no budget",
    levels: [[], [], [], [], [], [], ["1:a-c/999999999999"]],
  },
];

for (const { what, levels, lastKeys = [], inputs, to, bottom, move = false } of CASES) {
  Deno.test(`pickCompaction(): ${what} [E42, E48]`, () => {
    const keys = new Map(lastKeys.map(([level, key]) => [level, utf8(key)]));
    const plan = pickCompaction(levelsOf(levels), { ...NO_STATE, lastKeys: keys }, OPTIONS);
    if (inputs === undefined) assert.equal(plan, undefined);
    else {
      assert.ok(plan !== undefined);
      assert.deepEqual(plan.inputs.map((input) => input.number), inputs);
      assert.equal(plan.outputLevel, to);
      assert.equal(plan.bottom, bottom);
      assert.equal(plan.trivialMove, move);
    }
  });
}

Deno.test("pickCompaction(): a trigger of 1 moves a single table down", () => {
  const levels = levelsOf([["1:a-c/10"], ["3:x-z/100"]]);
  const plan = pickCompaction(levels, NO_STATE, { ...OPTIONS, l0Trigger: 1 });
  assert.equal(plan?.trivialMove, true);
  assert.deepEqual(plan?.inputs.map((input) => input.number), [1]);
});

Deno.test("levels may hold ten times the one above, tables grow by the multiplier [E43, E50, X13]", () => {
  assert.deepEqual([1, 2, 3].map((level) => levelBudget(level, OPTIONS)), [1000, 10_000, 100_000]);
  assert.equal(MAX_LEVEL, 6, "seven levels");
  assert.equal(levelBudget(MAX_LEVEL, OPTIONS), Infinity);
  assert.deepEqual([1, 2, 3].map((level) => targetSize(level, OPTIONS)), [500, 1000, 2000]);
});
