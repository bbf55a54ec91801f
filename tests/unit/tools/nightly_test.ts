import assert from "node:assert/strict";
import type { Row } from "../../support/ladder.ts";
import {
  isDone,
  nextSeed,
  pickRow,
  readLadderLine,
  startOf,
  tableOf,
} from "../../../tools/nightly_plan.ts";

const ROW: Row = { unit: "things", first: 1, second: 100, files: ["a"], part: 20, stride: 50 };

Deno.test("the nightly run takes the row that is furthest behind, and more when there is time", () => {
  const a = startOf("a", ROW);
  const b = startOf("b", { ...ROW, second: 1000 });
  const finite = startOf("c", { ...ROW, finite: true });
  a.count = 60;
  b.count = 500;
  finite.count = 80;
  assert.equal(pickRow([a, b, finite], false), b);
  b.underWay = 200;
  assert.equal(pickRow([a, b, finite], false), a);
  a.count = 100;
  b.count = 1000;
  finite.count = 100;
  assert.ok(isDone([a, b, finite]));
  assert.equal(pickRow([a, b, finite], true), undefined);
  // There is time: new seeds, but not for what has no more to check.
  assert.equal(pickRow([a, b, finite], false), a);
  assert.equal(pickRow([finite], false), undefined);
});

Deno.test("no two parts of a row have the same seed, and a finite row always begins at the first", () => {
  const a = startOf("a", ROW);
  a.parts = 3;
  assert.equal(nextSeed(a, 7), 157);
  const finite = startOf("c", { ...ROW, finite: true });
  assert.equal(nextSeed(finite, 7), 1);
});

Deno.test("a row that fails again and again ends, and its seeds are in the table", () => {
  const a = startOf("a", ROW);
  for (let seed = 0; seed < 5; seed++) {
    assert.ok(!isDone([a]));
    assert.equal(pickRow([a], true), a);
    a.failures.push({ row: "a", seed, count: 20, text: "" });
  }
  assert.ok(isDone([a]));
  assert.equal(pickRow([a], true), undefined);
  assert.equal(
    tableOf([{ ...a, count: 12345 }]),
    "row  checked  of   unit    seconds  failures\n" +
      "a    12,345   100  things  0        5 (seed 0, seed 1, seed 2, seed 3, seed 4)",
  );
});

Deno.test("a suite's figures are found in its output, and those of others are not", () => {
  const output = 'ok\nladder {"row":"io","count":3}\nladder {"row":"crash","count":12}\n';
  assert.equal(readLadderLine(output, "crash")?.count, 12);
  assert.equal(readLadderLine(output, "fuzz"), undefined);
});
