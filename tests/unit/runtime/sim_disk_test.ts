/**
 * What only the simulated disk does: crashes, failures on demand, limits, rot.
 * @module
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type AppendFile,
  type CrashPolicy,
  DiskError,
  SimClock,
  SimCrash,
  SimDisk,
  type SimDiskCall,
  SimRandom,
} from "../../../src/runtime/mod.ts";
import { SimDir, SimFile, SimTree } from "../../../src/runtime/sim/inodes.ts";
import { assertErrno, pattern } from "./disk_cases.ts";

/** A disk with the durable directory /d. */
function diskWithDir(disk = new SimDisk()): SimDisk {
  disk.makeDir("/d");
  disk.syncDir("/");
  return disk;
}

function createSynced(disk: SimDisk, path: string, bytes: Uint8Array): AppendFile {
  const file = disk.create(path);
  file.append(bytes);
  file.syncNow();
  disk.syncDir(path.slice(0, path.lastIndexOf("/")) || "/");
  return file;
}

/** What each seed below `count` leaves of the disk, as text, with how often. */
function outcomes(disk: SimDisk, look: (after: SimDisk) => string, count = 300) {
  const image = disk.snapshotImage();
  const seen = new Map<string, number>();
  for (let seed = 0; seed < count; seed++) {
    const after = SimDisk.fromImage(image);
    after.crash({ seed });
    const outcome = look(after);
    seen.set(outcome, (seen.get(outcome) ?? 0) + 1);
  }
  return seen;
}

const hex = (bytes: Uint8Array) => bytes.toHex();

Deno.test("crash(drop) keeps what was synced and nothing else", () => {
  const disk = diskWithDir();
  const file = createSynced(disk, "/d/f", Uint8Array.of(1, 2));
  file.append(Uint8Array.of(3));
  disk.create("/d/unsynced").append(Uint8Array.of(9));
  disk.crash("drop");
  assert.deepEqual(disk.list("/d"), ["f"]);
  assert.deepEqual(disk.readWhole("/d/f"), Uint8Array.of(1, 2));
});

Deno.test("crash(keep) keeps everything, and makes it durable", () => {
  const disk = new SimDisk();
  disk.makeDir("/a/b");
  disk.create("/a/b/f").append(Uint8Array.of(1));
  disk.crash("keep");
  disk.crash("drop");
  assert.deepEqual(disk.readWhole("/a/b/f"), Uint8Array.of(1));
});

Deno.test("crash() loses a synced file whose name was not synced, or whose directory's was not", () => {
  const disk = diskWithDir();
  const file = disk.create("/d/f");
  file.append(Uint8Array.of(1));
  file.syncNow();
  disk.makeDir("/d/e");
  createSynced(disk, "/d/e/g", Uint8Array.of(2));
  disk.crash("drop");
  assert.deepEqual(disk.list("/d"), []);
});

Deno.test("crash() undoes a rename, a removal, a link that was not synced, and not one that was", () => {
  const disk = diskWithDir();
  createSynced(disk, "/d/a", Uint8Array.of(1)).close();
  createSynced(disk, "/d/b", Uint8Array.of(2)).close();
  disk.rename("/d/a", "/d/b");
  disk.link("/d/b", "/d/c");
  disk.crash("drop");
  assert.deepEqual(disk.list("/d"), ["a", "b"]);
  assert.deepEqual(disk.readWhole("/d/b"), Uint8Array.of(2));
  disk.rename("/d/a", "/d/b");
  disk.syncDir("/d");
  disk.remove("/d/b");
  disk.crash("drop");
  assert.deepEqual(disk.list("/d"), ["b"]);
  assert.deepEqual(disk.readWhole("/d/b"), Uint8Array.of(1));
  disk.remove("/d/b");
  disk.syncDir("/d");
  disk.crash("drop");
  assert.deepEqual(disk.list("/d"), []);
});

