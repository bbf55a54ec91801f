/**
 * Jobs: what an engine has done by worker threads. The message says which kind it is.
 * @module
 */
import type { Disk } from "../runtime/mod.ts";
import type { MergeOperator } from "./api.ts";
import { type FileJob, runFileJob, runSyncJob, type SyncJob } from "./checkpoint/mod.ts";
import { runTableJob, type TableJob } from "./compaction/mod.ts";
import { runScrubJob, type ScrubJob } from "./scrub/mod.ts";
import { supervisedDisk } from "./job_monitor.ts";

/** A message to a worker. */
export type EngineJob = TableJob | FileJob | SyncJob | ScrubJob;

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
  if (job.type === "files") return runFileJob(supervisedDisk(disk, job, waits), job);
  if (job.type === "scrub") return runScrubJob(disk, job, waits);
  if (job.type === "sync") return runSyncJob(disk, job);
  return runTableJob(disk, operators, job, waits);
}
