/**
 * The engine's options, and the one place of their defaults: the configuration schema, the embedded
 * database and the tests all start from {@link DEFAULT_ENGINE_OPTIONS}.
 * @module
 */
import type { QuietOptions } from "./quiet_hours.ts";
import { DEFAULT_WEIGHTS, type RowCacheWeights } from "./row_cache/mod.ts";
import type { ScrubOptions } from "./scrub/mod.ts";
import type { SecondLevelOptions } from "./second_level/mod.ts";
import type { LevelTableOptions } from "./sstable/mod.ts";
import type { LogOptions } from "./wal/mod.ts";

/**
 * Which shape a tree's tables are kept in. `leveled`: cheap reads and little space; `size_tiered`: cheap
 * writes; `time_window`: data that dies by age; `hybrid`: size-tiered on level 0, leveled below.
 */
export type CompactionStrategy = "leveled" | "size_tiered" | "time_window" | "hybrid";

/** The strategies, the default first. */
export const COMPACTION_STRATEGIES: readonly CompactionStrategy[] = Object.freeze([
  "leveled",
  "size_tiered",
  "time_window",
  "hybrid",
]);

/** How tables are merged. */
export interface CompactionOptions {
  readonly strategy: CompactionStrategy;
  /** Length of a time window, in ms; only for the strategy `time_window`. */
  readonly windowMs: number;
  /**
   * How long a value stays after it died, deleted or expired, in ms: as long as a copy of what it
   * replaced may still come back from somewhere, and a clock that is wrong may stay wrong.
   */
  readonly tombstoneGraceMs: number;
  /** Tables on level 0 that start a compaction. Fewer: cheaper reads, more rewriting. */
  readonly l0Trigger: number;
  /** Tables on level 0 at which writers are slowed, 1 ms a batch and more. */
  readonly l0Slowdown: number;
  /** Tables on level 0 at which writers wait. */
  readonly l0Stop: number;
  /** Bytes that level 1 may hold; each deeper level ten times the one above. */
  readonly baseLevelSize: number;
  /** Target size of a table on level 1, in bytes. */
  readonly targetTableSize: number;
  /** Growth of the target size from level to level. */
  readonly tableSizeMultiplier: number;
}

/** Bounds on background work and on what is owed to it. */
export interface GuardOptions {
  /** Bytes a second of all work in the background together; 0: no limit. See throttle.ts. */
  readonly throttle: number;
  /** Bytes that a tree's compactions have yet to rewrite at which writers are slowed. */
  readonly pendingSlowdown: number;
  /** The same, at which writers wait. */
  readonly pendingStop: number;
}

/** How an engine behaves. Sizes in bytes, times in ms. */
export interface EngineOptions {
  readonly log: LogOptions;
  /** Damage inside the log: `salvage` skips it and reports the loss, `strict` refuses to open. */
  readonly recovery: "salvage" | "strict";
  /** A memtable of this size is frozen and flushed. */
  readonly memtableSize: number;
  /** Frozen memtables that may wait for their flush before writers of the tree wait. */
  readonly maxImmutables: number;
  /** A memtable that has held something for this long is flushed, within half a minute; 0: whatever its age. */
  readonly memtableAgeMs: number;
  /** All memtables together; beyond it the largest is flushed. */
  readonly memtableBudget: number;
  readonly table: LevelTableOptions;
  readonly blockCacheSize: number;
  /** Whether the blocks that were in the cache at a close are read again, in the background, after an open. */
  readonly warmCache: boolean;
  /** Memory for rows that were read from tables; 0: no row cache. */
  readonly rowCacheSize: number;
  /** What a row must be like to stay. */
  readonly rowCache: RowCacheWeights;
  /** A cache that other processes use too, between the row cache and the disk; undefined: none. */
  readonly secondLevel?: SecondLevelOptions | undefined;
  readonly compaction: CompactionOptions;
  /** Nothing is dropped because it is dead until `releaseDead` is called: who is to be told of it is not known yet. */
  readonly keepDead?: boolean | undefined;
  /** Encryption at rest: a key of 32 bytes. What is written from now on is encrypted; undefined: nothing is. */
  readonly encryption?: { readonly key: Uint8Array } | undefined;
  readonly guards: GuardOptions;
  readonly scrub: ScrubOptions;
  /** When work in the background that can wait makes way. */
  readonly quiet: QuietOptions;
  /**
   * Memory of memtables, block cache and row cache together; 0: what they may have each, in sum, and two
   * memtables. Less than that makes each of them smaller in proportion.
   */
  readonly memoryBudget: number;
  /** Tables that are kept open for reading at a time; others are opened again when they are read. */
  readonly maxOpenFiles: number;
  /**
   * Bytes of ballast in the data directory, given up when a full disk leaves no room for the log or the
   * manifest; a 64th of the disk at most. 0: none.
   */
  readonly reserve: number;
}

/** What applies where nothing else is said. */
export const DEFAULT_ENGINE_OPTIONS: EngineOptions = {
  log: {
    syncMode: "always",
    syncIntervalMs: 100,
    syncEvery: 1000,
    segmentSize: 1 << 30,
    segmentAgeMs: 600_000,
    archive: false,
    archiveMaxAgeMs: 168 * 3_600_000,
    archiveMaxSegments: 16,
  },
  recovery: "salvage",
  memtableSize: 64 << 20,
  maxImmutables: 2,
  memtableAgeMs: 3_600_000,
  memtableBudget: 512 << 20,
  table: {
    blockSize: 4096,
    falsePositives: 0.01,
    compression: ["none", "none", "lz4", "lz4", "zstd"],
    partitionSize: 64 << 10,
  },
  blockCacheSize: 256 << 20,
  warmCache: true,
  rowCacheSize: 256 << 20,
  rowCache: DEFAULT_WEIGHTS,
  compaction: {
    strategy: "leveled",
    windowMs: 86_400_000,
    tombstoneGraceMs: 86_400_000,
    l0Trigger: 4,
    l0Slowdown: 8,
    l0Stop: 12,
    baseLevelSize: 256 << 20,
    targetTableSize: 128 << 20,
    tableSizeMultiplier: 2,
  },
  memoryBudget: 0,
  maxOpenFiles: 1000,
  reserve: 0,
  scrub: { intervalMs: 168 * 3_600_000 },
  quiet: { hours: undefined, transferShare: 0.25 },
  guards: { throttle: 0, pendingSlowdown: 64 * 2 ** 30, pendingStop: 256 * 2 ** 30 },
};

/** The least that a budget comes to where none is set. */
const BUDGET_MIN = 64 << 20;

/** Options whose parts keep to their budget, and that say what it is. */
export function withinBudget(options: EngineOptions): EngineOptions {
  const { memtableBudget, memtableSize, blockCacheSize, rowCacheSize, memoryBudget } = options;
  const sum = memtableBudget + blockCacheSize + rowCacheSize + 2 * memtableSize;
  if (memoryBudget === 0) return { ...options, memoryBudget: Math.max(BUDGET_MIN, sum) };
  const scale = memoryBudget / sum;
  if (scale >= 1) return options;
  return {
    ...options,
    memtableBudget: Math.floor(memtableBudget * scale),
    memtableSize: Math.ceil(memtableSize * scale),
    blockCacheSize: Math.floor(blockCacheSize * scale),
    rowCacheSize: Math.floor(rowCacheSize * scale),
  };
}
