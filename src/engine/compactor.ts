/**
 * The compactor: tables become fewer, larger ones further down.
 *
 * Trees that may need it wait in one set, so that nothing is lost when all threads are busy.
 * Whenever a thread is free the tree with most tables on level 0 is looked at: what to compact is picked
 * at that moment, from the tables of that moment. Several compactions of one tree run side by side where
 * they share neither tables nor ranges. Since merging takes a processor from those who read and write,
 * a second one is started only when a tree is behind (RocksDB's rule, too).
 *
 * Inputs go only when outputs are there. Where a compaction might not fit on the disk, a smaller step is
 * made instead, or none (`compaction/step.ts`); and a tight disk does not wait for tables to gather when
 * there are deletes to make room with. A step that may write more than there is room for is carried out
 * within a limit, and not again before something has changed.
 *
 * What failed because a table is damaged is not tried again: merging would spread the damage.
 * @module
 */
import { PairError } from "../model/mod.ts";
import {
  checkPlan,
  type CompactionPlan,
  findHiding,
  likelyBytes,
  pickCompaction,
  pickRange,
  type PickState,
  pickStep,
  type RangeRequest,
  spanOf,
  type TableJobResult,
  writtenBytes,
} from "./compaction/mod.ts";
import { isShortOfRoom } from "./disk_failure.ts";
import { type Jobs, reason } from "./job_runner.ts";
import type { TableMeta } from "./manifest/mod.ts";
import {
  install,
  jobBase,
  type MaintenanceEvents,
  type MaintenanceParts,
} from "./maintenance_parts.ts";
import { quietUntilMs } from "./quiet_hours.ts";
import type { Retries } from "./retries.ts";
import { tableTimes } from "./table_jobs.ts";
import type { RunningCompaction, TreeState } from "./tree.ts";

/** Room that compactions leave on the disk for the log and for flushes, in bytes. */
const SPACE_KEPT = 1 << 20;
/** A disk with less than this share free is tight: large writes are refused soon, or are already. */
const TIGHT_SHARE = 0.15;
/** Pause before a compaction is tried again that might have fitted and did not, in ms. */
const HOPE_PAUSE_MS = 60_000;

/** What the disk has for compactions. */
interface Room {
  /** Bytes that one may write, beside what runs may still write; Infinity when that is not known. */
  readonly bytes: number;
  readonly isTight: boolean;
}

/** Compactions of one engine. */
export class Compactor {
  readonly #parts: MaintenanceParts;
  readonly #jobs: Jobs;
  readonly #events: MaintenanceEvents;
  readonly #retries: Retries;
  readonly #waiting = new Set<TreeState>();
  /** Trees whose compactions are behind. */
  readonly #behind = new Set<TreeState>();
  #running = 0;
  /** What running compactions may still write. */
  #runningBytes = 0;
  #stopped = false;
  #paused = false;

  /** Compactions done. */
  compactions = 0;
  /** Times that one was not begun, or given up, because its output might not fit on the disk. */
  deferred = 0;
  /** Bytes of tables that they have read. */
  bytesRead = 0;
  /** What they took, all together, ms. */
  elapsedMs = 0;
  /** Bytes of tables that they have written. */
  bytesWritten = 0;

  constructor(parts: MaintenanceParts, jobs: Jobs, events: MaintenanceEvents, retries: Retries) {
    this.#parts = parts;
    this.#jobs = jobs;
    this.#events = events;
    this.#retries = retries;
  }

  /** Trees that wait to be looked at. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** While true nothing is started by itself; what runs goes on, and so does what somebody asks for. */
  get paused(): boolean {
    return this.#paused;
  }

  set paused(paused: boolean) {
    this.#paused = paused;
    this.#fill();
  }

  /** Starts nothing more, and has what runs given up. */
  stop(): void {
    this.#stopped = true;
    this.#waiting.clear();
    this.#jobs.cancel("compaction");
  }

