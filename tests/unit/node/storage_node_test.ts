import assert from "node:assert/strict";
import { EMPTY_CLOCK, includes, joinClocks, type VectorClock } from "../../../src/model/mod.ts";
import type { ReadTrace } from "../../../src/engine/mod.ts";
import type { ReadResult, StorageNode } from "../../../src/node/mod.ts";
import { bytes, rejectsCode, testNode, text, turn } from "../../support/node.ts";

function clock(...entries: [string, number][]): VectorClock {
  return { entries: entries.map(([node, counter]) => ({ node, counter })), dots: [] };
}

function put(node: StorageNode, key: string, value: string, context?: VectorClock) {
  return node.put("t", { key, value: bytes(value), context });
}

function valuesOf(result: ReadResult | undefined): (string | undefined)[] | undefined {
  return result?.versions.map(({ value }) => text(value));
}

Deno.test("put() then get() gives the value, its clock and where it was found", async () => {
  const { node, world } = testNode();
  const written = await put(node, "k", "v");
  assert.deepEqual(written, { clock: clock(["n1", 1]), timestampMs: world.clock.wallMs() });
  const version = { value: bytes("v"), ...written };
  assert.deepEqual(node.get("t", "k"), {
    winner: version,
    versions: [version],
    clock: clock(["n1", 1]),
    source: "memtable",
  });
  assert.equal(node.get("t", "other"), undefined);
});

Deno.test("get() names the layer that the engine read [E33]", async () => {
  const { node, engine } = testNode();
  await put(node, "k", "v");
  const get = engine.get.bind(engine);
  let found: ReadTrace["source"] = "memtable";
  engine.get = (tree, key, options) => {
    const value = get(tree, key, options);
    if (options?.trace) options.trace.source = found;
    return value;
  };
  for (
    const [source, told] of [
      ["sstable", "sstable"],
      ["cache", "cache"],
      ["shared_cache", "cache"],
      ["memtable", "memtable"],
    ] as const
  ) {
    found = source;
    assert.equal(node.get("t", "k")?.source, told);
  }
});

Deno.test("an empty value is a value", async () => {
  const { node } = testNode();
  await put(node, "k", "");
  assert.deepEqual(node.get("t", "k")?.winner.value, new Uint8Array(0));
});

Deno.test("tenants and keys that look alike do not meet", async () => {
  const { node } = testNode();
  const names = [
    "a",
    "a;",
    "a b",
    "__proto__",
    "constructor",
    "10",
    "9",
    "\ufeffa",
    "é",
    "e\u0301",
  ];
  for (const tenant of names) {
    for (const key of names) {
      await node.put(tenant, { key, value: bytes(`${tenant}|${key}`) });
    }
  }
  for (const tenant of names) {
    for (const key of names) {
      assert.equal(text(node.get(tenant, key)?.winner.value), `${tenant}|${key}`);
    }
    assert.equal([...node.scan(tenant, {})].length, names.length);
  }
});

Deno.test("a put without context replaces every sibling", async () => {
  const { node } = testNode();
  await put(node, "k", "a", EMPTY_CLOCK);
  await put(node, "k", "b", EMPTY_CLOCK);
  await put(node, "k", "c");
  assert.deepEqual(valuesOf(node.get("t", "k")), ["c"]);
});

Deno.test("concurrent versions all come back, the latest first, until a write has seen them", async () => {
  const { node, world } = testNode();
  const a = await put(node, "k", "a", EMPTY_CLOCK);
  await world.clock.advance(5);
  const b = await put(node, "k", "b", EMPTY_CLOCK);
  const read = node.get("t", "k")!;
  assert.deepEqual(valuesOf(read), ["b", "a"]);
  assert.equal(read.winner, read.versions[0]);
  assert.deepEqual(read.clock, joinClocks(a.clock, b.clock));
  // The answer of a put has seen only that put: replaying it must not overwrite the sibling.
  await put(node, "k", "b2", b.clock);
  assert.deepEqual(valuesOf(node.get("t", "k"))?.sort(), ["a", "b2"]);
  await put(node, "k", "merged", node.get("t", "k")!.clock);
  assert.deepEqual(valuesOf(node.get("t", "k")), ["merged"]);
});

