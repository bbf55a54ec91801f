/**
 * The memory budget: one number for memtables, block cache and row cache, and what happens when they come
 * near it. Decisions only; the engine carries them out.
 *
 *     share of the budget   level       what it means (each includes those above it)
 *     < 0.85                normal
 *     ≥ 0.85                elevated    the block cache shrinks to a half
 *     ≥ 0.95                high        to an eighth, the row cache to nothing; memtables are
 *                                       flushed before they are full, compactions wait
 *     ≥ 1.10                critical    writes are refused (2008)
 *
 * The heap counts as well: with 0.70, 0.78 and 0.90 of its limit in use the levels are the same, since a heap
 * that is full ends the process. Little of it is the engine's own, but refusing writes frees what they take.
 *
 * Memtables can go over their own limit when flushes do not keep up; caches cannot go over theirs, so they
 * are what gives way first. A level is left when the share is 0.10 below where it begins, one level at a
 * time and a second apart, so that caches and compactions come back step by step (docs/rows.md: M1 to M3).
 * @module
 */

/** How near memory is to its budget. */
export type MemoryLevel = "normal" | "elevated" | "high" | "critical";

/** From calm to grave. */
export const MEMORY_LEVELS: readonly MemoryLevel[] = ["normal", "elevated", "high", "critical"];

/** What there is to decide by, in bytes. */
export interface MemoryUse {
  readonly memtables: number;
  readonly blockCache: number;
  readonly rowCache: number;
  /** The share of the heap's limit in use, from 0 to 1; absent: not known. */
  readonly heapShare?: number;
}

/** What is to be done. */
export interface MemoryOrders {
  readonly level: MemoryLevel;
  /** The share of its capacity that the block cache may use. */
  readonly cacheShare: number;
  /** Keep no rows. */
  readonly dropRows: boolean;
  /** Flush memtables before they are full. */
  readonly flushEarly: boolean;
  /** Begin no compaction that nobody asked for. */
  readonly pauseCompaction: boolean;
  /** Refuse writes. */
  readonly refuseWrites: boolean;
}

const BEGINS = [0, 0.85, 0.95, 1.1];
const HYSTERESIS = 0.1;
/** A heap that is in use to nine tenths is as grave as parts at a tenth over their budget. */
const HEAP_SCALE = 1.1 / 0.9;
/** The shortest time between two steps down, in ms. */
const STEP_MS = 1000;
const CACHE_SHARES = [1, 1 / 2, 1 / 8, 1 / 8];

/** Follows the use of memory. */
export class MemoryBudget {
  readonly #budget: number;
  #level = 0;
  #steppedMs = -Infinity;

  /** @param budget  bytes for all parts together */
  constructor(budget: number) {
    this.#budget = budget;
  }

  /** Bytes for all parts together. */
  get budget(): number {
    return this.#budget;
  }
  /** The level that the last look found. */
  get level(): MemoryLevel {
    return MEMORY_LEVELS[this.#level];
  }

  /**
   * Looks at the use of memory.
   * @param nowMs  a clock that never goes back
   */
  look(use: MemoryUse, nowMs: number): MemoryOrders {
    const parts = (use.memtables + use.blockCache + use.rowCache) / this.#budget;
    const share = Math.max(parts, (use.heapShare ?? 0) * HEAP_SCALE);
    let next = this.#level;
    while (next + 1 < BEGINS.length && share >= BEGINS[next + 1]) next++;
    const calm = nowMs - this.#steppedMs >= STEP_MS;
    if (next > 0 && next === this.#level && share < BEGINS[next] - HYSTERESIS && calm) next--;
    if (next !== this.#level) {
      this.#level = next;
      this.#steppedMs = nowMs;
    }
    return {
      level: MEMORY_LEVELS[next],
      cacheShare: CACHE_SHARES[next],
      dropRows: next >= 2,
      flushEarly: next >= 2,
      pauseCompaction: next >= 2,
      refuseWrites: next >= 3,
    };
  }
}
