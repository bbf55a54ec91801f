/**
 * Versions: what a key holds. One version when all writers had seen each other's writes; several,
 * siblings, when they had not.
 *
 * A stored state is a list of versions in canonical order, none of which has seen another. Merging
 * two states is a join of sets: commutative, associative, idempotent, whatever the versions are, so
 * that replicas that saw the same writes in any order and any grouping hold the same bytes.
 *
 *     {n:1}=A                              one version
 *     {n:2}=B  beside  {n:1, dot n:3}=C    C was written by somebody who had seen A, but not B
 *     {n:4}=D                              D's writer had read both
 *
 * A version is obsolete beside one whose clock includes its whole clock. That the other covers its own
 * event alone is not enough: clocks that clients cut down would make that relation run in circles, and
 * a circle loses every version on it. `write_rule.ts` fills such cut-down contexts up again.
 * Between equal clocks the first in canonical order stays.
 * @module
 */
import { compareBytes } from "./bytes.ts";
import {
  type ClockEntry,
  EMPTY_CLOCK,
  includes,
  joinClocks,
  maxCounter,
  orderClocks,
  type VectorClock,
} from "./clock.ts";

/** One write, and what it had seen. */
export interface Version {
  /** Its whole history, its own event included. Never empty. */
  readonly clock: VectorClock;
  /** Its own event, the last of its node in `clock`; absent when the clock came whole from outside. */
  readonly dot: ClockEntry | undefined;
  /** Undefined for a delete. */
  readonly value: Uint8Array | undefined;
  /** Wall time at the node that took the write, ms since 1970. */
  readonly timestampMs: number;
  /** Wall time from which on it reads as a delete, ms since 1970; 0: never. */
  readonly expiresAtMs: number;
}

/** Whether a version has a value to show at a moment: it is no delete and has not expired. */
export function isLive(version: Version, nowMs: number): boolean {
  return version.value !== undefined && (version.expiresAtMs === 0 || nowMs < version.expiresAtMs);
}

/**
 * Whether a version with a value is what a delete has left, where values are merged (`conflict/merging.ts`): it
 * has expired in the moment it was made, whatever a clock says.
 */
export function isRest({ value, timestampMs, expiresAtMs }: Version): boolean {
  return value !== undefined && expiresAtMs !== 0 && expiresAtMs <= timestampMs;
}

/**
 * The canonical order: the latest first. Total, and blind to arrival, so that every node shows the
 * same winner: timestamp, clock, what a delete has left, delete before value, value bytes, the earlier expiry,
 * own event.
 * @returns 0 only for versions that are alike in everything
 */
export function orderVersions(a: Version, b: Version): number {
  if (a.timestampMs !== b.timestampMs) return b.timestampMs - a.timestampMs;
  return orderClocks(b.clock, a.clock) || Number(isRest(b)) - Number(isRest(a)) ||
    orderValues(a.value, b.value) || orderExpiries(a.expiresAtMs, b.expiresAtMs) ||
    orderDots(a.dot, b.dot);
}

/**
 * The latest of several versions, for who wants only one: by timestamp, then by the id of the node that made it,
 * as far as clocks tell, then by the canonical order. As blind to arrival as that.
 * @param versions  at least one, in canonical order
 */
export function latestOf(versions: readonly Version[]): Version {
  return versions.reduce((a, b) => {
    if (a.timestampMs !== b.timestampMs) return a.timestampMs > b.timestampMs ? a : b;
    return orderMakers(a.clock, b.clock) < 0 ? b : a;
  });
}

/**
 * Of two versions that had seen the same, the one that the larger node id made comes out larger: only its clock
 * has that event. A version's own event would say it of all, but not every copy of a version has that.
 */
function orderMakers(a: VectorClock, b: VectorClock): number {
  const events = [...a.entries, ...a.dots, ...b.entries, ...b.dots];
  const nodes = new Set(events.map(({ node }) => node));
  for (const node of [...nodes].sort().reverse()) {
    const order = maxCounter(a, node) - maxCounter(b, node);
    if (order !== 0) return order;
  }
  return 0;
}

function orderValues(a: Uint8Array | undefined, b: Uint8Array | undefined): number {
  if (a === undefined || b === undefined) return Number(a !== undefined) - Number(b !== undefined);
  return compareBytes(b, a);
}

// An expiry goes before none, or a copy that lost its expiry on the way would keep a value alive.
function orderExpiries(a: number, b: number): number {
  if (a === 0 || b === 0) return b - a;
  return a - b;
}

function orderDots(a: ClockEntry | undefined, b: ClockEntry | undefined): number {
  if (a === undefined || b === undefined) return Number(a === undefined) - Number(b === undefined);
  if (a.node !== b.node) return a.node < b.node ? 1 : -1;
  return b.counter - a.counter;
}

/**
 * Whether `version` has no place beside `other`: `other` has seen it, or is the same write and goes
 * first. A strict partial order: nothing is obsolete beside itself, and no circles.
 */
export function isObsolete(version: Version, other: Version): boolean {
  if (!includes(other.clock, version.clock)) return false;
  return !includes(version.clock, other.clock) || orderVersions(other, version) < 0;
}

/**
 * The versions of both states that neither makes obsolete, in canonical order.
 * @param a  a state: within it no version is obsolete beside another
 * @param b  the same
 * @returns `a` itself when `b` adds nothing
 */
export function mergeVersions(a: readonly Version[], b: readonly Version[]): readonly Version[] {
  const kept = a.filter((version) => !b.some((other) => isObsolete(version, other)));
  const added = b.filter((version) =>
    !a.some((other) => isObsolete(version, other) || orderVersions(version, other) === 0)
  );
  // What makes a version of `a` obsolete is not obsolete itself, so it is added.
  if (added.length === 0) return a;
  return [...kept, ...added].sort(orderVersions);
}

/** A clock that has seen every one of the versions. */
export function joinVersions(versions: readonly Version[]): VectorClock {
  let clock = EMPTY_CLOCK;
  for (const version of versions) clock = joinClocks(clock, version.clock);
  return clock;
}
