/**
 * Table cursor: a walk over one table, block after block.
 * @module
 */
import type { EntryKind } from "../api.ts";
import type { EntryCursor } from "../cursor.ts";
import { BlockCursor } from "./block.ts";
import { ReadAhead } from "./read_ahead.ts";
import type { TableReader } from "./reader.ts";

/** A cursor over a table, block after block. */
export class TableCursor implements EntryCursor {
  readonly #table: TableReader;
  readonly #block = new BlockCursor();
  readonly #ahead = new ReadAhead();
  readonly #lends: boolean;
  #index = -1;

  /** @param lends  it stays on a block while others are looked up; otherwise it may not be used any more then */
  constructor(table: TableReader, lends: boolean) {
    this.#table = table;
    this.#lends = lends;
  }

  get valid(): boolean {
    return this.#block.valid;
  }
  get keyBuffer(): Uint8Array {
    return this.#block.keyBuffer;
  }
  get keyStart(): number {
    return 0;
  }
  get keyEnd(): number {
    return this.#block.keyEnd;
  }
  get seq(): number {
    return this.#block.seq;
  }
  get kind(): EntryKind {
    return this.#block.kind;
  }
  get valueBuffer(): Uint8Array {
    return this.#block.valueBuffer;
  }
  get valueStart(): number {
    return this.#block.valueStart;
  }
  get valueEnd(): number {
    return this.#block.valueEnd;
  }

  /** Whether the present entry has this key. */
  isAt(key: Uint8Array): boolean {
    const block = this.#block;
    if (block.keyEnd !== key.length) return false;
    const buffer = block.keyBuffer;
    // From the end: keys of one block differ there.
    for (let i = key.length - 1; i >= 0; i--) if (buffer[i] !== key[i]) return false;
    return true;
  }

  seekFirst(): void {
    if (this.#enter(0)) this.#block.seekFirst();
  }

  seek(key: Uint8Array, seq: number): void {
    if (!this.#enter(this.#table.blockFor(key))) return;
    this.#block.seek(key, seq);
    // Every version of the key in this block may be newer than asked for: go on in the next.
    while (!this.#block.valid && this.#enter(this.#index + 1)) this.#block.seek(key, seq);
  }

  seekLast(): void {
    if (this.#enter(this.#table.blocks - 1)) this.#block.seekLast();
  }

  seekBefore(key: Uint8Array): void {
    const index = this.#table.blockFor(key);
    if (index === this.#table.blocks) return this.seekLast();
    this.#enter(index);
    this.#block.seekBefore(key);
    // The block before ends below the key.
    if (!this.#block.valid && this.#enter(index - 1)) this.#block.seekLast();
  }

  next(): void {
    this.#block.next();
    if (!this.#block.valid && this.#enter(this.#index + 1, this.#ahead)) this.#block.seekFirst();
  }

  prev(): void {
    this.#block.prev();
    if (!this.#block.valid && this.#enter(this.#index - 1)) this.#block.seekLast();
  }

  close(): void {
    this.#block.close();
    this.#ahead.drop();
    this.#table.giveBack(this);
  }

  /**
   * Loads a block; outside the table the cursor becomes invalid.
   * @param ahead  when the cursor comes from the block before
   */
  #enter(index: number, ahead?: ReadAhead): boolean {
    if (index < 0 || index >= this.#table.blocks) {
      this.#block.valid = false;
      this.#index = -1;
      return false;
    }
    if (
      index !== this.#index || !this.#lends && !this.#table.keeps(index, this.#block.valueBuffer)
    ) {
      this.#index = -1;
      if (ahead === undefined) this.#ahead.begins();
      // Only a walk reads ahead.
      this.#table.loadBlock(index, this.#block, this.#lends, this.#lends ? ahead : undefined);
      this.#index = index;
    }
    return true;
  }
}
