/**
 * The storage node: the parts put together. Reads are `tenant_reads.ts`, writes `tenant_writes.ts`; what an
 * operator asks of a node is handed on from here.
 * @module
 */
import type { CloseOptions, Engine, Recached, Tree } from "../engine/mod.ts";
import {
  type ContextSeals,
  encodeBound,
  type Key,
  PairError,
  validateNodeId,
  validateTenant,
} from "../model/mod.ts";
import type { Runtime, Sandbox } from "../runtime/mod.ts";
import { Admission } from "./admission.ts";
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
  StorageNode,
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
} from "./api.ts";
import { boundsOfCache } from "./bounds.ts";
import { Changes, DEFAULT_WATCH_LIMITS, type WatchLimits } from "./changes.ts";
import { DiskGuard, type DiskThresholds, estimateWrite } from "./disk_guard.ts";
import { ExpiryClock } from "./expiry_clock.ts";
import { Followers } from "./followers.ts";
import { DEFAULT_DISK_THRESHOLDS, HealthMonitor } from "./health.ts";
import { DEFAULT_HOT_KEY_LIMITS, type HotKeyLimits, HotKeys } from "./hot_keys/mod.ts";
import { DEFAULT_IDEMPOTENCY, type IdempotencyLimits, WriteMemory } from "./idempotency/mod.ts";
import { listJobs } from "./jobs.ts";
import type { CallCounts } from "./load.ts";
import { MergeFunctions } from "./merge/mod.ts";
import {
  DEFAULT_MIGRATION_LIMITS,
  type MigrationLimits,
  Migrations,
  type Peers,
} from "./migration/mod.ts";
import { Quotas } from "./quotas.ts";
import { SealedAnswers } from "./sealed.ts";
import { statusOf, type StatusParts } from "./status.ts";
import { TenantReads } from "./tenant_reads.ts";
import { TenantWrites } from "./tenant_writes.ts";
import { Tenants } from "./tenants.ts";
import { countRange, estimateRange, streamRange, sumOf, type TransferParts } from "./transfer.ts";
import { TransferFigures } from "./transfer_figures.ts";
import { checkStream } from "./validate.ts";
import { WritePath } from "./writes.ts";

/** How long a write is held back where nobody says, ms. */
export const WRITE_STALL_MS_MAX = 10_000;
/** Hot keys that are listed where nobody says how many. */
const HOT_KEYS_LISTED = 10;

/** What a node is made of. */
export interface StorageNodeOptions {
  /** Knows the merge operator `versions`. The node closes it. */
  readonly engine: Engine;
  /** Its clock, disk and log are used. */
  readonly runtime: Runtime;
  /** Names this node: 1 to 128 bytes, the same for the life of the data directory. */
  readonly nodeId: string;
  /** The data directory's incarnation, which snapshots are marked with; absent: they are not. */
  readonly incarnation?: string;
  /** Whose events the writes of clients become, in clocks; absent: the node id. */
  readonly actor?: string;
  /** The program's version, for people. */
  readonly version: string;
  /** Where the engine's files are, to measure its disk. */
  readonly dataDir: string;
  /** Whether the first write of a tenant makes it. */
  readonly tenantAutoCreate: boolean;
  /** How long a write is held back while compactions are behind before it is refused, ms. Default {@link WRITE_STALL_MS_MAX}. */
  readonly writeStallMsMax?: number | undefined;
  /** How many writes with an idempotency key are remembered, and how long. Default {@link DEFAULT_IDEMPOTENCY}. */
  readonly idempotency?: IdempotencyLimits | undefined;
  /** When a filling disk makes the node degraded; default {@link DEFAULT_DISK_THRESHOLDS}. */
  readonly diskThresholds?: DiskThresholds;
  /** Where merge functions run; without one, none is registered, and their tenants' siblings are shown. Its owner closes it. */
  readonly sandbox?: Sandbox | undefined;
  /** How much of watching there may be; default {@link DEFAULT_WATCH_LIMITS}. */
  readonly watch?: WatchLimits | undefined;
  /** How often one key may be named; default: any number of times. */
  readonly hotKeys?: HotKeyLimits | undefined;
  /** Makes and checks the seals of contexts; without, none are made, and none that come are looked at. */
  readonly seals?: ContextSeals | undefined;
  /** Calls, counted by whoever takes them, for health. */
  readonly calls?: CallCounts | undefined;
  /** The way to other nodes, for migrations; absent: there is none. */
  readonly peers?: Peers | undefined;
  /** How much a migration may take; default {@link DEFAULT_MIGRATION_LIMITS}. */
  readonly migration?: MigrationLimits | undefined;
}

