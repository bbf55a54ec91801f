/**
 * The client: a server's keys, tenants and upkeep as plain method calls.
 * @module
 */
import { type Client, createClient, type Interceptor, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";
import {
  AdminService,
  type HotKey as HotKeyMessage,
  type Job as JobMessage,
  type MergeFunction as FunctionMessage,
  type Scrub as ScrubMessage,
  type Snapshot as SnapshotMessage,
} from "../gen/pairdb/v1/admin_pb.ts";
import {
  type BatchGetItem,
  KeyValueService,
  type WatchEvent as WatchEventMessage,
  WatchEventType,
} from "../gen/pairdb/v1/kv_pb.ts";
import {
  type Migration as MigrationMessage,
  StorageNodeService,
} from "../gen/pairdb/v1/storage_node_pb.ts";
import { type Tenant as TenantMessage, TenantService } from "../gen/pairdb/v1/tenant_pb.ts";
import { PairError } from "../model/mod.ts";
import {
  fromClock,
  fromExplanation,
  fromFound,
  fromInt64,
  fromRow,
  toClock,
  toConsistency,
  toInt64,
  toItem,
  toKey,
  toText,
  toTtl,
  toValue,
} from "./convert.ts";
import { toPairError } from "./errors.ts";
import { platformFetch } from "./platform.ts";
import { type Attempt, type CallKind, Retries } from "./retry.ts";
import { fetchWith, type OwnFetch } from "./tls.ts";
import type {
  BatchItem,
  BatchPutOptions,
  CacheChange,
  CacheRange,
  CallOptions,
  CompactRange,
  ConnectOptions,
  Deleted,
  Drain,
  Explanation,
  Found,
  HotKey,
  HotKeyQuery,
  Job,
  KeyOptions,
  KeyRate,
  MergeFunctionInfo,
  Migration,
  MigrationRange,
  NodeHealth,
  NodeJobs,
  NodeStatus,
  OnceOptions,
  PutOptions,
  ScanRange,
  ScanRow,
  Scrub,
  SlowOperation,
  SlowQuery,
  Snapshot,
  SnapshotMade,
  SnapshotVerified,
  Tenant,
  TenantOptions,
  TenantUsage,
  WatchEvent,
  WatchRange,
  WriteOptions,
  Written,
} from "./types.ts";

/**
 * A PairDB server. Every method rejects with a PairError, whose `error` and `code` say what to do.
 * A read that fails for a reason that passes is made again ({@link RetryOptions}); so is a write if it was not
 * applied, or has an idempotency key. After another Unavailable (2001) a write may or may not have been stored.
 *
 * ```ts ignore
 * const db = PairDB.connect("http://127.0.0.1:50052");
 * await db.put("shop", "cart/42", "2 apples");
 * const found = await db.get("shop", "cart/42");
 * await db.put("shop", "cart/42", "3 apples", { context: found?.context });
 * for await (const { key } of db.scan("shop", { prefix: "cart/" })) use(key);
 * ```
 */
export class PairDB {
  /** The server, as calls name it in errors. */
  readonly url: string;
  /** Tenants as objects. */
  readonly tenants: TenantCalls;
  /** One node's upkeep. */
  readonly admin: AdminCalls;
  #calls: Calls;
  #keys: Client<typeof KeyValueService>;

  #own: OwnFetch | undefined;

  private constructor(calls: Calls, transport: Transport, own: OwnFetch | undefined) {
    this.#own = own;
    this.url = calls.url;
    this.#calls = calls;
    this.#keys = createClient(KeyValueService, transport);
    this.tenants = new TenantCalls(calls, transport);
    this.admin = new AdminCalls(calls, transport);
  }

  /**
   * Names a server; nothing is sent before the first call.
   * @param url  such as `http://127.0.0.1:50052`; `HOST:PORT` alone means http
   * @throws PairError InvalidArgument (1000) when it is no http or https URL, or when the token or the
   *   certificates cannot be used
   */
  static connect(url: string, options: ConnectOptions = {}): PairDB {
    const baseUrl = normalizeUrl(url);
    const make = options.protocol === "grpc-web" ? createGrpcWebTransport : createConnectTransport;
    const plain = options.fetch ?? platformFetch;
    const own = options.tls === undefined ? undefined : fetchWith(options.tls, plain);
    const transport = make({
      baseUrl,
      useBinaryFormat: true,
      interceptors: options.token === undefined ? [] : [showing(options.token)],
      fetch: own?.fetch ?? plain,
    });
    return new PairDB(new Calls(baseUrl, options), transport, own);
  }

  /**
   * Closes the connections that were made with certificates of our own ({@link ConnectOptions.tls});
   * there is nothing to close otherwise. No call may follow.
   */
  close(): void {
    this.#own?.close();
    this.#own = undefined;
  }

  /** The same at the end of a `using` block. */
  [Symbol.dispose](): void {
    this.close();
  }

  /**
   * Stores a value.
   * @param tenant  1 to 256 bytes of UTF-8 without `:` and control characters
   * @param key     1 to 1024 bytes of UTF-8 without control characters
   * @param value   at most 10 MiB; text is stored as UTF-8
   */
  put(
    tenant: string,
    key: string,
    value: string | Uint8Array,
    options: PutOptions = {},
  ): Promise<Written> {
    return this.#calls.write(options, async (call) => {
      const answer = await this.#keys.put({
        tenantId: toText(tenant, "tenant id"),
        key: toText(key, "key"),
        value: toValue(value),
        vectorClock: toClock(options.context),
        consistency: toConsistency(options.consistency),
        ttlMs: toTtl(options.ttlMs),
        ifContext: options.ifContext ?? false,
        idempotencyKey: toKey(options.idempotencyKey),
      }, call);
      return written(answer);
    });
  }

  /** Reads a key. Undefined when it has no value. */
  get(tenant: string, key: string, options: KeyOptions = {}): Promise<Found | undefined> {
    return this.#calls.read(options, async (call) => {
      const answer = await this.#keys.get({
        tenantId: toText(tenant, "tenant id"),
        key: toText(key, "key"),
        consistency: toConsistency(options.consistency),
      }, call);
      return fromFound(answer);
    }).catch((error: unknown) => {
      if (error instanceof PairError && error.error === "KeyNotFound") return undefined;
      throw error;
    });
  }

  /**
   * Reads a key, and tells how that went in the node: which layers were asked, what they said and what it took,
   * and what versions there are, without their values. For people who look into a store; it is a real read.
   */
  explain(tenant: string, key: string, options: KeyOptions = {}): Promise<Explanation> {
    return this.#calls.read(options, async (call) => {
      const answer = await this.#keys.explainGet({
        tenantId: toText(tenant, "tenant id"),
        key: toText(key, "key"),
        consistency: toConsistency(options.consistency),
      }, call);
      return fromExplanation(answer);
    });
  }

  /** Deletes a key. Deleting what is not there succeeds. */
  delete(tenant: string, key: string, options: WriteOptions = {}): Promise<Deleted> {
    return this.#calls.write(options, async (call) => {
      const answer = await this.#keys.delete({
        tenantId: toText(tenant, "tenant id"),
        key: toText(key, "key"),
        vectorClock: toClock(options.context),
        consistency: toConsistency(options.consistency),
        ifContext: options.ifContext ?? false,
        idempotencyKey: toKey(options.idempotencyKey),
      }, call);
      return { ...written(answer), existed: answer.existed };
    });
  }

  /**
   * Stores 1 to 1000 values, all of them or none.
   * @returns what each item did, in order, and how many `skipUnchanged` left alone
   */
  batchPut(
    tenant: string,
    items: readonly BatchItem[],
    options: BatchPutOptions = {},
  ): Promise<{ readonly results: readonly Written[]; readonly unchanged: number }> {
    return this.#calls.write(options, async (call) => {
      const answer = await this.#keys.batchPut({
        tenantId: toText(tenant, "tenant id"),
        items: items.map(toItem),
        consistency: toConsistency(options.consistency),
        skipUnchanged: options.skipUnchanged ?? false,
        idempotencyKey: toKey(options.idempotencyKey),
      }, call);
      return { results: answer.results.map(written), unchanged: answer.unchanged };
    });
  }

  /**
   * Reads 1 to 1000 keys. A server cuts off answers above 16 MiB; what is missing is asked for again,
   * so that only answers below that size are of one moment.
   * @returns one result (or undefined) for each key, in order
   */
  batchGet(
    tenant: string,
    keys: readonly string[],
    options: KeyOptions = {},
  ): Promise<(Found | undefined)[]> {
    return this.#calls.read(options, async (call) => {
      const found: (Found | undefined)[] = [];
      do {
        const { items } = await this.#keys.batchGet({
          tenantId: toText(tenant, "tenant id"),
          keys: keys.slice(found.length).map((key) => toText(key, "key")),
          consistency: toConsistency(options.consistency),
        }, call);
        // An answer without items would make this loop for ever; one with too many is no answer.
        if (items.length === 0 || items.length > keys.length - found.length) {
          throw new PairError("Internal", `Cannot read the answer: it has ${items.length} items`);
        }
        found.push(...items.map(fromBatchItem));
      } while (found.length < keys.length);
      return found;
    });
  }

  /** Reads keys in byte order, or backwards, as of one moment. Leaving the loop early ends the call. */
  async *scan(
    tenant: string,
    range: ScanRange = {},
    options: KeyOptions = {},
  ): AsyncGenerator<ScanRow, void, undefined> {
    const request = {
      tenantId: toText(tenant, "tenant id"),
      prefix: toText(range.prefix ?? "", "key"),
      start: toText(range.start ?? "", "key"),
      end: toText(range.end ?? "", "key"),
      limit: toInt64(range.limit ?? 0, "the limit"),
      keysOnly: range.keysOnly ?? false,
      reverse: range.reverse ?? false,
      consistency: toConsistency(options.consistency),
    };
    for await (
      const { entries } of this.#pages(options, (call) => this.#keys.scan(request, call))
    ) {
      for (const entry of entries) yield fromRow(entry);
    }
  }

  /**
   * Tells what comes of keys, in the order of the writes, until the loop is left. Nothing is left out without
   * a gap. It has begun with the first progress event. After an error, watch again with the last token.
   */
  async *watch(
    tenant: string,
    range: WatchRange = {},
    options: CallOptions = {},
  ): AsyncGenerator<WatchEvent, void, undefined> {
    const request = {
      tenantId: toText(tenant, "tenant id"),
      key: toText(range.key ?? "", "key"),
      prefix: toText(range.prefix ?? "", "key"),
      start: toText(range.start ?? "", "key"),
      end: toText(range.end ?? "", "key"),
      resumeToken: range.token ?? "",
      initial: range.initial ?? false,
      keysOnly: range.keysOnly ?? false,
      progressMs: toInt64(range.progressMs ?? 0, "the time of progress"),
    };
    for await (
      const { events } of this.#pages(options, (call) => this.#keys.watch(request, call))
    ) {
      for (const event of events) yield fromEvent(event);
    }
  }

  /** The messages of a stream. Leaving early ends the call. */
  async *#pages<T>(
    options: CallOptions,
    open: (call: { signal: AbortSignal; timeoutMs: number | undefined }) => AsyncIterable<T>,
  ): AsyncGenerator<T, void, undefined> {
    const stop = new AbortController();
    const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal;
    let pages: AsyncIterator<T> | undefined;
    let ended = false;
    try {
      pages = open({ signal, timeoutMs: options.timeoutMs })[Symbol.asyncIterator]();
      for (;;) {
        const page = await this.#calls.named(options.signal, pages.next());
        if (page.done) break;
        yield page.value;
      }
      ended = true;
    } catch (error) {
      ended = true;
      throw error;
    } finally {
      // Left early: stop the server, and let Connect see it, or its deadline timer would stay behind.
      // That this last step rejects is the point of it.
      if (!ended && pages !== undefined) {
        stop.abort();
        await Promise.allSettled([pages.next()]);
      }
    }
  }
}

