/**
 * The storage node: the parts put together. Every method checks its input, finds the tenant, and hands
 * on to the read path (`reads.ts`) or the write path (`writes.ts`).
 * @module
 */
import type { CloseOptions, Engine, Recached, ScanRange, Tree } from "../engine/mod.ts";
import {
  checkContextLength,
  clockSize,
  compareBytes,
  ContextMismatch,
  type ContextSeals,
  EMPTY_CLOCK,
  encodeBound,
  encodeKey,
  type Key,
  MAX_CLOCK_EVENTS,
  PairError,
  prefixEnd,
  utf8,
  validateNodeId,
  validateTenant,
} from "../model/mod.ts";
import { DiskError, type Runtime, type Sandbox } from "../runtime/mod.ts";
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
  KeyState,
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
import { DISK_STATES, DiskGuard, type DiskThresholds, estimateWrite } from "./disk_guard.ts";
import { explainKey, NO_TREE } from "./explain.ts";
import { DEFAULT_DISK_THRESHOLDS, HealthMonitor } from "./health.ts";
import {
  Changes,
  DEFAULT_WATCH_LIMITS,
  hashOf,
  type KeyRange,
  type WatchLimits,
} from "./changes.ts";
import { DEFAULT_HOT_KEY_LIMITS, type HotKeyLimits, HotKeys } from "./hot_keys/mod.ts";
import { Followers } from "./followers.ts";
import { listJobs } from "./jobs.ts";
import {
  batchRequest,
  checkIdempotencyKey,
  DEFAULT_IDEMPOTENCY,
  deleteRequest,
  type IdempotencyLimits,
  type KeyedRequest,
  type Once,
  putRequest,
  WriteMemory,
  type WriteOutcome,
} from "./idempotency/mod.ts";
import { MergedScan, MergeFunctions } from "./merge/mod.ts";
import {
  DEFAULT_MIGRATION_LIMITS,
  type MigrationLimits,
  Migrations,
  type Peers,
} from "./migration/mod.ts";
import { type Charge, Quotas } from "./quotas.ts";
import { getKey, KeyScan, NO_KEYS, readKey, readKeys, strategyOf, valueBytes } from "./reads.ts";
import type { CallCounts } from "./load.ts";
import { SealedAnswers } from "./sealed.ts";
import { Tenants } from "./tenants.ts";
import { countRange, estimateRange, streamRange, type TransferParts } from "./transfer.ts";
import { TransferFigures } from "./transfer_figures.ts";
import {
  checkBatch,
  checkBatchLength,
  checkDelete,
  type CheckedPut,
  checkLimit,
  checkPut,
  checkReplica,
  checkStream,
  checkTransfer,
  checkWatch,
} from "./validate.ts";
import { watchRange } from "./watch.ts";
import { WritePath } from "./writes.ts";

const WRITE_STALL_MS_MAX = 10_000;
/** A scan that has to keep to its tenant's bandwidth looks again after this long. */
const SCAN_PAUSE_MS_MAX = 1000;
/** Hot keys that are listed where nobody says how many. */
const HOT_KEYS_LISTED = 10;

