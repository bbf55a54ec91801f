/**
 * The file system of the machine.
 *
 * Reads use node:fs with a position: under Deno 2.9.6 that is pread64, blocking and asynchronous
 * alike (seen with strace), so one descriptor serves any number of readers. Deno's own asynchronous
 * `seek` and `read` share the descriptor's cursor: 64 concurrent readers got the wrong bytes in
 * 19,198 of 19,200 reads that way, and in none this way.
 *
 * Appends use O_APPEND and loop: near a full disk one write takes a part and reports no error.
 * @module
 */
import { closeSync, fstatSync, openSync, read, readSync, statfsSync } from "node:fs";
import {
  type AppendFile,
  type Disk,
  type DiskEntry,
  DiskError,
  type DiskLock,
  type Errno,
  type ReadFile,
} from "../disk.ts";

/** The machine's disk. Needs read and write permission for the paths used, and sys for `space`. */
export function denoDisk(): Disk {
  return {
    openRead: (path) => attempt("openRead", path, () => new DenoReadFile(path)),
    create: (path) => attempt("create", path, () => new DenoAppendFile(path)),
    readWhole: (path) => attempt("readWhole", path, () => Deno.readFileSync(path)),
    stat,
    list: (path) =>
      attempt("list", path, () => Array.from(Deno.readDirSync(path), (entry) => entry.name).sort()),
    makeDir: (path) => attempt("makeDir", path, () => Deno.mkdirSync(path, { recursive: true })),
    rename: (from, to) => attempt("rename", from, () => Deno.renameSync(from, to)),
    link: (from, to) => attempt("link", from, () => Deno.linkSync(from, to)),
    remove,
    removeAsync,
    removeDir,
    syncDir,
    syncFile,
    syncFileAsync,
    lock,
    space,
  };
}

class DenoReadFile implements ReadFile {
  readonly path: string;
  readonly size: number;
  #fd: number | undefined;
  #closed = false;
  #inFlight = 0;

  constructor(path: string) {
    const fd = openSync(path, "r");
    const info = fstatSync(fd);
    if (info.isDirectory()) {
      closeSync(fd);
      throw new DiskError("openRead", path, "EISDIR");
    }
    this.path = path;
    this.size = info.size;
    this.#fd = fd;
  }

  readAt(into: Uint8Array, offset: number): number {
    const fd = this.#open("readAt");
    const wanted = wantedBytes(into, offset, this.size);
    let done = 0;
    try {
      while (done < wanted) {
        const count = readSync(fd, into, done, wanted - done, offset + done);
        if (count === 0) break;
        done += count;
      }
    } catch (error) {
      throw diskError("readAt", this.path, error);
    }
    return done;
  }

  async readAtAsync(into: Uint8Array, offset: number): Promise<number> {
    const fd = this.#open("readAtAsync");
    const wanted = wantedBytes(into, offset, this.size);
    let done = 0;
    this.#inFlight++;
    try {
      while (done < wanted) {
        const count = await this.#readSome(fd, into, done, wanted - done, offset + done);
        if (count === 0) break;
        done += count;
      }
    } finally {
      this.#inFlight--;
      if (this.#closed) this.#release();
    }
    return done;
  }

  close(): void {
    this.#closed = true;
    this.#release();
  }

  #open(call: string): number {
    if (this.#closed || this.#fd === undefined) throw closed(call, this.path);
    return this.#fd;
  }

  /** Closes the descriptor once no read runs on it: its number may soon be another file's. */
  #release(): void {
    if (this.#fd === undefined || this.#inFlight > 0) return;
    closeSync(this.#fd);
    this.#fd = undefined;
  }

  #readSome(fd: number, into: Uint8Array, at: number, count: number, position: number) {
    return new Promise<number>((resolve, reject) => {
      read(fd, into, at, count, position, (error, got) => {
        if (error) reject(diskError("readAtAsync", this.path, error));
        else resolve(got);
      });
    });
  }
}

class DenoAppendFile implements AppendFile {
  readonly path: string;
  #size = 0;
  #file: Deno.FsFile | undefined;

  constructor(path: string) {
    this.path = path;
    this.#file = Deno.openSync(path, { append: true, createNew: true });
  }

  get size(): number {
    return this.#size;
  }

