/**
 * Plausible counters: which events of a clock from outside may have happened.
 *
 * A node counts on from the largest counter of its own that it meets, so one that is forged near the end
 * of what a number holds would leave the node none for its next write: nobody could ever write or delete
 * the key there. So a counter is taken only if so many writes can have been by now,
 *
 *     counter ≤ 1000 × ms since 1970           or 2^32, for nodes whose clock has never been set
 *
 * which no node gets anywhere near, grows faster than any node counts on, and runs out in the year 2255.
 * Versions from other nodes may be a day ahead of that: their clocks may be ahead of this one, and what
 * one node takes from a client the others have to take from it. What a key holds already is taken back
 * in any case, so that whoever read it can write it.
 * @module
 */
import { type ClockEntry, maxCounter, type VectorClock } from "./clock.ts";
import { PairError } from "./errors.ts";
import type { Version } from "./version.ts";

/** Writes that a node may have made in each ms since 1970. */
const WRITES_PER_MS = 1000;
/** Writes of one key that may have been made in next to no time: a batch has 1000. */
const WRITES_AT_ONCE = 2 ** 20;
/** Counters up to here are plausible at any time. */
const ALWAYS = 2 ** 32;
/** How far ahead of this node's clock another node's may be, in ms. */
export const CLOCK_SKEW_MS = 86_400_000;

/**
 * Refuses a clock that names events which cannot have happened.
 * @param clock  in normal form
 * @param local  what the key holds
 * @param nowMs  wall time, ms since 1970
 * @throws PairError InvalidArgument (1000) with the details `counter` and `limit`
 */
export function checkPlausible(
  clock: VectorClock,
  local: readonly Version[],
  nowMs: number,
): void {
  const limit = Math.max(ALWAYS, Math.floor(nowMs) * WRITES_PER_MS);
  // Loops: this is asked of every write with a context.
  const { entries, dots } = clock;
  for (let i = 0; i < entries.length; i++) checkEvent(entries[i], local, limit);
  for (let i = 0; i < dots.length; i++) checkEvent(dots[i], local, limit);
}

/**
 * A counter that no write of a node has got to by now, whatever key it was of, and from which there is room to count
 * on: half of what is plausible.
 * @param nowMs   wall time, ms since 1970
 * @param before  an earlier such bound, from which writes have counted on; 0: none
 */
export function counterBound(nowMs: number, before = 0): number {
  const bound = Math.floor(Math.max(ALWAYS, Math.floor(nowMs) * WRITES_PER_MS) / 2);
  // Little time may have passed since, or the wall clock was set back.
  return before === 0 ? bound : Math.max(bound, before + WRITES_AT_ONCE);
}

function checkEvent({ node, counter }: ClockEntry, local: readonly Version[], limit: number): void {
  if (counter <= limit || local.some(({ clock }) => maxCounter(clock, node) >= counter)) return;
  throw new PairError(
    "InvalidArgument",
    "Cannot take the vector clock: it counts more writes of a node than there can have been",
    { counter, limit },
  );
}
