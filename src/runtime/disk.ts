/**
 * Disk: files and directories as a storage engine needs them.
 *
 * There is no cursor: reads are positioned and writes append, so that no two callers can disturb
 * each other. Names and contents become durable separately, as POSIX has it:
 *   - `sync` on a file makes the bytes appended so far durable;
 *   - `syncDir` on a directory makes the names created, renamed or removed in it so far durable.
 * What was not synced may be there after a crash, in part, or not at all.
 * Every failure is a {@link DiskError} with the errno, the call and the path.
 * @module
 */

/** The errno values that callers tell apart; anything else is `EOTHER`. */
export type Errno =
  | "EIO"
  | "ENOSPC"
  | "EMFILE"
  | "EROFS"
  | "ENOENT"
  | "EEXIST"
  | "EACCES"
  | "ENOTDIR"
  | "EISDIR"
  | "ENOTEMPTY"
  | "EXDEV"
  | "EAGAIN"
  | "EOTHER";

/** A failed disk call. */
export class DiskError extends Error {
  override name = "DiskError";
  /**
   * @param call   the method of {@link Disk} (or of a file) that failed, such as `append`
   * @param path   the file or directory it was called for
   * @param errno  what the system said
   */
  constructor(
    readonly call: string,
    readonly path: string,
    readonly errno: Errno,
    options?: { cause?: unknown; detail?: string },
  ) {
    super(`${call} ${path}: ${errno}${options?.detail ? ` (${options.detail})` : ""}`, {
      cause: options?.cause,
    });
  }
}

/** A file opened for positioned reads. Its size is fixed at opening: files here are immutable once read. */
export interface ReadFile {
  readonly path: string;
  /** Bytes in the file when it was opened. */
  readonly size: number;
  /**
   * Fills `into` from `offset`; loops over short reads. Blocks the thread.
   * @returns bytes read; fewer than `into.length` only at the end of the file
   */
  readAt(into: Uint8Array, offset: number): number;
  /** The same without blocking the event loop. */
  readAtAsync(into: Uint8Array, offset: number): Promise<number>;
  /** Gives the descriptor back; a second call does nothing. */
  close(): void;
}

/** A file opened for appending by one owner. */
export interface AppendFile {
  readonly path: string;
  /**
   * Bytes appended so far, those of a failed append included that were taken before it failed. Whoever goes
   * on after one that failed asks {@link Disk.stat} whether the file is that long.
   */
  readonly size: number;
  /** Appends all of `bytes` or throws; loops over short writes. Blocks the thread for a copy into the page cache. */
  append(bytes: Uint8Array): void;
  /** Makes everything appended before the call durable (fdatasync), without blocking the event loop. */
  sync(): Promise<void>;
  /** The same, blocking the thread: for workers and for opening and closing. */
  syncNow(): void;
  /** Gives the descriptor back without syncing; a second call does nothing. */
  close(): void;
}

/** An exclusive hold on a file, kept until `release` or the end of the process. */
export interface DiskLock {
  release(): void;
}

/** What is at a path. */
export interface DiskEntry {
  readonly kind: "file" | "directory";
  /** Bytes; 0 for a directory. */
  readonly size: number;
}

/** Files and directories. Paths use `/`. All calls block the thread except those that return a promise. */
export interface Disk {
  /** Opens an existing file for reading. ENOENT when there is none. */
  openRead(path: string): ReadFile;
  /** Creates a new, empty file. EEXIST when the name is taken: files are never reused. */
  create(path: string): AppendFile;
  /** All bytes of a file. ENOENT when there is none. */
  readWhole(path: string): Uint8Array<ArrayBuffer>;
  /** What is at `path`, or undefined when nothing is. */
  stat(path: string): DiskEntry | undefined;
  /** Names in a directory, sorted. ENOENT when there is none. */
  list(path: string): string[];
  /** Makes a directory and its missing parents; does nothing when it is there. */
  makeDir(path: string): void;
  /** Replaces `to` by `from`, atomically. */
  rename(from: string, to: string): void;
  /** Gives a file a second name. */
  link(from: string, to: string): void;
  /** Removes a file. ENOENT when there is none. */
  remove(path: string): void;
  /** The same without blocking the event loop: to free a large file takes the system tens of milliseconds. */
  removeAsync(path: string): Promise<void>;
  /** Removes a directory and all in it; does nothing when it is not there. */
  removeDir(path: string): void;
  /** Makes the names in a directory durable. */
  syncDir(path: string): void;
  /**
   * Makes the bytes of an existing file durable, whoever wrote them: a process that was killed leaves
   * bytes that everyone can read and a power loss can take. ENOENT when there is none.
   */
  syncFile(path: string): void;
  /** The same without blocking the event loop. */
  syncFileAsync(path: string): Promise<void>;
  /** Takes an exclusive lock on a file, creating it. EAGAIN when another holder, in this process or another, has it. */
  lock(path: string): DiskLock;
  /** Bytes of the file system that holds `path`, as an unprivileged writer sees them. */
  space(path: string): { readonly totalBytes: number; readonly freeBytes: number };
}
