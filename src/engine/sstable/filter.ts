/**
 * Bloom filter: tells most absent keys from present ones without reading a block.
 *
 *     | bits, packed, least first ... | probes u8 |
 *
 * Sized from the real number of keys: m = -n ln p / (ln 2)^2 bits, k = m/n ln 2 probes (Bloom 1970).
 * The k positions come from one 64-bit hash by double hashing (Kirsch and Mitzenmacher 2006), the
 * increment growing with each probe so that short cycles do not matter (Dillinger and Manolios 2004).
 * @module
 */
import { murmur3 } from "../../model/mod.ts";

const SEED_1 = 0x5061_6972;
const SEED_2 = 0x4442_0001;

/** The first half of a key's hash. */
export function filterHash1(buffer: Uint8Array, start: number, end: number): number {
  return murmur3(buffer, SEED_1, start, end);
}
/** The second half. */
export function filterHash2(buffer: Uint8Array, start: number, end: number): number {
  return murmur3(buffer, SEED_2, start, end);
}

/** Gathers hashes; builds the filter once all keys are known. */
export class FilterBuilder {
  #hashes = new Uint32Array(1024);
  #count = 0;

  /** Adds one key; the same key only once. */
  add(buffer: Uint8Array, start: number, end: number): void {
    if (this.#count * 2 === this.#hashes.length) {
      const grown = new Uint32Array(this.#hashes.length * 2);
      grown.set(this.#hashes);
      this.#hashes = grown;
    }
    this.#hashes[this.#count * 2] = filterHash1(buffer, start, end);
    this.#hashes[this.#count * 2 + 1] = filterHash2(buffer, start, end);
    this.#count++;
  }

  /** Keys so far. */
  get count(): number {
    return this.#count;
  }

  /**
   * The filter's bytes.
   * @param falsePositives  the share of absent keys that may pass, in (0, 1)
   * @param from            the first key that it is of, by the order in which they were added
   * @param to              the first key behind them
   */
  finish(falsePositives: number, from = 0, to = this.#count): Uint8Array<ArrayBuffer> {
    const size = filterSize(to - from, falsePositives);
    const probes = Math.min(30, Math.max(1, Math.round(bitsPerKey(falsePositives) * Math.LN2)));
    const bytes = new Uint8Array(size);
    const bits = (size - 1) * 8;
    for (let i = from; i < to; i++) {
      let position = this.#hashes[i * 2];
      let step = this.#hashes[i * 2 + 1];
      for (let probe = 0; probe < probes; probe++) {
        const bit = position % bits;
        bytes[bit >>> 3] |= 1 << (bit & 7);
        position = (position + step) >>> 0;
        step = (step + probe) >>> 0;
      }
    }
    bytes[size - 1] = probes;
    return bytes;
  }
}

/** Bytes of the filter of so many keys. */
export function filterSize(keys: number, falsePositives: number): number {
  return Math.max(8, Math.ceil((keys * bitsPerKey(falsePositives)) / 8)) + 1;
}

function bitsPerKey(falsePositives: number): number {
  return -Math.log(falsePositives) / Math.LN2 ** 2;
}

/** Whether a filter, which may have other bytes behind it, may have seen a key with these hash halves. */
export function filterMayContain(
  filter: Uint8Array,
  size: number,
  hash1: number,
  hash2: number,
): boolean {
  const probes = filter[size - 1];
  // An unsigned 32-bit number, which every filter's size is: then the remainder is one of integers.
  const bits = ((size - 1) * 8) >>> 0;
  let position = hash1;
  let step = hash2;
  for (let probe = 0; probe < probes; probe++) {
    const bit = position % bits;
    if ((filter[bit >>> 3] & (1 << (bit & 7))) === 0) return false;
    position = (position + step) >>> 0;
    step = (step + probe) >>> 0;
  }
  return true;
}
