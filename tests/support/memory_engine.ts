/**
 * An engine in memory, for tests of the floors above: the contract of `src/engine/api.ts` without
 * files, threads or tables.
 *
 * It keeps every mutation with its sequence number, so that what is visible, what still waits for its
 * sync and what a snapshot pins are all reads of one list at different moments. A write becomes
 * visible when it "syncs": in a later microtask, or with `hold` when the test calls `sync`.
 * @module
 */
import {
  type Activity,
  type CheckpointInfo,
  type Engine,
  type EngineStats,
  type Follower,
  type JobInfo,
  type JobKind,
  KIND_DELETE,
  KIND_MERGE,
  type LogWatch,
  type MadeCheckpoint,
  type MergeOperator,
  type Mutation,
  type Origin,
  type OriginTag,
  type RangeEstimate,
  type ReadTrace,
  type Recached,
  type RecoveryReport,
  type ScanCursor,
  type ScanRange,
  type ScrubDamage,
  type ScrubStatus,
  type Snapshot,
  type Tree,
  type TreeOptions,
  type TreeStats,
  type TreeUsage,
  type Verified,
} from "../../src/engine/mod.ts";
import { compareBytes, PairError } from "../../src/model/mod.ts";

/** A mutation as it was logged. */
interface Entry {
  readonly sequence: number;
  readonly kind: number;
  readonly value: Uint8Array;
}

/** All entries of one key, oldest first. */
interface Row {
  readonly key: Uint8Array;
  readonly entries: Entry[];
}

interface MemoryTree extends Tree {
  options: TreeOptions;
  readonly operator: MergeOperator | undefined;
  readonly rows: Map<string, Row>;
  bytes: number;
}

interface PendingWrite {
  readonly sequence: number;
  readonly done: PromiseWithResolvers<void>;
}

/** One write, as the log would hold it. */
export interface LoggedWrite {
  readonly tag: OriginTag;
  readonly kinds: readonly number[];
}

/** How the engine behaves. */
export interface MemoryEngineOptions {
  /** The operators that trees may name. */
  readonly operators?: readonly MergeOperator[];
  /** Wall time for trees that are created. */
  readonly wallMs?: () => number;
  readonly recovery?: Partial<RecoveryReport>;
}

/** See the head of the file. */
export class MemoryEngine implements Engine {
  readonly recovery: RecoveryReport;
  poisoned: Error | undefined = undefined;
  full: PairError | undefined = undefined;
  follower: Follower | undefined = undefined;
  /** Every write so far, in order. */
  readonly log: LoggedWrite[] = [];
  /** Cursors that were opened and not closed. */
  openCursors = 0;
  closed = false;
  /** While true, writes, tree creations and drops stay pending until {@link sync}. */
  hold = false;
  /** While true, what can wait for a slow disk does: until a later microtask, or {@link sync}. */
  slow = false;
  /** Called by flush and compact. */
  readonly maintenance: string[] = [];
  /** Figures that {@link stats} reports instead of its own. */
  readonly figures: Partial<EngineStats> = {};
  /** What {@link failing} reports. */
  readonly failures: Partial<Record<JobKind, readonly PairError[]>> = {};

  #options: MemoryEngineOptions;
  #trees = new Map<string, MemoryTree>();
  #checkpoints = new Map<string, CheckpointInfo>();
  #nextTreeId = 1;
  /** What trees that are made now have as their floor. */
  #floor = 0;
  #lastSequence = 0;
  #visibleSequence = 0;
  #followed = new Set<string>();
  #pending: PendingWrite[] = [];
  #held: (() => void)[] = [];
  #stall: PromiseWithResolvers<void> | undefined;

  constructor(options: MemoryEngineOptions = {}) {
    this.#options = options;
    this.recovery = {
      segments: 0,
      records: 0,
      tornBytes: 0,
      losses: [],
      elapsedMs: 0,
      ...options.recovery,
    };
  }

