/**
 * The way back: a table's sections out of its file, verified, decrypted and decompressed.
 * @module
 */
import { crc32c, getU32, PairError } from "../../model/mod.ts";
import { type Cipher, DiskError, type ReadFile } from "../../runtime/mod.ts";
import { COMPRESSIONS, decompress } from "./codec/mod.ts";
import {
  checksumFailed,
  COMPRESSION_NONE,
  damaged,
  decodeFooter,
  type Footer,
  FOOTER_SIZE,
  type Handle,
  placeOf,
  readFailed,
  verifySection,
} from "./format.ts";
import type { BlockMemory } from "./block_memory.ts";
import type { ReadAhead } from "./read_ahead.ts";
import type { ChecksumMeter } from "./checksum_meter.ts";
import { keyRefused, tableCipher, type TableKey } from "./sealing.ts";

/** Bytes read at once where the whole file is. */
const WHOLE_STEP = 256 * 1024;

/** Reads the sections of one table. */
export class SectionReader {
  readonly footer: Footer;
  readonly #file: ReadFile;
  readonly #table: number;
  readonly #cipher: Cipher | undefined;
  readonly #checksums: ChecksumMeter | undefined;
  readonly #readPiece = (into: Uint8Array, offset: number) => readAll(this.#file, into, offset);

  /**
   * Reads the footer.
   * @param table      the table's number
   * @param checksums  is told of each section that is verified
   * @throws PairError CorruptedData for a damaged footer, InvalidArgument for a newer format, or for a sealed
   *   table without a key; SSTableFailed when the disk fails
   */
  constructor(
    file: ReadFile,
    table: number,
    key: TableKey | undefined,
    checksums?: ChecksumMeter,
  ) {
    this.#checksums = checksums;
    this.#file = file;
    this.#table = table;
    this.footer = readFooter(file, table);
    const { salt } = this.footer;
    if (salt !== undefined) {
      if (key === undefined) throw keyRefused(file.path, false);
      this.#cipher = tableCipher(key, salt);
    }
  }

