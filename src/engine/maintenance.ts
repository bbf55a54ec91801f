/**
 * Maintenance: flushes and compactions, in the background and on demand.
 *
 * A tree has one flush and one compaction under way at most. The work itself is a table job in a worker
 * thread; here it is planned, registered in the manifest, and tried again when it failed. What failed
 * because a table is damaged is not tried again: merging would spread the damage.
 * @module
 */
import { PairError } from "../model/mod.ts";
import type { Cancel, Runtime } from "../runtime/mod.ts";
import {
  checkPlan,
  type CompactionPlan,
  pickCompaction,
  pickRange,
  type PickState,
  type RangeRequest,
  type TableJob,
  type TableJobResult,
} from "./compaction/mod.ts";
import type { Files } from "./files.ts";
import type { Manifest } from "./manifest/mod.ts";
import type { Memtable } from "./memtable/mod.ts";
import type { EngineOptions } from "./options.ts";
import type { TableStore } from "./table_store.ts";
import type { TreeState } from "./tree.ts";
import type { Version } from "./version.ts";
import type { Log } from "./wal/mod.ts";

/** Log segments at which the trees that hold back the oldest are flushed. */
const SEGMENTS_MAX = 16;
/** So they are when the log is longer than this many full segments. */
const LOG_SEGMENTS_FULL = 2;
/** Pause before failed background work is tried again, in ms. */
const RETRY_MS = 1000;

/** The parts of an engine that maintenance works on. */
export interface MaintenanceParts {
  readonly runtime: Runtime;
  readonly files: Files;
  readonly options: EngineOptions;
  readonly manifest: Manifest;
  readonly tables: TableStore;
  readonly trees: ReadonlyMap<number, TreeState>;
  /** The open log; undefined during recovery, which keeps its segments itself. */
  readonly log: () => Log | undefined;
  readonly lastSeq: () => number;
  /** Pinned sequences, ascending. */
  readonly snapshots: () => number[];
  /** Values that were dead by then may be dropped, ms since 1970. */
  readonly purgeBeforeMs: () => number;
  /** The failure after which nothing is written any more. */
  readonly poisoned: () => Error | undefined;
  /** Counts damage, and hands the error on. */
  readonly noted: (error: unknown) => unknown;
}

/** Flushes and compactions of one engine. */
export class Maintenance {
  readonly #parts: MaintenanceParts;
  readonly #retries = new Map<TreeState, Cancel>();
  #progress = Promise.withResolvers<void>();
  #stopped = false;
  #replayFailure: unknown;

  /** Flushes done. */
  flushes = 0;
  /** Bytes of tables that flushes have written. */
  flushBytesWritten = 0;
  /** Compactions done. */
  compactions = 0;
  /** Bytes of tables that compactions have read. */
  bytesRead = 0;
  /** Bytes of tables that compactions have written. */
  bytesWritten = 0;

  constructor(parts: MaintenanceParts) {
    this.#parts = parts;
  }

  /** Resolves when the next flush or compaction ends, well or not, or maintenance stops. */
  get progress(): Promise<void> {
    return this.#progress.promise;
  }

  /** Starts what a tree needs now. */
  schedule(tree: TreeState): void {
    this.#scheduleFlush(tree);
    this.#scheduleCompaction(tree);
  }

  /** Starts a new memtable; the full one waits for its flush. */
  freeze(tree: TreeState): void {
    if (!tree.freeze()) return;
    this.#parts.log()?.rotate();
    this.#scheduleFlush(tree);
    this.relieve();
  }

  /** Flushes what makes the log or the memtables together too large. */
  relieve(): void {
    this.#relieveLog();
    this.#relieveMemory();
  }

  /** Flushes the trees that hold back segments beyond what the log may have. */
  #relieveLog(): void {
    const segments = this.#parts.log()?.segments ?? [];
    let kept = 0;
    for (let bytes = 0; kept < Math.min(segments.length, SEGMENTS_MAX); kept++) {
      bytes += segments[segments.length - 1 - kept].bytes;
      if (kept > 0 && bytes > LOG_SEGMENTS_FULL * this.#parts.options.log.segmentSize) break;
    }
    if (kept === segments.length) return;
    const limit = segments[segments.length - 1 - kept].lastSeq;
    for (const tree of this.#parts.trees.values()) {
      const oldest = tree.oldestUnflushed();
      if (oldest === undefined || oldest > limit || tree.immutables.length > 0) continue;
      tree.freeze();
      this.#scheduleFlush(tree);
    }
  }

