/**
 * What a storage node does for the floors above (RPC, REST, the embedded database): keys and values
 * of tenants, with versions. Every method validates its input first and changes nothing when it
 * throws a PairError.
 * @module
 */
import type { VectorClock } from "../model/mod.ts";

/** One version of a key, as reads return it. */
export interface VersionView {
  /** Undefined when this version is a delete. */
  readonly value: Uint8Array | undefined;
  readonly clock: VectorClock;
  readonly timestampMs: number;
}

/** A key's live state: at least one version. */
export interface ReadResult {
  /** The version to show when only one can be shown: the latest by timestamp, then by clock. */
  readonly winner: VersionView;
  /** Every concurrent version, the winner first. Of length 1 when there is no conflict. */
  readonly versions: readonly VersionView[];
  /** Covers every version. */
  readonly clock: VectorClock;
  readonly source: "cache" | "memtable" | "sstable";
}

/** A write that a client asks for. */
export interface PutInput {
  readonly key: string;
  readonly value: Uint8Array | undefined;
  /** The causal context; absent: overwrite what this node sees. */
  readonly context?: VectorClock | undefined;
  /** Milliseconds to live; absent or 0: for ever. */
  readonly ttlMs?: number | undefined;
}

/** What a write did. */
export interface WriteResult {
  /** The context for the next write of the key. */
  readonly clock: VectorClock;
  readonly timestampMs: number;
}

/** A version that another node made. */
export interface ReplicaWrite {
  readonly key: string;
  readonly value: Uint8Array | undefined;
  readonly deleted: boolean;
  readonly clock: VectorClock;
  readonly timestampMs?: number | undefined;
}

/** Bounds of a scan. */
export interface ScanInput {
  readonly prefix?: string;
  readonly start?: string;
  readonly end?: string;
  /** Entries at most; absent or 0: all. */
  readonly limit?: number;
}

/** One live key of a scan. */
export interface ScanItem {
  readonly key: string;
  readonly result: ReadResult;
}

/** Facts about a tenant. */
export interface TenantInfo {
  readonly tenant: string;
  readonly createdAtMs: number;
  readonly bytes: number;
  readonly tables: number;
}

/** How the node is. */
export interface Health {
  readonly status: "healthy" | "degraded" | "unhealthy";
  readonly reasons: readonly string[];
  /** disk_usage, memory_usage and the like. */
  readonly metrics: Readonly<Record<string, number>>;
}

/** Figures of the whole node. */
export interface NodeStatus {
  readonly nodeId: string;
  readonly version: string;
  readonly health: Health;
  readonly uptimeMs: number;
  readonly dataDir: string;
  readonly tenants: number;
  readonly memtableBytes: number;
  readonly walBytes: number;
  readonly walSegments: number;
  readonly tableBytes: number;
  readonly tables: number;
  readonly tablesPerLevel: readonly number[];
  readonly diskTotalBytes: number;
  readonly diskFreeBytes: number;
  readonly lastSequence: number;
  /** The engine's counters, for metrics. */
  readonly counters: Readonly<Record<string, number>>;
}

/** One storage node. Limits (key 1 KiB, value 10 MiB, batch 1000 items) are in `src/model/limits.ts`. */
export interface StorageNode {
  readonly nodeId: string;
  put(tenant: string, input: PutInput): Promise<WriteResult>;
  /** Undefined when the key has no live value (absent, deleted, expired, or the tenant does not exist and auto_create is on). */
  get(tenant: string, key: string): ReadResult | undefined;
  delete(tenant: string, input: { key: string; context?: VectorClock | undefined }): Promise<WriteResult & { existed: boolean }>;
  /** All or none. */
  batchPut(
    tenant: string,
    items: readonly PutInput[],
    options?: { skipUnchanged?: boolean },
  ): Promise<{ results: readonly WriteResult[]; unchanged: number }>;
  /** One result (or undefined) for each key, at one moment. */
  batchGet(tenant: string, keys: readonly string[]): readonly (ReadResult | undefined)[];
  /** Live keys in byte order, at one moment. Stop early by returning from the iteration. */
  scan(tenant: string, input: ScanInput): IterableIterator<ScanItem>;
  /** Stores exactly this version unless it is dominated; returns the key's clock afterwards. */
  applyReplica(tenant: string, write: ReplicaWrite, origin: "write" | "delete" | "repair"): Promise<WriteResult>;
  createTenant(tenant: string): Promise<TenantInfo>;
  listTenants(): readonly TenantInfo[];
  dropTenant(tenant: string): Promise<void>;
  flush(tenant?: string): Promise<void>;
  compact(tenant?: string): Promise<void>;
  health(): Health;
  status(): NodeStatus;
  close(): Promise<void>;
}
