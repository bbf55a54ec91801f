/**
 * Where four bytes were last seen: the memory of the LZ77 compressors.
 *
 * The table outlives its blocks. A position is stored above a base that moves on with each block, so that
 * what earlier blocks left behind lies below the base and is no match: nothing is cleared between blocks,
 * which would cost more than compressing a small one.
 * @module
 */

const BITS = 14;
/** Multiplier and shift of the hash: Knuth's multiplicative hashing, as in LZ4 and Snappy. */
export const HASH_MULTIPLIER = 0x9e3779b1 | 0;
export const HASH_SHIFT = 32 - BITS;
/** The table is cleared before positions could leave 31 bits. */
const BASE_MAX = 1 << 30;

/** Positions by hash, and the base that they count from. */
export class MatchTable {
  /** Position plus {@link MatchTable.enter}'s offset, by hash; anything less is of an earlier block. */
  readonly slots = new Int32Array(1 << BITS);
  #base = 1;
  #view: DataView = new DataView(new ArrayBuffer(0));

  /** The memory behind an array, all of it: four bytes in one load. Kept, for blocks come from one buffer. */
  memoryOf(bytes: Uint8Array): DataView {
    if (this.#view.buffer !== bytes.buffer) this.#view = new DataView(bytes.buffer);
    return this.#view;
  }

  /**
   * Starts a block.
   * @param start   where the block begins in its buffer
   * @param length  its bytes
   * @returns what is added to a position before it is stored; a slot less this is below `start` when stale
   */
  enter(start: number, length: number): number {
    if (this.#base + length > BASE_MAX) {
      this.slots.fill(0);
      this.#base = 1;
    }
    const offset = this.#base - start;
    this.#base += length;
    return offset;
  }
}

/**
 * How far two places of a memory hold the same, four bytes at a time.
 * @param a      a place
 * @param b      a place before it
 * @param limit  where `a` must end
 * @returns where `a` ends
 */
export function matchEnd(memory: DataView, a: number, b: number, limit: number): number {
  for (; a + 4 <= limit; a += 4, b += 4) {
    const difference = memory.getInt32(a, true) ^ memory.getInt32(b, true);
    if (difference !== 0) return a + ((31 - Math.clz32(difference & -difference)) >>> 3);
  }
  while (a < limit && memory.getUint8(a) === memory.getUint8(b)) {
    a++;
    b++;
  }
  return a;
}
