/**
 * Clock: the only source of time and timers above floor 0.
 *
 * Wall time may jump; use it for stamps that people read and for TTLs. Monotonic time never goes
 * back; use it for durations, timeouts and leases.
 * @module
 */

/** Cancels a timer; calling it twice, or after the timer fired, does nothing. */
export type Cancel = () => void;

/** The longest delay a timer takes, in ms; a longer one fires at once in JavaScript runtimes. */
export const MAX_TIMER_MS = 2 ** 31 - 1;

/** Time and timers. Delays below 0 count as 0, above {@link MAX_TIMER_MS} as that. */
export interface Clock {
  /** Milliseconds since 1970 UTC, an integer. May jump in either direction. */
  wallMs(): number;
  /** Milliseconds since some fixed moment, with fractions. Never goes back. */
  monotonicMs(): number;
  /** Calls `run` once after `delayMs`. */
  after(delayMs: number, run: () => void): Cancel;
  /**
   * Calls `run` once, as soon as all that is ready has had its turn, sockets too: in microseconds, where
   * a timer of 0 takes a millisecond or two.
   */
  soon(run: () => void): Cancel;
  /** Resolves after `delayMs`; rejects with the signal's reason when that aborts first. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
}

/** A delay as a timer can take it: a whole or fractional number of ms in [0, {@link MAX_TIMER_MS}]; NaN counts as 0. */
export function clampDelayMs(delayMs: number): number {
  return delayMs > 0 ? Math.min(delayMs, MAX_TIMER_MS) : 0;
}

/** {@link Clock.sleep} for a clock that has {@link Clock.after}. Leaves no listener on the signal behind. */
export function sleepOn(
  clock: Pick<Clock, "after">,
  delayMs: number,
  signal?: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const onAbort = () => {
      cancel();
      reject(signal?.reason);
    };
    const cancel = clock.after(delayMs, () => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    });
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
