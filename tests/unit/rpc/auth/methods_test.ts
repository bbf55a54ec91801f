import assert from "node:assert/strict";
import type { DescMethod, DescService } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { ruleOf } from "../../../../src/rpc/auth/mod.ts";

const GEN = new URL("../../../../src/gen/", import.meta.url);

/** Every service of every generated file. */
async function services(under = GEN): Promise<DescService[]> {
  const found: DescService[] = [];
  for (const entry of Deno.readDirSync(under)) {
    const url = new URL(entry.isDirectory ? `${entry.name}/` : entry.name, under);
    if (entry.isDirectory) found.push(...await services(url));
    else {
      const module: Record<string, unknown> = await import(url.href);
      found.push(
        ...Object.values(module).filter((one) =>
          (one as DescService).kind === "service"
        ) as DescService[],
      );
    }
  }
  return found;
}

Deno.test("every RPC of every service has a row in the method table", async () => {
  const all = await services();
  assert(all.length >= 7);
  for (const service of all) for (const method of service.methods) ruleOf(method);
});

Deno.test("a request that names a tenant is judged by it, and by nothing else", async () => {
  for (const service of await services()) {
    for (const method of service.methods) {
      const names = method.input.fields.map((field) => field.localName);
      const where = names.includes("tenantId") ? "tenantId" : undefined;
      assert.equal(ruleOf(method).tenant, where, `${service.typeName}.${method.name}`);
    }
  }
});

Deno.test("what is marked as free of side effects is a read, and nothing else may be done without a role", async () => {
  for (const service of await services()) {
    for (const method of service.methods) {
      const { access, roles } = ruleOf(method);
      if (method.idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS) {
        assert.equal(access, "read", `${service.typeName}.${method.name}`);
      }
      if (service.typeName.startsWith("pairdb.")) assert.notEqual(roles, "anyone");
      else assert.equal(roles, "anyone");
    }
  }
});

Deno.test("a method without a row stops the start", () => {
  const made = { name: "Newest", parent: { typeName: "pairdb.v1.Later" } } as DescMethod;
  assert.throws(() => ruleOf(made), /pairdb\.v1\.Later\.Newest has no row in the method table/);
});