/** What a node is made of. */
export interface StorageNodeOptions {
  /** Knows the merge operator `versions`. The node closes it. */
  readonly engine: Engine;
  /** Its clock, disk and log are used. */
  readonly runtime: Runtime;
  /** Names this node in clocks: 1 to 128 bytes, the same for the life of the data directory. */
  readonly nodeId: string;
  /** The data directory's incarnation, which snapshots are marked with; absent: they are not. */
  readonly incarnation?: string;
  /** The program's version, for people. */
  readonly version: string;
  /** Where the engine's files are, to measure its disk. */
  readonly dataDir: string;
  /** Whether the first write of a tenant makes it. */
  readonly tenantAutoCreate: boolean;
  /** How long a write is held back while compactions are behind before it is refused, ms. Default 10 s. */
  readonly writeStallMsMax?: number;
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

/** A write with an idempotency key. */
interface KeyedWrite {
  readonly request: KeyedRequest;
  /** As for `#change`. */
  readonly charge: Charge;
  /** Bytes that the disk is asked for. */
  readonly room: number;
  /** Refuses what is wrong with its contexts; not asked when the write was here before. */
  readonly check: () => void;
  /** The write of the write path, together with its outcome: its answer is what `once` was given. */
  readonly step: (tree: Tree, once: Once) => Promise<unknown>;
}

/** What few writes of a tenant's tree have beside them. */
interface ChangeExtras<T> {
  /** The answer where there is no tenant, which is not made then. */
  readonly absent?: T;
  /** A tree of the node's own that the same batch goes to. */
  readonly beside?: Tree | undefined;
  /** What the tenant is where the write comes from. */
  readonly origin?: TenantOrigin | undefined;
}

class EngineNode implements StorageNode {
  readonly nodeId: string;
  readonly incarnation: string;
  #options: StorageNodeOptions;
  #engine: Engine;
  #runtime: Runtime;
  #tenants: Tenants;
  readonly #functions: MergeFunctions;
  #memory: WriteMemory;
  #quotas: Quotas;
  readonly #hotKeys: HotKeys;
  readonly #answers: SealedAnswers;
  #writes: WritePath;
  #changes: Changes;
  readonly #migrations: Migrations;
  readonly #transfers: TransferFigures;
  #monitor: HealthMonitor;
  #disk: DiskGuard;
  #startedAtMs: number;
  /** Wall time at the start, ms since 1970. */
  readonly #startedWallMs: number;
  #closing: Promise<void> | undefined;
  #lastNowMs = 0;

