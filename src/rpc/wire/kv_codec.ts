/**
 * KeyValueService's messages on the wire, straight from and to the values that its methods take and give.
 * The schema is proto/pairdb/v1/kv.proto; whatever protobuf's own library reads from these bytes, this
 * reads too, and the other way round (tests/unit/rpc/wire/).
 * @module
 */
import type { CausalContext, ClockEntry, Key } from "../../model/mod.ts";
import type { KeyState, PutInput, VersionView, WriteResult } from "../../node/mod.ts";
import { toSafeCount } from "../convert.ts";
import type {
  BatchGetCall,
  BatchGetResult,
  BatchPutCall,
  BatchPutResult,
  DeleteCall,
  DeleteResult,
  GetCall,
  PutCall,
} from "../methods/mod.ts";
import {
  bytesTag,
  FIXED64_FIELD_SIZE,
  fixed64Tag,
  lengthFieldSize,
  putBytesField,
  putFixed64Field,
  putLength,
  putTextField,
  putVarintField,
  textLength,
  varintFieldSize,
  varintTag,
  WireReader,
} from "./protobuf.ts";

/** How one kind of message is written. */
export interface Encoder<T> {
  /** Bytes that it takes at most. */
  bound(value: T): number;
  /** Writes it. @returns the end */
  write(value: T, into: Uint8Array, at: number): number;
}

// Requests.

/** @throws MalformedMessage, PairError InvalidArgument (1000) for a number out of its range */
export function decodePut(bytes: Uint8Array): PutCall {
  const reader = new WireReader(bytes);
  let tenant = "", key: Key = "", value: Uint8Array | undefined, clock: ClockParts | undefined;
  let consistency = 0, ttlMs: number | undefined, ifContext = false;
  let idempotencyKey: string | undefined;
  while (reader.more) {
    const tag = reader.tag();
    if (tag === bytesTag(1)) tenant = reader.text();
    else if (tag === bytesTag(2)) key = reader.textBytes();
    else if (tag === bytesTag(3)) value = reader.bytes();
    else if (tag === bytesTag(4)) clock = readClock(reader.message(), clock);
    else if (tag === varintTag(5)) consistency = reader.int32();
    else if (tag === varintTag(6)) ttlMs = reader.int64();
    else if (tag === varintTag(7)) ifContext = reader.bool();
    else if (tag === bytesTag(8)) idempotencyKey = reader.text();
    else reader.skip(tag, 8);
  }
  const context = toContext(clock);
  const ttl = toTtl(ttlMs);
  return { tenant, key, value, context, consistency, ttlMs: ttl, ifContext, idempotencyKey };
}

/** @throws MalformedMessage */
export function decodeGet(bytes: Uint8Array): GetCall {
  const reader = new WireReader(bytes);
  let tenant = "", key: Key = "", consistency = 0;
  while (reader.more) {
    const tag = reader.tag();
    if (tag === bytesTag(1)) tenant = reader.text();
    else if (tag === bytesTag(2)) key = reader.textBytes();
    else if (tag === varintTag(3)) consistency = reader.int32();
    else reader.skip(tag, 3);
  }
  return { tenant, key, consistency };
}

/** @throws MalformedMessage, PairError InvalidArgument (1000) for a number out of its range */
export function decodeDelete(bytes: Uint8Array): DeleteCall {
  const reader = new WireReader(bytes);
  let tenant = "", key: Key = "", clock: ClockParts | undefined;
  let consistency = 0, ifContext = false, idempotencyKey: string | undefined;
  while (reader.more) {
    const tag = reader.tag();
    if (tag === bytesTag(1)) tenant = reader.text();
    else if (tag === bytesTag(2)) key = reader.textBytes();
    else if (tag === bytesTag(3)) clock = readClock(reader.message(), clock);
    else if (tag === varintTag(4)) consistency = reader.int32();
    else if (tag === varintTag(5)) ifContext = reader.bool();
    else if (tag === bytesTag(6)) idempotencyKey = reader.text();
    else reader.skip(tag, 6);
  }
  return { tenant, key, context: toContext(clock), consistency, ifContext, idempotencyKey };
}

/** @throws MalformedMessage, PairError InvalidArgument (1000) for a number out of its range */
export function decodeBatchPut(bytes: Uint8Array): BatchPutCall {
  const reader = new WireReader(bytes);
  let tenant = "", consistency = 0, skipUnchanged = false, idempotencyKey: string | undefined;
  const items: PutItem[] = [];
  while (reader.more) {
    const tag = reader.tag();
    if (tag === bytesTag(1)) tenant = reader.text();
    else if (tag === bytesTag(2)) items.push(readItem(reader.message()));
    else if (tag === varintTag(3)) consistency = reader.int32();
    else if (tag === varintTag(4)) skipUnchanged = reader.bool();
    else if (tag === bytesTag(5)) idempotencyKey = reader.text();
    else reader.skip(tag, 5);
  }
  for (const item of items) checkItem(item);
  return { tenant, items, consistency, skipUnchanged, idempotencyKey };
}

