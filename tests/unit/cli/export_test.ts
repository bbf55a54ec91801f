import assert from "node:assert/strict";
import { expiryOfNever } from "../../../src/cli/commands/export.ts";
import { PairError, type Tenant } from "../../../src/client/mod.ts";

const SIZES = { createdAtMs: 0, bytes: 0, tables: 0 };

const listing = (tenants: readonly Tenant[]) => ({
  tenants: { list: () => Promise.resolve([...tenants]) },
});
const failing = (error: Error) => ({ tenants: { list: () => Promise.reject(error) } });

Deno.test("expiryOfNever() is 0 where a tenant has a default time to live, or nobody may know", async () => {
  const db = listing([
    { tenant: "plain", ...SIZES },
    { tenant: "none", ttlMs: 0, ...SIZES },
    { tenant: "hour", ttlMs: 3_600_000, ...SIZES },
  ]);
  assert.equal(await expiryOfNever(db, "hour"), 0);
  for (const tenant of ["plain", "none", "absent"]) {
    assert.equal(await expiryOfNever(db, tenant), undefined, tenant);
  }
  const denied = new PairError("InvalidArgument", "these credentials do not allow it");
  assert.equal(await expiryOfNever(failing(denied), "plain"), 0);
  const gone = new PairError("Unavailable", "no answer");
  await assert.rejects(expiryOfNever(failing(gone), "plain"), { code: 2001 });
});
