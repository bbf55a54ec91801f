/**
 * Errors on the wire: every failure of every call leaves as one gRPC status with one ErrorDetail, the
 * number from the error table (docs/rows.md: R1 to R3).
 *
 * Three sources meet here:
 *   - a PairError from below keeps its number, text and details;
 *   - a ConnectError of the RPC library (bad JSON, a message too large) gets the number that fits;
 *   - anything else is a bug or a failed disk: its text goes to the log, never to a client.
 * @module
 */
import { Code, ConnectError } from "@connectrpc/connect";
import { create } from "@bufbuild/protobuf";
import { ContextMismatch, type ErrorName, ERRORS, PairError } from "../model/mod.ts";
import type { Log } from "../runtime/mod.ts";
import { type ErrorDetail, ErrorDetailSchema } from "../gen/pairdb/v1/common_pb.ts";
import { fromContext } from "./convert.ts";

/** Which status each row of the error table has (docs/rows.md: R2, R3). */
export const STATUS: Readonly<Record<ErrorName, Code>> = {
  InvalidArgument: Code.InvalidArgument,
  KeyNotFound: Code.NotFound,
  KeyTooLarge: Code.InvalidArgument,
  ValueTooLarge: Code.InvalidArgument,
  InvalidTenantID: Code.InvalidArgument,
  InvalidKey: Code.InvalidArgument,
  ChecksumFailed: Code.DataLoss,
  Internal: Code.Internal,
  Unavailable: Code.Unavailable,
  DiskFull: Code.ResourceExhausted,
  DiskThrottled: Code.Unavailable,
  CommitLogFailed: Code.Internal,
  MemTableFailed: Code.Internal,
  SSTableFailed: Code.Internal,
  CorruptedData: Code.DataLoss,
  ResourceExhausted: Code.ResourceExhausted,
};

/** Which row an error of the RPC library belongs to: those not named are the server's own fault. */
const ROW_OF_CODE: Readonly<Partial<Record<Code, ErrorName>>> = {
  [Code.InvalidArgument]: "InvalidArgument",
  [Code.OutOfRange]: "InvalidArgument",
  [Code.FailedPrecondition]: "InvalidArgument",
  [Code.Unimplemented]: "InvalidArgument",
  [Code.NotFound]: "InvalidArgument",
  [Code.PermissionDenied]: "InvalidArgument",
  [Code.Unauthenticated]: "InvalidArgument",
  [Code.ResourceExhausted]: "ResourceExhausted",
  [Code.Canceled]: "Unavailable",
  [Code.DeadlineExceeded]: "Unavailable",
  [Code.Aborted]: "Unavailable",
  [Code.Unavailable]: "Unavailable",
  [Code.DataLoss]: "CorruptedData",
};

/** What the library's messages for bytes that are no protobuf begin with (connect 2.2.0). */
const BAD_BINARY = "parse binary: ";

/**
 * What a client is told about a failure.
 * @param error   anything that was thrown
 * @param log     gets the text of what is neither a PairError nor a ConnectError
 * @param detail  see {@link completeError}
 */
export function toConnectError(error: unknown, log: Log, detail = true): ConnectError {
  if (error instanceof PairError) return fromPairError(error);
  if (error instanceof ConnectError) return completeError(error, detail);
  if (error instanceof Error && error.name === "AbortError") {
    return completeError(new ConnectError("the call was cancelled", Code.Canceled), detail);
  }
  log.error("rpc_internal_error", { error: describe(error) });
  return completeError(new ConnectError("internal error", Code.Internal), detail);
}

/** Reasons within a row that have a status of their own. */
const STATUS_OF_REASON: ReadonlyMap<unknown, Code> = new Map([
  ["already_exists", Code.AlreadyExists],
  // "A client-specified test-and-set fails: the client should restart a read-modify-write sequence."
  ["context_mismatch", Code.Aborted],
]);

/** A PairError as a status. */
function fromPairError(error: PairError): ConnectError {
  const code = STATUS_OF_REASON.get(error.details.reason) ?? STATUS[error.error];
  const details: Record<string, string> = {};
  for (const [name, fact] of Object.entries(error.details)) details[name] = String(fact);
  const vectorClock = error instanceof ContextMismatch ? fromContext(error.present) : undefined;
  const value = { code: error.code, name: error.error, details, vectorClock };
  return new ConnectError(oneLine(error.message), code, undefined, [
    { desc: ErrorDetailSchema, value },
  ]);
}

/** The library builds its errors before anybody can look at them; their fields are fixed in types only. */
type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/**
 * Gives an error of the RPC library its ErrorDetail and its text one line, in place, and calls bytes
 * that are no protobuf the client's fault, as bad JSON is. Does nothing to an error that has a detail.
 * @param detail  false: text and details stay as they are
 * @returns the same error
 */
export function completeError(error: ConnectError, detail = true): ConnectError {
  if (detailOf(error) !== undefined) return error;
  const open: Mutable<ConnectError> = error;
  if (error.code === Code.Internal && error.rawMessage.startsWith(BAD_BINARY)) {
    open.code = Code.InvalidArgument;
  }
  if (!detail) return error;
  open.rawMessage = oneLine(error.rawMessage);
  const row = ROW_OF_CODE[error.code] ?? "Internal";
  error.details.push({
    desc: ErrorDetailSchema,
    value: create(ErrorDetailSchema, { code: ERRORS[row].code, name: row }),
  });
  return error;
}

/** The ErrorDetail of an error that {@link toConnectError} made; undefined when it has none. */
export function detailOf(error: ConnectError): ErrorDetail | undefined {
  return error.findDetails(ErrorDetailSchema)[0];
}

/** A message must fit a header line and a log line. */
function oneLine(text: string): string {
  return text.replace(/\s*[\r\n]+\s*/g, " ");
}

/** A thrown thing with its stack and causes, for the log. */
export function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const text = error.stack ?? `${error.name}: ${error.message}`;
  return error.cause === undefined ? text : `${text}\ncaused by ${describe(error.cause)}`;
}

/** The server's own limit on a call's time. */
export function timeUp(): ConnectError {
  return new ConnectError("the call took longer than the server allows", Code.DeadlineExceeded);
}

/** The client's deadline, in the words of the RPC library, whose own timer may be the first to say so. */
export function deadlineExceeded(): ConnectError {
  return new ConnectError("the operation timed out", Code.DeadlineExceeded);
}
