/**
 * Reading the log back: which segments form the log, which frames in them are sound, and what of the
 * rest is the torn tail of a crash (normal) or loss (reported, never silent).
 * @module
 */
import { getU32, PairError } from "../../model/mod.ts";
import type { Cipher, Disk } from "../../runtime/mod.ts";
import { type Files, parseSegmentName } from "../files.ts";
import {
  decodeHeader,
  FRAME_HEADER,
  HEADER_SIZE,
  HEADER_SIZE_1,
  headerSize,
  isCopySound,
  type LoggedMutation,
  mutationsOf,
  segmentCipher,
  type SegmentHeader,
  TYPE_BATCH,
  TYPE_CLOSE,
} from "./format.ts";
import type { Segment } from "./log.ts";
import { RecordCursor } from "./records.ts";
import { SegmentFile } from "./segment_file.ts";

/** Bytes of the log that were durable once and cannot be read any more. */
export interface Loss {
  readonly file: string;
  readonly offset: number;
  /** 0 when the file ends there and should not. */
  readonly bytes: number;
}

/** A segment as it was found. */
export interface FoundSegment {
  readonly number: number;
  readonly path: string;
  readonly size: number;
  /** Undefined when the header is damaged. */
  readonly header: SegmentHeader | undefined;
  /** Bytes that count; undefined for the last segment, whose end is found by reading it. */
  readonly limit: number | undefined;
}

/** What one segment held. */
export interface SegmentResult {
  readonly segment: Segment;
  readonly records: number;
  readonly tornBytes: number;
  readonly losses: readonly Loss[];
}

/** The segments in a directory. */
export interface FoundLog {
  /** The log, oldest segment first. */
  readonly log: FoundSegment[];
  /** Segments that a crash left unfinished or that are no longer needed. */
  readonly stray: number[];
  /** Segments that had been durable and are gone, or emptied. */
  readonly missing: Loss[];
}

/**
 * Finds the segments of the log.
 *
 * A segment that is missing behind others, or was the newest, is lost: the caller decides. At the
 * beginning segments are removed once the manifest does not need them; when one is missing there, the
 * manifest may as well be older than the log, and the tables that it does not know of hold the data.
 * Going on would remove those.
 * @param oldest  the oldest segment that the manifest still needs
 * @param newest  the newest that it knows of; 0 when it does not say
 * @throws PairError CorruptedData when the beginning of the log is missing
 */
export function findSegments(
  disk: Disk,
  files: Files,
  oldest: number,
  newest = 0,
): FoundLog {
  const stray: number[] = [];
  const found: Omit<FoundSegment, "limit">[] = [];
  const numbers = disk.list(files.walDir).flatMap((name) => parseSegmentName(name) ?? []);
  for (const number of numbers.sort((a, b) => a - b)) {
    const path = files.segment(number);
    const file = disk.openRead(path);
    let bytes: Uint8Array;
    try {
      bytes = new Uint8Array(Math.min(HEADER_SIZE, file.size));
      file.readAt(bytes, 0);
    } finally {
      file.close();
    }
    const header = decodeHeader(path, number, bytes);
    // A header is durable before the first frame, so a file no longer than one was never in use,
    // unless it was cut since: then the manifest knows of it.
    if (number < oldest || (header === undefined && isUnfinished(disk, path, file.size, newest))) {
      stray.push(number);
    } else found.push({ number, path, size: file.size, header });
  }
  const log: FoundSegment[] = [];
  const missing: Loss[] = [];
  const miss = (number: number, bytes: number) => {
    if (log.some((one) => one.number === number)) return;
    if (missing.every(({ file }) => file !== files.segment(number))) {
      missing.push({ file: files.segment(number), offset: 0, bytes });
    }
  };
  for (const segment of found) {
    const before = log.at(-1);
    const { header } = segment;
    if (before !== undefined) {
      const follows = header === undefined || header.previous === before.number;
      if (!follows) miss(header.previous, header.previousLength);
      // What the segment after says of the one before; everything in it counts when that is unknown.
      const limit = follows && header !== undefined ? header.previousLength : Infinity;
      log[log.length - 1] = { ...before, limit };
    }
    log.push({ ...segment, limit: undefined });
  }
  const first = log.at(0)?.header;
  const expected = oldest > 0 ? oldest : first?.previous || first?.segment;
  if (expected !== undefined && expected > 0 && log.at(0)?.number !== expected) {
    // The newest is never removed. When nothing came after it, or only what a recovery without it began,
    // the manifest is not the older of the two.
    if (expected !== newest || first?.previous === expected) throw gone(files, expected);
  }
  const last = log.at(-1);
  // An edit may have said that the log is needed from a segment on before one said that this is the newest.
  if (newest > 0 && newest >= oldest) miss(newest, 0);
  // A segment was durable to its end before the next one was known.
  if (last !== undefined && last.number < newest) {
    log[log.length - 1] = { ...last, limit: Infinity };
  }
  return { log, stray, missing };
}

