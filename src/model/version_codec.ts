/**
 * The bytes of a key's state: what the engine stores under a key.
 *
 *     +-----------+---------------+-----------+-----------+- - -
 *     | format u8 | count varint  | version 1 | version 2 |          in canonical order
 *     +-----------+---------------+-----------+-----------+- - -
 *
 *     version
 *     +----------+-----------+------------------+---------+------------+-------------+-----------+
 *     | flags u8 | timestamp | expiry           | entries | dots       | own         | value     |
 *     +----------+-----------+------------------+---------+------------+-------------+-----------+
 *                  varint, ms  varint, ms;        events    events;      varint;       bytes;
 *                              flag EXPIRES only            flag DOTS    flag OWN      not with
 *                                                           only         only          flag DELETE
 *     events    count varint, then as often: node (length varint, UTF-8), counter varint
 *     own       which event is the version's own: a place in the entries and, behind them, the dots
 *     bytes     length varint, then the bytes
 *
 * Invariants
 *   - A state has one sequence of bytes: versions, entries and dots are in order, what is absent takes
 *     no bytes, so that equal states can be compared as bytes.
 *   - Any other bytes are damage and are refused, never mended.
 *   - What a flag means is on disk for ever: a new meaning takes a new format number.
 * Byte by byte, with an example: docs/formats.md.
 * @module
 */
import { type Blocks, ByteReader, ByteWriter } from "./bytes.ts";
import type { ClockEntry, VectorClock } from "./clock.ts";
import { MAX_NODE_ID_BYTES, MAX_SIBLINGS } from "./limits.ts";
import { decodeText, isAscii } from "./text.ts";
import { orderVersions, type Version } from "./version.ts";

/** The first byte. */
export const FORMAT = 1;

/** Flags of a version: what follows, and what does not. */
export const DELETE = 1;
export const EXPIRES = 2;
export const DOTS = 4;
export const OWN = 8;
const ALL_FLAGS = DELETE | EXPIRES | DOTS | OWN;

/** Bytes of a version besides its value, its nodes and their counters, at most. */
const VERSION_OVERHEAD = 32;
/** Bytes of an event, for the usual short node id; longer ones make the writer grow. */
const EVENT_GUESS = 24;

/** Bytes of an event, at least: no more of them are made room for than there can be. */
const EVENT_MIN = 3;

const NO_EVENTS: readonly ClockEntry[] = Object.freeze([]);

/**
 * The bytes of a state.
 * @param versions  at least one, in canonical order, clocks in normal form
 * @param blocks    memory for many small states; absent: the state has its own
 */
export function encodeVersions(
  versions: readonly Version[],
  blocks?: Blocks,
): Uint8Array<ArrayBuffer> {
  // The writer is made for this one state, big enough, so its buffer can be handed out uncopied.
  const guess = guessLength(versions);
  const writer = new ByteWriter(blocks === undefined ? guess : blocks.take(guess));
  writer.u8(FORMAT).varint(versions.length);
  for (const version of versions) writeVersion(writer, version);
  const bytes = writer.view();
  blocks?.settle(bytes);
  return bytes;
}

function guessLength(versions: readonly Version[]): number {
  let length = 4;
  for (const { clock, value } of versions) {
    length += VERSION_OVERHEAD + (value?.length ?? 0) +
      EVENT_GUESS * (clock.entries.length + clock.dots.length);
  }
  return length;
}

function writeVersion(writer: ByteWriter, version: Version): void {
  const { clock, dot, value, timestampMs, expiresAtMs } = version;
  writer.u8(
    (value === undefined ? DELETE : 0) | (expiresAtMs === 0 ? 0 : EXPIRES) |
      (clock.dots.length === 0 ? 0 : DOTS) | (dot === undefined ? 0 : OWN),
  );
  writer.varint(timestampMs);
  if (expiresAtMs !== 0) writer.varint(expiresAtMs);
  writeEvents(writer, clock.entries);
  if (clock.dots.length !== 0) writeEvents(writer, clock.dots);
  if (dot !== undefined) writer.varint(placeOf(dot, clock));
  if (value !== undefined) writer.bytes(value);
}

function writeEvents(writer: ByteWriter, events: readonly ClockEntry[]): void {
  writer.varint(events.length);
  for (const { node, counter } of events) {
    writeNode(writer, node);
    writer.varint(counter);
  }
}

/** Node ids are short ASCII almost always: unit by unit costs a tenth of a call into the encoder. */
function writeNode(writer: ByteWriter, node: string): void {
  if (!isAscii(node)) {
    writer.text(node);
    return;
  }
  writer.varint(node.length).ascii(node);
}

