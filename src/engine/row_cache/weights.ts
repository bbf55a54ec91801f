/**
 * Weights: how much frequency and recency count, moved by how hot the cache is (docs/rows.md: K2, K4).
 *
 * Hotness is the share of rows that were asked for within the window. When it is above 0.7, nearly all rows
 * are in use and how lately tells more; below 0.3, few are and how often does.
 *
 *     hotness     frequency  recency
 *     above 0.7   0.3        0.7
 *     below 0.3   0.7        0.3
 *     between     as configured
 * @module
 */

/** Options of the score. */
export interface RowCacheWeights {
  /** Weight of a row's accesses, from 0 to 1. */
  readonly frequencyWeight: number;
  /** Weight of the time since the last, from 0 to 1. */
  readonly recencyWeight: number;
  /** Time over which hotness is observed, in ms. */
  readonly adaptiveWindowMs: number;
}

/** What applies where nothing else is said. */
export const DEFAULT_WEIGHTS: RowCacheWeights = {
  frequencyWeight: 0.5,
  recencyWeight: 0.5,
  adaptiveWindowMs: 300_000,
};

/** Observes accesses and says what the weights are now. */
export class Weights {
  frequency: number;
  recency: number;
  readonly #options: RowCacheWeights;
  readonly #nowMs: () => number;
  #windowEndsMs: number;
  /** The tick at which the window began. */
  #windowStart = 0;
  /** Rows that were touched in this window and are still here. */
  #touched = 0;
  #asked = 0;

  constructor(options: RowCacheWeights, nowMs: () => number) {
    this.#options = options;
    this.#nowMs = nowMs;
    this.frequency = options.frequencyWeight;
    this.recency = options.recencyWeight;
    this.#windowEndsMs = nowMs() + options.adaptiveWindowMs;
  }

  /** A row that was last touched at `last` is touched now. */
  touched(tick: number, last: number): void {
    if (((tick - last) >>> 0) > ((tick - this.#windowStart) >>> 0)) this.#touched++;
  }

  /** A row came in: it was asked for. */
  added(): void {
    this.#touched++;
  }

  /** A row that was last touched at `last` goes. */
  removed(tick: number, last: number): void {
    if (((tick - last) >>> 0) <= ((tick - this.#windowStart) >>> 0)) this.#touched--;
  }

  /** All rows are gone. */
  cleared(): void {
    this.#touched = 0;
  }

  /** The weights; at the end of a window they are looked at anew. */
  now(tick: number, rows: number): Weights {
    // The clock is not asked each time: it costs as much as all the rest.
    if ((++this.#asked & 63) === 0 && this.#nowMs() >= this.#windowEndsMs) this.#retune(tick, rows);
    return this;
  }

  #retune(tick: number, rows: number): void {
    const hotness = rows === 0 ? 0 : this.#touched / rows;
    const { frequencyWeight, recencyWeight, adaptiveWindowMs } = this.#options;
    this.frequency = hotness > 0.7 ? 0.3 : hotness < 0.3 ? 0.7 : frequencyWeight;
    this.recency = hotness > 0.7 ? 0.7 : hotness < 0.3 ? 0.3 : recencyWeight;
    this.#windowEndsMs = this.#nowMs() + adaptiveWindowMs;
    this.#windowStart = tick;
    this.#touched = 0;
  }
}
