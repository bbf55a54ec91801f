import assert from "node:assert/strict";
import { EMPTY_CLOCK, includes } from "../../../src/model/mod.ts";
import { bytes, rejectsCode, testNode, text, turn } from "../../support/node.ts";

Deno.test("batchPut() stores all items with one write of the engine", async () => {
  const { node, engine } = testNode();
  const items = ["a", "b", "c"].map((key) => ({ key, value: bytes(`v-${key}`) }));
  const { results, unchanged } = await node.batchPut("t", items);
  assert.equal(unchanged, 0);
  assert.deepEqual(engine.log, [{ tag: "write", kinds: [0, 0, 0] }]);
  for (const [i, { key }] of items.entries()) {
    const read = node.get("t", key)!;
    assert.equal(text(read.winner.value), `v-${key}`);
    assert.deepEqual(results[i], { clock: read.clock, timestampMs: read.winner.timestampMs });
  }
});

Deno.test("batchPut() lets items of one key build on each other; the last stays", async () => {
  const { node, engine } = testNode();
  const { results } = await node.batchPut("t", [
    { key: "k", value: bytes("1") },
    { key: "k", value: bytes("2") },
    { key: "k", value: bytes("side"), context: EMPTY_CLOCK },
  ]);
  assert.ok(includes(results[1].clock, results[0].clock));
  assert.deepEqual(engine.log, [{ tag: "write", kinds: [0] }]);
  const values = node.get("t", "k")!.versions.map(({ value }) => text(value));
  assert.deepEqual(values.sort(), ["2", "side"]);
});

Deno.test("batchPut() stores nothing when one item is refused", async () => {
  const { node, engine } = testNode();
  await node.put("t", { key: "a", value: bytes("old") });
  const forged = { entries: [{ node: "n1", counter: 5 }], dots: [] };
  for (
    const [bad, code] of [
      [{ key: "", value: bytes("x") }, 1000],
      [{ key: "b", value: undefined }, 1000],
      [{ key: "b\u0000", value: bytes("x") }, 1005],
      [{ key: "b", value: new Uint8Array(10 * 1024 * 1024 + 1) }, 1003],
      [{ key: "b", value: bytes("x"), context: forged }, 1000],
      [{ key: "b", value: bytes("x"), ttlMs: -1 }, 1000],
    ] as const
  ) {
    await rejectsCode(() => node.batchPut("t", [{ key: "a", value: bytes("new") }, bad]), code);
  }
  assert.equal(engine.log.length, 1);
  assert.equal(text(node.get("t", "a")!.winner.value), "old");
});

Deno.test("batchPut() takes 1 to 1000 items and 64 MiB (1000)", async () => {
  const { node, engine } = testNode();
  await rejectsCode(() => node.batchPut("t", []), 1000);
  const items = Array.from({ length: 1001 }, (_, i) => ({ key: `k${i}`, value: bytes("v") }));
  await rejectsCode(() => node.batchPut("t", items), 1000);
  const value = new Uint8Array(10 * 1024 * 1024);
  const big = Array.from({ length: 7 }, () => ({ key: "k", value }));
  await rejectsCode(() => node.batchPut("t", big), 1000);
  assert.deepEqual(node.listTenants(), []);
  await node.batchPut("t", items.slice(1));
  assert.equal(engine.log[0].kinds.length, 1000);
});

Deno.test("skipUnchanged leaves a key alone when its one version has the value and no TTL", async () => {
  const { node, engine } = testNode();
  const first = await node.put("t", { key: "same", value: bytes("v") });
  await node.put("t", { key: "ttl", value: bytes("v"), ttlMs: 1000 });
  await node.put("t", { key: "two", value: bytes("v"), context: EMPTY_CLOCK });
  await node.put("t", { key: "two", value: bytes("v"), context: EMPTY_CLOCK });
  await node.put("t", { key: "gone", value: bytes("v") });
  await node.delete("t", { key: "gone" });
  engine.log.length = 0;
  const names = ["same", "ttl", "two", "gone", "new"];
  const items = names.map((key) => ({ key, value: bytes("v") }));
  const { results, unchanged } = await node.batchPut("t", items, { skipUnchanged: true });
  assert.equal(unchanged, 1);
  assert.deepEqual(results[0], first);
  assert.deepEqual(engine.log, [{ tag: "write", kinds: [0, 0, 0, 0] }]);
  const again = await node.batchPut("t", items, { skipUnchanged: true });
  assert.equal(again.unchanged, 5);
  assert.equal(engine.log.length, 1, "nothing to write");
  const withTtl = [{ key: "same", value: bytes("v"), ttlMs: 5 }];
  assert.equal((await node.batchPut("t", withTtl, { skipUnchanged: true })).unchanged, 0);
  // Without the option everything is written.
  assert.equal((await node.batchPut("t", items)).unchanged, 0);
});

