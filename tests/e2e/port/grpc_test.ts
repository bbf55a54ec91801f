import assert from "node:assert/strict";
import process from "node:process";
import { create, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import {
  createGrpcTransport,
  createGrpcWebTransport as nodeGrpcWeb,
  Http2SessionManager,
} from "@connectrpc/connect-node";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";
import { type ServiceError, status as Status } from "@grpc/grpc-js";
import { ErrorCode, ErrorDetailSchema } from "../../../src/gen/pairdb/v1/common_pb.ts";
import {
  KeyValueService,
  ScanRequestSchema,
  type ScanResponse,
} from "../../../src/gen/pairdb/v1/kv_pb.ts";
import { StorageNodeService } from "../../../src/gen/pairdb/v1/storage_node_pb.ts";
import { TenantService } from "../../../src/gen/pairdb/v1/tenant_pb.ts";
import { AdminService } from "../../../src/gen/pairdb/v1/admin_pb.ts";
import { PairError } from "../../../src/model/mod.ts";
import { grpcDetail, GrpcJsClient } from "../../support/grpc_js.ts";
import type { FakeNode } from "../../support/fake_node.ts";
import { RawClient } from "../../support/raw_http.ts";
import {
  DATA,
  END_HEADERS,
  END_STREAM,
  frame,
  HEADERS,
  hello,
  postBlock,
  RST_STREAM,
} from "../../support/raw_http2.ts";
import { type TestPort, until, withPort } from "../../support/port.ts";

const KV = KeyValueService.method;
const MIB = 1024 * 1024;

function withGrpcJs(
  test: (client: GrpcJsClient, it: TestPort) => Promise<void>,
  options: Parameters<typeof withPort>[1] = {},
): Promise<void> {
  return withPort(async (it) => {
    const client = new GrpcJsClient(it.port.port);
    try {
      await test(client, it);
    } finally {
      client.close();
    }
  }, options);
}

/** The error of a call that must fail. */
async function failure(call: Promise<unknown>): Promise<unknown> {
  try {
    await call;
  } catch (error) {
    return error;
  }
  throw new Error("the call went well");
}

/** The same, as grpc-js has it. */
async function refused(call: Promise<unknown>): Promise<ServiceError> {
  return await failure(call) as ServiceError;
}

Deno.test("port: grpc-js puts, gets and deletes", () =>
  withGrpcJs(async (client) => {
    const key = { tenantId: "t", key: "k" };
    const put = await client.unary(KV.put, { ...key, value: new Uint8Array([1, 2, 3]) });
    assert.equal(put.vectorClock?.entries[0].logicalTimestamp, 1n);
    const got = await client.unary(KV.get, key);
    assert.deepEqual(new Uint8Array(got.value ?? []), new Uint8Array([1, 2, 3]));
    assert.deepEqual(got.vectorClock, put.vectorClock);
    assert.equal((await client.unary(KV.delete, key)).existed, true);
    assert.equal((await client.unary(KV.delete, key)).existed, false);
    const error = await refused(client.unary(KV.get, key));
    assert.equal(error.code, Status.NOT_FOUND);
    assert.match(error.details, /^Cannot get/);
    assert.equal(grpcDetail(error)?.code, ErrorCode.KEY_NOT_FOUND);
    assert.equal(grpcDetail(error)?.name, "KeyNotFound");
  }));

Deno.test("port: grpc-js gets a value of 10 MiB through, one byte more is 1003 [V1]", () =>
  withGrpcJs(async (client) => {
    const put = (length: number) =>
      client.unary(KV.put, { tenantId: "t", key: "k", value: new Uint8Array(length).fill(7) });
    await put(10 * MIB);
    const got = await client.unary(KV.get, { tenantId: "t", key: "k" });
    assert.equal(got.value?.length, 10 * MIB);
    assert.equal(got.value?.[10 * MIB - 1], 7);
    const over = await refused(put(10 * MIB + 1));
    assert.equal(over.code, Status.INVALID_ARGUMENT);
    const facts = { bytes: "10485761", limit: "10485760", outcome: "not_applied" };
    assert.deepEqual({ ...grpcDetail(over)?.details }, facts);
    const far = await refused(put(17 * MIB));
    assert.equal(far.code, Status.RESOURCE_EXHAUSTED);
    assert.equal(grpcDetail(far)?.code, ErrorCode.RESOURCE_EXHAUSTED);
    assert.equal((await client.unary(KV.get, { tenantId: "t", key: "k" })).value?.length, 10 * MIB);
  }));

Deno.test("port: many calls at once on one HTTP/2 connection", () =>
  withGrpcJs(async (client) => {
    await Promise.all(Array.from({ length: 300 }, (_, i) =>
      client.unary(KV.put, {
        tenantId: "t",
        key: `k${i}`,
        value: new Uint8Array(i * 10).fill(i),
      })));
    const got = await Promise.all(
      Array.from({ length: 300 }, (_, i) => client.unary(KV.get, { tenantId: "t", key: `k${i}` })),
    );
    got.forEach((each, i) => assert.equal(each.value?.length, i * 10));
  }));

Deno.test("port: a batch get is cut off before 16 MiB, and never empty", () =>
  withGrpcJs(async (client, { node }) => {
    const keys = Array.from({ length: 6 }, (_, i) => `k${i}`);
    for (const key of keys) node.plant("t", key, [new Uint8Array(5 * MIB)]);
    const three = await client.unary(KV.batchGet, { tenantId: "t", keys });
    assert.deepEqual(three.items.map((item) => item.key), ["k0", "k1", "k2"]);
    node.plant("t", "huge", [new Uint8Array(10 * MIB), new Uint8Array(10 * MIB)]);
    const one = await client.unary(KV.batchGet, { tenantId: "t", keys: ["huge", "none"] });
    assert.deepEqual(one.items.map((item) => [item.key, item.found]), [["huge", true]]);
    assert.equal(one.items[0].siblings.length, 2);
    const some = await client.unary(KV.batchGet, { tenantId: "t", keys: ["none", "k0"] });
    assert.deepEqual(some.items.map((item) => item.found), [false, true]);
    const none = await refused(client.unary(KV.batchGet, { tenantId: "t", keys: [] }));
    assert.equal(grpcDetail(none)?.code, ErrorCode.INVALID_ARGUMENT);
    const many = Array.from({ length: 1001 }, () => "k0");
    const tooMany = await refused(client.unary(KV.batchGet, { tenantId: "t", keys: many }));
    assert.equal(grpcDetail(tooMany)?.code, ErrorCode.INVALID_ARGUMENT);
  }));

Deno.test("port: siblings are shown, a deleted one without a value", () =>
  withGrpcJs(async (client, { node }) => {
    node.plant("t", "k", [undefined, new Uint8Array([9])]);
    const got = await client.unary(KV.get, { tenantId: "t", key: "k" });
    assert.equal(got.value, undefined);
    assert.deepEqual(got.siblings.map((each) => [each.deleted, each.value?.[0]]), [
      [true, undefined],
      [false, 9],
    ]);
    assert.equal(got.vectorClock?.entries.length, 2);
    const clock = got.vectorClock;
    await client.unary(KV.put, {
      tenantId: "t",
      key: "k",
      value: new Uint8Array(1),
      vectorClock: clock,
    });
  }));

Deno.test("port: a deadline that passes ends the call, one that has passed starts nothing", () =>
  withGrpcJs(async (client, { node }) => {
    let open = () => {};
    node.gate = new Promise((resolve) => open = resolve);
    const put = { tenantId: "t", key: "k", value: new Uint8Array(1) };
    const error = await refused(client.unary(KV.put, put, { deadlineMs: 50 }));
    assert.equal(error.code, Status.DEADLINE_EXCEEDED);
    open();
    await until(() => node.get("t", "k") !== undefined);
  }));

Deno.test("port: the server itself ends a call that takes too long", () =>
  withPort(async ({ port, node, logged }) => {
    let open = () => {};
    node.syncGate = new Promise((resolve) => open = resolve);
    const call = (headers: Record<string, string>) =>
      fetch(`${port.url}/pairdb.v1.KeyValueService/Put`, {
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body: '{"tenantId":"t","key":"k","value":""}',
      });
    for (const headers of [{}, { "connect-timeout-ms": "20" }] as Record<string, string>[]) {
      const response = await call(headers);
      assert.equal(response.status, 504);
      const json = await response.json();
      assert.equal(json.code, "deadline_exceeded");
      assert.equal(json.details[0].debug.name, "Unavailable");
    }
    const begun = node.putsBegun;
    const warnings: string[] = [];
    const onWarning = (warning: Error) => void warnings.push(warning.name);
    process.on("warning", onWarning);
    for (
      const [timeout, status] of [["0", 504], ["9999999999", 400], ["-1", 400], ["x", 400]] as const
    ) {
      const response = await call({ "connect-timeout-ms": timeout });
      await response.body?.cancel();
      assert.equal(response.status, status, timeout);
    }
    assert.equal(node.putsBegun, begun);
    process.off("warning", onWarning);
    assert.deepEqual(warnings, [], "no timer beyond 2^31 ms was set");
    node.logFailure = new TypeError("late and lost");
    open();
    await until(() => logged.some((line) => /late and lost/.test(String(line.fields?.error))));
  }, { limits: { writeTimeoutMs: 100 } }));

Deno.test("port: a body that does not arrive in time is a deadline too", () =>
  withPort(async ({ port }) => {
    const body = new ReadableStream({ start: (to) => to.enqueue(new Uint8Array([0x7b])) });
    const response = await fetch(`${port.url}/pairdb.v1.KeyValueService/Get`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body,
    });
    assert.equal(response.status, 504);
    await response.body?.cancel();
  }, { limits: { readTimeoutMs: 50, drainTimeoutMs: 50 } }));

