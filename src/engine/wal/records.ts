/**
 * The records of a frame, one after the other, without an object for each.
 * @module
 */
import { PairError } from "../../model/mod.ts";
import { type EntryKind, KIND_DELETE, KIND_MERGE } from "../api.ts";
import type { LoggedMutation } from "./format.ts";

/** Goes through a frame's payload. The fields are those of the record that `next` came to. */
export class RecordCursor {
  /** What key and value lie in. */
  bytes: Uint8Array = NOTHING;
  kind: EntryKind = 0;
  treeId = 0;
  keyStart = 0;
  keyEnd = 0;
  /** Of a delete, an empty range. */
  valueStart = 0;
  valueEnd = 0;

  #at = 0;
  #end = 0;
  #path = "";
  #offset = 0;

  /**
   * Begins with the records in `bytes[start, end)`.
   * @param path    the file, for errors
   * @param offset  where in it the frame begins, for errors
   */
  load(bytes: Uint8Array, start: number, end: number, path: string, offset: number): void {
    this.bytes = bytes;
    this.#at = start;
    this.#end = end;
    this.#path = path;
    this.#offset = offset;
  }

  /**
   * Goes to the next record.
   * @returns false at the end
   * @throws PairError CorruptedData when the bytes make no sense: a bug, since the checksum held
   */
  next(): boolean {
    if (this.#at === this.#end) return false;
    const kind = this.bytes[this.#at++];
    if (kind > KIND_MERGE) throw this.#damaged(`kind ${kind} is not known`);
    this.kind = kind as EntryKind;
    this.treeId = this.#varint();
    let length = this.#varint();
    this.keyStart = this.#at;
    this.keyEnd = this.#skip(length);
    length = kind === KIND_DELETE ? 0 : this.#varint();
    this.valueStart = this.#at;
    this.valueEnd = this.#skip(length);
    return true;
  }

  /** The present record, in place. */
  mutation(): LoggedMutation {
    return {
      kind: this.kind,
      tree: { id: this.treeId },
      key: this.bytes.subarray(this.keyStart, this.keyEnd),
      value: this.bytes.subarray(this.valueStart, this.valueEnd),
    };
  }

  #skip(length: number): number {
    if (length > this.#end - this.#at) throw this.#damaged("it ends inside a field");
    return this.#at += length;
  }

  #varint(): number {
    const bytes = this.bytes;
    if (this.#at < this.#end && bytes[this.#at] < 0x80) return bytes[this.#at++];
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 8; i++) {
      if (this.#at >= this.#end) throw this.#damaged("it ends inside a field");
      const byte = bytes[this.#at++];
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (byte === 0 && i > 0) throw this.#damaged("a varint has a needless byte");
        if (!Number.isSafeInteger(value)) throw this.#damaged("a number is above 2^53 - 1");
        return value;
      }
      scale *= 0x80;
    }
    throw this.#damaged("a varint is longer than 8 bytes");
  }

  #damaged(why: string): PairError {
    return new PairError(
      "CorruptedData",
      `Cannot read ${this.#path} at ${this.#offset}: ${why}`,
      { file: this.#path, offset: this.#offset },
    );
  }
}

const NOTHING = new Uint8Array(0);