/** @throws MalformedMessage */
export function decodeBatchGet(bytes: Uint8Array): BatchGetCall {
  const reader = new WireReader(bytes);
  let tenant = "", consistency = 0;
  const keys: string[] = [];
  while (reader.more) {
    const tag = reader.tag();
    if (tag === bytesTag(1)) tenant = reader.text();
    else if (tag === bytesTag(2)) keys.push(reader.text());
    else if (tag === varintTag(3)) consistency = reader.int32();
    else reader.skip(tag, 3);
  }
  return { tenant, keys, consistency };
}

/** An item of a batch, while it is read. */
interface PutItem extends PutInput {
  key: Key;
  value: Uint8Array | undefined;
  context: ClockParts | undefined;
  ttlMs: number | undefined;
  ifContext: boolean;
}

function readItem(reader: WireReader): PutItem {
  const item: PutItem = {
    key: "",
    value: undefined,
    context: undefined,
    ttlMs: undefined,
    ifContext: false,
  };
  while (reader.more) {
    const tag = reader.tag();
    if (tag === bytesTag(1)) item.key = reader.textBytes();
    else if (tag === bytesTag(2)) item.value = reader.bytes();
    else if (tag === bytesTag(3)) item.context = readClock(reader.message(), item.context);
    else if (tag === varintTag(4)) item.ttlMs = reader.int64();
    else if (tag === varintTag(5)) item.ifContext = reader.bool();
    else reader.skip(tag, 5);
  }
  return item;
}

/** Bytes that are no message come before bad numbers, so they are checked when all is read. */
function checkItem(item: PutItem): void {
  if (item.context !== undefined && toContext(item.context) === undefined) item.context = undefined;
  toTtl(item.ttlMs);
}

/** A time to live: absent and 0 are not the same. */
function toTtl(ttlMs: number | undefined): number | undefined {
  return ttlMs === undefined ? undefined : toSafeCount(ttlMs, "ttl_ms");
}

/** A clock whose numbers nobody has checked yet. */
interface ClockParts extends CausalContext {
  readonly entries: ClockEntry[];
  readonly dots: ClockEntry[];
  seal: number | undefined;
}

/** Reads a clock; one that comes in two pieces is their union, with the last seal, as protobuf has it. */
function readClock(
  reader: WireReader,
  clock: ClockParts = { entries: [], dots: [], seal: undefined },
): ClockParts {
  while (reader.more) {
    const tag = reader.tag();
    if (tag === bytesTag(1)) clock.entries.push(readDot(reader.message()));
    else if (tag === bytesTag(2)) clock.dots.push(readDot(reader.message()));
    else if (tag === fixed64Tag(3)) clock.seal = reader.fixed64();
    else reader.skip(tag, 3);
  }
  return clock;
}

function readDot(reader: WireReader): ClockEntry {
  let node = "", counter = 0;
  while (reader.more) {
    const tag = reader.tag();
    if (tag === bytesTag(1)) node = reader.text();
    else if (tag === varintTag(2)) counter = reader.int64();
    else reader.skip(tag, 2);
  }
  return { node, counter };
}

/** The causal context; undefined when there is none: an empty clock without a seal says nothing. */
function toContext(clock: ClockParts | undefined): CausalContext | undefined {
  if (clock === undefined) return undefined;
  const { entries, dots, seal } = clock;
  if (entries.length === 0 && dots.length === 0 && seal === undefined) return undefined;
  for (const { counter } of entries) checkCounter(counter);
  for (const { counter } of dots) checkCounter(counter);
  return clock;
}

function checkCounter(counter: number): void {
  toSafeCount(counter, "vector_clock.logical_timestamp");
}

// Answers.

/** PutResponse. */
export const putResult: Encoder<WriteResult> = {
  bound: (result) => clockBound(result.clock) + NUMBERS_BOUND,
  write: (result, into, at) => putWriteResult(into, at, result),
};

/** DeleteResponse. */
export const deleteResult: Encoder<DeleteResult> = {
  bound: (result) => clockBound(result.clock) + NUMBERS_BOUND,
  write(result, into, at) {
    at = putClockField(into, at, 1, result.clock);
    at = putVarintField(into, at, 2, result.existed ? 1 : 0);
    return putVarintField(into, at, 3, result.timestampMs);
  },
};

/** GetResponse. */
export const getResult: Encoder<KeyState> = {
  bound: stateBound,
  write: (state, into, at) => putState(into, at, 1, state),
};

/** BatchPutResponse. */
export const batchPutResult: Encoder<BatchPutResult> = {
  bound({ results }) {
    let bound = NUMBERS_BOUND;
    for (const { clock } of results) bound += clockBound(clock) + NUMBERS_BOUND;
    return bound;
  },
  write({ results, unchanged }, into, at) {
    for (const result of results) {
      at = putLength(into, at, 1, writeResultSize(result));
      at = putWriteResult(into, at, result);
    }
    return putVarintField(into, at, 2, unchanged);
  },
};