/** Calls on tenants. */
export class TenantCalls {
  #calls: Calls;
  #service: Client<typeof TenantService>;

  /** @ignore made by {@link PairDB.connect} */
  constructor(calls: Calls, transport: Transport) {
    this.#calls = calls;
    this.#service = createClient(TenantService, transport);
  }

  /** Makes a tenant. @throws PairError InvalidArgument (1000) when there is one */
  create(tenant: string, options: CallOptions & TenantOptions = {}): Promise<Tenant> {
    return this.#calls.once(options, async (call) => {
      const request = {
        tenantId: toText(tenant, "tenant id"),
        options: toTenantOptions(options),
      };
      return mustHaveTenant(await this.#service.createTenant(request, call));
    });
  }

  /**
   * Changes options of a tenant that is in use; what is left out stays.
   * @throws PairError InvalidTenantID (1004) when there is none, InvalidArgument (1000) for a bad option
   */
  update(
    tenant: string,
    changes: TenantOptions,
    options: CallOptions = {},
  ): Promise<Tenant> {
    return this.#calls.once(options, async (call) => {
      const request = {
        tenantId: toText(tenant, "tenant id"),
        options: toTenantOptions(changes),
      };
      return mustHaveTenant(await this.#service.updateTenant(request, call));
    });
  }

  /** All tenants, in order of their id. */
  list(options: CallOptions = {}): Promise<Tenant[]> {
    return this.#calls.read(options, async (call) => {
      return (await this.#service.listTenants({}, call)).tenants.map(fromTenant);
    });
  }

  /** Removes a tenant with all its data, for good. @throws PairError InvalidTenantID (1004) when there is none */
  drop(tenant: string, options: CallOptions = {}): Promise<void> {
    return this.#calls.once(options, async (call) => {
      await this.#service.dropTenant({ tenantId: toText(tenant, "tenant id") }, call);
    });
  }
}

