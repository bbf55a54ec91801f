/**
 * Snappy raw format (Google 2011; format_description.txt), without frames.
 *
 *     block:   | raw length varint | element ... |
 *     literal: | (length - 1) << 2 | 0  u8 | bytes |      lengths above 60: 59 + n in the tag, then n bytes of length - 1
 *     copy:    | (offset >> 8) << 5 | (length - 4) << 2 | 1  u8 | offset u8 |     length 4 to 11, offset below 2048
 *              | (length - 1) << 2 | 2  u8 | offset u16 |                         length 1 to 64
 *              | (length - 1) << 2 | 3  u8 | offset u32 |                         read, never written
 * @module
 */
import { HASH_MULTIPLIER, HASH_SHIFT, matchEnd, MatchTable } from "./match_table.ts";

const MATCH_MIN = 4;
const DISTANCE_MAX = 0xffff;
/** A match never begins in the last bytes of a block: four bytes are read at once. */
const MATCH_MARGIN = 4;
/** After 2^this failed probes the search takes longer steps: incompressible data is left quickly. */
const SKIP_TRIGGER = 5;
/** Copies of at least this many bytes are left to the platform; below it the call costs more. */
const BULK_COPY = 48;

/** Compresses blocks, one after the other. */
export class SnappyEncoder {
  readonly #table = new MatchTable();

  /**
   * Compresses `from[start, end)` to `into[at, ...)`.
   * @param limit  where the output must end at the latest; at most the length of `into`
   * @returns where the output ended; -1 when it does not fit below the limit
   */
  compress(
    from: Uint8Array,
    start: number,
    end: number,
    into: Uint8Array,
    at: number,
    limit: number,
  ): number {
    const { slots } = this.#table;
    const memory = this.#table.memoryOf(from);
    const origin = from.byteOffset;
    const shift = this.#table.enter(start, end - start);
    if (at + 5 > limit) return -1;
    let length = end - start;
    while (length >= 0x80) {
      into[at++] = (length & 0x7f) | 0x80;
      length >>>= 7;
    }
    into[at++] = length;

    const searchLimit = end - MATCH_MARGIN;
    let anchor = start;
    let position = start;
    // The literals since the anchor are output too: once they alone pass the limit, nothing helps.
    let room = limit - at;
    let probes = 1 << SKIP_TRIGGER;
    while (position <= searchLimit) {
      const word = memory.getInt32(position + origin, true);
      const hash = Math.imul(word, HASH_MULTIPLIER) >>> HASH_SHIFT;
      let match = slots[hash] - shift;
      slots[hash] = position + shift;
      if (
        match < start || position - match > DISTANCE_MAX ||
        word !== memory.getInt32(match + origin, true)
      ) {
        position += probes++ >>> SKIP_TRIGGER;
        if (position - anchor > room) return -1;
        continue;
      }
      const behind = matchEnd(
        memory,
        position + MATCH_MIN + origin,
        match + MATCH_MIN + origin,
        end + origin,
      ) - origin;
      while (position > anchor && match > start && from[position - 1] === from[match - 1]) {
        position--;
        match--;
      }

      // Tags of at most five bytes, and three bytes for each 60 of the match.
      let rest = behind - position;
      if (at + (position - anchor) + 5 + 3 * (1 + ((rest / 60) | 0)) > limit) return -1;
      if (position > anchor) at = putLiterals(from, anchor, position, into, at);
      const distance = position - match;
      while (rest >= 68) {
        into[at++] = (63 << 2) | 2;
        into[at++] = distance;
        into[at++] = distance >>> 8;
        rest -= 64;
      }
      if (rest > 64) {
        // At least four bytes must remain for the last copy.
        into[at++] = (59 << 2) | 2;
        into[at++] = distance;
        into[at++] = distance >>> 8;
        rest -= 60;
      }
      if (rest < 12 && distance < 2048) {
        into[at++] = ((distance >>> 8) << 5) | ((rest - 4) << 2) | 1;
        into[at++] = distance;
      } else {
        into[at++] = ((rest - 1) << 2) | 2;
        into[at++] = distance;
        into[at++] = distance >>> 8;
      }

      anchor = position = behind;
      room = limit - at;
      probes = 1 << SKIP_TRIGGER;
      if (position <= searchLimit) {
        // One more place inside the match, so that what follows it is found again.
        const inside = position - 1;
        const seen = memory.getInt32(inside + origin, true);
        slots[Math.imul(seen, HASH_MULTIPLIER) >>> HASH_SHIFT] = inside + shift;
      }
    }
    if (at + (end - anchor) + 5 > limit) return -1;
    return anchor < end ? putLiterals(from, anchor, end, into, at) : at;
  }
}

