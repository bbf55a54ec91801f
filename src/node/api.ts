/**
 * What a storage node does for the floors above (RPC, REST, the embedded database): keys and values
 * of tenants, with versions. Every method validates its input first and changes nothing when it
 * throws a PairError, but for a write whose log fails: see {@link WriteWatch}.
 * @module
 */
import type {
  CloseOptions,
  JobInfo,
  ReadStep,
  ReadTrace,
  ScrubStatus,
  TreeOptions,
} from "../engine/mod.ts";
import type { CausalContext, Key, TokenRange, VectorClock, Version } from "../model/mod.ts";

/** One version of a key, as reads return it. */
export interface VersionView {
  /** Undefined when this version is a delete. */
  readonly value: Uint8Array | undefined;
  /** All that the version has seen, itself included. */
  readonly clock: CausalContext;
  /** Wall time at the node that took the write, ms since 1970. */
  readonly timestampMs: number;
  /** Wall time from which on it reads as a delete, ms since 1970; absent: never. */
  readonly expiresAtMs?: number;
}

/** A key's state at one moment, with at least one live value. */
export interface KeyState {
  /** The one to show when only one can be: the latest value by timestamp, then by clock; never a delete. */
  readonly winner: VersionView;
  /** Every concurrent version, the winner first. Of length 1 when there is no conflict. */
  readonly versions: readonly VersionView[];
  /** Covers every version. */
  readonly clock: CausalContext;
}

/** What a point read found, and where. */
export interface ReadResult extends KeyState {
  /** The layer that held the key. */
  readonly source: "cache" | "memtable" | "sstable";
}

/** A version of a key, as {@link Explanation} shows it: not its value. */
export interface ExplainedVersion {
  /** Whether it has a value to show, had one until its time to live was over, or is a delete. */
  readonly state: "value" | "expired" | "deleted";
  /** Of the value, expired or not; 0 for a delete. */
  readonly valueBytes: number;
  /** All that the version has seen, itself included. */
  readonly clock: CausalContext;
  /** Its own event; undefined where the clock came whole from outside. */
  readonly dot: VectorClock["dots"][number] | undefined;
  /** Wall time at the node that took the write, ms since 1970. */
  readonly timestampMs: number;
  /** Wall time from which on it reads as a delete, ms since 1970; 0: never. */
  readonly expiresAtMs: number;
}

/** How a read of a key went, and what it found, on this node. */
export interface Explanation {
  /**
   * What a read answers: `found`: a value; else none, because there is no version of the key (`absent`), because
   * the value's time to live is over (`expired`: of one version at least), or because it was deleted.
   */
  readonly state: "found" | "absent" | "expired" | "deleted";
  /** The layer that held the newest entry of the key. */
  readonly source: ReadTrace["source"];
  /** Layer by layer, in the order in which they were asked. Without any: there is no such tenant. */
  readonly steps: readonly ReadStep[];
  /** Times that the read waited for a slow disk. */
  readonly waits: number;
  /** Every version, the latest first: siblings, when there are several. */
  readonly versions: readonly ExplainedVersion[];
  /** Covers every version. */
  readonly clock: CausalContext;
  /** Of all versions together, as they are stored. */
  readonly stateBytes: number;
  /** What the read took in the node, with the decoding of its versions, in microseconds. */
  readonly durationUs: number;
}

/** A write that a client asks for. */
export interface PutInput {
  /** 1 to 1024 bytes of UTF-8 without control characters. */
  readonly key: Key;
  /** At most 10 MiB; may be empty. Undefined is refused (1000): callers pass on what they got. */
  readonly value: Uint8Array | undefined;
  /**
   * The causal context, as an answer gave it; absent: overwrite what this node sees.
   * @throws PairError InvalidArgument (1000) with the detail `reason: context_seal` when its seal is of
   *   another tenant, key or clock
   */
  readonly context?: CausalContext | undefined;
  /**
   * Store only if the key's context is exactly `context`, or without one, if the key has no value.
   * @throws ContextMismatch otherwise
   */
  readonly ifContext?: boolean | undefined;
  /** Milliseconds to live; 0: for ever; absent: as long as the tenant's default says, or for ever. */
  readonly ttlMs?: number | undefined;
}

