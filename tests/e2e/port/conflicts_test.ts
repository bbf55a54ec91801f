/**
 * Conflict strategies through the port: tenants are made with them, operations written and values read, every way
 * of calling; and what is refused is refused in the same words, with nothing changed.
 * @module
 */
import assert from "node:assert/strict";
import { create, type DescMethod, fromBinary } from "@bufbuild/protobuf";
import { ErrorDetailSchema } from "../../../src/gen/pairdb/v1/common_pb.ts";
import { KeyValueService } from "../../../src/gen/pairdb/v1/kv_pb.ts";
import { StorageNodeService } from "../../../src/gen/pairdb/v1/storage_node_pb.ts";
import { TenantService } from "../../../src/gen/pairdb/v1/tenant_pb.ts";
import { Http2Peer } from "../../support/http2_by_hand.ts";
import { bytes, testNode, text } from "../../support/node.ts";
import { callJson, detailIn, withPort } from "../../support/port.ts";
import { bodyOf, callBy, type Outcome, type Way, waysOf } from "../../support/ways.ts";

const kv = KeyValueService.method;
const tenants = TenantService.method;
const node = StorageNodeService.method;

/** Calls one after the other, each in the way. */
async function calls(
  way: Way,
  made: ReturnType<typeof testNode>,
  body: (
    call: (method: DescMethod, init: Record<string, unknown>) => Promise<Outcome>,
  ) => Promise<void>,
): Promise<void> {
  await withPort(async ({ port }) => {
    const peer = await Http2Peer.open(port.port);
    await body((method, init) =>
      callBy(way, { url: port.url, peer }, {
        method,
        body: bodyOf(way, method, [create(method.input, init)]),
      })
    );
    await peer.close();
  }, { node: made.node });
}

/** Some operations of a strategy, what is read then, and one that is none. */
const CASES: readonly (readonly [string, readonly string[], string, string | undefined])[] = [
  ["lww", ["one", "two"], "two", undefined],
  ["merge:counter", ["5", "+7", "-2"], "10", "1.5"],
  ["merge:gset", ['["b"]', '{"add":["a"]}'], '["a","b"]', '{"remove":["a"]}'],
  ["merge:orset", ['["b","a"]', '{"remove":["a"]}'], '["b"]', '["a",1]'],
  ["merge:map", ['{"b":{"c":1},"a":2}', '{"a":null}'], '{"b":{"c":1}}', "[]"],
  ["merge:max", ["5", "7.5", "6"], "7.5", "NaN"],
  ["merge:min", ["5", "7.5", "6"], "5", ""],
];

for (const [conflictStrategy, operations, value, bad] of CASES) {
  Deno.test(`${conflictStrategy}: operations are written and the value is read, every way [C9]`, async () => {
    for (const way of waysOf(kv.put)) {
      const made = testNode();
      await made.node.createTenant("t", { conflictStrategy });
      await calls(way, made, async (call) => {
        for (const operation of operations) {
          const { code } = await call(kv.put, { tenantId: "t", key: "k", value: bytes(operation) });
          assert.equal(code, "ok", way.name);
        }
        for (const method of [kv.get, kv.explainGet]) {
          const { code, messages } = await call(method, { tenantId: "t", key: "k" });
          assert.equal(code, "ok", way.name);
          if (method === kv.explainGet) continue;
          const found = messages[0] as { value: string; siblings?: unknown[] };
          assert.equal(text(Uint8Array.fromBase64(found.value)), value, way.name);
          assert.equal(found.siblings, undefined, way.name);
        }
        if (bad === undefined) return;
        const logged = made.engine.log.length;
        const item = { key: "k", value: bytes(bad) };
        const refusals = [
          await call(kv.put, { tenantId: "t", ...item }),
          await call(kv.batchPut, { tenantId: "t", items: [item] }),
          await call(node.write, { tenantId: "t", ...item }),
        ];
        for (const { code, details, messages } of refusals) {
          assert.deepEqual([code, messages], ["invalid_argument", []], way.name);
          const [type, hex] = details[0].split(" ");
          assert.equal(type, ErrorDetailSchema.typeName);
          const detail = fromBinary(ErrorDetailSchema, Uint8Array.fromHex(hex));
          assert.deepEqual([detail.code, detail.details.reason], [1000, "operation"], way.name);
          assert.equal(detail.details.outcome, "not_applied", way.name);
        }
        assert.equal(made.engine.log.length, logged, way.name);
      });
    }
  });
}

Deno.test("a tenant is made with a conflict strategy, shows it, and keeps it, every way [C9]", async () => {
  for (const way of waysOf(tenants.createTenant)) {
    const made = testNode();
    await calls(way, made, async (call) => {
      const options = { conflictStrategy: "merge:counter" };
      const { messages } = await call(tenants.createTenant, { tenantId: "t", options });
      const created = messages[0] as { tenant: { options: { conflictStrategy: string } } };
      assert.equal(created.tenant.options.conflictStrategy, "merge:counter", way.name);
      for (
        const [method, tenantId, conflictStrategy] of [
          [tenants.updateTenant, "t", "lww"],
          [tenants.updateTenant, "t", "vector_clock"],
          [tenants.createTenant, "u", "merge:none"],
        ] as const
      ) {
        const { code } = await call(method, { tenantId, options: { conflictStrategy } });
        assert.equal(code, "invalid_argument", way.name);
      }
      const { code } = await call(tenants.updateTenant, {
        tenantId: "t",
        options: { ...options, defaultTtlMs: 5n },
      });
      assert.equal(code, "ok", way.name);
    });
    const [{ tenant, options }, ...others] = made.node.listTenants();
    assert.deepEqual(
      [tenant, options, others],
      ["t", { conflictStrategy: "merge:counter", ttlMs: 5 }, []],
    );
  }
});

Deno.test("a refused operation is HTTP status 400, one that makes a key too large too", async () => {
  const made = testNode();
  await made.node.createTenant("t", { conflictStrategy: "merge:gset" });
  await withPort(async ({ port }) => {
    const put = (operation: string) => {
      const value = bytes(operation).toBase64();
      return callJson(port, "KeyValueService/Put", { tenantId: "t", key: "k", value });
    };
    assert.equal((await put("[1]")).status, 400);
    const many = Array.from({ length: 10_001 }, (_, i) => `${i}`);
    const { status, json } = await put(JSON.stringify(many));
    assert.deepEqual([status, detailIn(json).name], [400, "ValueTooLarge"]);
    assert.equal(made.node.get("t", "k"), undefined);
  }, { node: made.node });
});
