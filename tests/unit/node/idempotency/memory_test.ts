/** Writes with an idempotency key, on a node: applied once, remembered within bounds, and forgotten. */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { Engine } from "../../../../src/engine/mod.ts";
import { ContextMismatch, PairError, reconcileOperator } from "../../../../src/model/mod.ts";
import { DEFAULT_IDEMPOTENCY, type StorageNode } from "../../../../src/node/mod.ts";
import { simRuntime } from "../../../../src/runtime/mod.ts";
import { MemoryEngine } from "../../../support/memory_engine.ts";
import { bytes, nodeOn, rejectsCode, testNode, text, turn } from "../../../support/node.ts";

const HIDDEN = ":idempotency";

/** A key that the number tells from others. */
function keyOf(n: number): string {
  return `key-${String(n).padStart(12, "0")}`;
}

function put(node: StorageNode, n: number, value: string, tenant = "t") {
  return node.put(tenant, { key: "k", value: bytes(value), idempotencyKey: keyOf(n) });
}

/** How often a key was written: each write is one event of the node. */
function writesOf(node: StorageNode, key = "k", tenant = "t"): number {
  return node.get(tenant, key)?.clock.entries[0].counter ?? 0;
}

/** Everything that is remembered: outcomes and places. */
function rows(engine: Engine): number {
  const tree = engine.tree(HIDDEN);
  if (tree === undefined) return 0;
  const cursor = engine.scan(tree, {});
  let count = 0;
  while (cursor.next()) count++;
  cursor.close();
  return count;
}

async function reused(run: () => Promise<unknown>): Promise<void> {
  await assert.rejects(run, (error) => {
    assert.ok(error instanceof PairError, `${error}`);
    assert.deepEqual([error.code, error.details.reason], [1000, "idempotency_key_reused"]);
    return true;
  });
}

Deno.test("a put that comes again gets the same answer and is applied once [B5]", async () => {
  const { node, engine } = testNode();
  const first = await put(node, 1, "1");
  await node.put("t", { key: "k", value: bytes("2") });
  const logged = engine.log.length;
  assert.deepEqual(await put(node, 1, "1"), first);
  assert.equal(text(node.get("t", "k")!.winner.value), "2");
  assert.equal(writesOf(node), 2);
  assert.equal(engine.log.length, logged, "telling it again writes nothing");
  // Another key, another write.
  await put(node, 2, "1");
  assert.equal(writesOf(node), 3);
});

Deno.test("value and outcome are one batch of the engine [B5]", async () => {
  const { node, engine } = testNode();
  await put(node, 1, "1");
  assert.deepEqual(engine.log, [{ tag: "write", kinds: [0, 0, 0] }]);
});

Deno.test("a delete that comes again tells what it did, and does not delete what came since [B5]", async () => {
  const { node } = testNode();
  const remove = (n: number) => node.delete("t", { key: "k", idempotencyKey: keyOf(n) });
  const nothing = await remove(1);
  assert.equal(nothing.existed, false);
  await node.put("t", { key: "k", value: bytes("new") });
  assert.deepEqual(await remove(1), nothing);
  assert.equal(text(node.get("t", "k")!.winner.value), "new");
  const done = await remove(2);
  assert.equal(done.existed, true);
  await node.put("t", { key: "k", value: bytes("newer") });
  assert.deepEqual(await remove(2), done);
  assert.equal(text(node.get("t", "k")!.winner.value), "newer");
});

Deno.test("a batch that comes again, and one that changed nothing [B5]", async () => {
  const { node } = testNode();
  const items = ["a", "b", "a"].map((key, i) => ({ key, value: bytes(`${i}`) }));
  const options = { idempotencyKey: keyOf(1) };
  const first = await node.batchPut("t", items, options);
  assert.deepEqual(await node.batchPut("t", items, options), first);
  assert.equal(writesOf(node, "b"), 1);
  const same = { idempotencyKey: keyOf(2), skipUnchanged: true };
  const unchanged = await node.batchPut("t", [items[1]], same);
  assert.equal(unchanged.unchanged, 1);
  await node.put("t", { key: "b", value: bytes("since") });
  assert.deepEqual(await node.batchPut("t", [items[1]], same), unchanged);
  assert.equal(text(node.get("t", "b")!.winner.value), "since");
});

