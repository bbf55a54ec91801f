/**
 * Threads of the machine: a pool of workers that outlives its workers.
 *
 * A worker starts when a job finds no free one, or beforehand with `prepare`. When it dies its job is rejected, and the next job
 * starts another, so that one that cannot start fails one job each time instead of spinning.
 *
 * Ways to die, and what tells us (measured with Deno 2.9.6):
 *     uncaught error, rejection, failed import   the `error` event
 *     Deno.exit()                                the `exit` event, or nothing at all
 *     an endless loop, a lock never given        nothing; the job's heartbeat stands still
 *     its heap is full                           nothing; it stops for good, and so does the heartbeat
 * For the second kind each worker holds a web lock (navigator.locks) from its start to its death, and
 * the pool waits for the same lock: it is granted when the thread is gone, however it went. For the other
 * two the pool looks at the heartbeats and ends the thread. The job is rejected only when the lock says
 * that the thread is gone: whoever cleans up after the job then has its files to himself.
 *
 * The threads are node:worker_threads, for two things that web workers do not do: with `resourceLimits` a
 * full heap stops the worker, where a web worker's ends the whole process; and `terminate` ends a loop
 * and an Atomics.wait within milliseconds, where a web worker's thread goes on for ever. The limit is on
 * objects; array buffers are outside of it, so jobs bound theirs themselves.
 *
 *     pool                                  worker (serve_worker.ts)
 *     {lock: name}                     ->
 *                                      <-   {ready: true}, once it holds the lock
 *     {job: ...}                       ->
 *                                      <-   {result: ...} or {failed: {message, fields}}
 * @module
 */
import { Worker } from "node:worker_threads";
import { clampDelayMs } from "../clock.ts";
import { JobCounters, JobQueue, type QueuedJob } from "../job_queue.ts";
import {
  type JobOptions,
  type PackedJobError,
  WorkerJobError,
  type Workers,
  type WorkerStats,
} from "../workers.ts";
import { webLocks } from "./web_locks.ts";

/** A thread's heap may grow to this; see {@link workerThread}. */
const HEAP_MB = 1024;
/** How long a thread may take from its start to its first job, in ms. */
const START_MS_MAX = 60_000;
/** How long a thread that was ended may take to be gone before its job is rejected anyway, in ms. */
const GONE_MS_MAX = 5000;
/** How long a thread that is gone is given for its last error to arrive, in ms: the lock may be quicker. */
const LAST_WORDS_MS_MAX = 500;

/** What is said of a job whose thread is gone without a word. */
const ENDED = "the worker ended itself";
/** What is said of a job whose signal was aborted. */
const GIVEN_UP = "the job was given up";

/** How to make a pool. */
export interface DenoWorkersOptions {
  /** Jobs at a time, urgent ones apart; an integer from 1. There is one thread more, for those. */
  readonly size: number;
  /** Starts a thread, by {@link workerThread}; its entry file calls `serveWorker`. */
  readonly spawn: () => Worker;
  /** Jobs that may wait for a thread; more are refused. Default 1024. */
  readonly queueCountMax?: number | undefined;
  /** A job whose heartbeat stands still for this long is rejected and its thread replaced. Default 60 s. */
  readonly stallMsMax?: number;
}

/**
 * Starts a thread for a pool.
 * @param entry   the file that calls `serveWorker`
 * @param heapMb  megabytes of objects at which the thread is stopped, rather than the process
 */
export function workerThread(entry: URL, heapMb = HEAP_MB): Worker {
  return new Worker(entry, { resourceLimits: { maxOldGenerationSizeMb: heapMb } });
}

/** A pool of worker threads; see the head of the file. */
export function denoWorkers(options: DenoWorkersOptions): Workers {
  return new DenoWorkers(options);
}

interface Job extends QueuedJob {
  readonly message: unknown;
  readonly heartbeat: Int32Array<SharedArrayBuffer> | undefined;
  readonly submittedMs: number;
  resolve(result: unknown): void;
  reject(error: Error): void;
}

