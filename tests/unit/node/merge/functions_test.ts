/**
 * Merge functions of a node: registered, kept, and asked by reads.
 */
import assert from "node:assert/strict";
import type { Scan, StorageNode } from "../../../../src/node/mod.ts";
import { SandboxError, SimSandbox, type SimSandboxFunction } from "../../../../src/runtime/mod.ts";
import { decodeFunction, digestOf, encodeFunction } from "../../../../src/node/merge/records.ts";
import { bytes, rejectsCode, testNode, text } from "../../../support/node.ts";

const UNION = "the union";
const parts = (value: Uint8Array) => text(value)!.split(",").filter((part) => part !== "");
const union: SimSandboxFunction = (a, b) =>
  bytes([...new Set([...parts(a), ...parts(b)])].sort().join());

function withUnion() {
  const sandbox = new SimSandbox().know(UNION, () => union);
  return { sandbox, ...testNode({ sandbox }) };
}

/** Two writes of a key of which neither has seen the other. */
async function conflict(node: StorageNode, tenant: string, key: string, values = ["b", "a"]) {
  await node.put(tenant, { key, value: bytes("old") });
  const { clock } = node.get(tenant, key)!;
  for (const value of values) await node.put(tenant, { key, value: bytes(value), context: clock });
}

const shown = async (node: StorageNode, tenant: string, key: string) =>
  (await node.read(tenant, key))?.versions.map(({ value }) => text(value));

Deno.test("a read of concurrent values shows what the function makes of them, and a write with its context replaces them", async () => {
  const { node, sandbox } = withUnion();
  const info = await node.registerMergeFunction("union", UNION);
  assert.deepEqual(info, {
    name: "union",
    digest: digestOf(UNION).toHex(),
    bytes: UNION.length,
    registeredAtMs: info.registeredAtMs,
    tenants: 0,
  });
  await node.createTenant("t", { conflictStrategy: "merge:union" });
  await conflict(node, "t", "k", ["b", "a,c", "d"]);
  const read = (await node.read("t", "k"))!;
  assert.equal(text(read.winner.value), "a,b,c,d");
  assert.deepEqual(read.versions, [read.winner]);
  assert.deepEqual(read.winner.clock, read.clock);
  assert.equal(read.source, "memtable");
  // What is stored are siblings still.
  assert.equal((await node.read("t", "k", { asStored: true }))!.versions.length, 3);
  assert.equal(node.get("t", "k")!.versions.length, 3);
  await node.put("t", { key: "k", value: bytes("e"), context: read.clock });
  const calls = sandbox.calls;
  assert.deepEqual(await shown(node, "t", "k"), ["e"]);
  assert.equal(sandbox.calls, calls, "one version needs no function");
  await node.close();
});

Deno.test("batches and scans show the same; a scan that does not wait shows siblings", async () => {
  const { node } = withUnion();
  await node.registerMergeFunction("union", UNION);
  await node.createTenant("t", { conflictStrategy: "merge:union" });
  for (const key of ["k1", "k2"]) await conflict(node, "t", key);
  await node.put("t", { key: "k3", value: bytes("x") });
  const found = await node.batchGet("t", ["k1", "none", "k3"]);
  assert.deepEqual(found.map((each) => text(each?.winner.value)), ["a,b", undefined, "x"]);
  const stepped = async (scan: Scan, waits: boolean) => {
    const seen: string[] = [];
    for (;;) {
      if (waits) await scan.ready();
      const next = scan.next();
      if (next.done) return seen;
      const { key, result } = next.value;
      seen.push(`${key}=${result.versions.map(({ value }) => text(value)).join(" ")}`);
    }
  };
  assert.deepEqual(await stepped(node.scan("t", {}), true), ["k1=a,b", "k2=a,b", "k3=x"]);
  assert.deepEqual((await stepped(node.scan("t", {}), false))[0].length, "k1=b a".length);
  const scan = node.scan("t", {});
  const wait = scan.ready();
  scan.return();
  await wait;
  assert.equal(scan.next().done, true);
  await node.close();
});

