/**
 * Whether the log waits for a sync on its own thread or on another.
 *
 * A sync on another thread lets this one go on, and costs two hand-overs, which a fast disk makes longer
 * than the sync itself. A lone writer has nothing to go on with: for small groups, while syncs are known to
 * be short, waiting here is cheaper. One that was not short sends all back to the other thread, until
 * enough of them have shown that the disk is fast.
 * @module
 */

/** A group of more records than this has other writers behind it, who can go on meanwhile. */
const RECORDS_MAX = 4;
/** Syncs on the other thread before the first one here. */
const SAMPLES = 64;
/** The longest that those may take on average, with their hand-overs, in ms. */
const AWAY_MS_MAX = 1;
/** The longest that syncs here may take on average. */
const HERE_MS_MAX = 0.2;
/** A single one that took longer ends it: everybody else had to wait. */
const STALL_MS_MAX = 2;
/** What the latest sync counts for in the averages. */
const WEIGHT = 1 / 8;

/** Watches how long syncs take, and decides about the next. */
export class SyncPacer {
  #samples = 0;
  #awayMs = 0;
  #hereMs = 0;

  /** Whether to wait here for the sync of a group of so many records. */
  waitsHere(records: number): boolean {
    return records <= RECORDS_MAX && this.#samples >= SAMPLES && this.#awayMs < AWAY_MS_MAX &&
      this.#hereMs < HERE_MS_MAX;
  }

  /** A sync on the other thread took so long. */
  away(ms: number): void {
    this.#awayMs = this.#samples === 0 ? ms : this.#awayMs + (ms - this.#awayMs) * WEIGHT;
    if (this.#samples < SAMPLES) this.#samples++;
  }

  /** A sync here took so long. */
  here(ms: number): void {
    this.#hereMs += (ms - this.#hereMs) * WEIGHT;
    if (ms <= STALL_MS_MAX && this.#hereMs < HERE_MS_MAX) return;
    this.#samples = 0;
    this.#hereMs = 0;
  }
}
