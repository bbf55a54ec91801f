/**
 * Cold reads: how a read that the disk takes long over lets the event loop go on.
 *
 * Tables read their blocks with blocking calls, which is by far the fastest way while blocks come from
 * memory or a quick disk. Every such call is timed. Once they are slow on average, callers that can wait
 * do this instead:
 *
 *     attempt the read        it stops with a ColdRead at the first bytes that are not at hand
 *     fetch those bytes       without blocking, into the attempt's stash
 *     attempt it again        from the start, with the stash: it comes further by one section at least
 *
 * Who lacks bytes that are being fetched already waits for those: however many ask for one key at once, the
 * disk is read once. They share nothing else. Files never change, and each attempt looks into the memtables
 * and tables of its own moment, so a read sees every write that was acknowledged before it began, whosesoever
 * fetch it waits for.
 *
 * So nothing below (blocks, indexes, filters, opening a table) knows of waiting, every byte is verified in
 * one place, and a read that has its blocks in memory costs what it always does. What holds the caller's
 * tables and memtables in the meantime is the caller's business.
 * @module
 */
import { PairError } from "../model/mod.ts";
import { type Clock, type Disk, DiskError, type ReadFile } from "../runtime/mod.ts";
import { ChecksumMeter, readFailed } from "./sstable/mod.ts";

/** Blocking reads that take longer than this on average are left to the asynchronous path... */
const SLOW_MS = 0.5;
/** ...until reads are quicker than this again. */
const QUICK_MS = 0.25;
/**
 * The weight of one more read in the average, when it is above and when it is below. Where one read in some
 * hundred comes from a slow disk and the rest from the system's cache, the disk counts as slow: each that
 * blocked would hold up everybody.
 */
const WEIGHT_UP = 1 / 8;
const WEIGHT_DOWN = 1 / 256;

/** Stops an attempt: these bytes have to come from a slow disk first. */
export class ColdRead extends Error {
  override name = "ColdRead";
  constructor(readonly path: string, readonly offset: number, readonly length: number) {
    super(`${path} at ${offset} is not at hand`);
  }
}

/** Bytes that were fetched for an attempt. */
interface Chunk {
  readonly path: string;
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** What was fetched for the attempts of one read. */
export class Stash {
  #chunks: Chunk[] = [];

  add(chunk: Chunk): void {
    this.#chunks.push(chunk);
  }

  /** Fills `into` when its bytes are here. */
  take(path: string, into: Uint8Array, offset: number): boolean {
    for (const chunk of this.#chunks) {
      const at = offset - chunk.offset;
      if (chunk.path !== path || at < 0 || at + into.length > chunk.bytes.length) continue;
      into.set(chunk.bytes.subarray(at, at + into.length));
      return true;
    }
    return false;
  }

  /** Keeps the last `count` chunks: only between attempts that have succeeded. */
  trim(count: number): void {
    if (this.#chunks.length > count) this.#chunks = this.#chunks.slice(-count);
  }
}

/** Times the reads of one engine's tables, and fetches what attempts lack. */
export class ColdReads {
  /** What it takes to verify what was read. */
  readonly checksums: ChecksumMeter;
  readonly #disk: Disk;
  readonly #clock: Clock;
  #meanMs = 0;
  #slow = false;
  /** The stash of the attempt that runs now; undefined: reads block. */
  #stash: Stash | undefined;
  readonly #fetching = new Map<string, Promise<Chunk>>();
  #count = 0;
  #joined = 0;

  constructor(disk: Disk, clock: Clock) {
    this.#disk = disk;
    this.#clock = clock;
    this.checksums = new ChecksumMeter(() => clock.monotonicMs());
  }

  /** Whether callers that can wait should. */
  get isSlow(): boolean {
    return this.#slow;
  }
  /** The moving average of a read, in ms. */
  get meanMs(): number {
    return this.#meanMs;
  }
  /** Fetches so far. */
  get count(): number {
    return this.#count;
  }
  /** How often somebody waited for a fetch that another had begun. */
  get joined(): number {
    return this.#joined;
  }