/**
 * A storage node on an open engine.
 * @throws PairError InvalidArgument (1000) when the node id is not one
 */
export function openStorageNode(options: StorageNodeOptions): StorageNode {
  validateNodeId(options.nodeId);
  return new EngineNode(options);
}

class EngineNode implements StorageNode {
  readonly nodeId: string;
  readonly incarnation: string;
  readonly #options: StorageNodeOptions;
  readonly #engine: Engine;
  readonly #runtime: Runtime;
  readonly #tenants: Tenants;
  readonly #functions: MergeFunctions;
  readonly #memory: WriteMemory;
  readonly #quotas: Quotas;
  readonly #hotKeys: HotKeys;
  readonly #changes: Changes;
  readonly #migrations: Migrations;
  readonly #transfers: TransferFigures;
  readonly #monitor: HealthMonitor;
  readonly #disk: DiskGuard;
  readonly #reads: TenantReads;
  readonly #writes: TenantWrites;
  readonly #status: StatusParts;
  readonly #startedAtMs: number;
  #closing: Promise<void> | undefined;

  constructor(options: StorageNodeOptions) {
    const { nodeId, incarnation = "", actor = nodeId } = options;
    const { engine, runtime, dataDir, calls, seals } = options;
    const { clock } = runtime;
    this.nodeId = nodeId;
    this.incarnation = incarnation;
    this.#options = options;
    this.#engine = engine;
    this.#runtime = runtime;
    const quotas = this.#quotas = new Quotas(engine, runtime, actor);
    const hotKeys = this.#hotKeys = new HotKeys({
      clock,
      random: runtime.random,
      limits: options.hotKeys ?? DEFAULT_HOT_KEY_LIMITS,
      refused: (tree) => quotas.noteRefused(tree),
    });
    const functions = this.#functions = new MergeFunctions(engine, runtime, options.sandbox);
    const tenants = this.#tenants = new Tenants(
      engine,
      quotas,
      functions,
      options.tenantAutoCreate,
      runtime.log,
    );
    const memory = this.#memory = new WriteMemory(
      engine,
      options.idempotency ?? DEFAULT_IDEMPOTENCY,
    );
    const answers = new SealedAnswers(seals);
    const path = new WritePath(engine, runtime, actor, answers);
    const transfers = this.#transfers = new TransferFigures(clock);
    const followers = new Followers(engine);
    const changes = this.#changes = new Changes(
      engine,
      followers,
      runtime,
      options.watch ?? DEFAULT_WATCH_LIMITS,
    );
    this.#migrations = new Migrations({
      engine,
      followers,
      runtime,
      limits: options.migration ?? DEFAULT_MIGRATION_LIMITS,
      peers: options.peers,
      nodeId,
      incarnation,
      tenants: () => tenants.names(),
      find: (tenant) => tenants.find(tenant),
      findSettled: (tenant) => tenants.findSettled(tenant),
      originOf: (tree) => tenants.originOf(tree),
    });
    const thresholds = options.diskThresholds ?? DEFAULT_DISK_THRESHOLDS;
    const monitor = this.#monitor = new HealthMonitor({
      engine,
      clock,
      disk: runtime.disk,
      dataDir,
      thresholds,
      usage: runtime.usage,
      calls,
    });
    const disk = this.#disk = new DiskGuard(
      (ageMsMax) => monitor.space(ageMsMax),
      thresholds,
      runtime.log,
      (isTight) => engine.relieveDisk(isTight),
      () => engine.reserve(),
    );
    const expiry = new ExpiryClock(clock);
    const checkUse = (tenant: string) => this.#checkUse(tenant);
    const shared = { engine, clock, expiry, tenants, quotas, hotKeys, answers, checkUse };
    this.#reads = new TenantReads({ ...shared, functions, changes });
    const admission = new Admission({
      ...shared,
      memory,
      disk,
      stallMsMax: options.writeStallMsMax ?? WRITE_STALL_MS_MAX,
      checkOpen: () => this.#checkOpen(),
      checkTakesWrites: () => this.#checkTakesWrites(),
    });
    this.#writes = new TenantWrites({ ...shared, admission, disk, path, seals, transfers });
    const counting = [changes, memory, functions, transfers, hotKeys, this.#migrations];
    this.#status = { engine, monitor, disk, counting };
    this.#startedAtMs = clock.monotonicMs();
    this.#migrations.resume();
    engine.releaseDead();
  }

  put(
    tenant: string,
    input: PutInput & WriteOptions,
    watch?: WriteWatch,
  ): Promise<WriteResult> {
    return this.#writes.put(tenant, input, watch);
  }

  get(tenant: string, key: Key): ReadResult | undefined {
    return this.#reads.get(tenant, key);
  }

  read(
    tenant: string,
    key: Key,
    options?: { asStored?: boolean },
  ): ReadResult | undefined | Promise<ReadResult | undefined> {
    return this.#reads.read(tenant, key, options);
  }

  explain(tenant: string, key: Key): Promise<Explanation> {
    return this.#reads.explain(tenant, key);
  }

  delete(
    tenant: string,
    input: DeleteInput & WriteOptions,
    watch?: WriteWatch,
  ): Promise<WriteResult & { existed: boolean }> {
    return this.#writes.delete(tenant, input, watch);
  }

  batchPut(
    tenant: string,
    items: readonly PutInput[],
    options?: BatchPutOptions,
    watch?: WriteWatch,
  ): Promise<{ results: readonly WriteResult[]; unchanged: number }> {
    return this.#writes.batchPut(tenant, items, options, watch);
  }

  batchGet(
    tenant: string,
    keys: readonly string[],
    options?: { maxBytes?: number },
  ): Promise<readonly (ReadResult | undefined)[]> {
    return this.#reads.batchGet(tenant, keys, options);
  }

  scan(tenant: string, input: ScanInput): Scan {
    return this.#reads.scan(tenant, input);
  }

  watch(
    tenant: string,
    input: WatchInput,
    signal?: AbortSignal,
  ): AsyncGenerator<readonly WatchEvent[], undefined> {
    return this.#reads.watch(tenant, input, signal);
  }

  applyReplica(
    tenant: string,
    write: ReplicaWrite,
    origin: "write" | "delete" | "repair",
    watch?: WriteWatch,
  ): Promise<WriteResult> {
    return this.#writes.applyReplica(tenant, write, origin, watch);
  }

  replicate(
    tenant: string,
    entries: readonly TransferEntry[],
    checksum: number | undefined,
    watch?: WriteWatch,
    origin?: TenantOrigin,
  ): Promise<Replicated> {
    return this.#writes.replicate(tenant, entries, checksum, watch, origin);
  }

  streamKeys(
    tenant: string,
    input: StreamInput,
    signal?: AbortSignal,
  ): AsyncGenerator<TransferBatch, undefined> {
    this.#checkUse(tenant);
    const range = checkStream(input);
    const parts = this.#transferParts(this.#tenants.mustFind(tenant), signal);
    return streamRange({ ...parts, figures: this.#transfers }, range);
  }

  async keyRange(
    tenant: string | undefined,
    input: RangeInput,
    options: { exact?: boolean; signal?: AbortSignal } = {},
  ): Promise<KeyRangeInfo> {
    const tree = this.#treeOf(tenant);
    const range = checkStream(input);
    if (tree !== undefined) {
      const parts = this.#transferParts(tree, options.signal);
      return await (options.exact ? countRange(parts, range) : estimateRange(parts, range));
    }
    if (options.exact) {
      throw new PairError("InvalidArgument", "Cannot count the keys of all tenants: name one");
    }
    const estimates: KeyRangeInfo[] = [];
    for (const { tenant } of this.#tenants.list()) {
      const tree = this.#tenants.find(tenant);
      // Dropped meanwhile.
      if (tree === undefined) continue;
      estimates.push(await estimateRange(this.#transferParts(tree, undefined), range));
      this.#checkOpen();
    }
    return sumOf(estimates);
  }

  async startMigration(input: MigrationInput): Promise<MigrationInfo> {
    this.#checkOpen();
    if (input.tenant) validateTenant(input.tenant);
    return await this.#migrations.start(input);
  }

  listMigrations(): readonly MigrationInfo[] {
    this.#checkOpen();
    return this.#migrations.list();
  }

  async cancelMigration(id: string): Promise<MigrationInfo> {
    this.#checkOpen();
    return await this.#migrations.cancel(id);
  }

  async drain(target: string | undefined): Promise<DrainInfo> {
    this.#checkOpen();
    return await this.#migrations.drain(target);
  }

  async cancelDrain(): Promise<DrainInfo> {
    this.#checkOpen();
    return await this.#migrations.cancelDrain();
  }

  get draining(): boolean {
    return this.#migrations.draining;
  }

  async createTenant(tenant: string, options?: TenantOptions): Promise<TenantInfo> {
    this.#checkUse(tenant);
    this.#checkTakesWrites();
    return await this.#tenants.create(tenant, options);
  }

  async updateTenant(tenant: string, changes: TenantOptions): Promise<TenantInfo> {
    this.#checkUse(tenant);
    return await this.#tenants.update(tenant, changes);
  }

  listTenants(): readonly TenantInfo[] {
    this.#checkOpen();
    return this.#tenants.list();
  }

  async dropTenant(tenant: string): Promise<void> {
    this.#checkUse(tenant);
    const { id } = await this.#tenants.drop(tenant);
    this.#changes.end(tenant, new PairError("InvalidTenantID", "The tenant was dropped"));
    try {
      await this.#memory.forget(id);
    } catch (error) {
      // The tenant is gone all the same; what is left of it nobody can reach, and the next start clears it.
      this.#runtime.log.warn("node.idempotency_left", { tenant, error: String(error) });
    }
  }

  async registerMergeFunction(
    name: string,
    source: string,
    samples: readonly Uint8Array[] = [],
  ): Promise<MergeFunctionInfo> {
    this.#checkOpen();
    const admit = (bytes: number) => {
      this.#checkOpen();
      this.#disk.admit("put", estimateWrite(bytes));
    };
    return await this.#functions.register(name, source, samples, admit);
  }

  listMergeFunctions(): readonly MergeFunctionInfo[] {
    this.#checkOpen();
    return this.#functions.list();
  }

  async removeMergeFunction(name: string): Promise<void> {
    this.#checkOpen();
    await this.#functions.remove(name);
  }

  async flush(tenant?: string): Promise<void> {
    await this.#engine.flush(this.#treeOf(tenant));
  }

  async compact(tenant?: string, input: CompactInput = {}): Promise<void> {
    const start = encodeBound(input.start, "the start");
    const end = encodeBound(input.end, "the end");
    if (tenant === undefined && (start !== undefined || end !== undefined)) {
      throw new PairError("InvalidArgument", "Cannot compact a range: it needs a tenant");
    }
    const tree = this.#treeOf(tenant);
    await this.#engine.compact(tree, { start, end, purge: input.purge });
  }

  async invalidateCache(tenant: string, range: CacheRange = {}): Promise<CacheChange> {
    const bounds = boundsOfCache(range);
    return cacheChange(await this.#engine.uncache(this.#treeOf(tenant)!, bounds));
  }

  async fillCache(tenant: string, range: CacheRange = {}): Promise<CacheChange> {
    const bounds = boundsOfCache(range);
    return cacheChange(await this.#engine.cache(this.#treeOf(tenant)!, bounds));
  }

  async createSnapshot(name: string): Promise<SnapshotMade> {
    this.#checkOpen();
    const { nodeId: node, incarnation: store } = this;
    return await this.#engine.checkpoint(name, { node, store });
  }

  listSnapshots(): readonly SnapshotInfo[] {
    this.#checkOpen();
    return this.#engine.checkpoints();
  }

  hotKeys({ tenant, limit = HOT_KEYS_LISTED }: HotKeyQuery = {}): readonly HotKey[] {
    const only = this.#treeOf(tenant);
    // Not those of a tenant that was dropped, and not as those of one that has its name now.
    const isShown = ({ id, name }: Pick<Tree, "id" | "name">) =>
      id === (only ?? this.#tenants.find(name))?.id;
    return this.#hotKeys.list(isShown, limit);
  }

  listJobs({ ended = false }: { ended?: boolean } = {}): NodeJobs {
    this.#checkOpen();
    return listJobs(this.#engine, this.#runtime.clock.wallMs(), ended);
  }

  async verifySnapshot(
    name: string,
  ): Promise<{ snapshot: SnapshotInfo; problems: readonly SnapshotProblem[] }> {
    this.#checkOpen();
    const { problems } = await this.#engine.verifyCheckpoint(name);
    const snapshot = this.#engine.checkpoints().find((info) => info.name === name);
    if (snapshot !== undefined) return { snapshot, problems };
    throw new PairError("Unavailable", "Cannot verify the snapshot: it was deleted meanwhile");
  }

  startScrub(): void {
    this.#checkOpen();
    this.#engine.startScrub();
  }

  async deleteSnapshot(name: string): Promise<void> {
    this.#checkOpen();
    await this.#engine.deleteCheckpoint(name);
  }

  health(): Health {
    const health = this.#monitor.health();
    if (!this.draining) return health;
    const status = health.status === "healthy" ? "degraded" : health.status;
    return { ...health, status, reasons: [...health.reasons, "no writes are taken: draining"] };
  }

  status(): NodeStatus {
    return statusOf(this.#status, {
      nodeId: this.nodeId,
      version: this.#options.version,
      health: this.health(),
      uptimeMs: Math.floor(this.#runtime.clock.monotonicMs() - this.#startedAtMs),
      dataDir: this.#options.dataDir,
      tenants: this.#tenants.list().length,
    });
  }

  close(options?: CloseOptions): Promise<void> {
    if (this.#closing === undefined) {
      this.#changes.close(new PairError("Unavailable", "The watch ended: the node is closing"));
      this.#functions.close();
      this.#closing = this.#close(options);
    }
    return this.#closing;
  }

  async #close(options: CloseOptions | undefined): Promise<void> {
    await Promise.all([this.#migrations.close(), this.#quotas.close()]);
    await this.#engine.close(options);
  }

  /** @throws PairError Unavailable (2001) while the node is drained */
  #checkTakesWrites(): void {
    if (!this.draining) return;
    throw new PairError("Unavailable", "Cannot write: the node takes no writes, it is draining", {
      reason: "draining",
    });
  }

  #checkOpen(): void {
    if (this.#closing === undefined) return;
    throw new PairError("Unavailable", "Cannot serve the request: the node is closed");
  }

  #checkUse(tenant: string): void {
    this.#checkOpen();
    validateTenant(tenant);
  }

  #treeOf(tenant: string | undefined): Tree | undefined {
    this.#checkOpen();
    if (tenant === undefined) return undefined;
    validateTenant(tenant);
    return this.#tenants.mustFind(tenant);
  }

  #transferParts(tree: Tree, signal: AbortSignal | undefined): TransferParts {
    return { engine: this.#engine, tree, clock: this.#runtime.clock, signal };
  }
}

function cacheChange({ keys, shared }: Recached): CacheChange {
  return { keys, shared: shared === undefined ? "none" : shared ? "done" : "failed" };
}
