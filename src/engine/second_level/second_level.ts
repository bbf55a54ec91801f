/**
 * Second level: rows in a cache that other processes use too, behind the row cache and before the disk.
 *
 * No answer of that cache is believed for what it is. A row is kept together with the moment of which it is,
 * and counts only when
 *
 *   - it opens: this process has sealed it, since its start, for this key of this tree (entry.ts);
 *   - the key was not written since that moment (last_writes.ts), so that it is still true;
 *   - that moment is not after the reader's;
 *   - something in it lives: what is dead a compaction may have dropped meanwhile.
 *
 * So it does not matter whether a delete was lost, the cache was away for a while, or answers with what it had
 * an hour ago. Why the proof does not come from the tables, whose sequences and filters are in memory as well: a
 * compaction at the bottom drops a tombstone together with what it hides, and nothing in the tables tells any
 * more that the key was written; and a row that was kept when it was written would be unproven as soon as its own
 * memtable is a table. The price: rows do not outlive the process.
 *
 * Modes (docs/rows.md: K7)
 *     read_through    what a read found on the disk is kept
 *     write_through   that, and what is written: the writer waits for it, up to the time limit
 *     write_behind    that, and what is written, behind the answer
 *     cache_aside     nothing is kept but what somebody asks for (`keep`)
 *
 * A read waits for one answer, and no longer than the limit; what is to be kept waits in a queue that is
 * bounded by its bytes, and is dropped when that is full.
 * @module
 */
import type { Cancel, Clock, Log, Random, SharedCache, SharedEntry } from "../../runtime/mod.ts";
import { filterHash1 } from "../sstable/mod.ts";
import { Entries } from "./entry.ts";
import { LastWrites } from "./last_writes.ts";
import { Link } from "./link.ts";

/** What gets into the second level, and when. */
export type SecondLevelMode = "read_through" | "write_through" | "write_behind" | "cache_aside";

/** The modes, the default first. */
export const SECOND_LEVEL_MODES: readonly SecondLevelMode[] = Object.freeze([
  "read_through",
  "write_through",
  "write_behind",
  "cache_aside",
]);

/** How a second level behaves. */
export interface SecondLevelOptions {
  readonly cache: SharedCache;
  readonly mode: SecondLevelMode;
  /** Whether reads ask it only while the disk is slow, or whenever they would go to the disk. */
  readonly ask: "slow_disk" | "always";
  /** How long the cache keeps a row, in ms; at least 1000. */
  readonly ttlMs: number;
  /** Larger rows stay out, in bytes. */
  readonly valueMax: number;
  /** How long a read, or a writer in the mode `write_through`, waits for it, in ms. */
  readonly timeoutMs: number;
  /** Bytes of rows that may wait to be kept. */
  readonly queueBytes: number;
}

/** What a second level has to know of a tree. */
export interface CachedTree {
  readonly id: number;
  /** Compactions have dropped values that were dead by then; ms since 1970. */
  readonly purgedBeforeMs: number;
  /** The wall time, ms since 1970, from which on nothing in a value lives; 0: something lives for ever. */
  deadSince(value: Uint8Array): number;
}

/** Figures of a second level, since the engine was opened. */
export interface SecondLevelStats {
  /** Whether the cache answers. */
  readonly up: boolean;
  /** Reads that it answered. */
  readonly hits: number;
  /** Reads to which it gave nothing. */
  readonly misses: number;
  /** Reads to which it gave what could not be proved. */
  readonly unproven: number;
  /** Reads that would have asked it, had it not been down or busy. */
  readonly skipped: number;
  /** Calls that failed, and that took too long. */
  readonly errors: number;
  readonly timeouts: number;
  /** Rows that were kept, and those that were not since the cache was down or the queue full. */
  readonly kept: number;
  readonly dropped: number;
  readonly queuedBytes: number;
}

/** Rows that go in one call. */
const BATCH = 64;
/** Calls of reads that may wait for an answer at the same time. */
const ASKING_MAX = 32;
/** Bytes that go in one call, unless a row alone is larger. */
const BATCH_BYTES = 1 << 20;
/** How long a call that nobody waits for may take, in ms. */
const BACKGROUND_MS = 1000;

interface Question {
  readonly name: string;
  readonly answer: (entry: Uint8Array | undefined) => void;
}

interface Queued extends SharedEntry {
  /** It is there, or will not be. */
  readonly done: () => void;
}

/** Rows of one engine in a shared cache. */
export class SecondLevel {
  readonly #options: SecondLevelOptions;
  readonly #clock: Clock;
  readonly #entries: Entries;
  readonly #writes = new LastWrites();
  readonly #link: Link;
  /** Asked in this turn. */
  #questions: Question[] = [];
  #asking = 0;
  #queue: Queued[] = [];
  #queuedBytes = 0;
  #sending = false;
  #hits = 0;
  #misses = 0;
  #unproven = 0;
  #skipped = 0;
  #kept = 0;
  #dropped = 0;

