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
 *
 * A tree may have a share, which its blocks never exceed: where one more would, a hand of its own goes round and
 * passes by whatever is not the tree's.
 * @module
 */
import { shareOf } from "../cache_share.ts";
import { BlockMemory } from "./block_memory.ts";

const USED = 1;
const WALKED = 2;
const LENT = 4;
/** Buffers kept for the next blocks when the cache is full, in bytes. */
const SPARE = 64 * 1024;

/** What a tree has in the cache. */
interface Account {
  readonly tree: number;
  bytes: number;
  /** Its tables; where there are none, and no share, nothing is to be known of it. */
  tables: number;
  /** Percent of the capacity; undefined: there is no share. */
  percent: number | undefined;
  /** Bytes that it may have. */
  limit: number;
  /** A place in the ring, as the common hand is. */
  hand: number;
}

/** One table's blocks. */
export interface CachedBlocks {
  /** Of its tree. */
  readonly account: Account;
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
  account: accountOf(-1),
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
  readonly #accounts = new Map<number, Account>();

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
    if (bytes !== this.#capacity) {
      this.#capacity = bytes;
      for (const account of this.#accounts.values()) this.#limit(account);
    }
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

  /**
   * Slots for a table of `blocks` blocks.
   * @param tree  whose table it is
   */
  register(blocks: number, tree = 0): CachedBlocks {
    const account = this.#account(tree);
    account.tables++;
    return { account, blocks: new Array(blocks), marks: new Uint8Array(blocks), alive: true };
  }

  /** Bytes that blocks of a tree take. */
  bytesOf(tree: number): number {
    return this.#accounts.get(tree)?.bytes ?? 0;
  }

  /**
   * Bounds what a tree has, from now on; what is over goes at once.
   * @param percent  of the capacity, whatever that is later; undefined: as much as there is
   */
  setShare(tree: number, percent: number | undefined): void {
    if (percent === undefined && !this.#accounts.has(tree)) return;
    const account = this.#account(tree);
    account.percent = percent;
    this.#limit(account);
    this.#endAccount(account);
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
    const { account } = table;
    return before && this.#bytes + bytes <= this.#capacity &&
      account.bytes + bytes <= account.limit;
  }

  /**
   * Keeps a block that is not here yet, in a buffer of its own.
   * @param lend  as for `get`
   */
  put(table: CachedBlocks, index: number, block: Uint8Array, lend = true): void {
    const { byteLength } = block.buffer;
    const { account } = table;
    if (!table.alive || byteLength > this.#capacity || byteLength > account.limit) return;
    let place = -1;
    // Whoever has its share makes room with its own, as far as that goes.
    const isOver = account.bytes + byteLength > account.limit;
    while (
      this.#bytes + byteLength > this.#capacity ||
      (isOver && account.bytes + byteLength > account.limit)
    ) {
      const free = isOver && account.bytes > 0 ? this.#evictOf(account) : this.#evict();
      place = place < 0 ? free : this.#unlink(free, place);
    }
    if (place < 0) place = this.#owners.length;
    this.#owners[place] = table;
    this.#indexes[place] = index;
    table.blocks[index] = block;
    table.marks[index] = lend ? LENT : 0;
    this.#bytes += byteLength;
    account.bytes += byteLength;
    this.memory.trim(Math.max(SPARE, this.#capacity - this.#bytes));
  }

  /** Drops a table's blocks. */
  forget(table: CachedBlocks): void {
    if (!table.alive) return;
    table.alive = false;
    for (let i = 0; i < table.blocks.length; i++) {
      if (table.blocks[i] === undefined) continue;
      this.#drop(table, i);
      this.#dead++;
    }
    // Their places stay until they are half of the ring: looking for them each time would cost more.
    if (this.#dead * 2 > this.#owners.length) this.#dropDead();
    table.account.tables--;
    this.#endAccount(table.account);
  }

  #account(tree: number): Account {
    let account = this.#accounts.get(tree);
    if (account === undefined) this.#accounts.set(tree, account = accountOf(tree));
    return account;
  }

  #endAccount({ tree, tables, percent }: Account): void {
    if (tables === 0 && percent === undefined) this.#accounts.delete(tree);
  }

  /** Sets what an account may have by its share, and drops what is over. */
  #limit(account: Account): void {
    account.limit = shareOf(this.#capacity, account.percent);
    if (account.bytes <= account.limit) return;
    while (account.bytes > account.limit) this.#evictOf(account);
    this.memory.trim(Math.max(0, this.#capacity - this.#bytes));
    // The places that became vacant.
    this.#dropDead();
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

  /** The same of blocks of one tree, which has some. */
  #evictOf(account: Account): number {
    for (;;) {
      if (account.hand >= this.#owners.length) account.hand = 0;
      const place = account.hand++;
      const table = this.#owners[place];
      if (table.account !== account || !table.alive) continue;
      const index = this.#indexes[place];
      if ((table.marks[index] & USED) !== 0) {
        table.marks[index] &= ~USED;
        continue;
      }
      this.#drop(table, index);
      this.#owners[place] = VACANT;
      return place;
    }
  }

  #drop(table: CachedBlocks, index: number): void {
    const block = table.blocks[index]!;
    this.#bytes -= block.buffer.byteLength;
    table.account.bytes -= block.buffer.byteLength;
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

function accountOf(tree: number): Account {
  return { tree, bytes: 0, tables: 0, percent: undefined, limit: Infinity, hand: 0 };
}
