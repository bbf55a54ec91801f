/**
 * grpc-js, the gRPC of Node.js, against the real program.
 * @module
 */
import assert from "node:assert/strict";
import { type ServiceError, status } from "@grpc/grpc-js";
import { ErrorCode } from "../../../src/gen/pairdb/v1/common_pb.ts";
import { KeyValueService, type ScanEntry } from "../../../src/gen/pairdb/v1/kv_pb.ts";
import { grpcDetail, GrpcJsClient } from "../../support/grpc_js.ts";
import { Server, withServer } from "../../support/server.ts";

const KV = KeyValueService.method;

async function withClient(
  { port }: Server,
  body: (client: GrpcJsClient) => Promise<void>,
): Promise<void> {
  const client = new GrpcJsClient(port);
  try {
    await body(client);
  } finally {
    client.close();
  }
}

async function refused(call: Promise<unknown>): Promise<ServiceError> {
  try {
    await call;
  } catch (error) {
    return error as ServiceError;
  }
  throw new Error("the call went well");
}

Deno.test("grpc-js: every call for clients, over a kill -9 [E31, N1, N10]", () =>
  withServer(async (server) => {
    const tenantId = "grpc-js";
    const value = Uint8Array.from({ length: 256 }, (_, i) => i);
    await withClient(server, async (client) => {
      const put = await client.unary(KV.put, { tenantId, key: "k", value });
      assert.deepEqual(put.vectorClock?.entries.map((entry) => entry.logicalTimestamp), [1n]);
      const items = Array.from({ length: 1000 }, (_, i) => ({
        key: `batch/${String(i).padStart(4, "0")}`,
        value: new Uint8Array(i % 300).fill(i % 256),
      }));
      const stored = await client.unary(KV.batchPut, { tenantId, items });
      assert.equal(stored.results.length, 1000);
      const again = await client.unary(KV.batchPut, { tenantId, items, skipUnchanged: true });
      assert.equal(again.unchanged, 1000);
      const gone = await client.unary(KV.delete, { tenantId, key: "batch/0500" });
      assert.equal(gone.existed, true);
    });
    await server.kill();
    await using restarted = await Server.start({ data: server.data });
    await withClient(restarted, async (client) => {
      const got = await client.unary(KV.get, { tenantId, key: "k" });
      assert.deepEqual(Uint8Array.from(got.value!), value);
      const keys = ["batch/0002", "batch/0500", "none", "batch/0299"];
      const batch = await client.unary(KV.batchGet, { tenantId, keys });
      assert.deepEqual(batch.items.map((item) => [item.key, item.found, item.value?.length]), [
        ["batch/0002", true, 2],
        ["batch/0500", false, undefined],
        ["none", false, undefined],
        ["batch/0299", true, 299],
      ]);
      const entries: ScanEntry[] = [];
      for await (const message of client.stream(KV.scan, { tenantId, prefix: "batch/" })) {
        entries.push(...message.entries);
      }
      assert.equal(entries.length, 999);
      assert.deepEqual(entries.map((each) => each.key), entries.map((each) => each.key).sort());
      assert.equal(entries[0].value?.length, 0, "an empty value is a value");
    });
  }));

Deno.test("grpc-js: errors have their status and their number [N1, R1]", () =>
  withServer((server) =>
    withClient(server, async (client) => {
      const put = { tenantId: "t", key: "k", value: new Uint8Array(1) };
      for (
        const [call, code, number, name] of [
          [client.unary(KV.get, put), status.NOT_FOUND, ErrorCode.KEY_NOT_FOUND, "KeyNotFound"],
          [
            client.unary(KV.put, { ...put, key: "k".repeat(1025) }),
            status.INVALID_ARGUMENT,
            ErrorCode.KEY_TOO_LARGE,
            "KeyTooLarge",
          ],
          [
            client.unary(KV.put, { ...put, tenantId: "a:b" }),
            status.INVALID_ARGUMENT,
            ErrorCode.INVALID_TENANT_ID,
            "InvalidTenantID",
          ],
          [
            client.unary(KV.put, { tenantId: "t", key: "k" }),
            status.INVALID_ARGUMENT,
            ErrorCode.INVALID_ARGUMENT,
            "InvalidArgument",
          ],
        ] as const
      ) {
        const error = await refused(call);
        assert.equal(error.code, code, name);
        assert.equal(grpcDetail(error)?.code, number);
        assert.equal(grpcDetail(error)?.name, name);
      }
    })
  ));
