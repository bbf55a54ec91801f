/**
 * The time by which writes with an idempotency key are forgotten: the wall clock's at the start, and what has
 * passed since. A wall clock that is set must not make a write of a minute ago one of yesterday.
 * @module
 */
import type { Clock } from "../runtime/mod.ts";

/** A wall clock that nobody sets. */
export class SteadyClock {
  readonly #clock: Clock;
  /** The wall clock's time when the other clock was at 0. */
  readonly #originMs: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#originMs = clock.wallMs() - clock.monotonicMs();
  }

  /** Milliseconds since 1970, whole ones. */
  nowMs(): number {
    return Math.floor(this.#originMs + this.#clock.monotonicMs());
  }
}
