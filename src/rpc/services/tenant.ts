/**
 * TenantService: tenants as objects.
 * @module
 */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import type { StorageNode, TenantInfo, TenantUsage } from "../../node/mod.ts";
import type {
  TenantSchema,
  TenantService,
  TenantUsageSchema,
} from "../../gen/pairdb/v1/tenant_pb.ts";
import { fromTenantOptions, toTenantOptions } from "../tenant_options.ts";

/** Binds the service to a node. */
export function tenantService(node: StorageNode): Required<ServiceImpl<typeof TenantService>> {
  return {
    async createTenant({ tenantId, options }) {
      return { tenant: fromTenant(await node.createTenant(tenantId, toTenantOptions(options))) };
    },

    async updateTenant({ tenantId, options }) {
      return { tenant: fromTenant(await node.updateTenant(tenantId, toTenantOptions(options))) };
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
    options: fromTenantOptions(info.options),
    usage: fromUsage(info.usage),
  };
}

function fromUsage(usage: TenantUsage): MessageInitShape<typeof TenantUsageSchema> {
  const { bytes, keys, requests, bytesIn, bytesOut, refused, cacheBytes } = usage;
  return {
    bytes: BigInt(bytes),
    keys: BigInt(keys),
    requests: BigInt(requests),
    bytesIn: BigInt(bytesIn),
    bytesOut: BigInt(bytesOut),
    refused: BigInt(refused),
    cacheBytes: BigInt(cacheBytes),
  };
}
