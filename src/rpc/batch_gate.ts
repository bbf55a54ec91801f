/**
 * Lets few batches be read at once: each may hold many times what its request does, and how much is not known
 * before it was read. Those whose keys are in memory are read within a step, so nobody waits for long; one that
 * waits for a disk keeps its place no longer than until the next step, and nobody waits for it.
 * @module
 */
import type { Cancel, Clock } from "../runtime/mod.ts";

/** Batches that are read at once within a step. */
const AT_ONCE = 4;

/** See the module. */
export class BatchGate {
  readonly #clock: Clock;
  readonly #waiting: (() => void)[] = [];
  /** Those that have a place, by an object of their own. */
  readonly #inside = new Set<object>();
  #cancel: Cancel | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Reads when there is a place. Fails as the reading does. */
  async pass<T>(read: () => Promise<T>): Promise<T> {
    while (this.#inside.size >= AT_ONCE) {
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
        this.#arm();
      });
    }
    const place = {};
    this.#inside.add(place);
    try {
      return await read();
    } finally {
      if (this.#inside.delete(place)) this.#waiting.shift()?.();
    }
  }

  /** Stops the timer. */
  close(): void {
    this.#cancel?.();
    this.#cancel = () => {};
  }

  /** Takes the places of those that are still inside when what is due by now is done. */
  #arm(): void {
    this.#cancel ??= this.#clock.after(0, () => {
      this.#cancel = undefined;
      this.#inside.clear();
      for (const go of this.#waiting.splice(0, AT_ONCE)) go();
      if (this.#waiting.length > 0) this.#arm();
    });
  }
}
