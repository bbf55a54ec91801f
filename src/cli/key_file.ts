/**
 * The key file: 64 hexadecimal digits that encrypt a store, and a line feed if one likes.
 * @module
 */
import { PairError } from "../model/mod.ts";
import { KEY_BYTES, type Process } from "../runtime/mod.ts";
import { readText } from "./input.ts";

/** A key and what is to be said about where it came from. */
export interface KeyFile {
  readonly key: Uint8Array;
  /** Others than the owner may read the file. */
  readonly exposed: boolean;
}

/**
 * Reads a key file.
 * @returns undefined when `path` is empty: no encryption
 * @throws PairError InvalidArgument (1000) when it cannot be read or holds no key; never with any of its contents
 */
export function readKeyFile(process: Process, path: string): KeyFile | undefined {
  if (path === "") return undefined;
  let text: string;
  try {
    text = readText(process, path).trim();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new PairError("InvalidArgument", `Cannot read the key file: ${reason}`, {}, { cause });
  }
  if (!/^[0-9a-fA-F]*$/.test(text) || text.length !== 2 * KEY_BYTES) {
    throw new PairError(
      "InvalidArgument",
      `Cannot use the key file ${path}: it does not hold ${2 * KEY_BYTES} hexadecimal digits`,
    );
  }
  const mode = process.fileMode(path);
  return { key: Uint8Array.fromHex(text), exposed: mode !== undefined && (mode & 0o077) !== 0 };
}

/** The key for `check` and `dump`; warns on standard error when others can read it. */
export function keyOf(process: Process, path: string | undefined): Uint8Array | undefined {
  const file = readKeyFile(process, path ?? "");
  if (file?.exposed === true) {
    process.err(`warning: ${path} can be read by others than its owner\n`);
  }
  return file?.key;
}
