/**
 * Compaction of a range on demand: step by step down to one level, past nothing that is older.
 */
import assert from "node:assert/strict";
import { checkPlan, pickRange, type RangeRequest } from "../../../../src/engine/compaction/mod.ts";
import { COMPACTION_STRATEGIES, type CompactionOptions } from "../../../../src/engine/mod.ts";
import type { TableMeta } from "../../../../src/engine/manifest/mod.ts";
import { compareBytes, utf8 } from "../../../../src/model/mod.ts";
import { SimRandom } from "../../../../src/runtime/mod.ts";
import { tableMeta } from "../../../support/entries.ts";
import { ENTRY_BYTES, ModelTree } from "../../../support/lsm_model.ts";
import { SMALL } from "../../../support/engine.ts";

const ALL: RangeRequest = {
  range: {},
  upToSeq: Infinity,
  firstFile: Infinity,
  purge: false,
  room: Infinity,
  hopes: false,
};

function pick(tables: TableMeta[], request: Partial<RangeRequest> = {}) {
  const levels: TableMeta[][] = [[], [], [], []];
  for (const table of tables) levels[table.level].push(table);
  levels[0].sort((a, b) => b.properties.maxSeq - a.properties.maxSeq);
  const plan = pickRange(levels, { ...ALL, ...request }, SMALL.compaction);
  if (plan === undefined) return undefined;
  checkPlan(levels, plan);
  return [plan.inputs.map(({ number }) => number), plan.outputLevel];
}

/** A table with a delete in it. */
function withDelete(table: TableMeta): TableMeta {
  return { ...table, properties: { ...table.properties, deletes: 1 } };
}

Deno.test("pickRange(): level 0 goes to the deepest level that it meets, through all between", () => {
  const a = tableMeta(9, ["a", "m"]);
  const b = tableMeta(5, ["c", "d"], { level: 1 });
  const c = tableMeta(3, ["c", "f"], { level: 2 });
  const beside = tableMeta(2, ["x", "z"], { level: 2 });
  assert.equal(pick([]), undefined);
  assert.deepEqual(pick([a]), [[9], 1]);
  assert.deepEqual(pick([a, b]), [[9, 5], 1]);
  assert.deepEqual(pick([a, b, c, beside]), [[9, 5, 3], 2]);
  assert.deepEqual(pick([b, c, beside]), [[5, 3], 2]);
  assert.equal(pick([c, beside]), undefined);
});

Deno.test("pickRange(): only what meets the range, and on level 0 what is older and meets that", () => {
  const tables = [
    tableMeta(9, ["p", "q"]),
    tableMeta(8, ["a", "f"]),
    tableMeta(7, ["e", "k"]),
    tableMeta(6, ["y", "z"]),
  ];
  const range = { start: utf8("a"), end: utf8("b") };
  assert.deepEqual(pick(tables, { range }), [[8, 7], 1]);
  assert.deepEqual(pick(tables, { range: { start: utf8("q") } }), [[9, 6], 1]);
  assert.equal(pick(tables, { range: { start: utf8("l"), end: utf8("p") } }), undefined);
  assert.equal(pick(tables, { range: { end: utf8("a") } }), undefined);
});

Deno.test("pickRange(): the bottom is written again for deletes, once", () => {
  const table = withDelete(tableMeta(3, ["a", "b"], { level: 2 }));
  assert.deepEqual(pick([table]), [[3], 2]);
  assert.equal(pick([table], { firstFile: 3 }), undefined, "made by this very request");
  assert.equal(pick([tableMeta(3, ["a", "b"], { level: 2 })]), undefined);
  const having = (fields: Partial<TableMeta["properties"]>) => {
    const meta = tableMeta(3, ["a", "b"], { level: 2 });
    return [{ ...meta, properties: { ...meta.properties, ...fields } }];
  };
  assert.equal(pick(having({ rawBytes: 5 }), { purge: true }), undefined);
  assert.equal(pick(having({ rawBytes: 5, mortal: 1, lastDeathMs: 9 })), undefined);
  assert.deepEqual(pick(having({ rawBytes: 5, mortal: 1, lastDeathMs: 9 }), { purge: true }), [
    [3],
    2,
  ]);
  // Of a table whose properties do not tell, an operator's purge looks at every value.
  assert.deepEqual(pick(having({ rawBytes: 0 }), { purge: true }), [[3], 2]);
});

Deno.test("pickRange(): what is newer than the request is left alone", () => {
  const old = tableMeta(3, ["a", "b"], { maxSeq: 10 });
  const fresh = tableMeta(4, ["a", "b"], { maxSeq: 11 });
  assert.deepEqual(pick([old, fresh], { upToSeq: 10 }), [[3], 1]);
  assert.equal(pick([fresh], { upToSeq: 10 }), undefined);
});

Deno.test("a range is compacted in any tree, step by step, with every read right", () => {
  for (let seed = 1; seed <= 40; seed++) {
    const random = new SimRandom(seed);
    const options: CompactionOptions = {
      ...SMALL.compaction,
      strategy: COMPACTION_STRATEGIES[seed % 4],
      baseLevelSize: (1 + random.below(100)) * ENTRY_BYTES,
      targetTableSize: (1 + random.below(30)) * ENTRY_BYTES,
    };
    const tree = new ModelTree(options);
    for (let flush = 0; flush < 60; flush++) {
      tree.nowMs += 100;
      tree.flush(Array.from({ length: 10 }, () => random.below(500)));
      if (random.below(3) === 0) tree.settle(random);
    }
    const [a, b] = [random.below(500), random.below(500)].sort((x, y) => x - y);
    const key = (n: number) => utf8(String(n).padStart(8, "0"));
    const range = random.below(3) === 0 ? {} : { start: key(a), end: key(b) };
    const room = random.below(2) === 0 ? Infinity : random.below(200) * ENTRY_BYTES;
    const purge = random.below(2) === 0;
    const request = { ...ALL, range, purge, firstFile: tree.nextTable, room };
    let steps = 0;
    for (;;) {
      const plan = pickRange(tree.levels, request, tree.options);
      if (plan === undefined) break;
      checkPlan(tree.levels, plan);
      tree.end(plan);
      if (steps++ % 5 === 0) tree.check();
      assert.ok(steps < 3000, "comes to an end");
    }
    tree.check();
    const levels = new Set(
      tree.levels.flat().filter(({ properties }) =>
        (range.start === undefined || compareBytes(properties.largest, range.start) >= 0) &&
        (range.end === undefined || compareBytes(properties.smallest, range.end) < 0)
      ).map(({ level }) => level),
    );
    assert.ok(levels.size <= 1, `seed ${seed}: the range is on levels ${[...levels]}`);
  }
});
