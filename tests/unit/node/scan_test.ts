import assert from "node:assert/strict";
import fc from "fast-check";
import { compareBytes } from "../../../src/model/mod.ts";
import type { ScanInput, StorageNode } from "../../../src/node/mod.ts";
import { bytes, rejectsCode, testNode, text, turn } from "../../support/node.ts";

function keys(node: StorageNode, input: ScanInput): string[] {
  return [...node.scan("t", input)].map(({ key }) => key);
}

async function fill(node: StorageNode, ...keys: string[]): Promise<void> {
  await node.batchPut("t", keys.map((key) => ({ key, value: bytes(`v-${key}`) })));
}

Deno.test("scan() gives live keys in byte order with what get() gives", async () => {
  const { node, engine } = testNode();
  await fill(node, "b", "\u{10002}", "a", "\uff61", "gone");
  await node.delete("t", { key: "gone" });
  const items = [...node.scan("t", {})];
  assert.deepEqual(items.map(({ key }) => key), ["a", "b", "\uff61", "\u{10002}"]);
  for (const { key, result } of items) {
    const { source: _source, ...state } = node.get("t", key)!;
    assert.deepEqual(result, state);
  }
  assert.equal(engine.openCursors, 0);
});

Deno.test("scan() honours prefix, start, end and limit, alone and together", async () => {
  const { node } = testNode();
  await fill(node, "a", "ab", "abc", "abd", "b", "ba");
  assert.deepEqual(keys(node, { prefix: "ab" }), ["ab", "abc", "abd"]);
  assert.deepEqual(keys(node, { start: "ab", end: "b" }), ["ab", "abc", "abd"]);
  assert.deepEqual(keys(node, { prefix: "ab", start: "abc" }), ["abc", "abd"]);
  assert.deepEqual(keys(node, { prefix: "ab", start: "a", end: "abd" }), ["ab", "abc"]);
  assert.deepEqual(keys(node, { prefix: "ab", end: "z" }), ["ab", "abc", "abd"]);
  assert.deepEqual(keys(node, { limit: 2 }), ["a", "ab"]);
  assert.deepEqual(keys(node, { limit: 0, prefix: "", start: "", end: "" }).length, 6);
  assert.deepEqual(keys(node, { start: "b", end: "a" }), []);
  assert.deepEqual(keys(node, { start: "b", end: "b" }), []);
  assert.deepEqual(keys(node, { prefix: "a", start: "b" }), []);
  // Bounds need not be keys.
  assert.deepEqual(keys(node, { start: "a\u0000", end: "ab\u0000" }), ["ab"]);
});

Deno.test("scan() counts live keys only against its limit", async () => {
  const { node } = testNode();
  await fill(node, "a", "b", "c", "d");
  await node.delete("t", { key: "a" });
  await node.delete("t", { key: "c" });
  assert.deepEqual(keys(node, { limit: 2 }), ["b", "d"]);
});

Deno.test("scan() does not ask the engine for a range that holds nothing", async () => {
  const { node, engine } = testNode();
  await fill(node, "a", "b");
  engine.scan = () => assert.fail("it was asked");
  assert.deepEqual(keys(node, { start: "b", end: "a" }), []);
  assert.deepEqual(keys(node, { prefix: "a", start: "b" }), []);
});

Deno.test("scan() agrees with a filter over all keys", async () => {
  const { node } = testNode();
  const all = ["a", "aa", "ab", "b", "é", "éa", "\uffff", "\u{10000}", "\u{10ffff}"];
  await fill(node, ...all);
  const bound = fc.option(fc.constantFrom("", ...all, "a\u0000", "\u{10ffff}z"), {
    nil: undefined,
  });
  const input = fc.tuple(bound, bound, bound, fc.nat({ max: 5 }), fc.boolean());
  fc.assert(fc.property(input, ([prefix, start, end, limit, reverse]) => {
    const expected = (reverse ? all.toReversed() : all)
      .filter((key) => key.startsWith(prefix ?? ""))
      .filter((key) => !start || compareBytes(bytes(key), bytes(start)) >= 0)
      .filter((key) => !end || compareBytes(bytes(key), bytes(end)) < 0)
      .slice(0, limit || undefined);
    assert.deepEqual(keys(node, { prefix, start, end, limit, reverse }), expected);
  }));
});