Deno.test("two puts of one tick build on each other: the second dominates the first", async () => {
  const { node, engine } = testNode();
  await node.createTenant("t");
  engine.hold = true;
  const both = [put(node, "k", "first"), put(node, "k", "second")];
  assert.equal(engine.waiting, 2, "neither waited for the other");
  assert.equal(node.get("t", "k"), undefined, "nothing is shown before its sync");
  engine.sync(1);
  const first = await both[0];
  assert.equal(text(node.get("t", "k")?.winner.value), "first");
  engine.sync();
  const second = await both[1];
  assert.deepEqual(first.clock, clock(["n1", 1]));
  assert.deepEqual(second.clock, clock(["n1", 2]));
  assert.deepEqual(valuesOf(node.get("t", "k")), ["second"]);
});

Deno.test("two puts of one tick with one context are siblings with different counters", async () => {
  const { node } = testNode();
  const { clock: context } = await put(node, "k", "base");
  const [a, b] = await Promise.all([put(node, "k", "a", context), put(node, "k", "b", context)]);
  assert.ok(!includes(a.clock, b.clock) && !includes(b.clock, a.clock));
  assert.deepEqual(valuesOf(node.get("t", "k"))?.sort(), ["a", "b"]);
});

Deno.test("a poisoned log fails the puts that wait and all that come, and reads go on", async () => {
  const { node, engine } = testNode();
  await node.createTenant("t");
  engine.hold = true;
  const good = put(node, "k", "good");
  engine.sync();
  await good;
  const failing = put(node, "k", "lost");
  engine.poison(new Error("fsync failed"));
  await rejectsCode(() => failing, 2004);
  await rejectsCode(() => put(node, "k", "late"), 2004);
  assert.deepEqual(valuesOf(node.get("t", "k")), ["good"]);
  assert.equal(node.health().status, "unhealthy");
});

Deno.test("writers wait while the engine holds them back, then build on each other", async () => {
  const { node, engine } = testNode();
  await put(node, "k", "v");
  const release = engine.stall();
  const replica = { key: "k", value: bytes("far"), deleted: false, clock: clock(["n2", 1]) };
  const writes = [
    put(node, "k", "a"),
    node.batchPut("t", [{ key: "k", value: bytes("b") }]),
    node.delete("t", { key: "k" }),
    put(node, "k", "c"),
    node.applyReplica("t", replica, "write"),
  ];
  await turn();
  assert.equal(engine.log.length, 1);
  assert.deepEqual(valuesOf(node.get("t", "k")), ["v"], "reads go on");
  release();
  await Promise.all(writes);
  assert.equal(engine.log.length, 6);
  assert.deepEqual(valuesOf(node.get("t", "k"))?.sort(), ["c", "far"]);
  assert.deepEqual(node.get("t", "k")!.clock, clock(["n1", 5], ["n2", 1]));
});

Deno.test("a writer that waits when the node closes, or its tenant goes, is answered", async () => {
  const { node, engine } = testNode();
  await put(node, "k", "v");
  const release = engine.stall();
  const deleting = node.delete("t", { key: "k" });
  await node.dropTenant("t");
  const waiting = put(node, "k", "late");
  const closed = assert.rejects(waiting, { code: 2001 });
  await turn();
  const closing = node.close();
  release();
  await Promise.all([closed, closing, assert.rejects(deleting, { code: 2001 })]);
});

