/**
 * Block cache: verified data blocks of all tables, up to a number of bytes.
 *
 * Each table keeps its own slots, so a look-up is an array access and a block can never be taken for
 * one of another table. Eviction is CLOCK (Corbató 1968): a hand goes round, spares once what was used
 * since its last visit, and drops the rest.
 * @module
 */

const USED = 1;
const WALKED = 2;

/** One table's blocks. */
export interface CachedBlocks {
  readonly blocks: (Uint8Array | undefined)[];
  /** {@link USED} where the block was used since the hand came by; {@link WALKED} where a walk passed one that is not here. */
  readonly used: Uint8Array;
  alive: boolean;
}

/** Owner of a place that a block left for the one that is coming. */
const VACANT: CachedBlocks = Object.freeze({
  blocks: [],
  used: new Uint8Array(0),
  alive: false,
});

/** Blocks in memory. */
export class BlockCache {
  #capacity: number;
  // The ring: entry i is block #indexes[i] of table #owners[i].
  readonly #owners: CachedBlocks[] = [];
  readonly #indexes: number[] = [];
  #hand = 0;
  /** Places of forgotten tables. */
  #dead = 0;
  #bytes = 0;
  #hits = 0;
  #misses = 0;

  /** @param capacity  bytes; 0 keeps nothing */
  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** Places in the ring: at most twice the blocks that are kept. */
  get places(): number {
    return this.#owners.length;
  }
  /** Bytes kept at most. */
  get capacity(): number {
    return this.#capacity;
  }
  /** What is over a smaller one goes at once. */
  set capacity(bytes: number) {
    this.#capacity = bytes;
    if (this.#bytes <= bytes) return;
    while (this.#bytes > bytes) this.#evict();
    // The places that became vacant.
    this.#dropDead();
  }
  /** Bytes kept now. */
  get bytes(): number {
    return this.#bytes;
  }
  /** Look-ups that found their block. */
  get hits(): number {
    return this.#hits;
  }
  /** Look-ups that did not. */
  get misses(): number {
    return this.#misses;
  }

  /** Slots for a table of `blocks` blocks. */
  register(blocks: number): CachedBlocks {
    return { blocks: new Array(blocks), used: new Uint8Array(blocks), alive: true };
  }

  /** A block, if it is here. */
  get(table: CachedBlocks, index: number): Uint8Array | undefined {
    const block = table.blocks[index];
    if (block === undefined) {
      this.#misses++;
      return undefined;
    }
    this.#hits++;
    table.used[index] = USED;
    return block;
  }

  /**
   * Whether a block that a long walk has read is to be kept: when one has come by before, and there is room
   * without dropping another. A walk that comes once has no use for it, and must not push out what others use.
   */
  admits(table: CachedBlocks, index: number, bytes: number): boolean {
    const before = table.used[index] === WALKED;
    table.used[index] = WALKED;
    return before && this.#bytes + bytes <= this.#capacity;
  }

  /** Keeps a block that is not here yet. */
  put(table: CachedBlocks, index: number, block: Uint8Array): void {
    if (!table.alive || block.length > this.#capacity) return;
    let place = -1;
    while (this.#bytes + block.length > this.#capacity) {
      const free = this.#evict();
      place = place < 0 ? free : this.#unlink(free, place);
    }
    if (place < 0) place = this.#owners.length;
    this.#owners[place] = table;
    this.#indexes[place] = index;
    table.blocks[index] = block;
    this.#bytes += block.length;
  }

  /** Drops a table's blocks. */
  forget(table: CachedBlocks): void {
    table.alive = false;
    for (let i = 0; i < table.blocks.length; i++) {
      const block = table.blocks[i];
      if (block === undefined) continue;
      this.#bytes -= block.length;
      table.blocks[i] = undefined;
      this.#dead++;
    }
    // Their places stay until they are half of the ring: looking for them each time would cost more.
    if (this.#dead * 2 > this.#owners.length) this.#dropDead();
  }

  /** Drops one block that was not used since the hand came by; returns its place, which is vacant now. */
  #evict(): number {
    for (;;) {
      if (this.#hand >= this.#owners.length) this.#hand = 0;
      const place = this.#hand++;
      const table = this.#owners[place];
      const index = this.#indexes[place];
      if (table === VACANT) continue;
      if (table.alive && table.used[index] === USED) {
        table.used[index] = 0;
        continue;
      }
      if (table.alive) {
        this.#bytes -= table.blocks[index]!.length;
        table.blocks[index] = undefined;
      } else {
        this.#dead--;
      }
      this.#owners[place] = VACANT;
      return place;
    }
  }

  /** Gives up one of two vacant places: the last place of the ring moves there. Returns the other. */
  #unlink(place: number, other: number): number {
    const owner = this.#owners.pop()!;
    const index = this.#indexes.pop()!;
    const last = this.#owners.length;
    if (place === last) return other;
    if (other === last) return place;
    this.#owners[place] = owner;
    this.#indexes[place] = index;
    return other;
  }

  /** Closes the gaps that forgotten tables left. */
  #dropDead(): void {
    let kept = 0;
    let hand = 0;
    for (let i = 0; i < this.#owners.length; i++) {
      if (i === this.#hand) hand = kept;
      if (!this.#owners[i].alive) continue;
      this.#owners[kept] = this.#owners[i];
      this.#indexes[kept++] = this.#indexes[i];
    }
    this.#owners.length = kept;
    this.#indexes.length = kept;
    this.#hand = hand;
    this.#dead = 0;
  }
}
