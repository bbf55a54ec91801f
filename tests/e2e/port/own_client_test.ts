/**
 * Our own clients against the real port: unary calls the short way, and the RPC library's transports over
 * our connection.
 * @module
 */
import assert from "node:assert/strict";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Hono } from "hono";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createTransport as createConnect } from "@connectrpc/connect/protocol-connect";
import { createTransport as createGrpc } from "@connectrpc/connect/protocol-grpc";
import { createTransport as createGrpcWeb } from "@connectrpc/connect/protocol-grpc-web";
import {
  GetRequestSchema,
  GetResponseSchema,
  KeyValueService,
  PutRequestSchema,
} from "../../../src/gen/pairdb/v1/kv_pb.ts";
import { GrpcClient, GrpcError } from "../../../src/rpc/grpc_client.ts";
import { type ClientConnection, connectHttp2 } from "../../../src/rpc/http2/mod.ts";
import { createPipeline } from "../../../src/rpc/pipeline.ts";
import { DEFAULT_PORT_LIMITS } from "../../../src/rpc/limits.ts";
import { openTransport } from "../../../src/rpc/port.ts";
import { bind, routesOf } from "../../../src/rpc/router.ts";
import { universalClient } from "../../../src/rpc/universal_client.ts";
import { denoClock, denoNetwork, silentLog } from "../../../src/runtime/mod.ts";
import { createOriginGuard, Registry } from "../../../src/web/mod.ts";
import { ConformanceService } from "../../conformance/gen/connectrpc/conformance/v1/service_pb.ts";
import { conformanceService } from "../../conformance/service.ts";
import { TestCa } from "../../support/certificates.ts";
import { type TestPort, until, withPort } from "../../support/port.ts";

const GET = "/pairdb.v1.KeyValueService/Get";
const PUT = "/pairdb.v1.KeyValueService/Put";
const MIB = 1 << 20;

/** Runs a test with a connection of ours, and waits for its end. */
async function withConnection(
  port: number,
  test: (connection: ClientConnection) => Promise<void>,
): Promise<void> {
  const connection = await connectHttp2(denoNetwork(), { host: "127.0.0.1", port }, {
    clock: denoClock(),
  });
  const ended = new Promise<void>((resolve) => connection.whenEnded(resolve));
  try {
    await test(connection);
  } finally {
    connection.destroy();
    await ended;
  }
}

/** Runs a test with a client for unary calls. */
function withClient(
  test: (client: GrpcClient, it: TestPort) => Promise<void>,
  options: Parameters<typeof withPort>[1] = {},
): Promise<void> {
  return withPort((it) => {
    const { port } = it.port;
    return withConnection(port, (connection) => {
      const authority = `127.0.0.1:${port}`;
      return test(new GrpcClient({ connection, clock: denoClock(), authority }), it);
    });
  }, options);
}

function putOf(key: string, value: Uint8Array): Uint8Array {
  return toBinary(PutRequestSchema, create(PutRequestSchema, { tenantId: "t", key, value }));
}

function getOf(key: string): Uint8Array {
  return toBinary(GetRequestSchema, create(GetRequestSchema, { tenantId: "t", key }));
}

async function failure(call: Promise<unknown>): Promise<unknown> {
  try {
    await call;
  } catch (error) {
    return error;
  }
  return assert.fail("the call succeeded");
}

Deno.test("GrpcClient puts and gets, values of 10 MiB too", () =>
  withClient(async (client) => {
    for (const size of [0, 100, 100_000, 10 * MIB]) {
      const value = new Uint8Array(size).map((_, i) => i * 7);
      await client.unary(PUT, putOf(`k${size}`, value), { timeoutMs: 30_000 });
      const { message } = await client.unary(GET, getOf(`k${size}`), { timeoutMs: 30_000 });
      assert.deepEqual(new Uint8Array(fromBinary(GetResponseSchema, message).value!), value);
    }
  }));

Deno.test("GrpcClient has thousands of calls in flight, more than the server takes at once", () =>
  withClient(async (client, { node }) => {
    const calls = Array.from(
      { length: 3000 },
      (_, i) => client.unary(PUT, putOf(`k${i}`, new Uint8Array(10)), { timeoutMs: 30_000 }),
    );
    await Promise.all(calls);
    assert.equal(node.putsBegun, 3000);
    assert.equal(client.connection.openStreams, 0);
  }, { limits: { maxConcurrentStreams: 50 } }));

Deno.test("GrpcClient throws the server's status with its details", () =>
  withClient(async (client) => {
    const error = await failure(client.unary(GET, getOf("none")));
    assert.ok(error instanceof GrpcError);
    assert.equal(error.code, Code.NotFound);
    assert.match(error.message, /no value/);
    assert.ok(error.details!.length > 0);
    const unknown = await failure(client.unary("/a.B/C", getOf("none")));
    assert.equal((unknown as GrpcError).code, Code.Unimplemented);
    const bad = await failure(client.unary(GET, new Uint8Array([0xff])));
    assert.ok(bad instanceof GrpcError);
  }));

