/**
 * Seals of contexts on a node: every answer has them, what comes with another's is refused before anything has
 * changed, and calls between nodes know nothing of them.
 * @module
 */
import assert from "node:assert/strict";
import {
  type CausalContext,
  ContextMismatch,
  ContextSeals,
  EMPTY_CLOCK,
  VECTOR_CLOCK,
} from "../../../src/model/mod.ts";
import type { PutInput, StorageNode, WatchEvent, WriteOptions } from "../../../src/node/mod.ts";
import { bytes, rejectsCode, testNode, text } from "../../support/node.ts";

const SECRET = Uint8Array.from({ length: 16 }, (_, i) => i);

/** A node with seals, and what makes the same. */
function sealingNode(required = false, secret = SECRET) {
  const world = testNode({ seals: new ContextSeals(secret, required) });
  const oracle = new ContextSeals(SECRET);
  const sealed = ({ entries, dots }: CausalContext, key = "k", tenant = "t") =>
    oracle.seal(tenant, key, { entries, dots });
  return { ...world, sealed };
}

function put(node: StorageNode, value: string, how: Partial<PutInput> & WriteOptions = {}) {
  return node.put("t", { key: "k", value: bytes(value), ...how });
}

async function refuses(run: () => Promise<unknown>, item?: number): Promise<void> {
  const details = { reason: "context_seal", ...(item === undefined ? {} : { item }) };
  await assert.rejects(run, { name: "PairError", code: 1000, details });
}

/** The first events of a watch, up to this many that are about keys. */
async function watched(
  node: StorageNode,
  count: number,
  initial = true,
): Promise<readonly WatchEvent[]> {
  const found: WatchEvent[] = [];
  for await (const events of node.watch("t", { initial })) {
    found.push(...events.filter(({ key }) => key !== ""));
    if (found.length >= count) break;
  }
  return found;
}

Deno.test("every answer that tells a context seals it for its key", async () => {
  const { node, sealed } = sealingNode();
  const one = await put(node, "1");
  assert.notEqual(one.clock.seal, undefined);
  assert.deepEqual(one.clock, sealed(one.clock));
  const two = await put(node, "2", { context: EMPTY_CLOCK });
  assert.deepEqual(two.clock, sealed(two.clock));
  const { results } = await node.batchPut("t", [
    { key: "a", value: bytes("a") },
    { key: "é", value: bytes("b") },
  ]);
  assert.deepEqual(results.map(({ clock }) => clock), [
    sealed(results[0].clock, "a"),
    sealed(results[1].clock, "é"),
  ]);

  const found = node.get("t", "k")!;
  assert.equal(found.versions.length, 2);
  assert.deepEqual(found.clock, sealed(found.clock));
  for (const { clock } of found.versions) assert.deepEqual(clock, sealed(clock));
  assert.equal(found.winner, found.versions[0]);
  assert.deepEqual(await node.read("t", "k"), found);
  assert.deepEqual(await node.batchGet("t", ["k", "none"]), [found, undefined]);
  const single = node.get("t", "a")!;
  assert.deepEqual(single.clock, results[0].clock);

  const rows = [...node.scan("t", {})];
  assert.deepEqual(rows.map(({ key, result }) => [key, result.clock]), [
    ["a", results[0].clock],
    ["k", found.clock],
    ["é", results[1].clock],
  ]);
  assert.deepEqual(rows[1].result.versions, found.versions);

  const events = await watched(node, 3);
  assert.deepEqual(events.map(({ key, clock, state }) => [key, clock, state!.clock]), [
    ["a", results[0].clock, results[0].clock],
    ["k", found.clock, found.clock],
    ["é", results[1].clock, results[1].clock],
  ]);

  const how = await node.explain("t", "k");
  assert.deepEqual(how.clock, found.clock);
  for (const { clock } of how.versions) assert.deepEqual(clock, sealed(clock));

  const deleted = await node.delete("t", { key: "k", context: found.clock });
  assert.deepEqual(deleted.clock, sealed(deleted.clock));
  assert.equal(deleted.existed, true);
  const nothing = await node.delete("t", { key: "never" });
  assert.deepEqual(nothing.clock, EMPTY_CLOCK);
});

