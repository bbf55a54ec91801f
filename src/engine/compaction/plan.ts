/**
 * Plans: what a compaction takes, where it goes, and the rules that every plan keeps.
 *
 * Whatever the strategy, a tree is a list of sorted runs, newest first: the tables of level 0 by
 * sequence, then each deeper level as one run. Reads stop at the first run that answers, so
 *
 *   - for one key, a newer run must never hold an older entry. A plan that moves a table below a run
 *     therefore takes every table of that run that meets it along, down to the level it goes to.
 *   - the tables of level 0 must have sequences that do not interleave. A plan that stays on level 0
 *     therefore takes neighbours only, and makes one table of them.
 *   - a plan may call itself the bottom only when no table that it leaves can hold an older entry of
 *     its keys.
 *
 * {@link checkPlan} checks all three against a version, each time before an edit is made durable.
 * @module
 */
import { compareBytes } from "../../model/mod.ts";
import type { TableMeta } from "../manifest/mod.ts";
import type { CompactionOptions } from "../options.ts";

/** The deepest level; it has no budget. */
export const MAX_LEVEL = 6;

/** Tables by level: level 0 newest first, the others by key. */
export type Levels = readonly (readonly TableMeta[])[];

/** Why a compaction is made, for the log and for people. */
export type CompactionReason =
  | "level0"
  | "level_size"
  | "intra_level0"
  | "size_tier"
  | "space"
  | "window"
  | "dead"
  | "room"
  | "manual";

/** A compaction to carry out. */
export interface CompactionPlan {
  /** Tables that it replaces. */
  readonly inputs: readonly TableMeta[];
  readonly outputLevel: number;
  /** No other table can hold an older entry of the inputs' keys. */
  readonly bottom: boolean;
  /** The inputs only change their level: nothing is rewritten. */
  readonly trivialMove: boolean;
  /** A new table is begun when one has this many bytes; Infinity: all goes into one. */
  readonly targetSize: number;
  /** Keys, ascending, at which a new table is begun as well. */
  readonly cuts?: readonly Uint8Array[];
  readonly reason: CompactionReason;
}

/** The output of a job under way, as far as another plan has to mind it. Keys are inclusive. */
export interface RunningJob {
  readonly outputLevel: number;
  readonly smallest: Uint8Array;
  readonly largest: Uint8Array;
}

/** Jobs under way in a tree. */
export interface Busy {
  /** Numbers of their input tables. */
  readonly tables: ReadonlySet<number>;
  readonly running: readonly RunningJob[];
}

/** No jobs. */
export const IDLE: Busy = Object.freeze({ tables: new Set<number>(), running: [] });

/** What a tree's picker knows besides its tables. */
export interface PickState {
  /** By level, the greatest key that was compacted last: among equals the next table after it is taken. */
  readonly lastKeys: ReadonlyMap<number, Uint8Array>;
  /** Wall time, ms since 1970, for time windows. */
  readonly nowMs: number;
  /** What was dead by then may go, ms since 1970; 0: nothing. */
  readonly purgeBeforeMs: number;
  /** And nothing that was written after this sequence. */
  readonly purgeUpToSeq: number;
  /** The lowest pinned sequence; Infinity when there is none. */
  readonly oldestSnapshot: number;
  /** What is only to be dropped can wait. */
  readonly defersDead?: boolean;
}

/** A state of nothing: no history, no dead, no snapshots. */
export const NO_STATE: PickState = Object.freeze({
  lastKeys: new Map<number, Uint8Array>(),
  nowMs: 0,
  purgeBeforeMs: 0,
  purgeUpToSeq: Infinity,
  oldestSnapshot: Infinity,
});

/** A range of user keys, both ends inclusive. */
export interface KeyRange {
  readonly smallest: Uint8Array;
  readonly largest: Uint8Array;
}

/** Bytes that a level may hold. */
export function levelBudget(level: number, options: CompactionOptions): number {
  return level >= MAX_LEVEL ? Infinity : options.baseLevelSize * 10 ** (level - 1);
}

/** Target size of the tables that a compaction into `level` makes; on level 0 a run is one table. */
export function targetSize(level: number, options: CompactionOptions): number {
  if (level === 0) return Infinity;
  return options.targetTableSize * options.tableSizeMultiplier ** (level - 1);
}

/** Bytes of tables. */
export function bytesOf(tables: readonly TableMeta[]): number {
  let bytes = 0;
  for (const { size } of tables) bytes += size;
  return bytes;
}

/** The range that tables span. @param tables  at least one */
export function spanOf(tables: readonly TableMeta[]): KeyRange {
  let { smallest, largest } = tables[0].properties;
  for (const { properties } of tables) {
    if (compareBytes(properties.smallest, smallest) < 0) smallest = properties.smallest;
    if (compareBytes(properties.largest, largest) > 0) largest = properties.largest;
  }
  return { smallest, largest };
}

