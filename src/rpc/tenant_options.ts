/**
 * Between the message of a tenant's options and the node's value: of TenantService, and of ReplicateData.
 * @module
 */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { TenantOptions } from "../node/mod.ts";
import type {
  TenantOptions as MessageTenantOptions,
  TenantOptionsSchema,
} from "../gen/pairdb/v1/tenant_pb.ts";
import { toCount } from "./convert.ts";

type LimitField = "maxBytes" | "maxKeys" | "maxRequestsPerSecond" | "maxBytesPerSecond";
type LimitName = "maxBytes" | "maxKeys" | "maxRequests" | "maxBandwidth";

/** The node's name of each quota, the message's, and the one that people know. */
const LIMITS: readonly (readonly [LimitName, readonly [LimitField, string]])[] = [
  ["maxBytes", ["maxBytes", "max_bytes"]],
  ["maxKeys", ["maxKeys", "max_keys"]],
  ["maxRequests", ["maxRequestsPerSecond", "max_requests_per_second"]],
  ["maxBandwidth", ["maxBytesPerSecond", "max_bytes_per_second"]],
];

/** What is absent stays absent, so that it stays as it is; the empty value goes back to the node's own. */
export function toTenantOptions(message: MessageTenantOptions | undefined): TenantOptions {
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

/** Options as a message; one that is the node's own is absent. */
export function fromTenantOptions(
  options: TenantOptions,
): MessageInitShape<typeof TenantOptionsSchema> {
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