Deno.test("skipUnchanged within a batch compares with what the batch itself makes", async () => {
  const { node } = testNode();
  await node.put("t", { key: "k", value: bytes("a") });
  const values = ["b", "b", "a", "a"];
  const items = values.map((value) => ({ key: "k", value: bytes(value) }));
  const { results, unchanged } = await node.batchPut("t", items, { skipUnchanged: true });
  assert.equal(unchanged, 2);
  assert.deepEqual(results[1], results[0]);
  assert.equal(text(node.get("t", "k")!.winner.value), "a");
  assert.deepEqual(node.get("t", "k")!.clock, results[3].clock);
});

Deno.test("skipUnchanged rests on what the batch itself writes, whatever else waits for its sync", async () => {
  const { node, engine } = testNode();
  await node.createTenant("t");
  engine.hold = true;
  const first = node.put("t", { key: "k", value: bytes("a") });
  const items = [{ key: "k", value: bytes("b") }, { key: "k", value: bytes("b") }];
  const second = node.batchPut("t", items, { skipUnchanged: true });
  await turn();
  engine.sync();
  await first;
  assert.equal((await second).unchanged, 1);
});

Deno.test("skipUnchanged does not vouch for a value that still waits for its sync", async () => {
  const { node, engine } = testNode();
  await node.createTenant("t");
  engine.hold = true;
  const first = node.put("t", { key: "k", value: bytes("v") });
  let answered = false;
  const second = node.batchPut("t", [{ key: "k", value: bytes("v") }], { skipUnchanged: true })
    .finally(() => answered = true);
  await turn();
  assert.equal(answered, false);
  assert.equal(engine.waiting, 2, "it rides on a write of its own");
  engine.sync();
  await first;
  assert.equal((await second).unchanged, 0);
});

Deno.test("batchGet() answers in order, undefined for what is not there", async () => {
  const { node } = testNode();
  assert.deepEqual(await node.batchGet("nobody", ["a", "b"]), [undefined, undefined]);
  await node.put("t", { key: "a", value: bytes("1") });
  await node.put("t", { key: "b", value: bytes("2") });
  await node.delete("t", { key: "b" });
  const results = await node.batchGet("t", ["b", "a", "c", "a"]);
  assert.deepEqual(results.map((result) => text(result?.winner.value)), [
    undefined,
    "1",
    undefined,
    "1",
  ]);
  await rejectsCode(() => node.batchGet("t", []), 1000);
  await rejectsCode(() => node.batchGet("t", new Array(1001).fill("k")), 1000);
  await rejectsCode(() => node.batchGet("t", ["a", ""]), 1000);
});

Deno.test("batchGet() sees one moment though its keys come from a slow disk, and is cut off by size", async () => {
  const { node, engine } = testNode();
  const keys = Array.from({ length: 40 }, (_, i) => `k${i}`);
  await node.batchPut("t", keys.map((key) => ({ key, value: bytes("0123456789") })));
  engine.slow = true;
  engine.hold = true;
  const reading = node.batchGet("t", keys);
  const writing = node.batchPut("t", keys.map((key) => ({ key, value: bytes("new") })));
  let settled = false;
  void reading.then(() => settled = true);
  while (!settled) {
    engine.sync();
    await turn();
  }
  await writing;
  const values = (await reading).map((result) => text(result?.winner.value));
  assert.deepEqual(values, keys.map(() => "0123456789"));
  engine.slow = false;
  engine.hold = false;
  assert.equal((await node.batchGet("t", keys, { maxBytes: 10 })).length, 3);
  assert.equal((await node.batchGet("t", keys, { maxBytes: 2 })).length, 1);
});

Deno.test("read() is get(), with a promise where the disk is slow", async () => {
  const { node, engine } = testNode();
  await node.put("t", { key: "k", value: bytes("v") });
  assert.deepEqual(node.read("t", "k"), node.get("t", "k"));
  assert.equal(node.read("t", "none"), undefined);
  assert.equal(node.read("nobody", "k"), undefined);
  engine.slow = true;
  const found = node.read("t", "k");
  assert.ok(found instanceof Promise);
  assert.deepEqual(await found, node.get("t", "k"));
  await rejectsCode(() => node.read("t", ""), 1000);
});