Deno.test("port: a scan comes in messages of bounded size, in order", () =>
  withGrpcJs(async (client, { node }) => {
    for (let i = 0; i < 1200; i++) {
      node.plant("t", `k${String(i).padStart(5, "0")}`, [new Uint8Array(8)]);
    }
    node.plant("t", "large", [new Uint8Array(300_000)]);
    const messages: ScanResponse[] = [];
    for await (const message of client.stream(KV.scan, { tenantId: "t" })) messages.push(message);
    const entries = messages.flatMap((message) => message.entries);
    assert.equal(entries.length, 1201);
    assert.deepEqual(entries.map((entry) => entry.key), entries.map((entry) => entry.key).sort());
    assert.ok(messages.length >= 3 && messages.every((message) => message.entries.length <= 500));
    assert.equal(messages.at(-1)?.entries.length, 1, "a large value travels alone");
    const keys: ScanResponse[] = [];
    const bounds = { tenantId: "t", prefix: "k000", start: "k00010", end: "k00030", limit: 5n };
    for await (const message of client.stream(KV.scan, { ...bounds, keysOnly: true })) {
      keys.push(message);
    }
    assert.deepEqual(keys[0].entries.map((entry) => [entry.key, entry.value]), [
      ["k00010", undefined],
      ["k00011", undefined],
      ["k00012", undefined],
      ["k00013", undefined],
      ["k00014", undefined],
    ]);
    assert.equal(node.openScans, 0);
  }));

