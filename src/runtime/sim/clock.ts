/**
 * A clock that stands still until it is told to move.
 *
 * Timers fire in the order of (due time, insertion). Before each one, everything that is ready to
 * run runs: promises, `process.nextTick`, `setImmediate`. Work that waits for the outside world
 * (real files, sockets, threads) is not waited for.
 * @module
 */
import { setImmediate } from "node:timers";
import { type Cancel, clampDelayMs, type Clock, sleepOn } from "../clock.ts";

interface Timer {
  readonly dueMs: number;
  readonly run: () => void;
}

/** Virtual time. Wall time can be moved apart from monotonic time. */
export class SimClock implements Clock {
  #nowMs = 0;
  #wallOffsetMs: number;
  /** By due time; equal ones in order of insertion. */
  readonly #timers: Timer[] = [];

  /** @param startWallMs  the wall time at monotonic time 0; an integer */
  constructor(startWallMs = Date.UTC(2026, 0, 1)) {
    this.#wallOffsetMs = startWallMs;
  }

  wallMs(): number {
    return Math.floor(this.#nowMs) + this.#wallOffsetMs;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, run: () => void): Cancel {
    const timer: Timer = { dueMs: this.#nowMs + clampDelayMs(delayMs), run };
    this.#timers.splice(this.#firstAfter(timer.dueMs), 0, timer);
    return () => {
      const at = this.#timers.indexOf(timer);
      if (at >= 0) this.#timers.splice(at, 1);
    };
  }

  soon(run: () => void): Cancel {
    return this.after(0, run);
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return sleepOn(this, delayMs, signal);
  }

  /** Timers that wait. */
  get pendingCount(): number {
    return this.#timers.length;
  }

  /** Lets time pass, firing what falls due, also timers that are set on the way. */
  async advance(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms;
    await settle();
    while (this.#timers.length > 0 && this.#timers[0].dueMs <= endMs) {
      this.#fireNext();
      await settle();
    }
    this.#nowMs = Math.max(this.#nowMs, endMs);
  }

  /**
   * Lets time pass until `promise` settles, and returns what it gives.
   * @param limitMs  the most virtual time that may pass
   * @throws Error when it is still pending and no timer is left, or the limit is reached
   */
  async runUntil<T>(promise: Promise<T>, limitMs = 24 * 3600 * 1000): Promise<T> {
    let settled = false;
    const done = () => void (settled = true);
    promise.then(done, done);
    const endMs = this.#nowMs + limitMs;
    await settle();
    while (!settled) {
      if (this.#timers.length === 0) {
        throw new Error("runUntil: the promise is pending and no timer is left");
      }
      if (this.#timers[0].dueMs > endMs) {
        throw new Error(`runUntil: the promise is pending after ${limitMs} ms`);
      }
      this.#fireNext();
      await settle();
    }
    return await promise;
  }

  /** Time passes while the thread is blocked: what falls due fires afterwards, late. */
  block(ms: number): void {
    this.#nowMs += ms;
  }

  /** Moves wall time, forwards or back, and leaves monotonic time and timers alone. */
  jumpWall(byMs: number): void {
    this.#wallOffsetMs += Math.trunc(byMs);
  }

  #fireNext(): void {
    const timer = this.#timers.shift();
    if (timer === undefined) return;
    this.#nowMs = Math.max(this.#nowMs, timer.dueMs);
    timer.run();
  }

  /** The index of the first timer due later than `dueMs`. */
  #firstAfter(dueMs: number): number {
    let low = 0;
    let high = this.#timers.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#timers[middle].dueMs <= dueMs) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/**
 * Resolves when everything that was ready to run has run. A turn of the event loop empties the
 * queues of microtasks and ticks; streams take two, since they end some work by setImmediate.
 */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 2; turn++) {
    await new Promise<void>((resolve) => void setImmediate(resolve));
  }
}