/** What a client asks of a write as a whole. */
export interface WriteOptions {
  /**
   * Applies the write once: the same write with the same key gets the same answer, for as long as it is
   * remembered. 16 to 64 bytes of UTF-8 without control characters.
   * @throws PairError InvalidArgument (1000) with the detail `reason: idempotency_key_reused` when it came
   *   with another write
   */
  readonly idempotencyKey?: string | undefined;
}

/** A delete that a client asks for. */
export type DeleteInput = Pick<PutInput, "key" | "context" | "ifContext">;

/** For a batch. */
export interface BatchPutOptions extends WriteOptions {
  /** Leave a key alone when its one version has this value already, and neither has a TTL. */
  readonly skipUnchanged?: boolean | undefined;
}

/** Who waits for a write, and may stop waiting before it is done. */
export interface WriteWatch {
  /** Nobody waits any more: a write that the log does not have yet is refused (2001). */
  readonly gone: boolean;
  /**
   * Called when the log gets the write: from here on it finishes, whoever waits, unless the log fails, and
   * then nobody knows. A write that fails without this call has changed nothing.
   */
  handedOver(): void;
}

/** What a write did. */
export interface WriteResult {
  /** The context for the next write of the key. */
  readonly clock: CausalContext;
  /** The version's stamp, ms since 1970. */
  readonly timestampMs: number;
}

/** A version that another node made. */
export interface ReplicaWrite {
  /** 1 to 1024 bytes of UTF-8 without control characters. */
  readonly key: string;
  /** Undefined for a delete, and for nothing else. */
  readonly value: Uint8Array | undefined;
  /** Whether the version is a delete. */
  readonly deleted: boolean;
  /**
   * All that the version has seen, itself included; at least one event, and none that cannot have happened:
   * see src/model/plausible.ts.
   */
  readonly clock: VectorClock;
  /** Wall time of the write, ms since 1970; absent or 0: now, or that of the same version here. */
  readonly timestampMs?: number | undefined;
}

/** Bounds of a scan, which need not be keys: any well-formed text of at most 1024 bytes. Empty: no bound. */
export interface ScanInput {
  /** Keys that begin with this; may be combined with the others. */
  readonly prefix?: string;
  /** The first key, inclusive. */
  readonly start?: string;
  /** The end, exclusive. */
  readonly end?: string;
  /** Entries at most; absent or 0: all. */
  readonly limit?: number;
  /** From the last key of the range to the first. */
  readonly reverse?: boolean;
}

/** One live key of a scan. A scan merges all layers, so its items have no one source. */
export interface ScanItem {
  /** The key as text. */
  readonly key: string;
  /** What it holds. */
  readonly result: KeyState;
}

/**
 * An iteration over a scan's items. A `for` loop takes each as soon as it can, and blocks where the disk is
 * slow; those who can wait await `ready` before each step.
 */
export interface Scan extends Iterable<ScanItem> {
  next(): IteratorResult<ScanItem>;
  /** A promise to await first when the next item has to come from a slow disk. Never rejects. */
  ready(): Promise<void> | undefined;
  /** Ends the iteration; later steps give nothing. */
  return(): IteratorResult<ScanItem>;
}

/** What is watched: one key, or a range of them as {@link ScanInput} has it; nothing: all keys. */
export interface WatchInput {
  /** One key; not together with bounds. Empty: no key. */
  readonly key?: string;
  readonly prefix?: string;
  readonly start?: string;
  readonly end?: string;
  /** Where to go on: the token of an event of an earlier watch. Empty: begin now. */
  readonly token?: string;
  /** Begin with what the range holds now; again after each gap. */
  readonly initial?: boolean;
  /** `progress` comes after this long without events, ms: 100 to 3,600,000. Absent or 0: 10 s. */
  readonly progressMs?: number;
}