  /** Opens a file whose reads are timed, and stop attempts. */
  openRead(path: string): ReadFile {
    return new TimedFile(this.#disk.openRead(path), this);
  }

  /** Runs a synchronous step that must not block; returns what it lacks when it would. */
  attempt<T>(stash: Stash, step: () => T): T | ColdRead {
    this.#stash = stash;
    try {
      return step();
    } catch (error) {
      if (error instanceof ColdRead) return error;
      throw error;
    } finally {
      this.#stash = undefined;
    }
  }

  /**
   * Fetches what an attempt lacked into its stash.
   * @param ahead   bytes to read at once at least, for those who go on from there
   * @param before  they go backwards: read what lies before, not behind
   * @throws PairError CorruptedData when the file is missing or too short, SSTableFailed when the disk fails
   */
  async fetch(cold: ColdRead, stash: Stash, ahead = 0, before = false): Promise<void> {
    const name = `${cold.path}:${cold.offset}:${Math.max(ahead, cold.length)}:${before}`;
    let fetching = this.#fetching.get(name);
    if (fetching === undefined) {
      fetching = this.#fetch(cold, ahead, before).finally(() => this.#fetching.delete(name));
      this.#fetching.set(name, fetching);
    } else this.#joined++;
    stash.add(await fetching);
  }

  /** Reads from a file: from the stash in an attempt, else from the disk. */
  readAt(file: ReadFile, into: Uint8Array, offset: number): number {
    if (this.#stash !== undefined) {
      if (this.#stash.take(file.path, into, offset)) return into.length;
      // What lies outside the file is for the reader to find.
      if (offset + into.length <= file.size) throw new ColdRead(file.path, offset, into.length);
    }
    const startMs = this.#clock.monotonicMs();
    const count = file.readAt(into, offset);
    this.#note(this.#clock.monotonicMs() - startMs);
    return count;
  }

  /** Counts a read that took this long. */
  #note(tookMs: number): void {
    this.#meanMs += (tookMs - this.#meanMs) *
      (tookMs > this.#meanMs ? WEIGHT_UP : WEIGHT_DOWN);
    this.#slow = this.#meanMs > (this.#slow ? QUICK_MS : SLOW_MS);
  }

  async #fetch({ path, offset, length }: ColdRead, ahead: number, before: boolean): Promise<Chunk> {
    this.#count++;
    const startMs = this.#clock.monotonicMs();
    try {
      // A handle of its own: an attempt to open a table has closed the one that it had.
      const file = this.#disk.openRead(path);
      try {
        const more = Math.max(0, ahead - length);
        const from = before ? Math.max(0, offset - more) : offset;
        const to = Math.min(file.size, before ? offset + length : offset + length + more);
        const bytes = new Uint8Array(to - from);
        const count = await file.readAtAsync(bytes, from);
        this.#note(this.#clock.monotonicMs() - startMs);
        // Without this an attempt would ask for the same bytes for ever.
        if (from + count < offset + length) {
          throw new PairError(
            "CorruptedData",
            `Cannot read ${path} at ${offset}: the file ends before its section`,
            { file: path, offset },
          );
        }
        return { path, offset: from, bytes: bytes.subarray(0, count) };
      } finally {
        file.close();
      }
    } catch (cause) {
      if (!(cause instanceof DiskError)) throw cause;
      throw readFailed(path, offset, cause);
    }
  }
}

class TimedFile implements ReadFile {
  readonly path: string;
  readonly size: number;
  readonly #file: ReadFile;
  readonly #reads: ColdReads;

  constructor(file: ReadFile, reads: ColdReads) {
    this.path = file.path;
    this.size = file.size;
    this.#file = file;
    this.#reads = reads;
  }

  readAt(into: Uint8Array, offset: number): number {
    return this.#reads.readAt(this.#file, into, offset);
  }

  readAtAsync(into: Uint8Array, offset: number): Promise<number> {
    return this.#file.readAtAsync(into, offset);
  }

  close(): void {
    this.#file.close();
  }
}