Deno.test("GrpcClient ends a call by its deadline, whatever the server does", () =>
  withClient(async (client, { node }) => {
    const gate = Promise.withResolvers<void>();
    node.gate = gate.promise;
    const error = await failure(
      client.unary(PUT, putOf("k", new Uint8Array(1)), { timeoutMs: 50 }),
    );
    assert.equal((error as GrpcError).code, Code.DeadlineExceeded);
    gate.resolve();
    node.gate = Promise.resolve();
    await client.unary(PUT, putOf("k", new Uint8Array(1)), { timeoutMs: 30_000 });
  }));

Deno.test("GrpcClient loses no acknowledged call when the server drains", () =>
  withClient(async (client, { node, port }) => {
    const gate = Promise.withResolvers<void>();
    node.gate = gate.promise;
    const calls = Array.from(
      { length: 20 },
      (_, i) => client.unary(PUT, putOf(`k${i}`, new Uint8Array(1))),
    );
    await until(() => node.putsBegun === 20);
    const closed = port.close();
    await until(() => !client.connection.usable);
    const late = await failure(client.unary(PUT, putOf("late", new Uint8Array(1))));
    assert.equal((late as GrpcError).notBegun, true);
    gate.resolve();
    await Promise.all(calls);
    await closed;
  }));

Deno.test("connectHttp2() speaks TLS with a certificate of its own, and to the right server only", () => {
  const ca = new TestCa("ours");
  const server = ca.issue("server", { names: ["DNS:localhost"] });
  const client = ca.issue("client", { names: ["URI:spiffe://example.org/client"] });
  const tls = {
    ...server,
    ca: ca.pem,
    clientAuth: "require",
    minVersion: "1.3",
    handshakeTimeoutMs: 10_000,
  } as const;
  return withPort(async ({ port }) => {
    const clock = denoClock();
    const dial = (serverName: string, alpn: string[]) =>
      connectHttp2(denoNetwork(), {
        host: "127.0.0.1",
        port: port.port,
        tls: { ca: ca.pem, serverName, alpn, ...client },
      }, { clock });
    const connection = await dial("localhost", ["h2"]);
    assert.equal(connection.scheme, "https");
    const grpc = new GrpcClient({ connection, clock, authority: `localhost:${port.port}` });
    await grpc.unary(PUT, putOf("k", new Uint8Array(100)), { timeoutMs: 30_000 });
    connection.close();
    await assert.rejects(dial("elsewhere", ["h2"]));
    await assert.rejects(dial("localhost", ["http/1.1"]), /no HTTP\/2/);
  }, { tls });
});

const PROTOCOLS = { gRPC: createGrpc, Connect: createConnect, "gRPC-Web": createGrpcWeb };

/** The library's transport over a connection of ours. */
function transportOf(
  protocol: keyof typeof PROTOCOLS,
  connection: ClientConnection,
  port: number,
): Transport {
  return PROTOCOLS[protocol]({
    httpClient: universalClient(connection),
    baseUrl: `http://127.0.0.1:${port}`,
    useBinaryFormat: true,
    interceptors: [],
    acceptCompression: [],
    sendCompression: null,
    compressMinBytes: 1024,
    readMaxBytes: 64 * MIB,
    writeMaxBytes: 64 * MIB,
  });
}

/** Runs a test with a transport to a port of ours with the conformance suite's service. */
async function withService(
  protocol: keyof typeof PROTOCOLS,
  test: (transport: Transport) => Promise<void>,
): Promise<void> {
  const clock = denoClock();
  const registry = new Registry();
  const limits = DEFAULT_PORT_LIMITS;
  const pipeline = createPipeline({ clock, log: silentLog, registry, errorDetails: false });
  const server = await openTransport({
    clock,
    network: denoNetwork(),
    log: silentLog,
    host: "127.0.0.1",
    port: 0,
    limits,
    registry,
    routes: routesOf([bind(ConformanceService, conformanceService(clock))], {
      clock,
      limits,
      pipeline,
    }),
    pipeline,
    web: new Hono(),
    judge: createOriginGuard({ origins: [], hosts: [], loopback: true }),
  });
  try {
    await withConnection(
      server.port,
      (connection) => test(transportOf(protocol, connection, server.port)),
    );
  } finally {
    await server.close();
  }
}

const bytes = (text: string) => new TextEncoder().encode(text);

