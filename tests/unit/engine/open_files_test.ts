/**
 * An engine with more tables than descriptors.
 * @module
 */
import assert from "node:assert/strict";
import { type Engine, KIND_PUT, type Tree } from "../../../src/engine/mod.ts";
import { fromUtf8, utf8 } from "../../../src/model/mod.ts";
import { SimRandom } from "../../../src/runtime/mod.ts";
import { CountingDisk } from "../../support/disk.ts";
import { engineWorld, openTestEngine, SMALL } from "../../support/engine.ts";

const TABLES = 500;
const OPTIONS = {
  ...SMALL,
  blockCacheSize: 0,
  maxOpenFiles: 20,
  compaction: { ...SMALL.compaction, l0Trigger: 10_000, l0Slowdown: 10_001, l0Stop: 10_002 },
};

async function put(engine: Engine, tree: Tree, n: number): Promise<void> {
  // Two blocks, so that a reader has to go to the file for the other one.
  await engine.write(["a", "b"].map((side) => ({
    tree,
    kind: KIND_PUT,
    key: utf8(`k${n}${side}`),
    value: utf8(`${side}${n}`.padEnd(300)),
  })));
}

function check(engine: Engine, tree: Tree, n: number): void {
  for (const side of ["a", "b"]) {
    const value = engine.get(tree, utf8(`k${n}${side}`));
    assert.equal(value && fromUtf8(value).trimEnd(), `${side}${n}`);
  }
}

Deno.test("500 tables are served with 20 descriptors, also when the system has fewer than that", async () => {
  const world = engineWorld();
  const disk = new CountingDisk(world.disk);
  let engine = await openTestEngine({ ...world, disk }, OPTIONS);
  let tree = await engine.createTree("t");
  for (let n = 0; n < TABLES; n++) {
    await put(engine, tree, n);
    await engine.flush(tree);
  }
  assert.equal(engine.stats().tables, TABLES);
  const random = new SimRandom(4);
  for (let n = 0; n < 2000; n++) check(engine, tree, random.below(TABLES));
  assert.ok(disk.most <= 20, `${disk.most} open`);
  const { openFiles, reopenedFiles } = engine.stats();
  assert.ok(openFiles <= 20 && reopenedFiles > 400, `${openFiles} open, ${reopenedFiles} again`);
  disk.limit = 7;
  for (let n = 0; n < 2000; n++) check(engine, tree, random.below(TABLES));
  for (let n = TABLES; n < TABLES + 20; n++) {
    await put(engine, tree, n);
    await engine.flush(tree);
    check(engine, tree, n);
  }
  const cursor = engine.scan(tree, {});
  let found = 0;
  while (cursor.next()) found++;
  cursor.close();
  assert.equal(found, 2 * (TABLES + 20));
  await engine.close();
  assert.equal(disk.open, 0, "none is left open");
  engine = await openTestEngine({ ...world, disk }, OPTIONS);
  tree = engine.tree("t")!;
  for (let n = 0; n < TABLES + 20; n++) check(engine, tree, n);
  await engine.close();
});

Deno.test("a job that finds no descriptor is tried again, and nothing is lost", async () => {
  const world = engineWorld();
  const engine = await openTestEngine(world, { ...OPTIONS, maxOpenFiles: 50 });
  const tree = await engine.createTree("t");
  let failures = 3;
  world.disk.hook = ({ op, path }) =>
    op === "create" && path.endsWith(".sst") && failures-- > 0 ? "EMFILE" : undefined;
  for (let n = 0; n < 3; n++) await put(engine, tree, n);
  await assert.rejects(engine.flush(tree), {
    error: "SSTableFailed",
    details: { errno: "EMFILE" },
  });
  await world.clock.advance(5000);
  assert.equal(engine.stats().memtableBytes, 0, "flushed by now");
  assert.equal(engine.poisoned, undefined);
  for (let n = 0; n < 3; n++) check(engine, tree, n);
  await engine.close();
});
