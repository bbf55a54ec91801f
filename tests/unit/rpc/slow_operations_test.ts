/**
 * The list of slow operations, and its lines in the log.
 * @module
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { type CallFacts, requestFacts } from "../../../src/rpc/call_facts.ts";
import { LINES_MAX, REMEMBERED_MS, SlowOperations } from "../../../src/rpc/slow_operations.ts";
import { memoryLog, SimClock } from "../../../src/runtime/mod.ts";

const FACTS: CallFacts = {
  tenant: "shop",
  key: "cart/42",
  keys: 1,
  requestBytes: 30,
  source: "sstable",
  waitedMs: 0.5,
  protocol: "grpc",
  traceparent: "",
};

function make(thresholdMs = 100) {
  const clock = new SimClock();
  const log = memoryLog();
  const slow = new SlowOperations({ clock, log, thresholdMs });
  const end = (elapsedMs: number, facts: Partial<CallFacts> = {}) => {
    const nowMs = clock.monotonicMs();
    if (!slow.wants(elapsedMs, nowMs)) return;
    const call = { operation: "read", method: "m/Get", code: "ok", elapsedMs } as const;
    slow.note(call, nowMs, { facts: () => ({ ...FACTS, ...facts }) });
  };
  const times = (withinMs = 0, limit = 1000) =>
    slow.list({ withinMs, limit, tenant: "" }).map(({ elapsedMs }) => elapsedMs);
  return { clock, log, slow, end, times };
}

Deno.test("SlowOperations.list() has the slowest of each ten seconds, slowest first, whatever they took", () => {
  fc.assert(fc.property(fc.array(fc.integer({ min: 0, max: 90 }), { maxLength: 300 }), (all) => {
    const { end, times } = make();
    for (const each of all) end(each);
    assert.deepEqual(times(), all.toSorted((a, b) => b - a).slice(0, 32));
  }));
});

Deno.test("SlowOperations.list() asks by time and tenant, and gives ten unless told", async () => {
  const { clock, slow, end, times } = make();
  end(90, { tenant: "old" });
  await clock.advance(50_000);
  for (let n = 1; n <= 20; n++) end(n);
  await clock.advance(10_001);
  assert.deepEqual(times(60_000, 2), [20, 19]);
  assert.equal(times(0, 1)[0], 90);
  assert.equal(slow.list({ withinMs: 0, limit: 0, tenant: "" }).length, 10);
  assert.deepEqual(slow.list({ withinMs: 0, limit: 5, tenant: "old" }).map((it) => it.elapsedMs), [
    90,
  ]);
});

Deno.test("SlowOperations: nothing has waited for longer than it took", () => {
  const { slow, end } = make();
  end(3, { waitedMs: 3.2 });
  const [{ elapsedMs, waitedMs }] = slow.list({ withinMs: 0, limit: 1, tenant: "" });
  assert.deepEqual([elapsedMs, waitedMs], [3, 3]);
});

Deno.test("SlowOperations forgets after five minutes, and is bounded in number and size", async () => {
  const { clock, slow, end, times } = make(Infinity);
  for (let slot = 0; slot < 100; slot++) {
    for (let n = 0; n < 50; n++) end(n, { key: "k".repeat(1000) });
    await clock.advance(10_000);
  }
  const kept = slow.list({ withinMs: 0, limit: 10_000, tenant: "" });
  assert.ok(kept.length <= 31 * 32, `${kept.length}`);
  assert.deepEqual([kept[0].key.length, kept[0].keyCut], [64, true]);
  await clock.advance(REMEMBERED_MS);
  assert.deepEqual(times(), []);
});

Deno.test("a slow operation is a line in the log, with tenant and without its key, a bounded number of times [O9]", async () => {
  const { clock, log, slow, end } = make();
  end(99.9);
  assert.equal(log.events.length, 0);
  end(100, { key: "a-secret-key" });
  const [{ level, event, fields }] = log.events;
  assert.deepEqual([level, event], ["warn", "slow_operation"]);
  const { key_hash: hash, ...rest } = fields;
  assert.match(String(hash), /^[0-9a-f]{8}$/);
  assert.deepEqual(rest, {
    operation: "read",
    method: "m/Get",
    code: "ok",
    tenant: "shop",
    keys: 1,
    bytes: 30,
    elapsed_ms: 100,
    waited_ms: 0.5,
    source: "sstable",
  });
  for (let n = 0; n < 100; n++) end(200);
  assert.equal(log.events.length, LINES_MAX);
  await clock.advance(10_000);
  end(1);
  assert.deepEqual(log.named("slow_operations_not_logged")[0].fields, { count: 101 - LINES_MAX });
  end(200);
  assert.equal(log.named("slow_operation").length, LINES_MAX + 1);
  assert.equal(slow.count, 102);
  assert.ok(!JSON.stringify(log.events).includes("secret"));
});

Deno.test("requestFacts() finds tenant and key of any request", () => {
  const facts = (message: object) => Object.values(requestFacts(message));
  assert.deepEqual(facts({ tenantId: "t", key: "k" }), ["t", "k", 1]);
  assert.deepEqual(facts({ tenantId: "t", keys: ["a", "b"] }), ["t", "a", 2]);
  assert.deepEqual(facts({ tenantId: "t", items: [{ key: "a" }] }), ["t", "a", 1]);
  assert.deepEqual(facts({ tenantId: "t", prefix: "p", key: "" }), ["t", "p", 0]);
  assert.deepEqual(facts({ tenantId: "t", keys: [] }), ["t", "", 0]);
  assert.deepEqual(facts({}), ["", "", 0]);
});
