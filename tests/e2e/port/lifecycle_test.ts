import assert from "node:assert/strict";
import { Code, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import {
  Health,
  HealthCheckResponse_ServingStatus as Serving,
} from "../../../src/gen/grpc/health/v1/health_pb.ts";
import { KeyValueService } from "../../../src/gen/pairdb/v1/kv_pb.ts";
import { PairError } from "../../../src/model/mod.ts";
import { openPort } from "../../../src/rpc/mod.ts";
import { denoClock, denoNetwork, silentLog } from "../../../src/runtime/mod.ts";
import { FakeNode } from "../../support/fake_node.ts";
import { GrpcJsClient } from "../../support/grpc_js.ts";
import { callJson, until, withPort } from "../../support/port.ts";
import { RawClient } from "../../support/raw_http.ts";
import {
  DATA,
  END_HEADERS,
  END_STREAM,
  frame,
  GOAWAY,
  HEADERS,
  hello,
  nextFrame,
  postBlock,
} from "../../support/raw_http2.ts";

const PING = 6;
const ACK = 1;

async function get(url: string): Promise<[number, string]> {
  const response = await fetch(url);
  return [response.status, await response.text()];
}

/** Waits until so many connections were accepted, that of the question included. */
async function accepted(url: string, count: number): Promise<void> {
  for (;;) {
    const [, text] = await get(`${url}/metrics`);
    if (Number(/^pairdb_connections_total (\d+)$/m.exec(text)?.[1]) >= count) return;
  }
}

Deno.test("port: /healthz, /readyz and the page", () =>
  withPort(async ({ port, node }) => {
    assert.deepEqual(await get(`${port.url}/healthz`), [200, "ok: alive\n"]);
    const posted = await fetch(`${port.url}/healthz`, { method: "POST", body: "anything" });
    assert.deepEqual([posted.status, await posted.text()], [200, "ok: alive\n"]);
    assert.deepEqual(await get(`${port.url}/readyz`), [200, "ok\n"]);
    node.healthNow = { status: "unhealthy", reasons: ["the log is poisoned"], metrics: {} };
    assert.deepEqual(await get(`${port.url}/readyz`), [503, "not ready: the log is poisoned\n"]);
    assert.deepEqual(await get(`${port.url}/healthz`), [200, "ok: alive\n"]);
    node.healthNow = { status: "degraded", reasons: ["disk"], metrics: {} };
    assert.deepEqual(await get(`${port.url}/readyz`), [200, "ok\n"]);
    port.setReady(false, "draining");
    assert.deepEqual(await get(`${port.url}/readyz`), [503, "not ready: draining\n"]);
    const page = await fetch(port.url);
    assert.match(page.headers.get("content-security-policy") ?? "", /default-src 'none'/);
    assert.match(await page.text(), /fake-1[^]*not ready: draining[^]*127.0.0.1:\d+\/pairdb.v1/);
  }));

Deno.test("port: is not ready until it is told so", async () => {
  const node = new FakeNode();
  const port = await openPort({
    runtime: { clock: denoClock(), network: denoNetwork(), log: silentLog },
    node,
    host: "127.0.0.1",
    port: 0,
    version: "1",
  });
  assert.deepEqual(await get(`${port.url}/readyz`), [503, "not ready: the node is starting\n"]);
  port.setReady(true);
  assert.deepEqual(await get(`${port.url}/readyz`), [200, "ok\n"]);
  await Promise.all([port.close(), port.close()]);
});

Deno.test("port: an address in use is an error that names it", () =>
  withPort(async ({ port }) => {
    const again = openPort({
      runtime: { clock: denoClock(), network: denoNetwork(), log: silentLog },
      node: new FakeNode(),
      host: "127.0.0.1",
      port: port.port,
      version: "1",
    });
    await assert.rejects(again, (error) => {
      assert.ok(error instanceof PairError);
      assert.equal(error.message, `Cannot listen on 127.0.0.1:${port.port}: EADDRINUSE`);
      return true;
    });
  }));

Deno.test("port: health checks and watches", () =>
  withPort(async ({ port, node }) => {
    const sessionManager = new Http2SessionManager(port.url);
    const health = createClient(
      Health,
      createGrpcTransport({ baseUrl: port.url, sessionManager }),
    );
    for (const service of ["", "pairdb.v1.KeyValueService", "grpc.health.v1.Health"]) {
      assert.equal((await health.check({ service })).status, Serving.SERVING, service);
    }
    await assert.rejects(health.check({ service: "no.Such" }), { code: Code.NotFound });
    const statuses: Serving[] = [];
    let ended = false;
    const watching = (async () => {
      for await (const { status } of health.watch({})) statuses.push(status);
      ended = true;
    })();
    await until(() => statuses.length === 1);
    port.setReady(false, "for a test");
    await until(() => statuses.length === 2);
    assert.equal((await health.check({})).status, Serving.NOT_SERVING);
    port.setReady(true);
    await until(() => statuses.length === 3);
    node.healthNow = { status: "unhealthy", reasons: [], metrics: {} };
    await until(() => statuses.length === 4);
    for await (const { status } of health.watch({ service: "no.Such" })) {
      assert.equal(status, Serving.SERVICE_UNKNOWN);
      break;
    }
    await port.close();
    await watching;
    assert.equal(ended, true);
    assert.deepEqual(statuses, [
      Serving.SERVING,
      Serving.NOT_SERVING,
      Serving.SERVING,
      Serving.NOT_SERVING,
    ]);
  }));

Deno.test("port: closing lets running calls finish and takes no new ones", () =>
  withPort(async ({ port, node }) => {
    let open = () => {};
    node.gate = new Promise((resolve) => open = resolve);
    const grpc = new GrpcJsClient(port.port);
    const idle = await RawClient.open(port.port);
    await idle.send("GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n");
    await idle.response();
    const value = new Uint8Array(1);
    const overHttp2 = grpc.unary(KeyValueService.method.put, { tenantId: "t", key: "a", value });
    const http1 = await RawClient.open(port.port);
    await http1.post(
      "/pairdb.v1.KeyValueService/Put",
      "application/json",
      '{"tenantId":"t","key":"b","value":""}',
    );
    await until(() => node.putsBegun === 2);
    const closing = port.close();
    await idle.closed();
    await assert.rejects(RawClient.open(port.port));
    open();
    assert.equal((await overHttp2).vectorClock?.entries.length, 1);
    const { status, header } = await http1.response();
    assert.deepEqual([status, header.connection], [200, "close"]);
    await closing;
    await Promise.all([idle.close(), http1.close()]);
    grpc.close();
  }));

Deno.test("port: a client that has just come when the port closes is served, and told to go", () =>
  withPort(async ({ port }) => {
    const http2 = await RawClient.open(port.port);
    const http1 = await RawClient.open(port.port);
    const mute = await RawClient.open(port.port);
    await accepted(port.url, 4);
    const closing = port.close();
    const healthz = postBlock("/healthz", { ":method": "GET" });
    await Promise.all([
      http1.send("GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"),
      hello(http2).then(() => http2.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, healthz))),
    ]);
    const { status, header } = await http1.response();
    assert.deepEqual([status, header.connection], [200, "close"]);
    const seen: number[] = [];
    for (;;) {
      const { type, payload } = await nextFrame(http2);
      seen.push(type);
      if (type === GOAWAY && payload[0] === 0) break;
      if (type === PING) await http2.send(frame(PING, ACK, 0, payload));
    }
    assert(seen.includes(HEADERS) && seen.includes(DATA), `frames ${seen}`);
    await mute.closed();
    await closing;
    await Promise.all([http1.close(), http2.close(), mute.close()]);
  }));