Deno.test("crash({seed}) shows a rename done or undone, never half", () => {
  const disk = diskWithDir();
  createSynced(disk, "/d/CURRENT", Uint8Array.of(1)).close();
  createSynced(disk, "/d/tmp", Uint8Array.of(2)).close();
  disk.rename("/d/tmp", "/d/CURRENT");
  const seen = outcomes(disk, (after) => `${after.list("/d")} ${after.readWhole("/d/CURRENT")}`);
  assert.deepEqual([...seen.keys()].sort(), ["CURRENT 2", "CURRENT,tmp 1"]);
});

Deno.test("crash({seed}) keeps a rename only if the file's creation survived", () => {
  const disk = diskWithDir();
  createSynced(disk, "/d/CURRENT", Uint8Array.of(1)).close();
  const file = disk.create("/d/tmp");
  file.append(Uint8Array.of(2));
  file.syncNow();
  disk.rename("/d/tmp", "/d/CURRENT");
  const seen = outcomes(disk, (after) => `${after.list("/d")} ${after.readWhole("/d/CURRENT")}`);
  assert.deepEqual([...seen.keys()].sort(), ["CURRENT 1", "CURRENT 2", "CURRENT,tmp 1"]);
});

Deno.test("crash({seed}) never keeps a name's later change without its earlier ones", () => {
  const disk = diskWithDir();
  createSynced(disk, "/d/log", Uint8Array.of(1)).close();
  disk.rename("/d/log", "/d/old");
  disk.create("/d/log");
  // The new log without the rename would have replaced the old one: its bytes would be gone.
  const seen = outcomes(disk, (after) => `${after.list("/d")} ${after.stat("/d/log")?.size}`);
  assert.deepEqual([...seen.keys()].sort(), ["log 1", "log,old 0", "old undefined"]);
});

Deno.test("a rename between directories is sure only when both are synced, and never loses the file", () => {
  for (const [first, second] of [["/d", "/e"], ["/e", "/d"]]) {
    const disk = diskWithDir();
    disk.makeDir("/e");
    disk.syncDir("/");
    createSynced(disk, "/d/f", Uint8Array.of(1)).close();
    disk.rename("/d/f", "/e/f");
    disk.syncDir(first);
    const seen = outcomes(disk, (after) => `${after.list("/d")}|${after.list("/e")}`);
    assert.deepEqual([...seen.keys()].sort(), ["f|", "|f"]);
    disk.syncDir(second);
    disk.crash("drop");
    assert.deepEqual(disk.list("/e"), ["f"]);
  }
});

Deno.test("a name's later change, once durable, brings its earlier ones with it", () => {
  const disk = diskWithDir();
  disk.makeDir("/e");
  disk.syncDir("/");
  createSynced(disk, "/d/f", Uint8Array.of(1)).close();
  disk.rename("/d/f", "/e/f");
  disk.create("/d/f");
  disk.syncDir("/d");
  disk.crash("drop");
  assert.deepEqual([disk.list("/d"), disk.list("/e")], [["f"], ["f"]]);
  assert.equal(disk.readWhole("/e/f").length, 1);
});

Deno.test("crash({seed}) keeps, drops, tears and reorders unsynced appends", () => {
  const disk = diskWithDir();
  const file = createSynced(disk, "/d/f", Uint8Array.of(0xaa));
  file.append(Uint8Array.of(1, 2, 3));
  file.append(Uint8Array.of(4, 5));
  const seen = outcomes(disk, (after) => hex(after.readWhole("/d/f")), 1000);
  for (const state of seen.keys()) assert.match(state, /^aa/, "synced bytes stay");
  const wanted = {
    "all lost": "aa",
    "all kept": "aa0102030405",
    "the first torn": "aa0102",
    "the second torn, the first kept": "aa01020304",
    "the second kept, the first lost": "aa0000000405",
    "the length without the bytes": "aa000000",
  };
  for (const [what, state] of Object.entries(wanted)) assert.ok(seen.has(state), what);
});

