/**
 * The engine: many trees over one log, one manifest, one block cache.
 *
 * A write takes its sequences, goes into memtables and into the log's queue in one synchronous step, and
 * becomes visible to reads when its group is committed. Background work (flushes, and compactions
 * side by side where they do not meet) runs as jobs in worker threads; only this thread makes their output
 * part of the store, through the manifest.
 *
 * Invariants
 *   - Nothing is flushed before the log is durable up to it.
 *   - A file is removed only after the edit that retires it is durable.
 *   - After a failed log or manifest write nothing is acknowledged any more, unless all that failed it was
 *     want of room: then the log goes on where it stopped when there is room again, and an edit is refused.
 * @module
 */
import { PairError } from "../model/mod.ts";
import type { Cancel, DiskLock, Runtime } from "../runtime/mod.ts";
import { DiskError, FilePool, KEY_BYTES } from "../runtime/mod.ts";
import { isShortOfRoom } from "./disk_failure.ts";
import {
  type Activity,
  type CloseOptions,
  type CompactOptions,
  type Engine,
  type EngineStats,
  type Follower,
  type JobInfo,
  type JobKind,
  KIND_DELETE,
  KIND_PUT,
  type LogWatch,
  type MergeOperator,
  type Mutation,
  type OriginTag,
  type RangeEstimate,
  type ReadTrace,
  type Recached,
  type RecoveryReport,
  type ReserveState,
  type ScanCursor,
  type ScanRange,
  type ScrubStatus,
  type Snapshot,
  type Tree,
  type TreeOptions,
  type TreeStats,
  type TreeUsage,
} from "./api.ts";
import { brakeMs, type DebtLimits } from "./brake.ts";
import { gatherStats, sum } from "./engine_stats.ts";
import {
  type CheckpointInfo,
  Checkpoints,
  type MadeCheckpoint,
  type Origin,
  SNAPSHOT_FILE,
  type Verified,
} from "./checkpoint/mod.ts";
import { Files, holdsData, makeDirDurably, parentOf } from "./files.ts";
import { ColdReads } from "./cold_reads.ts";
import { planOf } from "./job_runner.ts";
import { Maintenance } from "./maintenance.ts";
import { isDamage } from "./maintenance_parts.ts";
import { Manifest } from "./manifest/mod.ts";
import { MemoryBudget, type MemoryOrders } from "./memory_budget.ts";
import { DEFAULT_ENGINE_OPTIONS, type EngineOptions, withinBudget } from "./options.ts";
import { Reads } from "./reads.ts";
import { cacheRows, type RecacheParts, uncacheRows } from "./recache.ts";
import { recover, type Recovered } from "./recovery.ts";
import { quietUntilMs } from "./quiet_hours.ts";
import { Removals } from "./removals.ts";
import { Reserve } from "./reserve.ts";
import { LiveCursor, liveRange } from "./scan.ts";
import { Snapshots } from "./snapshots.ts";
import { Scrubber } from "./scrub/mod.ts";
import { SecondLevel } from "./second_level/mod.ts";
import { Arenas } from "./memtable/mod.ts";
import { RowCache } from "./row_cache/mod.ts";
import { BlockCache, checkTableOptions } from "./sstable/mod.ts";
import { TableStore } from "./table_store.ts";
import { acceptsKind, type TreeState } from "./tree.ts";
import { Trees } from "./trees.ts";
import { HeapWatch } from "./heap_watch.ts";
import { Warming } from "./warming.ts";
import { Log } from "./wal/mod.ts";

/** How often every tree is looked at, in ms (docs/rows.md: E46). */
const TICK_MS = 30_000;

/**
 * Opens a data directory, creating it when it is not there, and recovers what a crash left.
 * @param root       the directory
 * @param operators  merge operators that trees may name; the workers must have the same
 * @throws PairError Unavailable when another process has the directory open, InvalidArgument when its
 *   format is newer than this program, its encryption key is missing or another one, or an option is out of its
 *   range, CorruptedData when it is damaged, DiskFull when there is no room to begin, not in the reserve either;
 *   DiskError
 */
export async function openEngine(
  runtime: Runtime,
  root: string,
  options: EngineOptions = DEFAULT_ENGINE_OPTIONS,
  operators: readonly MergeOperator[] = [],
): Promise<Engine> {
  checkTableOptions(options.table);
  const engine = new LsmEngine(runtime, root, options, operators);
  await engine.open();
  return engine;
}

/** Room that a batch needs in a tree's memtable, in entries and the bytes of their keys and values. */
interface Need {
  readonly tree: TreeState;
  entries: number;
  payload: number;
}

