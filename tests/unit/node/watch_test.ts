import assert from "node:assert/strict";
import type { WatchInput } from "../../../src/node/mod.ts";
import { bytes, rejectsCode, type TestNode, testNode, turn } from "../../support/node.ts";
import { HandWatch, lineOf } from "../../support/watch.ts";

const LIMITS = { maxWatchers: 3, historySize: 10_000, lingerMs: 60_000 };

function testWatch(input: WatchInput = {}, it: TestNode = testNode({ watch: LIMITS })) {
  const watch = new HandWatch(it.node, it.world.clock, input);
  return { ...it, watch, put: (key: string, value = key) => put(it, key, value) };
}

async function put({ node }: TestNode, key: string, value = key): Promise<void> {
  await node.put("t", { key, value: bytes(value) });
}

Deno.test("a watch tells of puts and deletes of its tenant, from when it has begun [B8]", async () => {
  const { node, watch, put } = testWatch();
  await put("before");
  assert.deepEqual(await watch.lines(), ["progress"]);
  assert.ok(await watch.quiet());
  await put("k", "1");
  await node.put("u", { key: "k", value: bytes("other's") });
  assert.deepEqual(await watch.lines(), ["put k=1"]);
  const written = await node.put("t", { key: "k", value: bytes("2") });
  const [event] = (await watch.events())!;
  assert.equal(lineOf(event), "put k=2");
  assert.deepEqual(event.clock, written.clock);
  assert.equal(event.timestampMs, written.timestampMs);
  const deleted = await node.delete("t", { key: "k" });
  const [gone] = (await watch.events())!;
  assert.equal(lineOf(gone), "delete k");
  assert.deepEqual(gone.clock, deleted.clock);
  // Each write of a key, not its last state alone.
  await node.batchPut("t", [
    { key: "b", value: bytes("1") },
    { key: "a", value: bytes("1") },
  ]);
  await put("a", "2");
  assert.deepEqual(await watch.lines(), ["put b=1", "put a=1", "put a=2"]);
  await watch.close();
});

for (
  const [input, seen] of [
    [{ key: "b" }, ["b"]],
    [{ prefix: "b" }, ["b", "ba", "b\u{10ffff}"]],
    [{ start: "b", end: "ba" }, ["b"]],
    [{ start: "ba" }, ["ba", "b\u{10ffff}", "c", "é"]],
    [{ end: "b" }, ["a"]],
    [{ prefix: "b", start: "ba", end: "bb" }, ["ba"]],
    [{ start: "c", end: "b" }, []],
    [{}, ["a", "b", "ba", "b\u{10ffff}", "c", "é"]],
  ] as const
) {
  Deno.test(`a watch of ${JSON.stringify(input)} tells of the keys in there, and of no other [B8]`, async () => {
    const it = testNode();
    for (const initial of [false, true]) {
      const watch = new HandWatch(it.node, it.world.clock, { ...input, initial });
      const keys = new Set<string>();
      for (let lines = [""]; !lines.includes("progress");) {
        const events = (await watch.events())!;
        lines = events.map(lineOf);
        for (const { key } of events) if (key !== "") keys.add(key);
      }
      assert.deepEqual([...keys].sort(), initial ? seen : []);
      for (const key of ["a", "b", "ba", "b\u{10ffff}", "c", "é"]) await put(it, key);
      keys.clear();
      while (keys.size < seen.length) for (const { key } of (await watch.events())!) keys.add(key);
      assert.deepEqual([...keys].sort(), seen);
      assert.ok(await watch.quiet());
      await watch.close();
    }
  });
}

Deno.test("nothing is told before it is durable, and a watch has begun when it misses nothing [B8]", async () => {
  const { engine, watch, put } = testWatch();
  await put("k");
  engine.hold = true;
  const early = put("early");
  // What it cannot tell of would come to light behind its back.
  assert.ok(await watch.quiet());
  engine.sync();
  await early;
  assert.deepEqual(await watch.lines(), ["progress"]);
  const done = put("k", "2");
  assert.ok(await watch.quiet());
  engine.sync();
  await done;
  assert.deepEqual(await watch.lines(), ["put k=2"]);
  await watch.close();
});

