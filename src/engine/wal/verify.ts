/**
 * Verifying a closed segment where it lies, a part at a time: every frame up to the length that counts.
 * No key is needed, and nothing is made of what is read.
 * @module
 */
import { PairError } from "../../model/mod.ts";
import type { Disk } from "../../runtime/mod.ts";
import { decodeHeader, HEADER_SIZE, headerSize, isCopySound } from "./format.ts";
import { SegmentFile } from "./segment_file.ts";

/** Bytes of a window: parts are small, and each begins with one. */
const WINDOW_BYTES = 256 * 1024;

/**
 * Verifies frames from an offset on.
 * @param from      0, or what an earlier call returned
 * @param bytes     bytes that count; undefined when nobody knows: then what cannot be read at the very end is
 *   taken for the torn tail of a crash
 * @param bytesMax  it stops behind the frame that takes it this far
 * @returns where to go on; undefined at the end
 * @throws PairError CorruptedData for what is damaged or missing; DiskError
 */
export function verifySegmentPart(
  disk: Disk,
  path: string,
  number: number,
  from: number,
  bytes: number | undefined,
  bytesMax: number,
): number | undefined {
  const file = new SegmentFile(disk, path, bytes, WINDOW_BYTES);
  try {
    if (bytes !== undefined && file.size < bytes) {
      throw damaged(path, file.size, `it ends there, and had ${bytes} bytes`);
    }
    const header = decodeHeader(path, number, file.head(HEADER_SIZE));
    if (header === undefined) throw damaged(path, 0, "its header cannot be read");
    const start = headerSize(header);
    if (from === 0 && file.size > start && !isCopySound(path, number, file.head(start))) {
      throw damaged(path, 0, "one of its headers cannot be read");
    }
    file.salt = header.salt;
    let at = Math.max(from, start);
    while (at < file.size) {
      if (at - from >= bytesMax) return at;
      if (!file.load(at)) {
        if (bytes === undefined && file.find(at + 1) === undefined) return undefined;
        throw damaged(path, at, "a frame is damaged");
      }
      at = file.end;
    }
    return undefined;
  } finally {
    file.close();
  }
}

/**
 * The segment before one, and how long that was when this one was begun; undefined when its header cannot
 * be read.
 * @throws PairError InvalidArgument for a newer format; DiskError
 */
export function predecessorOf(
  disk: Disk,
  path: string,
  number: number,
): { number: number; bytes: number } | undefined {
  const file = new SegmentFile(disk, path, HEADER_SIZE);
  try {
    const header = decodeHeader(path, number, file.head(HEADER_SIZE));
    return header && { number: header.previous, bytes: header.previousLength };
  } finally {
    file.close();
  }
}

function damaged(file: string, offset: number, why: string): PairError {
  return new PairError("CorruptedData", `Cannot read ${file} at ${offset}: ${why}`, {
    file,
    offset,
  });
}