  constructor(
    options: SecondLevelOptions,
    { clock, random, log }: { clock: Clock; random: Random; log: Log },
  ) {
    this.#options = options;
    this.#clock = clock;
    this.#entries = new Entries(random);
    this.#link = new Link(options.cache, this.#entries.probe, clock, log);
  }

  /** Looks for the cache; until it is found, reads go without it. */
  start(): void {
    this.#link.start();
  }

  close(): void {
    this.#link.close();
    this.#drop(this.#queue.length);
  }

  /** See {@link SecondLevelStats}. */
  stats(): SecondLevelStats {
    return {
      up: this.#link.isUp,
      hits: this.#hits,
      misses: this.#misses,
      unproven: this.#unproven,
      skipped: this.#skipped,
      errors: this.#link.errors,
      timeouts: this.#link.timeouts,
      kept: this.#kept,
      dropped: this.#dropped,
      queuedBytes: this.#queuedBytes,
    };
  }

  /** Whether reads that would go to the disk are to ask. @param isSlow  the disk is */
  isAsked(isSlow: boolean): boolean {
    return isSlow || this.#options.ask === "always";
  }

  /** Whether what is written is kept. */
  get takesWrites(): boolean {
    const { mode } = this.#options;
    return mode === "write_through" || mode === "write_behind";
  }

  /** A key is being written: in the same step in which the write gets its number. */
  noteWrite(tree: number, key: Uint8Array, sequence: number): void {
    this.#writes.note(tree, filterHash1(key, 0, key.length), sequence);
  }

  /** Whether it is certain that a key was not written after a moment, up to now. */
  isNewest(tree: CachedTree, key: Uint8Array, sequence: number): boolean {
    return !this.#writes.mayBeAfter(tree.id, filterHash1(key, 0, key.length), sequence);
  }

  /**
   * A row for a reader at a moment; undefined when there is none that can be proved, within the limit. Never
   * rejects. Nothing was written to the key after the row's sequence.
   */
  async get(
    tree: CachedTree,
    key: Uint8Array,
    sequence: number,
  ): Promise<{ readonly sequence: number; readonly value: Uint8Array } | undefined> {
    if (!this.#link.isUp || this.#asking >= ASKING_MAX) {
      this.#skipped++;
      return undefined;
    }
    const name = this.#entries.name(tree.id, key);
    const entry = await this.#ask(name.name);
    if (entry === undefined) {
      this.#misses++;
      return undefined;
    }
    const row = this.#entries.open(name, entry);
    if (
      row === undefined || row.sequence > sequence || !this.isNewest(tree, key, row.sequence) ||
      !this.#isAlive(tree, row.value)
    ) {
      this.#unproven++;
      return undefined;
    }
    this.#hits++;
    return row;
  }