  /** Has a tree looked at, unless a compaction of it has failed just now. */
  schedule(tree: TreeState): void {
    if (this.#isBehind(tree) && !tree.dropped) this.#behind.add(tree);
    else this.#behind.delete(tree);
    this.#jobs.throttle.behind = this.#behind.size > 0;
    if (tree.dropped || this.#stopped || tree.compactionStopped !== undefined) return;
    if (this.#retries.pauses(tree)) return;
    this.#waiting.add(tree);
    this.#fill();
  }

  /**
   * Merges what somebody asked for down to one level, step by step, while nothing else is compacted there.
   * @param purgeBeforeMs  asked at each step: what was dead by then is dropped
   */
  async compact(
    tree: TreeState,
    request: Omit<RangeRequest, "firstFile" | "room" | "hopes">,
    purgeBeforeMs: () => number,
  ): Promise<void> {
    const firstFile = this.#parts.manifest.state.nextFile;
    while (tree.exclusive !== undefined) await tree.exclusive;
    const { promise, resolve } = Promise.withResolvers<void>();
    tree.exclusive = promise;
    let hopes = true;
    try {
      for (;;) {
        while (tree.compacting.size > 0) await settled(tree);
        // The room of what the step before has replaced counts for this one.
        await this.#parts.removed();
        if (this.#stopped) throw new PairError("Unavailable", "The engine is closed");
        const options = tree.compaction(this.#parts.options.compaction);
        const room = this.#room().bytes;
        const plan = tree.dropped
          ? undefined
          : pickRange(tree.version.metas, { ...request, firstFile, room, hopes }, options);
        if (plan === undefined) return;
        try {
          await this.#start(tree, plan, room, purgeBeforeMs());
        } catch (error) {
          if (!hopes || !isGivenUp(error)) throw error;
          hopes = false;
        }
      }
    } finally {
      tree.exclusive = undefined;
      resolve();
      this.schedule(tree);
    }
  }

  /** Starts what there are threads for. */
  #fill(): void {
    const { workers } = this.#parts.runtime;
    if (this.#stopped || this.#paused || this.#parts.poisoned() !== undefined) return;
    // During recovery the log is read, and nothing else.
    if (this.#parts.log() === undefined) return;
    for (let started = true; started;) {
      started = false;
      for (const tree of [...this.#waiting].sort((a, b) => level0(b) - level0(a))) {
        if (this.#running >= workers.size) return;
        if (this.#running > 0 && !this.#isBehind(tree)) continue;
        if (this.#startNext(tree)) started = true;
        else this.#waiting.delete(tree);
      }
    }
  }

  /** Starts a tree's most pressing compaction; false when it has none that could be started now. */
  #startNext(tree: TreeState): boolean {
    // What runs looks at the tree again when it ends.
    if (tree.dropped || tree.exclusive !== undefined) return false;
    if (tree.compactionStopped !== undefined) return false;
    const compaction = tree.compaction(this.#parts.options.compaction);
    const state = this.#pickState(tree);
    const running = [...tree.compacting];
    const tables = new Set(running.flatMap(({ inputs }) => inputs));
    const wanted = pickCompaction(tree.version.metas, state, compaction, { tables, running });
    const hiding = findHiding(tree.version.metas, state, compaction);
    if (wanted === undefined && hiding === undefined) {
      // What failed is not wanted any more, unless it is under way again.
      if (running.length === 0) this.#retries.forget(tree);
      return false;
    }
    const room = this.#room();
    const plan = this.#choose(tree, wanted, hiding, room);
    if (plan === undefined) {
      if (wanted !== undefined) {
        this.deferred++;
        // What runs may yet make room.
        if (running.length === 0) tree.outOfRoom = tree.version;
      }
      return false;
    }
    this.#startInBackground(tree, plan, room.bytes);
    return true;
  }

  /** The wanted compaction where it fits; else what is smaller, or may turn out so. */
  #choose(
    tree: TreeState,
    wanted: CompactionPlan | undefined,
    hiding: TableMeta | undefined,
    room: Room,
  ): CompactionPlan | undefined {
    const { metas } = tree.version;
    const fits = (plan: CompactionPlan) => writtenBytes(plan) <= room.bytes;
    if (wanted !== undefined && fits(wanted)) return wanted;
    if (tree.compacting.size > 0 || (wanted === undefined && !room.isTight)) return undefined;
    const compaction = tree.compaction(this.#parts.options.compaction);
    const hopes = this.#hopes(tree);
    const options = { compaction, room: room.bytes, hopes, reason: "room" } as const;
    // What does not fit is tried for deletes only: without them it would be in vain.
    const step = hiding && pickStep(metas, hiding, options);
    if (step !== undefined && (fits(step) || tree.triedInVain !== tree.version)) return step;
    if (wanted === undefined) return undefined;
    if (hopes && likelyBytes(wanted) <= room.bytes) return wanted;
    if (wanted.reason !== "level0" && wanted.reason !== "level_size") return undefined;
    const other = pickStep(metas, wanted.inputs[0], options);
    return other !== undefined && fits(other) ? other : undefined;
  }

  #startInBackground(tree: TreeState, plan: CompactionPlan, room: number): void {
    const { version } = tree;
    const failed = (error: unknown) => {
      if (!isGivenUp(error)) return this.#events.failed("compaction", tree, error);
      this.deferred++;
      // Hope may have chosen it: without, there may be a smaller step.
      if (!this.#hopes(tree)) tree.triedInVain = version;
      else tree.hopesFromMs = this.#parts.runtime.clock.monotonicMs() + HOPE_PAUSE_MS;
    };
    this.#start(tree, plan, room, this.#parts.purgeBeforeMs(), failed).then(
      () => this.schedule(tree),
      (error) => {
        // Anything else has been told of as a failure, and will be tried again.
        if (isGivenUp(error)) this.schedule(tree);
      },
    );
  }

  #pickState(tree: TreeState): PickState {
    const { runtime, snapshots, options } = this.#parts;
    const nowMs = runtime.clock.wallMs();
    const isQuiet = quietUntilMs(options.quiet.hours, nowMs) !== undefined;
    return {
      lastKeys: tree.lastCompacted,
      nowMs,
      purgeBeforeMs: this.#parts.purgeBeforeMs(),
      purgeUpToSeq: this.#parts.purgeUpToSeq(),
      oldestSnapshot: snapshots()[0] ?? Infinity,
      // A disk that fills up needs the room.
      defersDead: isQuiet && !this.#room().isTight,
    };
  }

  #hopes(tree: TreeState): boolean {
    return this.#parts.runtime.clock.monotonicMs() >= tree.hopesFromMs;
  }

  #room(): Room {
    try {
      const { disk } = this.#parts.runtime;
      const { freeBytes, totalBytes } = disk.space(this.#parts.files.root);
      return {
        bytes: Math.max(0, freeBytes - this.#runningBytes - SPACE_KEPT),
        isTight: freeBytes < TIGHT_SHARE * totalBytes,
      };
    } catch (error) {
      // A disk that cannot be measured may be well; when not, the job says so.
      this.#parts.runtime.log.warn("cannot measure the disk", { error: reason(error) });
      return { bytes: Infinity, isTight: false };
    }
  }

  #isBehind(tree: TreeState): boolean {
    const { compaction, guards } = this.#parts.options;
    const { l0Trigger, l0Slowdown } = tree.compaction(compaction);
    return tree.pressure(compaction) >= l0Trigger + (l0Slowdown - l0Trigger) / 4 ||
      tree.pendingBytes >= guards.pendingSlowdown / 4;
  }

  /**
   * @param room    bytes that it may write
   * @param failed  told of a failure; absent: the caller sees to it
   */
  #start(
    tree: TreeState,
    plan: CompactionPlan,
    room: number,
    purgeBeforeMs: number,
    failed?: (error: unknown) => void,
  ): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const running: RunningCompaction = {
      inputs: plan.inputs.map(({ number }) => number),
      outputLevel: plan.outputLevel,
      ...spanOf(plan.inputs),
      done: promise,
    };
    tree.compacting.add(running);
    this.#running++;
    const written = writtenBytes(plan);
    const bytes = Math.min(written, room);
    // Estimates are rough: what fits is not held to them.
    const bytesMax = written > room ? room : Infinity;
    this.#runningBytes += bytes;
    return (async () => {
      try {
        await this.#compactOnce(tree, plan, bytesMax, purgeBeforeMs);
        this.#retries.forget(tree);
        // The next step needs the room of what this one has replaced.
        if (plan.reason === "room") await this.#parts.removed();
      } catch (error) {
        // At once it would fail again: it is scheduled anew after a while.
        this.#waiting.delete(tree);
        // Before the end is told: that wakes writers, who ask for the next compaction at once.
        failed?.(error);
        throw error;
      } finally {
        tree.compacting.delete(running);
        this.#running--;
        this.#runningBytes -= bytes;
        resolve();
        this.#events.ended();
        this.#fill();
      }
    })();
  }

  async #compactOnce(
    tree: TreeState,
    plan: CompactionPlan,
    bytesMax: number,
    purgeBeforeMs: number,
  ): Promise<void> {
    const { runtime, manifest, tables, files, options } = this.#parts;
    const startedMs = runtime.clock.monotonicMs();
    const level = plan.outputLevel;
    const bytes = plan.inputs.reduce((sum, { size }) => sum + size, 0);
    const result = plan.trivialMove
      ? { tables: plan.inputs, bytesRead: 0, purged: 0, floor: 0, purgedSeq: 0 }
      : await this.#run(tree, plan, bytesMax, purgeBeforeMs);
    if (tree.dropped) return;
    const outputs = result.tables.map((table) => ({ ...table, level }));
    const kept = new Map(tree.version.tables().map((table) => [table.meta.number, table]));
    const placed = outputs.map((meta) => {
      const moved = plan.trivialMove ? kept.get(meta.number) : undefined;
      return moved === undefined ? tables.place(tree.id, tree.dir, meta) : { level, table: moved };
    });
    const removed = new Set(plan.inputs.map(({ number }) => number));
    try {
      // Awaited as it is: what follows has to come before the next edit is built.
      await manifest.commit(() => {
        // Built for its checks, on what all edits before this one have left: a version that makes no
        // sense must not become durable.
        checkPlan(tree.version.metas, plan);
        tree.version.with(removed, placed);
        return {
          remove: plan.inputs.map(({ number }) => ({ tree: tree.id, number })),
          add: outputs.map((table) => ({ tree: tree.id, table })),
          // With the edit that drops them: a new write of their keys has to know where theirs ended, and who
          // was yet to be told of them that they are gone.
          ...(result.floor > tree.purgeFloor
            ? { purged: [{ tree: tree.id, floor: result.floor }] }
            : {}),
          ...(result.purgedSeq > tree.purgedSequence
            ? { forgotten: [{ tree: tree.id, seq: result.purgedSeq }] }
            : {}),
        };
      });
    } catch (error) {
      // The edit was refused: nobody will ever hear of the tables.
      if (isShortOfRoom(error) && !plan.trivialMove) {
        for (const { number } of outputs) this.#parts.remove(files.table(tree.dir, number));
      }
      throw error;
    }
    tree.purgeFloor = Math.max(tree.purgeFloor, result.floor);
    tree.purgedSequence = Math.max(tree.purgedSequence, result.purgedSeq);
    // A flush may have added a table meanwhile: build on the version of now.
    install(tree, tree.version.with(removed, placed), options);
    const [first] = plan.inputs;
    if (first.level > 0) tree.lastCompacted.set(first.level, first.properties.largest);
    this.compactions++;
    this.bytesRead += result.bytesRead;
    if (!plan.trivialMove) this.bytesWritten += outputs.reduce((sum, { size }) => sum + size, 0);
    const elapsedMs = runtime.clock.monotonicMs() - startedMs;
    this.elapsedMs += elapsedMs;
    runtime.log.info("compacted", {
      tree: tree.name,
      to_level: level,
      inputs: plan.inputs.length,
      outputs: outputs.length,
      bytes,
      reason: plan.reason,
      purged: result.purged,
      moved: plan.trivialMove,
      ms: Math.round(elapsedMs),
    });
  }

  async #run(
    tree: TreeState,
    plan: CompactionPlan,
    bytesMax: number,
    purgeBeforeMs: number,
  ): Promise<TableJobResult> {
    const { targetSize, cuts = [] } = plan;
    const outputs = Math.ceil(writtenBytes(plan) / targetSize) + 1 + cuts.length;
    const inputs = plan.inputs.map(({ number, properties }) => ({
      number,
      entries: properties.entries,
    }));
    const result = await this.#jobs.run({
      kind: "compaction",
      tree: tree.id,
      level: plan.inputs[0].level,
      outputLevel: plan.outputLevel,
      inputs: inputs.map(({ number }) => number),
      bytes: plan.inputs.reduce((sum, { size }) => sum + size, 0),
    }, {
      type: "compact",
      inputs,
      bottom: plan.bottom,
      purgeBeforeMs,
      purgeUpToSeq: this.#parts.purgeUpToSeq(),
      targetSize,
      cuts,
      bytesMax,
      ...jobBase(this.#parts, tree, outputs, plan.outputLevel, tableTimes(plan.inputs)),
    });
    if (result.purged > 0) tree.purgedBeforeMs = Math.max(tree.purgedBeforeMs, purgeBeforeMs);
    return result;
  }
}

/** Waits for the compactions of a tree that run now. */
export async function settled(tree: TreeState): Promise<void> {
  await Promise.all([...tree.compacting].map(({ done }) => done));
}

/** Whether a compaction was given up because it would have written more than there was room for. */
function isGivenUp(error: unknown): boolean {
  return error instanceof PairError && error.error === "DiskFull" &&
    error.details.errno === undefined;
}

function level0(tree: TreeState): number {
  return tree.version.levels[0].length;
}
