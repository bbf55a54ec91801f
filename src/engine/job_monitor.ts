/**
 * What connects a running job with the engine: shared memory that tells one that the job gets on, and how
 * far, and the other that it is not wanted any more.
 *
 *     int32 × 4:  heartbeat, counts calls of the disk | 1: stop | KiB read | KiB written
 *
 * All of it happens in the job's disk, so that no step of the job has to think of it.
 * @module
 */
import { PairError } from "../model/mod.ts";
import { type AppendFile, type Disk, DiskLayer, type ReadFile } from "../runtime/mod.ts";
import { charge, draw } from "./throttle.ts";

const BEATS = 0;
const STOP = 1;
const READ = 2;
const WRITTEN = 3;

/** The engine's side: one for each job. */
export class JobMonitor {
  /** What the job is given. */
  readonly shared = new SharedArrayBuffer(16);
  /** Its first word moves while the job gets on. */
  readonly heartbeat = new Int32Array(this.shared);

  /** Whether a thread has taken it up. */
  get begun(): boolean {
    return Atomics.load(this.heartbeat, BEATS) !== 0;
  }

  /** Bytes read so far, to the KiB. */
  get bytesRead(): number {
    return Atomics.load(this.heartbeat, READ) * 1024;
  }

  /** Bytes written so far, to the KiB. */
  get bytesWritten(): number {
    return Atomics.load(this.heartbeat, WRITTEN) * 1024;
  }

  /** Has the job fail at its next call of the disk. */
  stop(): void {
    Atomics.store(this.heartbeat, STOP, 1);
  }
}

/** What a job's message says about its supervision. */
export interface Supervised {
  /** Of a {@link JobMonitor}; absent: nobody watches. */
  readonly monitor?: SharedArrayBuffer;
  /** Of a `Throttle`; absent: no limit. */
  readonly throttle?: SharedArrayBuffer;
  readonly type: "flush" | "compact" | "files" | "scrub";
}

/**
 * The disk as a job sees it: every call is a heartbeat, and what it writes is paid for; so is what it reads,
 * if that is all that it is there for. A flush or compaction pays for what it writes alone: that is the
 * smaller part of what readers notice, and the part that disks are slow at.
 * @param waits  whether this thread may sleep until there is room under the throttle; when not, what is
 *   written is charged all the same
 * @throws PairError Unavailable, from any call, once the job was told to stop
 */
export function supervisedDisk(disk: Disk, job: Supervised, waits: boolean): Disk {
  if (job.monitor === undefined && job.throttle === undefined) return disk;
  return new SupervisedDisk(disk, job, waits);
}

class SupervisedDisk extends DiskLayer {
  readonly #words: Int32Array<SharedArrayBuffer> | undefined;
  readonly #throttle: Int32Array<SharedArrayBuffer> | undefined;
  readonly #urgent: boolean;
  readonly #waits: boolean;
  readonly #paysForReads: boolean;
  #read = 0;
  #written = 0;

  constructor(below: Disk, job: Supervised, waits: boolean) {
    super(below);
    this.#words = job.monitor && new Int32Array(job.monitor);
    this.#throttle = job.throttle && new Int32Array(job.throttle);
    this.#urgent = job.type === "flush";
    this.#waits = waits;
    this.#paysForReads = job.type === "files" || job.type === "scrub";
  }

  override openRead(path: string): ReadFile {
    this.alive();
    return new SupervisedRead(super.openRead(path), this);
  }

  override create(path: string): AppendFile {
    this.alive();
    return new SupervisedAppend(super.create(path), this);
  }

  /** Shows that the job lives. @throws PairError Unavailable when it was told to stop */
  readonly alive = (): void => {
    if (this.#words === undefined) return;
    Atomics.add(this.#words, BEATS, 1);
    if (Atomics.load(this.#words, STOP) === 0) return;
    throw new PairError("Unavailable", "The job was stopped");
  };

  /** Waits until so many bytes may be read. */
  reads(bytes: number): void {
    this.alive();
    this.#read += bytes;
    this.#tell(READ, this.#read);
    if (this.#paysForReads) this.#pay(bytes);
  }

  /** Waits until so many bytes may be written. */
  writes(bytes: number): void {
    this.alive();
    this.#written += bytes;
    this.#tell(WRITTEN, this.#written);
    this.#pay(bytes);
  }

  #tell(word: number, bytes: number): void {
    if (this.#words !== undefined) Atomics.store(this.#words, word, Math.floor(bytes / 1024));
  }

  #pay(bytes: number): void {
    if (this.#throttle === undefined) return;
    if (this.#waits) draw(this.#throttle, bytes, this.#urgent, this.alive);
    else charge(this.#throttle, bytes);
  }
}

class SupervisedRead implements ReadFile {
  readonly path: string;
  readonly size: number;
  readonly #file: ReadFile;
  readonly #disk: SupervisedDisk;

  constructor(file: ReadFile, disk: SupervisedDisk) {
    this.path = file.path;
    this.size = file.size;
    this.#file = file;
    this.#disk = disk;
  }

  readAt(into: Uint8Array, offset: number): number {
    this.#disk.reads(into.length);
    return this.#file.readAt(into, offset);
  }

  readAtAsync(into: Uint8Array, offset: number): Promise<number> {
    this.#disk.reads(into.length);
    return this.#file.readAtAsync(into, offset);
  }

  close(): void {
    this.#file.close();
  }
}

class SupervisedAppend implements AppendFile {
  readonly path: string;
  readonly #file: AppendFile;
  readonly #disk: SupervisedDisk;

  constructor(file: AppendFile, disk: SupervisedDisk) {
    this.path = file.path;
    this.#file = file;
    this.#disk = disk;
  }

  get size(): number {
    return this.#file.size;
  }

  append(bytes: Uint8Array): void {
    this.#disk.writes(bytes.length);
    this.#file.append(bytes);
  }

  async sync(): Promise<void> {
    this.#disk.alive();
    await this.#file.sync();
  }

  syncNow(): void {
    this.#disk.alive();
    this.#file.syncNow();
    this.#disk.alive();
  }

  close(): void {
    this.#file.close();
  }
}
