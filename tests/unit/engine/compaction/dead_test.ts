/**
 * Tables worth a compaction for the dead in them alone.
 */
import assert from "node:assert/strict";
import { checkPlan, NO_STATE, pickCompaction } from "../../../../src/engine/compaction/mod.ts";
import type { CompactionStrategy } from "../../../../src/engine/mod.ts";
import type { TableMeta } from "../../../../src/engine/manifest/mod.ts";
import { SMALL } from "../../../support/engine.ts";
import { tableMeta } from "../../../support/entries.ts";

/** A table of four entries; the last of those that die does so at 100. */
function table(
  number: number,
  range: [string, string],
  level: number,
  mortal: number,
  lastDeathMs = 100,
): TableMeta {
  const meta = tableMeta(number, range, { level });
  return { ...meta, properties: { ...meta.properties, entries: 4, mortal, lastDeathMs } };
}

interface Case {
  what: string;
  strategy?: CompactionStrategy;
  tables: TableMeta[];
  purgeBeforeMs?: number;
  oldestSnapshot?: number;
  purgeUpToSeq?: number;
  busy?: number[];
  /** Inputs and level; undefined: nothing to do. */
  plan?: [number[], number];
}

const CASES: Case[] = [
  {
    what: "a quarter is enough, and rewritten in its place at the bottom",
    tables: [table(1, ["a", "c"], 2, 1)],
    plan: [[1], 2],
  },
  { what: "nothing dies", tables: [table(1, ["a", "c"], 2, 0, 0)] },
  { what: "the grace has not passed", tables: [table(1, ["a", "c"], 2, 4)], purgeBeforeMs: 99 },
  { what: "a snapshot may see it", tables: [table(5, ["a", "c"], 2, 4)], oldestSnapshot: 4 },
  { what: "it is kept", tables: [table(5, ["a", "c"], 2, 4)], purgeUpToSeq: 4 },
  {
    what: "what it would meet is kept",
    tables: [table(2, ["a", "c"], 1, 4), table(5, ["b", "d"], 2, 0)],
    purgeUpToSeq: 4,
  },
  { what: "a job has it", tables: [table(1, ["a", "c"], 2, 4)], busy: [1] },
  {
    what: "above what it may hide it goes down",
    tables: [table(2, ["a", "c"], 1, 4), table(1, ["b", "d"], 2, 0)],
    plan: [[2, 1], 2],
  },
  {
    what: "past a level that it does not meet",
    tables: [table(2, ["a", "c"], 1, 4), table(3, ["x", "z"], 2, 0), table(1, ["b", "d"], 3, 0)],
    plan: [[2], 2],
  },
  {
    what: "the deepest first",
    tables: [table(2, ["a", "c"], 1, 4), table(1, ["b", "d"], 2, 4)],
    plan: [[1], 2],
  },
  {
    what: "on level 0 with what is older there",
    tables: [table(3, ["a", "c"], 0, 4), table(1, ["c", "d"], 1, 0)],
    plan: [[3, 1], 1],
  },
  {
    what: "size-tiered: with all older runs",
    strategy: "size_tiered",
    tables: [table(3, ["a", "c"], 5, 4), table(1, ["c", "d"], 6, 0)],
    plan: [[3, 1], 6],
  },
  {
    what: "a dead window goes when nothing older meets it",
    strategy: "time_window",
    tables: [table(3, ["a", "c"], 0, 0), table(1, ["c", "d"], 6, 4)],
    plan: [[1], 6],
  },
  {
    what: "a dead window stays above one that it may hide, and that will die",
    strategy: "time_window",
    tables: [table(3, ["a", "c"], 5, 4), table(1, ["c", "d"], 6, 4, 101)],
  },
  {
    what: "a dead window does not wait for what never dies",
    strategy: "time_window",
    tables: [table(3, ["a", "c"], 5, 4), table(1, ["c", "d"], 6, 3, 101)],
    plan: [[3, 1], 6],
  },
  {
    what: "dead windows become one run with what never dies when a quarter of it all is dead",
    strategy: "time_window",
    tables: [
      table(4, ["a", "c"], 0, 2),
      table(3, ["a", "c"], 4, 1),
      table(2, ["a", "c"], 5, 0),
      table(1, ["c", "d"], 6, 0),
    ].map((meta) =>
      meta.number > 2 ? meta : { ...meta, properties: { ...meta.properties, entries: 2 } }
    ),
    plan: [[4, 3, 2, 1], 6],
  },
  {
    what: "what never dies is not written again for a few dead",
    strategy: "time_window",
    tables: [table(4, ["a", "c"], 4, 2), table(3, ["a", "c"], 5, 0), table(1, ["c", "d"], 6, 0)],
  },
  {
    what: "the present window is left alone",
    strategy: "time_window",
    tables: [table(5, ["a", "c"], 5, 4), table(1, ["c", "d"], 6, 0)],
  },
];

for (const { what, strategy = "leveled", tables, plan, busy = [], ...state } of CASES) {
  Deno.test(`pickCompaction() for the dead: ${what}`, () => {
    const levels: TableMeta[][] = [[], [], [], [], [], [], []];
    // Each in a window of its own.
    for (const meta of tables) {
      levels[meta.level].push({
        ...meta,
        properties: { ...meta.properties, maxTimeMs: meta.number * 1_000_000 },
      });
    }
    const found = pickCompaction(
      levels,
      { ...NO_STATE, nowMs: 5_000_000, purgeBeforeMs: 100, ...state },
      { ...SMALL.compaction, strategy, l0Trigger: 4, baseLevelSize: 1 << 20 },
      { tables: new Set(busy), running: [] },
    );
    if (found !== undefined) checkPlan(levels, found);
    const shown = found && [found.inputs.map(({ number }) => number), found.outputLevel];
    assert.deepEqual(shown, plan);
  });
}
