/**
 * Copies of values, for callers to keep.
 *
 * A typed array of its own costs its memory's allocation, about half a microsecond; a view into memory that
 * is there costs a tenth. So small copies are cut from a common block. Whoever keeps one keeps its block:
 * small enough that this is no matter, as with Buffer.poolSize in Node.js.
 * @module
 */

const BLOCK = 16384;
/** Larger values get memory of their own. */
const POOLED_MAX = 2048;

/** Makes copies. */
export class Copies {
  #block = new ArrayBuffer(0);
  #used = 0;

  /** The bytes from `start` to `end`, copied: nobody else writes to them. */
  copy(buffer: Uint8Array, start: number, end: number): Uint8Array {
    const length = end - start;
    if (length > POOLED_MAX) return buffer.slice(start, end);
    if (this.#used + length > this.#block.byteLength) {
      this.#block = new ArrayBuffer(BLOCK);
      this.#used = 0;
    }
    const copy = new Uint8Array(this.#block, this.#used, length);
    copy.set(buffer.subarray(start, end));
    this.#used += length;
    return copy;
  }
}
