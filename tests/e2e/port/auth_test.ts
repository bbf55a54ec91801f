import assert from "node:assert/strict";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  Http2SessionManager,
} from "@connectrpc/connect-node";
import { createConnectTransport as createWebTransport } from "@connectrpc/connect-web";
import type { Consistency } from "../../../src/gen/pairdb/v1/common_pb.ts";
import { KeyValueService } from "../../../src/gen/pairdb/v1/kv_pb.ts";
import { PairDB, PairError } from "../../../src/client/mod.ts";
import { type Credentials, CredentialsAuthority } from "../../../src/rpc/mod.ts";
import { denoClock, silentLog } from "../../../src/runtime/mod.ts";
import { HpackDecoder } from "../../../src/rpc/http2/mod.ts";
import { callJson, detailIn, type TestPort, withPort } from "../../support/port.ts";
import { RawClient } from "../../support/raw_http.ts";
import { END_HEADERS, frame, HEADERS, hello, nextOf, postBlock } from "../../support/raw_http2.ts";
import { tokenOf } from "../../unit/rpc/auth/support.ts";

const CLIENT = tokenOf(1, { tenants: ["shop"] });
const OPERATOR = tokenOf(2, { role: "operator", tenants: "*" });
const ALL: Credentials = {
  version: 1,
  tokens: [CLIENT.entry, OPERATOR.entry],
  certificates: [],
};
const GET = "/pairdb.v1.KeyValueService/Get";
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

function withAuth(
  test: (it: TestPort & { authority: CredentialsAuthority }) => Promise<void>,
  options: Parameters<typeof withPort>[1] = {},
): Promise<void> {
  const authority = new CredentialsAuthority({
    clock: denoClock(),
    log: silentLog,
    credentials: ALL,
    accepts: { tokens: true, certificates: false },
  });
  return withPort((it) => test({ ...it, authority }), { authority, ...options });
}

Deno.test("port: a refusal has its status, its number, and nothing to tell apart", () =>
  withAuth(async ({ port, node }) => {
    node.plant("other", "there", [new Uint8Array([1])]);
    const none = await callJson(port, "KeyValueService/Get", { tenantId: "shop", key: "k" });
    assert.equal(none.status, 401);
    assert.equal(none.json.code, "unauthenticated");
    assert.deepEqual(detailIn(none.json), { code: "INVALID_ARGUMENT", name: "InvalidArgument" });
    const answers = new Set<string>();
    for (const [tenantId, key] of [["other", "there"], ["other", "k"], ["absent", "k"], ["", ""]]) {
      const { status, json } = await callJson(
        port,
        "KeyValueService/Get",
        { tenantId, key },
        bearer(CLIENT.text),
      );
      assert.equal(status, 403);
      answers.add(JSON.stringify(json));
    }
    assert.equal(answers.size, 1);
    assert.equal(node.gets, 0);
  }));

Deno.test("port: whose tenant it is comes before what is wrong with the request, in every protocol", () =>
  withAuth(async ({ port, node }) => {
    const sessionManager = new Http2SessionManager(port.url);
    const options = { baseUrl: port.url, sessionManager };
    const http2 = { ...options, httpVersion: "2" as const };
    const transports = [
      createGrpcTransport(options),
      createConnectTransport({ ...http2, useBinaryFormat: true }),
      createConnectTransport({ ...http2, useBinaryFormat: false }),
    ];
    const beyond = { entries: [{ coordinatorNodeId: "n", logicalTimestamp: 2n ** 60n }] };
    const item = { key: "k", value: new Uint8Array(1) };
    const codes = async (transport: Transport, tenantId: string) => {
      const kv = createClient(KeyValueService, transport);
      const headers = bearer(CLIENT.text);
      const answers = await Promise.allSettled([
        kv.put({ tenantId, ...item, ttlMs: -1n }, { headers }),
        kv.put({ tenantId, ...item, ttlMs: 2n ** 60n }, { headers }),
        kv.put({ tenantId, ...item, vectorClock: beyond }, { headers }),
        kv.delete({ tenantId, key: "k", vectorClock: beyond }, { headers }),
        kv.batchPut({ tenantId, items: [{ ...item, ttlMs: -1n }] }, { headers }),
        kv.get({ tenantId, key: "k", consistency: 99 as Consistency }, { headers }),
      ]);
      return answers.map((each) =>
        each.status === "fulfilled" ? "ok" : Code[ConnectError.from(each.reason).code]
      );
    };
    const all = [];
    for (const transport of transports) {
      all.push([await codes(transport, "other"), await codes(transport, "shop")]);
    }
    sessionManager.abort();
    const six = (code: string) => new Array(6).fill(code);
    for (const each of all) {
      assert.deepEqual(each, [six("PermissionDenied"), six("InvalidArgument")]);
    }
    assert.deepEqual([node.gets, node.putsBegun], [0, 0]);
  }));

