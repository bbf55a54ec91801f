/**
 * What a tree says that it holds: never less than there is, and no more than once for each layer.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { type Engine, KIND_PUT, type Tree } from "../../../src/engine/mod.ts";
import { utf8 } from "../../../src/model/mod.ts";
import { engineWorld, openTestEngine, SMALL } from "../../support/engine.ts";

/** Nothing is flushed but by the test. */
const LARGE = { ...SMALL, memtableSize: 1 << 20 };

async function put(engine: Engine, tree: Tree, key: string, size: number): Promise<void> {
  const mutation = { tree, kind: KIND_PUT, key: utf8(key), value: new Uint8Array(size) } as const;
  await engine.write([mutation]);
}

Deno.test("usage: a key that is written again in a memtable counts once, and once more for each table [B2]", async () => {
  const world = engineWorld();
  let engine = await openTestEngine(world, LARGE);
  let tree = await engine.createTree("t");
  assert.deepEqual(engine.usage(tree), { bytes: 0, keys: 0 });
  for (let i = 0; i < 5; i++) await put(engine, tree, "k", 100);
  assert.equal(engine.usage(tree).keys, 1);
  await engine.flush(tree);
  assert.deepEqual(engine.usage(tree), { bytes: 101, keys: 1 });
  await put(engine, tree, "k", 100);
  assert.equal(engine.usage(tree).keys, 2);
  await engine.compact(tree);
  assert.deepEqual(engine.usage(tree), { bytes: 101, keys: 1 });
  await put(engine, tree, "l", 100);
  await put(engine, tree, "l", 100);
  world.disk.crash("drop");
  engine = await openTestEngine(world, LARGE);
  tree = engine.tree("t")!;
  const { bytes, keys } = engine.usage(tree);
  // What was replayed is not looked up: each entry counts.
  assert.ok(bytes >= 202 && keys >= 2 && keys <= 3, `${bytes} bytes, ${keys} keys`);
  await engine.close();
});

Deno.test("usage: never less than there is, whatever was written, flushed and merged [B2]", async () => {
  const step = fc.oneof(
    { weight: 20, arbitrary: fc.record({ key: fc.nat(30), size: fc.nat(200) }) },
    { weight: 2, arbitrary: fc.constantFrom("flush" as const, "compact" as const) },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const engine = await openTestEngine(engineWorld());
      const tree = await engine.createTree("t");
      const held = new Map<number, number>();
      for (const each of steps) {
        if (each === "flush") await engine.flush(tree);
        else if (each === "compact") await engine.compact(tree);
        else {
          await put(engine, tree, `k${each.key}`, each.size);
          held.set(each.key, each.size + `k${each.key}`.length);
        }
        const { bytes, keys } = engine.usage(tree);
        assert.ok(keys >= held.size, `${keys} of ${held.size} keys`);
        const least = [...held.values()].reduce((a, b) => a + b, 0);
        assert.ok(bytes >= least, `${bytes} of ${least} bytes`);
      }
      await engine.close();
    }),
    { numRuns: 30 },
  );
});
