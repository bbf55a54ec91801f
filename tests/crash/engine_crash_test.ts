/**
 * Power loss at every write, sync, create, rename and unlink of a script that writes, flushes, compacts,
 * makes and drops trees. Of what was not synced, the crash keeps nothing, everything, or a random part
 * with torn and reordered bytes. Reopened, the store must hold exactly the first n batches, n being at
 * least what was acknowledged, and must report no loss. Some reopenings are themselves cut short.
 * @module
 */
import assert from "node:assert/strict";
import { type Engine, KIND_DELETE, KIND_MERGE, KIND_PUT } from "../../src/engine/mod.ts";
import { fromUtf8, utf8 } from "../../src/model/mod.ts";
import {
  type CrashPolicy,
  SimCrash,
  type SimDiskImage,
  SimRandom,
  type SimRuntime,
} from "../../src/runtime/mod.ts";
import { engineWorld, openTestEngine, SMALL } from "../support/engine.ts";

/** Checks one crash state in so many. */
const STRIDE = Number(Deno.env.get("PAIRDB_CRASH_STRIDE") ?? 1);
const BATCHES = 90;
const OPTIONS = { ...SMALL, memtableSize: 1200, log: { ...SMALL.log, segmentSize: 3000 } };

/** Batch n: what it changes, in one tree. Every batch also notes its number under "n". */
function batch(n: number): { kind: 0 | 1 | 2; key: string; value: string }[] {
  const random = new SimRandom(n);
  const changes: { kind: 0 | 1 | 2; key: string; value: string }[] = [
    { kind: KIND_PUT, key: "n", value: String(n) },
  ];
  for (let i = 0; i <= random.below(3); i++) {
    const kind = [KIND_PUT, KIND_PUT, KIND_DELETE, KIND_MERGE][random.below(4)] as 0 | 1 | 2;
    changes.push({
      kind,
      key: `k${random.below(12)}`,
      value: `${n}.${i}` + "v".repeat(random.below(80)),
    });
  }
  return changes;
}

/** The state after the first `count` batches. */
function stateAfter(count: number): Map<string, string> {
  const state = new Map<string, string>();
  for (let n = 1; n <= count; n++) {
    for (const { kind, key, value } of batch(n)) {
      if (kind === KIND_PUT) state.set(key, value);
      else if (kind === KIND_DELETE) state.delete(key);
      else state.set(key, state.has(key) ? `${state.get(key)},${value}` : value);
    }
  }
  return state;
}

/** What the script was told before the world stopped. */
interface Told {
  acknowledged: number;
  attempted: number;
  created: boolean;
  dropped: "no" | "asked" | "yes";
}

async function script(world: SimRuntime, told: Told): Promise<void> {
  let engine = await openTestEngine(world, OPTIONS);
  await engine.createTree("main", { mergeOperator: "append" });
  told.created = true;
  const extra = await engine.createTree("extra");
  await engine.write([{ tree: extra, kind: KIND_PUT, key: utf8("a"), value: utf8("b") }]);
  const write = async (engine: Engine, n: number) => {
    told.attempted = n;
    const tree = engine.tree("main")!;
    await engine.write(
      batch(n).map(({ kind, key, value }) => ({ tree, kind, key: utf8(key), value: utf8(value) })),
    );
    told.acknowledged = Math.max(told.acknowledged, n);
  };
  for (let n = 1; n <= BATCHES; n += 3) {
    const results = await Promise.allSettled([0, 1, 2].map((i) => write(engine, n + i)));
    const failed = results.find((result) => result.status === "rejected");
    if (failed !== undefined) throw (failed as PromiseRejectedResult).reason;
    if (n === 31) await engine.compact();
    if (n === 46) {
      told.dropped = "asked";
      await engine.dropTree(engine.tree("extra")!);
      told.dropped = "yes";
    }
    if (n === 61) {
      await engine.close();
      engine = await openTestEngine(world, OPTIONS);
    }
    if (n === 76) await engine.flush();
  }
  await engine.close();
}

function newTold(): Told {
  return { acknowledged: 0, attempted: 0, created: false, dropped: "no" };
}

