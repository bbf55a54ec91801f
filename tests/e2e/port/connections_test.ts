import assert from "node:assert/strict";
import { connect as connectHttp2 } from "node:http2";
import { callJson, withPort } from "../../support/port.ts";
import { RawClient } from "../../support/raw_http.ts";

const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const EMPTY_SETTINGS = new Uint8Array([0, 0, 0, 4, 0, 0, 0, 0, 0]);

async function metric(url: string, series: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const line = text.split("\n").find((each) => each.startsWith(`${series} `));
  return line === undefined ? 0 : Number(line.slice(series.length + 1));
}

Deno.test("port: connections that say nothing, or stop inside the preface, are closed", () =>
  withPort(async ({ port }) => {
    const mute = await RawClient.open(port.port);
    const half = await RawClient.open(port.port);
    await half.send(PREFACE.slice(0, 10));
    assert.equal((await mute.closed()).length, 0);
    assert.equal((await half.closed()).length, 0);
    await Promise.all([mute.close(), half.close()]);
    assert.equal(await metric(port.url, 'pairdb_connections_closed_total{reason="silent"}'), 2);
  }, { limits: { prefaceTimeoutMs: 40 } }));

Deno.test("port: the preface may come byte by byte, and the stream limit is announced", () =>
  withPort(async ({ port }) => {
    const client = await RawClient.open(port.port);
    for (const byte of PREFACE) await client.send(byte);
    await client.send(EMPTY_SETTINGS);
    const [a, b, c, type] = await client.take(9);
    assert.equal(type, 4, "the first frame is SETTINGS");
    const payload = await client.take(a * 65536 + b * 256 + c);
    const settings = new Map<number, number>();
    const view = new DataView(payload.buffer, payload.byteOffset);
    for (let i = 0; i < payload.length; i += 6) {
      settings.set(view.getUint16(i), view.getUint32(i + 2));
    }
    assert.equal(settings.get(3), 250, "SETTINGS_MAX_CONCURRENT_STREAMS");
    assert.equal(settings.get(6), 16384, "SETTINGS_MAX_HEADER_LIST_SIZE");
    await client.close();
  }, { limits: { maxConcurrentStreams: 250 } }));

Deno.test("port: an HTTP/1.1 request may come byte by byte too", () =>
  withPort(async ({ port }) => {
    const client = await RawClient.open(port.port);
    for (const byte of "POST /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n") await client.send(byte);
    const { status, body } = await client.response();
    assert.deepEqual([status, new TextDecoder().decode(body)], [200, "ok\n"]);
    await client.close();
  }));

Deno.test("port: idle connections and endless request heads are closed", () =>
  withPort(async ({ port }) => {
    const idle = await RawClient.open(port.port);
    await idle.send("GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n");
    assert.equal((await idle.response()).status, 200);
    const drip = await RawClient.open(port.port);
    await drip.send("GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-");
    const dripping = setInterval(() => drip.socket.write("x"), 10);
    await idle.closed();
    await drip.closed();
    clearInterval(dripping);
    await Promise.all([idle.close(), drip.close()]);
    const session = connectHttp2(port.url);
    session.on("error", () => {});
    const goaway = new Promise((resolve) => session.once("goaway", resolve));
    await Promise.all([goaway, new Promise((resolve) => session.once("close", resolve))]);
  }, { limits: { idleTimeoutMs: 60, http2IdleTimeoutMs: 60 } }));

Deno.test("port: a connection too many is closed, and counts no more once it is gone", () =>
  withPort(async ({ port }) => {
    const clients = [await RawClient.open(port.port), await RawClient.open(port.port)];
    for (const client of clients) {
      await client.send("GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n");
      assert.equal((await client.response()).status, 200);
    }
    const extra = await RawClient.open(port.port);
    await extra.closed();
    await extra.close();
    await Promise.all(clients.map((client) => client.close()));
    let status = 0;
    while (status !== 200) {
      status = await fetch(`${port.url}/healthz`).then(
        (response) => response.text().then(() => response.status),
        () => 0,
      );
    }
  }, { limits: { maxConnections: 2 } }));

