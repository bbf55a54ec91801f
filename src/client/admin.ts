/**
 * Calls for operators of one node.
 * @module
 */
import { type Client, createClient, type Transport } from "@connectrpc/connect";
import {
  AdminService,
  type HotKey as HotKeyMessage,
  type Job as JobMessage,
  type MergeFunction as FunctionMessage,
  type Scrub as ScrubMessage,
  type Snapshot as SnapshotMessage,
} from "../gen/pairdb/v1/admin_pb.ts";
import {
  type Migration as MigrationMessage,
  StorageNodeService,
} from "../gen/pairdb/v1/storage_node_pb.ts";
import { PairError } from "../model/mod.ts";
import type { Calls } from "./calls.ts";
import { fromInt64, toInt64, toText } from "./convert.ts";
import type {
  CacheChange,
  CacheRange,
  CallOptions,
  CompactRange,
  Drain,
  HotKey,
  HotKeyQuery,
  Job,
  KeyRate,
  MergeFunctionInfo,
  Migration,
  MigrationRange,
  NodeHealth,
  NodeJobs,
  NodeStatus,
  Scrub,
  SlowOperation,
  SlowQuery,
  Snapshot,
  SnapshotMade,
  SnapshotVerified,
} from "./types.ts";

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

  /**
   * Begins a round of the scrub now; {@link listJobs} tells how far it is.
   * @throws PairError InvalidArgument (1000) where `scrub.interval` is 0
   */
  startScrub(options: CallOptions = {}): Promise<void> {
    return this.#calls.once(options, async (call) => {
      await this.#service.startScrub({}, call);
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

function toCacheRange(tenant: string, { key = "", prefix = "" }: CacheRange) {
  return {
    tenantId: toText(tenant, "tenant id"),
    key: toText(key, "key"),
    prefix: toText(prefix, "key"),
  };
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
    fallsBehind: message.fallsBehind,
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
