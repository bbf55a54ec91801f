/**
 * The engine and its directory: who may open it, what in it is ours, and what happens to failures.
 * @module
 */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import {
  checkDirectory,
  type Engine,
  KIND_MERGE,
  KIND_PUT,
  type Mutation,
  openEngine,
} from "../../../src/engine/mod.ts";
import { fromUtf8, PairError, utf8 } from "../../../src/model/mod.ts";
import { denoDisk, type SimRuntime, simRuntime } from "../../../src/runtime/mod.ts";
import { engineWorld, openTestEngine, SMALL } from "../../support/engine.ts";

function put(engine: Engine, key: string, value: string, tree = "t"): Promise<void> {
  return engine.write([
    { tree: engine.tree(tree)!, kind: KIND_PUT, key: utf8(key), value: utf8(value) },
  ]);
}

function get(engine: Engine, key: string, tree = "t"): string | undefined {
  const value = engine.get(engine.tree(tree)!, utf8(key));
  return value && fromUtf8(value);
}

async function opened(options = SMALL): Promise<{ world: SimRuntime; engine: Engine }> {
  const world = engineWorld();
  const engine = await openTestEngine(world, options);
  await engine.createTree("t", { mergeOperator: "append" });
  return { world, engine };
}

Deno.test("check finds what an opening would refuse: a log that writes to a tree nobody knows", async () => {
  const { world, engine } = await opened();
  const manifest = world.disk.list("/data").find((name) => name.startsWith("MANIFEST"))!;
  const { length } = world.disk.readWhole(`/data/${manifest}`);
  await engine.createTree("later");
  await put(engine, "a", "1", "later");
  const { disk } = engineWorld({ image: world.disk.snapshotImage() });
  const problems = async () =>
    (await checkDirectory(disk, "/data")).flatMap(({ problem }) => problem ?? []);
  assert.deepEqual(await problems(), []);
  disk.setBytes(`/data/${manifest}`, disk.readWhole(`/data/${manifest}`).slice(0, length));
  const [problem, ...more] = await problems();
  assert.match(problem, /\.wal: it writes to tree 2, which the manifest does not know/);
  assert.deepEqual(more, []);
  await engine.close();
});

const IN_USE = { error: "Unavailable", message: /is in use by another process/ };

Deno.test("a directory is opened once in a process; closing, or failing to open, frees it", async () => {
  const { world, engine } = await opened();
  await put(engine, "a", "1");
  await assert.rejects(openTestEngine(world), IN_USE);
  assert.equal(get(engine, "a"), "1", "the first is not disturbed");
  await engine.close();
  world.disk.hook = ({ op }) => (op === "rename" ? "EIO" : undefined);
  await assert.rejects(openTestEngine(world));
  world.disk.hook = undefined;
  await (await openTestEngine(world)).close();
});

Deno.test("close() ends with the last removal: afterwards the directory is somebody else's", async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const world = engineWorld({ delays: true, seed });
    const { clock, disk } = world;
    const engine = await clock.runUntil(openTestEngine(world));
    await clock.runUntil(engine.createTree("t"));
    const fill = async () => {
      for (let i = 0; i < 100; i++) {
        await clock.runUntil(put(engine, `key ${i}`, "v".repeat(90)));
      }
      await clock.runUntil(engine.compact());
    };
    await fill();
    // Keeps its tables until it is closed, which leaves them all to be removed at once.
    const cursor = engine.scan(engine.tree("t")!, {});
    await fill();
    cursor.close();
    await clock.runUntil(engine.close());
    const { callCount } = disk;
    await clock.advance(10_000);
    assert.equal(disk.callCount, callCount, `seed ${seed}`);
    assert.ok(disk.count("removeAsync") > 0);
  }
});

