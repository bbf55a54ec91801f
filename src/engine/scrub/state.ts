/**
 * SCRUB: how far a scrub is, and which files it has found damaged, for the next start.
 *
 *     0          8            12           16             20
 *     +----------+------------+------------+--------------+---------- - - -
 *     | PairScrb | format u32 | length u32 | checksum u32 | state, length bytes
 *     +----------+------------+------------+--------------+---------- - - -
 *
 *     state: started at, ms since 1970, varint | end varint | position varint | rounds varint
 *            | damaged files varint | for each: number varint | problem: length varint, UTF-8
 *
 * A round verifies the files with numbers from 1 up to, and without, its end, in their order; position is
 * the last that it has done. An end of 0: no round is under way. Numbers never come again, so none of them
 * can come to mean another file. The checksum is the crc32c of the state. Who loses the file loses nothing
 * but work: a round begins anew.
 * @module
 */
import {
  ByteReader,
  ByteWriter,
  crc32c,
  getU32,
  PairError,
  putU32,
  utf8,
} from "../../model/mod.ts";
import type { Disk } from "../../runtime/mod.ts";
import type { Files } from "../files.ts";

/** The format that is written. */
const SCRUB_FORMAT = 1;
const MAGIC = utf8("PairScrb");
const HEADER = 20;
/** A longer file is none of ours. */
const FILE_MAX = 16 << 20;
/** Damaged files that are written down at most; the next round finds the rest again. */
const DAMAGED_MAX = 1000;
/** Characters of a problem. */
const PROBLEM_MAX = 1000;

/** How far a scrub is. */
export interface ScrubState {
  /** Wall time of the beginning of the last round, ms since 1970; 0: there was none. */
  readonly startedAtMs: number;
  /** The round's files have numbers below this; 0: no round is under way. */
  readonly end: number;
  /** The last file that it has done. */
  readonly position: number;
  /** Rounds that came to their end. */
  readonly rounds: number;
  /** What is wrong with damaged tables, by number. */
  readonly damaged: ReadonlyMap<number, string>;
}

/** Nothing was ever scrubbed. */
export const NEVER: ScrubState = {
  startedAtMs: 0,
  end: 0,
  position: 0,
  rounds: 0,
  damaged: new Map(),
};

/** A file's bytes for a state. */
export function encodeScrub(state: ScrubState): Uint8Array<ArrayBuffer> {
  const { startedAtMs, end, position, rounds } = state;
  const damaged = [...state.damaged].slice(0, DAMAGED_MAX);
  const writer = new ByteWriter();
  writer.raw(new Uint8Array(HEADER));
  writer.varint(startedAtMs).varint(end).varint(position).varint(rounds).varint(damaged.length);
  for (const [number, problem] of damaged) {
    writer.varint(number).text(problem.slice(0, PROBLEM_MAX).toWellFormed());
  }
  const bytes = writer.finish();
  bytes.set(MAGIC);
  putU32(bytes, 8, SCRUB_FORMAT);
  putU32(bytes, 12, bytes.length - HEADER);
  putU32(bytes, 16, crc32c(bytes, HEADER, bytes.length));
  return bytes;
}

/** @throws PairError CorruptedData when it is damaged, foreign or of another format */
export function decodeScrub(path: string, bytes: Uint8Array): ScrubState {
  const refuse = (why: string) =>
    new PairError("CorruptedData", `Cannot read ${path}: ${why}`, { file: path, offset: 0 });
  if (bytes.length < HEADER || MAGIC.some((byte, i) => bytes[i] !== byte)) {
    throw refuse("it is no scrub's state");
  }
  const format = getU32(bytes, 8);
  if (format !== SCRUB_FORMAT) throw refuse(`it has format ${format}`);
  if (getU32(bytes, 12) !== bytes.length - HEADER) throw refuse("it has another length");
  if (getU32(bytes, 16) !== crc32c(bytes, HEADER, bytes.length)) {
    throw refuse("its checksum does not fit");
  }
  const reader = new ByteReader(bytes, path, HEADER, bytes.length);
  const [startedAtMs, end, position, rounds, count] = Array.from(
    { length: 5 },
    () => reader.varint(),
  );
  // Each takes two bytes at least: a length from the file must not become an allocation.
  if (count * 2 > reader.remaining) throw reader.damaged("it has fewer files than it says");
  const damaged = new Map<number, string>();
  for (let i = 0; i < count; i++) damaged.set(reader.varint(), reader.text());
  reader.end();
  return { startedAtMs, end, position, rounds, damaged };
}

/** The state of a store; {@link NEVER} when there is no file. @throws PairError CorruptedData, DiskError */
export function loadScrub(disk: Disk, files: Files): ScrubState {
  const found = disk.stat(files.scrub);
  if (found === undefined) return NEVER;
  if (found.kind !== "file" || found.size > FILE_MAX) {
    throw new PairError("CorruptedData", `Cannot read ${files.scrub}: it is too large`, {
      file: files.scrub,
      offset: 0,
    });
  }
  return decodeScrub(files.scrub, disk.readWhole(files.scrub));
}

/** Writes a state down; its bytes are durable on return, its name soon after. @throws DiskError */
export async function saveScrub(disk: Disk, files: Files, state: ScrubState): Promise<void> {
  if (disk.stat(files.scrubTemp) !== undefined) disk.remove(files.scrubTemp);
  const file = disk.create(files.scrubTemp);
  try {
    file.append(encodeScrub(state));
    await file.sync();
  } finally {
    file.close();
  }
  disk.rename(files.scrubTemp, files.scrub);
}
