/**
 * AdminService: for operators of one node.
 * @module
 */
import type { ServiceImpl } from "@connectrpc/connect";
import type { StorageNode } from "../../node/mod.ts";
import type { AdminService } from "../../gen/pairdb/v1/admin_pb.ts";

/** Binds the service to a node. */
export function adminService(node: StorageNode): Required<ServiceImpl<typeof AdminService>> {
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
  };
}
