/**
 * Latencies, log-linear: each power of two has 64 buckets, so that a figure is off by less than 1.6 %,
 * whatever its size, and counting one costs an increment.
 * @module
 */
const STEPS = 64;
const STEP_BITS = 6;
const POWERS = 27;

/** Counts times from 0 to 71 minutes, in microseconds; longer ones count as that. */
export class Histogram {
  readonly #counts = new Uint32Array(STEPS * POWERS);
  #count = 0;
  #max = 0;

  /** Times that were counted. */
  get count(): number {
    return this.#count;
  }

  /** Counts one time, in microseconds. */
  add(us: number): void {
    const value = us < 0 ? 0 : Math.min(Math.floor(us), 2 ** 32 - 1);
    if (value > this.#max) this.#max = value;
    this.#count++;
    this.#counts[placeOf(value)]++;
  }

  /** The time that this share of all times did not exceed, in microseconds. */
  at(share: number): number {
    let left = Math.ceil(share * this.#count);
    for (let place = 0; place < this.#counts.length; place++) {
      left -= this.#counts[place];
      if (left <= 0) return Math.min(endOf(place), this.#max);
    }
    return this.#max;
  }
}

function placeOf(value: number): number {
  if (value < STEPS) return value;
  const shift = 31 - Math.clz32(value) - STEP_BITS;
  return (shift + 1) * STEPS + (value >>> shift) - STEPS;
}

function endOf(place: number): number {
  if (place < STEPS) return place;
  const shift = Math.floor(place / STEPS) - 1;
  return ((place % STEPS) + STEPS + 1) * 2 ** shift - 1;
}
