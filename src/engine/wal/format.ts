/**
 * Write-ahead log: how a batch of writes becomes bytes that survive a crash.
 *
 * A segment is a header and then frames, end to end; one append and one sync carry a whole group of
 * frames. A frame is one batch: recovery sees it whole or not at all.
 *
 *     header:  0          8        12        16         20          24       30     32     36     40        56     60       64
 *              +----------+--------+---------+----------+-----------+--------+------+------+------+---------+------+--------+
 *              | PAIRDBWL | format | segment | previous | previous  | first  | flags| zero | salt | key     | zero | crc32c |
 *              | magic    | u32=2  | u32     | segment  | length    | seq    | u16  | u32  | u32  | salt    | u32  |        |
 *              |          |        |         | u32      | u32       | u48    |      |      |      | 16 bytes|      |        |
 *              +----------+--------+---------+----------+-----------+--------+------+------+------+---------+------+--------+
 *              and the same 64 bytes again, for when the first are damaged: 128 bytes.
 *              Flag 1: frames are sealed under a key derived from the store's and the key salt; else that is zero.
 *              Format 1 has zeros at 30 to 35, its checksum at 40, and ends at 44; it has no copy.
 *
 *     frame:   0        4        8         12       16          22     23      24
 *              +--------+--------+---------+--------+-----------+------+-------+------- - -
 *              | length | crc32c | salt    | synced | first seq | type | tag   | payload, `length` bytes
 *              | u32    | u32    | u32     | u32    | u48       | u8   | u8    |
 *              +--------+--------+---------+--------+-----------+------+-------+------- - -
 *
 *     payload of a batch (type 1), one record after the other; the n-th has sequence first seq + n:
 *              | kind u8 | tree varint | key varint length and bytes | value varint length and bytes |
 *              a delete (kind 1) has no value. A close frame (type 2) has no payload.
 *
 *     sealed:  type + 128: the payload is encrypted by AES-256-GCM, its tag behind it. The nonce is the frame's
 *              offset u48 and six zeros; salt to tag of the frame's header are authenticated with it.
 *
 * The frame's checksum starts from the frame's offset in the file and covers everything behind it: salt to
 * the end of the payload. `synced` is how
 * much of the segment was durable when the frame was written. With it recovery tells the two kinds of
 * damage apart: a bad frame at or beyond every `synced` in the file is the torn tail of a crash and was
 * never acknowledged; a bad frame below one of them had been durable, and is loss.
 * `previous length` does the same for a whole segment: what lies beyond it in the previous one is torn.
 *
 * Invariants
 *   - Segment N is synced and closed before anything in N+1 is acknowledged.
 *   - Sequences rise from frame to frame and from segment to segment.
 *   - What a field means is on disk for ever: a new meaning takes a new format number.
 *
 * The salt is drawn at random for each segment and stands in its header and its frames. Recovery looks
 * for sound frames at every byte behind a damaged one, and a value may hold anything, also a well-made
 * frame: a copy of a log, or what a client made up to be found there. Without the salt it is no frame of
 * this segment, and without its offset none of this place. Nor is what is left over from another file.
 * After LevelDB's log format and Pebble's record package. Byte by byte: docs/formats.md.
 * @module
 */
import {
  crc32c,
  crc32cOf,
  getU32,
  getU48,
  PairError,
  putU32,
  putU48,
  putVarint,
  varintLength,
} from "../../model/mod.ts";
import { Cipher, deriveKey, NONCE_BYTES, TAG_BYTES } from "../../runtime/mod.ts";
import { type EntryKind, KIND_DELETE, type OriginTag } from "../api.ts";
import type { RecordCursor } from "./records.ts";

/** The version that this program writes, and the newest that it reads. */
export const WAL_FORMAT = 2;
/** The header and its copy. */
export const HEADER_SIZE = 128;
const HEADER_COPY = 64;
/** In format 1. */
export const HEADER_SIZE_1 = 44;
export const FRAME_HEADER = 24;
export const TYPE_BATCH = 1;
export const TYPE_CLOSE = 2;
/** Added to the type of a frame whose payload is encrypted. */
export const SEALED = 0x80;
const FLAG_SEALED = 1;
const KEY_SALT_BYTES = 16;

const MAGIC = [0x50, 0x41, 0x49, 0x52, 0x44, 0x42, 0x57, 0x4c]; // "PAIRDBWL"
const TAGS: readonly OriginTag[] = ["write", "delete", "repair"];

