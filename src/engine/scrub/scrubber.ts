/**
 * The scrub: reads every table, closed log segment and archived segment again and again, so that damage is
 * found while there is still another copy, and not by whoever needs the bytes.
 *
 *     round     files by number, each in parts (verify.ts), each part a job in a worker
 *     pace      parts are spread over the time that the round has; it waits in quiet hours, while compactions
 *               are behind or memory is short, and, unless it is late, while others want the budget
 *     restart   goes on behind the last file that was done (state.ts)
 *
 * What is damaged:
 *     table     stays where it is, for its sound blocks still answer, and those that are not say so. It is
 *               named in SCRUB and in the node's health, and its tree is not compacted, which would spread
 *               the damage. A later round that finds it sound, or gone, ends that
 *     segment   all that it holds is in memory still: it is written to tables at once, and the segment moves
 *               to quarantine
 *     archive   nothing needs it: it moves to quarantine
 * @module
 */
import { PairError } from "../../model/mod.ts";
import { type Cancel, DiskError, type Runtime } from "../../runtime/mod.ts";
import type { ScrubDamage, ScrubStatus } from "../api.ts";
import { type Files, parseArchivedName } from "../files.ts";
import { type Job, type Jobs, planOf, reason, restoreError } from "../job_runner.ts";
import type { Manifest } from "../manifest/mod.ts";
import { isDamage } from "../maintenance_parts.ts";
import { type QuietHours, quietUntilMs } from "../quiet_hours.ts";
import type { TreeState } from "../tree.ts";
import { type Log, predecessorOf } from "../wal/mod.ts";
import { deadlineMs, nextRoundMs, pauseMs } from "./pace.ts";
import { loadScrub, NEVER, saveScrub, type ScrubState } from "./state.ts";
import { beginningOf, type ScrubJob, type ScrubPosition, type ScrubTarget } from "./verify.ts";

/** Bytes of one part, at most. */
const PART_BYTES = 4 << 20;
/** The first look after a start: what comes up needs its disk. */
const START_MS = 30_000;
/** The pause before a failed part is tried again, and before another look where it has to wait. */
const RETRY_MS = 10_000;
const HOLD_MS = 1000;
const SPARE_MS = 50;
/** The longest sleep: clocks are set, too. */
const SLEEP_MS_MAX = 3_600_000;
/** How often the state is written down while a round goes on. */
const SAVE_MS = 30_000;
/** A file that could not be read is passed over, for this round, after so many attempts. */
const ATTEMPTS = 3;

/** How a scrub goes on. */
export interface ScrubOptions {
  /** Every file is verified within this time; 0: none is. */
  readonly intervalMs: number;
}

/** What a scrubber is made with. */
export interface ScrubParts {
  readonly runtime: Runtime;
  readonly files: Files;
  readonly options: ScrubOptions;
  /** When it rests. */
  readonly quietHours: QuietHours | undefined;
  readonly key: Uint8Array | undefined;
  readonly manifest: Manifest;
  readonly trees: ReadonlyMap<number, TreeState>;
  readonly log: () => Log;
  readonly jobs: Jobs;
  /** Why it has to wait; undefined when it has not. */
  readonly holds: () => string | undefined;
  /** Writes all memtables to tables. */
  readonly flush: () => Promise<void>;
  /** Looks at what a tree needs, now that it may be compacted again. */
  readonly schedule: (tree: TreeState) => void;
  /** Counts damage, and hands the error on. */
  readonly noted: (error: unknown) => unknown;
}

/** The file at work. */
interface Current {
  readonly target: ScrubTarget;
  position: ScrubPosition;
  attempts: number;
  /** Bytes that were read of it. */
  bytes: number;
}

/** The scrub of one engine. */
export class Scrubber {
  readonly #parts: ScrubParts;
  #startedAtMs = 0;
  #end = 0;
  #position = 0;
  #rounds = 0;
  /** Damaged tables, by number. */
  readonly #damaged = new Map<number, ScrubDamage>();
  /** What keeps trees from compactions because of them. */
  readonly #stops = new Map<number, PairError>();
  /** What the round has yet to do, the next last, and what that costs; see {@link costOf}. */
  #queue: ScrubTarget[] = [];
  #queued = 0;
  #current: Current | undefined;
  #job: Job | undefined;
  #holds: string | undefined;
  #savedMs = 0;
  #dirty = false;
  /** A round was asked for. */
  #asked = false;
  /** The round under way was, and makes no pauses. */
  #hurries = false;
  #closed = false;
  #running: Promise<void> | undefined;
  #wake: (() => void) | undefined;
  #cancelSleep: Cancel | undefined;

