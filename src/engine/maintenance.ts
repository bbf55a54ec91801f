/**
 * Maintenance: flushes and compactions, in the background and on demand.
 *
 *     maintenance   what is due: memtables that are full or too many, a log that is too long, retries
 *       flusher     memtables to tables, urgent: writers wait for them
 *       compactor   tables to tables, several at a time
 *         jobs      the work itself, in worker threads, watched and throttled
 *
 * What fails is tried again after a pause (retries.ts). What failed because a table is damaged is not: merging would
 * spread the damage.
 * @module
 */
import { PairError } from "../model/mod.ts";
import type { Cancel } from "../runtime/mod.ts";
import type { JobKind } from "./api.ts";
import { Compactor, settled } from "./compactor.ts";
import { Flusher } from "./flusher.ts";
import { Jobs, reason } from "./job_runner.ts";
import { isDamage, type MaintenanceParts } from "./maintenance_parts.ts";
import type { MemoryLevel } from "./memory_budget.ts";
import type { Memtable } from "./memtable/mod.ts";
import { Retries } from "./retries.ts";
import { Throttle } from "./throttle.ts";
import type { TreeState } from "./tree.ts";

/** Log segments at which the trees that hold back the oldest are flushed. */
const SEGMENTS_MAX = 16;
/** So they are when the log is longer than this many full segments. */
const LOG_SEGMENTS_FULL = 2;
/** Time between two looks at memory that is short, in ms. */
const LOOK_MS = 1000;
/** The longest that writers wait before they look again, in ms. */
const PROGRESS_MS_MAX = 500;

/** Flushes and compactions of one engine. */
export class Maintenance {
  readonly #parts: MaintenanceParts;
  readonly #jobs: Jobs;
  readonly retries: Readonly<Record<JobKind, Retries>>;
  readonly flusher: Flusher;
  readonly compactor: Compactor;
  readonly throttle: Throttle;
  #progress = Promise.withResolvers<void>();
  #cancelProgress: Cancel | undefined;
  #stopped = false;
  #cancelLook: Cancel | undefined;
  #memoryLevel: MemoryLevel = "normal";
  #refusesWrites = false;
  #replayFailure: unknown;
  /** Since when memtables hold something, as far as anybody has looked; monotonic ms. */
  readonly #filledSince = new WeakMap<Memtable, number>();

