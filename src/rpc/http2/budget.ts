/**
 * Budgets for what costs a peer nothing and us something: a leaky bucket that fills with each unwanted
 * event, and empties with time and with useful work.
 * @module
 */

/** How much of one kind of event a connection may cause. */
export interface BudgetLimits {
  /** Events in one go. */
  readonly burst: number;
  /** Events that are forgiven each second. */
  readonly perSecond: number;
}

/** One connection's bucket. */
export class Budget {
  #spent = 0;
  #atMs: number;

  /** @param nowMs  monotonic time */
  constructor(private readonly limits: BudgetLimits, nowMs: number) {
    this.#atMs = nowMs;
  }

  /** Counts an event, or one that weighs as much as several. @returns whether the budget still holds */
  spend(nowMs: number, events = 1): boolean {
    const forgiven = (nowMs - this.#atMs) / 1000 * this.limits.perSecond;
    this.#spent = Math.max(0, this.#spent - forgiven) + events;
    this.#atMs = nowMs;
    return this.#spent <= this.limits.burst;
  }

  /** Forgives some events, for work that was wanted. */
  earn(events: number): void {
    this.#spent = Math.max(0, this.#spent - events);
  }
}
