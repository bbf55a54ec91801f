/**
 * The protobuf wire format (https://protobuf.dev/programming-guides/encoding), for messages that are hot:
 * no object for a field, no BigInt, texts by a loop where they are short.
 *
 *     message = { tag value }     tag = field number << 3 | wire type, a varint
 *     wire types: 0 varint · 1 eight bytes · 2 length and as many bytes · 5 four bytes
 * @module
 */
import { decodeText, getU32, putU32, putVarint, utf8, varintLength } from "../../model/mod.ts";

/** Bytes that are no message. What exactly is wrong, protobuf's own library says. */
export class MalformedMessage extends Error {
  override readonly name = "MalformedMessage";
}

/** A tag is a varint of 32 bits. */
const TAG_BYTES_MAX = 5;

/** The tag of a field whose value is a varint. */
export const varintTag = (field: number): number => field << 3;
/** The tag of a field whose value has eight bytes. */
export const fixed64Tag = (field: number): number => field << 3 | 1;
/** The tag of a field whose value has a length. */
export const bytesTag = (field: number): number => field << 3 | 2;

/** Reads one message, in place. */
export class WireReader {
  #bytes: Uint8Array;
  #at: number;
  #end: number;
  /** The upper 32 bits of the varint that was read last. */
  #high = 0;

  constructor(bytes: Uint8Array, start = 0, end = bytes.length) {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
  }

  /** Whether a field follows. */
  get more(): boolean {
    return this.#at < this.#end;
  }

  /** A field's tag. */
  tag(): number {
    const start = this.#at;
    const tag = this.#uint32();
    // Field numbers begin with 1, and no tag takes more than five bytes, however it is written.
    if (tag < 8 || this.#at - start > TAG_BYTES_MAX) throw new MalformedMessage();
    return tag;
  }

  /** An int64, as near as a number comes: beyond 2^53 it is no safe integer, and callers check that. */
  int64(): number {
    const low = this.int32();
    return this.#high === 0 && low >= 0 ? low : this.#high * 2 ** 32 + (low >>> 0);
  }

  /** A fixed64, as near as a number comes. */
  fixed64(): number {
    const at = this.#at;
    this.#pass(8);
    return getU32(this.#bytes, at + 4) * 2 ** 32 + getU32(this.#bytes, at);
  }

  /** An enum or int32: the lower 32 bits of a varint. */
  int32(): number {
    let low = 0;
    this.#high = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.#byte();
      low |= (byte & 0x7f) << shift;
      if (byte < 0x80) return low;
    }
    return this.#longVarint(low);
  }

  /** A bool: anything but 0 is true. */
  bool(): boolean {
    return this.int64() !== 0;
  }

  /** The bytes of a field, in place. */
  bytes(): Uint8Array {
    const end = this.#fieldEnd();
    const bytes = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return bytes;
  }

  /** A text. @throws MalformedMessage when it is not UTF-8 */
  text(): string {
    try {
      return decodeText(this.bytes());
    } catch (error) {
      throw error instanceof TypeError ? new MalformedMessage() : error;
    }
  }

  /** The bytes of a text, in place. @throws MalformedMessage when they are not UTF-8 */
  textBytes(): Uint8Array {
    const bytes = this.bytes();
    for (let i = 0; i < bytes.length; i++) {
      if (bytes[i] >= 0x80) return checkedUtf8(bytes);
    }
    return bytes;
  }

  /** A message inside this one. */
  message(): WireReader {
    const end = this.#fieldEnd();
    const inner = new WireReader(this.#bytes, this.#at, end);
    this.#at = end;
    return inner;
  }

  /**
   * Passes over the value of a field that nobody knows.
   * @param fields  the schema has these numbers, from 1 on: one of them under a wire type that is not its own
   *   is left to the library, which does not pass over it
   */
  skip(tag: number, fields: number): void {
    if (tag >>> 3 <= fields) throw new MalformedMessage();
    switch (tag & 7) {
      case 0:
        this.int64();
        return;
      case 1:
        return this.#pass(8);
      case 2:
        this.#at = this.#fieldEnd();
        return;
      case 5:
        return this.#pass(4);
      default:
        // Groups, which no schema of ours has: left to the library.
        throw new MalformedMessage();
    }
  }

  #byte(): number {
    if (this.#at >= this.#end) throw new MalformedMessage();
    return this.#bytes[this.#at++];
  }

  #uint32(): number {
    const value = this.int64();
    if (value < 0 || value > 0xffffffff) throw new MalformedMessage();
    return value;
  }

  /** The rest of a varint of more than four bytes. @returns its lower 32 bits; the others are in #high */
  #longVarint(low: number): number {
    const middle = this.#byte();
    low |= (middle & 0x0f) << 28;
    let high = (middle & 0x7f) >> 4;
    if (middle >= 0x80) {
      for (let shift = 3;; shift += 7) {
        // Ten bytes at most: of the last, one bit counts.
        if (shift > 31) throw new MalformedMessage();
        const byte = this.#byte();
        high |= (byte & 0x7f) << shift;
        if (byte < 0x80) break;
      }
    }
    this.#high = high;
    return low;
  }

