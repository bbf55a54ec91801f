/**
 * Moments that reads can go back to, and what they keep: as long as one is pinned, nothing that it shows is
 * dropped. `purgeBeforeMs` and `purgeUpToSeq` say which of the dead nobody can miss any more.
 * @module
 */
import type { Clock } from "../runtime/mod.ts";
import type { Snapshot } from "./api.ts";
import { PurgeClock } from "./purge_clock.ts";

/** The snapshots of one engine. */
export class Snapshots {
  readonly #clock: PurgeClock;
  /** By sequence: how many hold it, and when the first of them took it. */
  readonly #pins = new Map<number, { count: number; sinceMs: number }>();
  /** Those who have the dead kept that were written after a sequence. */
  readonly #deadKept = new Set<{ readonly afterSeq: number }>();

  constructor(clock: Clock) {
    this.#clock = new PurgeClock(clock);
  }

  /** Sequences that are pinned, rising. */
  get sequences(): number[] {
    return [...this.#pins.keys()].sort((a, b) => a - b);
  }

  /** Pins a moment. */
  take(sequence: number): Snapshot {
    const pin = this.#pins.get(sequence) ?? { count: 0, sinceMs: this.#clock.nowMs() };
    pin.count++;
    this.#pins.set(sequence, pin);
    let held = true;
    return {
      sequence,
      release: () => {
        if (!held) return;
        held = false;
        if (--pin.count === 0) this.#pins.delete(sequence);
      },
    };
  }

  /** See `Engine.keepDead`. */
  keepDead(afterSeq: number): () => void {
    const kept = { afterSeq };
    this.#deadKept.add(kept);
    return () => void this.#deadKept.delete(kept);
  }

  /**
   * Values that were dead by then may be dropped. Readers at a snapshot look at it with a clock that has
   * passed the moment it was taken, so that what was dead then they cannot see either.
   */
  purgeBeforeMs(graceMs: number): number {
    let beforeMs = this.#clock.nowMs() - graceMs;
    for (const { sinceMs } of this.#pins.values()) beforeMs = Math.min(beforeMs, sinceMs);
    return Math.max(0, beforeMs);
  }

  /** And that were written no later than this: {@link keepDead}. */
  get purgeUpToSeq(): number {
    let upTo = Infinity;
    for (const { afterSeq } of this.#deadKept) upTo = Math.min(upTo, afterSeq);
    return upTo;
  }
}
