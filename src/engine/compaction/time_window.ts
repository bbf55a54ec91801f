/**
 * Time-window compaction, as in Cassandra's TWCS: for data that is written in the order of time and dies
 * by age. Runs are of the window in which their newest write fell; in the present window runs of similar
 * size merge, a past window becomes one run and is not touched again until all of it is dead.
 *
 * Sequences, not times, say what is newer: where the clock went back, a run counts to the window of the
 * runs before it. Windows are therefore neighbours, and the order of runs never changes.
 * @module
 */
import type { TableMeta } from "../manifest/mod.ts";
import type { CompactionOptions } from "../options.ts";
import type { Busy, CompactionPlan, Levels, PickState } from "./plan.ts";
import { mergeRuns, runsOf, stretches } from "./runs.ts";
import { pickTier } from "./size_tiered.ts";

/** The most pressing compaction of a tree with time windows. */
export function pickTimeWindow(
  levels: Levels,
  state: PickState,
  options: CompactionOptions,
  busy: Busy,
): CompactionPlan | undefined {
  const runs = runsOf(levels, busy);
  const windows = windowsOf(runs, options.windowMs);
  const present = Math.floor(state.nowMs / options.windowMs);
  for (const { from, to } of stretches(windows)) {
    const plan = windows[from] >= present
      ? pickTier(levels, runs, from, to, options, busy)
      : to - from > 1
      ? mergeRuns(levels, runs, from, to, options, "window", busy)
      : undefined;
    if (plan !== undefined) return plan;
  }
  return undefined;
}

/** The window of each run, newest first; never above that of a newer one. */
export function windowsOf(
  runs: readonly { readonly tables: readonly TableMeta[] }[],
  windowMs: number,
): number[] {
  const windows = runs.map(({ tables }) => Math.floor(newestTime(tables) / windowMs));
  // From the oldest on: a newer run is of the same window or a later one.
  for (let i = windows.length - 2; i >= 0; i--) windows[i] = Math.max(windows[i], windows[i + 1]);
  return windows;
}

/** When the newest entry of a run was written, ms since 1970. */
function newestTime(tables: readonly TableMeta[]): number {
  let newest = 0;
  for (const { properties } of tables) newest = Math.max(newest, properties.maxTimeMs);
  return newest;
}
