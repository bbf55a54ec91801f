/**
 * What the client hands out and takes in: plain values, no generated messages.
 * @module
 */
import type { CausalContext } from "../model/mod.ts";
import type { Fetch } from "./platform.ts";
import type { RetryOptions } from "./retry.ts";

/**
 * What a version has seen. Opaque: pass back what a call gave you, unchanged, and for the same key of the same
 * tenant: its seal says whose it is, and the server refuses one that does not fit (1000, with the detail
 * `reason: context_seal`). `encodeContext` and `decodeContext` make it text and back; as JSON it is the same
 * afterwards, too.
 */
export type Context = CausalContext;

/** How many replicas answer before a call returns. A single node takes every level as `one`. */
export type ConsistencyLevel =
  | "one"
  | "quorum"
  | "all"
  | "local_quorum"
  | "each_quorum"
  | "any"
  | "serial";

/** How to reach a server. */
export interface ConnectOptions {
  /** Brings another `fetch`; absent: the platform's. */
  readonly fetch?: Fetch | undefined;
  /** The protocol on the wire; absent: `connect`. Both go over HTTP/1.1 and HTTP/2, through proxies and from browsers. */
  readonly protocol?: "connect" | "grpc-web" | undefined;
  /** Says who we are, such as `pdb_…` from `pairdb token create`. Sent with every call. */
  readonly token?: string | undefined;
  /** Certificates of one's own, for https. Where the platform's fetch takes some: Deno. */
  readonly tls?: TlsOptions | undefined;
  /** Milliseconds that a call without its own `timeoutMs` may take; absent or 0: no limit. Streams have none. */
  readonly timeoutMs?: number | undefined;
  /** How often calls that fail for a reason that passes are made, and when; absent: as its defaults say. */
  readonly retry?: RetryOptions | undefined;
}

/** Certificates, as PEM. */
export interface TlsOptions {
  /** Of the CA that the server's certificate is from; absent: those that the platform knows. */
  readonly ca?: string | undefined;
  /** Our own, for a server that asks for one. */
  readonly cert?: string | undefined;
  /** The private key of `cert`. */
  readonly key?: string | undefined;
}

/** For every call. */
export interface CallOptions {
  /** Gives the call up; the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds after which the call is given up with Unavailable (2001). 0: no limit. */
  readonly timeoutMs?: number | undefined;
}

/** For calls on keys. */
export interface KeyOptions extends CallOptions {
  /** How many replicas answer first; absent: the tenant's default. */
  readonly consistency?: ConsistencyLevel | undefined;
}

/** For every write. */
export interface OnceOptions extends KeyOptions {
  /**
   * Applies the write once: the same write with the same key gets the same answer and is not applied again, so
   * it can be sent again when an answer was lost. 16 to 64 bytes of UTF-8 without control characters, unique
   * among the tenant's writes; `crypto.randomUUID()` makes one. With another write it is refused.
   */
  readonly idempotencyKey?: string | undefined;
}

/** For a put or a delete. */
export interface WriteOptions extends OnceOptions {
  /**
   * The context of an earlier answer: the write replaces what that has seen, and what is concurrent
   * stays as siblings. Absent: the write replaces everything the coordinator sees.
   */
  readonly context?: Context | undefined;
  /**
   * Compare and set: write only if the key's context is exactly `context`, or without one, if the key has no
   * value. Otherwise a ContextMismatch with the present context is thrown, and nothing has changed.
   */
  readonly ifContext?: boolean | undefined;
}

/** For a put. */
export interface PutOptions extends WriteOptions {
  /** Milliseconds after which the value is gone, an integer; 0: never; absent: as the tenant's default says. */
  readonly ttlMs?: number | undefined;
}

/** One value of a batch. */
export interface BatchItem {
  /** 1 to 1024 bytes of UTF-8 without control characters. */
  readonly key: string;
  /** Text is stored as UTF-8. At most 10 MiB. */
  readonly value: string | Uint8Array;
  /** What the write replaces, as for a single put. */
  readonly context?: Context | undefined;
  /** As for a single put; one that is refused refuses the batch. */
  readonly ifContext?: boolean | undefined;
  /** Milliseconds to live; 0: for ever; absent: as the tenant's default says. */
  readonly ttlMs?: number | undefined;
}

