/**
 * A segment file opened for reading, a window at a time: a log of any length takes a bounded amount of
 * memory. A frame larger than the window is checked in pieces before memory is taken for it: a damaged
 * length must not become an allocation.
 * @module
 */
import { crc32c, getU32, getU48 } from "../../model/mod.ts";
import type { Cipher, Disk, ReadFile } from "../../runtime/mod.ts";
import type { OriginTag } from "../api.ts";
import {
  FRAME_HEADER,
  frameEnd,
  frameTag,
  HEADER_SIZE,
  isFrameHeader,
  openFrame,
  SEALED,
} from "./format.ts";

/** Bytes read at a time. */
const WINDOW_BYTES = 4 << 20;
/** The header and what describes the first frame are looked at together. */
const HEAD_BYTES = HEADER_SIZE + FRAME_HEADER;

/** Reads the frames of one segment. */
export class SegmentFile {
  readonly path: string;
  /** Bytes that count: the file's, or fewer when the segment after says so. */
  readonly size: number;
  readonly #file: ReadFile;
  #salt = 0;
  #window: Uint8Array;
  // The window, or a buffer for one frame that is larger. `#base` is the offset of its first byte.
  #bytes: Uint8Array;
  #base = 0;
  #length = 0;
  #at = 0;
  #end = 0;

  /** @param limit  bytes that count, when that is known */
  constructor(disk: Disk, path: string, limit = Infinity, windowBytes = WINDOW_BYTES) {
    this.#file = disk.openRead(path);
    this.path = path;
    this.size = Math.min(this.#file.size, limit);
    this.#window = new Uint8Array(Math.max(HEAD_BYTES, Math.min(windowBytes, this.size)));
    this.#bytes = this.#window;
  }

  /** What the frames of this segment are known by; to be set before the first is read. */
  set salt(salt: number) {
    this.#salt = salt;
  }

  close(): void {
    this.#file.close();
  }

  /** The first bytes of the file, up to those that describe the first frame. */
  head(count: number): Uint8Array {
    if (this.#base !== 0 || this.#length < Math.min(count, this.size)) this.#fill(0);
    return this.#bytes.subarray(0, Math.min(count, this.#length));
  }

  /** Whether what can be known about a frame at `offset` is in the window. */
  holds(offset: number): boolean {
    const at = offset - this.#base;
    if (at < 0 || at > this.#length) return false;
    if (this.#base + this.#length >= this.size) return true;
    return at + FRAME_HEADER <= this.#length &&
      at + FRAME_HEADER + getU32(this.#bytes, at) <= this.#length;
  }

  /** Moves the window to `offset` without blocking the event loop. */
  async fetch(offset: number): Promise<void> {
    const window = this.#moveTo(offset);
    this.#length = await this.#file.readAtAsync(window, offset);
  }

  /**
   * Goes to the frame at `offset`. What describes it, below, is that of the last sound one.
   * @returns whether there is a sound frame of this segment
   */
  load(offset: number): boolean {
    if (offset + FRAME_HEADER > this.size) return false;
    if (!this.#holdsHeader(offset)) this.#fill(offset);
    let at = offset - this.#base;
    // Short of what its size promised: the file shrank under the reader.
    if (at + FRAME_HEADER > this.#length) return false;
    if (!isFrameHeader(this.#bytes, at, this.#salt)) return false;
    const count = FRAME_HEADER + getU32(this.#bytes, at);
    if (offset + count > this.size) return false;
    if (at + count > this.#length) {
      if (count <= this.#window.length) this.#fill(offset);
      else if (!this.#fillLarge(offset, count)) return false;
      at = offset - this.#base;
      if (at + count > this.#length) return false;
    }
    const end = frameEnd(this.#bytes, at, this.#length, this.#salt, this.#base);
    if (end === 0) return false;
    this.#at = at;
    this.#end = end;
    return true;
  }

  /** The offset of the first sound frame at or after `from`; undefined when there is none. */
  find(from: number): number | undefined {
    for (let offset = from; offset + FRAME_HEADER <= this.size; offset++) {
      if (!this.#holdsHeader(offset)) this.#fill(offset);
      const at = offset - this.#base;
      if (at + FRAME_HEADER > this.#length) return undefined;
      if (isFrameHeader(this.#bytes, at, this.#salt) && this.load(offset)) return offset;
    }
    return undefined;
  }

  /** The frame's offset in the file. */
  get offset(): number {
    return this.#base + this.#at;
  }
  /** Where the next frame begins. */
  get end(): number {
    return this.#base + this.#end;
  }
  /** How much of the segment was durable when the frame was written. */
  get synced(): number {
    return getU32(this.#bytes, this.#at + 12);
  }
  get firstSeq(): number {
    return getU48(this.#bytes, this.#at + 16);
  }
  get type(): number {
    return this.#bytes[this.#at + 22] & ~SEALED;
  }
  get sealed(): boolean {
    return (this.#bytes[this.#at + 22] & SEALED) !== 0;
  }
  /** The payload of a sealed frame, deciphered; undefined when that cannot be done with this key. */
  open(cipher: Cipher | undefined): Uint8Array | undefined {
    if (cipher === undefined) return undefined;
    return openFrame(cipher, this.#bytes, this.#at, this.#end, this.offset);
  }
  get tag(): OriginTag {
    return frameTag(this.#bytes, this.#at)!;
  }
  /** What the payload lies in; valid until the next frame is read. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }
  get payloadStart(): number {
    return this.#at + FRAME_HEADER;
  }
  get payloadEnd(): number {
    return this.#end;
  }

  #holdsHeader(offset: number): boolean {
    return offset >= this.#base && offset + FRAME_HEADER <= this.#base + this.#length;
  }

  /** Makes the window begin at `offset`; nothing is in it yet. */
  #moveTo(offset: number): Uint8Array {
    this.#bytes = this.#window;
    this.#base = offset;
    this.#length = 0;
    return this.#window.subarray(0, Math.max(0, Math.min(this.#window.length, this.size - offset)));
  }

  #fill(offset: number): void {
    const window = this.#moveTo(offset);
    this.#length = this.#file.readAt(window, offset);
  }

  /** Reads a frame that is larger than the window, once its checksum holds. */
  #fillLarge(offset: number, count: number): boolean {
    this.#fill(offset);
    const expected = getU32(this.#bytes, 4);
    let crc = offset;
    for (let at = offset + 8; at < offset + count;) {
      this.#fill(at);
      const length = Math.min(this.#length, offset + count - at);
      if (length === 0) return false;
      crc = crc32c(this.#bytes, 0, length, crc);
      at += length;
    }
    if (crc !== expected) return false;
    const bytes = new Uint8Array(count);
    this.#length = this.#file.readAt(bytes, offset);
    this.#bytes = bytes;
    this.#base = offset;
    return true;
  }
}