Deno.test("a key that comes with another write is refused (1000) and changes nothing [B5]", async () => {
  const { node, engine } = testNode();
  await put(node, 1, "1");
  const logged = engine.log.length;
  const idempotencyKey = keyOf(1);
  await reused(() => put(node, 1, "2"));
  await reused(() => node.put("t", { key: "k", value: bytes("1"), ttlMs: 5, idempotencyKey }));
  await reused(() => node.delete("t", { key: "k", idempotencyKey }));
  await reused(() => node.batchPut("t", [{ key: "k", value: bytes("1") }], { idempotencyKey }));
  assert.equal(engine.log.length, logged);
  for (const bad of ["", "short", "x".repeat(65), "0123456789abcde\u0000"]) {
    const input = { key: "k", value: bytes("v"), idempotencyKey: bad };
    await rejectsCode(() => node.put("t", input), 1000);
    await rejectsCode(() => node.delete("t", input), 1000);
    await rejectsCode(() => node.batchPut("t", [input], { idempotencyKey: bad }), 1000);
  }
  assert.equal(engine.log.length, logged);
});

Deno.test("keys of two tenants never meet; what is remembered is no tenant [B5]", async () => {
  const { node } = testNode();
  await put(node, 1, "1", "a");
  await put(node, 1, "2", "b");
  assert.deepEqual([writesOf(node, "k", "a"), writesOf(node, "k", "b")], [1, 1]);
  assert.deepEqual(node.listTenants().map(({ tenant }) => tenant), ["a", "b"]);
  assert.equal(node.status().tenants, 2);
  await rejectsCode(() => node.put(HIDDEN, { key: "k", value: bytes("v") }), 1004);
  assert.throws(() => node.scan(HIDDEN, {}), PairError);
});

Deno.test("of two at once one is applied, and the other waits for it and gets its outcome [B5]", async () => {
  const { node, engine } = testNode();
  await put(node, 9, "before");
  engine.hold = true;
  let answered = 0;
  const both = [1, 2].map(() => put(node, 1, "x").finally(() => answered++));
  const other = reused(() => put(node, 1, "y"));
  await turn();
  await other;
  assert.equal(answered, 0, "nobody is told before it is durable");
  engine.sync();
  const [first, second] = await Promise.all(both);
  assert.deepEqual(second, first);
  assert.equal(writesOf(node), 2);
});

Deno.test("two that wait for the same room are applied once [B5]", async () => {
  const { node, engine } = testNode();
  await put(node, 9, "before");
  const go = engine.stall();
  const both = [put(node, 1, "x"), put(node, 1, "x")];
  await turn();
  go();
  const [first, second] = await Promise.all(both);
  assert.deepEqual(second, first);
  assert.equal(writesOf(node), 2);
});

Deno.test("a first write of all with a key comes twice at once [B5]", async () => {
  const { node } = testNode();
  const [first, second] = await Promise.all([put(node, 1, "x"), put(node, 1, "x")]);
  assert.deepEqual(second, first);
  assert.equal(writesOf(node), 1);
});

Deno.test("when the log fails nobody is told of success, not the one who comes again either [B5]", async () => {
  const { node, engine } = testNode();
  const before = await put(node, 9, "before");
  engine.hold = true;
  const first = rejectsCode(() => put(node, 1, "x"), 2004);
  let handed = 0;
  const watch = { gone: false, handedOver: () => handed++ };
  const again = rejectsCode(
    () => node.put("t", { key: "k", value: bytes("x"), idempotencyKey: keyOf(1) }, watch),
    2004,
  );
  await turn();
  assert.equal(handed, 1, "what became of it is unknown");
  engine.poison(new Error("fsync failed"));
  await Promise.all([first, again]);
  // What is durable is told without the log.
  assert.deepEqual(await put(node, 9, "before"), before);
});

Deno.test("a conditional put whose answer was lost comes again and has been applied; a refusal is not remembered [B5]", async () => {
  const { node } = testNode();
  const once = (n: number, value: string, context?: { entries: []; dots: [] }) =>
    node.put("t", {
      key: "k",
      value: bytes(value),
      context,
      ifContext: true,
      idempotencyKey: keyOf(n),
    });
  const first = await once(1, "1");
  assert.deepEqual(await once(1, "1"), first);
  await assert.rejects(() => once(2, "2"), ContextMismatch);
  await node.delete("t", { key: "k" });
  await once(2, "2");
  assert.equal(text(node.get("t", "k")!.winner.value), "2");
});

