/**
 * `pairdb tenant create|update|list|drop`: tenants as objects.
 * @module
 */
import type { Tenant, TenantOptions } from "../../client/mod.ts";
import { exactText } from "../text.ts";
import { connect, print, type Shell, UsageError } from "../shell.ts";
import { table } from "../table.ts";
import { formatDuration, roughSize } from "../units.ts";

/** Options of a tenant, as flags. */
export interface TenantFlags {
  readonly compaction?: string;
  readonly compression?: string;
  readonly conflictStrategy?: string;
  /** In ms. */
  readonly ttl?: number;
  /** In ms. */
  readonly window?: number;
  /** Percent; 0: no share. */
  readonly cacheShare?: number;
  /** Bytes; 0: no quota. */
  readonly maxBytes?: number;
  readonly maxKeys?: number;
  readonly maxRequests?: number;
  /** Bytes a second. */
  readonly maxBandwidth?: number;
}

/** Makes a tenant. */
export async function createTenant(
  shell: Shell,
  tenant: string,
  flags: TenantFlags,
): Promise<number> {
  const db = await connect(shell);
  const created = await db.tenants.create(tenant, toOptions(flags));
  if (created.conflictStrategy === "lww") {
    shell.process.err(
      "warning: with lww, of writes that nodes take at once all but the latest are lost\n",
    );
  }
  print(shell, "OK", tenantFields(created));
  return 0;
}

/** Changes options of a tenant. */
export async function updateTenant(
  shell: Shell,
  tenant: string,
  flags: TenantFlags,
): Promise<number> {
  const options = toOptions(flags);
  if (Object.values(options).every((value) => value === undefined)) {
    throw new UsageError("tenant update needs an option to change: see tenant update --help");
  }
  const db = await connect(shell);
  print(shell, "OK", tenantFields(await db.tenants.update(tenant, options)));
  return 0;
}

function toOptions(
  { compaction, compression, conflictStrategy, ttl, window, cacheShare, ...quotas }: TenantFlags,
): TenantOptions {
  return {
    compaction,
    compression,
    conflictStrategy,
    ttlMs: ttl,
    windowMs: window,
    cacheSharePercent: cacheShare,
    maxBytes: quotas.maxBytes,
    maxKeys: quotas.maxKeys,
    maxRequestsPerSecond: quotas.maxRequests,
    maxBytesPerSecond: quotas.maxBandwidth,
  };
}

const COLUMNS = [
  "tenant",
  "created",
  "size",
  "tables",
  "compaction",
  "conflicts",
  "ttl",
  "bytes",
  "keys",
  "requests",
  "bandwidth",
  "refused",
  "cache",
];

/** What is used, and the quota where there is one: `12 of 100`. */
function ofLimit(
  used: number | undefined,
  limit: number | undefined,
  format: (value: number) => string,
  formatLimit = format,
): string {
  const now = used === undefined ? "" : format(used);
  return limit === undefined ? now : `${now} of ${formatLimit(limit)}`;
}

/** Requests since the start, and what a second may have where it is bounded: `12 (at most 100/s)`. */
function requestsOf({ usage, maxRequestsPerSecond: limit }: Tenant): string {
  const bound = limit === undefined ? "" : `(at most ${limit}/s)`;
  return [usage === undefined ? "" : `${usage.requests}`, bound].filter((part) => part !== "")
    .join(" ");
}

/** Prints all tenants. */
export async function listTenants(shell: Shell): Promise<number> {
  const db = await connect(shell);
  const tenants = await db.tenants.list();
  const size = (bytes: number) =>
    shell.process.isTerminal("stdout") ? roughSize(bytes) : `${bytes}`;
  const rows = tenants.map((of) => [
    of.tenant,
    new Date(of.createdAtMs).toISOString(),
    size(of.bytes),
    `${of.tables}`,
    of.compaction ?? "",
    of.conflictStrategy ?? "",
    of.ttlMs ? formatDuration(of.ttlMs) : "",
    ofLimit(of.usage?.bytes, of.maxBytes, size),
    ofLimit(of.usage?.keys, of.maxKeys, String),
    requestsOf(of),
    of.maxBytesPerSecond === undefined ? "" : `${size(of.maxBytesPerSecond)}/s`,
    of.usage === undefined ? "" : `${of.usage.refused}`,
    ofLimit(of.usage?.cacheBytes, of.cacheSharePercent, size, (percent) => `${percent}%`),
  ]);
  const lines = shell.output === "json" ? [] : table(shell.process, COLUMNS, rows);
  print(shell, lines, tenants.map(tenantFields));
  return 0;
}

/** Removes a tenant with all its data; asks first on a terminal, wants --yes elsewhere. */
export async function dropTenant(
  shell: Shell,
  tenant: string,
  flags: { yes?: boolean },
): Promise<number> {
  if (!flags.yes && !await confirmed(shell, tenant)) {
    shell.process.err("nothing was dropped\n");
    return 1;
  }
  const db = await connect(shell);
  await db.tenants.drop(tenant);
  print(shell, "OK", { tenant, dropped: true });
  return 0;
}

function tenantFields(of: Tenant): Record<string, unknown> {
  const { tenant, createdAtMs, bytes, tables, compaction, ttlMs, windowMs, usage } = of;
  return {
    tenant,
    created_at: createdAtMs,
    bytes,
    tables,
    compaction,
    default_ttl_ms: ttlMs,
    time_window_ms: windowMs,
    compression: of.compression,
    cache_share_percent: of.cacheSharePercent,
    conflict_strategy: of.conflictStrategy ?? "vector_clock",
    max_bytes: of.maxBytes,
    max_keys: of.maxKeys,
    max_requests_per_second: of.maxRequestsPerSecond,
    max_bytes_per_second: of.maxBytesPerSecond,
    usage: usage && {
      bytes: usage.bytes,
      keys: usage.keys,
      requests: usage.requests,
      bytes_in: usage.bytesIn,
      bytes_out: usage.bytesOut,
      refused: usage.refused,
      cache_bytes: usage.cacheBytes,
    },
  };
}

async function confirmed(shell: Shell, tenant: string): Promise<boolean> {
  const { process } = shell;
  if (!process.isTerminal("stdin")) {
    throw new UsageError("tenant drop removes all data of the tenant: say --yes");
  }
  process.err(`Drop tenant ${JSON.stringify(tenant)} with all its data? Type its name: `);
  let typed = "";
  for await (const chunk of process.readChunks("-")) {
    typed += exactText(chunk) ?? "";
    if (typed.includes("\n")) break;
  }
  return typed.split("\n", 1)[0].trim() === tenant;
}
