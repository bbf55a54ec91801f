/**
 * Power loss and kill -9 at every write, sync, create, rename and unlink of scripts that write, flush,
 * compact, make and drop trees (crash_script.ts).
 *
 * Of what was not synced, a power loss keeps nothing, everything, or a random part with torn and
 * reordered bytes and names; a killed process loses nothing of it, and the power may go later. Some
 * reopenings are themselves cut short, once or twice. Then the store must hold exactly the first n
 * batches in both trees, n being at least what was acknowledged, and must report no loss; it must take
 * writes and compact; and what it then holds must survive the next power loss.
 * @module
 */
import assert from "node:assert/strict";
import { checkDirectory, type Engine, KIND_PUT, type Tree } from "../../src/engine/mod.ts";
import { fromUtf8, utf8 } from "../../src/model/mod.ts";
import { type CrashPolicy, SimCrash, SimRandom, type SimRuntime } from "../../src/runtime/mod.ts";
import { engineWorld, openTestEngine } from "../support/engine.ts";
import { firstSeed, reached, wanted } from "../support/ladder.ts";
import { type CrashPoint, crashPoints, makePlan, type Plan, type State } from "./crash_script.ts";

/** What becomes of the world at a point: power loss, or a kill that leaves the disk alone. */
type Blow = CrashPolicy | "kill";

/** A state to check: what hits the world at the point, and then each reopening that is cut short. */
interface Fate {
  readonly blows: readonly Blow[];
  /** Each reopening but the last ends before this change of the disk. */
  readonly stops: readonly number[];
}

/** The fates of the nth point of a script. */
function fatesOf(n: number, random: SimRandom): Fate[] {
  const seeded = (): CrashPolicy => ({ seed: random.u32() });
  const stop = () => random.below(45);
  return [
    { blows: ["drop"], stops: [] },
    { blows: [n % 3 === 0 ? "keep" : "kill"], stops: [] },
    { blows: [seeded()], stops: [] },
    { blows: [seeded(), seeded()], stops: [stop()] },
    { blows: [n % 2 === 0 ? "kill" : "drop", n % 3 === 0 ? "kill" : seeded()], stops: [stop()] },
    { blows: [seeded(), n % 2 === 0 ? "drop" : "kill", seeded()], stops: [stop(), stop()] },
  ];
}

function strike(world: SimRuntime, blow: Blow): SimRuntime {
  // A process that died leaves its locks, its handles and what it was about to do in its own world.
  const next = engineWorld({ image: world.disk.snapshotImage() });
  if (blow !== "kill") next.disk.crash(blow);
  return next;
}

function scan(engine: Engine, tree: Tree): Map<string, string> {
  const found = new Map<string, string>();
  const cursor = engine.scan(tree, {});
  while (cursor.next()) found.set(fromUtf8(cursor.key), fromUtf8(cursor.value));
  cursor.close();
  return found;
}

function assertSame(found: State, expected: State, where: string): void {
  let same = found.size === expected.size;
  for (const [key, value] of expected) same &&= found.get(key) === value;
  if (same) return;
  const sort = (map: State) => [...map].sort(([a], [b]) => (a < b ? -1 : 1));
  assert.deepEqual(sort(found), sort(expected), where);
}

/** Demands the first n batches in both trees; returns n. */
function verify(engine: Engine, { plan, point, where }: Check, least: number): number {
  const { told } = point;
  assert.deepEqual(engine.recovery.losses, [], where);
  if (told.extra !== undefined) {
    assert.equal(engine.tree("extra") !== undefined, told.extra, `${where}: the extra tree`);
  }
  const main = engine.tree("main");
  const side = engine.tree("side");
  if (main === undefined || side === undefined) {
    assert.ok(!told.created, `${where}: a tree is gone`);
    return -1;
  }
  const n = engine.get(main, utf8("n"));
  const count = n === undefined ? 0 : Number(fromUtf8(n));
  assert.ok(count >= least, `${where}: ${count} of ${least} acknowledged`);
  assert.ok(count <= told.attempted, `${where}: ${count} of ${told.attempted} attempted`);
  const expected = plan.states[count];
  for (const [tree, state] of [[main, expected.main], [side, expected.side]] as const) {
    assertSame(scan(engine, tree), state, `${where}: ${tree.name} after ${count} batches`);
    for (const [key, value] of state) {
      const found = engine.get(tree, utf8(key));
      assert.equal(found && fromUtf8(found), value, `${where}: get ${key} of ${tree.name}`);
    }
  }
  return count;
}