Deno.test("port: a header list over the limit does not pass on HTTP/2 either", () =>
  withPort(async ({ port, node }) => {
    const session = connectHttp2(port.url);
    session.on("error", () => {});
    const stream = session.request({
      ":method": "POST",
      ":path": "/pairdb.v1.KeyValueService/Put",
      "content-type": "application/json",
      "x-big": "x".repeat(20_000),
    });
    let status: number | undefined;
    stream.on("response", (headers) => status = headers[":status"]);
    stream.on("error", () => {});
    stream.resume();
    stream.end('{"tenantId":"t","key":"k","value":""}');
    await new Promise((resolve) => stream.once("close", resolve));
    assert.notEqual(status, 200);
    assert.equal(node.putsBegun, 0);
    session.destroy();
    assert.equal((await callJson(port, "AdminService/Status", {})).status, 200);
  }));

/** A frame of HTTP/2. */
function frame(type: number, flags: number, stream: number, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(9 + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, payload.length << 8 | type);
  bytes[4] = flags;
  view.setUint32(5, stream);
  bytes.set(payload, 9);
  return bytes;
}

/** A header of HPACK by the index of its name, without compression. */
function literal(index: number, value: string): number[] {
  return [index, value.length, ...new TextEncoder().encode(value)];
}

Deno.test("port: a flood of resets ends the connection, not the port", () =>
  withPort(async ({ port, node }) => {
    node.gate = new Promise(() => {});
    const head = new Uint8Array([
      0x83, // :method POST
      0x86, // :scheme http
      ...literal(0x04, "/pairdb.v1.KeyValueService/Put"),
      ...literal(0x01, "localhost"),
      ...[0x0f, 0x10, 16, ...new TextEncoder().encode("application/json")], // content-type
    ]);
    const body = new TextEncoder().encode('{"tenantId":"t","key":"k","value":""}');
    const client = await RawClient.open(port.port);
    await client.send(PREFACE);
    await client.send(EMPTY_SETTINGS);
    for (let stream = 1; stream < 400; stream += 2) {
      client.socket.write(frame(1, 4, stream, head));
      client.socket.write(frame(0, 1, stream, body));
      client.socket.write(frame(3, 0, stream, new Uint8Array([0, 0, 0, 8])));
    }
    await client.closed();
    await client.close();
    assert.equal(await metric(port.url, 'pairdb_connections_closed_total{reason="resets"}'), 1);
    assert.ok(node.putsBegun <= 101, `${node.putsBegun} calls were begun`);
    assert.equal(await metric(port.url, "pairdb_rpc_running"), 0);
  }, { limits: { resetBurst: 100 } }));

Deno.test("port: a malformed HTTP/2 frame ends its connection only", () =>
  withPort(async ({ port }) => {
    const client = await RawClient.open(port.port);
    await client.send(PREFACE);
    // A DATA frame on stream 0.
    await client.send(new Uint8Array([0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1]));
    await client.closed();
    await client.close();
    assert.equal((await callJson(port, "AdminService/Status", {})).status, 200);
  }));

Deno.test("port: clients that leave at any moment leave nothing behind", () =>
  withPort(async ({ port }) => {
    for (const text of ["", "P", "GET ", "GET / HTTP/1.1\r\n", PREFACE, PREFACE.slice(0, 23)]) {
      const client = await RawClient.open(port.port);
      if (text !== "") await client.send(text);
      await client.close();
    }
    const half = await RawClient.open(port.port);
    half.socket.end();
    await half.closed();
    await half.close();
    // One connection stays: the one that asks.
    while (await metric(port.url, 'pairdb_connections{protocol="http2"}') > 0);
    while (await metric(port.url, 'pairdb_connections{protocol="new"}') > 0);
    while (await metric(port.url, 'pairdb_connections{protocol="http1"}') > 1);
  }));
