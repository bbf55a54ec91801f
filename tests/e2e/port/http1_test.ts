import assert from "node:assert/strict";
import { create, toBinary } from "@bufbuild/protobuf";
import { GetRequestSchema, PutRequestSchema } from "../../../src/gen/pairdb/v1/kv_pb.ts";
import { callJson, detailIn, withPort } from "../../support/port.ts";
import { denoClock } from "../../../src/runtime/mod.ts";
import { RawClient } from "../../support/raw_http.ts";

const PUT = "/pairdb.v1.KeyValueService/Put";
const GET = "/pairdb.v1.KeyValueService/Get";
const MIB = 1024 * 1024;
const ASK_A = create(GetRequestSchema, { tenantId: "t", key: "a" });

function base64(length: number): string {
  // Every 3 bytes are 4 letters; zero bytes are "A".
  const whole = "AAAA".repeat(Math.floor(length / 3));
  return whole + ["", "AA==", "AAA="][length % 3];
}

Deno.test("port: a put and a get by JSON, as curl does it", () =>
  withPort(async ({ port }) => {
    const put = await callJson(port, "KeyValueService/Put", {
      tenantId: "t1",
      key: "k1",
      value: "aGVsbG8=",
    });
    assert.equal(put.status, 200);
    const clock = { entries: [{ coordinatorNodeId: "fake-1", logicalTimestamp: "1" }] };
    assert.deepEqual(put.json, { vectorClock: clock, timestamp: "1700000000000" });
    const get = await callJson(port, "KeyValueService/Get", { tenantId: "t1", key: "k1" });
    assert.deepEqual(get.json, {
      value: "aGVsbG8=",
      vectorClock: clock,
      timestamp: "1700000000000",
    });
  }));

Deno.test("port: four requests go down one HTTP/1.1 connection", () =>
  withPort(async ({ port }) => {
    const client = await RawClient.open(port.port);
    for (let i = 0; i < 4; i++) {
      await client.post(PUT, "application/json", '{"tenantId":"t","key":"k","value":""}');
      assert.equal((await client.response()).status, 200);
    }
    await client.close();
  }));

Deno.test("port: pipelined HTTP/1.1 requests are answered in order", () =>
  withPort(async ({ port, node }) => {
    node.plant("t", "a", [new Uint8Array([1])]);
    const client = await RawClient.open(port.port);
    const ask = (key: string) =>
      client.post(GET, "application/json", JSON.stringify({ tenantId: "t", key }));
    await Promise.all([ask("a"), ask("missing"), ask("a")]);
    const statuses = [];
    for (let i = 0; i < 3; i++) statuses.push((await client.response()).status);
    assert.deepEqual(statuses, [200, 404, 200]);
    await client.close();
  }));

Deno.test("port: a pipelined read sees the write that was sent before it", () =>
  withPort(async ({ port, node }) => {
    const gate = Promise.withResolvers<void>();
    node.gate = gate.promise;
    const client = await RawClient.open(port.port);
    await client.post(PUT, "application/json", '{"tenantId":"t","key":"k","value":"AQ=="}');
    await client.post(GET, "application/json", '{"tenantId":"t","key":"k"}');
    await denoClock().sleep(50);
    gate.resolve();
    assert.equal((await client.response()).status, 200);
    assert.equal((await client.response()).status, 200);
    await client.close();
  }));

Deno.test("port: pipelined calls are not begun while their client takes no answers", () =>
  withPort(async ({ port, node }) => {
    node.plant("t", "a", [new Uint8Array(2 * MIB)]);
    let begun = 0;
    const get = node.get.bind(node);
    node.get = (...args) => {
      begun++;
      return get(...args);
    };
    const client = await RawClient.open(port.port);
    client.socket.pause();
    const calls = 12;
    for (let i = 0; i < calls; i++) {
      await client.post(GET, "application/proto", toBinary(GetRequestSchema, ASK_A));
    }
    await denoClock().sleep(500);
    assert.ok(begun >= 1 && begun <= 4, `${begun} of ${calls} calls were begun`);
    client.socket.resume();
    for (let i = 0; i < calls; i++) assert.equal((await client.response()).status, 200);
    assert.equal(begun, calls);
    await client.close();
  }));