interface Check {
  readonly plan: Plan;
  readonly point: CrashPoint;
  readonly where: string;
}

/** Reopens after the blows, compares, and goes on. */
async function check(each: Check, fate: Fate, random: SimRandom): Promise<void> {
  const { plan, point, where } = each;
  let world = strike(engineWorld({ image: point.image }), fate.blows[0]);
  for (const [i, stop] of fate.stops.entries()) {
    world.disk.stopAtMutation(world.disk.mutationCount + stop);
    try {
      const engine = await openTestEngine(world, plan.options);
      await engine.flush();
      await engine.close();
    } catch (error) {
      assert.ok(world.disk.stopped, `${where}: ${error}`);
    }
    world = strike(world, fate.blows[i + 1]);
  }
  let engine = await openTestEngine(world, plan.options);
  const count = verify(engine, each, point.told.durable);
  const main = engine.tree("main");
  if (count < 0 || main === undefined) return await engine.close();
  // The store takes writes again, works on its tables, and what readers have seen is there to stay.
  const state = new Map(plan.states[count].main).set("after", "crash");
  await engine.write([{ tree: main, kind: KIND_PUT, key: utf8("after"), value: utf8("crash") }]);
  const choice = random.below(6);
  if (choice === 0) await engine.compact();
  // In a relaxed mode an answer promises nothing about a power loss; a flush does.
  else if (plan.options.log.syncMode !== "always") await engine.flush();
  if (choice === 1) await engine.close();
  world = strike(world, choice === 1 ? "kill" : { seed: random.u32() });
  if (choice === 2) {
    const problems = (await checkDirectory(world.disk, "/data", plan.options.encryption)).filter((
      report,
    ) => report.problem);
    assert.deepEqual(problems, [], where);
  }
  engine = await openTestEngine(world, plan.options);
  assert.deepEqual(engine.recovery.losses, [], `${where}, and after that`);
  assertSame(scan(engine, engine.tree("main")!), state, `${where}, and after that`);
  await engine.close();
}

/** Checks every point of one script; returns how many states that were. */
async function checkScript(seed: number, most: number): Promise<number> {
  const plan = makePlan(seed);
  const points = await crashPoints(plan);
  assert.ok(points.length > 100, `seed ${seed}: the script has ${points.length} crash points`);
  const random = new SimRandom(seed + 77);
  let states = 0;
  // Of a long script not all points: the run is to see several scripts.
  const one = plan.lone ? Math.ceil(points.length / 250) : 1;
  for (const [n, point] of points.entries()) {
    if (one > 1 && (n + seed) % one !== 0) continue;
    for (const fate of fatesOf(n, random)) {
      const where = `seed ${seed}, point ${n} before ${point.call}, ${JSON.stringify(fate)}`;
      try {
        await check({ plan, point, where }, fate, random);
      } catch (error) {
        throw error instanceof assert.AssertionError ? error : new Error(where, { cause: error });
      }
      if (++states === most) return states;
    }
  }
  return states;
}

Deno.test("no crash point loses an acknowledged write, or half of one (promise 1) [E1, E6, E45]", async () => {
  const states = wanted("crash");
  let checked = 0;
  let seed = firstSeed();
  // So many states of a script at most: the run is to see several scripts.
  while (checked < states) checked += await checkScript(seed++, states - checked);
  reached("crash", checked, states, { nextSeed: seed });
});

Deno.test("a world that stops keeps throwing SimCrash", () => {
  const world = engineWorld();
  world.disk.stopAtMutation(0);
  assert.throws(() => world.disk.makeDir("/x"), SimCrash);
});