/**
 * Whether a file without a sound header is one that a crash kept from being made. Beside a manifest that
 * tells of segments, all that are no longer than a header; an older one may have known a segment of format
 * 1, whose header is shorter.
 */
function isUnfinished(disk: Disk, path: string, size: number, newest: number): boolean {
  if (size <= HEADER_SIZE_1 || size > HEADER_SIZE || newest > 0) return size <= HEADER_SIZE;
  const file = new SegmentFile(disk, path);
  try {
    return saltOf(file, undefined) === undefined;
  } finally {
    file.close();
  }
}

function gone(files: Files, number: number): PairError {
  const path = files.segment(number);
  return new PairError("CorruptedData", `Cannot recover: ${path} is missing`, { file: path });
}

/** What is done with a log as it is read. */
export interface ReplayVisitor {
  /** Takes a record; the cursor moves on afterwards. */
  record(seq: number, record: RecordCursor): void;
  /** Told after the records of each batch. What it returns is waited for. */
  batch(lastSeq: number): Promise<void> | undefined;
}

/** For looking at a log without keeping anything. */
export const IGNORE: ReplayVisitor = { record: () => {}, batch: () => undefined };

/** How a segment is read. */
export interface ReadOptions {
  /** The store's key, where frames are sealed. */
  readonly key?: Uint8Array | undefined;
  /** How much is read at a time. */
  readonly windowBytes?: number;
}

/**
 * Reads one segment and hands its batches over, in order.
 * @param seqBefore  the last sequence of the segments before
 */
export async function replaySegment(
  disk: Disk,
  found: FoundSegment,
  seqBefore: number,
  visitor: ReplayVisitor,
  { key, windowBytes }: ReadOptions = {},
): Promise<SegmentResult> {
  const file = new SegmentFile(disk, found.path, found.limit, windowBytes);
  try {
    return await replay(disk, file, found, seqBefore, visitor, key);
  } finally {
    file.close();
  }
}

async function replay(
  disk: Disk,
  file: SegmentFile,
  found: FoundSegment,
  seqBefore: number,
  visitor: ReplayVisitor,
  key: Uint8Array | undefined,
): Promise<SegmentResult> {
  const losses: Loss[] = [];
  const lose = (offset: number, end: number) =>
    losses.push({ file: found.path, offset, bytes: end - offset });
  const records = new RecordCursor();
  let lastSeq = Math.max(seqBefore, (found.header?.firstSeq ?? 1) - 1);
  let count = 0;
  await file.fetch(0);
  const known = saltOf(file, found.header);
  const salt = known?.salt;
  const cipher = cipherOf(key, found.header);
  let at = known?.start ?? file.size;
  if (known === undefined) lose(0, at);
  else if (found.header === undefined) lose(0, at);
  // Whether a frame was written behind it tells a damaged copy from one that was never finished.
  else if (found.size > at && !isCopySound(found.path, found.number, file.head(at))) lose(0, at);
  while (salt !== undefined && at < file.size) {
    if (!file.holds(at)) await file.fetch(at);
    if (!file.load(at)) {
      const next = file.find(at + 1);
      if (found.limit === undefined && !wasDurable(disk, found.path, salt, at, next)) break;
      lose(at, next ?? file.size);
      at = next ?? file.size;
      continue;
    }
    if (file.type === TYPE_BATCH) {
      const { firstSeq, end } = file;
      const opened = file.sealed ? file.open(cipher) : undefined;
      if (file.sealed && opened === undefined) {
        lose(at, end);
        at = end;
        continue;
      }
      if (firstSeq <= lastSeq) {
        throw new PairError(
          "CorruptedData",
          `Cannot recover: ${found.path} at ${at} goes back to sequence ${firstSeq} after ${lastSeq}`,
          { file: found.path, offset: at },
        );
      }
      if (opened !== undefined) records.load(opened, 0, opened.length, found.path, at);
      else records.load(file.bytes, file.payloadStart, file.payloadEnd, found.path, at);
      let seq = firstSeq;
      while (records.next()) visitor.record(seq++, records);
      lastSeq = seq - 1;
      count += seq - firstSeq;
      const waiting = visitor.batch(lastSeq);
      if (waiting !== undefined) await waiting;
    }
    at = file.end;
  }
  // A segment that ends before the length its successor vouches for has lost its end.
  if (found.limit !== undefined && found.limit !== Infinity && found.size < found.limit) {
    lose(found.size, found.limit);
  }
  const end = Math.min(at, file.size);
  return {
    segment: { number: found.number, lastSeq, bytes: end, damaged: losses.length > 0 },
    records: count,
    tornBytes: found.limit === undefined ? found.size - end : 0,
    losses,
  };
}

