/**
 * Checkpoints of an engine on a simulated disk: making, listing, verifying, deleting, restoring, copying,
 * and what each of them refuses.
 * @module
 */
import assert from "node:assert/strict";
import {
  checkDirectory,
  checkpointsIn,
  copyCheckpoint,
  type Engine,
  KIND_PUT,
  openEngine,
  readInventory,
  restoreCheckpoint,
  verifyCheckpoint,
} from "../../../../src/engine/mod.ts";
import { fromUtf8, type PairError, utf8 } from "../../../../src/model/mod.ts";
import type { SimDisk, SimRuntime } from "../../../../src/runtime/mod.ts";
import { appendOperator, engineWorld, openTestEngine, SMALL } from "../../../support/engine.ts";

const ORIGIN = { node: "n1", store: "0123456789abcdef0123456789abcdef" };
const NOTHING = () => {};

async function put(engine: Engine, tree: string, key: string, value: string): Promise<void> {
  const handle = engine.tree(tree) ?? await engine.createTree(tree);
  await engine.write([{ tree: handle, kind: KIND_PUT, key: utf8(key), value: utf8(value) }]);
}

/** All trees with their live keys. */
function contents(engine: Engine): Record<string, Record<string, string>> {
  const all: Record<string, Record<string, string>> = {};
  for (const tree of engine.trees()) {
    const rows: Record<string, string> = all[tree.name] = {};
    const cursor = engine.scan(tree, {});
    while (cursor.next()) rows[fromUtf8(cursor.key)] = fromUtf8(cursor.value);
    cursor.close();
  }
  return all;
}

/** Two trees, tables on two levels, and something in memory. */
async function filled(world: SimRuntime): Promise<Engine> {
  const engine = await openTestEngine(world);
  for (let n = 0; n < 60; n++) await put(engine, n % 3 === 0 ? "b" : "a", `k${n}`, "v".repeat(n));
  await engine.compact();
  for (let n = 0; n < 20; n++) await put(engine, "a", `k${n * 2}`, `new ${n}`);
  return engine;
}

/** Restores a checkpoint, and what the store then holds. */
async function restored(world: SimRuntime, from: string, to = "/restored") {
  await restoreCheckpoint(world.disk, from, to, NOTHING);
  const engine = await openEngine(world, to, SMALL, [appendOperator]);
  assert.deepEqual(engine.recovery.losses, []);
  const all = contents(engine);
  await engine.close();
  assert.deepEqual((await checkDirectory(world.disk, to)).filter(({ problem }) => problem), []);
  return all;
}

/** Every file below a directory. */
function filesBelow(world: SimRuntime, dir: string): string[] {
  return world.disk.list(dir).flatMap((name) => {
    const path = `${dir}/${name}`;
    return world.disk.stat(path)!.kind === "directory" ? filesBelow(world, path) : [path];
  });
}

for (const linked of [true, false]) {
  Deno.test(`no checkpoint is made of damaged files, which would pass for a sound one (${linked ? "linked" : "copied"})`, async () => {
    const world = engineWorld();
    const engine = await filled(world);
    await put(engine, "a", "last", "in the log");
    if (!linked) world.disk.hook = ({ op }) => (op === "link" ? "EXDEV" : undefined);
    const isOurs = (file: string) => /\.(sst|wal)$/.test(file) && !file.includes("snapshots");
    const files = filesBelow(world, "/data").filter(isOurs);
    assert.ok(files.some((file) => file.endsWith(".sst")) && files.length > 3);
    let failures = 0;
    for (const file of files) {
      const sound = world.disk.readWhole(file);
      for (const at of [sound.length >> 1, sound.length - 1]) {
        world.disk.corrupt(file, at, 1);
        await assert.rejects(engine.checkpoint("damaged"), (error: PairError) => {
          assert.match(error.error, /^(CorruptedData|ChecksumFailed)$/);
          assert.ok(error.message.includes(file), error.message);
          assert.equal(error.details.file, file);
          return true;
        });
        assert.equal(engine.stats().checksumFailures, ++failures);
        world.disk.setBytes(file, sound);
      }
      if (!file.endsWith(".sst")) continue;
      world.disk.setBytes(file, sound.slice(0, sound.length >> 1));
      await assert.rejects(engine.checkpoint("cut"), /it has \d+ bytes, not \d+/);
      failures++;
      world.disk.setBytes(file, sound);
    }
    assert.deepEqual(world.disk.list("/data/snapshots"), []);
    await engine.checkpoint("sound");
    await engine.close();
  });
}

