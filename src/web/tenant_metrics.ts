/**
 * What each tenant uses, as metrics, read at each scrape.
 *
 * The first {@link TENANTS_MAX} tenants, by their creation, have series of their own; all others are one
 * series together, whose label no tenant can have. So there are never more series, however many tenants.
 * @module
 */
import type { StorageNode, TenantInfo } from "../node/mod.ts";
import type { Sample } from "./metrics.ts";

/** Tenants with series of their own. */
export const TENANTS_MAX = 100;
/** The label of all others together: a tenant's id has no colon. */
export const OTHERS = ":others";

interface Figure {
  readonly name: string;
  readonly help: string;
  readonly type: Sample["type"];
  /** Undefined: the tenant has none. */
  readonly of: (info: TenantInfo) => number | undefined;
}

const FIGURES: readonly Figure[] = [
  gauge("used_bytes", "Keys and values of a tenant, estimated.", ({ usage }) => usage.bytes),
  gauge("used_keys", "Keys of a tenant, estimated.", ({ usage }) => usage.keys),
  gauge("max_bytes", "The quota of bytes.", ({ options }) => options.maxBytes),
  gauge("max_keys", "The quota of keys.", ({ options }) => options.maxKeys),
  gauge("cache_bytes", "Bytes of a tenant in the caches.", ({ usage }) => usage.cacheBytes),
  counter("requests", "Keys asked for or written, and scans.", ({ usage }) => usage.requests),
  counter("in_bytes", "Bytes of keys and values written.", ({ usage }) => usage.bytesIn),
  counter("out_bytes", "Bytes of values read.", ({ usage }) => usage.bytesOut),
  counter(
    "refused",
    "Requests refused by a quota, or by the limit of a hot key.",
    ({ usage }) => usage.refused,
  ),
];

/** Samples of what tenants use. */
export function tenantSamples(node: Pick<StorageNode, "listTenants">): Sample[] {
  const tenants = node.listTenants().toSorted((a, b) => a.createdAtMs - b.createdAtMs);
  const others = tenants.splice(TENANTS_MAX);
  return FIGURES.flatMap(({ of, ...figure }) => {
    const samples: Sample[] = [];
    for (const info of tenants) {
      const value = of(info);
      if (value !== undefined) samples.push({ ...figure, value, labels: { tenant: info.tenant } });
    }
    const values = others.map(of).filter((value) => value !== undefined);
    if (values.length > 0) {
      const value = values.reduce((sum, each) => sum + each, 0);
      samples.push({ ...figure, value, labels: { tenant: OTHERS } });
    }
    return samples;
  });
}

function gauge(name: string, help: string, of: Figure["of"]): Figure {
  return { name: `pairdb_tenant_${name}`, help, type: "gauge", of };
}

function counter(name: string, help: string, of: Figure["of"]): Figure {
  return { name: `pairdb_tenant_${name}_total`, help, type: "counter", of };
}
