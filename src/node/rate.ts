/**
 * A rate: how much a second, and a second's worth at once after a pause.
 *
 * What is asked for is let in while anything is left, however large it is, and the rest is owed: so nothing is
 * too large to be served, and over time no more than the rate is. What is owed is paid before the next.
 * @module
 */

/** What sums of fractions may be off by. */
const ROUNDING = 1e-6;

/** One rate. The caller tells the time, monotonic ms. */
export class Rate {
  #perSecond: number;
  /** What is left; below 0: what is owed. */
  #left: number;
  #atMs: number;

  /** @param perSecond  above 0 */
  constructor(perSecond: number, nowMs: number) {
    this.#perSecond = perSecond;
    this.#left = perSecond;
    this.#atMs = nowMs;
  }

  /** Changes the rate; what is owed stays. */
  change(perSecond: number, nowMs: number): void {
    if (perSecond === this.#perSecond) return;
    this.#pay(nowMs);
    this.#perSecond = perSecond;
    this.#left = Math.min(this.#left, perSecond);
  }

  get perSecond(): number {
    return this.#perSecond;
  }

  /** Milliseconds until something is let in again, rounded up; 0: now. */
  waitMs(nowMs: number): number {
    this.#pay(nowMs);
    // A whole one: half a request is none.
    const missing = Math.min(1, this.#perSecond) - this.#left;
    if (missing <= ROUNDING) return 0;
    return Math.max(1, Math.ceil(missing / this.#perSecond * 1000 - ROUNDING));
  }

  /** Takes so much, also more than is left. */
  take(amount: number): void {
    this.#left -= amount;
  }

  #pay(nowMs: number): void {
    const paid = (nowMs - this.#atMs) / 1000 * this.#perSecond;
    this.#left = Math.min(this.#perSecond, this.#left + Math.max(0, paid));
    this.#atMs = Math.max(this.#atMs, nowMs);
  }
}
