/**
 * Quotas of tenants through the port: every way of calling gets the same refusal, in number, status and
 * details, and nothing has changed.
 * @module
 */
import assert from "node:assert/strict";
import { create, type DescMethod, fromBinary } from "@bufbuild/protobuf";
import { ErrorDetailSchema } from "../../../src/gen/pairdb/v1/common_pb.ts";
import { KeyValueService } from "../../../src/gen/pairdb/v1/kv_pb.ts";
import { StorageNodeService } from "../../../src/gen/pairdb/v1/storage_node_pb.ts";
import type { TenantOptions } from "../../../src/node/mod.ts";
import { Http2Peer } from "../../support/http2_by_hand.ts";
import { type TestNode, testNode } from "../../support/node.ts";
import { callJson, detailIn, withPort } from "../../support/port.ts";
import { bodyOf, callBy, waysOf } from "../../support/ways.ts";

const value = new Uint8Array(100);
const clock = { entries: [{ coordinatorNodeId: "n", logicalTimestamp: 1n }] };
const { put, batchPut, get, batchGet, scan, delete: remove } = KeyValueService.method;
const node = StorageNodeService.method;
const PUTS: readonly (readonly [DescMethod, Record<string, unknown>])[] = [
  [put, { tenantId: "t", key: "new", value }],
  [batchPut, { tenantId: "t", items: [{ key: "new", value }] }],
  [node.write, { tenantId: "t", key: "new", value }],
  [node.write, { tenantId: "t", key: "new", value, vectorClock: clock }],
];
const CALLS: typeof PUTS = [
  ...PUTS,
  [get, { tenantId: "t", key: "old" }],
  [batchGet, { tenantId: "t", keys: ["old"] }],
  [scan, { tenantId: "t" }],
  [remove, { tenantId: "t", key: "old" }],
  [node.read, { tenantId: "t", key: "old" }],
  [node.delete, { tenantId: "t", key: "old" }],
];

/** Each quota, used up by what {@link fill} does. */
const QUOTAS: readonly (readonly [string, TenantOptions, typeof PUTS])[] = [
  ["bytes", { maxBytes: 250 }, PUTS],
  ["keys", { maxKeys: 1 }, PUTS],
  ["requests", { maxRequests: 1 }, CALLS],
  ["bandwidth", { maxBandwidth: 50 }, CALLS],
];

/** A tenant that has used up its quota. */
async function fill({ node }: TestNode, options: TenantOptions): Promise<void> {
  await node.createTenant("t", options);
  await node.put("t", { key: "old", value });
}

for (const [quota, options, calls] of QUOTAS) {
  for (const [method, init] of calls) {
    const name = `${method.parent.name}/${method.name}${
      "vectorClock" in init ? " of a version" : ""
    }`;
    Deno.test(`quotas: ${name} over the quota of ${quota} is 2008 every way, and changes nothing [B2]`, async () => {
      for (const way of waysOf(method)) {
        const made = testNode();
        await fill(made, options);
        const logged = made.engine.log.length;
        await withPort(async ({ port }) => {
          const peer = await Http2Peer.open(port.port);
          const body = bodyOf(way, method, [create(method.input, init)]);
          const { code, details, messages } = await callBy(way, { url: port.url, peer }, {
            method,
            body,
          });
          await peer.close();
          assert.deepEqual([code, messages], ["resource_exhausted", []], way.name);
          const [type, hex] = details[0].split(" ");
          assert.equal(type, ErrorDetailSchema.typeName);
          const detail = fromBinary(ErrorDetailSchema, Uint8Array.fromHex(hex));
          assert.deepEqual([detail.code, detail.name], [2008, "ResourceExhausted"], way.name);
          const told = detail.details;
          assert.deepEqual([told.reason, told.quota], ["quota", quota], way.name);
          assert.equal(told.limit, String(Object.values(options)[0]));
          assert.ok(Number(told.retry_after_ms) > 0, way.name);
        }, { node: made.node });
        assert.equal(made.engine.log.length, logged, way.name);
        assert.deepEqual(made.engine.trees()[0].options, options);
        assert.equal(made.node.listTenants()[0].usage.refused, 1);
      }
    });
  }
}

Deno.test("quotas: a refusal is HTTP status 429 [B2]", async () => {
  for (const [quota, options] of QUOTAS) {
    const made = testNode();
    await fill(made, options);
    await withPort(async ({ port }) => {
      const request = { tenantId: "t", key: "new", value: value.toBase64() };
      const { status, json } = await callJson(port, "KeyValueService/Put", request);
      assert.deepEqual([status, json.code], [429, "resource_exhausted"], quota);
      assert.equal(detailIn(json).name, "ResourceExhausted");
    }, { node: made.node });
  }
});

Deno.test("quotas: no size keeps anybody from deleting, every way [B2]", async () => {
  for (const options of [{ maxBytes: 1 }, { maxKeys: 1 }]) {
    for (const way of waysOf(remove)) {
      const made = testNode();
      await made.node.createTenant("t", {});
      for (const key of ["old", "older"]) await made.node.put("t", { key, value });
      await made.node.updateTenant("t", options);
      await withPort(async ({ port }) => {
        const peer = await Http2Peer.open(port.port);
        const body = bodyOf(way, remove, [create(remove.input, { tenantId: "t", key: "old" })]);
        const { code } = await callBy(way, { url: port.url, peer }, { method: remove, body });
        assert.equal(code, "ok", way.name);
        await peer.close();
      }, { node: made.node });
      assert.equal(made.node.get("t", "old"), undefined);
    }
  }
});
