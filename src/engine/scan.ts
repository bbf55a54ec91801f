/**
 * Scans: the live keys of a tree in order, as of one moment, in bounded memory.
 * @module
 */
import {
  KIND_DELETE,
  KIND_MERGE,
  KIND_PUT,
  type MergeOperator,
  type ScanCursor,
  type ScanRange,
} from "./api.ts";
import { compareRanges, type EntryCursor } from "./cursor.ts";

/** Turns entries into live keys and values. */
export class LiveCursor implements ScanCursor {
  readonly #input: EntryCursor;
  readonly #seq: number;
  readonly #end: Uint8Array | undefined;
  readonly #start: Uint8Array | undefined;
  readonly #operator: MergeOperator | undefined;
  readonly #release: () => void;
  readonly #noted: (error: unknown) => unknown;
  #started = false;
  #closed = false;
  #failure: unknown;
  #key = new Uint8Array(256);
  #keyLength = -1;
  #value: Uint8Array = new Uint8Array(0);

  /**
   * @param seq      entries above it are not seen
   * @param release  called once, when the cursor closes
   * @param noted    told an error on its way to the caller
   */
  constructor(
    input: EntryCursor,
    range: ScanRange,
    seq: number,
    operator: MergeOperator | undefined,
    release: () => void,
    noted: (error: unknown) => unknown,
  ) {
    this.#input = input;
    this.#seq = seq;
    this.#start = range.start;
    this.#end = range.end;
    this.#operator = operator;
    this.#release = release;
    this.#noted = noted;
  }

  get key(): Uint8Array {
    return this.#key.subarray(0, this.#keyLength);
  }

  get value(): Uint8Array {
    return this.#value;
  }

  next(): boolean {
    if (this.#closed) return false;
    if (this.#failure !== undefined) throw this.#failure;
    try {
      return this.#next();
    } catch (error) {
      // The inputs stand nowhere now: going on could skip keys or show them twice.
      this.#failure = this.#noted(error);
      throw this.#failure;
    }
  }

  #next(): boolean {
    const input = this.#input;
    if (!this.#started) {
      this.#started = true;
      if (this.#start === undefined) input.seekFirst();
      else input.seek(this.#start, Infinity);
    }
    for (;;) {
      // What is too new, and older versions of the key in hand, are passed over.
      while (input.valid && (input.seq > this.#seq || this.#isSameKey())) input.next();
      if (!input.valid || this.#isPastEnd()) return false;
      this.#takeKey();
      if (input.kind === KIND_DELETE) continue;
      if (input.kind === KIND_PUT) {
        this.#value = input.valueBuffer.slice(input.valueStart, input.valueEnd);
        return true;
      }
      this.#value = this.#fold();
      return true;
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#release();
  }

  #isSameKey(): boolean {
    const input = this.#input;
    return this.#keyLength >= 0 && compareRanges(
          this.#key,
          0,
          this.#keyLength,
          input.keyBuffer,
          input.keyStart,
          input.keyEnd,
        ) === 0;
  }

  #isPastEnd(): boolean {
    const input = this.#input;
    const end = this.#end;
    return end !== undefined &&
      compareRanges(input.keyBuffer, input.keyStart, input.keyEnd, end, 0, end.length) >= 0;
  }

  #takeKey(): void {
    const input = this.#input;
    this.#keyLength = input.keyEnd - input.keyStart;
    if (this.#keyLength > this.#key.length) this.#key = new Uint8Array(this.#keyLength * 2);
    this.#key.set(input.keyBuffer.subarray(input.keyStart, input.keyEnd));
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
    if (this.#operator === undefined) throw new Error("a merge operand in a tree without operator");
    return this.#operator.merge(this.key, base, operands.reverse());
  }
}