/**
 * Decompresses `from[start, end)` into exactly `into[at, limit)`.
 * @returns false when the bytes are not a Snappy block of that length; `into` then holds anything between
 *   `at` and `limit`, and nothing outside was read or written
 */
export function snappyDecompress(
  from: Uint8Array,
  start: number,
  end: number,
  into: Uint8Array,
  at: number,
  limit: number,
): boolean {
  const first = at;
  const input = new DataView(from.buffer, from.byteOffset, from.byteLength);
  const output = new DataView(into.buffer, into.byteOffset, into.byteLength);
  let declared = 0;
  for (let scale = 1;; scale *= 0x80) {
    if (start >= end || scale > 2 ** 28) return false;
    const byte = from[start++];
    declared += (byte & 0x7f) * scale;
    if (byte < 0x80) break;
  }
  if (declared !== limit - at) return false;
  while (start < end) {
    const tag = from[start++];
    if ((tag & 3) === 0) {
      let length = (tag >>> 2) + 1;
      if (length > 60) {
        const bytes = length - 60;
        if (end - start < bytes) return false;
        length = from[start];
        if (bytes > 1) length |= from[start + 1] << 8;
        if (bytes > 2) length |= from[start + 2] << 16;
        if (bytes > 3) length += from[start + 3] * 0x1000000;
        length++;
        start += bytes;
      }
      if (length > end - start || length > limit - at) return false;
      if (length >= BULK_COPY) {
        into.set(from.subarray(start, start + length), at);
        start += length;
        at += length;
      } else {
        const stop = at + length;
        for (; at + 4 <= stop; at += 4, start += 4) {
          output.setInt32(at, input.getInt32(start, true), true);
        }
        while (at < stop) into[at++] = from[start++];
      }
      continue;
    }
    let length: number;
    let distance: number;
    if ((tag & 3) === 1) {
      if (start >= end) return false;
      length = ((tag >>> 2) & 7) + 4;
      distance = ((tag >>> 5) << 8) | from[start++];
    } else {
      const bytes = (tag & 3) === 2 ? 2 : 4;
      if (end - start < bytes) return false;
      length = (tag >>> 2) + 1;
      distance = from[start] | (from[start + 1] << 8);
      if (bytes === 4) distance += from[start + 2] * 0x10000 + from[start + 3] * 0x1000000;
      start += bytes;
    }
    let match = at - distance;
    if (distance === 0 || match < first || length > limit - at) return false;
    if (length >= BULK_COPY && distance >= length) {
      into.copyWithin(at, match, match + length);
      at += length;
    } else {
      const stop = at + length;
      // Four bytes at once read nothing that they have written themselves.
      if (distance >= 4) {
        for (; at + 4 <= stop; at += 4, match += 4) {
          output.setInt32(at, output.getInt32(match, true), true);
        }
      }
      while (at < stop) into[at++] = into[match++];
    }
  }
  return at === limit;
}

/** A literal element of at least one byte. */
function putLiterals(
  from: Uint8Array,
  start: number,
  end: number,
  into: Uint8Array,
  at: number,
): number {
  const length = end - start - 1;
  if (length < 60) into[at++] = length << 2;
  else {
    const bytes = length < 0x100 ? 1 : length < 0x10000 ? 2 : length < 0x1000000 ? 3 : 4;
    into[at++] = (59 + bytes) << 2;
    for (let i = 0; i < bytes; i++) into[at++] = length >>> (8 * i);
  }
  if (length >= BULK_COPY) {
    into.set(from.subarray(start, end), at);
    return at + end - start;
  }
  while (start < end) into[at++] = from[start++];
  return at;
}
