/**
 * Size-tiered compaction, as in Cassandra's STCS and RocksDB's universal compaction: as soon as
 * `l0Trigger` neighbouring runs are of similar size, they become one.
 *
 * Each byte is rewritten about once a tier, so writing is cheap; there are up to `l0Trigger - 1` runs
 * of each tier to look through, so reading costs more. Where the newer runs together have grown to
 * twice the oldest, all become one: the tree takes up three times its live data at most, and as much
 * again while that runs.
 * @module
 */
import type { CompactionOptions } from "../options.ts";
import type { Busy, CompactionPlan, Levels } from "./plan.ts";
import { mergeRuns, type Run, runsOf, stretches, tiersOf } from "./runs.ts";

/** Bytes of all newer runs, as a multiple of the oldest, from which on everything is merged. */
const SPACE_RATIO = 2;
/** Runs merged at once, at most: each is an open file. */
const RUNS_MAX = 32;

/** The most pressing compaction of a size-tiered tree. */
export function pickSizeTiered(
  levels: Levels,
  options: CompactionOptions,
  busy: Busy,
): CompactionPlan | undefined {
  const runs = runsOf(levels, busy);
  return pickTier(levels, runs, 0, runs.length, options, busy) ??
    pickForSpace(levels, runs, options, busy);
}

/** The runs of a tier that have become enough, among `runs[from]` to `runs[to - 1]`; the newest first. */
export function pickTier(
  levels: Levels,
  runs: readonly Run[],
  from: number,
  to: number,
  options: CompactionOptions,
  busy: Busy,
): CompactionPlan | undefined {
  const fanout = fanoutOf(options);
  const tiers = tiersOf(runs.slice(from, to), fanout);
  for (const tier of stretches(tiers)) {
    for (const free of freeStretches(runs, from + tier.from, from + tier.to)) {
      if (free.to - free.from < fanout) continue;
      const first = Math.max(free.from, free.to - RUNS_MAX);
      const plan = mergeRuns(levels, runs, first, free.to, options, "size_tier", busy);
      if (plan !== undefined) return plan;
    }
  }
  return undefined;
}

/** Runs of similar size that become one. */
export function fanoutOf(options: CompactionOptions): number {
  return Math.max(2, options.l0Trigger);
}

function pickForSpace(
  levels: Levels,
  runs: readonly Run[],
  options: CompactionOptions,
  busy: Busy,
): CompactionPlan | undefined {
  if (runs.length < fanoutOf(options)) return undefined;
  const oldest = runs[runs.length - 1].bytes;
  let newer = -oldest;
  for (const { bytes } of runs) newer += bytes;
  if (newer < SPACE_RATIO * oldest) return undefined;
  return mergeRuns(levels, runs, 0, runs.length, options, "space", busy);
}

/** Parts of a stretch without a run that a job has. */
function freeStretches(
  runs: readonly Run[],
  from: number,
  to: number,
): { from: number; to: number }[] {
  return stretches(runs.slice(from, to).map((run) => Number(run.busy)))
    .filter((part) => !runs[from + part.from].busy)
    .map((part) => ({ from: from + part.from, to: from + part.to }));
}