  /**
   * The bytes of a section, as they were before compression.
   * @param memory  where their buffer comes from
   * @throws PairError ChecksumFailed or CorruptedData with file and offset; SSTableFailed when the disk fails
   */
  read(handle: Handle, memory?: BlockMemory): Uint8Array {
    const count = handle.size + this.footer.trailer;
    const bytes = memory?.take(count) ?? new Uint8Array(count);
    readAll(this.#file, bytes, handle.offset);
    const raw = this.#decode(handle, bytes, memory);
    if (raw.buffer !== bytes.buffer) memory?.give(bytes);
    return raw;
  }

  /**
   * The same for a data block on a walk, which goes on to the blocks behind it.
   * @param ahead  the walk's
   */
  readOn(handle: Handle, ahead: ReadAhead): Uint8Array {
    const { offset } = handle;
    const count = handle.size + this.footer.trailer;
    let bytes = ahead.take(offset, count);
    if (bytes === undefined) {
      try {
        ahead.fill(this.#readPiece, offset, this.footer.dataEnd);
      } catch (error) {
        // What lies further on may be unreadable where this block is not.
        if (!(error instanceof PairError)) throw error;
        return this.read(handle);
      }
      bytes = ahead.take(offset, count);
    }
    // A block larger than a piece is read alone.
    return bytes === undefined ? this.read(handle) : this.#decode(handle, bytes);
  }

  /**
   * Checks the checksum of the whole file; what format 1 does not have, passes.
   * @throws PairError ChecksumFailed; SSTableFailed when the disk fails
   */
  verifyBody(): void {
    verifyBody(this.#file, this.footer);
  }

  /** Verifies, decrypts and decompresses a section that was read with its trailer. */
  #decode(handle: Handle, bytes: Uint8Array, memory?: BlockMemory): Uint8Array {
    const { path } = this.#file;
    const { offset, size } = handle;
    const { trailer, format } = this.footer;
    const beganMs = this.#checksums?.begin() ?? -1;
    verifySection(path, this.#table, handle, bytes, trailer);
    this.#checksums?.end(beganMs);
    const compression = bytes[size];
    const length = format === 1 ? size : getU32(bytes, size + 1);
    let stored = bytes;
    let end = size;
    if (this.#cipher !== undefined) {
      const bound = bytes.subarray(size, size + 5);
      const place = placeOf(this.#table, offset);
      const opened = this.#cipher.open(place, bytes.subarray(0, size), bound);
      if (opened === undefined) {
        // The first section that is read tells a wrong key from damage.
        if (handle === this.footer.properties) throw keyRefused(path, true);
        throw damaged(path, offset, "its seal is broken");
      }
      stored = opened;
      end = opened.length;
    }
    if (compression === COMPRESSION_NONE) {
      if (end !== length) throw damaged(path, offset, `it has ${end} bytes, not ${length}`);
      return end === stored.length ? stored : stored.subarray(0, end);
    }
    if (format === 1 || compression >= COMPRESSIONS.length) {
      throw damaged(path, offset, `compression ${compression} is not known`);
    }
    const raw = decompress(compression, stored, 0, end, length, memory);
    if (raw === undefined) {
      throw damaged(
        path,
        offset,
        `it does not decompress to ${length} bytes of ${COMPRESSIONS[compression]}`,
      );
    }
    return raw;
  }
}

/**
 * Reads a table's footer.
 * @throws PairError CorruptedData for a damaged one, InvalidArgument for a newer format; SSTableFailed
 */
export function readFooter(file: ReadFile, table: number): Footer {
  const at = file.size - FOOTER_SIZE;
  if (at < 0) throw damaged(file.path, 0, `${file.size} bytes are too few for an sstable`);
  const bytes = new Uint8Array(FOOTER_SIZE);
  readAll(file, bytes, at);
  return decodeFooter(file.path, table, at, bytes);
}

/**
 * Checks the checksum of a whole table; no key is needed. What format 1 does not have, passes.
 * @throws PairError ChecksumFailed; SSTableFailed when the disk fails
 */
export function verifyBody(file: ReadFile, footer: Footer): void {
  verifyBodyPart(file, footer, { offset: 0, crc: 0 }, Infinity);
}

/** How far a table's bytes were read, and their checksum up to there. */
export interface BodyPart {
  readonly offset: number;
  readonly crc: number;
}

/**
 * The same, a part at a time.
 * @param from      where to begin, at first 0 and 0
 * @param bytesMax  bytes to read, about
 * @returns where to go on; undefined at the end, when all is well
 */
export function verifyBodyPart(
  file: ReadFile,
  { body }: Footer,
  { offset, crc }: BodyPart,
  bytesMax: number,
): BodyPart | undefined {
  if (body === undefined) return undefined;
  const end = file.size - FOOTER_SIZE;
  const bytes = new Uint8Array(Math.min(WHOLE_STEP, end));
  let found = crc;
  let at = offset;
  while (at < end) {
    if (at - offset >= bytesMax) return { offset: at, crc: found };
    const part = bytes.subarray(0, Math.min(bytes.length, end - at));
    readAll(file, part, at);
    found = crc32c(part, 0, part.length, found);
    at += part.length;
  }
  if (found !== body) throw checksumFailed(file.path, 0, end, found, body);
  return undefined;
}

function readAll(file: ReadFile, into: Uint8Array, offset: number): void {
  const { path } = file;
  let count: number;
  try {
    count = file.readAt(into, offset);
  } catch (cause) {
    if (!(cause instanceof DiskError)) throw cause;
    // The file may have been closed meanwhile, and cannot be opened again.
    throw readFailed(path, offset, cause);
  }
  if (count < into.length) throw damaged(path, offset, "the file ends before its section");
}
