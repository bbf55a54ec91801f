/**
 * Byte codecs: little-endian fixed fields and LEB128 varints, over safe integers, without BigInt.
 *
 * A varint holds 7 bits a byte, least first, the top bit saying that more follow; at most 8 bytes,
 * for values up to 2^53 - 1, and never more than the value needs. The reader checks every bound: any bytes give a value or a PairError.
 * @module
 */
import { PairError } from "./errors.ts";

const encoder = new TextEncoder();
// A leading BOM is part of a key; without ignoreBOM the decoder would strip it and two keys would meet.
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The UTF-8 bytes of a well-formed string. */
export function utf8(text: string): Uint8Array<ArrayBuffer> {
  return encoder.encode(text);
}

/** The string of UTF-8 bytes. @throws TypeError when they are ill-formed */
export function fromUtf8(bytes: Uint8Array): string {
  return decoder.decode(bytes as Uint8Array<ArrayBuffer>);
}

/** Compares as unsigned bytes, the shorter first when one is the other's prefix. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const shared = a.length < b.length ? a.length : b.length;
  for (let i = 0; i < shared; i++) {
    const difference = a[i] - b[i];
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** Bytes that a varint of `value` takes. */
export function varintLength(value: number): number {
  let length = 1;
  while (value >= 0x80) {
    value = Math.floor(value / 0x80);
    length++;
  }
  return length;
}

/** Writes a 32-bit little-endian field. */
export function putU32(into: Uint8Array, at: number, value: number): void {
  into[at] = value;
  into[at + 1] = value >>> 8;
  into[at + 2] = value >>> 16;
  into[at + 3] = value >>> 24;
}

/** Reads a 32-bit little-endian field. */
export function getU32(from: Uint8Array, at: number): number {
  return (from[at] | (from[at + 1] << 8) | (from[at + 2] << 16) | (from[at + 3] << 24)) >>> 0;
}

/** Writes a 48-bit little-endian field: sequence numbers stay below 2^48 in practice, and are checked. */
export function putU48(into: Uint8Array, at: number, value: number): void {
  putU32(into, at, value % 2 ** 32);
  const high = Math.floor(value / 2 ** 32);
  into[at + 4] = high;
  into[at + 5] = high >>> 8;
}

/** Reads a 48-bit little-endian field. */
export function getU48(from: Uint8Array, at: number): number {
  return getU32(from, at) + (from[at + 4] | (from[at + 5] << 8)) * 2 ** 32;
}

/** Writes a varint at `at` and returns where it ended. The caller has made sure that there is room. */
export function putVarint(into: Uint8Array, at: number, value: number): number {
  while (value >= 0x80000000) {
    into[at++] = (value % 0x80) | 0x80;
    value = Math.floor(value / 0x80);
  }
  while (value >= 0x80) {
    into[at++] = (value & 0x7f) | 0x80;
    value >>>= 7;
  }
  into[at++] = value;
  return at;
}

/** A block's size, and above which size a piece has memory of its own. */
const BLOCK_BYTES = 64 * 1024;
const PIECE_MAX = 4096;

/**
 * Cuts small pieces from common blocks: memory for each piece alone costs its allocation, and its
 * collection later. No byte is given out twice, and whoever keeps a piece keeps its block.
 */
export class Blocks {
  #block = new Uint8Array(0);
  #used = 0;

