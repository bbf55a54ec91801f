/**
 * Parts: the configuration in the words of the rooms below.
 * @module
 */
import type { NodeOptions } from "../embedded/mod.ts";
import type { CloseOptions, EngineOptions } from "../engine/mod.ts";
import {
  type HotKeyLimits,
  type SnapshotSchedule,
  type WatchLimits,
  WRITE_STALL_MS_MAX,
} from "../node/mod.ts";
import type { PortLimits } from "../rpc/mod.ts";
import type { Config } from "./config/mod.ts";
import { parseQuietHours } from "./units.ts";

/**
 * What the engine is opened with.
 * @param key  the store's key; undefined when it is not encrypted
 */
export function engineOptions(config: Config, key?: Uint8Array): EngineOptions {
  const { storage, commit_log: log, mem_table: memory, sstable, cache, compaction, scrub } = config;
  const blockCacheSize = Math.min(cache.block_cache_size, cache.max_size);
  return {
    ...(key === undefined ? {} : { encryption: { key } }),
    log: {
      syncMode: log.sync_mode,
      syncIntervalMs: log.sync_interval,
      syncEvery: log.sync_every,
      segmentSize: log.segment_size,
      segmentAgeMs: log.max_segment_age,
      archive: log.archive,
      archiveMaxAgeMs: log.max_age,
      archiveMaxSegments: log.archive_max_segments,
    },
    recovery: log.recovery,
    memtableSize: memory.max_size,
    maxImmutables: memory.num_mem_tables,
    memtableAgeMs: memory.max_age,
    memtableBudget: memory.total_size,
    table: {
      blockSize: sstable.block_size,
      falsePositives: sstable.bloom_filter_fp,
      compression: sstable.compression_per_level,
      partitionSize: sstable.partition_size,
    },
    blockCacheSize,
    warmCache: cache.warm,
    rowCacheSize: Math.min(cache.row_cache_size, cache.max_size - blockCacheSize),
    rowCache: {
      frequencyWeight: cache.frequency_weight,
      recencyWeight: cache.recency_weight,
      adaptiveWindowMs: cache.adaptive_window,
    },
    compaction: {
      strategy: compaction.strategy,
      windowMs: compaction.window,
      tombstoneGraceMs: compaction.tombstone_grace,
      l0Trigger: compaction.l0_trigger,
      l0Slowdown: compaction.l0_slowdown,
      l0Stop: compaction.l0_stop,
      baseLevelSize: compaction.level_base_size,
      targetTableSize: sstable.l0_size * sstable.level_multiplier,
      tableSizeMultiplier: sstable.level_multiplier,
    },
    memoryBudget: config.memory.budget,
    maxOpenFiles: storage.max_open_files,
    reserve: config.disk.reserve,
    scrub: { intervalMs: scrub.interval },
    quiet: {
      hours: parseQuietHours(config.background.quiet_hours),
      transferShare: config.background.quiet_rate,
    },
    guards: {
      throttle: compaction.throttle * 1_000_000,
      pendingSlowdown: compaction.pending_slowdown,
      pendingStop: compaction.pending_stop,
    },
  };
}

/** What the port is opened with. */
export function portLimits({ server }: Config): Partial<PortLimits> {
  return {
    maxConnections: server.max_connections,
    maxConcurrentStreams: server.max_connections,
    readTimeoutMs: server.read_timeout,
    writeTimeoutMs: server.write_timeout,
    shutdownTimeoutMs: server.shutdown_timeout,
  };
}

/** Threads for work in the background, and jobs that may wait for one. */
export function poolLimits({ compaction }: Config): { workers: number; queue: number } {
  return { workers: compaction.workers, queue: compaction.queue };
}

/** The part of a write's time at the port after which the node refuses one that it holds back. */
const STALL_SHARE = 0.9;

/** What a node takes, and how much it keeps. */
export function nodeLimits(config: Config) {
  const { tenant, idempotency, storage, disk, server } = config;
  return {
    tenantAutoCreate: tenant.auto_create,
    // Before the port gives the call up: a refusal says why, a deadline does not.
    writeStallMsMax: Math.min(WRITE_STALL_MS_MAX, STALL_SHARE * server.write_timeout),
    idempotency: { maxWrites: idempotency.max_writes, maxAgeMs: idempotency.max_age },
    diskThresholds: {
      degraded: storage.max_disk_usage,
      strict: disk.strict,
      checkIntervalMs: disk.check_interval,
    },
    watch: watchLimits(config),
    hotKeys: hotKeyLimits(config),
    sealRequired: server.context_seal === "required",
  } satisfies Partial<NodeOptions>;
}

/** When the node makes snapshots by itself; undefined: never. */
export function snapshotSchedule({ snapshot, background }: Config): SnapshotSchedule | undefined {
  if (snapshot.interval === 0) return undefined;
  return {
    intervalMs: snapshot.interval,
    keep: snapshot.keep,
    quietHours: parseQuietHours(background.quiet_hours),
  };
}

/** How long a stop waits, and for what. */
export function closeLimits({ mem_table: memtables, server }: Config): CloseOptions {
  const waitMs = server.shutdown_timeout;
  return { flushMs: memtables.flush_on_stop ? waitMs : 0, waitMs };
}

/** How often one key may be named. */
export function hotKeyLimits({ hot_keys: limits }: Config): HotKeyLimits {
  return { maxReads: limits.max_reads_per_second, maxWrites: limits.max_writes_per_second };
}

/** How much of watching there may be. */
export function watchLimits({ watch }: Config): WatchLimits {
  return {
    maxWatchers: watch.max_watchers,
    historySize: watch.history_size,
    lingerMs: watch.linger,
  };
}
