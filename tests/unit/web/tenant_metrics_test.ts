import assert from "node:assert/strict";
import type { TenantInfo } from "../../../src/node/mod.ts";
import { OTHERS, TENANTS_MAX, tenantSamples } from "../../../src/web/tenant_metrics.ts";

function info(i: number, maxKeys?: number): TenantInfo {
  return {
    tenant: `t${i}`,
    createdAtMs: i,
    bytes: 0,
    tables: 0,
    options: maxKeys === undefined ? {} : { maxKeys },
    usage: { bytes: i, keys: 1, requests: 2, bytesIn: 3, bytesOut: 4, refused: 5, cacheBytes: 6 },
  };
}

const valueOf = (tenants: TenantInfo[], name: string, tenant: string) =>
  tenantSamples({ listTenants: () => tenants })
    .find((sample) => sample.name === `pairdb_tenant_${name}` && sample.labels!.tenant === tenant)
    ?.value;

Deno.test("tenantSamples() tells what each tenant uses, and its quotas where it has any [B2]", () => {
  const tenants = [info(1, 7), info(2)];
  assert.equal(valueOf(tenants, "used_bytes", "t2"), 2);
  assert.equal(valueOf(tenants, "max_keys", "t1"), 7);
  assert.equal(valueOf(tenants, "max_keys", "t2"), undefined);
  assert.equal(valueOf(tenants, "refused_total", "t1"), 5);
  assert.equal(valueOf(tenants, "cache_bytes", "t1"), 6);
  assert.deepEqual(tenantSamples({ listTenants: () => [] }), []);
});

Deno.test("tenantSamples() has a bounded number of series, and loses nobody [B2]", () => {
  const tenants = Array.from({ length: 5000 }, (_, i) => info(5000 - i));
  const samples = tenantSamples({ listTenants: () => tenants });
  const labels = new Set(samples.map(({ labels }) => labels!.tenant));
  assert.equal(labels.size, TENANTS_MAX + 1);
  assert.ok(labels.has("t1") && !labels.has(`t${TENANTS_MAX + 1}`));
  assert.equal(valueOf(tenants, "requests_total", OTHERS), 2 * (5000 - TENANTS_MAX));
  for (const { name, type } of samples) assert.equal(name.endsWith("_total"), type === "counter");
});