  /** Files that were verified, and bytes that were read for it, since the start. */
  files = 0;
  bytes = 0;
  /** Files that a round passed over, since they could not be read. */
  skipped = 0;

  constructor(parts: ScrubParts) {
    this.#parts = parts;
  }

  /** Reads how far it is, before anything is compacted, and goes on in the background. */
  start(): void {
    const { runtime, files, options } = this.#parts;
    let state = NEVER;
    try {
      state = loadScrub(runtime.disk, files);
    } catch (error) {
      if (!(error instanceof PairError || error instanceof DiskError)) throw error;
      runtime.log.warn("scrub begins anew", { error: error.message });
    }
    ({
      startedAtMs: this.#startedAtMs,
      end: this.#end,
      position: this.#position,
      rounds: this.#rounds,
    } = state);
    for (const [number, problem] of state.damaged) this.#restoreDamage(number, problem);
    if (options.intervalMs > 0) this.#running = this.#run();
  }

  /** Ends it, and writes down how far it is. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#job?.stop();
    this.#wake?.();
    await this.#running;
    this.#job?.end(new PairError("Unavailable", "The engine is closed"));
    if (this.#dirty) await this.#save();
  }

  /**
   * Begins a round anew, and goes through it without pauses.
   * @throws PairError InvalidArgument (1000) where there is to be no scrub
   */
  beginNow(): void {
    if (this.#parts.options.intervalMs === 0) {
      throw new PairError("InvalidArgument", "Cannot scrub: scrub.interval is 0, so there is none");
    }
    this.#asked = true;
    this.#wake?.();
  }

