/**
 * Input: files and standard input, with failures that name them.
 * @module
 */
import { PairError } from "../model/mod.ts";
import type { Process } from "../runtime/mod.ts";

/**
 * The bytes of a file or of standard input (`-`), in pieces.
 * @throws PairError InvalidArgument (1000) when it cannot be read
 */
export async function* readChunks(process: Process, path: string): AsyncGenerator<Uint8Array> {
  try {
    yield* process.readChunks(path);
  } catch (cause) {
    throw unreadable(cause);
  }
}

/**
 * All bytes of a file or of standard input.
 * @param limit  bytes at most: what goes beyond is left unread
 * @throws PairError ValueTooLarge (1003) when there are more
 */
export async function readAll(process: Process, path: string, limit: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of readChunks(process, path)) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > limit) {
      throw new PairError(
        "ValueTooLarge",
        `Cannot take the value: it is longer than ${limit} bytes`,
        {
          limit,
        },
      );
    }
  }
  const all = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}

/** The text of a file. @throws PairError InvalidArgument (1000) when it cannot be read */
export function readText(process: Process, path: string): string {
  try {
    return process.readText(path);
  } catch (cause) {
    throw unreadable(cause);
  }
}

function unreadable(cause: unknown): PairError {
  const message = cause instanceof Error ? cause.message : String(cause);
  return new PairError("InvalidArgument", message, {}, { cause });
}