/** For a batch of puts. */
export interface BatchPutOptions extends OnceOptions {
  /** Leave alone what already has exactly this value; makes repeating a batch free of effects. */
  readonly skipUnchanged?: boolean | undefined;
}

/** What a write did. */
export interface Written {
  /** For the next write of the same key. */
  readonly context: Context;
  /** Milliseconds since 1970 at the coordinator. */
  readonly timestampMs: number;
}

/** What a delete did. */
export interface Deleted extends Written {
  /** Whether the coordinator saw a value. */
  readonly existed: boolean;
}

/** One of several concurrent versions. */
export interface Version {
  /** Undefined when this version is a delete. */
  readonly value: Uint8Array | undefined;
  /** What the version has seen. */
  readonly context: Context;
  /** Milliseconds since 1970 at the coordinator that took the write. */
  readonly timestampMs: number;
}

/** A key that has a value, or concurrent versions of which at least one is a value. */
export interface Found {
  /** The value; of concurrent ones the latest by timestamp. Deletes among them are siblings only. */
  readonly value: Uint8Array | undefined;
  /** Covers every version: a put with it settles the conflict. */
  readonly context: Context;
  /** Milliseconds since 1970 at the coordinator that took the write. */
  readonly timestampMs: number;
  /** Every concurrent version when there is more than one, otherwise empty. */
  readonly siblings: readonly Version[];
}

/** What one layer of a node said to a read, and what asking took. */
export interface ReadStep {
  /** `memtable`, `frozen_memtable`, `row_cache` or `sstable`. */
  readonly layer: string;
  /** Of a table, from 0. */
  readonly level: number | undefined;
  /** A table's number, which is its file's name. */
  readonly table: number | undefined;
  /** `found`; `filtered`: the table's filter said no, and no data block was looked into; `nothing`. */
  readonly result: string;
  /** Entries of the key that were taken: values, deletes, and what was merged into them. */
  readonly entries: number;
  /** Of those, as they are stored. */
  readonly valueBytes: number;
  /** Whether the table had to be opened first. */
  readonly opened: boolean;
  /** Blocks that were in the block cache; parts of a large table's index and filter count too. */
  readonly blocksCached: number;
  /** The same from the disk... */
  readonly blocksRead: number;
  /** ...and their bytes in the file. */
  readonly bytesRead: number;
}

/** A version of a key, without its value. */
export interface ExplainedVersion {
  /** `value`; `expired`: had a value until its time to live was over; `deleted`: is a delete. */
  readonly state: string;
  /** Of the value, expired or not. */
  readonly valueBytes: number;
  /** What the version has seen. */
  readonly context: Context;
  /** The version's own event; undefined where its clock came whole from outside. */
  readonly dot: Context["dots"][number] | undefined;
  /** Milliseconds since 1970 at the coordinator that took the write. */
  readonly timestampMs: number;
  /** When it expires, or has, milliseconds since 1970; undefined: never. */
  readonly expiresAtMs: number | undefined;
}

/** How a node read a key, and what versions of it there are. */
export interface Explanation {
  /** What `get` answers: `found`, or no value, because the key is `absent`, `expired` or `deleted`. */
  readonly state: string;
  /** The layer that held the newest entry of the key: `memtable`, `cache` (of rows), `sstable` or `none`. */
  readonly source: string;
  /** In the order in which the layers were asked. None: there is no such tenant. */
  readonly steps: readonly ReadStep[];
  /** Times that the read waited for a slow disk. */
  readonly waits: number;
  /** Every version, the latest first. */
  readonly versions: readonly ExplainedVersion[];
  /** Covers every version. */
  readonly context: Context;
  /** Of all versions together, as they are stored. */
  readonly stateBytes: number;
  /** What the read took in the node, in microseconds. */
  readonly durationUs: number;
}

/** One key of a scan. */
export interface ScanRow extends Found {
  /** The key, exactly as it was stored. */
  readonly key: string;
  /** Milliseconds since 1970 from which on the value is gone; absent: never. */
  readonly expiresAtMs?: number;
}