function placeOf(dot: ClockEntry, { entries, dots }: VectorClock): number {
  const same = (event: ClockEntry) => event.node === dot.node && event.counter === dot.counter;
  const inEntries = entries.findIndex(same);
  if (inEntries >= 0) return inEntries;
  const inDots = dots.findIndex(same);
  if (inDots < 0) {
    throw new Error("a version's own event must be the last of its node in its clock");
  }
  return entries.length + inDots;
}

/**
 * The state that bytes stand for. Values are views into `bytes`, not copies.
 * @throws PairError CorruptedData (2007) for anything that {@link encodeVersions} cannot have written
 */
export function decodeVersions(bytes: Uint8Array): readonly Version[] {
  const reader = new ByteReader(bytes, "a key's versions");
  const format = reader.u8();
  if (format !== FORMAT) throw reader.damaged(`its format ${format} is unknown`);
  const count = reader.varint();
  if (count === 0 || count > MAX_SIBLINGS) throw reader.damaged(`it has ${count} versions`);
  const versions = [readVersion(reader)];
  for (let i = 1; i < count; i++) {
    versions.push(readVersion(reader));
    if (orderVersions(versions[i - 1], versions[i]) >= 0) {
      throw reader.damaged("its versions are out of order");
    }
  }
  reader.end();
  return versions;
}

function readVersion(reader: ByteReader): Version {
  const flags = reader.u8();
  if ((flags & ~ALL_FLAGS) !== 0) throw reader.damaged(`a version has unknown flags ${flags}`);
  const timestampMs = reader.varint();
  const expiresAtMs = (flags & EXPIRES) === 0 ? 0 : readPositive(reader, "an expiry");
  const entries = readEvents(reader, false);
  const dots = (flags & DOTS) === 0 ? NO_EVENTS : readEvents(reader, true);
  checkClockShape(reader, entries, dots);
  const dot = (flags & OWN) === 0 ? undefined : readOwn(reader, entries, dots);
  const value = (flags & DELETE) === 0 ? reader.bytes() : undefined;
  return { clock: { entries, dots }, dot, value, timestampMs, expiresAtMs };
}

function readPositive(reader: ByteReader, what: string): number {
  const value = reader.varint();
  if (value === 0) throw reader.damaged(`${what} is 0`);
  return value;
}

/** Entries name a node once; dots may name it again, with a larger counter. */
function readEvents(reader: ByteReader, repeats: boolean): readonly ClockEntry[] {
  const count = reader.varint();
  if (count > reader.remaining / EVENT_MIN) throw reader.damaged(`a clock has ${count} entries`);
  const events: ClockEntry[] = [];
  for (let i = 0; i < count; i++) {
    const event = { node: readNode(reader), counter: readPositive(reader, "a counter") };
    if (i > 0 && !isAbove(event, events[i - 1], repeats)) {
      throw reader.damaged("a clock is out of order");
    }
    events.push(event);
  }
  return events;
}

function isAbove(event: ClockEntry, before: ClockEntry, repeats: boolean): boolean {
  if (event.node === before.node) return repeats && event.counter > before.counter;
  return event.node > before.node;
}

function readNode(reader: ByteReader): string {
  const length = reader.varint();
  if (length === 0 || length > MAX_NODE_ID_BYTES) {
    throw reader.damaged(`a node id is ${length} bytes long`);
  }
  const bytes = reader.raw(length);
  try {
    return decodeText(bytes);
  } catch {
    throw reader.damaged("a node id is not UTF-8");
  }
}

/** What the normal form forbids beyond the order: an empty clock, a dot that an entry takes in. */
function checkClockShape(
  reader: ByteReader,
  entries: readonly ClockEntry[],
  dots: readonly ClockEntry[],
): void {
  if (entries.length + dots.length === 0) throw reader.damaged("a clock has no entries");
  if (dots === NO_EVENTS) return;
  if (dots.length === 0) throw reader.damaged("a clock has an empty list of dots");
  const counters = new Map(entries.map(({ node, counter }) => [node, counter]));
  for (const dot of dots) {
    if (dot.counter <= (counters.get(dot.node) ?? 0) + 1) {
      throw reader.damaged("a dot adjoins its entry");
    }
  }
}

function readOwn(
  reader: ByteReader,
  entries: readonly ClockEntry[],
  dots: readonly ClockEntry[],
): ClockEntry {
  const place = reader.varint();
  if (place >= entries.length + dots.length) {
    throw reader.damaged(`its own event ${place} is not in the clock`);
  }
  return place < entries.length ? entries[place] : dots[place - entries.length];
}
