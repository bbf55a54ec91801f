/**
 * Calls on tenants.
 * @module
 */
import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { type Tenant as TenantMessage, TenantService } from "../gen/pairdb/v1/tenant_pb.ts";
import { PairError } from "../model/mod.ts";
import type { Calls } from "./calls.ts";
import { fromInt64, toInt64, toText } from "./convert.ts";
import type { CallOptions, Tenant, TenantOptions, TenantUsage } from "./types.ts";

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

function mustHaveTenant(answer: { tenant?: TenantMessage | undefined }): Tenant {
  if (answer.tenant === undefined) {
    throw new PairError("Internal", "Cannot read the answer: it has no tenant");
  }
  return fromTenant(answer.tenant);
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