class LsmEngine implements Engine {
  readonly #runtime: Runtime;
  readonly #files: Files;
  readonly #options: EngineOptions;
  readonly #limits: DebtLimits;
  readonly #pool: FilePool;
  readonly #memory: MemoryBudget;
  readonly #heap: HeapWatch;
  /** Bytes written between two looks at memory and log. */
  readonly #reliefBytes: number;
  readonly #cache: BlockCache;
  readonly #arenas = new Arenas();
  readonly #rows: RowCache;
  readonly #trees: Trees;
  readonly #snapshots: Snapshots;
  #releaseDead: (() => void) | undefined;
  #cancelTick: Cancel | undefined;
  readonly #removals: Removals;
  readonly #reserve: Reserve;
  readonly #tables: TableStore;
  #checkpoints!: Checkpoints;
  #scrubber!: Scrubber;
  readonly #second: SecondLevel | undefined;
  readonly #coldReads: ColdReads;
  readonly #reads: Reads;
  #lock: DiskLock | undefined;
  #manifest!: Manifest;
  #maintenance!: Maintenance;
  #log: Log | undefined;
  #recovery!: RecoveryReport;
  /** The last sequence given out. */
  #lastSeq = 0;
  /** The last sequence that reads see. */
  #visible = 0;
  follower: Follower | undefined = undefined;
  #closed = false;
  #quarantined = 0;

  /** Bytes written since memory and log were last looked at. */
  #sinceRelief = 0;

  readonly #warming: Warming;
  #checksumFailures = 0;
  #diskFailures = 0;
  #writeStalls = 0;
  /** Gives up what can be spared on a full disk; false when there is nothing. */
  #makeRoom = () => this.#reserve.release();
  readonly #note = (error: unknown) => this.#noted(error);

