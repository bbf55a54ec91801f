/**
 * Scans: the live keys of a tree in order, as of one moment, in bounded memory.
 *
 * Of each key the input shows every version: newest first on the way forwards, oldest first on the way
 * back. Forwards the first that the moment sees decides, and the rest are passed over. Backwards all are
 * looked at, and the last that the moment sees decides. A key written a million times must not cost a
 * million steps, so a long run of versions is cut short by a seek.
 * @module
 */
import { compareBytes, prefixEnd } from "../model/mod.ts";
import {
  KIND_DELETE,
  KIND_MERGE,
  KIND_PUT,
  type MergeOperator,
  type ScanCursor,
  type ScanRange,
} from "./api.ts";
import { compareRanges, type EntryCursor } from "./cursor.ts";

/** Versions of a key passed one by one; a seek takes about as long as 30 steps. */
const STEPS_BEFORE_SEEK = 32;

const NO_BYTES = new Uint8Array(0);

/** What a scan shows, prefix and all worked out to key bytes. */
export interface LiveRange {
  /** First key, inclusive; undefined: no bound. */
  readonly start: Uint8Array | undefined;
  /** End, exclusive; undefined: no bound. */
  readonly end: Uint8Array | undefined;
  /** From the last key to the first. */
  readonly reverse: boolean;
  /** Keys at most. */
  readonly limit: number;
}

/** The bounds that a scan's start, end and prefix make together. */
export function liveRange(range: ScanRange): LiveRange {
  let { start, end } = range;
  const { prefix, reverse = false, limit = Infinity } = range;
  if (prefix !== undefined) {
    if (start === undefined || compareBytes(start, prefix) < 0) start = prefix;
    const above = prefixEnd(prefix);
    if (above !== undefined && (end === undefined || compareBytes(above, end) < 0)) end = above;
  }
  return { start, end, reverse, limit };
}

/** Turns entries into live keys and values. */
export class LiveCursor implements ScanCursor {
  readonly #input: EntryCursor;
  readonly #range: LiveRange;
  readonly #seq: number;
  readonly #operator: MergeOperator | undefined;
  readonly #release: () => void;
  readonly #noted: (error: unknown) => unknown;
  #left: number;
  #started = false;
  #closed = false;
  #failure: unknown;
  // The key in hand; its value is a range of what the input showed, or of what an operator made.
  #key = new Uint8Array(64);
  #keyLength = -1;
  #valueBuffer: Uint8Array = NO_BYTES;
  #valueStart = 0;
  #valueEnd = 0;

  /**
   * @param seq      entries above it are not seen
   * @param release  called once, when the cursor closes
   * @param noted    told an error on its way to the caller
   */
  constructor(
    input: EntryCursor,
    range: LiveRange,
    seq: number,
    operator: MergeOperator | undefined,
    release: () => void,
    noted: (error: unknown) => unknown,
  ) {
    this.#input = input;
    this.#range = range;
    this.#left = range.limit;
    this.#seq = seq;
    this.#operator = operator;
    this.#release = release;
    this.#noted = noted;
  }

  get key(): Uint8Array {
    return this.#key.subarray(0, this.#keyLength);
  }

  get value(): Uint8Array {
    return this.#valueBuffer.subarray(this.#valueStart, this.#valueEnd);
  }