Deno.test("a checkpoint restores to what the store was, and the store goes on", async () => {
  const world = engineWorld();
  const engine = await filled(world);
  const before = contents(engine);
  const made = await engine.checkpoint("monday", ORIGIN);
  assert.equal(made.dir, "/data/snapshots/monday");
  assert.equal(made.sequence, 80);
  assert.deepEqual([made.node, made.store], [ORIGIN.node, ORIGIN.store]);
  assert.equal(made.copiedBytes, 0);
  assert.equal(made.linked, made.files - 2, "all but MANIFEST and CURRENT");
  for (let n = 0; n < 100; n++) await put(engine, "c", `k${n}`, "w".repeat(50));
  await engine.dropTree(engine.tree("b")!);
  await engine.compact();
  assert.deepEqual(await restored(world, made.dir), before);
  assert.deepEqual((await engine.verifyCheckpoint("monday")).problems, []);
  await engine.close();
  const again = await openTestEngine(world);
  assert.deepEqual(
    again.checkpoints().map(({ name, sequence, node }) => ({ name, sequence, node })),
    [
      { name: "monday", sequence: 80, node: "n1" },
    ],
  );
  await again.close();
});

Deno.test("a checkpoint of an empty store, of one that was flushed, and of one without a log to copy", async () => {
  const world = engineWorld();
  let engine = await openTestEngine(world);
  await engine.checkpoint("empty");
  assert.deepEqual(await restored(world, "/data/snapshots/empty", "/r1"), {});
  await put(engine, "a", "k", "v");
  await engine.flush();
  await engine.checkpoint("flushed");
  assert.deepEqual(await restored(world, "/data/snapshots/flushed", "/r2"), { a: { k: "v" } });
  await engine.close();
  engine = await openTestEngine(world);
  await engine.checkpoint("reopened");
  assert.deepEqual(await restored(world, "/data/snapshots/reopened", "/r3"), { a: { k: "v" } });
  await put(engine, "a", "k", "w");
  await engine.dropTree(engine.tree("a")!);
  await engine.checkpoint("dropped");
  assert.deepEqual(await restored(world, "/data/snapshots/dropped", "/r4"), {});
  await engine.close();
});

Deno.test("a restored store does not give out what the first one used up", async () => {
  const world = engineWorld();
  const engine = await filled(world);
  const trees = engine.trees().map(({ id }) => id);
  await engine.dropTree(await engine.createTree("gone"));
  const { sequence } = await engine.checkpoint("s");
  await engine.close();
  await restoreCheckpoint(world.disk, "/data/snapshots/s", "/restored", NOTHING);
  const copy = await openEngine(world, "/restored", SMALL, [appendOperator]);
  const fresh = await copy.createTree("fresh");
  assert.ok(fresh.id > Math.max(...trees) + 1, "the dropped tree's id is used up");
  assert.equal(copy.stats().lastSequence, sequence);
  await copy.close();
});

Deno.test("names that are none, or taken, are refused and leave nothing behind", async () => {
  const world = engineWorld();
  const engine = await filled(world);
  await engine.checkpoint("taken");
  const before = filesBelow(world, "/data");
  for (
    const name of [
      "",
      ".",
      "..",
      "a/b",
      "../x",
      "/x",
      ".making~x",
      "a\nb",
      "ü",
      "-a",
      "a".repeat(101),
    ]
  ) {
    await assert.rejects(engine.checkpoint(name), { error: "InvalidArgument" }, name);
    await assert.rejects(engine.verifyCheckpoint(name), { error: "InvalidArgument" }, name);
    await assert.rejects(engine.deleteCheckpoint(name), { error: "InvalidArgument" }, name);
  }
  await assert.rejects(engine.checkpoint("taken"), (error: { details: unknown }) => {
    assert.deepEqual(error.details, { reason: "already_exists" });
    return true;
  });
  await assert.rejects(engine.verifyCheckpoint("other"), /there is none/);
  await assert.rejects(engine.deleteCheckpoint("other"), /there is none/);
  assert.deepEqual(filesBelow(world, "/data"), before);
  await engine.close();
});