  /** With `hold`: completes everything that waits, or the first `count` of it. */
  sync(count = Infinity): void {
    for (const run of this.#held.splice(0, Math.min(count, this.#held.length))) run();
  }

  /** Things that wait for {@link sync}. */
  get waiting(): number {
    return this.#held.length;
  }

  /** Fails all pending and all later writes, as a failed fsync does. */
  poison(cause: Error): void {
    this.poisoned = cause;
    const failed = new PairError("CommitLogFailed", "Cannot write: the log is poisoned", {}, {
      cause,
    });
    for (const { done } of this.#pending.splice(0)) done.reject(failed);
  }

  trees(): readonly Tree[] {
    return [...this.#trees.values()];
  }

  tree(name: string): Tree | undefined {
    return this.#trees.get(name);
  }

  async createTree(
    name: string,
    options: { mergeOperator?: string; options?: TreeOptions } = {},
  ): Promise<Tree> {
    this.#checkSound();
    if (this.#trees.has(name)) {
      throw new PairError("InvalidArgument", "Cannot create the tree: its name is taken");
    }
    const operator = this.#options.operators?.find(({ name }) => name === options.mergeOperator);
    if (options.mergeOperator !== undefined && operator === undefined) {
      throw new PairError("InvalidArgument", "Cannot create the tree: no such merge operator");
    }
    const tree: MemoryTree = {
      id: this.#nextTreeId++,
      name,
      createdAtMs: this.#options.wallMs?.() ?? 0,
      purgeFloor: this.#floor,
      purgedSequence: 0,
      options: options.options ?? {},
      operator,
      rows: new Map(),
      bytes: 0,
    };
    await this.#later(() => this.#trees.set(name, tree));
    return tree;
  }

  async setTreeOptions(tree: Tree, changes: TreeOptions): Promise<void> {
    this.#checkOpen();
    const known = this.#trees.get(tree.name)!;
    await this.#later(() => known.options = { ...known.options, ...changes });
  }

  async dropTree(tree: Tree): Promise<void> {
    this.#checkOpen();
    await this.#later(() => this.#trees.delete(tree.name));
    const { operator, purgeFloor } = tree as MemoryTree;
    this.#floor = operator?.floorOfLost?.(this.#options.wallMs?.() ?? 0, purgeFloor) ?? 0;
  }

  admit(_tree: Tree): Promise<void> | undefined {
    return this.#stall?.promise;
  }

  /** Has {@link admit} hold writers back until the returned function is called. */
  stall(): () => void {
    const stall = Promise.withResolvers<void>();
    this.#stall = stall;
    return () => {
      this.#stall = undefined;
      stall.resolve();
    };
  }

  get visible(): number {
    return this.#visibleSequence;
  }

  follow(name: string, on: boolean): number {
    if (on) this.#followed.add(name);
    else this.#followed.delete(name);
    return this.#lastSequence;
  }

  write(
    mutations: readonly Mutation[],
    tag: OriginTag = "write",
    watch?: LogWatch,
  ): Promise<void> {
    try {
      this.#checkWritable(mutations);
    } catch (error) {
      return Promise.reject(error);
    }
    watch?.handedOver();
    for (const { tree, kind, key, value } of mutations) {
      const rows = (tree as MemoryTree).rows;
      const name = rowName(key);
      let row = rows.get(name);
      if (row === undefined) rows.set(name, row = { key: key.slice(), entries: [] });
      // Copied: the engine keeps what it was given at the moment of the call.
      row.entries.push({ sequence: ++this.#lastSequence, kind, value: value.slice() });
      (tree as MemoryTree).bytes += key.length + value.length;
      if (this.#followed.has(tree.name)) {
        this.follower?.wrote(tree, this.#lastSequence, kind, key, value);
      }
    }
    this.log.push({ tag, kinds: mutations.map(({ kind }) => kind) });
    const pending = { sequence: this.#lastSequence, done: Promise.withResolvers<void>() };
    this.#pending.push(pending);
    void this.#later(() => this.#show(pending));
    return pending.done.promise;
  }

  get(
    tree: Tree,
    key: Uint8Array,
    options: { snapshot?: Snapshot; trace?: ReadTrace } = {},
  ): Uint8Array | undefined {
    const at = options.snapshot?.sequence ?? this.#visibleSequence;
    const value = readRow(tree as MemoryTree, (tree as MemoryTree).rows.get(rowName(key)), at);
    if (options.trace) options.trace.source = value === undefined ? "none" : "memtable";
    return value;
  }

  read(
    tree: Tree,
    key: Uint8Array,
    options: { snapshot?: Snapshot; trace?: ReadTrace } = {},
  ): Uint8Array | undefined | Promise<Uint8Array | undefined> {
    const value = this.get(tree, key, options);
    return this.slow ? this.#later(() => {}).then(() => value) : value;
  }

  getMany(
    tree: Tree,
    keys: readonly Uint8Array[],
    options: { snapshot?: Snapshot; traces?: readonly ReadTrace[] } = {},
  ): (Uint8Array | undefined)[] {
    const { snapshot, traces } = options;
    return keys.map((key, i) => this.get(tree, key, { snapshot, trace: traces?.[i] }));
  }

  readMany(
    tree: Tree,
    keys: readonly Uint8Array[],
    options: { snapshot?: Snapshot; traces?: readonly ReadTrace[] } = {},
  ): (Uint8Array | undefined)[] | Promise<(Uint8Array | undefined)[]> {
    const values = this.getMany(tree, keys, options);
    return this.slow ? this.#later(() => {}).then(() => values) : values;
  }

  getPending(tree: Tree, key: Uint8Array): Uint8Array | undefined {
    return readRow(tree as MemoryTree, (tree as MemoryTree).rows.get(rowName(key)), Infinity);
  }

  keepDead(): () => void {
    return () => {};
  }

  releaseDead(): void {}

  snapshot(): Snapshot {
    return { sequence: this.#visibleSequence, release() {} };
  }

  scanPending(tree: Tree, range: ScanRange): ScanCursor {
    return this.scan(tree, range, { sequence: this.#lastSequence, release: () => {} });
  }

  scan(tree: Tree, range: ScanRange, snapshot?: Snapshot): ScanCursor {
    const at = snapshot?.sequence ?? this.#visibleSequence;
    const rows = [...(tree as MemoryTree).rows.values()]
      .filter(({ key }) => range.start === undefined || compareBytes(key, range.start) >= 0)
      .filter(({ key }) => range.end === undefined || compareBytes(key, range.end) < 0)
      .filter(({ key }) => range.prefix?.every((byte, i) => key[i] === byte) ?? true)
      .sort((a, b) => compareBytes(a.key, b.key));
    if (range.reverse) rows.reverse();
    this.openCursors++;
    const limit = range.limit ?? Infinity;
    const ready = () => this.slow ? this.#later(() => {}) : undefined;
    const onClose = () => this.openCursors--;
    return new MemoryCursor(tree as MemoryTree, rows, at, limit, ready, onClose);
  }

  flush(tree?: Tree): Promise<void> {
    this.maintenance.push(`flush ${tree?.name ?? "*"}`);
    return Promise.resolve();
  }

  compact(tree?: Tree): Promise<void> {
    this.maintenance.push(`compact ${tree?.name ?? "*"}`);
    return Promise.resolve();
  }

  checkpoint(name: string, origin: Origin = { node: "", store: "" }): Promise<MadeCheckpoint> {
    this.#checkOpen();
    if (this.#checkpoints.has(name)) {
      return Promise.reject(
        new PairError("InvalidArgument", "Cannot make the snapshot: it exists", {
          reason: "already_exists",
        }),
      );
    }
    const made: MadeCheckpoint = {
      ...origin,
      name,
      dir: `/snapshots/${name}`,
      sequence: this.#visibleSequence,
      createdAtMs: this.#options.wallMs?.() ?? 0,
      files: 0,
      bytes: 0,
      problem: undefined,
      linked: 0,
      copiedBytes: 0,
      digestedBytes: 0,
      pinnedMs: 0,
      elapsedMs: 0,
    };
    this.#checkpoints.set(name, made);
    return Promise.resolve(made);
  }

  checkpoints(): CheckpointInfo[] {
    return [...this.#checkpoints.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  verifyCheckpoint(name: string): Promise<Verified> {
    const found = this.#checkpoints.get(name);
    if (found === undefined) return Promise.reject(this.#noCheckpoint());
    return Promise.resolve({ inventory: { ...found, files: [] }, problems: [] });
  }

  deleteCheckpoint(name: string): Promise<void> {
    return this.#checkpoints.delete(name)
      ? Promise.resolve()
      : Promise.reject(this.#noCheckpoint());
  }

  #noCheckpoint(): PairError {
    return new PairError("InvalidArgument", "Cannot find the snapshot: there is none", {
      reason: "not_found",
    });
  }

  uncache(): Promise<Recached> {
    return Promise.resolve({ keys: 0, shared: undefined });
  }

  cache(): Promise<Recached> {
    return Promise.resolve({ keys: 0, shared: undefined });
  }

  stats(): EngineStats {
    let memtableBytes = 0;
    for (const tree of this.#trees.values()) memtableBytes += tree.bytes;
    return {
      lastSequence: this.#lastSequence,
      walBytes: memtableBytes,
      walSegments: 1,
      walArchivedSegments: 0,
      walArchivedBytes: 0,
      memtableBytes,
      tableBytes: 0,
      tables: 0,
      tablesPerLevel: [],
      flushes: 0,
      flushBytesWritten: 0,
      flushMs: 0,
      compactions: 0,
      compactionBytesRead: 0,
      compactionBytesWritten: 0,
      compactionMs: 0,
      blockCacheBytes: 0,
      blockCacheHits: 0,
      blockCacheMisses: 0,
      coldReads: 0,
      coldReadsJoined: 0,
      diskFailures: 0,
      checksumsVerified: 0,
      checksumsTimed: 0,
      checksumTimedMs: 0,
      readLatencyMs: 0,
      rowCacheEntries: 0,
      rowCacheBytes: 0,
      rowCacheMaxBytes: 0,
      rowCacheUse: 0,
      rowCacheHits: 0,
      rowCacheMisses: 0,
      readsFromMemtable: 0,
      readsFromRowCache: 0,
      readsFromSharedCache: 0,
      readsFromTables: 0,
      readsOfNothing: 0,
      sharedCaches: 0,
      sharedCacheUp: 0,
      sharedCacheHits: 0,
      sharedCacheMisses: 0,
      sharedCacheUnproven: 0,
      sharedCacheSkipped: 0,
      sharedCacheErrors: 0,
      sharedCacheTimeouts: 0,
      sharedCacheKept: 0,
      sharedCacheDropped: 0,
      sharedCacheQueuedBytes: 0,
      checksumFailures: 0,
      walGroups: this.log.length,
      walRecords: this.log.reduce((sum, { kinds }) => sum + kinds.length, 0),
      walBytesWritten: 0,
      walRotations: 0,
      writeStalls: 0,
      quarantinedFiles: 0,
      compactionsStopped: 0,
      flushesFailing: this.failing("flush").length,
      compactionsFailing: this.failing("compaction").length,
      snapshots: this.#checkpoints.size,
      snapshotBytes: 0,
      compactionsDeferred: 0,
      memoryBudget: 0,
      memoryLevel: 0,
      openFiles: 0,
      reopenedFiles: 0,
      jobsPending: 0,
      jobsRunning: 0,
      jobsCompleted: 0,
      jobsFailed: 0,
      workersActive: 0,
      workersMax: 0,
      workerQueueLength: 0,
      workerRejections: 0,
      workerSucceeded: 0,
      workerFailed: 0,
      workerWaitedMs: 0,
      jobLatencyMs: 0,
      jobLatencyMsMax: 0,
      compactionPendingBytes: 0,
      scrubRounds: 0,
      scrubFiles: 0,
      scrubBytes: 0,
      scrubSkippedFiles: 0,
      scrubDamagedTables: 0,
      scrubLate: 0,
      ...this.figures,
    };
  }

  /** What its scrub has found. */
  damaged: ScrubDamage[] = [];

  quietUntilMs(): number | undefined {
    return undefined;
  }

  startScrub(): void {}

  scrub(): ScrubStatus {
    return {
      intervalMs: 0,
      running: false,
      startedAtMs: 0,
      nextAtMs: undefined,
      late: false,
      waitsFor: undefined,
      bytes: undefined,
      bytesDone: 0,
      rounds: 0,
      damaged: this.damaged,
    };
  }

  activity(): Activity {
    return { advance: () => undefined, end: () => {} };
  }

  jobs(): readonly JobInfo[] {
    return [];
  }

  failing(kind: JobKind): readonly PairError[] {
    return this.failures[kind] ?? [];
  }

  setThrottle(): void {}

  treeStats(tree: Tree): TreeStats {
    return {
      memtableBytes: (tree as MemoryTree).bytes,
      tableBytes: 0,
      tables: 0,
      tablesPerLevel: [],
      cacheBytes: 0,
    };
  }

  usage(tree: Tree): TreeUsage {
    const { bytes, rows } = tree as MemoryTree;
    let keys = 0;
    for (const { entries } of rows.values()) keys += entries.length;
    return { bytes, keys };
  }

  estimate(tree: Tree, { start, end }: ScanRange): RangeEstimate {
    const cursor = this.scan(tree, { start, end });
    let entries = 0;
    let bytes = 0;
    while (cursor.next()) {
      entries++;
      bytes += cursor.key.length + cursor.value.length;
    }
    cursor.close();
    return { entries, bytes };
  }

  relieveDisk(): void {}
  reserve(): undefined {}

  close(): Promise<void> {
    this.closed = true;
    return Promise.resolve();
  }

  #checkOpen(): void {
    if (this.closed) throw new PairError("Unavailable", "Cannot go on: the engine is closed");
  }

  #checkSound(): void {
    this.#checkOpen();
    if (this.poisoned === undefined) return;
    throw new PairError("CommitLogFailed", "Cannot write: the log is poisoned", {}, {
      cause: this.poisoned,
    });
  }

  #checkWritable(mutations: readonly Mutation[]): void {
    this.#checkSound();
    for (const { tree, kind } of mutations) {
      if (this.#trees.get(tree.name) !== tree) throw new Error("write to a tree that is not open");
      if (kind === KIND_MERGE && (tree as MemoryTree).operator === undefined) {
        throw new Error("merge into a tree without an operator");
      }
    }
  }

  #show(write: PendingWrite): void {
    const at = this.#pending.indexOf(write);
    if (at < 0) return; // failed meanwhile
    this.#pending.splice(at, 1);
    this.#visibleSequence = Math.max(this.#visibleSequence, write.sequence);
    if (this.#followed.size > 0) this.follower?.shown(this.#visibleSequence);
    write.done.resolve();
  }

  #later(run: () => void): Promise<void> {
    const done = Promise.withResolvers<void>();
    const step = () => {
      run();
      done.resolve();
    };
    if (this.hold) this.#held.push(step);
    else queueMicrotask(step);
    return done.promise;
  }
}

class MemoryCursor implements ScanCursor {
  key: Uint8Array = new Uint8Array(0);
  value: Uint8Array = new Uint8Array(0);
  #tree: MemoryTree;
  #rows: readonly Row[];
  #at: number;
  #next = 0;
  #closed = false;
  #left: number;
  #onClose: () => void;

  constructor(
    tree: MemoryTree,
    rows: readonly Row[],
    at: number,
    limit: number,
    readonly ready: () => Promise<void> | undefined,
    onClose: () => void,
  ) {
    this.#left = limit;
    this.#tree = tree;
    this.#rows = rows;
    this.#at = at;
    this.#onClose = onClose;
  }

  next(): boolean {
    if (this.#closed) throw new Error("next() on a closed cursor");
    // What the caller did not copy is gone, as when a block leaves the cache.
    this.key.fill(0xee);
    this.value.fill(0xee);
    while (this.#next < this.#rows.length && this.#left > 0) {
      const row = this.#rows[this.#next++];
      const value = readRow(this.#tree, row, this.#at);
      if (value === undefined) continue;
      this.key = row.key.slice();
      this.value = value;
      this.#left--;
      return true;
    }
    return false;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#onClose();
  }
}

/** A row's value as of a sequence number, copied; merge operands are folded. */
function readRow(tree: MemoryTree, row: Row | undefined, at: number): Uint8Array | undefined {
  if (row === undefined) return undefined;
  const operands: Uint8Array[] = [];
  let base: Uint8Array | undefined;
  for (let i = row.entries.length - 1; i >= 0; i--) {
    const entry = row.entries[i];
    if (entry.sequence > at) continue;
    if (entry.kind === KIND_MERGE) {
      operands.unshift(entry.value.slice());
      continue;
    }
    if (entry.kind !== KIND_DELETE) base = entry.value.slice();
    break;
  }
  return operands.length === 0 ? base : tree.operator!.merge(row.key, base, operands);
}

function rowName(key: Uint8Array): string {
  return String.fromCharCode(...key);
}
