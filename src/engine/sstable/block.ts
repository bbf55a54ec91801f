/**
 * Data block: a run of entries, keys shortened by what they share with the one before.
 *
 *     entry:   | shared varint | rest varint | value varint | kind u8 | seq varint | rest of key | value |
 *     block:   | entry ... | restart u32 ... | restart count u32 |
 *
 * Every 16th entry is a restart: it shares nothing, and its offset is listed at the end, so that a
 * search halves over restarts and reads on from there.
 * @module
 */
import { ByteWriter, getU32, PairError } from "../../model/mod.ts";
import { type EntryKind, KIND_MERGE } from "../api.ts";
import { compareRanges, type EntryCursor } from "../cursor.ts";

const RESTART_INTERVAL = 16;

/** Gathers entries into a block. */
export class BlockBuilder {
  readonly #out = new ByteWriter(8192);
  readonly #restarts: number[] = [];
  #lastKey = new Uint8Array(256);
  #lastLength = 0;
  #count = 0;

  /** Entries so far. */
  get count(): number {
    return this.#count;
  }
  /** Bytes that the block would have now. */
  get size(): number {
    return this.#out.length + 4 * this.#restarts.length + 4;
  }

  /** Adds the entry that a cursor stands on; entries come in order. */
  add(entry: EntryCursor): void {
    const { keyBuffer, keyStart, keyEnd, valueBuffer, valueStart, valueEnd } = entry;
    const length = keyEnd - keyStart;
    let shared = 0;
    if (this.#count % RESTART_INTERVAL === 0) {
      this.#restarts.push(this.#out.length);
    } else {
      const most = Math.min(length, this.#lastLength);
      while (shared < most && this.#lastKey[shared] === keyBuffer[keyStart + shared]) shared++;
    }
    this.#out.varint(shared).varint(length - shared).varint(valueEnd - valueStart)
      .u8(entry.kind).varint(entry.seq)
      .raw(keyBuffer.subarray(keyStart + shared, keyEnd))
      .raw(valueBuffer.subarray(valueStart, valueEnd));
    if (this.#lastKey.length < length) {
      const grown = new Uint8Array(length * 2);
      grown.set(this.#lastKey.subarray(0, shared));
      this.#lastKey = grown;
    }
    this.#lastKey.set(keyBuffer.subarray(keyStart + shared, keyEnd), shared);
    this.#lastLength = length;
    this.#count++;
  }

  /** Ends the block and starts the next: the bytes are valid until that has its first entry. */
  finish(): Uint8Array {
    for (const restart of this.#restarts) this.#out.u32(restart);
    this.#out.u32(this.#restarts.length);
    const bytes = this.#out.view();
    this.#out.reset();
    this.#restarts.length = 0;
    this.#count = 0;
    this.#lastLength = 0;
    return bytes;
  }
}

const NO_BYTES = new Uint8Array(0);

/** An entry that a cursor may go back to; its key lies in a buffer beside. */
class BackEntry {
  at = 0;
  keyStart = 0;
  keyEnd = 0;
  seq = 0;
  kind: EntryKind = 0;
  valueStart = 0;
  valueEnd = 0;
}

/** A cursor over one block at a time; `load` puts another block under it. */
export class BlockCursor implements EntryCursor {
  // Up to 64 bytes lie in the heap, which makes cursors cheap.
  keyBuffer: Uint8Array = new Uint8Array(64);
  readonly keyStart = 0;
  keyEnd = 0;
  seq = 0;
  kind: EntryKind = 0;
  valueBuffer: Uint8Array = NO_BYTES;
  valueStart = 0;
  valueEnd = 0;
  valid = false;

  #entriesEnd = 0;
  #restarts = 0;
  /** Where the present entry begins, and where the next one does. */
  #at = 0;
  #next = 0;
  /** Bytes that the present key shares with the one before. */
  #shared = 0;
  #what = "";
  // For going back: the entries from a restart on, up to one that stands right before the present. An
  // entry can be read from its restart onwards only, and once for each step would be quadratic.
  #back: BackEntry[] | undefined;
  #backCount = 0;
  #backKeys = NO_BYTES;

  /**
   * Stands before the first entry of a block.
   * @param bytes  begins with the block
   * @param size   the block's bytes, without its trailer
   * @param what   names the block in errors
   * @throws PairError CorruptedData when its end makes no sense
   */
  load(bytes: Uint8Array, size: number, what: string): void {
    this.valid = false;
    this.valueBuffer = bytes;
    this.#backCount = 0;
    this.#what = what;
    this.#restarts = size < 8 ? 0 : getU32(bytes, size - 4);
    this.#entriesEnd = size - 4 - 4 * this.#restarts;
    if (this.#restarts === 0 || this.#entriesEnd <= 0) throw this.#damaged("its restarts are cut");
  }

  seekFirst(): void {
    this.#next = 0;
    this.keyEnd = 0;
    this.next();
  }

  seek(key: Uint8Array, seq: number): void {
    // The last restart whose entry stands before (key, seq): the answer is behind it.
    let low = 0;
    let high = this.#restarts - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#compareRestart(middle, key, seq) < 0) low = middle;
      else high = middle - 1;
    }
    this.#enter(low);
    this.#advance(key, seq);
  }

  /**
   * Goes on to (key, seq) or behind it. Every entry on the way is less, and so equals the key up to some
   * byte only; how many bytes it shares with the entry before tells most often where it stands:
   *
   *     key 1234, entry 1229: two bytes are equal
   *         next entry shares 3 bytes: it is 122., as far from the key, and less too
   *         shares 1 byte: it is 1 and something greater than 2, and so greater than the key
   *         shares 2 bytes: compare from there
   */
  #advance(key: Uint8Array, seq: number): void {
    const { length } = key;
    let equal = 0;
    let shared = 0;
    while (this.valid) {
      if (shared < equal) return;
      if (shared === equal) {
        const buffer = this.keyBuffer;
        const most = this.keyEnd < length ? this.keyEnd : length;
        while (equal < most && buffer[equal] === key[equal]) equal++;
        if (equal < most) {
          if (buffer[equal] > key[equal]) return;
        } else if (this.keyEnd > length || (this.keyEnd === length && this.seq <= seq)) return;
      }
      this.next();
      shared = this.#shared;
    }
  }

  seekLast(): void {
    this.#at = this.#entriesEnd;
    this.prev();
  }

  seekBefore(key: Uint8Array): void {
    this.seek(key, Infinity);
    if (this.valid) this.prev();
    else this.seekLast();
  }

  prev(): void {
    const back = this.#back ??= [];
    if (this.#backCount === 0 || back[this.#backCount - 1].valueEnd !== this.#at) {
      this.#lookBack(back, this.#at);
    }
    if (this.#backCount === 0) {
      this.valid = false;
      return;
    }
    const entry = back[--this.#backCount];
    const { keyStart, keyEnd } = entry;
    const keys = this.#backKeys;
    const key = this.keyBuffer;
    for (let i = keyStart; i < keyEnd; i++) key[i - keyStart] = keys[i];
    this.keyEnd = keyEnd - keyStart;
    this.seq = entry.seq;
    this.kind = entry.kind;
    this.valueStart = entry.valueStart;
    this.valueEnd = entry.valueEnd;
    this.#at = entry.at;
    this.#next = entry.valueEnd;
    this.valid = true;
  }

  close(): void {
    this.valid = false;
  }

  next(): void {
    const bytes = this.valueBuffer;
    let at = this.#next;
    if (at >= this.#entriesEnd) {
      this.valid = false;
      return;
    }
    this.#at = at;
    // Lengths below 128 take one byte each, which is the usual case; a sequence rarely does.
    let shared = bytes[at++];
    if (shared >= 0x80) {
      shared = this.#varint(at - 1);
      at = this.#next;
    }
    let rest = bytes[at++];
    if (rest >= 0x80) {
      rest = this.#varint(at - 1);
      at = this.#next;
    }
    let length = bytes[at++];
    if (length >= 0x80) {
      length = this.#varint(at - 1);
      at = this.#next;
    }
    const kind = bytes[at++];
    let seq = bytes[at++];
    if (seq >= 0x80) {
      seq = this.#varint(at - 1);
      at = this.#next;
    }
    const keyEnd = shared + rest;
    const valueStart = at + rest;
    if (
      shared > this.keyEnd || kind > KIND_MERGE || valueStart + length > this.#entriesEnd
    ) throw this.#damaged("an entry makes no sense");
    if (keyEnd > this.keyBuffer.length) {
      const grown = new Uint8Array(keyEnd * 2);
      grown.set(this.keyBuffer.subarray(0, shared));
      this.keyBuffer = grown;
    }
    const key = this.keyBuffer;
    for (let i = 0; i < rest; i++) key[shared + i] = bytes[at + i];
    this.keyEnd = keyEnd;
    this.#shared = shared;
    this.kind = kind as EntryKind;
    this.seq = seq;
    this.valueStart = valueStart;
    this.valueEnd = valueStart + length;
    this.#next = this.valueEnd;
    this.valid = true;
  }

  /** Gathers the entries from the last restart before `until` up to there. */
  #lookBack(back: BackEntry[], until: number): void {
    this.#backCount = 0;
    if (until === 0) return;
    let low = 0;
    let high = this.#restarts - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#restartAt(middle) < until) low = middle;
      else high = middle - 1;
    }
    this.#enter(low);
    for (let keyStart = 0;; this.next()) {
      if (!this.valid || this.valueEnd > until) throw this.#damaged("a restart lies astray");
      const keyEnd = keyStart + this.keyEnd;
      if (keyEnd > this.#backKeys.length) {
        const grown = new Uint8Array(Math.max(512, keyEnd * 2));
        grown.set(this.#backKeys.subarray(0, keyStart));
        this.#backKeys = grown;
      }
      for (let i = keyStart; i < keyEnd; i++) this.#backKeys[i] = this.keyBuffer[i - keyStart];
      const entry = back[this.#backCount] ??= new BackEntry();
      this.#backCount++;
      entry.at = this.#at;
      entry.keyStart = keyStart;
      entry.keyEnd = keyEnd;
      entry.seq = this.seq;
      entry.kind = this.kind;
      entry.valueStart = this.valueStart;
      entry.valueEnd = this.valueEnd;
      if (this.valueEnd === until) return;
      keyStart = keyEnd;
    }
  }

  /** Orders a restart's entry, whose key stands there whole, and (key, seq). */
  #compareRestart(restart: number, key: Uint8Array, seq: number): number {
    const bytes = this.valueBuffer;
    let at = this.#restartAt(restart);
    if (at >= this.#entriesEnd || bytes[at++] !== 0) throw this.#damaged("a restart lies astray");
    let length = bytes[at++];
    if (length >= 0x80) {
      length = this.#varint(at - 1);
      at = this.#next;
    }
    if (bytes[at++] >= 0x80) {
      this.#varint(at - 1);
      at = this.#next;
    }
    at++;
    let found = bytes[at++];
    if (found >= 0x80) {
      found = this.#varint(at - 1);
      at = this.#next;
    }
    if (at + length > this.#entriesEnd) throw this.#damaged("an entry makes no sense");
    return compareRanges(bytes, at, at + length, key, 0, key.length) || seq - found;
  }

  #restartAt(restart: number): number {
    return getU32(this.valueBuffer, this.#entriesEnd + 4 * restart);
  }

  #enter(restart: number): void {
    const offset = this.#restartAt(restart);
    if (offset >= this.#entriesEnd) throw this.#damaged("a restart lies outside");
    this.#next = offset;
    this.keyEnd = 0;
    this.next();
  }

  /** A varint at `at`; leaves its end in `#next`. */
  #varint(at: number): number {
    const bytes = this.valueBuffer;
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 8 && at < this.#entriesEnd; i++) {
      const byte = bytes[at++];
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        this.#next = at;
        return value;
      }
      scale *= 0x80;
    }
    throw this.#damaged("a number is cut");
  }

  #damaged(why: string): PairError {
    return new PairError("CorruptedData", `Cannot read ${this.#what}: ${why}`);
  }
}
