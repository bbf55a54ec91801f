/**
 * Cursors over entries, and the merge of several into one order.
 *
 * Entries are ordered by user key ascending, then sequence descending, so that of one key the newest
 * comes first. A cursor stands on one entry and shows it as ranges of buffers: nothing is allocated
 * per entry. The ranges hold until the cursor moves; the bytes of a value, once shown, are never
 * overwritten (they lie in an immutable block or an append-only arena), those of a key may be.
 * @module
 */
import type { EntryKind } from "./api.ts";

/** A position in sorted entries. */
export interface EntryCursor {
  /** False before the first seek and past either end; then the other fields mean nothing. */
  readonly valid: boolean;
  readonly keyBuffer: Uint8Array;
  readonly keyStart: number;
  readonly keyEnd: number;
  readonly seq: number;
  readonly kind: EntryKind;
  readonly valueBuffer: Uint8Array;
  readonly valueStart: number;
  readonly valueEnd: number;
  /** Moves to the first entry. */
  seekFirst(): void;
  /** Moves to the first entry whose key is `key` with a sequence of at most `seq`, or whose key is greater. */
  seek(key: Uint8Array, seq: number): void;
  /** Moves to the last entry. */
  seekLast(): void;
  /** Moves to the last entry whose key is less than `key`. */
  seekBefore(key: Uint8Array): void;
  /** Moves on by one. Only from a valid position. */
  next(): void;
  /** Moves back by one. Only from a valid position. */
  prev(): void;
}

/** Compares two ranges as unsigned bytes. */
export function compareRanges(
  a: Uint8Array,
  aStart: number,
  aEnd: number,
  b: Uint8Array,
  bStart: number,
  bEnd: number,
): number {
  const aLength = aEnd - aStart;
  const bLength = bEnd - bStart;
  const shared = aLength < bLength ? aLength : bLength;
  for (let i = 0; i < shared; i++) {
    const difference = a[aStart + i] - b[bStart + i];
    if (difference !== 0) return difference;
  }
  return aLength - bLength;
}

/** Orders two valid cursors by the entries that they stand on. */
export function compareEntries(a: EntryCursor, b: EntryCursor): number {
  return compareRanges(
    a.keyBuffer,
    a.keyStart,
    a.keyEnd,
    b.keyBuffer,
    b.keyStart,
    b.keyEnd,
  ) || b.seq - a.seq;
}

/**
 * Several cursors as one. A binary heap of the valid ones; on top the least when it goes forwards, the
 * greatest when it goes backwards. Turning round costs a seek in each of them.
 */
export class MergingCursor implements EntryCursor {
  readonly #all: readonly EntryCursor[];
  readonly #heap: EntryCursor[] = [];
  #backwards = false;

  constructor(cursors: readonly EntryCursor[]) {
    this.#all = cursors;
  }

  get valid(): boolean {
    return this.#heap.length > 0;
  }
  get keyBuffer(): Uint8Array {
    return this.#heap[0].keyBuffer;
  }
  get keyStart(): number {
    return this.#heap[0].keyStart;
  }
  get keyEnd(): number {
    return this.#heap[0].keyEnd;
  }
  get seq(): number {
    return this.#heap[0].seq;
  }
  get kind(): EntryKind {
    return this.#heap[0].kind;
  }
  get valueBuffer(): Uint8Array {
    return this.#heap[0].valueBuffer;
  }
  get valueStart(): number {
    return this.#heap[0].valueStart;
  }
  get valueEnd(): number {
    return this.#heap[0].valueEnd;
  }

  seekFirst(): void {
    for (const cursor of this.#all) cursor.seekFirst();
    this.#build(false);
  }

  seek(key: Uint8Array, seq: number): void {
    for (const cursor of this.#all) cursor.seek(key, seq);
    this.#build(false);
  }

  seekLast(): void {
    for (const cursor of this.#all) cursor.seekLast();
    this.#build(true);
  }

  seekBefore(key: Uint8Array): void {
    for (const cursor of this.#all) cursor.seekBefore(key);
    this.#build(true);
  }

  next(): void {
    if (this.#backwards) return this.#turn();
    const top = this.#heap[0];
    top.next();
    this.#settle(top);
  }

  prev(): void {
    if (!this.#backwards) return this.#turn();
    const top = this.#heap[0];
    top.prev();
    this.#settle(top);
  }

  /** Puts the top, which has moved, where it belongs now. */
  #settle(top: EntryCursor): void {
    if (!top.valid) {
      const last = this.#heap.pop()!;
      if (this.#heap.length === 0) return;
      this.#heap[0] = last;
    }
    this.#sink(0);
  }

  /**
   * Moves by one against the present direction. The other cursors stand on the far side of the present
   * entry, or have run out there: each is brought to its nearest entry on this side.
   */
  #turn(): void {
    const backwards = !this.#backwards;
    const top = this.#heap[0];
    const key = top.keyBuffer.slice(top.keyStart, top.keyEnd);
    const { seq } = top;
    for (const cursor of this.#all) {
      if (cursor === top) continue;
      cursor.seek(key, seq);
      if (!backwards) continue;
      if (cursor.valid) cursor.prev();
      else cursor.seekLast();
    }
    if (backwards) top.prev();
    else top.next();
    this.#build(backwards);
  }

  #build(backwards: boolean): void {
    this.#backwards = backwards;
    this.#heap.length = 0;
    for (const cursor of this.#all) if (cursor.valid) this.#heap.push(cursor);
    for (let i = (this.#heap.length >> 1) - 1; i >= 0; i--) this.#sink(i);
  }

  #sink(at: number): void {
    const heap = this.#heap;
    const item = heap[at];
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && this.#order(heap[child + 1], heap[child]) < 0) child++;
      if (this.#order(item, heap[child]) <= 0) break;
      heap[at] = heap[child];
      at = child;
    }
    heap[at] = item;
  }

  #order(a: EntryCursor, b: EntryCursor): number {
    return this.#backwards ? compareEntries(b, a) : compareEntries(a, b);
  }
}
