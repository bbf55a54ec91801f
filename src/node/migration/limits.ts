/**
 * How much a migration may take, and how patient it is.
 * @module
 */

/** Sizes in bytes, times in ms. */
export interface MigrationLimits {
  /** A batch that is copied or streamed. */
  readonly batchBytes: number;
  /** What is compared at a time. */
  readonly pieceBytes: number;
  /** What the names of keys that were written meanwhile may take, for each migration. */
  readonly changedBytes: number;
  /** From one checkpoint to the next. */
  readonly checkpointMs: number;
  /** Before what has failed is tried again: at first, and at most; it doubles each time. */
  readonly pauseMs: number;
  readonly pauseMaxMs: number;
  /** A migration that has got nowhere for this long fails. */
  readonly giveUpMs: number;
  /** Migrations under way at a time; one more is refused. */
  readonly maxRunning: number;
  /** Migrations that are over and can still be seen. */
  readonly endedKept: number;
}

/** What a node uses where nothing else is said. */
export const DEFAULT_MIGRATION_LIMITS: MigrationLimits = {
  batchBytes: 256 * 1024,
  pieceBytes: 4 * 1024 * 1024,
  changedBytes: 16 * 1024 * 1024,
  checkpointMs: 1000,
  pauseMs: 100,
  pauseMaxMs: 10_000,
  giveUpMs: 600_000,
  maxRunning: 4,
  endedKept: 32,
};
