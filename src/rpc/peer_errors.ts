/**
 * What other nodes answer when a call fails, as a PairError: their own row of the error table where they sent
 * one, otherwise the row that tells whether trying again may help.
 * @module
 */
import { Code, type ConnectError } from "@connectrpc/connect";
import { findTrailerError } from "@connectrpc/connect/protocol-grpc";
import { type ErrorName, ERRORS, PairError } from "../model/mod.ts";
import { detailOf } from "./errors.ts";
import type { GrpcError } from "./grpc_client.ts";

/** For answers without an ErrorDetail: from a proxy, from our own client, or from no PairDB at all. */
const BY_CODE: Readonly<Partial<Record<Code, ErrorName>>> = {
  [Code.Canceled]: "Unavailable",
  [Code.DeadlineExceeded]: "Unavailable",
  [Code.Unavailable]: "Unavailable",
  [Code.Aborted]: "Unavailable",
  [Code.ResourceExhausted]: "ResourceExhausted",
  [Code.DataLoss]: "CorruptedData",
  [Code.Internal]: "Internal",
  [Code.Unknown]: "Internal",
};

/** @param url  of the node that was asked */
export function fromGrpcError(error: GrpcError, url: string): PairError {
  const headers = new Headers();
  const { trailers } = error;
  for (let i = 0; i < trailers.length; i += 2) headers.append(trailers[i], trailers[i + 1]);
  const whole = findTrailerError(headers);
  const detail = whole && detailOf(whole);
  const message = `${url} answered: ${whole?.rawMessage ?? error.message}`;
  if (whole === undefined || detail === undefined) {
    // What is left is a request that it will never take.
    const row = BY_CODE[error.code as Code] ?? "InvalidArgument";
    return new PairError(row, message, {}, { cause: error });
  }
  return new PairError(rowOf(detail.code, whole), message, detail.details, { cause: error });
}

/** A newer node may send rows that this one does not know: they count by who is at fault. */
function rowOf(code: number, error: ConnectError): ErrorName {
  for (const [name, row] of Object.entries(ERRORS)) {
    if (row.code === code) return name as ErrorName;
  }
  return code >= 1000 && code < 2000 ? "InvalidArgument" : BY_CODE[error.code] ?? "Internal";
}