Deno.test("crash({seed}) can lose pages inside one append", () => {
  const disk = diskWithDir();
  disk.create("/d/f").append(new Uint8Array(3 * 4096).fill(1));
  disk.syncDir("/d");
  const pages = (after: SimDisk) => {
    const bytes = after.readWhole("/d/f");
    return [0, 1, 2].map((page) => bytes[page * 4096] ?? "-").join("");
  };
  assert.ok(outcomes(disk, pages).has("101"));
});

Deno.test("the same seed leaves the same disk, and another another", () => {
  const disk = diskWithDir();
  for (let i = 0; i < 20; i++) disk.create(`/d/${i}`).append(pattern(100));
  const image = disk.snapshotImage();
  const after = (seed: number) => {
    const copy = SimDisk.fromImage(image);
    copy.crash({ seed });
    return copy.list("/d").map((name) => `${name}:${hex(copy.readWhole(`/d/${name}`))}`).join();
  };
  assert.equal(after(1), after(1));
  assert.notEqual(after(1), after(2));
});

Deno.test("property: whatever was synced survives every crash, and only what was written appears", () => {
  const steps = fc.array(
    fc.oneof(
      fc.record({ op: fc.constant("append" as const), file: fc.nat(2), size: fc.nat(9000) }),
      fc.record({ op: fc.constant("sync" as const), file: fc.nat(2) }),
      fc.record({ op: fc.constant("syncDir" as const) }),
    ),
    { maxLength: 25 },
  );
  const policy = fc.oneof(
    fc.constantFrom<CrashPolicy>("drop", "keep"),
    fc.record({ seed: fc.integer() }),
  );
  fc.assert(
    fc.property(steps, policy, (script, how) => {
      const disk = diskWithDir();
      const files = [0, 1, 2].map((i) => disk.create(`/d/${i}`));
      const syncedSizes = [0, 0, 0];
      let named = false;
      for (const step of script) {
        if (step.op === "syncDir") disk.syncDir("/d");
        if (step.op === "syncDir") named = true;
        if (step.op === "append") files[step.file].append(pattern(step.size).fill(step.file + 1));
        if (step.op === "sync") files[step.file].syncNow();
        if (step.op === "sync") syncedSizes[step.file] = files[step.file].size;
      }
      const sizes = files.map((file) => file.size);
      disk.crash(how);
      for (const i of [0, 1, 2]) {
        const there = disk.stat(`/d/${i}`) !== undefined;
        assert.ok(there || !named, "a synced name survives");
        if (!there) continue;
        const bytes = disk.readWhole(`/d/${i}`);
        assert.ok(bytes.length >= syncedSizes[i] && bytes.length <= sizes[i]);
        assert.ok(bytes.subarray(0, syncedSizes[i]).every((byte) => byte === i + 1));
        assert.ok(bytes.every((byte) => byte === i + 1 || byte === 0));
      }
    }),
    { numRuns: 200 },
  );
});

Deno.test("crash() kills handles and frees locks", async () => {
  const disk = diskWithDir();
  const file = createSynced(disk, "/d/f", Uint8Array.of(1));
  const reader = disk.openRead("/d/f");
  const lock = disk.lock("/d/LOCK");
  disk.crash("keep");
  assertErrno(() => file.append(Uint8Array.of(2)), "EIO");
  assertErrno(() => file.syncNow(), "EIO");
  await assert.rejects(file.sync(), { errno: "EIO" });
  assertErrno(() => reader.readAt(new Uint8Array(1), 0), "EIO");
  await assert.rejects(reader.readAtAsync(new Uint8Array(1), 0), { errno: "EIO" });
  const again = disk.lock("/d/LOCK");
  lock.release();
  assertErrno(() => disk.lock("/d/LOCK"), "EAGAIN");
  again.release();
  file.close();
  reader.close();
});

