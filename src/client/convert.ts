/**
 * Messages of the wire to the client's plain values, and back.
 * @module
 */
import { create } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type ClockEntry, EMPTY_CLOCK, PairError, utf8 } from "../model/mod.ts";
import {
  Consistency,
  type Sibling,
  type VectorClock as ClockMessage,
  VectorClockSchema,
} from "../gen/pairdb/v1/common_pb.ts";
import type { ExplainGetResponse, PutItemSchema, ScanEntry } from "../gen/pairdb/v1/kv_pb.ts";
import type {
  BatchItem,
  ConsistencyLevel,
  Context,
  Explanation,
  Found,
  ScanRow,
  Version,
} from "./types.ts";

const CONSISTENCY: Readonly<Record<ConsistencyLevel, Consistency>> = {
  one: Consistency.ONE,
  quorum: Consistency.QUORUM,
  all: Consistency.ALL,
  local_quorum: Consistency.LOCAL_QUORUM,
  each_quorum: Consistency.EACH_QUORUM,
  any: Consistency.ANY,
  serial: Consistency.SERIAL,
};

/** The level's number on the wire. */
export function toConsistency(level: ConsistencyLevel | undefined): Consistency {
  return level === undefined ? Consistency.UNSPECIFIED : CONSISTENCY[level];
}

/**
 * The bytes of a value.
 * @throws PairError InvalidArgument for text that is not well-formed: as UTF-8 it would become other text
 */
export function toValue(value: string | Uint8Array): Uint8Array {
  if (typeof value !== "string") return value;
  if (value.isWellFormed()) return utf8(value);
  throw new PairError("InvalidArgument", "Cannot take the value: it is not well-formed Unicode");
}

type TextKind =
  | "key"
  | "tenant id"
  | "snapshot's name"
  | "function's name"
  | "function's source"
  | "idempotency key";

/** An idempotency key as it goes into a message. */
export function toKey(key: string | undefined): string | undefined {
  return key === undefined ? undefined : toText(key, "idempotency key");
}

/**
 * Text as it goes into a message.
 * @throws PairError InvalidKey, InvalidTenantID or InvalidArgument, when it is not well-formed: encoding would change
 *   it without a word, and another key would be meant
 */
export function toText(text: string, what: TextKind): string {
  if (text.isWellFormed()) return text;
  throw new PairError(
    what === "key" ? "InvalidKey" : what === "tenant id" ? "InvalidTenantID" : "InvalidArgument",
    `Cannot take the ${what}: it is not well-formed Unicode`,
  );
}

/** A context as a message; absent stays absent. */
export function toClock(context: Context | undefined): ClockMessage | undefined {
  if (context === undefined) return undefined;
  return create(VectorClockSchema, {
    entries: context.entries.map(toEntry),
    dots: context.dots.map(toEntry),
    seal: context.seal === undefined ? undefined : toInt64(context.seal, "the seal of the context"),
  });
}

function toEntry({ node, counter }: ClockEntry) {
  return {
    coordinatorNodeId: node,
    logicalTimestamp: toInt64(counter, "a counter of the context"),
  };
}

/** One item of a batch as a message. */
export function toItem(item: BatchItem): MessageInitShape<typeof PutItemSchema> {
  return {
    key: toText(item.key, "key"),
    value: toValue(item.value),
    vectorClock: toClock(item.context),
    ttlMs: toTtl(item.ttlMs),
    ifContext: item.ifContext ?? false,
  };
}

/** A time to live as an int64: absent and 0 are not the same. */
export function toTtl(ttlMs: number | undefined): bigint | undefined {
  return ttlMs === undefined ? undefined : toInt64(ttlMs, "the time to live");
}

/**
 * A count as an int64.
 * @throws PairError InvalidArgument unless it is an integer from 0 to 2^53 - 1
 */
export function toInt64(count: number, what: string): bigint {
  if (Number.isSafeInteger(count) && count >= 0) return BigInt(count);
  throw new PairError(
    "InvalidArgument",
    `Cannot take ${what}: it is not an integer from 0 to 2^53 - 1`,
  );
}

/** A clock message as a context. */
export function fromClock(clock: ClockMessage | undefined): Context {
  if (clock === undefined) return EMPTY_CLOCK;
  const context = { entries: clock.entries.map(fromEntry), dots: clock.dots.map(fromEntry) };
  return clock.seal === undefined ? context : { ...context, seal: fromInt64(clock.seal) };
}

function fromEntry(entry: ClockMessage["entries"][number]): ClockEntry {
  return { node: entry.coordinatorNodeId, counter: fromInt64(entry.logicalTimestamp) };
}

/**
 * An int64 or fixed64 as a number.
 * @throws PairError Internal when the server sent one that a number cannot hold exactly
 */
export function fromInt64(value: bigint): number {
  const number = Number(value);
  if (Number.isSafeInteger(number)) return number;
  throw new PairError("Internal", "Cannot read the answer: a number is beyond 2^53 - 1");
}

/** The part that answers about a key have in common. */
export function fromFound(message: {
  readonly value?: Uint8Array | undefined;
  readonly vectorClock?: ClockMessage | undefined;
  readonly siblings: readonly Sibling[];
  readonly timestamp: bigint;
}): Found {
  return {
    value: message.value,
    context: fromClock(message.vectorClock),
    timestampMs: fromInt64(message.timestamp),
    siblings: message.siblings.map(fromSibling),
  };
}

/** How a key was read. */
export function fromExplanation(how: ExplainGetResponse): Explanation {
  return {
    state: how.state,
    source: how.source,
    steps: how.steps.map((step) => ({
      layer: step.layer,
      level: step.level,
      table: step.table === undefined ? undefined : fromInt64(step.table),
      result: step.result,
      entries: fromInt64(step.entries),
      valueBytes: fromInt64(step.valueBytes),
      opened: step.opened,
      blocksCached: fromInt64(step.blocksCached),
      blocksRead: fromInt64(step.blocksRead),
      bytesRead: fromInt64(step.bytesRead),
    })),
    waits: how.waits,
    versions: how.versions.map((version) => ({
      state: version.state,
      valueBytes: fromInt64(version.valueBytes),
      context: fromClock(version.vectorClock),
      dot: version.dot && fromEntry(version.dot),
      timestampMs: fromInt64(version.timestamp),
      expiresAtMs: version.expiresAt === 0n ? undefined : fromInt64(version.expiresAt),
    })),
    context: fromClock(how.vectorClock),
    stateBytes: fromInt64(how.stateBytes),
    durationUs: how.durationUs,
  };
}

/** One key of a scan. */
export function fromRow(entry: ScanEntry): ScanRow {
  const row = { key: entry.key, ...fromFound(entry) };
  return entry.expiresAt === 0n ? row : { ...row, expiresAtMs: fromInt64(entry.expiresAt) };
}

function fromSibling(sibling: Sibling): Version {
  return {
    value: sibling.deleted ? undefined : sibling.value,
    context: fromClock(sibling.vectorClock),
    timestampMs: fromInt64(sibling.timestamp),
  };
}
