/**
 * `buf curl` against the real program. It is connect-go underneath, and takes the messages from server
 * reflection: no proto file is handed to it.
 * @module
 */
import assert from "node:assert/strict";
import { fromBinary } from "@bufbuild/protobuf";
import { ErrorCode, ErrorDetailSchema } from "../../../src/gen/pairdb/v1/common_pb.ts";
import { findBuf } from "../../../tools/buf.ts";
import { testNeeding } from "../../support/needs.ts";
import { type Server, withServer } from "../../support/server.ts";

const KV = "pairdb.v1.KeyValueService";

/** The program, or why there is none. */
const buf = await findBuf().then((path) => ({ path }), (error) => ({ missing: error.message }));

async function bufCurl(
  { url }: Server,
  path: string,
  ...args: string[]
): Promise<{ code: number; out: string; err: string }> {
  assert.ok("path" in buf);
  const { code, stdout, stderr } = await new Deno.Command(buf.path, {
    args: ["curl", "--http2-prior-knowledge", ...args, `${url}${path}`],
    stdin: "null",
    env: { NO_PROXY: "127.0.0.1" },
  }).output();
  return { code, out: new TextDecoder().decode(stdout), err: new TextDecoder().decode(stderr) };
}

async function succeed(server: Server, path: string, ...args: string[]): Promise<string> {
  const { code, out, err } = await bufCurl(server, path, ...args);
  assert.equal(code, 0, err);
  return out;
}

for (const protocol of ["grpc", "grpcweb", "connect"]) {
  testNeeding(
    `buf curl --protocol ${protocol}: put, get, scan and an error, by reflection`,
    "missing" in buf ? buf.missing : undefined,
    () =>
      withServer(async (server) => {
        const flags = ["--protocol", protocol];
        const call = (method: string, message: unknown) =>
          bufCurl(server, `/${KV}/${method}`, ...flags, "-d", JSON.stringify(message));
        const value = btoa(protocol);
        const put = await call("Put", { tenantId: "t", key: "k1", value });
        assert.equal(put.code, 0, put.err);
        assert.equal(JSON.parse(put.out).vectorClock.entries[0].logicalTimestamp, "1");
        const batch = await call("BatchPut", { tenantId: "t", items: [{ key: "k2", value }] });
        assert.equal(batch.code, 0, batch.err);
        const got = await call("Get", { tenantId: "t", key: "k1" });
        assert.equal(JSON.parse(got.out).value, value, got.err);
        const scanned = await call("Scan", { tenantId: "t" });
        assert.deepEqual(
          JSON.parse(scanned.out).entries.map((each: { key: string }) => each.key),
          ["k1", "k2"],
        );
        const none = await call("Get", { tenantId: "t", key: "none" });
        assert.notEqual(none.code, 0);
        const { code, details } = JSON.parse(none.err);
        assert.equal(code, "not_found");
        assert.equal(details[0].type, "pairdb.v1.ErrorDetail");
        const detail = fromBinary(ErrorDetailSchema, Uint8Array.fromBase64(details[0].value));
        assert.deepEqual([detail.code, detail.name], [ErrorCode.KEY_NOT_FOUND, "KeyNotFound"]);
      }),
  );
}

testNeeding(
  "buf curl: lists services and methods",
  "missing" in buf ? buf.missing : undefined,
  () =>
    withServer(async (server) => {
      const services = (await succeed(server, "", "--list-services")).trimEnd().split("\n");
      for (const name of [KV, "pairdb.v1.TenantService", "grpc.health.v1.Health"]) {
        assert.ok(services.includes(name), `${name} is not among ${services}`);
      }
      const methods = (await succeed(server, "", "--list-methods")).trimEnd().split("\n");
      for (const name of ["Put", "Get", "Delete", "BatchPut", "BatchGet", "Scan"]) {
        assert.ok(methods.includes(`${KV}/${name}`), `${name} is not among ${methods}`);
      }
    }),
);
