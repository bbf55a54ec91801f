/**
 * Read-ahead: a walk over a table reads a piece of the file at a time rather than a block.
 *
 * It begins once a cursor has gone on through several blocks: short scans read just what they show. Blocks that are read ahead are verified like all others when the walk comes
 * to them. They go into the cache only when a walk has come by before, and while there is room: a long
 * scan must not push out what others need, for blocks that nobody may come back to.
 * @module
 */

/** Bytes read at once. Each cursor of a long scan holds a piece. */
const PIECE_BYTES = 32 * 1024;
/** Blocks that a walk goes on to before it reads ahead. */
const BLOCKS_ALONE = 4;

/** What one cursor has read ahead. */
export class ReadAhead {
  #bytes: Uint8Array | undefined;
  #offset = 0;
  #blocks = 0;

  /** A walk begins, perhaps elsewhere. */
  begins(): void {
    this.#blocks = 0;
  }

  /** The walk goes on to the next block; whether it is long enough to read on behind that. */
  goesOn(): boolean {
    return ++this.#blocks > BLOCKS_ALONE;
  }

  /** Bytes of the file, when they lie in the piece. */
  take(offset: number, count: number): Uint8Array | undefined {
    const at = offset - this.#offset;
    if (this.#bytes === undefined || at < 0 || at + count > this.#bytes.length) return undefined;
    return this.#bytes.subarray(at, at + count);
  }

  /**
   * Reads the piece from `offset` on.
   * @param read  fills an array from an offset in the file, or throws
   * @param end   where what may be read ends
   */
  fill(read: (into: Uint8Array, offset: number) => void, offset: number, end: number): void {
    // A new array each time: values of the one before may still be shown.
    const bytes = new Uint8Array(Math.min(PIECE_BYTES, end - offset));
    read(bytes, offset);
    this.#bytes = bytes;
    this.#offset = offset;
  }

  /** Lets go of the piece. */
  drop(): void {
    this.#bytes = undefined;
    this.#blocks = 0;
  }
}
