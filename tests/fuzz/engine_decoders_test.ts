/**
 * Any bytes into any decoder of the files in a data directory: a value or a PairError, in bounded time and
 * memory. Random bytes, valid files with changes, and such whose checksums were made to fit again.
 *
 * How many inputs each decoder gets, and from which seed on, says tests/support/ladder.ts. A failure prints
 * the seed of its input.
 * @module
 */
import assert from "node:assert/strict";
import { mixedBytes } from "../support/blocks.ts";
import { appendOperator } from "../support/engine.ts";
import { batches, decodeFrame, decodeRecords } from "../support/wal.ts";
import { firstSeed, reached, wanted } from "../support/ladder.ts";
import { type Entry, ListCursor, orderEntries } from "../support/entries.ts";
import { goldenFolder, readFolder, SIBLINGS, worldOn } from "../support/golden.ts";
import { checkDirectory, dumpFile } from "../../src/engine/mod.ts";
import { Files } from "../../src/engine/files.ts";
import { decodeEdit } from "../../src/engine/manifest/edit.ts";
import { Manifest, readCurrent, readManifest } from "../../src/engine/manifest/mod.ts";
import { lz4Decompress } from "../../src/engine/sstable/codec/lz4.ts";
import { COMPRESSIONS, decompress, encoderFor } from "../../src/engine/sstable/codec/mod.ts";
import { snappyDecompress } from "../../src/engine/sstable/codec/snappy.ts";
import { BlockCursor } from "../../src/engine/sstable/block.ts";
import {
  decodeFooter,
  type Footer,
  FOOTER_SIZE,
  type Handle,
  sectionChecksum,
} from "../../src/engine/sstable/format.ts";
import { BlockIndex } from "../../src/engine/sstable/index.ts";
import {
  decodeProperties,
  type TableKey,
  type TableOptions,
  TableReader,
  TableWriter,
} from "../../src/engine/sstable/mod.ts";
import type { TableSeal } from "../../src/engine/sstable/sealing.ts";
import { SectionReader } from "../../src/engine/sstable/section_reader.ts";
import {
  checkFrame,
  decodeHeader,
  encodeHeader,
  FRAME_HEADER,
  HEADER_SIZE as HEADER_SIZE_2,
  HEADER_SIZE_1 as HEADER_SIZE,
  putFrame,
  putRecord,
  SEALED,
  sealFrame,
  segmentCipher,
  TYPE_BATCH,
} from "../../src/engine/wal/format.ts";
import { decodeScrub, encodeScrub } from "../../src/engine/scrub/state.ts";
import { decodeWarm, encodeWarm } from "../../src/engine/warm.ts";
import { findSegments, IGNORE, readSegment, replaySegment } from "../../src/engine/wal/mod.ts";
import {
  ByteReader,
  checkClock,
  conflictStrategy,
  crc32c,
  DATA_TYPES,
  type DataType,
  decodeVersions,
  encodeVersions,
  fromUtf8,
  getU32,
  PairError,
  putU32,
  utf8,
} from "../../src/model/mod.ts";
import { claimIdentity, readSealKey } from "../../src/node/mod.ts";
import { type Disk, type ReadFile, SimDisk, SimRandom } from "../../src/runtime/mod.ts";

const INPUTS = wanted("fuzz");
const FIRST_SEED = firstSeed();
/** By decoder, the inputs that it was given. */
const GIVEN = new Map<string, number>();
/** Far more than any of these small inputs can need. */
const ALLOCATION_MAX = 1 << 20;

const GOLDEN = readFolder(`${goldenFolder(1)}/closed`);
const FILES = new Files("/data");

/** One file of the golden store. */
function golden(pattern: RegExp): Uint8Array<ArrayBuffer> {
  const path = [...GOLDEN.keys()].find((name) => pattern.test(name));
  assert.ok(path !== undefined);
  return GOLDEN.get(path)!;
}