Deno.test("port: no other spelling of a path gets past the gate", () =>
  withAuth(async ({ port, node }) => {
    node.plant("shop", "k", [new Uint8Array([1])]);
    const body = '{"tenantId":"shop","key":"k"}';
    const spellings = [
      GET,
      `/${GET}`,
      `${GET}/`,
      `${GET}?x=1`,
      `${GET}#x`,
      `${GET};x=1`,
      GET.toLowerCase(),
      GET.toUpperCase(),
      GET.replace("Get", "%47et"),
      GET.replace("/Get", "//Get"),
      GET.replace("/Get", "/./Get"),
      GET.replace("/Get", "/../pairdb.v1.KeyValueService/Get"),
      GET.replace("/Get", "%2fGet"),
      GET.replace("/Get", "\\Get"),
      `http://127.0.0.1:${port.port}${GET}`,
      `http://127.0.0.1${GET}`,
      `//127.0.0.1${GET}`,
      GET.slice(1),
    ];
    for (const path of spellings) {
      const client = await RawClient.open(port.port);
      await client.post(path, "application/json", body, "connection: close\r\n");
      const status = new TextDecoder().decode(await client.closed()).split(" ")[1];
      assert(["400", "401", "404", "405"].includes(status), `${path}: ${status}`);
      await client.close();
    }
    assert.equal(node.gets, 0);
  }));

Deno.test("port: nor does another spelling of a header", () =>
  withAuth(async ({ port, node }) => {
    const headers = [
      "authorization: Basic cGRi\r\n",
      `authorization: ${CLIENT.text}\r\n`,
      `authorization: Bearer ${CLIENT.text}\r\nauthorization: Bearer ${OPERATOR.text}\r\n`,
      `authorization: Bearer ${CLIENT.text},\r\n`,
      `proxy-authorization: Bearer ${OPERATOR.text}\r\n`,
      `x-authorization: Bearer ${OPERATOR.text}\r\n`,
      `cookie: authorization=Bearer ${OPERATOR.text}\r\n`,
    ];
    for (const header of headers) {
      const client = await RawClient.open(port.port);
      await client.post(GET, "application/json", '{"tenantId":"shop","key":"k"}', header);
      assert.equal((await client.response()).status, 401, header);
      await client.close();
    }
    assert.equal(node.gets, 0);
  }));

Deno.test("port: several tokens are none over HTTP/2 either, nor is who may not call waited for", () =>
  withAuth(async ({ port, node }) => {
    const head = { "content-type": "application/grpc", te: "trailers" };
    const one = `Bearer ${CLIENT.text}`;
    // A name that comes again, which a record of headers cannot hold.
    const again = new Uint8Array([
      ...postBlock(GET, { ...head, authorization: one }),
      ...postBlock("", { authorization: one }).subarray(postBlock("", {}).length),
    ]);
    for (const block of [postBlock(GET, head), again]) {
      const client = await RawClient.open(port.port);
      await hello(client);
      await client.send(frame(HEADERS, END_HEADERS, 1, block));
      const decoder = new HpackDecoder({ maxTableBytes: 4096, maxListBytes: 1e5 });
      const answer = [await nextOf(client, HEADERS), await nextOf(client, HEADERS)]
        .flatMap(({ payload }) => decoder.decode(payload, 0, payload.length).headers);
      assert.equal(answer[answer.indexOf("grpc-status") + 1], String(Code.Unauthenticated));
      await client.close();
    }
    assert.equal(node.gets, 0);
  }));

Deno.test("port: who may not call is told before the body has come", () =>
  withAuth(async ({ port }) => {
    const client = await RawClient.open(port.port);
    const head = "POST /pairdb.v1.KeyValueService/Put HTTP/1.1\r\nhost: 127.0.0.1\r\n" +
      "content-type: application/json\r\ncontent-length: 1000000\r\n\r\n";
    await client.send(head);
    assert.equal((await client.response()).status, 401);
    await client.close();
  }));

