/**
 * The guard against hot keys, on a node with a simulated clock: what it tells, what it refuses and what not,
 * and that nothing changes then.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { Tree } from "../../../../src/engine/mod.ts";
import {
  addToChecksum,
  encodeKey,
  encodeVersions,
  PairError,
  utf8,
} from "../../../../src/model/mod.ts";
import { HotKeys } from "../../../../src/node/hot_keys/mod.ts";
import type { StorageNode } from "../../../../src/node/mod.ts";
import { SimRandom } from "../../../../src/runtime/mod.ts";
import { bytes, rejectsCode, testNode } from "../../../support/node.ts";

/** Demands that a call is refused for a hot key. @returns its hint, ms */
async function refused(run: () => unknown, limit: number): Promise<number> {
  let waitMs = 0;
  await assert.rejects(async () => await run(), (error) => {
    assert.ok(error instanceof PairError, `${error}`);
    assert.deepEqual([error.code, error.details.reason, error.details.limit], [
      2008,
      "hot_key",
      limit,
    ]);
    assert.ok(!error.message.includes("hot key's name"), "a key is a tenant's");
    waitMs = error.details.retry_after_ms as number;
    return true;
  });
  assert.ok(Number.isInteger(waitMs) && waitMs > 0, `${waitMs}`);
  return waitMs;
}

const KEY = "hot key's name";
const clock = { entries: [{ node: "x", counter: 1 }], dots: [] };
const put = (node: StorageNode, key: string, tenant = "t") =>
  node.put(tenant, { key, value: bytes("v") });

/** Every way to read a key. */
const READS: Readonly<Record<string, (node: StorageNode, key: string) => unknown>> = {
  get: (node, key) => node.get("t", key),
  read: (node, key) => node.read("t", key),
  explain: (node, key) => node.explain("t", key),
  batchGet: (node, key) => node.batchGet("t", ["other", key]),
};

/** Every way to write a key but deletes, as clients have them. */
const WRITES: Readonly<Record<string, (node: StorageNode, key: string) => Promise<unknown>>> = {
  put,
  batchPut: (node, key) => {
    const items = ["other", key].map((key) => ({ key, value: bytes("v") }));
    return node.batchPut("t", items);
  },
  applyReplica: (node, key) => {
    const write = { key, value: bytes("v"), deleted: false, clock };
    return node.applyReplica("t", write, "write");
  },
};

const figuresOf = (node: StorageNode) => node.status().counters;
const refusedOf = (node: StorageNode) => node.listTenants()[0].usage.refused;

for (const [name, read] of Object.entries(READS)) {
  Deno.test(`hot keys: ${name} of a key above its limit is refused, of others not, and served after the hint [B12]`, async () => {
    const { node, engine, world } = testNode({ hotKeys: { maxReads: 10, maxWrites: 0 } });
    await put(node, KEY);
    await put(node, "cold");
    await put(node, KEY, "u");
    const logged = engine.log.length;
    // Half a second's worth is seen, then a second's worth served.
    let served = 0;
    for (; served < 100; served++) {
      try {
        await read(node, KEY);
      } catch {
        break;
      }
    }
    assert.ok(served >= 10 && served <= 15, `${served}`);
    const { requests, bytesOut } = node.listTenants()[0].usage;
    const waitMs = await refused(() => read(node, KEY), 10);
    const { usage } = node.listTenants()[0];
    assert.deepEqual([usage.requests, usage.bytesOut], [requests, bytesOut]);
    assert.equal(engine.log.length, logged);
    node.get("t", "cold");
    node.get("u", KEY);
    await put(node, KEY);
    assert.ok(waitMs <= 100, `${waitMs}`);
    await world.clock.advance(waitMs - 1);
    await refused(() => read(node, KEY), 10);
    await world.clock.advance(1);
    await read(node, KEY);
    assert.equal(refusedOf(node), 3);
    assert.deepEqual([figuresOf(node).hotReadsRefused, figuresOf(node).hotWritesRefused], [3, 0]);
  });
}

for (const [name, write] of Object.entries(WRITES)) {
  Deno.test(`hot keys: ${name} of a key above its limit is refused, changes nothing, and goes on after the hint [B12]`, async () => {
    const { node, engine, world } = testNode({ hotKeys: { maxReads: 0, maxWrites: 4 } });
    let served = 0;
    for (; served < 100; served++) {
      try {
        await write(node, KEY);
      } catch {
        break;
      }
    }
    assert.ok(served >= 4 && served <= 6, `${served}`);
    const logged = engine.log.length;
    const before = node.listTenants()[0].usage;
    const waitMs = await refused(() => write(node, KEY), 4);
    assert.equal(engine.log.length, logged);
    const { refused: refusals, ...rest } = node.listTenants()[0].usage;
    assert.deepEqual({ ...rest, refused: refusals - 1 }, before);
    // Whoever wants to be rid of the key may be; so may what nodes hand each other.
    assert.equal((await node.delete("t", { key: KEY })).existed, true);
    const version = { clock, dot: undefined, value: bytes("c"), timestampMs: 1, expiresAtMs: 0 };
    const state = encodeVersions([version]);
    const checksum = addToChecksum(encodeKey(KEY), state, 0);
    await node.replicate("t", [{ key: KEY, version }], checksum);
    await node.applyReplica("t", { key: KEY, value: bytes("r"), deleted: false, clock }, "repair");
    node.get("t", KEY);
    await put(node, "cold");
    await put(node, KEY, "u");
    await world.clock.advance(waitMs);
    await write(node, KEY);
    assert.equal(figuresOf(node).hotWritesRefused, 2);
  });
}

