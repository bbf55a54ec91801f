/**
 * The figures of an engine, gathered from its parts.
 * @module
 */
import type { FilePool, Workers } from "../runtime/mod.ts";
import type { EngineStats, JobKind, TreeStats } from "./api.ts";
import type { Checkpoints } from "./checkpoint/mod.ts";
import type { ColdReads } from "./cold_reads.ts";
import type { Maintenance } from "./maintenance.ts";
import { MEMORY_LEVELS, type MemoryBudget } from "./memory_budget.ts";
import type { Reads } from "./reads.ts";
import type { RowCache } from "./row_cache/mod.ts";
import type { Scrubber } from "./scrub/mod.ts";
import type { SecondLevel } from "./second_level/mod.ts";
import type { BlockCache } from "./sstable/mod.ts";
import type { TreeState } from "./tree.ts";
import type { Log } from "./wal/mod.ts";

/** Where the figures are. */
export interface StatsParts {
  /** The last sequence given out. */
  readonly lastSeq: number;
  readonly trees: readonly TreeState[];
  readonly treeStats: (tree: TreeState) => TreeStats;
  readonly log: Log;
  readonly cache: BlockCache;
  readonly coldReads: ColdReads;
  readonly rows: RowCache;
  readonly reads: Reads;
  readonly second: SecondLevel | undefined;
  readonly maintenance: Maintenance;
  readonly checkpoints: Checkpoints;
  readonly scrubber: Scrubber;
  readonly workers: Workers;
  readonly pool: FilePool;
  readonly memory: MemoryBudget;
  readonly checksumFailures: number;
  readonly diskFailures: number;
  readonly writeStalls: number;
  /** Files that were in quarantine when the engine opened. */
  readonly quarantined: number;
  /** Trees whose jobs of a kind fail. */
  readonly failing: (kind: JobKind) => number;
}

/** All figures of an engine, as of now. */
export function gatherStats(parts: StatsParts): EngineStats {
  const checkpoints = parts.checkpoints.stats();
  const trees = parts.trees.map(parts.treeStats);
  const tablesPerLevel: number[] = [];
  for (const { tablesPerLevel: levels } of trees) {
    levels.forEach((count, level) => {
      tablesPerLevel[level] = (tablesPerLevel[level] ?? 0) + count;
    });
  }
  const { log } = parts;
  const rows = parts.rows.stats;
  const { flusher, compactor, counts, jobs } = parts.maintenance;
  const workers = parts.workers.stats();
  const scrub = parts.scrubber.status();
  const { answered } = parts.reads;
  const { checksums } = parts.coldReads;
  const second = parts.second?.stats();
  return {
    lastSequence: parts.lastSeq,
    walBytes: log.bytes,
    walSegments: log.segments.length,
    walArchivedSegments: log.archive.segments,
    walArchivedBytes: log.archive.bytes,
    memtableBytes: sum(trees, (tree) => tree.memtableBytes),
    tableBytes: sum(trees, (tree) => tree.tableBytes),
    tables: sum(trees, (tree) => tree.tables),
    tablesPerLevel,
    flushes: flusher.flushes,
    flushBytesWritten: flusher.bytesWritten,
    flushMs: Math.round(flusher.elapsedMs),
    compactions: compactor.compactions,
    compactionBytesRead: compactor.bytesRead,
    compactionBytesWritten: compactor.bytesWritten,
    compactionMs: Math.round(compactor.elapsedMs),
    blockCacheBytes: parts.cache.bytes,
    blockCacheHits: parts.cache.hits,
    blockCacheMisses: parts.cache.misses,
    coldReads: parts.coldReads.count,
    coldReadsJoined: parts.coldReads.joined,
    readLatencyMs: parts.coldReads.meanMs,
    rowCacheEntries: rows.entries,
    rowCacheBytes: rows.bytes,
    rowCacheMaxBytes: rows.capacity,
    rowCacheUse: rows.capacity === 0 ? 0 : rows.bytes / rows.capacity,
    rowCacheHits: rows.hits,
    rowCacheMisses: rows.misses,
    readsFromMemtable: answered.memtable,
    readsFromRowCache: answered.cache,
    readsFromSharedCache: answered.shared_cache,
    readsFromTables: answered.sstable,
    readsOfNothing: answered.none,
    sharedCaches: second === undefined ? 0 : 1,
    sharedCacheUp: second?.up === true ? 1 : 0,
    sharedCacheHits: second?.hits ?? 0,
    sharedCacheMisses: second?.misses ?? 0,
    sharedCacheUnproven: second?.unproven ?? 0,
    sharedCacheSkipped: second?.skipped ?? 0,
    sharedCacheErrors: second?.errors ?? 0,
    sharedCacheTimeouts: second?.timeouts ?? 0,
    sharedCacheKept: second?.kept ?? 0,
    sharedCacheDropped: second?.dropped ?? 0,
    sharedCacheQueuedBytes: second?.queuedBytes ?? 0,
    checksumFailures: parts.checksumFailures,
    diskFailures: parts.diskFailures,
    checksumsVerified: checksums.verified,
    checksumsTimed: checksums.timed,
    checksumTimedMs: Math.round(checksums.timedMs * 1000) / 1000,
    walGroups: log.groups,
    walRecords: log.records,
    walBytesWritten: log.bytesWritten,
    walRotations: log.rotations,
    writeStalls: parts.writeStalls,
    quarantinedFiles: parts.quarantined + log.quarantined,
    compactionsStopped: sum(
      parts.trees,
      (tree) => tree.compactionStopped === undefined ? 0 : 1,
    ),
    snapshots: checkpoints.count,
    snapshotBytes: checkpoints.heldBytes,
    flushesFailing: parts.failing("flush"),
    compactionsFailing: parts.failing("compaction"),
    compactionsDeferred: compactor.deferred,
    memoryBudget: parts.memory.budget,
    memoryLevel: MEMORY_LEVELS.indexOf(parts.memory.level),
    openFiles: parts.pool.openCount,
    reopenedFiles: parts.pool.reopened,
    jobsPending: counts.pending,
    jobsRunning: jobs.active().length,
    jobsCompleted: counts.completed,
    jobsFailed: counts.failed,
    workersActive: workers.active,
    workersMax: workers.threads,
    workerQueueLength: workers.queued,
    workerRejections: workers.rejected,
    workerSucceeded: workers.succeeded,
    workerFailed: workers.failed,
    workerWaitedMs: Math.round(workers.waitedMsSum),
    jobLatencyMs: Math.round(workers.latencyMsSum),
    jobLatencyMsMax: Math.round(workers.latencyMsMax),
    compactionPendingBytes: sum(parts.trees, (tree) => tree.pendingBytes),
    scrubRounds: scrub.rounds,
    scrubFiles: parts.scrubber.files,
    scrubBytes: parts.scrubber.bytes,
    scrubSkippedFiles: parts.scrubber.skipped,
    scrubDamagedTables: scrub.damaged.length,
    scrubLate: scrub.late ? 1 : 0,
  };
}

/** The sum of something over items. */
export function sum<T>(items: readonly T[], of: (item: T) => number): number {
  return items.reduce((total, item) => total + of(item), 0);
}