Deno.test("a version of another node is told of as the state that it makes [B8]", async () => {
  const { node, watch, put } = testWatch();
  assert.deepEqual(await watch.lines(), ["progress"]);
  await put("k", "ours");
  const clock = { entries: [{ node: "n2", counter: 1 }], dots: [] };
  const write = { key: "k", value: bytes("theirs"), deleted: false, clock, timestampMs: 5 };
  await node.applyReplica("t", write, "repair");
  assert.deepEqual(await watch.lines(), ["put k=ours", "put k=ours|theirs"]);
  await watch.close();
});

Deno.test("a value tells when it expires, and one that has expired reads as deleted [B8]", async () => {
  const { node, world, watch } = testWatch();
  await watch.lines();
  const expiresAtMs = world.clock.wallMs() + 1000;
  await node.put("t", { key: "k", value: bytes("v"), ttlMs: 1000 });
  const [event] = (await watch.events())!;
  assert.deepEqual([lineOf(event), event.expiresAtMs], ["put k=v", expiresAtMs]);
  await node.put("t", { key: "k", value: bytes("v"), ttlMs: 1000 });
  await world.clock.advance(1001);
  assert.deepEqual(await watch.lines(), ["delete k"]);
  await watch.close();
});

Deno.test("a later watch goes on behind a token, without a gap and without anything twice [B8]", async () => {
  const { node, world, watch, put } = testWatch();
  await watch.lines();
  for (const key of ["a", "b", "c"]) await put(key);
  const events = (await watch.events())!;
  await watch.close();
  await put("d");
  for (const [i, { token }] of events.entries()) {
    const again = new HandWatch(node, world.clock, { token, initial: true });
    assert.deepEqual(await again.lines(), ["progress"]);
    assert.equal(again.token, token);
    assert.deepEqual(
      await again.lines(),
      ["put a=a", "put b=b", "put c=c", "put d=d"].slice(i + 1),
    );
    await again.close();
  }
});

Deno.test("progress comes while nothing else does, with a token to go on from [B8]", async () => {
  const { node, world, watch, put } = testWatch({ key: "k", progressMs: 200 });
  await watch.lines();
  const from = world.clock.monotonicMs();
  for (let i = 0; i < 50; i++) {
    await put(`other ${i}`, "x".repeat(1000));
    assert.ok(await watch.quiet());
    await world.clock.advance(5 / 2);
  }
  assert.deepEqual(await watch.lines(), ["progress"]);
  assert.deepEqual(await watch.lines(), ["progress"]);
  assert.equal(world.clock.monotonicMs() - from, 400);
  await watch.close();
  // All that was forgotten was before it.
  const again = new HandWatch(node, world.clock, { token: watch.token });
  assert.deepEqual(await again.lines(), ["progress"]);
  await again.close();
});

Deno.test("a token that is too old, or of another life, gives a gap [B8]", async () => {
  const it = testNode({ watch: LIMITS });
  const { node, world, watch, put } = testWatch({}, it);
  await watch.lines();
  await put("k");
  await watch.lines();
  const { token } = watch;
  for (let i = 0; i < 50; i++) await put(`k${i}`, "x".repeat(1000));
  const old = new HandWatch(node, world.clock, { token });
  assert.deepEqual(await old.lines(), ["gap expired"]);
  assert.deepEqual(await old.lines(), ["progress"]);
  assert.ok(await old.quiet());
  await put("k", "2");
  assert.deepEqual(await old.lines(), ["put k=2"]);
  await old.close();
  await watch.close();

  const other = testNode();
  const elsewhere = new HandWatch(other.node, other.world.clock, { token });
  assert.deepEqual(await elsewhere.lines(), ["gap unknown"]);
  await elsewhere.close();
  const otherTenant = new HandWatch(node, world.clock, { token }, "u");
  assert.deepEqual(await otherTenant.lines(), ["gap unknown"]);
  await otherTenant.close();
  assert.equal(node.status().counters.watchGaps, 2);
});

