/**
 * The error table as clients rely on it (docs/rows.md: R2 and R3), written down apart from the code.
 * @module
 */
import { Code } from "@connectrpc/connect";
import type { ErrorName } from "../../src/model/mod.ts";

/** Name, number, gRPC status, HTTP status of a Connect answer. */
export const ERROR_TABLE: readonly (readonly [ErrorName, number, Code, number])[] = [
  ["InvalidArgument", 1000, Code.InvalidArgument, 400],
  ["KeyNotFound", 1001, Code.NotFound, 404],
  ["KeyTooLarge", 1002, Code.InvalidArgument, 400],
  ["ValueTooLarge", 1003, Code.InvalidArgument, 400],
  ["InvalidTenantID", 1004, Code.InvalidArgument, 400],
  ["InvalidKey", 1005, Code.InvalidArgument, 400],
  ["ChecksumFailed", 1006, Code.DataLoss, 500],
  ["Internal", 2000, Code.Internal, 500],
  ["Unavailable", 2001, Code.Unavailable, 503],
  ["DiskFull", 2002, Code.ResourceExhausted, 429],
  ["DiskThrottled", 2003, Code.Unavailable, 503],
  ["CommitLogFailed", 2004, Code.Internal, 500],
  ["MemTableFailed", 2005, Code.Internal, 500],
  ["SSTableFailed", 2006, Code.Internal, 500],
  ["CorruptedData", 2007, Code.DataLoss, 500],
  ["ResourceExhausted", 2008, Code.ResourceExhausted, 429],
];
