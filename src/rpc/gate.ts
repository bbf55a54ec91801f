/**
 * A gate: lets so much work through at once.
 * @module
 */
import type { Clock } from "../runtime/mod.ts";

/** How a gate rests: for so many times as long as work took, by this clock, the next one waits. */
export interface Rest {
  readonly clock: Clock;
  readonly factor: number;
}

/** Lets so many through at once; the others wait in the order in which they came. */
export class Gate {
  readonly #rest: Rest | undefined;
  #free: number;
  #restUntilMs = 0;
  readonly #waiting: (() => void)[] = [];

  /** @param rest  undefined: it never rests */
  constructor(count: number, rest?: Rest) {
    this.#free = count;
    this.#rest = rest;
  }

  /** Does work when there is room for it. Fails as the work does. */
  async pass<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    const rest = this.#rest;
    if (rest === undefined) {
      try {
        return await work();
      } finally {
        this.#leave();
      }
    }
    const restMs = this.#restUntilMs - rest.clock.monotonicMs();
    if (restMs > 0) await rest.clock.sleep(restMs);
    const startMs = rest.clock.monotonicMs();
    try {
      return await work();
    } finally {
      const nowMs = rest.clock.monotonicMs();
      this.#restUntilMs = nowMs + (nowMs - startMs) * rest.factor;
      this.#leave();
    }
  }

  #leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free++;
    else next();
  }
}
