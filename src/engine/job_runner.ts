/**
 * Jobs: table jobs on their way through the worker pool, from the plan to the result or the failure.
 *
 *     pending ──> running ──> completed
 *                        └──> failed        what it wrote is removed; its owner plans it again
 *
 * A job is watched by its heartbeat and pays for its writes from the throttle. When its thread died, what
 * it left behind is removed here, for it could not do so itself.
 * @module
 */
import { PairError } from "../model/mod.ts";
import type { Runtime } from "../runtime/mod.ts";
import type { JobInfo, JobKind } from "./api.ts";
import type { TableJob, TableJobResult } from "./compaction/mod.ts";
import { rowOf } from "./disk_failure.ts";
import { tablePath } from "./files.ts";
import { JobMonitor } from "./job_monitor.ts";
import type { Throttle } from "./throttle.ts";

/** What jobs are run with; see `MaintenanceParts`. */
export interface JobParts {
  readonly runtime: Runtime;
  readonly noted: (error: unknown) => unknown;
  readonly relieveDescriptors: () => void;
  readonly remove: (path: string) => void;
}

/** What a job is for, to people. */
export interface JobPlan {
  readonly kind: JobKind;
  readonly tree: number;
  /** The level that is relieved; -1 for a flush. */
  readonly level: number;
  readonly outputLevel: number;
  /** Numbers of the input tables. */
  readonly inputs: readonly number[];
}

interface Entry extends JobInfo {
  state: "pending" | "running";
  readonly monitor: JobMonitor;
}

/** Runs and counts table jobs. */
export class Jobs {
  readonly #parts: JobParts;
  /** What its jobs keep to. */
  readonly throttle: Throttle;
  readonly #active = new Map<number, Entry>();
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
    return [...this.#active.values()].map(({ monitor: _, ...info }) => {
      return { ...info, inputs: [...info.inputs] };
    });
  }

  /** Has the jobs of a tree, or of all, fail soon: nobody wants their results any more. */
  cancel(kind: JobKind, tree?: number): void {
    for (const entry of this.#active.values()) {
      if (entry.kind === kind && (tree === undefined || entry.tree === tree)) entry.monitor.stop();
    }
  }

  /** @throws PairError what the job failed with, or DiskFull or SSTableFailed for what the disk or the pool said */
  async run(plan: JobPlan, job: TableJob): Promise<TableJobResult> {
    const { clock, workers } = this.#parts.runtime;
    const monitor = new JobMonitor();
    const id = this.#nextId++;
    const entry: Entry = {
      ...plan,
      id,
      state: "pending",
      startedAtMs: clock.wallMs(),
      monitor,
    };
    this.#active.set(id, entry);
    this.throttle.jobStarted();
    const message = { ...job, monitor: monitor.shared, throttle: this.throttle.shared };
    try {
      const urgent = plan.kind === "flush";
      const result = await workers.run(message, { urgent, heartbeat: monitor.heartbeat });
      this.completed++;
      return result as TableJobResult;
    } catch (error) {
      this.failed++;
      this.removeOutputs(job);
      const restored = restoreError(error);
      if (restored.details.errno === "EMFILE") this.#parts.relieveDescriptors();
      throw this.#parts.noted(restored);
    } finally {
      this.throttle.jobEnded();
      this.#active.delete(id);
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
  return new PairError(rowOf(errno), `Cannot write a table: ${reason(error)}`, details, cause);
}

/** An error's message. */
export function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
