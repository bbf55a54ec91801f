import assert from "node:assert/strict";
import type { TenantInfo } from "../../../src/node/mod.ts";
import { OTHERS, tenantSamples } from "../../../src/web/tenant_metrics.ts";

function info(i: number, maxKeys?: number): TenantInfo {
  return {
    tenant: `t${i}`,
    createdAtMs: i,
    bytes: 0,
    tables: 0,
    options: maxKeys === undefined ? {} : { maxKeys, maxBytes: 900 },
    usage: { bytes: i, keys: 1, requests: 2, bytesIn: 3, bytesOut: 4, refused: 5, cacheBytes: 6 },
  };
}

const valueOf = (tenants: TenantInfo[], name: string, tenant: string) =>
  tenantSamples({ listTenants: () => tenants })
    .find((sample) => sample.name === `pairdb_tenant_${name}` && sample.labels!.tenant === tenant)
    ?.value;

Deno.test("tenantSamples() tells what each tenant uses, and its quotas where it has any [B2]", () => {
  const tenants = [info(9, 7), info(10)];
  const told = tenantSamples({ listTenants: () => tenants })
    .filter(({ labels }) => labels!.tenant === "t9")
    .map(({ name, value }) => [name.replace("pairdb_tenant_", ""), value]);
  assert.deepEqual(Object.fromEntries(told), {
    used_bytes: 9,
    used_keys: 1,
    max_bytes: 900,
    max_keys: 7,
    cache_bytes: 6,
    requests_total: 2,
    in_bytes_total: 3,
    out_bytes_total: 4,
    refused_total: 5,
  });
  for (const name of ["max_keys", "max_bytes"]) {
    assert.equal(valueOf(tenants, name, "t10"), undefined);
  }
  assert.deepEqual(tenantSamples({ listTenants: () => [] }), []);
});

Deno.test("tenantSamples() has a bounded number of series, and loses nobody [B2]", () => {
  const tenants = Array.from({ length: 5000 }, (_, i) => info(5000 - i));
  const samples = tenantSamples({ listTenants: () => tenants });
  const labels = new Set(samples.map(({ labels }) => labels!.tenant));
  assert.equal(labels.size, 101);
  assert.ok(labels.has("t100") && !labels.has("t101"));
  assert.equal(valueOf(tenants, "requests_total", OTHERS), 2 * 4900);
  // A quota of nobody is none; of those who have one it is what they may use together.
  assert.equal(valueOf(tenants, "max_keys", OTHERS), undefined);
  assert.equal(valueOf([...tenants, info(6000, 7), info(6001, 8)], "max_keys", OTHERS), 15);
  for (const { name, type } of samples) assert.equal(name.endsWith("_total"), type === "counter");
});