/** What to scan; all bounds together narrow it. */
export interface ScanRange {
  /** Keys that begin with this. */
  readonly prefix?: string | undefined;
  /** The first key, inclusive. */
  readonly start?: string | undefined;
  /** The end, exclusive. */
  readonly end?: string | undefined;
  /** Keys at most; absent or 0: all. */
  readonly limit?: number | undefined;
  /** Leave values out. */
  readonly keysOnly?: boolean | undefined;
  /** From the last key of the range to the first. */
  readonly reverse?: boolean | undefined;
}

/** What to watch: one key, or what all bounds together leave; nothing: all keys. */
export interface WatchRange {
  /** One key; not together with bounds. */
  readonly key?: string | undefined;
  /** Keys that begin with this. */
  readonly prefix?: string | undefined;
  /** The first key, inclusive. */
  readonly start?: string | undefined;
  /** The end, exclusive. */
  readonly end?: string | undefined;
  /** Where to go on: the token of an event of an earlier watch. */
  readonly token?: string | undefined;
  /** Begin with what is there now; again after each gap. */
  readonly initial?: boolean | undefined;
  /** Leave values out. */
  readonly keysOnly?: boolean | undefined;
  /** A progress event comes after this long without others, ms: 100 to 3,600,000; absent or 0: 10 s. */
  readonly progressMs?: number | undefined;
}

/** What a watch tells of a key: its state after a write, or when the watch began (`initial`). */
export interface WatchChange extends Found {
  /** What became of the key. */
  readonly type: "put" | "delete" | "initial";
  /** The key, exactly as it was stored. */
  readonly key: string;
  /** When the value expires, ms since 1970, of which no event tells; 0: never. */
  readonly expiresAtMs: number;
  /** A later watch goes on behind this event; empty: keep the one before. */
  readonly token: string;
}

/**
 * What a watch tells of itself. `progress`: it has begun, or still stands. `gap`: changes were missed, so what
 * is known of the range is to be read again, unless {@link WatchRange.initial} sends it. Every change from
 * there on comes.
 */
export interface WatchMark {
  /** What it is about. */
  readonly type: "progress" | "gap";
  /** A later watch goes on behind this event; empty: keep the one before. */
  readonly token: string;
  /** Why there is a gap: `unknown`, `expired` or `overrun`; else empty. */
  readonly reason: string;
}

/** What a watch tells. */
export type WatchEvent = WatchChange | WatchMark;

/** Facts about a tenant. */
export interface Tenant extends TenantOptions {
  /** The tenant's id. */
  readonly tenant: string;
  /** Milliseconds since 1970. */
  readonly createdAtMs: number;
  /** Bytes in tables and memtables before merging: an upper bound. */
  readonly bytes: number;
  /** SSTables. */
  readonly tables: number;
  /** What it uses of its quotas; undefined where the server does not say. */
  readonly usage?: TenantUsage | undefined;
}

/** What a tenant uses on a node. Sizes are estimates, never too low; the rest counts from the node's start. */
export interface TenantUsage {
  /** Of keys and values, before compression. */
  readonly bytes: number;
  /** Keys with a value. */
  readonly keys: number;
  /** Keys that were asked for or written, and scans. */
  readonly requests: number;
  /** Of keys and values that were written. */
  readonly bytesIn: number;
  /** Of values that were read. */
  readonly bytesOut: number;
  /** Requests that a quota, or the limit of a hot key, has refused. */
  readonly refused: number;
  /** That it holds of the caches now. */
  readonly cacheBytes: number;
}

/** What a tenant has of its own; what is absent is as the node's configuration says. */
export interface TenantOptions {
  /** `leveled`, `size_tiered`, `time_window` or `hybrid`; empty in a change: the node's again. */
  readonly compaction?: string;
  /** Milliseconds that values live that come without a time to live of their own; 0: for ever. */
  readonly ttlMs?: number;
  /** Milliseconds that share their tables, with `time_window`; 0 in a change: the node's again. */
  readonly windowMs?: number;
  /** `none`, `lz4`, `snappy` or `zstd`, for tables from now on; empty in a change: the node's again. */
  readonly compression?: string;
  /** Percent of each of the node's caches that it may hold at most, 1 to 100; 0 in a change: as much as there is. */
  readonly cacheSharePercent?: number;
  /**
   * What becomes of concurrent versions: `vector_clock`, which is meant where it is absent, `lww`, or
   * `merge:counter`, `merge:gset`, `merge:orset`, `merge:map`, `merge:max`, `merge:min`. It cannot be changed.
   */
  readonly conflictStrategy?: string;
  // Quotas on each node; 0 in a change: none.
  /** Bytes of keys and values. */
  readonly maxBytes?: number;
  /** Keys. */
  readonly maxKeys?: number;
  /** Requests a second; a batch is as many as it has items. */
  readonly maxRequestsPerSecond?: number;
  /** Bytes a second that are written and read. */
  readonly maxBytesPerSecond?: number;
}