  /**
   * Flushes what recovery has filled, beside the replay: that waits only when it would need more memory
   * than the options give.
   * @throws PairError when a flush failed
   */
  async relieveReplay(): Promise<void> {
    const { memtableSize, maxImmutables, memtableBudget } = this.#parts.options;
    const trees = [...this.#parts.trees.values()];
    const wait = () => this.#replayFailure === undefined ? this.progress : undefined;
    for (const tree of trees) {
      if (tree.active.bytes < memtableSize) continue;
      while (tree.immutables.length >= maxImmutables && wait() !== undefined) await wait();
      this.#flushReplayed(tree);
    }
    for (;;) {
      const total = trees.reduce((sum, tree) => sum + tree.memtableBytes, 0);
      if (total <= memtableBudget || this.#replayFailure !== undefined) break;
      const largest = trees.reduce((a, b) => (b.active.bytes > a.active.bytes ? b : a));
      this.#flushReplayed(largest);
      await wait();
    }
    if (this.#replayFailure !== undefined) throw this.#replayFailure;
  }

  #flushReplayed(tree: TreeState): void {
    tree.freeze();
    if (tree.flushing !== undefined) return;
    this.#flushAll(tree).catch((error) => {
      this.#replayFailure ??= error;
      // The flush has told that it ended before its failure was known here.
      this.#signalProgress();
    });
  }

  /** Writes all that a tree has in memory now to tables. */
  async flush(tree: TreeState): Promise<void> {
    if (tree.freeze()) this.#parts.log()?.rotate();
    const [last] = tree.immutables;
    // Of a tree that is being dropped nothing is flushed any more: waiting for it would be for ever.
    while (last !== undefined && tree.immutables.includes(last) && !tree.dropped) {
      if (this.#stopped) throw new PairError("Unavailable", "The engine is closed");
      await this.#flushAll(tree);
    }
  }

  /**
   * Merges what somebody asked for down to one level, step by step.
   * @param purgeBeforeMs  asked at each step: what was dead by then is dropped
   */
  async compact(
    tree: TreeState,
    request: Omit<RangeRequest, "firstFile">,
    purgeBeforeMs: () => number,
  ): Promise<void> {
    const firstFile = this.#parts.manifest.state.nextFile;
    for (;;) {
      while (tree.compacting !== undefined) await tree.compacting;
      if (this.#stopped) throw new PairError("Unavailable", "The engine is closed");
      const options = tree.compaction(this.#parts.options.compaction);
      const plan = tree.dropped
        ? undefined
        : pickRange(tree.version.metas, { ...request, firstFile }, options);
      if (plan === undefined) return;
      await this.#startCompaction(tree, plan, purgeBeforeMs());
    }
  }

  /** Waits for a tree's jobs, which would register tables of a tree that is gone. */
  async settle(tree: TreeState): Promise<void> {
    await Promise.allSettled([tree.flushing, tree.compacting]);
    this.#retries.get(tree)?.();
    this.#retries.delete(tree);
  }

  /** Starts nothing more and waits for what is under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#signalProgress();
    await Promise.all([...this.#parts.trees.values()].map((tree) => this.settle(tree)));
  }

  /** Wakes the writers that wait for room. */
  #signalProgress(): void {
    this.#progress.resolve();
    this.#progress = Promise.withResolvers();
  }

  /** Flushes the largest memtable when all together are over their budget. */
  #relieveMemory(): void {
    let total = 0;
    let largest: TreeState | undefined;
    for (const tree of this.#parts.trees.values()) {
      total += tree.memtableBytes;
      if (largest === undefined || tree.active.bytes > largest.active.bytes) largest = tree;
    }
    if (total > this.#parts.options.memtableBudget && largest?.freeze()) {
      this.#parts.log()?.rotate();
      this.#scheduleFlush(largest);
    }
  }

  // ---- flushing

  #scheduleFlush(tree: TreeState): void {
    if (tree.immutables.length === 0 || tree.flushing !== undefined) return;
    this.#flushAll(tree).catch((error) => this.#failed("flush", tree, error));
  }

