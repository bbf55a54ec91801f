/**
 * Leveled compaction, as in LevelDB and RocksDB: level 0 holds flushed tables, each deeper level is one
 * sorted run with a budget of bytes, ten times that of the level above.
 *
 * A level over its budget gives the table that costs least: the one with the fewest bytes below it for
 * each byte of its own. Level 0 goes down whole, with what it meets on level 1. While that has to wait
 * for a job, no other job of level 1 is begun, or level 0 would wait for ever; instead its newest
 * tables become one, so that reads stay short.
 * Cost: about 11 bytes rewritten for a byte and level at most, one tenth of the space in old versions.
 * @module
 */
import { compareBytes } from "../../model/mod.ts";
import type { TableMeta } from "../manifest/mod.ts";
import type { CompactionOptions } from "../options.ts";
import {
  type Busy,
  bytesOf,
  type CompactionPlan,
  isFree,
  levelBudget,
  type Levels,
  MAX_LEVEL,
  meets,
  overlapping,
  type PickState,
  planOf,
  spanOf,
  targetSize,
} from "./plan.ts";

/** Tables beyond the trigger from which on level 0 is merged within itself while it cannot go down. */
const INTRA_EXTRA = 2;
/** A table smaller than this part of the target is worth rewriting, or tables would stay small. */
const SMALL_PART = 8;

/** The most pressing compaction of a leveled tree. */
export function pickLeveled(
  levels: Levels,
  state: PickState,
  options: CompactionOptions,
  busy: Busy,
): CompactionPlan | undefined {
  const level0 = (levels[0] ?? []).filter(({ number }) => !busy.tables.has(number));
  const score0 = Math.max(
    level0.length / options.l0Trigger,
    bytesOf(level0) / options.baseLevelSize,
  );
  return pickByScore(levels, state, options, busy, {
    score: level0.length === 0 ? 0 : score0,
    pick: () => pickLevel0(levels, options, busy),
    otherwise: () => pickIntra(levels, options, busy),
  });
}

/** What is done with level 0, which strategies differ in. */
export interface LevelZero {
  /** 1 and more: it is over its bounds. */
  readonly score: number;
  /** Takes it down to level 1. */
  readonly pick: () => CompactionPlan | undefined;
  /** What to do while that is not possible. */
  readonly otherwise: () => CompactionPlan | undefined;
}

/** The level that is most over its bounds and can be compacted now; at equal need the higher one. */
export function pickByScore(
  levels: Levels,
  state: PickState,
  options: CompactionOptions,
  busy: Busy,
  zero: LevelZero,
): CompactionPlan | undefined {
  const scores: { level: number; score: number }[] = [];
  if (zero.score >= 1) scores.push({ level: 0, score: zero.score });
  for (let level = 1; level < levels.length; level++) {
    const free = levels[level].filter(({ number }) => !busy.tables.has(number));
    const score = bytesOf(free) / levelBudget(level, options);
    if (score >= 1) scores.push({ level, score });
  }
  scores.sort((a, b) => b.score - a.score || a.level - b.level);
  let waiting = false;
  for (const { level } of scores) {
    // Level 0 waits for jobs on level 1: more of them would make it wait on.
    if (level === 1 && waiting) continue;
    const plan = level === 0
      ? zero.pick() ?? zero.otherwise()
      : pickLevel(levels, level, state.lastKeys.get(level), options, busy);
    if (plan !== undefined) return plan;
    if (level === 0) waiting = true;
  }
  return undefined;
}

/** All of level 0, or its oldest tables, to level 1. */
export function pickLevel0(
  levels: Levels,
  options: CompactionOptions,
  busy: Busy,
  chosen: readonly TableMeta[] = levels[0],
): CompactionPlan | undefined {
  if (chosen.length === 0) return undefined;
  if (canMove(levels, chosen, options)) {
    const plan = planOf(levels, chosen, 1, options, "level0", busy, true);
    return isFree(plan, busy) ? plan : undefined;
  }
  const below = overlapping(levels[1] ?? [], spanOf(chosen));
  const plan = planOf(levels, [...chosen, ...below], 1, options, "level0", busy);
  return isFree(plan, busy) ? plan : undefined;
}