  /** How far it is. */
  status(): ScrubStatus {
    const { intervalMs } = this.#parts.options;
    const running = this.#end !== 0 || this.#asked;
    const nowMs = this.#parts.runtime.clock.wallMs();
    const info = this.#job?.info();
    return {
      intervalMs,
      running,
      startedAtMs: this.#startedAtMs,
      nextAtMs: intervalMs === 0 || running
        ? undefined
        : nextRoundMs(this.#startedAtMs, intervalMs, nowMs),
      late: this.#end !== 0 && nowMs > deadlineMs(this.#startedAtMs, intervalMs),
      waitsFor: running ? this.#holds : undefined,
      bytes: info?.bytes,
      bytesDone: info?.bytesDone ?? 0,
      rounds: this.#rounds,
      damaged: [...this.#damaged.values()],
    };
  }

  async #run(): Promise<void> {
    const { clock, log } = this.#parts.runtime;
    const roundMs = deadlineMs(0, this.#parts.options.intervalMs);
    await this.#sleep(Math.min(START_MS, roundMs));
    while (!this.#closed) {
      try {
        await this.#step();
        if (this.#dirty && clock.monotonicMs() - this.#savedMs >= SAVE_MS) await this.#save();
      } catch (error) {
        // Nothing that a scrub meets may end it.
        log.warn("scrub failed", { error: reason(error) });
        await this.#sleep(RETRY_MS);
      }
    }
  }

  /** Does one part, or waits for the next. */
  async #step(): Promise<void> {
    const { runtime, options, quietHours } = this.#parts;
    const nowMs = runtime.clock.wallMs();
    if (this.#asked) {
      this.#asked = false;
      this.#hurries = true;
      this.#current = undefined;
      this.#queue = [];
      this.#queued = 0;
      this.#begin(nowMs);
    } else if (this.#end === 0) {
      const waitMs = nextRoundMs(this.#startedAtMs, options.intervalMs, nowMs) - nowMs;
      if (waitMs > 0) return await this.#sleep(waitMs);
      this.#begin(nowMs);
    }
    this.#holds = quietUntilMs(quietHours, nowMs) === undefined
      ? this.#parts.holds()
      : "quiet hours";
    if (this.#holds !== undefined) return await this.#sleep(HOLD_MS);
    const { throttle } = this.#parts.jobs;
    const leftMs = deadlineMs(this.#startedAtMs, options.intervalMs) - nowMs;
    if (leftMs > 0 && !throttle.hasSpare) return await this.#sleep(SPARE_MS);
    const target = this.#next();
    if (target === undefined) return await this.#finish();
    this.#job ??= this.#parts.jobs.start(planOf("scrub"));
    const startedMs = runtime.clock.monotonicMs();
    const bytes = await this.#verify(target, this.#job);
    // Index, filter and windows are read once a part: what is left of a file is about this.
    const left = Math.max(0, this.#queued - (this.#current?.bytes ?? 0));
    this.#job.bytes = this.#job.bytesDone + left;
    if (this.#hurries) return;
    const spentMs = runtime.clock.monotonicMs() - startedMs;
    await this.#sleep(
      pauseMs({ bytes, spentMs, left, leftMs }, options.intervalMs, quietHours),
    );
  }

  #begin(nowMs: number): void {
    this.#startedAtMs = Math.floor(nowMs);
    this.#end = this.#parts.manifest.state.nextFile;
    this.#position = 0;
    this.#dirty = true;
    this.#parts.runtime.log.info("scrub", { state: "round begins" });
  }

  /** The next file of the round that is still there; undefined when there is none. */
  #next(): ScrubTarget | undefined {
    for (;;) {
      const target = this.#queue.at(-1);
      if (target === undefined) {
        // What was open or being made when the list was made may have come to be one of the round's.
        this.#queue = this.#targets().reverse();
        this.#queued = this.#queue.reduce((sum, one) => sum + costOf(one), 0);
        if (this.#queue.length === 0) return undefined;
      } else if (this.#isThere(target)) return target;
      else this.#dequeue();
    }
  }

  #dequeue(): void {
    this.#current = undefined;
    const target = this.#queue.pop();
    if (target !== undefined) this.#queued -= costOf(target);
  }

  async #finish(): Promise<void> {
    this.#forgetGone();
    this.#hurries = false;
    this.#end = 0;
    this.#position = 0;
    this.#rounds++;
    this.#holds = undefined;
    this.#job?.end();
    this.#job = undefined;
    this.#parts.runtime.log.info("scrub", {
      state: "round over",
      damaged: this.#damaged.size,
      ms: Math.round(this.#parts.runtime.clock.wallMs() - this.#startedAtMs),
    });
    await this.#save();
  }

  /** Verifies one part of a file. Returns how many bytes that took. */
  async #verify(target: ScrubTarget, job: Job): Promise<number> {
    const current = this.#current ??= {
      target: target.kind === "archive"
        ? { ...target, counted: this.#lengthOf(target.number) }
        : target,
      position: beginningOf(target),
      attempts: 0,
      bytes: 0,
    };
    const { rate } = this.#parts.jobs.throttle;
    const message: ScrubJob = {
      type: "scrub",
      target: current.target,
      position: current.position,
      // Where the budget is small, a part is to be over in half a second all the same.
      bytesMax: rate === 0 ? PART_BYTES : Math.min(PART_BYTES, Math.ceil(rate / 2)),
      key: this.#parts.key,
    };
    const before = job.bytesDone;
    let failure: unknown;
    let next: ScrubPosition | undefined;
    try {
      next = await job.carryOut(message) as ScrubPosition | undefined;
    } catch (error) {
      failure = error;
    }
    const bytes = job.bytesDone - before;
    this.bytes += bytes;
    current.bytes += bytes;
    if (failure !== undefined) await this.#failed(current, failure);
    else if (next !== undefined) current.position = next;
    else this.#done(current, undefined);
    return bytes;
  }

  async #failed(current: Current, failure: unknown): Promise<void> {
    const { target } = current;
    if (this.#closed) return;
    // Compacted away, dropped or archived meanwhile: what became of its bytes is nothing to judge.
    if (!this.#isThere(target)) return;
    const error = restoreError(failure, `scrub ${target.path}`);
    const damage = verdictOf(error);
    if (damage !== undefined) {
      this.#done(current, damage);
      return await this.#takeOut(target, damage);
    }
    const { log } = this.#parts.runtime;
    log.warn("scrub cannot read a file", { file: target.path, error: error.message });
    if (++current.attempts < ATTEMPTS) return await this.#sleep(RETRY_MS);
    this.skipped++;
    this.#pass(target);
  }

  /** A file has been verified, and found sound or damaged. */
  #done({ target }: Current, damage: PairError | undefined): void {
    this.files++;
    this.#pass(target);
    if (damage === undefined) this.#forget(target.number);
  }

  #pass(target: ScrubTarget): void {
    this.#position = target.number;
    this.#dequeue();
    this.#dirty = true;
  }

  /** Takes a damaged file out of use, as far as that can be done. */
  async #takeOut(target: ScrubTarget, error: PairError): Promise<void> {
    const { runtime, noted } = this.#parts;
    if (isDamage(error)) noted(error);
    runtime.log.error("scrub found damage", {
      kind: target.kind,
      file: target.path,
      error: error.message,
    });
    if (target.kind === "table") this.#stop(target.tree, target.number, target.path, error);
    else if (target.kind === "segment") this.#rescue(target);
    else {
      try {
        this.#parts.log().quarantineArchived(target.path, target.number);
      } catch (error) {
        if (!(error instanceof DiskError)) throw error;
        runtime.log.warn("cannot move a file to quarantine", {
          file: target.path,
          error: error.message,
        });
      }
    }
    await this.#save();
  }

