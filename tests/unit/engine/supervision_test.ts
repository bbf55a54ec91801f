/**
 * Real threads that go wrong in the middle of a flush or a compaction: the job is tried again, nothing is
 * lost, nothing is left behind, and the process lives.
 * @module
 */
import assert from "node:assert/strict";
import { type Engine, KIND_PUT, openEngine, type Tree } from "../../../src/engine/mod.ts";
import { utf8 } from "../../../src/model/mod.ts";
import { denoRuntime, denoWorkers, workerThread } from "../../../src/runtime/mod.ts";
import { SMALL } from "../../support/engine.ts";

const OPTIONS = {
  ...SMALL,
  memtableSize: 1 << 20,
  compaction: { ...SMALL.compaction, l0Trigger: 1000 },
};

/** An engine with one worker thread, which does what the file `misbehave` in its directory says. */
async function withBadWorker(
  run: (parts: { engine: Engine; tree: Tree; root: string }) => Promise<void>,
): Promise<void> {
  const root = await Deno.makeTempDir({ prefix: "pairdb_supervision_" });
  const workers = denoWorkers({
    size: 1,
    spawn: () => workerThread(new URL("../../support/bad_worker.ts", import.meta.url), 64),
    stallMsMax: 500,
  });
  try {
    const engine = await openEngine(denoRuntime({ workers }), root, OPTIONS);
    await run({ engine, tree: await engine.createTree("t"), root });
    await engine.close();
  } finally {
    await workers.close();
    await Deno.remove(root, { recursive: true });
  }
}

for (const how of ["throw", "hang", "loop", "exit", "uncaught", "heap", "buffers"]) {
  Deno.test(`a thread that goes wrong (${how}) costs a flush and a compaction a second try, no more [W2]`, () =>
    withBadWorker(async ({ engine, tree, root }) => {
      const order = () => Deno.writeTextFileSync(`${root}/misbehave`, how);
      const write = async (from: number) => {
        for (let n = from; n < from + 50; n++) {
          await engine.write([{ tree, kind: KIND_PUT, key: utf8(`k${n}`), value: utf8(`v${n}`) }]);
        }
      };
      const failing = async (job: () => Promise<void>) => {
        order();
        const failed = engine.stats().jobsFailed;
        await assert.rejects(job(), { error: "SSTableFailed" });
        assert.equal(engine.stats().jobsFailed, failed + 1);
        await job();
      };
      await write(0);
      await failing(() => engine.flush(tree));
      await write(50);
      await engine.flush(tree);
      await failing(() => engine.compact(tree));
      for (let n = 0; n < 100; n++) assert.ok(engine.get(tree, utf8(`k${n}`)) !== undefined);
      const { tables, jobsRunning, workersActive } = engine.stats();
      assert.deepEqual([jobsRunning, workersActive], [0, 0]);
      const files = [...Deno.readDirSync(`${root}/tenants`)]
        .flatMap(({ name }) => [...Deno.readDirSync(`${root}/tenants/${name}`)]);
      assert.equal(files.length, tables, "no orphans");
    }));
}

for (const how of ["throw", "hang", "exit"]) {
  Deno.test(`a thread that goes wrong (${how}) while it digests costs the snapshot a second try`, () =>
    withBadWorker(async ({ engine, tree, root }) => {
      await engine.write([{ tree, kind: KIND_PUT, key: utf8("k"), value: utf8("v") }]);
      await engine.flush();
      Deno.writeTextFileSync(`${root}/misbehave`, how);
      await assert.rejects(engine.checkpoint("one"));
      assert.deepEqual([...Deno.readDirSync(`${root}/snapshots`)], [], "nothing is left of it");
      assert.ok((await engine.checkpoint("one")).digestedBytes > 0);
    }));
}