for (const protocol of ["gRPC", "Connect", "gRPC-Web"] as const) {
  Deno.test(`${protocol} over our client: unary calls, and errors with details`, () =>
    withPort(({ port }) =>
      withConnection(port.port, async (connection) => {
        const kv = createClient(KeyValueService, transportOf(protocol, connection, port.port));
        const value = new Uint8Array(3 * MIB).map((_, i) => i);
        await kv.put({ tenantId: "t", key: "k", value });
        const got = await kv.get({ tenantId: "t", key: "k" });
        assert.deepEqual(new Uint8Array(got.value!), value);
        const error = await failure(kv.get({ tenantId: "t", key: "none" }));
        assert.ok(error instanceof ConnectError);
        assert.equal(error.code, Code.NotFound);
        assert.equal(error.details.length, 1);
      })
    ));

  Deno.test(`${protocol} over our client: streams of every kind`, () =>
    withService(protocol, async (transport) => {
      const client = createClient(ConformanceService, transport);
      const responseData = ["a", "bc", "", "d".repeat(200_000)].map(bytes);
      const got: string[] = [];
      for await (
        const { payload } of client.serverStream({
          responseDefinition: {
            responseData,
            responseTrailers: [{ name: "x-last", value: ["1", "2"] }],
          },
        }, { onTrailer: (trailer) => got.push(trailer.get("x-last") ?? "none") })
      ) got.push(new TextDecoder().decode(payload!.data));
      assert.deepEqual(got.slice(0, 4), ["a", "bc", "", "d".repeat(200_000)]);
      assert.equal(got[4], "1, 2");

      const { payload } = await client.clientStream(async function* () {
        for (let i = 0; i < 50; i++) {
          yield {
            responseDefinition: { response: { case: "responseData", value: bytes("whole") } },
            requestData: new Uint8Array(40_000),
          };
        }
      }());
      assert.equal(payload!.requestInfo!.requests.length, 50);

      const asked: string[] = [];
      const heard: string[] = [];
      const turn = { next: Promise.withResolvers<void>() };
      for await (
        const { payload } of client.bidiStream(async function* () {
          for (const word of ["x", "y", "z"]) {
            asked.push(word);
            yield {
              fullDuplex: true,
              responseDefinition: { responseData: ["1", "2", "3"].map(bytes) },
            };
            // The answer to each comes before the next is asked.
            await turn.next.promise;
            turn.next = Promise.withResolvers();
          }
        }())
      ) {
        heard.push(new TextDecoder().decode(payload!.data));
        assert.equal(heard.length, asked.length);
        turn.next.resolve();
      }
      assert.deepEqual(heard, ["1", "2", "3"]);
    }));

  Deno.test(`${protocol} over our client: a signal and a deadline end a call`, () =>
    withPort(({ port, node }) =>
      withConnection(port.port, async (connection) => {
        const kv = createClient(KeyValueService, transportOf(protocol, connection, port.port));
        const gate = Promise.withResolvers<void>();
        node.gate = gate.promise;
        const put = { tenantId: "t", key: "k", value: new Uint8Array(1) };
        const late = await failure(kv.put(put, { timeoutMs: 50 }));
        assert.equal((late as ConnectError).code, Code.DeadlineExceeded);
        const controller = new AbortController();
        const call = failure(kv.put(put, { signal: controller.signal }));
        await until(() => node.putsBegun === 2);
        controller.abort();
        assert.equal((await call as ConnectError).code, Code.Canceled);
        assert.equal(connection.openStreams, 0);
        const aborted = await failure(kv.put(put, { signal: controller.signal }));
        assert.equal((aborted as ConnectError).code, Code.Canceled);
        gate.resolve();
      })
    ));

  Deno.test(`${protocol} over our client: a signal ends a stream`, () =>
    withPort(({ port, node }) =>
      withConnection(port.port, async (connection) => {
        const kv = createClient(KeyValueService, transportOf(protocol, connection, port.port));
        for (let i = 0; i < 200; i++) {
          await kv.put({ tenantId: "t", key: `k${i}`, value: new Uint8Array(60_000) });
        }
        const controller = new AbortController();
        const { signal } = controller;
        let entries = 0;
        const error = await failure((async () => {
          for await (const page of kv.scan({ tenantId: "t" }, { signal })) {
            entries += page.entries.length;
            controller.abort();
          }
        })());
        assert.equal((error as ConnectError).code, Code.Canceled);
        assert.ok(entries > 0 && entries < 200, `${entries} entries`);
        await until(() => node.openScans === 0);
        assert.equal(connection.openStreams, 0);
      })
    ));

  Deno.test(`${protocol} over our client: a lost connection is unavailable`, () =>
    withPort(({ port, node }) =>
      withConnection(port.port, async (connection) => {
        const kv = createClient(KeyValueService, transportOf(protocol, connection, port.port));
        const gate = Promise.withResolvers<void>();
        node.gate = gate.promise;
        const call = failure(kv.put({ tenantId: "t", key: "k", value: new Uint8Array(1) }));
        await until(() => node.putsBegun === 1);
        connection.destroy();
        assert.equal((await call as ConnectError).code, Code.Unavailable);
        const next = await failure(kv.get({ tenantId: "t", key: "k" }));
        assert.equal((next as ConnectError).code, Code.Unavailable);
        gate.resolve();
      })
    ));
}