Deno.test("a sync that a crash overtakes did not happen", async () => {
  const clock = new SimClock();
  const disk = diskWithDir(new SimDisk({ clock, syncDelayMsMax: 5 }));
  const file = createSynced(disk, "/d/f", Uint8Array.of(1));
  file.append(Uint8Array.of(2));
  const overtaken = assert.rejects(file.sync(), { errno: "EIO" });
  disk.crash("drop");
  await clock.advance(5);
  await overtaken;
  assert.deepEqual(disk.readWhole("/d/f"), Uint8Array.of(1));
});

Deno.test("a sync covers what was appended before it began, not what came while it ran", async () => {
  const disk = diskWithDir();
  const file = createSynced(disk, "/d/f", Uint8Array.of(1));
  file.append(Uint8Array.of(2));
  const sync = file.sync();
  file.append(Uint8Array.of(3));
  await sync;
  disk.crash("drop");
  assert.deepEqual(disk.readWhole("/d/f"), Uint8Array.of(1, 2));
});

Deno.test("syncs on virtual time overtake each other by seed", async () => {
  const orders = new Set<string>();
  for (let seed = 0; seed < 20; seed++) {
    const clock = new SimClock();
    const disk = diskWithDir(new SimDisk({ clock, random: new SimRandom(seed) }));
    const order: string[] = [];
    const files = ["a", "b"].map((name) => ({ name, file: disk.create(`/d/${name}`) }));
    const syncs = files.map(({ name, file }) => file.sync().then(() => void order.push(name)));
    await clock.runUntil(Promise.all(syncs));
    orders.add(order.join(""));
  }
  assert.deepEqual([...orders].sort(), ["ab", "ba"]);
});

Deno.test("a failed sync loses what it was to cover, and a repeated one does not bring it back", async () => {
  for (const op of ["sync", "syncNow"] as const) {
    const disk = diskWithDir();
    const file = createSynced(disk, "/d/f", Uint8Array.of(1));
    file.append(Uint8Array.of(2));
    disk.hook = (call) => call.op === op ? "EIO" : undefined;
    if (op === "sync") await assert.rejects(file.sync(), { errno: "EIO" });
    else assertErrno(() => file.syncNow(), "EIO");
    disk.hook = undefined;
    file.append(Uint8Array.of(3));
    await file.sync();
    assert.deepEqual(disk.readWhole("/d/f"), Uint8Array.of(1, 2, 3));
    disk.crash("drop");
    assert.deepEqual(disk.readWhole("/d/f"), Uint8Array.of(1, 0, 3));
  }
});

Deno.test("syncFile() makes durable what a killed process had appended", () => {
  const disk = diskWithDir();
  const file = createSynced(disk, "/d/f", Uint8Array.of(1));
  file.append(Uint8Array.of(2));
  const restarted = SimDisk.fromImage(disk.snapshotImage());
  restarted.syncFile("/d/f");
  restarted.crash("drop");
  assert.deepEqual(restarted.readWhole("/d/f"), Uint8Array.of(1, 2));

  disk.hook = ({ op }) => op === "syncFile" ? "EIO" : undefined;
  assertErrno(() => disk.syncFile("/d/f"), "EIO");
  disk.hook = undefined;
  disk.syncFile("/d/f");
  disk.crash("drop");
  assert.deepEqual(disk.readWhole("/d/f"), Uint8Array.of(1), "what a failed sync lost stays lost");
});

