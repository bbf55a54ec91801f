/**
 * TenantService: tenants as objects.
 * @module
 */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import type { StorageNode, TenantInfo, TenantOptions, TenantUsage } from "../../node/mod.ts";
import type {
  TenantOptions as MessageTenantOptions,
  TenantOptionsSchema,
  TenantSchema,
  TenantService,
  TenantUsageSchema,
} from "../../gen/pairdb/v1/tenant_pb.ts";
import { toCount } from "../convert.ts";

type LimitField = "maxBytes" | "maxKeys" | "maxRequestsPerSecond" | "maxBytesPerSecond";
type LimitName = "maxBytes" | "maxKeys" | "maxRequests" | "maxBandwidth";

/** The node's name of each quota, the message's, and the one that people know. */
const LIMITS: readonly (readonly [LimitName, readonly [LimitField, string]])[] = [
  ["maxBytes", ["maxBytes", "max_bytes"]],
  ["maxKeys", ["maxKeys", "max_keys"]],
  ["maxRequests", ["maxRequestsPerSecond", "max_requests_per_second"]],
  ["maxBandwidth", ["maxBytesPerSecond", "max_bytes_per_second"]],
];

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

/** What is absent stays absent, so that it stays as it is; the empty value goes back to the node's own. */
function toOptions(message: MessageTenantOptions | undefined): TenantOptions {
  const {
    compactionStrategy,
    defaultTtlMs,
    timeWindowMs,
    compression,
    cacheSharePercent,
    conflictStrategy,
  } = message ?? {};
  const limits: Record<string, number | undefined> = {};
  for (const [name, [field, label]] of LIMITS) {
    const limit = message?.[field];
    if (limit !== undefined) limits[name] = toCount(limit, label) || undefined;
  }
  return {
    ...limits,
    ...(compression === undefined ? {} : { compression: toCompression(compression) }),
    ...(cacheSharePercent === undefined ? {} : { cacheShare: cacheSharePercent || undefined }),
    ...(conflictStrategy ? { conflictStrategy } : {}),
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

/** The same. */
function toCompression(name: string): TenantOptions["compression"] {
  return name === "" ? undefined : name as TenantOptions["compression"];
}

function fromOptions(options: TenantOptions): MessageInitShape<typeof TenantOptionsSchema> {
  const { strategy, ttlMs, windowMs, compression, cacheShare, conflictStrategy } = options;
  const limits: Partial<Record<LimitField, bigint>> = {};
  for (const [name, [field]] of LIMITS) {
    const limit = options[name];
    if (limit !== undefined) limits[field] = BigInt(limit);
  }
  return {
    ...limits,
    compression,
    cacheSharePercent: cacheShare,
    conflictStrategy,
    compactionStrategy: strategy,
    defaultTtlMs: ttlMs === undefined ? undefined : BigInt(ttlMs),
    timeWindowMs: windowMs === undefined ? undefined : BigInt(windowMs),
  };
}