Deno.test("hot keys: a batch that is refused takes nothing of its other keys' limits [B12]", async () => {
  const { node } = testNode({ hotKeys: { maxReads: 2, maxWrites: 2 } });
  await node.createTenant("t", {});
  for (let i = 0; i < 2; i++) await put(node, KEY);
  const batch = (keys: string[]) =>
    node.batchPut("t", keys.map((key) => ({ key, value: bytes("v") })));
  await put(node, "b");
  await put(node, KEY).catch(() => {});
  for (let i = 0; i < 10; i++) await refused(() => batch(["b", KEY]), 2);
  await put(node, "b");
  await refused(() => batch(["a", "b", "b", "b", KEY]), 2);
});

Deno.test("hot keys: whoever keeps to the limit is never refused, and who does not gets little more than it [B12]", () => {
  const scene = fc.record({
    seed: fc.nat(),
    limit: fc.integer({ min: 1, max: 200 }),
    /** Others' calls in a millisecond, each of another key. */
    others: fc.constantFrom(0, 1, 40),
    seconds: fc.integer({ min: 1, max: 3 }),
  });
  fc.assert(
    fc.property(scene, ({ seed, limit, others, seconds }) => {
      const random = new SimRandom(seed);
      let nowMs = 0;
      const tree: Tree = {
        id: 1,
        name: "t",
        createdAtMs: 0,
        purgeFloor: 0,
        purgedSequence: 0,
        options: {},
      };
      let refusals = 0;
      const keys = new HotKeys({
        clock: { monotonicMs: () => nowMs },
        random,
        limits: { maxReads: limit, maxWrites: 0 },
        refused: () => refusals++,
      });
      const ask = (key: string) => {
        try {
          keys.read(tree, utf8(key));
          return true;
        } catch {
          return false;
        }
      };
      let greedy = 0;
      for (let ms = 0; ms < seconds * 1000; ms++) {
        nowMs = ms;
        // In a rush each second, but no more often than the limit.
        if (ms % 1000 === 0) {
          for (let i = 0; i < limit; i++) assert.ok(ask("polite"), `refused at ${ms} ms`);
        }
        for (let i = 0; i < others; i++) ask(`other ${random.u32()}`);
        // 2000 a second.
        for (let i = 0; i < 2; i++) if (ask("greedy")) greedy++;
      }
      assert.equal(refusals, 2000 * seconds - greedy);
      // Where calls are sampled some pass before the first that is looked at.
      const most = limit * (seconds + 1.5) + (others > 1 ? 300 : 1);
      assert.ok(greedy <= most, `${greedy} of ${most}`);
    }),
    { numRuns: 20 },
  );
});

Deno.test("hot keys: the list has the hottest first, by tenant, with reads and writes [B12]", async () => {
  const { node, world } = testNode();
  for (let s = 0; s < 30; s++) {
    for (let i = 0; i < 20; i++) node.get("t", "read");
    if (s === 0) await put(node, "read");
    for (let i = 0; i < 10; i++) await put(node, "written");
    await node.batchGet("t", ["read", "cold"]);
    await node.delete("t", { key: "deleted" });
    await put(node, "read", "u");
    node.get("u", "read");
    await world.clock.advance(1000);
  }
  const keys = node.hotKeys();
  assert.deepEqual(keys.map(({ tenant, key }) => `${tenant} ${key}`).slice(0, 3), [
    "t read",
    "t written",
    "u read",
  ]);
  const near = (rate: { perSecond: number; error: number }, expected: number) => {
    assert.equal(rate.error, 0);
    assert.ok(Math.abs(rate.perSecond - expected) <= 0.1 * expected, `${rate.perSecond}`);
  };
  near(keys[0].reads, 21);
  near(keys[1].writes, 10);
  near(keys[2].reads, 1);
  near(keys[2].writes, 1);
  assert.deepEqual(keys[1].reads, { perSecond: 0, error: 0 });
  assert.deepEqual(keys.map(({ key }) => key).sort(), [
    "cold",
    "deleted",
    "read",
    "read",
    "written",
  ]);
  assert.deepEqual(node.hotKeys({ limit: 1 }), keys.slice(0, 1));
  assert.deepEqual(node.hotKeys({ tenant: "u" }), [keys[2]]);
  const figures = figuresOf(node);
  assert.ok(Math.abs(figures.hotReadShare - 21 / 23) < 0.02, `${figures.hotReadShare}`);
  assert.ok(Math.abs(figures.hotWriteShare - 10 / 12) < 0.02, `${figures.hotWriteShare}`);
  assert.ok(Math.abs(figures.hotReadRate - 21) < 2.1, `${figures.hotReadRate}`);
  await rejectsCode(() => node.hotKeys({ tenant: "v" }), 1004);
  await rejectsCode(() => node.hotKeys({ tenant: "a:b" }), 1004);
});

Deno.test("hot keys: those of a tenant that was dropped are not told, and a new one of its name has none [B12]", async () => {
  const { node, world } = testNode({ hotKeys: { maxReads: 1, maxWrites: 1 } });
  await put(node, KEY);
  await refused(() => put(node, KEY), 1);
  await node.dropTenant("t");
  assert.deepEqual(node.hotKeys(), []);
  await node.createTenant("t", {});
  assert.deepEqual(node.hotKeys(), []);
  await put(node, KEY);
  await world.clock.advance(300_000);
  assert.deepEqual(node.hotKeys(), [], "what was long ago is forgotten");
});
