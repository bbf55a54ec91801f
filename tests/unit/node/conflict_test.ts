/**
 * Conflict strategies through a node: writes, reads, batches, conditions, idempotency keys, watches, explain,
 * quotas; two nodes that hand each other what they have; and what is refused, with nothing changed.
 */
import assert from "node:assert/strict";
import { CONFLICT_STRATEGIES, HLC_SKEW_MS } from "../../../src/model/mod.ts";
import type { StorageNode, TransferEntry } from "../../../src/node/mod.ts";
import { bytes, rejectsCode, type TestNode, testNode, text } from "../../support/node.ts";
import { checksumOf } from "../../support/transfer.ts";

async function typed(conflictStrategy: string, nodeId = "n1"): Promise<TestNode> {
  const made = testNode({ nodeId });
  await made.node.createTenant("t", { conflictStrategy });
  return made;
}

function put(node: StorageNode, value: string, key = "k") {
  return node.put("t", { key, value: bytes(value) });
}

function shown(node: StorageNode, key = "k"): string | undefined {
  const found = node.get("t", key);
  assert.ok(found === undefined || found.versions.length === 1, "there are no siblings");
  return text(found?.winner.value);
}

async function entriesOf(node: StorageNode): Promise<readonly TransferEntry[]> {
  const entries: TransferEntry[] = [];
  for await (const batch of node.streamKeys("t", {})) entries.push(...batch.entries);
  return entries;
}

/** Hands all that a node has to another. */
async function copy(from: StorageNode, to: StorageNode): Promise<number> {
  const entries = await entriesOf(from);
  return (await to.replicate("t", entries, checksumOf(entries))).applied;
}

/** What each node of a pair is sent, and what both show in the end. */
const CASES: readonly {
  readonly strategy: string;
  readonly first: string;
  readonly here: string;
  readonly there: string;
  readonly both: string;
  /** After a delete here, at once with another `there`. */
  readonly afterDelete: string;
}[] = [
  {
    strategy: "merge:counter",
    first: "5",
    here: "+2",
    there: "-10",
    both: "-3",
    afterDelete: "-10",
  },
  {
    strategy: "merge:gset",
    first: '["a"]',
    here: '{"add":["b"]}',
    there: '["c"]',
    both: '["a","b","c"]',
    afterDelete: '["c"]',
  },
  {
    strategy: "merge:orset",
    first: '["a","b"]',
    here: '{"remove":["a","b"]}',
    there: '["a","c"]',
    both: '["a","c"]',
    afterDelete: '["a","c"]',
  },
  {
    strategy: "merge:map",
    first: '{"a":1,"b":1}',
    here: '{"a":2,"b":null}',
    there: '{"c":{"d":[]}}',
    both: '{"a":2,"c":{"d":[]}}',
    afterDelete: '{"c":{"d":[]}}',
  },
  // Its writer had seen the 5: what it asserts is 5.
  { strategy: "merge:max", first: "5", here: "7.5", there: "3", both: "7.5", afterDelete: "7.5" },
  { strategy: "merge:min", first: "5", here: "7.5", there: "3", both: "3", afterDelete: "3" },
  {
    strategy: "lww",
    first: "5",
    here: "here",
    there: "there",
    both: "there",
    afterDelete: "there",
  },
];

for (const { strategy, first, here, there, both, afterDelete } of CASES) {
  Deno.test(`${strategy}: two nodes that wrote at once agree once they have handed each other all`, async () => {
    const a = (await typed(strategy, "a")).node;
    const b = (await typed(strategy, "b")).node;
    await put(a, first);
    await copy(a, b);
    const [one, two] = [await put(a, here), await put(b, there)];
    assert.ok(one.clock.entries.length > 0 && two.clock.entries.length > 0);
    assert.equal(await copy(a, b), 1);
    assert.equal(await copy(b, a), 1);
    for (const node of [a, b]) {
      assert.equal(shown(node), both);
      assert.deepEqual([...node.scan("t", {})].map(({ result }) => text(result.winner.value)), [
        both,
      ]);
      assert.deepEqual(
        (await node.batchGet("t", ["k", "none"])).map((found) => text(found?.winner.value)),
        [both, undefined],
      );
    }
    assert.deepEqual(await entriesOf(a), await entriesOf(b));
    // Once more changes nothing.
    assert.equal(await copy(a, b), 0);

    assert.equal((await a.delete("t", { key: "k" })).existed, true);
    assert.equal(shown(a), undefined);
    assert.equal((await a.delete("t", { key: "k" })).existed, false);
    await put(b, there);
    await copy(a, b);
    await copy(b, a);
    for (const node of [a, b]) assert.equal(shown(node), afterDelete);
    await a.delete("t", { key: "k" });
    await copy(a, b);
    for (const node of [a, b]) {
      assert.equal(shown(node), undefined);
      assert.deepEqual([...node.scan("t", {})], []);
      assert.equal((await node.explain("t", "k")).state, "deleted");
    }
  });
}

