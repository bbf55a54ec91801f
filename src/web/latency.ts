/**
 * Latencies by quantile, up to p99.9, of the last one to two minutes: counts in buckets that grow with what
 * they hold, eight to each power of two, so that a quantile is told 13 % too high at most.
 *
 *     microseconds   0 1 2 … 15 | 16 18 20 22 24 26 28 30 | 32 36 40 … | 64 72 … | …  up to 35 minutes
 *
 * One minute fills while the one before it stands; what is older is gone. A measurement costs a few
 * additions and no memory.
 * @module
 */

/** Each value below this has a bucket of its own. */
const EXACT = 16;
/** Buckets of 2^4 and each power of two above, up to 2^31. */
const BUCKETS = EXACT + 8 * 27;
const MICROS_MAX = 2 ** 31 - 1;
const WINDOW_MS = 60_000;

/** The quantiles that are told. */
export const QUANTILES: readonly number[] = [0.5, 0.95, 0.99, 0.999];

/** Durations of one kind of work. */
export class Latency {
  /** How many there were since the start. */
  count = 0;
  /** All of them together, ms. */
  sumMs = 0;
  #now = new Uint32Array(BUCKETS);
  #before = new Uint32Array(BUCKETS);
  #endsMs = 0;

  /** Adds one. @param nowMs  monotonic time */
  add(elapsedMs: number, nowMs: number): void {
    if (nowMs >= this.#endsMs) this.#turn(nowMs);
    this.count++;
    this.sumMs += elapsedMs;
    this.#now[bucketOf(elapsedMs * 1000)]++;
  }

  /** Durations, ms, that so many of the last one to two minutes' stay under; undefined when there were none. */
  quantilesMs(nowMs: number): number[] | undefined {
    if (nowMs >= this.#endsMs) this.#turn(nowMs);
    const counts = this.#now.map((count, bucket) => count + this.#before[bucket]);
    const total = counts.reduce((sum, count) => sum + count, 0);
    if (total === 0) return undefined;
    return QUANTILES.map((quantile) => {
      let left = Math.ceil(total * quantile);
      let bucket = 0;
      while (left > counts[bucket]) left -= counts[bucket++];
      return boundOf(bucket) / 1000;
    });
  }

  #turn(nowMs: number): void {
    const missedAll = nowMs >= this.#endsMs + WINDOW_MS;
    [this.#now, this.#before] = [this.#before, this.#now];
    this.#now.fill(0);
    if (missedAll) this.#before.fill(0);
    this.#endsMs = nowMs + WINDOW_MS;
  }
}

function bucketOf(micros: number): number {
  const value = micros < MICROS_MAX ? micros | 0 : MICROS_MAX;
  if (value < EXACT) return Math.max(0, value);
  const power = 31 - Math.clz32(value);
  return EXACT + (power - 4) * 8 + ((value >>> (power - 3)) & 7);
}

/** The end of a bucket, exclusive, in microseconds. */
function boundOf(bucket: number): number {
  if (bucket < EXACT) return bucket + 1;
  const power = ((bucket - EXACT) >> 3) + 4;
  return (9 + ((bucket - EXACT) & 7)) * 2 ** (power - 3);
}
