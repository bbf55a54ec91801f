/**
 * What a storage node does for the floors above (RPC, REST, the embedded database): keys and values
 * of tenants, with versions. Every method validates its input first and changes nothing when it
 * throws a PairError, but for a write whose log fails: see {@link WriteWatch}.
 * @module
 */
import type { CloseOptions } from "../engine/mod.ts";
import type { Key } from "../model/mod.ts";
import type {
  BatchPutOptions,
  CacheChange,
  CacheRange,
  CompactInput,
  DeleteInput,
  DrainInfo,
  Explanation,
  Health,
  HotKey,
  HotKeyQuery,
  KeyRangeInfo,
  MergeFunctionInfo,
  MigrationInfo,
  MigrationInput,
  NodeJobs,
  NodeStatus,
  PutInput,
  RangeInput,
  ReadResult,
  Replicated,
  ReplicaWrite,
  Scan,
  ScanInput,
  SnapshotInfo,
  SnapshotMade,
  SnapshotProblem,
  StreamInput,
  TenantInfo,
  TenantOptions,
  TenantOrigin,
  TransferBatch,
  TransferEntry,
  WatchEvent,
  WatchInput,
  WriteOptions,
  WriteResult,
  WriteWatch,
} from "./api/mod.ts";

export type * from "./api/mod.ts";

/**
 * One storage node. Limits (key 1 KiB, value 10 MiB, batch 1000 items) are in `src/model/limits.ts`. Where a
 * tenant has used up a quota of its own, what reads or writes its keys throws ResourceExhausted (2008) with the
 * details `reason: quota`, `quota`, `limit` and `retry_after_ms`; where a single key is named more often than
 * the node lets it be, with `reason: hot_key`, `limit` and `retry_after_ms`.
 */
export interface StorageNode {
  /** The node's name. Whose events its writes are, in clocks, see `identity.ts`. */
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
   * Begins a round of the scrub now, from the first file on; {@link listJobs} tells how far it is.
   * @throws PairError InvalidArgument (1000) where the engine has no scrub
   */
  startScrub(): void;
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
