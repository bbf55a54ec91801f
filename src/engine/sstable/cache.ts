/**
 * Block cache: verified data blocks of all tables, up to a number of bytes.
 *
 * Each table keeps its own slots, so a look-up is an array access and a block can never be taken for
 * one of another table. Eviction is CLOCK (Corbató 1968): a hand goes round, spares once what was used
 * since its last visit, and drops the rest.
 *
 * Buffers of dropped blocks are used again. A look-up ends before the next one begins, so that nobody looks
 * into a block that was only looked up by the time that it is dropped. One that was lent to a walk may be looked
 * into for as long as the walk lasts: it is left to the garbage collector.
 * @module
 */
import { BlockMemory } from "./block_memory.ts";

const USED = 1;
const WALKED = 2;
const LENT = 4;
/** Buffers kept for the next blocks when the cache is full, in bytes. */
const SPARE = 64 * 1024;

/** One table's blocks. */
export interface CachedBlocks {
  readonly blocks: (Uint8Array | undefined)[];
  /**
   * Bits: {@link USED}, the block was used since the hand came by; {@link LENT}, somebody may still look into it;
   * {@link WALKED}, a walk passed by when it was not here.
   */
  readonly marks: Uint8Array;
  alive: boolean;
}

/** Owner of a place that a block left for the one that is coming. */
const VACANT: CachedBlocks = Object.freeze({
  blocks: [],
  marks: new Uint8Array(0),
  alive: false,
});

/** Blocks in memory. */
export class BlockCache {
  /** Where blocks that are going to be kept come from. */
  readonly memory = new BlockMemory();
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
    this.memory.trim(Math.max(0, bytes - this.#bytes));
    if (this.#bytes <= bytes) return;
    while (this.#bytes > bytes) this.#evict();
    this.memory.trim(0);
    // The places that became vacant.
    this.#dropDead();
  }
  /** Bytes kept now, the unused ends of their buffers among them. */
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
    return { blocks: new Array(blocks), marks: new Uint8Array(blocks), alive: true };
  }

  /**
   * A block, if it is here.
   * @param lend  it is looked into for longer than until the next call
   */
  get(table: CachedBlocks, index: number, lend = true): Uint8Array | undefined {
    const block = table.blocks[index];
    if (block === undefined) {
      this.#misses++;
      return undefined;
    }
    this.#hits++;
    table.marks[index] |= lend ? USED | LENT : USED;
    return block;
  }

  /**
   * Whether a block that a long walk has read is to be kept: when one has come by before, and there is room
   * without dropping another. A walk that comes once has no use for it, and must not push out what others use.
   */
  admits(table: CachedBlocks, index: number, bytes: number): boolean {
    const before = table.marks[index] === WALKED;
    table.marks[index] = WALKED;
    return before && this.#bytes + bytes <= this.#capacity;
  }

  /**
   * Keeps a block that is not here yet, in a buffer of its own.
   * @param lend  as for `get`
   */
  put(table: CachedBlocks, index: number, block: Uint8Array, lend = true): void {
    const { byteLength } = block.buffer;
    if (!table.alive || byteLength > this.#capacity) return;
    let place = -1;
    while (this.#bytes + byteLength > this.#capacity) {
      const free = this.#evict();
      place = place < 0 ? free : this.#unlink(free, place);
    }
    if (place < 0) place = this.#owners.length;
    this.#owners[place] = table;
    this.#indexes[place] = index;
    table.blocks[index] = block;
    table.marks[index] = lend ? LENT : 0;
    this.#bytes += byteLength;
    this.memory.trim(Math.max(SPARE, this.#capacity - this.#bytes));
  }

  /** Drops a table's blocks. */
  forget(table: CachedBlocks): void {
    table.alive = false;
    for (let i = 0; i < table.blocks.length; i++) {
      if (table.blocks[i] === undefined) continue;
      this.#drop(table, i);
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
      if (table.alive && (table.marks[index] & USED) !== 0) {
        table.marks[index] &= ~USED;
        continue;
      }
      if (table.alive) this.#drop(table, index);
      else this.#dead--;
      this.#owners[place] = VACANT;
      return place;
    }
  }

  #drop(table: CachedBlocks, index: number): void {
    const block = table.blocks[index]!;
    this.#bytes -= block.buffer.byteLength;
    table.blocks[index] = undefined;
    if ((table.marks[index] & LENT) === 0) this.memory.give(block);
    table.marks[index] = 0;
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
