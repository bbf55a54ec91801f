/**
 * Trial: whether rows should stay by how often or by how lately they are asked for, found out by trying both.
 *
 * No fixed mix is good everywhere: under a skewed, steady load frequency wins clearly, and where the hot
 * rows change recency does. So a small, fixed part of all rows, chosen by hash, also passes through two
 * miniatures of the cache that keep hashes only, one for each; the one with more hits says what the cache
 * does (miniature simulation: Waldspurger et al. 2017).
 * @module
 */
import { AHEAD, PERIOD, SAMPLE } from "./rules.ts";
import { Sketch } from "./sketch.ts";

/** Rows of a miniature, about. */
const ROWS = 1024;
/** Accesses to the miniatures, for each of their rows, after which they are compared. */
const ROUND = 4;
/** By how much recency must be better: it takes in every row, which costs more. */
const MARGIN = 1.03;

/** Two miniatures and what they say. */
export class Trial {
  /** Whether recency does better. */
  recencyWins = false;
  readonly #limit: number;
  readonly #rows: number;
  readonly #recent: RecentRows;
  readonly #frequent: FrequentRows;
  #accesses = 0;

  /** @param rows  rows of the whole cache */
  constructor(rows: number) {
    const share = Math.min(1, ROWS / Math.max(1, rows));
    this.#limit = Math.floor(share * 2 ** 32);
    this.#rows = Math.max(16, Math.floor(rows * share));
    this.#recent = new RecentRows(this.#rows);
    this.#frequent = new FrequentRows(this.#rows);
  }

  /** A row is asked for. */
  access(hash: number): void {
    // Other bits than those that place the row in the table.
    const mixed = Math.imul(hash ^ (hash >>> 15), 0x2c1b_3c6d) >>> 0;
    if (mixed > this.#limit) return;
    this.#recent.access(hash);
    this.#frequent.access(hash);
    if (++this.#accesses < this.#rows * ROUND) return;
    this.#accesses = 0;
    const [recent, frequent] = [this.#recent.hits, this.#frequent.hits];
    this.recencyWins = recent > frequent * (this.recencyWins ? 1 : MARGIN);
    // Older rounds count for less.
    this.#recent.hits /= 2;
    this.#frequent.hits /= 2;
  }
}

/** The least recently used goes. */
class RecentRows {
  hits = 0;
  // A set keeps the order in which its members came.
  readonly #rows = new Set<number>();
  readonly #capacity: number;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  access(hash: number): void {
    if (this.#rows.delete(hash)) this.hits++;
    this.#rows.add(hash);
    if (this.#rows.size > this.#capacity) {
      const [oldest] = this.#rows;
      this.#rows.delete(oldest);
    }
  }
}

/** Who was asked for least often goes, if it was less often than who comes. */
class FrequentRows {
  hits = 0;
  readonly #places = new Map<number, number>();
  readonly #hashes: Uint32Array;
  readonly #counts: Uint8Array;
  readonly #sketch: Sketch;
  #hand = 0;
  #accesses = 0;

  constructor(capacity: number) {
    this.#hashes = new Uint32Array(capacity);
    this.#counts = new Uint8Array(capacity);
    this.#sketch = new Sketch(capacity * 2);
  }

  access(hash: number): void {
    const capacity = this.#hashes.length;
    if (++this.#accesses === capacity * PERIOD) {
      this.#accesses = 0;
      this.#sketch.age(1);
      for (let i = 0; i < capacity; i++) this.#counts[i] >>>= 1;
    }
    const place = this.#places.get(hash);
    if (place !== undefined) {
      this.hits++;
      if (this.#counts[place] < 255) this.#counts[place]++;
      return;
    }
    const count = this.#sketch.add(hash);
    if (this.#places.size < capacity) return this.#put(this.#places.size, hash, count);
    let victim = 0;
    let least = Infinity;
    for (let i = 0; i < SAMPLE; i++) {
      this.#hand = (this.#hand + 1) % capacity;
      if (this.#counts[this.#hand] < least) least = this.#counts[victim = this.#hand];
    }
    if (count - AHEAD <= least) return;
    this.#places.delete(this.#hashes[victim]);
    this.#sketch.raise(this.#hashes[victim], least);
    this.#put(victim, hash, count);
  }

  #put(place: number, hash: number, count: number): void {
    this.#places.set(hash, place);
    this.#hashes[place] = hash;
    this.#counts[place] = count;
  }
}