Deno.test("lww: a later delete hides a concurrent value, and the later of two values wins by time, then node", async () => {
  const [a, b] = [await typed("lww", "a"), await typed("lww", "b")];
  await put(a.node, "a");
  b.world.clock.jumpWall(1000);
  await put(b.node, "b");
  await b.node.delete("t", { key: "k" });
  await copy(b.node, a.node);
  assert.equal(shown(a.node), undefined);
  assert.equal((await a.node.explain("t", "k")).state, "deleted");
  // It goes on from the later stamp, though its own clock is behind.
  const { timestampMs } = await put(a.node, "again");
  assert.equal(timestampMs, b.world.clock.wallMs());
  assert.equal(shown(a.node), "again");
  // Without a value it may be written on that condition.
  await b.node.put("t", { key: "k", value: bytes("new"), ifContext: true });
  await copy(b.node, a.node);
  assert.equal(shown(a.node), "new");
});

Deno.test("a version that is stamped too far ahead is refused (1000), and changes nothing", async () => {
  for (const strategy of ["lww", "merge:max"]) {
    const [a, b] = [await typed(strategy, "a"), await typed(strategy, "b")];
    b.world.clock.jumpWall(HLC_SKEW_MS + 1);
    await put(b.node, "5");
    const logged = a.engine.log.length;
    await rejectsCode(() => copy(b.node, a.node), 1000);
    const [{ version }] = await entriesOf(b.node);
    const replica = { key: "k", deleted: false, ...version };
    await rejectsCode(() => a.node.applyReplica("t", replica, "repair"), 1000);
    assert.equal(a.engine.log.length, logged);
    assert.equal(shown(a.node), undefined);
    a.world.clock.jumpWall(1);
    await a.node.applyReplica("t", replica, "repair");
    assert.equal(shown(a.node), "5");
  }
});

Deno.test("a value that is no state of the tenant's type is refused from other nodes (1000)", async () => {
  const { node, engine } = await typed("merge:counter");
  const clock = { entries: [{ node: "n2", counter: 1 }], dots: [] };
  const replica = { key: "k", value: bytes("+5"), deleted: false, clock };
  const logged = engine.log.length;
  for (const origin of ["write", "repair"] as const) {
    await rejectsCode(() => node.applyReplica("t", replica, origin), 1000);
  }
  const version = { clock, dot: undefined, value: bytes("+5"), timestampMs: 0, expiresAtMs: 0 };
  const entries = [{ key: "k", version }];
  await rejectsCode(() => node.replicate("t", entries, checksumOf(entries)), 1000);
  assert.equal(engine.log.length, logged);
  // A bare delete is one.
  await node.applyReplica("t", { key: "k", value: undefined, deleted: true, clock }, "delete");
  assert.equal(shown(node), undefined);
});

Deno.test("a bare delete with the clock of one that has left something changes nothing", async () => {
  const a = (await typed("merge:counter", "a")).node;
  const b = (await typed("merge:counter", "b")).node;
  await put(a, "5");
  await copy(a, b);
  const { clock, timestampMs } = await a.delete("t", { key: "k" });
  const bare = { key: "k", value: undefined, deleted: true, clock };
  for (const stamp of [undefined, timestampMs, timestampMs + 9]) {
    await a.applyReplica("t", { ...bare, timestampMs: stamp }, "repair");
  }
  // What the delete has left comes after the bare one: it says more.
  await put(b, "+3");
  await b.applyReplica("t", { ...bare, timestampMs }, "repair");
  assert.equal(shown(b), "8");
  await copy(a, b);
  await copy(b, a);
  assert.deepEqual([shown(a), shown(b)], ["3", "3"]);
});

Deno.test("what a tenant's type cannot take is refused (1000), and changes nothing", async () => {
  const bad = {
    "merge:counter": "x",
    "merge:gset": '{"remove":["a"]}',
    "merge:map": "[]",
    "merge:max": "",
  };
  for (const [strategy, value] of Object.entries(bad)) {
    const { node, engine } = await typed(strategy);
    const logged = engine.log.length;
    await rejectsCode(() => put(node, value), 1000);
    const good = {
      "merge:counter": "1",
      "merge:gset": "[]",
      "merge:map": "{}",
      "merge:max": "1",
    }[strategy]!;
    const items = [{ key: "a", value: bytes(good) }, { key: "k", value: bytes(value) }];
    await rejectsCode(() => node.batchPut("t", items), 1000);
    assert.equal(engine.log.length, logged);
    assert.equal(shown(node, "a"), undefined);
  }
});

