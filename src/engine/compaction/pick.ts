/**
 * What to compact next: a pure function of a tree's tables, the jobs under way and the options.
 * @module
 */
import { pickDead } from "./dead.ts";
import { pickHybrid, smallTables } from "./hybrid.ts";
import { pickLeveled } from "./leveled.ts";
import type { CompactionOptions } from "../options.ts";
import { type Busy, type CompactionPlan, IDLE, type Levels, type PickState } from "./plan.ts";
import { runsOf, stretches, tiersOf } from "./runs.ts";
import { fanoutOf, pickSizeTiered } from "./size_tiered.ts";
import { pickTimeWindow, windowsOf } from "./time_window.ts";

/**
 * The most pressing compaction that can begin now; undefined when the tree has the shape of its strategy
 * or must wait for jobs under way. Called again and again, each plan carried out, it comes to an end.
 * @param levels  tables by level, level 0 newest first, the others by key
 * @param busy    jobs under way: none of their tables is taken, and no range that they write
 */
export function pickCompaction(
  levels: Levels,
  state: PickState,
  options: CompactionOptions,
  busy: Busy = IDLE,
): CompactionPlan | undefined {
  const shape = pickShape(levels, state, options, busy);
  if (shape !== undefined || state.defersDead) return shape;
  return pickDead(levels, state, options, busy);
}

function pickShape(
  levels: Levels,
  state: PickState,
  options: CompactionOptions,
  busy: Busy,
): CompactionPlan | undefined {
  switch (options.strategy) {
    case "leveled":
      return pickLeveled(levels, state, options, busy);
    case "size_tiered":
      return pickSizeTiered(levels, options, busy);
    case "time_window":
      return pickTimeWindow(levels, state, options, busy);
    case "hybrid":
      return pickHybrid(levels, state, options, busy);
  }
}

/**
 * How far compaction is behind, in tables of level 0: what the limits for slowing and stopping writers are
 * held against. Tables that the strategy means to have there do not count.
 */
export function pressure(levels: Levels, options: CompactionOptions): number {
  const level0 = levels[0] ?? [];
  if (options.strategy === "leveled") return level0.length;
  const small = options.strategy === "hybrid" ? smallTables(levels, options) : level0.length;
  const runs = runsOf([level0.slice(0, small)], IDLE);
  const windows = options.strategy === "time_window"
    ? windowsOf(runs, options.windowMs)
    : runs.map(() => 0);
  let most = level0.length - small;
  for (const window of stretches(windows)) {
    const tiers = tiersOf(runs.slice(window.from, window.to), fanoutOf(options));
    for (const { from, to } of stretches(tiers)) most = Math.max(most, to - from);
  }
  return most;
}
