/**
 * Threads that are none: jobs run on this one, copied in and out as messages between threads are.
 * @module
 */
import type { Clock } from "../clock.ts";
import type { Random } from "../random.ts";
import { JobCounters, JobQueue, type QueuedJob } from "../job_queue.ts";
import {
  type JobOptions,
  packJobError,
  WorkerJobError,
  type Workers,
  type WorkerStats,
} from "../workers.ts";
import { SimRandom } from "./random.ts";

/** How to make {@link SimWorkers}. */
export interface SimWorkersOptions {
  /** Carries out a job, as the handler given to `serveWorker` would. */
  readonly handler: (job: unknown) => unknown;
  /** Ordinary jobs at a time. Default 2. */
  readonly size?: number;
  /** Jobs that may wait; more are refused. Default: no limit. */
  readonly queueCountMax?: number;
  /** With one, a job starts after a virtual delay; without, after a microtask. */
  readonly clock?: Clock;
  /** Chooses the delays; by default seeded with 0. */
  readonly random?: Random;
  /** The longest delay, in ms of the clock. Default 2. */
  readonly delayMsMax?: number;
  /** Says of a job whether its thread dies instead of carrying it out. `index` counts jobs from 0. */
  readonly dies?: (job: unknown, index: number) => boolean;
}

/** What is said of a job whose signal was aborted. */
const GIVEN_UP = "the job was given up";

interface SimJob extends QueuedJob {
  start(): Promise<void>;
  refuse(): void;
}

/** A pool without threads, which does the same each time. */
export class SimWorkers implements Workers {
  readonly size: number;
  readonly #options: SimWorkersOptions;
  readonly #random: Random;
  readonly #queue: JobQueue<SimJob>;
  readonly #counters = new JobCounters();
  #count = 0;
  #closing: PromiseWithResolvers<void> | undefined;

  constructor(options: SimWorkersOptions) {
    this.size = options.size ?? 2;
    this.#options = options;
    this.#random = options.random ?? new SimRandom(0);
    this.#queue = new JobQueue(this.size);
  }

  async run(job: unknown, { urgent = false, signal }: JobOptions = {}): Promise<unknown> {
    if (this.#closing) throw new WorkerJobError("the worker pool is closed");
    if (signal?.aborted) throw new WorkerJobError(GIVEN_UP);
    if (this.#queue.length >= (this.#options.queueCountMax ?? Infinity)) {
      this.#counters.rejected();
      throw new WorkerJobError(`the worker pool is full: ${this.#queue.length} jobs wait`);
    }
    let message: unknown;
    try {
      message = structuredClone(job);
    } catch (error) {
      throw new WorkerJobError(`cannot start the job: ${packJobError(error).message}`);
    }
    const index = this.#count++;
    const startedMs = this.#nowMs();
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const givenUp = Promise.withResolvers<never>();
    // Whether anybody listens depends on how far the job is.
    givenUp.promise.catch(() => {});
    const done = (succeeded: boolean) => this.#counters.ended(succeeded, this.#nowMs() - startedMs);
    const queued: SimJob = {
      urgent,
      start: () => {
        this.#counters.began(this.#nowMs() - startedMs);
        const work = this.#carryOut(message, index, signal);
        return Promise.race([work, givenUp.promise]).then((result) => {
          done(true);
          resolve(result);
        }, (error) => {
          done(false);
          reject(error);
        });
      },
      refuse: () => reject(new WorkerJobError("the worker pool closed before the job began")),
    };
    this.#queue.push(queued);
    this.#startJobs();
    const giveUp = () => {
      const error = new WorkerJobError(GIVEN_UP);
      if (this.#queue.remove(queued)) reject(error);
      else givenUp.reject(error);
    };
    signal?.addEventListener("abort", giveUp);
    try {
      return await promise;
    } finally {
      signal?.removeEventListener("abort", giveUp);
    }
  }

  /** There are no threads. */
  prepare(): Promise<void> {
    return Promise.resolve();
  }

  stats(): WorkerStats {
    return this.#counters.stats(this.#queue);
  }

  close(): Promise<void> {
    if (this.#closing === undefined) {
      this.#closing = Promise.withResolvers();
      for (const { refuse } of this.#queue.clear()) refuse();
      this.#startJobs();
    }
    return this.#closing.promise;
  }

  #startJobs(): void {
    for (let next; (next = this.#queue.take()) !== undefined;) {
      const job = next;
      // It settles the job's own promise and never rejects itself.
      void job.start().finally(() => {
        this.#queue.ended(job);
        this.#startJobs();
      });
    }
    if (this.#queue.running === 0) this.#closing?.resolve();
  }

  #nowMs(): number {
    return this.#options.clock?.monotonicMs() ?? 0;
  }

  async #carryOut(
    message: unknown,
    index: number,
    signal: AbortSignal | undefined,
  ): Promise<unknown> {
    const { clock, delayMsMax = 2 } = this.#options;
    if (clock === undefined) await Promise.resolve();
    else await clock.sleep(this.#random.below(Math.floor(delayMsMax * 1000) + 1) / 1000);
    // A thread that was ended begins nothing.
    if (signal?.aborted) throw new WorkerJobError(GIVEN_UP);
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
