/**
 * Vector clocks: what a version has seen.
 *
 * A clock is a set of write events (node, counter). An entry stands for all events of its node up to
 * its counter; a dot is one event beyond the entries, which appears only while a key has siblings.
 *
 *     entries [a:3]  dots [a:5, b:2]     stands for the events a1 a2 a3 a5 b2
 *
 * All operations here are those of sets. They expect clocks in normal form (see
 * {@link normalizeClock}), which all of them return; {@link checkClock} makes it from outside input.
 * Source: Preguiça et al., "Dotted Version Vectors", 2010.
 * @module
 */
import { PairError } from "./errors.ts";
import { MAX_CLOCK_EVENTS_HELD, MAX_NODE_ID_BYTES } from "./limits.ts";
import { describeFault, encodeText } from "./text.ts";

/** Events of one node: up to `counter` in an entry, exactly `counter` in a dot. */
export interface ClockEntry {
  /** 1 to 128 bytes. */
  readonly node: string;
  /** 0 to 2^53 - 1. */
  readonly counter: number;
}

/** A set of events. Entries and dots are sorted by node (UTF-16 order), then counter; no dot is covered by an entry. */
export interface VectorClock {
  /** For each node, all its events up to a counter. */
  readonly entries: readonly ClockEntry[];
  /** Single events beyond the entries. */
  readonly dots: readonly ClockEntry[];
}

/** How one clock stands to another; `before` means that it is a proper subset. */
export type ClockOrder = "before" | "after" | "equal" | "concurrent";

/** The clock that has seen nothing. */
export const EMPTY_CLOCK: VectorClock = Object.freeze({
  entries: Object.freeze([]),
  dots: Object.freeze([]),
});

/**
 * Checks a node id.
 * @throws PairError InvalidArgument (1000) when it is empty, longer than 128 bytes, ill-formed, or has
 *   a control character
 */
export function validateNodeId(node: string): void {
  if (typeof node !== "string" || node.length === 0) throw badNodeId("it is missing or empty");
  if (node.length > MAX_NODE_ID_BYTES) throw badNodeId("it is longer than 128 bytes");
  const bytes = encodeText(node);
  if (typeof bytes === "string") throw badNodeId(describeFault(bytes));
  if (bytes.length > MAX_NODE_ID_BYTES) throw badNodeId("it is longer than 128 bytes");
}

function badNodeId(why: string): PairError {
  return new PairError("InvalidArgument", `Cannot take the node id: ${why}`);
}

/**
 * A clock from outside, checked and in normal form.
 * @throws PairError InvalidArgument (1000): more than 2000 entries and dots, a counter that is not an
 *   integer from 0 to 2^53 - 1, a bad node id, or no clock at all
 */
export function checkClock(clock: VectorClock): VectorClock {
  // Programs in the same process may hand in anything.
  if (!Array.isArray(clock?.entries) || !Array.isArray(clock.dots)) {
    throw new PairError("InvalidArgument", "Cannot take the vector clock: it is none");
  }
  const size = clockSize(clock);
  if (size > MAX_CLOCK_EVENTS_HELD) throw clockTooLong(size, MAX_CLOCK_EVENTS_HELD);
  for (const entry of clock.entries) checkEntry(entry);
  for (const dot of clock.dots) checkEntry(dot);
  return normalizeClock(clock);
}

/** The error for a clock from outside that is too long: InvalidArgument (1000). */
export function clockTooLong(entries: number, limit: number): PairError {
  return new PairError("InvalidArgument", "Cannot take the vector clock: it is too long", {
    entries,
    limit,
  });
}

function checkEntry(entry: ClockEntry): void {
  const { node, counter } = entry ?? {};
  validateNodeId(node);
  if (!Number.isSafeInteger(counter) || counter < 0) {
    throw new PairError(
      "InvalidArgument",
      "Cannot take the vector clock: a counter is not an integer from 0 to 2^53 - 1",
    );
  }
}

/** Entries and dots, together. */
export function clockSize(clock: VectorClock): number {
  return clock.entries.length + clock.dots.length;
}

/**
 * The same set of events in its one normal form: sorted, a node once among the entries (its largest
 * counter stands), dots that adjoin an entry folded into it, nothing with counter 0.
 */
export function normalizeClock(clock: VectorClock): VectorClock {
  if (isNormal(clock)) return clock;
  const entries = clock.entries.filter((entry) => entry.counter > 0).sort(orderEntries);
  const dots = clock.dots.filter((dot) => dot.counter > 0).sort(orderEntries);
  const folded: ClockEntry[] = [];
  const beyond: ClockEntry[] = [];
  let e = 0;
  let d = 0;
  // One node after the other, in order; within a node the entries first, then its dots upwards.
  while (e < entries.length || d < dots.length) {
    const node = e < entries.length && (d >= dots.length || entries[e].node <= dots[d].node)
      ? entries[e].node
      : dots[d].node;
    let counter = 0;
    for (; e < entries.length && entries[e].node === node; e++) counter = entries[e].counter;
    let last = 0;
    for (; d < dots.length && dots[d].node === node; d++) {
      const dot = dots[d].counter;
      if (dot === counter + 1) counter = dot;
      else if (dot > counter && dot !== last) beyond.push(dots[d]);
      last = dot;
    }
    if (counter > 0) folded.push({ node, counter });
  }
  return { entries: folded, dots: beyond };
}