Deno.test("so many writes are remembered of each tenant, batches by their items, and no more [B5]", async () => {
  const { node, engine } = testNode({ idempotency: { ...DEFAULT_IDEMPOTENCY, maxWrites: 4 } });
  for (let n = 1; n <= 5; n++) await put(node, n, `${n}`);
  await put(node, 1, "1", "other");
  assert.equal(rows(engine), 2 * 4 + 2);
  await put(node, 2, "2");
  assert.equal(writesOf(node), 5);
  await put(node, 1, "1");
  assert.equal(writesOf(node), 6, "it was forgotten");
  const items = ["a", "b", "c"].map((key) => ({ key, value: bytes("v") }));
  await node.batchPut("t", items, { idempotencyKey: keyOf(6) });
  assert.equal(rows(engine), 2 * 2 + 2, "the batch, and the one before it");
  await put(node, 1, "1");
  assert.equal(writesOf(node), 6);
  // One that is too large alone is remembered alone.
  const many = Array.from({ length: 9 }, (_, i) => ({ key: `m${i}`, value: bytes("v") }));
  await node.batchPut("t", many, { idempotencyKey: keyOf(7) });
  assert.equal(rows(engine), 2 + 2);
  await node.batchPut("t", many, { idempotencyKey: keyOf(7) });
  assert.equal(writesOf(node, "m0"), 1);
});

Deno.test("a write is remembered for so long, and its key may come with another one then [B5]", async () => {
  const { node, engine, world } = testNode({
    idempotency: { ...DEFAULT_IDEMPOTENCY, maxAgeMs: 1000 },
  });
  await put(node, 1, "1");
  await world.clock.advance(999);
  await put(node, 1, "1");
  assert.equal(writesOf(node), 1);
  await world.clock.advance(1);
  await put(node, 1, "2");
  assert.equal(writesOf(node), 2);
  await put(node, 1, "2");
  assert.equal(writesOf(node), 2, "the new one is remembered");
  assert.equal(rows(engine), 2);
});

Deno.test("a wall clock that jumps makes nothing forgotten before its time, ahead or back [B5]", async () => {
  const { node, world } = testNode({ idempotency: { ...DEFAULT_IDEMPOTENCY, maxAgeMs: 1000 } });
  let others = 100;
  const told = new Map<number, unknown>();
  const first = await put(node, 1, "1");
  for (const byMs of [1_000_000, -1_000_000, -1_000_000, 1_000_000]) {
    world.clock.jumpWall(byMs);
    await world.clock.advance(10);
    // What clears the old away.
    told.set(others, await put(node, others++, "other"));
    for (const [n, answer] of told) assert.deepEqual(await put(node, n, "other"), answer);
    assert.deepEqual(await put(node, 1, "1"), first, `after a jump of ${byMs} ms`);
  }
  assert.equal(writesOf(node), 5);
  await world.clock.advance(1000);
  await put(node, 1, "1");
  assert.equal(writesOf(node), 6);
});

Deno.test("a key that comes anew while its old place is not cleared yet is remembered on [B5]", async () => {
  const { node, engine, world } = testNode({
    idempotency: { ...DEFAULT_IDEMPOTENCY, maxAgeMs: 1000 },
  });
  for (let n = 1; n <= 30; n++) await put(node, n, "old");
  await world.clock.advance(1000);
  await put(node, 30, "new");
  assert.ok(rows(engine) > 2 + 1, "one write clears so many and no more");
  await put(node, 31, "clears the rest");
  assert.equal(rows(engine), 2 * 2);
  const writes = writesOf(node);
  await put(node, 30, "new");
  assert.equal(writesOf(node), writes);
});

Deno.test("a dropped tenant takes its keys along, also when the node ended in between [B5]", async () => {
  const { node, engine, world } = testNode();
  await put(node, 1, "1");
  await put(node, 1, "1", "stays");
  await node.dropTenant("t");
  assert.equal(rows(engine), 2);
  await put(node, 1, "another");
  assert.equal(text(node.get("t", "k")?.winner.value), "another");
  // As if the node had ended before it could forget.
  await engine.dropTree(engine.tree("t")!);
  assert.equal(rows(engine), 4);
  const later = nodeOn(engine, world);
  await put(later, 1, "1", "stays");
  assert.equal(rows(engine), 2);
  assert.equal(writesOf(later, "k", "stays"), 1);
});

