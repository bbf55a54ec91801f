/**
 * The write rule: how a node that takes a client's write gives it a clock, and which versions give way.
 *
 *     the client sends     the new version has seen              it replaces
 *     no context           all that this node holds of the key   all of it
 *     a context            the context                           what the context covers
 *
 * Either way the version is one new event of this node, one above every event of the node that any
 * version of the key or the context knows. The event is a dot: it does not claim the node's earlier
 * events, so a sibling that the writer never saw stays. The clock that the client gets back is the new
 * version's own and no more, so replaying it cannot overwrite that sibling either.
 *
 * A key whose state was dropped because it was dead begins anew, but not from 1: somebody may still hold
 * a clock of it, or a replica the state itself, and would take an event 1 for one that it has seen. The
 * node goes on above the largest counter of anything it ever dropped.
 *
 * A clock may be as long as `limits.ts` says, but that never keeps a node from writing a key: whoever has seen
 * all of it may write and delete it, whatever its clock names already, and the node adds itself.
 * @module
 */
import {
  addDot,
  type ClockEntry,
  clockSize,
  clockTooLong,
  covers,
  includes,
  joinClocks,
  maxCounter,
  type VectorClock,
} from "./clock.ts";
import { PairError } from "./errors.ts";
import {
  MAX_CLOCK_EVENTS,
  MAX_CLOCK_EVENTS_HELD,
  MAX_COUNTER,
  MAX_SIBLING_BYTES,
  MAX_SIBLINGS,
} from "./limits.ts";
import { isObsolete, joinVersions, orderVersions, type Version } from "./version.ts";

/** A client's write, as the node that coordinates it sees it. */
export interface ClientWrite {
  /** What the client says it has seen, in normal form; undefined: whatever the node has. */
  readonly context: VectorClock | undefined;
  /** Undefined for a delete. */
  readonly value: Uint8Array | undefined;
  /** Wall time at the node, ms since 1970. */
  readonly timestampMs: number;
  /** Wall time from which on it reads as a delete, ms since 1970; 0: never. */
  readonly expiresAtMs: number;
  /**
   * The largest counter of any state that the node has dropped because it was dead: nobody remembers which
   * key it was of, so the events of this key may have gone as far. Absent or 0: nothing was dropped.
   */
  readonly purgeFloor?: number;
}

/** What a write makes of a key. */
export interface Coordinated {
  /** The key's new state, in canonical order. */
  readonly versions: readonly Version[];
  /** The new version, which is one of them. */
  readonly written: Version;
}

/**
 * Applies a client's write to a key's state.
 * @param local  the key's state at this node, writes under way included; empty when there is none
 * @param node   the id of this node
 * @throws PairError InvalidArgument (1000) when the context knows events of this node that the node
 *   does not, or the node's counter is used up; ResourceExhausted (2008) when the key would get too
 *   many siblings, too many bytes of them, or too long a clock
 */
export function coordinateWrite(
  local: readonly Version[],
  node: string,
  write: ClientWrite,
): Coordinated {
  const purged = write.purgeFloor ?? 0;
  const dot = nextDot(local, node, write.context, purged);
  const seen = claimPurged(
    write.context === undefined ? joinVersions(local) : fillUp(write.context, local),
    local,
    { node, counter: Math.min(purged, dot.counter - 1) },
  );
  let clock = addDot(seen, dot);
  if (clockSize(clock) > MAX_CLOCK_EVENTS) {
    // The node itself is to be one entry of it: as after a purge, what it did not see here is gone.
    clock = addDot(claimPurged(seen, local, { node, counter: dot.counter - 1 }), dot);
  }
  const written: Version = {
    clock,
    dot,
    value: write.value,
    timestampMs: write.timestampMs,
    expiresAtMs: write.expiresAtMs,
  };
  const versions = local.filter((version) => !isObsolete(version, written));
  versions.push(written);
  versions.sort(orderVersions);
  checkSiblings(versions);
  checkGrowth(versions, local, node);
  return { versions, written };
}

/**
 * The event that a write of a client becomes: counters only ever grow, or a replica would take the write for an
 * old one.
 * @param local    as for {@link coordinateWrite}
 * @param context  of the write
 * @param purged   the largest counter of any state that the node has dropped; 0: none
 * @throws PairError InvalidArgument (1000) as {@link coordinateWrite} does
 */
