/**
 * Hybrid compaction: size-tiered at the top, leveled below.
 *
 * On level 0 tables of similar size merge until they are large, and only when there are `l0Trigger` large
 * ones do these go down to level 1 together, the oldest first. What goes down is then several times as
 * much as with leveled compaction for the same bytes met on level 1, so less is rewritten; the price is a
 * few more tables to look through.
 * @module
 */
import type { CompactionOptions } from "../options.ts";
import { pickByScore, pickLevel0 } from "./leveled.ts";
import type { Busy, CompactionPlan, Levels, PickState } from "./plan.ts";
import { runsOf } from "./runs.ts";
import { fanoutOf, pickTier } from "./size_tiered.ts";

/** The most pressing compaction of a hybrid tree. */
export function pickHybrid(
  levels: Levels,
  state: PickState,
  options: CompactionOptions,
  busy: Busy,
): CompactionPlan | undefined {
  const level0 = levels[0] ?? [];
  const runs = runsOf([level0], busy);
  const small = smallTables(levels, options);
  const large = level0.slice(small);
  // Small ones first: that is cheap, and keeps reads short whatever else is under way.
  return pickTier(levels, runs, 0, small, options, busy) ??
    pickByScore(levels, state, options, busy, {
      score: large.length / fanoutOf(options),
      pick: () => pickLevel0(levels, options, busy, large),
      otherwise: () => undefined,
    });
}

/** How many of the newest tables of level 0 are not large yet. */
export function smallTables(levels: Levels, options: CompactionOptions): number {
  const large = largeSize(options);
  const at = (levels[0] ?? []).findIndex(({ size }) => size >= large);
  return at < 0 ? (levels[0] ?? []).length : at;
}

/** Bytes from which on a table of level 0 is large: that of two full memtables or so. */
function largeSize(options: CompactionOptions): number {
  return options.targetTableSize;
}
