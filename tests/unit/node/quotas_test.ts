/**
 * Quotas of tenants: what they refuse and what not, and that nothing changes then.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  addDot,
  addToChecksum,
  encodeKey,
  encodeVersions,
  PairError,
  type VectorClock,
} from "../../../src/model/mod.ts";
import type { StorageNode } from "../../../src/node/mod.ts";
import { engineWorld, openTestEngine } from "../../support/engine.ts";
import { bytes, nodeOn, testNode, text } from "../../support/node.ts";
import { HandWatch } from "../../support/watch.ts";

type Details = Record<string, unknown>;

/** Demands that a call is refused by a quota. @returns the details */
async function refused(run: () => unknown, quota: string): Promise<Details> {
  let details: Details = {};
  await assert.rejects(async () => await run(), (error) => {
    assert.ok(error instanceof PairError, `${error}`);
    assert.equal(error.code, 2008, error.message);
    details = error.details;
    return true;
  });
  assert.deepEqual([details.reason, details.quota], ["quota", quota]);
  const { retry_after_ms: waitMs } = details;
  assert.ok(Number.isInteger(waitMs) && waitMs as number > 0, `${waitMs}`);
  return details;
}

function usageOf(node: StorageNode, tenant = "t") {
  return node.listTenants().find((info) => info.tenant === tenant)!.usage;
}

const put = (node: StorageNode, key: string, size = 10) =>
  node.put("t", { key, value: new Uint8Array(size) });
const clock = { entries: [{ node: "x", counter: 1 }], dots: [] };

/** Every way to write a key but deletes, as clients have them. */
const WRITES: readonly (readonly [string, (node: StorageNode, key: string) => Promise<unknown>])[] =
  [
    ["put", put],
    ["batchPut", (node, key) => node.batchPut("t", [{ key, value: new Uint8Array(10) }])],
    ["applyReplica", (node, key) => {
      const write = { key, value: new Uint8Array(10), deleted: false, clock };
      return node.applyReplica("t", write, "write");
    }],
  ];

for (const [name, write] of WRITES) {
  Deno.test(`quotas: ${name} of a key too many is refused, changes nothing, and goes on after a delete [B2]`, async () => {
    const { node, engine, world } = testNode();
    await node.createTenant("t", { maxKeys: 3 });
    for (const key of ["a", "b", "c"]) await write(node, key);
    const logged = engine.log.length;
    const details = await refused(() => write(node, "d"), "keys");
    assert.deepEqual([details.limit, details.used], [3, 3]);
    assert.equal(engine.log.length, logged);
    assert.equal(node.get("t", "d"), undefined);
    // What is there already may change.
    await put(node, "a", 1000);
    await node.delete("t", { key: "b" });
    await world.clock.advance(1000);
    await write(node, "d");
    assert.equal([...node.scan("t", {})].length, 3);
    await refused(() => write(node, "b"), "keys");
    assert.equal(usageOf(node).refused, 2);
  });

  Deno.test(`quotas: ${name} of bytes too many is refused, changes nothing, and goes on after a delete [B2]`, async () => {
    const { node, engine, world } = testNode();
    await node.createTenant("t", { maxBytes: 10_000 });
    await put(node, "big", 9960);
    const logged = engine.log.length;
    const details = await refused(() => write(node, "d"), "bytes");
    assert.equal(details.limit, 10_000);
    assert.ok(details.used as number > 9900 && details.used as number <= 10_000);
    assert.equal(engine.log.length, logged);
    await node.delete("t", { key: "big" });
    await world.clock.advance(1000);
    await write(node, "d");
    assert.ok(node.get("t", "d") !== undefined);
  });
}

Deno.test("quotas: nobody is refused for values that were written over [B2]", async () => {
  const { node, engine } = testNode();
  await node.createTenant("t", { maxBytes: 20_000, maxKeys: 10 });
  // Seven eighths of the bytes, and all of the keys, many times over.
  for (let i = 0; i < 500; i++) await put(node, `k${i % 10}`, 1600 + i % 100);
  assert.equal(usageOf(node).refused, 0);
  assert.equal(engine.openCursors, 0);
});