Deno.test("a directory is opened by one process", async () => {
  const dir = Deno.makeTempDirSync();
  const start = async () => {
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-check", "--allow-read", "--allow-write", OTHER_PROCESS, dir],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    const reader = child.stdout.getReader();
    const said = new TextDecoder().decode((await reader.read()).value).trim();
    return {
      said,
      stop: async () => {
        await child.stdin.close().catch(() => {/* it has ended already */});
        await reader.cancel();
        await child.status;
      },
    };
  };
  const here = () => openEngine({ ...simRuntime(), disk: denoDisk() }, dir);
  try {
    const engine = await here();
    const refused = await start();
    await refused.stop();
    assert.equal(refused.said, "Unavailable");
    await assert.rejects(here(), IN_USE);
    await engine.close();

    const other = await start();
    assert.equal(other.said, "open");
    await assert.rejects(here(), IN_USE);
    await other.stop();
    await (await here()).close();
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});

const OTHER_PROCESS = fileURLToPath(new URL("./other_process.ts", import.meta.url));

Deno.test("what others put into the directory stays; what a crash left of ours goes", async () => {
  const { world, engine } = await opened();
  const { disk } = world;
  for (let i = 0; i < 30; i++) await put(engine, `k${i}`, "v".repeat(50));
  await engine.flush();
  await engine.close();
  // The second manifest: the first number is free for a left-over.
  await (await openTestEngine(world)).close();
  const foreign = [
    "/data/notes.txt",
    "/data/MANIFEST-0000001",
    "/data/wal/copy of 000001.wal",
    "/data/wal/0000001.wal",
    "/data/tenants/readme",
    "/data/tenants/backup/000001.sst",
    "/data/tenants/t~1/000001.sst.bak",
    "/data/tenants/t~1/1.sst",
  ];
  const ours = [
    "/data/MANIFEST-000001",
    "/data/wal/000001.wal",
    "/data/tenants/t~1/000001.sst",
    "/data/tenants/gone~77/000003.sst",
    "/data/CURRENT.tmp",
  ];
  for (const path of [...foreign, ...ours]) disk.setBytes(path, Uint8Array.of(1, 2, 3));
  const again = await openTestEngine(world);
  for (let i = 0; i < 30; i++) assert.equal(get(again, `k${i}`), "v".repeat(50));
  for (const path of foreign) assert.notEqual(disk.stat(path), undefined, `${path} stays`);
  for (const path of ours) assert.equal(disk.stat(path), undefined, `${path} goes`);
  await again.close();
});

Deno.test("checkDirectory() checks a read-only disk without the lock, and one that it may not lock not at all", async () => {
  const { world: { disk }, engine } = await opened();
  await put(engine, "k", "v");
  await engine.close();
  const sound = await checkDirectory(disk, "/data");
  assert.ok(sound.every(({ note }) => note === undefined));
  const writes = ["lock", "create", "append", "sync", "rename", "remove", "makeDir", "link"];
  disk.hook = ({ op }) => writes.includes(op) ? "EROFS" : undefined;
  const [current, ...others] = await checkDirectory(disk, "/data");
  assert.equal(current.note, "checked without the lock: the file system is read-only");
  assert.deepEqual([{ ...current, note: undefined }, ...others], [
    { ...sound[0], note: undefined },
    ...sound.slice(1),
  ]);
  disk.hook = ({ op }) => op === "lock" ? "EACCES" : undefined;
  await assert.rejects(checkDirectory(disk, "/data"), {
    code: 2006,
    message: "Cannot check /data: /data/LOCK: permission denied",
  });
});

Deno.test("file numbers are never used twice, whatever lies in the directory", async () => {
  const { world, engine } = await opened();
  await put(engine, "a", "1");
  await engine.flush();
  await engine.close();
  world.disk.setBytes("/data/tenants/t~1/000500.sst", Uint8Array.of(1));
  const again = await openTestEngine(world);
  await put(again, "b", "2");
  await again.flush();
  const tables = world.disk.list("/data/tenants/t~1").map((name) => Number.parseInt(name));
  assert.ok(Math.max(...tables) > 500, String(tables));
  await again.close();
});

Deno.test("a directory with a log but without CURRENT is not taken for a new one", async () => {
  const { world, engine } = await opened();
  await put(engine, "a", "1");
  await engine.close();
  world.disk.remove("/data/CURRENT");
  const files = world.disk.list("/data/wal");
  await assert.rejects(openTestEngine(world), { error: "CorruptedData", message: /no CURRENT/ });
  assert.deepEqual(world.disk.list("/data/wal"), files);
});

Deno.test("after a failed sync of the log writes are refused, reads go on, and a restart has a prefix [R7]", async () => {
  const { world, engine } = await opened();
  for (let i = 0; i < 10; i++) await put(engine, "n", String(i));
  let failing = true;
  world.disk.hook = ({ op, path }) =>
    failing && op === "sync" && path.includes("wal") ? "EIO" : undefined;
  await assert.rejects(put(engine, "n", "10"), { error: "CommitLogFailed" });
  failing = false;
  assert.ok(engine.poisoned instanceof PairError);
  for (let i = 11; i < 20; i++) {
    await assert.rejects(put(engine, "n", String(i)), { error: "CommitLogFailed" });
  }
  assert.equal(get(engine, "n"), "9", "what was never acknowledged is not shown");
  const cursor = engine.scan(engine.tree("t")!, {});
  assert.ok(cursor.next());
  assert.equal(fromUtf8(cursor.value), "9");
  cursor.close();
  await assert.rejects(engine.flush(), { error: "CommitLogFailed" });
  assert.equal(engine.admit(engine.tree("t")!), undefined, "nobody waits for what will not come");
  await engine.close();

  const image = world.disk.snapshotImage();
  for (const power of ["keep", "drop"] as const) {
    const restarted = engineWorld({ image });
    restarted.disk.crash(power);
    const again = await openTestEngine(restarted);
    assert.deepEqual(again.recovery.losses, []);
    assert.match(String(get(again, "n")), /^(9|10)$/);
    await put(again, "n", "20");
    await again.close();
  }
});

Deno.test("write() tells when the log has a batch: one that fails before that has changed nothing [E1]", async () => {
  const { world, engine } = await opened();
  const tree = await engine.createTree("plain");
  let told = 0;
  const watch = { handedOver: () => void told++ };
  const write = (value: string, kind: Mutation["kind"] = KIND_PUT) => {
    const mutation = { tree, kind, key: utf8("n"), value: utf8(value) };
    return engine.write([mutation], "write", watch);
  };
  const done = write("1");
  assert.equal(told, 1, "in the same step");
  await done;
  // The tree has no merge operator.
  await assert.rejects(write("2", KIND_MERGE), { error: "InvalidArgument" });
  assert.equal(told, 1);
  world.disk.hook = ({ op, path }) =>
    op === "append" && path.includes("wal") ? "ENOSPC" : undefined;
  await assert.rejects(write("3"), { error: "DiskFull" });
  assert.equal(told, 2, "the log had it when it failed");
  world.disk.hook = undefined;
  await assert.rejects(write("4"), { error: "DiskFull" });
  assert.equal(told, 2, "the log that failed takes nothing");
  await engine.close();
  await assert.rejects(write("5"), { error: "Unavailable" });
  assert.equal(told, 2);
});

Deno.test("a flush that the disk refuses is tried again, and nothing is lost meanwhile", async () => {
  const { world, engine } = await opened();
  let failing = true;
  world.disk.hook = ({ op, path }) =>
    failing && op === "create" && path.endsWith(".sst") ? "ENOSPC" : undefined;
  for (let i = 0; i < 60; i++) await put(engine, `k${i}`, "v".repeat(60));
  await world.clock.advance(3500);
  assert.equal(engine.stats().flushes, 0);
  assert.equal(engine.poisoned, undefined);
  for (let i = 0; i < 60; i++) assert.equal(get(engine, `k${i}`), "v".repeat(60));
  await assert.rejects(engine.flush(), { error: "DiskFull", details: { errno: "ENOSPC" } });
  failing = false;
  await world.clock.advance(2000);
  assert.ok(engine.stats().flushes > 0);
  for (let i = 0; i < 60; i++) assert.equal(get(engine, `k${i}`), "v".repeat(60));
  await engine.close();
  assert.equal(world.clock.pendingCount, 0);
});

Deno.test("flushing and dropping a tree at the same time both end", async () => {
  const world = engineWorld({ delays: true });
  const engine = await world.clock.runUntil(openTestEngine(world));
  await world.clock.runUntil(engine.createTree("t"));
  await world.clock.runUntil(put(engine, "a", "1"));
  const tree = engine.tree("t")!;
  const both = Promise.allSettled([engine.flush(tree), engine.dropTree(tree), engine.flush()]);
  await world.clock.runUntil(both, 10_000);
  assert.equal(engine.tree("t"), undefined);
  await world.clock.runUntil(engine.close());
});

Deno.test("a tree that is copied without its empty directory still flushes, durably", async () => {
  const { world, engine } = await opened();
  await engine.close();
  world.disk.removeDir("/data/tenants/t~1");
  world.disk.syncDir("/data/tenants");
  const again = await openTestEngine(world);
  await put(again, "a", "1");
  await again.flush();
  world.disk.crash("drop");
  const last = await openTestEngine(world);
  assert.equal(get(last, "a"), "1");
  await last.close();
});

Deno.test("a memtable that rotates the log under load leaves a log that can be read", async () => {
  const world = engineWorld({ delays: true });
  const options = { ...SMALL, memtableSize: 1500, log: { ...SMALL.log, segmentSize: 4000 } };
  const engine = await world.clock.runUntil(openTestEngine(world, options));
  await world.clock.runUntil(engine.createTree("t", { mergeOperator: "append" }));
  const tree = engine.tree("t")!;
  await world.clock.runUntil(Promise.all(Array.from({ length: 30 }, async (_, writer) => {
    for (let i = 0; i < 20; i++) {
      await world.clock.sleep(world.random.below(10));
      const value = utf8(String(i));
      await engine.write([{ tree, kind: KIND_MERGE, key: utf8(`w${writer}`), value }]);
    }
  })));
  const expected = Array.from({ length: 20 }, (_, i) => String(i)).join(",");
  for (const power of ["keep", "drop"] as const) {
    const restarted = engineWorld({ image: world.disk.snapshotImage() });
    restarted.disk.crash(power);
    const again = await openTestEngine(restarted, options);
    assert.deepEqual(again.recovery.losses, []);
    for (let writer = 0; writer < 30; writer++) assert.equal(get(again, `w${writer}`), expected);
    await again.close();
  }
  await world.clock.runUntil(engine.close());
});

Deno.test("scans and reads of a closed engine are refused", async () => {
  const { engine } = await opened();
  const tree = engine.tree("t")!;
  await engine.close();
  const closed = { error: "Unavailable" };
  assert.throws(() => engine.get(tree, utf8("a")), closed);
  assert.throws(() => engine.scan(tree, {}), closed);
  await assert.rejects(
    engine.write([{ tree, kind: KIND_PUT, key: utf8("a"), value: utf8("") }]),
    closed,
  );
  await assert.rejects(engine.flush(), closed);
  await assert.rejects(engine.createTree("u"), closed);
  await engine.close();
});
