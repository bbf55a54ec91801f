/**
 * The dead: values that expired and deletes whose grace has passed. They take up space until a
 * compaction drops them, and where nothing is written any more none would come. So a table of which a
 * quarter or more is dead is worth a compaction of its own.
 *
 * At the bottom, where nothing older can hold its keys, it is written again in its place; nothing comes of
 * it when all is dead, so that a dead window goes whole. Elsewhere it goes down, to meet what it hides.
 * @module
 */
import type { TableMeta } from "../manifest/mod.ts";
import type { CompactionOptions } from "../options.ts";
import { pickDown, pickLevel0 } from "./leveled.ts";
import {
  type Busy,
  type CompactionPlan,
  IDLE,
  isBottom,
  isFree,
  type Levels,
  MAX_LEVEL,
  type PickState,
  planOf,
} from "./plan.ts";
import { mergeRuns, runsOf } from "./runs.ts";
import { windowsOf } from "./time_window.ts";

/** The part of a table's entries that has to be dead for it to be worth rewriting. */
const DEAD_SHARE = 1 / 4;

/** Whether anything in a table dies some day. Tables of the first format do not say: anything may. */
export function mayHoldDead({ properties }: TableMeta): boolean {
  return properties.mortal > 0 || properties.rawBytes === 0;
}

/** The compaction that drops most of the dead; undefined when none is worth it. The oldest data first. */
export function pickDead(
  levels: Levels,
  state: PickState,
  options: CompactionOptions,
  busy: Busy,
): CompactionPlan | undefined {
  for (let level = levels.length - 1; level >= 0; level--) {
    for (let i = levels[level].length - 1; i >= 0; i--) {
      const table = levels[level][i];
      if (busy.tables.has(table.number) || !isDue(table, state)) continue;
      const plan = pickInPlace(levels, table, options, busy) ??
        pickBelow(levels, table, state, options, busy);
      if (plan !== undefined) return plan;
    }
  }
  return undefined;
}

/** What a snapshot may see, or is kept, is not dropped: to rewrite it would change nothing, again and again. */
function isDue({ properties }: TableMeta, state: PickState): boolean {
  const { entries, maxSeq, mortal, lastDeathMs } = properties;
  const { oldestSnapshot, purgeUpToSeq } = state;
  return maxSeq <= Math.min(oldestSnapshot, purgeUpToSeq) && mortal >= DEAD_SHARE * entries &&
    lastDeathMs > 0 &&
    lastDeathMs <= state.purgeBeforeMs;
}

/**
 * On a tight disk: the table whose dead hide something, with as much dead in it as is worth a compaction of
 * its own, the grace aside. What the dead hide goes at once, only they themselves stay for the grace.
 */
export function findHiding(
  levels: Levels,
  state: PickState,
  { strategy }: CompactionOptions,
): TableMeta | undefined {
  // The others merge whole runs: a table that went down alone would take its run apart.
  if (strategy !== "leveled" && strategy !== "hybrid") return undefined;
  const due = { ...state, purgeBeforeMs: state.nowMs, purgeUpToSeq: Infinity };
  // On the deepest level nothing is hidden, and it has most tables.
  const deepest = Math.max(1, levels.findLastIndex((tables) => tables.length > 0));
  const hiding = levels.slice(0, deepest).flat().filter((table) => isDue(table, due))
    .filter((table) => !isBottom(levels, [table], table.level, IDLE));
  return hiding.length === 0 ? undefined : mostDead(hiding);
}

/**
 * To merge windows would end them, so here the dead wait for what they hide to die as well. Where that never
 * will, since values without an end were written among the others, they would wait for ever, window after
 * window: then what is there becomes one run, as soon as a quarter of it is dead. So what lives for ever is
 * written again only each time that a third of its entries has died beside it.
 */
function mergeWindows(
  levels: Levels,
  table: TableMeta,
  state: PickState,
  options: CompactionOptions,
  busy: Busy,
): CompactionPlan | undefined {
  const runs = runsOf(levels, busy);
  const from = runs.findIndex(({ tables }) => tables.includes(table));
  const present = Math.floor(state.nowMs / options.windowMs);
  if (windowsOf(runs, options.windowMs)[from] >= present) return undefined;
  const older = runs.slice(from + 1).flatMap(({ tables }) => tables);
  if (older.every(({ properties }) => properties.mortal === properties.entries)) return undefined;
  const all = [...runs[from].tables, ...older];
  const dead = sumOf(all.filter((each) => isDue(each, state)), ({ mortal }) => mortal);
  if (dead < DEAD_SHARE * sumOf(all, ({ entries }) => entries)) return undefined;
  return mergeRuns(levels, runs, from, runs.length, options, "dead", busy);
}

function sumOf(
  tables: readonly TableMeta[],
  of: (properties: TableMeta["properties"]) => number,
): number {
  return tables.reduce((sum, { properties }) => sum + of(properties), 0);
}

/** The table that is likely to free most. */
export function mostDead(tables: readonly TableMeta[]): TableMeta {
  return tables.reduce((most, table) => deadOf(table) > deadOf(most) ? table : most);
}

function deadOf({ properties }: TableMeta): number {
  return properties.deletes + properties.mortal;
}

function pickInPlace(
  levels: Levels,
  table: TableMeta,
  options: CompactionOptions,
  busy: Busy,
): CompactionPlan | undefined {
  const plan = planOf(levels, [table], table.level, options, "dead", busy);
  return plan.bottom && isFree(plan, busy) ? plan : undefined;
}

function pickBelow(
  levels: Levels,
  table: TableMeta,
  state: PickState,
  options: CompactionOptions,
  busy: Busy,
): CompactionPlan | undefined {
  const plan = goDown(levels, table, state, options, busy);
  // All of it has to be out of every snapshot's sight, and not kept, as the table itself is.
  const upTo = Math.min(state.oldestSnapshot, state.purgeUpToSeq);
  if (plan?.inputs.some(({ properties }) => properties.maxSeq > upTo)) return undefined;
  return plan;
}

function goDown(
  levels: Levels,
  table: TableMeta,
  state: PickState,
  options: CompactionOptions,
  busy: Busy,
): CompactionPlan | undefined {
  switch (options.strategy) {
    case "time_window":
      return mergeWindows(levels, table, state, options, busy);
    case "size_tiered": {
      const runs = runsOf(levels, busy);
      const from = runs.findIndex(({ tables }) => tables.includes(table));
      return mergeRuns(levels, runs, from, runs.length, options, "dead", busy);
    }
    case "leveled":
    case "hybrid":
      if (table.level === 0) {
        return pickLevel0(levels, options, busy, levels[0].slice(levels[0].indexOf(table)));
      }
      return table.level < MAX_LEVEL ? pickDown(levels, [table], options, busy, "dead") : undefined;
  }
}
