/**
 * A watch: what comes of a range's keys, in the order of the log, from a moment on.
 *
 *     begin     (gap) (initial ...) progress     where no token says where to go on
 *     live      put, delete ... progress ...     progress when nothing else has come for a while
 *     overrun   gap, and begin anew
 *
 * A position is a sequence number: of the changes up to it the watcher has had those of its range, or has
 * been told of a gap. A token is a position in one feed. One of another feed, which is one of another life
 * of the node too, says nothing about this one: it gives a gap, never silence.
 *
 * With `initial`, what a gap hides is sent, too; and until all of it is out, events bear no token, since
 * going on from there would leave out the rest.
 * @module
 */
import type { Engine, Tree } from "../engine/mod.ts";
import {
  compareBytes,
  type ConflictStrategy,
  decodeKey,
  EMPTY_CLOCK,
  getU32,
  PairError,
  putU32,
} from "../model/mod.ts";
import type { Clock } from "../runtime/mod.ts";
import type { WatchEvent } from "./api.ts";
import { type Change, type Changes, covers, type Feed, type KeyRange } from "./changes.ts";
import { valueBytes, viewChange } from "./reads.ts";

/** Events are given out together until they hold this many bytes of keys and values... */
const BATCH_BYTES = 64 * 1024;
/** ...or are this many. */
const BATCH_EVENTS = 500;
/** Changes that are looked at in one step. */
const STEP_CHANGES = 2000;
/** Other work goes first after this long. */
const SLICE_MS = 5;
/** Bytes of a token: the feed's life, and the sequence number in two words. */
const TOKEN_BYTES = 16;
const WORD = 2 ** 32;
/** A token as text: base64 for URLs. */
const TOKEN = /^[\w-]{22}$/;

/** A place in a feed. */
export interface WatchToken {
  readonly life: Uint8Array;
  readonly sequence: number;
}

/** What is watched, and how. */
export interface WatchRange extends KeyRange {
  /** Where an earlier watch had got to. */
  readonly token: WatchToken | undefined;
  /** Begin with what the range holds, after a gap too. */
  readonly initial: boolean;
  /** Say how far it has got after this long without events. */
  readonly progressMs: number;
}

/** What watches stand on. */
export interface WatchParts {
  readonly engine: Engine;
  readonly changes: Changes;
  readonly clock: Clock;
  /** The tenant's tree; undefined while there is none. @throws PairError when there has to be one */
  readonly tree: () => Tree | undefined;
  /** How the tenant deals with concurrent versions, as of now. */
  readonly strategy: () => ConflictStrategy | undefined;
  /** The time that decides what has expired. */
  readonly nowMs: () => number;
  /** Charges values that are given out to the tenant. */
  readonly charge: (bytes: number) => void;
  /** How long to pause then, so that the watch keeps to the tenant's bandwidth, ms. */
  readonly pauseMs: () => number;
  /** An event as it goes out: with the seals of its contexts. */
  readonly sealed: (event: WatchEvent) => WatchEvent;
}

/**
 * A watch of a tenant, which has begun when its first event comes. Returning from the iteration ends it.
 * @throws PairError ResourceExhausted (2008) when there are too many, InvalidTenantID (1004) when the tenant
 *   is dropped, Unavailable (2001) when the node closes; the signal's reason
 */