/** Calls for operators of one node. */
export class AdminCalls {
  #calls: Calls;
  #service: Client<typeof AdminService>;
  #node: Client<typeof StorageNodeService>;

  /** @ignore made by {@link PairDB.connect} */
  constructor(calls: Calls, transport: Transport) {
    this.#calls = calls;
    this.#service = createClient(AdminService, transport);
    this.#node = createClient(StorageNodeService, transport);
  }

  /** What the node is and holds. */
  status(options: CallOptions = {}): Promise<NodeStatus> {
    return this.#calls.read(options, async (call) => {
      const answer = await this.#service.status({}, call);
      return {
        nodeId: answer.nodeId,
        version: answer.version,
        status: answer.status,
        reasons: answer.reasons,
        uptimeMs: fromInt64(answer.uptimeMs),
        dataDir: answer.dataDir,
        tenants: answer.tenants,
        memtableBytes: fromInt64(answer.memtableBytes),
        walBytes: fromInt64(answer.walBytes),
        walSegments: answer.walSegments,
        tableBytes: fromInt64(answer.tableBytes),
        tables: answer.tables,
        tablesPerLevel: answer.tablesPerLevel,
        diskTotalBytes: fromInt64(answer.diskTotalBytes),
        diskFreeBytes: fromInt64(answer.diskFreeBytes),
        lastSequence: fromInt64(answer.lastSequence),
        snapshots: answer.snapshots,
        snapshotBytes: fromInt64(answer.snapshotBytes),
        sharedCache: answer.sharedCache,
        reads: {
          memtable: fromInt64(answer.reads?.memtable ?? 0n),
          rowCache: fromInt64(answer.reads?.rowCache ?? 0n),
          sharedCache: fromInt64(answer.reads?.sharedCache ?? 0n),
          tables: fromInt64(answer.reads?.tables ?? 0n),
          nothing: fromInt64(answer.reads?.nothing ?? 0n),
        },
      };
    });
  }

  /** How the node is. */
  health(options: CallOptions = {}): Promise<NodeHealth> {
    return this.#calls.read(options, async (call) => {
      const answer = await this.#node.healthCheck({}, call);
      return {
        nodeId: answer.nodeId,
        status: answer.status,
        reasons: answer.reasons,
        timestampMs: fromInt64(answer.timestamp),
        metrics: answer.metrics,
      };
    });
  }

  /** The node's slowest operations of the last minutes, slowest first. */
  slow(query: SlowQuery = {}, options: CallOptions = {}): Promise<readonly SlowOperation[]> {
    return this.#calls.read(options, async (call) => {
      const { operations } = await this.#service.listSlowOperations({
        tenantId: toText(query.tenant ?? "", "tenant id"),
        withinMs: toInt64(query.withinMs ?? 0, "the time"),
        limit: query.limit ?? 0,
      }, call);
      return operations.map((each) => ({
        operation: each.operation,
        method: each.method,
        tenant: each.tenantId,
        key: each.key,
        keyCut: each.keyCut,
        keyHash: each.keyHash,
        keys: each.keys,
        requestBytes: fromInt64(each.requestBytes),
        startedAtMs: fromInt64(each.startedAt),
        elapsedMs: each.elapsedMs,
        waitedMs: each.waitedMs,
        source: each.source,
        code: each.code,
      }));
    });
  }

  /** The keys that are read or written most, hottest first. */
  hotKeys(query: HotKeyQuery = {}, options: CallOptions = {}): Promise<readonly HotKey[]> {
    return this.#calls.read(options, async (call) => {
      const { keys } = await this.#service.listHotKeys({
        tenantId: toText(query.tenant ?? "", "tenant id"),
        limit: query.limit ?? 0,
      }, call);
      return keys.map(({ tenantId, key, reads, writes }) => ({
        tenant: tenantId,
        key,
        reads: fromKeyRate(reads),
        writes: fromKeyRate(writes),
      }));
    });
  }

  /** Writes the memtables of a tenant (or of all) to tables; resolves when they are durable. */
  flush(tenant?: string, options: CallOptions = {}): Promise<void> {
    return this.#calls.once(options, async (call) => {
      await this.#service.flush({ tenantId: toText(tenant ?? "", "tenant id") }, call);
    });
  }

  /**
   * Merges the tables of a tenant (or of all), or those with keys of a range, down to one level; resolves
   * when that is done.
   */
  compact(tenant?: string, options: CallOptions & CompactRange = {}): Promise<void> {
    return this.#calls.once(options, async (call) => {
      await this.#service.compact({
        tenantId: toText(tenant ?? "", "tenant id"),
        start: toText(options.start ?? "", "key"),
        end: toText(options.end ?? "", "key"),
        purge: options.purge ?? false,
      }, call);
    });
  }

  /** Takes a tenant's keys out of the node's caches. No read needs it. */
  invalidateCache(
    tenant: string,
    options: CallOptions & CacheRange = {},
  ): Promise<CacheChange> {
    return this.#calls.once(options, async (call) => {
      const answer = await this.#service.invalidateCache(toCacheRange(tenant, options), call);
      return { keys: fromInt64(answer.keys), sharedCache: answer.sharedCache };
    });
  }

  /** Puts a tenant's keys into the shared cache. */
  fillCache(tenant: string, options: CallOptions & CacheRange = {}): Promise<CacheChange> {
    return this.#calls.once(options, async (call) => {
      const answer = await this.#service.fillCache(toCacheRange(tenant, options), call);
      return { keys: fromInt64(answer.keys), sharedCache: answer.sharedCache };
    });
  }

  /** Makes a consistent copy of everything, as of one moment, in the node's data directory. */
  createSnapshot(name: string, options: CallOptions = {}): Promise<SnapshotMade> {
    return this.#calls.once(options, async (call) => {
      const answer = await this.#service.createSnapshot(
        { name: toText(name, "snapshot's name") },
        call,
      );
      return {
        snapshot: fromSnapshot(answer.snapshot),
        linkedFiles: answer.linkedFiles,
        copiedBytes: fromInt64(answer.copiedBytes),
        digestedBytes: fromInt64(answer.digestedBytes),
        pinnedMs: answer.pinnedMs,
        elapsedMs: answer.elapsedMs,
      };
    });
  }

  /** All snapshots of the node, by name. */
  listSnapshots(options: CallOptions = {}): Promise<Snapshot[]> {
    return this.#calls.read(options, async (call) => {
      return (await this.#service.listSnapshots({}, call)).snapshots.map(fromSnapshot);
    });
  }

  /** Reads every byte of a snapshot and compares digests. Damage is an answer, not an error. */
  verifySnapshot(name: string, options: CallOptions = {}): Promise<SnapshotVerified> {
    return this.#calls.once(options, async (call) => {
      const answer = await this.#service.verifySnapshot(
        { name: toText(name, "snapshot's name") },
        call,
      );
      const problems = answer.problems.map(({ file, problem }) => ({ file, problem }));
      return { snapshot: fromSnapshot(answer.snapshot), problems };
    });
  }

  /** Deletes a snapshot for good. @throws PairError InvalidArgument (1000) when there is none of that name */
  deleteSnapshot(name: string, options: CallOptions = {}): Promise<void> {
    return this.#calls.once(options, async (call) => {
      await this.#service.deleteSnapshot({ name: toText(name, "snapshot's name") }, call);
    });
  }

  /** What the node does in the background. @param options  `ended`: also the last 32 jobs that are over */
  listJobs(options: CallOptions & { ended?: boolean } = {}): Promise<NodeJobs> {
    const { ended = false, ...rest } = options;
    return this.#calls.read(rest, async (call) => {
      const { jobs, scrub, quietUntil } = await this.#service.listJobs({ ended }, call);
      return {
        jobs: jobs.map(fromJob),
        scrub: fromScrub(scrub),
        quietUntilMs: fromInt64(quietUntil) || undefined,
      };
    });
  }

  /**
   * Registers a function of the application that merges concurrent values, for tenants with `merge:<name>`.
   * @param source   TypeScript or JavaScript whose default export is `(a: Uint8Array, b: Uint8Array) => Uint8Array`
   * @param options  `samples`: values of the application to try it on, at most 8 of 64 KiB
   * @throws PairError InvalidArgument (1000), with the detail `law`, when it is none that can merge
   */
  registerMergeFunction(
    name: string,
    source: string,
    options: CallOptions & { samples?: readonly Uint8Array[] } = {},
  ): Promise<MergeFunctionInfo> {
    const { samples = [], ...rest } = options;
    return this.#calls.once(rest, async (call) => {
      const answer = await this.#service.registerMergeFunction({
        name: toText(name, "function's name"),
        source: toText(source, "function's source"),
        samples: [...samples],
      }, call);
      return fromFunction(answer.function);
    });
  }

  /** All functions that are registered, by name. */
  listMergeFunctions(options: CallOptions = {}): Promise<MergeFunctionInfo[]> {
    return this.#calls.read(options, async (call) => {
      return (await this.#service.listMergeFunctions({}, call)).functions.map(fromFunction);
    });
  }

  /** Forgets a function. @throws PairError InvalidArgument (1000) while a tenant has it */
  removeMergeFunction(name: string, options: CallOptions = {}): Promise<void> {
    return this.#calls.once(options, async (call) => {
      await this.#service.removeMergeFunction({ name: toText(name, "function's name") }, call);
    });
  }

  /**
   * Moves a range to another node, in the background, while it is written to. The same again changes nothing,
   * or goes on with what has failed.
   * @param target  the other node, such as `http://10.0.0.2:50052`
   */
  startMigration(
    target: string,
    range: MigrationRange = {},
    options: CallOptions = {},
  ): Promise<Migration> {
    return this.#calls.once(options, async (call) => {
      const { migration } = await this.#service.startMigration({
        targetUrl: target,
        id: range.id ?? "",
        tenantId: toText(range.tenant ?? "", "tenant id"),
        keyRangeStart: toText(range.start ?? "", "key"),
        keyRangeEnd: toText(range.end ?? "", "key"),
        tokenRange: range.tokens,
      }, call);
      return fromMigration(migration);
    });
  }

  /** Migrations under way, and the last that are over, the newest first. */
  listMigrations(options: CallOptions = {}): Promise<Migration[]> {
    return this.#calls.read(options, async (call) => {
      return (await this.#service.listMigrations({}, call)).migrations.map(fromMigration);
    });
  }

  /** Ends a migration. @throws PairError InvalidArgument (1000) when there is none of that id */
  cancelMigration(id: string, options: CallOptions = {}): Promise<Migration> {
    return this.#calls.once(options, async (call) => {
      return fromMigration((await this.#service.cancelMigration({ id }, call)).migration);
    });
  }

  /**
   * Has the node take no writes any more, and moves everything to another one. Answers at once.
   * @param target  undefined: how far is the drain that there is?
   */
  drain(target: string | undefined, options: CallOptions = {}): Promise<Drain> {
    // Asked again, it changes nothing.
    return this.#calls.read(options, async (call) => {
      const answer = await this.#node.drainNode({ targetUrl: target ?? "" }, call);
      return { drained: answer.drained, migration: fromMigration(answer.migration) };
    });
  }

  /** Ends the drain, complete or not: the node takes writes again. */
  cancelDrain(options: CallOptions = {}): Promise<Drain> {
    return this.#calls.once(options, async (call) => {
      const answer = await this.#node.drainNode({ cancel: true }, call);
      return { drained: answer.drained, migration: fromMigration(answer.migration) };
    });
  }
}

