/**
 * Verifying one file, a part at a time, in a worker thread: a part takes some tens of milliseconds, so that
 * no thread is held for long, and pauses fall between parts.
 *
 *     table     bytes     all of them, against the checksum of the whole file
 *               entries   from the first to the last, block after block: checksums, order, how many
 *     segment   frames    up to the length that counts
 *
 * A part ends with a position, which the next part is given: nothing else is kept between them.
 * @module
 */
import { PairError } from "../../model/mod.ts";
import type { Disk } from "../../runtime/mod.ts";
import { compareEntries, type EntryPlace } from "../cursor.ts";
import { type Supervised, supervisedDisk } from "../job_monitor.ts";
import { type TableKey, TableReader, verifyTablePart } from "../sstable/mod.ts";
import { Rests } from "../throttle.ts";
import { verifySegmentPart } from "../wal/mod.ts";

/** Where the next part begins. */
export type ScrubPosition =
  | {
    readonly step: "bytes";
    readonly offset: number;
    /** The checksum of what lies before. */
    readonly crc: number;
  }
  | {
    readonly step: "entries";
    /** The last entry that was verified; undefined: none was. */
    readonly last: { readonly key: Uint8Array; readonly seq: number } | undefined;
    /** Entries so far. */
    readonly count: number;
  }
  | { readonly step: "frames"; readonly offset: number };

/** What is verified. */
export type ScrubTarget =
  | {
    readonly kind: "table";
    readonly path: string;
    readonly number: number;
    readonly size: number;
    readonly tree: number;
    /** Entries that the manifest says it has. */
    readonly entries: number;
  }
  | {
    readonly kind: "segment" | "archive";
    readonly path: string;
    readonly number: number;
    readonly size: number;
    /** Bytes that count; undefined when nobody knows. */
    readonly counted: number | undefined;
  };

/** A message to a worker: one part of a file. */
export interface ScrubJob extends Supervised {
  readonly type: "scrub";
  readonly target: ScrubTarget;
  readonly position: ScrubPosition;
  /** About how many bytes the part goes through. */
  readonly bytesMax: number;
  /** The store's key, where it is encrypted. */
  readonly key: Uint8Array | undefined;
}

/** Where a file is begun. */
export function beginningOf({ kind }: ScrubTarget): ScrubPosition {
  return kind === "table" ? { step: "bytes", offset: 0, crc: 0 } : { step: "frames", offset: 0 };
}

/**
 * Carries out one part.
 * @param waits  whether the thread may sleep
 * @returns where to go on; undefined when the file is done, and sound
 * @throws PairError CorruptedData or ChecksumFailed for a damaged file, SSTableFailed or DiskError when the
 *   disk fails
 */
export function runScrubJob(
  machine: Disk,
  job: ScrubJob,
  waits: boolean,
): ScrubPosition | undefined {
  const disk = supervisedDisk(machine, job, waits);
  const { target, position, bytesMax } = job;
  const { path, number } = target;
  if (position.step === "frames") {
    const counted = target.kind === "table" ? undefined : target.counted;
    const offset = verifySegmentPart(disk, path, number, position.offset, counted, bytesMax);
    return offset === undefined ? undefined : { step: "frames", offset };
  }
  if (target.kind !== "table") throw new Error(`a ${target.kind} has no ${position.step}`);
  if (position.step === "bytes") {
    const part = verifyTablePart(disk, path, number, position, bytesMax);
    if (part !== undefined) return { step: "bytes", ...part };
    return { step: "entries", last: undefined, count: 0 };
  }
  const rests = waits && job.throttle !== undefined ? new Rests(job.throttle) : undefined;
  const key = job.key && { key: job.key, tree: target.tree };
  return verifyEntries(disk, target, position, bytesMax, key, rests);
}

function verifyEntries(
  disk: Disk,
  { path, number, size, entries }: ScrubTarget & { kind: "table" },
  { last, count: before }: ScrubPosition & { step: "entries" },
  bytesMax: number,
  key: TableKey | undefined,
  rests: Rests | undefined,
): ScrubPosition | undefined {
  const reader = new TableReader(disk, path, number, undefined, key);
  try {
    if (reader.size !== size) throw damaged(path, `it has ${reader.size} bytes, not ${size}`);
    const cursor = reader.cursor();
    const previous = new Previous();
    let count = before;
    if (last === undefined) cursor.seekFirst();
    else {
      cursor.seek(last.key, last.seq);
      previous.set({ keyBuffer: last.key, keyStart: 0, keyEnd: last.key.length, seq: last.seq });
      if (!cursor.valid || compareEntries(previous, cursor) !== 0) {
        throw damaged(path, `entry ${count} cannot be found again`);
      }
      cursor.next();
    }
    for (let bytes = 0; cursor.valid; cursor.next()) {
      if (count > 0 && compareEntries(previous, cursor) >= 0) {
        throw damaged(path, `entry ${count} is out of order`);
      }
      previous.set(cursor);
      count++;
      const read = cursor.keyEnd - cursor.keyStart + cursor.valueEnd - cursor.valueStart;
      bytes += read;
      rests?.after(read);
      if (bytes >= bytesMax) return { step: "entries", last: previous.copy(), count };
    }
    if (count !== entries || reader.properties.entries !== entries) {
      throw damaged(path, `${count} entries, not ${entries}`);
    }
    return undefined;
  } finally {
    reader.close();
  }
}

/** The entry before: a copy, since its cursor has gone on. */
class Previous implements EntryPlace {
  keyBuffer = new Uint8Array(256);
  readonly keyStart = 0;
  keyEnd = 0;
  seq = 0;

  set({ keyBuffer, keyStart, keyEnd, seq }: EntryPlace): void {
    const length = keyEnd - keyStart;
    if (length > this.keyBuffer.length) this.keyBuffer = new Uint8Array(2 * length);
    for (let i = 0; i < length; i++) this.keyBuffer[i] = keyBuffer[keyStart + i];
    this.keyEnd = length;
    this.seq = seq;
  }

  copy(): { key: Uint8Array; seq: number } {
    return { key: this.keyBuffer.slice(0, this.keyEnd), seq: this.seq };
  }
}

function damaged(file: string, why: string): PairError {
  return new PairError("CorruptedData", `Cannot read ${file}: ${why}`, { file, offset: 0 });
}
