/**
 * The clock by which the dead are dropped for good.
 *
 * Values expire by the wall clock, but what is dropped cannot come back, so here a wall clock that jumps
 * ahead is not believed: this clock never goes faster than time passes while the engine is open. It never
 * is ahead of the wall clock either, so that a clock that was set back delays and does not hurry.
 *
 *     wall         12:00  12:01  19:02 (jumped)  19:03  12:04 (set right)
 *     this clock   12:00  12:01  12:02           12:03  12:04
 *
 * At the opening the wall clock is believed: how long the engine was closed nobody else can tell. A clock
 * that was wrong then has the grace time to be set right.
 * @module
 */
import type { Clock } from "../runtime/mod.ts";

/** A wall clock that cannot be hurried. */
export class PurgeClock {
  readonly #clock: Clock;
  readonly #offsetMs: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#offsetMs = clock.wallMs() - clock.monotonicMs();
  }

  /** Milliseconds since 1970: no later than it is. */
  nowMs(): number {
    const passed = Math.floor(this.#clock.monotonicMs() + this.#offsetMs);
    return Math.min(this.#clock.wallMs(), passed);
  }
}