/** Whether the clock is in normal form already; the usual case, decided without allocation. */
function isNormal({ entries, dots }: VectorClock): boolean {
  if (dots.length > 0) return false;
  for (let i = 0; i < entries.length; i++) {
    if (entries[i].counter === 0) return false;
    if (i > 0 && entries[i - 1].node >= entries[i].node) return false;
  }
  return true;
}

/** Node in UTF-16 order, then counter. */
function orderEntries(a: ClockEntry, b: ClockEntry): number {
  if (a.node !== b.node) return a.node < b.node ? -1 : 1;
  return a.counter - b.counter;
}

/** All events of both. */
export function joinClocks(a: VectorClock, b: VectorClock): VectorClock {
  if (a === b || clockSize(b) === 0) return a;
  if (clockSize(a) === 0) return b;
  if (a.dots.length > 0 || b.dots.length > 0) {
    return normalizeClock({
      entries: [...a.entries, ...b.entries],
      dots: [...a.dots, ...b.dots],
    });
  }
  const entries: ClockEntry[] = [];
  let i = 0;
  let j = 0;
  while (i < a.entries.length && j < b.entries.length) {
    const left = a.entries[i];
    const right = b.entries[j];
    if (left.node === right.node) {
      entries.push(left.counter >= right.counter ? left : right);
      i++;
      j++;
    } else if (left.node < right.node) {
      entries.push(left);
      i++;
    } else {
      entries.push(right);
      j++;
    }
  }
  while (i < a.entries.length) entries.push(a.entries[i++]);
  while (j < b.entries.length) entries.push(b.entries[j++]);
  return { entries, dots: [] };
}

/** The clock with one event more. */
export function addDot(clock: VectorClock, dot: ClockEntry): VectorClock {
  // The usual write follows the last event that its context has seen: an entry grows by one.
  if (dot.counter === entryCounter(clock, dot.node) + 1) {
    return joinClocks(clock, { entries: [dot], dots: [] });
  }
  return joinClocks(clock, normalizeClock({ entries: [], dots: [dot] }));
}

/** Whether the clock has seen this one event. There is no event 0, so every clock has seen it. */
export function covers(clock: VectorClock, event: ClockEntry): boolean {
  if (event.counter <= entryCounter(clock, event.node)) return true;
  for (const dot of clock.dots) {
    if (dot.counter === event.counter && dot.node === event.node) return true;
  }
  return false;
}

/** Whether `a` has seen everything that `b` has. A partial order over clocks in normal form. */
export function includes(a: VectorClock, b: VectorClock): boolean {
  // Dots that adjoin an entry are folded into it, so only an entry can cover an entry.
  let i = 0;
  for (const { node, counter } of b.entries) {
    while (i < a.entries.length && a.entries[i].node < node) i++;
    if (i === a.entries.length) return false;
    if (a.entries[i].node !== node || a.entries[i].counter < counter) return false;
  }
  let j = 0;
  for (const dot of b.dots) {
    if (dot.counter <= entryCounter(a, dot.node)) continue;
    while (j < a.dots.length && orderEntries(a.dots[j], dot) < 0) j++;
    if (j === a.dots.length || orderEntries(a.dots[j], dot) !== 0) return false;
  }
  return true;
}

/** How `a` stands to `b`. */
export function compareClocks(a: VectorClock, b: VectorClock): ClockOrder {
  const after = includes(a, b);
  const before = includes(b, a);
  if (after) return before ? "equal" : "after";
  return before ? "before" : "concurrent";
}

/**
 * Some total order over clocks, the same on every node: only to break ties with, it knows nothing of
 * causality. 0 exactly for equal sets.
 */
export function orderClocks(a: VectorClock, b: VectorClock): number {
  return orderLists(a.entries, b.entries) || orderLists(a.dots, b.dots);
}

function orderLists(a: readonly ClockEntry[], b: readonly ClockEntry[]): number {
  const shared = Math.min(a.length, b.length);
  for (let i = 0; i < shared; i++) {
    const order = orderEntries(a[i], b[i]);
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

/** The largest counter of a node in the clock; 0 when it has none. */
export function maxCounter(clock: VectorClock, node: string): number {
  let counter = entryCounter(clock, node);
  for (const dot of clock.dots) {
    if (dot.node === node && dot.counter > counter) counter = dot.counter;
  }
  return counter;
}

/** The counter of a node's entry, found by binary search; 0 when there is none. */
function entryCounter({ entries }: VectorClock, node: string): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (entries[middle].node < node) low = middle + 1;
    else high = middle;
  }
  return low < entries.length && entries[low].node === node ? entries[low].counter : 0;
}
