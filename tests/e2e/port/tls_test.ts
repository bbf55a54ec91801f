import assert from "node:assert/strict";
import { once } from "node:events";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { Buffer } from "node:buffer";
import { connect as connectRaw } from "node:tls";
import { KeyValueService } from "../../../src/gen/pairdb/v1/kv_pb.ts";
import { PairDB, PairError } from "../../../src/client/mod.ts";
import { CredentialsAuthority, openPort, type PortTls } from "../../../src/rpc/mod.ts";
import {
  denoClock,
  denoNetwork,
  type Network,
  silentLog,
  SimNetwork,
} from "../../../src/runtime/mod.ts";
import { type Pem, TestCa } from "../../support/certificates.ts";
import { FakeNode } from "../../support/fake_node.ts";
import { RawClient } from "../../support/raw_http.ts";
import { type TestPort, withPort } from "../../support/port.ts";

const CA = new TestCa("ours");
const SERVER = CA.issue("server", { names: ["DNS:localhost", "IP:127.0.0.1"] });
const OPERATOR = CA.issue("boss", { names: ["URI:spiffe://example.org/boss"] });
const STRANGER = CA.issue("stranger", { names: ["URI:spiffe://example.org/stranger"] });

function text(pem: Uint8Array): string {
  return new TextDecoder().decode(pem);
}

const ONLY: PortTls = {
  ...SERVER,
  ca: CA.pem,
  clientAuth: "require",
  minVersion: "1.2",
  handshakeTimeoutMs: 10_000,
};

function authority(): CredentialsAuthority {
  return new CredentialsAuthority({
    clock: denoClock(),
    log: silentLog,
    accepts: { tokens: true, certificates: true },
    credentials: {
      version: 1,
      tokens: [],
      certificates: [{
        san: "URI:spiffe://example.org/boss",
        role: "operator",
        tenants: "*",
        read_only: false,
        created_at: "2026-01-01T00:00:00.000Z",
      }],
    },
  });
}

const withTls = (test: (it: TestPort) => Promise<void>, tls: Partial<PortTls> = {}) =>
  withPort(test, { tls: { ...ONLY, ...tls }, authority: authority() });

/** Runs a test with the SDK, which speaks HTTP/1.1 or HTTP/2 as it likes. */
function sdk(url: string, client: Pem): PairDB {
  const tls = { ca: text(CA.pem), cert: text(client.cert), key: text(client.key) };
  return PairDB.connect(url, { tls });
}

/** gRPC with a certificate; the client goes first, for its library does not stand being sent away. */
function grpc(it: TestPort) {
  const baseUrl = `https://localhost:${it.port.port}`;
  const sessionManager = new Http2SessionManager(baseUrl, undefined, {
    ca: Buffer.from(CA.pem),
    cert: Buffer.from(OPERATOR.cert),
    key: Buffer.from(OPERATOR.key),
  });
  const kv = createClient(KeyValueService, createGrpcTransport({ baseUrl, sessionManager }));
  return { kv, close: () => sessionManager.abort() };
}

/** A request over HTTP/1.1 or HTTP/2 by fetch. */
async function status(it: TestPort, http2: boolean, client: Pem): Promise<[number, string]> {
  using http = Deno.createHttpClient({
    caCerts: [text(CA.pem)],
    cert: text(client.cert),
    key: text(client.key),
    http1: !http2,
    http2,
  });
  const response = await fetch(`${it.port.url}/pairdb.v1.TenantService/ListTenants`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: "{}",
    client: http,
  });
  return [response.status, await response.text()];
}

Deno.test("port over TLS: a certificate is somebody, over both HTTP versions", () =>
  withTls(async (it) => {
    assert.match(it.port.url, /^https:/);
    for (const http2 of [false, true]) {
      assert.deepEqual(await status(it, http2, OPERATOR), [200, "{}"]);
      const [code, body] = await status(it, http2, STRANGER);
      assert.equal(code, 401);
      assert.match(body, /unauthenticated/);
    }
  }));

Deno.test("port over TLS: gRPC calls and streams, and large values both ways", () =>
  withTls(async (it) => {
    const { kv, close } = grpc(it);
    const value = new Uint8Array(3_000_000).map((_, i) => i * 7);
    for (const key of ["a", "b", "c"]) await kv.put({ tenantId: "t", key, value });
    const keys: string[] = [];
    for await (const { entries } of kv.scan({ tenantId: "t" })) {
      for (const entry of entries) {
        assert.equal(Buffer.compare(entry.value!, value), 0);
        keys.push(entry.key);
      }
    }
    assert.deepEqual(keys, ["a", "b", "c"]);
    close();
  }));

Deno.test("port over TLS: the SDK brings its certificate", () =>
  withTls(async (it) => {
    using db = sdk(it.port.url.replace("127.0.0.1", "localhost"), OPERATOR);
    await db.put("t", "k", "v");
    assert.equal(text((await db.get("t", "k"))!.value!), "v");
    await it.port.close();
    await assert.rejects(
      PairDB.connect(it.port.url).get("t", "k"),
      (error) => error instanceof PairError && error.error === "Unavailable",
    );
  }));

