/**
 * The bytes of what is remembered of writes with an idempotency key. They lie in a tree of their own, under
 * the number of the tenant's tree, which no other tenant will ever have:
 *
 *     outcome     | tree u32 | 0 | the client's key |  ->  | format 1 | position | weight | time | digest, 16 bytes |
 *                                                          | existed u8 | unchanged | nodes | results |
 *     place       | tree u32 | 1 | position u48     |  ->  | format 1 | weight | time | the client's key |
 *
 * Numbers in keys are big-endian, so that they sort; in values they are varints. A write takes as many places
 * as it has results, beginning at its position: the places say which outcomes are the oldest. `time` is wall
 * time, ms since 1970. `nodes` is a count and as many texts, `results` a count and, for each, a time stamp
 * and a clock: entries, then dots, each a count and pairs of a place in `nodes` and a counter.
 * @module
 */
import {
  ByteReader,
  ByteWriter,
  type ClockEntry,
  compareBytes,
  type VectorClock,
} from "../../model/mod.ts";
import type { WriteResult } from "../api.ts";

/** What a write did, whichever it was. */
export interface WriteOutcome {
  /** One for each item; one for a write of one key. */
  readonly results: readonly WriteResult[];
  /** Whether what was deleted had a value; false for others. */
  readonly existed: boolean;
  /** Items that were left alone. */
  readonly unchanged: number;
}

/** The outcome of a write, as it is remembered. */
export interface OutcomeRecord {
  /** Its first place. */
  readonly position: number;
  readonly weight: number;
  /** Wall time, ms since 1970. */
  readonly timeMs: number;
  /** Of the request; 16 bytes. */
  readonly digest: Uint8Array;
  readonly outcome: WriteOutcome;
}

/** Where a write stands among those of its tenant. */
export interface PlaceRecord {
  readonly weight: number;
  readonly timeMs: number;
  /** The client's key. */
  readonly key: Uint8Array;
}

const FORMAT = 1;
const DIGEST_BYTES = 16;
const OUTCOME = 0;
const PLACE = 1;

/** Everything of one tenant's tree begins with this. */
export function tenantPrefix(tree: number): Uint8Array {
  return putBigEndian(new Uint8Array(4), 0, tree);
}

/** The tree that a key belongs to. */
export function treeOfKey(key: Uint8Array): number {
  return ((key[0] << 24) | (key[1] << 16) | (key[2] << 8) | key[3]) >>> 0;
}

/** Where an outcome lies. */
export function outcomeKey(tree: number, key: Uint8Array): Uint8Array {
  const bytes = putBigEndian(new Uint8Array(5 + key.length), 0, tree);
  bytes[4] = OUTCOME;
  bytes.set(key, 5);
  return bytes;
}

/** All places of a tenant begin with this. */
export function placePrefix(tree: number): Uint8Array {
  const bytes = putBigEndian(new Uint8Array(5), 0, tree);
  bytes[4] = PLACE;
  return bytes;
}

/** Where a place lies. */
export function placeKey(tree: number, position: number): Uint8Array {
  const high = Math.floor(position / 2 ** 32);
  const bytes = putBigEndian(new Uint8Array(11), 0, tree);
  bytes[4] = PLACE;
  bytes[5] = high >>> 8;
  bytes[6] = high;
  return putBigEndian(bytes, 7, position);
}

/** Writes the lowest 32 bits of a number. */
function putBigEndian(bytes: Uint8Array, at: number, value: number): Uint8Array {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
  return bytes;
}

/** The position in a place's key. */
export function positionOfKey(key: Uint8Array): number {
  let position = 0;
  for (const byte of key.subarray(5)) position = position * 0x100 + byte;
  return position;
}

/** The bytes of an outcome. @param writer  what it holds is forgotten */
export function encodeOutcome(record: OutcomeRecord, writer = new ByteWriter()): Uint8Array {
  const { position, weight, timeMs, digest, outcome } = record;
  const nodes = new Map<string, number>();
  for (const { clock } of outcome.results) {
    for (const events of [clock.entries, clock.dots]) {
      for (const { node } of events) if (!nodes.has(node)) nodes.set(node, nodes.size);
    }
  }
  writer.reset();
  writer.u8(FORMAT).varint(position).varint(weight).varint(timeMs);
  writer.raw(digest).u8(outcome.existed ? 1 : 0).varint(outcome.unchanged).varint(nodes.size);
  for (const node of nodes.keys()) writer.text(node);
  writer.varint(outcome.results.length);
  for (const { clock, timestampMs } of outcome.results) {
    writer.varint(timestampMs);
    for (const events of [clock.entries, clock.dots]) {
      writer.varint(events.length);
      for (const { node, counter } of events) writer.varint(nodes.get(node)!).varint(counter);
    }
  }
  return writer.finish();
}

/** @throws PairError CorruptedData (2007) when these are no such bytes */
export function decodeOutcome(bytes: Uint8Array): OutcomeRecord {
  const reader = new ByteReader(bytes, "the outcome of a write");
  if (reader.u8() !== FORMAT) throw reader.damaged("its format is unknown");
  const position = reader.varint();
  const weight = reader.varint();
  const timeMs = reader.varint();
  const digest = reader.raw(DIGEST_BYTES);
  const existed = reader.u8() === 1;
  const unchanged = reader.varint();
  const nodes = Array.from({ length: countOf(reader) }, () => reader.text());
  const results = Array.from({ length: countOf(reader) }, (): WriteResult => {
    const timestampMs = reader.varint();
    const clock: VectorClock = {
      entries: eventsOf(reader, nodes),
      dots: eventsOf(reader, nodes),
    };
    return { clock, timestampMs };
  });
  reader.end();
  return { position, weight, timeMs, digest, outcome: { results, existed, unchanged } };
}

function eventsOf(reader: ByteReader, nodes: readonly string[]): ClockEntry[] {
  return Array.from({ length: countOf(reader) }, () => {
    const node = nodes[reader.varint()];
    if (node === undefined) throw reader.damaged("it names a node that it does not have");
    return { node, counter: reader.varint() };
  });
}

/** A count of things that take a byte each at least. */
function countOf(reader: ByteReader): number {
  const count = reader.varint();
  if (count > reader.remaining) throw reader.damaged("a count is larger than what follows");
  return count;
}

/** The bytes of a place. @param writer  what it holds is forgotten */
export function encodePlace(
  { weight, timeMs, key }: PlaceRecord,
  writer = new ByteWriter(),
): Uint8Array {
  writer.reset();
  return writer.u8(FORMAT).varint(weight).varint(timeMs).raw(key).finish();
}

/** @throws PairError CorruptedData (2007) when these are no such bytes */
export function decodePlace(bytes: Uint8Array): PlaceRecord {
  const reader = new ByteReader(bytes, "the place of a write");
  if (reader.u8() !== FORMAT) throw reader.damaged("its format is unknown");
  const weight = reader.varint();
  const timeMs = reader.varint();
  if (weight === 0) throw reader.damaged("it takes no place");
  return { weight, timeMs, key: reader.raw(reader.remaining) };
}

/** Whether two digests, or two records, are the same bytes. */
export function isSameBytes(a: Uint8Array, b: Uint8Array | undefined): boolean {
  return b !== undefined && a.length === b.length && compareBytes(a, b) === 0;
}