/** Something that a watcher is told. */
export interface WatchEvent {
  /**
   * `put`, `delete`: the key's state after a write. `initial`: what it held when the watch began.
   * `progress`: the watch has begun, or still stands; every change from here on comes. `gap`: changes were
   * missed, so what is known of the range is to be read again; the watch goes on behind the gap.
   */
  readonly type: "put" | "delete" | "initial" | "progress" | "gap";
  /** Empty for `progress` and `gap`. */
  readonly key: string;
  /** For `put` and `initial`. */
  readonly state: KeyState | undefined;
  /** Covers every version of the key. */
  readonly clock: CausalContext;
  /** Of the version that is shown, ms since 1970. */
  readonly timestampMs: number;
  /** When the value that is shown expires, ms since 1970, of which no event tells; 0: never. */
  readonly expiresAtMs: number;
  /** A later watch goes on behind this event. Empty where it cannot. */
  readonly token: string;
  /**
   * Of a gap: `unknown` (the token is of another life of the node, or of a history that was given up),
   * `expired` (older than what is kept), `overrun` (the watcher was too slow). Else empty.
   */
  readonly reason: string;
}

/** One version of a key on its way from one node to another. */
export interface TransferEntry {
  readonly key: string;
  readonly version: Version;
}

/** Which keys of a tenant are meant; bounds as of {@link ScanInput}, all together narrow it. */
export interface RangeInput {
  /** The first key, inclusive. */
  readonly start?: string;
  /** The end, exclusive. */
  readonly end?: string;
  /** Keys with tokens in there. */
  readonly tokens?: TokenRange | undefined;
}

/** What a stream of versions is asked for. */
export interface StreamInput extends RangeInput {
  /** The checkpoint of an earlier stream: go on behind this key. Absent or empty: from the first. */
  readonly resumeAfter?: string;
  /** Bytes of one batch; absent or 0: 256 KiB; at most 8 MiB. One large version may exceed it. */
  readonly batchBytes?: number;
}

/** What a range holds. */
export interface TransferTotals {
  readonly keys: number;
  readonly versions: number;
  /** Versions that are deletes. */
  readonly tombstones: number;
  /** Of keys and encoded versions. */
  readonly bytes: number;
  /** Over all versions in their order; see `src/model/transfer_checksum.ts`. */
  readonly checksum: number;
}

/** A part of a stream of versions. */
export interface TransferBatch {
  /** By key, the versions of a key in canonical order. At most 500; none where a range of tokens has had none for 10 s, or at the end. */
  readonly entries: readonly TransferEntry[];
  /** Over the entries. */
  readonly checksum: number;
  /** Of this key, and of all before it, every version is out; empty before there is one. */
  readonly checkpoint: string;
  /** Of the whole stream, in its last batch; undefined before. */
  readonly totals: TransferTotals | undefined;
}

/** What a node did with a batch of versions. */
export interface Replicated {
  readonly keys: number;
  readonly versions: number;
  /** Versions that the node did not have, nor anything that replaces them. */
  readonly applied: number;
  /** The last key of the batch. */
  readonly lastKey: string;
}

/** What is moved to another node, and where to. */
export interface MigrationInput extends RangeInput {
  /**
   * Names the migration, so that it can be asked for again: 1 to 64 letters, digits, dots, underscores and
   * hyphens. Absent or empty: a random one.
   */
  readonly id?: string;
  /** The address of the other node, `http://HOST:PORT` or `https://HOST:PORT`. */
  readonly target: string;
  /** Absent or empty: all tenants. */
  readonly tenant?: string;
}

/**
 * Where a migration is: what was there is being `copied`; what was written meanwhile is being `streamed`; both
 * sides are being compared, and what differs is sent again (`syncing`); or it is over.
 */
export type MigrationState = "copying" | "streaming" | "syncing" | "completed" | "failed";