Deno.test("to forget a tenant passes over what it has deleted already no second time", async () => {
  const { node, engine } = testNode();
  for (let n = 0; n < 1100; n++) await put(node, n, "v");
  const scan = engine.scan.bind(engine);
  const froms: string[] = [];
  engine.scan = (tree, range, ...more) => {
    if (tree.name === HIDDEN) froms.push((range.start ?? range.prefix ?? bytes("")).toHex());
    return scan(tree, range, ...more);
  };
  await node.dropTenant("t");
  // An outcome and a place of each, a thousand at a time, and a look that finds no more.
  assert.equal(froms.length, 4);
  assert.ok(froms[0] < froms[1] && froms[1] < froms[2] && froms[2] < froms[3], froms.join());
  assert.equal(rows(engine), 0);
});

Deno.test("without a key nothing of it is there [B5]", async () => {
  const { node, engine } = testNode();
  await node.put("t", { key: "k", value: bytes("v") });
  await node.delete("t", { key: "k" });
  await node.batchPut("t", [{ key: "k", value: bytes("v") }]);
  await node.dropTenant("t");
  assert.equal(engine.tree(HIDDEN), undefined);
  // A delete with a key needs a place for what it did.
  await node.delete("t", { key: "k", idempotencyKey: keyOf(1) });
  assert.equal(node.listTenants().length, 1);
});

/** One step of the model test. */
type Step =
  | { readonly do: "put"; readonly key: number; readonly value: number; readonly weight: number }
  | { readonly do: "wait"; readonly ms: number }
  | { readonly do: "restart" };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      do: fc.constant("put" as const),
      key: fc.nat({ max: 6 }),
      value: fc.nat({ max: 1 }),
      weight: fc.integer({ min: 1, max: 3 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant("wait" as const), ms: fc.nat({ max: 60 }) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("restart" as const) }) },
);

Deno.test("what is remembered is what a list of the last writes says, over restarts [B5]", async () => {
  const limits = { maxWrites: 5, maxAgeMs: 100 };
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const world = simRuntime();
      world.disk.makeDir("/data");
      const engine = new MemoryEngine({
        operators: [reconcileOperator],
        wallMs: () => world.clock.wallMs(),
      });
      const open = () => nodeOn(engine, world, { idempotency: limits });
      let node = open();
      /** The newest last. A batch of one key's items: its counter says how often each was applied. */
      let model: { key: number; id: string; weight: number; atMs: number; answer: unknown }[] = [];
      let applied = 0;
      for (const each of steps) {
        if (each.do === "wait") await world.clock.advance(each.ms);
        else if (each.do === "restart") node = open();
        else {
          const nowMs = world.clock.wallMs();
          const { key, value, weight } = each;
          const id = `${value} ${weight}`;
          const items = Array.from({ length: weight }, () => ({ key: "k", value: bytes(id) }));
          const run = () => node.batchPut("t", items, { idempotencyKey: keyOf(key) });
          const known = model.findLast((one) => one.key === key);
          if (known !== undefined && nowMs - known.atMs < limits.maxAgeMs) {
            if (known.id !== id) await reused(run);
            else assert.deepEqual(await run(), known.answer);
          } else {
            const answer = await run();
            applied += weight;
            model.push({ key, id, weight, atMs: nowMs, answer });
            const sum = () => model.reduce((all, one) => all + one.weight, 0);
            while (sum() > limits.maxWrites || nowMs - model[0].atMs >= limits.maxAgeMs) {
              model = model.slice(1);
            }
            assert.equal(rows(engine), 2 * model.length);
          }
        }
        assert.equal(writesOf(node), applied);
      }
    }),
    { numRuns: 200 },
  );
});

Deno.test("what was remembered, told again and refused is counted, each write once [B5]", async () => {
  const { node } = testNode();
  const figures = () => {
    const { counters } = node.status();
    return ["Remembered", "Replays", "Refusals"].map((name) => counters[`idempotency${name}`]);
  };
  assert.deepEqual(figures(), [0, 0, 0]);
  await put(node, 1, "1");
  await node.put("t", { key: "k", value: bytes("without a key") });
  assert.deepEqual(figures(), [1, 0, 0]);
  await put(node, 1, "1");
  await put(node, 1, "1");
  assert.deepEqual(figures(), [1, 2, 0]);
  await reused(() => put(node, 1, "another"));
  assert.deepEqual(figures(), [1, 2, 1]);
  // Two at the same time: one is applied, the other told what it did.
  await Promise.all([put(node, 2, "2"), put(node, 2, "2")]);
  assert.deepEqual(figures(), [2, 3, 1]);
  const items = [{ key: "a", value: bytes("1") }, { key: "b", value: bytes("2") }];
  await node.batchPut("t", items, { idempotencyKey: keyOf(3) });
  assert.deepEqual(figures(), [3, 3, 1], "a batch is one write");
});
