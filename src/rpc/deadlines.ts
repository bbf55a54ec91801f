/**
 * Deadlines of many short calls: a hashed timing wheel (Varghese and Lauck, 1987). Setting one and taking
 * it back costs a few assignments, and one timer serves them all.
 *
 *     slots   [0]─►call─►call   [1]   [2]─►call   ...   [4095]
 *                ▲ tick: what is due in the slots that have passed fires; who waits for a later round stays
 *
 * A deadline fires up to {@link TICK_MS} late, never early.
 * @module
 */
import type { Cancel, Clock } from "../runtime/mod.ts";

/** The width of a slot. */
export const TICK_MS = 10;
const SLOTS = 4096;

/** Something with a deadline; the fields are the wheel's. */
export abstract class Timed {
  dueTick = 0;
  /** In its slot's ring; itself when it is in none. */
  before: Timed = this;
  after: Timed = this;

  /** The deadline has passed. The wheel has let go of it. */
  abstract expire(): void;
  /** It ends for another reason. The wheel has let go of it. */
  abstract fail(reason: unknown): void;
}

/** The head of a slot's ring. */
class Slot extends Timed {
  override expire(): void {}
  override fail(): void {}
}

/** All deadlines of one port. */
export class Deadlines {
  readonly #clock: Clock;
  readonly #slots = Array.from({ length: SLOTS }, () => new Slot());
  #count = 0;
  #tick: number;
  #cancel: Cancel | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#tick = Math.floor(clock.monotonicMs() / TICK_MS);
  }

  /** How many are set. */
  get size(): number {
    return this.#count;
  }

  /** Sets a deadline. @param atMs  monotonic time; one that has passed fires at the next tick */
  set(timed: Timed, atMs: number): void {
    // With none set, no timer has moved the wheel.
    if (this.#count === 0) this.#tick = Math.floor(this.#clock.monotonicMs() / TICK_MS);
    timed.dueTick = Math.max(Math.ceil(atMs / TICK_MS), this.#tick + 1);
    const slot = this.#slots[timed.dueTick % SLOTS];
    timed.before = slot.before;
    timed.after = slot;
    slot.before.after = timed;
    slot.before = timed;
    this.#count++;
    this.#arm();
  }

  /** Takes a deadline back. Does nothing when it is not set. */
  clear(timed: Timed): void {
    if (timed.after === timed) return;
    timed.before.after = timed.after;
    timed.after.before = timed.before;
    timed.before = timed;
    timed.after = timed;
    this.#count--;
  }

  /** Takes every deadline back, and tells who had one. */
  clearAll(tell: (timed: Timed) => void): void {
    for (const slot of this.#slots) {
      while (slot.after !== slot) {
        const timed = slot.after;
        this.clear(timed);
        tell(timed);
      }
    }
  }

  /** Stops the timer. */
  close(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #arm(): void {
    this.#cancel ??= this.#clock.after(TICK_MS, () => {
      this.#cancel = undefined;
      this.#advance();
      if (this.#count > 0) this.#arm();
    });
  }

  #advance(): void {
    const now = Math.floor(this.#clock.monotonicMs() / TICK_MS);
    // After a pause longer than a round, one round shows all.
    const first = Math.max(this.#tick + 1, now - SLOTS + 1);
    for (let tick = first; tick <= now; tick++) this.#fire(this.#slots[tick % SLOTS], now);
    this.#tick = Math.max(this.#tick, now);
  }

  #fire(slot: Slot, now: number): void {
    let timed = slot.after;
    while (timed !== slot) {
      const next = timed.after;
      if (timed.dueTick <= now) {
        this.clear(timed);
        timed.expire();
      }
      timed = next;
    }
  }
}