/** What a migration has done, restarts of the node included. */
export interface MigrationCounts {
  /** Keys and bytes that were copied. */
  readonly keysCopied: number;
  readonly bytesCopied: number;
  /** The same of those that were written meanwhile: a key counts each time that it is sent. */
  readonly keysStreamed: number;
  readonly bytesStreamed: number;
  /** Parts of the range that were compared, and those that were sent again, and the keys of those. */
  readonly piecesCompared: number;
  readonly piecesResent: number;
  readonly keysResent: number;
  /** Times that too many keys were written to remember them, so that all was compared again. */
  readonly rescans: number;
  /** Times that something failed and was tried again. */
  readonly retries: number;
}

/** A migration, as it is now. */
export interface MigrationInfo extends MigrationCounts {
  readonly id: string;
  readonly target: string;
  /** Undefined: all tenants. */
  readonly tenant: string | undefined;
  /** The first key, inclusive; empty: no bound. */
  readonly start: string;
  /** The end, exclusive; empty: no bound. */
  readonly end: string;
  readonly tokens: TokenRange | undefined;
  readonly state: MigrationState;
  /** Whether the node takes no writes on its account. */
  readonly draining: boolean;
  /** Wall times, ms since 1970; 0 while it is not over. */
  readonly createdAtMs: number;
  readonly endedAtMs: number;
  /** Keys that were written and wait to be sent, as far as they are remembered. */
  readonly pendingKeys: number;
  /** While the last of them were sent, as many or more were written: it does not get nearer to its end. */
  readonly fallsBehind: boolean;
  /** Why it failed; while it runs, the failure that it tries to get over. Empty: none. */
  readonly error: string;
}

/** A drain, as it is now. */
export interface DrainInfo {
  /** Everything is at the target, compared by checksums: the node can go. */
  readonly drained: boolean;
  readonly migration: MigrationInfo;
}

/** Figures of a range. */
export interface KeyRangeInfo {
  /** The first key that holds any version; empty when there is none. */
  readonly first: string;
  readonly last: string;
  /** Exact with {@link totals}; else estimated, before layers are merged. */
  readonly keys: number;
  /** The same, of keys and encoded versions. */
  readonly bytes: number;
  /** Undefined for an estimate. */
  readonly totals: TransferTotals | undefined;
}

/** What a tenant has of its own; see {@link TreeOptions}. */
export type TenantOptions = TreeOptions;

/** What a tenant is on the node that its data come from. */
export interface TenantOrigin {
  readonly options: TenantOptions;
  /** SHA-256 of the source of the merge function that its conflict strategy names, in hex; absent: not compared. */
  readonly mergeFunctionDigest?: string | undefined;
}

/** A function of the application that merges concurrent values, of tenants with `merge:<name>`. */
export interface MergeFunctionInfo {
  /** As in `merge:<name>`. */
  readonly name: string;
  /** SHA-256 of its source, in hex. */
  readonly digest: string;
  /** Of the source. */
  readonly bytes: number;
  /** Wall time, ms since 1970. */
  readonly registeredAtMs: number;
  /** How many tenants were created with it. */
  readonly tenants: number;
}

/** What of a tenant is compacted. */
export interface CompactInput {
  /** The first key, inclusive; empty: no bound. */
  readonly start?: string;
  /** The end, exclusive; empty: no bound. */
  readonly end?: string;
  /** Drop what is dead by now, without its grace. */
  readonly purge?: boolean;
}

/** Which of a tenant's keys: one, those with a prefix, or without either all. */
export interface CacheRange {
  /** 1 to 1024 bytes; empty or absent: not one. */
  readonly key?: string | undefined;
  /** Empty or absent: no bound. */
  readonly prefix?: string | undefined;
}

/** What became of a change to the caches. */
export interface CacheChange {
  /** Keys in the range that have a value. */
  readonly keys: number;
  /** `none`: no shared cache is configured; `done`; `failed`: it was not reached, or did not take all. */
  readonly shared: "none" | "done" | "failed";
}

/** How much a tenant has. */
export interface TenantSize {
  /** Of keys and values, before compression. */
  readonly bytes: number;
  /** Keys. */
  readonly keys: number;
}