  constructor(options: StorageNodeOptions) {
    const { engine, runtime, nodeId, incarnation = "", dataDir, calls } = options;
    this.nodeId = nodeId;
    this.incarnation = incarnation;
    this.#options = options;
    this.#engine = engine;
    this.#runtime = runtime;
    this.#quotas = new Quotas(engine, runtime, nodeId);
    this.#hotKeys = new HotKeys({
      clock: runtime.clock,
      random: runtime.random,
      limits: options.hotKeys ?? DEFAULT_HOT_KEY_LIMITS,
      refused: (tree) => this.#quotas.noteRefused(tree),
    });
    this.#functions = new MergeFunctions(engine, runtime, options.sandbox);
    this.#tenants = new Tenants(engine, this.#quotas, this.#functions, options.tenantAutoCreate);
    this.#memory = new WriteMemory(engine, options.idempotency ?? DEFAULT_IDEMPOTENCY);
    this.#answers = new SealedAnswers(options.seals);
    this.#writes = new WritePath(engine, runtime, nodeId, this.#answers);
    this.#transfers = new TransferFigures(runtime.clock);
    const followers = new Followers(engine);
    this.#changes = new Changes(engine, followers, runtime, options.watch ?? DEFAULT_WATCH_LIMITS);
    this.#migrations = new Migrations({
      engine,
      followers,
      runtime,
      limits: options.migration ?? DEFAULT_MIGRATION_LIMITS,
      peers: options.peers,
      nodeId,
      incarnation,
      tenants: () => this.#tenants.names(),
      find: (tenant) => this.#tenants.find(tenant),
      findSettled: (tenant) => this.#tenants.findSettled(tenant),
      originOf: (tree) => this.#tenants.originOf(tree),
    });
    const thresholds = options.diskThresholds ?? DEFAULT_DISK_THRESHOLDS;
    const { clock, disk, usage } = runtime;
    this.#monitor = new HealthMonitor({
      engine,
      clock,
      disk,
      dataDir,
      thresholds,
      usage,
      calls,
    });
    this.#disk = new DiskGuard(
      (ageMsMax) => this.#monitor.space(ageMsMax),
      thresholds,
      runtime.log,
      (isTight) => engine.relieveDisk(isTight),
      () => engine.reserve(),
    );
    this.#startedAtMs = clock.monotonicMs();
    this.#startedWallMs = clock.wallMs();
    this.#migrations.resume();
    engine.releaseDead();
  }

  async put(
    tenant: string,
    input: PutInput & WriteOptions,
    watch?: WriteWatch,
  ): Promise<WriteResult> {
    this.#checkUse(tenant);
    const item = checkPut(input, this.#nowMs());
    const key = checkIdempotencyKey(input.idempotencyKey);
    const bytes = item.key.length + item.value.length;
    const charge: Charge = { kind: "put", keys: 1, bytes, items: [item] };
    const room = estimateWrite(bytes);
    if (key !== undefined) {
      const { results } = await this.#once(tenant, watch, {
        request: putRequest(key, item, input.ttlMs),
        charge,
        room,
        check: () => this.#checkContext(tenant, item),
        step: (tree, once) => this.#writes.put(tree, item, watch, once),
      });
      return this.#answers.written(tenant, item.key, results[0]);
    }
    this.#checkContext(tenant, item);
    this.#disk.admit("put", room);
    const put = (tree: Tree) => this.#writes.put(tree, item, watch);
    return this.#answers.written(
      tenant,
      item.key,
      await this.#change(tenant, watch, charge, put),
    );
  }

  get(tenant: string, key: Key): ReadResult | undefined {
    this.#checkUse(tenant);
    const bytes = encodeKey(key);
    const tree = this.#tenants.findForUse(tenant);
    if (tree === undefined) return undefined;
    this.#hotKeys.read(tree, bytes);
    this.#quotas.read(tree, 1);
    const found = this.#found(tree, getKey(this.#engine, tree, bytes, this.#nowMs()));
    return this.#answers.found(tenant, bytes, found);
  }

  read(
    tenant: string,
    key: Key,
    { asStored = false }: { asStored?: boolean } = {},
  ): ReadResult | undefined | Promise<ReadResult | undefined> {
    this.#checkUse(tenant);
    const bytes = encodeKey(key);
    const tree = this.#tenants.findForUse(tenant);
    if (tree === undefined) return undefined;
    this.#hotKeys.read(tree, bytes);
    this.#quotas.read(tree, 1);
    const strategy = asStored ? undefined : strategyOf(tree);
    const found = readKey(this.#engine, tree, bytes, this.#nowMs(), strategy);
    if (!(found instanceof Promise)) return this.#show(tree, bytes, found, asStored);
    return found.then((result) => this.#show(tree, bytes, result, asStored));
  }

  async explain(tenant: string, key: Key): Promise<Explanation> {
    this.#checkUse(tenant);
    const bytes = encodeKey(key);
    const tree = this.#tenants.findForUse(tenant);
    if (tree === undefined) return NO_TREE;
    this.#hotKeys.read(tree, bytes);
    this.#quotas.read(tree, 1);
    const { clock } = this.#runtime;
    const how = await explainKey(this.#engine, tree, bytes, this.#nowMs(), clock);
    return this.#answers.explained(tenant, bytes, how);
  }

  async delete(
    tenant: string,
    input: DeleteInput & WriteOptions,
    watch?: WriteWatch,
  ): Promise<WriteResult & { existed: boolean }> {
    this.#checkUse(tenant);
    const item = checkDelete(input);
    const idempotencyKey = checkIdempotencyKey(input.idempotencyKey);
    const charge: Charge = { kind: "delete", keys: 1, bytes: item.key.length, items: [item] };
    const room = estimateWrite(item.key.length);
    const remove = (tree: Tree, once?: Once) =>
      this.#writes.delete(tree, item, this.#quotas.removing(tree, item, watch), once);
    if (idempotencyKey !== undefined) {
      // Its tenant is made: there is no other place for what became of it.
      const { results, existed } = await this.#once(tenant, watch, {
        request: deleteRequest(idempotencyKey, item),
        charge,
        room,
        check: () => this.#checkContext(tenant, item),
        step: remove,
      });
      return { ...this.#answers.written(tenant, item.key, results[0]), existed };
    }
    this.#checkContext(tenant, item);
    this.#disk.admit("delete", room);
    // No tenant is made only to delete from it.
    const absent = { clock: EMPTY_CLOCK, timestampMs: this.#writes.stamp(), existed: false };
    const done = await this.#change(tenant, watch, charge, remove, { absent });
    return { ...this.#answers.written(tenant, item.key, done), existed: done.existed };
  }

  async batchPut(
    tenant: string,
    items: readonly PutInput[],
    options: BatchPutOptions = {},
    watch?: WriteWatch,
  ): Promise<{ results: readonly WriteResult[]; unchanged: number }> {
    this.#checkUse(tenant);
    const checked = checkBatch(items, this.#nowMs());
    const key = checkIdempotencyKey(options.idempotencyKey);
    const check = () => {
      for (let i = 0; i < checked.length; i++) this.#checkContext(tenant, checked[i], i);
    };
    const bytes = checked.reduce((sum, { key, value }) => sum + key.length + value.length, 0);
    const charge: Charge = { kind: "put", keys: checked.length, bytes, items: checked };
    const room = estimateWrite(bytes, checked.length);
    const skipUnchanged = options.skipUnchanged ?? false;
    const sealed = (results: readonly WriteResult[]) =>
      results.map((result, i) => this.#answers.written(tenant, checked[i].key, result));
    if (key !== undefined) {
      const ttls = items.map(({ ttlMs }) => ttlMs);
      const { results, unchanged } = await this.#once(tenant, watch, {
        request: batchRequest(key, checked, ttls, skipUnchanged),
        charge,
        room,
        check,
        step: (tree, once) => this.#writes.batchPut(tree, checked, skipUnchanged, watch, once),
      });
      return { results: sealed(results), unchanged };
    }
    check();
    this.#disk.admit("put", room);
    const put = (tree: Tree) => this.#writes.batchPut(tree, checked, skipUnchanged, watch);
    const { results, unchanged } = await this.#change(tenant, watch, charge, put);
    return { results: sealed(results), unchanged };
  }

  async batchGet(
    tenant: string,
    keys: readonly string[],
    options: { maxBytes?: number } = {},
  ): Promise<readonly (ReadResult | undefined)[]> {
    this.#checkUse(tenant);
    checkBatchLength(keys.length);
    const encoded = keys.map(encodeKey);
    const tree = this.#tenants.findForUse(tenant);
    if (tree === undefined) return keys.map(() => undefined);
    this.#hotKeys.readAll(tree, encoded);
    this.#quotas.read(tree, keys.length);
    const maxBytes = options.maxBytes ?? Infinity;
    const results = await readKeys(this.#engine, tree, encoded, this.#nowMs(), maxBytes);
    for (const result of results) this.#found(tree, result);
    const seal = (result: ReadResult | undefined, i: number) =>
      this.#answers.found(tenant, encoded[i], result);
    if (!this.#functions.folds(tree)) return results.map(seal);
    const merged: (ReadResult | undefined)[] = [];
    let bytes = 0;
    for (const result of results) {
      const shown = await this.#merged(tree, result);
      // What a function makes of values may be more than they are.
      if (shown !== undefined) bytes += valueBytes(shown);
      if (bytes > maxBytes && merged.length > 0) break;
      merged.push(shown);
    }
    return merged.map(seal);
  }

  scan(tenant: string, input: ScanInput): Scan {
    this.#checkUse(tenant);
    const { start, end } = boundsOf(input);
    const limit = checkLimit(input.limit);
    const tree = this.#tenants.findForUse(tenant);
    if (tree !== undefined) this.#quotas.read(tree, 1);
    const isEmpty = start !== undefined && end !== undefined && compareBytes(start, end) >= 0;
    if (tree === undefined || isEmpty) return NO_KEYS;
    const range = { start, end, reverse: input.reverse };
    const { clock } = this.#runtime;
    const scan = new KeyScan(this.#engine, tree, range, limit, this.#nowMs(), {
      found: (result) => this.#found(tree, result),
      pause: () => {
        const pauseMs = this.#quotas.pauseMs(tree);
        return pauseMs === 0 ? undefined : clock.sleep(Math.min(pauseMs, SCAN_PAUSE_MS_MAX));
      },
    });
    const folds = this.#functions.folds(tree);
    const shown = folds ? new MergedScan(scan, tree, this.#functions) : scan;
    return this.#answers.scan(tenant, shown);
  }

  watch(
    tenant: string,
    input: WatchInput,
    signal?: AbortSignal,
  ): AsyncGenerator<readonly WatchEvent[], undefined> {
    this.#checkUse(tenant);
    const range = { ...checkWatch(input), ...boundsOfWatch(input) };
    // Refused here where there has to be a tenant, or where that has asked too often.
    const tree = this.#tenants.findForUse(tenant);
    if (tree !== undefined) this.#quotas.read(tree, 1);
    const parts = {
      engine: this.#engine,
      changes: this.#changes,
      clock: this.#runtime.clock,
      tree: () => this.#tenants.findForUse(tenant),
      strategy: () => {
        const tree = this.#tenants.find(tenant);
        return tree && strategyOf(tree);
      },
      nowMs: () => this.#nowMs(),
      charge: (bytes: number) => {
        const tree = this.#tenants.find(tenant);
        if (tree !== undefined) this.#quotas.found(tree, bytes);
      },
      pauseMs: () => {
        const tree = this.#tenants.find(tenant);
        return tree === undefined ? 0 : Math.min(this.#quotas.pauseMs(tree), SCAN_PAUSE_MS_MAX);
      },
      sealed: (event: WatchEvent) => this.#answers.event(tenant, event),
    };
    return watchRange(parts, tenant, range, signal);
  }

  async applyReplica(
    tenant: string,
    write: ReplicaWrite,
    origin: "write" | "delete" | "repair",
    watch?: WriteWatch,
  ): Promise<WriteResult> {
    this.#checkUse(tenant);
    const replica = checkReplica(write);
    const bytes = replica.key.length + (replica.value?.length ?? 0);
    const kind = replica.value === undefined ? "delete" : "put";
    this.#disk.admit(kind, estimateWrite(bytes));
    return await this.#change(
      tenant,
      watch,
      { kind: origin === "repair" ? "copy" : kind, keys: 1, bytes, items: [replica] },
      (tree) => this.#writes.applyReplica(tree, replica, origin, watch),
    );
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

  async replicate(
    tenant: string,
    entries: readonly TransferEntry[],
    checksum: number | undefined,
    watch?: WriteWatch,
    origin?: TenantOrigin,
  ): Promise<Replicated> {
    this.#checkUse(tenant);
    const startedMs = this.#runtime.clock.monotonicMs();
    const { keys, versions, bytes, deletesOnly } = checkTransfer(
      entries,
      checksum,
      (sum) => this.#transfers.checksum(sum),
      origin !== undefined,
    );
    this.#disk.admit(deletesOnly ? "delete" : "put", estimateWrite(bytes, versions));
    const applied = await this.#change(
      tenant,
      watch,
      { kind: "copy", keys: keys.length, bytes, items: [] },
      (tree) => {
        if (origin !== undefined) this.#tenants.checkOrigin(tenant, origin, tree);
        return this.#writes.replicate(tree, keys, watch);
      },
      { origin },
    );
    const lastKey = entries.at(-1)?.key ?? "";
    const taken = { keys: keys.length, versions, applied, lastKey };
    this.#transfers.received(taken, bytes, startedMs);
    return taken;
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
    const sum = { first: "", last: "", keys: 0, bytes: 0, totals: undefined };
    for (const { tenant } of this.#tenants.list()) {
      const tree = this.#tenants.find(tenant);
      // Dropped meanwhile.
      if (tree === undefined) continue;
      const each = await estimateRange(this.#transferParts(tree, undefined), range);
      this.#checkOpen();
      if (each.first === "") continue;
      if (sum.first === "" || compareKeys(each.first, sum.first) < 0) sum.first = each.first;
      if (compareKeys(each.last, sum.last) > 0) sum.last = each.last;
      sum.keys += each.keys;
      sum.bytes += each.bytes;
    }
    return sum;
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
    const { tablesPerLevel, ...counters } = this.#engine.stats();
    const { recovery } = this.#engine;
    const space = this.#monitor.space();
    const measured = space instanceof DiskError ? { totalBytes: 0, freeBytes: 0 } : space;
    return {
      nodeId: this.nodeId,
      version: this.#options.version,
      health: this.health(),
      uptimeMs: Math.floor(this.#runtime.clock.monotonicMs() - this.#startedAtMs),
      dataDir: this.#options.dataDir,
      tenants: this.#tenants.list().length,
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
        quietHours: this.#engine.quietUntilMs() === undefined ? 0 : 1,
        diskState: DISK_STATES.indexOf(this.#disk.state),
        diskEstimatedBytes: this.#disk.estimatedBytes,
        diskThrottled: this.#disk.throttled,
        diskRefused: this.#disk.refused,
        ...this.#changes.figures,
        ...this.#memory.figures,
        ...this.#functions.figures,
        ...this.#transfers.figures,
        ...this.#hotKeys.figures,
        ...this.#migrations.figures,
      },
    };
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

  /**
   * Refuses a context that has the seal of another; and, of a key in a tenant that is not there, one that is too
   * long, and what wants a context: no tenant is made only to say no. What there is otherwise, the write itself
   * looks at.
   */
  #checkContext(
    tenant: string,
    { key, ifContext, context, seal }: Pick<CheckedPut, "key" | "ifContext" | "context" | "seal">,
    item?: number,
  ): void {
    this.#options.seals?.check(tenant, key, context, seal, item);
    const size = context === undefined ? 0 : clockSize(context);
    if (size === 0 || (!ifContext && size <= MAX_CLOCK_EVENTS)) return;
    if (this.#tenants.findForUse(tenant) === undefined) {
      checkContextLength(context!, []);
      if (!ifContext) return;
      throw new ContextMismatch(EMPTY_CLOCK, item === undefined ? {} : { item });
    }
  }

  #show(
    tree: Tree,
    key: Uint8Array,
    result: ReadResult | undefined,
    asStored: boolean,
  ): ReadResult | undefined | Promise<ReadResult> {
    this.#found(tree, result);
    if (asStored) return result;
    const merged = this.#merged(tree, result);
    return merged instanceof Promise
      ? merged.then((shown) => this.#answers.found(tree.name, key, shown))
      : this.#answers.found(tree.name, key, merged);
  }

  /** What clients see of a key of a tenant that may have a merge function of its own. */
  #merged(
    tree: Tree,
    result: ReadResult | undefined,
  ): ReadResult | undefined | Promise<ReadResult> {
    const folded = result && this.#functions.fold(tree, result);
    if (folded === undefined) return result;
    const { source } = result!;
    return folded instanceof Promise
      ? folded.then((state) => ({ ...state, source }))
      : { ...folded, source };
  }

  /** Charges what a read has found, and gives it back. */
  #found<T extends KeyState | undefined>(tree: Tree, result: T): T {
    if (result !== undefined) this.#quotas.found(tree, valueBytes(result));
    return result;
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

  /**
   * The time that decides what has expired. When the wall clock goes back it stands still: what a client
   * was told is gone does not return.
   */
  #nowMs(): number {
    return this.#lastNowMs = Math.max(this.#lastNowMs, this.#runtime.clock.wallMs());
  }

  /**
   * The time by which writes are forgotten, ms since 1970: the wall clock's at the start, and what has passed since.
   * A wall clock that is set must not make a write of a minute ago one of yesterday.
   */
  #steadyMs(): number {
    const passedMs = this.#runtime.clock.monotonicMs() - this.#startedAtMs;
    return this.#startedWallMs + Math.floor(passedMs);
  }

  /**
   * Runs a write with an idempotency key, unless it was here before: then its outcome is told again. That is
   * looked up before the disk has a say, for it needs no room; and once more in the step of the write, for
   * another one like it may have waited in the same place. Contexts are looked at behind that, too: what was
   * applied is not refused, though the seals be others since.
   */
  async #once(
    tenant: string,
    watch: WriteWatch | undefined,
    { request, charge, room, check, step }: KeyedWrite,
  ): Promise<WriteOutcome> {
    const opening = this.#memory.open();
    if (opening !== undefined) {
      await opening;
      this.#checkOpen();
      if (watch?.gone) throw abandoned();
    }
    const nowMs = this.#steadyMs();
    const known = this.#tenants.findForUse(tenant);
    const found = known && this.#memory.find(known, request, nowMs);
    if (found !== undefined) return await this.#memory.replay(found, watch);
    check();
    this.#disk.admit(charge.kind === "delete" ? "delete" : "put", room);
    // In the step of the first look there is no need of another.
    let isSameStep = true;
    const run = async (tree: Tree): Promise<WriteOutcome> => {
      const again = isSameStep ? undefined : this.#memory.find(tree, request, nowMs);
      if (again !== undefined) return await this.#memory.replay(again, watch);
      const once = this.#memory.once(tree, request, nowMs);
      await step(tree, once);
      return once.outcome!;
    };
    const written = this.#change(tenant, watch, charge, run, { beside: this.#memory.tree });
    isSameStep = false;
    return await written;
  }

  /**
   * Runs a write of a tenant's tree, once the tree takes writes. The tenant is made first, unless there
   * is an answer for one that is absent. Nothing happens between the last look at the tree and the
   * synchronous part of `step`, which hands the write to the log and tells `watch` so: the tree cannot be
   * dropped there, and nobody can leave.
   * @param charge  what it is to the tenant's quotas: to the rates once, to the sizes when it is let in
   */
  #change<T>(
    tenant: string,
    watch: WriteWatch | undefined,
    charge: Charge,
    step: (tree: Tree) => Promise<T>,
    extras?: ChangeExtras<T>,
  ): Promise<T> {
    this.#checkTakesWrites();
    const tree = this.#tenants.findForUse(tenant);
    if (tree === undefined) return this.#changeLater(tenant, watch, charge, step, extras);
    this.#charge(tree, charge);
    const admitted = this.#admit(tree, extras?.beside, charge, false);
    if (admitted === undefined) return step(tree);
    return this.#changeLater(tenant, watch, charge, step, extras, admitted);
  }

  /** Charges a write to its keys and to its tenant. */
  #charge(tree: Tree, charge: Charge): void {
    if (charge.kind === "put") this.#hotKeys.write(tree, charge.items);
    else if (charge.kind === "delete") this.#hotKeys.delete(tree, charge.items);
    this.#quotas.write(tree, charge);
  }

  /** Undefined when both trees take writes now, and there is room for this one. */
  #admit(
    tree: Tree,
    beside: Tree | undefined,
    charge: Charge,
    delayed: boolean,
  ): Promise<void> | undefined {
    return this.#engine.admit(tree, delayed) ??
      (beside && this.#engine.admit(beside, delayed)) ?? this.#quotas.fits(tree, charge);
  }

  /** The same where there is no tree yet, or it takes no writes before `admitted`. */
  async #changeLater<T>(
    tenant: string,
    watch: WriteWatch | undefined,
    charge: Charge,
    step: (tree: Tree) => Promise<T>,
    { absent, beside, origin }: ChangeExtras<T> = {},
    admitted?: Promise<void>,
  ): Promise<T> {
    const { clock } = this.#runtime;
    let isCharged = admitted !== undefined;
    for (let heldSinceMs = -1;;) {
      if (admitted !== undefined) {
        if (heldSinceMs < 0) heldSinceMs = clock.monotonicMs();
        else this.#checkPatience(clock.monotonicMs() - heldSinceMs);
        await admitted;
        this.#checkOpen();
      }
      if (watch?.gone) throw abandoned();
      this.#checkTakesWrites();
      const tree = this.#tenants.findForUse(tenant);
      if (tree === undefined) {
        if (absent !== undefined) return absent;
        await this.#tenants.ensure(tenant, origin);
        this.#checkOpen();
        admitted = undefined;
        continue;
      }
      if (!isCharged) this.#charge(tree, charge);
      isCharged = true;
      admitted = this.#admit(tree, beside, charge, heldSinceMs >= 0);
      if (admitted === undefined) return await step(tree);
    }
  }

  /** Backpressure that lasts is answered, not waited out: a client with a deadline can go elsewhere. */
  #checkPatience(heldMs: number): void {
    if (heldMs < (this.#options.writeStallMsMax ?? WRITE_STALL_MS_MAX)) return;
    throw new PairError(
      "ResourceExhausted",
      "Cannot write now: flushes, compactions or the count for a quota are behind. Try again later",
      { reason: "write_stall", held_ms: Math.round(heldMs) },
    );
  }
}

function compareKeys(a: string, b: string): number {
  return compareBytes(utf8(a), utf8(b));
}

/** Nobody is told of this, but the log of late errors. */
function abandoned(): PairError {
  return new PairError("Unavailable", "Cannot write: the caller did not wait");
}

/** The range that bounds leave, all together. @throws PairError of a bound that is none */
function boundsOf(
  input: Pick<ScanInput, "prefix" | "start" | "end">,
): { start: Uint8Array | undefined; end: Uint8Array | undefined } {
  const prefix = encodeBound(input.prefix, "the prefix");
  return {
    start: later(encodeBound(input.start, "the start"), prefix),
    end: earlier(encodeBound(input.end, "the end"), prefix && prefixEnd(prefix)),
  };
}

/** @throws PairError InvalidArgument for a key together with a prefix; of a bound that is none */
function boundsOfCache({ key = "", prefix = "" }: CacheRange): ScanRange {
  if (key === "") return boundsOf({ prefix });
  if (prefix !== "") {
    throw new PairError("InvalidArgument", "Cannot take a key and a prefix: give one of them");
  }
  const start = encodeKey(key);
  // The first key behind it.
  return { start, end: Uint8Array.of(...start, 0) };
}

function cacheChange({ keys, shared }: Recached): CacheChange {
  return { keys, shared: shared === undefined ? "none" : shared ? "done" : "failed" };
}

/** The same, or one key's own. */
function boundsOfWatch(input: WatchInput): KeyRange {
  if (input.key === undefined || input.key === "") {
    return { ...boundsOf(input), hash: undefined };
  }
  const start = encodeKey(input.key);
  // The first key behind it.
  const end = new Uint8Array(start.length + 1);
  end.set(start);
  return { start, end, hash: hashOf(start) };
}

/** The larger of two lower bounds; undefined stands for none. */
function later(a: Uint8Array | undefined, b: Uint8Array | undefined): Uint8Array | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return compareBytes(a, b) >= 0 ? a : b;
}

/** The smaller of two upper bounds; undefined stands for none. */
function earlier(a: Uint8Array | undefined, b: Uint8Array | undefined): Uint8Array | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return compareBytes(a, b) <= 0 ? a : b;
}
