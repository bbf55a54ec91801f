/**
 * AdminService: for operators of one node.
 * @module
 */
import type { ServiceImpl } from "@connectrpc/connect";
import type { SnapshotInfo, StorageNode } from "../../node/mod.ts";
import type { AdminService } from "../../gen/pairdb/v1/admin_pb.ts";
import { toCount, toSafeCount } from "../convert.ts";
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

    listSlowOperations({ tenantId, withinMs, limit }) {
      const query = {
        withinMs: toCount(withinMs, "within_ms"),
        limit: toSafeCount(limit, "limit"),
        tenant: tenantId,
      };
      return { operations: slow.list(query).map(toSlow), slowTotal: BigInt(slow.count) };
    },
  };
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