/** The number of values that a scan has given out once it gives out no more. */
async function settled(node: FakeNode): Promise<number> {
  let before = -1;
  while (node.scanned === 0 || before !== node.scanned) {
    before = node.scanned;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return before;
}

Deno.test("port: a scan waits for a reader that does not read, and ends when it leaves", () =>
  withPort(async ({ port, node }) => {
    // 40 MB in all; what may leave is what windows and the system's socket buffers hold.
    for (let i = 0; i < 400; i++) node.plant("t", `k${1000 + i}`, [new Uint8Array(100_000)]);
    const envelope = (body: Uint8Array) => new Uint8Array([0, 0, 0, 0, body.length, ...body]);
    const scan = toBinary(ScanRequestSchema, create(ScanRequestSchema, { tenantId: "t" }));
    const path = "/pairdb.v1.KeyValueService/Scan";

    // Without WINDOW_UPDATE the server may send 64 KiB.
    const http2 = await RawClient.open(port.port);
    await hello(http2);
    const block = postBlock(path, { "content-type": "application/grpc", te: "trailers" });
    await http2.send(frame(HEADERS, END_HEADERS, 1, block));
    await http2.send(frame(DATA, END_STREAM, 1, envelope(scan)));
    const overHttp2 = await settled(node);
    assert.ok(overHttp2 < 10, `HTTP/2: ${overHttp2} values left`);
    assert.equal(node.openScans, 1);
    await http2.send(frame(RST_STREAM, 0, 1, new Uint8Array([0, 0, 0, 8])));
    await until(() => node.openScans === 0);
    await http2.close();

    node.scanned = 0;
    const client = await RawClient.open(port.port);
    client.socket.pause();
    await client.post(path, "application/connect+proto", envelope(scan));
    const overHttp1 = await settled(node);
    assert.ok(overHttp1 < 150, `HTTP/1.1: ${overHttp1} values left`);
    assert.equal(node.openScans, 1);
    await client.close();
    await until(() => node.openScans === 0);
  }));

Deno.test("port: StorageNodeService writes, reads, deletes, repairs [E33, N2, N3, N4, N9, N10, G3]", () =>
  withGrpcJs(async (client, { node }) => {
    const { write, read, delete: remove, repair, healthCheck } = StorageNodeService.method;
    const id = { tenantId: "t", key: "k" };
    const value = new Uint8Array([5]);
    const vectorClock = { entries: [{ coordinatorNodeId: "n2", logicalTimestamp: 7n }] };
    await client.unary(write, { ...id, value, vectorClock: { entries: [] } });
    assert.equal(node.putsBegun, 1, "an empty clock is none");
    const written = await client.unary(write, { ...id, value, vectorClock });
    assert.equal(written.vectorClock?.entries[0].coordinatorNodeId, "n2");
    const found = await client.unary(read, id);
    assert.deepEqual([found.success, found.source, found.value?.[0]], [true, "memtable", 5]);
    await client.unary(repair, { ...id, value, vectorClock, timestamp: 123n });
    await client.unary(remove, { ...id, vectorClock });
    assert.deepEqual(
      node.replicaWrites.map((each) => [each.origin, each.deleted, each.timestampMs]),
      [["write", false, undefined], ["repair", false, 123], ["delete", true, undefined]],
    );
    const bare = await refused(client.unary(repair, { ...id, value }));
    assert.equal(grpcDetail(bare)?.code, ErrorCode.INVALID_ARGUMENT);
    const missing = await refused(client.unary(read, id));
    assert.equal(grpcDetail(missing)?.code, ErrorCode.KEY_NOT_FOUND);
    const beforeMs = Date.now();
    const health = await client.unary(healthCheck, {});
    assert.deepEqual([health.nodeId, health.status], ["fake-1", "healthy"]);
    const atMs = Number(health.timestamp);
    assert.ok(atMs >= beforeMs && atMs <= Date.now(), `${atMs}`);
    assert.deepEqual({ ...health.metrics }, { disk_usage: 0.25 });
  }));

Deno.test("port: TenantService and AdminService", () =>
  withGrpcJs(async (client, { node }) => {
    const { createTenant, updateTenant, listTenants, dropTenant } = TenantService.method;
    const made = await client.unary(createTenant, { tenantId: "b" });
    assert.equal(made.tenant?.createdAt, 1_700_000_000_000n);
    await client.unary(createTenant, { tenantId: "a" });
    const twice = await refused(client.unary(createTenant, { tenantId: "a" }));
    assert.equal(twice.code, Status.ALREADY_EXISTS);
    assert.equal(grpcDetail(twice)?.code, ErrorCode.INVALID_ARGUMENT);
    const { tenants } = await client.unary(listTenants, {});
    assert.deepEqual(tenants.map((tenant) => tenant.tenantId), ["a", "b"]);
    const options = { compactionStrategy: "hybrid", defaultTtlMs: 5n, timeWindowMs: 7n };
    const changed = await client.unary(updateTenant, { tenantId: "a", options });
    assert.equal(changed.tenant?.options?.defaultTtlMs, 5n);
    const back = { compactionStrategy: "", timeWindowMs: 0n };
    const { tenant: after } = await client.unary(updateTenant, { tenantId: "a", options: back });
    assert.equal(after?.options?.compactionStrategy, undefined);
    assert.equal(after?.options?.timeWindowMs, undefined);
    assert.equal(after?.options?.defaultTtlMs, 5n);
    const negative = { tenantId: "a", options: { defaultTtlMs: -1n } };
    const refusal = await refused(client.unary(updateTenant, negative));
    assert.equal(grpcDetail(refusal)?.code, ErrorCode.INVALID_ARGUMENT);
    await client.unary(dropTenant, { tenantId: "a" });
    const gone = await refused(client.unary(dropTenant, { tenantId: "a" }));
    assert.equal(grpcDetail(gone)?.code, ErrorCode.INVALID_TENANT_ID);
    const { status, flush, compact } = AdminService.method;
    const now = await client.unary(status, {});
    assert.deepEqual([now.nodeId, now.tableBytes, now.tablesPerLevel], ["fake-1", 2n ** 40n, [
      2,
      1,
    ]]);
    await client.unary(flush, {});
    await client.unary(compact, { tenantId: "b" });
    await client.unary(compact, { tenantId: "b", start: "k", end: "m", purge: true });
    assert.deepEqual(node.maintenance, ["flush all", "compact b", "compact b k..m purge"]);
    const { createSnapshot, listSnapshots, verifySnapshot, deleteSnapshot } = AdminService.method;
    const copy = await client.unary(createSnapshot, { name: "s" });
    assert.deepEqual([copy.snapshot?.dir, copy.snapshot?.bytes], ["/data/snapshots/s", 2n ** 41n]);
    assert.deepEqual([copy.copiedBytes, copy.pinnedMs], [2n ** 42n, 0.5]);
    const taken = await refused(client.unary(createSnapshot, { name: "s" }));
    assert.equal(taken.code, Status.ALREADY_EXISTS);
    assert.deepEqual((await client.unary(listSnapshots, {})).snapshots, [copy.snapshot]);
    node.snapshotProblems = [{ file: "/f", problem: "it is missing" }];
    const { snapshot, problems } = await client.unary(verifySnapshot, { name: "s" });
    assert.deepEqual(snapshot, copy.snapshot);
    assert.deepEqual(problems.map(({ file, problem }) => [file, problem]), [[
      "/f",
      "it is missing",
    ]]);
    await client.unary(deleteSnapshot, { name: "s" });
    const none = await refused(client.unary(deleteSnapshot, { name: "s" }));
    assert.equal(grpcDetail(none)?.code, ErrorCode.INVALID_ARGUMENT);
  }));

Deno.test("port: what is no PairError stays in the log [N11]", () =>
  withGrpcJs(async (client, { node, logged }) => {
    node.failure = new TypeError("secret: /data/tenant", { cause: new Error("deeper") });
    const error = await refused(client.unary(KV.get, { tenantId: "t", key: "k" }));
    assert.equal(error.code, Status.INTERNAL);
    assert.equal(error.details, "internal error");
    assert.equal(grpcDetail(error)?.code, ErrorCode.INTERNAL);
    const line = logged.find(({ level }) => level === "error");
    assert.match(String(line?.fields?.error), /secret: \/data\/tenant[^]*caused by Error: deeper/);
    node.failure = new PairError("DiskFull", "Cannot write:\nthe disk\r\n is full", {
      freeBytes: 0,
    });
    const full = await refused(client.unary(KV.get, { tenantId: "t", key: "k" }));
    assert.equal(full.code, Status.RESOURCE_EXHAUSTED);
    assert.equal(full.details, "Cannot write: the disk is full");
    assert.deepEqual({ ...grpcDetail(full)?.details }, { freeBytes: "0" });
  }));

Deno.test("port: each call is in the log, and no key and no value [N11]", () =>
  withGrpcJs(async (client, { logged }) => {
    const secret = new TextEncoder().encode("canary-value");
    await client.unary(KV.put, { tenantId: "t", key: "canary-key", value: secret });
    await refused(client.unary(KV.get, { tenantId: "t", key: "canary-key-2" }));
    const calls = logged.filter(({ event }) => event === "rpc").map(({ level, fields }) => {
      const { elapsedMs, ...rest } = fields!;
      assert.ok(Number(elapsedMs) > 0);
      return { level, ...rest };
    });
    const of = { level: "debug", service: "pairdb.v1.KeyValueService" };
    assert.deepEqual(calls, [
      { ...of, method: "Put", tenant: "t", code: "ok" },
      { ...of, method: "Get", tenant: "t", code: "not_found" },
    ]);
    assert.doesNotMatch(JSON.stringify(logged), /canary/);
  }));

Deno.test("port: the same calls by connect-node's gRPC, gRPC-Web and connect-web's two transports", () =>
  withPort(async ({ port, node }) => {
    for (let i = 0; i < 3; i++) node.plant("s", `k${i}`, [new Uint8Array([i])]);
    const sessionManager = new Http2SessionManager(port.url);
    const baseUrl = port.url;
    for (
      const transport of [
        createGrpcTransport({ baseUrl, sessionManager }),
        nodeGrpcWeb({ baseUrl, httpVersion: "1.1" }),
        createGrpcWebTransport({ baseUrl }),
        createConnectTransport({ baseUrl }),
        createConnectTransport({ baseUrl, useBinaryFormat: true, useHttpGet: true }),
      ]
    ) {
      const client = createClient(KeyValueService, transport);
      await client.put({ tenantId: "t", key: "k", value: new Uint8Array([1]) });
      assert.deepEqual((await client.get({ tenantId: "t", key: "k" })).value?.[0], 1);
      const found: string[] = [];
      for await (const message of client.scan({ tenantId: "s" })) {
        found.push(...message.entries.map((entry) => entry.key));
      }
      assert.deepEqual(found, ["k0", "k1", "k2"]);
      const missing = await failure(client.get({ tenantId: "t", key: "none" }));
      assert.ok(missing instanceof ConnectError);
      assert.equal(missing.code, Code.NotFound);
      assert.equal(missing.findDetails(ErrorDetailSchema)[0].code, ErrorCode.KEY_NOT_FOUND);
      const badScan = async () => {
        for await (const _ of client.scan({ tenantId: "s", limit: -1n })) assert.fail();
      };
      const bad = await failure(badScan());
      assert.ok(bad instanceof ConnectError);
      assert.equal(bad.code, Code.InvalidArgument);
      assert.equal(bad.findDetails(ErrorDetailSchema)[0].name, "InvalidArgument");
    }
    sessionManager.abort();
  }));

Deno.test("port: an unknown method is UNIMPLEMENTED to gRPC clients", () =>
  withGrpcJs(async (client) => {
    const method = { ...KV.get, name: "Nope" } as typeof KV.get;
    const error = await refused(client.unary(method, {}));
    assert.equal(error.code, Status.UNIMPLEMENTED);
    assert.equal(grpcDetail(error)?.name, "InvalidArgument");
  }));

Deno.test("port: a compressed request is taken, a bomb is refused", () =>
  withPort(async ({ port, node }) => {
    const send = async (length: number) => {
      const json = `{"tenantId":"t","key":"k","value":"${"A".repeat(length)}"}`;
      const body = new Blob([json]).stream().pipeThrough(new CompressionStream("gzip"));
      const response = await fetch(`${port.url}/pairdb.v1.KeyValueService/Put`, {
        method: "POST",
        headers: { "content-type": "application/json", "content-encoding": "gzip" },
        body: await new Response(body).bytes(),
      });
      return { status: response.status, json: await response.json() };
    };
    assert.equal((await send(40_000)).status, 200);
    assert.equal(node.get("t", "k")?.winner.value?.length, 30_000);
    const bomb = await send(40 * MIB);
    assert.equal(bomb.status, 429);
    assert.equal(bomb.json.code, "resource_exhausted");
    const garbage = await fetch(`${port.url}/pairdb.v1.KeyValueService/Put`, {
      method: "POST",
      headers: { "content-type": "application/json", "content-encoding": "gzip" },
      body: "not gzip",
    });
    assert.equal(garbage.status, 400);
    await garbage.body?.cancel();
  }));
