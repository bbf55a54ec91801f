/**
 * Compression of a table's sections. What a codec writes has neither a length nor a checksum that could be
 * relied upon: the raw length and the checksum stand outside, in the section's trailer.
 * @module
 */
import type { BlockMemory } from "../block_memory.ts";
import { lz4Decompress, Lz4Encoder } from "./lz4.ts";
import { snappyDecompress, SnappyEncoder } from "./snappy.ts";
import { zstdCompress, zstdDecompress } from "./zstd.ts";

/** How the sections of a table are compressed. */
export type Compression = "none" | "lz4" | "snappy" | "zstd";

/** All of them; the place in this list is the byte on disk. */
export const COMPRESSIONS: readonly Compression[] = ["none", "lz4", "snappy", "zstd"];

/** LZ4 cannot make more than this many bytes of one; Snappy makes fewer. */
const EXPANSION_MAX = 255;

/** Compresses sections, one after the other. */
export interface Encoder {
  /**
   * Compresses `from[start, end)` to `into[at, ...)`.
   * @param limit  where the output must end at the latest; at most the length of `into`
   * @returns where the output ended; -1 when it does not fit below the limit
   */
  compress(
    from: Uint8Array,
    start: number,
    end: number,
    into: Uint8Array,
    at: number,
    limit: number,
  ): number;
}

/** An encoder of its own; undefined for none. */
export function encoderFor(compression: Compression): Encoder | undefined {
  if (compression === "lz4") return new Lz4Encoder();
  if (compression === "snappy") return new SnappyEncoder();
  if (compression === "zstd") return new ZstdEncoder();
  return undefined;
}

/**
 * Decompresses `from[start, end)`.
 * @param compression  the byte on disk, not 0
 * @param length       the raw length
 * @param memory       where its buffer comes from, if the codec does not make one itself
 * @returns `length` bytes; undefined when the bytes do not decompress to just as many
 */
export function decompress(
  compression: number,
  from: Uint8Array,
  start: number,
  end: number,
  length: number,
  memory?: BlockMemory,
): Uint8Array | undefined {
  const name = COMPRESSIONS[compression];
  if (name === "zstd") return zstdDecompress(from.subarray(start, end), length);
  // A length that no such input can have is not even allocated.
  if (length > (end - start) * EXPANSION_MAX) return undefined;
  const into = memory?.take(length) ?? new Uint8Array(length);
  const decode = name === "lz4" ? lz4Decompress : name === "snappy" ? snappyDecompress : undefined;
  return decode?.(from, start, end, into, 0, length) ? into : undefined;
}

class ZstdEncoder implements Encoder {
  compress(
    from: Uint8Array,
    start: number,
    end: number,
    into: Uint8Array,
    at: number,
    limit: number,
  ): number {
    const frame = zstdCompress(from.subarray(start, end));
    if (at + frame.length > limit) return -1;
    into.set(frame, at);
    return at + frame.length;
  }
}
