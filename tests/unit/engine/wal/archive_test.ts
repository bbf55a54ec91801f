/**
 * Log segments that are not needed any more: kept where nothing replays them, up to an age and a number,
 * by the same rules while the store is open and when it is opened.
 * @module
 */
import assert from "node:assert/strict";
import { Files, parseArchivedName } from "../../../../src/engine/files.ts";
import {
  checkDirectory,
  dumpFile,
  type Engine,
  type EngineOptions,
  KIND_PUT,
} from "../../../../src/engine/mod.ts";
import { utf8 } from "../../../../src/model/mod.ts";
import type { SimRuntime } from "../../../../src/runtime/mod.ts";
import { engineWorld, openTestEngine, SMALL } from "../../../support/engine.ts";

const FILES = new Files("/data");
const HOUR = 3_600_000;
/** Nothing is compacted by itself. */
const QUIET = { ...SMALL.compaction, l0Trigger: 1000 };

function keeping(most: number, maxAgeMs = 24 * HOUR, archive = true): EngineOptions {
  return {
    ...SMALL,
    log: { ...SMALL.log, archive, archiveMaxSegments: most, archiveMaxAgeMs: maxAgeMs },
  };
}

/** Writes and flushes: each time a segment is no longer needed. */
async function rounds(engine: Engine, count: number): Promise<void> {
  const tree = engine.tree("t") ?? await engine.createTree("t");
  for (let n = 0; n < count; n++) {
    await engine.write([{ tree, kind: KIND_PUT, key: utf8("key"), value: utf8(`value ${n}`) }]);
    await engine.flush();
  }
}

function archived(world: SimRuntime): number[] {
  if (world.disk.stat(FILES.archiveDir) === undefined) return [];
  return world.disk.list(FILES.archiveDir).map((name) => parseArchivedName(name)!.number);
}

Deno.test("a segment stays while one record of it is in no table, be it its last, and goes with that [E10]", async () => {
  for (const archive of [false, true]) {
    const world = engineWorld();
    const engine = await openTestEngine(world, keeping(5, HOUR, archive));
    const [one, other] = [await engine.createTree("one"), await engine.createTree("other")];
    const put = (tree: typeof one) =>
      engine.write([{ tree, kind: KIND_PUT, key: utf8("key"), value: utf8(tree.name) }]);
    await put(one);
    await put(other);
    const segments = () => world.disk.list("/data/wal").filter((name) => name.endsWith(".wal"));
    const [needed] = segments();
    await engine.flush(one);
    await put(one);
    await engine.flush(one);
    assert.ok(segments().includes(needed), "the other tree has its last record only here");
    assert.deepEqual(archived(world), []);
    const after = engineWorld({ image: world.disk.snapshotImage() });
    after.disk.crash("drop");
    const again = await openTestEngine(after, keeping(5, HOUR, archive));
    for (const name of ["one", "other"]) {
      assert.deepEqual(again.get(again.tree(name)!, utf8("key")), utf8(name));
    }
    await again.close();
    await engine.flush(other);
    assert.ok(!segments().includes(needed));
    assert.equal(archived(world).includes(Number.parseInt(needed)), archive);
    await engine.close();
  }
});

Deno.test("a full memtable ends the segment, which goes with its table; a tree that keeps old ones back is flushed in the end [E4, E10]", async () => {
  const world = engineWorld();
  const engine = await openTestEngine(world, { ...SMALL, compaction: QUIET });
  const [idle, busy] = [await engine.createTree("idle"), await engine.createTree("busy")];
  const segments = () => world.disk.list("/data/wal").filter((name) => name.endsWith(".wal"));
  const put = (tree: typeof idle, value: number) =>
    engine.write([{ tree, kind: KIND_PUT, key: utf8("key"), value: new Uint8Array(value) }]);
  const fill = async (memtables: number) => {
    for (const { flushes } = engine.stats(); engine.stats().flushes < flushes + memtables;) {
      await put(busy, 100);
      await world.clock.advance(1);
    }
  };
  const [first] = segments();
  await fill(1);
  assert.ok(!segments().includes(first), "nobody asked for a flush, and it is not full");
  await put(idle, 1);
  const kept = segments().at(-1)!;
  await fill(8);
  assert.ok(segments().includes(kept));
  assert.equal(engine.treeStats(idle).tables, 0);
  await fill(20);
  assert.ok(!segments().includes(kept));
  assert.equal(engine.treeStats(idle).tables, 1);
  assert.ok(segments().length <= 16 + 1, `${segments()}`);
  await engine.close();
});

Deno.test("without archiving segments are removed [E10]", async () => {
  const world = engineWorld();
  const engine = await openTestEngine(world, keeping(5, HOUR, false));
  await rounds(engine, 5);
  assert.equal(world.disk.stat(FILES.archiveDir), undefined);
  assert.ok(world.disk.list("/data/wal").length <= 2);
  assert.equal(engine.stats().walArchivedSegments, 0);
  await engine.close();
});