/** Which of a tenant's keys: one, those with a prefix, or without either all. */
export interface CacheRange {
  /** One key; not together with a prefix. */
  readonly key?: string;
  /** Keys that begin with it. */
  readonly prefix?: string;
}

/** What became of a change to a node's caches. */
export interface CacheChange {
  /** Keys in the range that have a value. */
  readonly keys: number;
  /** `none`: no shared cache is configured; `done`; `failed`: it was not reached, or did not take all. */
  readonly sharedCache: string;
}

/** What of a tenant is compacted. */
export interface CompactRange {
  /** The first key, inclusive. */
  readonly start?: string;
  /** The end, exclusive. */
  readonly end?: string;
  /** Drop what is deleted or expired by now, without waiting for the grace time. */
  readonly purge?: boolean;
}

/** How a node is. */
export interface NodeHealth {
  /** The node's name. */
  readonly nodeId: string;
  /** `healthy`, `degraded` or `unhealthy`. */
  readonly status: string;
  /** Why it is not healthy; empty when it is. */
  readonly reasons: readonly string[];
  /** Milliseconds since 1970 at the node. */
  readonly timestampMs: number;
  /** Shares from 0 to 1 unless the name has a unit. */
  readonly metrics: Readonly<Record<string, number>>;
}

/** Which of a node's slowest operations are asked for. */
export interface SlowQuery {
  /** Only of this tenant. */
  readonly tenant?: string;
  /** Only those that ended within this time, ms; absent or 0: of the last five minutes. */
  readonly withinMs?: number;
  /** At most so many; absent or 0: 10. */
  readonly limit?: number;
}

/** One of a node's slowest operations. */
export interface SlowOperation {
  /** `read`, `write`, `delete`, `batch_read`, `batch_write`, `scan`, `transfer` or `tenant`. */
  readonly operation: string;
  /** The method's full name. */
  readonly method: string;
  /** Empty: it named none. */
  readonly tenant: string;
  /** The key, the first of several, or a scan's prefix or start: 64 characters at most. */
  readonly key: string;
  /** The key is longer than that. */
  readonly keyCut: boolean;
  /** What stands for the key in the node's log. */
  readonly keyHash: string;
  /** How many keys it named. */
  readonly keys: number;
  /** Bytes of its message; 0: not known. */
  readonly requestBytes: number;
  /** Milliseconds since 1970 at the node, of its begin. */
  readonly startedAtMs: number;
  /** Milliseconds from its head to its end. */
  readonly elapsedMs: number;
  /** Of that, the time before the storage was asked. */
  readonly waitedMs: number;
  /** The layer that a read was answered from; empty: not known. */
  readonly source: string;
  /** `ok`, or the status it ended with. */
  readonly code: string;
}

/** Which of a node's hot keys are asked for. */
export interface HotKeyQuery {
  /** Only those of this tenant. Clients have to name one of their own. */
  readonly tenant?: string;
  /** At most so many; absent or 0: 10. */
  readonly limit?: number;
}

/** How often a key is named, on average over the last ten seconds or so. */
export interface KeyRate {
  /** Times a second. */
  readonly perSecond: number;
  /** The true rate is not further away than this: surely on a quiet node, on a busy one with 99.7 %. */
  readonly error: number;
}

/** A key that is named more often than others. */
export interface HotKey {
  /** Its tenant. */
  readonly tenant: string;
  /** The key. */
  readonly key: string;
  /** Reads, those included that were refused. */
  readonly reads: KeyRate;
  /** Writes and deletes, those included that were refused. */
  readonly writes: KeyRate;
}

