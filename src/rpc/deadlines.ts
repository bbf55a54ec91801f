/**
 * Deadlines of many short calls: a hashed timing wheel (Varghese and Lauck, 1987). Setting one and taking
 * it back costs a few assignments, and one timer serves them all.
 *
 *     slots   [0]─►call─►call   [1]   [2]─►call   ...   [4095]
 *                ▲ tick: what is due in the slots that have passed fires; who waits for a later round stays
 *
 * A deadline fires less than {@link TICK_MS} late, never early, as far as the clock's timers are on time.
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

  /**
   * Sets a deadline, in place of the one that it may have.
   * @param atMs  monotonic time; one that has passed fires at the next tick, Infinity never does
   */
  set(timed: Timed, atMs: number): void {
    this.clear(timed);
    if (atMs === Infinity) return;
    // With none set, no timer has moved the wheel.
    if (this.#count === 0) this.#tick = Math.floor(this.#clock.monotonicMs() / TICK_MS);
    timed.dueTick = Math.max(Math.ceil(atMs / TICK_MS), this.#tick + 1);
    link(timed, this.#slots[timed.dueTick % SLOTS]);
    this.#count++;
    this.#arm();
  }

  /** Takes a deadline back. Does nothing when it is not set. */
  clear(timed: Timed): void {
    if (timed.after === timed) return;
    unlink(timed);
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
    if (this.#cancel !== undefined) return;
    // At the edge of a tick: a timer that keeps a time of its own would see a tick up to another one late.
    const nowMs = this.#clock.monotonicMs();
    const edgeMs = (Math.floor(nowMs / TICK_MS) + 1) * TICK_MS;
    this.#cancel = this.#clock.after(edgeMs - nowMs, () => {
      this.#cancel = undefined;
      this.#advance();
      if (this.#count > 0) this.#arm();
    });
  }

  #advance(): void {
    const now = Math.floor(this.#clock.monotonicMs() / TICK_MS);
    // After a pause longer than a round, one round shows all.
    const first = Math.max(this.#tick + 1, now - SLOTS + 1);
    // Before anything fires: a deadline that is set by then must not go to a slot that has passed.
    this.#tick = Math.max(this.#tick, now);
    const due = new Slot();
    for (let tick = first; tick <= now; tick++) this.#gather(this.#slots[tick % SLOTS], now, due);
    // One by one from the ring, since whoever expires may take back any other.
    while (due.after !== due) {
      const timed = due.after;
      this.clear(timed);
      timed.expire();
    }
  }

  /** Moves what is due from a slot to the end of another ring. */
  #gather(slot: Slot, now: number, due: Slot): void {
    let timed = slot.after;
    while (timed !== slot) {
      const next = timed.after;
      if (timed.dueTick <= now) {
        unlink(timed);
        link(timed, due);
      }
      timed = next;
    }
  }
}

/** Puts one at the end of a ring. */
function link(timed: Timed, ring: Slot): void {
  timed.before = ring.before;
  timed.after = ring;
  ring.before.after = timed;
  ring.before = timed;
}

function unlink(timed: Timed): void {
  timed.before.after = timed.after;
  timed.after.before = timed.before;
  timed.before = timed;
  timed.after = timed;
}
