/**
 * Engine: an LSM engine of many trees over one log. Start at `api.ts` for what it does and at
 * `engine.ts` for how the rooms below play together.
 * @module
 */
export * from "./api.ts";
export {
  type CompactJob,
  type FlushJob,
  type JobBase,
  type TableJob,
  type TableJobResult,
} from "./compaction/mod.ts";
export {
  type CheckpointFile,
  type CheckpointInfo,
  type CheckpointProblem,
  checkpointsIn,
  type Copied,
  copyCheckpoint,
  type Digester,
  type FileDigest,
  type FileJob,
  type FileTask,
  type Inventory,
  type MadeCheckpoint,
  type Origin,
  readInventory,
  restoreCheckpoint,
  SNAPSHOT_FILE,
  type SyncJob,
  type Taken,
  type Transferred,
  type Verified,
  verifyCheckpoint,
} from "./checkpoint/mod.ts";
export { diskFailure } from "./disk_failure.ts";
export { openEngine } from "./engine.ts";
export { type EngineJob, runEngineJob } from "./jobs.ts";
export {
  checkDirectory,
  dumpFile,
  type DumpItem,
  type FileReport,
  type InspectOptions,
} from "./inspect.ts";
export type { Supervised } from "./job_monitor.ts";
export {
  COMPACTION_STRATEGIES,
  type CompactionOptions,
  type CompactionStrategy,
  DEFAULT_ENGINE_OPTIONS,
  type EngineOptions,
  type GuardOptions,
} from "./options.ts";
export type { SharedMemtable } from "./memtable/mod.ts";
export type { ScrubJob, ScrubOptions, ScrubPosition, ScrubTarget } from "./scrub/mod.ts";
export { type ReadLayer, type ReadStep, ReadSteps } from "./read_steps.ts";
export type { RowCacheWeights } from "./row_cache/mod.ts";
export {
  SECOND_LEVEL_MODES,
  type SecondLevelMode,
  type SecondLevelOptions,
} from "./second_level/mod.ts";
export type {
  Compression,
  FinishedTable,
  LevelTableOptions,
  TableKey,
  TableOptions,
  TableProperties,
} from "./sstable/mod.ts";
export type { ArchiveOptions, LogOptions, SyncMode } from "./wal/mod.ts";
export { type QuietHours, type QuietOptions, quietUntilMs } from "./quiet_hours.ts";
