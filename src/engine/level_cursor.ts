/**
 * Level cursor: the tables of a level below 0, which do not overlap, end to end.
 * @module
 */
import type { EntryKind } from "./api.ts";
import type { EntryCursor } from "./cursor.ts";
import { firstReaching, type LiveTable } from "./version.ts";

/** Bounds of keys; undefined: none. */
export interface KeyBounds {
  /** Inclusive. */
  readonly start: Uint8Array | undefined;
  /** Exclusive. */
  readonly end: Uint8Array | undefined;
}

/** A cursor over some tables of a level. Opens each only when it is reached. */
export class LevelCursor implements EntryCursor {
  readonly #level: readonly LiveTable[];
  readonly #from: number;
  readonly #to: number;
  #index = -1;
  #current: EntryCursor | undefined;

  /** The tables from index `from` up to and without `to`. */
  constructor(level: readonly LiveTable[], from: number, to: number) {
    this.#level = level;
    this.#from = from;
    this.#to = to;
  }

  get valid(): boolean {
    return this.#current !== undefined && this.#current.valid;
  }
  get keyBuffer(): Uint8Array {
    return this.#current!.keyBuffer;
  }
  get keyStart(): number {
    return this.#current!.keyStart;
  }
  get keyEnd(): number {
    return this.#current!.keyEnd;
  }
  get seq(): number {
    return this.#current!.seq;
  }
  get kind(): EntryKind {
    return this.#current!.kind;
  }
  get valueBuffer(): Uint8Array {
    return this.#current!.valueBuffer;
  }
  get valueStart(): number {
    return this.#current!.valueStart;
  }
  get valueEnd(): number {
    return this.#current!.valueEnd;
  }

  seekFirst(): void {
    this.#enter(this.#from);
    this.#current?.seekFirst();
    this.#skipEmpty();
  }

  seek(key: Uint8Array, seq: number): void {
    this.#enter(this.#reaching(key));
    this.#current?.seek(key, seq);
    this.#skipEmpty();
  }

  seekLast(): void {
    this.#enter(this.#to - 1);
    this.#current?.seekLast();
    this.#skipEmptyBack();
  }

  seekBefore(key: Uint8Array): void {
    const index = this.#reaching(key);
    if (index === this.#to) return this.seekLast();
    this.#enter(index);
    this.#current!.seekBefore(key);
    this.#skipEmptyBack();
  }

  next(): void {
    this.#current!.next();
    this.#skipEmpty();
  }

  prev(): void {
    this.#current!.prev();
    this.#skipEmptyBack();
  }

  close(): void {
    this.#current?.close();
    this.#current = undefined;
  }

  /** The first table whose greatest key is `key` or more. */
  #reaching(key: Uint8Array): number {
    return Math.min(this.#to, Math.max(this.#from, firstReaching(this.#level, key)));
  }

  #enter(index: number): void {
    if (index !== this.#index || this.#current === undefined) {
      const isInside = index >= this.#from && index < this.#to;
      // Opening the next may fail, and this one must not be closed twice.
      this.close();
      this.#current = isInside ? this.#level[index].reader.cursor() : undefined;
    }
    this.#index = index;
  }

  #skipEmpty(): void {
    while (this.#current !== undefined && !this.#current.valid) {
      this.#enter(this.#index + 1);
      this.#current?.seekFirst();
    }
  }

  #skipEmptyBack(): void {
    while (this.#current !== undefined && !this.#current.valid) {
      this.#enter(this.#index - 1);
      this.#current?.seekLast();
    }
  }
}
