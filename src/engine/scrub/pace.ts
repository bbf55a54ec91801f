/**
 * When a scrub goes on: rounds and pace, as values.
 *
 *     interval    |<-------------------- 7 d -------------------->|
 *     rounds      |== round ==|                       |== round ==|
 *                 0          1/4                     3/4          1
 *
 * A round begins three quarters of the interval after the last one began, and takes a quarter at most. So
 * from one reading of a file to the next less than the interval passes, whatever its place in each round;
 * and so does it from the moment that a file was made, a round beginning just then without it.
 * @module
 */
import { awakeShare, type QuietHours } from "../quiet_hours.ts";

/** The share of the interval from the beginning of one round to that of the next. */
const PERIOD_SHARE = 3 / 4;
/** The share that a round may take. */
const ROUND_SHARE = 1 / 4;
/** A round that is late hurries, but reads no faster than if this share of its time were left. */
const HURRY_SHARE = 1 / 10;
/** It reads at least so many bytes a second: a small store is done in a moment. */
const RATE_MIN = 1 << 20;

/** When the next round is due, ms since 1970. A clock that was set back makes it due now. */
export function nextRoundMs(startedAtMs: number, intervalMs: number, nowMs: number): number {
  if (startedAtMs === 0 || startedAtMs > nowMs) return nowMs;
  return startedAtMs + intervalMs * PERIOD_SHARE;
}

/** When a round has to be over. */
export function deadlineMs(startedAtMs: number, intervalMs: number): number {
  return startedAtMs + intervalMs * ROUND_SHARE;
}

/** What a part of a round has done, and what is left. */
export interface Progress {
  /** Bytes of the part. */
  readonly bytes: number;
  /** What it took, in ms. */
  readonly spentMs: number;
  /** Bytes of the round that are left. */
  readonly left: number;
  /** Time of the round that is left, in ms; below 0 when it is late. */
  readonly leftMs: number;
}

/** How long to rest after a part, in ms, so that the round ends just in time. */
export function pauseMs(
  { bytes, spentMs, left, leftMs }: Progress,
  intervalMs: number,
  quiet: QuietHours | undefined,
): number {
  const roundMs = intervalMs * ROUND_SHARE;
  const within = Math.min(roundMs, Math.max(leftMs, roundMs * HURRY_SHARE));
  const msPerByte = within * awakeShare(quiet) / Math.max(1, left + bytes);
  return Math.max(0, bytes * Math.min(msPerByte, 1000 / RATE_MIN) - spentMs);
}
