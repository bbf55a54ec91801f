/**
 * Tables that cannot be opened any more while the engine runs: one that is gone is damage, what else the
 * disk says has its own name.
 * @module
 */
import assert from "node:assert/strict";
import { type Engine, KIND_PUT, type Tree } from "../../../src/engine/mod.ts";
import { type PairError, utf8 } from "../../../src/model/mod.ts";
import type { SimRuntime } from "../../../src/runtime/mod.ts";
import { engineWorld, openTestEngine, SMALL } from "../../support/engine.ts";
import { SlowDisk } from "../../support/slow_disk.ts";

/** More tables than may be open, and nothing of them in memory: reads open files, or open them again. */
const OPTIONS = {
  ...SMALL,
  maxOpenFiles: 4,
  blockCacheSize: 0,
  rowCacheSize: 0,
  compaction: { ...SMALL.compaction, l0Trigger: 1000 },
};
const TREES = 10;

async function filled(world: SimRuntime): Promise<{ engine: Engine; trees: Tree[] }> {
  const engine = await world.clock.runUntil(openTestEngine(world, OPTIONS));
  const trees: Tree[] = [];
  for (let n = 0; n < TREES; n++) {
    const tree = await world.clock.runUntil(engine.createTree(`t${n}`));
    trees.push(tree);
    // In two blocks: a reader of one has to go to the file for the other.
    const value = utf8(`${n}`.padEnd(300));
    const mutations = ["a", "k"].map((key) => ({
      tree,
      kind: KIND_PUT,
      key: utf8(key),
      value,
    } as const));
    await world.clock.runUntil(engine.write(mutations));
  }
  await world.clock.runUntil(engine.flush());
  return { engine, trees };
}

function tableOf(world: SimRuntime, tree: Tree): string {
  const dir = `/data/tenants/${tree.name}~${tree.id}`;
  const [name] = world.disk.list(dir);
  return `${dir}/${name}`;
}

function scan(engine: Engine, tree: Tree): boolean {
  const cursor = engine.scan(tree, {});
  try {
    return cursor.next();
  } finally {
    cursor.close();
  }
}

for (const read of [true, false]) {
  const when = read ? "that was read before" : "that was never read";
  Deno.test(`a table ${when} and is gone is damage, with the file's name, and counted`, async () => {
    const world = engineWorld();
    const { engine, trees } = await filled(world);
    if (read) { for (const tree of trees) engine.get(tree, utf8("a")); }
    // Of those that were read it was closed first.
    const [tree] = trees;
    const file = tableOf(world, tree);
    world.disk.remove(file);
    const gone = { error: "CorruptedData", code: 2007, message: /t0~1.*sst.*: it is missing/ };
    assert.throws(() => engine.get(tree, utf8("k")), gone);
    assert.equal(engine.stats().checksumFailures, 1);
    assert.throws(() => scan(engine, tree), { error: "CorruptedData" });
    assert.equal(engine.stats().checksumFailures, 2);
    assert.ok(engine.get(trees[1], utf8("k")) !== undefined, "others are well");
    await engine.close();
  });

  Deno.test(`a table ${when} and cannot be opened has the system's word, and is no damage`, async () => {
    for (const errno of ["EIO", "EMFILE", "EACCES"] as const) {
      const world = engineWorld();
      const { engine, trees } = await filled(world);
      if (read) { for (const tree of trees) engine.get(tree, utf8("a")); }
      const [tree] = trees;
      const file = tableOf(world, tree);
      world.disk.hook = ({ op, path }) => op === "openRead" && path === file ? errno : undefined;
      const refused = {
        error: "SSTableFailed",
        code: 2006,
        message: new RegExp(`sst.*: ${errno}`),
      };
      assert.throws(() => engine.get(tree, utf8("k")), (error) => {
        assert.partialDeepStrictEqual((error as PairError).details, { file, errno });
        return true;
      });
      assert.throws(() => scan(engine, tree), refused);
      assert.equal(engine.stats().checksumFailures, 0);
      world.disk.hook = undefined;
      assert.ok(engine.get(tree, utf8("k")) !== undefined, "it is tried anew");
      await engine.close();
    }
  });
}

Deno.test("a table that goes while a read waits for a slow disk is damage, too", async () => {
  const world = engineWorld();
  const slow = new SlowDisk(world.disk, world.clock);
  const { engine, trees } = await filled({ ...world, disk: slow.disk } as unknown as SimRuntime);
  slow.dropPages();
  engine.get(trees[9], utf8("k"));
  slow.dropPages();
  const file = tableOf(world, trees[0]);
  const reading = engine.read(trees[0], utf8("k"));
  assert.ok(reading instanceof Promise);
  world.disk.remove(file);
  await assert.rejects(world.clock.runUntil(reading), { error: "CorruptedData" });
  assert.equal(engine.stats().checksumFailures, 1);
  await world.clock.runUntil(engine.close());
});

Deno.test("a compaction that misses a table stops the tree's, as any damage does", async () => {
  const world = engineWorld();
  const options = { ...OPTIONS, compaction: { ...SMALL.compaction, l0Trigger: 2 } };
  const engine = await openTestEngine(world, options);
  const tree = await engine.createTree("t");
  const put = async (value: string) => {
    await engine.write([{ tree, kind: KIND_PUT, key: utf8("k"), value: utf8(value) }]);
    await engine.flush(tree);
  };
  await put("1");
  world.disk.remove(tableOf(world, tree));
  await put("2");
  await world.clock.advance(1000);
  assert.equal(engine.stats().compactionsStopped, 1);
  assert.ok(engine.stats().checksumFailures > 0);
  assert.equal(engine.stats().compactionsFailing, 0);
  await engine.close();
});
