/**
 * Threads of the machine: a pool of web workers that outlives its workers.
 *
 * A worker starts when a job finds no free one. When it dies its job is rejected, and the next job
 * starts another, so that one that cannot start fails one job each time instead of spinning.
 *
 * Ways to die, and what tells us (Deno 2.9.6):
 *     uncaught error, rejection, failed import   the `error` event; with preventDefault the process lives on
 *     self.close(), Deno.exit()                  nothing at all: posting to it still succeeds
 * For the second kind each worker holds a web lock (navigator.locks) from its start to its death,
 * and the pool waits for the same lock: it is granted when the thread is gone, however it went.
 * A worker that runs out of heap ends the whole process; nothing here can help that.
 *
 *     pool                                  worker (serve_worker.ts)
 *     {lock: name}                     ->
 *                                      <-   {ready: true}, once it holds the lock
 *     {job: ...}                       ->
 *                                      <-   {result: ...} or {failed: {message, fields}}
 * @module
 */
import { clampDelayMs } from "../clock.ts";
import { type PackedJobError, WorkerJobError, type Workers } from "../workers.ts";
import { webLocks } from "./web_locks.ts";

/** How to make a pool. */
export interface DenoWorkersOptions {
  /** Threads at most; an integer from 1. */
  readonly size: number;
  /** Starts a thread; its entry file calls `serveWorker`. */
  readonly spawn: () => Worker;
  /** Jobs that may wait for a thread; more are refused. Default 1024. */
  readonly queueCountMax?: number;
  /** A job that takes longer is rejected and its thread replaced. Default: no limit. */
  readonly jobMsMax?: number;
}

/** A pool of web workers; see the head of the file. */
export function denoWorkers(options: DenoWorkersOptions): Workers {
  return new DenoWorkers(options);
}

interface Job {
  readonly message: unknown;
  resolve(result: unknown): void;
  reject(error: Error): void;
}

interface Thread {
  readonly worker: Worker;
  /** Ends the wait for the thread's lock. */
  readonly watch: AbortController;
  job: Job | undefined;
  timer: ReturnType<typeof setTimeout> | undefined;
}

type Reply = { ready: true } | { result: unknown } | { failed: PackedJobError };

class DenoWorkers implements Workers {
  readonly size: number;
  readonly #options: DenoWorkersOptions;
  readonly #queueCountMax: number;
  readonly #threads = new Set<Thread>();
  readonly #queue: Job[] = [];
  #closing: PromiseWithResolvers<void> | undefined;

  constructor(options: DenoWorkersOptions) {
    if (!Number.isInteger(options.size) || options.size < 1) {
      throw new RangeError(`a pool of ${options.size} workers: the size must be an integer from 1`);
    }
    this.size = options.size;
    this.#options = options;
    this.#queueCountMax = options.queueCountMax ?? 1024;
  }

  run(message: unknown): Promise<unknown> {
    if (this.#closing) return Promise.reject(new WorkerJobError("the worker pool is closed"));
    if (this.#queue.length >= this.#queueCountMax) {
      return Promise.reject(
        new WorkerJobError(`the worker pool is full: ${this.#queue.length} jobs wait`),
      );
    }
    return new Promise((resolve, reject) => {
      this.#queue.push({ message, resolve, reject });
      this.#startJobs();
    });
  }

  close(): Promise<void> {
    if (this.#closing === undefined) {
      this.#closing = Promise.withResolvers();
      for (const job of this.#queue.splice(0)) {
        job.reject(new WorkerJobError("the worker pool closed before the job began"));
      }
      this.#endIdle();
    }
    return this.#closing.promise;
  }

  #startJobs(): void {
    while (this.#queue.length > 0) {
      const idle = [...this.#threads].find((thread) => thread.job === undefined);
      if (idle === undefined && this.#threads.size >= this.size) return;
      const job = this.#queue.shift() as Job;
      try {
        this.#start(idle ?? this.#spawn(), job);
      } catch (error) {
        // A message that cannot be cloned, or a thread that cannot be made.
        job.reject(new WorkerJobError(`cannot start the job: ${messageOf(error)}`));
      }
    }
  }

  #start(thread: Thread, job: Job): void {
    thread.worker.postMessage({ job: job.message });
    thread.job = job;
    const limitMs = this.#options.jobMsMax;
    if (limitMs === undefined) return;
    const late = () => this.#replace(thread, `the job took more than ${limitMs} ms`);
    thread.timer = setTimeout(late, clampDelayMs(limitMs));
  }

  #spawn(): Thread {
    const worker = this.#options.spawn();
    const thread: Thread = {
      worker,
      watch: new AbortController(),
      job: undefined,
      timer: undefined,
    };
    const lock = `pairdb worker ${crypto.randomUUID()}`;
    worker.onmessage = (event: MessageEvent<Reply>) => this.#take(thread, lock, event.data);
    worker.onmessageerror = () => this.#replace(thread, "the worker's answer cannot be read");
    worker.onerror = (event) => {
      event.preventDefault();
      this.#replace(thread, `the worker died: ${event.message}`);
    };
    worker.postMessage({ lock });
    this.#threads.add(thread);
    return thread;
  }

  #take(thread: Thread, lock: string, reply: Reply): void {
    if ("ready" in reply) return this.#watch(thread, lock);
    const job = this.#finish(thread);
    if ("failed" in reply) {
      job?.reject(new WorkerJobError(reply.failed.message, reply.failed.fields));
    } else {
      job?.resolve(reply.result);
    }
    this.#goOn();
  }

  #watch(thread: Thread, lock: string): void {
    webLocks().request(lock, { signal: thread.watch.signal }, () => {
      this.#replace(thread, "the worker ended itself");
    }).catch((error) => {
      // Aborted when the pool itself ends the thread.
      if (!thread.watch.signal.aborted) {
        this.#replace(thread, `the worker cannot be watched: ${messageOf(error)}`);
      }
    });
  }

  /** Ends a thread that is of no more use; its place is free for another. */
  #replace(thread: Thread, reason: string): void {
    if (!this.#threads.has(thread)) return;
    this.#end(thread);
    this.#finish(thread)?.reject(new WorkerJobError(reason));
    this.#goOn();
  }

  #finish(thread: Thread): Job | undefined {
    const job = thread.job;
    thread.job = undefined;
    clearTimeout(thread.timer);
    return job;
  }

  #goOn(): void {
    if (this.#closing) this.#endIdle();
    else this.#startJobs();
  }

  #endIdle(): void {
    for (const thread of this.#threads) if (thread.job === undefined) this.#end(thread);
    if (this.#threads.size === 0) this.#closing?.resolve();
  }

  #end(thread: Thread): void {
    this.#threads.delete(thread);
    thread.watch.abort();
    thread.worker.terminate();
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
