/**
 * Tokens: where keys stand on the ring. A token is the Murmur3 (x86, 128 bits, by Austin Appleby, public
 * domain) of a key's bytes under the seed 0, as four words, the most significant first. On the wire it
 * is 16 bytes in that order. The tenant is not in it: a key has one token in all tenants.
 *
 *     range (start, end]      start < end       start ────► end
 *                             start ≥ end       ──► end     start ──►      (around, or the whole ring)
 * @module
 */
import { PairError } from "./errors.ts";

/** Bytes of a token on the wire. */
export const TOKEN_BYTES = 16;

/** Four unsigned words of 32 bits, the most significant first. */
export type Token = Uint32Array;

/** Tokens above `start` up to and with `end`, going around where `end` is not above `start`. */
export interface TokenRange {
  /** Exclusive. */
  readonly start: Token;
  /** Inclusive. */
  readonly end: Token;
}

const C1 = 0x239b961b;
const C2 = 0xab0e9789;
const C3 = 0x38b34ae5;
const C4 = 0xa1e38b93;

/**
 * The token of a key.
 * @param into  where it is written, for callers that need it once
 * @param seed  0 for tokens
 */
export function tokenOf(key: Uint8Array, into: Token = new Uint32Array(4), seed = 0): Token {
  const { length } = key;
  let h1 = seed | 0;
  let h2 = h1;
  let h3 = h1;
  let h4 = h1;
  let at = 0;
  for (; at + 16 <= length; at += 16) {
    h1 = rotate(h1 ^ mix(word(key, at), C1, 15, C2), 19) + h2 | 0;
    h1 = Math.imul(h1, 5) + 0x561ccd1b | 0;
    h2 = rotate(h2 ^ mix(word(key, at + 4), C2, 16, C3), 17) + h3 | 0;
    h2 = Math.imul(h2, 5) + 0x0bcaa747 | 0;
    h3 = rotate(h3 ^ mix(word(key, at + 8), C3, 17, C4), 15) + h4 | 0;
    h3 = Math.imul(h3, 5) + 0x96cd1c35 | 0;
    h4 = rotate(h4 ^ mix(word(key, at + 12), C4, 18, C1), 13) + h1 | 0;
    h4 = Math.imul(h4, 5) + 0x32ac3b17 | 0;
  }
  // The rest, filled up with zeros, which mix to zero.
  h1 ^= mix(word(key, at), C1, 15, C2) ^ length;
  h2 ^= mix(word(key, at + 4), C2, 16, C3) ^ length;
  h3 ^= mix(word(key, at + 8), C3, 17, C4) ^ length;
  h4 ^= mix(word(key, at + 12), C4, 18, C1) ^ length;
  h1 = h1 + h2 + h3 + h4 | 0;
  h2 = final(h2 + h1 | 0);
  h3 = final(h3 + h1 | 0);
  h4 = final(h4 + h1 | 0);
  h1 = final(h1);
  h1 = h1 + h2 + h3 + h4 | 0;
  into[0] = h1;
  into[1] = h2 + h1;
  into[2] = h3 + h1;
  into[3] = h4 + h1;
  return into;
}

/** Four bytes, the least significant first; those behind the end are 0. */
function word(bytes: Uint8Array, at: number): number {
  return bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
}

function rotate(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}

function mix(k: number, first: number, bits: number, second: number): number {
  return Math.imul(rotate(Math.imul(k, first), bits), second);
}

function final(h: number): number {
  h ^= h >>> 16;
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return h ^ (h >>> 16);
}

/** Negative, 0 or positive: the order on the ring. */
export function compareTokens(a: Token, b: Token): number {
  for (let i = 0; i < 4; i++) if (a[i] !== b[i]) return a[i] - b[i];
  return 0;
}

/** Whether a token is in a range. */
export function inTokenRange(token: Token, { start, end }: TokenRange): boolean {
  const above = compareTokens(token, start) > 0;
  const upTo = compareTokens(token, end) <= 0;
  return compareTokens(start, end) < 0 ? above && upTo : above || upTo;
}

/** The share of the ring that a range is, above 0 and at most 1: of many keys about as many are in it. */
export function tokenShare({ start, end }: TokenRange): number {
  const share = fraction(end) - fraction(start);
  return compareTokens(start, end) < 0 ? share : 1 + share;
}

function fraction(token: Token): number {
  return token.reduceRight((below, word) => (word + below) / 2 ** 32, 0);
}

/**
 * A token from its 16 bytes.
 * @param field  names the field in the error
 * @throws PairError InvalidArgument (1000) when there are not 16
 */
export function readToken(bytes: Uint8Array, field: string): Token {
  if (bytes.length !== TOKEN_BYTES) {
    throw new PairError("InvalidArgument", `Cannot take ${field}: a token has 16 bytes`, {
      field,
      bytes: bytes.length,
    });
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, TOKEN_BYTES);
  return Uint32Array.from([0, 4, 8, 12], (at) => view.getUint32(at));
}

/** The 16 bytes of a token. */
export function tokenBytes(token: Token): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(TOKEN_BYTES);
  const view = new DataView(bytes.buffer);
  token.forEach((word, i) => view.setUint32(4 * i, word));
  return bytes;
}