  /** A piece to be filled now; {@link settle} says how much of it was. */
  take(bytes: number): Uint8Array<ArrayBuffer> {
    if (bytes > PIECE_MAX) return new Uint8Array(bytes);
    if (this.#used + bytes > this.#block.length) {
      this.#block = new Uint8Array(BLOCK_BYTES);
      this.#used = 0;
    }
    return new Uint8Array(this.#block.buffer, this.#used, bytes);
  }

  /** Counts what was filled of the last piece that was taken. Does nothing for one that is not of a block. */
  settle(piece: Uint8Array): void {
    if (piece.buffer === this.#block.buffer) this.#used = piece.byteOffset + piece.length;
  }
}

/** Builds bytes of unknown length in a growing buffer. */
export class ByteWriter {
  #buffer: Uint8Array<ArrayBuffer>;
  #length = 0;

  /**
   * Begins with nothing written.
   * @param start  bytes to start with, or the memory to write into as long as it suffices
   */
  constructor(start: number | Uint8Array<ArrayBuffer> = 256) {
    this.#buffer = typeof start === "number" ? new Uint8Array(start) : start;
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#length;
  }

  /** Forgets what was written and keeps the buffer. */
  reset(): void {
    this.#length = 0;
  }

  /** Makes room for `count` more bytes. */
  reserve(count: number): void {
    const needed = this.#length + count;
    if (needed <= this.#buffer.length) return;
    const grown = new Uint8Array(Math.max(needed, this.#buffer.length * 2));
    grown.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = grown;
  }

  /** One byte. */
  u8(value: number): this {
    this.reserve(1);
    this.#buffer[this.#length++] = value;
    return this;
  }

  /** Four bytes, little-endian. */
  u32(value: number): this {
    this.reserve(4);
    putU32(this.#buffer, this.#length, value);
    this.#length += 4;
    return this;
  }

  /** Six bytes, little-endian. */
  u48(value: number): this {
    this.reserve(6);
    putU48(this.#buffer, this.#length, value);
    this.#length += 6;
    return this;
  }

  /** A varint; `value` is an integer in [0, 2^53). */
  varint(value: number): this {
    this.reserve(8);
    this.#length = putVarint(this.#buffer, this.#length, value);
    return this;
  }

  /** Bytes as they are. */
  raw(bytes: Uint8Array): this {
    this.reserve(bytes.length);
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.length;
    return this;
  }

  /** A text of which each character takes one byte. */
  ascii(text: string): this {
    this.reserve(text.length);
    const at = this.#length;
    for (let i = 0; i < text.length; i++) this.#buffer[at + i] = text.charCodeAt(i);
    this.#length = at + text.length;
    return this;
  }

  /** A varint length, then the bytes. */
  bytes(bytes: Uint8Array): this {
    return this.varint(bytes.length).raw(bytes);
  }

  /** A varint length, then the text as UTF-8. */
  text(text: string): this {
    return this.bytes(utf8(text));
  }

  /** What was written, in place: valid until the next write. */
  view(): Uint8Array<ArrayBuffer> {
    return this.#buffer.subarray(0, this.#length);
  }

  /** A copy of what was written. */
  finish(): Uint8Array<ArrayBuffer> {
    return this.#buffer.slice(0, this.#length);
  }
}

/** Reads what ByteWriter wrote. Every method throws CorruptedData rather than read past the end. */
export class ByteReader {
  #bytes: Uint8Array;
  #at: number;
  #end: number;
  #what: string;

  /**
   * Reads from `start` up to `end`.
   * @param what  names the thing being read, for the error
   */
  constructor(bytes: Uint8Array, what: string, start = 0, end = bytes.length) {
    this.#bytes = bytes;
    this.#what = what;
    this.#at = start;
    this.#end = end;
  }

  /** Where the next field begins. */
  get position(): number {
    return this.#at;
  }

  /** Bytes left. */
  get remaining(): number {
    return this.#end - this.#at;
  }

  #need(count: number): void {
    if (count > this.#end - this.#at) throw this.damaged(`it ends inside a field`);
  }

  /** The error for bytes that make no sense. */
  damaged(why: string): PairError {
    return new PairError("CorruptedData", `Cannot read ${this.#what}: ${why}`, {
      offset: this.#at,
    });
  }

  /** One byte. */
  u8(): number {
    this.#need(1);
    return this.#bytes[this.#at++];
  }

  /** Four bytes. */
  u32(): number {
    this.#need(4);
    this.#at += 4;
    return getU32(this.#bytes, this.#at - 4);
  }

  /** Six bytes. */
  u48(): number {
    this.#need(6);
    this.#at += 6;
    return getU48(this.#bytes, this.#at - 6);
  }

  /** A varint of at most 2^53 - 1. */
  varint(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 8; i++) {
      this.#need(1);
      const byte = this.#bytes[this.#at++];
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        // One value, one encoding: what is read is written back byte for byte.
        if (byte === 0 && i > 0) throw this.damaged("a varint has a needless byte");
        if (!Number.isSafeInteger(value)) throw this.damaged("a number is above 2^53 - 1");
        return value;
      }
      scale *= 0x80;
    }
    throw this.damaged("a varint is longer than 8 bytes");
  }

  /** `count` bytes, in place. */
  raw(count: number): Uint8Array {
    this.#need(count);
    this.#at += count;
    return this.#bytes.subarray(this.#at - count, this.#at);
  }

  /** Goes past `count` bytes. */
  skip(count: number): void {
    this.#need(count);
    this.#at += count;
  }

  /** A varint length and as many bytes, in place. */
  bytes(): Uint8Array {
    return this.raw(this.varint());
  }

  /** A varint length and as many bytes of UTF-8. */
  text(): string {
    const bytes = this.bytes();
    try {
      return fromUtf8(bytes);
    } catch (cause) {
      throw new PairError("CorruptedData", `Cannot read ${this.#what}: text is not UTF-8`, {
        offset: this.#at - bytes.length,
      }, { cause });
    }
  }

  /** Demands that nothing is left. */
  end(): void {
    if (this.#at !== this.#end) throw this.damaged(`${this.remaining} bytes too many`);
  }
}
