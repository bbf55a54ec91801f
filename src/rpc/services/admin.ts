/**
 * AdminService: for operators of one node.
 * @module
 */
import type { ServiceImpl } from "@connectrpc/connect";
import {
  HOT_KEY_WINDOW_MS,
  type HotKey,
  type MergeFunctionInfo,
  type NodeJob,
  type NodeJobs,
  type NodeStatus,
  type SnapshotInfo,
  type StorageNode,
} from "../../node/mod.ts";
import type { AdminService } from "../../gen/pairdb/v1/admin_pb.ts";
import { toCount, toSafeCount } from "../convert.ts";
import { fromMigration } from "../migrations.ts";
import { toRange } from "../transfer.ts";
import type { SlowOperation, SlowOperations } from "../slow_operations.ts";

/** Binds the service to a node. @param slow  the slow operations of its port */
export function adminService(
  node: StorageNode,
  slow: SlowOperations,
): Required<ServiceImpl<typeof AdminService>> {
  return {
    status() {
      const status = node.status();
      return {
        nodeId: status.nodeId,
        version: status.version,
        status: status.health.status,
        reasons: [...status.health.reasons],
        uptimeMs: BigInt(Math.floor(status.uptimeMs)),
        dataDir: status.dataDir,
        tenants: status.tenants,
        memtableBytes: BigInt(status.memtableBytes),
        walBytes: BigInt(status.walBytes),
        walSegments: status.walSegments,
        tableBytes: BigInt(status.tableBytes),
        tables: status.tables,
        tablesPerLevel: [...status.tablesPerLevel],
        diskTotalBytes: BigInt(status.diskTotalBytes),
        diskFreeBytes: BigInt(status.diskFreeBytes),
        lastSequence: BigInt(status.lastSequence),
        snapshots: status.snapshots,
        snapshotBytes: BigInt(status.snapshotBytes),
        ...layersOf(status),
      };
    },

    async flush({ tenantId }) {
      await node.flush(tenantId === "" ? undefined : tenantId);
      return {};
    },

    async compact({ tenantId, start, end, purge }) {
      await node.compact(tenantId === "" ? undefined : tenantId, { start, end, purge });
      return {};
    },

    async invalidateCache({ tenantId, key, prefix }) {
      const { keys, shared } = await node.invalidateCache(tenantId, { key, prefix });
      return { keys: BigInt(keys), sharedCache: shared };
    },

    async fillCache({ tenantId, key, prefix }) {
      const { keys, shared } = await node.fillCache(tenantId, { key, prefix });
      return { keys: BigInt(keys), sharedCache: shared };
    },

    async createSnapshot({ name }) {
      const made = await node.createSnapshot(name);
      return {
        snapshot: toSnapshot(made),
        linkedFiles: made.linked,
        copiedBytes: BigInt(made.copiedBytes),
        digestedBytes: BigInt(made.digestedBytes),
        pinnedMs: made.pinnedMs,
        elapsedMs: made.elapsedMs,
      };
    },

    listSnapshots() {
      return { snapshots: node.listSnapshots().map(toSnapshot) };
    },

    async verifySnapshot({ name }) {
      const { snapshot, problems } = await node.verifySnapshot(name);
      return { snapshot: toSnapshot(snapshot), problems: [...problems] };
    },

    async deleteSnapshot({ name }) {
      await node.deleteSnapshot(name);
      return {};
    },

    startScrub() {
      node.startScrub();
      return {};
    },

    listSlowOperations({ tenantId, withinMs, limit }) {
      const query = {
        withinMs: toCount(withinMs, "within_ms"),
        limit: toSafeCount(limit, "limit"),
        tenant: tenantId,
      };
      return { operations: slow.list(query).map(toSlow), slowTotal: BigInt(slow.count) };
    },

    listJobs({ ended }) {
      const { jobs, scrub, quietUntilMs = 0 } = node.listJobs({ ended });
      return {
        jobs: jobs.map(toJob),
        scrub: toScrub(scrub),
        quietUntil: BigInt(Math.ceil(quietUntilMs)),
      };
    },

    listHotKeys({ tenantId, limit }) {
      const keys = node.hotKeys({
        tenant: tenantId === "" ? undefined : tenantId,
        limit: toSafeCount(limit, "limit") || undefined,
      });
      return { keys: keys.map(toHotKey), windowMs: BigInt(HOT_KEY_WINDOW_MS) };
    },

    async registerMergeFunction({ name, source, samples }) {
      return { function: toFunction(await node.registerMergeFunction(name, source, samples)) };
    },

    listMergeFunctions() {
      return { functions: node.listMergeFunctions().map(toFunction) };
    },

    async removeMergeFunction({ name }) {
      await node.removeMergeFunction(name);
      return {};
    },

    async startMigration(request) {
      const { id, targetUrl: target, tenantId: tenant } = request;
      const info = await node.startMigration({ id, target, tenant, ...toRange(request) });
      return { migration: fromMigration(info) };
    },

    listMigrations() {
      return { migrations: node.listMigrations().map(fromMigration) };
    },

    async cancelMigration({ id }) {
      return { migration: fromMigration(await node.cancelMigration(id)) };
    },
  };
}