Deno.test("port over TLS: without ALPN the first bytes tell the protocol, with it they must agree", () =>
  withTls(async (it) => {
    const talk = async (alpn: string[], bytes: string) => {
      const socket = connectRaw({
        host: "127.0.0.1",
        port: it.port.port,
        ca: Buffer.from(CA.pem),
        cert: Buffer.from(OPERATOR.cert),
        key: Buffer.from(OPERATOR.key),
        servername: "localhost",
        ALPNProtocols: alpn.length === 0 ? undefined : alpn,
      });
      socket.on("error", () => {});
      socket.write(bytes);
      const first = await Promise.race([
        once(socket, "data").then(([chunk]) => new TextDecoder("latin1").decode(chunk)),
        once(socket, "close").then(() => "closed"),
      ]);
      if (!socket.closed) {
        const closed = once(socket, "close");
        socket.destroy();
        await closed;
      }
      return first.startsWith("HTTP/1.1 200") ? "http1" : first === "closed" ? first : "http2";
    };
    const http1 = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    const http2 = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    assert.equal(await talk([], http1), "http1");
    assert.equal(await talk([], http2), "http2");
    assert.equal(await talk(["http/1.1"], http1), "http1");
    assert.equal(await talk(["h2"], http2), "http2");
    assert.equal(await talk(["h2"], http1), "closed");
    assert.equal(await talk(["http/1.1"], http2), "closed");
  }));

Deno.test("port: TLS can have an address of its own beside cleartext", () =>
  withTls(async ({ port }) => {
    assert.match(port.url, /^http:/);
    assert.equal(await (await fetch(`${port.url}/healthz`)).text(), "ok: alive\n");
    using db = sdk(port.tlsUrl!, OPERATOR);
    await db.put("t", "k", "v");
    // Cleartext shows no certificate.
    await assert.rejects(
      PairDB.connect(port.url).get("t", "k"),
      /it needs a token or a client certificate/,
    );
    await port.close();
  }, { listen: { host: "127.0.0.1", port: 0 } }));

Deno.test("port: a name of its own is no rebinding over TLS, and is beside it", () =>
  withTls(async ({ port }) => {
    const socket = connectRaw({
      host: "127.0.0.1",
      port: Number(new URL(port.tlsUrl!).port),
      ca: Buffer.from(CA.pem),
      servername: "localhost",
      cert: Buffer.from(OPERATOR.cert),
      key: Buffer.from(OPERATOR.key),
    });
    socket.write("GET /healthz HTTP/1.1\r\nhost: db.example.org\r\nconnection: close\r\n\r\n");
    const [chunk] = await once(socket, "data");
    assert.match(text(chunk), /^HTTP\/1\.1 200/);
    socket.destroy();
    await once(socket, "close");
    const plain = await RawClient.open(port.port);
    await plain.send("GET /healthz HTTP/1.1\r\nhost: db.example.org\r\n\r\n");
    assert.equal((await plain.response()).status, 403);
    await plain.close();
  }, { listen: { host: "127.0.0.1", port: 0 } }));

Deno.test("port over TLS: a new certificate takes effect, and open connections go on", () =>
  withTls(async (it) => {
    const { kv, close } = grpc(it);
    await kv.put({ tenantId: "t", key: "a", value: new Uint8Array(1) });
    const next = new TestCa("next");
    it.port.renewTls({ ...next.issue("server", { names: ["IP:127.0.0.1"] }), ca: CA.pem });
    // The connection of before.
    assert.equal((await kv.get({ tenantId: "t", key: "a" })).value?.length, 1);
    // A new one is shown a certificate that this client does not trust.
    await assert.rejects(status(it, true, OPERATOR), TypeError);
    assert.throws(
      () => it.port.renewTls({ ...SERVER, key: OPERATOR.key }),
      /the key is not that of the certificate/,
    );
    close();
  }));

Deno.test("openPort() refuses a certificate that cannot be used, and what does not ask for one", async () => {
  const node = new FakeNode();
  const open = (network: Network, tls: PortTls) =>
    openPort({
      runtime: { clock: denoClock(), network, log: silentLog },
      node,
      host: "127.0.0.1",
      port: 0,
      version: "1.2.3",
      tls,
    });
  await assert.rejects(
    open(denoNetwork(), { ...ONLY, key: OPERATOR.key }),
    (error) =>
      error instanceof PairError && /Cannot listen on .*: the key is not/.test(error.message),
  );
  // A runtime that ignores what it is asked for, as some versions have.
  const sim = new SimNetwork();
  const forgetful: Network = {
    listen: ({ host, port }, accept) => sim.listen({ host, port }, accept),
    connect: ({ host, port }) => sim.connect({ host, port }),
  };
  await assert.rejects(
    open(forgetful, ONLY),
    (error) => error instanceof PairError && /one without was not turned away/.test(error.message),
  );
});
