/**
 * The error table: every failure that a user can see has a row here. Numbers are public for ever
 * and come from the design documents (1xxx: the request is at fault, 2xxx: the server is); messages
 * are for people and may change.
 * @module
 */

/** name → number, and what the caller can do about it. */
export const ERRORS = {
  InvalidArgument: { code: 1000, then: "change the request" },
  KeyNotFound: { code: 1001, then: "nothing: the key has no value" },
  KeyTooLarge: { code: 1002, then: "change the request" },
  ValueTooLarge: { code: 1003, then: "change the request" },
  InvalidTenantID: { code: 1004, then: "change the request, or create the tenant" },
  InvalidKey: { code: 1005, then: "change the request" },
  ChecksumFailed: { code: 1006, then: "ask another replica, or restore the value" },
  Internal: { code: 2000, then: "report it; the log has the cause" },
  Unavailable: { code: 2001, then: "retry with backoff" },
  DiskFull: { code: 2002, then: "delete data or add disk" },
  DiskThrottled: { code: 2003, then: "back off, or route elsewhere" },
  CommitLogFailed: { code: 2004, then: "restart the node once its disk is sound" },
  MemTableFailed: { code: 2005, then: "retry with backoff" },
  SSTableFailed: { code: 2006, then: "look at the node's disk" },
  CorruptedData: { code: 2007, then: "run `pairdb check`, then restore or repair" },
  ResourceExhausted: { code: 2008, then: "retry with backoff, or raise the limit" },
} as const;

/** The name of a row. */
export type ErrorName = keyof typeof ERRORS;

/** Facts that travel with an error; never a key, a value or a secret. */
export type ErrorDetails = Readonly<Record<string, string | number | boolean>>;

/** A failure with a row in the table. */
export class PairError extends Error {
  /** As of every error: its class. */
  override name = "PairError";
  /** The row's number. */
  readonly code: number;
  /**
   * Makes one of a row.
   * @param error    the row
   * @param message  for people: the action, a colon, the state
   */
  constructor(
    readonly error: ErrorName,
    message: string,
    readonly details: ErrorDetails = {},
    options?: { cause?: unknown },
  ) {
    super(message, options);
    this.code = ERRORS[error].code;
  }
}
