import assert from "node:assert/strict";
import fc from "fast-check";
import { compareBytes } from "../../../src/model/mod.ts";
import { KIND_PUT } from "../../../src/engine/mod.ts";
import { shareInRange } from "../../../src/engine/estimate.ts";
import { engineWorld, openTestEngine } from "../../support/engine.ts";
import { bytes } from "../../support/node.ts";

function share(start: string | undefined, end: string | undefined): number {
  const bounds = { start: start === undefined ? start : bytes(start), end: end && bytes(end) };
  return shareInRange(
    { ...bounds, end: bounds.end || undefined },
    bytes("key/aa"),
    bytes("key/zz"),
  );
}

Deno.test("shareInRange() is all of what lies inside, nothing of what lies outside [N7]", () => {
  assert.equal(share(undefined, undefined), 1);
  assert.equal(share("key", "kez"), 1);
  assert.equal(share("key/aa", "key/zz\0"), 1);
  assert.equal(share(undefined, "key/aa"), 0);
  assert.equal(share("key/zz\0", undefined), 0);
  assert.equal(share("z", "a"), 0);
});

Deno.test("shareInRange() cuts what is in the range by a part where its bounds lie [N7]", () => {
  const half = share("key/m", undefined);
  assert.ok(half > 0.45 && half < 0.55, `${half}`);
  const parts = share(undefined, "key/f") + share("key/f", "key/t") + share("key/t", undefined);
  assert.ok(Math.abs(parts - 1) < 1e-9, `${parts}`);
});

Deno.test("shareInRange() is from 0 to 1 for any keys [N7]", () => {
  const key = fc.uint8Array({ maxLength: 9 });
  fc.assert(
    fc.property(key, key, fc.option(key), fc.option(key), (a, b, start, end) => {
      const [smallest, largest] = [a, b].sort(compareBytes);
      const bounds = { start: start ?? undefined, end: end ?? undefined };
      const share = shareInRange(bounds, smallest, largest);
      assert.ok(share >= 0 && share <= 1, `${share}`);
    }),
    { numRuns: 2000 },
  );
});

Deno.test("estimate() is near the truth over memtables and tables, and reads no block [N7]", async () => {
  const engine = await openTestEngine(engineWorld());
  const tree = await engine.createTree("t");
  const keyOf = (i: number) => bytes(`k${String(i).padStart(4, "0")}`);
  for (let i = 0; i < 1000; i++) {
    await engine.write([{ tree, kind: KIND_PUT, key: keyOf(i), value: new Uint8Array(20) }]);
  }
  assert.ok(engine.treeStats(tree).tables > 1 && engine.treeStats(tree).memtableBytes > 0);
  const { blockCacheHits, blockCacheMisses } = engine.stats();
  assert.equal(engine.estimate(tree, {}).entries, 1000);
  assert.ok(engine.estimate(tree, {}).bytes >= 1000 * 25);
  for (const [start, end] of [[0, 500], [250, 750], [900, 1000]]) {
    const { entries } = engine.estimate(tree, { start: keyOf(start), end: keyOf(end) });
    const off = Math.abs(entries - (end - start));
    assert.ok(off <= 60, `${entries} for ${start} to ${end}`);
  }
  assert.equal(engine.estimate(tree, { start: bytes("l") }).entries, 0);
  const after = engine.stats();
  assert.deepEqual([after.blockCacheHits, after.blockCacheMisses], [
    blockCacheHits,
    blockCacheMisses,
  ]);
  await engine.close();
});
