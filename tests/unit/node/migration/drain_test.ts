/**
 * A drain and the writes that were under way when it began: one that was held back then is refused, for nobody would
 * move it.
 * @module
 */
import assert from "node:assert/strict";
import type { Version } from "../../../../src/model/mod.ts";
import { NOTHING, type Peer, type StorageNode } from "../../../../src/node/mod.ts";
import { bytes, rejectsCode, testNode, turn } from "../../../support/node.ts";
import { checksumOf } from "../../../support/transfer.ts";

/** A target that takes everything, and holds whatever it is asked for. */
const TARGET: Peer = {
  identity: () => Promise.resolve({ nodeId: "n2", incarnation: "one" }),
  replicate: (_tenant, _origin, entries) =>
    Promise.resolve({
      keys: new Set(entries.map(({ key }) => key)).size,
      versions: entries.length,
      applied: entries.length,
      lastKey: entries.at(-1)?.key ?? "",
    }),
  count: () => Promise.resolve(NOTHING),
  close() {},
};

const value = bytes("late");
const clock = { entries: [{ node: "n9", counter: 1 }], dots: [] };
const version: Version = { clock, dot: undefined, value, timestampMs: 7, expiresAtMs: 0 };
const entries = [{ key: "late", version }];

const WRITES: Readonly<Record<string, (node: StorageNode, tenant: string) => Promise<unknown>>> = {
  put: (node, tenant) => node.put(tenant, { key: "late", value }),
  "put with an idempotency key": (node, tenant) =>
    node.put(tenant, { key: "late", value, idempotencyKey: "0123456789abcdef" }),
  batchPut: (node, tenant) => node.batchPut(tenant, [{ key: "late", value }]),
  applyReplica: (node, tenant) =>
    node.applyReplica(tenant, { key: "late", value, deleted: false, clock }, "write"),
  replicate: (node, tenant) => node.replicate(tenant, entries, checksumOf(entries)),
};

/** A node whose writers wait. */
async function busyNode() {
  const it = testNode({ peers: { open: () => TARGET } });
  await it.node.put("t", { key: "k", value: bytes("v") });
  return { ...it, resume: it.engine.stall() };
}

Deno.test("a write that waits when a drain begins is refused, whichever way it came [S6]", async (t) => {
  for (const [name, write] of Object.entries(WRITES)) {
    await t.step(name, async () => {
      const { node, engine, resume } = await busyNode();
      const waiting = rejectsCode(() => write(node, "t"), 2001);
      // Made by whoever writes first.
      const { hold } = engine;
      engine.hold = true;
      const making = rejectsCode(() => write(node, "new"), 2001);
      await turn();
      engine.hold = hold;
      const draining = node.drain("target");
      engine.sync();
      await draining;
      assert.ok(node.draining);
      resume();
      engine.sync();
      await Promise.all([waiting, making]);
      await turn();
      const keys = [...node.scan("t", {})].map(({ key }) => key);
      assert.deepEqual(keys, ["k"]);
      assert.equal(node.get("new", "late"), undefined);
      await node.cancelDrain();
      await write(node, "t");
      assert.ok(node.get("t", "late") !== undefined);
      await node.close();
    });
  }
});

Deno.test("a delete that waits when a drain begins is refused, and what it was of stays [S6]", async () => {
  const { node, resume } = await busyNode();
  const waiting = rejectsCode(() => node.delete("t", { key: "k" }), 2001);
  await turn();
  await node.drain("target");
  resume();
  await waiting;
  assert.ok(node.get("t", "k") !== undefined);
  await node.close();
});
