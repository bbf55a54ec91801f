/**
 * SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012): a hash of 64 bits under a
 * secret key, which nobody without the key can tell from random bits, or make. The paper's SipHash-2-4 has a
 * wider margin, and takes 40 % longer here.
 *
 *     64 bits of the message at a time: v3 ^= m, a round, v0 ^= m; at the end v2 ^= ff, three rounds
 *
 * Here the message comes as 64-bit words, each as two 32-bit halves, so that a caller need not put it into
 * bytes first, and no bigint is made. The words gather in a block, so that the state stays in registers
 * while they are worked in. Nothing is allocated after the constructor.
 * @module
 */
import { getU32 } from "./bytes.ts";

/** Of a key. */
export const SIP_KEY_BYTES = 16;

/** Rounds for a word of the message. */
const ROUNDS = 1;
/** The three rounds at the end are those of this many words, all 0: a 0 changes nothing but by its rounds. */
const FINAL_WORDS = 3;
/** Words that are worked in at once. */
const BLOCK_WORDS = 32;

/** One hash after the other, under one key. */
export class SipHash {
  /** Halves of v0 to v3, the low ones first: as the key makes them, and as they are. */
  readonly #start = new Int32Array(8);
  readonly #state = new Int32Array(8);
  /** Halves of words that wait. */
  readonly #block = new Int32Array(2 * BLOCK_WORDS);
  #used = 0;
  /** Bytes so far, mod 256. */
  #bytes = 0;

  /** @param key  16 bytes */
  constructor(key: Uint8Array) {
    if (key.length !== SIP_KEY_BYTES) throw new RangeError("a key of SipHash has 16 bytes");
    const [k0, k1, k2, k3] = [0, 4, 8, 12].map((at) => getU32(key, at));
    // "somepseudorandomlygeneratedbytes"
    this.#start.set([
      k0 ^ 0x70736575,
      k1 ^ 0x736f6d65,
      k2 ^ 0x6e646f6d,
      k3 ^ 0x646f7261,
      k0 ^ 0x6e657261,
      k1 ^ 0x6c796765,
      k2 ^ 0x79746573,
      k3 ^ 0x74656462,
    ]);
    this.begin();
  }

  /** Begins a new message. */
  begin(): void {
    // A loop: `set` and `fill` take longer than this few words.
    for (let i = 0; i < 8; i++) this.#state[i] = this.#start[i];
    this.#used = 0;
    this.#bytes = 0;
  }

  /** Takes eight bytes of the message, little-endian: the first four are `low`. */
  word(low: number, high: number): void {
    const block = this.#block;
    const at = this.#used;
    block[at] = low;
    block[at + 1] = high;
    this.#used = at + 2;
    this.#bytes += 8;
    if (this.#used === block.length) this.#compress();
  }

  /** Takes bytes as words, of which the last is filled up with zeros. */
  padded(bytes: Uint8Array): void {
    let i = 0;
    for (; i + 8 <= bytes.length; i += 8) this.word(getU32(bytes, i), getU32(bytes, i + 4));
    if (i < bytes.length) this.word(tailOf(bytes, i), tailOf(bytes, i + 4));
  }

  /**
   * Ends a message. {@link low} and {@link high} have its hash until the next begins.
   * @param tail  its last bytes, at most seven, behind the words
   */
  end(tail?: Uint8Array): void {
    if (tail === undefined) this.word(0, this.#bytes << 24);
    else this.word(tailOf(tail, 0), tailOf(tail, 4) | (this.#bytes + tail.length) << 24);
    this.#compress();
    this.#state[4] ^= 0xff;
    for (let i = 0; i < 2 * FINAL_WORDS; i++) this.#block[i] = 0;
    this.#used = 2 * FINAL_WORDS;
    this.#compress();
  }

  /** The lower 32 bits of the hash, signed. */
  get low(): number {
    const v = this.#state;
    return v[0] ^ v[2] ^ v[4] ^ v[6];
  }

  /** The upper ones. */
  get high(): number {
    const v = this.#state;
    return v[1] ^ v[3] ^ v[5] ^ v[7];
  }

  /** Works in the words of the block. */
  #compress(): void {
    const v = this.#state;
    const block = this.#block;
    const used = this.#used;
    let v0l = v[0], v0h = v[1], v1l = v[2], v1h = v[3];
    let v2l = v[4], v2h = v[5], v3l = v[6], v3h = v[7];
    for (let at = 0; at < used; at += 2) {
      const low = block[at];
      const high = block[at + 1];
      v3l ^= low;
      v3h ^= high;
      for (let round = 0; round < ROUNDS; round++) {
        let l = 0;
        // v0 += v1; v1 = v1 <<< 13 ^ v0; v0 <<<= 32
        l = (v0l + v1l) | 0;
        v0h = (v0h + v1h + (l >>> 0 < v1l >>> 0 ? 1 : 0)) | 0;
        v0l = l;
        l = (v1l << 13 | v1h >>> 19) ^ v0l;
        v1h = (v1h << 13 | v1l >>> 19) ^ v0h;
        v1l = l;
        l = v0l;
        v0l = v0h;
        v0h = l;
        // v2 += v3; v3 = v3 <<< 16 ^ v2
        l = (v2l + v3l) | 0;
        v2h = (v2h + v3h + (l >>> 0 < v3l >>> 0 ? 1 : 0)) | 0;
        v2l = l;
        l = (v3l << 16 | v3h >>> 16) ^ v2l;
        v3h = (v3h << 16 | v3l >>> 16) ^ v2h;
        v3l = l;
        // v0 += v3; v3 = v3 <<< 21 ^ v0
        l = (v0l + v3l) | 0;
        v0h = (v0h + v3h + (l >>> 0 < v3l >>> 0 ? 1 : 0)) | 0;
        v0l = l;
        l = (v3l << 21 | v3h >>> 11) ^ v0l;
        v3h = (v3h << 21 | v3l >>> 11) ^ v0h;
        v3l = l;
        // v2 += v1; v1 = v1 <<< 17 ^ v2; v2 <<<= 32
        l = (v2l + v1l) | 0;
        v2h = (v2h + v1h + (l >>> 0 < v1l >>> 0 ? 1 : 0)) | 0;
        v2l = l;
        l = (v1l << 17 | v1h >>> 15) ^ v2l;
        v1h = (v1h << 17 | v1l >>> 15) ^ v2h;
        v1l = l;
        l = v2l;
        v2l = v2h;
        v2h = l;
      }
      v0l ^= low;
      v0h ^= high;
    }
    v[0] = v0l;
    v[1] = v0h;
    v[2] = v1l;
    v[3] = v1h;
    v[4] = v2l;
    v[5] = v2h;
    v[6] = v3l;
    v[7] = v3h;
    this.#used = 0;
  }
}

/** A u32, little-endian, where bytes may be missing, which are 0. */
function tailOf(bytes: Uint8Array, at: number): number {
  let value = 0;
  const end = Math.min(bytes.length, at + 4);
  for (let i = at; i < end; i++) value |= bytes[i] << 8 * (i - at);
  return value;
}