Deno.test("port: a whole request has its own answer, whatever bytes come behind it", () =>
  withPort(async ({ port, node }) => {
    const client = await RawClient.open(port.port);
    const body = '{"tenantId":"t","key":"k","value":"AQ=="}';
    await client.send(
      `POST ${PUT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n` +
        `content-length: ${body.length}\r\n\r\n${body}NONSENSE\r\n\r\n`,
    );
    assert.equal((await client.response()).status, 200);
    assert.equal((await client.response()).status, 400);
    assert.equal(node.putsBegun, 1);
    await client.close();
  }));

Deno.test("port: an answer before the end of the body leaves the connection usable", () =>
  withPort(async ({ port, node }) => {
    node.plant("t", "a", [new Uint8Array([1])]);
    const client = await RawClient.open(port.port);
    const sent = client.post(PUT, "application/json", new Uint8Array(9 * MIB));
    const refused = await client.response();
    assert.equal(refused.status, 429);
    const error = JSON.parse(new TextDecoder().decode(refused.body));
    assert.equal(error.code, "resource_exhausted");
    assert.equal(detailIn(error).name, "ResourceExhausted");
    await sent;
    await client.post(GET, "application/json", '{"tenantId":"t","key":"a"}');
    assert.equal((await client.response()).status, 200);
    await client.close();
  }, { limits: { readMaxBytes: 8 * MIB } }));

Deno.test("port: a client that never stops sending after its answer is cut off", () =>
  withPort(async ({ port }) => {
    const client = await RawClient.open(port.port);
    void client.post(PUT, "application/json", new Uint8Array(2 * MIB));
    assert.equal((await client.response()).status, 429);
    await client.closed();
    await client.close();
  }, { limits: { readMaxBytes: 1024, drainMaxBytes: 64 * 1024 } }));

Deno.test("port: a client that is slow to finish its body after its answer is cut off", () =>
  withPort(async ({ port }) => {
    const client = await RawClient.open(port.port);
    await client.send(
      `POST ${PUT} HTTP/1.1\r\nhost: x.localhost\r\ncontent-type: application/json\r\ncontent-length: 9999\r\n\r\n{`,
    );
    assert.equal((await client.response()).status, 429);
    await client.closed();
    await client.close();
  }, { limits: { readMaxBytes: 1024, drainTimeoutMs: 50 } }));

Deno.test("port: malformed JSON and protobuf are InvalidArgument (1000) and reach nothing", () =>
  withPort(async ({ port, node }) => {
    for (
      const body of ["{", "[]", '{"key":5}', '{"ttlMs":"x"}', '{"ttlMs":"9223372036854775808"}']
    ) {
      const { status, json } = await callJson(port, "KeyValueService/Put", body);
      assert.equal(status, 400, body);
      assert.equal(json.code, "invalid_argument");
      assert.equal(detailIn(json).name, "InvalidArgument");
      assert.doesNotMatch(json.message as string, /\n/);
    }
    for (const bytes of [[0x0a, 0x05, 0x41], [0xff], [0x0a, 0x01, 0xff]]) {
      const response = await fetch(`${port.url}${PUT}`, {
        method: "POST",
        headers: { "content-type": "application/proto" },
        body: new Uint8Array(bytes),
      });
      const json = await response.json();
      assert.equal(response.status, 400, bytes.join());
      assert.equal(json.code, "invalid_argument");
      assert.equal(detailIn(json).name, "InvalidArgument");
    }
    assert.equal(node.putsBegun, 0);
  }));