  /** What a closed segment holds, if no table has it, is in memory. */
  #rescue({ number, path }: ScrubTarget): void {
    const segment = this.#parts.log().segments.find((one) => one.number === number);
    if (segment === undefined) return;
    segment.damaged = true;
    // Not awaited: where the budget is small it takes its time.
    this.#parts.flush().catch((error) => {
      // The next flush does it.
      this.#parts.runtime.log.warn("cannot flush what a damaged log segment holds", {
        file: path,
        error: reason(error),
      });
    });
  }

  /** Notes a damaged table, and keeps compactions off its tree. */
  #stop(treeId: number, number: number, file: string, error: PairError): void {
    this.#damaged.set(number, { file, tree: treeId, problem: error.message });
    const tree = this.#parts.trees.get(treeId);
    if (tree === undefined || tree.compactionStopped !== undefined) return;
    tree.compactionStopped = error;
    this.#stops.set(treeId, error);
  }

  /** What an earlier start has found. */
  #restoreDamage(number: number, problem: string): void {
    const { trees, files } = this.#parts;
    for (const tree of trees.values()) {
      if (!hasTable(tree, number)) continue;
      const file = files.table(tree.dir, number);
      const error = new PairError("CorruptedData", problem, { file });
      return this.#stop(tree.id, number, file, error);
    }
  }

  /** A table that was damaged is sound, or gone. */
  #forget(number: number): void {
    const damage = this.#damaged.get(number);
    if (damage === undefined) return;
    this.#damaged.delete(number);
    this.#dirty = true;
    this.#parts.runtime.log.info("scrub", { state: "damaged no more", file: damage.file });
    if ([...this.#damaged.values()].some(({ tree }) => tree === damage.tree)) return;
    const tree = this.#parts.trees.get(damage.tree);
    const stop = this.#stops.get(damage.tree);
    this.#stops.delete(damage.tree);
    // What a compaction has met itself stays.
    if (tree === undefined || stop === undefined || tree.compactionStopped !== stop) return;
    tree.compactionStopped = undefined;
    this.#parts.schedule(tree);
  }

  #forgetGone(): void {
    for (const [number, { tree }] of [...this.#damaged]) {
      const owner = this.#parts.trees.get(tree);
      if (owner === undefined || !hasTable(owner, number)) this.#forget(number);
    }
  }

  /** What the round has yet to do, by number. */
  #targets(): ScrubTarget[] {
    const { trees, files } = this.#parts;
    const isDue = (number: number) => number > this.#position && number < this.#end;
    const targets: ScrubTarget[] = [];
    for (const tree of trees.values()) {
      if (tree.dropped) continue;
      for (const { meta } of tree.version.tables()) {
        const { number, size, properties } = meta;
        if (!isDue(number)) continue;
        const path = files.table(tree.dir, number);
        const { entries } = properties;
        targets.push({ kind: "table", path, number, size, tree: tree.id, entries });
      }
    }
    const log = this.#parts.log();
    for (const { number, bytes } of log.segments.slice(0, -1)) {
      if (!isDue(number)) continue;
      const path = files.segment(number);
      targets.push({ kind: "segment", path, number, size: bytes, counted: bytes });
    }
    targets.push(...this.#archived().filter(({ number }) => isDue(number)));
    return targets.sort((a, b) => a.number - b.number);
  }

  #archived(): ScrubTarget[] {
    const { files, runtime: { disk } } = this.#parts;
    if (disk.stat(files.archiveDir) === undefined) return [];
    return disk.list(files.archiveDir).flatMap((name): ScrubTarget[] => {
      const archived = parseArchivedName(name);
      if (archived === undefined) return [];
      const path = `${files.archiveDir}/${name}`;
      const size = disk.stat(path)?.size ?? 0;
      const { number } = archived;
      return [{ kind: "archive", path, number, size, counted: undefined }];
    });
  }

  /** The length of an archived segment, as the one behind it says, where that is there. */
  #lengthOf(number: number): number | undefined {
    const { files, runtime: { disk } } = this.#parts;
    let next: { number: number; path: string } | undefined;
    const look = (other: number, path: string) => {
      if (other > number && other < (next?.number ?? Infinity)) next = { number: other, path };
    };
    for (const name of disk.list(files.archiveDir)) {
      const other = parseArchivedName(name);
      if (other !== undefined) look(other.number, `${files.archiveDir}/${name}`);
    }
    for (const { number: other } of this.#parts.log().segments) look(other, files.segment(other));
    if (next === undefined) return undefined;
    try {
      const before = predecessorOf(disk, next.path, next.number);
      return before?.number === number ? before.bytes : undefined;
    } catch (error) {
      // The other segment's trouble is found when its turn comes.
      if (!(error instanceof PairError || error instanceof DiskError)) throw error;
      return undefined;
    }
  }

  #isThere(target: ScrubTarget): boolean {
    const { trees, runtime: { disk } } = this.#parts;
    if (target.kind === "table") {
      const tree = trees.get(target.tree);
      return tree !== undefined && !tree.dropped && hasTable(tree, target.number);
    }
    if (target.kind === "archive") return disk.stat(target.path) !== undefined;
    return this.#parts.log().segments.some(({ number }) => number === target.number);
  }

  async #save(): Promise<void> {
    const { runtime, files } = this.#parts;
    this.#savedMs = runtime.clock.monotonicMs();
    this.#dirty = false;
    const state: ScrubState = {
      startedAtMs: this.#startedAtMs,
      end: this.#end,
      position: this.#position,
      rounds: this.#rounds,
      damaged: new Map([...this.#damaged].map(([number, { problem }]) => [number, problem])),
    };
    try {
      await saveScrub(runtime.disk, files, state);
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
      // What is lost is work: the next round does it again.
      runtime.log.warn("cannot note how far the scrub is", { error: error.message });
    }
  }

  /** Ends early when the engine closes. */
  async #sleep(ms: number): Promise<void> {
    if (this.#closed || this.#asked) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      this.#cancelSleep = this.#parts.runtime.clock.after(Math.min(ms, SLEEP_MS_MAX), resolve);
    });
    this.#wake = undefined;
    this.#cancelSleep?.();
  }
}

/** What verifying a file reads: a table's bytes, and then its entries. */
function costOf({ kind, size }: ScrubTarget): number {
  return kind === "table" ? 2 * size : size;
}

function hasTable(tree: TreeState, number: number): boolean {
  return tree.version.tables().some(({ meta }) => meta.number === number);
}

/** What a failure says of the file; undefined when it is about the moment, and not about the file. */
function verdictOf(error: PairError): PairError | undefined {
  const { errno } = error.details;
  if (isDamage(error) || errno === "EIO" || errno === "ENOENT") return error;
  // The store could be opened: a format that is newer, or another key, only a damaged file can have.
  if (error.error !== "InvalidArgument") return undefined;
  return new PairError("CorruptedData", error.message, error.details, { cause: error });
}