Deno.test("a scan of which somebody does not wait for a step shows each key once all the same", async () => {
  const { node } = withUnion();
  await node.registerMergeFunction("union", UNION);
  await node.createTenant("t", { conflictStrategy: "merge:union" });
  for (const key of ["k1", "k3"]) await conflict(node, "t", key);
  await node.put("t", { key: "k2", value: bytes("alone") });
  const scan = node.scan("t", {});
  const keyOf = () => {
    const step = scan.next();
    return step.done ? undefined : step.value.key;
  };
  const early = scan.ready();
  assert.equal(keyOf(), "k1");
  const second = scan.ready();
  await Promise.all([early, second]);
  assert.deepEqual([keyOf(), keyOf(), keyOf()], ["k2", "k3", undefined]);
  await node.close();
});

Deno.test("a batch ends before what the function makes of its values is too much, but not before its first key", async () => {
  const GROWING = "ten times as much";
  const sandbox = new SimSandbox().know(GROWING, () => () => new Uint8Array(100));
  const { node } = testNode({ sandbox });
  await node.registerMergeFunction("growing", GROWING);
  await node.createTenant("t", { conflictStrategy: "merge:growing" });
  const keys = ["k1", "k2", "k3", "k4"];
  for (const key of keys) await conflict(node, "t", key);
  for (const [maxBytes, count] of [[1, 1], [250, 2], [300, 3], [1000, 4]]) {
    const found = await node.batchGet("t", keys, { maxBytes });
    assert.deepEqual(found.map((each) => each?.winner.value?.length), Array(count).fill(100));
  }
  await node.close();
});

Deno.test("where the function fails a read shows the siblings, counts it and says so once", async () => {
  const { node, sandbox, world } = withUnion();
  await node.registerMergeFunction("union", UNION);
  await node.createTenant("t", { conflictStrategy: "merge:union" });
  await conflict(node, "t", "k");
  for (const reason of ["threw", "result", "busy"] as const) {
    sandbox.failing = new SandboxError(reason, "unexpected token: what the value says");
    assert.equal((await shown(node, "t", "k"))!.length, 2);
  }
  const { counters } = node.status();
  assert.equal(counters.mergeFunctionFailures, 3);
  const told = world.log.events.filter(({ event }) => event === "node.merge_function_failed");
  assert.equal(told.length, 1);
  assert.equal(told[0].fields?.function, "union");
  assert.deepEqual([told[0].fields?.reason, told[0].fields?.error], ["threw", undefined]);
  sandbox.failing = undefined;
  assert.deepEqual(await shown(node, "t", "k"), ["a,b"]);
  await node.close();
});

Deno.test("a function that takes too much three times is not asked for a while", async () => {
  const { node, sandbox, world } = withUnion();
  await node.registerMergeFunction("union", UNION);
  await node.createTenant("t", { conflictStrategy: "merge:union" });
  await conflict(node, "t", "k");
  sandbox.failing = new SandboxError("time", "too long");
  for (let i = 0; i < 3; i++) await shown(node, "t", "k");
  const { calls } = sandbox;
  assert.equal((await shown(node, "t", "k"))!.length, 2);
  assert.equal(sandbox.calls, calls);
  assert.equal(node.status().counters.mergeFunctionSkips, 1);
  sandbox.failing = undefined;
  await world.clock.advance(10_000);
  assert.deepEqual(await shown(node, "t", "k"), ["a,b"]);
  await node.close();
});

Deno.test("deletes and expired values beside a value are no values to merge", async () => {
  const { node, sandbox } = withUnion();
  await node.registerMergeFunction("union", UNION);
  await node.createTenant("t", { conflictStrategy: "merge:union" });
  await conflict(node, "t", "k", ["a"]);
  const { versions: [{ clock }] } = node.get("t", "k")!;
  await node.put("t", { key: "k", value: bytes("b"), context: clock });
  await node.delete("t", { key: "k", context: clock });
  const calls = sandbox.calls;
  const read = (await node.read("t", "k"))!;
  assert.deepEqual(read.versions.map(({ value }) => text(value)), ["b"]);
  assert.equal(sandbox.calls, calls);
  await node.close();
});

