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