Deno.test("quotas: no tenant is ever above its quotas, and none is refused below seven eighths [B2]", async () => {
  const step = fc.record({
    key: fc.nat(20),
    size: fc.nat(300),
    action: fc.constantFrom("put", "put", "put", "delete", "wait"),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 80 }), async (steps) => {
      const { node, world } = testNode();
      const [maxBytes, maxKeys] = [2000, 12];
      await node.createTenant("t", { maxBytes, maxKeys });
      for (const { key, size, action } of steps) {
        if (action === "wait") await world.clock.advance(60_000);
        else if (action === "delete") await node.delete("t", { key: `k${key}` });
        else await put(node, `k${key}`, size).catch((error) => assert.equal(error.code, 2008));
        const items = [...node.scan("t", {})];
        const held = items.reduce((sum, { key, result }) => {
          return sum + key.length + result.winner.value!.length;
        }, 0);
        assert.ok(held <= maxBytes && items.length <= maxKeys);
        const usage = usageOf(node);
        assert.ok(usage.bytes >= held && usage.keys >= items.length);
      }
    }),
    { numRuns: 50 },
  );
});

Deno.test("quotas: who puts and deletes in turn is not counted again and again [B2]", async () => {
  const { node, engine } = testNode();
  await node.createTenant("t", { maxKeys: 10 });
  const scan = engine.scanPending.bind(engine);
  let counts = 0;
  engine.scanPending = (...args) => {
    counts++;
    return scan(...args);
  };
  for (let i = 0; i < 500; i++) {
    const { clock } = await put(node, `k${i}`);
    const context = i % 2 === 0 ? clock : undefined;
    const idempotencyKey = i % 3 === 0 ? `the delete number ${i}` : undefined;
    await node.delete("t", { key: `k${i}`, context, idempotencyKey });
  }
  assert.equal(usageOf(node).refused, 0);
  assert.equal(counts, 1);
});

Deno.test("quotas: only a delete that leaves nothing of a key makes room, and only once [B2]", async () => {
  const { node } = testNode();
  await node.createTenant("t", { maxKeys: 3 });
  const one = await put(node, "a");
  await node.put("t", { key: "a", value: bytes("beside"), context: { entries: [], dots: [] } });
  for (const key of ["b", "c"]) await put(node, key);
  await refused(() => put(node, "d"), "keys");
  const { keys } = usageOf(node);
  // One of two values stays; a condition does not hold; there is nothing; another says what it did.
  await node.delete("t", { key: "a", context: one.clock });
  assert.equal(node.get("t", "a")!.versions.filter(({ value }) => value !== undefined).length, 1);
  await assert.rejects(node.delete("t", { key: "b", context: clock, ifContext: true }));
  await node.delete("t", { key: "none" });
  assert.ok(usageOf(node).keys >= keys);
  const again = { key: "b", idempotencyKey: "one and the same delete" };
  await node.delete("t", again);
  const left = usageOf(node).keys;
  for (let i = 0; i < 3; i++) await node.delete("t", { key: "b" });
  assert.ok(usageOf(node).keys >= left);
  await put(node, "b");
  await refused(() => put(node, "e"), "keys");
  assert.ok((await node.delete("t", again)).existed);
  await refused(() => put(node, "e"), "keys");
  assert.equal([...node.scan("t", {})].length, 3);
});

Deno.test("quotas: writers wait together for one count, and the first that fits is in [B2]", async () => {
  const { node, engine } = testNode();
  await node.createTenant("t", { maxKeys: 2 });
  await put(node, "a");
  for (let i = 0; i < 5; i++) await put(node, "a");
  engine.slow = true;
  const writes = ["b", "c", "d"].map((key) => put(node, key));
  engine.slow = false;
  const done = await Promise.allSettled(writes);
  assert.deepEqual(done.map(({ status }) => status), ["fulfilled", "rejected", "rejected"]);
});

Deno.test("quotas: writes that come at once keep to a quota, whatever of them waits for its sync [B2]", async () => {
  const { node, engine, world } = testNode();
  await node.createTenant("t", { maxKeys: 30 });
  engine.hold = true;
  let [open, taken] = [20, 0];
  for (let n = 0; n < 20; n++) {
    const items = Array.from({ length: 10 }, (_, i) => ({ key: `${n}/${i}`, value: bytes("v") }));
    void node.batchPut("t", items)
      .then(() => taken++, (error) => assert.equal(error.code, 2008))
      .finally(() => open--);
  }
  while (open > 0) {
    await world.clock.advance(1);
    engine.sync(1);
  }
  assert.equal(taken, 3);
  assert.equal([...node.scan("t", {})].length, 30);
});

