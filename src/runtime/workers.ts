/**
 * Workers: other threads that carry out jobs. A job is a plain message and so is its result; what
 * the messages mean is between the caller and the entry file that the pool was made with.
 * @module
 */

/** A pool of threads with one queue. */
export interface Workers {
  /** Threads in the pool. */
  readonly size: number;
  /**
   * Runs one job on a free thread, or queues it.
   * @param job  a structured-cloneable message; SharedArrayBuffers are shared, not copied
   * @returns what the handler returned; rejects with an Error that carries the handler's message, or
   *   when the thread dies (the pool starts another) or the pool closes
   */
  run(job: unknown): Promise<unknown>;
  /** Refuses new jobs, waits for the running ones, ends the threads. */
  close(): Promise<void>;
}