Deno.test("the hook sees every call and can fail any with any errno", async () => {
  const disk = diskWithDir();
  const file = createSynced(disk, "/d/f", pattern(4));
  const reader = disk.openRead("/d/f");
  const into = new Uint8Array(1);
  const calls: Record<string, () => unknown> = {
    append: () => file.append(pattern(1)),
    syncNow: () => file.syncNow(),
    readAt: () => reader.readAt(into, 0),
    openRead: () => disk.openRead("/d/f"),
    create: () => disk.create("/d/g"),
    readWhole: () => disk.readWhole("/d/f"),
    stat: () => disk.stat("/d/f"),
    list: () => disk.list("/d"),
    makeDir: () => disk.makeDir("/d/e"),
    rename: () => disk.rename("/d/f", "/d/g"),
    link: () => disk.link("/d/f", "/d/g"),
    remove: () => disk.remove("/d/f"),
    removeDir: () => disk.removeDir("/d"),
    syncDir: () => disk.syncDir("/d"),
    syncFile: () => disk.syncFile("/d/f"),
    lock: () => disk.lock("/d/LOCK"),
    space: () => disk.space("/d"),
  };
  const seen: SimDiskCall[] = [];
  disk.hook = (call) => {
    seen.push(call);
    return "EROFS";
  };
  const firstIndex = disk.callCount;
  for (const [op, run] of Object.entries(calls)) {
    const error = assertErrno(run, "EROFS");
    assert.equal(error.call, op);
  }
  await assert.rejects(file.sync(), { errno: "EROFS" });
  await assert.rejects(reader.readAtAsync(into, 0), { errno: "EROFS" });
  assert.deepEqual(seen.map((call) => call.op), [...Object.keys(calls), "sync", "readAtAsync"]);
  assert.deepEqual(seen.map((call) => call.index - firstIndex), seen.map((_, i) => i));
  assert.equal(seen[0].path, "/d/f");
  disk.hook = undefined;
  assert.deepEqual(disk.list("/d"), ["f"], "failed calls change nothing");
  assert.deepEqual(disk.readWhole("/d/f"), pattern(4));
});

Deno.test("a short append goes on, or leaves its part when the rest fails", () => {
  const disk = diskWithDir();
  const file = disk.create("/d/f");
  let appends = 0;
  disk.hook = ({ op }) => op === "append" && appends++ === 0 ? "short" : undefined;
  file.append(pattern(100));
  assert.equal(appends, 2);
  assert.deepEqual(disk.readWhole("/d/f"), pattern(100));
  appends = 0;
  disk.hook = ({ op }) => op !== "append" ? undefined : appends++ === 0 ? "short" : "ENOSPC";
  assertErrno(() => file.append(pattern(100, 100)), "ENOSPC");
  const left = disk.readWhole("/d/f");
  assert.ok(left.length > 100 && left.length < 200);
  assert.deepEqual(left, pattern(left.length));
});

Deno.test("stopAtMutation() stops the world before that call and for good, until a crash", async () => {
  const script = async (disk: SimDisk) => {
    const file = disk.create("/d/f");
    file.append(Uint8Array.of(1));
    await file.sync();
    disk.syncDir("/d");
    disk.rename("/d/f", "/d/g");
    disk.syncDir("/d");
  };
  const clean = diskWithDir();
  const before = clean.mutationCount;
  await script(clean);
  const steps = clean.mutationCount - before;
  assert.equal(steps, 6);
  const left: string[] = [];
  for (let step = 0; step < steps; step++) {
    const disk = diskWithDir();
    disk.stopAtMutation(before + step);
    await assert.rejects(script(disk), SimCrash);
    assert.ok(disk.stopped);
    assert.throws(() => disk.stat("/d"), SimCrash);
    disk.crash("drop");
    assert.ok(!disk.stopped);
    left.push(disk.list("/d").join());
  }
  assert.deepEqual(left, ["", "", "", "", "f", "f"]);
});

Deno.test("a stopped world rejects what was under way", async () => {
  const disk = diskWithDir();
  const file = createSynced(disk, "/d/f", Uint8Array.of(1));
  file.append(Uint8Array.of(2));
  const sync = assert.rejects(file.sync(), SimCrash);
  disk.hook = () => "crash";
  assert.throws(() => disk.stat("/d"), SimCrash);
  await sync;
  file.close();
  disk.hook = undefined;
  disk.crash("drop");
  assert.deepEqual(disk.readWhole("/d/f"), Uint8Array.of(1));
});

Deno.test("stopAtCall() counts reads too", () => {
  const disk = diskWithDir();
  disk.stopAtCall(disk.callCount + 1);
  disk.stat("/d");
  assert.throws(() => disk.stat("/d"), SimCrash);
  assert.equal(disk.count("stat"), 2);
});