export function nextDot(
  local: readonly Version[],
  node: string,
  context: VectorClock | undefined,
  purged: number,
): ClockEntry {
  let known = purged;
  for (const version of local) known = Math.max(known, maxCounter(version.clock, node));
  // Only this node makes its events. One that it does not know is forged, or was lost with its data;
  // to go on from it would let a client push the counter to its end.
  if (context !== undefined && maxCounter(context, node) > known) {
    throw new PairError(
      "InvalidArgument",
      "Cannot take the vector clock: it names a write of this node that the node does not know",
      { known },
    );
  }
  if (known >= MAX_COUNTER) {
    throw new PairError("InvalidArgument", "Cannot write the key: its write counter is used up", {
      limit: MAX_COUNTER,
    });
  }
  return { node, counter: known + 1 };
}

/**
 * The clock with the node's events up to where dropped states may have gone. They are dead or replaced, all
 * but those of siblings that are here: where the writer has not seen one of those, it stays as it is.
 *
 * Without the claim the events would stay a gap in the clock, and each later write a dot beside it.
 */
function claimPurged(
  seen: VectorClock,
  local: readonly Version[],
  purged: ClockEntry,
): VectorClock {
  const claim = { entries: [purged], dots: [] };
  if (purged.counter === 0 || includes(seen, claim)) return seen;
  const claimed = joinClocks(seen, claim);
  const hides = local.some(({ clock }) => includes(claimed, clock) && !includes(seen, clock));
  return hides ? seen : claimed;
}

/**
 * A context with the history of every version that it names. Contexts that this cluster gave out have
 * it already; clients that keep only a part of one would otherwise gather siblings that they have seen.
 */
function fillUp(context: VectorClock, local: readonly Version[]): VectorClock {
  let seen = context;
  for (const { dot, clock } of local) {
    if (dot !== undefined && covers(context, dot)) seen = joinClocks(seen, clock);
  }
  return seen;
}

/**
 * Checks that a context is not longer than one may be. What the key holds is taken back however long it is,
 * so that whoever read it can write it.
 * @param local  what the key holds
 * @throws PairError InvalidArgument (1000)
 */
export function checkContextLength(context: VectorClock, local: readonly Version[]): void {
  const size = clockSize(context);
  if (size <= MAX_CLOCK_EVENTS) return;
  const known = joinVersions(local);
  if (size <= clockSize(known) && includes(known, context)) return;
  throw clockTooLong(size, MAX_CLOCK_EVENTS);
}

/**
 * Checks that the state that another node's versions make of a key is one that a key may have.
 * @throws PairError ResourceExhausted (2008)
 */
export function checkState(versions: readonly Version[]): void {
  checkSiblings(versions);
  checkClocks(versions, MAX_CLOCK_EVENTS_HELD);
}

/**
 * Checks that a client's write does not lengthen the clock of a key beyond the limit. One that is beyond it
 * already stays as long as it is, but for the node itself.
 */
function checkGrowth(versions: readonly Version[], local: readonly Version[], node: string): void {
  let size = versions.length > 1 ? clockSize(joinVersions(versions)) : 0;
  for (const { clock } of versions) size = Math.max(size, clockSize(clock));
  if (size <= MAX_CLOCK_EVENTS) return;
  const before = joinVersions(local);
  const others = clockSize(before) - (maxCounter(before, node) > 0 ? 1 : 0);
  checkClocks(versions, Math.max(MAX_CLOCK_EVENTS, others + 1));
}

function checkSiblings(versions: readonly Version[]): void {
  if (versions.length > MAX_SIBLINGS) {
    throw exhausted(
      "siblings",
      "it has too many concurrent versions",
      versions.length,
      MAX_SIBLINGS,
    );
  }
  if (versions.length === 1) return;
  let bytes = 0;
  for (const { value } of versions) bytes += value?.length ?? 0;
  if (bytes > MAX_SIBLING_BYTES) {
    throw exhausted("siblings", "its concurrent versions are too big", bytes, MAX_SIBLING_BYTES);
  }
}

function checkClocks(versions: readonly Version[], limit: number): void {
  for (const { clock } of versions) checkSize(clock, limit);
  // The clock of a read covers all siblings, and must be one that a client can send back.
  if (versions.length > 1) checkSize(joinVersions(versions), limit);
}

function checkSize(clock: VectorClock, limit: number): void {
  const size = clockSize(clock);
  if (size > limit) throw exhausted("clock", "its vector clock is too long", size, limit);
}

function exhausted(
  reason: "siblings" | "clock",
  why: string,
  size: number,
  limit: number,
): PairError {
  return new PairError(
    "ResourceExhausted",
    `Cannot write the key: ${why}; read it and write it with the clock of the answer`,
    { reason, size, limit },
  );
}