Deno.test("quotas: a batch is refused whole [B2]", async () => {
  const { node } = testNode();
  await node.createTenant("t", { maxKeys: 2 });
  const items = ["a", "b", "c"].map((key) => ({ key, value: bytes(key) }));
  await refused(() => node.batchPut("t", items), "keys");
  assert.deepEqual([...node.scan("t", {})], []);
  await node.batchPut("t", items.slice(1));
});

Deno.test("quotas: values that nobody has seen together count each, by every way to write them [B2]", async () => {
  const value = new Uint8Array(1000);
  const none = { entries: [], dots: [] };
  const ways: readonly ((node: StorageNode, seen: VectorClock, i: number) => Promise<unknown>)[] = [
    (node, context) => node.put("t", { key: "k", value, context }),
    (node, context) => node.batchPut("t", [{ key: "k", value, context }]),
    (node, context, i) => {
      const clock = i % 2 === 0 ? context : none;
      const dot = { node: `other${i}`, counter: 1 };
      return node.applyReplica(
        "t",
        { key: "k", value, deleted: false, clock: addDot(clock, dot) },
        "write",
      );
    },
  ];
  for (const way of ways) {
    const { node } = testNode();
    await node.createTenant("t", { maxBytes: 5000 });
    const { clock: seen } = await put(node, "k");
    let taken = 0;
    for (let i = 0; i < 20; i++) {
      await way(node, seen, i).then(() => taken++, (error) => assert.equal(error.code, 2008));
    }
    assert.equal(taken, 4);
    // What is there already, as another node has it, adds nothing.
    for (const { clock } of node.get("t", "k")!.versions) {
      await node.applyReplica("t", { key: "k", value, deleted: false, clock }, "write");
    }
    assert.equal(node.get("t", "k")!.versions.length, 4);
    assert.ok(usageOf(node).bytes <= 5000);
    // Who has seen them all replaces them, by something of their size in sum.
    const { clock: all } = node.get("t", "k")!;
    await node.put("t", { key: "k", value: new Uint8Array(4000), context: all });
    assert.equal(node.get("t", "k")!.versions.length, 1);
  }
});

for (const strategy of ["vector_clock", "lww"]) {
  Deno.test(`quotas: a full tenant's value is written over by one of its size, with ${strategy} [B2]`, async () => {
    const { node } = testNode();
    await node.createTenant("t", { maxBytes: 5000, conflictStrategy: strategy });
    const { clock: first } = await put(node, "k", 4900);
    for (let i = 0; i < 3; i++) await put(node, "k", 4900);
    // Where the last write wins, one that has not seen the others replaces them, too.
    const stale = { key: "k", value: new Uint8Array(4900), context: first };
    if (strategy === "lww") await node.put("t", stale);
    else await refused(() => node.put("t", stale), "bytes");
  });
}

Deno.test("quotas: a key that occurs twice in a batch is one key, and has its last value's bytes [B2]", async () => {
  const { node } = testNode();
  await node.createTenant("t", { maxKeys: 1, maxBytes: 1500 });
  const twice = (key: string) => [1, 2].map(() => ({ key, value: new Uint8Array(1000) }));
  await node.batchPut("t", twice("a"));
  await node.batchPut("t", twice("a"));
  await refused(() => node.batchPut("t", [...twice("a"), ...twice("b")]), "bytes");
  await refused(() => node.batchPut("t", [{ key: "b", value: bytes("b") }]), "keys");
  assert.equal(usageOf(node).keys, 1);
});

Deno.test("quotas: keys that have expired make room within a second, as those that were deleted [B2]", async () => {
  const { node, world } = testNode();
  await node.createTenant("t", { maxKeys: 3 });
  for (const key of ["a", "b", "c"]) {
    await node.put("t", { key, value: bytes(key), ttlMs: 5000 });
  }
  const { retry_after_ms: waitMs } = await refused(() => put(node, "d"), "keys");
  assert.equal(waitMs, 5000);
  await world.clock.advance(4000);
  await refused(() => put(node, "d"), "keys");
  await world.clock.advance(1000);
  for (const key of ["d", "e", "f"]) await put(node, key);
  await refused(() => put(node, "g"), "keys");
});