/** Quotas have the same names here and in messages. */
const QUOTAS = ["maxBytes", "maxKeys", "maxRequestsPerSecond", "maxBytesPerSecond"] as const;

function toTenantOptions(options: TenantOptions) {
  const { compaction, ttlMs, windowMs, compression, cacheSharePercent, conflictStrategy, ...rest } =
    options;
  const quotas: { [K in (typeof QUOTAS)[number]]?: bigint } = {};
  for (const name of QUOTAS) {
    const quota = rest[name];
    if (quota !== undefined) quotas[name] = toInt64(quota, `the quota ${name}`);
  }
  return {
    ...quotas,
    compression,
    cacheSharePercent,
    conflictStrategy,
    compactionStrategy: compaction,
    defaultTtlMs: ttlMs === undefined ? undefined : toInt64(ttlMs, "the time to live"),
    timeWindowMs: windowMs === undefined ? undefined : toInt64(windowMs, "the time window"),
  };
}

function toCacheRange(tenant: string, { key = "", prefix = "" }: CacheRange) {
  return {
    tenantId: toText(tenant, "tenant id"),
    key: toText(key, "key"),
    prefix: toText(prefix, "key"),
  };
}

function mustHaveTenant(answer: { tenant?: TenantMessage | undefined }): Tenant {
  if (answer.tenant === undefined) {
    throw new PairError("Internal", "Cannot read the answer: it has no tenant");
  }
  return fromTenant(answer.tenant);
}

