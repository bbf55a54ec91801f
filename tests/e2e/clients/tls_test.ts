/**
 * Other people's clients over TLS, with a CA that they are told of: that they agree with the node on a
 * protocol by ALPN, and that a client's certificate is somebody.
 * @module
 */
import assert from "node:assert/strict";
import { KeyValueService } from "../../../src/gen/pairdb/v1/kv_pb.ts";
import { findBuf } from "../../../tools/buf.ts";
import { findGoTool, runTool } from "../../support/go_tools.ts";
import { GrpcJsClient } from "../../support/grpc_js.ts";
import { missingProgram, testNeeding } from "../../support/needs.ts";
import { until } from "../../support/port.ts";
import { runProgram } from "../../support/server.ts";
import { withTlsServer } from "../../support/tls_server.ts";

const KV = "pairdb.v1.KeyValueService";
const CALLER = "URI:spiffe://example.org/till";
/** grpcurl's exit code for a call that failed is this and the status. */
const FAILED = 64;
const UNAUTHENTICATED = 16;

const grpcurl = findGoTool("grpcurl");
/** The program, or why there is none. */
const buf = await findBuf().then((path) => ({ path }), (error) => ({ missing: error.message }));

testNeeding(
  "curl over TLS: HTTP/2 where it is offered, HTTP/1.1 where not",
  missingProgram("curl"),
  () =>
    withTlsServer(async ({ url }, { caFile }) => {
      for (const [flag, version] of [["--http2", "2"], ["--http1.1", "1.1"]]) {
        const { code, out, err } = await runTool("curl", [
          ...["--silent", "--show-error", "--max-time", "20", "--noproxy", "*", "--cacert", caFile],
          ...[flag, "--write-out", " %{http_code} %{http_version}"],
          ...["-H", "content-type: application/json"],
          ...["-d", '{"tenantId":"t","key":"k","value":"aGVsbG8="}', `${url}/${KV}/Put`],
        ]);
        assert.equal(code, 0, err);
        assert.match(out, new RegExp(`^\\{"vectorClock".*\\} 200 ${version}$`));
      }
      const stranger = await runTool("curl", ["--silent", "--noproxy", "*", `${url}/healthz`]);
      // curl's code for a certificate that it does not trust.
      assert.equal(stranger.code, 60);
    }),
);

testNeeding("nghttp over TLS", missingProgram("nghttp"), () =>
  withTlsServer(async ({ url }) => {
    const { code, out, err } = await runTool("nghttp", ["--no-verify-peer", `${url}/healthz`]);
    assert.equal(code, 0, err);
    assert.match(out, /ok: alive/);
  }));

testNeeding(
  "grpcurl over TLS: reflection, a call, and one that a wrong CA stops",
  grpcurl.missing,
  () =>
    withTlsServer(async ({ port }, { caFile }) => {
      const target = `127.0.0.1:${port}`;
      const message = JSON.stringify({ tenantId: "t", key: "k", value: btoa("v") });
      const put = await runTool(grpcurl.path!, [
        ...["-cacert", caFile, "-d", message, target, `${KV}/Put`],
      ]);
      assert.equal(put.code, 0, put.err);
      assert.equal(JSON.parse(put.out).vectorClock.entries[0].logicalTimestamp, "1");
      const stranger = await runTool(grpcurl.path!, [target, "list"]);
      assert.notEqual(stranger.code, 0);
      assert.match(stranger.err, /certificate/);
    }),
);

testNeeding(
  "grpcurl with a certificate: known, unknown, and none",
  grpcurl.missing,
  () =>
    withTlsServer(async (server, { ca, caFile, write }) => {
      const { port, data } = server;
      const allow = ["certificate", "allow", CALLER, "--role", "client", "--tenants", "t"];
      const allowed = await runProgram(...allow, "--data", data);
      assert.equal(allowed.code, 0, allowed.err);
      await until(() => server.events("reloaded").length > 0);
      const call = (...flags: string[]) =>
        runTool(grpcurl.path!, [
          ...["-cacert", caFile, "-max-time", "20", ...flags],
          ...["-d", JSON.stringify({ tenantId: "t", key: "k", value: btoa("v") })],
          ...[`127.0.0.1:${port}`, `${KV}/Put`],
        ]);
      const own = (name: string, uri: string) => {
        const { certFile, keyFile } = write(name, ca.issue(name, { names: [uri] }));
        return ["-cert", certFile, "-key", keyFile];
      };
      const till = own("till", CALLER);
      const known = await call(...till);
      assert.equal(known.code, 0, known.err);
      const unknown = await call(...own("stranger", "URI:spiffe://example.org/stranger"));
      assert.equal(unknown.code, FAILED + UNAUTHENTICATED, unknown.err);
      const none = await call();
      assert.notEqual(none.code, 0);
      assert.match(none.err, /certificate required|handshake|connection|EOF/i);
    }, ({ caFile }) => ({
      "auth.mode": "certificate",
      "auth.reload_interval": "100ms",
      "tls.ca_file": caFile,
      "tls.client_auth": "require",
    })),
);

Deno.test("grpc-js over TLS: calls and a stream", () =>
  withTlsServer(async ({ port }, { ca }) => {
    const client = new GrpcJsClient(port, { ca: ca.pem });
    try {
      const put = { tenantId: "t", key: "k", value: new Uint8Array(100_000).fill(3) };
      await client.unary(KeyValueService.method.put, put);
      const got = await client.unary(KeyValueService.method.get, put);
      assert.deepEqual(Uint8Array.from(got.value!), put.value);
      let count = 0;
      for await (const { entries } of client.stream(KeyValueService.method.scan, put)) {
        count += entries.length;
      }
      assert.equal(count, 1);
    } finally {
      client.close();
    }
  }));

for (const protocol of ["grpc", "grpcweb", "connect"]) {
  testNeeding(
    `buf curl over TLS: --protocol ${protocol}`,
    "missing" in buf ? buf.missing : undefined,
    () =>
      withTlsServer(async ({ url }, { caFile }) => {
        assert.ok("path" in buf);
        const message = JSON.stringify({ tenantId: "t", key: "k", value: btoa(protocol) });
        const { code, out, err } = await runTool(buf.path, [
          ...["curl", "--cacert", caFile, "--protocol", protocol],
          ...["-d", message, `${url}/${KV}/Put`],
        ]);
        assert.equal(code, 0, err);
        assert.equal(JSON.parse(out).vectorClock.entries[0].logicalTimestamp, "1");
      }),
  );
}