Deno.test("a name keeps its source, and a function its tenants", async () => {
  const { node, sandbox, world } = withUnion();
  sandbox.know("another", () => union);
  const first = await node.registerMergeFunction("union", UNION);
  assert.deepEqual(await node.registerMergeFunction("union", UNION), first);
  await assert.rejects(node.registerMergeFunction("union", "another"), {
    code: 1000,
    details: { reason: "already_exists", digest: first.digest },
  });
  await node.registerMergeFunction("other", "another");
  await node.createTenant("t", { conflictStrategy: "merge:union" });
  assert.deepEqual(node.listMergeFunctions().map(({ name, tenants }) => [name, tenants]), [
    ["other", 0],
    ["union", 1],
  ]);
  await assert.rejects(node.removeMergeFunction("union"), { code: 1000 });
  await node.removeMergeFunction("other");
  await assert.rejects(node.removeMergeFunction("other"), { code: 1000 });
  await rejectsCode(() => node.createTenant("u", { conflictStrategy: "merge:other" }), 1000);
  assert.deepEqual(node.listTenants().map(({ tenant }) => tenant), ["t"]);
  await node.dropTenant("t");
  await node.removeMergeFunction("union");
  assert.deepEqual(node.listMergeFunctions(), []);
  for (const what of ["registered", "removed"]) {
    const told = world.log.named(`node.merge_function_${what}`).map(({ fields }) => fields);
    assert.deepEqual(told.map(({ name }) => name).sort(), ["other", "union"], what);
    assert.equal(told.find(({ name }) => name === "union")!.digest, digestOf(UNION).toHex());
  }
  await node.close();
});

Deno.test("what is no function to register is refused, and nothing is kept", async () => {
  const { node, sandbox } = withUnion();
  sandbox.know("the first", () => (a) => a);
  const names = ["", "Union", "1st", "a b", "a:b", "x".repeat(65), "counter", "max"];
  for (const name of names) await rejectsCode(() => node.registerMergeFunction(name, UNION), 1000);
  await rejectsCode(() => node.registerMergeFunction("first", "the first"), 1000);
  await rejectsCode(() => node.registerMergeFunction("long", "x".repeat(64 * 1024 + 1)), 1000);
  const many = Array.from({ length: 9 }, () => bytes("a"));
  await rejectsCode(() => node.registerMergeFunction("union", UNION, many), 1000);
  const large = [new Uint8Array(64 * 1024 + 1)];
  await rejectsCode(() => node.registerMergeFunction("union", UNION, large), 1000);
  assert.deepEqual(node.listMergeFunctions(), []);
  assert.equal(sandbox.running, 0);
  await node.close();
  const without = testNode();
  await rejectsCode(() => without.node.registerMergeFunction("union", UNION), 2001);
  await without.node.close();
});

Deno.test("records of format 1 are read for ever", () => {
  const kept = "01" + "80d0eab6b733" +
    "41cf6794ba4200b839c53531555f0f3998df4cbb01a4d5cb0b94e3ca5e23947d" + "06736f75726365" +
    "04636f6465";
  const record = {
    registeredAtMs: 1_767_225_600_000,
    digest: digestOf("source"),
    source: "source",
    code: "code",
  };
  assert.deepEqual(decodeFunction(Uint8Array.fromHex(kept)), record);
  assert.equal(encodeFunction(record).toHex(), kept);
});

Deno.test("a record gives back what was kept, and not what somebody has changed", () => {
  const record = {
    registeredAtMs: 1,
    digest: digestOf("source ä"),
    source: "source ä",
    code: "code",
  };
  const kept = encodeFunction(record);
  assert.deepEqual(decodeFunction(kept), record);
  const at = kept.length - 8;
  const changed = kept.slice();
  changed[at] ^= 1;
  assert.throws(() => decodeFunction(changed), { code: 2007 });
  assert.throws(() => decodeFunction(kept.subarray(0, -1)), { code: 2007 });
  assert.throws(() => decodeFunction(Uint8Array.of(2)), { code: 2007 });
});