Deno.test("a directory that has lost its inventory is a damaged checkpoint: shown, verified, deleted", async () => {
  const world = engineWorld();
  const { disk } = world;
  const engine = await filled(world);
  const { dir } = await engine.checkpoint("lost");
  const sound = await engine.checkpoint("sound");
  const inventory = disk.readWhole(`${dir}/SNAPSHOT`);
  disk.remove(`${dir}/SNAPSHOT`);
  disk.makeDir("/data/snapshots/empty");
  const damaged = (engine: Engine) =>
    engine.checkpoints().filter(({ problem }) => problem !== undefined);
  for (
    const { name, problem } of [
      ...damaged(engine),
      ...checkpointsIn(disk, "/data/snapshots", true).slice(0, 2),
    ]
  ) {
    assert.equal(problem, `Cannot read /data/snapshots/${name}/SNAPSHOT: it is missing`);
    await assert.rejects(engine.verifyCheckpoint(name), (error: Error & { error: string }) => {
      assert.deepEqual([error.error, error.message], ["CorruptedData", problem]);
      return true;
    });
    await assert.rejects(engine.checkpoint(name), new RegExp(`pairdb snapshot delete ${name}`));
  }
  assert.deepEqual(damaged(engine).map(({ name }) => name), ["empty", "lost"]);
  // In other places there may be directories of other people's.
  assert.deepEqual(checkpointsIn(disk, "/data/snapshots").map(({ name }) => name), ["sound"]);
  disk.setBytes(`${dir}/SNAPSHOT`, inventory);
  assert.deepEqual(damaged(engine).map(({ name }) => name), ["empty"]);
  disk.remove(`${dir}/SNAPSHOT`);
  for (const name of ["empty", "lost"]) {
    await engine.deleteCheckpoint(name);
    await assert.rejects(engine.deleteCheckpoint(name), /there is none/);
  }
  assert.deepEqual(disk.list("/data/snapshots"), ["sound"]);
  const told = world.log.named("snapshot deleted").map(({ level, fields }) => [level, fields.name]);
  assert.deepEqual(told, [["info", "empty"], ["info", "lost"]]);
  await engine.checkpoint("lost");
  assert.deepEqual((await engine.verifyCheckpoint("lost")).problems, []);
  assert.deepEqual((await engine.verifyCheckpoint(sound.name)).problems, []);
  await engine.close();
});

Deno.test("a file among the checkpoints is none, is left alone, and is named when it is in the way", async () => {
  const world = engineWorld();
  const { disk } = world;
  const engine = await filled(world);
  disk.setBytes("/data/snapshots/stray", utf8("?"));
  assert.deepEqual(engine.checkpoints(), []);
  await assert.rejects(engine.checkpoint("stray"), /a file of that name is in the way/);
  await assert.rejects(engine.verifyCheckpoint("stray"), /snapshots\/stray is a file/);
  await assert.rejects(engine.deleteCheckpoint("stray"), /snapshots\/stray is a file/);
  assert.deepEqual(disk.list("/data/snapshots"), ["stray"]);
  await engine.close();
});

Deno.test("a second checkpoint at the same time is refused, and the first is whole", async () => {
  const world = engineWorld();
  const engine = await filled(world);
  const first = engine.checkpoint("one");
  await assert.rejects(engine.checkpoint("two"), { error: "Unavailable" });
  await first;
  await engine.checkpoint("two");
  assert.deepEqual(engine.checkpoints().map(({ name }) => name), ["one", "two"]);
  await engine.close();
});

Deno.test("checkpoints are deleted while others are deleted and made, of other names and the same", async () => {
  const world = engineWorld();
  const engine = await filled(world);
  for (const name of ["one", "two"]) await engine.checkpoint(name);
  const deleting = ["one", "two"].map((name) => engine.deleteCheckpoint(name));
  await assert.rejects(engine.deleteCheckpoint("one"), /there is none/);
  // What a deletion has not come to yet is cleared away by the next one that is made.
  await engine.checkpoint("one");
  deleting.push(engine.deleteCheckpoint("one"));
  const made = engine.checkpoint("three");
  await Promise.all([...deleting, made]);
  assert.deepEqual(world.disk.list("/data/snapshots"), ["three"]);
  assert.deepEqual((await engine.verifyCheckpoint("three")).problems, []);
  await engine.close();
});