Deno.test("a watcher is told of deletes with the seal, and of what is about no key without", async () => {
  const { node, sealed } = sealingNode();
  await put(node, "1");
  const watch = node.watch("t", {});
  const [progress] = (await watch.next()).value!;
  assert.deepEqual([progress.type, progress.clock], ["progress", EMPTY_CLOCK]);
  const deleted = await node.delete("t", { key: "k" });
  const [event] = (await watch.next()).value!;
  assert.equal(event.type, "delete");
  assert.deepEqual(event.clock, sealed(deleted.clock));
  await watch.return(undefined);
});

Deno.test("the present context of a refused conditional write is sealed, and can be used", async () => {
  const { node, sealed } = sealingNode();
  const first = await put(node, "1");
  const second = await put(node, "2", { context: first.clock, ifContext: true });
  const run = () => put(node, "lost", { context: first.clock, ifContext: true });
  const refused = await run().catch((error: unknown) => error);
  assert.ok(refused instanceof ContextMismatch);
  assert.deepEqual(refused.present, sealed(second.clock));
  // The seal is no part of what is compared.
  const { entries, dots } = second.clock;
  await put(node, "3", { context: { entries, dots }, ifContext: true });
});

Deno.test("a context of another key, tenant or clock is refused, and nothing has changed", async () => {
  const { node, engine } = sealingNode();
  const { clock } = await put(node, "1");
  const other = await node.put("t", { key: "other", value: bytes("1") });
  const elsewhere = await node.put("u", { key: "k", value: bytes("1") });
  const [{ node: id, counter }] = clock.entries;
  const wrong: CausalContext[] = [
    other.clock,
    elsewhere.clock,
    { ...clock, seal: clock.seal! ^ 1 },
    { ...clock, seal: 0 },
    { ...clock, seal: 2 ** 53 },
    { ...clock, seal: -1 },
    { ...clock, seal: NaN },
    { ...clock, entries: [{ node: id, counter: counter + 1 }] },
    { ...clock, entries: [{ node: `${id}x`, counter }] },
    { ...clock, dots: [{ node: id, counter: counter + 2 }] },
    { ...clock, entries: [] },
  ];
  const before = engine.stats().lastSequence;
  const value = bytes("lost");
  const idempotencyKey = "0123456789abcdef";
  for (const context of wrong) {
    for (const ifContext of [false, true]) {
      const how = { context, ifContext };
      await refuses(() => put(node, "lost", how));
      await refuses(() => put(node, "lost", { ...how, idempotencyKey }));
      await refuses(() => node.delete("t", { key: "k", ...how }));
      await refuses(() => node.delete("t", { key: "k", ...how, idempotencyKey }));
      const items = [{ key: "sound", value }, { key: "k", value, ...how }];
      await refuses(() => node.batchPut("t", items), 1);
      await refuses(() => node.batchPut("t", items, { idempotencyKey }), 1);
    }
    // No tenant is made for it.
    await refuses(() => node.put("nobody", { key: "k", value, context, ifContext: true }));
    await refuses(() => node.delete("nobody", { key: "k", context }));
  }
  assert.equal(engine.stats().lastSequence, before);
  assert.deepEqual(node.listTenants().map(({ tenant }) => tenant), ["t", "u"]);
  assert.equal(text(node.get("t", "k")!.winner.value), "1");
});

Deno.test("what is wrong with tenant, key or clock is said before the seal is looked at", async () => {
  const { node } = sealingNode();
  const context = { entries: [{ node: "n1", counter: 1 }], dots: [], seal: 1 };
  const value = bytes("v");
  await rejectsCode(() => node.put("", { key: "k", value, context }), 1004);
  await rejectsCode(() => node.put("t", { key: "a\n", value, context }), 1005);
  await rejectsCode(() => node.put("t", { key: "k".repeat(1025), value, context }), 1002);
  await assert.rejects(
    () => put(node, "v", { context: { ...context, entries: [{ node: "", counter: 1 }] } }),
    { code: 1000, message: /node id/ },
  );
});

Deno.test("a sealed context is taken in any order of its events, and replaces what it has seen", async () => {
  const { node } = sealingNode();
  await node.applyReplica("t", {
    key: "k",
    value: bytes("copy"),
    deleted: false,
    clock: { entries: [{ node: "n0", counter: 4 }, { node: "n2", counter: 7 }], dots: [] },
  }, "write");
  const { clock } = await put(node, "1", { context: EMPTY_CLOCK });
  const all = node.get("t", "k")!.clock;
  assert.equal(all.entries.length + all.dots.length, 3);
  const turned = { ...all, entries: [...all.entries].reverse(), dots: [...all.dots].reverse() };
  await put(node, "2", { context: turned });
  assert.deepEqual(node.get("t", "k")!.versions.map(({ value }) => text(value)), ["2"]);
  // One that saw less leaves the rest.
  await put(node, "3", { context: clock });
  assert.equal(node.get("t", "k")!.versions.length, 2);
});

