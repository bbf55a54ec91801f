/**
 * SSTable: one immutable, sorted file of entries.
 *
 *     +------------+-----+------------+--------+-------+------------+--------+
 *     | data block | ... | data block | filter | index | properties | footer |
 *     +------------+-----+------------+--------+-------+------------+--------+
 *
 * Each section but the footer ends in a five-byte trailer:
 *
 *     | bytes ... | compression u8 (0: none) | crc32c u32 |
 *
 * and the footer is the last 72 bytes:
 *
 *     0        6      10      16     20      26     30          36        44     52         56        60       64       72
 *     +--------+------+-------+------+-------+------+-----------+---------+------+----------+---------+--------+--------+
 *     | filter | its  | index | its  | props | its  | data end  | table   | zero | format   | zero    | crc32c | magic  |
 *     | u48    | u32  | u48   | u32  | u48   | u32  | u48       | u48 +2  | 8    | u32 = 1  | 4       | u32    | PAIRDBST |
 *     +--------+------+-------+------+-------+------+-----------+---------+------+----------+---------+--------+--------+
 *
 * Every checksum starts from the table's number and the section's offset, so that a sound section in the
 * wrong place, or of another table, is found out. Section sizes do not count the trailer.
 * Integers are little-endian. Byte by byte, with an example: docs/formats.md.
 * @module
 */
import { crc32c, getU32, getU48, PairError, putU32, putU48 } from "../../model/mod.ts";

/** The version that this program writes, and the newest that it reads. */
export const TABLE_FORMAT = 1;
/** Bytes behind each section. */
export const TRAILER_SIZE = 5;
/** Bytes of the footer. */
export const FOOTER_SIZE = 72;
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
  readonly filter: Handle;
  readonly index: Handle;
  readonly properties: Handle;
  /** Where the data blocks end. */
  readonly dataEnd: number;
}

/** The checksum of a section or footer: bytes, at their place in their table. */
export function sectionChecksum(
  table: number,
  offset: number,
  bytes: Uint8Array,
  start: number,
  end: number,
): number {
  const place = new Uint8Array(12);
  putU48(place, 0, table);
  putU48(place, 6, offset);
  return crc32c(bytes, start, end, crc32c(place));
}

/** Writes a section's trailer behind its `size` bytes in `bytes`. */
export function sealSection(table: number, offset: number, bytes: Uint8Array, size: number): void {
  bytes[size] = COMPRESSION_NONE;
  putU32(bytes, size + 1, sectionChecksum(table, offset, bytes, 0, size + 1));
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
): void {
  const expected = getU32(bytes, handle.size + 1);
  const found = sectionChecksum(table, handle.offset, bytes, 0, handle.size + 1);
  if (found !== expected) {
    throw new PairError(
      "ChecksumFailed",
      `Cannot read ${path} at ${handle.offset}: checksum is ${hex(found)}, expected ${
        hex(expected)
      }`,
      { file: path, offset: handle.offset, size: handle.size, found, expected },
    );
  }
  if (bytes[handle.size] !== COMPRESSION_NONE) {
    throw damaged(path, handle.offset, `compression ${bytes[handle.size]} is not known`);
  }
}

/** The footer's bytes. */
export function encodeFooter(table: number, at: number, footer: Footer): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(FOOTER_SIZE);
  putU48(bytes, 0, footer.filter.offset);
  putU32(bytes, 6, footer.filter.size);
  putU48(bytes, 10, footer.index.offset);
  putU32(bytes, 16, footer.index.size);
  putU48(bytes, 20, footer.properties.offset);
  putU32(bytes, 26, footer.properties.size);
  putU48(bytes, 30, footer.dataEnd);
  putU48(bytes, 36, table);
  putU32(bytes, 52, TABLE_FORMAT);
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
  const footer: Footer = {
    filter: { offset: getU48(bytes, 0), size: getU32(bytes, 6) },
    index: { offset: getU48(bytes, 10), size: getU32(bytes, 16) },
    properties: { offset: getU48(bytes, 20), size: getU32(bytes, 26) },
    dataEnd: getU48(bytes, 30),
  };
  for (const handle of [footer.filter, footer.index, footer.properties]) {
    if (handle.offset < footer.dataEnd || handle.offset + handle.size + TRAILER_SIZE > at) {
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

function hex(value: number): string {
  return `0x${value.toString(16).padStart(8, "0")}`;
}
