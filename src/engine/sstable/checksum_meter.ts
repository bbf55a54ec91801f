/**
 * What it takes to verify checksums: counts every section that a read verifies, and times one in sixteen, for two
 * looks at the clock take as long as a short section does.
 * @module
 */

/** One in so many is timed: a power of two. */
const TIMED_OF = 16;

/** Counts and times the checks of one engine's reads. */
export class ChecksumMeter {
  readonly #nowMs: () => number;
  #verified = 0;
  #timed = 0;
  #timedMs = 0;

  /** @param nowMs  a clock that never goes back */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** Checks that were begun. */
  get verified(): number {
    return this.#verified;
  }
  /** Of those, the ones that were timed, and in order. */
  get timed(): number {
    return this.#timed;
  }
  /** What these took in all, in ms. */
  get timedMs(): number {
    return this.#timedMs;
  }

  /** Counts a check. @returns what {@link end} wants */
  begin(): number {
    return (this.#verified++ & (TIMED_OF - 1)) === 0 ? this.#nowMs() : -1;
  }

  /** Counts the time of a check that found no damage. */
  end(beganMs: number): void {
    if (beganMs < 0) return;
    this.#timed++;
    this.#timedMs += this.#nowMs() - beganMs;
  }
}
