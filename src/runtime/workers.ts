/**
 * Workers: other threads that carry out jobs. A job is a plain message and so is its result; what
 * the messages mean is between the caller and the entry file that the pool was made with.
 * @module
 */

/** How one job is treated. */
export interface JobOptions {
  /** Goes before all jobs that are not, and never waits for the end of one. Default false. */
  readonly urgent?: boolean;
  /**
   * A counter that the job moves while it gets on. One that stands still for too long is taken for hung:
   * the job is rejected and its thread replaced. Default: the job may take its time.
   */
  readonly heartbeat?: Int32Array<SharedArrayBuffer>;
  /**
   * Gives the job up: it leaves the queue, or its thread is ended wherever it is. It is rejected once the
   * thread is gone, so that whoever cleans up after it has its files to himself.
   */
  readonly signal?: AbortSignal;
}

/** Figures of a pool. */
export interface WorkerStats {
  /** Jobs under way. */
  readonly active: number;
  /** Threads at most. */
  readonly threads: number;
  /** Jobs that wait for a thread. */
  readonly queued: number;
  /** Jobs that returned. */
  readonly succeeded: number;
  /** Jobs that threw, or whose thread died. */
  readonly failed: number;
  /** Jobs that were refused because too many waited. */
  readonly rejected: number;
  /** Times from `run` until a thread was free for the job, in sum over all that began. */
  readonly waitedMsSum: number;
  /** Times from `run` to the end of the job, in sum over all that ended. */
  readonly latencyMsSum: number;
  /** The longest of them. */
  readonly latencyMsMax: number;
}

/** A pool of threads with one queue. */
export interface Workers {
  /** Jobs at a time, urgent ones apart: for those there is one thread more. */
  readonly size: number;
  /**
   * Runs one job on a free thread, or queues it.
   * @param job  a structured-cloneable message; SharedArrayBuffers are shared, not copied
   * @returns what the handler returned; rejects with an Error that carries the handler's message, or
   *   when the thread dies (the pool starts another), the job hangs or is given up, the queue is full or the
   *   pool closes
   */
  run(job: unknown, options?: JobOptions): Promise<unknown>;
  /**
   * Starts all threads, one after the other, for a program that will need them. Each holds up the event
   * loop for tens of milliseconds, which by default the first jobs meet. Never rejects.
   */
  prepare(): Promise<void>;
  /** Figures for people and metrics. */
  stats(): WorkerStats;
  /** Refuses new jobs, waits for the running ones, ends the threads. */
  close(): Promise<void>;
}

/** Facts that travel with a job's error. */
export type JobErrorDetails = Readonly<Record<string, string | number | boolean>>;

/**
 * A job that failed. When the handler threw an error with a name in a table (`error`, `code`,
 * `details`) or a disk's (`errno`), those fields are kept, so that the caller can make its own error
 * again; the class is lost on the way between threads. `stack` is the handler's where there is one.
 */
export class WorkerJobError extends Error {
  override name = "WorkerJobError";
  /** The name of a row in a table of errors. */
  readonly error?: string;
  /** The row's number. */
  readonly code?: number;
  /** Facts of that error. */
  readonly details?: JobErrorDetails;
  /** What the disk said. */
  readonly errno?: string;

  /** @param fields  what the handler's error carried; empty when the pool itself failed the job */
  constructor(message: string, fields: JobErrorFields = {}) {
    super(message);
    Object.assign(this, fields);
  }
}

/** What {@link WorkerJobError} keeps of the handler's error. */
export interface JobErrorFields {
  /** See {@link WorkerJobError.error}. */
  readonly error?: string;
  /** See {@link WorkerJobError.code}. */
  readonly code?: number;
  /** See {@link WorkerJobError.details}. */
  readonly details?: JobErrorDetails;
  /** See {@link WorkerJobError.errno}. */
  readonly errno?: string;
  /** Where the handler threw. */
  readonly stack?: string;
}

/** A thrown thing as a message between threads. */
export interface PackedJobError {
  /** Its message, or the thing itself as text. */
  readonly message: string;
  /** What else it carried. */
  readonly fields: JobErrorFields;
}

/** Makes a message of whatever a handler threw. */
export function packJobError(thrown: unknown): PackedJobError {
  if (!(thrown instanceof Error)) return { message: String(thrown), fields: {} };
  const { error, code, details, errno } = thrown as Error & Record<string, unknown>;
  return {
    message: thrown.message,
    fields: {
      ...(typeof error === "string" && { error }),
      ...(typeof code === "number" && { code }),
      ...(typeof errno === "string" && { errno }),
      ...(isDetails(details) && { details }),
      ...(thrown.stack !== undefined && { stack: thrown.stack }),
    },
  };
}

function isDetails(value: unknown): value is JobErrorDetails {
  return typeof value === "object" && value !== null &&
    Object.values(value).every((one) => ["string", "number", "boolean"].includes(typeof one));
}
