/**
 * Hybrid logical time: wall time that never runs behind what a write has seen (Kulkarni et al., "Logical
 * Physical Clocks", 2014).
 *
 *     stamp of a write = max(wall clock, stamps of all versions of the key that it has seen)
 *
 * So a write never has an earlier stamp than one that it replaces, however the clocks of their nodes differ.
 * This is the paper's `l`, in ms. Its counter `c`, which orders what shares an `l`, is not needed beside a
 * vector clock: that orders whatever has seen each other, and among the rest node ids decide.
 *
 * One clock that is wrong must not pull all others along: a version from another node whose stamp is more
 * than the bound ahead of this node's wall clock is refused, until its time comes.
 * @module
 */
import { PairError } from "../errors.ts";
import type { Version } from "../version.ts";

/** How far a stamp from another node may be ahead of this node's wall clock, in ms. */
export const HLC_SKEW_MS = 60_000;

/**
 * The stamp of a write.
 * @param wallMs  this node's wall clock, ms since 1970
 * @param seen    the versions that it replaces
 */
export function hybridStamp(wallMs: number, seen: readonly Version[]): number {
  let stamp = wallMs;
  for (const { timestampMs } of seen) stamp = Math.max(stamp, timestampMs);
  return stamp;
}

/** @throws PairError InvalidArgument (1000) with the detail `reason: clock_skew` when a stamp is too far ahead */
export function checkSkew(stampMs: number, wallMs: number): void {
  if (stampMs <= wallMs + HLC_SKEW_MS) return;
  throw new PairError(
    "InvalidArgument",
    "Cannot take the version: its stamp is too far ahead of this node's clock",
    { reason: "clock_skew", ahead_ms: stampMs - wallMs, limit: HLC_SKEW_MS },
  );
}
