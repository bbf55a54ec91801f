/**
 * SSTable: one immutable, sorted file of entries.
 *
 *     +------------+-----+------------+-----------+-----+--------+-------+------------+--------+
 *     | data block | ... | data block | partition | ... | filter | index | properties | footer |
 *     +------------+-----+------------+-----------+-----+--------+-------+------------+--------+
 *
 * A large table has partitions and no filter, a small one a filter and no partitions (index.ts).
 * Each section but the footer ends in a trailer:
 *
 *     | bytes ... | compression u8 | raw length u32 | crc32c u32 |           compression: 0 none, 1 lz4, 2 snappy, 3 zstd
 *
 * and the footer is the last 72 bytes:
 *
 *     0        6      10      16     20      26     30          36     52         56           60       64       72
 *     +--------+------+-------+------+-------+------+-----------+------+----------+------------+--------+--------+
 *     | filter | its  | index | its  | props | its  | data end  | salt | format   | crc32c of  | crc32c | magic  |
 *     | u48    | u32  | u48   | u32  | u48   | u32  | u48       | 16   | u32 = 2  | all before | u32    | PAIRDBST |
 *     +--------+------+-------+------+-------+------+-----------+------+----------+------------+--------+--------+
 *
 * The checksum of each section, and of the footer, starts from the table's number and the section's offset,
 * so that a sound section in the wrong place, or of another table, is found out. The one of all bytes before the
 * footer starts from nothing. Section sizes do not count the trailer.
 *
 * In a sealed table, one whose salt is not zero, each section is compressed, then encrypted with AES-256-GCM:
 * sixteen bytes longer, its number and offset are the nonce, and what its trailer says of compression and raw
 * length is authenticated with it (sealing.ts). The checksum is that of the sealed bytes.
 *
 * Format 1 has trailers without raw length (five bytes, compression 0), the table's number in place of the salt
 * and zeros behind it, and zeros in place of the checksum of all; it is read, and not written any more.
 * Integers are little-endian. Byte by byte, with an example: docs/formats.md.
 * @module
 */
import { crc32c, crc32cU48, getU32, getU48, PairError, putU32, putU48 } from "../../model/mod.ts";
import type { DiskError } from "../../runtime/mod.ts";

/** The version that this program writes, and the newest that it reads. */
export const TABLE_FORMAT = 2;
/** Bytes behind each section. */
export const TRAILER_SIZE = 9;
/** Bytes behind each section in format 1. */
const TRAILER_SIZE_1 = 5;
/** Bytes of the footer. */
export const FOOTER_SIZE = 72;
/** Bytes of a sealed table's salt. */
export const SALT_SIZE = 16;
/** Compression byte of a section stored as it is. */
export const COMPRESSION_NONE = 0;

const MAGIC = [0x50, 0x41, 0x49, 0x52, 0x44, 0x42, 0x53, 0x54]; // "PAIRDBST"

/** Where a section lies; `size` is without its trailer. */
export interface Handle {
  readonly offset: number;
  readonly size: number;
}

/** What the footer says. */
export interface Footer {
  readonly format: number;
  /** Of size 0 when the table is partitioned. */
  readonly filter: Handle;
  readonly index: Handle;
  readonly properties: Handle;
  /** Where the data blocks end. */
  readonly dataEnd: number;
  /** Of a sealed table; undefined when it is not sealed. */
  readonly salt: Uint8Array | undefined;
  /** Checksum of all bytes before the footer; undefined in format 1. */
  readonly body: number | undefined;
  /** Bytes behind each section. */
  readonly trailer: number;
}

/** A place in a table as a nonce: number and offset, six bytes each. Checksums begin with the same bytes. */
export function placeOf(table: number, offset: number): Uint8Array<ArrayBuffer> {
  const place = new Uint8Array(12);
  putU48(place, 0, table);
  putU48(place, 6, offset);
  return place;
}

/** The checksum of a section or footer: bytes, at their place in their table. */
export function sectionChecksum(
  table: number,
  offset: number,
  bytes: Uint8Array,
  start: number,
  end: number,
): number {
  return crc32c(bytes, start, end, crc32cU48(offset, crc32cU48(table)));
}

/**
 * Completes the trailer behind `bytes[start, end)`, a section at `offset` in its file: compression and raw
 * length are there, the checksum follows.
 */
export function sealTrailer(
  table: number,
  offset: number,
  bytes: Uint8Array,
  start: number,
  end: number,
): void {
  putU32(bytes, end + 5, sectionChecksum(table, offset, bytes, start, end + 5));
}

