/**
 * What an engine does for the floors above: trees of sorted keys over one log.
 *
 * The implementation is `engine.ts`; tests of the floors above may bring another.
 * @module
 */

import type { PairError } from "../model/mod.ts";
import type { CheckpointInfo, MadeCheckpoint, Origin, Verified } from "./checkpoint/mod.ts";
import type { CompactionStrategy } from "./options.ts";
import type { ReadSteps } from "./read_steps.ts";
import type { Compression } from "./sstable/mod.ts";

/** What a put, delete or merge of one key carries into the log and the memtable. */
export type EntryKind = 0 | 1 | 2;
/** The key has this value. */
export const KIND_PUT = 0;
/** The key has no value. */
export const KIND_DELETE = 1;
/** An operand that the tree's merge operator folds into what lies below. */
export const KIND_MERGE = 2;

/** What a log record was made for; the engine stores it and does not look at it (docs/rows.md: E3). */
export type OriginTag = "write" | "delete" | "repair";

/** One change in a batch. `value` is ignored for a delete. */
export interface Mutation {
  readonly tree: Tree;
  readonly kind: EntryKind;
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** Folds operands into a value. Must be a pure function: it also runs in worker threads, by name. */
export interface MergeOperator {
  /** Names the operator in the manifest; a tree keeps its operator for life. */
  readonly name: string;
  /**
   * @param key       the user key
   * @param base      the value below all operands; undefined when there is none
   * @param operands  oldest first, at least one
   * @returns the merged value
   * @throws PairError CorruptedData when `base` or an operand cannot be read
   */
  merge(key: Uint8Array, base: Uint8Array | undefined, operands: readonly Uint8Array[]): Uint8Array;
  /**
   * When a value died: the wall time, ms since 1970, from which on nothing in it is alive, so that its
   * users cannot tell it from no value at all. 0 when something in it lives for ever, or it cannot be
   * read. Values that died before the grace time are dropped by compactions at the bottom, and by them alone.
   * @param value  a buffer that holds the value from `start` to `end`
   */
  deadSince?(value: Uint8Array, start: number, end: number): number;
  /**
   * What must be remembered of a value that is dropped because it is dead: a number that the tree keeps the
   * largest of, durably, in {@link Tree.purgeFloor}.
   */
  floor?(value: Uint8Array, start: number, end: number): number;
  /**
   * At least the `floor` of any value that there can have been in the store, for those that nobody can look at
   * any more.
   * @param nowMs  wall time, ms since 1970
   * @param floor  what is remembered already; 0: nothing
   */
  floorOfLost?(nowMs: number, floor: number): number;
}

/** What a tree has of its own; what is absent is as the engine's options say. */
export interface TreeOptions {
  /** How its tables are merged. */
  readonly strategy?: CompactionStrategy | undefined;
  /** Length of its time windows, in ms; for the strategy `time_window`. */
  readonly windowMs?: number | undefined;
  /** Time to live of values that come without their own, in ms; 0: for ever. The floors above apply it. */
  readonly ttlMs?: number | undefined;
  /** How tables that are written from now on are compressed, on every level. */
  readonly compression?: Compression | undefined;
  /** What it may hold of each cache at most, in percent, 1 to 100; absent: as much as there is. */
  readonly cacheShare?: number | undefined;
  /** What becomes of concurrent versions; a tree keeps it for life. The floors above apply it. */
  readonly conflictStrategy?: string | undefined;
  // What it may use at most; absent: as much as there is. The floors above see to it.
  /** Bytes of keys and values. */
  readonly maxBytes?: number | undefined;
  /** Keys. */
  readonly maxKeys?: number | undefined;
  /** Requests a second; a batch is as many as it has items. */
  readonly maxRequests?: number | undefined;
  /** Bytes a second that come in and go out. */
  readonly maxBandwidth?: number | undefined;
}

/** A named, independent key space with its own memtables and levels. */
export interface Tree {
  readonly id: number;
  readonly name: string;
  /** Wall time at creation, ms since 1970. */
  readonly createdAtMs: number;
  /**
   * The largest {@link MergeOperator.floor} of all values that were dropped because they were dead, and of those of
   * trees that were dropped before it was made; after a loss, {@link MergeOperator.floorOfLost}. 0 before.
   */
  readonly purgeFloor: number;
  /** The largest sequence of all values that were dropped because they were dead, durably; 0 before. */
  readonly purgedSequence: number;
  /** Its own options, as they are now. */
  readonly options: TreeOptions;
}

/** Where a read found its answer. Filled by {@link Engine.get} when one is handed in. */
export interface ReadTrace {
  source: "cache" | "memtable" | "shared_cache" | "sstable" | "none";
  /** Takes down each step, for those who ask; absent: nobody does, and it costs nothing. */
  readonly steps?: ReadSteps | undefined;
}

/** A moment that reads can go back to. Release it, or old versions stay on disk. */
export interface Snapshot {
  readonly sequence: number;
  release(): void;
}

/** What of a tree is compacted, and how far. */
export interface CompactOptions {
  /** First key, inclusive; absent: from the first. Whole tables are merged, so others may be, too. */
  readonly start?: Uint8Array | undefined;
  /** End, exclusive; absent: to the last. */
  readonly end?: Uint8Array | undefined;
  /** Drop what is dead by now, without its grace: an operator's act, for data that no copy can bring back. */
  readonly purge?: boolean | undefined;
}

/** Which keys a scan shows, in key bytes; all bounds together narrow it. */
export interface ScanRange {
  /** First key, inclusive; absent: from the first. */
  readonly start?: Uint8Array | undefined;
  /** End, exclusive; absent: to the last. */
  readonly end?: Uint8Array | undefined;
  /** Keys that begin with these bytes. */
  readonly prefix?: Uint8Array | undefined;
  /** From the last key of the range to the first. */
  readonly reverse?: boolean | undefined;
  /** Keys at most; absent: all. */
  readonly limit?: number | undefined;
}

/**
 * A cursor over live keys in byte order, ascending or (reverse) descending, at one moment. `key` and
 * `value` are views of the engine's own memory, for reading, and valid until the next call of `next`
 * only: copy what you keep. Close it, or tables cannot be removed.
 */
export interface ScanCursor {
  /** Moves to the next live key (the first call: to the first). False at the end. */
  next(): boolean;
  /**
   * For callers that can wait, before each `next`: a promise to await first when the next step needs what
   * has to come from a slow disk; undefined when it need not be waited for. Invalidates `key` and `value`.
   * Never rejects: an error is the next step's.
   */
  ready(): Promise<void> | undefined;
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  close(): void;
}

/** Figures for people and metrics. */
export interface EngineStats {
  lastSequence: number;
  walBytes: number;
  walSegments: number;
  /** Segments that are kept though nothing needs them, and their bytes. */
  walArchivedSegments: number;
  walArchivedBytes: number;
  memtableBytes: number;
  tableBytes: number;
  tables: number;
  /** Tables on each level, all trees together. */
  tablesPerLevel: number[];
  flushes: number;
  flushBytesWritten: number;
  /** What they took, from their job to the edit that ends them, all together, ms. */
  flushMs: number;
  compactions: number;
  compactionBytesRead: number;
  compactionBytesWritten: number;
  /** What they took, all together, ms. */
  compactionMs: number;
  blockCacheBytes: number;
  blockCacheHits: number;
  blockCacheMisses: number;
  /** Pieces that reads waited for because the disk is slow; see {@link Engine.read}. */
  coldReads: number;
  /** How often a read waited for a piece that another was already waiting for: the disk was read once. */
  coldReadsJoined: number;
  /** The moving average of a table read, in ms. */
  readLatencyMs: number;
  /** Rows in the row cache, and what they count for: key, value and 64 bytes each. */
  rowCacheEntries: number;
  rowCacheBytes: number;
  rowCacheMaxBytes: number;
  /** Share of it that is in use, from 0 to 1. */
  rowCacheUse: number;
  /** Reads that came to the row cache, past the memtables. */
  rowCacheHits: number;
  rowCacheMisses: number;
  /** Reads of clients by the layer that had the newest entry of their key, and those that found none. */
  readsFromMemtable: number;
  readsFromRowCache: number;
  readsFromSharedCache: number;
  readsFromTables: number;
  readsOfNothing: number;
  /** Shared caches that are configured: 1 or 0; and how many of them answer. */
  sharedCaches: number;
  sharedCacheUp: number;
  /** Reads that asked the shared cache: that it answered; to which it gave nothing; what could not be proved true. */
  sharedCacheHits: number;
  sharedCacheMisses: number;
  sharedCacheUnproven: number;
  /** Reads that would have asked it, had it not been down or busy. */
  sharedCacheSkipped: number;
  /** Calls of it that failed, and that took too long. */
  sharedCacheErrors: number;
  sharedCacheTimeouts: number;
  /** Rows that were given to it, and those that were not since it was down or the queue full. */
  sharedCacheKept: number;
  sharedCacheDropped: number;
  /** Bytes of rows that wait to be given to it. */
  sharedCacheQueuedBytes: number;
  checksumFailures: number;
  /** Reads and jobs that failed since the disk did (EIO). */
  diskFailures: number;
  /** Sections of tables that reads have verified; those of them that were timed, and what these took, in ms. */
  checksumsVerified: number;
  checksumsTimed: number;
  checksumTimedMs: number;
  /** Groups written to the log, and the records in them. */
  walGroups: number;
  walRecords: number;
  /** Bytes of those groups. */
  walBytesWritten: number;
  /** Segments that were ended since the start. */
  walRotations: number;
  writeStalls: number;
  /** Damaged log segments that were kept aside. */
  quarantinedFiles: number;
  /** Trees that are not compacted any more because a table of theirs is damaged. */
  compactionsStopped: number;
  /** Trees whose flushes or compactions keep failing; see {@link Engine.failing}. */
  flushesFailing: number;
  compactionsFailing: number;
  /** Checkpoints in the data directory. */
  snapshots: number;
  /** Bytes of files that only they still hold: what deleting all of them would free. */
  snapshotBytes: number;
  /** Tables that are open for reading, and how often one had to be opened again. */
  openFiles: number;
  reopenedFiles: number;
  /** Bytes that memtables and caches may take together, and how near they are: 0 normal to 3, where writes are refused. */
  memoryBudget: number;
  memoryLevel: number;
  /** Times that a compaction was not begun, or given up, because its output might not fit on the disk. */
  compactionsDeferred: number;
  /** Flushes and trees in want of a compaction that wait for a thread. */
  jobsPending: number;
  jobsRunning: number;
  jobsCompleted: number;
  jobsFailed: number;
  /** Threads for background jobs: busy ones, and how many there are at most. */
  workersActive: number;
  workersMax: number;
  /** Jobs in the worker pool's own queue; those that it refused are planned again. */
  workerQueueLength: number;
  workerRejections: number;
  /** Jobs of the pool that ended well, and those that did not; a snapshot or a scrub has many. */
  workerSucceeded: number;
  workerFailed: number;
  /** How long they waited for a thread, all together, ms. */
  workerWaitedMs: number;
  /** Times from submission to the end of a job, in ms: of all together, and the longest. */
  jobLatencyMs: number;
  jobLatencyMsMax: number;
  /** Bytes that compactions have yet to rewrite. */
  compactionPendingBytes: number;
  /** Rounds of the scrub, over all starts; files and bytes that it has read, and files that it could not, since this one. */
  scrubRounds: number;
  scrubFiles: number;
  scrubBytes: number;
  scrubSkippedFiles: number;
  /** Tables that it has found damaged, and that are there still. */
  scrubDamagedTables: number;
  /** 1 while its round takes longer than it may. */
  scrubLate: number;
}

/** What a background job makes tables of. */
export type JobKind = "flush" | "compaction";

/** What a background job does. */
export type ActivityKind = JobKind | "scrub" | "snapshot" | "transfer" | "migration";

/** A background job. */
export interface JobInfo {
  readonly id: number;
  readonly kind: ActivityKind;
  /** The tree's id; undefined: all trees. */
  readonly tree: number | undefined;
  /** `pending` until a thread has taken it up. */
  readonly state: "pending" | "running" | "completed" | "failed";
  /** The level that is relieved; -1 where that is none. */
  readonly level: number;
  /** -1 where there is none. */
  readonly outputLevel: number;
  /** Numbers of the input tables. */
  readonly inputs: readonly number[];
  /** Wall time of its submission, ms since 1970. */
  readonly startedAtMs: number;
  /** The same of its end; undefined while it is not over. */
  readonly endedAtMs: number | undefined;
  /** Bytes that it has to go through, estimated; undefined when nobody knows. */
  readonly bytes: number | undefined;
  /** How many of them it has. */
  readonly bytesDone: number;
  /** What it failed with. */
  readonly error: string | undefined;
}

/** A table that a scrub has found damaged. */
export interface ScrubDamage {
  readonly file: string;
  /** The tree's id. */
  readonly tree: number;
  /** What is wrong, for people. */
  readonly problem: string;
}

/** How far the scrub is, which verifies every file again and again. */
export interface ScrubStatus {
  /** Every file is verified within this time; 0: none is. */
  readonly intervalMs: number;
  /** Whether a round is under way. */
  readonly running: boolean;
  /** Wall time of the beginning of the last round, ms since 1970; 0: there was none. */
  readonly startedAtMs: number;
  /** When the next begins; undefined while one is under way, or none is to come. */
  readonly nextAtMs: number | undefined;
  /** Whether the round takes longer than it may. */
  readonly late: boolean;
  /** Why it does not go on at present. */
  readonly waitsFor: string | undefined;
  /** Bytes that the round has to read, as far as this process does it; undefined: not known yet. */
  readonly bytes: number | undefined;
  readonly bytesDone: number;
  /** Rounds that came to their end. */
  readonly rounds: number;
  /** Tables that are damaged. */
  readonly damaged: readonly ScrubDamage[];
}

/** Background work that the floors above do on the engine's thread: it is seen among the jobs, and keeps to their budget. */
export interface Activity {
  /**
   * So many bytes were gone through.
   * @returns a promise to await before more; undefined when there is nothing to wait for. Never rejects
   */
  advance(bytes: number): Promise<void> | undefined;
  /** It is over. Later calls do nothing. @param error  what it failed with; absent: it went well */
  end(error?: unknown): void;
}

/** What became of a change to the caches; see {@link Engine.uncache}. */
export interface Recached {
  /** Keys of the range that had a value. */
  readonly keys: number;
  /** Whether the shared cache did all of it; undefined: there is none. */
  readonly shared: boolean | undefined;
}

/** Figures of one tree. */
export interface TreeStats {
  memtableBytes: number;
  tableBytes: number;
  tables: number;
  tablesPerLevel: number[];
  /** Bytes in the block cache and the row cache. */
  cacheBytes: number;
}

/**
 * What a tree holds at most, from what its tables and memtables know of themselves: a key counts once for
 * each of them that has it, dead ones until a compaction drops them. Never less than there is.
 */
export interface TreeUsage {
  /** Of keys and values before compression; in memtables with their overhead of 20 to 100 an entry. */
  readonly bytes: number;
  readonly keys: number;
}

/** About how much a range holds, before layers are merged: a key counts once for each layer that has it. */
export interface RangeEstimate {
  readonly entries: number;
  /** Of keys and values. */
  readonly bytes: number;
}

/** What recovery found; losses are named, never silent. */
export interface RecoveryReport {
  segments: number;
  records: number;
  /** Bytes dropped at the end of the last segment: normal after a crash. */
  tornBytes: number;
  /** Damage inside the log, in `salvage` mode: what was lost. Empty when nothing was. */
  losses: readonly { readonly file: string; readonly offset: number; readonly bytes: number }[];
  elapsedMs: number;
}

/** Who wants to know on which side of the log a write is. */
export interface LogWatch {
  /** The log has taken the write. */
  handedOver(): void;
}

/** Who is told of the writes of some trees, in their order; see {@link Engine.follow}. */
export interface Follower {
  /**
   * A write was taken, in the step that took it. {@link Engine.getPending} sees it; reads do once
   * {@link shown} was told of its number, and if that never comes, nobody will ever see it. The bytes are
   * to be copied, not kept. Must not throw.
   */
  wrote(tree: Tree, sequence: number, kind: EntryKind, key: Uint8Array, value: Uint8Array): void;
  /** Reads see everything up to this number now. Must not throw. */
  shown(sequence: number): void;
}

/** Ballast in the data directory. */
export interface ReserveState {
  /** Bytes that it holds now; 0 when it was given up. */
  readonly heldBytes: number;
  /** Bytes of it, or as many free ones, that writes should leave for a start and for dropping trees. */
  readonly keptBytes: number;
}

/** How an engine is closed. */
export interface CloseOptions {
  /**
   * First writes what is in memory to tables, for this long at most, in ms, so that the next start has less to
   * replay; nothing depends on it. Default 0: does not.
   */
  readonly flushMs?: number;
  /**
   * How long work in the background, those flushes with it, may go on, in ms from the call. Then the threads
   * that do it are ended, and what they have begun is removed: it is in the log, or can be done again. Calls
   * of the disk on the engine's own thread, as the log's last sync, take their time all the same. Default: as
   * long as it takes.
   */
  readonly waitMs?: number;
}

/** One open data directory. */
export interface Engine {
  readonly recovery: RecoveryReport;
  /** The number of the last write that reads see. */
  readonly visible: number;
  /** Is told of the trees that are followed; nobody at first. */
  follower: Follower | undefined;
  /** The first failure that stopped writes; undefined while all is well. */
  readonly poisoned: Error | undefined;
  /** Why no write is taken until there is room on the disk again; undefined while there is. Reads go on. */
  readonly full: PairError | undefined;
  /** All trees, by name. */
  trees(): readonly Tree[];
  tree(name: string): Tree | undefined;
  /**
   * Makes a tree; durable when the promise resolves.
   * @throws PairError InvalidArgument when the name is taken, or an option has no such value; CommitLogFailed
   *   when the log is poisoned, for nothing could be written to it
   */
  createTree(
    name: string,
    options?: { mergeOperator?: string; options?: TreeOptions },
  ): Promise<Tree>;
  /**
   * Changes options of a tree while it is in use; durable when the promise resolves. Tables take the new
   * strategy's shape in the background.
   * @param changes  fields that are left out stay; one that is undefined goes back to the engine's own
   * @throws PairError InvalidArgument when an option has no such value
   */
  setTreeOptions(tree: Tree, changes: TreeOptions): Promise<void>;
  /**
   * Drops a tree with all its data; durable when the promise resolves.
   * @throws PairError DiskFull when there is no room to write that down: then the tree is there as before
   */
  dropTree(tree: Tree): Promise<void>;
  /**
   * Backpressure: undefined when the tree takes writes now, otherwise a promise to await before asking
   * again. `write` itself never waits, so that a read-modify-write stays one step: ask first.
   * @param delayed  this write has waited once already: then only a full stop holds it, no slow-down
   * @throws PairError DiskFull, SSTableFailed or what else the flushes or compactions that it would have to
   *   wait for keep failing with
   */
  admit(tree: Tree, delayed?: boolean): Promise<void> | undefined;
  /**
   * Applies all mutations or none. The promise resolves when the batch is as durable as the sync mode
   * promises and is visible to reads from then on.
   * Until then only `getPending` sees it.
   * @param watch  told in the same step when the log takes the batch. Before that, a failure has changed
   *   nothing; after it, the log failed, and only a later start can tell whether it has the batch, or it waits
   *   for room (DiskFull): when that is there it goes on with the batch, which is visible then
   * @throws PairError CommitLogFailed when the log is poisoned, DiskFull while it waits for room,
   *   MemTableFailed when memory is out,
   *   ResourceExhausted when it is short,
   *   Unavailable when the engine is closed
   */
  write(mutations: readonly Mutation[], tag?: OriginTag, watch?: LogWatch): Promise<void>;
  /** The value that reads see, copied; undefined when there is none. */
  get(
    tree: Tree,
    key: Uint8Array,
    options?: { snapshot?: Snapshot; trace?: ReadTrace },
  ): Uint8Array | undefined;
  /**
   * As {@link Engine.get}, for callers that can wait: a promise when the value has to come from a disk
   * that is slow (blocking reads took more than 0.5 ms on average), so that nobody else has to wait. The
   * answer is that of the moment of the call.
   */
  read(
    tree: Tree,
    key: Uint8Array,
    options?: { snapshot?: Snapshot; trace?: ReadTrace },
  ): Uint8Array | undefined | Promise<Uint8Array | undefined>;
  /** What {@link Engine.get} gives for each key, at one moment; each block is looked up and decoded once. */
  getMany(
    tree: Tree,
    keys: readonly Uint8Array[],
    options?: { snapshot?: Snapshot; traces?: readonly ReadTrace[] },
  ): (Uint8Array | undefined)[];
  /** The same, for callers that can wait; see {@link Engine.read}. */
  readMany(
    tree: Tree,
    keys: readonly Uint8Array[],
    options?: { snapshot?: Snapshot; traces?: readonly ReadTrace[] },
  ): (Uint8Array | undefined)[] | Promise<(Uint8Array | undefined)[]>;
  /**
   * The value including writes that still wait for their sync: what a read-modify-write must build
   * on, so that two of them never start from the same state. Never show it to a client before a later
   * write has resolved.
   */
  getPending(tree: Tree, key: Uint8Array): Uint8Array | undefined;
  /**
   * Tells {@link follower} of each write to the trees of this name, the present one and all that are made
   * under it later; or stops to. Other trees' writes cost nothing by it.
   * @returns the number of the last write taken before: `wrote` is told of those after it
   */
  follow(name: string, on: boolean): number;
  /** Pins the present moment. */
  snapshot(): Snapshot;
  /**
   * Has what was written after a sequence stay until the returned function is called, though it is dead, whatever
   * its grace, and whoever asks for a purge: somebody has yet to be told of it. A compaction that runs already
   * drops what it was to drop; {@link Tree.purgedSequence} says whether anything has gone.
   */
  keepDead(afterSequence: number): () => void;
  /** Ends what {@link EngineOptions.keepDead} began, once. */
  releaseDead(): void;
  scan(tree: Tree, range: ScanRange, snapshot?: Snapshot): ScanCursor;
  /** The same with writes that still wait for their sync, as {@link getPending}: to count, never to show. */
  scanPending(tree: Tree, range: ScanRange): ScanCursor;
  /** Writes the memtable of a tree (or of all) to tables; durable when the promise resolves. */
  flush(tree?: Tree): Promise<void>;
  /**
   * Flushes, then merges tables of a tree (or of all) down to one level: all of them, or those with keys of
   * a range. It works in steps, and stops between two of them when the tree is dropped or the engine closed.
   */
  compact(tree?: Tree, options?: CompactOptions): Promise<void>;
  /**
   * Makes a checkpoint: a consistent copy of the whole store, as of one moment, under `snapshots/<name>`.
   * Writes go on meanwhile; what cannot change any more is shared by hard links. Durable, and whole, when
   * the promise resolves; after a failure or a crash there is none of that name.
   * @param origin  what it is to say of where it comes from; by default nothing
   * @throws PairError InvalidArgument for a name that is none or is taken, Unavailable while another is
   *   being made or when the engine closes, CommitLogFailed when the log is poisoned, DiskFull,
   *   SSTableFailed for what else the disk says
   */
  checkpoint(name: string, origin?: Origin): Promise<MadeCheckpoint>;
  /** All checkpoints, by name. */
  checkpoints(): CheckpointInfo[];
  /**
   * Reads every byte of a checkpoint and compares digests.
   * @throws PairError InvalidArgument when there is none of that name, CorruptedData when its inventory is
   *   damaged; other damage is reported, not thrown
   */
  verifyCheckpoint(name: string): Promise<Verified>;
  /** Deletes a checkpoint, for good. @throws PairError InvalidArgument when there is none of that name */
  deleteCheckpoint(name: string): Promise<void>;
  /**
   * Drops rows of a range from the row cache and the shared cache. No read depends on it: a row that is no
   * longer true is not answered with in any case.
   */
  uncache(tree: Tree, range: ScanRange): Promise<Recached>;
  /** Puts the rows of a range into the shared cache, at the pace at which it takes them. */
  cache(tree: Tree, range: ScanRange): Promise<Recached>;
  stats(): EngineStats;
  /** Background jobs that are not over; with `ended`, the last 32 that are, the newest first. */
  jobs(options?: { ended?: boolean }): readonly JobInfo[];
  /** How far the scrub is, and what it has found. */
  scrub(): ScrubStatus;
  /**
   * Begins a round of the scrub, from the first file on, in place of one that is under way, and goes through it
   * without pauses; what others need, and quiet hours, still hold it up. After a restart it goes on at its usual pace.
   * @throws PairError InvalidArgument (1000) where there is no scrub; Unavailable (2001) when the engine is closed
   */
  startScrub(): void;
  /** When the quiet hours that it is are over, wall ms since 1970; undefined: it is none. */
  quietUntilMs(): number | undefined;
  /**
   * Begins background work of the floors above; end it.
   * @param tree   undefined: it is about all of them
   * @param bytes  that it has to go through, estimated; absent: nobody knows
   */
  activity(kind: "transfer" | "migration", tree: Tree | undefined, bytes?: number): Activity;
  /**
   * The last failure of each tree whose flushes, or compactions, have failed five times in a row and not
   * succeeded since. They are tried again, with pauses.
   */
  failing(kind: JobKind): readonly PairError[];
  /**
   * Limits what is read and written in the background, from now on, what is under way included; not kept
   * for the next start. 0: no limit.
   */
  setThrottle(bytesPerSecond: number): void;
  /**
   * Makes what room can be made on a disk that fills up: archived segments of the log go, and none is
   * archived until it is called with false; memtables are flushed where that frees more of the log than it
   * takes, and compactions that drop what was deleted begin now. All in the background; never throws.
   */
  relieveDisk(isTight: boolean): void;
  /** The ballast, which is given up when the log or the manifest finds no room; undefined: there is to be none. */
  reserve(): ReserveState | undefined;
  treeStats(tree: Tree): TreeStats;
  /** The same whatever the tree's size: for every write. */
  usage(tree: Tree): TreeUsage;
  /** About how much of a tree is in a range; reads no block. Prefix, order and limit are not looked at. */
  estimate(tree: Tree, range: ScanRange): RangeEstimate;
  /** Stops background work, syncs and closes the log, releases the lock. */
  close(options?: CloseOptions): Promise<void>;
}