/** What a segment's header says. */
export interface SegmentHeader {
  readonly format: number;
  readonly segment: number;
  /** The segment before this one; 0 for the first. */
  readonly previous: number;
  /** Bytes of the one before that count. */
  readonly previousLength: number;
  /** The first sequence that can stand in this segment. */
  readonly firstSeq: number;
  /** What the segment's frames are known by: 32 random bits. */
  readonly salt: number;
  /** What the key of sealed frames is derived with: 16 random bytes; undefined when nothing is sealed. */
  readonly keySalt: Uint8Array | undefined;
}

/** Bytes in front of the first frame. */
export function headerSize(header: SegmentHeader): number {
  return header.format === 1 ? HEADER_SIZE_1 : HEADER_SIZE;
}

/** One change, as the log keeps it. */
export interface LoggedMutation {
  readonly kind: EntryKind;
  readonly tree: { readonly id: number };
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** The bytes of a header in the present format. */
export function encodeHeader(header: Omit<SegmentHeader, "format">): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(HEADER_SIZE);
  bytes.set(MAGIC);
  putU32(bytes, 8, WAL_FORMAT);
  putU32(bytes, 12, header.segment);
  putU32(bytes, 16, header.previous);
  putU32(bytes, 20, header.previousLength);
  putU48(bytes, 24, header.firstSeq);
  putU32(bytes, 36, header.salt);
  if (header.keySalt !== undefined) {
    bytes[30] = FLAG_SEALED;
    bytes.set(header.keySalt, 40);
  }
  putU32(bytes, 60, crc32c(bytes, 0, 60));
  bytes.copyWithin(HEADER_COPY, 0, HEADER_COPY);
  return bytes;
}

/**
 * Reads a header, or its copy; undefined when both are cut or damaged, or of another segment.
 * @throws PairError InvalidArgument when its format is newer than this program
 */
export function decodeHeader(
  path: string,
  segment: number,
  bytes: Uint8Array,
): SegmentHeader | undefined {
  return decodeOne(path, segment, bytes) ??
    decodeOne(path, segment, bytes.subarray(HEADER_COPY, HEADER_SIZE));
}

/** Whether a header's copy, if it has one, is as good as the header. */
export function isCopySound(path: string, segment: number, bytes: Uint8Array): boolean {
  const header = decodeOne(path, segment, bytes);
  return header?.format === 1 || header !== undefined &&
      decodeOne(path, segment, bytes.subarray(HEADER_COPY, HEADER_SIZE)) !== undefined;
}

function decodeOne(path: string, segment: number, bytes: Uint8Array): SegmentHeader | undefined {
  if (bytes.length < HEADER_SIZE_1 || MAGIC.some((byte, i) => bytes[i] !== byte)) return undefined;
  const format = getU32(bytes, 8);
  const sound = (at: number) =>
    bytes.length >= at + 4 && getU32(bytes, at) === crc32c(bytes, 0, at);
  // Where a newer format has its checksum nobody knows: where the known ones have it is the best guess.
  if (format === 1 ? !sound(40) : !sound(60) && !(format > WAL_FORMAT && sound(40))) {
    return undefined;
  }
  if (format > WAL_FORMAT) {
    throw new PairError(
      "InvalidArgument",
      `Cannot open ${path}: its format is ${format}, newer than this program's ${WAL_FORMAT}`,
      { file: path, format },
    );
  }
  if (getU32(bytes, 12) !== segment) return undefined;
  const sealed = format > 1 && (bytes[30] & FLAG_SEALED) !== 0;
  return {
    format,
    segment,
    previous: getU32(bytes, 16),
    previousLength: getU32(bytes, 20),
    firstSeq: getU48(bytes, 24),
    salt: getU32(bytes, 36),
    keySalt: sealed ? bytes.slice(40, 40 + KEY_SALT_BYTES) : undefined,
  };
}

/** Bytes that one mutation takes in a payload. */
export function recordLength({ tree, kind, key, value }: LoggedMutation): number {
  return 1 + varintLength(tree.id) + varintLength(key.length) + key.length +
    (kind === KIND_DELETE ? 0 : varintLength(value.length) + value.length);
}

/** Writes one mutation at `at`; returns where it ended. */
export function putRecord(into: Uint8Array, at: number, mutation: LoggedMutation): number {
  into[at++] = mutation.kind;
  at = putVarint(into, at, mutation.tree.id);
  at = putVarint(into, at, mutation.key.length);
  into.set(mutation.key, at);
  at += mutation.key.length;
  if (mutation.kind === KIND_DELETE) return at;
  at = putVarint(into, at, mutation.value.length);
  into.set(mutation.value, at);
  return at + mutation.value.length;
}

