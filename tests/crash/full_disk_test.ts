/**
 * A disk that is full to the last byte, again and again, while an engine writes, flushes, compacts, makes
 * and drops trees: nothing of it ends in a restart. What was acknowledged stays; what was refused before the
 * log had it is never there; what was refused after that (outcome unknown) is there as soon as there is room.
 *
 * Before every change of the disk on the way the world may end: then the store must hold the first n batches,
 * n from those acknowledged to those that the log had, and report no loss.
 * @module
 */
import assert from "node:assert/strict";
import { type Engine, KIND_DELETE, KIND_MERGE, KIND_PUT } from "../../src/engine/mod.ts";
import { fromUtf8, PairError, utf8 } from "../../src/model/mod.ts";
import type { CrashPolicy, SimDiskImage, SimRuntime } from "../../src/runtime/mod.ts";
import { SimRandom } from "../../src/runtime/mod.ts";
import { contents, engineWorld, openTestEngine, SMALL } from "../support/engine.ts";

/** What the script was told by then. */
interface Told {
  acknowledged: number;
  /** Batches that the log had. */
  handed: number;
  /** Whether the tree `extra` is there; undefined while that is being changed. */
  extra: boolean | undefined;
}

interface Point {
  readonly image: SimDiskImage;
  readonly told: Told;
  readonly call: string;
}

/** Batch n puts its number and a key of its own, adds its number to a list, and removes an older key. */
function write(engine: Engine, n: number, handedOver: () => void): Promise<void> {
  const tree = engine.tree("main")!;
  return engine.write(
    [
      { tree, kind: KIND_PUT, key: utf8("n"), value: utf8(String(n)) },
      { tree, kind: KIND_PUT, key: utf8(`k${n}`), value: utf8("v".repeat(n % 90)) },
      { tree, kind: KIND_DELETE, key: utf8(`k${n - 5}`), value: utf8("") },
      { tree, kind: KIND_MERGE, key: utf8("sum"), value: utf8(String(n)) },
    ],
    "write",
    { handedOver },
  );
}