/** What all calls to one server share: the default deadline, further attempts, and the naming of failures. */
class Calls {
  readonly url: string;
  #timeoutMs: number | undefined;
  #retries: Retries;

  constructor(url: string, { timeoutMs, retry }: ConnectOptions) {
    this.url = url;
    this.#timeoutMs = timeoutMs;
    this.#retries = new Retries(retry);
  }

  /** Makes a call with the caller's options, and its failure a PairError. */
  once<T>(options: CallOptions, make: (call: Attempt) => Promise<T>): Promise<T> {
    return this.#make("once", options, make);
  }

  /** The same for a call that changes nothing. */
  read<T>(options: CallOptions, make: (call: Attempt) => Promise<T>): Promise<T> {
    return this.#make("read", options, make);
  }

  /** The same for a write. */
  write<T>(options: OnceOptions, make: (call: Attempt) => Promise<T>): Promise<T> {
    const kind = options.idempotencyKey === undefined ? "write" : "keyed write";
    return this.#make(kind, options, make);
  }

  #make<T>(
    kind: CallKind,
    { signal, timeoutMs = this.#timeoutMs }: CallOptions,
    make: (call: Attempt) => Promise<T>,
  ): Promise<T> {
    return this.#retries.run(
      kind,
      { signal, timeoutMs },
      (attempt) => this.named(signal, make(attempt)),
    );
  }

  /** The answer, or the caller's own abort reason, or a PairError. */
  async named<T>(signal: AbortSignal | undefined, answer: Promise<T>): Promise<T> {
    try {
      return await answer;
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      throw toPairError(error, this.url);
    }
  }
}

