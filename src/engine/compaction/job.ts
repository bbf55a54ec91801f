/**
 * Table jobs: the work on whole tables that runs in worker threads. A flush turns a frozen memtable into
 * a table, a compaction turns tables into others. A job is a message; it writes and syncs files and
 * says what it made, and only the engine's thread makes them part of the store.
 * @module
 */
import { PairError } from "../../model/mod.ts";
import type { Disk } from "../../runtime/mod.ts";
import type { MergeOperator } from "../api.ts";
import { compareRanges, type EntryCursor, MergingCursor } from "../cursor.ts";
import { tablePath } from "../files.ts";
import { type Supervised, supervisedDisk } from "../job_monitor.ts";
import { Memtable, type SharedMemtable } from "../memtable/mod.ts";
import {
  type FinishedTable,
  type TableKey,
  type TableOptions,
  TableReader,
  TableWriter,
} from "../sstable/mod.ts";
import { Rests } from "../throttle.ts";
import { mergeEntries } from "./merge.ts";

/** What both jobs need. */
export interface JobBase extends Omit<Supervised, "type"> {
  /** The directory of the tree. */
  readonly dir: string;
  /** Name of the tree's merge operator; empty for none. */
  readonly operator: string;
  /** Pinned sequences, ascending. */
  readonly snapshots: readonly number[];
  readonly table: TableOptions;
  /** What the tables are sealed with, each with a salt of its own; undefined when they are not. */
  readonly seal: (TableKey & { readonly salts: readonly Uint8Array[] }) | undefined;
  /** Wall time for the new tables' properties. */
  readonly nowMs: number;
  /** Bounds of when the entries were written. */
  readonly minTimeMs: number;
  readonly maxTimeMs: number;
  /** The first of `outputs` file numbers that are reserved for the job. */
  readonly firstOutput: number;
  readonly outputs: number;
}

/** Memtable to table. */
export interface FlushJob extends JobBase {
  readonly type: "flush";
  readonly memtable: SharedMemtable;
}

/** Tables to tables. */
export interface CompactJob extends JobBase {
  readonly type: "compact";
  /** Numbers of the input tables, and the entries that each must have. */
  readonly inputs: readonly { readonly number: number; readonly entries: number }[];
  readonly bottom: boolean;
  /** At the bottom, values that were dead by then go, ms since 1970; 0: none. */
  readonly purgeBeforeMs: number;
  /** And nothing that was written after this sequence. */
  readonly purgeUpToSeq: number;
  /** A new table is begun when one has this many bytes. */
  readonly targetSize: number;
  /** Keys, ascending, at which a new table is begun as well. */
  readonly cuts: readonly Uint8Array[];
  /** The job gives up when it would write more: there is no room on the disk. */
  readonly bytesMax: number;
}

/** A message to a worker. */
export type TableJob = FlushJob | CompactJob;

/** What a job made; no table when nothing survived. */
export interface TableJobResult {
  readonly tables: readonly FinishedTable[];
  /** Bytes of tables read. */
  readonly bytesRead: number;
  /** Values dropped because they were dead. */
  readonly purged: number;
  /** The largest of their floors; see `MergeOperator`. */
  readonly floor: number;
  /** The largest of their sequences. */
  readonly purgedSeq: number;
}

/**
 * Carries out one job; on failure it removes what it had written.
 * @param waits  whether the thread may sleep, to keep to the throttle and to make way: in a worker, not on
 *   the engine's own
 * @throws PairError InvalidArgument for an operator that this program does not have, CorruptedData or
 *   ChecksumFailed for a damaged input; DiskFull for more than it may write; DiskError
 */
export function runTableJob(
  machine: Disk,
  operators: readonly MergeOperator[],
  job: TableJob,
  waits = false,
): TableJobResult {
  const disk = supervisedDisk(machine, job, waits);
  const operator = findOperator(operators, job.operator);
  const rests = waits && job.throttle !== undefined ? new Rests(job.throttle) : undefined;
  if (job.type === "flush") {
    const memtable = Memtable.fromShared(job.memtable);
    const made = writeTables(disk, job, operator, memtable.cursor(), rests);
    return { tables: made.finished, bytesRead: 0, purged: 0, floor: 0, purgedSeq: 0 };
  }
  const readers: TableReader[] = [];
  try {
    for (const { number } of job.inputs) {
      const path = tablePath(job.dir, number);
      readers.push(new TableReader(disk, path, number, undefined, job.seal));
    }
    const input = new MergingCursor(readers.map((reader) => reader.cursor()));
    const made = writeTables(disk, job, operator, input, rests);
    const expected = job.inputs.reduce((sum, { entries }) => sum + entries, 0);
    if (made.read !== expected) {
      removeTables(disk, job, made.finished);
      throw new PairError(
        "CorruptedData",
        `Cannot compact ${job.dir}: read ${made.read} entries, expected ${expected}`,
        { file: job.dir, read: made.read, expected },
      );
    }
    const bytesRead = readers.reduce((sum, reader) => sum + reader.size, 0);
    const { finished: tables, purged, floor, purgedSeq } = made;
    return { tables, bytesRead, purged, floor, purgedSeq };
  } finally {
    for (const reader of readers) reader.close();
  }
}

