/**
 * A segment file opened for reading, a window at a time: a log of any length takes a bounded amount of
 * memory. While one window is worked on, the next is read beside it. A frame larger than the window is
 * checked in pieces before memory is taken for it: a damaged length must not become an allocation.
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

/** Bytes of a window; there are two of them. */
const WINDOW_BYTES = 2 << 20;
/** The share of a window that what is read ahead leaves free for the end of the window before. */
const HEADROOM = 1 / 4;
/** The header and what describes the first frame are looked at together. */
const HEAD_BYTES = HEADER_SIZE + FRAME_HEADER;

/** What is read beside the work on the window: bytes read from an offset in the file on. */
interface Ahead {
  readonly offset: number;
  readonly count: Promise<number>;
}

/** Reads the frames of one segment. */
export class SegmentFile {
  readonly path: string;
  /** Bytes that count: the file's, or fewer when the segment after says so. */
  readonly size: number;
  readonly #file: ReadFile;
  #salt = 0;
  #window: Uint8Array;
  // Another one, for what is read ahead: from `#headroom` on. Made when there is something to read.
  #spare: Uint8Array | undefined;
  #ahead: Ahead | undefined;
  readonly #headroom: number;
  // In the window, or a buffer for one frame that is larger. `#base` is the offset of its first byte.
  #bytes: Uint8Array;
  #view: DataView;
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
    this.#headroom = Math.floor(this.#window.length * HEADROOM);
    this.#bytes = this.#window;
    this.#view = viewOf(this.#window);
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

  /** Moves the window to `offset` without blocking the event loop, and begins to read what follows it. */
  async fetch(offset: number): Promise<void> {
    if (!await this.#takeAhead(offset)) {
      const window = this.#moveTo(offset);
      this.#length = await this.#file.readAtAsync(window, offset);
    }
    this.#readAhead();
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
    if (!isFrameHeader(this.#view, at, this.#salt)) return false;
    const count = FRAME_HEADER + getU32(this.#bytes, at);
    if (offset + count > this.size) return false;
    if (at + count > this.#length) {
      if (count <= this.#window.length) this.#fill(offset);
      else if (!this.#fillLarge(offset, count)) return false;
      at = offset - this.#base;
      if (at + count > this.#length) return false;
    }
    const end = frameEnd(this.#view, at, this.#length, this.#salt, this.#base);
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
      if (isFrameHeader(this.#view, at, this.#salt) && this.load(offset)) return offset;
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

  /** Begins to read what stands behind the window. */
  #readAhead(): void {
    const offset = this.#base + this.#length;
    const left = this.size - offset;
    if (left <= 0 || this.#ahead !== undefined) return;
    this.#spare ??= new Uint8Array(this.#window.length);
    const into = this.#spare.subarray(this.#headroom, this.#headroom + left);
    const count = this.#file.readAtAsync(into, offset);
    // Whoever takes it is told; it may be that nobody does.
    count.catch(() => {});
    this.#ahead = { offset, count };
  }

  /**
   * Makes what was read ahead the window, with the bytes from `offset` to there in front of it: a frame
   * lies across the two.
   * @returns false when `offset` is not one that this can be done for
   */
  async #takeAhead(offset: number): Promise<boolean> {
    const ahead = this.#ahead;
    const spare = this.#spare;
    if (ahead === undefined || spare === undefined) return false;
    const before = ahead.offset - offset;
    const from = offset - this.#base;
    const fits = before >= 0 && before <= this.#headroom && from >= 0 &&
      from + before <= this.#length;
    // Not even when it is of no use may its buffer be filled by another read meanwhile.
    const count = await (fits ? ahead.count : ahead.count.catch(() => 0));
    this.#ahead = undefined;
    if (!fits) return false;
    const start = this.#headroom - before;
    spare.set(this.#bytes.subarray(from, from + before), start);
    this.#spare = this.#window;
    this.#window = spare;
    this.#use(spare.subarray(start), offset);
    this.#length = before + count;
    return true;
  }

  #use(bytes: Uint8Array, offset: number): void {
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
    this.#base = offset;
  }

  /** Makes the window begin at `offset`; nothing is in it yet. */
  #moveTo(offset: number): Uint8Array {
    this.#use(this.#window, offset);
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
    this.#use(bytes, offset);
    return true;
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