interface Thread {
  readonly worker: Worker;
  /** Ends the wait for the thread's lock. */
  readonly watch: AbortController;
  /** Resolves when the thread has given its lock back. */
  readonly gone: PromiseWithResolvers<void>;
  /** Whether the lock is watched: a thread that never held it cannot be seen to go. */
  watched: boolean;
  /** When the job's heartbeat was last seen to move, or its clock began. */
  aliveMs: number;
  job: Job | undefined;
  timer: ReturnType<typeof setInterval> | undefined;
  /** Set while the thread is gone and what it died of may still arrive. */
  lastWords: ReturnType<typeof setTimeout> | undefined;
}

type Reply = { ready: true } | { result: unknown } | { failed: PackedJobError };

class DenoWorkers implements Workers {
  readonly size: number;
  readonly #options: DenoWorkersOptions;
  readonly #queueCountMax: number;
  readonly #threads = new Set<Thread>();
  readonly #queue: JobQueue<Job>;
  readonly #counters = new JobCounters();
  #closing: PromiseWithResolvers<void> | undefined;

  constructor(options: DenoWorkersOptions) {
    if (!Number.isInteger(options.size) || options.size < 1) {
      throw new RangeError(`a pool of ${options.size} workers: the size must be an integer from 1`);
    }
    this.size = options.size;
    this.#options = options;
    this.#queueCountMax = options.queueCountMax ?? 1024;
    this.#queue = new JobQueue(options.size);
  }