export async function* watchRange(
  parts: WatchParts,
  tenant: string,
  range: WatchRange,
  signal?: AbortSignal,
): AsyncGenerator<readonly WatchEvent[], undefined> {
  const { changes, clock } = parts;
  const feed = changes.open(tenant);
  try {
    const { token } = range;
    const isKnown = token !== undefined && isOf(token, feed, changes.visible);
    let gap = token === undefined || isKnown ? "" : "unknown";
    let begins = !isKnown;
    let position = isKnown ? token.sequence : 0;
    let hasBegun = false;
    let sentMs = -Infinity;
    let sliceMs = clock.monotonicMs();
    for (;;) {
      signal?.throwIfAborted();
      if (feed.ended !== undefined) throw feed.ended;
      if (!begins && position < feed.base) {
        gap = hasBegun ? "overrun" : "expired";
        begins = true;
      }
      if (begins) {
        // What the feed does not have must be there for those who read it now.
        await changes.settled(feed, signal);
        if (feed.ended !== undefined) throw feed.ended;
        position = changes.visible;
        if (gap !== "") {
          changes.gaps++;
          yield [mark("gap", range.initial ? "" : tokenOf(feed, position), gap)];
          gap = "";
        }
        if (range.initial) {
          // A client that took long to hear of the gap begins now, unless the next has opened meanwhile.
          if (changes.visible < feed.base) continue;
          position = changes.visible;
          yield* initialEvents(parts, range, signal);
        }
        begins = false;
        sentMs = -Infinity;
        continue;
      }
      if (clock.monotonicMs() - sliceMs >= SLICE_MS) {
        await clock.sleep(0, signal);
        sliceMs = clock.monotonicMs();
        continue;
      }
      if (clock.monotonicMs() - sentMs >= range.progressMs) {
        sentMs = clock.monotonicMs();
        hasBegun = true;
        yield [mark("progress", tokenOf(feed, position))];
        continue;
      }
      const step = takeEvents(parts, feed, position, range);
      position = step.position;
      if (step.events.length > 0) {
        sentMs = clock.monotonicMs();
        yield give(parts, step.events);
        // What comes meanwhile waits in the feed, as for any watcher who is slow.
        const pauseMs = parts.pauseMs();
        if (pauseMs > 0) await clock.sleep(pauseMs, signal);
        continue;
      }
      if (!step.isLast) continue;
      const patienceMs = sentMs + range.progressMs - clock.monotonicMs();
      position = await changes.change(feed, range, position, patienceMs, signal);
      sliceMs = clock.monotonicMs();
    }
  } finally {
    changes.release(feed);
  }
}

/** A part of a feed that was looked at. */
interface Step {
  readonly events: readonly WatchEvent[];
  /** How far. */
  readonly position: number;
  /** There was nothing more to be shown. */
  readonly isLast: boolean;
}

/** Events of the changes behind a position, as many as go out together. */
function takeEvents(
  { changes, nowMs, strategy }: WatchParts,
  feed: Feed,
  position: number,
  range: WatchRange,
): Step {
  const { visible } = changes;
  const events: WatchEvent[] = [];
  const now = nowMs();
  const resolves = strategy();
  let bytes = 0;
  let place = feed.placeAfter(position);
  const last = Math.min(feed.end, place + STEP_CHANGES);
  for (; place < last; place++) {
    const change = feed.at(place);
    if (change.sequence > visible) break;
    if (covers(range, change.key)) {
      const event = eventOf(change, now, feed, resolves);
      const size = bytesOf(event);
      const isFull = bytes + size > BATCH_BYTES || events.length >= BATCH_EVENTS;
      if (events.length > 0 && isFull) return { events, position, isLast: false };
      events.push(event);
      bytes += size;
    }
    position = change.sequence;
  }
  const isLast = place >= feed.end || feed.at(place).sequence > visible;
  return { events, position: isLast ? Math.max(position, visible) : position, isLast };
}

