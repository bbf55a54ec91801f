/**
 * Cache policies to compare with: plain implementations whose behaviour is beyond doubt, in numbers of rows.
 * @module
 */
import { RowCache } from "../../src/engine/row_cache/mod.ts";
import { DEFAULT_WEIGHTS, type RowCacheWeights } from "../../src/engine/row_cache/mod.ts";
import { filterHash1 } from "../../src/engine/sstable/mod.ts";

/** A cache of rows by number. */
export interface Policy {
  /** Asks for a row, which comes in when it is not there; whether it was. */
  access(row: number): boolean;
}

/** Least recently used goes. */
export class Lru implements Policy {
  readonly #rows = new Set<number>();

  constructor(readonly capacity: number) {}

  access(row: number): boolean {
    // A set keeps the order in which its members came.
    const hit = this.#rows.delete(row);
    this.#rows.add(row);
    if (this.#rows.size > this.capacity) this.#rows.delete(this.#rows.values().next().value!);
    return hit;
  }
}

/** Least frequently used goes, of these the least recently used; what goes is forgotten. */
export class Lfu implements Policy {
  readonly #counts = new Map<number, number>();
  readonly #byCount = new Map<number, Set<number>>();
  #least = 1;

  constructor(readonly capacity: number) {}

  access(row: number): boolean {
    const count = this.#counts.get(row);
    if (count === undefined) {
      if (this.#counts.size >= this.capacity) this.#evict();
      this.#place(row, 1);
      this.#least = 1;
      return false;
    }
    const peers = this.#byCount.get(count)!;
    peers.delete(row);
    if (peers.size === 0) {
      this.#byCount.delete(count);
      if (this.#least === count) this.#least++;
    }
    this.#place(row, count + 1);
    return true;
  }

  #place(row: number, count: number): void {
    this.#counts.set(row, count);
    let peers = this.#byCount.get(count);
    if (peers === undefined) this.#byCount.set(count, peers = new Set());
    peers.add(row);
  }

  #evict(): void {
    while (!this.#byCount.has(this.#least)) this.#least++;
    const peers = this.#byCount.get(this.#least)!;
    const victim: number = peers.values().next().value!;
    peers.delete(victim);
    if (peers.size === 0) this.#byCount.delete(this.#least);
    this.#counts.delete(victim);
  }
}

/**
 * W-TinyLFU (Einziger, Friedman and Manes 2017): a window of 1 % by recency, a main part in two segments,
 * and frequencies, halved each ten accesses a row, that decide who of two candidates stays. Counted exactly
 * instead of by a sketch, so that it is the policy at its best.
 */
export class WTinyLfu implements Policy {
  readonly #window = new Set<number>();
  readonly #probation = new Set<number>();
  readonly #protected = new Set<number>();
  #frequency = new Map<number, number>();
  #accesses = 0;
  readonly #windowMax: number;
  readonly #mainMax: number;
  readonly #protectedMax: number;

  constructor(readonly capacity: number) {
    this.#windowMax = Math.max(1, Math.floor(capacity / 100));
    this.#mainMax = capacity - this.#windowMax;
    this.#protectedMax = Math.floor(this.#mainMax * 0.8);
  }

  access(row: number): boolean {
    this.#count(row);
    if (this.#window.delete(row)) {
      this.#window.add(row);
      return true;
    }
    if (this.#protected.delete(row)) {
      this.#protected.add(row);
      return true;
    }
    if (this.#probation.delete(row)) {
      this.#protected.add(row);
      if (this.#protected.size > this.#protectedMax) {
        const demoted = oldest(this.#protected);
        this.#protected.delete(demoted);
        this.#probation.add(demoted);
      }
      return true;
    }
    this.#window.add(row);
    if (this.#window.size > this.#windowMax) {
      const candidate = oldest(this.#window);
      this.#window.delete(candidate);
      this.#admit(candidate);
    }
    return false;
  }

  #admit(candidate: number): void {
    if (this.#probation.size + this.#protected.size >= this.#mainMax) {
      const from = this.#probation.size > 0 ? this.#probation : this.#protected;
      const victim = oldest(from);
      if ((this.#frequency.get(candidate) ?? 0) <= (this.#frequency.get(victim) ?? 0)) return;
      from.delete(victim);
    }
    this.#probation.add(candidate);
  }

  #count(row: number): void {
    this.#frequency.set(row, Math.min(15, (this.#frequency.get(row) ?? 0) + 1));
    if (++this.#accesses < this.capacity * 10) return;
    this.#accesses = 0;
    const halved = [...this.#frequency].map(([key, count]) => [key, count >> 1] as const);
    this.#frequency = new Map(halved.filter(([, count]) => count > 0));
  }
}

function oldest(rows: Set<number>): number {
  return rows.values().next().value!;
}

const VALUE = new Uint8Array(84);
/** What a row of {@link Ours} counts for. */
const OUR_ROW_BYTES = 16 + VALUE.length + 64;

/** The engine's row cache, on a clock that runs with the accesses. */
export class Ours implements Policy {
  readonly cache: RowCache;
  readonly #key = new Uint8Array(16);
  #accesses = 0;

  /** @param perMs  accesses in a millisecond */
  constructor(capacity: number, weights: RowCacheWeights = DEFAULT_WEIGHTS, perMs = 0.1) {
    const nowMs = () => this.#accesses / perMs;
    this.cache = new RowCache(capacity * OUR_ROW_BYTES, weights, nowMs);
  }

  access(row: number): boolean {
    this.#accesses++;
    const key = this.#key;
    for (let i = 0; i < 4; i++) key[i] = row >>> (i << 3);
    const hash = filterHash1(key, 0, 16);
    if (this.cache.get(1, key, hash, 1) !== undefined) return true;
    this.cache.fill(1, key, hash, 1, VALUE);
    return false;
  }
}
