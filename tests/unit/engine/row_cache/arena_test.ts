import assert from "node:assert/strict";
import { Arena } from "../../../../src/engine/row_cache/arena.ts";
import { SimRandom } from "../../../../src/runtime/mod.ts";

/** Rows of an arena as found by walking it; checks that cells lie end to end. */
function walk(arena: Arena): Map<number, number> {
  const rows = new Map<number, number>();
  for (let segment = 0; segment < arena.words.length; segment++) {
    const end = (segment + 1) * (arena.mask + 1);
    let next = arena.firstCell(segment);
    for (let at = next; at !== 0; at = arena.cellAfter(at)) {
      assert.equal(at, next);
      assert.ok(arena.units(at) > 0);
      next = at + arena.units(at);
      assert.ok(next <= end, "no cell crosses its segment's end");
      if (arena.isRow(at)) rows.set(at, arena.units(at));
    }
    assert.equal(next, end, "the last cell ends where the segment does");
  }
  return rows;
}

Deno.test("cells never overlap, are as large as asked for, and come back", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = new SimRandom(seed);
    const arena = new Arena(1 << (11 + random.below(8)));
    const held = new Map<number, number>();
    for (let step = 0; step < 3000; step++) {
      if (random.below(5) < 3 || held.size === 0) {
        const units = 1 + random.below(random.below(3) === 0 ? arena.unitsMax : 12);
        if (units > arena.unitsMax) continue;
        const at = arena.take(units);
        if (at === 0) continue;
        assert.ok(arena.isRow(at) && arena.units(at) >= units && arena.units(at) < units + 3);
        assert.ok(!held.has(at));
        held.set(at, arena.units(at));
      } else {
        const [at] = [...held.keys()].slice(random.below(held.size));
        held.delete(at);
        arena.give(at);
      }
      if (step % 100 === 0) {
        assert.deepEqual(new Map([...walk(arena)].sort()), new Map([...held].sort()));
      }
    }
    for (const at of held.keys()) arena.give(at);
    assert.equal(walk(arena).size, 0);
    for (let segment = 0; segment < arena.words.length; segment++) {
      arena.withdraw(segment);
      arena.restore(segment);
    }
    // All of it is to be had again, in the largest pieces.
    const pieces = Math.floor((1 << 14) / 16 / arena.unitsMax);
    for (let i = 0; i < pieces && i < 3; i++) assert.ok(arena.take(arena.unitsMax) > 0);
  }
});

Deno.test("the hand comes by every row once a round, whatever comes and goes meanwhile", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = new SimRandom(seed);
    const arena = new Arena(1 << 16);
    const stay = new Set<number>();
    const go: number[] = [];
    for (let i = 0; i < 300; i++) {
      const at = arena.take(2 + random.below(9));
      assert.ok(at > 0);
      if (random.below(2) === 0) stay.add(at);
      else go.push(at);
    }
    const seen = new Set<number>();
    for (let i = 0; i < 1000; i++) {
      const at = arena.nextRow();
      assert.ok(at !== 0 && arena.isRow(at), "the hand stands on rows only");
      if (stay.has(at)) seen.add(at);
      if (random.below(3) === 0 && go.length > 0) {
        arena.give(go.splice(random.below(go.length), 1)[0]);
      }
    }
    assert.deepEqual(seen, stay);
  }
});

Deno.test("an empty arena has no row under its hand", () => {
  const arena = new Arena(1 << 14);
  assert.equal(arena.nextRow(), 0);
  const at = arena.take(4);
  assert.equal(arena.nextRow(), at);
  assert.equal(arena.nextRow(), at);
  arena.give(at);
  assert.equal(arena.nextRow(), 0);
});

Deno.test("a withdrawn segment gives nothing until it is restored as one hole", () => {
  const arena = new Arena(1 << 14);
  const taken: number[] = [];
  for (let at = arena.take(5); at !== 0; at = arena.take(5)) taken.push(at);
  for (const at of taken.filter((_, i) => i % 2 === 0)) arena.give(at);
  const segment = arena.sparsest();
  arena.withdraw(segment);
  for (let at = arena.take(5); at !== 0; at = arena.take(5)) {
    assert.notEqual(at >>> arena.shift, segment);
  }
  arena.restore(segment);
  const at = arena.take(arena.unitsMax);
  assert.equal(at >>> arena.shift, segment);
});
