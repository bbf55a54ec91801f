/**
 * Jobs: what an engine has done by worker threads. The message says which kind it is.
 * @module
 */
import type { Disk } from "../runtime/mod.ts";
import type { MergeOperator } from "./api.ts";
import { type FileJob, runFileJob } from "./checkpoint/mod.ts";
import { runTableJob, type TableJob } from "./compaction/mod.ts";

/** A message to a worker. */
export type EngineJob = TableJob | FileJob;

/**
 * Carries out one job; what a worker's handler calls.
 * @param waits  whether the thread may sleep to keep to the throttle: in a worker, not on the engine's own
 * @throws PairError and DiskError as the job does
 */
export function runEngineJob(
  disk: Disk,
  operators: readonly MergeOperator[],
  job: EngineJob,
  waits = false,
): unknown {
  return job.type === "files" ? runFileJob(disk, job) : runTableJob(disk, operators, job, waits);
}
