/**
 * The way of a table's sections into its file: compressed where that saves an eighth, encrypted where the
 * table is sealed, checksummed, gathered, appended.
 * @module
 */
import { crc32c, putU32 } from "../../model/mod.ts";
import { type AppendFile, type Cipher, TAG_BYTES } from "../../runtime/mod.ts";
import { type Compression, COMPRESSIONS, type Encoder, encoderFor } from "./codec/mod.ts";
import { COMPRESSION_NONE, type Handle, placeOf, sealTrailer, TRAILER_SIZE } from "./format.ts";

/** Bytes gathered before they go to the file in one append. */
const WRITE_BUFFER = 256 * 1024;
/**
 * After as many bytes the file is synced, long before its end: a journalling file system lets a sync of the
 * log wait for what else is unwritten, and a whole table would be tens of milliseconds of that.
 */
const SYNC_BYTES = 1024 * 1024;

/** Writes the sections of one table, one behind the other. */
export class SectionWriter {
  readonly #table: number;
  readonly #file: AppendFile;
  readonly #encoder: Encoder | undefined;
  readonly #code: number;
  readonly #cipher: Cipher | undefined;
  #buffer = new Uint8Array(WRITE_BUFFER + 65536);
  #length = 0;
  #written = 0;
  #unsynced = 0;
  #body = 0;

  constructor(
    table: number,
    file: AppendFile,
    compression: Compression,
    cipher: Cipher | undefined,
  ) {
    this.#table = table;
    this.#file = file;
    this.#encoder = encoderFor(compression);
    this.#code = COMPRESSIONS.indexOf(compression);
    this.#cipher = cipher;
  }

  /** Bytes so far: where the next section begins. */
  get position(): number {
    return this.#written + this.#length;
  }

  /** Checksum of the bytes that were appended to the file so far. */
  get body(): number {
    return this.#body;
  }

  /**
   * Writes a section.
   * @param compress  whether it is worth trying
   */
  write(bytes: Uint8Array, compress = true): Handle {
    const size = bytes.length;
    this.#reserve(size + TAG_BYTES + TRAILER_SIZE);
    const offset = this.position;
    const start = this.#length;
    const into = this.#buffer;
    let code = COMPRESSION_NONE;
    let end = -1;
    if (compress && this.#encoder !== undefined) {
      end = this.#encoder.compress(bytes, 0, size, into, start, start + size - (size >>> 3));
      code = this.#code;
    }
    if (end < 0) {
      into.set(bytes, start);
      end = start + size;
      code = COMPRESSION_NONE;
    }
    if (this.#cipher !== undefined) {
      const bound = new Uint8Array(5);
      bound[0] = code;
      putU32(bound, 1, size);
      const place = placeOf(this.#table, offset);
      const sealed = this.#cipher.seal(place, into.subarray(start, end), bound);
      into.set(sealed, start);
      end = start + sealed.length;
    }
    into[end] = code;
    putU32(into, end + 1, size);
    sealTrailer(this.#table, offset, into, start, end);
    this.#length = end + TRAILER_SIZE;
    if (this.#length >= WRITE_BUFFER) this.drain();
    return { offset, size: end - start };
  }

  /** Appends what is gathered to the file. */
  drain(): void {
    const gathered = this.#buffer.subarray(0, this.#length);
    this.#body = crc32c(this.#buffer, 0, this.#length, this.#body);
    this.#file.append(gathered);
    this.#written += this.#length;
    this.#unsynced += this.#length;
    this.#length = 0;
    if (this.#unsynced < SYNC_BYTES) return;
    this.#file.syncNow();
    this.#unsynced = 0;
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#buffer.length) return;
    const grown = new Uint8Array(Math.max(this.#length + count, this.#buffer.length * 2));
    grown.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = grown;
  }
}