Deno.test("a batch applies its operations in order; skip_unchanged leaves what shows the value already", async () => {
  const { node } = await typed("merge:counter");
  const items = ["+5", "-2", "10"].map((value) => ({ key: "k", value: bytes(value) }));
  const { results } = await node.batchPut("t", items);
  assert.deepEqual(results.map(({ clock }) => clock.entries[0].counter), [1, 2, 3]);
  assert.equal(shown(node), "13");
  const again = [{ key: "k", value: bytes("13") }, { key: "l", value: bytes("1") }];
  assert.equal((await node.batchPut("t", again, { skipUnchanged: true })).unchanged, 1);
  assert.deepEqual([shown(node), shown(node, "l")], ["13", "1"]);
});

Deno.test("an idempotency key makes an operation count once", async () => {
  const { node } = await typed("merge:counter");
  const increment = { key: "k", value: bytes("+1"), idempotencyKey: "0123456789abcdef" };
  const first = await node.put("t", increment);
  assert.deepEqual(await node.put("t", increment), first);
  assert.equal(shown(node), "1");
});

Deno.test("compare and set goes by what reads show", async () => {
  const { node } = await typed("merge:orset");
  const item = { key: "k", value: bytes('["a"]'), ifContext: true };
  const { clock } = await node.put("t", item);
  await rejectsCode(() => node.put("t", item), 1000);
  await node.put("t", { ...item, value: bytes('["b"]'), context: clock });
  assert.equal(shown(node), '["a","b"]');
  await rejectsCode(() => node.put("t", { ...item, context: clock }), 1000);
  await rejectsCode(() => node.delete("t", { key: "k", ifContext: true, context: clock }), 1000);
  await node.delete("t", { key: "k", ifContext: true, context: node.get("t", "k")!.clock });
  // It has no value now.
  await node.put("t", item);
  assert.equal(shown(node), '["a"]');
});

Deno.test("a watch tells what reads show", async () => {
  const { node } = await typed("merge:counter");
  await put(node, "5", "old");
  const seen: string[] = [];
  for await (const events of node.watch("t", { initial: true })) {
    for (const { type, key, state } of events) {
      seen.push(`${type} ${key} ${text(state?.winner.value) ?? ""}`);
      if (type === "progress") {
        await put(node, "+1");
        await put(node, "+1");
        await node.delete("t", { key: "k" });
      }
    }
    if (seen.length === 5) break;
  }
  assert.deepEqual(seen, ["initial old 5", "progress  ", "put k 1", "put k 2", "delete k "]);
});

Deno.test("a time to live is that of the last operation, and its end a delete of all before", async () => {
  const { node, world } = await typed("merge:counter");
  await node.put("t", { key: "k", value: bytes("5"), ttlMs: 100 });
  await node.put("t", { key: "k", value: bytes("1"), ttlMs: 200 });
  await world.clock.advance(150);
  assert.equal(shown(node), "6");
  await world.clock.advance(50);
  assert.equal(shown(node), undefined);
  assert.equal((await node.explain("t", "k")).state, "expired");
  await put(node, "+2");
  assert.equal(shown(node), "2");
});

Deno.test("where values are merged, what is put counts to the quota as growth", async () => {
  const { node } = testNode();
  await node.createTenant("t", { conflictStrategy: "merge:gset", maxBytes: 2000 });
  await put(node, JSON.stringify(["x".repeat(900)]));
  await rejectsCode(() => put(node, JSON.stringify(["y".repeat(1200)])), 2008);
});

Deno.test("reads between nodes have versions as they are stored", async () => {
  const [a, b] = [await typed("lww", "a"), await typed("lww", "b")];
  await put(a.node, "a");
  await put(b.node, "b");
  await copy(b.node, a.node);
  const stored = await a.node.read("t", "k", { asStored: true });
  assert.deepEqual(stored!.versions.map(({ value }) => text(value)).sort(), ["a", "b"]);
});

Deno.test("a strategy is chosen when a tenant is made, and any other refused from then on (1000)", async () => {
  for (const name of CONFLICT_STRATEGIES) {
    const { node } = testNode();
    const { options } = await node.createTenant("t", { conflictStrategy: name, ttlMs: 5 });
    assert.equal(options.conflictStrategy ?? "vector_clock", name);
    for (const other of [...CONFLICT_STRATEGIES, "none"]) {
      const update = () => node.updateTenant("t", { conflictStrategy: other, ttlMs: 7 });
      if (other === name) assert.equal((await update()).options.ttlMs, 7);
      else {
        await node.updateTenant("t", { ttlMs: 5 });
        await rejectsCode(update, 1000);
        assert.deepEqual(node.listTenants()[0].options, options);
      }
    }
  }
  const { node, engine } = testNode();
  for (const name of ["", "LWW", "merge:", "merge:none", "lww ", "x".repeat(1000)]) {
    if (name !== "") {
      await rejectsCode(() => node.createTenant("t", { conflictStrategy: name }), 1000);
    }
  }
  assert.deepEqual(engine.trees(), []);
});