Deno.test("port: a stream ends at the first message after its caller was revoked", () =>
  withAuth(async ({ port, node, authority }) => {
    for (let i = 0; i < 40; i++) {
      node.plant("shop", `k${String(i).padStart(2, "0")}`, [new Uint8Array(1_000_000)]);
    }
    const baseUrl = port.url;
    const sessionManager = new Http2SessionManager(baseUrl);
    for (
      const transport of [
        createGrpcTransport({ baseUrl, sessionManager }),
        createWebTransport({ baseUrl }),
      ]
    ) {
      authority.replace(ALL);
      const kv = createClient(KeyValueService, transport);
      const read: string[] = [];
      const scan = async () => {
        const call = { headers: bearer(CLIENT.text) };
        for await (const { entries } of kv.scan({ tenantId: "shop" }, call)) {
          if (read.length === 0) authority.replace({ ...ALL, tokens: [OPERATOR.entry] });
          read.push(...entries.map(({ key }) => key));
        }
      };
      await assert.rejects(
        scan(),
        (error) => error instanceof ConnectError && error.code === Code.Unauthenticated,
      );
      assert(read.length > 0 && read.length < 40, `${read.length}`);
      assert.equal(node.openScans, 0);
    }
    sessionManager.abort();
  }));

Deno.test("port: a stream of who stays goes on through a reload", () =>
  withAuth(async ({ port, node, authority }) => {
    for (let i = 0; i < 10; i++) node.plant("shop", `k${i}`, [new Uint8Array(1_000_000)]);
    const db = PairDB.connect(port.url, { token: CLIENT.text });
    let rows = 0;
    for await (const _ of db.scan("shop")) {
      if (rows++ === 0) authority.replace({ ...ALL, tokens: [CLIENT.entry] });
    }
    assert.equal(rows, 10);
  }));

Deno.test("port: /metrics is for operators, unless it is open; probes are for everybody", async () => {
  const status = async ({ port }: TestPort, path: string, token?: string) => {
    const headers = token === undefined ? undefined : bearer(token);
    const response = await fetch(`${port.url}${path}`, { headers });
    await response.body?.cancel();
    return response.status;
  };
  await withAuth(async (it) => {
    assert.equal(await status(it, "/metrics"), 401);
    assert.equal(await status(it, "/%6detrics"), 401);
    assert.equal(await status(it, "/metrics", "pdb_garbage"), 401);
    assert.equal(await status(it, "/metrics", CLIENT.text), 403);
    assert.equal(await status(it, "/metrics", OPERATOR.text), 200);
    for (const path of ["/", "/healthz", "/readyz"]) {
      assert.equal(await status(it, path), 200);
      assert.equal(await status(it, path, "pdb_garbage"), 200);
    }
  });
  await withAuth(async (it) => assert.equal(await status(it, "/metrics"), 200), {
    openMetrics: true,
  });
  await withPort(async (it) => assert.equal(await status(it, "/metrics"), 200));
});

Deno.test("port: no token, key or value in the log, in errors or in metrics", () =>
  withAuth(async ({ port, node, logged }) => {
    const key = "canary-key-8c1f";
    const value = "canary-value-41d2";
    const heard: unknown[] = [];
    for (
      const token of [CLIENT.text, OPERATOR.text, tokenOf(9).text, "canary-token-77aa", "a\u00e9"]
    ) {
      for (const tenant of ["shop", "other"]) {
        try {
          const db = PairDB.connect(port.url, { token });
          await db.put(tenant, key, value);
          node.failure = new Error("a bug");
          await db.get(tenant, key);
        } catch (error) {
          assert(error instanceof PairError);
          heard.push(error.message, error.details);
        } finally {
          node.failure = undefined;
        }
      }
    }
    const response = await fetch(`${port.url}/metrics`, { headers: bearer(OPERATOR.text) });
    const all = JSON.stringify([heard, logged, await response.text()]);
    assert(heard.length > 0 && logged.length > 0);
    for (const secret of [key, value, "canary", CLIENT.text, OPERATOR.text, tokenOf(9).text]) {
      assert(!all.includes(secret), secret);
    }
  }));

Deno.test("port: browsers may send a token", () =>
  withAuth(async ({ port }) => {
    const asked = await fetch(`${port.url}${GET}`, {
      method: "OPTIONS",
      headers: {
        origin: "http://localhost:3000",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type",
      },
    });
    assert.equal(asked.status, 204);
    assert.match(asked.headers.get("access-control-allow-headers") ?? "", /\bAuthorization\b/);
    const kv = createClient(
      KeyValueService,
      createConnectTransport({ baseUrl: port.url, httpVersion: "1.1" }),
    );
    await kv.put({ tenantId: "shop", key: "k" }, { headers: bearer(CLIENT.text) }).catch((error) =>
      // The fake node wants a value; what matters is who was let in.
      assert.equal((error as ConnectError).code, Code.InvalidArgument)
    );
  }));