Deno.test("an append to a full disk takes what fits and fails with ENOSPC", () => {
  const disk = diskWithDir(new SimDisk({ capacityBytes: 100 }));
  disk.create("/d/a").append(pattern(60));
  const file = disk.create("/d/b");
  assertErrno(() => file.append(pattern(60)), "ENOSPC");
  assert.equal(file.size, 40);
  assert.deepEqual(disk.readWhole("/d/b"), pattern(40));
  assert.deepEqual(disk.space("/d"), { totalBytes: 100, freeBytes: 0 });
});

Deno.test("an unlinked file takes its space until its last handle closes", () => {
  const disk = diskWithDir(new SimDisk({ capacityBytes: 100 }));
  const file = disk.create("/d/a");
  file.append(pattern(60));
  const reader = disk.openRead("/d/a");
  disk.remove("/d/a");
  file.close();
  assert.equal(disk.space("/d").freeBytes, 40);
  reader.close();
  assert.equal(disk.space("/d").freeBytes, 100);
});

Deno.test("corrupt() and setBytes() change what is stored, also for open readers", () => {
  const disk = new SimDisk();
  disk.setBytes("/d/e/f", Uint8Array.of(1, 2, 3));
  const reader = disk.openRead("/d/e/f");
  const image = disk.snapshotImage();
  disk.corrupt("/d/e/f", 1, 0xff);
  const into = new Uint8Array(3);
  reader.readAt(into, 0);
  assert.deepEqual(into, Uint8Array.of(1, 2 ^ 0xff, 3));
  assert.throws(() => disk.corrupt("/d/e/f", 3, 1), RangeError);
  assert.throws(() => disk.corrupt("/d/none", 0, 1), DiskError);
  disk.setBytes("/d/e/f", Uint8Array.of(9));
  disk.crash("drop");
  assert.deepEqual(disk.readWhole("/d/e/f"), Uint8Array.of(9));
  assert.deepEqual(SimDisk.fromImage(image).readWhole("/d/e/f"), Uint8Array.of(1, 2, 3));
});

Deno.test("an image is a moment: neither the disk nor its copies disturb it or each other", () => {
  const disk = diskWithDir();
  const file = createSynced(disk, "/d/f", Uint8Array.of(1));
  file.append(Uint8Array.of(2));
  disk.link("/d/f", "/d/g");
  const image = disk.snapshotImage();
  file.append(Uint8Array.of(3));
  disk.remove("/d/g");
  const one = SimDisk.fromImage(image);
  const two = SimDisk.fromImage(image);
  one.crash("drop");
  assert.deepEqual(one.readWhole("/d/f"), Uint8Array.of(1));
  assert.deepEqual(one.list("/d"), ["f"]);
  assert.deepEqual(two.readWhole("/d/g"), Uint8Array.of(1, 2));
  two.corrupt("/d/f", 0, 0xff);
  assert.deepEqual(two.readWhole("/d/g"), Uint8Array.of(0xfe, 2), "still one file of two names");
  two.crash("keep");
  assert.deepEqual(two.list("/d"), ["f", "g"]);
  assert.deepEqual(disk.readWhole("/d/f"), Uint8Array.of(1, 2, 3));
});

Deno.test("SimTree forgets the changes in a directory that no crash can bring back", () => {
  const tree = new SimTree();
  for (let round = 0; round < 3; round++) {
    const dir = new SimDir();
    tree.change({ dir: tree.root, name: "t", node: dir });
    tree.change({ dir, name: "f", node: new SimFile() });
    tree.syncDir(tree.root);
    tree.change({ dir, name: "f", node: undefined });
    tree.change({ dir: tree.root, name: "t", node: undefined });
    assert.equal(tree.pendingCount, 3);
    tree.syncDir(tree.root);
    assert.equal(tree.pendingCount, 0);
  }
});