/** Says with every call who we are. */
function showing(token: string): Interceptor {
  // The platform's own complaint about a bad header quotes it.
  if (!/^[!-~]+$/.test(token)) {
    throw new PairError("InvalidArgument", "Cannot use the token: it is not of the form pdb_…");
  }
  return (next) => (request) => {
    request.header.set("authorization", `Bearer ${token}`);
    return next(request);
  };
}

function normalizeUrl(url: string): string {
  const text = url.includes("://") ? url : `http://${url}`;
  const parsed = URL.canParse(text) ? new URL(text) : undefined;
  if (parsed === undefined || !/^https?:$/.test(parsed.protocol)) {
    throw new PairError(
      "InvalidArgument",
      `Cannot use the server's URL ${url}: it is not of the form http://HOST:PORT`,
    );
  }
  return text.replace(/\/+$/, "");
}

function written(
  answer: { vectorClock?: Parameters<typeof fromClock>[0]; timestamp: bigint },
): Written {
  return { context: fromClock(answer.vectorClock), timestampMs: fromInt64(answer.timestamp) };
}

function fromBatchItem(item: BatchGetItem): Found | undefined {
  return item.found ? fromFound(item) : undefined;
}

/** @throws PairError Internal for an event of a kind that we do not know: leaving it out would be a loss */
function fromEvent(event: WatchEventMessage): WatchEvent {
  const { resumeToken: token, reason, key } = event;
  const change = (type: "put" | "delete" | "initial"): WatchEvent => ({
    type,
    key,
    ...fromFound(event),
    expiresAtMs: fromInt64(event.expiresAt),
    token,
  });
  switch (event.type) {
    case WatchEventType.PUT:
      return change("put");
    case WatchEventType.DELETE:
      return change("delete");
    case WatchEventType.INITIAL:
      return change("initial");
    case WatchEventType.PROGRESS:
      return { type: "progress", token, reason };
    case WatchEventType.GAP:
      return { type: "gap", token, reason };
    default:
      throw new PairError(
        "Internal",
        `Cannot read the answer: an event has the type ${event.type}`,
      );
  }
}

