/**
 * Jobs: all work in the background, from the plan to the result or the failure: flushes and compactions,
 * which are one message to a worker each, and what takes many of them or none, as scrubs, snapshots,
 * transfers and migrations.
 *
 *     pending ──> running ──> completed
 *                        └──> failed        what it wrote is removed; its owner plans it again
 *
 * A job is watched by its heartbeat and pays for what it reads and writes from the throttle. When its
 * thread died, what it left behind is removed here, for it could not do so itself.
 * @module
 */
import { PairError } from "../model/mod.ts";
import type { Runtime } from "../runtime/mod.ts";
import type { Activity, ActivityKind, JobInfo, JobKind } from "./api.ts";
import type { TableJob, TableJobResult } from "./compaction/mod.ts";
import { rowOf } from "./disk_failure.ts";
import { tablePath } from "./files.ts";
import { JobMonitor } from "./job_monitor.ts";
import type { EngineOptions } from "./options.ts";
import { type QuietHours, quietUntilMs, restMs } from "./quiet_hours.ts";
import type { Throttle } from "./throttle.ts";

/** Jobs that are over and can still be seen. */
const ENDED_KEPT = 32;

/** What jobs are run with; see `MaintenanceParts`. */
export interface JobParts {
  readonly runtime: Runtime;
  readonly options: Pick<EngineOptions, "quiet">;
  readonly noted: (error: unknown) => unknown;
  readonly relieveDescriptors: () => void;
  readonly remove: (path: string) => void;
}

/** What a job is for, to people. */
export interface JobPlan {
  readonly kind: ActivityKind;
  /** Undefined: all trees. */
  readonly tree: number | undefined;
  /** The level that is relieved; -1 where that is none. */
  readonly level: number;
  readonly outputLevel: number;
  /** Numbers of the input tables. */
  readonly inputs: readonly number[];
  /** Bytes that it has to go through; undefined when nobody knows. */
  readonly bytes: number | undefined;
}

/** The plan of a job that is about no level. */
export function planOf(kind: ActivityKind, tree?: number, bytes?: number): JobPlan {
  return { kind, tree, level: -1, outputLevel: -1, inputs: [], bytes };
}

/** A message that can be watched and made to pay. */
type Watched = object;

/** A job that is not over. Whoever starts one ends it. */
export class Job implements Activity {
  readonly plan: JobPlan;
  readonly id: number;
  /** Bytes to go through; what it finds on its way may change it. */
  bytes: number | undefined;
  readonly #parts: JobParts;
  readonly #throttle: Throttle;
  readonly #givenUp: AbortSignal;
  readonly #ended: (job: Job, error: unknown) => void;
  readonly #startedAtMs: number;
  /** Bytes that parts of it which are over have gone through. */
  #done = 0;
  #begun = false;
  #over = false;
  #pays = false;
  /** When it last went on, monotonic ms. */
  #sinceMs: number;
  #monitor: JobMonitor | undefined;

  /**
   * @param givenUp  ends what a worker does for it, wherever that is
   * @param ended    told once
   */
  constructor(
    id: number,
    plan: JobPlan,
    parts: JobParts,
    throttle: Throttle,
    givenUp: AbortSignal,
    ended: (job: Job, error: unknown) => void,
  ) {
    this.id = id;
    this.plan = plan;
    this.bytes = plan.bytes;
    this.#parts = parts;
    this.#throttle = throttle;
    this.#givenUp = givenUp;
    this.#ended = ended;
    this.#startedAtMs = parts.runtime.clock.wallMs();
    this.#sinceMs = parts.runtime.clock.monotonicMs();
  }

  /** Bytes that it has gone through. */
  get bytesDone(): number {
    return this.#done + this.#monitored();
  }

  /** How far it is. */
  info(): JobInfo {
    const { kind, tree, level, outputLevel, inputs } = this.plan;
    return {
      id: this.id,
      kind,
      tree,
      level,
      outputLevel,
      inputs: [...inputs],
      state: this.#begun || this.#monitor?.begun ? "running" : "pending",
      startedAtMs: this.#startedAtMs,
      endedAtMs: undefined,
      bytes: this.bytes,
      // Blocks may be read twice, and estimates are rough: nobody is told of more than all.
      bytesDone: Math.min(this.bytesDone, this.bytes ?? Infinity),
      error: undefined,
    };
  }

  /** What its present part has gone through: a flush writes, all others read first of all. */
  #monitored(): number {
    if (this.#monitor === undefined) return 0;
    return this.plan.kind === "flush" ? this.#monitor.bytesWritten : this.#monitor.bytesRead;
  }

