/**
 * A node's own figures as metrics, read at each scrape.
 * @module
 */
import type { NodeStatus, StorageNode } from "../node/mod.ts";
import type { Usage } from "../runtime/mod.ts";
import type { Sample } from "./metrics.ts";

const HEALTH = ["healthy", "degraded", "unhealthy"] as const;

/** Samples of everything that {@link StorageNode.status} tells. */
export function nodeSamples(node: Pick<StorageNode, "status">): Sample[] {
  const status = node.status();
  return [
    {
      name: "pairdb_build_info",
      help: "Always 1; the labels tell who this is.",
      type: "gauge",
      value: 1,
      labels: { node: status.nodeId, version: status.version },
    },
    ...HEALTH.map((state): Sample => ({
      name: "pairdb_health",
      help: "1 for the state that the node is in.",
      type: "gauge",
      value: status.health.status === state ? 1 : 0,
      labels: { state },
    })),
    ...figures(status),
    ...damage(status),
    ...status.tablesPerLevel.map((value, level): Sample => ({
      name: "pairdb_tables_per_level",
      help: "SSTables on each level, all tenants together.",
      type: "gauge",
      value,
      labels: { level: String(level) },
    })),
    ...Object.entries(status.health.metrics).map(([name, value]): Sample => ({
      name: metricName(name),
      help: "A figure of the node's health report.",
      type: "gauge",
      value,
    })),
    ...Object.entries(status.counters)
      .filter(([name]) => !(name in status))
      .map(([name, value]) => engineSample(name, value)),
  ];
}

/** What the process takes of its machine; the first two are named as for every program. */
export function usageSamples(usage: Usage): Sample[] {
  const memory = usage.memory();
  const { residentBytes, heapBytes, externalBytes, limitBytes } = memory;
  const gauge = (name: string, value: number, help: string): Sample => ({
    name,
    help,
    type: "gauge",
    value,
  });
  return [
    {
      name: "process_cpu_seconds_total",
      help: "Time that all threads have run.",
      type: "counter",
      value: usage.cpuMs() / 1000,
    },
    gauge("process_resident_memory_bytes", residentBytes, "Memory of the process."),
    gauge("pairdb_heap_bytes", heapBytes, "Memory of JavaScript objects."),
    gauge("pairdb_heap_limit_bytes", memory.heapLimitBytes, "What those may take; 0: unknown."),
    {
      name: "pairdb_collections_total",
      help: "Full collections of garbage.",
      type: "counter",
      value: memory.collections,
    },
    gauge("pairdb_external_bytes", externalBytes, "Memory of buffers outside the heap."),
    gauge("pairdb_memory_limit_bytes", limitBytes, "Memory that the process may have; 0: unknown."),
    gauge("pairdb_cpus", usage.cpus, "Processors that the process may use."),
  ];
}

function figures(status: NodeStatus): Sample[] {
  const gauge = (name: string, value: number, help: string): Sample => ({
    name: `pairdb_${name}`,
    help,
    type: "gauge",
    value,
  });
  return [
    gauge("uptime_seconds", status.uptimeMs / 1000, "Time since the node opened."),
    gauge("tenants", status.tenants, "Tenants of this node."),
    gauge("memtable_bytes", status.memtableBytes, "Bytes in memtables."),
    gauge("wal_bytes", status.walBytes, "Bytes in the write-ahead log."),
    gauge("wal_segments", status.walSegments, "Segments of the write-ahead log."),
    gauge("wal_archived_segments", status.walArchivedSegments, "Log segments kept in the archive."),
    gauge("wal_archived_bytes", status.walArchivedBytes, "Bytes of archived log segments."),
    gauge("table_bytes", status.tableBytes, "Bytes in SSTables."),
    gauge("tables", status.tables, "SSTables."),
    gauge("disk_total_bytes", status.diskTotalBytes, "Size of the data directory's file system."),
    gauge("disk_free_bytes", status.diskFreeBytes, "Bytes of it that are free."),
    gauge("snapshots", status.snapshots, "Snapshots in the data directory."),
    gauge("snapshot_bytes", status.snapshotBytes, "Bytes that only snapshots still hold."),
    gauge("recovery_records", status.recovery.records, "Records that came back from the log."),
    gauge("recovery_lost_bytes", status.recovery.lostBytes, "Bytes of the log that were damaged."),
    gauge("recovery_seconds", status.recovery.elapsedMs / 1000, "Time of the recovery."),
    gauge("last_sequence", status.lastSequence, "Sequence number of the last write."),
  ];
}

/** Damage by where it was met: the log is read at the start alone, tables at any time. */
function damage({ recovery, counters }: NodeStatus): Sample[] {
  const places = { log: recovery.losses, tables: counters.checksumFailures ?? 0 };
  return Object.entries(places).map(([place, value]): Sample => ({
    name: "pairdb_corrupted_entries_total",
    help: "Damaged places that were met since the start, in the log or in tables.",
    type: "counter",
    value,
    labels: { place },
  }));
}

/** Figures of the engine that tell how much there is now, and go down too. */
const GAUGES = [
  "blockCacheBytes",
  "rowCacheEntries",
  "rowCacheBytes",
  "rowCacheMaxBytes",
  "rowCacheUse",
  "readLatencyMs",
  "sharedCaches",
  "sharedCacheUp",
  "sharedCacheQueuedBytes",
  "quarantinedFiles",
  "compactionsStopped",
  "flushesFailing",
  "compactionsFailing",
  "openFiles",
  "memoryBudget",
  "memoryLevel",
  "diskState",
  "jobsPending",
  "jobsRunning",
  "workersActive",
  "workersMax",
  "workerQueueLength",
  "jobLatencyMsMax",
  "compactionPendingBytes",
  "watchers",
  "watchHistoryBytes",
  "transferStreams",
  "migrationsRunning",
  "migrationPendingKeys",
  "migrationsFallingBehind",
  "nodeDraining",
  "quietHours",
  "scrubDamagedTables",
  "scrubLate",
  "hotReadRate",
  "hotReadShare",
  "hotWriteRate",
  "hotWriteShare",
];

/** A figure of the engine that the status does not have by itself. */
function engineSample(name: string, value: number): Sample {
  const gauge = GAUGES.includes(name);
  return {
    name: gauge ? metricName(name) : `${metricName(name)}_total`,
    help: "A figure of the storage engine.",
    type: gauge ? "gauge" : "counter",
    value,
  };
}

/** `blockCacheHits` → `pairdb_block_cache_hits`. */
function metricName(name: string): string {
  const snake = name.replace(/([a-z0-9])([A-Z])/g, "$1_$2").toLowerCase();
  return `pairdb_${snake.replace(/[^a-z0-9_]/g, "_")}`;
}