  constructor(parts: MaintenanceParts) {
    this.#parts = parts;
    const { runtime, options } = parts;
    this.throttle = new Throttle(runtime.clock, options.guards.throttle);
    this.#jobs = new Jobs(parts, this.throttle);
    const events = {
      ended: () => this.#signalProgress(),
      failed: (what: JobKind, tree: TreeState, error: unknown) => this.#failed(what, tree, error),
    };
    const { flush, compaction } = this.retries = {
      flush: new Retries(runtime.clock),
      compaction: new Retries(runtime.clock),
    };
    const flushed = (tree: TreeState) => this.compactor.schedule(tree);
    this.flusher = new Flusher(parts, this.#jobs, { ...events, flushed }, flush);
    this.compactor = new Compactor(parts, this.#jobs, events, compaction);
  }

  /**
   * Resolves when the next flush or compaction ends, well or not, or maintenance stops; and after half a
   * second, for whoever waits with a deadline.
   */
  get progress(): Promise<void> {
    this.#cancelProgress ??= this.#parts.runtime.clock.after(
      PROGRESS_MS_MAX,
      () => this.#signalProgress(),
    );
    return this.#progress.promise;
  }

  /** All work in the background. */
  get jobs(): Jobs {
    return this.#jobs;
  }

  /** What keeps others from the disk at present; undefined when nothing does. */
  get busy(): string | undefined {
    if (this.throttle.behind) return "compactions that are behind";
    return this.compactor.paused ? "memory" : undefined;
  }

  /** What has become of jobs. */
  get counts(): { pending: number; completed: number; failed: number } {
    const { completed, failed } = this.#jobs;
    return { pending: this.flusher.waiting + this.compactor.waiting, completed, failed };
  }

  /** Starts what a tree needs now. */
  schedule(tree: TreeState): void {
    this.flusher.schedule(tree);
    this.compactor.schedule(tree);
  }

  /** Starts a new memtable; the full one waits for its flush. */
  freeze(tree: TreeState): void {
    if (!tree.freeze(this.#parts.runtime.clock.wallMs())) return;
    this.#parts.log()?.rotate();
    this.flusher.schedule(tree);
    this.relieve();
  }

  /** Flushes what makes the log or the memtables together too large. */
  relieve(): void {
    this.#relieveLog();
    this.#relieveMemory();
    this.#relievePressure();
  }

  /** Ends a log segment and flushes memtables that are old, though nobody writes. Looked at now and then. */
  flushOld(): void {
    const { runtime, trees, options } = this.#parts;
    this.#relievePressure();
    this.#parts.log()?.rotateWhenOld();
    if (options.memtableAgeMs === 0) return;
    const nowMs = runtime.clock.monotonicMs();
    for (const tree of trees.values()) {
      const { active } = tree;
      if (active.count === 0 || tree.dropped) continue;
      const sinceMs = this.#filledSince.get(active) ?? nowMs;
      this.#filledSince.set(active, sinceMs);
      if (nowMs - sinceMs >= options.memtableAgeMs) this.freeze(tree);
    }
  }

  /** Whether memory is so short that no write may be taken. */
  get refusesWrites(): boolean {
    return this.#refusesWrites;
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
      tree.freeze(this.#parts.runtime.clock.wallMs());
      this.flusher.schedule(tree);
    }
  }

  /**
   * Flushes what recovery has filled, beside the replay: that waits only when it would need more memory
   * than the options give. Where the disk is full, what was to be flushed stays in memory as far as that
   * goes: a node that starts then can be read, and emptied.
   * @throws PairError when a flush failed
   */
  async relieveReplay(): Promise<void> {
    const { memtableSize, maxImmutables, memtableBudget } = this.#parts.options;
    const trees = [...this.#parts.trees.values()];
    const total = () => trees.reduce((sum, tree) => sum + tree.memtableBytes, 0);
    const isFull = () =>
      this.#replayFailure instanceof PairError && this.#replayFailure.error === "DiskFull";
    if (isFull()) this.#replayFailure = undefined;
    const wait = () => this.#replayFailure === undefined ? this.progress : undefined;
    for (const tree of trees) {
      if (tree.active.bytes < memtableSize) continue;
      while (tree.immutables.length >= maxImmutables && wait() !== undefined) await wait();
      this.#flushReplayed(tree);
    }
    for (;;) {
      if (total() <= memtableBudget || this.#replayFailure !== undefined) break;
      const largest = trees.reduce((a, b) => (b.active.bytes > a.active.bytes ? b : a));
      this.#flushReplayed(largest);
      await wait();
    }
    if (this.#replayFailure === undefined || (isFull() && total() <= memtableBudget)) return;
    throw this.#replayFailure;
  }

  #flushReplayed(tree: TreeState): void {
    tree.freeze(this.#parts.runtime.clock.wallMs());
    if (tree.flushing !== undefined) return;
    this.flusher.flushAll(tree).catch((error) => {
      this.#replayFailure ??= error;
      // The flush has told that it ended before its failure was known here.
      this.#signalProgress();
    });
  }

  /** Writes all that a tree has in memory now to tables. */
  async flush(tree: TreeState): Promise<void> {
    if (tree.freeze(this.#parts.runtime.clock.wallMs())) this.#parts.log()?.rotate();
    const [last] = tree.immutables;
    // Of a tree that is being dropped nothing is flushed any more: waiting for it would be for ever.
    while (last !== undefined && tree.immutables.includes(last) && !tree.dropped) {
      if (this.#stopped) throw new PairError("Unavailable", "The engine is closed");
      await this.flusher.flushAll(tree);
    }
  }

  /** Waits for a tree's jobs, which would register tables of a tree that is gone. */
  async settle(tree: TreeState): Promise<void> {
    if (tree.dropped) {
      this.#jobs.cancel("flush", tree.id);
      this.#jobs.cancel("compaction", tree.id);
    }
    await Promise.allSettled([tree.flushing, settled(tree), tree.exclusive]);
    this.retries.flush.forget(tree);
    this.retries.compaction.forget(tree);
  }

  /**
   * Flushes all trees, the largest first, for the stop that comes next: the next start has little to replay.
   * What fails, or takes too long, stays in the log.
   */
  async flushForStop(timeoutMs: number): Promise<void> {
    const { runtime, trees } = this.#parts;
    this.compactor.stop();
    this.throttle.rate = 0;
    const largestFirst = [...trees.values()].sort((a, b) => b.memtableBytes - a.memtableBytes);
    const flushes = largestFirst.map((tree) =>
      this.flush(tree).catch((error) => {
        if (this.#isGivenUp) return;
        runtime.log.warn("not flushed at the stop", { tree: tree.name, error: reason(error) });
      })
    );
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const cancel = runtime.clock.after(timeoutMs, resolve);
    await Promise.race([Promise.all(flushes), late]);
    cancel();
    const left = largestFirst.filter((tree) => tree.immutables.length > 0 && !tree.dropped).length;
    // One line for all of them, and no alarm: the log has it all.
    if (left > 0) runtime.log.info("left in the log at the stop", { trees: left });
  }

  /** Whether what fails now fails because nobody waits for it any longer. */
  get #isGivenUp(): boolean {
    return this.#stopped || this.#jobs.givenUp.aborted;
  }

  /** Starts nothing more, gives up compactions, waits for flushes, which nothing holds back any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.flusher.stop();
    this.compactor.stop();
    // At its rate a flush may take minutes, and whoever closes waits for it.
    this.throttle.rate = 0;
    this.#signalProgress();
    await Promise.all([...this.#parts.trees.values()].map((tree) => this.settle(tree)));
    this.#cancelProgress?.();
    this.#cancelLook?.();
  }

  /** Wakes the writers that wait for room. */
  #signalProgress(): void {
    this.#cancelProgress?.();
    this.#cancelProgress = undefined;
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
    if (
      total > this.#parts.options.memtableBudget &&
      largest?.freeze(this.#parts.runtime.clock.wallMs())
    ) {
      this.#parts.log()?.rotate();
      this.flusher.schedule(largest);
    }
  }

  /** Carries out what the memory budget asks for; looks again every second until all is calm. */
  #relievePressure(): void {
    const { runtime, trees } = this.#parts;
    const { level, flushEarly, pauseCompaction, refuseWrites } = this.#parts.lookAtMemory();
    if (level !== this.#memoryLevel) {
      runtime.log[level === "critical" ? "error" : "info"]("memory", { level });
      this.#memoryLevel = level;
    }
    this.#refusesWrites = refuseWrites;
    if (this.compactor.paused !== pauseCompaction) this.compactor.paused = pauseCompaction;
    this.#cancelLook?.();
    this.#cancelLook = undefined;
    if (level === "normal" || this.#stopped) return;
    this.#cancelLook = runtime.clock.after(LOOK_MS, () => this.#relievePressure());
    if (!flushEarly) return;
    let frozen = 0;
    let active = 0;
    let largest: TreeState | undefined;
    for (const tree of trees.values()) {
      frozen += tree.memtableBytes - tree.active.bytes;
      active += tree.active.bytes;
      if (largest === undefined || tree.active.bytes > largest.active.bytes) largest = tree;
    }
    // As long as more than half waits for its flush, freezing more of it makes tables small, not memory free.
    if (frozen < active && largest?.freeze(runtime.clock.wallMs())) {
      this.#parts.log()?.rotate();
      this.flusher.schedule(largest);
    }
  }

  #failed(what: JobKind, tree: TreeState, error: unknown): void {
    if (this.#isGivenUp || tree.dropped) return;
    const { runtime, poisoned } = this.#parts;
    runtime.log.error(`${what} failed`, { tree: tree.name, error: reason(error) });
    if (what === "compaction" && error instanceof PairError && isDamage(error)) {
      tree.compactionStopped = error;
    } else if (poisoned() === undefined) {
      const failure = error instanceof PairError
        ? error
        : new PairError("Internal", reason(error), {}, { cause: error });
      this.retries[what].failed(tree, failure, () => this.schedule(tree));
    }
    this.#signalProgress();
  }
}