/** BatchGetResponse. */
export const batchGetResult: Encoder<BatchGetResult> = {
  bound({ keys, results }) {
    let bound = 0;
    results.forEach((result, i) => {
      bound += keys[i].length * 3 + NUMBERS_BOUND + (result === undefined ? 0 : stateBound(result));
    });
    return bound;
  },
  write({ keys, results }, into, at) {
    results.forEach((result, i) => {
      const key = keys[i];
      const keyBytes = textLength(key);
      const keySize = keyBytes === 0 ? 0 : lengthFieldSize(keyBytes);
      const size = keySize + (result === undefined ? 0 : 2 + stateSize(result));
      at = putLength(into, at, 1, size);
      at = putTextField(into, at, 1, key, keyBytes);
      if (result === undefined) return;
      at = putVarintField(into, at, 2, 1);
      at = putState(into, at, 3, result);
    });
    return at;
  },
};

/** Tags, lengths and numbers around a clock or a value, generously. */
const NUMBERS_BOUND = 40;
/** The same for an entry of a clock. */
const ENTRY_BOUND = 24;

// Loops over clocks count: an iterator for each of a batch's would be most of its garbage.

function clockBound({ entries, dots }: CausalContext): number {
  return 8 + FIXED64_FIELD_SIZE + dotsBound(entries) + dotsBound(dots);
}

function dotsBound(dots: readonly ClockEntry[]): number {
  let bound = 0;
  for (let i = 0; i < dots.length; i++) bound += dots[i].node.length * 3 + ENTRY_BOUND;
  return bound;
}

function stateBound(state: KeyState): number {
  let bound = (state.winner.value?.length ?? 0) + clockBound(state.clock) + NUMBERS_BOUND;
  if (state.versions.length === 1) return bound;
  for (const { value, clock } of state.versions) {
    bound += (value?.length ?? 0) + clockBound(clock) + NUMBERS_BOUND;
  }
  return bound;
}

function dotSize({ node, counter }: ClockEntry): number {
  const length = textLength(node);
  return (length === 0 ? 0 : lengthFieldSize(length)) + varintFieldSize(counter);
}

function clockSize({ entries, dots, seal }: CausalContext): number {
  return dotsSize(entries) + dotsSize(dots) + (seal === undefined ? 0 : FIXED64_FIELD_SIZE);
}

function dotsSize(dots: readonly ClockEntry[]): number {
  let size = 0;
  for (let i = 0; i < dots.length; i++) size += lengthFieldSize(dotSize(dots[i]));
  return size;
}

function putDot(into: Uint8Array, at: number, field: number, dot: ClockEntry): number {
  at = putLength(into, at, field, dotSize(dot));
  at = putTextField(into, at, 1, dot.node, textLength(dot.node));
  return putVarintField(into, at, 2, dot.counter);
}

function putClockField(into: Uint8Array, at: number, field: number, clock: CausalContext): number {
  const { entries, dots, seal } = clock;
  at = putLength(into, at, field, clockSize(clock));
  for (let i = 0; i < entries.length; i++) at = putDot(into, at, 1, entries[i]);
  for (let i = 0; i < dots.length; i++) at = putDot(into, at, 2, dots[i]);
  return seal === undefined ? at : putFixed64Field(into, at, 3, seal);
}

function writeResultSize({ clock, timestampMs }: WriteResult): number {
  return lengthFieldSize(clockSize(clock)) + varintFieldSize(timestampMs);
}

function putWriteResult(into: Uint8Array, at: number, result: WriteResult): number {
  at = putClockField(into, at, 1, result.clock);
  return putVarintField(into, at, 2, result.timestampMs);
}

// A key's state is four fields in a row: value, vector_clock, siblings, timestamp.

function stateSize({ winner, clock, versions }: KeyState): number {
  let size = winner.value === undefined ? 0 : lengthFieldSize(winner.value.length);
  size += lengthFieldSize(clockSize(clock)) + varintFieldSize(winner.timestampMs);
  if (versions.length === 1) return size;
  for (const version of versions) size += lengthFieldSize(siblingSize(version));
  return size;
}

function putState(into: Uint8Array, at: number, field: number, state: KeyState): number {
  const { winner, clock, versions } = state;
  if (winner.value !== undefined) at = putBytesField(into, at, field, winner.value);
  at = putClockField(into, at, field + 1, clock);
  if (versions.length > 1) {
    for (const version of versions) {
      at = putLength(into, at, field + 2, siblingSize(version));
      at = putSibling(into, at, version);
    }
  }
  return putVarintField(into, at, field + 3, winner.timestampMs);
}

function siblingSize({ value, clock, timestampMs }: VersionView): number {
  return (value === undefined ? 2 : lengthFieldSize(value.length)) +
    lengthFieldSize(clockSize(clock)) + varintFieldSize(timestampMs);
}

function putSibling(into: Uint8Array, at: number, version: VersionView): number {
  if (version.value !== undefined) at = putBytesField(into, at, 1, version.value);
  at = putClockField(into, at, 2, version.clock);
  at = putVarintField(into, at, 3, version.timestampMs);
  return putVarintField(into, at, 4, version.value === undefined ? 1 : 0);
}
