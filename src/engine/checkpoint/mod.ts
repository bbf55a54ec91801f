/**
 * The checkpoint room: consistent copies of a whole store, and what can be done with them.
 * @module
 */
export {
  type CheckpointInfo,
  type CheckpointParts,
  Checkpoints,
  type MadeCheckpoint,
} from "./create.ts";
export {
  type FileDigest,
  type FileJob,
  type FileTask,
  runFileJob,
  runSyncJob,
  type SyncJob,
} from "./file_jobs.ts";
export {
  type CheckpointFile,
  type Inventory,
  type Origin,
  readInventory,
  SNAPSHOT_FILE,
} from "./inventory.ts";
export {
  checkpointsIn,
  type Copied,
  copyCheckpoint,
  restoreCheckpoint,
  type Taken,
  type Transferred,
} from "./restore.ts";
export {
  type CheckpointProblem,
  type Digester,
  type Verified,
  verifyCheckpoint,
} from "./verify.ts";
