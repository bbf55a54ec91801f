import assert from "node:assert/strict";
import { callJson, withPort } from "../../support/port.ts";
import { RawClient } from "../../support/raw_http.ts";
import {
  CONTINUATION,
  DATA,
  END_HEADERS,
  END_STREAM,
  frame,
  GOAWAY,
  headerBlock,
  HEADERS,
  hello,
  nextFrame,
  nextOf,
  postBlock,
  PREFACE,
  RST_STREAM,
  SETTINGS,
} from "../../support/raw_http2.ts";

const PUT = "/pairdb.v1.KeyValueService/Put";
const JSON_TYPE = { "content-type": "application/json" };
const BODY = new TextEncoder().encode('{"tenantId":"t","key":"k","value":""}');

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
    await client.send(frame(SETTINGS, 0, 0));
    const { type, payload } = await nextFrame(client);
    assert.equal(type, SETTINGS, "the first frame is SETTINGS");
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
    assert.deepEqual([status, new TextDecoder().decode(body)], [200, "ok: alive\n"]);
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
    const http2 = await RawClient.open(port.port);
    await hello(http2);
    await nextOf(http2, GOAWAY);
    await http2.closed();
    await http2.close();
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
    const client = await RawClient.open(port.port);
    await hello(client);
    const block = postBlock(PUT, { ...JSON_TYPE, "x-big": "x".repeat(20_000) });
    await client.send(frame(HEADERS, 0, 1, block.subarray(0, 16_000)));
    await client.send(frame(CONTINUATION, END_HEADERS, 1, block.subarray(16_000)));
    await client.send(frame(DATA, END_STREAM, 1, BODY));
    const answer = await nextOf(client, DATA);
    assert.match(new TextDecoder().decode(answer.payload), /headers are too large/);
    assert.equal(node.putsBegun, 0);
    await client.close();
  }));

Deno.test("port: a page over HTTP/2 is answered when its request is whole, one that ends wrong is reset", () =>
  withPort(async ({ port }) => {
    const client = await RawClient.open(port.port);
    await hello(client);
    const PING = 6;
    for (const [stream, length, code] of [[1, "3", undefined], [3, "4", 1]] as const) {
      const block = postBlock("/healthz", { "content-length": length });
      await client.send(frame(HEADERS, END_HEADERS, stream, block));
      await client.send(frame(PING, 0, 0, new Uint8Array(8)));
      for (;;) {
        const { type } = await nextFrame(client);
        assert.notEqual(type, HEADERS, "the request is not whole");
        if (type === PING) break;
      }
      await client.send(frame(DATA, END_STREAM, stream, new Uint8Array(3)));
      const answer = await nextOf(client, code === undefined ? HEADERS : RST_STREAM);
      assert.equal(answer.stream, stream);
      if (code !== undefined) assert.equal(answer.payload[3], code);
    }
    await client.close();
  }));

Deno.test("port: requests over HTTP/2 whose path or host is malformed are reset, and the connection lives on", () =>
  withPort(async ({ port, node }) => {
    const client = await RawClient.open(port.port);
    await hello(client);
    let stream = 1;
    const send = async (pseudo: Record<string, string>, fields: Record<string, string> = {}) => {
      const all = { ":scheme": "http", ":authority": "localhost", ...pseudo };
      const list = Object.entries({ ...all, ...fields }).filter(([, value]) => value !== "-");
      await client.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, headerBlock(list)));
      const answer = await nextOf(client, pseudo.answer === "-" ? RST_STREAM : HEADERS);
      assert.equal(answer.stream, stream);
      stream += 2;
      return answer;
    };
    const malformed: [Record<string, string>, Record<string, string>?][] = [
      [{ ":method": "GET", ":path": "healthz" }],
      [{ ":method": "GET", ":path": "http://localhost/healthz" }],
      [{ ":method": "POST", ":path": PUT.slice(1) }, JSON_TYPE],
      [{ ":method": "GET", ":path": "*" }],
      [{ ":method": "CONNECT", ":path": "/" }],
      [{ ":method": "GET", ":path": "/healthz" }, { host: "evil.example" }],
      [{ ":method": "GET", ":path": "/healthz" }, { host: "localhost", "host ": "b.localhost" }],
      [
        { ":method": "GET", ":path": "/healthz", ":authority": "-" },
        { host: "a.localhost", "host ": "b.localhost" },
      ],
    ];
    for (const [pseudo, fields] of malformed) {
      const { payload } = await send({ ...pseudo, answer: "-" }, fields);
      assert.equal(payload[3], 1, `PROTOCOL_ERROR for ${JSON.stringify([pseudo, fields])}`);
    }
    await send({ ":method": "OPTIONS", ":path": "*" });
    await send({ ":method": "GET", ":path": "/healthz" }, {
      host: "localhost",
      "host ": "LOCALHOST",
    });
    assert.equal(node.putsBegun, 0);
    await client.close();
  }));

Deno.test("port: CONNECT over HTTP/2 is refused at once, though its stream has no end", () =>
  withPort(async ({ port }) => {
    const client = await RawClient.open(port.port);
    await hello(client);
    const block = headerBlock([[":method", "CONNECT"], [":authority", "localhost:80"]]);
    await client.send(frame(HEADERS, END_HEADERS, 1, block));
    const body = await nextOf(client, DATA);
    assert.match(new TextDecoder().decode(body.payload), /this HTTP method is not served/);
    await client.close();
  }));

Deno.test("port: a flood of resets ends the connection, not the port", () =>
  withPort(async ({ port, node }) => {
    node.gate = new Promise(() => {});
    const client = await RawClient.open(port.port);
    await hello(client);
    const block = postBlock(PUT, JSON_TYPE);
    for (let stream = 1; stream < 400; stream += 2) {
      client.socket.write(frame(HEADERS, END_HEADERS, stream, block));
      client.socket.write(frame(DATA, END_STREAM, stream, BODY));
      client.socket.write(frame(RST_STREAM, 0, stream, new Uint8Array([0, 0, 0, 8])));
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
    await client.send(frame(SETTINGS, 0, 0));
    await client.send(frame(DATA, 0, 0, new Uint8Array(1)));
    await client.closed();
    await client.close();
    assert.equal((await callJson(port, "AdminService/Status", {})).status, 200);
  }));

Deno.test("port: clients that say GOAWAY do not bring the process down", () =>
  withPort(async ({ port }) => {
    // What load generators and gRPC clients do when they are done.
    for (let i = 0; i < 300; i++) {
      const client = await RawClient.open(port.port);
      await hello(client);
      await client.send(frame(HEADERS, END_HEADERS, 1, postBlock(PUT, JSON_TYPE)));
      await client.send(frame(DATA, END_STREAM, 1, BODY));
      await nextOf(client, DATA);
      await client.send(frame(GOAWAY, 0, 0, new Uint8Array(8)));
      await client.closed();
      await client.close();
    }
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
