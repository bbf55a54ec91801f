/**
 * Lines: a stream of bytes cut at newlines, one line in memory at a time.
 * @module
 */
import { PairError } from "../model/mod.ts";

/** One line, without its newline. */
export interface Line {
  /** From 1. */
  readonly number: number;
  readonly bytes: Uint8Array;
  /** Bytes of the stream up to and with the newline. */
  readonly end: number;
}

const NEWLINE = 0x0a;

/**
 * Cuts a stream into lines. A last line without a newline counts; an empty end does not.
 * @param limit  bytes of a line at most
 * @throws PairError InvalidArgument (1000) for a longer one
 */
export async function* splitLines(
  chunks: AsyncIterable<Uint8Array>,
  limit: number,
): AsyncGenerator<Line> {
  let parts: Uint8Array[] = [];
  let length = 0;
  let number = 1;
  let end = 0;
  const take = (part: Uint8Array) => {
    length += part.length;
    if (length > limit) {
      throw new PairError("InvalidArgument", `line ${number}: it is longer than ${limit} bytes`);
    }
    parts.push(part);
  };
  for await (const chunk of chunks) {
    let at = 0;
    for (;;) {
      const newline = chunk.indexOf(NEWLINE, at);
      if (newline < 0) break;
      take(chunk.subarray(at, newline));
      at = newline + 1;
      end += length + 1;
      yield { number: number++, bytes: join(parts, length), end };
      parts = [];
      length = 0;
    }
    if (at < chunk.length) take(chunk.subarray(at));
  }
  if (length > 0) yield { number, bytes: join(parts, length), end: end + length };
}

function join(parts: readonly Uint8Array[], length: number): Uint8Array {
  if (parts.length === 1) return parts[0];
  const all = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
