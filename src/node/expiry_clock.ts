/**
 * The time that decides what has expired. When the wall clock goes back it stands still: what a client was told
 * is gone does not return.
 * @module
 */
import type { Clock } from "../runtime/mod.ts";

/** A wall clock that never goes back. */
export class ExpiryClock {
  readonly #clock: Clock;
  #lastMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Milliseconds since 1970. */
  nowMs(): number {
    return this.#lastMs = Math.max(this.#lastMs, this.#clock.wallMs());
  }
}