Deno.test("quotas: bytes of values that have expired count no more, though no compaction has dropped them [B2]", async () => {
  const { node, world } = testNode();
  await node.createTenant("t", { maxBytes: 20_000 });
  const write = (key: string, ttlMs?: number) =>
    node.put("t", { key, value: new Uint8Array(9000), ttlMs });
  const later = (ms: number) => world.clock.advance(ms);
  for (const key of ["a", "b"]) await write(key, 10_000);
  await refused(() => write("c"), "bytes");
  await later(12_000);
  await write("c");
  // Written over they are new: they have no room to give.
  await write("a");
  await later(120_000);
  await refused(() => write("b"), "bytes");
  await refused(() => write("d"), "bytes");
  assert.deepEqual(["a", "b", "c"].map((key) => node.get("t", key) !== undefined), [
    true,
    false,
    true,
  ]);
});

Deno.test("quotas: copies from other nodes count, and are not refused [B2]", async () => {
  const { node } = testNode();
  await node.createTenant("t", { maxKeys: 1, maxRequests: 1, maxBandwidth: 1 });
  for (const key of ["a", "b", "c"]) {
    const write = { key, value: bytes(key), deleted: false, clock };
    await node.applyReplica("t", write, "repair");
    const version = { clock, dot: undefined, value: bytes(key), timestampMs: 1, expiresAtMs: 0 };
    const state = encodeVersions([version]);
    const checksum = addToChecksum(encodeKey(`${key}2`), state, 0);
    await node.replicate("t", [{ key: `${key}2`, version }], checksum);
  }
  const { keys, requests, bytesIn } = usageOf(node);
  assert.deepEqual([keys, requests], [6, 6]);
  assert.ok(bytesIn >= 9);
  await refused(() => put(node, "d"), "requests");
});

/** Every call that a rate bounds, of one request. */
const CALLS: readonly (readonly [string, (node: StorageNode) => unknown])[] = [
  ...WRITES.map(([name, write]) => [name, (node: StorageNode) => write(node, "k")] as const),
  ["get", (node) => node.get("t", "k")],
  ["read", (node) => node.read("t", "k")],
  ["delete", (node) => node.delete("t", { key: "k" })],
  ["batchGet", (node) => node.batchGet("t", ["k"])],
  ["scan", (node) => [...node.scan("t", {})]],
  ["watch", (node) => node.watch("t", { key: "k" })],
];

for (const [name, call] of CALLS) {
  Deno.test(`quotas: ${name} above the rate of requests is refused, and served after the hint [B2]`, async () => {
    const { node, engine, world } = testNode();
    await node.createTenant("t", { maxRequests: 2 });
    await call(node);
    await call(node);
    const logged = engine.log.length;
    const { limit, retry_after_ms: waitMs } = await refused(() => call(node), "requests");
    assert.deepEqual([limit, waitMs], [2, 500]);
    assert.equal(engine.log.length, logged);
    await world.clock.advance(500);
    await call(node);
    assert.deepEqual([usageOf(node).requests, usageOf(node).refused], [3, 1]);
  });

  Deno.test(`quotas: ${name} above the bandwidth is refused, and served after the hint [B2]`, async () => {
    const { node, world } = testNode();
    await node.createTenant("t", {});
    await put(node, "k", 3000);
    await node.updateTenant("t", { maxBandwidth: 1000 });
    if (name !== "scan") await node.read("t", "k");
    else await put(node, "k", 3000);
    const { limit, retry_after_ms: waitMs } = await refused(() => call(node), "bandwidth");
    assert.equal(limit, 1000);
    await world.clock.advance(waitMs as number);
    await call(node);
  });
}

Deno.test("quotas: a batch is as many requests as it has items [B2]", async () => {
  const { node, world } = testNode();
  await node.createTenant("t", { maxRequests: 10 });
  await node.batchGet("t", Array.from({ length: 30 }, (_, i) => `${i}`));
  const { retry_after_ms: waitMs } = await refused(() => node.get("t", "k"), "requests");
  assert.equal(waitMs, 2100);
  await world.clock.advance(2100);
  node.get("t", "k");
});