function fromJob(job: JobMessage): Job {
  const endedAtMs = fromInt64(job.endedAt);
  return {
    id: fromInt64(job.id),
    kind: job.kind,
    tenant: job.tenantId,
    state: job.state,
    level: job.level,
    outputLevel: job.outputLevel,
    inputs: job.inputs.map(fromInt64),
    startedAtMs: fromInt64(job.startedAt),
    endedAtMs: endedAtMs === 0 ? undefined : endedAtMs,
    bytes: job.bytes === undefined ? undefined : fromInt64(job.bytes),
    bytesDone: fromInt64(job.bytesDone),
    rate: job.rate,
    etaMs: job.etaMs === undefined ? undefined : fromInt64(job.etaMs),
    error: job.error,
  };
}

function fromFunction(message: FunctionMessage | undefined): MergeFunctionInfo {
  if (message === undefined) {
    throw new PairError("Internal", "Cannot read the answer: it has no merge function");
  }
  const { name, digest, bytes, registeredAt, tenants } = message;
  return { name, digest, bytes, registeredAtMs: fromInt64(registeredAt), tenants };
}

function fromMigration(message: MigrationMessage | undefined): Migration {
  if (message === undefined) {
    throw new PairError("Internal", "Cannot read the answer: it has no migration");
  }
  const { tokenRange } = message;
  const endedAtMs = fromInt64(message.endedAt);
  return {
    id: message.id,
    target: message.targetUrl,
    tenant: message.tenantId,
    start: message.keyRangeStart,
    end: message.keyRangeEnd,
    tokens: tokenRange && { start: tokenRange.start, end: tokenRange.end },
    state: message.state,
    draining: message.draining,
    createdAtMs: fromInt64(message.createdAt),
    endedAtMs: endedAtMs === 0 ? undefined : endedAtMs,
    pendingKeys: fromInt64(message.pendingKeys),
    error: message.error,
    keysCopied: fromInt64(message.keysCopied),
    bytesCopied: fromInt64(message.bytesCopied),
    keysStreamed: fromInt64(message.keysStreamed),
    bytesStreamed: fromInt64(message.bytesStreamed),
    piecesCompared: fromInt64(message.piecesCompared),
    piecesResent: fromInt64(message.piecesResent),
    keysResent: fromInt64(message.keysResent),
    rescans: fromInt64(message.rescans),
    retries: fromInt64(message.retries),
  };
}