/** What a range holds now; the moment is that of the first step. */
async function* initialEvents(
  parts: WatchParts,
  range: WatchRange,
  signal: AbortSignal | undefined,
): AsyncGenerator<readonly WatchEvent[], undefined> {
  const { engine, clock, nowMs } = parts;
  const tree = parts.tree();
  const { start, end } = range;
  const isEmpty = start !== undefined && end !== undefined && compareBytes(start, end) >= 0;
  if (tree === undefined || isEmpty) return;
  const cursor = engine.scan(tree, { start, end });
  const now = nowMs();
  const resolves = parts.strategy();
  let events: WatchEvent[] = [];
  let bytes = 0;
  let sliceMs = clock.monotonicMs();
  try {
    for (;;) {
      const wait = cursor.ready();
      if (wait !== undefined) await wait;
      else if (clock.monotonicMs() - sliceMs >= SLICE_MS) await clock.sleep(0, signal);
      if (wait !== undefined || clock.monotonicMs() - sliceMs >= SLICE_MS) {
        signal?.throwIfAborted();
        sliceMs = clock.monotonicMs();
      }
      if (!cursor.next()) break;
      // Copied: the cursor's bytes are good until its next step.
      const view = viewChange(cursor.value.slice(), now, resolves);
      if (view.state === undefined) continue;
      const key = decodeKey(cursor.key);
      const event: WatchEvent = { type: "initial", key, ...view, token: "", reason: "" };
      const size = bytesOf(event);
      if (events.length > 0 && (bytes + size > BATCH_BYTES || events.length >= BATCH_EVENTS)) {
        yield give(parts, events);
        signal?.throwIfAborted();
        const pauseMs = parts.pauseMs();
        if (pauseMs > 0) await clock.sleep(pauseMs, signal);
        events = [];
        bytes = 0;
      }
      events.push(event);
      bytes += size;
    }
    if (events.length > 0) yield give(parts, events);
  } finally {
    cursor.close();
  }
}

/** Counts, charges and seals what goes out. */
function give(
  { changes, charge, sealed }: WatchParts,
  events: readonly WatchEvent[],
): readonly WatchEvent[] {
  changes.events += events.length;
  charge(events.reduce((sum, { state }) => sum + (state === undefined ? 0 : valueBytes(state)), 0));
  return events.map(sealed);
}

function eventOf(
  { sequence, key, state }: Change,
  nowMs: number,
  feed: Feed,
  strategy: ConflictStrategy | undefined,
): WatchEvent {
  const view = viewChange(state, nowMs, strategy);
  return {
    type: view.state === undefined ? "delete" : "put",
    key: decodeKey(key),
    ...view,
    token: tokenOf(feed, sequence),
    reason: "",
  };
}

/** An event that is about no key. */
function mark(type: "progress" | "gap", token: string, reason = ""): WatchEvent {
  return {
    type,
    key: "",
    state: undefined,
    clock: EMPTY_CLOCK,
    timestampMs: 0,
    expiresAtMs: 0,
    token,
    reason,
  };
}

function bytesOf({ key, state }: WatchEvent): number {
  return key.length + (state === undefined ? 0 : valueBytes(state));
}

/** Whether a token is a place in this feed; one that is not out yet was not given by us. */
function isOf({ life, sequence }: WatchToken, feed: Feed, visible: number): boolean {
  return compareBytes(life, feed.life) === 0 && sequence <= visible;
}

function tokenOf({ life }: Feed, sequence: number): string {
  const bytes = new Uint8Array(TOKEN_BYTES);
  bytes.set(life);
  putU32(bytes, life.length, Math.floor(sequence / WORD));
  putU32(bytes, life.length + 4, sequence % WORD);
  return bytes.toBase64({ alphabet: "base64url", omitPadding: true });
}

/** @throws PairError InvalidArgument (1000) when it is none */
export function parseToken(text: string): WatchToken {
  const bytes = TOKEN.test(text)
    ? Uint8Array.fromBase64(text, { alphabet: "base64url", lastChunkHandling: "loose" })
    : new Uint8Array(0);
  if (bytes.length !== TOKEN_BYTES) {
    throw new PairError("InvalidArgument", "Cannot watch: the resume token is none of ours");
  }
  const at = TOKEN_BYTES - 8;
  return {
    life: bytes.subarray(0, at),
    sequence: getU32(bytes, at) * WORD + getU32(bytes, at + 4),
  };
}
