/**
 * Block memory: buffers of blocks that left the cache, for the blocks that come into it.
 *
 * While tables are rewritten under readers, every block in the cache is soon one of a table that is gone. Each
 * with a buffer of its own would be old garbage by then, tens of megabytes a second of it, and only a
 * collection of the whole heap, which stops the thread, gives that back. So buffers come in sizes of whole
 * kilobytes, and one that nobody looks into any more is taken again.
 * @module
 */

/** Buffers are multiples of this. */
const UNIT = 1024;
/** Larger blocks are rare: their buffers are not kept. */
const UNITS_MAX = 16;

/** Buffers to use again, up to a number of bytes. */
export class BlockMemory {
  // One stack for each size, in units.
  readonly #free: ArrayBuffer[][] = Array.from({ length: UNITS_MAX + 1 }, () => []);
  #bytes = 0;

  /** Bytes that lie ready. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Room for a block, whatever was in it before. */
  take(count: number): Uint8Array<ArrayBuffer> {
    const units = Math.ceil(count / UNIT);
    if (units > UNITS_MAX) return new Uint8Array(count);
    const buffer = this.#free[units].pop();
    if (buffer === undefined) return new Uint8Array(new ArrayBuffer(units * UNIT), 0, count);
    this.#bytes -= buffer.byteLength;
    return new Uint8Array(buffer, 0, count);
  }

  /** Takes the buffer of a block back, of which nobody has a view any more. */
  give({ buffer, byteOffset }: Uint8Array): void {
    const units = buffer.byteLength / UNIT;
    // Blocks that did not come from here, of a codec that makes its own, are left to the collector.
    if (byteOffset !== 0 || !Number.isInteger(units) || units > UNITS_MAX) return;
    this.#free[units].push(buffer as ArrayBuffer);
    this.#bytes += buffer.byteLength;
  }

  /** Gives up what is over a number of bytes. */
  trim(most: number): void {
    for (let units = UNITS_MAX; this.#bytes > most; units--) {
      const free = this.#free[units];
      while (this.#bytes > most && free.length > 0) this.#bytes -= free.pop()!.byteLength;
    }
  }
}
