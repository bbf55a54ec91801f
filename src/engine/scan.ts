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
import { ColdRead, type ColdReads, Stash } from "./cold_reads.ts";
import { compareRanges, type EntryCursor } from "./cursor.ts";

/** Versions of a key passed one by one; a seek takes about as long as 30 steps. */
const STEPS_BEFORE_SEEK = 32;

/** Bytes that are read at once from a slow disk... */
const READ_AHEAD = 64 * 1024;
/** ...and how many such pieces are kept for the steps to come, in case the block cache does not. */
const CHUNKS_KEPT = 16;

/** Arrays up to this length the engine of the language allocates in its heap, which is quick. */
const IN_HEAP_MAX = 64;
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

/** What a cursor over live keys is made of. */
export interface LiveCursorParts {
  /** All entries of the range, and perhaps others. */
  readonly input: EntryCursor;
  readonly range: LiveRange;
  /** Entries above it are not seen. */
  readonly seq: number;
  readonly operator: MergeOperator | undefined;
  /** Where the input's blocks come from. */
  readonly coldReads: ColdReads;
  /** Called once, when the cursor closes. */
  readonly release: () => void;
  /** Told an error on its way to the caller. */
  readonly noted: (error: unknown) => unknown;
}

/** Turns entries into live keys and values. */
export class LiveCursor implements ScanCursor {
  readonly #input: EntryCursor;
  readonly #range: LiveRange;
  readonly #seq: number;
  readonly #parts: LiveCursorParts;
  #left: number;
  #started = false;
  #closed = false;
  #failure: unknown;
  /** What a step that was made ahead of its `next` came to. */
  #ahead: boolean | undefined;
  /** An attempt stopped on the way: the input stands nowhere. */
  #lost = false;
  #stash: Stash | undefined;
  // The key in hand; its value is a range of what the input showed, or of what an operator made.
  #key = NO_BYTES;
  #keyLength = -1;
  /** The key in hand is not dealt with yet. */
  #inWork = false;
  #valueBuffer: Uint8Array = NO_BYTES;
  #valueStart = 0;
  #valueEnd = 0;

  constructor(parts: LiveCursorParts) {
    this.#parts = parts;
    this.#input = parts.input;
    this.#range = parts.range;
    this.#left = parts.range.limit;
    this.#seq = parts.seq;
  }

  get key(): Uint8Array {
    const length = this.#keyLength;
    return this.#key.length === length ? this.#key : this.#key.subarray(0, length);
  }

  get value(): Uint8Array {
    return this.#valueBuffer.subarray(this.#valueStart, this.#valueEnd);
  }

  next(): boolean {
    if (this.#closed || this.#left === 0) return false;
    if (this.#failure !== undefined) throw this.#failure;
    let found = this.#ahead;
    if (found === undefined) {
      try {
        found = this.#step();
      } catch (error) {
        throw this.#fail(error);
      }
    } else this.#ahead = undefined;
    this.#left = found ? this.#left - 1 : 0;
    return found;
  }

  ready(): Promise<void> | undefined {
    if (!this.#parts.coldReads.isSlow || this.#ahead !== undefined) return undefined;
    if (this.#closed || this.#left === 0 || this.#failure !== undefined) return undefined;
    this.#stash ??= new Stash();
    const cold = this.#stepAhead(this.#stash);
    return cold === undefined ? undefined : this.#wait(cold, this.#stash);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#input.close();
    this.#parts.release();
  }

  /** Makes the next step now if it need not wait for the disk; otherwise says what it lacks. */
  #stepAhead(stash: Stash): ColdRead | undefined {
    try {
      const found = this.#parts.coldReads.attempt(stash, () => this.#step());
      if (found instanceof ColdRead) {
        this.#lost = true;
        return found;
      }
      this.#ahead = found;
      stash.trim(CHUNKS_KEPT);
    } catch (error) {
      this.#fail(error);
    }
    return undefined;
  }

  async #wait(first: ColdRead, stash: Stash): Promise<void> {
    try {
      for (let cold: ColdRead | undefined = first; cold !== undefined && !this.#closed;) {
        await this.#parts.coldReads.fetch(cold, stash, READ_AHEAD, this.#range.reverse);
        // Closed meanwhile: its tables may be closed too.
        if (!this.#closed) cold = this.#stepAhead(stash);
      }
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Remembers a failure for good: the inputs stand nowhere, and going on could skip keys or repeat them. */
  #fail(error: unknown): unknown {
    this.#failure = this.#parts.noted(error);
    return this.#failure;
  }

  #step(): boolean {
    if (!this.#started) this.#start();
    else if (this.#lost) this.#resume();
    this.#lost = false;
    return this.#range.reverse ? this.#nextBackwards() : this.#nextForwards();
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

  /** Brings the input back to where a lost step began: at the key in hand, or right behind it. */
  #resume(): void {
    if (this.#keyLength < 0) this.#start();
    else if (!this.#range.reverse) this.#input.seek(this.key, this.#inWork ? this.#seq : 0);
    else if (this.#inWork) this.#input.seekBefore(Uint8Array.of(...this.key, 0));
    else this.#input.seekBefore(this.key);
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
      const isLive = this.#takeNewest();
      this.#inWork = false;
      if (isLive) return true;
    }
  }

  /** Goes on past older versions of the key in hand, and past what is too new. */
  #passOver(): void {
    const input = this.#input;
    for (let steps = 1; input.valid; steps++) {
      const isOlder = !this.#inWork && this.#isSameKey();
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
      const isLive = this.#takeBackwards();
      this.#inWork = false;
      if (isLive) return true;
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
    this.#inWork = true;
    this.#keyLength = length;
    let key = this.#key;
    // Of the same length, where that is cheap: then it can be shown as it is.
    if (length > key.length || (length < key.length && length <= IN_HEAP_MAX)) {
      this.#key = key = new Uint8Array(length);
    }
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
    const { operator } = this.#parts;
    if (operator === undefined) throw new Error("a merge operand in a tree without operator");
    return operator.merge(this.key, base, operands);
  }
}