/** A consistent copy of all of a node's data, in its data directory. */
export interface Snapshot {
  /** Names it among the node's. */
  readonly name: string;
  /** Its directory on the node's machine. */
  readonly dir: string;
  /** The node it was taken of. */
  readonly nodeId: string;
  /** The last write that is in it. */
  readonly sequence: number;
  /** The moment, ms since 1970. */
  readonly createdAtMs: number;
  /** How many files. */
  readonly files: number;
  /** Bytes of all files, those included that the store still shares. */
  readonly bytes: number;
  /** Why it cannot be used; empty when nothing is known to be wrong with it. */
  readonly problem: string;
}

/** A snapshot that was just made, and what it took. */
export interface SnapshotMade {
  /** The snapshot. */
  readonly snapshot: Snapshot;
  /** Files that share their bytes with the store. */
  readonly linkedFiles: number;
  /** Bytes that had to be copied, where the file system has no hard links. */
  readonly copiedBytes: number;
  /** Bytes that had to be read for their digest. */
  readonly digestedBytes: number;
  /** Milliseconds from the moment until the store was free to remove its old files again. */
  readonly pinnedMs: number;
  /** Milliseconds in all, at the node. */
  readonly elapsedMs: number;
}

/** What verifying a snapshot found. */
export interface SnapshotVerified {
  /** The snapshot. */
  readonly snapshot: Snapshot;
  /** Which files are not what they should be, and why; empty when it is whole. */
  readonly problems: readonly { readonly file: string; readonly problem: string }[];
}

/** Work that a node does in the background. */
export interface Job {
  /** Its number since the node opened. */
  readonly id: number;
  /** `flush`, `compaction`, `scrub`, `snapshot`, `transfer` or `migration`. */
  readonly kind: string;
  /** Whose data it is about; empty: all tenants'. */
  readonly tenant: string;
  /** `pending`, `running`, `completed` or `failed`. */
  readonly state: string;
  /** The level that is relieved; -1 where that is none. */
  readonly level: number;
  /** Where it goes; -1 where that is none. */
  readonly outputLevel: number;
  /** Numbers of the input tables. */
  readonly inputs: readonly number[];
  /** When it was submitted, ms since 1970. */
  readonly startedAtMs: number;
  /** When it was over; undefined while it is not. */
  readonly endedAtMs: number | undefined;
  /** Bytes that it has to go through, estimated; undefined when nobody knows. */
  readonly bytes: number | undefined;
  /** How many of them it has. */
  readonly bytesDone: number;
  /** Bytes a second since its submission. */
  readonly rate: number;
  /** Milliseconds that are left at this rate; undefined when nobody knows. */
  readonly etaMs: number | undefined;
  /** What it failed with; empty when it did not. */
  readonly error: string;
}

/** How far a node's scrub is, which verifies every file again and again. */
export interface Scrub {
  /** Every file is verified within this time, in ms; 0: none is. */
  readonly intervalMs: number;
  /** Whether a round is under way. */
  readonly running: boolean;
  /** When the last round began, ms since 1970; 0: there was none. */
  readonly startedAtMs: number;
  /** When the next begins; undefined while one is under way, or none is to come. */
  readonly nextAtMs: number | undefined;
  /** Whether the round takes longer than it may. */
  readonly late: boolean;
  /** Why it does not go on at present; empty when it does. */
  readonly waitsFor: string;
  /** Rounds that came to their end. */
  readonly rounds: number;
  /** Tables that are damaged, and there still. */
  readonly damaged: readonly {
    readonly file: string;
    readonly tenant: string;
    readonly problem: string;
  }[];
}

/** A function of the application that merges concurrent values. */
export interface MergeFunctionInfo {
  /** As in `merge:<name>`. */
  readonly name: string;
  /** SHA-256 of its source, in hex. */
  readonly digest: string;
  /** Of the source. */
  readonly bytes: number;
  /** Milliseconds since 1970. */
  readonly registeredAtMs: number;
  /** How many tenants were created with it. */
  readonly tenants: number;
}

/** What a node does in the background. */
export interface NodeJobs {
  /** Those that are not over, then those that are, the newest first. */
  readonly jobs: readonly Job[];
  /** How far its scrub is. */
  readonly scrub: Scrub;
  /** When the quiet hours that it is are over, ms since 1970; undefined: it is none. In them work that can wait rests. */
  readonly quietUntilMs: number | undefined;
}

