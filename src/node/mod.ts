/**
 * The storage node: tenants, validation, the write, read and repair path, health.
 * @module
 */
export * from "./api.ts";
export { DEFAULT_WATCH_LIMITS, type WatchLimits } from "./changes.ts";
export type { DiskThresholds } from "./disk_guard.ts";
export { DEFAULT_IDEMPOTENCY, type IdempotencyLimits } from "./idempotency/mod.ts";
export { DEFAULT_HOT_KEY_LIMITS, HOT_KEY_WINDOW_MS, type HotKeyLimits } from "./hot_keys/mod.ts";
export { claimIdentity, type Identity, readIdentity } from "./identity.ts";
export { CallCounter, type CallCounts } from "./load.ts";
export {
  type MigrationLimits,
  type MigrationRange,
  NOTHING,
  type Peer,
  type PeerIdentity,
  type Peers,
} from "./migration/mod.ts";
export { valueBytes } from "./reads.ts";
export { type Restored, restoreNode, type RestoreOptions } from "./restore.ts";
export { claimSealKey, readSealKey, SEAL_KEY_FILE } from "./seal_key.ts";
export { ScheduledSnapshots, type SnapshotSchedule } from "./snapshot_schedule.ts";
export { openStorageNode, type StorageNodeOptions, WRITE_STALL_MS_MAX } from "./storage_node.ts";
