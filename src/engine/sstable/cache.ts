/**
 * Block cache: verified data blocks of all tables, up to a number of bytes.
 *
 * Each table keeps its own slots, so a look-up is an array access and a block can never be taken for
 * one of another table. Eviction is CLOCK (Corbató 1968): a hand goes round, spares once what was used
 * since its last visit, and drops the rest.
 * @module
 */

/** One table's blocks. */
export interface CachedBlocks {
  readonly blocks: (Uint8Array | undefined)[];
  /** 1 where the block was used since the hand came by. */
  readonly used: Uint8Array;
  alive: boolean;
}

/** Blocks in memory. */
export class BlockCache {
  readonly #capacity: number;
  // The ring: entry i is block #indexes[i] of table #owners[i].
  readonly #owners: CachedBlocks[] = [];
  readonly #indexes: number[] = [];
  #hand = 0;
  #bytes = 0;
  #hits = 0;
  #misses = 0;

  /** @param capacity  bytes; 0 keeps nothing */
  constructor(capacity: number) {
    this.#capacity = capacity;
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
    table.used[index] = 1;
    return block;
  }

  /** Keeps a block that is not here yet. */
  put(table: CachedBlocks, index: number, block: Uint8Array): void {
    if (!table.alive || block.length > this.#capacity) return;
    while (this.#bytes + block.length > this.#capacity) this.#evict();
    this.#sweep();
    table.blocks[index] = block;
    this.#bytes += block.length;
    this.#owners.push(table);
    this.#indexes.push(index);
  }

  /** Drops a table's blocks. The hand removes their places in the ring as it passes. */
  forget(table: CachedBlocks): void {
    table.alive = false;
    for (let i = 0; i < table.blocks.length; i++) {
      this.#bytes -= table.blocks[i]?.length ?? 0;
      table.blocks[i] = undefined;
    }
  }

  /** Drops one block that was not used since the hand came by. */
  #evict(): void {
    for (;;) {
      if (this.#hand >= this.#owners.length) this.#hand = 0;
      const table = this.#owners[this.#hand];
      const index = this.#indexes[this.#hand];
      if (table.alive && table.used[index] === 1) {
        table.used[index] = 0;
        this.#hand++;
        continue;
      }
      this.#bytes -= table.blocks[index]?.length ?? 0;
      table.blocks[index] = undefined;
      return this.#unlink(this.#hand);
    }
  }

  /** Looks at two places for forgotten tables, so that the ring stays as small as what it holds. */
  #sweep(): void {
    for (let i = 0; i < 2 && this.#owners.length > 0; i++) {
      if (this.#hand >= this.#owners.length) this.#hand = 0;
      if (this.#owners[this.#hand].alive) this.#hand++;
      else this.#unlink(this.#hand);
    }
  }

  /** The last place takes the empty one: the order of the ring changes a little, the cost stays O(1). */
  #unlink(place: number): void {
    const owner = this.#owners.pop()!;
    const index = this.#indexes.pop()!;
    if (place === this.#owners.length) return;
    this.#owners[place] = owner;
    this.#indexes[place] = index;
  }
}
