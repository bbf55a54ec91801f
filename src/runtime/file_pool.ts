/**
 * A disk that keeps a bounded number of files open for reading, however many its users hold.
 *
 * A file that was not read for a while is closed behind its reader's back and opened again at its next
 * read. Which one goes is chosen by CLOCK (Corbató 1968): a hand goes round, spares once what was read
 * since its last visit. Files are immutable and names never used twice, so what is opened again is the
 * same file; one that has another size by then is refused.
 *
 * When the system itself has no descriptors left (EMFILE), whichever call met it, files of the pool are
 * closed and the call is tried again: data is never lost for want of a descriptor that a reader sits on.
 * @module
 */
import { type AppendFile, type Disk, DiskError, type DiskLock, type ReadFile } from "./disk.ts";
import { DiskLayer } from "./disk_layer.ts";

/** See the head of the file. */
export class FilePool extends DiskLayer {
  readonly #max: number;
  /** Files with a descriptor, in the order that the hand takes. */
  readonly #open: PooledFile[] = [];
  #hand = 0;
  #reopened = 0;
  #relieved = 0;

  /** @param max  files open for reading at a time; at least 1 */
  constructor(below: Disk, max: number) {
    super(below);
    this.#max = Math.max(1, max);
  }

  /** Files that are open now. */
  get openCount(): number {
    return this.#open.length;
  }
  /** Times that a file was opened again. */
  get reopened(): number {
    return this.#reopened;
  }
  /** Times that the system had no descriptor left. */
  get relieved(): number {
    return this.#relieved;
  }

  override openRead(path: string): ReadFile {
    return new PooledFile(this, path, this.#take(path));
  }
  override create(path: string): AppendFile {
    return this.#retried(() => super.create(path));
  }
  override readWhole(path: string): Uint8Array<ArrayBuffer> {
    return this.#retried(() => super.readWhole(path));
  }
  override list(path: string): string[] {
    return this.#retried(() => super.list(path));
  }
  override syncDir(path: string): void {
    this.#retried(() => super.syncDir(path));
  }
  override syncFile(path: string): void {
    this.#retried(() => super.syncFile(path));
  }
  override async syncFileAsync(path: string): Promise<void> {
    try {
      await super.syncFileAsync(path);
    } catch (error) {
      if (!(error instanceof DiskError) || error.errno !== "EMFILE") throw error;
      if (this.#open.length === 0) throw error;
      this.relieve();
      await super.syncFileAsync(path);
    }
  }
  override removeDir(path: string): void {
    this.#retried(() => super.removeDir(path));
  }
  override lock(path: string): DiskLock {
    return this.#retried(() => super.lock(path));
  }

  /** Closes half of the open files, for whoever else needs descriptors. */
  relieve(): void {
    this.#relieved++;
    const target = this.#open.length >> 1;
    while (this.#open.length > target && this.#closeOne());
  }

  /**
   * Opens a file again for its reader.
   * @internal
   */
  reopen(path: string): ReadFile {
    this.#reopened++;
    return this.#take(path);
  }

  /**
   * A reader has a descriptor from now on.
   * @internal
   */
  opened(file: PooledFile): void {
    this.#open.push(file);
  }

  /**
   * A reader has given its descriptor back.
   * @internal
   */
  closed(file: PooledFile): void {
    const at = this.#open.indexOf(file);
    if (at >= 0) this.#removeAt(at);
  }

  /** A descriptor for a file, once there is room for it. */
  #take(path: string): ReadFile {
    while (this.#open.length >= this.#max && this.#closeOne());
    return this.#retried(() => super.openRead(path));
  }

  #retried<T>(call: () => T): T {
    for (;;) {
      try {
        return call();
      } catch (error) {
        if (!(error instanceof DiskError) || error.errno !== "EMFILE") throw error;
        if (this.#open.length === 0) throw error;
        const before = this.#open.length;
        this.relieve();
        // All that is left is being read this very moment.
        if (this.#open.length === before) throw error;
      }
    }
  }

  /** Closes the file that was read longest ago, about; false when all are being read. */
  #closeOne(): boolean {
    // Twice round: the first may only take marks away.
    for (let left = 2 * this.#open.length; left > 0; left--) {
      if (this.#hand >= this.#open.length) this.#hand = 0;
      const file = this.#open[this.#hand];
      if (file.mayClose()) {
        this.#removeAt(this.#hand);
        file.suspend();
        return true;
      }
      this.#hand++;
    }
    return false;
  }

  #removeAt(at: number): void {
    const last = this.#open.pop()!;
    if (at < this.#open.length) this.#open[at] = last;
  }
}

/** A file that may lose its descriptor between two reads. */
class PooledFile implements ReadFile {
  readonly path: string;
  readonly size: number;
  readonly #pool: FilePool;
  #file: ReadFile | undefined;
  #used = true;
  #inFlight = 0;
  #closed = false;

  constructor(pool: FilePool, path: string, file: ReadFile) {
    this.#pool = pool;
    this.path = path;
    this.size = file.size;
    this.#file = file;
    pool.opened(this);
  }

  readAt(into: Uint8Array, offset: number): number {
    this.#used = true;
    return (this.#file ?? this.#resume("readAt")).readAt(into, offset);
  }

  async readAtAsync(into: Uint8Array, offset: number): Promise<number> {
    this.#used = true;
    const file = this.#file ?? this.#resume("readAtAsync");
    this.#inFlight++;
    try {
      return await file.readAtAsync(into, offset);
    } finally {
      this.#inFlight--;
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#file === undefined) return;
    this.#pool.closed(this);
    this.suspend();
  }

  /** Whether the hand may close it: it is not being read, and was not read since the hand came by. */
  mayClose(): boolean {
    if (this.#inFlight > 0) return false;
    if (!this.#used) return true;
    this.#used = false;
    return false;
  }

  /** Gives the descriptor back until the next read. */
  suspend(): void {
    this.#file?.close();
    this.#file = undefined;
  }

  #resume(call: string): ReadFile {
    if (this.#closed) {
      throw new DiskError(call, this.path, "EOTHER", { detail: "the file is closed" });
    }
    const file = this.#pool.reopen(this.path);
    if (file.size !== this.size) {
      file.close();
      const detail = `it has ${file.size} bytes now, not ${this.size}`;
      throw new DiskError(call, this.path, "EOTHER", { detail });
    }
    this.#file = file;
    this.#pool.opened(this);
    return file;
  }
}
