/**
 * Power loss at every call that changes the disk while a checkpoint is made, deleted, restored and copied.
 * Of what was not synced the crash keeps nothing, everything, or a random part. Afterwards the store itself
 * has all that it acknowledged; each checkpoint, copy and restored directory is there whole or not at all,
 * and is there if somebody was told so; and doing it again works, and cleans up.
 * @module
 */
import assert from "node:assert/strict";
import {
  checkpointsIn,
  copyCheckpoint,
  type Engine,
  KIND_PUT,
  openEngine,
  restoreCheckpoint,
  verifyCheckpoint,
} from "../../src/engine/mod.ts";
import { fromUtf8, utf8 } from "../../src/model/mod.ts";
import type { CrashPolicy, SimDiskImage, SimRuntime } from "../../src/runtime/mod.ts";
import { appendOperator, engineWorld, openTestEngine, SMALL } from "../support/engine.ts";

/** Checks one crash state in so many. */
const STRIDE = Number(Deno.env.get("PAIRDB_CRASH_STRIDE") ?? 1);
const OPTIONS = { ...SMALL, memtableSize: 900 };

async function put(engine: Engine, key: string, value: string): Promise<void> {
  const tree = engine.tree("t") ?? await engine.createTree("t");
  await engine.write([{ tree, kind: KIND_PUT, key: utf8(key), value: utf8(value) }]);
}

function contents(engine: Engine): Record<string, string> {
  const rows: Record<string, string> = {};
  const tree = engine.tree("t");
  if (tree === undefined) return rows;
  const cursor = engine.scan(tree, {});
  while (cursor.next()) rows[fromUtf8(cursor.key)] = fromUtf8(cursor.value);
  cursor.close();
  return rows;
}

/** What was going on, and what somebody was told, when the world stopped. */
interface Told {
  /** Keys and values whose writes were acknowledged; "last" was perhaps only attempted. */
  readonly written: Record<string, string>;
  readonly attempted: Record<string, string>;
  /** Names of checkpoints, restored directories and copies: what is under way, and what is done. */
  readonly state: Record<string, "under way" | "done" | "deleting" | "deleted">;
}

/** Does everything once. Links are not possible for the second checkpoint. */
async function script(world: SimRuntime, told: Told): Promise<void> {
  const engine = await openTestEngine(world, OPTIONS);
  let count = 0;
  const write = async () => {
    const key = `k${count++ % 17}`;
    const value = `${count}`.repeat(12);
    told.attempted[key] = value;
    await put(engine, key, value);
    told.written[key] = value;
  };
  const step = async (name: string, make: () => Promise<unknown>) => {
    told.state[name] = "under way";
    await make();
    told.state[name] = "done";
  };
  for (let n = 0; n < 30; n++) await write();
  const [first] = await Promise.all([
    step("/data/snapshots/one", () => engine.checkpoint("one")),
    write(),
    engine.compact(),
  ]);
  assert.equal(first, undefined);
  for (let n = 0; n < 10; n++) await write();
  const before = world.disk.hook;
  world.disk.hook = ({ op }) => op === "link" ? "EXDEV" : undefined;
  await step("/data/snapshots/two", () => engine.checkpoint("two"));
  world.disk.hook = before;
  const { disk } = world;
  await step("/backup/one", () => copyCheckpoint(disk, "/data/snapshots/one", "/backup", "one"));
  await step("/backup/two", () => copyCheckpoint(disk, "/data/snapshots/two", "/backup", "two"));
  await step("/restored", () => restoreCheckpoint(disk, "/backup/two", "/restored", () => {}));
  told.state["/data/snapshots/one"] = "deleting";
  await engine.deleteCheckpoint("one");
  told.state["/data/snapshots/one"] = "deleted";
  await engine.close();
}