  run(message: unknown, { urgent = false, heartbeat, signal }: JobOptions = {}): Promise<unknown> {
    if (this.#closing) return Promise.reject(new WorkerJobError("the worker pool is closed"));
    if (signal?.aborted) return Promise.reject(new WorkerJobError(GIVEN_UP));
    if (this.#queue.length >= this.#queueCountMax) {
      this.#counters.rejected();
      return Promise.reject(
        new WorkerJobError(`the worker pool is full: ${this.#queue.length} jobs wait`),
      );
    }
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const submittedMs = performance.now();
    const job = { message, urgent, heartbeat, submittedMs, resolve, reject };
    this.#queue.push(job);
    this.#startJobs();
    if (signal === undefined) return promise;
    const giveUp = () => this.#giveUp(job);
    signal.addEventListener("abort", giveUp);
    return promise.finally(() => signal.removeEventListener("abort", giveUp));
  }

  async prepare(): Promise<void> {
    // So many, and no more: threads that cannot start would be started again and again.
    for (let left = this.size + 1; left > 0; left--) {
      if (this.#closing !== undefined || this.#threads.size > this.size) return;
      try {
        this.#spawn();
      } catch {
        // The first job that needs the thread will tell.
        return;
      }
      await new Promise((resolve) => setTimeout(resolve));
    }
  }

  stats(): WorkerStats {
    return this.#counters.stats(this.#queue);
  }

  close(): Promise<void> {
    if (this.#closing === undefined) {
      this.#closing = Promise.withResolvers();
      for (const job of this.#queue.clear()) {
        job.reject(new WorkerJobError("the worker pool closed before the job began"));
      }
      this.#endIdle();
    }
    return this.#closing.promise;
  }

  #startJobs(): void {
    for (let job; (job = this.#queue.take()) !== undefined;) {
      try {
        const idle = [...this.#threads].find((thread) => thread.job === undefined);
        this.#start(idle ?? this.#spawn(), job);
      } catch (error) {
        // A message that cannot be cloned, or a thread that cannot be made.
        this.#reject(job, `cannot start the job: ${messageOf(error)}`);
      }
    }
  }

  #start(thread: Thread, job: Job): void {
    thread.worker.postMessage({ job: job.message });
    thread.job = job;
    this.#counters.began(performance.now() - job.submittedMs);
    const { heartbeat } = job;
    if (heartbeat === undefined) return;
    const limitMs = this.#options.stallMsMax ?? 60_000;
    let seen = Atomics.load(heartbeat, 0);
    thread.aliveMs = performance.now();
    // A fraction of the limit, so that what is found is not much older than the limit.
    thread.timer = setInterval(() => {
      const now = Atomics.load(heartbeat, 0);
      const allowedMs = thread.watched ? limitMs : Math.max(limitMs, START_MS_MAX);
      if (now !== seen) {
        seen = now;
        thread.aliveMs = performance.now();
      } else if (performance.now() - thread.aliveMs >= allowedMs) {
        this.#replace(thread, `the job hangs: no progress for ${allowedMs} ms`);
      }
    }, clampDelayMs(limitMs / 4));
  }

  #spawn(): Thread {
    const worker = this.#options.spawn();
    const thread: Thread = {
      worker,
      watch: new AbortController(),
      gone: Promise.withResolvers(),
      watched: false,
      aliveMs: 0,
      job: undefined,
      timer: undefined,
      lastWords: undefined,
    };
    const lock = `pairdb worker ${crypto.randomUUID()}`;
    worker.on("message", (reply: Reply) => this.#take(thread, lock, reply));
    worker.on("messageerror", () => this.#replace(thread, "the worker's answer cannot be read"));
    worker.on("error", (error) => this.#replace(thread, `the worker died: ${messageOf(error)}`));
    worker.on("exit", () => this.#replace(thread, ENDED));
    worker.postMessage({ lock });
    this.#threads.add(thread);
    return thread;
  }

  #take(thread: Thread, lock: string, reply: Reply): void {
    // Its end has been decided already.
    if (!this.#threads.has(thread)) return;
    if ("ready" in reply) return this.#watch(thread, lock);
    const isGone = thread.lastWords !== undefined;
    const job = this.#release(thread);
    if (job !== undefined) {
      if ("failed" in reply) this.#reject(job, reply.failed.message, reply.failed.fields);
      else {
        this.#ended(job, true);
        job.resolve(reply.result);
      }
    }
    if (isGone) this.#replace(thread, ENDED);
    else this.#goOn();
  }

  #watch(thread: Thread, lock: string): void {
    thread.watched = true;
    thread.aliveMs = performance.now();
    webLocks().request(lock, { signal: thread.watch.signal }, () => {
      thread.gone.resolve();
      this.#mourn(thread);
    }).catch((error) => {
      thread.gone.resolve();
      // Aborted when the pool itself ends the thread.
      if (!thread.watch.signal.aborted) {
        this.#replace(thread, `the worker cannot be watched: ${messageOf(error)}`);
      }
    });
  }

  /** The thread is gone: its job is told what it died of, if that still arrives. */
  #mourn(thread: Thread): void {
    if (!this.#threads.has(thread) || thread.job === undefined) this.#replace(thread, ENDED);
    else thread.lastWords = setTimeout(() => this.#replace(thread, ENDED), LAST_WORDS_MS_MAX);
  }

  /** A job that nobody wants to wait for any more. */
  #giveUp(job: Job): void {
    if (this.#queue.remove(job)) return job.reject(new WorkerJobError(GIVEN_UP));
    const thread = [...this.#threads].find((thread) => thread.job === job);
    if (thread !== undefined) this.#replace(thread, GIVEN_UP);
  }

  /** Ends a thread that is of no more use; its place is free for another. */
  #replace(thread: Thread, reason: string): void {
    if (!this.#threads.delete(thread)) return;
    const job = this.#release(thread);
    void thread.worker.terminate();
    void this.#wait(thread).then(() => {
      if (job !== undefined) this.#reject(job, reason);
      this.#goOn();
    });
  }

  /** Waits for an ended thread to be gone. Never rejects. */
  async #wait(thread: Thread): Promise<void> {
    if (!thread.watched) return thread.watch.abort();
    const late = setTimeout(() => thread.watch.abort(), GONE_MS_MAX);
    await thread.gone.promise;
    clearTimeout(late);
  }

  /** Takes a thread's job away from it. */
  #release(thread: Thread): Job | undefined {
    const job = thread.job;
    thread.job = undefined;
    clearInterval(thread.timer);
    clearTimeout(thread.lastWords);
    thread.lastWords = undefined;
    return job;
  }

  #ended(job: Job, succeeded: boolean): void {
    this.#queue.ended(job);
    this.#counters.ended(succeeded, performance.now() - job.submittedMs);
  }

  #reject(job: Job, message: string, fields?: PackedJobError["fields"]): void {
    this.#ended(job, false);
    job.reject(new WorkerJobError(message, fields));
  }

  #goOn(): void {
    if (this.#closing) this.#endIdle();
    else this.#startJobs();
  }

  #endIdle(): void {
    for (const thread of this.#threads) {
      if (thread.job !== undefined) continue;
      this.#threads.delete(thread);
      thread.watch.abort();
      void thread.worker.terminate();
    }
    if (this.#threads.size === 0 && this.#queue.running === 0) this.#closing?.resolve();
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
