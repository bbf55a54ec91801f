/**
 * Compaction on demand: all tables that hold keys of a range go down to one level, in steps of a bounded
 * number of bytes, so that other work gets its turn and a stop in between has lost nothing.
 *
 *     level 0   what meets the range, and what is older there and meets that
 *     level 1   table by table, each with all that it meets on the levels down to the last
 *     ...
 *     last      what still has deletes, operands or dead values is written again in its place
 *
 * Where the disk has no room for such a step, smaller ones are made; see `step.ts`.
 *
 * Tables that were made since the request, and hold nothing older than it, are left alone: however much is
 * written meanwhile, it comes to an end.
 * @module
 */
import { compareBytes } from "../../model/mod.ts";
import type { CompactOptions } from "../api.ts";
import type { TableMeta } from "../manifest/mod.ts";
import type { CompactionOptions } from "../options.ts";
import { mayHoldDead, mostDead } from "./dead.ts";
import { likelyBytes, pickStep, writtenBytes } from "./step.ts";
import {
  type Busy,
  bytesOf,
  type CompactionPlan,
  IDLE,
  isFree,
  type Levels,
  MAX_LEVEL,
  overlapping,
  planOf,
  spanOf,
  targetSize,
} from "./plan.ts";

/** Target sizes of tables that a step which begins on level 0 may take before it goes one level at a time. */
const STEP_TABLES = 32;

/** What somebody asked to have compacted. */
export interface RangeRequest {
  readonly range: Pick<CompactOptions, "start" | "end">;
  /** The last sequence at the time of the request: what is newer need not be taken. */
  readonly upToSeq: number;
  /** The first file number after the request: a table above it was written by it, or since. */
  readonly firstFile: number;
  /** Write tables again for the dead values in them alone. */
  readonly purge: boolean;
  /** Bytes that a step should not exceed; where none is so small, the smallest is picked. */
  readonly room: number;
  /** Whether a step may exceed it that is likely to write less. */
  readonly hopes: boolean;
}

/** The next step; undefined when there is none left, or a job is in the way. */
export function pickRange(
  levels: Levels,
  request: RangeRequest,
  options: CompactionOptions,
  busy: Busy = IDLE,
): CompactionPlan | undefined {
  const inRange = levels.map((tables) =>
    tables.filter((table) =>
      meetsRange(table, request.range) && table.properties.minSeq <= request.upToSeq
    )
  );
  const all = inRange.flat();
  if (all.length === 0) return undefined;
  const last = lastLevel(levels, all, options);
  for (let level = 0; level < last && level < inRange.length; level++) {
    if (inRange[level].length === 0) continue;
    const plan = level === 0
      ? fromLevel0(levels, inRange[0], last, request, options, busy)
      : goDown(levels, inRange[level][0], last, options, busy);
    const { room, hopes } = request;
    const fits = writtenBytes(plan) <= room || (hopes && likelyBytes(plan) <= room);
    const step = fits ? plan : pickStep(levels, mostDead(inRange[level]), {
      compaction: options,
      room,
      hopes,
      reason: "manual",
    });
    return step !== undefined && isFree(step, busy) ? step : undefined;
  }
  for (const table of inRange[last] ?? []) {
    if (table.number >= request.firstFile || !isWorthIt(table, request.purge)) continue;
    const plan = planOf(levels, [table], last, options, "manual", busy);
    if (plan.bottom) return isFree(plan, busy) ? plan : undefined;
  }
  return undefined;
}

/** The level where everything ends: the deepest with keys that the tables span. */
function lastLevel(
  levels: Levels,
  tables: readonly TableMeta[],
  { strategy }: CompactionOptions,
): number {
  const span = spanOf(tables);
  for (let level = levels.length - 1; level > 0; level--) {
    if (overlapping(levels[level], span).length > 0) return level;
  }
  return strategy === "leveled" || strategy === "hybrid" ? 1 : MAX_LEVEL;
}

function fromLevel0(
  levels: Levels,
  seeds: readonly TableMeta[],
  last: number,
  { room, hopes }: RangeRequest,
  options: CompactionOptions,
  busy: Busy,
): CompactionPlan {
  // Newest first: an older table that meets what is taken has to go along.
  const chosen: TableMeta[] = [];
  for (const table of levels[0]) {
    const must = chosen.length > 0 && overlapping([table], spanOf(chosen)).length > 0;
    if (must || seeds.includes(table)) chosen.push(table);
  }
  const whole = withAllBelow(levels, chosen, 1, last);
  const most = Math.min(hopes ? Infinity : room, STEP_TABLES * targetSize(last, options));
  if (last === 1 || bytesOf(whole) <= most) {
    return planOf(levels, whole, last, options, "manual", busy);
  }
  return planOf(levels, withAllBelow(levels, chosen, 1, 1), 1, options, "manual", busy);
}

function goDown(
  levels: Levels,
  table: TableMeta,
  last: number,
  options: CompactionOptions,
  busy: Busy,
): CompactionPlan {
  const inputs = withAllBelow(levels, [table], table.level + 1, last);
  const move = inputs.length === 1 && !isWorthIt(table, true);
  return planOf(levels, inputs, last, options, "manual", busy, move);
}

/** Tables with what they meet on levels `from` to `to`: what goes below a table takes it along. */
function withAllBelow(
  levels: Levels,
  tables: readonly TableMeta[],
  from: number,
  to: number,
): TableMeta[] {
  const inputs = [...tables];
  for (let level = from; level <= to && level < levels.length; level++) {
    inputs.push(...overlapping(levels[level], spanOf(inputs)));
  }
  return inputs;
}

/** Whether there is anything in a table that the bottom need not hold. */
function isWorthIt(table: TableMeta, purge: boolean): boolean {
  const { deletes, merges } = table.properties;
  return deletes > 0 || merges > 0 || (purge && mayHoldDead(table));
}

function meetsRange({ properties }: TableMeta, { start, end }: RangeRequest["range"]): boolean {
  return (start === undefined || compareBytes(properties.largest, start) >= 0) &&
    (end === undefined || compareBytes(properties.smallest, end) < 0);
}