function stateAfter(count: number): Map<string, string> {
  const state = new Map<string, string>();
  for (let n = Math.max(1, count - 4); n <= count; n++) state.set(`k${n}`, "v".repeat(n % 90));
  if (count > 0) {
    state.set("n", String(count));
    state.set("sum", Array.from({ length: count }, (_, i) => i + 1).join(","));
  }
  return new Map([...state].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function assertFull(error: unknown, what: string): void {
  assert.ok(error instanceof PairError && error.error === "DiskFull", `${what}: ${error}`);
}

/** One life of an engine on a disk that fills and empties; returns the points at which it may end. */
async function live(seed: number, reserve: number): Promise<{ points: Point[]; refusals: number }> {
  const random = new SimRandom(seed);
  const options = {
    ...SMALL,
    memtableSize: 1500,
    reserve,
    log: { ...SMALL.log, segmentSize: 2500 },
    ...(seed % 3 === 0 ? { encryption: { key: new Uint8Array(32).fill(7) } } : {}),
  };
  const world = engineWorld();
  const { disk, clock } = world;
  const told: Told = { acknowledged: 0, handed: 0, extra: false };
  const points: Point[] = [];
  let refusals = 0;
  const engine = await clock.runUntil(openTestEngine(world, options));
  await clock.runUntil(engine.createTree("main", { mergeOperator: "append" }));
  const changing = (call: string) => ({ image: disk.snapshotImage(), told: { ...told }, call });
  const mutations = ["create", "append", "sync", "syncNow", "rename", "remove", "removeAsync"];
  disk.hook = ({ op, path }) => {
    if (mutations.includes(op)) points.push(changing(`${op} ${path}`));
    return undefined;
  };
  const attempt = async (what: string, run: () => Promise<unknown>): Promise<boolean> => {
    try {
      await clock.runUntil(run(), 60_000);
      return true;
    } catch (error) {
      assertFull(error, what);
      refusals++;
      return false;
    }
  };
  for (let round = 0; round < 6; round++) {
    const { totalBytes, freeBytes } = disk.space("/");
    disk.capacityBytes = totalBytes - freeBytes + random.below(2500);
    for (let full = 0; full < 4;) {
      const before = told.handed;
      const done = await attempt(
        "a write",
        () => write(engine, told.handed + 1, () => told.handed++),
      );
      if (done) told.acknowledged = told.handed;
      else {
        full++;
        if (engine.full !== undefined && told.handed > before) {
          assert.deepEqual(contents(engine), stateAfter(told.acknowledged), "before there is room");
        }
      }
      assert.equal(engine.poisoned, undefined);
      if (random.below(12) === 0) await clock.advance(random.below(300));
      if (random.below(12) === 0) await attempt("a flush", () => engine.flush());
      if (random.below(16) === 0) {
        const extra = engine.tree("extra");
        const was = told.extra;
        told.extra = undefined;
        const changed = extra === undefined
          ? await attempt("making a tree", () => engine.createTree("extra"))
          : await attempt("dropping a tree", () => engine.dropTree(extra));
        told.extra = changed ? extra === undefined : was;
        assert.equal(engine.tree("extra") !== undefined, told.extra);
      }
    }
    // Little by little, and then all that is wanted.
    for (let step = 0; step < 3; step++) {
      disk.capacityBytes += random.below(120);
      await clock.advance(300);
    }
    disk.capacityBytes = undefined;
    await clock.advance(1000);
    assert.equal(engine.full, undefined);
    told.acknowledged = told.handed;
    assert.deepEqual(contents(engine), stateAfter(told.handed), `round ${round}`);
    if (round % 2 === 1) await attempt("a compaction", () => engine.compact());
  }
  disk.hook = undefined;
  await clock.runUntil(engine.flush());
  await clock.advance(40_000);
  const left = disk.list("/data/tenants").flatMap((dir) => disk.list(`/data/tenants/${dir}`));
  assert.equal(left.length, engine.stats().tables, "no orphans");
  assert.equal(disk.list("/data").filter((name) => name.startsWith("MANIFEST")).length, 1);
  await clock.runUntil(engine.close());
  assert.equal(clock.pendingCount, 0);
  const last = { image: disk.snapshotImage(), told: { ...told }, call: "the end" };
  await check(last, undefined, options, "after a clean close");
  return { points, refusals };
}

/** Opens what a point has left, on a disk with room, and compares. */
async function check(
  { image, told }: Point,
  power: CrashPolicy | undefined,
  options: typeof SMALL,
  where: string,
): Promise<void> {
  const world: SimRuntime = engineWorld({ image });
  if (power !== undefined) world.disk.crash(power);
  const engine = await world.clock.runUntil(openTestEngine(world, options));
  assert.deepEqual(engine.recovery.losses, [], where);
  const n = engine.get(engine.tree("main")!, utf8("n"));
  const count = n === undefined ? 0 : Number(fromUtf8(n));
  assert.ok(count >= told.acknowledged, `${where}: ${count} of ${told.acknowledged} acknowledged`);
  assert.ok(count <= told.handed, `${where}: ${count} of ${told.handed} that the log had`);
  assert.deepEqual(contents(engine), stateAfter(count), where);
  if (told.extra !== undefined) {
    assert.equal(engine.tree("extra") !== undefined, told.extra, `${where}: the extra tree`);
  }
  await world.clock.runUntil(write(engine, count + 1, () => {}));
  assert.deepEqual(contents(engine), stateAfter(count + 1), where);
  await world.clock.runUntil(engine.close());
}

for (const reserve of [0, 600]) {
  const kind = reserve === 0 ? "without a reserve" : "with one";
  Deno.test(`a disk filled to the last byte and emptied again needs no restart, and no crash on the way loses anything, ${kind} [D4]`, async () => {
    let checked = 0;
    for (let seed = 1; seed <= 6; seed++) {
      const { points, refusals } = await live(seed, reserve);
      assert.ok(refusals >= 20, `seed ${seed}: ${refusals} refusals`);
      const encryption = seed % 3 === 0 ? { encryption: { key: new Uint8Array(32).fill(7) } } : {};
      for (const [i, point] of points.entries()) {
        if (i % 3 !== seed % 3) continue;
        const power = [undefined, "drop" as const, { seed: i }][(i / 3 | 0) % 3];
        const where = `seed ${seed}, point ${i} before ${point.call}, ${JSON.stringify(power)}`;
        await check(point, power, { ...SMALL, ...encryption }, where);
        checked++;
      }
    }
    assert.ok(checked > 300, `${checked} states`);
  });
}