/** Whether two ranges share a key. */
export function meets(a: KeyRange, b: KeyRange): boolean {
  return compareBytes(a.largest, b.smallest) >= 0 && compareBytes(a.smallest, b.largest) <= 0;
}

/** Tables that meet a range. */
export function overlapping(tables: readonly TableMeta[], range: KeyRange): readonly TableMeta[] {
  return tables.filter(({ properties }) => meets(properties, range));
}

/** Whether a plan keeps off the jobs under way: it takes no table of theirs and writes beside them. */
export function isFree(plan: CompactionPlan, busy: Busy): boolean {
  if (plan.inputs.some(({ number }) => busy.tables.has(number))) return false;
  if (plan.outputLevel === 0) return true;
  const span = spanOf(plan.inputs);
  return !busy.running.some((job) => job.outputLevel === plan.outputLevel && meets(job, span));
}

/**
 * Whether no table outside `inputs` can hold an older entry of their keys.
 * @param outputLevel  on level 0 the inputs' sequences say what is older
 */
export function isBottom(
  levels: Levels,
  inputs: readonly TableMeta[],
  outputLevel: number,
  busy: Busy,
): boolean {
  const span = spanOf(inputs);
  const taken = new Set(inputs.map(({ number }) => number));
  const stays = ({ number, properties }: TableMeta) =>
    !taken.has(number) && meets(properties, span);
  for (let level = outputLevel + 1; level < levels.length; level++) {
    if (levels[level].some(stays)) return false;
  }
  if (busy.running.some((job) => job.outputLevel > outputLevel && meets(job, span))) return false;
  if (outputLevel > 0) return true;
  const newest = newestSeq(inputs);
  return !levels[0].some((table) => table.properties.maxSeq < newest && stays(table));
}

/** The plan that takes tables to a level; the caller has chosen all that must come along. */
export function planOf(
  levels: Levels,
  inputs: readonly TableMeta[],
  outputLevel: number,
  options: CompactionOptions,
  reason: CompactionReason,
  busy: Busy = IDLE,
  trivialMove = false,
): CompactionPlan {
  return {
    inputs,
    outputLevel,
    bottom: isBottom(levels, inputs, outputLevel, busy),
    trivialMove,
    targetSize: targetSize(outputLevel, options),
    reason,
  };
}

/**
 * Checks a plan against the tables of now, which may be newer than those it was made from.
 * @throws Error when carrying it out would let a read find an older entry first: a bug, found before
 *   it is made durable
 */
export function checkPlan(levels: Levels, plan: CompactionPlan): void {
  const { inputs, outputLevel, bottom } = plan;
  const taken = new Set(inputs.map(({ number }) => number));
  const present = new Map(levels.flat().map((table) => [table.number, table.level]));
  for (const { number, level } of inputs) {
    if (present.get(number) !== level) throw broken(number, `is not on level ${level} any more`);
    if (level > outputLevel) throw broken(number, `would rise from level ${level}`);
  }
  if (outputLevel === 0) checkNeighbours(levels[0], inputs, taken);
  else checkNothingSkipped(levels, plan, taken);
  if (bottom && !isBottom(levels, inputs, outputLevel, IDLE)) {
    throw broken(inputs[0].number, "is not at the bottom any more");
  }
}

/** What goes down takes along every older table that it meets on its way. */
function checkNothingSkipped(
  levels: Levels,
  { inputs, outputLevel }: CompactionPlan,
  taken: ReadonlySet<number>,
): void {
  for (const input of inputs) {
    for (let level = input.level; level <= outputLevel; level++) {
      for (const table of levels[level] ?? []) {
        if (taken.has(table.number) || !meets(table.properties, input.properties)) continue;
        // On level 0 a newer table stays above; on the others, tables of one level do not meet.
        if (level === 0 && table.properties.maxSeq > input.properties.maxSeq) continue;
        throw broken(input.number, `would sink below table ${table.number}, which is older`);
      }
    }
  }
}

/** On level 0, what becomes one table has to be next to each other in sequence. */
function checkNeighbours(
  level0: readonly TableMeta[],
  inputs: readonly TableMeta[],
  taken: ReadonlySet<number>,
): void {
  const newest = newestSeq(inputs);
  const oldest = Math.min(...inputs.map(({ properties }) => properties.minSeq));
  for (const { number, properties } of level0) {
    if (taken.has(number) || properties.maxSeq < oldest || properties.minSeq > newest) continue;
    throw broken(number, "lies between tables of level 0 that would be merged without it");
  }
}

function newestSeq(tables: readonly TableMeta[]): number {
  let newest = 0;
  for (const { properties } of tables) newest = Math.max(newest, properties.maxSeq);
  return newest;
}

function broken(number: number, why: string): Error {
  return new Error(`a compaction makes no sense: table ${number} ${why}`);
}