  /**
   * Has a worker carry out a part of it, or all.
   * @throws WorkerJobError what that failed with, or what the pool said
   */
  async carryOut(message: Watched, urgent = false): Promise<unknown> {
    const monitor = this.#monitor = new JobMonitor();
    const { workers } = this.#parts.runtime;
    this.#throttle.jobStarted();
    try {
      const watched = { ...message, monitor: monitor.shared, throttle: this.#throttle.shared };
      return await workers.run(watched, {
        urgent,
        heartbeat: monitor.heartbeat,
        signal: this.#givenUp,
      });
    } catch (error) {
      if (restoreError(error).details.errno === "EMFILE") this.#parts.relieveDescriptors();
      throw error;
    } finally {
      this.#throttle.jobEnded();
      this.#begun = true;
      this.#done += this.#monitored();
      this.#monitor = undefined;
    }
  }

  advance(bytes: number): Promise<void> | undefined {
    this.#begun = true;
    this.#done += bytes;
    if (!this.#pays) {
      this.#pays = true;
      this.#throttle.jobStarted();
    }
    const drawn = this.#throttle.draw(bytes);
    const { hours } = this.#parts.options.quiet;
    return hours === undefined ? drawn : this.#makeWay(hours, drawn);
  }

  /** In quiet hours it works for a share of its time. Never rejects: its rest ends early once nobody waits. */
  async #makeWay(hours: QuietHours, drawn: Promise<void> | undefined): Promise<void> {
    const { clock } = this.#parts.runtime;
    await drawn;
    if (quietUntilMs(hours, clock.wallMs()) !== undefined) {
      const workedMs = clock.monotonicMs() - this.#sinceMs;
      const rest = restMs(workedMs, this.#parts.options.quiet.transferShare);
      // Woken by the engine's giving up: whoever works learns of that by the next thing that it asks for.
      await clock.sleep(rest, this.#givenUp).catch(() => {});
    }
    this.#sinceMs = clock.monotonicMs();
  }

  end(error?: unknown): void {
    if (this.#over) return;
    this.#over = true;
    if (this.#pays) this.#throttle.jobEnded();
    this.#ended(this, error);
  }

  /** Has what a worker does for it fail soon. */
  stop(): void {
    this.#monitor?.stop();
  }
}

/** Runs and counts jobs. */
export class Jobs {
  readonly #parts: JobParts;
  /** What its jobs keep to. */
  readonly throttle: Throttle;
  readonly #active = new Set<Job>();
  readonly #endedJobs: JobInfo[] = [];
  readonly #giveUp = new AbortController();
  #nextId = 1;

  /** Jobs that ended well. */
  completed = 0;
  /** Jobs that did not. */
  failed = 0;

  constructor(parts: JobParts, throttle: Throttle) {
    this.#parts = parts;
    this.throttle = throttle;
  }

  /** Jobs that are not over. */
  active(): JobInfo[] {
    return [...this.#active].map((job) => job.info());
  }

  /** The last that are over, the newest first. */
  ended(): JobInfo[] {
    return this.#endedJobs.toReversed();
  }

  /** Has the jobs of a tree, or of all, fail soon: nobody wants their results any more. */
  cancel(kind: JobKind, tree?: number): void {
    for (const job of this.#active) {
      const { plan } = job;
      if (plan.kind === kind && (tree === undefined || plan.tree === tree)) job.stop();
    }
  }

  /**
   * Nobody waits any longer: what workers do is ended wherever it is, and nothing more is begun. Each job
   * fails once its thread is gone.
   */
  giveUp(): void {
    this.#giveUp.abort();
  }

  /** Aborted by {@link giveUp}: for what is given to workers without a job. */
  get givenUp(): AbortSignal {
    return this.#giveUp.signal;
  }

  /**
   * Begins a job, which is seen and counted until it is ended.
   */
  start(plan: JobPlan): Job {
    const ended = (job: Job, error: unknown) => {
      this.#active.delete(job);
      if (error === undefined) this.completed++;
      else this.failed++;
      this.#endedJobs.push({
        ...job.info(),
        state: error === undefined ? "completed" : "failed",
        endedAtMs: this.#parts.runtime.clock.wallMs(),
        error: error === undefined ? undefined : reason(error),
      });
      if (this.#endedJobs.length > ENDED_KEPT) this.#endedJobs.shift();
    };
    const job = new Job(
      this.#nextId++,
      plan,
      this.#parts,
      this.throttle,
      this.givenUp,
      ended,
    );
    this.#active.add(job);
    return job;
  }

  /** @throws PairError what the job failed with, or DiskFull or SSTableFailed for what the disk or the pool said */
  async run(plan: JobPlan, job: TableJob): Promise<TableJobResult> {
    const started = this.start(plan);
    try {
      const result = await started.carryOut(job, plan.kind === "flush");
      started.end();
      return result as TableJobResult;
    } catch (error) {
      const restored = restoreError(error);
      started.end(restored);
      this.removeOutputs(job);
      throw this.#parts.noted(restored);
    }
  }

  /**
   * Removes what a job has written: for one that threw, which has done so already, one that died, and one
   * whose tables the store has no use for.
   */
  removeOutputs({ dir, firstOutput, outputs }: TableJob): void {
    const { disk, log } = this.#parts.runtime;
    for (let number = firstOutput; number < firstOutput + outputs; number++) {
      const file = tablePath(dir, number);
      try {
        if (disk.stat(file) !== undefined) this.#parts.remove(file);
      } catch (error) {
        // It costs space, not data; the next start removes it.
        log.warn("cannot look for a file", { file, error: reason(error) });
      }
    }
  }
}

/** The PairError that crossed a thread boundary as plain fields, or one for what the disk or the pool said. */
export function restoreError(error: unknown, action = "write a table"): PairError {
  if (error instanceof PairError) return error;
  const fields = error as { error?: unknown; details?: unknown; errno?: unknown };
  const cause = { cause: error };
  if (typeof fields.error === "string") {
    const details = fields.details as PairError["details"];
    return new PairError(fields.error as PairError["error"], reason(error), details, cause);
  }
  const { errno } = fields;
  const details: PairError["details"] = typeof errno === "string" ? { errno } : {};
  return new PairError(rowOf(errno), `Cannot ${action}: ${reason(error)}`, details, cause);
}

/** An error's message. */
export function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
