/**
 * Failures: what a user sees of an error, on one line, and the exit code.
 * @module
 */
import { Code, ConnectError } from "@connectrpc/connect";
import { encodeContext } from "../client/mod.ts";
import { clockSize, ContextMismatch, type ErrorName, PairError } from "../model/mod.ts";
import { DiskError, type Errno } from "../runtime/mod.ts";
import { UsageError } from "./shell.ts";

const DISK_ROWS: Readonly<Partial<Record<Errno, ErrorName>>> = {
  ENOSPC: "DiskFull",
  EAGAIN: "Unavailable",
  EEXIST: "InvalidArgument",
  ENOENT: "InvalidArgument",
  ENOTDIR: "InvalidArgument",
  EISDIR: "InvalidArgument",
  EACCES: "SSTableFailed",
  EROFS: "SSTableFailed",
  EIO: "SSTableFailed",
};

/** Of a process that a broken pipe ended, as shells tell it. */
const SIGPIPE_CODE = 128 + 13;

/** The exit code for an error: 2 for bad usage, that of SIGPIPE when the reader has gone, 1 for all others. */
export function exitCodeOf(error: unknown): number {
  if (isBrokenPipe(error)) return SIGPIPE_CODE;
  return error instanceof UsageError ? 2 : 1;
}

/** The line for an error: `error: <message> (code <number> <NAME>)`; bad usage has no code. */
export function errorLine(error: unknown): string {
  if (error instanceof UsageError) return `error: ${oneLineMessage(error.message)}`;
  const { message, code, error: row } = asPairError(error);
  const present = error instanceof ContextMismatch && clockSize(error.present) > 0
    ? `: it is now ${encodeContext(error.present)}`
    : "";
  return `error: ${oneLineMessage(message)}${present}${hintOf(error)} (code ${code} ${row})`;
}

/** What to do about it, where the server cannot know: it does not tell a stranger how one gets in. */
function hintOf(error: unknown): string {
  const cause = error instanceof PairError ? error.cause : undefined;
  if (!(cause instanceof ConnectError)) return "";
  if (cause.code === Code.Unauthenticated) {
    return "; set PAIRDB_TOKEN to a token: `pairdb token create` makes one, where the node's data is";
  }
  return cause.code === Code.PermissionDenied ? "; `pairdb token create --help` has the roles" : "";
}

/** The row of an error that came without one. */
function asPairError(error: unknown): PairError {
  if (error instanceof PairError) return error;
  const message = error instanceof Error ? error.message : String(error);
  const row = error instanceof DiskError ? DISK_ROWS[error.errno] : undefined;
  return new PairError(row ?? "Internal", message, {}, { cause: error });
}

/** Whether whoever read our output has gone, as `head` does: no failure of ours, and nobody to tell. */
export function isBrokenPipe(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "EPIPE";
}

/** Where an error comes from, with its causes: for --verbose. */
export function stackOf(error: unknown): string {
  const parts: string[] = [];
  for (let at = error; at instanceof Error && parts.length < 8; at = at.cause) {
    parts.push(at.stack ?? `${at.name}: ${at.message}`);
  }
  return parts.join("\ncaused by: ");
}

function oneLineMessage(message: string): string {
  // deno-lint-ignore no-control-regex -- finding control characters is the purpose
  return message.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, " ").trim();
}
