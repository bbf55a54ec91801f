/**
 * Runs: a tree as the list of sorted runs that reads go through, for the strategies that merge whole
 * runs with their neighbours.
 *
 *     newest                                                      oldest
 *     | table 9 | table 8 | table 5 |  level 2 (three tables)  |  level 6 |
 *       level 0
 *
 * Neighbours merge into one run in their place. Where that is follows from the next older run: nothing
 * older: the deepest level; level k older: level k - 1, which is empty or among what is merged; level 0
 * or level 1 older: one table on level 0. So old runs are on levels, cut into tables of some size, and the
 * order of the list never changes (as in RocksDB's universal compaction).
 * @module
 */
import type { TableMeta } from "../manifest/mod.ts";
import type { CompactionOptions } from "../options.ts";
import {
  type Busy,
  bytesOf,
  type CompactionPlan,
  type CompactionReason,
  isFree,
  type Levels,
  MAX_LEVEL,
  planOf,
} from "./plan.ts";

/** A sorted run. */
export interface Run {
  readonly level: number;
  readonly tables: readonly TableMeta[];
  readonly bytes: number;
  /** A job under way takes a part of it. */
  readonly busy: boolean;
}

/** The runs of a tree, newest first. */
export function runsOf(levels: Levels, busy: Busy): Run[] {
  const run = (level: number, tables: readonly TableMeta[]): Run => ({
    level,
    tables,
    bytes: bytesOf(tables),
    busy: tables.some(({ number }) => busy.tables.has(number)),
  });
  const runs = (levels[0] ?? []).map((table) => run(0, [table]));
  for (let level = 1; level < levels.length; level++) {
    if (levels[level].length > 0) runs.push(run(level, levels[level]));
  }
  return runs;
}

/** The plan that makes one run of `runs[from]` to `runs[to - 1]`; undefined when a job is in the way. */
export function mergeRuns(
  levels: Levels,
  runs: readonly Run[],
  from: number,
  to: number,
  options: CompactionOptions,
  reason: CompactionReason,
  busy: Busy,
): CompactionPlan | undefined {
  const chosen = runs.slice(from, to);
  if (chosen.some((run) => run.busy)) return undefined;
  const older = runs[to]?.level ?? MAX_LEVEL + 1;
  const last = chosen[chosen.length - 1].level;
  // Hybrid trees keep the levels below for leveled runs.
  const outputLevel = options.strategy === "hybrid" ? 0 : Math.max(last, older - 1, 0);
  const inputs = chosen.flatMap((run) => run.tables);
  const plan = planOf(levels, inputs, outputLevel, options, reason, busy);
  return isFree(plan, busy) ? plan : undefined;
}

/**
 * The age tier of each run: by size, but never below that of a newer run, so that runs of a tier are
 * neighbours. Tiers grow by `fanout`; sizes near a power of it, such as those of full memtables, are in
 * the middle of their tier.
 */
export function tiersOf(runs: readonly Run[], fanout: number): number[] {
  let highest = 0;
  return runs.map(({ bytes }) => highest = Math.max(highest, tierOf(bytes, fanout)));
}

/** Runs below this many bytes are alike. */
const SMALLEST_TIER = 1024;

function tierOf(bytes: number, fanout: number): number {
  return Math.max(0, Math.round(Math.log(bytes / SMALLEST_TIER) / Math.log(fanout)));
}

/** Stretches of equal keys: `[from, to)` of each, in order. */
export function stretches(keys: readonly number[]): { from: number; to: number }[] {
  const found: { from: number; to: number }[] = [];
  for (let from = 0, to = 0; from < keys.length; from = to) {
    while (to < keys.length && keys[to] === keys[from]) to++;
    found.push({ from, to });
  }
  return found;
}