/** What a tenant uses of its quotas. Sizes are estimates and never too low, see `quotas.ts`; the rest counts from the start of the node. */
export interface TenantUsage extends TenantSize {
  /** Keys that were asked for or written, and scans. */
  readonly requests: number;
  /** Of keys and values that were written. */
  readonly bytesIn: number;
  /** Of values that were read. */
  readonly bytesOut: number;
  /** Requests that a quota, or the limit of a hot key, has refused. */
  readonly refused: number;
  /** Bytes that it holds of the caches. */
  readonly cacheBytes: number;
}

/** Facts about a tenant. */
export interface TenantInfo {
  /** The tenant's id. */
  readonly tenant: string;
  /** Wall time of its creation, ms since 1970. */
  readonly createdAtMs: number;
  /** Bytes in its memtables and tables, before merging: an upper bound. */
  readonly bytes: number;
  /** SSTables. */
  readonly tables: number;
  readonly options: TenantOptions;
  readonly usage: TenantUsage;
}

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
  /** The node's name in clocks. */
  readonly nodeId: string;
  /** The program's version. */
  readonly version: string;
  /** As {@link StorageNode.health} gives it. */
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

/** A consistent copy of all of a node's data, in its data directory. */
export interface SnapshotInfo {
  /** Names it among the node's. */
  readonly name: string;
  /** Its directory. */
  readonly dir: string;
  /** The id of the node it was taken of. */
  readonly node: string;
  /** The last write that is in it. */
  readonly sequence: number;
  /** Wall time of that moment, ms since 1970. */
  readonly createdAtMs: number;
  /** How many files. */
  readonly files: number;
  /** Bytes of all files, those included that the store still shares. */
  readonly bytes: number;
  /** Why it cannot be used; undefined when nothing is known to be wrong with it. */
  readonly problem: string | undefined;
}

/** A snapshot that was just made, and what it took. */
export interface SnapshotMade extends SnapshotInfo {
  /** Files that share their bytes with the store. */
  readonly linked: number;
  /** Bytes that had to be copied, where the file system has no hard links. */
  readonly copiedBytes: number;
  /** Bytes that had to be read for their digest. */
  readonly digestedBytes: number;
  /** From the moment until the store was free to remove its old files again. */
  readonly pinnedMs: number;
  /** From the call to the answer. */
  readonly elapsedMs: number;
}

/** What is wrong with one file of a snapshot. */
export interface SnapshotProblem {
  /** Its path. */
  readonly file: string;
  /** What is wrong, for people. */
  readonly problem: string;
}

/** Work in the background. */
export interface NodeJob extends Omit<JobInfo, "tree"> {
  /** Undefined: all tenants. */
  readonly tenant: string | undefined;
  /** Bytes a second since its submission. */
  readonly rate: number;
  /** What is left at this rate, in ms; undefined when nobody knows. */
  readonly etaMs: number | undefined;
}

/** A table that the scrub has found damaged. */
export interface DamagedTable {
  readonly file: string;
  /** Empty when it was dropped meanwhile. */
  readonly tenant: string;
  /** What is wrong, for people. */
  readonly problem: string;
}

/** What a node does in the background. */
export interface NodeJobs {
  /** Those that are not over, then those that are, the newest first. */
  readonly jobs: readonly NodeJob[];
  /** When the quiet hours that it is are over, wall ms since 1970; undefined: it is none. */
  readonly quietUntilMs: number | undefined;
  readonly scrub: Omit<ScrubStatus, "damaged"> & { readonly damaged: readonly DamagedTable[] };
}

/**
 * One storage node. Limits (key 1 KiB, value 10 MiB, batch 1000 items) are in `src/model/limits.ts`. Where a
 * tenant has used up a quota of its own, what reads or writes its keys throws ResourceExhausted (2008) with the
 * details `reason: quota`, `quota`, `limit` and `retry_after_ms`; where a single key is named more often than
 * the node lets it be, with `reason: hot_key`, `limit` and `retry_after_ms`.
 */
