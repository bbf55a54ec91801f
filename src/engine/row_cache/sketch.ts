/**
 * Sketch: how often rows that are not in the cache were asked for lately, in a few bits for each.
 *
 * A count-min sketch of four-bit counters (Cormode and Muthukrishnan 2005), the four of a row within one
 * 64-byte line, as TinyLFU keeps it (Einziger, Friedman and Manes 2017). Counts age: while a period goes
 * by, a sweep halves them, a few at each step, so that no step is long.
 * @module
 */

const COUNT_MAX = 15;

/** Approximate counts by hash. */
export class Sketch {
  readonly #words: Uint32Array;
  readonly #lineMask: number;
  #sweep = 0;

  /** @param rows  how many rows the cache is expected to hold; sixteen counters are kept for each */
  constructor(rows: number) {
    const lines = 2 ** Math.max(2, Math.ceil(Math.log2(Math.max(1, rows) / 8)));
    this.#words = new Uint32Array(lines * 16);
    this.#lineMask = lines - 1;
  }

  /** Bytes of the counters. */
  get bytes(): number {
    return this.#words.byteLength;
  }

  /** Counts one more; returns the count now, never too low but for ageing, at most 15. */
  add(hash: number): number {
    const words = this.#words;
    const line = (hash & this.#lineMask) << 4;
    const mixed = mix(hash);
    const count = this.#least(line, mixed);
    if (count === COUNT_MAX) return count;
    // Only the lowest of the four are raised (conservative update, Estan and Varghese 2002).
    for (let row = 0; row < 4; row++) {
      const at = line + (row << 2) + ((mixed >>> (row << 3)) & 3);
      const shift = ((mixed >>> ((row << 3) + 2)) & 7) << 2;
      if (((words[at] >>> shift) & COUNT_MAX) === count) words[at] += 1 << shift;
    }
    return count + 1;
  }

  /** Raises a row's count to `count`, for a row that leaves the cache. */
  raise(hash: number, count: number): void {
    const words = this.#words;
    const line = (hash & this.#lineMask) << 4;
    const mixed = mix(hash);
    const wanted = count < COUNT_MAX ? count : COUNT_MAX;
    for (let row = 0; row < 4; row++) {
      const at = line + (row << 2) + ((mixed >>> (row << 3)) & 3);
      const shift = ((mixed >>> ((row << 3) + 2)) & 7) << 2;
      const now = (words[at] >>> shift) & COUNT_MAX;
      if (now < wanted) words[at] += (wanted - now) << shift;
    }
  }

  /** Halves the counters that a sweep reaches when it has done `share` of a period, in [0, 1]. */
  age(share: number): void {
    const words = this.#words;
    // A line at a time, so that a row's counters are of one age.
    const end = Math.min(words.length, Math.floor(share * words.length / 16) * 16);
    for (; this.#sweep < end; this.#sweep++) {
      words[this.#sweep] = (words[this.#sweep] >>> 1) & 0x7777_7777;
    }
    if (end === words.length) this.#sweep = 0;
  }

  /** Whether this period's sweep has halved a row's counters. */
  swept(hash: number): boolean {
    return (hash & this.#lineMask) << 4 < this.#sweep;
  }

  #least(line: number, mixed: number): number {
    const words = this.#words;
    let least = COUNT_MAX;
    for (let row = 0; row < 4; row++) {
      const at = line + (row << 2) + ((mixed >>> (row << 3)) & 3);
      const count = (words[at] >>> (((mixed >>> ((row << 3) + 2)) & 7) << 2)) & COUNT_MAX;
      if (count < least) least = count;
    }
    return least;
  }
}

/** Other bits from the same hash (the finisher of murmur3, Appleby). */
function mix(hash: number): number {
  let x = hash;
  x = Math.imul(x ^ (x >>> 16), 0x85eb_ca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2_ae35);
  return (x ^ (x >>> 16)) >>> 0;
}