Deno.test("a digest is taken once, in this process and the next", async () => {
  const world = engineWorld();
  const engine = await filled(world);
  const first = await engine.checkpoint("one");
  assert.ok(first.digestedBytes > 1000);
  const second = await engine.checkpoint("two");
  assert.equal(second.digestedBytes, 0);
  await engine.close();
  const again = await openTestEngine(world);
  const third = await again.checkpoint("three");
  assert.ok(third.digestedBytes < first.digestedBytes / 2, `${third.digestedBytes}`);
  await again.deleteCheckpoint("one");
  await again.deleteCheckpoint("two");
  assert.deepEqual((await again.verifyCheckpoint("three")).problems, []);
  await again.close();
});

Deno.test("a digest of another store's file of the same number is not taken", async () => {
  const world = engineWorld();
  const engine = await filled(world);
  const first = await engine.checkpoint("one", ORIGIN);
  await engine.close();
  const again = await openTestEngine(world);
  const other = { ...ORIGIN, store: ORIGIN.store.replace("0", "1") };
  const made = await again.checkpoint("two", other);
  assert.ok(made.digestedBytes >= first.digestedBytes);
  await again.close();
});

Deno.test("what only checkpoints hold is counted, and freed by deleting them", async () => {
  const world = engineWorld();
  const engine = await filled(world);
  assert.deepEqual([engine.stats().snapshots, engine.stats().snapshotBytes], [0, 0]);
  const made = await engine.checkpoint("one");
  await engine.checkpoint("two");
  assert.equal(engine.stats().snapshots, 2);
  for (let n = 0; n < 60; n++) await put(engine, "a", `k${n}`, "x".repeat(80));
  await engine.compact();
  const held = engine.stats().snapshotBytes;
  assert.ok(held > made.bytes / 2 && held < 2 * made.bytes, `${held} of ${made.bytes}`);
  await engine.deleteCheckpoint("one");
  assert.ok(engine.stats().snapshotBytes > 0);
  await engine.deleteCheckpoint("two");
  assert.deepEqual([engine.stats().snapshots, engine.stats().snapshotBytes], [0, 0]);
  assert.deepEqual(world.disk.list("/data/snapshots"), []);
  await engine.close();
});

Deno.test("where links are not possible files are copied, and the copy is the same", async () => {
  const world = engineWorld();
  const engine = await filled(world);
  const before = contents(engine);
  world.disk.hook = ({ op }) => op === "link" ? "EXDEV" : undefined;
  const made = await engine.checkpoint("copied");
  assert.equal(made.linked, 0);
  assert.ok(made.copiedBytes > 1000);
  assert.deepEqual((await engine.verifyCheckpoint("copied")).problems, []);
  assert.deepEqual(await restored(world, made.dir), before);
  await engine.close();
});

Deno.test("a failure at any call leaves no checkpoint, and a store that works; the next try succeeds", async () => {
  for (const errno of ["EIO", "ENOSPC", "EMFILE", "EROFS"] as const) {
    let tried = 0;
    for (let at = 0;; at++) {
      const world = engineWorld();
      const engine = await filled(world);
      const before = contents(engine);
      const first = world.disk.callCount;
      let failed = "";
      world.disk.hook = ({ op, path, index }) => {
        if (index - first < at || failed !== "" || op === "stat") return undefined;
        failed = `${errno} at ${op} ${path}`;
        return errno;
      };
      try {
        await engine.checkpoint("s");
        world.disk.hook = undefined;
      } catch (error) {
        world.disk.hook = undefined;
        assert.match(String(error), /PairError/, failed);
        assert.deepEqual(engine.checkpoints(), [], failed);
        // The log looks for room again after a while.
        await world.clock.advance(1000);
        assert.equal(engine.full, undefined, failed);
        if (engine.poisoned === undefined) {
          await world.clock.runUntil(put(engine, "a", "after", "failure"));
          await world.clock.runUntil(engine.checkpoint("s"));
          assert.deepEqual(world.disk.list("/data/snapshots"), ["s"], failed);
          before.a.after = "failure";
        }
      }
      // Whatever happened, nothing that was there is lost.
      await world.clock.runUntil(engine.close().catch(() => {}));
      const again = await openTestEngine(world);
      assert.deepEqual(contents(again), before, failed);
      await again.close();
      if (failed === "") break;
      tried++;
    }
    assert.ok(tried > 40, `${errno}: ${tried} calls`);
  }
});