  next(): boolean {
    if (this.#closed || this.#left === 0) return false;
    if (this.#failure !== undefined) throw this.#failure;
    try {
      if (!this.#started) this.#start();
      const found = this.#range.reverse ? this.#nextBackwards() : this.#nextForwards();
      this.#left = found ? this.#left - 1 : 0;
      return found;
    } catch (error) {
      // The inputs stand nowhere now: going on could skip keys or show them twice.
      this.#failure = this.#noted(error);
      throw this.#failure;
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#release();
  }

  #start(): void {
    const { start, end, reverse } = this.#range;
    if (reverse) {
      if (end === undefined) this.#input.seekLast();
      else this.#input.seekBefore(end);
    } else if (start === undefined) this.#input.seekFirst();
    else this.#input.seek(start, Infinity);
    this.#started = true;
  }

  #nextForwards(): boolean {
    const input = this.#input;
    const { end } = this.#range;
    for (;;) {
      this.#passOver();
      if (!input.valid) return false;
      if (end !== undefined) {
        const { keyBuffer, keyStart, keyEnd } = input;
        if (compareRanges(keyBuffer, keyStart, keyEnd, end, 0, end.length) >= 0) return false;
      }
      this.#takeKey();
      if (this.#takeNewest()) return true;
    }
  }

  /** Goes on past older versions of the key in hand, and past what is too new. */
  #passOver(): void {
    const input = this.#input;
    for (let steps = 1; input.valid; steps++) {
      const isOlder = this.#isSameKey();
      if (!isOlder && input.seq <= this.#seq) return;
      if (steps < STEPS_BEFORE_SEEK) input.next();
      else {
        steps = 0;
        // Sequences begin at 1: behind (key, 0) the next key begins.
        if (isOlder) input.seek(this.key, 0);
        else input.seek(input.keyBuffer.slice(input.keyStart, input.keyEnd), this.#seq);
      }
    }
  }

  /** Takes the value that the entry in hand, the newest seen of its key, begins; false for a delete. */
  #takeNewest(): boolean {
    const input = this.#input;
    if (input.kind === KIND_DELETE) return false;
    if (input.kind === KIND_PUT) this.#takeValue();
    else this.#setValue(this.#fold());
    return true;
  }

  #nextBackwards(): boolean {
    const input = this.#input;
    const { start } = this.#range;
    while (input.valid) {
      if (start !== undefined) {
        const { keyBuffer, keyStart, keyEnd } = input;
        if (compareRanges(keyBuffer, keyStart, keyEnd, start, 0, start.length) < 0) return false;
      }
      this.#takeKey();
      if (this.#takeBackwards()) return true;
    }
    return false;
  }

  /** Takes the key in hand from its oldest version on; leaves the input on the key before it. */
  #takeBackwards(): boolean {
    const input = this.#input;
    let isLive = false;
    let operands: Uint8Array[] | undefined;
    for (let steps = 1;; steps++) {
      if (input.seq <= this.#seq) {
        if (input.kind === KIND_MERGE) {
          (operands ??= []).push(input.valueBuffer.slice(input.valueStart, input.valueEnd));
        } else {
          operands = undefined;
          isLive = input.kind === KIND_PUT;
          if (isLive) this.#takeValue();
        }
      }
      input.prev();
      if (!input.valid || !this.#isSameKey()) break;
      if (steps === STEPS_BEFORE_SEEK) return this.#takeBySeek();
    }
    if (operands === undefined) return isLive;
    this.#setValue(this.#merge(isLive ? this.value : undefined, operands));
    return true;
  }

  /** The same for a key with many versions: from the newest that the moment sees. */
  #takeBySeek(): boolean {
    const input = this.#input;
    input.seek(this.key, this.#seq);
    const isLive = input.valid && this.#isSameKey() && this.#takeNewest();
    input.seekBefore(this.key);
    return isLive;
  }

  #isSameKey(): boolean {
    const input = this.#input;
    const { keyBuffer, keyStart } = input;
    const length = this.#keyLength;
    if (input.keyEnd - keyStart !== length) return false;
    const key = this.#key;
    // From the end: that is where neighbours differ.
    for (let i = length - 1; i >= 0; i--) if (key[i] !== keyBuffer[keyStart + i]) return false;
    return true;
  }

  #takeKey(): void {
    const { keyBuffer, keyStart, keyEnd } = this.#input;
    const length = keyEnd - keyStart;
    this.#keyLength = length;
    if (length > this.#key.length) this.#key = new Uint8Array(length * 2);
    const key = this.#key;
    for (let i = 0; i < length; i++) key[i] = keyBuffer[keyStart + i];
  }

  #takeValue(): void {
    const input = this.#input;
    this.#valueBuffer = input.valueBuffer;
    this.#valueStart = input.valueStart;
    this.#valueEnd = input.valueEnd;
  }

  #setValue(value: Uint8Array): void {
    this.#valueBuffer = value;
    this.#valueStart = 0;
    this.#valueEnd = value.length;
  }

  /** Folds the operands of the key in hand onto what lies below them. */
  #fold(): Uint8Array {
    const input = this.#input;
    const operands: Uint8Array[] = [];
    let base: Uint8Array | undefined;
    while (input.valid && this.#isSameKey()) {
      const value = input.valueBuffer.slice(input.valueStart, input.valueEnd);
      if (input.kind !== KIND_MERGE) {
        if (input.kind === KIND_PUT) base = value;
        break;
      }
      operands.push(value);
      input.next();
    }
    return this.#merge(base, operands.reverse());
  }

  #merge(base: Uint8Array | undefined, operands: readonly Uint8Array[]): Uint8Array {
    if (this.#operator === undefined) throw new Error("a merge operand in a tree without operator");
    return this.#operator.merge(this.key, base, operands);
  }
}