Deno.test("a writer that is held back for ten seconds is refused, though nothing of what it waits for ends (2008)", async () => {
  const { node, engine, world } = testNode();
  await put(node, "k", "v");
  const release = engine.stall();
  const refused = put(node, "k", "first").then(() => undefined, (error) => error);
  await world.clock.advance(5000);
  const later = put(node, "k", "second");
  await world.clock.advance(4999);
  const told = () => Promise.race([refused, turn().then(() => "it waits")]);
  assert.equal(await told(), "it waits");
  await world.clock.advance(1);
  const { code, details } = await refused;
  assert.deepEqual([code, details], [2008, { reason: "write_stall", held_ms: 10_000 }]);
  release();
  await later;
  assert.deepEqual(valuesOf(node.get("t", "k")), ["second"]);
  assert.equal(world.clock.pendingCount, 0, "no timer of a writer is left");
});

Deno.test("a writer that may go on at the last moment is let in", async () => {
  const { node, engine, world } = testNode();
  await put(node, "k", "v");
  const release = engine.stall();
  const written = put(node, "k", "late");
  await turn();
  world.clock.after(9_999.5, release);
  await world.clock.advance(10_000);
  await written;
  assert.deepEqual(valuesOf(node.get("t", "k")), ["late"]);
});

Deno.test("stamps never run backwards, even when the wall clock does", async () => {
  const { node, world } = testNode();
  const first = await put(node, "k", "a");
  world.clock.jumpWall(-3_600_000);
  const second = await put(node, "k", "b", EMPTY_CLOCK);
  assert.equal(second.timestampMs, first.timestampMs);
  world.clock.jumpWall(7_200_000);
  const third = await put(node, "other", "c");
  assert.equal(third.timestampMs, first.timestampMs + 3_600_000);
});

Deno.test("delete() tells whether there was a value, and the key is gone [E35]", async () => {
  const { node, engine } = testNode();
  await put(node, "k", "v");
  const deleted = await node.delete("t", { key: "k" });
  assert.equal(deleted.existed, true);
  assert.deepEqual(deleted.clock, clock(["n1", 2]));
  assert.equal(node.get("t", "k"), undefined);
  assert.equal((await node.delete("t", { key: "k" })).existed, false);
  assert.deepEqual(engine.log.map(({ tag }) => tag), ["write", "delete", "delete"]);
  assert.deepEqual((await put(node, "k", "again")).clock, clock(["n1", 4]));
  assert.deepEqual(valuesOf(node.get("t", "k")), ["again"]);
});

Deno.test("delete() of a key without any version writes nothing and makes no tenant", async () => {
  const { node, engine } = testNode();
  const deleted = await node.delete("t", { key: "k" });
  assert.deepEqual([deleted.existed, deleted.clock], [false, EMPTY_CLOCK]);
  assert.deepEqual(node.listTenants(), []);
  await put(node, "other", "v");
  const before = engine.log.length;
  assert.equal((await node.delete("t", { key: "k", context: clock(["x", 3]) })).existed, false);
  assert.equal(engine.log.length, before);
});

Deno.test("a delete covers only what its context has seen, and is shown beside what it has not", async () => {
  const { node, world } = testNode();
  const a = await put(node, "k", "a", EMPTY_CLOCK);
  await put(node, "k", "b", EMPTY_CLOCK);
  await world.clock.advance(5);
  const deleted = await node.delete("t", { key: "k", context: a.clock });
  assert.equal(deleted.existed, true);
  const read = node.get("t", "k")!;
  // The delete is later, yet a value is shown first.
  assert.deepEqual(valuesOf(read), ["b", undefined]);
  assert.equal(text(read.winner.value), "b");
  assert.ok(includes(read.clock, deleted.clock));
});

Deno.test("a value with a TTL reads as deleted from its expiry on", async () => {
  const { node, world } = testNode();
  await node.put("t", { key: "k", value: bytes("v"), ttlMs: 100 });
  await node.put("t", { key: "stays", value: bytes("v"), ttlMs: 0 });
  await world.clock.advance(99);
  assert.deepEqual(valuesOf(node.get("t", "k")), ["v"]);
  await world.clock.advance(1);
  assert.equal(node.get("t", "k"), undefined);
  assert.deepEqual([...node.scan("t", {})].map(({ key }) => key), ["stays"]);
  assert.equal((await node.delete("t", { key: "k" })).existed, false);
});

