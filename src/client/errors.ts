/**
 * What goes wrong on a call, as a PairError: the server's own row of the error table where it sent
 * one, otherwise the row that tells the caller what to do.
 * @module
 */
import { Code, ConnectError } from "@connectrpc/connect";
import { type ErrorDetail, ErrorDetailSchema } from "../gen/pairdb/v1/common_pb.ts";
import { ContextMismatch, type ErrorName, ERRORS, PairError } from "../model/mod.ts";
import { fromClock } from "./convert.ts";

/** For answers without an ErrorDetail: from a proxy, from Connect itself, or from no PairDB at all. */
const BY_STATUS: Readonly<Record<Code, ErrorName>> = {
  [Code.Canceled]: "Unavailable",
  [Code.Unknown]: "Internal",
  [Code.InvalidArgument]: "InvalidArgument",
  [Code.DeadlineExceeded]: "Unavailable",
  [Code.NotFound]: "InvalidArgument",
  [Code.AlreadyExists]: "InvalidArgument",
  [Code.PermissionDenied]: "InvalidArgument",
  [Code.ResourceExhausted]: "ResourceExhausted",
  [Code.FailedPrecondition]: "InvalidArgument",
  [Code.Aborted]: "Unavailable",
  [Code.OutOfRange]: "InvalidArgument",
  [Code.Unimplemented]: "InvalidArgument",
  [Code.Internal]: "Internal",
  [Code.Unavailable]: "Unavailable",
  [Code.DataLoss]: "CorruptedData",
  [Code.Unauthenticated]: "InvalidArgument",
};

/**
 * The PairError for a failed call.
 * @param failure  what was thrown
 * @param url      the server, for the message when nobody answers
 */
export function toPairError(failure: unknown, url: string): PairError {
  if (failure instanceof PairError) return failure;
  const error = ConnectError.from(failure);
  const detail = error.findDetails(ErrorDetailSchema).at(0);
  if (detail !== undefined) return fromDetail(detail, error);
  // By its specification, fetch rejects with a TypeError when the network fails, and Connect keeps
  // it as the cause. Connect's own failures are strings or ConnectErrors.
  if (error.cause instanceof TypeError) {
    const flaw = certificateFlaw(error.cause);
    const why = !url.startsWith("https:")
      ? "is a node running?"
      : flaw === undefined
      ? "is a node running, and do the certificates fit?"
      : `do the certificates fit? (${flaw})`;
    return new PairError("Unavailable", `cannot reach ${url}: ${why}`, {}, {
      cause: error.cause,
    });
  }
  if (error.code === Code.DeadlineExceeded) {
    return new PairError("Unavailable", `no answer from ${url} in time`, {}, { cause: error });
  }
  return new PairError(BY_STATUS[error.code], `${url} answered: ${error.rawMessage}`, {}, {
    cause: error,
  });
}

/** What Deno did not like about the server's certificate, which is in words of its own only, deep inside. */
function certificateFlaw(failure: Error): string | undefined {
  for (let at: unknown = failure; at instanceof Error; at = at.cause) {
    const [, flaw] = /invalid peer certificate: (.{1,100})/.exec(at.message) ?? [];
    if (flaw !== undefined) return flaw;
  }
  return undefined;
}

function fromDetail(detail: ErrorDetail, error: ConnectError): PairError {
  if (detail.details.reason === "context_mismatch") {
    return new ContextMismatch(fromClock(detail.vectorClock), detail.details);
  }
  return new PairError(rowOf(detail), error.rawMessage, detail.details, { cause: error });
}

/** A newer server may send rows that this client does not know: they count by who is at fault. */
function rowOf(detail: ErrorDetail): ErrorName {
  for (const [name, row] of Object.entries(ERRORS)) {
    if (row.code === detail.code) return name as ErrorName;
  }
  return detail.code >= 1000 && detail.code < 2000 ? "InvalidArgument" : "Internal";
}