Deno.test("a context without a seal is taken, unless the node wants one", async () => {
  const bare = ({ entries, dots }: CausalContext) => ({ entries, dots });
  for (const required of [false, true]) {
    const { node } = sealingNode(required);
    const { clock } = await put(node, "1", { context: EMPTY_CLOCK, ifContext: true });
    const run = () => put(node, "2", { context: bare(clock) });
    const remove = () => node.delete("t", { key: "k", context: bare(clock) });
    if (required) {
      await refuses(run);
      await refuses(remove);
      await refuses(
        () => node.batchPut("t", [{ key: "k", value: bytes("2"), context: bare(clock) }]),
        0,
      );
    } else {
      await run();
      await remove();
    }
    await put(node, "3", { context: node.get("t", "k")?.clock });
  }
});

Deno.test("between nodes versions have no seals, and need none", async () => {
  const { node } = sealingNode(true);
  const clock = { entries: [{ node: "n2", counter: 7 }], dots: [] };
  const copy = { key: "k", value: bytes("copy"), deleted: false, clock };
  const written = await node.applyReplica("t", copy, "write");
  assert.deepEqual(written.clock, clock);
  const stored = await node.read("t", "k", { asStored: true });
  assert.deepEqual(stored!.clock, clock);
  for await (const { entries } of node.streamKeys("t", {})) {
    for (const { version } of entries) assert.deepEqual(version.clock, clock);
  }
});

Deno.test("a node without seals makes none, and does not look at any", async () => {
  const { node } = testNode();
  const { clock } = await put(node, "1");
  assert.ok(!("seal" in clock));
  await put(node, "2", { context: { ...clock, seal: 5 } });
  assert.ok(!("seal" in node.get("t", "k")!.clock));
});

Deno.test("a stored version never has the seal that a client sent", async () => {
  const { node } = sealingNode();
  const first = await put(node, "1");
  const second = await put(node, "2", { context: first.clock });
  assert.notEqual(second.clock.seal, first.clock.seal);
  const stored = await node.read("t", "k", { asStored: true });
  assert.ok(!("seal" in stored!.clock));
  assert.ok(stored!.versions.every(({ clock }) => !("seal" in clock)));
});

Deno.test("a write with an idempotency key gets the same answer, its seal included [B5]", async () => {
  const { node } = sealingNode();
  const { clock: context } = await put(node, "1");
  const idempotencyKey = "0123456789abcdef";
  const item = { key: "k", value: bytes("2"), context };
  const runs = [
    () => put(node, "2", { context, idempotencyKey }),
    () => node.batchPut("t", [item], { idempotencyKey: `${idempotencyKey}b` }),
    () => node.delete("t", { key: "k", context, idempotencyKey: `${idempotencyKey}d` }),
  ];
  for (const run of runs) {
    const first = await run();
    assert.deepEqual(await run(), first);
  }
  // It is the same write without its seal, and with one that was made by another secret: it was applied then.
  const { entries, dots } = context;
  const once = await put(node, "2", { context, idempotencyKey });
  for (const seal of [undefined, 7]) {
    assert.deepEqual(
      await put(node, "2", { context: { entries, dots, seal }, idempotencyKey }),
      once,
    );
  }
});

Deno.test("what a strategy or a merge makes of versions is sealed as it is shown", async () => {
  for (const conflictStrategy of [VECTOR_CLOCK, "lww", "merge:counter"]) {
    const { node, sealed } = sealingNode();
    await node.createTenant("t", { conflictStrategy });
    const { clock } = await put(node, "+1");
    assert.deepEqual(clock, sealed(clock));
    const next = await put(node, "+2", { context: clock });
    assert.deepEqual(next.clock, sealed(next.clock));
    const found = node.get("t", "k")!;
    assert.deepEqual(found.clock, sealed(found.clock));
    await refuses(() => node.put("t", { key: "l", value: bytes("+1"), context: found.clock }));
  }
});
