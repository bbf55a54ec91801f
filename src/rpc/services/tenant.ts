/**
 * TenantService: tenants as objects.
 * @module
 */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import type { StorageNode, TenantInfo } from "../../node/mod.ts";
import type { TenantSchema, TenantService } from "../../gen/pairdb/v1/tenant_pb.ts";

/** Binds the service to a node. */
export function tenantService(node: StorageNode): Required<ServiceImpl<typeof TenantService>> {
  return {
    async createTenant({ tenantId }) {
      return { tenant: fromTenant(await node.createTenant(tenantId)) };
    },

    listTenants() {
      return { tenants: node.listTenants().map(fromTenant) };
    },

    async dropTenant({ tenantId }) {
      await node.dropTenant(tenantId);
      return {};
    },
  };
}

function fromTenant(info: TenantInfo): MessageInitShape<typeof TenantSchema> {
  return {
    tenantId: info.tenant,
    createdAt: BigInt(info.createdAtMs),
    bytes: BigInt(info.bytes),
    tables: info.tables,
  };
}