Deno.test("archived segments are whole, counted, and the oldest beyond the number go [E10]", async () => {
  const world = engineWorld();
  const engine = await openTestEngine(world, keeping(3));
  await rounds(engine, 8);
  const kept = archived(world);
  assert.equal(kept.length, 3);
  assert.ok(kept[0] > 3, `the newest are kept: ${kept}`);
  const { walArchivedSegments, walArchivedBytes } = engine.stats();
  const paths = world.disk.list(FILES.archiveDir).map((name) => `${FILES.archiveDir}/${name}`);
  assert.equal(walArchivedSegments, 3);
  assert.equal(walArchivedBytes, paths.reduce((sum, path) => sum + world.disk.stat(path)!.size, 0));
  for (const path of paths) {
    assert.ok([...dumpFile(world.disk, path)].some(({ key }) => key === "key"), path);
  }
  await engine.close();
});

Deno.test("check reads what was archived", async () => {
  const world = engineWorld();
  const engine = await openTestEngine(world, keeping(3));
  await rounds(engine, 4);
  await engine.close();
  const of = async (kind: string) =>
    (await checkDirectory(world.disk, "/data")).filter((report) => report.kind === kind);
  assert.deepEqual(
    (await of("archive")).map(({ items, problem }) => [items, problem]),
    [[1, undefined], [1, undefined], [1, undefined]],
  );
  const [name] = world.disk.list(FILES.archiveDir);
  const path = `${FILES.archiveDir}/${name}`;
  world.disk.corrupt(path, world.disk.stat(path)!.size - 30, 1);
  const [damaged, ...others] = await of("archive");
  assert.equal(damaged.file, path);
  assert.match(damaged.problem!, /\d+ bytes are damaged/);
  assert.ok(others.every(({ problem }) => problem === undefined));
});

Deno.test("they go by age, with the next flush or at the next start, also once archiving is off [E5]", async () => {
  const world = engineWorld();
  let engine = await openTestEngine(world, keeping(100, HOUR));
  await rounds(engine, 3);
  const old = archived(world);
  assert.equal(old.length, 3);
  await world.clock.advance(HOUR + 1);
  await rounds(engine, 1);
  // Nobody waits for removals.
  await world.clock.advance(10);
  assert.ok(archived(world).every((number) => !old.includes(number)));
  assert.ok(archived(world).length > 0);
  await engine.close();
  await world.clock.advance(HOUR + 1);
  engine = await openTestEngine(world, keeping(100, HOUR, false));
  assert.deepEqual(archived(world), []);
  assert.equal(engine.stats().walArchivedSegments, 0);
  await engine.close();
});

Deno.test("the archive is never replayed, and what else lies in it stays", async () => {
  const world = engineWorld();
  let engine = await openTestEngine(world, keeping(100));
  await rounds(engine, 4);
  await engine.close();
  const strange = [`${FILES.archiveDir}/000001.wal`, `${FILES.archiveDir}/notes.txt`];
  for (const path of strange) world.disk.setBytes(path, Uint8Array.of(1));
  engine = await openTestEngine(world, keeping(1));
  assert.equal(engine.recovery.records, 0, "all was in tables");
  assert.equal(engine.stats().walArchivedSegments, 1);
  for (const path of strange) assert.notEqual(world.disk.stat(path), undefined);
  await engine.close();
  const reports = await checkDirectory(world.disk, "/data");
  assert.deepEqual(reports.filter(({ problem }) => problem), []);
});

Deno.test("a crash at any point of archiving loses nothing and leaves no segment twice", async () => {
  for (let stop = 0;; stop++) {
    const world = engineWorld();
    const engine = await openTestEngine(world, keeping(2));
    await engine.createTree("t");
    world.disk.stopAtMutation(world.disk.mutationCount + stop);
    let written = -1;
    try {
      for (let n = 0; n < 5; n++) {
        const value = utf8(String(n));
        await engine.write([{ tree: engine.tree("t")!, kind: KIND_PUT, key: utf8("n"), value }]);
        written = n;
        await engine.flush();
      }
      await engine.close();
    } catch (error) {
      if (!world.disk.stopped) throw error;
    }
    if (!world.disk.stopped) {
      assert.ok(stop > 40);
      break;
    }
    for (const policy of ["drop", "keep", { seed: stop }] as const) {
      const after = engineWorld({ image: world.disk.snapshotImage() });
      after.disk.crash(policy);
      const again = await openTestEngine(after, keeping(2));
      assert.deepEqual(again.recovery.losses, [], `stop ${stop}`);
      const found = again.get(again.tree("t")!, utf8("n"));
      const n = found === undefined ? -1 : Number(new TextDecoder().decode(found));
      assert.ok(n >= written, `stop ${stop}: ${n} of ${written}`);
      const live = after.disk.list("/data/wal");
      for (const number of archived(after)) {
        assert.ok(!live.includes(`${String(number).padStart(6, "0")}.wal`), `stop ${stop}`);
      }
      assert.ok(archived(after).length <= 2);
      await again.close();
    }
  }
});