async function runUntil(stop: number): Promise<{ told: Told; image: SimDiskImage; done: boolean }> {
  const world = engineWorld({ delays: false });
  const told: Told = { written: {}, attempted: {}, state: {} };
  world.disk.stopAtMutation(stop);
  try {
    await script(world, told);
  } catch (error) {
    if (!world.disk.stopped) throw error;
  }
  return { told, image: world.disk.snapshotImage(), done: !world.disk.stopped };
}

async function checkAfter(
  image: SimDiskImage,
  policy: CrashPolicy,
  told: Told,
  where: string,
): Promise<void> {
  const world = engineWorld({ image, delays: false });
  const { disk } = world;
  disk.crash(policy);
  const engine = await openTestEngine(world, OPTIONS);
  const found = contents(engine);
  for (const [key, value] of Object.entries(told.written)) {
    const attempted = told.attempted[key];
    assert.ok(found[key] === value || found[key] === attempted, `${where}: ${key} is lost`);
  }
  const there = new Map([
    ...engine.checkpoints(),
    ...checkpointsIn(disk, "/backup"),
  ].map((info) => [info.dir, info]));
  for (const [path, state] of Object.entries(told.state)) {
    if (path === "/restored") continue;
    if (state === "done") assert.ok(there.has(path), `${where}: ${path} is gone`);
    if (state === "deleted") assert.ok(!there.has(path), `${where}: ${path} is back`);
    const info = there.get(path);
    if (info === undefined) continue;
    assert.equal(info.problem, undefined, `${where}: ${path}`);
    assert.deepEqual((await verifyCheckpoint(disk, path)).problems, [], `${where}: ${path}`);
  }
  for (const name of disk.stat("/data/snapshots") ? disk.list("/data/snapshots") : []) {
    assert.match(name, /^(one|two)$/, `${where}: a leftover stays`);
  }
  // Restored whole, or refused.
  const restored = () => openEngine(world, "/restored", OPTIONS, [appendOperator]);
  if (disk.stat("/restored/RESTORING") !== undefined) {
    assert.notEqual(told.state["/restored"], "done", where);
    await assert.rejects(restored(), /did not come to its end/, where);
  } else if (disk.stat("/restored/CURRENT") !== undefined) {
    const copy = await restored();
    assert.deepEqual(copy.recovery.losses, [], where);
    assert.equal(Object.keys(contents(copy)).length, 17, where);
    await copy.close();
    disk.removeDir("/restored");
  } else {
    assert.notEqual(told.state["/restored"], "done", where);
    if (disk.stat("/restored") !== undefined) {
      assert.deepEqual(disk.list("/restored").filter((name) => name !== "LOCK"), [], where);
    }
  }
  // Everything works again.
  const last = await engine.checkpoint("again");
  const state = contents(engine);
  await engine.close();
  const copied = await copyCheckpoint(disk, last.dir, "/backup", "again");
  assert.deepEqual(disk.list("/backup").filter((name) => name.startsWith(".")), [], where);
  await restoreCheckpoint(disk, copied.dir, "/restored", () => {});
  const copy = await restored();
  assert.deepEqual(contents(copy), state, where);
  await copy.close();
}

Deno.test("no crash point leaves half a checkpoint, or takes a whole one, or harms the store", async () => {
  let states = 0;
  let points = 0;
  for (let stop = 0;; stop++) {
    const { told, image, done } = await runUntil(stop);
    if (done) break;
    // What comes before the first checkpoint is engine_crash_test.ts's.
    if (Object.keys(told.state).length === 0) continue;
    points++;
    const policies: CrashPolicy[] = ["drop", "keep", { seed: stop }, { seed: stop + 10_000 }];
    for (let i = 0; i < policies.length; i++) {
      if ((stop + i) % STRIDE !== 0) continue;
      await checkAfter(image, policies[i], told, `stop ${stop}, ${JSON.stringify(policies[i])}`);
      states++;
    }
  }
  assert.ok(points > 150, `${points} crash points`);
  assert.ok(states >= 600 / STRIDE, `${states} crash states`);
});
