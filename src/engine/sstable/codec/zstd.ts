/**
 * Zstandard (RFC 8878), by the library that the runtime has built in.
 *
 * The library takes a cut frame for a whole one and returns what it has, without an error: the length of
 * what comes out says whether it was all.
 * @module
 */
import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";

/** Level 1: at 64 KiB it costs no more than LZ4, and higher levels save little. */
const COMPRESS = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };

/** Level 1 looks back 2^19 bytes at most; a damaged frame must not make the library take memory for more. */
const DECOMPRESS = { params: { [constants.ZSTD_d_windowLogMax]: 20 } };

/** The frame of some bytes. */
export function zstdCompress(bytes: Uint8Array): Uint8Array {
  return zstdCompressSync(bytes, COMPRESS);
}

/** What a frame holds; undefined when it is damaged or does not hold `length` bytes. */
export function zstdDecompress(frame: Uint8Array, length: number): Uint8Array | undefined {
  let raw: Uint8Array;
  try {
    raw = zstdDecompressSync(frame, { ...DECOMPRESS, maxOutputLength: Math.max(1, length) });
  } catch (error) {
    // It says "damaged" and "holds more" by plain errors; a TypeError would be our own mistake.
    if (!(error instanceof Error) || error instanceof TypeError) throw error;
    return undefined;
  }
  // A copy of its own: the library's result is a Buffer, which is another class than all other blocks have,
  // and may be a view of more memory than it shows.
  return raw.length === length ? new Uint8Array(raw) : undefined;
}