Deno.test("quotas: a scan keeps to the bandwidth by pausing [B2]", async () => {
  const { node, world } = testNode();
  for (let i = 0; i < 5; i++) await put(node, `k${i}`, 1000);
  await node.updateTenant("t", { maxBandwidth: 1000 });
  const scan = node.scan("t", {});
  let [shown, startMs] = [0, world.clock.monotonicMs()];
  for (;;) {
    const wait = scan.ready();
    if (wait !== undefined) {
      await world.clock.advance(1000);
      await wait;
    }
    if (scan.next().done) break;
    shown++;
  }
  assert.equal(shown, 5);
  const tookMs = world.clock.monotonicMs() - startMs;
  assert.ok(tookMs >= 4000 && tookMs <= 6000, `${tookMs} ms`);
});

Deno.test("quotas: a watch counts as a request, and keeps to the bandwidth by pausing [B2, B8]", async () => {
  const { node, world } = testNode();
  for (let i = 0; i < 5; i++) await put(node, `k${i}`, 60_000);
  await node.updateTenant("t", { maxBandwidth: 60_000, maxRequests: 1 });
  const watch = new HandWatch(node, world.clock, { initial: true });
  await refused(() => node.watch("t", {}), "requests");
  const startMs = world.clock.monotonicMs();
  let shown = 0;
  for (let lines = [""]; lines[0] !== "progress"; lines = await watch.lines()) {
    shown += lines.length;
  }
  assert.equal(shown, 1 + 5);
  const tookMs = world.clock.monotonicMs() - startMs;
  assert.ok(tookMs >= 3000 && tookMs <= 6000, `${tookMs} ms`);
  await watch.close();
});

Deno.test("quotas: changed in use they hold from then on, and one taken away holds no more [B2]", async () => {
  const { node } = testNode();
  await node.createTenant("t", { maxKeys: 1 });
  await put(node, "a");
  await refused(() => put(node, "b"), "keys");
  await node.updateTenant("t", { maxKeys: 2 });
  await put(node, "b");
  await node.updateTenant("t", { maxKeys: 1 });
  await refused(() => put(node, "c"), "keys");
  await node.updateTenant("t", { maxKeys: undefined });
  await put(node, "c");
  assert.equal(node.listTenants()[0].options.maxKeys, undefined);
});

Deno.test("quotas: another tenant's use is nobody else's, and a new one of a name begins anew [B2, T1]", async () => {
  const { node } = testNode();
  await node.createTenant("t", { maxKeys: 1 });
  await node.createTenant("u", { maxKeys: 1 });
  await put(node, "a");
  await node.put("u", { key: "a", value: bytes("v") });
  await refused(() => put(node, "b"), "keys");
  await node.dropTenant("t");
  assert.deepEqual(node.listTenants().map(({ tenant }) => tenant), ["u"]);
  await node.createTenant("t", { maxKeys: 1 });
  assert.deepEqual([usageOf(node).keys, usageOf(node).requests], [0, 0]);
  await put(node, "b");
  assert.equal(text(node.get("u", "a")?.winner.value), "v");
});

/** A node on a real engine. */
async function realNode(world: ReturnType<typeof engineWorld>): Promise<StorageNode> {
  return nodeOn(await openTestEngine(world), world);
}

Deno.test("quotas: they outlive a crash, and so does what is used [B2]", async () => {
  const world = engineWorld();
  let node = await realNode(world);
  await node.createTenant("t", { maxKeys: 40, maxBytes: 100_000 });
  for (let i = 0; i < 40; i++) await put(node, `k${i}`, 100);
  await refused(() => put(node, "more"), "keys");
  world.disk.crash("drop");
  node = await realNode(world);
  assert.deepEqual(node.listTenants()[0].options, { maxKeys: 40, maxBytes: 100_000 });
  assert.ok(usageOf(node).keys >= 40);
  await refused(() => put(node, "more"), "keys");
  await put(node, "k1", 50);
  await node.delete("t", { key: "k2" });
  await world.clock.advance(1000);
  await put(node, "more");
  await node.close();
});