Deno.test("scan() sees one moment, whatever is written meanwhile", async () => {
  const { node } = testNode();
  await fill(node, "a", "b", "c");
  const scan = node.scan("t", {});
  assert.equal(scan.next().value.key, "a");
  await fill(node, "b", "bb", "d");
  await node.delete("t", { key: "c" });
  const rest = [...scan].map(({ key, result }) => [key, text(result.winner.value)]);
  assert.deepEqual(rest, [["b", "v-b"], ["c", "v-c"]]);
});

Deno.test("scan() items stay good after the next step", async () => {
  const { node } = testNode();
  await fill(node, "a", "b");
  const values = [...node.scan("t", {})].map(({ result }) => text(result.winner.value));
  assert.deepEqual(values, ["v-a", "v-b"]);
});

Deno.test("scan() closes its cursor when it ends, is left, fails, or was never begun", async () => {
  const { node, engine } = testNode();
  await fill(node, "a", "b", "c");
  for (const _ of node.scan("t", {})) {
    assert.equal(engine.openCursors, 1);
    break;
  }
  assert.equal(engine.openCursors, 0);
  assert.deepEqual(keys(node, { limit: 1 }), ["a"]);
  assert.equal(engine.openCursors, 0);
  node.scan("t", {});
  assert.equal(engine.openCursors, 0);
  await engine.write([{ tree: engine.tree("t")!, kind: 0, key: bytes("b"), value: bytes("?") }]);
  await rejectsCode(() => keys(node, {}), 2007);
  assert.equal(engine.openCursors, 0);
});

Deno.test("scan() refuses bad bounds and limits before the first step", async () => {
  const { node } = testNode();
  for (const bound of ["prefix", "start", "end"] as const) {
    await rejectsCode(() => node.scan("t", { [bound]: "k".repeat(1025) }), 1002);
    await rejectsCode(() => node.scan("t", { [bound]: "\udc00" }), 1005);
  }
  for (const limit of [-1, 1.5, NaN, 2 ** 53]) {
    await rejectsCode(() => node.scan("t", { limit }), 1000);
  }
  await rejectsCode(() => node.scan("", {}), 1004);
});

Deno.test("scan() on a slow disk: who awaits ready() before each step gets the same items", async () => {
  const { node, engine, world } = testNode();
  await fill(node, "a", "b", "c", "d", "e");
  for (const key of ["b", "c"]) await node.put("t", { key, value: bytes("brief"), ttlMs: 5 });
  await world.clock.advance(10);
  const expected = [...node.scan("t", {})];
  engine.slow = true;
  engine.hold = true;
  const scan = node.scan("t", {});
  const items: unknown[] = [];
  for (;;) {
    const wait = scan.ready();
    if (wait !== undefined) {
      let settled = false;
      void wait.then(() => settled = true);
      await turn();
      assert.equal(settled, false);
      while (!settled) {
        engine.sync();
        await turn();
      }
      assert.equal(scan.ready(), undefined, "what was waited for is here");
    }
    const step = scan.next();
    if (step.done) break;
    items.push(step.value);
  }
  assert.deepEqual(items, expected);
  assert.equal(engine.openCursors, 0);
});

Deno.test("scan() that is left while it waits is over", async () => {
  const { node, engine } = testNode();
  await fill(node, "a", "b");
  engine.slow = true;
  engine.hold = true;
  const scan = node.scan("t", {});
  const wait = scan.ready()!;
  scan.return();
  engine.sync();
  await wait;
  assert.equal(scan.next().done, true);
  assert.equal(scan.ready(), undefined);
  assert.equal(engine.openCursors, 0);
});

Deno.test("scan() fails at its next step when what it waited for is damaged, and is over then", async () => {
  const { node, engine } = testNode();
  await fill(node, "a", "b");
  await engine.write([{ tree: engine.tree("t")!, kind: 0, key: bytes("a"), value: bytes("?") }]);
  engine.slow = true;
  const scan = node.scan("t", {});
  await scan.ready();
  await rejectsCode(() => scan.next(), 2007);
  assert.equal(scan.next().done, true);
  assert.equal(engine.openCursors, 0);
});
