/**
 * Cuts a stream of bytes into frames. Whole frames are shown where they lie in the chunk; only one that
 * is cut by a chunk's end is copied together. What a receiver keeps of a payload stays as it is: no
 * buffer is used twice.
 * @module
 */
import {
  ERROR,
  FRAME_HEADER_BYTES,
  Http2Error,
  MAX_FRAME_BYTES,
  readUint24,
  readUint31,
} from "./frames.ts";

/** Takes one frame: its payload is `bytes[start, end)`. */
export type TakeFrame = (
  type: number,
  flags: number,
  streamId: number,
  bytes: Uint8Array,
  start: number,
  end: number,
) => void;

/** The bytes of one connection, from the end of the preface on. */
export class FrameReader {
  readonly #take: TakeFrame;
  /** A frame that is not whole yet. As long as its header is not, there is room for that only. */
  #part = new Uint8Array(FRAME_HEADER_BYTES);
  #partBytes = 0;
  #stopped = false;

  constructor(take: TakeFrame) {
    this.#take = take;
  }

  /** Gives no frame any more, not even of the chunk that is being read. */
  stop(): void {
    this.#stopped = true;
  }

  /**
   * Takes the next bytes.
   * @param onError  told of what `take` threw; reading goes on with the next frame
   * @throws Http2Error FRAME_SIZE_ERROR for a frame larger than 16 KiB, before its payload has come
   */
  read(chunk: Uint8Array, onError: (error: unknown) => void): void {
    let at = this.#partBytes > 0 ? this.#complete(chunk, onError) : 0;
    while (!this.#stopped) {
      const left = chunk.length - at;
      if (left === 0) return;
      if (left < FRAME_HEADER_BYTES) break;
      const start = at + FRAME_HEADER_BYTES;
      const end = start + sizeOf(chunk, at);
      if (end > chunk.length) break;
      this.#give(chunk, at, start, end, onError);
      at = end;
    }
    if (!this.#stopped) this.#keep(chunk, at);
  }

  /** Adds to the frame that is not whole yet. @returns how much of the chunk was taken */
  #complete(chunk: Uint8Array, onError: (error: unknown) => void): number {
    let at = 0;
    if (this.#partBytes < FRAME_HEADER_BYTES) {
      at = this.#append(chunk, 0, FRAME_HEADER_BYTES);
      if (this.#partBytes < FRAME_HEADER_BYTES) return at;
      this.#part = grown(this.#part, FRAME_HEADER_BYTES + sizeOf(this.#part, 0));
    }
    at += this.#append(chunk, at, this.#part.length);
    if (this.#partBytes < this.#part.length) return at;
    const frame = this.#part;
    this.#part = new Uint8Array(FRAME_HEADER_BYTES);
    this.#partBytes = 0;
    this.#give(frame, 0, FRAME_HEADER_BYTES, frame.length, onError);
    return at;
  }

  /** Copies from `chunk[at]` until the part has `size` bytes. @returns how many were copied */
  #append(chunk: Uint8Array, at: number, size: number): number {
    const count = Math.min(size - this.#partBytes, chunk.length - at);
    this.#part.set(chunk.subarray(at, at + count), this.#partBytes);
    this.#partBytes += count;
    return count;
  }

  #keep(chunk: Uint8Array, at: number): void {
    const left = chunk.length - at;
    if (left >= FRAME_HEADER_BYTES) {
      this.#part = new Uint8Array(FRAME_HEADER_BYTES + sizeOf(chunk, at));
    }
    this.#append(chunk, at, this.#part.length);
  }

  #give(
    bytes: Uint8Array,
    at: number,
    start: number,
    end: number,
    onError: (error: unknown) => void,
  ): void {
    try {
      this.#take(bytes[at + 3], bytes[at + 4], readUint31(bytes, at + 5), bytes, start, end);
    } catch (error) {
      onError(error);
    }
  }
}

function sizeOf(bytes: Uint8Array, at: number): number {
  const size = readUint24(bytes, at);
  if (size <= MAX_FRAME_BYTES) return size;
  throw new Http2Error(ERROR.FRAME_SIZE_ERROR, `a frame of ${size} bytes is too large`);
}

function grown(bytes: Uint8Array, size: number): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(size);
  larger.set(bytes);
  return larger;
}
