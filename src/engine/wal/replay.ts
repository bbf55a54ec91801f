/**
 * Reading the log back: which segments form the log, which frames in them are sound, and what of the
 * rest is the torn tail of a crash (normal) or loss (reported, never silent).
 * @module
 */
import { PairError } from "../../model/mod.ts";
import type { Disk } from "../../runtime/mod.ts";
import { type Files, parseSegmentName } from "../files.ts";
import {
  decodeFrame,
  decodeHeader,
  decodeRecords,
  type Frame,
  HEADER_SIZE,
  type LoggedMutation,
  saltOfFirstFrame,
  type SegmentHeader,
  TYPE_BATCH,
  TYPE_CLOSE,
} from "./format.ts";
import type { Segment } from "./log.ts";

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
    if (number < oldest || (header === undefined && file.size <= HEADER_SIZE)) stray.push(number);
    else found.push({ number, path, size: file.size, header });
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
  if (newest > 0) miss(newest, 0);
  // A segment was durable to its end before the next one was known.
  if (last !== undefined && last.number < newest) {
    log[log.length - 1] = { ...last, limit: Infinity };
  }
  return { log, stray, missing };
}

function gone(files: Files, number: number): PairError {
  const path = files.segment(number);
  return new PairError("CorruptedData", `Cannot recover: ${path} is missing`, { file: path });
}

/**
 * Reads one segment and hands its batches over, in order.
 * @param seqBefore  the last sequence of the segments before
 */
export async function replaySegment(
  disk: Disk,
  found: FoundSegment,
  seqBefore: number,
  apply: (firstSeq: number, mutations: LoggedMutation[]) => void | Promise<void>,
): Promise<SegmentResult> {
  const whole = disk.readWhole(found.path);
  const limit = found.limit ?? whole.length;
  const bytes = limit < whole.length ? whole.subarray(0, limit) : whole;
  const losses: Loss[] = [];
  const lose = (offset: number, end: number) =>
    losses.push({ file: found.path, offset, bytes: end - offset });
  let lastSeq = Math.max(seqBefore, (found.header?.firstSeq ?? 1) - 1);
  let records = 0;
  let at = HEADER_SIZE;
  const salt = found.header?.salt ?? saltOfFirstFrame(bytes);
  if (salt === undefined) lose(0, at = bytes.length);
  else if (found.header === undefined) lose(0, HEADER_SIZE);
  while (salt !== undefined && at < bytes.length) {
    const frame = decodeFrame(bytes, at, salt);
    if (frame === undefined) {
      const next = nextFrame(bytes, at + 1, salt);
      if (found.limit === undefined && !wasDurable(bytes, at, next, salt)) break;
      lose(at, next?.offset ?? bytes.length);
      at = next?.offset ?? bytes.length;
      continue;
    }
    if (frame.type === TYPE_BATCH) {
      if (frame.firstSeq <= lastSeq) {
        throw new PairError(
          "CorruptedData",
          `Cannot recover: ${found.path} at ${at} goes back to sequence ${frame.firstSeq} after ${lastSeq}`,
          { file: found.path, offset: at },
        );
      }
      const mutations = decodeRecords(found.path, bytes, frame);
      const waiting = apply(frame.firstSeq, mutations);
      if (waiting !== undefined) await waiting;
      lastSeq = frame.firstSeq + mutations.length - 1;
      records += mutations.length;
    }
    at = frame.end;
  }
  // A segment that ends before the length its successor vouches for has lost its end.
  if (found.limit !== undefined && found.limit !== Infinity && whole.length < found.limit) {
    lose(whole.length, found.limit);
  }
  const end = Math.min(at, bytes.length);
  return {
    segment: { number: found.number, lastSeq, bytes: end, damaged: losses.length > 0 },
    records,
    tornBytes: found.limit === undefined ? whole.length - end : 0,
    losses,
  };
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
  | { readonly offset: number; readonly closed: true }
  | { readonly offset: number; readonly unreadableBytes: number };

/** Reads a segment on its own, without knowing what lies around it: for people. */
export function* readSegment(disk: Disk, path: string, number: number): Generator<SegmentItem> {
  const bytes = disk.readWhole(path);
  const header = decodeHeader(path, number, bytes);
  const salt = header?.salt ?? saltOfFirstFrame(bytes);
  if (salt === undefined) return yield { offset: 0, unreadableBytes: bytes.length };
  yield header ?? { offset: 0, unreadableBytes: HEADER_SIZE };
  for (let at = HEADER_SIZE; at < bytes.length;) {
    const frame = nextFrame(bytes, at, salt);
    const start = frame?.offset ?? bytes.length;
    if (start > at) yield { offset: at, unreadableBytes: start - at };
    if (frame === undefined) return;
    const { offset, firstSeq, tag } = frame;
    if (frame.type === TYPE_CLOSE) yield { offset, closed: true };
    else yield { offset, firstSeq, tag, mutations: decodeRecords(path, bytes, frame) };
    at = frame.end;
  }
}

/** The first sound frame at or after an offset. */
function nextFrame(bytes: Uint8Array, from: number, salt: number): Frame | undefined {
  for (let at = from; at < bytes.length; at++) {
    const frame = decodeFrame(bytes, at, salt);
    if (frame !== undefined) return frame;
  }
  return undefined;
}

/** Whether a sound frame, from `next` on, says that the byte at `offset` had been durable. */
function wasDurable(
  bytes: Uint8Array,
  offset: number,
  next: Frame | undefined,
  salt: number,
): boolean {
  for (let frame = next; frame !== undefined;) {
    if (frame.synced > offset) return true;
    frame = decodeFrame(bytes, frame.end, salt) ?? nextFrame(bytes, frame.end, salt);
  }
  return false;
}
