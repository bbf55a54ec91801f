/**
 * Steps for a disk with little room: the least that brings a table further down.
 *
 * A table of level 0 that holds deletes of all keys meets everything. To merge it with all that would need
 * as much room as there is data, so what it meets makes way first, by moves that write nothing, and it
 * goes down in pieces:
 *
 *              0: first     1: moved, no bytes written   2: cut, only d is written   3: d1 with a, then d2 with b
 *     level 0  d d d d d    d d d d d                    -                           -
 *     level 1  a a a b b    -                            d1 d1 d1 d2 d2              - - - d2 d2
 *     level 2  -            a a a b b                    a  a  a  b  b               - - - b  b
 *
 * Each step needs room for its own inputs at most, and their space is free before the next. A step that
 * cannot be made smaller is handed out even where its inputs have more bytes than there is room: what
 * they hide is not written again, and how much that is shows only when it is carried out, within a limit.
 * Every plan takes bytes down, or cuts a table into such that meet fewer: steps come to an end.
 * @module
 */
import type { TableMeta } from "../manifest/mod.ts";
import type { CompactionOptions } from "../options.ts";
import {
  bytesOf,
  type CompactionPlan,
  type CompactionReason,
  IDLE,
  type KeyRange,
  type Levels,
  MAX_LEVEL,
  overlapping,
  planOf,
} from "./plan.ts";

/** How steps are made. */
export interface StepOptions {
  readonly compaction: CompactionOptions;
  /** Bytes that a step may write. */
  readonly room: number;
  /** Whether a step may have larger inputs that is likely to write less. */
  readonly hopes: boolean;
  readonly reason: CompactionReason;
}

/** What a plan writes at most, about. */
export function writtenBytes({ inputs, trivialMove }: CompactionPlan): number {
  return trivialMove ? 0 : bytesOf(inputs);
}

/** What a plan writes if each of the dead hides one other entry and goes with it: a guess, no bound. */
export function likelyBytes(plan: CompactionPlan): number {
  let entries = 0;
  let dead = 0;
  for (const { properties } of plan.inputs) {
    entries += properties.entries;
    dead += properties.deletes + properties.mortal;
  }
  return writtenBytes(plan) * Math.max(0, 1 - 2 * dead / entries);
}

/**
 * The next step that brings a table down; undefined when it is on the deepest level. No job may be under way.
 */
export function pickStep(
  levels: Levels,
  table: TableMeta,
  options: StepOptions,
): CompactionPlan | undefined {
  if (table.level > 0) return goDown(levels, table, options);
  const [newest] = levels[0];
  const oldest = oldestMet(levels[0], newest);
  const together = planWith(levels, levels[0], 0, options);
  // What it hides on level 0 itself makes room for what comes next.
  const shrinks = oldest !== newest && likelyBytes(together) <= bytesOf(levels[0]) / 2;
  if (
    shrinks && (fits(together, options) || options.hopes && likelyBytes(together) <= options.room)
  ) {
    return together;
  }
  return fromLevel0(levels, oldestMet(levels[0], table), options);
}

/** The oldest of what a table of level 0 cannot sink below; itself when there is nothing. */
function oldestMet(level0: readonly TableMeta[], table: TableMeta): TableMeta {
  const [older] = overlapping(level0.slice(level0.indexOf(table) + 1), table.properties);
  return older === undefined ? table : oldestMet(level0, older);
}

function fromLevel0(
  levels: Levels,
  table: TableMeta,
  options: StepOptions,
): CompactionPlan | undefined {
  const below = overlapping(levels[1] ?? [], table.properties);
  const whole = planWith(levels, [table, ...below], 1, options);
  return fits(whole, options) ? whole : makeWay(levels, below[0], options);
}

/** Brings a table out of the way of another: where it does not fit into the next run, that makes way first. */
function makeWay(levels: Levels, table: TableMeta, options: StepOptions): CompactionPlan {
  const level = table.level + 1;
  const below = overlapping(levels[level] ?? [], table.properties);
  const whole = planWith(levels, [table, ...below], level, options);
  if (fits(whole, options) || level === MAX_LEVEL) return whole;
  return makeWay(levels, below[0], options);
}

function goDown(
  levels: Levels,
  table: TableMeta,
  options: StepOptions,
): CompactionPlan | undefined {
  const { level } = table;
  if (level === MAX_LEVEL) return undefined;
  const below = overlapping(levels[level + 1] ?? [], table.properties);
  const whole = planWith(levels, [table, ...below], level + 1, options);
  // Cut, it meets less at a time; there has to be room for it alone.
  const helps = below.length > 1 && table.size <= options.room;
  return fits(whole, options) || !helps ? whole : planWith(levels, [table], level, options);
}

function fits(plan: CompactionPlan, { room }: StepOptions): boolean {
  return writtenBytes(plan) <= room;
}

function planWith(
  levels: Levels,
  inputs: readonly TableMeta[],
  outputLevel: number,
  options: StepOptions,
): CompactionPlan {
  const { compaction, reason, room } = options;
  if (outputLevel === 0) return planOf(levels, inputs, 0, compaction, reason);
  const [{ level, size, properties }] = inputs;
  const cuts = cutsOf(levels, properties, outputLevel + 1, room);
  // What comes from level 0 is cut on its way, others when they meet too much.
  const isCut = level === 0 && cuts.length > 0 && size <= room;
  const moves = inputs.length === 1 && level < outputLevel && !isCut;
  return { ...planOf(levels, inputs, outputLevel, compaction, reason, IDLE, moves), cuts };
}

/** Where to cut, so that each piece meets few bytes of the next run: less than there is room for. */
function cutsOf(levels: Levels, range: KeyRange, from: number, room: number): Uint8Array[] {
  for (let level = from; level < levels.length; level++) {
    const met = overlapping(levels[level], range);
    if (met.length === 0) continue;
    // At most half of all, so that what is cut is in two at least.
    const most = Math.min(room, bytesOf(met)) / 2;
    const cuts: Uint8Array[] = [];
    let bytes = 0;
    for (const { size, properties } of met) {
      if (bytes > 0 && bytes + size > most) {
        cuts.push(properties.smallest);
        bytes = 0;
      }
      bytes += size;
    }
    return cuts;
  }
  return [];
}