/**
 * The salt of a segment's frames, which the file is told, and where they begin. When the header is
 * damaged, both are taken from the first frame: only that stands at a known place, another one could be
 * part of a value. Undefined when that is not sound either.
 */
function saltOf(
  file: SegmentFile,
  header: SegmentHeader | undefined,
): { salt: number; start: number } | undefined {
  if (header !== undefined) {
    file.salt = header.salt;
    return { salt: header.salt, start: headerSize(header) };
  }
  for (const start of [HEADER_SIZE, HEADER_SIZE_1]) {
    const head = file.head(start + FRAME_HEADER);
    if (head.length < start + FRAME_HEADER) continue;
    const salt = getU32(head, start + 8);
    file.salt = salt;
    if (file.load(start)) return { salt, start };
  }
  return undefined;
}

function cipherOf(
  key: Uint8Array | undefined,
  header: SegmentHeader | undefined,
): Cipher | undefined {
  if (key === undefined || header?.keySalt === undefined) return undefined;
  return segmentCipher(key, header.keySalt);
}

/** What stands in a segment file: its header, batches, the close frame, and stretches that cannot be read. */
export type SegmentItem =
  | SegmentHeader
  | {
    readonly offset: number;
    readonly firstSeq: number;
    readonly tag: string;
    readonly mutations: LoggedMutation[];
  }
  | {
    readonly offset: number;
    readonly firstSeq: number;
    readonly tag: string;
    readonly encryptedBytes: number;
  }
  | { readonly offset: number; readonly closed: true }
  | { readonly offset: number; readonly unreadableBytes: number };

/**
 * Reads a segment on its own, without knowing what lies around it: for people.
 * @param key  the store's; without it, sealed batches are shown as such
 * @throws PairError InvalidArgument for a key that is not the one of the sealing
 */
export function* readSegment(
  disk: Disk,
  path: string,
  number: number,
  key?: Uint8Array,
): Generator<SegmentItem> {
  const file = new SegmentFile(disk, path);
  try {
    const header = decodeHeader(path, number, file.head(HEADER_SIZE));
    const known = saltOf(file, header);
    if (known === undefined) return yield { offset: 0, unreadableBytes: file.size };
    yield header ?? { offset: 0, unreadableBytes: known.start };
    const cipher = cipherOf(key, header);
    const records = new RecordCursor();
    for (let at = known.start; at < file.size;) {
      const start = file.find(at) ?? file.size;
      if (start > at) yield { offset: at, unreadableBytes: start - at };
      if (start === file.size) return;
      const { offset, end, firstSeq, tag } = file;
      if (file.type === TYPE_CLOSE) yield { offset, closed: true };
      else if (file.sealed && cipher === undefined) {
        yield { offset, firstSeq, tag, encryptedBytes: file.payloadEnd - file.payloadStart };
      } else {
        // A copy: the window moves on while the caller still has this.
        const payload = file.sealed
          ? file.open(cipher)
          : file.bytes.slice(file.payloadStart, file.payloadEnd);
        if (payload === undefined) {
          throw new PairError(
            "InvalidArgument",
            `Cannot read ${path} at ${offset}: it was encrypted with another key, or changed`,
            { file: path, offset },
          );
        }
        records.load(payload, 0, payload.length, path, offset);
        yield { offset, firstSeq, tag, mutations: mutationsOf(records) };
      }
      at = end;
    }
  } finally {
    file.close();
  }
}

/** Whether a sound frame, from `next` on, says that the byte at `offset` had been durable. */
function wasDurable(
  disk: Disk,
  path: string,
  salt: number,
  offset: number,
  next: number | undefined,
): boolean {
  if (next === undefined) return false;
  // A reader of its own, so that the caller's stays where it is.
  const file = new SegmentFile(disk, path);
  try {
    file.salt = salt;
    for (let at: number | undefined = next; at !== undefined;) {
      if (!file.load(at)) at = file.find(at + 1);
      else if (file.synced > offset) return true;
      else at = file.end;
    }
    return false;
  } finally {
    file.close();
  }
}
