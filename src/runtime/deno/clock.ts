/**
 * The clock of the machine.
 * @module
 */
import { type Cancel, clampDelayMs, type Clock, sleepOn } from "../clock.ts";

/** Real time and real timers. A pending timer keeps the process alive. */
export function denoClock(): Clock {
  const clock: Clock = {
    wallMs: () => Date.now(),
    monotonicMs: () => performance.now(),
    after(delayMs: number, run: () => void): Cancel {
      const timer = setTimeout(run, clampDelayMs(delayMs));
      return () => clearTimeout(timer);
    },
    sleep: (delayMs, signal) => sleepOn(clock, delayMs, signal),
  };
  return clock;
}
