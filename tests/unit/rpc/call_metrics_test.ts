/**
 * What calls are counted as.
 * @module
 */
import assert from "node:assert/strict";
import { Code, ConnectError } from "@connectrpc/connect";
import { measureMetrics } from "../../../bench/metrics.ts";
import { AdminService } from "../../../src/gen/pairdb/v1/admin_pb.ts";
import { KeyValueService } from "../../../src/gen/pairdb/v1/kv_pb.ts";
import { StorageNodeService } from "../../../src/gen/pairdb/v1/storage_node_pb.ts";
import { ContextMismatch, EMPTY_CLOCK, PairError } from "../../../src/model/mod.ts";
import { CallCounter } from "../../../src/node/mod.ts";
import { CallMetrics, CANCELLED, failureOf } from "../../../src/rpc/call_metrics.ts";
import { toConnectError } from "../../../src/rpc/errors.ts";
import { SlowOperations } from "../../../src/rpc/slow_operations.ts";
import { memoryLog, silentLog, SimClock, type Span } from "../../../src/runtime/mod.ts";
import { Registry } from "../../../src/web/mod.ts";

const NOTHING = {
  facts: () => ({
    tenant: "",
    key: "",
    keys: 0,
    requestBytes: 0,
    source: "",
    waitedMs: 0,
    protocol: "grpc",
    traceparent: "",
  }),
};

function make() {
  const clock = new SimClock();
  const log = silentLog;
  const registry = new Registry();
  const slow = new SlowOperations({ clock, log, thresholdMs: 100 });
  const counter = new CallCounter();
  const calls = new CallMetrics({ registry, clock, log, slow, counter });
  const has = (line: string) => {
    const text = registry.render();
    assert.ok(text.includes(`\n${line}\n`), `${line}\n${text}`);
  };
  return { clock, registry, slow, counter, calls, has };
}

Deno.test("CallMetrics has rates, latencies to p99.9 and errors, by operation [O2]", async () => {
  const { clock, calls, has } = make();
  const [get, put] = [KeyValueService.method.get, KeyValueService.method.put].map((method) =>
    calls.of(method)
  );
  for (let n = 0; n < 1000; n++) {
    const start = get.begin();
    // One in twenty takes a millisecond and more, one in a hundred eight.
    if (n >= 949) await clock.advance(n === 999 ? 64 : n >= 990 ? 8 : 1);
    get.end(start, undefined, NOTHING);
  }
  put.end(
    put.begin(),
    failureOf(toConnectError(new PairError("DiskFull", "x"), silentLog)),
    NOTHING,
  );
  const quantile = (q: string, seconds: number) =>
    has(`pairdb_operation_duration_seconds{operation="read",quantile="${q}"} ${seconds}`);
  quantile("0.5", 0.000001);
  quantile("0.95", 0.001024);
  quantile("0.99", 0.001024);
  quantile("0.999", 0.008192);
  has('pairdb_operation_duration_seconds_count{operation="read"} 1000');
  has('pairdb_operation_duration_seconds_sum{operation="read"} 0.177');
  has('pairdb_operation_duration_seconds_count{operation="write"} 1');
  has('pairdb_errors_total{operation="write",class="server",code="2002"} 1');
});

Deno.test("CallMetrics counts errors by number, class and operation; a client that left is no server's error [O7]", () => {
  const { calls, has } = make();
  const meter = calls.of(KeyValueService.method.get);
  const fail = (error: unknown) =>
    meter.end(meter.begin(), failureOf(toConnectError(error, silentLog)), NOTHING);
  fail(new PairError("KeyNotFound", "x"));
  fail(new PairError("Internal", "x"));
  fail(new ConnectError("x", Code.Unauthenticated));
  meter.end(meter.begin(), CANCELLED, NOTHING);
  has('pairdb_errors_total{operation="read",class="client",code="1001"} 1');
  has('pairdb_errors_total{operation="read",class="server",code="2000"} 1');
  has('pairdb_errors_total{operation="read",class="client",code="1000"} 1');
  has('pairdb_errors_total{operation="read",class="client",code="canceled"} 1');
});