Deno.test("a loss that was reported once is not carried on into a checkpoint", async () => {
  const world = engineWorld();
  const engine = await openTestEngine(world, { ...SMALL, memtableSize: 1 << 20 });
  for (let n = 0; n < 20; n++) await put(engine, "a", `k${n}`, `v${n}`);
  await engine.close();
  const [segment] = world.disk.list("/data/wal");
  world.disk.corrupt(`/data/wal/${segment}`, 300, 0xff);
  const damaged = await openTestEngine(world);
  assert.equal(damaged.recovery.losses.length, 1);
  const left = contents(damaged);
  const { dir } = await damaged.checkpoint("s");
  await damaged.close();
  assert.deepEqual(await restored(world, dir), left);
});

Deno.test("a checkpoint of an encrypted store is encrypted, and restores with the key only", async () => {
  const world = engineWorld();
  const key = new Uint8Array(32).fill(7);
  const options = { ...SMALL, encryption: { key } };
  const engine = await openTestEngine(world, options);
  for (let n = 0; n < 40; n++) await put(engine, "a", `k${n}`, `secret ${n}`);
  await engine.flush();
  for (let n = 0; n < 5; n++) await put(engine, "a", `k${n}`, `secret again ${n}`);
  const before = contents(engine);
  const { dir } = await engine.checkpoint("s");
  assert.deepEqual((await engine.verifyCheckpoint("s")).problems, []);
  await engine.close();
  for (const path of filesBelow(world, dir).filter((path) => /wal$|sst$|MANIFEST/.test(path))) {
    const text = new TextDecoder("latin1").decode(world.disk.readWhole(path));
    assert.ok(!text.includes("secret"), path);
  }
  await restoreCheckpoint(world.disk, dir, "/restored", NOTHING);
  const open = (options: typeof SMALL) => openEngine(world, "/restored", options, [appendOperator]);
  await assert.rejects(open(SMALL), { error: "InvalidArgument" });
  const other = { ...SMALL, encryption: { key: new Uint8Array(32).fill(8) } };
  await assert.rejects(open(other), { error: "InvalidArgument" });
  const restored = await open(options);
  assert.deepEqual(contents(restored), before);
  await restored.close();
});

Deno.test("closing the engine ends a checkpoint that is being made; nothing of it stays", async () => {
  for (let steps = 0; steps < 30; steps++) {
    const world = engineWorld({ delays: false });
    const engine = await filled(world);
    const making = engine.checkpoint("s").then(() => "made", (error) => error.error);
    for (let n = 0; n < steps; n++) await Promise.resolve();
    await engine.close();
    const outcome = await making;
    assert.ok(outcome === "made" || outcome === "Unavailable", outcome);
    assert.deepEqual(world.disk.list("/data/snapshots"), outcome === "made" ? ["s"] : []);
    await assert.rejects(async () => await engine.checkpoint("t"), { error: "Unavailable" });
  }
});

Deno.test("every flipped byte of a checkpoint is found by verify, which names the file, and by restore", async () => {
  const world = engineWorld();
  const engine = await filled(world);
  const { dir } = await engine.checkpoint("s");
  await engine.close();
  const { disk } = world;
  let bytes = 0;
  for (const path of filesBelow(world, dir)) {
    if (path.endsWith("/SNAPSHOT")) continue; // inventory_test.ts
    const { size } = disk.stat(path)!;
    for (let at = 0; at < size; at += 1 + Math.floor(size / 60)) {
      disk.corrupt(path, at, 0x10);
      const { problems } = await verifyCheckpoint(disk, dir);
      assert.deepEqual(problems.map(({ file }) => file), [path], `byte ${at}`);
      await assert.rejects(restoreCheckpoint(disk, dir, "/restored", NOTHING), (error: Error) => {
        assert.ok(error.message.includes(path), error.message);
        return true;
      });
      assert.equal(disk.stat("/restored"), undefined);
      disk.corrupt(path, at, 0x10);
      bytes++;
    }
  }
  assert.ok(bytes > 300, `${bytes} bytes`);
  disk.corrupt(`${dir}/SNAPSHOT`, 30, 1);
  await assert.rejects(restoreCheckpoint(disk, dir, "/restored", NOTHING), /SNAPSHOT at 0/);
  const again = await openTestEngine(world);
  const [{ problem }] = again.checkpoints();
  assert.match(problem!, /SNAPSHOT at 0: it is damaged/);
  await again.deleteCheckpoint("s");
  await again.close();
});

