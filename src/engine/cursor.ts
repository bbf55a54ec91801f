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
  /** Gives up what it holds, to cursors that come later. It is not used any more then, and not closed twice. */
  close(): void;
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

/** What decides the place of an entry among others. */
export type EntryPlace = Pick<EntryCursor, "keyBuffer" | "keyStart" | "keyEnd" | "seq">;

/** Orders two entries. */
export function compareEntries(a: EntryPlace, b: EntryPlace): number {
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
 * One of the cursors that are merged, with the place of its entry beside it: comparing entries asks the
 * cursor, which may be of any kind and have others below it, once for each of its steps.
 */
class Source implements EntryPlace {
  readonly cursor: EntryCursor;
  keyBuffer: Uint8Array = NO_BYTES;
  keyStart = 0;
  keyEnd = 0;
  seq = 0;

  constructor(cursor: EntryCursor) {
    this.cursor = cursor;
  }

  /** Looks where the cursor stands now; false when that is nowhere. */
  look(): boolean {
    const { cursor } = this;
    if (!cursor.valid) return false;
    this.keyBuffer = cursor.keyBuffer;
    this.keyStart = cursor.keyStart;
    this.keyEnd = cursor.keyEnd;
    this.seq = cursor.seq;
    return true;
  }
}

const NO_BYTES = new Uint8Array(0);

/**
 * Several cursors as one. A binary heap of the valid ones; on top the least when it goes forwards, the
 * greatest when it goes backwards. Turning round costs a seek in each of them.
 */
export class MergingCursor implements EntryCursor {
  readonly #all: readonly Source[];
  readonly #heap: Source[] = [];
  #backwards = false;

  constructor(cursors: readonly EntryCursor[]) {
    this.#all = cursors.map((cursor) => new Source(cursor));
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
    return this.#heap[0].cursor.kind;
  }
  get valueBuffer(): Uint8Array {
    return this.#heap[0].cursor.valueBuffer;
  }
  get valueStart(): number {
    return this.#heap[0].cursor.valueStart;
  }
  get valueEnd(): number {
    return this.#heap[0].cursor.valueEnd;
  }

  seekFirst(): void {
    for (const { cursor } of this.#all) cursor.seekFirst();
    this.#build(false);
  }

  seek(key: Uint8Array, seq: number): void {
    for (const { cursor } of this.#all) cursor.seek(key, seq);
    this.#build(false);
  }

  seekLast(): void {
    for (const { cursor } of this.#all) cursor.seekLast();
    this.#build(true);
  }

  seekBefore(key: Uint8Array): void {
    for (const { cursor } of this.#all) cursor.seekBefore(key);
    this.#build(true);
  }

  next(): void {
    if (this.#backwards) return this.#turn();
    const top = this.#heap[0];
    top.cursor.next();
    this.#settle(top);
  }

  prev(): void {
    if (!this.#backwards) return this.#turn();
    const top = this.#heap[0];
    top.cursor.prev();
    this.#settle(top);
  }

  close(): void {
    this.#heap.length = 0;
    for (const { cursor } of this.#all) cursor.close();
  }

  /** Puts the top, which has moved, where it belongs now. */
  #settle(top: Source): void {
    if (!top.look()) {
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
    const top = this.#heap[0].cursor;
    const key = top.keyBuffer.slice(top.keyStart, top.keyEnd);
    const { seq } = top;
    for (const { cursor } of this.#all) {
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
    for (const source of this.#all) if (source.look()) this.#heap.push(source);
    for (let i = (this.#heap.length >> 1) - 1; i >= 0; i--) this.#sink(i);
  }

  #sink(at: number): void {
    const heap = this.#heap;
    const item = heap[at];
    const sign = this.#backwards ? -1 : 1;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && compareEntries(heap[child + 1], heap[child]) * sign < 0) {
        child++;
      }
      if (compareEntries(item, heap[child]) * sign <= 0) break;
      heap[at] = heap[child];
      at = child;
    }
    heap[at] = item;
  }
}
