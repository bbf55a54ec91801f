/**
 * Figures: how the node is, what it holds, and which keys are hot.
 * @module
 */

/** How the node is. */
export interface Health {
  /** `degraded`: it serves, but somebody should look; `unhealthy`: writes are refused. */
  readonly status: "healthy" | "degraded" | "unhealthy";
  /** Why it is not healthy, the gravest first; empty when it is. */
  readonly reasons: readonly string[];
  /** disk_usage, memory_usage and the like: shares from 0 to 1. What cannot be measured is left out. */
  readonly metrics: Readonly<Record<string, number>>;
}

/** Figures of the whole node. */
export interface NodeStatus {
  /** The node's name. */
  readonly nodeId: string;
  /** The program's version. */
  readonly version: string;
  /** As `StorageNode.health` gives it. */
  readonly health: Health;
  /** Since the node was opened. */
  readonly uptimeMs: number;
  /** The data directory. */
  readonly dataDir: string;
  /** How many there are. */
  readonly tenants: number;
  /** Of all tenants. */
  readonly memtableBytes: number;
  /** Of the write-ahead log. */
  readonly walBytes: number;
  /** Files of the write-ahead log. */
  readonly walSegments: number;
  readonly walArchivedSegments: number;
  readonly walArchivedBytes: number;
  /** Of all SSTables. */
  readonly tableBytes: number;
  /** SSTables. */
  readonly tables: number;
  /** SSTables on each level, over all tenants, from level 0. */
  readonly tablesPerLevel: readonly number[];
  /** Of the file system under the data directory; 0 when it cannot be measured. */
  readonly diskTotalBytes: number;
  /** The same, of what is free. */
  readonly diskFreeBytes: number;
  /** The sequence number of the last write. */
  readonly lastSequence: number;
  /** Snapshots in the data directory. */
  readonly snapshots: number;
  /** Bytes of files that only they still hold: what deleting all of them would free. */
  readonly snapshotBytes: number;
  /** What the start found in the log. */
  readonly recovery: {
    /** Records that came back. */
    readonly records: number;
    /** Damaged places, of which what was there is lost. */
    readonly losses: number;
    readonly lostBytes: number;
    readonly elapsedMs: number;
  };
  /** The engine's counters, for metrics. */
  readonly counters: Readonly<Record<string, number>>;
}

/** How often a key is named, on average over the last ten seconds or so. */
export interface KeyRate {
  readonly perSecond: number;
  /** The true rate is not further away than this: surely on a quiet node, on a busy one with 99.7 %. */
  readonly error: number;
}

/** A key that is named more often than others. */
export interface HotKey {
  readonly tenant: string;
  readonly key: string;
  /** Reads, those included that were refused. */
  readonly reads: KeyRate;
  /** Writes and deletes, those included that were refused. */
  readonly writes: KeyRate;
}

/** Which hot keys are asked for. */
export interface HotKeyQuery {
  /** Those of one tenant; absent: of all. */
  readonly tenant?: string | undefined;
  /** At most so many; absent: 10. */
  readonly limit?: number | undefined;
}