/** The operator of a name; undefined for the empty name. */
export function findOperator(
  operators: readonly MergeOperator[],
  name: string,
): MergeOperator | undefined {
  if (name === "") return undefined;
  const operator = operators.find((candidate) => candidate.name === name);
  if (operator === undefined) {
    throw new PairError("InvalidArgument", `Cannot find the merge operator "${name}"`, {
      operator: name,
    });
  }
  return operator;
}

function writeTables(
  disk: Disk,
  job: TableJob,
  operator: MergeOperator | undefined,
  input: EntryCursor,
  rests?: Rests,
): Omit<TableJobResult, "tables" | "bytesRead"> & { finished: FinishedTable[]; read: number } {
  const isCompaction = job.type === "compact";
  const targetSize = isCompaction ? job.targetSize : Infinity;
  const finished: FinishedTable[] = [];
  let purged = 0;
  let floor = 0;
  let purgedSeq = 0;
  let writer: TableWriter | undefined;
  const { table, seal, minTimeMs, maxTimeMs } = job;
  const times = { createdAtMs: job.nowMs, minTimeMs, maxTimeMs };
  const deadSince = operator?.deadSince?.bind(operator);
  const cuts = isCompaction ? job.cuts : [];
  const bytesMax = isCompaction ? job.bytesMax : Infinity;
  let cut = 0;
  let finishedBytes = 0;
  const emit = (entry: EntryCursor) => {
    const first = cut;
    while (cut < cuts.length && isFrom(entry, cuts[cut])) cut++;
    const ends = writer !== undefined && (cut > first || writer.size >= targetSize);
    // The last reserved number takes all that is left; a key's versions never part.
    if (
      writer !== undefined && ends && finished.length + 1 < job.outputs &&
      writer.isNewKey(entry)
    ) {
      finished.push(writer.finish(times));
      finishedBytes += finished[finished.length - 1].size;
      writer = undefined;
    }
    if (writer === undefined) {
      const number = job.firstOutput + finished.length;
      writer = new TableWriter(disk, tablePath(job.dir, number), number, table, {
        seal: seal && { ...seal, salt: seal.salts[finished.length] },
        deadSince,
      });
    }
    writer.add(entry);
    rests?.after(entry.keyEnd - entry.keyStart + entry.valueEnd - entry.valueStart);
    if (finishedBytes + writer.size > bytesMax) throw noRoom(bytesMax);
  };
  try {
    input.seekFirst();
    const read = mergeEntries(input, {
      snapshots: job.snapshots,
      bottom: isCompaction && job.bottom,
      operator,
      purgeBeforeMs: isCompaction ? job.purgeBeforeMs : 0,
      purgeUpToSeq: isCompaction ? job.purgeUpToSeq : 0,
      onPurged: ({ seq, valueBuffer, valueStart, valueEnd }) => {
        purged++;
        purgedSeq = Math.max(purgedSeq, seq);
        floor = Math.max(floor, operator?.floor?.(valueBuffer, valueStart, valueEnd) ?? 0);
      },
    }, emit);
    if (writer !== undefined) finished.push((writer as TableWriter).finish(times));
    writer = undefined;
    if (finished.length > 0) disk.syncDir(job.dir);
    return { finished, read, purged, floor, purgedSeq };
  } catch (error) {
    (writer as TableWriter | undefined)?.abandon();
    removeTables(disk, job, finished);
    throw error;
  }
}

/** Whether an entry's key is at or behind a key. */
function isFrom({ keyBuffer, keyStart, keyEnd }: EntryCursor, key: Uint8Array): boolean {
  return compareRanges(keyBuffer, keyStart, keyEnd, key, 0, key.length) >= 0;
}

function noRoom(bytes: number): PairError {
  return new PairError(
    "DiskFull",
    `Cannot compact: the disk has room for ${bytes} bytes, and the smallest step writes more`,
    { bytes },
  );
}

function removeTables(disk: Disk, job: TableJob, tables: readonly FinishedTable[]): void {
  for (const { number } of tables) disk.remove(tablePath(job.dir, number));
}