Deno.test("a missing file, a short one and one too many are found", async () => {
  const world = engineWorld();
  const engine = await filled(world);
  const { dir } = await engine.checkpoint("s");
  await engine.close();
  const { disk } = world;
  const [table] = filesBelow(world, dir).filter((path) => path.endsWith(".sst"));
  const bytes = disk.readWhole(table);
  disk.remove(table);
  assert.deepEqual((await verifyCheckpoint(disk, dir)).problems, [
    { file: table, problem: "it is missing" },
  ]);
  disk.setBytes(table, bytes.subarray(1));
  assert.match((await verifyCheckpoint(disk, dir)).problems[0].problem, /bytes, not/);
  disk.remove(table);
  disk.setBytes(table, bytes);
  for (
    const extra of [`${dir}/wal/000999.wal`, `${dir}/IDENTITY`, `${dir}/tenants/x~9/000001.sst`]
  ) {
    disk.setBytes(extra, utf8("?"));
    assert.deepEqual((await verifyCheckpoint(disk, dir)).problems, [
      { file: extra, problem: "it does not belong to the snapshot" },
    ]);
    disk.remove(extra);
  }
  await checkDirectory(disk, dir); // leaves a LOCK
  assert.deepEqual((await verifyCheckpoint(disk, dir)).problems, []);
});

Deno.test("restore takes an absent or an empty directory, and nothing else", async () => {
  const world = engineWorld();
  const engine = await filled(world);
  const { dir } = await engine.checkpoint("s");
  const { disk } = world;
  const restore = (to: string) => restoreCheckpoint(disk, dir, to, NOTHING);
  await assert.rejects(restore("/data"), /not empty/);
  disk.setBytes("/file", utf8("x"));
  await assert.rejects(restore("/file"), /it is a file/);
  disk.setBytes("/full/x", utf8("x"));
  await assert.rejects(restore("/full"), /not empty/);
  assert.equal(fromUtf8(disk.readWhole("/full/x")), "x");
  await assert.rejects(restore(`${dir}/below`), /it is in the snapshot/);
  await assert.rejects(restore(`${dir}/./wal/../below`.replace("/wal/..", "")), /in the snapshot/);
  await assert.rejects(restoreCheckpoint(disk, "/data", "/r", NOTHING), /is not a snapshot/);
  disk.makeDir("/empty");
  await restore("/empty");
  await restore("/deep/er/new");
  const { linked, copied } = await restoreCheckpoint(disk, dir, "/copy", NOTHING, { copy: true });
  assert.equal(linked, 0);
  assert.ok(copied > 4);
  await engine.close();
});

Deno.test("a snapshot, and a directory whose restoring was cut short, are opened by no engine", async () => {
  const world = engineWorld();
  const engine = await filled(world);
  const before = contents(engine);
  const { dir } = await engine.checkpoint("s");
  await engine.close();
  const { disk } = world;
  const open = (root: string) => openEngine(world, root, SMALL, [appendOperator]);
  const files = filesBelow(world, dir);
  await assert.rejects(open(dir), /it is a snapshot/);
  assert.deepEqual(filesBelow(world, dir), files, "nothing is changed");
  disk.hook = ({ op, path }) => op === "link" && path.endsWith(".wal") ? "EIO" : undefined;
  await assert.rejects(restoreCheckpoint(disk, dir, "/r", NOTHING), { error: "SSTableFailed" });
  disk.hook = undefined;
  assert.deepEqual(disk.list("/r"), ["LOCK", "RESTORING"], "its space is given back");
  await assert.rejects(open("/r"), /did not come to its end/);
  assert.deepEqual(await restored(world, dir, "/r"), before);
});

Deno.test("a copy shares with the one before what is the same, and is the same itself", async () => {
  const world = engineWorld();
  const { disk } = world;
  const engine = await filled(world);
  const one = await engine.checkpoint("one", ORIGIN);
  const first = await copyCheckpoint(disk, one.dir, "/backup", "one");
  assert.deepEqual([first.linked, first.previous], [0, undefined]);
  await put(engine, "a", "k", "later");
  const state = contents(engine);
  const two = await engine.checkpoint("two", ORIGIN);
  const second = await copyCheckpoint(disk, two.dir, "/backup", "two");
  assert.equal(second.previous, "/backup/one");
  assert.ok(second.linked >= 2 && second.copiedBytes < first.copiedBytes / 2, `${second.linked}`);
  const tables = (dir: string) => readInventory(disk, dir).files;
  assert.deepEqual(tables("/backup/two"), tables(two.dir));
  await engine.close();
  disk.removeDir("/data");
  assert.deepEqual((await verifyCheckpoint(disk, "/backup/one")).problems, []);
  disk.removeDir("/backup/one");
  assert.deepEqual((await verifyCheckpoint(disk, "/backup/two")).problems, []);
  assert.deepEqual(await restored(world, "/backup/two"), state);
  assert.deepEqual(checkpointsIn(disk, "/backup").map(({ name }) => name), ["two"]);
});

