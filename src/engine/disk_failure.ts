/**
 * A failed call of the disk: the row of its error, and the words of the operation that needed it.
 * @module
 */
import { PairError } from "../model/mod.ts";
import { DiskError, type Errno } from "../runtime/mod.ts";

/** What an errno means to people. */
const WORDS: Readonly<Partial<Record<Errno, string>>> = {
  EACCES: "permission denied",
  EROFS: "the file system is read-only",
  ENOSPC: "the disk is full",
  EISDIR: "a directory is in the way",
  EEXIST: "a file is in the way",
  ENOTDIR: "a file is in the way",
};
/** Something else has the place of what was looked for. */
const IN_THE_WAY: readonly Errno[] = ["EISDIR", "EEXIST", "ENOTDIR"];

/** The row of a failed write: a full disk wants room, any other failure somebody to look at it. @param errno  as in DiskError */
export function rowOf(errno: unknown): "DiskFull" | "SSTableFailed" {
  return errno === "ENOSPC" ? "DiskFull" : "SSTableFailed";
}

/**
 * Whether a write failed for want of room alone: what it had to say is not on the disk, all of it is known,
 * and it can be said again. A sync that fails so is no such case: what it covers may be gone.
 */
export function isShortOfRoom(error: unknown): boolean {
  if (error instanceof PairError) return error.error === "DiskFull" && isShortOfRoom(error.cause);
  if (!(error instanceof DiskError) || error.errno !== "ENOSPC") return false;
  return error.call === "append" || error.call === "create";
}

/**
 * The error to throw in place of what an operation caught.
 * @param what  the operation and its object: `open /var/lib/pairdb`
 * @returns a PairError with the file for a DiskError; anything else as it is
 */
export function diskFailure(what: string, error: unknown): unknown {
  if (!(error instanceof DiskError)) return error;
  const { call, path: file, errno } = error;
  const words = WORDS[errno] ?? `${call} failed with ${errno}`;
  const row = IN_THE_WAY.includes(errno) ? "CorruptedData" : rowOf(errno);
  return new PairError(row, `Cannot ${what}: ${file}: ${words}`, { file, errno }, { cause: error });
}
