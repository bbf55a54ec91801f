/**
 * The engine against a sorted map: the same random operations on both, the same answers.
 * A failing run prints its seed; put it into SEEDS to replay it.
 * @module
 */
import assert from "node:assert/strict";
import {
  type Engine,
  KIND_DELETE,
  KIND_MERGE,
  KIND_PUT,
  type Mutation,
  type Snapshot,
  type Tree,
} from "../../src/engine/mod.ts";
import { compareBytes, fromUtf8, utf8 } from "../../src/model/mod.ts";
import { SimRandom } from "../../src/runtime/mod.ts";
import { engineWorld, openTestEngine, SMALL } from "../support/engine.ts";

type Model = Map<string, string>;

const OPERATIONS = Number(Deno.env.get("PAIRDB_ORACLE_OPERATIONS") ?? 4000);
const SEEDS = [1, 2, 3, 4, 5, 6];

/** Keys of different lengths, some of which are prefixes of others, some beyond the first plane. */
function randomKey(random: SimRandom): string {
  const alphabet = ["a", "b", "c", "\u{ff61}", "\u{10002}", "~"];
  let key = "";
  for (let i = 0; i <= random.below(3); i++) key += alphabet[random.below(alphabet.length)];
  return random.below(20) === 0 ? key + "x".repeat(random.below(400)) : key;
}

function sorted(model: Model): [string, string][] {
  return [...model].sort(([a], [b]) => compareBytes(utf8(a), utf8(b)));
}

function check(engine: Engine, tree: Tree, model: Model, random: SimRandom, snapshot?: Snapshot) {
  for (let i = 0; i < 20; i++) {
    const key = randomKey(random);
    const value = engine.get(tree, utf8(key), { snapshot });
    assert.equal(value && fromUtf8(value), model.get(key), `get ${JSON.stringify(key)}`);
  }
  const [a, b] = [randomKey(random), randomKey(random)];
  const [start, end] = compareBytes(utf8(a), utf8(b)) <= 0 ? [a, b] : [b, a];
  const whole = random.below(3) === 0;
  const range = whole ? {} : { start: utf8(start), end: utf8(end) };
  const found: [string, string][] = [];
  const cursor = engine.scan(tree, range, snapshot);
  while (cursor.next()) found.push([fromUtf8(cursor.key), fromUtf8(cursor.value)]);
  cursor.close();
  const expected = sorted(model).filter(([key]) =>
    whole || (compareBytes(utf8(key), utf8(start)) >= 0 && compareBytes(utf8(key), utf8(end)) < 0)
  );
  assert.deepEqual(found, expected);
}

async function run(seed: number): Promise<void> {
  const random = new SimRandom(seed);
  const world = engineWorld({ seed });
  const modes = ["always", "batch", "none"] as const;
  const options = {
    ...SMALL,
    memtableSize: 512 + random.below(8192),
    table: { blockSize: 64 + random.below(1024), falsePositives: 0.01 + random.below(50) / 100 },
    blockCacheSize: random.below(2) * 8192,
    log: { ...SMALL.log, syncMode: modes[seed % 3], segmentSize: 1000 + random.below(20000) },
  };
  let engine = await openTestEngine(world, options);
  const names = ["one", "two", "three"];
  for (const name of names) await engine.createTree(name, { mergeOperator: "append" });
  const models = new Map<string, Model>(names.map((name) => [name, new Map()]));
  const snapshots: { snapshot: Snapshot; models: Map<string, Model> }[] = [];
  const copy = () => new Map([...models].map(([name, model]) => [name, new Map(model)]));
  for (let operation = 0; operation < OPERATIONS; operation++) {
    const choice = random.below(100);
    const name = names[random.below(names.length)];
    const tree = engine.tree(name)!;
    if (choice < 80) {
      const mutations: Mutation[] = [];
      for (let i = 0; i <= random.below(4); i++) {
        const target = names[random.below(names.length)];
        const key = randomKey(random);
        const model = models.get(target)!;
        const kind = [KIND_PUT, KIND_PUT, KIND_DELETE, KIND_MERGE][random.below(4)] as 0 | 1 | 2;
        const value = `${operation}.${i}` + "v".repeat(random.below(60));
        mutations.push({ tree: engine.tree(target)!, kind, key: utf8(key), value: utf8(value) });
        if (kind === KIND_PUT) model.set(key, value);
        else if (kind === KIND_DELETE) model.delete(key);
        else model.set(key, model.has(key) ? `${model.get(key)},${value}` : value);
      }
      await engine.write(mutations);
    } else if (choice < 90) {
      check(engine, tree, models.get(name)!, random);
    } else if (choice < 92) {
      snapshots.push({ snapshot: engine.snapshot(), models: copy() });
    } else if (choice < 95 && snapshots.length > 0) {
      const { snapshot, models: then } = snapshots[random.below(snapshots.length)];
      check(engine, tree, then.get(name)!, random, snapshot);
    } else if (choice < 96 && snapshots.length > 0) {
      snapshots.splice(random.below(snapshots.length), 1)[0].snapshot.release();
    } else if (choice < 97) {
      await engine.flush(random.below(2) === 0 ? tree : undefined);
    } else if (choice < 98) {
      await engine.compact(random.below(2) === 0 ? tree : undefined);
    } else if (choice === 98 && random.below(4) === 0) {
      await engine.dropTree(tree);
      models.set(name, new Map());
      for (const taken of snapshots.splice(0)) taken.snapshot.release();
      await engine.createTree(name, { mergeOperator: "append" });
    } else if (choice === 99) {
      for (const taken of snapshots.splice(0)) taken.snapshot.release();
      await engine.close();
      engine = await openTestEngine(world, options);
      assert.equal(engine.recovery.losses.length, 0);
      assert.equal(engine.recovery.tornBytes, 0);
    }
  }
  for (const name of names) check(engine, engine.tree(name)!, models.get(name)!, random);
  const { flushes, compactions } = engine.stats();
  assert.ok(flushes > 0 && compactions > 0, "the run flushed and compacted");
  await engine.close();
  assert.deepEqual(world.log.events.filter((event) => event.level === "error"), []);
}

for (const seed of SEEDS) {
  Deno.test(`the engine answers as a sorted map does (seed ${seed})`, () => run(seed));
}