Deno.test("an expired version beside a live one is shown as a delete", async () => {
  const { node, world } = testNode();
  await put(node, "k", "stays", EMPTY_CLOCK);
  await world.clock.advance(1);
  await node.put("t", { key: "k", value: bytes("goes"), context: EMPTY_CLOCK, ttlMs: 10 });
  assert.deepEqual(valuesOf(node.get("t", "k")), ["goes", "stays"]);
  await world.clock.advance(10);
  assert.deepEqual(valuesOf(node.get("t", "k")), ["stays", undefined]);
});

Deno.test("the log warns once when a key gets to 25 siblings, without naming it", async () => {
  const { node, world } = testNode();
  for (let i = 0; i < 30; i++) await put(node, "secret", `v${i}`, EMPTY_CLOCK);
  const warnings = world.log.named("node.many_siblings");
  assert.deepEqual(warnings.map(({ level, fields }) => ({ level, fields })), [
    { level: "warn", fields: { tenant: "t", siblings: 25 } },
  ]);
});

Deno.test("the 101st sibling is refused (2008) and a write that has read is taken", async () => {
  const { node, engine } = testNode();
  for (let i = 0; i < 100; i++) await put(node, "k", `v${i}`, EMPTY_CLOCK);
  const before = engine.log.length;
  await rejectsCode(() => put(node, "k", "one more", EMPTY_CLOCK), 2008);
  const foreign = { key: "k", value: bytes("x"), deleted: false, clock: clock(["n2", 1]) };
  await rejectsCode(() => node.applyReplica("t", foreign, "write"), 2008);
  await rejectsCode(() => node.applyReplica("t", foreign, "repair"), 2008);
  assert.equal(engine.log.length, before);
  assert.equal(node.get("t", "k")!.versions.length, 100);
  await put(node, "k", "merged", node.get("t", "k")!.clock);
  assert.deepEqual(valuesOf(node.get("t", "k")), ["merged"]);
});

Deno.test("close() closes the engine once; then every call is refused (2001)", async () => {
  const { node, engine } = testNode();
  await put(node, "k", "v");
  await Promise.all([node.close(), node.close()]);
  assert.ok(engine.closed);
  await rejectsCode(() => node.get("t", "k"), 2001);
  await rejectsCode(() => put(node, "k", "v"), 2001);
  await rejectsCode(() => node.delete("t", { key: "k" }), 2001);
  await rejectsCode(() => node.scan("t", {}), 2001);
  await rejectsCode(() => node.batchGet("t", ["k"]), 2001);
  await rejectsCode(() => node.listTenants(), 2001);
  await rejectsCode(() => node.flush(), 2001);
});

Deno.test("flush() and compact() reach one tenant's tree or all", async () => {
  const { node, engine } = testNode();
  await put(node, "k", "v");
  await node.flush("t");
  await node.flush();
  await node.compact("t");
  await node.compact();
  assert.deepEqual(engine.maintenance, ["flush t", "flush *", "compact t", "compact *"]);
  await rejectsCode(() => node.flush("nobody"), 1004);
  await rejectsCode(() => node.compact("nobody"), 1004);
});

Deno.test("what has expired does not come back when the wall clock is set back", async () => {
  const { node, world } = testNode();
  await node.put("t", { key: "k", value: bytes("v"), ttlMs: 100 });
  await world.clock.advance(100);
  assert.equal(node.get("t", "k"), undefined);
  world.clock.jumpWall(-3_600_000);
  assert.equal(node.get("t", "k"), undefined);
  assert.equal(await node.read("t", "k"), undefined);
  assert.deepEqual(await node.batchGet("t", ["k"]), [undefined]);
  assert.deepEqual([...node.scan("t", {})], []);
});