function fromScrub(scrub: ScrubMessage | undefined): Scrub {
  if (scrub === undefined) {
    throw new PairError("Internal", "Cannot read the answer: it has no scrub");
  }
  const nextAtMs = fromInt64(scrub.nextAt);
  return {
    intervalMs: fromInt64(scrub.intervalMs),
    running: scrub.running,
    startedAtMs: fromInt64(scrub.startedAt),
    nextAtMs: nextAtMs === 0 ? undefined : nextAtMs,
    late: scrub.late,
    waitsFor: scrub.waitsFor,
    rounds: fromInt64(scrub.rounds),
    damaged: scrub.damaged.map(({ file, tenantId, problem }) => ({
      file,
      tenant: tenantId,
      problem,
    })),
  };
}

function fromKeyRate(rate: HotKeyMessage["reads"]): KeyRate {
  return { perSecond: rate?.perSecond ?? 0, error: rate?.error ?? 0 };
}

function fromSnapshot(snapshot: SnapshotMessage | undefined): Snapshot {
  if (snapshot === undefined) {
    throw new PairError("Internal", "Cannot read the answer: it has no snapshot");
  }
  return {
    name: snapshot.name,
    dir: snapshot.dir,
    nodeId: snapshot.nodeId,
    sequence: fromInt64(snapshot.sequence),
    createdAtMs: fromInt64(snapshot.createdAt),
    files: snapshot.files,
    bytes: fromInt64(snapshot.bytes),
    problem: snapshot.problem,
  };
}

function fromTenant(tenant: TenantMessage): Tenant {
  return {
    tenant: tenant.tenantId,
    createdAtMs: fromInt64(tenant.createdAt),
    bytes: fromInt64(tenant.bytes),
    tables: tenant.tables,
    ...fromTenantOptions(tenant.options),
    usage: tenant.usage && fromTenantUsage(tenant.usage),
  };
}

function fromTenantUsage(usage: NonNullable<TenantMessage["usage"]>): TenantUsage {
  return {
    bytes: fromInt64(usage.bytes),
    keys: fromInt64(usage.keys),
    requests: fromInt64(usage.requests),
    bytesIn: fromInt64(usage.bytesIn),
    bytesOut: fromInt64(usage.bytesOut),
    refused: fromInt64(usage.refused),
    cacheBytes: fromInt64(usage.cacheBytes),
  };
}

/** Only what the tenant has of its own. */
function fromTenantOptions(options: TenantMessage["options"]): TenantOptions {
  const {
    compactionStrategy,
    defaultTtlMs,
    timeWindowMs,
    compression,
    cacheSharePercent,
    conflictStrategy,
  } = options ?? {};
  const quotas: { [K in (typeof QUOTAS)[number]]?: number } = {};
  for (const name of QUOTAS) {
    const quota = options?.[name];
    if (quota !== undefined) quotas[name] = fromInt64(quota);
  }
  return {
    ...quotas,
    ...(compression === undefined ? {} : { compression }),
    ...(cacheSharePercent === undefined ? {} : { cacheSharePercent }),
    ...(conflictStrategy === undefined ? {} : { conflictStrategy }),
    ...(compactionStrategy === undefined ? {} : { compaction: compactionStrategy }),
    ...(defaultTtlMs === undefined ? {} : { ttlMs: fromInt64(defaultTtlMs) }),
    ...(timeWindowMs === undefined ? {} : { windowMs: fromInt64(timeWindowMs) }),
  };
}