const SEGMENT = golden(/^wal\/000019/);
const MANIFEST = golden(/^MANIFEST/);

/** Some bytes changed, inserted, removed or doubled; numbers are often set to their extremes. */
function mutate(random: SimRandom, valid: Uint8Array): Uint8Array<ArrayBuffer> {
  let bytes = new Uint8Array(valid);
  for (let i = 0; i <= random.below(4); i++) {
    const at = random.below(bytes.length + 1);
    const choice = random.below(6);
    if (choice === 0) bytes[at] ^= 1 << random.below(8);
    else if (choice === 1) bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)];
    else if (choice === 2) bytes.fill(0xff, at, at + 1 + random.below(9));
    else if (choice === 3) bytes = bytes.slice(0, at);
    else if (choice === 4) {
      const more = random.bytes(random.below(12));
      bytes = joined(bytes.subarray(0, at), more, bytes.subarray(at));
    } else {
      const from = random.below(bytes.length + 1);
      bytes = joined(bytes.subarray(0, at), bytes.subarray(from));
    }
    if (bytes.length > 8000) bytes = bytes.slice(0, 8000);
  }
  return bytes;
}

/** One after the other; a spread would take each byte in hand. */
function joined(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Runs with an eye on what is allocated: a length from the input must not become an allocation. */
async function withoutHugeAllocations<T>(run: () => T): Promise<Awaited<T>> {
  const original = globalThis.Uint8Array;
  // No Proxy and no spread, which would take longer than most decoders.
  function Watched(of: ArrayBuffer | number, start?: number, length?: number) {
    if (typeof of === "number") {
      if (of > ALLOCATION_MAX) throw new Error(`an allocation of ${of} bytes`);
      return new original(of);
    }
    return new original(of, start, length);
  }
  Watched.prototype = original.prototype;
  Object.setPrototypeOf(Watched, original);
  globalThis.Uint8Array = Watched as unknown as typeof original;
  try {
    return await run();
  } finally {
    globalThis.Uint8Array = original;
  }
}

/** Runs without the stack traces of errors, which cost more than what throws them. */
async function withoutStacks(run: () => Promise<void>): Promise<void> {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  try {
    await run();
  } finally {
    Error.stackTraceLimit = limit;
  }
}

type Decode = (bytes: Uint8Array<ArrayBuffer>, random: SimRandom) => unknown;

/** Gives a decoder its inputs. */
function fuzz(what: string, valid: Uint8Array, decode: Decode): void {
  GIVEN.set(what, 0);
  Deno.test(`any bytes into ${what} give a value or a PairError`, async () => {
    let failed: number | undefined;
    const all = async () => {
      for (let seed = FIRST_SEED; seed < FIRST_SEED + INPUTS; seed++) {
        const threw = giveOne(seed, valid, decode);
        GIVEN.set(what, GIVEN.get(what)! + 1);
        if (threw === undefined || await threw === undefined) continue;
        failed = seed;
        return;
      }
    };
    await withoutHugeAllocations(() => withoutStacks(all));
    if (failed !== undefined) {
      const cause = await withoutHugeAllocations(() => giveOne(failed!, valid, decode));
      throw new Error(`seed ${failed}: ${cause}`, { cause });
    }
    // The decoder can also succeed: the valid input itself is read.
    await decode(new Uint8Array(valid), new SimRandom(0));
  });
}

/** Gives a decoder the input of a seed. @returns what it threw, if that was no PairError */
function giveOne(seed: number, valid: Uint8Array, decode: Decode): unknown {
  const random = new SimRandom(seed);
  const bytes = random.below(4) === 0
    ? random.bytes(random.below(300))
    : mutate(random, random.below(50) === 0 ? new Uint8Array(0) : valid);
  const judge = (error: unknown) => error instanceof PairError ? undefined : error;
  try {
    const value = decode(bytes, random);
    if (value instanceof Promise) return value.then(() => undefined, judge);
  } catch (error) {
    return judge(error);
  }
}

// ---- the log

fuzz("a segment's header", SEGMENT.slice(0, HEADER_SIZE), (bytes) => {
  if (bytes.length >= HEADER_SIZE) putU32(bytes, 40, crc32c(bytes, 0, 40));
  decodeHeader("a.wal", 19, bytes);
});

const SALT = getU32(SEGMENT, 36);

/** Takes all that there is. */
function drain(items: Iterable<unknown>): void {
  for (const item of items) if (item === undefined) assert.fail("an item is missing");
}

/** Makes the checksums of all frames fit whose lengths lie within the file. */
function resealSegment(bytes: Uint8Array): void {
  if (bytes.length >= HEADER_SIZE) putU32(bytes, 40, crc32c(bytes, 0, 40));
  for (let at = HEADER_SIZE; at + FRAME_HEADER <= bytes.length;) {
    if (at + FRAME_HEADER + getU32(bytes, at) > bytes.length) return;
    at = checkFrame(bytes, at, at, SALT, getU32(bytes, at + 12));
  }
}

fuzz("a frame and its records", SEGMENT.slice(0, 200), (bytes, random) => {
  if (random.below(2) === 0) resealSegment(bytes);
  for (let at = 0; at < bytes.length; at++) {
    const frame = decodeFrame(bytes, at, SALT);
    if (frame !== undefined) decodeRecords("a.wal", bytes, frame);
  }
});

fuzz("the log's replay", SEGMENT, async (bytes, random) => {
  if (random.below(2) === 0) resealSegment(bytes);
  const disk = new SimDisk();
  disk.setBytes(FILES.segment(19), bytes);
  drain(dumpFile(disk, FILES.segment(19)));
  for (const found of findSegments(disk, FILES, 19).log) {
    await replaySegment(disk, found, 0, IGNORE);
  }
});

const KEY = new SimRandom(3).bytes(32);

/** A segment of format 2, whose frames are sealed when there is a key. */
function segmentOf(key: Uint8Array | undefined): Uint8Array<ArrayBuffer> {
  const random = new SimRandom(4);
  const keySalt = key && random.bytes(16);
  const place = { segment: 19, previous: 0, previousLength: 0, firstSeq: 1, salt: SALT };
  const bytes = new Uint8Array(700);
  bytes.set(encodeHeader({ ...place, keySalt }));
  let at = HEADER_SIZE_2;
  for (let seq = 1; seq <= 6; seq++) {
    const kind = seq % 3 as 0 | 1 | 2;
    const mutation = {
      kind,
      tree: { id: 1 },
      key: utf8(`key ${seq}`),
      value: random.bytes(9 * seq),
    };
    const end = putRecord(bytes, at + FRAME_HEADER, mutation) + (key === undefined ? 0 : 16);
    const type = TYPE_BATCH + (key === undefined ? 0 : SEALED);
    putFrame(bytes, at, end - at - FRAME_HEADER, seq, type, "write");
    if (key === undefined) at = checkFrame(bytes, at, at, SALT, at);
    else at = sealFrame(segmentCipher(key, keySalt!), bytes, at, at, SALT, at);
  }
  return bytes.slice(0, at);
}

/** Makes the checksums of headers and frames of a format 2 segment fit. */
function fitSegment(bytes: Uint8Array): void {
  for (const base of [0, 64]) {
    if (bytes.length >= base + 64) {
      putU32(bytes, base + 60, crc32c(bytes.subarray(base, base + 60)));
    }
  }
  for (let at = HEADER_SIZE_2; at + FRAME_HEADER <= bytes.length;) {
    if (at + FRAME_HEADER + getU32(bytes, at) > bytes.length) return;
    at = checkFrame(bytes, at, at, SALT, getU32(bytes, at + 12));
  }
}

for (const key of [undefined, KEY]) {
  const what = `the replay of a ${key === undefined ? "format 2" : "sealed"} log`;
  fuzz(what, segmentOf(key), async (bytes, random) => {
    if (random.below(2) === 0) fitSegment(bytes);
    const disk = new SimDisk();
    const path = FILES.segment(19);
    disk.setBytes(path, bytes);
    drain(readSegment(disk, path, 19));
    for (const found of findSegments(disk, FILES, 19).log) {
      // What was changed under a seal is a loss: no record that nobody wrote comes out of it.
      const take = batches((_seq, mutations) => {
        if (key === undefined) return;
        for (const mutation of mutations) assert.match(fromUtf8(mutation.key), /^key [1-6]$/);
      });
      await replaySegment(disk, found, 0, take, { key, windowBytes: 1 + random.below(900) });
    }
    drain(readSegment(disk, path, 19, key));
  });
}

// ---- the manifest

/** A manifest that is sealed, as a file. */
function sealedManifest(): Uint8Array<ArrayBuffer> {
  const disk = new SimDisk();
  disk.makeDir("/data");
  const manifest = Manifest.read(disk, FILES, { key: KEY, random: new SimRandom(5) });
  manifest.state.apply({ newTrees: [{ id: 1, name: "t", operator: "", createdAtMs: 9 }] });
  manifest.rollOver();
  return disk.readWhole(FILES.manifest(manifest.number));
}

fuzz("a sealed manifest", sealedManifest(), (bytes, random) => {
  if (random.below(2) === 0 && bytes.length > 40) {
    putU32(bytes, 36, crc32c(bytes, 0, 36));
    const end = 52 + getU32(bytes, 40);
    if (bytes.length > 52 && end <= bytes.length) putU32(bytes, 44, crc32c(bytes, 48, end));
  }
  const disk = new SimDisk();
  disk.setBytes(FILES.manifest(1), bytes);
  readManifest(disk, FILES.manifest(1), 1, KEY);
});

fuzz(
  "an edit",
  MANIFEST.slice(32, 32 + getU32(MANIFEST, 20)),
  (bytes) => decodeEdit(bytes, "an edit"),
);

/** Makes the checksums of header and edits fit. */
function resealManifest(bytes: Uint8Array): void {
  if (bytes.length >= 20) putU32(bytes, 16, crc32c(bytes, 0, 16));
  for (let at = 20; at + 12 <= bytes.length;) {
    const end = at + 12 + getU32(bytes, at);
    if (end > bytes.length) return;
    putU32(bytes, at + 4, crc32c(bytes, at + 8, end));
    at = end;
  }
}

fuzz("a manifest", MANIFEST, async (bytes, random) => {
  if (random.below(2) === 0) resealManifest(bytes);
  const disk = new SimDisk();
  disk.setBytes("/data/CURRENT", golden(/^CURRENT/));
  disk.setBytes(FILES.manifest(16), bytes);
  disk.makeDir("/data/wal");
  const reports = await checkDirectory(disk, "/data");
  assert.ok(reports.length >= 2);
  Manifest.read(disk, FILES);
  readManifest(disk, FILES.manifest(16), 16);
});

fuzz("CURRENT", golden(/^CURRENT/), (bytes) => {
  const disk = new SimDisk();
  disk.setBytes("/data/CURRENT", bytes);
  readCurrent(disk, FILES);
});

// ---- warm blocks

const WARM = encodeWarm([{ number: 20, blocks: [3, 4, 700] }, { number: 21, blocks: [0] }]);

fuzz("WARM", WARM, (bytes, random) => {
  if (random.below(2) === 0 && bytes.length >= 20) {
    putU32(bytes, 12, bytes.length - 20);
    putU32(bytes, 16, crc32c(bytes, 20, bytes.length));
  }
  for (const { blocks } of decodeWarm("WARM", bytes)) {
    assert.ok(blocks.every((block, i) => i === 0 || block > blocks[i - 1]), "ascending");
  }
});

// ---- how far a scrub is

const SCRUB = encodeScrub({
  startedAtMs: 1_767_225_600_000,
  end: 124,
  position: 45,
  rounds: 3,
  damaged: new Map([[12, "damaged"], [40, ""]]),
});

fuzz("SCRUB", SCRUB, (bytes, random) => {
  if (random.below(2) === 0 && bytes.length >= 20) {
    putU32(bytes, 12, bytes.length - 20);
    putU32(bytes, 16, crc32c(bytes, 20, bytes.length));
  }
  decodeScrub("SCRUB", bytes);
});

// ---- tables

/** A table as any bytes may change it. */
interface Subject {
  readonly what: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly number: number;
  readonly key?: TableKey;
  /**
   * The sections that are changed one by one, with a checksum that fits; by default all, and the footer too.
   * Footer, properties and index are read by the same code however a table is compressed or sealed.
   */
  readonly sections?: readonly string[];
}

const TABLE_KEY: TableKey = { key: new Uint8Array(32).fill(7), tree: 1 };

/** A table of the present format with every shape of entry. */
function newTable(
  what: string,
  options: Partial<TableOptions>,
  sections?: readonly string[],
  seal?: TableSeal,
): Subject {
  const disk = new SimDisk();
  const writer = new TableWriter(
    disk,
    "/a.sst",
    12,
    { blockSize: 256, falsePositives: 0.01, compression: "none", partitionSize: 65536, ...options },
    { seal },
  );
  const random = new SimRandom(12);
  const entries: Entry[] = Array.from({ length: 50 }, (_, i) => ({
    key: utf8(`key/${String(random.below(36)).padStart(3, "0")}`),
    seq: i + 1,
    kind: random.below(3) as 0 | 1 | 2,
    value: utf8("value ".repeat(random.below(9))),
  })).sort(orderEntries);
  const input = new ListCursor(entries);
  for (input.seekFirst(); input.valid; input.next()) writer.add(input);
  writer.finish({ createdAtMs: 3, minTimeMs: 1, maxTimeMs: 2 });
  const bytes = disk.readWhole("/a.sst");
  return { what, bytes, number: 12, sections, ...(seal === undefined ? {} : { key: TABLE_KEY }) };
}

const SUBJECTS: readonly Subject[] = [
  { what: "a table of format 1", bytes: golden(/000011\.sst$/), number: 11 },
  newTable("a table", {}),
  newTable("a partitioned table", { partitionSize: 1 }),
  newTable("a table of lz4", { compression: "lz4" }, ["first data block"]),
  newTable("a partitioned table of snappy", { compression: "snappy", partitionSize: 1 }, [
    "first partition",
  ]),
  newTable("a table of zstd", { compression: "zstd" }, ["first data block"]),
  newTable("a sealed table", { compression: "lz4" }, ["properties"], {
    ...TABLE_KEY,
    salt: new Uint8Array(16).fill(9),
  }),
];

/** A disk that has one file, for a table's reader: a simulated one would copy its bytes. */
function diskOf(bytes: Uint8Array): Pick<Disk, "openRead"> {
  const readAt = (into: Uint8Array, offset: number) => {
    const part = bytes.subarray(offset, offset + into.length);
    into.set(part);
    return part.length;
  };
  const file: ReadFile = {
    path: "/a.sst",
    size: bytes.length,
    readAt,
    readAtAsync: (into, offset) => Promise.resolve(readAt(into, offset)),
    close: () => {},
  };
  return { openRead: () => file };
}

/** Reads all that a table gives. */
function readTable(bytes: Uint8Array, { number, key }: Subject): void {
  const reader = new TableReader(diskOf(bytes), "/a.sst", number, undefined, key);
  try {
    let entries = 0;
    const cursor = reader.cursor();
    for (cursor.seekFirst(); cursor.valid; cursor.next()) {
      if (++entries > 10_000) assert.fail("a cursor has no end");
    }
    for (const text of ["", "key/001", "key/020", "large", "z"]) {
      const key = utf8(text);
      reader.mayContain(1, 2, key);
      reader.find(key, 50);
    }
    reader.verifyBody();
  } finally {
    reader.close();
  }
}

fuzz("properties of version 1", section(SUBJECTS[0], footerOf(SUBJECTS[0]).properties), (bytes) => {
  decodeProperties(new ByteReader(bytes, "properties"));
});
fuzz("properties", section(SUBJECTS[1], footerOf(SUBJECTS[1]).properties), (bytes) => {
  decodeProperties(new ByteReader(bytes, "properties"));
});

function footerOf({ bytes, number }: Subject): Footer {
  return decodeFooter("a.sst", number, bytes.length - FOOTER_SIZE, bytes.slice(-FOOTER_SIZE));
}

function section({ bytes }: Subject, { offset, size }: Handle): Uint8Array<ArrayBuffer> {
  return bytes.slice(offset, offset + size);
}

/**
 * A table's bytes with another section in a place, and the checksum that it should have there.
 * @param table  what they are put into
 */
function withSection(
  { bytes, number }: Subject,
  table: Uint8Array,
  { offset, size }: Handle,
  trailer: number,
  content: Uint8Array,
): Uint8Array {
  table.set(bytes);
  const place = table.subarray(offset, offset + size + trailer);
  // The section keeps its place, its length and what its trailer says, so that only its content is strange.
  place.set(content.subarray(0, size));
  if (content.length > size) place.set(content.subarray(size, size + trailer - 4), size);
  const end = size + trailer - 4;
  putU32(place, end, sectionChecksum(number, offset, place, 0, end));
  return table;
}

for (const subject of SUBJECTS) {
  const { what, bytes: whole } = subject;
  const footer = footerOf(subject);

  if (subject.sections === undefined) fuzzFooter(subject);
  fuzz(what, whole, (bytes) => readTable(bytes, subject));

  // The first section stands at 0; where it ends, the index says, or the partition that says it.
  const handles: Record<string, Handle> = {
    index: footer.index,
    properties: footer.properties,
    ...(footer.filter.size > 0 ? { filter: footer.filter } : partitionsOf(subject, footer)),
  };
  if (footer.filter.size > 0 && subject.key === undefined) {
    handles["first data block"] = entriesOf(subject, footer)[0];
  }
  for (const [name, handle] of Object.entries(handles)) {
    if (subject.sections?.includes(name) === false) continue;
    const table = new Uint8Array(whole.length);
    const content = section(subject, { ...handle, size: handle.size + footer.trailer - 4 });
    fuzz(`${what} whose ${name} changed, checksum made to fit`, content, (bytes, random) => {
      // Half of them have a strange compression or raw length, too.
      const kept = random.below(2) === 0 ? bytes.subarray(0, handle.size) : bytes;
      readTable(withSection(subject, table, handle, footer.trailer, kept), subject);
    });
  }
}

/** Where the blocks, or partitions, of a table that is not sealed lie. */
function entriesOf(subject: Subject, footer: Footer): Handle[] {
  const raw = subject.what.includes("partitioned");
  const file = diskOf(subject.bytes).openRead("/a.sst");
  const sections = new SectionReader(file, subject.number, subject.key);
  const index = new BlockIndex(sections.read(footer.index), "index", subject.bytes.length, raw);
  return Array.from(index.sizes, (size, i) => ({ offset: index.offsets[i], size }));
}

function fuzzFooter(subject: Subject): void {
  const { what, bytes: whole, number } = subject;
  fuzz(`the footer of ${what}`, whole.slice(-FOOTER_SIZE), (bytes, random) => {
    const fuzzed = new Uint8Array(FOOTER_SIZE);
    fuzzed.set(bytes.subarray(0, FOOTER_SIZE));
    const elsewhere = random.below(3) === 0 && bytes.length !== FOOTER_SIZE;
    const at = elsewhere ? random.below(3000) : whole.length - FOOTER_SIZE;
    if (random.below(2) === 0) {
      fuzzed.set(whole.slice(-8), 64);
      putU32(fuzzed, 60, sectionChecksum(number, at, fuzzed, 0, 60));
    }
    decodeFooter("a.sst", number, at, fuzzed);
    if (at === whole.length - FOOTER_SIZE) {
      readTable(joined(whole.subarray(0, at), fuzzed), subject);
    }
  });
}

function partitionsOf(subject: Subject, footer: Footer): Record<string, Handle> {
  const all = entriesOf(subject, footer);
  assert.ok(all.length > 2, "there are several");
  return { "first partition": all[0], "last partition": all.at(-1)! };
}

const FIRST_BLOCK = section(SUBJECTS[1], entriesOf(SUBJECTS[1], footerOf(SUBJECTS[1]))[0]);

fuzz("a block's cursor", FIRST_BLOCK, (bytes, random) => {
  const cursor = new BlockCursor();
  const framed = joined(bytes, new Uint8Array(5));
  cursor.load(framed, bytes.length, "a block");
  let entries = 0;
  for (cursor.seekFirst(); cursor.valid; cursor.next()) {
    if (++entries > bytes.length) assert.fail("an entry takes no bytes");
    if (cursor.keyEnd > cursor.keyBuffer.length || cursor.valueEnd > bytes.length) {
      assert.fail("an entry lies within the block");
    }
  }
  for (let i = 0; i < 5; i++) cursor.seek(random.bytes(random.below(8)), random.below(100));
});

// ---- compressed sections

for (const name of COMPRESSIONS.slice(1)) {
  const raw = mixedBytes(new SimRandom(1), 600);
  const into = new Uint8Array(2000);
  const size = encoderFor(name)!.compress(raw, 0, raw.length, into, 0, into.length);
  fuzz(`a section of ${name}`, into.slice(0, size), (bytes, random) => {
    // The block lies between other bytes, and the raw length too may be any.
    const start = random.below(9);
    const end = start + bytes.length;
    const around = joined(random.bytes(start), bytes, random.bytes(9));
    const length = random.below(3) > 0
      ? raw.length
      : random.below(4) > 0
      ? random.below(2000)
      : 2 ** 32 - 1 - random.below(2);
    const found = decompress(COMPRESSIONS.indexOf(name), around, start, end, length);
    assert.ok(found === undefined || found.length === length);
  });
}

for (const [name, decode] of [["LZ4", lz4Decompress], ["Snappy", snappyDecompress]] as const) {
  const raw = mixedBytes(new SimRandom(1), 600);
  const into = new Uint8Array(2000);
  const encoder = encoderFor(name === "LZ4" ? "lz4" : "snappy")!;
  const size = encoder.compress(raw, 0, raw.length, into, 0, into.length);
  fuzz(`the decoder of ${name}`, into.slice(0, size), (bytes, random) => {
    const at = random.below(20);
    const limit = at + (random.below(2) > 0 ? raw.length : random.below(800));
    const out = new Uint8Array(limit + 20).fill(0xa5);
    decode(bytes, 0, bytes.length, out, at, limit);
    assert.ok(out.subarray(0, at).every((byte) => byte === 0xa5), "nothing before its place");
    assert.ok(out.subarray(limit).every((byte) => byte === 0xa5), "nothing behind it");
  });
}

// ---- versions, clocks, identity

fuzz("a list of versions", encodeVersions(SIBLINGS), (bytes) => {
  const versions = decodeVersions(bytes);
  assert.deepEqual(encodeVersions(versions), bytes);
});

/** A state of a data type with a bit of everything, and what another node makes of it. */
const OPERATIONS: Readonly<Record<string, readonly [string, string]>> = {
  counter: ["+300", "-5"],
  gset: ['["a","b"]', '{"add":["c"]}'],
  orset: ['["a","b"]', '{"add":["b","c"],"remove":["a"]}'],
  map: ['{"a":1,"b":[true]}', '{"b":"x","c":{"d":null},"a":null}'],
  max: ["-12.5", "1e300"],
  min: ["-12.5", "1e-300"],
};

function stateOf(type: DataType): Uint8Array {
  const [first, second] = OPERATIONS[type.name].map(utf8);
  const state = type.apply(undefined, first, { node: "n1", counter: 300, stampMs: 7 });
  const event = { node: "ключ", counter: 2, stampMs: 8 };
  return type.merge(type.apply(state, second, event), type.apply(undefined, first, event));
}

for (const type of DATA_TYPES) {
  const valid = stateOf(type);
  const strategy = conflictStrategy(`merge:${type.name}`)!;
  const clock = {
    entries: [{ node: "n1", counter: 300 }, { node: "ключ", counter: 2 }],
    dots: [],
  };

  fuzz(`a state of ${type.name}`, valid, (bytes) => {
    type.inspect(bytes);
    // What is taken has one form, keeps the laws, and is shown as something that the type takes.
    assert.deepEqual(type.merge(bytes, bytes), bytes);
    assert.deepEqual(type.merge(bytes, valid), type.merge(valid, bytes));
    const both = type.merge(bytes, valid);
    assert.deepEqual(type.merge(both, bytes), both);
    const left = type.clear(bytes);
    if (left !== undefined) assert.deepEqual(type.merge(left, bytes), left);
    type.view(bytes);
    strategy.checkVersion({ value: bytes, timestampMs: 0, clock }, Number.MAX_SAFE_INTEGER);
  });

  fuzz(`an operation of ${type.name}`, utf8(OPERATIONS[type.name][1]), (bytes) => {
    const after = type.apply(valid, bytes, { node: "n1", counter: 301, stampMs: 9 });
    type.inspect(after);
    fromUtf8(type.view(after));
  });
}

fuzz("IDENTITY", golden(/^IDENTITY/), (bytes) => {
  const disk = new SimDisk();
  disk.setBytes("/data/IDENTITY", bytes);
  claimIdentity(worldOn(disk), "/data", undefined);
});

fuzz("SEAL_KEY", Deno.readFileSync(`${goldenFolder(2)}/SEAL_KEY`), (bytes) => {
  const disk = new SimDisk();
  disk.setBytes("/data/SEAL_KEY", bytes);
  readSealKey(disk, "/data");
});

Deno.test("any clock from outside is taken in normal form or refused", () => {
  for (let seed = FIRST_SEED; seed < FIRST_SEED + INPUTS; seed++) {
    const random = new SimRandom(seed);
    const event = () => ({
      node: ["", "a", "b", "é", "\ud800", "a\0", "x".repeat(128), "x".repeat(129)][random.below(8)],
      counter: [0, 1, 2, 3, -1, 1.5, NaN, Infinity, 2 ** 53 - 1, 2 ** 53][random.below(10)],
    });
    const events = () => Array.from({ length: random.below(4) }, event);
    try {
      const clock = checkClock({ entries: events(), dots: events() });
      assert.deepEqual(checkClock(clock), clock, `seed ${seed}: its normal form is one`);
    } catch (error) {
      if (error instanceof PairError && error.error === "InvalidArgument") continue;
      throw new Error(`seed ${seed}: ${error}`, { cause: error });
    }
  }
});

Deno.test("the fuzzing notices what it looks for", async () => {
  const huge = () => withoutHugeAllocations(() => new Uint8Array(ALLOCATION_MAX + 1));
  await assert.rejects(huge, /allocation/);
  assert.equal(await withoutHugeAllocations(() => appendOperator.name), "append");
  const wrong = giveOne(1, new Uint8Array(9), () => assert.fail("not its own"));
  assert.match(String(wrong), /not its own/);
});

Deno.test("every decoder was given all of its inputs", () => {
  const least = Math.min(...GIVEN.values());
  assert.ok(GIVEN.size >= 29, `${GIVEN.size} decoders`);
  reached("fuzz", least, INPUTS, { decoders: GIVEN.size });
});
