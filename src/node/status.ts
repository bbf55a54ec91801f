/**
 * Status: figures of the whole node, for people and metrics, gathered from its parts.
 * @module
 */
import type { Engine } from "../engine/mod.ts";
import { DiskError } from "../runtime/mod.ts";
import type { NodeStatus } from "./api.ts";
import { DISK_STATES, type DiskGuard } from "./disk_guard.ts";
import type { HealthMonitor } from "./health.ts";

/** A part that counts what it does. */
interface Counting {
  readonly figures: Readonly<Record<string, number>>;
}

/** Where figures come from. */
export interface StatusParts {
  readonly engine: Engine;
  readonly monitor: HealthMonitor;
  readonly disk: DiskGuard;
  readonly counting: readonly Counting[];
}

/** What the node itself knows. */
type Known = Pick<
  NodeStatus,
  "nodeId" | "version" | "health" | "uptimeMs" | "dataDir" | "tenants"
>;

/** All figures, as of now. */
export function statusOf(
  { engine, monitor, disk, counting }: StatusParts,
  known: Known,
): NodeStatus {
  const { tablesPerLevel, ...counters } = engine.stats();
  const { recovery } = engine;
  const space = monitor.space();
  const measured = space instanceof DiskError ? { totalBytes: 0, freeBytes: 0 } : space;
  return {
    ...known,
    memtableBytes: counters.memtableBytes,
    walBytes: counters.walBytes,
    walSegments: counters.walSegments,
    walArchivedSegments: counters.walArchivedSegments,
    walArchivedBytes: counters.walArchivedBytes,
    tableBytes: counters.tableBytes,
    tables: counters.tables,
    tablesPerLevel: [...tablesPerLevel],
    diskTotalBytes: measured.totalBytes,
    diskFreeBytes: measured.freeBytes,
    lastSequence: counters.lastSequence,
    snapshots: counters.snapshots,
    snapshotBytes: counters.snapshotBytes,
    recovery: {
      records: recovery.records,
      losses: recovery.losses.length,
      lostBytes: recovery.losses.reduce((sum, { bytes }) => sum + bytes, 0),
      elapsedMs: recovery.elapsedMs,
    },
    counters: {
      ...counters,
      quietHours: engine.quietUntilMs() === undefined ? 0 : 1,
      diskState: DISK_STATES.indexOf(disk.state),
      diskEstimatedBytes: disk.estimatedBytes,
      diskThrottled: disk.throttled,
      diskRefused: disk.refused,
      ...Object.assign({}, ...counting.map(({ figures }) => figures)),
    },
  };
}