Deno.test("a watcher that is too slow is told of the gap, and goes on [B8]", async () => {
  const { node, watch, put } = testWatch({ prefix: "k" });
  await watch.lines();
  await put("k0");
  for (let i = 0; i < 50; i++) await put("other", "x".repeat(1000));
  await put("k1");
  assert.deepEqual(await watch.lines(), ["gap overrun"]);
  await put("k2");
  assert.deepEqual(await watch.lines(), ["progress"]);
  assert.deepEqual(await watch.lines(), ["put k2=k2"]);
  await watch.close();
  const { watchers, watchGaps, watchEvents, watchHistoryBytes } = node.status().counters;
  assert.deepEqual([watchers, watchGaps, watchEvents], [0, 1, 1]);
  assert.ok(watchHistoryBytes > 0 && watchHistoryBytes <= LIMITS.historySize);
});

Deno.test("a burst that is forgotten before anybody could be woken is a gap [B8]", async () => {
  const { world, watch, put } = testWatch({ key: "k" });
  await watch.lines();
  assert.ok(await watch.quiet());
  await put("woken at once");
  assert.ok(await watch.quiet());
  await put("k");
  for (let i = 0; i < 50; i++) await put("other", "x".repeat(1000));
  const from = world.clock.monotonicMs();
  assert.deepEqual(await watch.lines(), ["gap overrun"]);
  assert.ok(world.clock.monotonicMs() - from <= 5);
  await watch.close();
});

Deno.test("watchers of other keys sleep on; each is woken when its own key is visible [B8]", async () => {
  const it = testNode({ watch: LIMITS });
  const { engine, node, world } = it;
  await put(it, "k");
  const keys = ["a", "b"];
  const watches = keys.map((key) => new HandWatch(node, world.clock, { key }));
  const idle = new HandWatch(node, world.clock, { key: "idle" });
  for (const watch of [...watches, idle]) {
    await watch.lines();
    assert.ok(await watch.quiet());
  }
  await world.clock.advance(5);
  engine.hold = true;
  const writes = keys.map((key) => put(it, key));
  for (const [i, watch] of watches.entries()) {
    engine.sync(1);
    await world.clock.advance(5);
    for (const later of watches.slice(i + 1)) assert.ok(await later.quiet());
    const from = world.clock.monotonicMs();
    assert.deepEqual(await watch.lines(), [`put ${keys[i]}=${keys[i]}`]);
    assert.equal(world.clock.monotonicMs(), from, "not by its own patience");
    assert.ok(await watch.quiet());
  }
  await Promise.all(writes);
  assert.ok(await idle.quiet());
  for (const watch of [...watches, idle]) await watch.close();
});

Deno.test("a change larger than what is kept is a gap, once it is visible [B8]", async () => {
  const { engine, watch, put } = testWatch();
  await put("k");
  await watch.lines();
  engine.hold = true;
  const done = put("k", "x".repeat(20_000));
  assert.ok(await watch.quiet(), "who reads now does not see it");
  engine.sync();
  await done;
  assert.deepEqual(await watch.lines(), ["gap overrun"]);
  await watch.close();
});

Deno.test("with initial, a watch begins with what is there, and again after a gap [B8]", async () => {
  const { engine, node, watch, put, world } = testWatch({ initial: true });
  await put("a");
  await put("b");
  await node.delete("t", { key: "b" });
  assert.deepEqual(await watch.lines(), ["initial a=a"]);
  await put("a", "2");
  assert.deepEqual(await watch.lines(), ["progress"]);
  assert.deepEqual(await watch.lines(), ["put a=2"]);
  for (let i = 0; i < 50; i++) await put("a", "x".repeat(1000));
  const [gap] = (await watch.events())!;
  assert.deepEqual([lineOf(gap), gap.token], ["gap overrun", ""]);
  // Of the moment that it goes on from, not of that of the gap.
  await put("a", "3");
  const [initial] = (await watch.events())!;
  assert.deepEqual([lineOf(initial), initial.token], ["initial a=3", ""]);
  assert.deepEqual(await watch.lines(), ["progress"]);
  assert.ok(await watch.quiet());
  await watch.close();
  assert.equal(engine.openCursors, 0);
  const stale = new HandWatch(node, world.clock, { initial: true, token: "A".repeat(22) });
  assert.deepEqual(await stale.lines(), ["gap unknown"]);
  assert.deepEqual(await stale.lines(), ["initial a=3"]);
  await stale.close();
  assert.equal(engine.openCursors, 0, "one that leaves within");
});