/**
 * Checks a section that was read with its trailer.
 * @throws PairError ChecksumFailed with file and offset
 */
export function verifySection(
  path: string,
  table: number,
  handle: Handle,
  bytes: Uint8Array,
  trailer: number,
): void {
  const at = handle.size + trailer - 4;
  const expected = getU32(bytes, at);
  const found = sectionChecksum(table, handle.offset, bytes, 0, at);
  if (found !== expected) throw checksumFailed(path, handle.offset, handle.size, found, expected);
}

/** The footer's bytes, of the present format. */
export function encodeFooter(
  table: number,
  at: number,
  footer: Omit<Footer, "format" | "trailer">,
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(FOOTER_SIZE);
  putU48(bytes, 0, footer.filter.offset);
  putU32(bytes, 6, footer.filter.size);
  putU48(bytes, 10, footer.index.offset);
  putU32(bytes, 16, footer.index.size);
  putU48(bytes, 20, footer.properties.offset);
  putU32(bytes, 26, footer.properties.size);
  putU48(bytes, 30, footer.dataEnd);
  if (footer.salt !== undefined) bytes.set(footer.salt, 36);
  putU32(bytes, 52, TABLE_FORMAT);
  putU32(bytes, 56, footer.body ?? 0);
  putU32(bytes, 60, sectionChecksum(table, at, bytes, 0, 60));
  bytes.set(MAGIC, 64);
  return bytes;
}

/**
 * Reads a footer that stood at `at`.
 * @throws PairError CorruptedData when it is damaged, foreign, or of another table; InvalidArgument
 *   when its format is newer than this program
 */
export function decodeFooter(path: string, table: number, at: number, bytes: Uint8Array): Footer {
  if (MAGIC.some((byte, i) => bytes[64 + i] !== byte)) {
    throw damaged(path, at, "this is not an sstable: the magic number is missing");
  }
  const expected = getU32(bytes, 60);
  const found = sectionChecksum(table, at, bytes, 0, 60);
  const format = getU32(bytes, 52);
  if (found !== expected) {
    throw damaged(path, at, `footer checksum is ${hex(found)}, expected ${hex(expected)}`);
  }
  if (format > TABLE_FORMAT) {
    throw new PairError(
      "InvalidArgument",
      `Cannot open ${path}: its format is ${format}, newer than this program's ${TABLE_FORMAT}`,
      { file: path, format },
    );
  }
  const first = format === 1;
  const salt = bytes.slice(36, 36 + SALT_SIZE);
  const footer: Footer = {
    format,
    filter: { offset: getU48(bytes, 0), size: getU32(bytes, 6) },
    index: { offset: getU48(bytes, 10), size: getU32(bytes, 16) },
    properties: { offset: getU48(bytes, 20), size: getU32(bytes, 26) },
    dataEnd: getU48(bytes, 30),
    salt: first || salt.every((byte) => byte === 0) ? undefined : salt,
    body: first ? undefined : getU32(bytes, 56),
    trailer: first ? TRAILER_SIZE_1 : TRAILER_SIZE,
  };
  for (const handle of [footer.filter, footer.index, footer.properties]) {
    if (handle.offset < footer.dataEnd || handle.offset + handle.size + footer.trailer > at) {
      throw damaged(path, at, "a section lies outside the file");
    }
  }
  return footer;
}

/** The error for a damaged table. */
export function damaged(path: string, offset: number, why: string): PairError {
  return new PairError("CorruptedData", `Cannot read ${path} at ${offset}: ${why}`, {
    file: path,
    offset,
  });
}

/**
 * The error for a table that the disk does not give: one that is gone is damage, anything else may pass.
 * @param offset  what was to be read; 0 when the file was opened
 */
export function readFailed(path: string, offset: number, cause: DiskError): PairError {
  const { errno } = cause;
  const gone = errno === "ENOENT";
  return new PairError(
    gone ? "CorruptedData" : "SSTableFailed",
    `Cannot read ${path} at ${offset}: ${gone ? "it is missing" : errno}`,
    { file: path, offset, errno },
    { cause },
  );
}

/** The error for bytes that have another checksum than they should. */
export function checksumFailed(
  path: string,
  offset: number,
  size: number,
  found: number,
  expected: number,
): PairError {
  return new PairError(
    "ChecksumFailed",
    `Cannot read ${path} at ${offset}: checksum is ${hex(found)}, expected ${hex(expected)}`,
    { file: path, offset, size, found, expected },
  );
}

function hex(value: number): string {
  return `0x${value.toString(16).padStart(8, "0")}`;
}
