/**
 * The log's writer: one queue, group commit, rotation.
 *
 * Frames are encoded into one buffer as they arrive. A loop takes the buffer, appends it in one call,
 * syncs once, and wakes everyone in it; what arrives meanwhile is the next group. When a rotation is
 * due, the old segment is synced and closed first, then the new one is made, and the frames that
 * arrived meanwhile are made frames of it: so N is durable before anything in N+1 exists. Before the
 * first frame goes into it, the manifest is told of the new segment: if it vanishes, recovery misses it.
 *
 * After a failed sync, or an append that failed for anything but room, the log is poisoned: it acknowledges
 * nothing more, for the kernel may have dropped the bytes and would report success the second time.
 *
 * On a full disk it waits for room (`full`), and then goes on where it stopped:
 *
 *     group 7   append: ENOSPC after 300 of 900 bytes      its writers are told 2002, outcome unknown
 *               append of the other 600: ENOSPC            new writes: 2002, not applied
 *               append of the other 600: well; sync        group 7 is visible now, writes are taken
 *
 * Nothing is taken back, so nothing has to be undone: the sequences of the group are given out, its entries
 * are in memtables above what reads see, and no later frame exists before all of it is on the disk. A crash
 * while it waits leaves a torn tail, as a crash in the middle of any append does. The bytes that follow are
 * those that would have followed, in the same place: a sealed frame keeps its nonce. Making a segment, and
 * telling the manifest of it, are tried again in the same way; each attempt leaves nothing that counts.
 * @module
 */
import { PairError } from "../../model/mod.ts";
import {
  type AppendFile,
  type Cancel,
  type Cipher,
  type Clock,
  type Disk,
  DiskError,
  type Random,
  TAG_BYTES,
} from "../../runtime/mod.ts";
import type { OriginTag } from "../api.ts";
import { isShortOfRoom } from "../disk_failure.ts";
import type { Files } from "../files.ts";
import { Archive, type ArchiveOptions } from "./archive.ts";
import {
  checkFrame,
  encodeHeader,
  FRAME_HEADER,
  HEADER_SIZE,
  type LoggedMutation,
  putFrame,
  putRecord,
  recordLength,
  SEALED,
  sealFrame,
  segmentCipher,
  TYPE_BATCH,
  TYPE_CLOSE,
} from "./format.ts";
import { SyncPacer } from "./sync_pacer.ts";

/** Bytes of a fresh group buffer. */
const BUFFER_BYTES = 64 * 1024;
/** The pause between two looks for room on a full disk, in ms. */
const ROOM_PAUSE_MS = 250;
/** A buffer that has grown beyond this for one large group is not kept. */
const BUFFER_BYTES_KEPT = 8 << 20;

/** When an acknowledged write is durable. */
export type SyncMode = "always" | "batch" | "none";

/** How the log behaves. */
export interface LogOptions extends ArchiveOptions {
  /** `always`: before the acknowledgement. `batch`: within `syncIntervalMs` or `syncEvery` writes. `none`: when the system pleases. */
  readonly syncMode: SyncMode;
  /** Mode `batch`: the longest time that a write waits for its sync. */
  readonly syncIntervalMs: number;
  /** Mode `batch`: the most writes that wait for one. */
  readonly syncEvery: number;
  /** A segment that has grown to this many bytes is followed by another. At most 2^31. */
  readonly segmentSize: number;
  /** So is one that has reached this age. */
  readonly segmentAgeMs: number;
}

/** A segment on disk. */
export interface Segment {
  readonly number: number;
  /** The last sequence in it; while it is written, the last one so far. */
  lastSeq: number;
  bytes: number;
  /** Recovery or a scrub found damage in it: it is kept aside when it is no longer needed. */
  damaged: boolean;
}

/** What the log needs from the engine. */
export interface LogHooks {
  /** Gives file numbers. */
  nextNumber(): number;
  /** A segment is durable and about to be written to; resolves when the manifest knows of it. */
  opened(number: number): Promise<void>;
  /** Removes a file that is not needed any more, in its own time. */
  remove(path: string): void;
  /** Told the last sequence of each group before its writers are. */
  committed(lastSeq: number): void;
  /** Gives up what is kept for a full disk; false when there is nothing. */
  makeRoom(): boolean;
  /** Told when the log begins to wait for room, with the reason, and when it has found it. */
  waits(reason: PairError | undefined): void;
}

