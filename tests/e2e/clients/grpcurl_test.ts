/**
 * grpcurl against the real program: grpc-go underneath, with the messages from server reflection.
 * @module
 */
import assert from "node:assert/strict";
import { findGoTool, runTool, type ToolEnd } from "../../support/go_tools.ts";
import { testNeeding } from "../../support/needs.ts";
import { type Server, withServer } from "../../support/server.ts";

const KV = "pairdb.v1.KeyValueService";
/** grpcurl's exit code for a call that failed is this and the status. */
const FAILED = 64;
const NOT_FOUND = 5;
const DEADLINE_EXCEEDED = 4;

const grpcurl = findGoTool("grpcurl");

function call(...args: string[]): Promise<ToolEnd> {
  assert.ok(grpcurl.path !== undefined);
  return runTool(grpcurl.path, ["-plaintext", ...args]);
}

/** A method of the key-value service. */
function kv(
  server: Server,
  method: string,
  message: unknown,
  ...flags: string[]
): Promise<ToolEnd> {
  const target = `127.0.0.1:${server.port}`;
  return call(...flags, "-d", JSON.stringify(message), target, `${KV}/${method}`);
}

testNeeding(
  "grpcurl: lists, describes, puts, gets, scans, and shows an error's details",
  grpcurl.missing,
  () =>
    withServer(async (server) => {
      const target = `127.0.0.1:${server.port}`;
      const services = await call(target, "list");
      assert.equal(services.code, 0, services.err);
      for (const name of [KV, "pairdb.v1.TenantService", "grpc.health.v1.Health"]) {
        assert.ok(services.out.split("\n").includes(name), `${name} is not in ${services.out}`);
      }
      const described = await call(target, "describe", `${KV}.Scan`);
      assert.match(described.out, /returns \( stream \.pairdb\.v1\.ScanResponse \)/);

      const value = btoa("grpcurl");
      const put = await kv(server, "Put", { tenantId: "t", key: "k1", value });
      assert.equal(put.code, 0, put.err);
      assert.equal(JSON.parse(put.out).vectorClock.entries[0].logicalTimestamp, "1");
      const got = await kv(server, "Get", { tenantId: "t", key: "k1" });
      assert.equal(JSON.parse(got.out).value, value, got.err);
      const batch = await kv(server, "BatchPut", { tenantId: "t", items: [{ key: "k2", value }] });
      assert.equal(batch.code, 0, batch.err);
      const scanned = await kv(server, "Scan", { tenantId: "t" });
      assert.deepEqual(
        JSON.parse(scanned.out).entries.map((each: { key: string }) => each.key),
        ["k1", "k2"],
      );

      const none = await kv(server, "Get", { tenantId: "t", key: "none" }, "-format-error");
      assert.equal(none.code, FAILED + NOT_FOUND, none.err);
      const { details } = JSON.parse(none.err);
      assert.deepEqual(
        [details[0]["@type"], details[0].code, details[0].name],
        ["type.googleapis.com/pairdb.v1.ErrorDetail", "KEY_NOT_FOUND", "KeyNotFound"],
      );
    }),
);

testNeeding(
  "grpcurl: a stream without an end ends at its deadline",
  grpcurl.missing,
  () =>
    withServer(async (server) => {
      const target = `127.0.0.1:${server.port}`;
      const { code, out, err } = await call(
        ...["-max-time", "1", "-d", "{}", target, "grpc.health.v1.Health/Watch"],
      );
      assert.equal(code, FAILED + DEADLINE_EXCEEDED, err);
      assert.match(out, /SERVING/);
    }),
);