Deno.test("port: closing does not cut off a large answer that is under way", () =>
  withPort(async ({ port, node }) => {
    let open = () => {};
    const size = 10 * 1024 * 1024;
    node.plant("t", "k", [new Uint8Array(size)]);
    node.gate = new Promise((resolve) => open = resolve);
    const grpc = new GrpcJsClient(port.port);
    const key = { tenantId: "t", key: "k" };
    const put = grpc.unary(KeyValueService.method.put, { ...key, value: new Uint8Array(1) });
    await until(() => node.putsBegun === 1);
    const get = grpc.unary(KeyValueService.method.get, key);
    const json = callJson(port, "KeyValueService/Get", key);
    await until(() => node.gets === 2);
    const closing = port.close();
    assert.equal((await get).value?.length, size);
    assert.equal((await json).status, 200);
    open();
    await put;
    await closing;
    grpc.close();
  }));

Deno.test("port: closing gives up on calls that do not finish, and tells them", () =>
  withPort(async ({ port, node }) => {
    let open = () => {};
    node.gate = new Promise((resolve) => open = resolve);
    const put = callJson(port, "KeyValueService/Put", { tenantId: "t", key: "k", value: "" });
    const sessionManager = new Http2SessionManager(port.url);
    const client = createClient(
      KeyValueService,
      createGrpcTransport({ baseUrl: port.url, sessionManager }),
    );
    const grpc = client.put({ tenantId: "t", key: "a", value: new Uint8Array(1) })
      .then(() => "went well", (error) => error.code);
    await until(() => node.putsBegun === 2);
    await port.close();
    const { status, json } = await put;
    assert.deepEqual([status, json.code], [503, "unavailable"]);
    assert.equal(await grpc, Code.Unavailable);
    open();
  }, { limits: { shutdownTimeoutMs: 50 } }));

Deno.test("port: a connection that never ends does not hold up closing", () =>
  withPort(async ({ port }) => {
    const stuck = await RawClient.open(port.port);
    await stuck.send(
      "POST /pairdb.v1.KeyValueService/Put HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{",
    );
    const mute = await RawClient.open(port.port);
    const preface = await RawClient.open(port.port);
    await preface.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    await preface.take(9);
    await port.close();
    await Promise.all([stuck.close(), mute.close(), preface.close()]);
  }, { limits: { shutdownTimeoutMs: 50 } }));

Deno.test("port: /metrics counts calls and shows the node's figures [O1]", () =>
  withPort(async ({ port }) => {
    await callJson(port, "KeyValueService/Put", { tenantId: "t", key: "k", value: "" });
    await callJson(port, "KeyValueService/Get", { tenantId: "t", key: "none" });
    await callJson(port, "KeyValueService/Get", "not json");
    const [status, text] = await get(`${port.url}/metrics`);
    assert.equal(status, 200);
    const has = (line: string) => assert.ok(text.includes(`\n${line}\n`), `${line}\n${text}`);
    const series = (method: string, code: string) =>
      `pairdb_rpc_calls_total{service="pairdb.v1.KeyValueService",method="${method}",code="${code}"}`;
    has(`${series("Put", "ok")} 1`);
    has(`${series("Get", "not_found")} 1`);
    has(`${series("Get", "invalid_argument")} 1`);
    has('pairdb_rpc_duration_seconds_count{service="pairdb.v1.KeyValueService",method="Get"} 2');
    has("pairdb_rpc_running 0");
    has('pairdb_build_info{node="fake-1",version="1.2.3"} 1');
    has('pairdb_health{state="healthy"} 1');
    has('pairdb_tables_per_level{level="0"} 2');
    has("pairdb_flushes_total 4");
    has("pairdb_block_cache_bytes 5");
    has("pairdb_disk_usage 0.25");
  }));
