/**
 * Quiet hours: when work in the background that can wait makes way for those who use the node.
 *
 *     rests    the scrub; snapshots by a schedule; compactions for nothing but to drop what is dead, unless the disk
 *              is tight
 *     is slow  a transfer to another node: it works for a share of its time
 *     goes on  flushes, compactions that reads and writers need, and what somebody asks for
 *
 * They are hours of the day in UTC, on all days of the week or on some. Hours that go on past midnight belong to the
 * day on which they begin.
 * @module
 */

const DAY_MS = 86_400_000;
/** 1970 began on a Thursday. */
const EPOCH_WEEKDAY = 3;
/** A rest is no longer than this, whatever came before it: who waits for the node to close waits for it. */
const REST_MS_MAX = 1000;

/** Hours of the day, in ms since midnight, UTC. */
export interface QuietHours {
  /** When they begin. */
  readonly fromMs: number;
  /** When they end; before `fromMs` when they go on past midnight. */
  readonly toMs: number;
  /** Days on which they begin, 0 for Monday to 6; absent: all. */
  readonly days?: readonly number[] | undefined;
}

/** What makes way in the background, and when. */
export interface QuietOptions {
  /** Undefined: never. */
  readonly hours: QuietHours | undefined;
  /** The share of its time that a transfer works in them, above 0 and up to 1. */
  readonly transferShare: number;
}

/** When the quiet hours that it is are over, ms since 1970; undefined: it is none. */
export function quietUntilMs(quiet: QuietHours | undefined, nowMs: number): number | undefined {
  if (quiet === undefined) return undefined;
  const { fromMs, toMs } = quiet;
  const day = Math.floor(nowMs / DAY_MS);
  const at = nowMs - day * DAY_MS;
  if (fromMs <= toMs) {
    return at >= fromMs && at < toMs && isOn(quiet, day) ? day * DAY_MS + toMs : undefined;
  }
  if (at < toMs && isOn(quiet, day - 1)) return day * DAY_MS + toMs;
  return at >= fromMs && isOn(quiet, day) ? (day + 1) * DAY_MS + toMs : undefined;
}

/** The share of a day that is not quiet, on a day that has quiet hours. */
export function awakeShare(quiet: QuietHours | undefined): number {
  if (quiet === undefined) return 1;
  const ms = (quiet.toMs - quiet.fromMs + DAY_MS) % DAY_MS;
  return 1 - ms / DAY_MS;
}

/** How long to rest after work, in ms, so that it takes a share of the time. */
export function restMs(workedMs: number, share: number): number {
  return Math.min(REST_MS_MAX, workedMs * (1 / share - 1));
}

function isOn({ days }: QuietHours, day: number): boolean {
  return days === undefined || days.includes((day + EPOCH_WEEKDAY) % 7);
}