  /** Keeps what a read at a moment found on the disk, unless the mode leaves that to others. */
  found(tree: CachedTree, key: Uint8Array, sequence: number, value: Uint8Array): void {
    if (this.#options.mode !== "cache_aside") void this.keep(tree, key, sequence, value);
  }

  /**
   * Seals what is being written, in the step that writes it: its bytes may be another's afterwards.
   * @returns what to call once the write is visible: its promise is awaited before the writer gets an answer;
   *   undefined when nothing of it is kept
   */
  writing(
    puts: readonly { tree: CachedTree; key: Uint8Array; value: Uint8Array; sequence: number }[],
  ): (() => Promise<void>) | undefined {
    const { mode, timeoutMs } = this.#options;
    if (!this.#link.isUp) {
      this.#dropped += puts.length;
      return undefined;
    }
    const entries = puts.filter(({ tree, value }) => this.#isWorthy(tree, value)).map(
      ({ tree, key, value, sequence }) => {
        const name = this.#entries.name(tree.id, key);
        return { key: name.name, value: this.#entries.seal(name, { sequence, value }) };
      },
    );
    if (entries.length === 0) return undefined;
    return async () => {
      const all = Promise.all(entries.map((entry) => this.#enqueue(entry)));
      if (mode === "write_through") await within(this.#clock, all, timeoutMs);
    };
  }

  /**
   * Keeps a row as of a moment.
   * @returns a promise that resolves when it is there, or it is clear that it will not be
   */
  keep(tree: CachedTree, key: Uint8Array, sequence: number, value: Uint8Array): Promise<void> {
    if (!this.#isWorthy(tree, value)) return NOTHING_TO_DO;
    if (!this.#link.isUp) {
      this.#dropped++;
      return NOTHING_TO_DO;
    }
    const name = this.#entries.name(tree.id, key);
    return this.#enqueue({ key: name.name, value: this.#entries.seal(name, { sequence, value }) });
  }

  /** Makes the cache forget keys of a tree. @returns false when it was not reached */
  async forget(tree: CachedTree, keys: readonly Uint8Array[]): Promise<boolean> {
    const names = keys.map((key) => this.#entries.name(tree.id, key).name);
    const forgotten = new Set(names);
    // What waits would bring them back.
    for (const queued of this.#queue) {
      if (forgotten.has(queued.key)) this.#queuedBytes -= queued.value.length;
    }
    const gone = this.#queue.filter(({ key }) => forgotten.has(key));
    this.#queue = this.#queue.filter(({ key }) => !forgotten.has(key));
    for (const { done } of gone) done();
    for (let from = 0; from < names.length; from += BATCH) {
      const batch = names.slice(from, from + BATCH);
      const answer = await this.#link.call(
        (cache) => cache.deleteMany(batch).then(() => true),
        BACKGROUND_MS,
      );
      if (answer !== true) return false;
    }
    return true;
  }

  #isWorthy(tree: CachedTree, value: Uint8Array): boolean {
    return value.length <= this.#options.valueMax && this.#isAlive(tree, value);
  }

  /** Whether something in a value lives, and no compaction can have dropped it as dead. */
  #isAlive(tree: CachedTree, value: Uint8Array): boolean {
    const since = tree.deadSince(value);
    return since === 0 || since > Math.max(tree.purgedBeforeMs, this.#clock.wallMs());
  }

  // ---- questions: those of one turn go together

  #ask(name: string): Promise<Uint8Array | undefined> {
    return new Promise((answer) => {
      this.#questions.push({ name, answer });
      if (this.#questions.length === 1) void Promise.resolve().then(() => this.#send());
      else if (this.#questions.length === BATCH) void this.#send();
    });
  }

  async #send(): Promise<void> {
    const questions = this.#questions;
    if (questions.length === 0) return;
    this.#questions = [];
    this.#asking++;
    const names = questions.map(({ name }) => name);
    const found = await this.#link.call(
      (cache) => cache.getMany(names),
      this.#options.timeoutMs,
    );
    this.#asking--;
    for (const [i, { answer }] of questions.entries()) answer(found?.[i]);
  }

  // ---- the queue of what is to be kept

  #enqueue(entry: SharedEntry): Promise<void> {
    const bytes = entry.value.length;
    if (!this.#link.isUp || this.#queuedBytes + bytes > this.#options.queueBytes) {
      this.#dropped++;
      return NOTHING_TO_DO;
    }
    this.#queuedBytes += bytes;
    return new Promise((done) => {
      this.#queue.push({ ...entry, done });
      if (!this.#sending) void this.#sendQueue();
    });
  }

  async #sendQueue(): Promise<void> {
    this.#sending = true;
    const { mode, timeoutMs, ttlMs } = this.#options;
    // Where writers wait for it, it must be found out soon that it is in vain.
    const limitMs = mode === "write_through" ? timeoutMs : BACKGROUND_MS;
    // What comes in the same turn goes together.
    await Promise.resolve();
    while (this.#queue.length > 0) {
      if (!this.#link.isUp) {
        this.#drop(this.#queue.length);
        break;
      }
      const batch = this.#nextBatch();
      const answer = await this.#link.call(
        (cache) => cache.setMany(batch, ttlMs).then(() => true),
        limitMs,
      );
      if (answer === true) this.#kept += batch.length;
      else this.#dropped += batch.length;
      for (const { done } of batch) done();
    }
    this.#sending = false;
  }

  #nextBatch(): Queued[] {
    let count = 0;
    let bytes = 0;
    while (count < this.#queue.length && count < BATCH) {
      const { length } = this.#queue[count].value;
      if (count > 0 && bytes + length > BATCH_BYTES) break;
      bytes += length;
      count++;
    }
    this.#queuedBytes -= bytes;
    return this.#queue.splice(0, count);
  }

  #drop(count: number): void {
    for (const { value, done } of this.#queue.splice(0, count)) {
      this.#queuedBytes -= value.length;
      this.#dropped++;
      done();
    }
  }
}

const NOTHING_TO_DO = Promise.resolve();

/** Resolves with a promise, or after a time; a rejection is nobody's affair here. */
async function within(clock: Clock, promise: Promise<unknown>, limitMs: number): Promise<void> {
  let cancel: Cancel | undefined;
  const late = new Promise<void>((resolve) => cancel = clock.after(limitMs, resolve));
  await Promise.race([promise, late]);
  cancel?.();
}
