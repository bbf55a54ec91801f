import assert from "node:assert/strict";
import { DEFAULT_ENGINE_OPTIONS, type Engine, KIND_PUT } from "../../src/engine/mod.ts";
import { PairError, utf8 } from "../../src/model/mod.ts";
import type { SimDiskImage, SimDiskVerdict } from "../../src/runtime/mod.ts";
import { engineWorld, openTestEngine, SMALL } from "../support/engine.ts";

const OPTIONS = { ...SMALL, memtableSize: 800, maxImmutables: 1 };

/** A store whose log has far more than recovery may keep in memory. */
async function makeImage(): Promise<SimDiskImage> {
  const world = engineWorld();
  const engine = await openTestEngine(world, { ...OPTIONS, memtableSize: 1 << 20 });
  for (const name of ["a", "b"]) {
    const tree = await engine.createTree(name);
    for (let i = 0; i < 60; i++) {
      const value = utf8("v".repeat(100));
      await engine.write([{ tree, kind: KIND_PUT, key: utf8(`k${i}`), value }]);
    }
  }
  return world.disk.snapshotImage();
}

Deno.test("a flush that fails during recovery fails the opening, unless room is all it wants; it neither hangs nor harms", async () => {
  const image = await makeImage();
  const whole = engineWorld({ image });
  const engine = await openTestEngine(whole, OPTIONS);
  assert.ok(engine.stats().flushes > 4, "recovery has to flush");
  await engine.close();
  for (const errno of ["ENOSPC", "EIO"] satisfies SimDiskVerdict[]) {
    for (const op of ["create", "append", "syncNow", "syncDir"]) {
      for (let hit = 0; hit < 4; hit++) {
        let seen = 0;
        const world = engineWorld({
          image,
          hook: (call) =>
            call.op === op && call.path.includes("/tenants/") && seen++ === hit ? errno : undefined,
        });
        let outcome: unknown = "hangs";
        // Nothing here takes time: what does not come soon never comes.
        const opening = openTestEngine(world, OPTIONS).then(
          (opened) => outcome = opened,
          (error) => outcome = error,
        );
        for (let turn = 0; turn < 200 && outcome === "hangs"; turn++) {
          await new Promise((resolve) => setTimeout(resolve, 0));
        }
        const where = `${errno} at ${op}, call ${hit}: ${outcome}`;
        assert.notEqual(outcome, "hangs", where);
        await opening;
        // What finds no room for its table stays in memory, as far as that goes; all else ends the opening.
        assert.equal(outcome instanceof PairError, errno === "EIO", where);
        if (!(outcome instanceof PairError)) {
          const opened = outcome as Engine;
          assert.equal(opened.get(opened.tree("b")!, utf8("k59"))?.length, 100, where);
          await world.clock.runUntil(opened.close());
        }
        world.disk.hook = undefined;
        const again = await openTestEngine(world, OPTIONS);
        assert.deepEqual(again.recovery.losses, []);
        assert.equal(again.get(again.tree("b")!, utf8("k59"))?.length, 100);
        await again.close();
      }
    }
  }
});

Deno.test("recovery comes to its end whatever the memory budget is", async () => {
  const world = engineWorld();
  const engine = await openTestEngine(world, DEFAULT_ENGINE_OPTIONS);
  const names = ["a", "b", "c"];
  for (const name of names) await engine.createTree(name);
  for (let i = 0; i < 10; i++) {
    for (const name of names) {
      const tree = engine.tree(name)!;
      const value = new Uint8Array(30_000 + i);
      await engine.write([{ tree, kind: KIND_PUT, key: utf8(`k${i}`), value }]);
    }
  }
  const image = world.disk.snapshotImage();
  for (const memoryBudget of [1, 1000, 10_000, 30_000, 100_000, 300_000, 1_000_000]) {
    const after = engineWorld({ image });
    const options = { ...DEFAULT_ENGINE_OPTIONS, memoryBudget };
    const again = await after.clock.runUntil(openTestEngine(after, options), 60_000);
    for (const name of names) {
      for (let i = 0; i < 10; i++) {
        assert.equal(again.get(again.tree(name)!, utf8(`k${i}`))?.length, 30_000 + i);
      }
    }
    await again.close();
  }
});
