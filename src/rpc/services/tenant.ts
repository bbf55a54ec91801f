/**
 * TenantService: tenants as objects.
 * @module
 */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import type { StorageNode, TenantInfo, TenantOptions } from "../../node/mod.ts";
import type {
  TenantOptions as MessageTenantOptions,
  TenantOptionsSchema,
  TenantSchema,
  TenantService,
} from "../../gen/pairdb/v1/tenant_pb.ts";
import { toCount } from "../convert.ts";

/** Binds the service to a node. */
export function tenantService(node: StorageNode): Required<ServiceImpl<typeof TenantService>> {
  return {
    async createTenant({ tenantId, options }) {
      return { tenant: fromTenant(await node.createTenant(tenantId, toOptions(options))) };
    },

    async updateTenant({ tenantId, options }) {
      return { tenant: fromTenant(await node.updateTenant(tenantId, toOptions(options))) };
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
    options: fromOptions(info.options),
  };
}

/** What is absent stays absent, so that it stays as it is; the empty value goes back to the node's own. */
function toOptions(message: MessageTenantOptions | undefined): TenantOptions {
  const { compactionStrategy, defaultTtlMs, timeWindowMs } = message ?? {};
  return {
    ...(compactionStrategy === undefined ? {} : { strategy: toStrategy(compactionStrategy) }),
    ...(defaultTtlMs === undefined ? {} : { ttlMs: toCount(defaultTtlMs, "default_ttl_ms") }),
    ...(timeWindowMs === undefined
      ? {}
      : { windowMs: toCount(timeWindowMs, "time_window_ms") || undefined }),
  };
}

/** The engine refuses what it does not know, by name. */
function toStrategy(name: string): TenantOptions["strategy"] {
  return name === "" ? undefined : name as TenantOptions["strategy"];
}

function fromOptions(options: TenantOptions): MessageInitShape<typeof TenantOptionsSchema> {
  const { strategy, ttlMs, windowMs } = options;
  return {
    compactionStrategy: strategy,
    defaultTtlMs: ttlMs === undefined ? undefined : BigInt(ttlMs),
    timeWindowMs: windowMs === undefined ? undefined : BigInt(windowMs),
  };
}
