/**
 * Followers: told of every write of the trees that are followed, and of no other, before reads see it.
 * @module
 */
import assert from "node:assert/strict";
import {
  type Engine,
  type EntryKind,
  KIND_DELETE,
  KIND_MERGE,
  KIND_PUT,
} from "../../../src/engine/mod.ts";
import { fromUtf8, utf8 } from "../../../src/model/mod.ts";
import type { SimRuntime } from "../../../src/runtime/mod.ts";
import { engineWorld, openTestEngine } from "../../support/engine.ts";

async function withEngine(test: (engine: Engine, world: SimRuntime) => Promise<void>) {
  const world = engineWorld();
  const engine = await world.clock.runUntil(openTestEngine(world));
  await test(engine, world);
  await world.clock.runUntil(engine.close());
}

/** Follows and notes what it is told. */
function follow(engine: Engine): string[] {
  const told: string[] = [];
  engine.follower = {
    wrote: (tree, sequence, kind, key, value) => {
      assert.ok(sequence > engine.visible, "not visible yet");
      const pending = engine.getPending(tree, key);
      told.push(
        `${tree.name} ${sequence} ${kind} ${fromUtf8(key)}=${fromUtf8(value)} ${
          pending && fromUtf8(pending)
        }`,
      );
    },
    shown: (sequence) => {
      assert.equal(sequence, engine.visible);
      told.push(`shown ${sequence}`);
    },
  };
  return told;
}

Deno.test("a follower is told of each write of its tree, and when reads see it", () =>
  withEngine(async (engine, world) => {
    const tree = await world.clock.runUntil(engine.createTree("a", { mergeOperator: "append" }));
    const other = await world.clock.runUntil(engine.createTree("b"));
    const told = follow(engine);
    const write = (kind: EntryKind, key: string, value = "", to = tree) =>
      world.clock.runUntil(engine.write([{ tree: to, kind, key: utf8(key), value: utf8(value) }]));
    await write(KIND_PUT, "k", "0");
    assert.deepEqual(told, [], "nobody is followed");
    assert.equal(engine.follow("a", true), 1);
    await write(KIND_PUT, "k", "1");
    await write(KIND_MERGE, "k", "2");
    await write(KIND_PUT, "k", "other's", other);
    await write(KIND_DELETE, "k");
    assert.deepEqual(told, [
      "a 2 0 k=1 1",
      "shown 2",
      "a 3 2 k=2 1,2",
      "shown 3",
      "shown 4",
      "a 5 1 k= undefined",
      "shown 5",
    ]);
    assert.equal(engine.follow("a", false), 5);
    await write(KIND_PUT, "k", "3");
    assert.equal(told.length, 7);
  }));

Deno.test("a tree that is made under a followed name is followed", () =>
  withEngine(async (engine, world) => {
    const told = follow(engine);
    engine.follow("later", true);
    for (let life = 0; life < 2; life++) {
      const tree = await world.clock.runUntil(engine.createTree("later"));
      const mutation = { tree, kind: KIND_PUT, key: utf8("k"), value: utf8(`${life}`) } as const;
      await world.clock.runUntil(engine.write([mutation]));
      await world.clock.runUntil(engine.dropTree(tree));
    }
    assert.deepEqual(told.filter((line) => line.startsWith("later")), [
      "later 1 0 k=0 0",
      "later 2 0 k=1 1",
    ]);
  }));