/** Runs the script until mutation `stop`; returns what was told and what is on the disk. */
async function runUntil(stop: number): Promise<{ told: Told; image: SimDiskImage; done: boolean }> {
  const world = engineWorld();
  const told = newTold();
  world.disk.stopAtMutation(stop);
  try {
    await script(world, told);
  } catch (error) {
    if (!world.disk.stopped) throw error;
  }
  return { told, image: world.disk.snapshotImage(), done: !world.disk.stopped };
}

/** Reopens after a crash and compares. Returns the disk's mutations for a clean reopening. */
async function reopen(
  image: SimDiskImage,
  policies: CrashPolicy[],
  told: Told,
  stopAgain: number | undefined,
  where: string,
): Promise<void> {
  const world = engineWorld({ image });
  world.disk.crash(policies[0]);
  if (stopAgain !== undefined) {
    world.disk.stopAtMutation(stopAgain);
    try {
      const engine = await openTestEngine(world, OPTIONS);
      await engine.flush();
      await engine.close();
    } catch (error) {
      assert.ok(world.disk.stopped, `${where}: ${error}`);
    }
    world.disk.crash(policies[1]);
  }
  const engine = await openTestEngine(world, OPTIONS);
  try {
    assert.deepEqual(engine.recovery.losses, [], where);
    const tree = engine.tree("main");
    if (tree === undefined) {
      assert.ok(!told.created, `${where}: the tree is gone`);
      return;
    }
    if (told.dropped === "no" && told.attempted > 0) {
      assert.notEqual(engine.tree("extra"), undefined, `${where}: the other tree is gone`);
    }
    if (told.dropped === "yes") {
      assert.equal(engine.tree("extra"), undefined, `${where}: the dropped tree is back`);
    }
    const n = engine.get(tree, utf8("n"));
    const count = n === undefined ? 0 : Number(fromUtf8(n));
    assert.ok(
      count >= told.acknowledged,
      `${where}: ${count} of ${told.acknowledged} acknowledged`,
    );
    assert.ok(count <= told.attempted, `${where}: ${count} of ${told.attempted} attempted`);
    const found = new Map<string, string>();
    const cursor = engine.scan(tree, {});
    while (cursor.next()) found.set(fromUtf8(cursor.key), fromUtf8(cursor.value));
    cursor.close();
    const sort = (map: Map<string, string>) => [...map].sort(([a], [b]) => (a < b ? -1 : 1));
    assert.deepEqual(sort(found), sort(stateAfter(count)), where);
    for (const [key, value] of found) {
      assert.equal(fromUtf8(engine.get(tree, utf8(key))!), value, `${where}: get ${key}`);
    }
    // The store takes writes again, and they last.
    await engine.write([{ tree, kind: KIND_PUT, key: utf8("after"), value: utf8("crash") }]);
  } finally {
    await engine.close();
  }
  const again = await openTestEngine(world, OPTIONS);
  assert.equal(fromUtf8(again.get(again.tree("main")!, utf8("after"))!), "crash", where);
  await again.close();
}

Deno.test("no crash point loses an acknowledged write, or half of one (promise 1)", async () => {
  let states = 0;
  for (let stop = 0;; stop++) {
    const { told, image, done } = await runUntil(stop);
    if (done) {
      assert.ok(stop > 300, `the script has ${stop} crash points`);
      break;
    }
    const policies: CrashPolicy[] = ["drop", "keep", { seed: stop }, { seed: stop + 10_000 }];
    for (let i = 0; i < policies.length; i++) {
      if ((stop + i) % STRIDE !== 0) continue;
      const where = `stop ${stop}, ${JSON.stringify(policies[i])}`;
      await reopen(image, [policies[i]], told, undefined, where);
      const twice = [policies[i], { seed: stop + 20_000 }];
      await reopen(image, twice, told, (stop * 7) % 31, `${where}, twice`);
      states += 2;
    }
  }
  assert.ok(states >= 1000 / STRIDE, `${states} crash states`);
});

Deno.test("a world that stops keeps throwing SimCrash", () => {
  const world = engineWorld();
  world.disk.stopAtMutation(0);
  assert.throws(() => world.disk.makeDir("/x"), SimCrash);
});