Deno.test("CallMetrics counts calls that are turned away by why they are, and nothing else as such [O6]", () => {
  const { registry, calls, has } = make();
  const meter = calls.of(KeyValueService.method.put);
  const fail = (error: unknown) =>
    meter.end(meter.begin(), failureOf(toConnectError(error, silentLog)), NOTHING);
  const cases: [string, unknown][] = [
    ["argument", new PairError("InvalidArgument", "x")],
    ["argument", new PairError("InvalidArgument", "x", { reason: "anything" })],
    ["argument", new ConnectError("bad JSON", Code.InvalidArgument)],
    ["key_too_large", new PairError("KeyTooLarge", "x")],
    ["value_too_large", new PairError("ValueTooLarge", "x")],
    ["tenant", new PairError("InvalidTenantID", "x")],
    ["key", new PairError("InvalidKey", "x")],
    ["context", new ContextMismatch(EMPTY_CLOCK)],
    ["context_seal", new PairError("InvalidArgument", "x", { reason: "context_seal" })],
    ["idempotency", new PairError("InvalidArgument", "x", { reason: "idempotency_key_reused" })],
    ["disk_full", new PairError("DiskFull", "x")],
    ["disk_throttled", new PairError("DiskThrottled", "x")],
    ["memory", new PairError("ResourceExhausted", "x", { reason: "memory" })],
    ["write_stall", new PairError("ResourceExhausted", "x", { reason: "write_stall" })],
    ["draining", new PairError("Unavailable", "x", { reason: "draining" })],
    ["quota", new PairError("ResourceExhausted", "x", { reason: "quota", quota: "bytes" })],
    ["hot_key", new PairError("ResourceExhausted", "x", { reason: "hot_key" })],
    ["tenant_queue", new PairError("ResourceExhausted", "x", { reason: "tenant_queue" })],
    ["watches", new PairError("ResourceExhausted", "x", { reason: "watches" })],
    ["siblings", new PairError("ResourceExhausted", "x", { reason: "siblings" })],
    ["clock", new PairError("ResourceExhausted", "x", { reason: "clock" })],
    ["limit", new ConnectError("message too large", Code.ResourceExhausted)],
    ["unauthenticated", new ConnectError("x", Code.Unauthenticated)],
    ["permission", new ConnectError("x", Code.PermissionDenied)],
  ];
  for (const [, error] of cases) fail(error);
  const none = ["KeyNotFound", "ChecksumFailed", "Internal", "Unavailable", "CorruptedData"];
  for (const row of none as PairError["error"][]) fail(new PairError(row, "x"));
  fail(new ConnectError("x", Code.DeadlineExceeded));
  meter.end(meter.begin(), CANCELLED, NOTHING);
  meter.end(meter.begin(), undefined, NOTHING);
  const counts = Map.groupBy(cases, ([reason]) => reason);
  for (const [reason, { length }] of counts) {
    has(`pairdb_refusals_total{operation="write",reason="${reason}"} ${length}`);
  }
  const series = registry.render().match(/^pairdb_refusals_total\{/gm);
  assert.equal(series?.length, counts.size, "nothing else is a refusal");
});

Deno.test("CallMetrics counts refusals by number, and repairs [O5, O7]", () => {
  const { calls, has } = make();
  const meter = calls.of(KeyValueService.method.put);
  for (const error of ["KeyTooLarge", "ValueTooLarge", "InvalidTenantID", "InvalidKey"] as const) {
    const failure = failureOf(toConnectError(new PairError(error, "x"), silentLog));
    meter.end(meter.begin(), failure, NOTHING);
    has(`pairdb_errors_total{operation="write",class="client",code="${failure.number}"} 1`);
  }
  const repair = calls.of(StorageNodeService.method.repair);
  repair.end(repair.begin(), undefined, NOTHING);
  const { name } = StorageNodeService.method.repair;
  has(
    `pairdb_rpc_calls_total{service="${StorageNodeService.typeName}",method="${name}",code="ok"} 1`,
  );
});

Deno.test("only faults of the node itself count against its health [G4]", () => {
  const { calls, counter } = make();
  const end = (method: Parameters<CallMetrics["of"]>[0], ...errors: PairError["error"][]) => {
    const meter = calls.of(method);
    for (const error of errors) {
      const failure = failureOf(toConnectError(new PairError(error, "x"), silentLog));
      meter.end(meter.begin(), failure, NOTHING);
    }
  };
  const { put } = KeyValueService.method;
  end(put, "KeyNotFound", "DiskFull", "DiskThrottled", "ResourceExhausted", "Unavailable");
  assert.deepEqual({ ...counter }, { calls: 5, failed: 0 });
  end(put, "ChecksumFailed", "Internal", "CommitLogFailed", "SSTableFailed", "CorruptedData");
  assert.deepEqual({ ...counter }, { calls: 10, failed: 5 });
  end(AdminService.method.createSnapshot, "Internal");
  assert.deepEqual({ ...counter }, { calls: 10, failed: 5 });
});

Deno.test("at debug every call is a line with its method, tenant, status and time, and without its key [O9]", () => {
  const clock = new SimClock();
  const log = memoryLog();
  const slow = new SlowOperations({ clock, log: silentLog, thresholdMs: 100 });
  const calls = new CallMetrics({ registry: new Registry(), clock, log, slow });
  const { delete: remove } = KeyValueService.method;
  const meter = calls.of(remove);
  const facts = { ...NOTHING.facts(), tenant: "shop", key: "a-secret-key" };
  meter.end(meter.begin(), undefined, { facts: () => facts });
  meter.end(meter.begin(), CANCELLED, NOTHING);
  const method = { service: "pairdb.v1.KeyValueService", method: "Delete", elapsedMs: 0 };
  assert.deepEqual(log.events, [
    { level: "debug", event: "rpc", fields: { ...method, code: "ok", tenant: "shop" } },
    { level: "debug", event: "rpc", fields: { ...method, code: "canceled", tenant: undefined } },
  ]);
});

Deno.test("a span has its call's status, and is failed by the server's faults alone [O10]", async () => {
  const clock = new SimClock();
  const spans: Span[] = [];
  const slow = new SlowOperations({ clock, log: silentLog, thresholdMs: 100 });
  const tracer = { span: (span: Span) => void spans.push(span) };
  const registry = new Registry();
  const calls = new CallMetrics({ registry, clock, log: silentLog, slow, tracer });
  const meter = calls.of(KeyValueService.method.get);
  const failures = ["KeyNotFound", "Internal", "CorruptedData"] as const;
  for (const error of [undefined, ...failures]) {
    const start = meter.begin();
    await clock.advance(5);
    const failure = error &&
      failureOf(toConnectError(new PairError(error, "x"), silentLog));
    meter.end(start, failure, NOTHING);
  }
  meter.end(meter.begin(), CANCELLED, NOTHING);
  assert.deepEqual(
    spans.map(({ attributes, failure }) => [attributes["rpc.status"], failure]),
    [
      ["ok", undefined],
      ["not_found", undefined],
      ["internal", "internal"],
      ["data_loss", "data_loss"],
      ["canceled", undefined],
    ],
  );
  assert.deepEqual([spans[0].elapsedMs, spans[0].startedAtMs], [5, clock.wallMs() - 20]);
});

Deno.test("the bench of what measuring costs runs", () => {
  const { allNs, clockNs } = measureMetrics(100, 1);
  assert.ok(allNs > 0 && clockNs > 0);
});

Deno.test("what operators ask for is no slow operation", async () => {
  const { clock, calls, slow, has } = make();
  for (const method of [AdminService.method.compact, KeyValueService.method.get]) {
    const meter = calls.of(method);
    const start = meter.begin();
    await clock.advance(500);
    meter.end(start, undefined, NOTHING);
  }
  const listed = slow.list({ withinMs: 0, limit: 0, tenant: "" });
  assert.deepEqual(listed.map(({ method }) => method), ["pairdb.v1.KeyValueService/Get"]);
  has("pairdb_slow_operations_total 1");
});