  append(bytes: Uint8Array): void {
    const file = this.#open("append");
    attempt("append", this.path, () => {
      writeAll(file, bytes, (count) => this.#size += count);
    });
  }

  async sync(): Promise<void> {
    const file = this.#open("sync");
    try {
      await file.syncData();
    } catch (error) {
      throw diskError("sync", this.path, error);
    }
  }

  syncNow(): void {
    const file = this.#open("syncNow");
    attempt("syncNow", this.path, () => file.syncDataSync());
  }

  close(): void {
    this.#file?.close();
    this.#file = undefined;
  }

  #open(call: string): Deno.FsFile {
    if (this.#file === undefined) throw closed(call, this.path);
    return this.#file;
  }
}

/**
 * Writes all of `bytes`, going on after short writes.
 * @param took  told of the bytes of each write that succeeded, also when a later one fails
 */
export function writeAll(
  file: { writeSync(bytes: Uint8Array): number },
  bytes: Uint8Array,
  took: (count: number) => void,
): void {
  for (let done = 0; done < bytes.length;) {
    const count = file.writeSync(done === 0 ? bytes : bytes.subarray(done));
    // Neither progress nor an error: nothing promises that this cannot happen, so do not spin on it.
    if (count === 0) throw new Error("a write took no bytes");
    done += count;
    took(count);
  }
}

function stat(path: string): DiskEntry | undefined {
  try {
    const info = Deno.statSync(path);
    return info.isDirectory ? { kind: "directory", size: 0 } : { kind: "file", size: info.size };
  } catch (error) {
    const failure = diskError("stat", path, error);
    // A name below a plain file cannot exist either.
    if (failure.errno === "ENOENT" || failure.errno === "ENOTDIR") return undefined;
    throw failure;
  }
}

function remove(path: string): void {
  attempt("remove", path, () => {
    // Deno.removeSync would take an empty directory too.
    if (Deno.lstatSync(path).isDirectory) throw new DiskError("remove", path, "EISDIR");
    Deno.removeSync(path);
  });
}

/** Bytes of a removed file that are given back at a time, and the pause between, in ms. */
const FREED_BYTES = 8 << 20;
const FREED_PAUSE_MS = 5;

/**
 * Whatever else is made durable waits while a file system frees the blocks of a file, and tells an SSD of
 * them: 20 ms and more for 100 MB, in one go. So a large file loses its name first and its bytes then, piece
 * by piece (as RocksDB's delete scheduler does). One that has another name keeps them.
 */
async function removeAsync(path: string): Promise<void> {
  try {
    const { isFile, isDirectory, size, nlink } = Deno.lstatSync(path);
    if (isDirectory) throw new DiskError("removeAsync", path, "EISDIR");
    if (!isFile || size <= FREED_BYTES || nlink !== 1) return await Deno.remove(path);
    using file = await Deno.open(path, { write: true });
    await Deno.remove(path);
    for (let left = size; left > 0;) {
      left = Math.max(0, left - FREED_BYTES);
      await file.truncate(left);
      await new Promise((resolve) => setTimeout(resolve, FREED_PAUSE_MS));
    }
  } catch (error) {
    throw diskError("removeAsync", path, error);
  }
}

function removeDir(path: string): void {
  try {
    if (!Deno.lstatSync(path).isDirectory) throw new DiskError("removeDir", path, "ENOTDIR");
    Deno.removeSync(path, { recursive: true });
  } catch (error) {
    const failure = diskError("removeDir", path, error);
    if (failure.errno !== "ENOENT") throw failure;
  }
}

function syncDir(path: string): void {
  attempt("syncDir", path, () => {
    // Windows opens no directories and keeps names with its journal.
    if (Deno.build.os === "windows") return;
    const directory = Deno.openSync(path, { read: true });
    try {
      if (!directory.statSync().isDirectory) throw new DiskError("syncDir", path, "ENOTDIR");
      directory.syncSync();
    } finally {
      directory.close();
    }
  });
}

function syncFile(path: string): void {
  attempt("syncFile", path, () => {
    // Open for writing too: Windows flushes nothing through a handle that only reads.
    const file = Deno.openSync(path, { read: true, write: true });
    try {
      file.syncDataSync();
    } finally {
      file.close();
    }
  });
}

async function syncFileAsync(path: string): Promise<void> {
  try {
    const file = Deno.openSync(path, { read: true, write: true });
    try {
      await file.syncData();
    } finally {
      file.close();
    }
  } catch (error) {
    throw diskError("syncFileAsync", path, error);
  }
}

function lock(path: string): DiskLock {
  return attempt("lock", path, () => {
    const file = Deno.openSync(path, { read: true, write: true, create: true });
    try {
      if (!file.tryLockSync(true)) throw new DiskError("lock", path, "EAGAIN");
      noteHolder(file);
    } catch (error) {
      file.close();
      throw error;
    }
    let held = true;
    return {
      // The file stays: removing it would let two holders lock two files of one name.
      release() {
        if (!held) return;
        held = false;
        file.close();
      },
    };
  });
}

/** For people who wonder who holds a lock; nothing reads it, and a full disk may have no room for it. */
function noteHolder(file: Deno.FsFile): void {
  file.truncateSync(0);
  try {
    file.writeSync(new TextEncoder().encode(`${Deno.pid}\n`));
  } catch (error) {
    if (errnoOf(error) !== "ENOSPC") throw error;
  }
}

function space(path: string): { totalBytes: number; freeBytes: number } {
  return attempt("space", path, () => {
    const info = statfsSync(path);
    return { totalBytes: info.blocks * info.bsize, freeBytes: info.bavail * info.bsize };
  });
}

/** Bytes that a read at `offset` can fill in a file of `size` bytes. */
function wantedBytes(into: Uint8Array, offset: number, size: number): number {
  if (!(offset >= 0)) throw new RangeError(`cannot read at offset ${offset}`);
  return Math.max(0, Math.min(into.length, size - offset));
}

function attempt<T>(call: string, path: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw diskError(call, path, error);
  }
}

function closed(call: string, path: string): DiskError {
  return new DiskError(call, path, "EOTHER", { detail: "the file is closed" });
}

/** What the system's codes mean to a caller of {@link Disk}; codes that ask for the same action share one. */
const ERRNO_BY_CODE: Readonly<Record<string, Errno>> = {
  EIO: "EIO",
  ENOSPC: "ENOSPC",
  EDQUOT: "ENOSPC",
  EMFILE: "EMFILE",
  ENFILE: "EMFILE",
  EROFS: "EROFS",
  ENOENT: "ENOENT",
  EEXIST: "EEXIST",
  EACCES: "EACCES",
  EPERM: "EACCES",
  ENOTDIR: "ENOTDIR",
  EISDIR: "EISDIR",
  ENOTEMPTY: "ENOTEMPTY",
  EXDEV: "EXDEV",
  EAGAIN: "EAGAIN",
  EWOULDBLOCK: "EAGAIN",
};

/** Deno's error classes, for errors that carry no code. */
const ERRNO_BY_CLASS: Readonly<Record<string, Errno>> = {
  NotFound: "ENOENT",
  AlreadyExists: "EEXIST",
  PermissionDenied: "EACCES",
  NotCapable: "EACCES",
  NotADirectory: "ENOTDIR",
  IsADirectory: "EISDIR",
  WouldBlock: "EAGAIN",
};

/** Linux numbers, for errors that only name one in their message: `... (os error 28)`. */
const ERRNO_BY_NUMBER: Readonly<Record<string, Errno>> = {
  "1": "EACCES",
  "2": "ENOENT",
  "5": "EIO",
  "11": "EAGAIN",
  "13": "EACCES",
  "17": "EEXIST",
  "18": "EXDEV",
  "20": "ENOTDIR",
  "21": "EISDIR",
  "23": "EMFILE",
  "24": "EMFILE",
  "28": "ENOSPC",
  "30": "EROFS",
  "39": "ENOTEMPTY",
  "122": "ENOSPC",
};

/** Any thrown thing as a {@link DiskError}; one that is already is returned as it is. */
export function diskError(call: string, path: string, error: unknown): DiskError {
  if (error instanceof DiskError) return error;
  const errno = errnoOf(error);
  const detail = error instanceof Error ? error.message : String(error);
  // The plain names say enough; for these the system's words carry more.
  const tellMore = errno === "EOTHER" || errno === "EACCES";
  return new DiskError(call, path, errno, { cause: error, detail: tellMore ? detail : undefined });
}

function errnoOf(error: unknown): Errno {
  if (!(error instanceof Error)) return "EOTHER";
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  const number = /\(os error (\d+)\)/.exec(error.message)?.[1] ?? "";
  return ERRNO_BY_CODE[code] ?? ERRNO_BY_NUMBER[number] ?? ERRNO_BY_CLASS[error.name] ?? "EOTHER";
}