/** The shared cache, and what was read from where. */
function layersOf({ counters }: NodeStatus) {
  const count = (name: string) => BigInt(counters[name] ?? 0);
  return {
    sharedCache: !counters.sharedCaches ? "none" : counters.sharedCacheUp ? "up" : "down",
    reads: {
      memtable: count("readsFromMemtable"),
      rowCache: count("readsFromRowCache"),
      sharedCache: count("readsFromSharedCache"),
      tables: count("readsFromTables"),
      nothing: count("readsOfNothing"),
    },
  };
}

function toFunction({ registeredAtMs, ...info }: MergeFunctionInfo) {
  return { ...info, registeredAt: BigInt(registeredAtMs) };
}

function toJob(job: NodeJob) {
  return {
    id: BigInt(job.id),
    kind: job.kind,
    tenantId: job.tenant ?? "",
    state: job.state,
    level: job.level,
    outputLevel: job.outputLevel,
    inputs: job.inputs.map(BigInt),
    startedAt: BigInt(Math.floor(job.startedAtMs)),
    endedAt: BigInt(Math.floor(job.endedAtMs ?? 0)),
    bytes: job.bytes === undefined ? undefined : BigInt(Math.ceil(job.bytes)),
    bytesDone: BigInt(Math.floor(job.bytesDone)),
    rate: job.rate,
    etaMs: job.etaMs === undefined ? undefined : BigInt(job.etaMs),
    error: job.error ?? "",
  };
}

function toScrub(scrub: NodeJobs["scrub"]) {
  return {
    intervalMs: BigInt(scrub.intervalMs),
    running: scrub.running,
    startedAt: BigInt(scrub.startedAtMs),
    nextAt: BigInt(Math.ceil(scrub.nextAtMs ?? 0)),
    late: scrub.late,
    waitsFor: scrub.waitsFor ?? "",
    rounds: BigInt(scrub.rounds),
    damaged: scrub.damaged.map(({ file, tenant, problem }) => ({
      file,
      tenantId: tenant,
      problem,
    })),
  };
}

function toHotKey({ tenant, key, reads, writes }: HotKey) {
  return { tenantId: tenant, key, reads, writes };
}

function toSnapshot(info: SnapshotInfo) {
  return {
    name: info.name,
    dir: info.dir,
    nodeId: info.node,
    sequence: BigInt(info.sequence),
    createdAt: BigInt(info.createdAtMs),
    files: info.files,
    bytes: BigInt(info.bytes),
    problem: info.problem ?? "",
  };
}

function toSlow(slow: SlowOperation) {
  return {
    operation: slow.operation,
    method: slow.method,
    tenantId: slow.tenant,
    key: slow.key,
    keyCut: slow.keyCut,
    keyHash: slow.keyHash,
    keys: slow.keys,
    requestBytes: BigInt(slow.requestBytes),
    startedAt: BigInt(slow.startedAtMs),
    elapsedMs: slow.elapsedMs,
    waitedMs: slow.waitedMs,
    source: slow.source,
    code: slow.code,
  };
}
