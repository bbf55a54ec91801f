/**
 * A failed call of the disk, in the words of the operation that needed it.
 * @module
 */
import { type ErrorName, PairError } from "../model/mod.ts";
import { DiskError, type Errno } from "../runtime/mod.ts";

/** What an errno means to people, and the row of its error; others are the disk's own trouble. */
const MEANINGS: Readonly<Partial<Record<Errno, readonly [words: string, row: ErrorName]>>> = {
  EACCES: ["permission denied", "SSTableFailed"],
  EROFS: ["the file system is read-only", "SSTableFailed"],
  ENOSPC: ["the disk is full", "DiskFull"],
  EISDIR: ["a directory is in the way", "CorruptedData"],
  EEXIST: ["a file is in the way", "CorruptedData"],
  ENOTDIR: ["a file is in the way", "CorruptedData"],
};

/**
 * The error to throw in place of what an operation caught.
 * @param what  the operation and its object: `open /var/lib/pairdb`
 * @returns a PairError with the file for a DiskError; anything else as it is
 */
export function diskFailure(what: string, error: unknown): unknown {
  if (!(error instanceof DiskError)) return error;
  const { call, path: file, errno } = error;
  const [words, row] = MEANINGS[errno] ?? [`${call} failed with ${errno}`, "SSTableFailed"];
  return new PairError(row, `Cannot ${what}: ${file}: ${words}`, { file, errno }, { cause: error });
}
