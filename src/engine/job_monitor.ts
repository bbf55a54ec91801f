/**
 * What connects a running job with the engine: shared memory that tells one that the job gets on, and the
 * other that it is not wanted any more.
 *
 *     int32 × 2:  heartbeat, counts calls of the disk | 1: stop
 *
 * All of it happens in the job's disk, so that no step of the job has to think of it.
 * @module
 */
import { PairError } from "../model/mod.ts";
import { type AppendFile, type Disk, DiskLayer, type ReadFile } from "../runtime/mod.ts";
import { charge, draw } from "./throttle.ts";

const BEATS = 0;
const STOP = 1;

/** The engine's side: one for each job. */
export class JobMonitor {
  /** What the job is given. */
  readonly shared = new SharedArrayBuffer(8);
  /** Its first word moves while the job gets on. */
  readonly heartbeat = new Int32Array(this.shared);

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
  readonly type: "flush" | "compact" | "files";
}

/**
 * The disk as a job sees it: every call is a heartbeat, and appends are throttled.
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

  constructor(below: Disk, job: Supervised, waits: boolean) {
    super(below);
    this.#words = job.monitor && new Int32Array(job.monitor);
    this.#throttle = job.throttle && new Int32Array(job.throttle);
    this.#urgent = job.type === "flush";
    this.#waits = waits;
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

  /** Waits until so many bytes may be written. */
  pay(bytes: number): void {
    this.alive();
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
    this.#disk.alive();
    return this.#file.readAt(into, offset);
  }

  readAtAsync(into: Uint8Array, offset: number): Promise<number> {
    this.#disk.alive();
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
    this.#disk.pay(bytes.length);
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