/** Whether tables of level 0 can become tables of level 1 as they are: no two of them meet, and none below. */
function canMove(
  levels: Levels,
  chosen: readonly TableMeta[],
  options: CompactionOptions,
): boolean {
  if (chosen.length > 1 && bytesOf(chosen) < chosen.length * targetSize(1, options) / SMALL_PART) {
    return false;
  }
  const sorted = [...chosen].sort((a, b) =>
    compareBytes(a.properties.smallest, b.properties.smallest)
  );
  for (let i = 1; i < sorted.length; i++) {
    if (meets(sorted[i - 1].properties, sorted[i].properties)) return false;
  }
  return sorted.every(({ properties }) => overlapping(levels[1] ?? [], properties).length === 0);
}

/** The newest tables of level 0 become one, while level 0 waits. */
function pickIntra(
  levels: Levels,
  options: CompactionOptions,
  busy: Busy,
): CompactionPlan | undefined {
  const level0 = levels[0];
  const end = level0.findIndex(({ number }) => busy.tables.has(number));
  const newest = end < 0 ? level0 : level0.slice(0, end);
  const needed = options.l0Trigger + INTRA_EXTRA;
  // A table that has grown from such a merge stays out of the next: it would be written again and again.
  let count = 0;
  for (let bytes = 0; count < newest.length; count++) {
    const { size } = newest[count];
    if (count >= needed && size > bytes) break;
    bytes += size;
  }
  if (count < needed) return undefined;
  return planOf(levels, newest.slice(0, count), 0, options, "intra_level0", busy);
}

/** The table of a level that is cheapest to take down; among equals the next one after the last. */
function pickLevel(
  levels: Levels,
  level: number,
  lastKey: Uint8Array | undefined,
  options: CompactionOptions,
  busy: Busy,
): CompactionPlan | undefined {
  const tables = levels[level];
  const below = level + 1 < levels.length ? levels[level + 1] : [];
  if (level >= MAX_LEVEL) return undefined;
  const after = tables.findIndex(({ properties }) =>
    lastKey !== undefined && compareBytes(properties.smallest, lastKey) > 0
  );
  const start = after < 0 ? 0 : after;
  const costs = overlapBytes(tables, below);
  const order = tables.map((_, i) => (start + i) % tables.length)
    .sort((a, b) => costs[a] / tables[a].size - costs[b] / tables[b].size);
  for (const i of order) {
    if (busy.tables.has(tables[i].number)) continue;
    const plan = pickDown(levels, [tables[i]], options, busy, "level_size");
    if (plan !== undefined) return plan;
  }
  return undefined;
}

/** Tables of one level below 0, to the next, with what they meet there. */
export function pickDown(
  levels: Levels,
  chosen: readonly TableMeta[],
  options: CompactionOptions,
  busy: Busy,
  reason: CompactionPlan["reason"],
): CompactionPlan | undefined {
  const level = chosen[0].level + 1;
  const below = overlapping(levels[level] ?? [], spanOf(chosen));
  const plan = planOf(
    levels,
    [...chosen, ...below],
    level,
    options,
    reason,
    busy,
    chosen.length === 1 && below.length === 0 && reason === "level_size",
  );
  return isFree(plan, busy) ? plan : undefined;
}

/** For each table, the bytes that it meets in a sorted run: one walk over both. */
function overlapBytes(tables: readonly TableMeta[], below: readonly TableMeta[]): number[] {
  let first = 0;
  return tables.map(({ properties }) => {
    while (
      first < below.length &&
      compareBytes(below[first].properties.largest, properties.smallest) < 0
    ) first++;
    let bytes = 0;
    for (let i = first; i < below.length; i++) {
      if (compareBytes(below[i].properties.smallest, properties.largest) > 0) break;
      bytes += below[i].size;
    }
    return bytes;
  });
}
