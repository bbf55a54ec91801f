/**
 * What both worker pools keep books with: a queue of two lanes, and counters.
 *
 * Urgent jobs go before all others, and there is one thread more than ordinary jobs may take, so that
 * none of them waits for the end of a long ordinary job:
 *
 *     size 2     [ ordinary ] [ ordinary ] [ urgent only ]     an urgent job may run on any of the three
 * @module
 */
import type { WorkerStats } from "./workers.ts";

/** Threads beyond `size`, for urgent jobs only. */
const URGENT_THREADS = 1;

/** A job that waits. */
export interface QueuedJob {
  readonly urgent: boolean;
}

/** Jobs in the order in which they are to be started. */
export class JobQueue<J extends QueuedJob> {
  readonly #size: number;
  readonly #urgent: J[] = [];
  readonly #ordinary: J[] = [];
  #running = 0;
  #runningOrdinary = 0;

  /** @param size  ordinary jobs at a time */
  constructor(size: number) {
    this.#size = size;
  }

  /** Jobs that wait. */
  get length(): number {
    return this.#urgent.length + this.#ordinary.length;
  }
  /** Jobs that were taken and have not ended. */
  get running(): number {
    return this.#running;
  }
  /** Threads that the jobs under way and the next one need at most. */
  get threads(): number {
    return this.#size + URGENT_THREADS;
  }

  /** Puts a job at the end of its lane. */
  push(job: J): void {
    (job.urgent ? this.#urgent : this.#ordinary).push(job);
  }

  /** The job to start now; undefined when none may. Say {@link ended} when it has. */
  take(): J | undefined {
    if (this.#running >= this.threads) return undefined;
    const job = this.#urgent.shift() ??
      (this.#runningOrdinary < this.#size ? this.#ordinary.shift() : undefined);
    if (job === undefined) return undefined;
    this.#running++;
    if (!job.urgent) this.#runningOrdinary++;
    return job;
  }

  /** A job that was taken is over. */
  ended(job: J): void {
    this.#running--;
    if (!job.urgent) this.#runningOrdinary--;
  }

  /** Takes a job that waits out of the queue. @returns whether it was there */
  remove(job: J): boolean {
    const lane = job.urgent ? this.#urgent : this.#ordinary;
    const at = lane.indexOf(job);
    if (at >= 0) lane.splice(at, 1);
    return at >= 0;
  }

  /** Empties the queue. */
  clear(): J[] {
    return [...this.#urgent.splice(0), ...this.#ordinary.splice(0)];
  }
}

/** Counts what became of jobs. */
export class JobCounters {
  #succeeded = 0;
  #failed = 0;
  #rejected = 0;
  #waitedMsSum = 0;
  #latencyMsSum = 0;
  #latencyMsMax = 0;

  /** A job was refused because the queue is full. */
  rejected(): void {
    this.#rejected++;
  }

  /** @param waitedMs  from the call of `run` to the job's begin */
  began(waitedMs: number): void {
    this.#waitedMsSum += waitedMs;
  }

  /** @param latencyMs  from the call of `run` to the job's end */
  ended(succeeded: boolean, latencyMs: number): void {
    if (succeeded) this.#succeeded++;
    else this.#failed++;
    this.#latencyMsSum += latencyMs;
    if (latencyMs > this.#latencyMsMax) this.#latencyMsMax = latencyMs;
  }

  /** All figures of a pool. */
  stats(queue: JobQueue<QueuedJob>): WorkerStats {
    return {
      active: queue.running,
      threads: queue.threads,
      queued: queue.length,
      succeeded: this.#succeeded,
      failed: this.#failed,
      rejected: this.#rejected,
      waitedMsSum: this.#waitedMsSum,
      latencyMsSum: this.#latencyMsSum,
      latencyMsMax: this.#latencyMsMax,
    };
  }
}
