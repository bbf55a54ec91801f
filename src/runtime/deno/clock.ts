/**
 * The clock of the machine.
 * @module
 */
import { clearImmediate, setImmediate } from "node:timers";
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
    soon(run: () => void): Cancel {
      const turn = setImmediate(run);
      return () => clearImmediate(turn);
    },
    sleep: (delayMs, signal) => sleepOn(clock, delayMs, signal),
  };
  return clock;
}