Deno.test("port: a key in JSON that is not UTF-8 is refused, and a byte order mark is kept", () =>
  withPort(async ({ port, node }) => {
    const bytes = new TextEncoder().encode('{"tenantId":"t","key":"kX","value":""}');
    bytes[bytes.indexOf(0x58)] = 0xff;
    const response = await fetch(`${port.url}${PUT}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: bytes,
    });
    assert.equal(response.status, 400);
    await response.body?.cancel();
    const body = toBinary(
      PutRequestSchema,
      create(PutRequestSchema, { tenantId: "t", key: "\uFEFFk", value: new Uint8Array(0) }),
    );
    const stored = await fetch(`${port.url}${PUT}`, {
      method: "POST",
      headers: { "content-type": "application/proto" },
      body: body as Uint8Array<ArrayBuffer>,
    });
    await stored.body?.cancel();
    assert.equal(stored.status, 200);
    assert.notEqual(node.get("t", "\uFEFFk"), undefined);
    assert.equal(node.get("t", "k"), undefined);
  }));

Deno.test("port: a missing value is 1000, an empty one is stored [V2]", () =>
  withPort(async ({ port, node }) => {
    const missing = await callJson(port, "KeyValueService/Put", { tenantId: "t", key: "k" });
    assert.equal(missing.status, 400);
    assert.equal(detailIn(missing.json).code, "INVALID_ARGUMENT");
    const empty = { tenantId: "t", key: "k", value: "" };
    assert.equal((await callJson(port, "KeyValueService/Put", empty)).status, 200);
    assert.deepEqual(node.get("t", "k")?.winner.value, new Uint8Array(0));
    const got = await callJson(port, "KeyValueService/Get", { tenantId: "t", key: "k" });
    assert.equal(got.json.value, "");
  }));

Deno.test("port: a value of 10 MiB passes as JSON, one byte more is 1003", () =>
  withPort(async ({ port, node }) => {
    const put = (length: number) =>
      callJson(
        port,
        "KeyValueService/Put",
        `{"tenantId":"t","key":"k","value":"${base64(length)}"}`,
      );
    assert.equal((await put(10 * MIB)).status, 200);
    assert.equal(node.get("t", "k")?.winner.value?.length, 10 * MIB);
    const over = await put(10 * MIB + 1);
    assert.equal(over.status, 400);
    assert.equal(detailIn(over.json).code, "VALUE_TOO_LARGE");
    const got = await callJson(port, "KeyValueService/Get", { tenantId: "t", key: "k" });
    assert.equal((got.json.value as string).length, base64(10 * MIB).length);
  }));

Deno.test("port: numbers beyond 2^53 - 1 are refused where they enter", () =>
  withPort(async ({ port, node }) => {
    const put = (extra: object) =>
      callJson(port, "KeyValueService/Put", { tenantId: "t", key: "k", value: "", ...extra });
    const clock = (logicalTimestamp: string) => ({
      vectorClock: { entries: [{ coordinatorNodeId: "n", logicalTimestamp }] },
    });
    for (
      const bad of [
        { ttlMs: "9007199254740992" },
        { ttlMs: "-1" },
        clock("9007199254740992"),
        clock("-1"),
        { consistency: 99 },
      ]
    ) {
      const { status, json } = await put(bad);
      assert.equal(status, 400, JSON.stringify(bad));
      assert.equal(detailIn(json).name, "InvalidArgument");
    }
    assert.equal(node.putsBegun, 0);
    assert.equal((await put(clock("9007199254740991"))).status, 200);
    assert.equal((await put({ consistency: "CONSISTENCY_QUORUM" })).status, 200);
  }));

Deno.test("port: paths that are not there", () =>
  withPort(async ({ port }) => {
    const unknown = await callJson(port, "KeyValueService/Nope", {});
    assert.equal(unknown.status, 404);
    assert.equal(unknown.json.code, "unimplemented");
    const service = await fetch(`${port.url}/no.such.Service/Method`, { method: "POST" });
    assert.equal(service.status, 404);
    assert.equal((await service.json()).code, "unimplemented");
    const web = await fetch(`${port.url}/nothing/here`);
    assert.equal(web.status, 404);
    assert.deepEqual(await web.json(), { code: "not_found", message: "there is nothing here" });
  }));

Deno.test("port: wrong HTTP methods are 405, wrong content types 415, and reads work by GET", () =>
  withPort(async ({ port, node }) => {
    node.plant("t", "k", [new Uint8Array([104, 105])]);
    const ask = async (path: string, init?: RequestInit) => {
      const response = await fetch(`${port.url}${path}`, init);
      return {
        status: response.status,
        allow: response.headers.get("allow"),
        text: await response.text(),
      };
    };
    const query = `?connect=v1&encoding=json&message=${
      encodeURIComponent('{"tenantId":"t","key":"k"}')
    }`;
    for (const answer of [await ask(PUT + query), await ask(PUT, { method: "DELETE" })]) {
      // A call that has not come to a protocol has no body in one.
      assert.deepEqual(answer, { status: 405, allow: "POST, OPTIONS", text: "" });
    }
    assert.equal((await ask(GET, { method: "PUT" })).allow, "POST, GET, OPTIONS");
    const form = { method: "POST", headers: { "content-type": "text/plain" }, body: "{}" };
    const refused = await ask(PUT, form);
    assert.deepEqual([refused.status, refused.text], [415, ""]);
    assert.equal(node.putsBegun, 0);
    const got = await fetch(`${port.url}${GET}${query}`);
    assert.equal((await got.json()).value, "aGk=");
  }));

Deno.test("port: a message in a query that is no base64 is the client's fault", () =>
  withPort(async ({ port, logged }) => {
    const response = await fetch(`${port.url}${GET}?connect=v1&encoding=json&base64=1&message=%21`);
    assert.equal(response.status, 400);
    const { code, details } = await response.json();
    assert.equal(code, "invalid_argument");
    assert.equal(details[0].debug.code, "INVALID_ARGUMENT");
    assert.deepEqual(logged.filter(({ level }) => level === "error"), []);
  }));

Deno.test("port: a target with scheme and host is served as its path, and its host is the one that counts", () =>
  withPort(async ({ port }) => {
    const ask = async (target: string) => {
      const client = await RawClient.open(port.port);
      await client.send(`GET ${target} HTTP/1.1\r\nhost: localhost\r\n\r\n`);
      const { status, body } = await client.response();
      await client.close();
      return `${status} ${new TextDecoder().decode(body).trim()}`;
    };
    assert.equal(await ask("http://localhost/healthz"), "200 ok: alive");
    assert.match(await ask("http://localhost/nothing"), /^404 /);
    assert.match(await ask("http://localhost?x"), /^200 <!doctype html>/);
    const client = await RawClient.open(port.port);
    await client.send("GET http://evil.example/healthz HTTP/1.1\r\nhost: localhost\r\n\r\n");
    assert.match(new TextDecoder().decode(await client.take(12)), / 403$/);
    await client.close();
  }));

Deno.test("port: HEAD and 204 claim no length", () =>
  withPort(async ({ port }) => {
    const { url } = port;
    const head = await fetch(`${url}/healthz`, { method: "HEAD" });
    assert.equal(head.status, 200);
    assert.notEqual(head.headers.get("content-length"), "0");
    const preflight = await fetch(url + PUT, {
      method: "OPTIONS",
      headers: { origin: "http://localhost:1", "access-control-request-method": "POST" },
    });
    assert.equal(preflight.status, 204);
    assert.equal(preflight.headers.get("content-length"), null);
  }));

Deno.test("port: absurd requests are refused and the port lives on", () =>
  withPort(async ({ port }) => {
    for (
      const [text, answer] of [
        ["NONSENSE\r\n\r\n", /^$/],
        ["NONSENSE / HTTP/1.1\r\n\r\n", /^HTTP\/1.1 400 /],
        [`GET / HTTP/1.1\r\nhost: x\r\nbig: ${"x".repeat(20_000)}\r\n\r\n`, /^HTTP\/1.1 431 /],
        ["GET / HTTP/1.1\r\nhost: [[[\r\nconnection: close\r\n\r\n", /^HTTP\/1.1 403 /],
        ["GET // HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n", /^HTTP\/1.1 404 /],
        ["GET http://[ HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n", /^HTTP\/1.1 /],
        ["OPTIONS * HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n", /^HTTP\/1.1 204 /],
        ["TRACE / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n", /^HTTP\/1.1 405 /],
        ["PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", /^HTTP\/1.1 400 |^$/],
      ] as const
    ) {
      const client = await RawClient.open(port.port);
      await client.send(text);
      assert.match(new TextDecoder().decode(await client.closed()), answer, text.slice(0, 40));
      await client.close();
    }
    assert.equal((await callJson(port, "AdminService/Status", {})).status, 200);
  }));

Deno.test("port: a request with two hosts, an empty one or none is answered 400, and its connection ends", () =>
  withPort(async ({ port, node }) => {
    const body = '{"tenantId":"t","key":"k","value":""}';
    const head = `POST ${PUT} HTTP/1.1\r\ncontent-type: application/json\r\n` +
      `content-length: ${body.length}\r\n`;
    for (
      const hosts of [
        "host: localhost\r\nhost: localhost\r\n",
        "host: localhost\r\nHOST: evil.example\r\n",
        "host: localhost\r\nx: y\r\nHost:\r\n",
        "host: a\r\nhost: b\r\nhost: c\r\n",
        "host:\r\n",
        "host:  \r\n",
        "",
      ]
    ) {
      const client = await RawClient.open(port.port);
      await client.send(`${head}${hosts}\r\n${body}`);
      const text = new TextDecoder().decode(await client.closed());
      assert.match(text, /^HTTP\/1.1 400 /, JSON.stringify(hosts));
      assert.equal(text.match(/HTTP\/1.1/g)?.length, 1, "there is one answer");
      await client.close();
    }
    assert.equal(node.putsBegun, 0);
    const client = await RawClient.open(port.port);
    // A target that names its host needs no other.
    await client.send("GET http://localhost/healthz HTTP/1.1\r\nhost:\r\n\r\n");
    assert.equal((await client.response()).status, 200);
    await client.send("GET /healthz HTTP/1.0\r\n\r\n");
    assert.match(new TextDecoder().decode(await client.closed()), /^HTTP\/1.1 200 /);
    await client.close();
  }));

Deno.test("port: OPTIONS tells what there is, and other methods that there is no more", () =>
  withPort(async ({ port }) => {
    const client = await RawClient.open(port.port);
    const ask = async (method: string, target: string) => {
      await client.send(`${method} ${target} HTTP/1.1\r\nhost: localhost\r\n\r\n`);
      let text = "";
      while (!text.endsWith("\r\n\r\n")) text += String.fromCharCode(...await client.take(1));
      const length = Number(/^content-length: (\d+)/im.exec(text)?.[1] ?? 0);
      const body = new TextDecoder().decode(await client.take(length));
      const allow = /^allow: (.*)\r$/im.exec(text)?.[1];
      return { status: Number(text.split(" ")[1]), allow, body };
    };
    for (
      const [target, allow] of [
        ["*", "GET, HEAD, POST, OPTIONS"],
        ["/healthz", "GET, HEAD, POST, OPTIONS"],
        ["/readyz", "GET, HEAD, OPTIONS"],
        ["/", "GET, HEAD, OPTIONS"],
        [PUT, "POST, OPTIONS"],
        [GET, "POST, GET, OPTIONS"],
      ]
    ) {
      assert.deepEqual(await ask("OPTIONS", target), { status: 204, allow, body: "" });
      if (target === "*") continue;
      const refused = await ask("DELETE", target);
      assert.deepEqual([refused.status, refused.allow], [405, allow], target);
      if (target.startsWith("/pairdb")) assert.equal(refused.body, "");
      else assert.equal(JSON.parse(refused.body).code, "unimplemented");
    }
    assert.equal((await ask("OPTIONS", "/nothing/here")).status, 404);
    assert.equal((await ask("DELETE", "/nothing/here")).status, 404);
    const trace = await ask("TRACE", "/nothing/here");
    assert.deepEqual([trace.status, trace.allow], [405, "GET, HEAD, POST, OPTIONS"]);
    await client.close();
  }));

Deno.test("port: CONNECT is refused and its connection ends, also behind another request", () =>
  withPort(async ({ port }) => {
    const CONNECT = "CONNECT localhost:80 HTTP/1.1\r\nhost: localhost:80\r\n\r\n";
    for (const [before, behind] of [["", ""], ["", "bytes of a tunnel"], ["GET", ""]]) {
      const client = await RawClient.open(port.port);
      const first = before === "" ? "" : "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
      await client.send(first + CONNECT + behind);
      if (before !== "") assert.equal((await client.response()).status, 200);
      const text = new TextDecoder().decode(await client.closed());
      assert.match(text, /^HTTP\/1.1 405 .*\r\nallow: GET, HEAD, POST, OPTIONS\r\n/);
      await client.close();
    }
    assert.equal((await callJson(port, "AdminService/Status", {})).status, 200);
  }));

Deno.test("port: a name that an enum does not have is refused, and the error names the field", () =>
  withPort(async ({ port, node, logged }) => {
    const put = { tenantId: "t", key: "k", value: "" };
    for (const consistency of ["CONSISTENCY_QUORUMM", "quorum", "", "1"]) {
      const { status, json } = await callJson(port, "KeyValueService/Put", { ...put, consistency });
      assert.equal(status, 400, consistency);
      assert.equal(json.code, "invalid_argument");
      assert.match(json.message as string, /^consistency is ".*", which is none of CONSISTENCY_/);
      assert.equal(detailIn(json).name, "InvalidArgument");
    }
    // However the key is written, and by whichever way the message comes.
    const escaped = '{"tenantId":"t","key":"k","value":"","c\\u006fnsistency":"X"}';
    assert.equal((await callJson(port, "KeyValueService/Put", escaped)).status, 400);
    const query = new URLSearchParams({
      connect: "v1",
      encoding: "json",
      message: '{"tenantId":"t","key":"k","consistency":"X"}',
    });
    const byGet = await fetch(`${port.url}${GET}?${query}`);
    assert.equal(byGet.status, 400);
    assert.match((await byGet.json()).message, /^consistency is "X"/);
    assert.equal(node.putsBegun, 0);
    for (const more of [{ consistency: "CONSISTENCY_QUORUM" }, { consistency: null }, { new: 1 }]) {
      assert.equal((await callJson(port, "KeyValueService/Put", { ...put, ...more })).status, 200);
    }
    assert.deepEqual(logged.filter(({ level }) => level === "error"), []);
  }));

Deno.test("port: Connect with protobuf over HTTP/1.1", () =>
  withPort(async ({ port, node }) => {
    node.plant("t", "k", [new Uint8Array([1, 2])]);
    const response = await fetch(`${port.url}${GET}`, {
      method: "POST",
      headers: { "content-type": "application/proto" },
      body: toBinary(
        GetRequestSchema,
        create(GetRequestSchema, { tenantId: "t", key: "k" }),
      ) as Uint8Array<ArrayBuffer>,
    });
    assert.equal(response.headers.get("content-type"), "application/proto");
    assert.deepEqual((await response.bytes()).slice(0, 4), new Uint8Array([0x0a, 2, 1, 2]));
  }));
