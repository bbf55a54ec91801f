/**
 * What a node tells of a read: the state of the key, its versions, and the way of the read.
 * @module
 */
import assert from "node:assert/strict";
import { DEFAULT_ENGINE_OPTIONS } from "../../../src/engine/mod.ts";
import type { StorageNode } from "../../../src/node/mod.ts";
import { engineWorld, openTestEngine } from "../../support/engine.ts";
import { bytes, nodeOn, rejectsCode, testNode, text } from "../../support/node.ts";

/** What of an explanation the engine in memory knows, too. */
async function state(node: StorageNode, key = "k"): Promise<unknown[]> {
  const { state, source, versions } = await node.explain("t", key);
  return [state, source, versions.map((version) => [version.state, version.valueBytes])];
}

Deno.test("explain: a value, a delete, an expired value and no key are told apart [B3]", async () => {
  const { node, world } = testNode();
  assert.deepEqual(await state(node), ["absent", "none", []], "no tenant");
  assert.deepEqual(node.listTenants(), [], "none is made");
  const { clock, timestampMs } = await node.put("t", { key: "k", value: bytes("12345") });
  assert.deepEqual(await state(node), ["found", "memtable", [["value", 5]]]);
  const told = await node.explain("t", "k");
  assert.deepEqual(told.clock, clock);
  assert.ok(told.stateBytes > 5);
  const [version] = told.versions;
  assert.deepEqual([version.clock, version.timestampMs, version.expiresAtMs], [
    clock,
    timestampMs,
    0,
  ]);
  assert.deepEqual(version.dot, clock.entries[0]);
  await node.put("t", { key: "short", value: bytes("abc"), ttlMs: 1000 });
  assert.deepEqual(await state(node, "short"), ["found", "memtable", [["value", 3]]]);
  await world.clock.advance(1000);
  assert.deepEqual(await state(node, "short"), ["expired", "memtable", [["expired", 3]]]);
  const [expired] = (await node.explain("t", "short")).versions;
  assert.ok(expired.expiresAtMs > 0 && expired.expiresAtMs <= world.clock.wallMs());
  assert.equal(node.get("t", "short"), undefined);
  await node.delete("t", { key: "k" });
  assert.deepEqual(await state(node), ["deleted", "memtable", [["deleted", 0]]]);
  assert.deepEqual(await state(node, "none"), ["absent", "none", []]);
  await node.close();
});

Deno.test("explain: all siblings come with their clocks, the latest first, and none hides the others [B3]", async () => {
  const { node, world } = testNode();
  const { clock: context } = await node.put("t", { key: "k", value: bytes("1") });
  await world.clock.advance(1);
  await node.put("t", { key: "k", value: bytes("22"), context });
  await world.clock.advance(1);
  await node.put("t", { key: "k", value: bytes("333"), context, ttlMs: 10 });
  await world.clock.advance(1);
  await node.delete("t", { key: "k", context });
  const siblings = ["value", "value", "deleted"];
  const told = await node.explain("t", "k");
  assert.equal(told.state, "found");
  assert.deepEqual(told.versions.map(({ state }) => state), siblings.toReversed());
  assert.deepEqual(told.versions.map(({ valueBytes }) => valueBytes), [0, 3, 2]);
  const read = node.get("t", "k")!;
  assert.deepEqual(told.clock, read.clock);
  const clocks = (of: readonly { clock: unknown }[]) =>
    of.map(({ clock }) => JSON.stringify(clock)).sort();
  assert.deepEqual(clocks(told.versions), clocks(read.versions));
  await world.clock.advance(10);
  const later = await node.explain("t", "k");
  assert.deepEqual(later.versions.map(({ state }) => state), ["deleted", "expired", "value"]);
  assert.equal(later.state, "found", "one lives");
  await node.close();
});

Deno.test("explain: what is no tenant or key is refused, and a quota holds for it [B3]", async () => {
  const { node } = testNode({ tenantAutoCreate: false });
  await rejectsCode(() => node.explain("t", "k"), 1004);
  await rejectsCode(() => node.explain("a:b", "k"), 1004);
  await node.createTenant("t", { maxRequests: 1 });
  await rejectsCode(() => node.explain("t", "a\0b"), 1005);
  assert.deepEqual(await state(node), ["absent", "none", []]);
  await rejectsCode(async () => {
    for (let i = 0; i < 10; i++) await node.explain("t", "k");
  }, 2008);
  await node.close();
});

Deno.test("explain: on the real engine a read is told from memtable to table to row cache [B3]", async () => {
  const world = engineWorld();
  const engine = await openTestEngine(world, {
    ...DEFAULT_ENGINE_OPTIONS,
    scrub: { intervalMs: 0 },
  });
  const node = nodeOn(engine, world);
  await node.put("t", { key: "k", value: bytes("1"), ttlMs: 60_000 });
  await node.flush("t");
  const layers = async () =>
    (await node.explain("t", "k")).steps.map(({ layer, result }) => [layer, result]);
  const start = [["memtable", "nothing"]];
  assert.deepEqual(await layers(), [...start, ["row_cache", "nothing"], ["sstable", "found"]]);
  assert.deepEqual(await layers(), [...start, ["row_cache", "found"]]);
  assert.equal((await node.explain("t", "k")).source, "cache");
  await world.clock.advance(60_000);
  const expired = await node.explain("t", "k");
  assert.deepEqual([expired.state, expired.source], ["expired", "cache"]);
  const stored = expired.steps.at(-1)!.valueBytes;
  assert.equal(stored, expired.stateBytes);
  assert.equal(text(node.get("t", "k")?.winner.value), undefined);
  await node.close();
});