  #fieldEnd(): number {
    const length = this.#uint32();
    if (length > this.#end - this.#at) throw new MalformedMessage();
    return this.#at + length;
  }

  #pass(bytes: number): void {
    if (bytes > this.#end - this.#at) throw new MalformedMessage();
    this.#at += bytes;
  }
}

function checkedUtf8(bytes: Uint8Array): Uint8Array {
  try {
    decodeText(bytes);
  } catch (error) {
    throw error instanceof TypeError ? new MalformedMessage() : error;
  }
  return bytes;
}

// Sizes, for messages inside others, which begin with their length. A field that has its default value
// is left out.

/** Bytes of a fixed64 field, its tag included. */
export const FIXED64_FIELD_SIZE = 9;

/** Bytes of a varint field; none for 0. */
export function varintFieldSize(value: number): number {
  return value === 0 ? 0 : 1 + varintLength(value);
}

/** Bytes of a field with a length, its tag included. */
export function lengthFieldSize(length: number): number {
  return 1 + varintLength(length) + length;
}

/** Bytes of a text in UTF-8. */
export function textLength(text: string): number {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) >= 0x80) return utf8(text).length;
  return text.length;
}

/** Writes an integer of at most 2^53 - 1; 0 is left out. @returns the end */
export function putVarintField(into: Uint8Array, at: number, field: number, value: number): number {
  if (value === 0) return at;
  into[at++] = varintTag(field);
  return putVarint(into, at, value);
}

/** Writes an integer of at most 2^53 - 1 as a fixed64, 0 too. @returns the end */
export function putFixed64Field(
  into: Uint8Array,
  at: number,
  field: number,
  value: number,
): number {
  into[at] = fixed64Tag(field);
  putU32(into, at + 1, value >>> 0);
  putU32(into, at + 5, Math.floor(value / 2 ** 32));
  return at + FIXED64_FIELD_SIZE;
}

/** Writes what comes before a field's bytes. @returns where they go */
export function putLength(into: Uint8Array, at: number, field: number, length: number): number {
  into[at++] = bytesTag(field);
  return putVarint(into, at, length);
}

/** Writes bytes, also when there are none. @returns the end */
export function putBytesField(
  into: Uint8Array,
  at: number,
  field: number,
  bytes: Uint8Array,
): number {
  at = putLength(into, at, field, bytes.length);
  into.set(bytes, at);
  return at + bytes.length;
}

/** Writes a text of `length` bytes; an empty one is left out. @returns the end */
export function putTextField(
  into: Uint8Array,
  at: number,
  field: number,
  text: string,
  length: number,
): number {
  if (length === 0) return at;
  at = putLength(into, at, field, length);
  if (length !== text.length) {
    into.set(utf8(text), at);
    return at + length;
  }
  for (let i = 0; i < length; i++) into[at + i] = text.charCodeAt(i);
  return at + length;
}
