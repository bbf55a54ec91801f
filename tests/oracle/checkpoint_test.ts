/**
 * Checkpoints against a model, under load (promise 5): writers, flushes, compactions and drops go on while
 * checkpoints are made. Sequences count mutations in the order of `write`, so the state at a checkpoint's
 * sequence is known exactly, and that is what must be restored from it: no change before it is missing, no
 * change after it is there, and no batch is in it by half.
 * @module
 */
import assert from "node:assert/strict";
import {
  checkDirectory,
  type Engine,
  type EngineOptions,
  type EntryKind,
  KIND_DELETE,
  KIND_MERGE,
  KIND_PUT,
  type MadeCheckpoint,
  openEngine,
  restoreCheckpoint,
} from "../../src/engine/mod.ts";
import { fromUtf8, utf8 } from "../../src/model/mod.ts";
import { SimRandom, type SimRuntime } from "../../src/runtime/mod.ts";
import { appendOperator, engineWorld, openTestEngine, SMALL } from "../support/engine.ts";

const SEEDS = Number(Deno.env.get("PAIRDB_CHECKPOINT_SEEDS") ?? 12);
const BATCHES = 250;

/** One mutation as it was given to `write`, and whether its batch ends with it. */
interface Change {
  readonly tree: string;
  readonly kind: EntryKind;
  readonly key: string;
  readonly value: string;
  readonly last: boolean;
}

/** The live keys of each tree after the first `count` changes. */
function stateAfter(changes: readonly Change[], count: number): Map<string, Map<string, string>> {
  const state = new Map<string, Map<string, string>>();
  for (const { tree, kind, key, value } of changes.slice(0, count)) {
    const rows = state.get(tree) ?? new Map<string, string>();
    state.set(tree, rows);
    if (kind === KIND_PUT) rows.set(key, value);
    else if (kind === KIND_DELETE) rows.delete(key);
    else rows.set(key, rows.has(key) ? `${rows.get(key)},${value}` : value);
  }
  return state;
}

function optionsOf(random: SimRandom): EngineOptions {
  return {
    ...SMALL,
    memtableSize: 1000 + random.below(4000),
    log: {
      ...SMALL.log,
      syncMode: (["always", "batch", "none"] as const)[random.below(3)],
      segmentSize: 2000 + random.below(6000),
    },
  };
}

/** Writes for a while, and makes checkpoints meanwhile. */
async function load(world: SimRuntime, engine: Engine, random: SimRandom) {
  const changes: Change[] = [];
  const made: MadeCheckpoint[] = [];
  const names = ["a", "b", "c"];
  for (const name of names) await engine.createTree(name, { mergeOperator: "append" });
  let writing = 3;
  const writer = async (seed: number) => {
    const random = new SimRandom(seed);
    for (let n = 0; n < BATCHES; n++) {
      const count = 1 + random.below(4);
      const batch = Array.from({ length: count }, (_, i): Change => ({
        tree: names[random.below(3)],
        kind: ([KIND_PUT, KIND_PUT, KIND_DELETE, KIND_MERGE] as const)[random.below(4)],
        key: `k${random.below(40)}`,
        value: `${seed}.${n}.${i}${"v".repeat(random.below(60))}`,
        last: i === count - 1,
      }));
      changes.push(...batch);
      const done = engine.write(batch.map(({ tree, kind, key, value }) => {
        return { tree: engine.tree(tree)!, kind, key: utf8(key), value: utf8(value) };
      }));
      if (random.below(3) > 0) await done;
      else done.catch(() => assert.fail("no write fails here"));
      if (random.below(20) === 0) await world.clock.sleep(random.below(5));
    }
    writing--;
  };
  const upkeep = async () => {
    while (writing > 0) {
      await world.clock.sleep(random.below(40));
      const tree = engine.tree(names[random.below(3)])!;
      await (random.below(3) === 0 ? engine.compact(tree) : engine.flush(tree));
    }
  };
  const checkpointer = async () => {
    while (writing > 0 && made.length < 8) {
      await world.clock.sleep(random.below(6));
      // Sometimes some files cannot be linked, sometimes one goes away.
      if (random.below(4) === 0) world.disk.hook = ({ op }) => op === "link" ? "EXDEV" : undefined;
      made.push(await engine.checkpoint(`s${made.length}`));
      world.disk.hook = undefined;
      if (random.below(5) === 0) {
        await engine.deleteCheckpoint(made.splice(random.below(made.length), 1)[0].name);
        made.push(await engine.checkpoint(`t${changes.length}`));
      }
    }
  };
  const writers = [1, 2, 3].map((n) => writer(random.below(1 << 30) * n));
  await Promise.all([...writers, upkeep(), checkpointer()]);
  return { changes, made };
}

function contents(engine: Engine): Map<string, Map<string, string>> {
  const all = new Map<string, Map<string, string>>();
  for (const tree of engine.trees()) {
    const rows = new Map<string, string>();
    const cursor = engine.scan(tree, {});
    while (cursor.next()) rows.set(fromUtf8(cursor.key), fromUtf8(cursor.value));
    cursor.close();
    all.set(tree.name, rows);
  }
  return all;
}

const sorted = (state: Map<string, Map<string, string>>) =>
  [...state].filter(([, rows]) => rows.size > 0)
    .map(([name, rows]) => [name, [...rows].sort(([a], [b]) => (a < b ? -1 : 1))] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1));

async function run(seed: number): Promise<number> {
  const random = new SimRandom(seed);
  const world = engineWorld({ seed });
  const options = optionsOf(random);
  return await world.clock.runUntil((async () => {
    const engine = await openTestEngine(world, options);
    const { changes, made } = await load(world, engine, random);
    await engine.close();
    let last = 0;
    for (const { name, dir, sequence } of made.sort((a, b) => a.sequence - b.sequence)) {
      const where = `seed ${seed}, checkpoint ${name} at ${sequence}`;
      assert.ok(sequence >= last, where);
      last = sequence;
      assert.ok(sequence === 0 || changes[sequence - 1].last, `${where} parts a batch`);
      const to = `/restored/${name}`;
      await restoreCheckpoint(world.disk, dir, to, () => {});
      const copy = await openEngine(world, to, options, [appendOperator]);
      assert.deepEqual(copy.recovery.losses, [], where);
      assert.equal(copy.stats().lastSequence, sequence, where);
      assert.deepEqual(sorted(contents(copy)), sorted(stateAfter(changes, sequence)), where);
      // It lives on: what is written to it does not touch the checkpoint.
      const tree = copy.tree("a")!;
      await copy.write([{ tree, kind: KIND_PUT, key: utf8("new"), value: utf8("life") }]);
      await copy.compact();
      await copy.close();
      const reports = await checkDirectory(world.disk, to);
      assert.deepEqual(reports.filter(({ problem }) => problem !== undefined), [], where);
    }
    const again = await openTestEngine(world, options);
    for (const { name } of made) {
      assert.deepEqual((await again.verifyCheckpoint(name)).problems, [], `seed ${seed}, ${name}`);
    }
    assert.deepEqual(sorted(contents(again)), sorted(stateAfter(changes, changes.length)));
    await again.close();
    return made.length;
  })());
}

Deno.test("a checkpoint under load is the store at one moment, whatever goes on meanwhile (promise 5)", async () => {
  let checkpoints = 0;
  for (let seed = 1; seed <= SEEDS; seed++) checkpoints += await run(seed);
  assert.ok(checkpoints >= 5 * SEEDS, `${checkpoints} checkpoints`);
});
