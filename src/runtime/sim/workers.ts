/**
 * Threads that are none: jobs run on this one, copied in and out as messages between threads are.
 * @module
 */
import type { Clock } from "../clock.ts";
import type { Random } from "../random.ts";
import { packJobError, WorkerJobError, type Workers } from "../workers.ts";
import { SimRandom } from "./random.ts";

/** How to make {@link SimWorkers}. */
export interface SimWorkersOptions {
  /** Carries out a job, as the handler given to `serveWorker` would. */
  readonly handler: (job: unknown) => unknown;
  /** Jobs at a time. Default 2. */
  readonly size?: number;
  /** With one, a job starts after a virtual delay; without, after a microtask. */
  readonly clock?: Clock;
  /** Chooses the delays; by default seeded with 0. */
  readonly random?: Random;
  /** The longest delay, in ms of the clock. Default 2. */
  readonly delayMsMax?: number;
  /** Says of a job whether its thread dies instead of carrying it out. `index` counts jobs from 0. */
  readonly dies?: (job: unknown, index: number) => boolean;
}

/** A pool without threads, which does the same each time. */
export class SimWorkers implements Workers {
  readonly size: number;
  readonly #options: SimWorkersOptions;
  readonly #random: Random;
  readonly #queue: { start: () => Promise<void>; refuse: () => void }[] = [];
  #running = 0;
  #count = 0;
  #closing: PromiseWithResolvers<void> | undefined;

  constructor(options: SimWorkersOptions) {
    this.size = options.size ?? 2;
    this.#options = options;
    this.#random = options.random ?? new SimRandom(0);
  }

  async run(job: unknown): Promise<unknown> {
    if (this.#closing) throw new WorkerJobError("the worker pool is closed");
    let message: unknown;
    try {
      message = structuredClone(job);
    } catch (error) {
      throw new WorkerJobError(`cannot start the job: ${packJobError(error).message}`);
    }
    const index = this.#count++;
    return await new Promise((resolve, reject) => {
      this.#queue.push({
        start: () => this.#carryOut(message, index).then(resolve, reject),
        refuse: () => reject(new WorkerJobError("the worker pool closed before the job began")),
      });
      this.#startJobs();
    });
  }

  close(): Promise<void> {
    if (this.#closing === undefined) {
      this.#closing = Promise.withResolvers();
      for (const { refuse } of this.#queue.splice(0)) refuse();
      this.#startJobs();
    }
    return this.#closing.promise;
  }

  #startJobs(): void {
    while (this.#running < this.size) {
      const next = this.#queue.shift();
      if (next === undefined) break;
      this.#running++;
      // It settles the job's own promise and never rejects itself.
      void next.start().finally(() => {
        this.#running--;
        this.#startJobs();
      });
    }
    if (this.#running === 0) this.#closing?.resolve();
  }

  async #carryOut(message: unknown, index: number): Promise<unknown> {
    const { clock, delayMsMax = 2 } = this.#options;
    if (clock === undefined) await Promise.resolve();
    else await clock.sleep(this.#random.below(Math.floor(delayMsMax * 1000) + 1) / 1000);
    if (this.#options.dies?.(message, index)) {
      throw new WorkerJobError("the worker died: as it was told");
    }
    try {
      return structuredClone(await this.#options.handler(message));
    } catch (error) {
      const packed = packJobError(error);
      throw new WorkerJobError(packed.message, packed.fields);
    }
  }
}