Deno.test("a failure at any call of a restoring or copying leaves nothing that passes for whole", async () => {
  const world = engineWorld();
  const engine = await filled(world);
  const before = contents(engine);
  const { dir } = await engine.checkpoint("s");
  await engine.close();
  const image = world.disk.snapshotImage();
  const works = {
    restore: (disk: SimDisk) => restoreCheckpoint(disk, dir, "/new/r", NOTHING),
    "restore --copy": (disk: SimDisk) =>
      restoreCheckpoint(disk, dir, "/new/r", NOTHING, { copy: true }),
    copy: (disk: SimDisk) => copyCheckpoint(disk, dir, "/new", "r"),
  };
  for (const [what, work] of Object.entries(works)) {
    for (const errno of ["EIO", "ENOSPC", "EROFS"] as const) {
      let tried = 0;
      for (let at = 0;; at++) {
        const there = engineWorld({ image, delays: false });
        const { disk } = there;
        disk.crash("keep");
        const first = disk.callCount;
        let failed = "";
        disk.hook = ({ op, path, index }) => {
          if (index - first < at || failed !== "" || op === "stat") return undefined;
          failed = `${what}: ${errno} at ${op} ${path}`;
          return errno;
        };
        const error = await work(disk).then(() => undefined, (error) => error);
        disk.hook = undefined;
        if (failed === "") break;
        tried++;
        assert.ok(error instanceof Error, `${failed}: nobody was told`);
        if (what === "copy") assert.deepEqual(checkpointsIn(disk, "/new"), [], failed);
        else if (disk.stat("/new/r/CURRENT") !== undefined) {
          await assert.rejects(openEngine(there, "/new/r", SMALL, [appendOperator]), failed);
        }
        await work(disk);
        if (what === "copy") await restoreCheckpoint(disk, "/new/r", "/again", NOTHING);
        const copy = await openEngine(there, what === "copy" ? "/again" : "/new/r", SMALL, [
          appendOperator,
        ]);
        assert.deepEqual(contents(copy), before, failed);
        await copy.close();
      }
      assert.ok(tried > 20, `${what}, ${errno}: ${tried} calls`);
    }
  }
});

Deno.test("a copy refuses a taken name, another store's copy to share with, and damage", async () => {
  const world = engineWorld();
  const { disk } = world;
  const engine = await filled(world);
  const { dir } = await engine.checkpoint("s", ORIGIN);
  await copyCheckpoint(disk, dir, "/backup", "s");
  await assert.rejects(copyCheckpoint(disk, dir, "/backup", "s"), /it exists/);
  await assert.rejects(copyCheckpoint(disk, dir, "/backup", "../s"), { error: "InvalidArgument" });
  await engine.close();
  const again = await openTestEngine(world);
  const foreign = await again.checkpoint("foreign", { ...ORIGIN, store: "f".repeat(32) });
  await again.close();
  await assert.rejects(
    copyCheckpoint(disk, foreign.dir, "/backup", "f", "/backup/s"),
    /a snapshot of another store/,
  );
  await assert.rejects(copyCheckpoint(disk, dir, "/backup", "t", "/nowhere"), /is not a snapshot/);
  const { linked } = await copyCheckpoint(disk, foreign.dir, "/backup", "f");
  assert.equal(linked, 0, "the newest copy is another store's");
  const [table] = filesBelow(world, dir).filter((path) => path.endsWith(".sst"));
  disk.corrupt(table, 5, 1);
  await assert.rejects(copyCheckpoint(disk, dir, "/elsewhere", "s"), (error: Error) => {
    assert.ok(error.message.includes(table), error.message);
    return true;
  });
  assert.deepEqual(disk.list("/elsewhere"), ["LOCK"]);
});