/** Frames of one append, and those who wait for it. */
class Group {
  #told = Promise.withResolvers<void>();
  lastSeq = 0;
  records = 0;

  get done(): Promise<void> {
    return this.#told.promise;
  }

  resolve(): void {
    this.#told.resolve();
  }

  reject(error: unknown): void {
    this.#told.reject(error);
  }

  /** Tells those who wait now that they shall not. The group stays, and others may join it. */
  refuse(reason: unknown): void {
    this.#told.reject(reason);
    this.#told = Promise.withResolvers();
    // Nobody may come to wait for it.
    this.#told.promise.catch(() => {});
  }
}

/** The log of one engine, open for appending. */
export class Log {
  readonly #disk: Disk;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #files: Files;
  readonly #options: LogOptions;
  readonly #hooks: LogHooks;
  /** Where segments go that are not needed any more. */
  readonly archive: Archive;

  // Two buffers take turns: one fills while the other is appended.
  #filling = new Uint8Array(BUFFER_BYTES);
  #spare = new Uint8Array(BUFFER_BYTES);
  #length = 0;
  #group: Group | undefined;
  #writing: Group | undefined;
  #loop: Promise<void> | undefined;

  #file!: AppendFile;
  #segment!: Segment;
  #salt = 0;
  readonly #key: Uint8Array | undefined;
  // Set when frames are sealed. They are sealed when their place is certain, since no nonce may serve twice.
  #cipher: Cipher | undefined;
  #openedAtMs = 0;
  // How much of the segment is durable, as frames written now may say.
  #synced = 0;
  #unsyncedWrites = 0;
  #cancelSync: (() => void) | undefined;
  // Modes `batch` and `none`: the sync under way beside the loop. One at a time, for when two overlap
  // only one of them may be told that bytes were lost.
  #syncing: Promise<void> | undefined;
  readonly #pacer = new SyncPacer();
  #rotate = false;
  /** Those who wait for the next segment, to look at the store at that moment. */
  readonly #cuts: { take: () => void; reject: (error: unknown) => void }[] = [];
  /** Readers of closed segments: while there are any, none is removed. */
  #holds = 0;
  #closed = false;
  #failure: PairError | undefined;
  /** Why nothing is written at present: there is no room. */
  #full: PairError | undefined;
  /** Ends the pause before the next look for room. */
  #wake: (() => void) | undefined;
  #cancelPause: Cancel | undefined;
  #lastSeq: number;

  /** Segments that still exist, oldest first, the open one last. */
  readonly segments: Segment[] = [];
  /** Groups appended since opening. */
  groups = 0;
  /** Frames in them. */
  records = 0;
  /** Their bytes. */
  bytesWritten = 0;
  /** Segments that were ended since. */
  rotations = 0;
  /** Damaged segments that were kept aside since. */
  quarantined = 0;

  /**
   * Starts a new segment behind the existing ones; durable on return. The caller tells the manifest of
   * it, the last of {@link Log.segments}, before the first `append`.
   * @param existing  segments that recovery left, oldest first
   * @param lastSeq   the last sequence in use
   * @param key       the store's; with one, what is written is encrypted
   */
  constructor(
    world: { disk: Disk; clock: Clock; random: Random },
    files: Files,
    options: LogOptions,
    existing: readonly Segment[],
    lastSeq: number,
    hooks: LogHooks,
    key?: Uint8Array,
  ) {
    this.#key = key;
    this.#disk = world.disk;
    this.#clock = world.clock;
    this.#random = world.random;
    this.#files = files;
    this.#options = options;
    this.#hooks = hooks;
    this.archive = new Archive(
      world.disk,
      world.clock,
      files,
      options,
      (path) => hooks.remove(path),
    );
    this.#lastSeq = lastSeq;
    this.segments.push(...existing);
    try {
      this.#openSegment(existing.at(-1), lastSeq);
    } catch (error) {
      if (!isShortOfRoom(error) || !hooks.makeRoom()) throw error;
      this.#openSegment(existing.at(-1), lastSeq);
    }
  }

