/**
 * LZ4 block format (Collet 2011; lz4_Block_format.md), without frames.
 *
 *     sequence: | token u8 | more literal length u8 ... | literals | offset u16 | more match length u8 ... |
 *     token:    | literal length, 4 bits (15: more follows) | match length - 4, 4 bits (15: more follows) |
 *
 * "More" bytes are added up as long as they are 255. The last sequence is literals only. A match begins at
 * least 12 bytes before the end and the last 5 bytes are literals, as other decoders expect.
 * @module
 */
import { HASH_MULTIPLIER, HASH_SHIFT, matchEnd, MatchTable } from "./match_table.ts";

const MATCH_MIN = 4;
const DISTANCE_MAX = 0xffff;
/** A match never begins in the last bytes of a block, */
const MATCH_MARGIN = 12;
/** and never reaches into its very last. */
const LITERAL_TAIL = 5;
/** After 2^this failed probes the search takes longer steps: incompressible data is left quickly. */
const SKIP_TRIGGER = 6;
/** Copies of at least this many bytes are left to the platform; below it the call costs more. */
const BULK_COPY = 48;

/** Compresses blocks, one after the other. */
export class Lz4Encoder {
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
    const matchLimit = end - LITERAL_TAIL;
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
        matchLimit + origin,
      ) - origin;
      while (position > anchor && match > start && from[position - 1] === from[match - 1]) {
        position--;
        match--;
      }

      const literals = position - anchor;
      const length = behind - position - MATCH_MIN;
      // Token, offset, and at most one length byte for each 255 and one more.
      if (at + literals + 5 + ((literals + length) >>> 7) > limit) return -1;
      const token = at++;
      if (literals < 15) into[token] = literals << 4;
      else {
        into[token] = 15 << 4;
        at = putLength(into, at, literals - 15);
      }
      at = copyLiterals(from, anchor, position, into, at);
      const distance = position - match;
      into[at++] = distance;
      into[at++] = distance >>> 8;
      if (length < 15) into[token] |= length;
      else {
        into[token] |= 15;
        at = putLength(into, at, length - 15);
      }

      anchor = position = behind;
      room = limit - at;
      probes = 1 << SKIP_TRIGGER;
      if (position <= searchLimit) {
        // One more place inside the match, so that what follows it is found again.
        const inside = position - 2;
        const seen = memory.getInt32(inside + origin, true);
        slots[Math.imul(seen, HASH_MULTIPLIER) >>> HASH_SHIFT] = inside + shift;
      }
    }
    const literals = end - anchor;
    if (at + literals + 2 + (literals >>> 7) > limit) return -1;
    if (literals < 15) into[at++] = literals << 4;
    else {
      into[at++] = 15 << 4;
      at = putLength(into, at, literals - 15);
    }
    return copyLiterals(from, anchor, end, into, at);
  }
}

/**
 * Decompresses `from[start, end)` into exactly `into[at, limit)`.
 * @returns false when the bytes are not an LZ4 block of that length; `into` then holds anything between
 *   `at` and `limit`, and nothing outside was read or written
 */
export function lz4Decompress(
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
  while (start < end) {
    const token = from[start++];
    let literals = token >>> 4;
    if (literals === 15) {
      let more = 255;
      while (more === 255) {
        if (start >= end) return false;
        more = from[start++];
        literals += more;
      }
    }
    if (literals > end - start || literals > limit - at) return false;
    if (literals >= BULK_COPY) {
      into.set(from.subarray(start, start + literals), at);
      start += literals;
      at += literals;
    } else {
      const stop = at + literals;
      for (; at + 4 <= stop; at += 4, start += 4) {
        output.setInt32(at, input.getInt32(start, true), true);
      }
      while (at < stop) into[at++] = from[start++];
    }
    if (start === end) return at === limit && (token & 15) === 0;

    if (end - start < 2) return false;
    const distance = from[start] | (from[start + 1] << 8);
    start += 2;
    let match = at - distance;
    if (distance === 0 || match < first) return false;
    let length = (token & 15) + MATCH_MIN;
    if (length === 15 + MATCH_MIN) {
      let more = 255;
      while (more === 255) {
        if (start >= end) return false;
        more = from[start++];
        length += more;
      }
    }
    if (length > limit - at) return false;
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
  // An empty input, or one whose last sequence has a match.
  return false;
}

function putLength(into: Uint8Array, at: number, rest: number): number {
  for (; rest >= 255; rest -= 255) into[at++] = 255;
  into[at++] = rest;
  return at;
}

function copyLiterals(
  from: Uint8Array,
  start: number,
  end: number,
  into: Uint8Array,
  at: number,
): number {
  if (end - start >= BULK_COPY) {
    into.set(from.subarray(start, end), at);
    return at + end - start;
  }
  while (start < end) into[at++] = from[start++];
  return at;
}