export interface StorageNode {
  /** The node's name in clocks. */
  readonly nodeId: string;
  /** Of its data directory: under another one it has other data. Empty: it is not known. */
  readonly incarnation: string;
  /**
   * Stores a value: with a context it replaces what that has seen and stays beside the rest, without one
   * it replaces all that the node has. With a conflict strategy of the tenant's own that does what it says.
   * @throws PairError InvalidArgument (1000) with the detail `reason: operation`, or ValueTooLarge (1003), where
   *   that cannot take the value; ResourceExhausted (2008) beyond 100 concurrent versions, 64 MiB of them, or 1000
   *   entries in the clock
   */
  put(tenant: string, input: PutInput & WriteOptions, watch?: WriteWatch): Promise<WriteResult>;
  /**
   * Undefined when the key has no live value (absent, deleted, expired, or the tenant does not exist and
   * auto_create is on). A merge function of the application is not asked: its tenants' siblings are shown.
   */
  get(tenant: string, key: Key): ReadResult | undefined;
  /**
   * The same, for callers that can wait: a promise when the key has to come from a slow disk, or from a merge
   * function.
   * @param options  `asStored`: every version as nodes hand it on, whatever the tenant's conflict strategy shows
   */
  read(
    tenant: string,
    key: Key,
    options?: { asStored?: boolean },
  ): ReadResult | undefined | Promise<ReadResult | undefined>;
  /**
   * Reads a key as {@link read} does, and says how. The read is a real one: it counts against the tenant's
   * requests, and what it brings into the caches is there for the next.
   */
  explain(tenant: string, key: Key): Promise<Explanation>;
  /**
   * Deletes a key as {@link put} replaces it. Where there is no version at all, nothing is written.
   * @returns also whether there was a live value
   */
  delete(
    tenant: string,
    input: DeleteInput & WriteOptions,
    watch?: WriteWatch,
  ): Promise<WriteResult & { existed: boolean }>;
  /**
   * Stores all values or none; 1 to 1000 items of at most 64 MiB together. Items of one key build on
   * each other.
   * @param options  `skipUnchanged`: leave a key alone when its one version has this value already, and
   *   neither has a TTL
   */
  batchPut(
    tenant: string,
    items: readonly PutInput[],
    options?: BatchPutOptions,
    watch?: WriteWatch,
  ): Promise<{ results: readonly WriteResult[]; unchanged: number }>;
  /**
   * One result (or undefined) for each of 1 to 1000 keys, at one moment.
   * @param options  `maxBytes`: the answer ends before its values exceed this, but not before its first key
   */
  batchGet(
    tenant: string,
    keys: readonly string[],
    options?: { maxBytes?: number },
  ): Promise<readonly (ReadResult | undefined)[]>;
  /** Live keys in byte order, or backwards, at one moment. Stop early by returning from the iteration. */
  scan(tenant: string, input: ScanInput): Scan;
  /**
   * What comes of keys, in the order of the writes, from when the first event is there: once it is durable,
   * and reads see it. Nothing is left out without a `gap`. Events come in batches; the next is made when it
   * is asked for. The input is checked by the call itself.
   * @param signal  ends the watch; its reason is thrown
   * @throws PairError ResourceExhausted (2008) when there are too many watches, or the tenant's requests are
   *   used up, InvalidTenantID (1004) when
   *   the tenant is dropped, Unavailable (2001) when the node closes
   */
  watch(
    tenant: string,
    input: WatchInput,
    signal?: AbortSignal,
  ): AsyncGenerator<readonly WatchEvent[], undefined>;
  /** Stores exactly this version unless it is dominated; returns the key's clock afterwards. */
  applyReplica(
    tenant: string,
    write: ReplicaWrite,
    origin: "write" | "delete" | "repair",
    watch?: WriteWatch,
  ): Promise<WriteResult>;
  /**
   * Every version of a range's keys, deletes and expired values too, in order, as of the first step. The
   * input is checked by the call itself.
   * @param signal  ends the stream; its reason is thrown
   * @throws PairError InvalidTenantID (1004) when there is no such tenant, whether writes make tenants or
   *   not: nothing is not the same as everything moved
   */
  streamKeys(
    tenant: string,
    input: StreamInput,
    signal?: AbortSignal,
  ): AsyncGenerator<TransferBatch, undefined>;
  /**
   * Merges versions in, all or none: 1 to 1000, in the order of a stream, of 64 MiB together at most. A
   * batch that comes again changes nothing.
   * @param checksum  that the sender has of the entries
   * @param origin    what the tenant is there: where there is none here, it is made so, of one that is here
   *   the conflict strategy has to be the same. With it, the batch may be empty. Undefined: a tenant is made
   *   with this node's own options, and nothing is compared
   * @throws PairError ChecksumFailed (1006) when the entries have another, InvalidArgument (1000) when they
   *   are out of order, and with the detail `reason: conflict_strategy` or `merge_function` where the tenant is
   *   another here; ResourceExhausted (2008) when a key would hold too many versions
   */
  replicate(
    tenant: string,
    entries: readonly TransferEntry[],
    checksum: number | undefined,
    watch?: WriteWatch,
    origin?: TenantOrigin,
  ): Promise<Replicated>;
  /**
   * The first and last key of a range, and how much there is.
   * @param tenant   undefined: all tenants, estimated
   * @param options  `exact`: read the range and count; `signal` ends that
   * @throws PairError InvalidTenantID (1004) when there is no such tenant
   */
  keyRange(
    tenant: string | undefined,
    input: RangeInput,
    options?: { exact?: boolean; signal?: AbortSignal },
  ): Promise<KeyRangeInfo>;
  /**
   * Moves a range to another node, in the background: durable when the promise resolves, so that it goes on
   * after a restart. Asking again for what is under way or complete, by the same id, changes nothing; for what
   * has failed, goes on behind its checkpoint.
   * @throws PairError InvalidArgument (1000) for a bad id or address, with the detail `reason: already_exists`
   *   where the id is another migration's, `reason: no_peers` where this node reaches no others;
   *   InvalidTenantID (1004) when there is no such tenant; ResourceExhausted (2008) when too many are under way
   */
  startMigration(input: MigrationInput): Promise<MigrationInfo>;
  /** Those under way, and the last that are over; the newest first. */
  listMigrations(): readonly MigrationInfo[];
  /**
   * Ends a migration that is under way: it has failed then. What was sent stays where it is. A drain that is
   * ended, or that was complete, takes writes again.
   * @throws PairError InvalidArgument (1000) with the detail `reason: not_found`
   */
  cancelMigration(id: string): Promise<MigrationInfo>;
  /**
   * Has the node take no writes any more (2001, with the detail `reason: draining`), and moves everything to
   * another node. Says how far that is when it is asked again; what has failed goes on then. A restart changes
   * nothing about it: only {@link cancelDrain} has the node take writes again.
   * @param target  undefined: how far is the one that there is
   * @throws PairError as {@link startMigration}; InvalidArgument (1000) with the detail `reason:
   *   already_draining` where another target was given, `reason: not_draining` where none was, and there is none
   */
  drain(target: string | undefined): Promise<DrainInfo>;
  /** Ends a drain, whether it is complete or not. @throws PairError InvalidArgument (1000) with the detail `reason: not_draining` */
  cancelDrain(): Promise<DrainInfo>;
  /** Whether no writes are taken because of a drain. */
  readonly draining: boolean;
  /**
   * Makes a tenant.
   * @throws PairError InvalidArgument (1000) with the detail `reason: already_exists`, or for an option
   *   that has no such value
   */
  createTenant(tenant: string, options?: TenantOptions): Promise<TenantInfo>;
  /**
   * Changes options of a tenant while it is in use. A default time to live holds for values written from
   * then on; the conflict strategy stays as it is.
   * @param changes  fields that are left out stay; one that is undefined goes back to the node's own
   * @throws PairError InvalidTenantID (1004) when there is none, InvalidArgument (1000) for an option that
   *   has no such value
   */
  updateTenant(tenant: string, changes: TenantOptions): Promise<TenantInfo>;
  /** All tenants, in order of their id. */
  listTenants(): readonly TenantInfo[];
  /** Removes a tenant with all its data, at once and for good. @throws PairError InvalidTenantID (1004) */
  dropTenant(tenant: string): Promise<void>;
  /**
   * Registers a function of the application, once it has been tried: it must give the same each time, and be
   * commutative, associative and idempotent. What is there under the name with the same source stays.
   * @param name     1 to 64 of a-z, 0-9, _, . and -, a letter first
   * @param source   TypeScript or JavaScript, at most 64 KiB: a module whose default export is a function of two
   *   Uint8Arrays that returns one
   * @param samples  at most 8 values of the application, of 64 KiB each, to try it on beside generated ones
   * @throws PairError InvalidArgument (1000) with the details `reason: merge_function` and `law`, when it does
   *   not hold, or `reason: already_exists`, when the name has another source; ResourceExhausted (2008) beyond 64;
   *   Unavailable (2001) where there is no sandbox to run it in
   */
  registerMergeFunction(
    name: string,
    source: string,
    samples?: readonly Uint8Array[],
  ): Promise<MergeFunctionInfo>;
  /** All of them, by name. */
  listMergeFunctions(): readonly MergeFunctionInfo[];
  /**
   * Forgets one.
   * @throws PairError InvalidArgument (1000) with the detail `reason: not_found`, or `in_use` while a tenant has it
   */
  removeMergeFunction(name: string): Promise<void>;
  /** Writes the memtables of a tenant, or of all, to tables; durable when the promise resolves. */
  flush(tenant?: string): Promise<void>;
  /** Flushes, then merges tables of a tenant, or of each, to one level: all, or those with keys of a range. */
  compact(tenant?: string, input?: CompactInput): Promise<void>;
  /**
   * Takes a tenant's keys out of the row cache and the shared cache. No read needs it: a value that is no longer
   * true is not answered with in any case.
   * @throws PairError InvalidTenantID (1004) when there is none, InvalidArgument (1000) for a key together with a
   *   prefix, InvalidKey (1005) for a key that is none
   */
  invalidateCache(tenant: string, range?: CacheRange): Promise<CacheChange>;
  /** Puts a tenant's keys into the shared cache. @throws PairError as {@link StorageNode.invalidateCache} */
  fillCache(tenant: string, range?: CacheRange): Promise<CacheChange>;
  /**
   * Makes a consistent copy of everything, as of one moment, while writes go on. Durable and whole when
   * the promise resolves.
   * @throws PairError InvalidArgument (1000) for a name that is none, or with the detail `reason:
   *   already_exists`; Unavailable (2001) while another is being made; DiskFull (2002)
   */
  createSnapshot(name: string): Promise<SnapshotMade>;
  /** All snapshots, by name. */
  listSnapshots(): readonly SnapshotInfo[];
  /**
   * The keys that are read or written most, hottest first. A key that has more than 1/256 of the node's reads or
   * writes is counted for sure; it is listed once that is more than what sampling may be off by.
   * @throws PairError InvalidTenantID (1004) when there is no such tenant
   */
  hotKeys(query?: HotKeyQuery): readonly HotKey[];
  /** What it does in the background. @param options  `ended`: also the last 32 that are over */
  listJobs(options?: { ended?: boolean }): NodeJobs;
  /**
   * Reads every byte of a snapshot and compares digests; no problems: it is whole.
   * @throws PairError InvalidArgument (1000) with the detail `reason: not_found`, CorruptedData (2007) when
   *   not even its list of files can be read
   */
  verifySnapshot(
    name: string,
  ): Promise<{ snapshot: SnapshotInfo; problems: readonly SnapshotProblem[] }>;
  /** Deletes a snapshot for good. @throws PairError InvalidArgument (1000) with the detail `reason: not_found` */
  deleteSnapshot(name: string): Promise<void>;
  /** Whether the node can be relied on, and why not. */
  health(): Health;
  /** Figures for people and metrics. */
  status(): NodeStatus;
  /**
   * Refuses new calls (2001) and closes the engine; a second call waits for the first.
   * @param options  for how long it may flush and wait: see `Engine.close`
   */
  close(options?: CloseOptions): Promise<void>;
}