  constructor(
    runtime: Runtime,
    root: string,
    options: EngineOptions,
    operators: readonly MergeOperator[],
  ) {
    this.#pool = new FilePool(runtime.disk, options.maxOpenFiles);
    this.#runtime = { ...runtime, disk: this.#pool };
    this.#files = new Files(root);
    this.#options = options = withinBudget(options);
    this.#memory = new MemoryBudget(options.memoryBudget);
    this.#heap = new HeapWatch(runtime.usage);
    this.#reliefBytes = Math.min(options.memtableSize / 4, options.memoryBudget / 32);
    this.#limits = {
      ...options.compaction,
      ...options.guards,
      maxImmutables: options.maxImmutables,
    };
    this.#snapshots = new Snapshots(runtime.clock);
    if (options.keepDead === true) this.#releaseDead = this.keepDead(0);
    this.#cache = new BlockCache(options.blockCacheSize);
    this.#coldReads = new ColdReads(this.#pool, runtime.clock);
    this.#warming = new Warming(this.#runtime, this.#files, this.#cache, this.#coldReads, {
      isOn: options.warmCache,
      tables: () => [...this.#trees.states.values()].flatMap((tree) => tree.version.tables()),
    });
    this.#second = options.secondLevel && new SecondLevel(options.secondLevel, runtime);
    this.#reads = new Reads(this.#coldReads, this.#second, this.#note);
    const key = options.encryption?.key;
    const isTree = (id: number) => this.#trees.states.has(id);
    this.#removals = new Removals(this.#runtime);
    this.#reserve = new Reserve(this.#runtime, this.#files, options.reserve);
    this.#tables = new TableStore(
      this.#pool,
      this.#files,
      this.#cache,
      this.#coldReads,
      this.#removals,
      key,
      isTree,
    );
    const { clock } = runtime;
    this.#rows = new RowCache(options.rowCacheSize, options.rowCache, () => clock.monotonicMs());
    this.#trees = new Trees({
      runtime: this.#runtime,
      files: this.#files,
      operators,
      memtableSize: options.memtableSize,
      arenas: this.#arenas,
      rows: this.#rows,
      blocks: this.#cache,
      tables: this.#tables,
      manifest: () => this.#manifest,
      maintenance: () => this.#maintenance,
      lastSeq: () => this.#lastSeq,
    });
  }

  get recovery(): RecoveryReport {
    return this.#recovery;
  }

  get poisoned(): Error | undefined {
    return this.#log?.failure ?? this.#manifest.failure;
  }

  get full(): PairError | undefined {
    return this.#log?.full;
  }

  get visible(): number {
    return this.#visible;
  }

  /** Opens; see {@link openEngine}. */
  async open(): Promise<void> {
    const { disk } = this.#runtime;
    const { root } = this.#files;
    this.#refuseUnfinished();
    makeDirDurably(disk, root);
    try {
      this.#lock = disk.lock(this.#files.lock);
    } catch (cause) {
      if (!(cause instanceof DiskError) || cause.errno !== "EAGAIN") throw cause;
      throw new PairError("Unavailable", `Cannot open ${root}: it is in use by another process`, {
        dir: root,
      }, { cause });
    }
    try {
      await this.#recover();
    } catch (error) {
      // The caller needs this error, not what closing a half open directory would add.
      await this.#scrubber?.close();
      await this.#maintenance?.stop();
      await Promise.allSettled([this.#log?.close(), this.#manifest?.close()]);
      await this.#removals.settle();
      this.#release();
      throw isShortOfRoom(error) ? noRoom(root, error) : error;
    }
  }

  async #recover(): Promise<void> {
    const { disk, clock, log } = this.#runtime;
    const files = this.#files;
    const startedMs = clock.monotonicMs();
    // A restoring may have begun, and stopped, before this process had the lock.
    this.#refuseUnfinished();
    const key = this.#options.encryption?.key;
    if (key !== undefined && key.length !== KEY_BYTES) {
      throw new PairError("InvalidArgument", `encryption.key has ${key.length} bytes, not 32`);
    }
    const { random } = this.#runtime;
    this.#manifest = Manifest.read(disk, files, key && { key, random });
    this.#makeParts(key);
    this.#makeDirs();
    const { state } = this.#manifest;
    const isClean = state.nextFile === 1 || state.closed !== undefined;
    this.#manifest.onObsolete = (path) => this.#removals.file(path);
    this.#manifest.makeRoom = () => this.#makeRoom();
    for (const record of state.trees.values()) this.#trees.load(record);
    // The whole manifest has been read, and nothing runs yet: what it does not name nobody will.
    let firstNew = state.nextFile;
    this.#makeRoom = () =>
      this.#reserve.release() ||
      [...this.#trees.states.values()].some((tree) =>
        this.#tables.removeOrphansNow(tree, firstNew)
      );
    const found = await recover(disk, files, state, this.#trees.states, {
      strict: this.#options.recovery === "strict",
      key,
      onApplied: (lastSeq) => this.#lastSeq = this.#visible = lastSeq,
      memtableSize: this.#options.memtableSize,
      relieve: () => this.#maintenance.relieveReplay(),
      beforeReplay: (highestFile) => {
        this.#manifest.nextFile(Math.max(0, highestFile + 1 - state.nextFile));
        firstNew = state.nextFile;
        this.#manifest.rollOver();
        firstNew = state.nextFile;
      },
    });
    // Told before the edit below, after which a segment that is gone is no longer missed.
    for (const { file, offset, bytes } of found.losses) {
      log.error("wal damage: records lost", { file, offset, bytes });
    }
    // Somebody may have been told of what the log has lost: where the last life had no sync for each, nobody knows
    // what that is.
    const mayLack = found.losses.length > 0 || (!isClean && state.relaxed);
    this.#lastSeq = this.#visible = Math.max(this.#lastSeq, state.lastSeq, found.lastSeq);
    this.#log = this.#makeLog(found.segments, key);
    const { segments } = this.#log;
    const oldestLog = segments[0].number;
    const newestLog = segments[segments.length - 1].number;
    const nowMs = clock.wallMs();
    const purged = !mayLack ? [] : [...this.#trees.states.values()].map((tree) => (
      { tree: tree.id, floor: tree.floorOfLost(nowMs) }
    ));
    const relaxed = this.#options.log.syncMode !== "always";
    await this.#manifest.commit(() => ({
      oldestLog,
      newestLog,
      lastSeq: this.#lastSeq,
      purged,
      ...(relaxed === state.relaxed ? {} : { relaxed }),
    }));
    for (const { tree, floor } of purged) this.#trees.states.get(tree)!.purgeFloor = floor;
    for (const number of found.stray) this.#removeStray(number, state.oldestLog);
    this.#attempt(files.archiveDir, () => this.#log!.archive.purge());
    this.#tables.removeOrphans(this.#trees.states.values(), this.#manifest.number, firstNew);
    await this.#checkpoints.removeLeftovers();
    await this.#removals.settle();
    const quarantine = disk.stat(files.quarantineDir) === undefined
      ? []
      : disk.list(files.quarantineDir);
    this.#quarantined = quarantine.length;
    this.#recovery = {
      segments: found.segments.length,
      records: found.records,
      tornBytes: found.tornBytes,
      losses: found.losses,
      elapsedMs: clock.monotonicMs() - startedMs,
    };
    log.info("recovered", {
      dir: files.root,
      trees: this.#trees.states.size,
      segments: found.segments.length,
      records: found.records,
      torn_bytes: found.tornBytes,
      losses: found.losses.length,
      ms: Math.round(this.#recovery.elapsedMs),
    });
    this.#begin();
  }

  /** What needs the manifest and works in the background. Nothing of it runs yet. */
  #makeParts(key: Uint8Array | undefined): void {
    const files = this.#files;
    this.#maintenance = new Maintenance({
      runtime: this.#runtime,
      files,
      options: this.#options,
      manifest: this.#manifest,
      tables: this.#tables,
      trees: this.#trees.states,
      log: () => this.#log,
      lastSeq: () => this.#lastSeq,
      snapshots: () => this.#snapshots.sequences,
      purgeBeforeMs: () => this.#purgeBeforeMs(),
      purgeUpToSeq: () => this.#snapshots.purgeUpToSeq,
      poisoned: () => this.poisoned,
      lookAtMemory: () => this.#lookAtMemory(),
      relieveDescriptors: () => this.#pool.relieve(),
      remove: (path) => this.#removals.file(path),
      removed: () => this.#removals.settle(),
      noted: (error) => this.#noted(error),
    });
    this.#checkpoints = new Checkpoints({
      runtime: this.#runtime,
      files,
      manifest: this.#manifest,
      trees: this.#trees.states,
      log: () => this.#log!,
      jobs: this.#maintenance.jobs,
      flush: () => this.flush(),
      damaged: () => this.#damagedTables(),
      closed: () => this.#closed,
    });
    this.#scrubber = new Scrubber({
      runtime: this.#runtime,
      files,
      options: this.#options.scrub,
      quietHours: this.#options.quiet.hours,
      key,
      manifest: this.#manifest,
      trees: this.#trees.states,
      log: () => this.#log!,
      jobs: this.#maintenance.jobs,
      holds: () => this.#maintenance.busy,
      flush: () => this.flush(),
      schedule: (tree) => this.#maintenance.schedule(tree),
      noted: (error) => this.#noted(error),
    });
  }

  /** @throws PairError CorruptedData (2007) when the directory is new by its manifest, and has data */
  #makeDirs(): void {
    const { disk } = this.#runtime;
    const files = this.#files;
    const isNew = this.#manifest.state.nextFile === 1;
    if (isNew && holdsData(disk, files)) {
      const { root: dir } = files;
      throw new PairError("CorruptedData", `Cannot open ${dir}: it has data but no CURRENT`, {
        dir,
      });
    }
    for (const dir of [files.walDir, files.treesDir]) disk.makeDir(dir);
    // A start that was killed may have made the directory and not come to sync its name.
    if (isNew) disk.syncDir(parentOf(files.root));
  }

  #makeLog(segments: Recovered["segments"], key: Uint8Array | undefined): Log {
    return new Log(
      this.#runtime,
      this.#files,
      this.#options.log,
      segments,
      this.#lastSeq,
      {
        nextNumber: () => this.#manifest.nextFile(),
        opened: (newestLog) => this.#manifest.commit(() => ({ newestLog })),
        remove: (path) => this.#removals.file(path),
        committed: (lastSeq) => {
          this.#visible = lastSeq;
          if (this.#trees.followed) this.follower?.shown(lastSeq);
        },
        makeRoom: () => this.#makeRoom(),
        waits: (reason) => this.#waits(reason),
      },
      key,
    );
  }

  /** Lets everything run that works in the background. */
  #begin(): void {
    this.#makeRoom = () => this.#reserve.release();
    // Before anything is compacted: a damaged table must not be.
    this.#scrubber.start();
    this.#second?.start();
    this.#maintenance.relieve();
    this.#tick();
    this.#reserve.keep();
    this.#warming.begin();
  }

  /** What is due by time alone, such as windows that are over and grace that has passed, nothing else notices. */
  #tick(): void {
    for (const tree of this.#trees.states.values()) this.#maintenance.schedule(tree);
    if (this.poisoned === undefined) this.#maintenance.flushOld();
    this.#reserve.keep();
    this.#cancelTick = this.#runtime.clock.after(TICK_MS, () => this.#tick());
  }

  #waits(reason: PairError | undefined): void {
    const { log } = this.#runtime;
    if (reason === undefined) log.info("engine.full", { state: "over: writes are taken again" });
    else {
      log.error("engine.full", {
        state: "no write is taken before there is room",
        error: reason.message,
      });
    }
  }

  /** A segment that is not part of the log: one that a crash kept from being removed, or that was never finished. */
  #removeStray(number: number, oldestLog: number): void {
    const path = this.#files.segment(number);
    if (number >= oldestLog) this.#removals.file(path);
    else this.#attempt(path, () => this.#log!.archive.take(number));
  }

  /** Does what the next start can do as well. */
  #attempt(path: string, action: () => void): void {
    try {
      action();
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#runtime.log.warn("cannot remove a file", { file: path, error: reason });
    }
  }

  trees(): readonly Tree[] {
    return this.#trees.list();
  }

  tree(name: string): Tree | undefined {
    return this.#trees.find(name);
  }

  async createTree(
    name: string,
    options: { mergeOperator?: string; options?: TreeOptions } = {},
  ): Promise<Tree> {
    this.#checkOpen();
    // Nothing could be written to it: a write that makes its tree is refused before it has made one.
    if (this.poisoned !== undefined) throw this.poisoned;
    return await this.#trees.create(name, options.mergeOperator, options.options);
  }

  async setTreeOptions(handle: Tree, changes: TreeOptions): Promise<void> {
    this.#checkOpen();
    await this.#trees.setOptions(handle, changes);
  }

  async dropTree(handle: Tree): Promise<void> {
    this.#checkOpen();
    await this.#trees.drop(handle);
  }

  admit(handle: Tree, delayed = false): Promise<void> | undefined {
    const tree = this.#trees.state(handle);
    if (this.poisoned !== undefined) return undefined;
    // Waiting for a compaction that will not come would be for ever: deletes, too, would not be taken.
    const compacts = tree.compactionStopped === undefined && tree.outOfRoom !== tree.version;
    const debt = {
      level0: compacts ? tree.pressure(this.#options.compaction) : 0,
      pendingBytes: compacts ? tree.pendingBytes : 0,
      immutables: tree.immutables.length,
    };
    const delayMs = brakeMs(debt, this.#limits);
    if (delayMs === 0 || (delayed && delayMs < Infinity)) return undefined;
    this.#writeStalls++;
    if (delayMs < Infinity) return this.#runtime.clock.sleep(delayMs);
    this.#maintenance.schedule(tree);
    const behind = debt.immutables >= this.#limits.maxImmutables ? "flush" : "compaction";
    if (behind === "compaction" && tree.outOfRoom === tree.version) return undefined;
    const failure = this.#maintenance.retries[behind].lasting(tree);
    if (failure !== undefined) {
      const message = `Cannot write now: the last ${behind} failed: ${failure.message}`;
      throw new PairError(failure.error, message, failure.details, { cause: failure });
    }
    return this.#maintenance.progress;
  }

  write(
    mutations: readonly Mutation[],
    tag: OriginTag = "write",
    watch?: LogWatch,
  ): Promise<void> {
    try {
      return this.#write(mutations, tag, watch);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #write(mutations: readonly Mutation[], tag: OriginTag, watch?: LogWatch): Promise<void> {
    this.#checkOpen();
    if (this.poisoned !== undefined) throw this.poisoned;
    if (mutations.length === 0) return Promise.resolve();
    this.#maintenance.throttle.called();
    if (this.#maintenance.refusesWrites) {
      throw new PairError(
        "ResourceExhausted",
        "Cannot write now: memory is short. Try again later",
        { reason: "memory", budget: this.#memory.budget },
      );
    }
    const needs = this.#needs(mutations);
    const firstSeq = this.#lastSeq + 1;
    let done: Promise<void>;
    try {
      for (const { tree, entries, payload } of needs) {
        tree.active.reserve(entries, payload);
        this.#sinceRelief += payload;
      }
      done = this.#log!.append(firstSeq, tag, mutations);
    } catch (cause) {
      if (!(cause instanceof RangeError)) throw cause;
      throw new PairError("MemTableFailed", "Cannot write: memory is out", {}, { cause });
    }
    // The log has taken the batch and the memtables have room for it: from here on nothing fails.
    watch?.handedOver();
    this.#lastSeq += mutations.length;
    let { tree } = needs[0];
    for (let i = 0; i < mutations.length; i++) {
      const { tree: handle, kind, key } = mutations[i];
      if (handle.id !== tree.id) tree = this.#trees.state(handle);
      const value = kind === KIND_DELETE ? NONE : mutations[i].value;
      tree.active.insert(firstSeq + i, kind, key, value);
      if (!this.#rows.empty) tree.writeRow(firstSeq + i, kind, key, value);
      this.#second?.noteWrite(tree.id, key, firstSeq + i);
      if (tree.followed) this.follower?.wrote(handle, firstSeq + i, kind, key, value);
    }
    for (const { tree } of needs) {
      if (tree.active.bytes >= this.#options.memtableSize) this.#maintenance.freeze(tree);
    }
    // Small trees never fill a memtable: what all hold together is looked at now and then.
    if (this.#sinceRelief >= this.#reliefBytes) {
      this.#sinceRelief = 0;
      this.#maintenance.relieve();
    }
    const share = this.#second && this.#shareWrites(this.#second, mutations, firstSeq);
    return share === undefined ? done : done.then(share);
  }

  /** What is to be called when the batch is visible, so that it gets into the second level; undefined: nothing. */
  #shareWrites(
    second: SecondLevel,
    mutations: readonly Mutation[],
    firstSeq: number,
  ): (() => Promise<void>) | undefined {
    if (!second.takesWrites) return undefined;
    const puts = mutations.flatMap(({ tree, kind, key, value }, i) =>
      kind === KIND_PUT
        ? [{ tree: this.#trees.state(tree), key, value, sequence: firstSeq + i }]
        : []
    );
    return second.writing(puts);
  }

  get(
    tree: Tree,
    key: Uint8Array,
    options?: { snapshot?: Snapshot; trace?: ReadTrace },
  ): Uint8Array | undefined {
    const seq = options?.snapshot?.sequence ?? this.#visible;
    return this.#reads.get(this.#readable(tree), key, seq, options?.trace);
  }

  getPending(tree: Tree, key: Uint8Array): Uint8Array | undefined {
    return this.#reads.get(this.#readable(tree), key, this.#lastSeq);
  }

  read(
    tree: Tree,
    key: Uint8Array,
    options?: { snapshot?: Snapshot; trace?: ReadTrace },
  ): Uint8Array | undefined | Promise<Uint8Array | undefined> {
    const seq = options?.snapshot?.sequence ?? this.#visible;
    return this.#reads.read(this.#readable(tree), key, seq, options?.trace);
  }

  getMany(
    tree: Tree,
    keys: readonly Uint8Array[],
    options?: { snapshot?: Snapshot; traces?: readonly ReadTrace[] },
  ): (Uint8Array | undefined)[] {
    const seq = options?.snapshot?.sequence ?? this.#visible;
    return this.#reads.getMany(this.#readable(tree), keys, seq, options?.traces);
  }

  readMany(
    tree: Tree,
    keys: readonly Uint8Array[],
    options?: { snapshot?: Snapshot; traces?: readonly ReadTrace[] },
  ): (Uint8Array | undefined)[] | Promise<(Uint8Array | undefined)[]> {
    const seq = options?.snapshot?.sequence ?? this.#visible;
    return this.#reads.readMany(this.#readable(tree), keys, seq, options?.traces);
  }

  follow(name: string, on: boolean): number {
    this.#trees.follow(name, on);
    return this.#lastSeq;
  }

  snapshot(): Snapshot {
    return this.#snapshots.take(this.#visible);
  }

  keepDead(afterSeq: number): () => void {
    return this.#snapshots.keepDead(afterSeq);
  }

  releaseDead(): void {
    this.#releaseDead?.();
    this.#releaseDead = undefined;
  }

  scan(handle: Tree, range: ScanRange, snapshot?: Snapshot): ScanCursor {
    return this.#scan(handle, range, snapshot?.sequence);
  }

  scanPending(handle: Tree, range: ScanRange): ScanCursor {
    return this.#scan(handle, range, this.#lastSeq);
  }

  /** @param seq  the last write that is seen; undefined: the last that reads see now */
  #scan(handle: Tree, range: ScanRange, seq: number | undefined): ScanCursor {
    const tree = this.#readable(handle);
    // A pin of its own, so that the moment stays readable whatever the caller does with theirs.
    const pin = seq === undefined ? this.snapshot() : undefined;
    const view = tree.hold();
    const release = () => {
      pin?.release();
      view.release();
    };
    try {
      const bounds = liveRange(range);
      const input = tree.cursor(view, bounds);
      return new LiveCursor({
        input,
        range: bounds,
        seq: seq ?? pin!.sequence,
        operator: tree.operator,
        coldReads: this.#coldReads,
        release,
        noted: this.#note,
      });
    } catch (error) {
      release();
      throw this.#noted(error);
    }
  }

  async flush(handle?: Tree): Promise<void> {
    this.#checkOpen();
    const trees = handle === undefined
      ? [...this.#trees.states.values()]
      : [this.#trees.state(handle)];
    await Promise.all(trees.map((tree) => this.#maintenance.flush(tree)));
  }

  async compact(handle?: Tree, options: CompactOptions = {}): Promise<void> {
    const upToSeq = this.#lastSeq;
    await this.flush(handle);
    const trees = handle === undefined
      ? [...this.#trees.states.values()]
      : [this.#trees.state(handle)];
    for (const tree of trees) {
      const purge = options.purge ?? false;
      const purgeBeforeMs = () => this.#purgeBeforeMs(purge ? 0 : undefined);
      await this.#maintenance.compactor.compact(
        tree,
        { range: options, upToSeq, purge },
        purgeBeforeMs,
      );
    }
    // Whoever asks for a compaction may be short of space.
    await this.#removals.settle();
  }

  async checkpoint(name: string, origin: Origin = NO_ORIGIN): Promise<MadeCheckpoint> {
    this.#checkOpen();
    try {
      return await this.#checkpoints.create(name, origin);
    } catch (error) {
      throw this.#noted(error);
    }
  }

  checkpoints(): CheckpointInfo[] {
    this.#checkOpen();
    return this.#checkpoints.list();
  }

  async verifyCheckpoint(name: string): Promise<Verified> {
    this.#checkOpen();
    return await this.#checkpoints.verify(name);
  }

  async deleteCheckpoint(name: string): Promise<void> {
    this.#checkOpen();
    await this.#checkpoints.delete(name);
  }

  async uncache(handle: Tree, range: ScanRange): Promise<Recached> {
    return await uncacheRows(this.#recacheParts(), this.#readable(handle), range);
  }

  async cache(handle: Tree, range: ScanRange): Promise<Recached> {
    return await cacheRows(this.#recacheParts(), this.#readable(handle), range);
  }

  #recacheParts(): RecacheParts {
    return { engine: this, second: this.#second, checkOpen: () => this.#checkOpen() };
  }

  /** Files of tables that scrubs or compactions have found damaged. */
  #damagedTables(): Set<string> {
    const files = new Set(this.#scrubber.status().damaged.map(({ file }) => file));
    for (const { compactionStopped } of this.#trees.states.values()) {
      const file = compactionStopped instanceof PairError && compactionStopped.details.file;
      if (typeof file === "string") files.add(file);
    }
    return files;
  }

  stats(): EngineStats {
    return gatherStats({
      lastSeq: this.#lastSeq,
      trees: [...this.#trees.states.values()],
      treeStats: (tree) => this.treeStats(tree),
      log: this.#log!,
      cache: this.#cache,
      coldReads: this.#coldReads,
      rows: this.#rows,
      reads: this.#reads,
      second: this.#second,
      maintenance: this.#maintenance,
      checkpoints: this.#checkpoints,
      scrubber: this.#scrubber,
      workers: this.#runtime.workers,
      pool: this.#pool,
      memory: this.#memory,
      checksumFailures: this.#checksumFailures,
      diskFailures: this.#diskFailures,
      writeStalls: this.#writeStalls,
      quarantined: this.#quarantined,
      failing: (kind) => this.failing(kind).length,
    });
  }

  jobs({ ended = false }: { ended?: boolean } = {}): readonly JobInfo[] {
    return ended ? this.#maintenance.jobs.ended() : this.#maintenance.jobs.active();
  }

  scrub(): ScrubStatus {
    return this.#scrubber.status();
  }

  startScrub(): void {
    this.#checkOpen();
    this.#scrubber.beginNow();
  }

  quietUntilMs(): number | undefined {
    return quietUntilMs(this.#options.quiet.hours, this.#runtime.clock.wallMs());
  }

  activity(kind: "transfer" | "migration", tree: Tree | undefined, bytes?: number): Activity {
    this.#checkOpen();
    const id = tree === undefined ? undefined : this.#trees.state(tree).id;
    return this.#maintenance.jobs.start(planOf(kind, id, bytes));
  }

  failing(kind: JobKind): readonly PairError[] {
    return this.#maintenance.retries[kind].allLasting();
  }

  setThrottle(bytesPerSecond: number): void {
    if (!(bytesPerSecond >= 0)) {
      throw new PairError("InvalidArgument", `Cannot throttle to ${bytesPerSecond} bytes a second`);
    }
    this.#maintenance.throttle.rate = bytesPerSecond;
  }

  reserve(): ReserveState | undefined {
    return this.#reserve.state();
  }

  relieveDisk(isTight: boolean): void {
    if (this.#closed || this.poisoned !== undefined) return;
    const log = this.#log!;
    log.archive.suspended = isTight;
    if (!isTight) return;
    const { bytes: archivedBytes } = log.archive;
    this.#attempt(this.#files.archiveDir, () => log.archive.purge());
    const trees = [...this.#trees.states.values()];
    const memtableBytes = sum(trees, (tree) => tree.memtableBytes);
    const flushes = log.bytes > memtableBytes;
    for (const tree of trees) {
      if (flushes) this.#maintenance.freeze(tree);
      this.#maintenance.schedule(tree);
    }
    this.#runtime.log.info("disk.relief", {
      archived_bytes: archivedBytes,
      wal_bytes: log.bytes,
      flushes,
    });
  }

  treeStats(handle: Tree): TreeStats {
    const tree = this.#trees.state(handle);
    const tables = tree.version.tables();
    return {
      memtableBytes: tree.memtableBytes,
      tableBytes: sum(tables, (table) => table.meta.size),
      tables: tables.length,
      tablesPerLevel: tree.version.levels.map((level) => level.length),
      cacheBytes: this.#cache.bytesOf(tree.id) + this.#rows.bytesOf(tree.id),
    };
  }

  usage(handle: Tree): TreeUsage {
    return this.#trees.state(handle).usage();
  }

  estimate(handle: Tree, { start, end }: ScanRange): RangeEstimate {
    return this.#trees.state(handle).estimate({ start, end });
  }

  async close({ flushMs = 0, waitMs = Infinity }: CloseOptions = {}): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancelTick?.();
    const cancelWait = waitMs === Infinity ? undefined : this.#runtime.clock.after(waitMs, () => {
      const kinds = this.#maintenance.jobs.active().map(({ kind }) => kind);
      if (kinds.length > 0) {
        this.#runtime.log.warn("jobs given up at the stop", { jobs: kinds.join(", ") });
      }
      this.#maintenance.jobs.giveUp();
    });
    try {
      await this.#stopWork(flushMs);
    } finally {
      cancelWait?.();
    }
    try {
      await this.#log!.close();
      await this.#closeManifest();
      if (this.poisoned === undefined) this.#warming.save();
    } finally {
      await this.#manifest.close();
      await this.#removals.settle();
      this.#release();
    }
  }

  /** Ends all that goes on in the background. */
  async #stopWork(flushMs: number): Promise<void> {
    await this.#warming.stop();
    await this.#reserve.close();
    await this.#checkpoints.settle();
    await this.#scrubber.close();
    if (flushMs > 0 && this.poisoned === undefined) await this.#maintenance.flushForStop(flushMs);
    this.#tables.close();
    await this.#maintenance.stop();
  }

  /** Without the mark of a clean close, for which a full disk may have no room, the next start looks closer. */
  async #closeManifest(): Promise<void> {
    try {
      await this.#manifest.close(this.poisoned === undefined ? this.#lastSeq : undefined);
    } catch (error) {
      if (!isShortOfRoom(error)) throw error;
    }
  }

  #lookAtMemory(): MemoryOrders {
    let memtables = 0;
    for (const tree of this.#trees.states.values()) memtables += tree.memtableBytes;
    const nowMs = this.#runtime.clock.monotonicMs();
    const orders = this.#memory.look({
      memtables,
      blockCache: this.#cache.bytes,
      rowCache: this.#rows.stats.bytes,
      heapShare: this.#heap.share(nowMs),
    }, nowMs);
    this.#cache.capacity = Math.floor(this.#options.blockCacheSize * orders.cacheShare);
    this.#rows.suspended = orders.dropRows;
    if (orders.cacheShare < 1) this.#arenas.clear();
    return orders;
  }

  // ---- trees, tables, files

  /** Looks a batch over: the trees that it writes to, and what it needs of each. */
  #needs(mutations: readonly Mutation[]): readonly Need[] {
    const needs: Need[] = [];
    let need: Need | undefined;
    for (const { tree, kind, key, value } of mutations) {
      if (need?.tree.id !== tree.id) {
        need = needs.find((other) => other.tree.id === tree.id);
        if (need === undefined) {
          need = { tree: this.#trees.state(tree), entries: 0, payload: 0 };
          needs.push(need);
        }
      }
      if (!acceptsKind(need.tree, kind)) {
        throw new PairError("InvalidArgument", `Tree ${tree.id} has no merge operator`);
      }
      need.entries++;
      need.payload += key.length + value.length;
    }
    return needs;
  }

  /** A directory that is no store, though it has the files of one, is refused before anything is changed. */
  #refuseUnfinished(): void {
    const { disk } = this.#runtime;
    const { root, restoring } = this.#files;
    const why = disk.stat(restoring) !== undefined
      ? "a restore to it did not come to its end; run it again"
      : disk.stat(`${root}/${SNAPSHOT_FILE}`) !== undefined
      ? "it is a snapshot; restore it to a directory of its own"
      : undefined;
    if (why === undefined) return;
    throw new PairError("InvalidArgument", `Cannot open ${root}: ${why}`, { dir: root });
  }

  /** Closes tables and gives the directory back. */
  #release(): void {
    this.#second?.close();
    for (const tree of this.#trees.states.values()) {
      for (const table of tree.version.tables()) table.close();
    }
    this.#lock?.release();
  }

  #readable(handle: Tree): TreeState {
    this.#checkOpen();
    this.#maintenance.throttle.called();
    return this.#trees.state(handle);
  }

  #purgeBeforeMs(graceMs = this.#options.compaction.tombstoneGraceMs): number {
    return this.#snapshots.purgeBeforeMs(graceMs);
  }

  #checkOpen(): void {
    if (this.#closed) throw new PairError("Unavailable", "The engine is closed");
  }

  /** Counts damage, and what the disk did not do, on its way to the caller. */
  #noted(error: unknown): unknown {
    if (error instanceof PairError && isDamage(error)) {
      this.#checksumFailures++;
      // File and place, as fields too: whoever looks into it need not read them out of a text.
      this.#runtime.log.error("damaged data", { ...error.details, error: error.message });
    } else if (error instanceof PairError && error.details.errno === "EIO") {
      this.#diskFailures++;
      this.#runtime.log.error("disk failed", { ...error.details, error: error.message });
    }
    return error;
  }
}

function noRoom(root: string, cause: unknown): PairError {
  return new PairError(
    "DiskFull",
    `Cannot open ${root}: its disk is full. Make a few MiB of room, more the longer the log is, and start again`,
    { dir: root },
    { cause },
  );
}

const NONE = new Uint8Array(0);
const NO_ORIGIN: Origin = { node: "", store: "" };
