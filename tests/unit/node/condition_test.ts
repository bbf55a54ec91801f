/** Compare and set on a node: what applies, what is refused and told, and that no increment is lost. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { compareClocks, ContextMismatch, EMPTY_CLOCK } from "../../../src/model/mod.ts";
import type { VectorClock } from "../../../src/model/mod.ts";
import type { StorageNode } from "../../../src/node/mod.ts";
import { bytes, rejectsCode, testNode, text, turn } from "../../support/node.ts";

async function mismatch(run: () => Promise<unknown>): Promise<ContextMismatch> {
  try {
    await run();
  } catch (error) {
    assert.ok(error instanceof ContextMismatch, `not a mismatch: ${error}`);
    return error;
  }
  return assert.fail("it was applied");
}

function cas(node: StorageNode, value: string, context?: VectorClock) {
  return node.put("t", { key: "k", value: bytes(value), context, ifContext: true });
}

Deno.test("put() with a condition applies to the context that it names, once", async () => {
  const { node } = testNode();
  const first = await cas(node, "1");
  const second = await cas(node, "2", first.clock);
  const refused = await mismatch(() => cas(node, "lost", first.clock));
  assert.equal(compareClocks(refused.present, second.clock), "equal");
  await mismatch(() => cas(node, "lost"));
  assert.deepEqual(node.get("t", "k")!.versions.map(({ value }) => text(value)), ["2"]);
  await cas(node, "3", refused.present);
  assert.equal(text(node.get("t", "k")!.winner.value), "3");
});

Deno.test("put() without a context and with a condition makes what has no value: new, deleted, expired", async () => {
  const { node, world } = testNode();
  await cas(node, "new");
  await mismatch(() => cas(node, "again"));
  await node.delete("t", { key: "k" });
  await cas(node, "after the delete");
  await node.put("t", { key: "k", value: bytes("brief"), ttlMs: 10 });
  await mismatch(() => cas(node, "too soon"));
  await world.clock.advance(10);
  await cas(node, "after its end");
  assert.deepEqual(node.get("t", "k")!.versions.map(({ value }) => text(value)), [
    "after its end",
  ]);
});

Deno.test("put() with a condition wants the context of all siblings", async () => {
  const { node } = testNode();
  const one = await node.put("t", { key: "k", value: bytes("a") });
  const two = await node.put("t", { key: "k", value: bytes("b"), context: EMPTY_CLOCK });
  await mismatch(() => cas(node, "c", one.clock));
  const refused = await mismatch(() => cas(node, "c", two.clock));
  assert.equal(compareClocks(refused.present, node.get("t", "k")!.clock), "equal");
  await cas(node, "c", refused.present);
  assert.equal(node.get("t", "k")!.versions.length, 1);
});

Deno.test("delete() with a condition", async () => {
  const { node } = testNode();
  const first = await node.put("t", { key: "k", value: bytes("1") });
  const second = await node.put("t", { key: "k", value: bytes("2") });
  const remove = (context?: VectorClock) =>
    node.delete("t", { key: "k", context, ifContext: true });
  await mismatch(() => remove(first.clock));
  await mismatch(() => remove());
  assert.equal((await remove(second.clock)).existed, true);
  assert.equal((await remove()).existed, false);
});

Deno.test("a condition on a tenant that is not there is refused and makes none", async () => {
  const { node } = testNode();
  const context = { entries: [{ node: "n1", counter: 1 }], dots: [] };
  for (
    const run of [
      () => cas(node, "v", context),
      () => node.delete("t", { key: "k", context, ifContext: true }),
      () => node.batchPut("t", [{ key: "k", value: bytes("v"), context, ifContext: true }]),
    ]
  ) assert.deepEqual((await mismatch(run)).present, EMPTY_CLOCK);
  assert.deepEqual(node.listTenants(), []);
  await cas(node, "v");
});

Deno.test("batchPut() with a condition applies all items or none, and says which one refused", async () => {
  const { node, engine } = testNode();
  const a = await node.put("t", { key: "a", value: bytes("1") });
  const b = await node.put("t", { key: "b", value: bytes("1") });
  const b2 = await node.put("t", { key: "b", value: bytes("2") });
  const batch = (second: VectorClock) =>
    node.batchPut("t", [
      { key: "plain", value: bytes("v") },
      { key: "a", value: bytes("new"), context: a.clock, ifContext: true },
      { key: "b", value: bytes("new"), context: second, ifContext: true },
      { key: "c", value: bytes("new"), ifContext: true },
    ]);
  engine.log.length = 0;
  const refused = await mismatch(() => batch(b.clock));
  assert.equal(refused.details.item, 2);
  assert.equal(compareClocks(refused.present, b2.clock), "equal");
  assert.deepEqual(engine.log, []);
  assert.equal(node.get("t", "plain"), undefined);
  await batch(b2.clock);
  assert.deepEqual(engine.log, [{ tag: "write", kinds: [0, 0, 0, 0] }]);
  // What a batch makes of a key nobody can have seen.
  const twice = [{ key: "d", value: bytes("1") }, { key: "d", value: bytes("2"), ifContext: true }];
  await rejectsCode(() => node.batchPut("t", twice), 1000);
  assert.equal(node.get("t", "d"), undefined);
});

Deno.test("a refusal tells of no state that a crash could undo: it waits for its sync", async () => {
  const { node, engine } = testNode();
  await node.createTenant("t");
  engine.hold = true;
  const first = cas(node, "1");
  let handed = 0;
  const watch = { gone: false, handedOver: () => handed++ };
  let answered = false;
  const second = mismatch(() =>
    node.put("t", { key: "k", value: bytes("2"), ifContext: true }, watch)
  ).finally(() => answered = true);
  await turn();
  assert.equal(answered, false);
  engine.sync();
  const { clock } = await first;
  assert.equal(compareClocks((await second).present, clock), "equal");
  assert.equal(handed, 0, "the log never got the write itself");
  assert.deepEqual(node.get("t", "k")!.versions.map(({ value }) => text(value)), ["1"]);
});

Deno.test("counters by compare and set lose no increment, however their steps fall [B5]", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(3), { minLength: 20, maxLength: 60 }), async (turns) => {
      const { node } = testNode();
      // Each of four writers holds what it has read until its next turn.
      const held: { count: number; context: VectorClock | undefined }[] = Array.from(
        { length: 4 },
        () => ({ count: 0, context: undefined }),
      );
      let applied = 0;
      for (const who of turns) {
        const { count, context } = held[who];
        try {
          await cas(node, String(count + 1), context);
          applied++;
        } catch (error) {
          assert.ok(error instanceof ContextMismatch);
        }
        const read = node.get("t", "k")!;
        held[who] = { count: Number(text(read.winner.value)), context: read.clock };
      }
      assert.equal(text(node.get("t", "k")!.winner.value), String(applied));
      assert.equal(node.get("t", "k")!.versions.length, 1);
    }),
    { numRuns: 100 },
  );
});