  /** The failure that ended this log; undefined while all is well. */
  get failure(): PairError | undefined {
    return this.#failure;
  }

  /** Why nothing is written until there is room on the disk again; undefined while there is. */
  get full(): PairError | undefined {
    return this.#full;
  }

  /** Bytes in all segments. */
  get bytes(): number {
    return this.segments.reduce((sum, segment) => sum + segment.bytes, 0);
  }

  /**
   * Queues one batch. In order of calls; sequences rise.
   * @returns resolves when the batch is as durable as the sync mode promises
   *   rejects with DiskFull where it waits for room: it will be, unless the log is closed before there is
   * @throws PairError CommitLogFailed when the log is poisoned, DiskFull while it waits for room; nothing was
   *   queued then
   */
  append(firstSeq: number, tag: OriginTag, mutations: readonly LoggedMutation[]): Promise<void> {
    this.#checkWell();
    let payload = 0;
    for (const mutation of mutations) payload += recordLength(mutation);
    const at = this.#length;
    const sealed = this.#cipher !== undefined;
    if (sealed) payload += TAG_BYTES;
    this.#grow(FRAME_HEADER + payload);
    const bytes = this.#filling;
    let end = at + FRAME_HEADER;
    for (const mutation of mutations) end = putRecord(bytes, end, mutation);
    putFrame(bytes, at, payload, firstSeq, sealed ? TYPE_BATCH + SEALED : TYPE_BATCH, tag);
    if (!sealed) {
      checkFrame(bytes, at, this.#segment.bytes + at, this.#salt, this.#syncedBefore());
    }
    this.#length = at + FRAME_HEADER + payload;
    this.records++;
    this.#lastSeq = firstSeq + mutations.length - 1;
    this.#group ??= new Group();
    this.#group.lastSeq = this.#lastSeq;
    this.#group.records++;
    this.#loop ??= this.#run();
    return this.#group.done;
  }

  /** Asks for a new segment where the present one is old and holds anything: writes look themselves. */
  rotateWhenOld(): void {
    const ageMs = this.#clock.monotonicMs() - this.#openedAtMs;
    if (this.#segment.bytes > HEADER_SIZE && ageMs >= this.#options.segmentAgeMs) this.rotate();
  }

  /** Asks for a new segment, behind what is queued now. */
  rotate(): void {
    this.#rotate = true;
    if (this.#failure === undefined && !this.#closed) this.#loop ??= this.#run();
  }

  /**
   * Begins a new segment behind what is appended, and calls `take` in the same step: then all segments
   * but the last are durable and closed for good, the last is empty, and no table holds more than they do.
   * @returns resolves when `take` has been called; rejects with what it threw
   * @throws PairError CommitLogFailed when the log is poisoned, DiskFull where it has to wait for room
   */
  cut(take: () => void): Promise<void> {
    const failure = this.#failure ?? this.#full;
    if (failure !== undefined) return Promise.reject(failure);
    return new Promise((resolve, reject) => {
      this.#cuts.push({
        take: () => {
          try {
            resolve(take());
          } catch (error) {
            reject(error);
          }
        },
        reject,
      });
      this.rotate();
    });
  }

  /** Keeps all segments on the disk until the returned function is called; the next flush removes them then. */
  hold(): () => void {
    this.#holds++;
    let held = true;
    return () => {
      if (held) this.#holds--;
      held = false;
    };
  }

  /**
   * Makes everything that was queued before the call durable, whatever the mode. Does not wait for what
   * is queued meanwhile: writers who never pause must not keep a flush waiting for ever.
   * @throws PairError CommitLogFailed when the log is poisoned, DiskFull where it waits for room
   */
  async sync(): Promise<void> {
    this.#checkWell();
    await (this.#group ?? this.#writing)?.done;
    if (this.#options.syncMode !== "always") await this.#syncAppended();
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Archives or removes segments whose number is below `number`, damaged ones into quarantine; never the open one. */
  removeBelow(number: number): void {
    while (this.#holds === 0 && this.segments.length > 1 && this.segments[0].number < number) {
      const [segment] = this.segments;
      const path = this.#files.segment(segment.number);
      if (segment.damaged) this.#quarantine(path, segment.number);
      else {
        this.archive.take(segment.number);
      }
      this.segments.shift();
    }
    this.archive.purge();
  }

  /** Moves a damaged archived segment into quarantine. @throws DiskError */
  quarantineArchived(path: string, number: number): void {
    this.#quarantine(path, number);
    this.archive.purge();
  }

  #quarantine(path: string, number: number): void {
    this.#disk.makeDir(this.#files.quarantineDir);
    this.#disk.rename(path, this.#files.quarantined(number));
    this.#disk.syncDir(this.#files.quarantineDir);
    this.quarantined++;
  }

  /** Writes what is queued and a close frame, syncs, closes. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancelSync?.();
    // What waits for room waits no longer.
    this.#wake?.();
    while (this.#loop !== undefined) await this.#loop;
    while (this.#syncing !== undefined) await this.#syncing;
    try {
      // What was acknowledged in a relaxed mode is all there, and made durable, when only room was missing.
      if (this.#failure !== undefined && this.#failure !== this.#full) return;
      // Two syncs: the close frame may say that all before it is durable only when it is.
      this.#file.syncNow();
      this.#synced = this.#segment.bytes;
      if (this.#failure === undefined) this.#appendClose();
    } catch (cause) {
      this.#poison(cause);
      throw this.#failure;
    } finally {
      this.#file.close();
    }
  }

  /** Without it the end of the log looks like that of a process that was killed: nothing depends on it. */
  #appendClose(): void {
    this.#grow(FRAME_HEADER);
    putFrame(this.#filling, 0, 0, this.#lastSeq + 1, TYPE_CLOSE, "write");
    checkFrame(this.#filling, 0, this.#segment.bytes, this.#salt, this.#syncedBefore());
    try {
      this.#file.append(this.#filling.subarray(0, FRAME_HEADER));
    } catch (error) {
      if (!isShortOfRoom(error)) throw error;
      return;
    }
    this.#file.syncNow();
  }

  #checkWell(): void {
    const failure = this.#failure ?? this.#full;
    if (failure !== undefined) throw failure;
  }

  /** What is durable when a frame that is sealed now is written: with `always`, all groups before its own. */
  #syncedBefore(): number {
    return this.#options.syncMode === "always" ? this.#segment.bytes : this.#synced;
  }

  #grow(count: number): void {
    const needed = this.#length + count;
    if (needed <= this.#filling.length) return;
    const grown = new Uint8Array(Math.max(needed, this.#filling.length * 2));
    grown.set(this.#filling.subarray(0, this.#length));
    this.#filling = grown;
  }

  /** Appends and syncs group after group until nothing is queued; then rotates if that is asked for. */
  async #run(): Promise<void> {
    // Let the rest of this turn's writers join the first group.
    await Promise.resolve();
    for (;;) {
      const group = this.#group;
      this.#writing = group;
      try {
        if (group !== undefined) await this.#writeGroup(group);
        else if (this.#rotate && !this.#closed) await this.#nextSegment();
        else break;
      } catch (cause) {
        this.#poison(cause);
        group?.reject(this.#failure);
        // Those who queued behind it share its fate; they were told to wait by `append`.
        (this.#group as Group | undefined)?.reject(this.#failure);
        this.#group = undefined;
        this.#length = 0;
        for (const { reject } of this.#cuts.splice(0)) reject(this.#failure);
        break;
      }
      group?.resolve();
    }
    this.#writing = undefined;
    this.#loop = undefined;
  }

  async #writeGroup(group: Group): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    const bytes = this.#filling.subarray(0, this.#length);
    this.#filling = this.#spare;
    this.#spare = bytes.length > BUFFER_BYTES_KEPT
      ? new Uint8Array(BUFFER_BYTES)
      : new Uint8Array(bytes.buffer as ArrayBuffer);
    this.#length = 0;
    this.#group = undefined;
    const segment = this.#segment;
    if (this.#cipher !== undefined) this.#sealAll(this.#cipher, bytes);
    const { size: start } = this.#file;
    try {
      this.#file.append(bytes);
    } catch (error) {
      await this.#whenRoom(() => this.#appendRest(bytes, start), error);
    }
    segment.bytes += bytes.length;
    this.bytesWritten += bytes.length;
    segment.lastSeq = group.lastSeq;
    const due = this.#rotate || segment.bytes >= this.#options.segmentSize ||
      this.#clock.monotonicMs() - this.#openedAtMs >= this.#options.segmentAgeMs;
    this.groups++;
    if (due) {
      await this.#nextSegment();
    } else if (this.#options.syncMode === "always") {
      await this.#syncGroup(group.records);
      this.#synced = segment.bytes;
    } else if (this.#options.syncMode === "batch") {
      this.#scheduleSync(group.records);
    }
    this.#hooks.committed(group.lastSeq);
  }

  /** Appends what an append that found no room has left of a group, which began at `start` of the file. */
  #appendRest(bytes: Uint8Array, start: number): void {
    const { path, size } = this.#file;
    // The system says how much of a write it took. If that were not so, frames would stand in a wrong place.
    const found = this.#disk.stat(path)?.size;
    if (found !== size) {
      throw new DiskError("append", path, "EIO", { detail: `it has ${found} bytes, not ${size}` });
    }
    this.#file.append(bytes.subarray(size - start));
  }

  /**
   * Takes a step again and again until there is room for it, beginning at once if room can be made. Until
   * then nothing is queued, and all who wait have been told.
   * @param failure  what its first attempt failed with; any but for want of room is thrown
   */
  async #whenRoom<T>(step: () => T | Promise<T>, failure: unknown): Promise<T> {
    for (;;) {
      if (!isShortOfRoom(failure)) throw failure;
      if (!this.#hooks.makeRoom()) await this.#waitForRoom(failure);
      if (this.#failure !== undefined) throw this.#failure;
      try {
        const done = await step();
        if (this.#full !== undefined) this.#hooks.waits(undefined);
        this.#full = undefined;
        return done;
      } catch (error) {
        failure = error;
      }
    }
  }

  async #waitForRoom(cause: unknown): Promise<void> {
    if (this.#full === undefined) {
      this.#full = this.#failureOf(cause);
      this.#hooks.waits(this.#full);
    }
    this.#refuseWaiting(this.#full);
    // Nobody is to wait for a log that is being closed, nor is it to be taken for a sound one.
    if (this.#closed) throw this.#failure ??= this.#full;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      this.#cancelPause = this.#clock.after(ROOM_PAUSE_MS, resolve);
    });
    this.#wake = undefined;
    this.#cancelPause?.();
    if (this.#closed) throw this.#failure ??= this.#full;
  }

  /** Tells all who wait for the log that they shall not; what they have queued stays queued. */
  #refuseWaiting(reason: PairError): void {
    this.#writing?.refuse(reason);
    this.#group?.refuse(reason);
    for (const { reject } of this.#cuts.splice(0)) reject(reason);
  }

  /** Mode `always`: one sync, on this thread or another. */
  #syncGroup(records: number): Promise<void> | undefined {
    const startedMs = this.#clock.monotonicMs();
    if (!this.#pacer.waitsHere(records)) {
      return this.#file.sync().then(() => this.#pacer.away(this.#clock.monotonicMs() - startedMs));
    }
    this.#file.syncNow();
    this.#pacer.here(this.#clock.monotonicMs() - startedMs);
    return undefined;
  }

  /** Makes the present segment durable, closes it, and begins the next one. An empty one stays. */
  async #nextSegment(): Promise<void> {
    this.#rotate = false;
    if (this.#segment.bytes > HEADER_SIZE) await this.#changeSegment(this.#segment);
    for (const { take } of this.#cuts.splice(0)) take();
  }

  async #changeSegment(segment: Segment): Promise<void> {
    const file = this.#file;
    this.#cancelSync?.();
    this.#cancelSync = undefined;
    this.#unsyncedWrites = 0;
    await file.sync();
    while (this.#syncing !== undefined) await this.#syncing;
    if (this.#failure !== undefined) throw this.#failure;
    try {
      this.#openSegment(segment, segment.lastSeq);
    } catch (error) {
      await this.#whenRoom(() => this.#openSegment(segment, segment.lastSeq), error);
    }
    this.rotations++;
    file.close();
    const { number } = this.#segment;
    try {
      await this.#hooks.opened(number);
    } catch (error) {
      await this.#whenRoom(() => this.#hooks.opened(number), error);
    }
    this.#replace();
  }

  /** Mode `batch`: sees to it that writes just appended are synced in time. */
  #scheduleSync(writes: number): void {
    this.#unsyncedWrites += writes;
    if (this.#unsyncedWrites >= this.#options.syncEvery) void this.#syncAppended();
    else {
      this.#cancelSync ??= this.#clock.after(
        this.#options.syncIntervalMs,
        () => void this.#syncAppended(),
      );
    }
  }

  /** One sync that covers everything appended so far. Never rejects: a failure poisons the log. */
  async #syncAppended(): Promise<void> {
    this.#cancelSync?.();
    this.#cancelSync = undefined;
    this.#unsyncedWrites = 0;
    // The one under way may have begun too early.
    while (this.#syncing !== undefined) await this.#syncing;
    const upTo = this.#segment.bytes;
    if (this.#failure !== undefined || this.#synced >= upTo) return;
    this.#syncing = (async () => {
      try {
        // The file stays open for as long: a rotation and `close` wait for this.
        await this.#file.sync();
        this.#synced = upTo;
      } catch (cause) {
        this.#poison(cause);
      } finally {
        this.#syncing = undefined;
      }
    })();
    await this.#syncing;
  }

  /** Makes the frames that wait, which were made for the segment before, frames of the present one. */
  #replace(): void {
    if (this.#cipher !== undefined) return;
    for (let at = 0; at < this.#length;) {
      const offset = this.#segment.bytes + at;
      at = checkFrame(this.#filling, at, offset, this.#salt, this.#syncedBefore());
    }
  }

  /** Encrypts a group, which will be appended next. */
  #sealAll(cipher: Cipher, bytes: Uint8Array): void {
    const { bytes: offset } = this.#segment;
    const synced = this.#syncedBefore();
    for (let at = 0; at < bytes.length;) {
      at = sealFrame(cipher, bytes, at, offset + at, this.#salt, synced);
    }
  }

  /** @param lastSeq  the last sequence before this segment; writers that wait for it have later ones already */
  #openSegment(previous: Segment | undefined, lastSeq: number): void {
    const number = this.#hooks.nextNumber();
    const salt = this.#random.u32();
    const keySalt = this.#key && this.#random.bytes(16);
    const header = encodeHeader({
      segment: number,
      previous: previous?.number ?? 0,
      previousLength: previous?.bytes ?? 0,
      firstSeq: lastSeq + 1,
      salt,
      keySalt,
    });
    const path = this.#files.segment(number);
    const file = this.#disk.create(path);
    try {
      file.append(header);
      file.syncNow();
      this.#disk.syncDir(this.#files.walDir);
    } catch (error) {
      file.close();
      // Its number is not used again, and without a whole header it is no segment.
      if (isShortOfRoom(error)) this.#hooks.remove(path);
      throw error;
    }
    this.#file = file;
    this.#salt = salt;
    this.#cipher = this.#key && segmentCipher(this.#key, keySalt!);
    this.#segment = { number, lastSeq, bytes: header.length, damaged: false };
    this.#synced = header.length;
    this.#openedAtMs = this.#clock.monotonicMs();
    this.segments.push(this.#segment);
  }

  #poison(cause: unknown): void {
    this.#failure ??= this.#failureOf(cause);
  }

  #failureOf(cause: unknown): PairError {
    if (cause instanceof PairError && cause.error === "DiskFull") return cause;
    const full = cause instanceof DiskError && cause.errno === "ENOSPC";
    return new PairError(
      full ? "DiskFull" : "CommitLogFailed",
      `Cannot write the log: ${cause instanceof Error ? cause.message : String(cause)}`,
      { file: this.#file.path },
      { cause },
    );
  }
}
