/**
 * Digesting, verifying, copying and syncing whole files: what takes long in a checkpoint, and so runs in
 * worker threads while a node serves.
 * @module
 */
import { PairError } from "../../model/mod.ts";
import { type Disk, DiskError, sha256 } from "../../runtime/mod.ts";
import { parseSegmentName, parseTableName } from "../files.ts";
import { verifyTableFile } from "../sstable/mod.ts";
import { readSegment } from "../wal/mod.ts";

/** Bytes that are read at a time. */
const CHUNK_BYTES = 1 << 20;
/** Files are handed to one job until they have this many bytes together. */
const BATCH_BYTES = 64 << 20;
/** Nor more than so many. */
const BATCH_FILES = 256;

/** What to read, and where a copy goes. */
export interface FileTask {
  readonly from: string;
  /** Absent: only the digest is wanted. */
  readonly to?: string | undefined;
  /** The size when it is known: tasks are shared out by it. */
  readonly size: number;
  /** Whether it is a table or a log segment that must be sound: what is digested is believed from then on. */
  readonly verify?: boolean;
}

/** A message to a worker: files to digest or copy. */
export interface FileJob {
  readonly type: "files";
  readonly tasks: readonly FileTask[];
  /** Of a `JobMonitor`; absent: nobody watches. */
  readonly monitor?: SharedArrayBuffer;
  /** Of a `Throttle`; absent: no limit. */
  readonly throttle?: SharedArrayBuffer;
}

/** A message to a worker: files and directories to make durable. */
export interface SyncJob {
  readonly type: "sync";
  readonly files: readonly string[];
  readonly dirs: readonly string[];
}

/** Carries out a job. @throws DiskError */
export function runSyncJob(disk: Disk, job: SyncJob): void {
  for (const file of job.files) disk.syncFile(file);
  for (const dir of job.dirs) disk.syncDir(dir);
}

/** What a file is. */
export interface FileDigest {
  readonly size: number;
  /** SHA-256 in lower-case hex. */
  readonly sha256: string;
}

/**
 * Carries out a job; one result for each task. A copy is durable, but for its name.
 * @throws PairError CorruptedData or ChecksumFailed for a file that must be sound and is not; DiskError
 */
export function runFileJob(disk: Disk, job: FileJob): FileDigest[] {
  return job.tasks.map((task) => {
    const digest = digestFile(disk, task.from, task.to);
    if (task.verify) verifyFile(disk, task, digest.size);
    return digest;
  });
}

function verifyFile(disk: Disk, { from, size: expected }: FileTask, size: number): void {
  const name = from.slice(from.lastIndexOf("/") + 1);
  const table = parseTableName(name);
  const segment = parseSegmentName(name);
  // Behind what counts of a segment a crash may have left the torn tail of its last write.
  if (segment === undefined ? size !== expected : size < expected) {
    throw damaged(from, Math.min(size, expected), `it has ${size} bytes, not ${expected}`);
  }
  if (table !== undefined) verifyTableFile(disk, from, table);
  if (segment === undefined) return;
  for (const item of readSegment(disk, from, segment)) {
    if ("unreadableBytes" in item && item.offset < expected) {
      throw damaged(from, item.offset, `${item.unreadableBytes} bytes are damaged`);
    }
  }
}

function damaged(file: string, offset: number, why: string): PairError {
  return new PairError("CorruptedData", `Cannot read ${file} at ${offset}: ${why}`, {
    file,
    offset,
  });
}

/** Reads a file through, and writes what it reads to a new one if asked to. @throws DiskError */
export function digestFile(disk: Disk, from: string, to?: string): FileDigest {
  const digest = sha256();
  const source = disk.openRead(from);
  try {
    const copy = to === undefined ? undefined : disk.create(to);
    try {
      const chunk = new Uint8Array(Math.min(CHUNK_BYTES, Math.max(1, source.size)));
      for (let at = 0; at < source.size;) {
        const count = source.readAt(chunk, at);
        if (count === 0) throw new DiskError("readAt", from, "EIO", { detail: `it ends at ${at}` });
        const bytes = chunk.subarray(0, count);
        digest.update(bytes);
        copy?.append(bytes);
        at += count;
      }
      copy?.syncNow();
    } finally {
      copy?.close();
    }
    return { size: source.size, sha256: digest.hex() };
  } finally {
    source.close();
  }
}

/** Jobs for all tasks, none so long that it would keep a thread from others. */
export function* fileJobs(tasks: readonly FileTask[]): Generator<FileJob> {
  let batch: FileTask[] = [];
  let bytes = 0;
  for (const task of tasks) {
    batch.push(task);
    bytes += task.size;
    if (bytes < BATCH_BYTES && batch.length < BATCH_FILES) continue;
    yield { type: "files", tasks: batch };
    batch = [];
    bytes = 0;
  }
  if (batch.length > 0) yield { type: "files", tasks: batch };
}