Deno.test("a watch may wait for its tenant; when that is dropped, it ends [B8]", async () => {
  const { node, watch, put } = testWatch();
  assert.deepEqual(await watch.lines(), ["progress"]);
  await put("k");
  assert.deepEqual(await watch.lines(), ["put k=k"]);
  assert.ok(await watch.quiet());
  await node.dropTenant("t");
  await rejectsCode(() => watch.events(), 1004);
  await put("k");
  assert.equal(node.status().counters.watchers, 0);
  assert.equal(node.status().counters.watchHistoryBytes, 0);
});

Deno.test("a watch ends when its client leaves, and when the node closes [B8]", async () => {
  const { node, world, watch } = testWatch();
  const left = new HandWatch(node, world.clock);
  await left.lines();
  await watch.lines();
  assert.ok(await left.quiet());
  assert.equal(node.status().counters.watchers, 2);
  await left.close();
  assert.equal(node.status().counters.watchers, 1);
  assert.ok(await watch.quiet());
  assert.equal(world.clock.pendingCount, 1, "its progress");
  const late = node.watch("t", {});
  await node.close();
  await rejectsCode(() => watch.events(), 2001);
  await rejectsCode(() => late.next(), 2001);
  await turn();
  assert.equal(world.clock.pendingCount, 0);
});

Deno.test("there are so many watches at once, and of tenants that were watched so many are kept [B8]", async () => {
  const { node, world } = testNode({ watch: LIMITS });
  const watches = Array.from({ length: 3 }, () => new HandWatch(node, world.clock));
  for (const watch of watches) await watch.lines();
  await assert.rejects(() => new HandWatch(node, world.clock).events(), {
    code: 2008,
    details: { reason: "watches", limit: 3 },
  });
  for (const watch of watches) await watch.close();
  const tokens: string[] = [];
  for (let i = 0; i < 5; i++) {
    const watch = new HandWatch(node, world.clock, {}, `t${i}`);
    await watch.lines();
    tokens.push(watch.token);
    await watch.close();
    await world.clock.advance(1);
  }
  const lines: string[] = [];
  for (const [i, token] of tokens.entries()) {
    const watch = new HandWatch(node, world.clock, { token }, `t${i}`);
    lines.push(...await watch.lines());
    await watch.close();
    if (i === 1) break;
  }
  assert.deepEqual(lines, ["gap unknown", "gap unknown"]);
});

Deno.test("what nobody watches any more is kept for a while, then dropped [B8]", async () => {
  const it = testNode({ watch: LIMITS });
  const { node, world, watch, put } = testWatch({}, it);
  await watch.lines();
  await watch.close();
  await world.clock.advance(LIMITS.lingerMs);
  await put("k");
  assert.ok(node.status().counters.watchHistoryBytes > 0);
  await world.clock.advance(1);
  await put("k");
  assert.equal(node.status().counters.watchHistoryBytes, 0);
  const again = new HandWatch(node, world.clock, { token: watch.token });
  assert.deepEqual(await again.lines(), ["gap unknown"]);
  await again.close();
});

Deno.test("bad input is refused before anything has begun [B8]", async () => {
  const { node } = testNode({ tenantAutoCreate: false });
  const refused = (input: WatchInput, code = 1000, tenant = "t") =>
    rejectsCode(() => node.watch(tenant, input), code);
  await node.createTenant("t");
  await refused({}, 1004, "");
  await refused({}, 1004, "none");
  await refused({ key: "\n" }, 1005);
  await refused({ key: "k".repeat(1025) }, 1002);
  await refused({ prefix: "k".repeat(1025) }, 1002);
  await refused({ key: "k", prefix: "k" });
  await refused({ key: "k", start: "k" });
  await refused({ key: "k", end: "k" });
  await refused({ token: "x" });
  await refused({ token: "=".repeat(22) });
  for (const progressMs of [1, 99, -1, 3_600_001, Infinity]) {
    await refused({ progressMs });
  }
  assert.equal(node.status().counters.watchers, 0);
});