  /** Flushes the frozen memtables of a tree, oldest first; joins a run that is under way. */
  #flushAll(tree: TreeState): Promise<void> {
    return tree.flushing ??= (async () => {
      try {
        while (tree.immutables.length > 0 && !this.#stopped && !tree.dropped) {
          await this.#flushOne(tree, tree.immutables[tree.immutables.length - 1]);
        }
      } finally {
        tree.flushing = undefined;
        this.#signalProgress();
      }
      this.#scheduleCompaction(tree);
    })();
  }

  async #flushOne(tree: TreeState, memtable: Memtable): Promise<void> {
    const { runtime, manifest } = this.#parts;
    // Snapshots taken from here on are at or above everything in the memtable.
    await this.#parts.log()?.sync();
    const startedMs = runtime.clock.monotonicMs();
    const { tables } = await this.#runJob({
      type: "flush",
      memtable: memtable.share(),
      ...this.#jobBase(tree, 1),
    });
    if (tree.dropped) return;
    const metas = tables.map((table) => ({ ...table, level: 0 }));
    await manifest.commit(() => ({
      add: metas.map((table) => ({ tree: tree.id, table })),
      flushed: [{ tree: tree.id, seq: memtable.maxSeq }],
      lastSeq: this.#parts.lastSeq(),
      oldestLog: this.#oldestLogWithout(tree, memtable),
    }));
    const placed = metas.map((meta) => this.#parts.tables.place(tree.id, tree.dir, meta));
    install(tree, tree.version.with(new Set(), placed));
    tree.flushedSeq = memtable.maxSeq;
    tree.immutables = tree.immutables.filter((other) => other !== memtable);
    const bytes = metas.reduce((sum, { size }) => sum + size, 0);
    this.flushes++;
    this.flushBytesWritten += bytes;
    this.#signalProgress();
    this.#removeOldSegments();
    runtime.log.info("flushed", {
      tree: tree.id,
      entries: memtable.count,
      bytes,
      ms: Math.round(runtime.clock.monotonicMs() - startedMs),
    });
  }

  /** The oldest segment still needed once a memtable is flushed. */
  #oldestLogWithout(flushed: TreeState, memtable: Memtable): number | undefined {
    const segments = this.#parts.log()?.segments;
    if (segments === undefined) return undefined;
    let oldest = Infinity;
    for (const tree of this.#parts.trees.values()) {
      const seq = tree.oldestUnflushed(tree === flushed ? memtable : undefined);
      if (seq !== undefined && seq < oldest) oldest = seq;
    }
    return (segments.find(({ lastSeq }) => lastSeq >= oldest) ?? segments[segments.length - 1])
      .number;
  }

  #removeOldSegments(): void {
    try {
      this.#parts.log()?.removeBelow(this.#parts.manifest.state.oldestLog);
    } catch (error) {
      // The next flush, or the next start, tries again; the manifest no longer needs the file.
      this.#parts.runtime.log.warn("cannot remove a log segment", { error: reason(error) });
    }
  }

  // ---- compaction

  #scheduleCompaction(tree: TreeState): void {
    if (
      this.#parts.log() === undefined || tree.compacting !== undefined || tree.dropped ||
      this.#stopped ||
      tree.compactionStopped !== undefined || this.#parts.poisoned() !== undefined
    ) return;
    const options = tree.compaction(this.#parts.options.compaction);
    const plan = pickCompaction(tree.version.metas, this.#pickState(tree), options);
    if (plan === undefined) return;
    this.#startCompaction(tree, plan).then(
      () => this.#scheduleCompaction(tree),
      (error) => this.#failed("compaction", tree, error),
    );
  }

  #pickState(tree: TreeState): PickState {
    const { runtime, snapshots } = this.#parts;
    return {
      lastKeys: tree.lastCompacted,
      nowMs: runtime.clock.wallMs(),
      purgeBeforeMs: this.#parts.purgeBeforeMs(),
      oldestSnapshot: snapshots()[0] ?? Infinity,
    };
  }

  #startCompaction(
    tree: TreeState,
    plan: CompactionPlan,
    purgeBeforeMs = this.#parts.purgeBeforeMs(),
  ): Promise<void> {
    return tree.compacting = (async () => {
      try {
        await this.#compactOnce(tree, plan, purgeBeforeMs);
      } finally {
        tree.compacting = undefined;
        this.#signalProgress();
      }
    })();
  }

  async #compactOnce(
    tree: TreeState,
    plan: CompactionPlan,
    purgeBeforeMs: number,
  ): Promise<void> {
    const { runtime, manifest, tables } = this.#parts;
    const startedMs = runtime.clock.monotonicMs();
    const level = plan.outputLevel;
    const bytes = plan.inputs.reduce((sum, { size }) => sum + size, 0);
    const result = plan.trivialMove
      ? { tables: plan.inputs, bytesRead: 0, purged: 0, floor: 0 }
      : await this.#runCompaction(tree, plan, bytes, purgeBeforeMs);
    if (tree.dropped) return;
    const outputs = result.tables.map((table) => ({ ...table, level }));
    const kept = new Map(tree.version.tables().map((table) => [table.meta.number, table]));
    const placed = outputs.map((meta) => {
      const moved = plan.trivialMove ? kept.get(meta.number) : undefined;
      return moved === undefined ? tables.place(tree.id, tree.dir, meta) : { level, table: moved };
    });
    const removed = new Set(plan.inputs.map(({ number }) => number));
    // Built for its checks: a version that makes no sense must not become durable.
    checkPlan(tree.version.metas, plan);
    tree.version.with(removed, placed);
    await manifest.commit(() => ({
      remove: plan.inputs.map(({ number }) => ({ tree: tree.id, number })),
      add: outputs.map((table) => ({ tree: tree.id, table })),
      // With the edit that drops them: a new write of their keys has to know where theirs ended.
      ...(result.floor > tree.purgeFloor
        ? { purged: [{ tree: tree.id, floor: result.floor }] }
        : {}),
    }));
    tree.purgeFloor = Math.max(tree.purgeFloor, result.floor);
    // A flush may have added a table meanwhile: build on the version of now.
    install(tree, tree.version.with(removed, placed));
    const [first] = plan.inputs;
    if (first.level > 0) tree.lastCompacted.set(first.level, first.properties.largest);
    this.compactions++;
    this.bytesRead += result.bytesRead;
    if (!plan.trivialMove) this.bytesWritten += outputs.reduce((sum, { size }) => sum + size, 0);
    runtime.log.info("compacted", {
      tree: tree.id,
      to_level: level,
      inputs: plan.inputs.length,
      outputs: outputs.length,
      bytes,
      reason: plan.reason,
      purged: result.purged,
      moved: plan.trivialMove,
      ms: Math.round(runtime.clock.monotonicMs() - startedMs),
    });
  }

  async #runCompaction(
    tree: TreeState,
    plan: CompactionPlan,
    bytes: number,
    purgeBeforeMs: number,
  ): Promise<TableJobResult> {
    const target = plan.targetSize;
    const result = await this.#runJob({
      type: "compact",
      inputs: plan.inputs.map(({ number, properties }) => ({
        number,
        entries: properties.entries,
      })),
      bottom: plan.bottom,
      purgeBeforeMs,
      targetSize: target,
      ...this.#jobBase(tree, Math.ceil(bytes / target) + 1),
    });
    if (result.purged > 0) tree.purgedBeforeMs = Math.max(tree.purgedBeforeMs, purgeBeforeMs);
    return result;
  }

  // ---- jobs

  #jobBase(tree: TreeState, outputs: number) {
    const { files, options, runtime, manifest, snapshots } = this.#parts;
    return {
      dir: files.treeDir(tree.dir),
      operator: tree.operator?.name ?? "",
      snapshots: snapshots(),
      table: options.table,
      nowMs: runtime.clock.wallMs(),
      firstOutput: manifest.nextFile(outputs),
      outputs,
    };
  }

  async #runJob(job: TableJob): Promise<TableJobResult> {
    try {
      return await this.#parts.runtime.workers.run(job) as TableJobResult;
    } catch (error) {
      throw this.#parts.noted(restoreError(error));
    }
  }

  #failed(what: "flush" | "compaction", tree: TreeState, error: unknown): void {
    if (this.#stopped || tree.dropped) return;
    const { runtime, poisoned } = this.#parts;
    runtime.log.error(`${what} failed`, { tree: tree.id, error: reason(error) });
    if (what === "compaction" && error instanceof PairError && isDamage(error)) {
      tree.compactionStopped = error;
    } else if (poisoned() === undefined && !this.#retries.has(tree)) {
      this.#retries.set(
        tree,
        runtime.clock.after(RETRY_MS, () => {
          this.#retries.delete(tree);
          this.schedule(tree);
        }),
      );
    }
    this.#signalProgress();
  }
}

/** Whether an error says that bytes on disk are damaged. */
export function isDamage(error: PairError): boolean {
  return error.error === "ChecksumFailed" || error.error === "CorruptedData";
}

function install(tree: TreeState, next: Version): void {
  const previous = tree.version;
  tree.version = next.acquire();
  previous.release();
}

/** The PairError that crossed a thread boundary as plain fields, or one for what the disk or the pool said. */
function restoreError(error: unknown): PairError {
  if (error instanceof PairError) return error;
  const fields = error as { error?: unknown; details?: unknown; errno?: unknown };
  const cause = { cause: error };
  if (typeof fields.error === "string") {
    const details = fields.details as PairError["details"];
    return new PairError(fields.error as PairError["error"], reason(error), details, cause);
  }
  const { errno } = fields;
  const details: PairError["details"] = typeof errno === "string" ? { errno } : {};
  return new PairError("SSTableFailed", `Cannot write a table: ${reason(error)}`, details, cause);
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