/**
 * Fills in a frame's header in front of its payload, which already stands at `at + FRAME_HEADER`. What
 * depends on its place, {@link checkFrame} or {@link sealFrame} adds.
 * @param length  of the payload; of one to be sealed, with its tag
 */
export function putFrame(
  into: Uint8Array,
  at: number,
  length: number,
  firstSeq: number,
  type: number,
  tag: OriginTag,
): void {
  putU32(into, at, length);
  putU48(into, at + 16, firstSeq);
  into[at + 22] = type;
  into[at + 23] = TAGS.indexOf(tag);
}

/**
 * Makes a frame one of its place and segment; returns where it ends in `into`.
 * @param offset  where in the file the frame will begin
 * @param synced  how much of the file is durable before the frame is written
 */
export function checkFrame(
  into: Uint8Array,
  at: number,
  offset: number,
  salt: number,
  synced: number,
): number {
  const end = at + FRAME_HEADER + getU32(into, at);
  putU32(into, at + 8, salt);
  putU32(into, at + 12, synced);
  putU32(into, at + 4, crc32c(into, at + 8, end, offset));
  return end;
}

/** The same, and encrypts the payload, behind which there is room for the tag. Once for each frame. */
export function sealFrame(
  cipher: Cipher,
  into: Uint8Array,
  at: number,
  offset: number,
  salt: number,
  synced: number,
): number {
  const end = at + FRAME_HEADER + getU32(into, at);
  putU32(into, at + 8, salt);
  putU32(into, at + 12, synced);
  const text = into.subarray(at + FRAME_HEADER, end - TAG_BYTES);
  const bound = into.subarray(at + 8, at + FRAME_HEADER);
  into.set(cipher.seal(nonceOf(offset), text, bound), at + FRAME_HEADER);
  return checkFrame(into, at, offset, salt, synced);
}

/**
 * The payload of a sealed frame that passed its checksum; undefined when the key is not the one of the
 * sealing, or somebody changed frame and checksum.
 */
export function openFrame(
  cipher: Cipher,
  bytes: Uint8Array,
  at: number,
  end: number,
  offset: number,
): Uint8Array | undefined {
  const bound = bytes.subarray(at + 8, at + FRAME_HEADER);
  return cipher.open(nonceOf(offset), bytes.subarray(at + FRAME_HEADER, end), bound);
}

/** The cipher of a segment's frames. */
export function segmentCipher(key: Uint8Array, keySalt: Uint8Array): Cipher {
  return new Cipher(deriveKey(key, keySalt, "log"));
}

function nonceOf(offset: number): Uint8Array {
  const nonce = new Uint8Array(NONCE_BYTES);
  putU48(nonce, 0, offset);
  return nonce;
}

/** Whether the bytes at `at` can be the header of a frame with this salt. */
export function isFrameHeader(bytes: DataView, at: number, salt: number): boolean {
  const type = bytes.getUint8(at + 22) & ~SEALED;
  return bytes.getUint32(at + 8, true) === salt && (type === TYPE_BATCH || type === TYPE_CLOSE) &&
    bytes.getUint8(at + 23) < TAGS.length;
}

/** What a frame was made for; undefined when that is not known. */
export function frameTag(bytes: Uint8Array, at: number): OriginTag | undefined {
  return TAGS[bytes[at + 23]];
}

/**
 * Checks the frame at `at`.
 * @param length  bytes that are there
 * @param base    the offset in the file of the first of `bytes`
 * @returns where it ends in `bytes`; 0 when there is no sound frame with this salt
 */
export function frameEnd(
  bytes: DataView,
  at: number,
  length: number,
  salt: number,
  base: number,
): number {
  if (at + FRAME_HEADER > length || !isFrameHeader(bytes, at, salt)) return 0;
  const end = at + FRAME_HEADER + bytes.getUint32(at, true);
  if (end > length) return 0;
  return bytes.getUint32(at + 4, true) === crc32cOf(bytes, at + 8, end, base + at) ? end : 0;
}

/** All records that a cursor still has before it, in place. */
export function mutationsOf(records: RecordCursor): LoggedMutation[] {
  const mutations: LoggedMutation[] = [];
  while (records.next()) mutations.push(records.mutation());
  return mutations;
}