/** What is moved to another node. */
export interface MigrationRange {
  /** Names the migration, so that it can be asked for again; absent: a random one. */
  readonly id?: string;
  /** Absent: all tenants. */
  readonly tenant?: string;
  /** The first key, inclusive. */
  readonly start?: string;
  /** The end, exclusive. */
  readonly end?: string;
  /** Keys with tokens above `start` up to and with `end`, around the ring: 16 bytes each. */
  readonly tokens?: { readonly start: Uint8Array; readonly end: Uint8Array };
}

/** A range on its way to another node, or there. */
export interface Migration {
  /** Names it. */
  readonly id: string;
  /** Where it goes. */
  readonly target: string;
  /** Empty: all tenants. */
  readonly tenant: string;
  /** The first key, inclusive; empty: no bound. */
  readonly start: string;
  /** The end, exclusive; empty: no bound. */
  readonly end: string;
  /** Its tokens; undefined: all. */
  readonly tokens: { readonly start: Uint8Array; readonly end: Uint8Array } | undefined;
  /** `copying`, `streaming`, `syncing`, `completed` or `failed`. */
  readonly state: string;
  /** Whether the node takes no writes on its account. */
  readonly draining: boolean;
  /** When it began, ms since 1970. */
  readonly createdAtMs: number;
  /** When it was over; undefined while it is not. */
  readonly endedAtMs: number | undefined;
  /** Keys that were written meanwhile and wait to be sent. */
  readonly pendingKeys: number;
  /** While the last of them were sent, as many or more were written: it does not get nearer to its end. */
  readonly fallsBehind: boolean;
  /** Why it failed; while it runs, the failure that it tries to get over. */
  readonly error: string;
  /** Keys that were there and were copied. */
  readonly keysCopied: number;
  /** Bytes of their keys and values. */
  readonly bytesCopied: number;
  /** Keys that were written meanwhile, each time that one was sent. */
  readonly keysStreamed: number;
  /** Bytes of their keys and values. */
  readonly bytesStreamed: number;
  /** Parts of the range that both sides have counted and compared. */
  readonly piecesCompared: number;
  /** Those of them that differed and were sent again. */
  readonly piecesResent: number;
  /** Keys that were sent with those. */
  readonly keysResent: number;
  /** Times that all was compared again: too many keys to remember were written, or the target had other data. */
  readonly rescans: number;
  /** Times that something failed and was tried again. */
  readonly retries: number;
}

/** How far a drain is. */
export interface Drain {
  /** Everything is at the target, compared by checksums, and no write is taken: the node can go. */
  readonly drained: boolean;
  /** What moves everything. */
  readonly migration: Migration;
}

/** What a node is and holds. */
export interface NodeStatus {
  /** The node's name. */
  readonly nodeId: string;
  /** The version of the program. */
  readonly version: string;
  /** `healthy`, `degraded` or `unhealthy`. */
  readonly status: string;
  /** Why it is not healthy; empty when it is. */
  readonly reasons: readonly string[];
  /** Milliseconds since the node opened. */
  readonly uptimeMs: number;
  /** Where its data lives, on its machine. */
  readonly dataDir: string;
  /** Tenants. */
  readonly tenants: number;
  /** Bytes in memory that are not in tables yet. */
  readonly memtableBytes: number;
  /** Bytes of the write-ahead log. */
  readonly walBytes: number;
  /** Files of the write-ahead log. */
  readonly walSegments: number;
  /** Bytes of all tables. */
  readonly tableBytes: number;
  /** Tables. */
  readonly tables: number;
  /** Tables on each level, over all tenants, from level 0. */
  readonly tablesPerLevel: readonly number[];
  /** Bytes of the file system that holds the data. */
  readonly diskTotalBytes: number;
  /** Bytes of it that are free. */
  readonly diskFreeBytes: number;
  /** The sequence number of the last write. */
  readonly lastSequence: number;
  /** Snapshots in the data directory. */
  readonly snapshots: number;
  /** Bytes of files that only they still hold: what deleting all of them would free. */
  readonly snapshotBytes: number;
  /** The shared cache: `none`, `up` or `down`. */
  readonly sharedCache: string;
  /** Reads since the node opened, by the layer that answered them. */
  readonly reads: {
    readonly memtable: number;
    readonly rowCache: number;
    readonly sharedCache: number;
    readonly tables: number;
    /** There was no such key. */
    readonly nothing: number;
  };
}
