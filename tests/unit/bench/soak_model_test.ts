/**
 * The judge of a soak: what it takes, and that it sees what is planted.
 * @module
 */
import assert from "node:assert/strict";
import { Cell, CLOCK_MARGIN_MS, type Outcome, Probe } from "../../../bench/soak/model.ts";
import { schedule } from "../../../bench/soak/plan.ts";
import { flatness, type Sample } from "../../../bench/soak/samples.ts";
import { Values } from "../../../bench/soak/values.ts";
import { chance } from "../../../bench/server/ycsb.ts";

const cellOf = () => new Cell("shop", 0, ["c/0"]);

function put(n: number, life = 1): Outcome {
  return { n, isValue: true, expires: undefined, unknownIn: life };
}

function written(cell: Cell, n: number): Outcome {
  const outcome = put(n);
  cell.begin(outcome, 0);
  cell.applied(outcome, 0, undefined);
  return outcome;
}

/** What a read of the cell finds wrong. */
function read(cell: Cell, found: number | undefined, life = 1, nowMs = 0): string | undefined {
  return new Probe(cell, life, nowMs).end(found, nowMs);
}

Deno.test("the judge of a soak takes the write that was acknowledged, and nothing else", () => {
  const cell = cellOf();
  assert.equal(read(cell, undefined), undefined);
  written(cell, 1);
  assert.equal(read(cell, 1), undefined);
  written(cell, 2);
  assert.equal(read(cell, 2), undefined);
  assert.equal(read(cell, 1), "write 2");
  assert.equal(read(cell, undefined), "write 2");
  const gone: Outcome = { ...put(3), isValue: false };
  cell.begin(gone, 0);
  cell.applied(gone, 0, undefined);
  assert.equal(read(cell, undefined), undefined);
  assert.equal(read(cell, 2), "nothing (delete 3)");
});

Deno.test("of a write whose answer was lost by a kill the judge of a soak takes either outcome, and holds to the first that is seen", () => {
  for (const [seen, other] of [[1, 2], [2, 1]]) {
    const cell = cellOf();
    written(cell, 1);
    cell.begin(put(2, 1), 0);
    assert.equal(read(cell, seen, 2), undefined);
    assert.notEqual(read(cell, other, 2), undefined);
    assert.equal(read(cell, seen, 2), undefined);
  }
});

Deno.test("a write that a living node calls unknown may still come, in the eyes of the judge of a soak, but not go", () => {
  const cell = cellOf();
  written(cell, 1);
  cell.begin(put(2, 1), 0);
  assert.equal(read(cell, 1), undefined);
  assert.equal(read(cell, 2), undefined);
  assert.equal(read(cell, 1), "write 2 (unknown since life 1)");
});

Deno.test("a write that was refused must not be found, and the judge of a soak sees one that was found before", () => {
  const cell = cellOf();
  written(cell, 1);
  const refused = put(2);
  cell.begin(refused, 0);
  assert.ok(cell.refused(refused));
  assert.equal(read(cell, 2), "write 1");
  const seen = put(3);
  cell.begin(seen, 0);
  assert.equal(read(cell, 3), undefined);
  assert.ok(!cell.refused(seen));
});

Deno.test("a read beside a write may find either, says the judge of a soak, and afterwards only the new one", () => {
  const cell = cellOf();
  written(cell, 1);
  const probes = [1, 2].map(() => new Probe(cell, 1, 0));
  written(cell, 2);
  assert.equal(probes[0].end(1, 0), undefined);
  assert.equal(probes[1].end(2, 0), undefined);
  assert.equal(read(cell, 1), "write 2");
  assert.equal(cell.probes.length, 0);
});

Deno.test("the judge of a soak wants a value until it expires and not after, but for the margin of clocks", () => {
  const cell = cellOf();
  const outcome: Outcome = { ...put(1), expires: { from: 5000, to: Infinity } };
  cell.begin(outcome, 0);
  cell.applied(outcome, 100, 10_000);
  const at = 10_100;
  assert.equal(read(cell, 1, 1, at - CLOCK_MARGIN_MS - 1), undefined);
  assert.notEqual(read(cell, undefined, 1, at - CLOCK_MARGIN_MS - 1), undefined);
  assert.equal(read(cell, undefined, 1, at), undefined);
  assert.equal(read(cell, 1, 1, at), undefined);
  assert.notEqual(read(cell, 1, 1, at + CLOCK_MARGIN_MS + 1), undefined);
});

Deno.test("values of a soak say whose they are, and a single wrong byte shows", () => {
  const values = new Values(chance(1));
  const value = values.make("shop", 7, 3, 42, 300);
  assert.equal(values.read("shop", 7, 3, value), 42);
  assert.match(String(values.read("shop", 8, 3, value)), /write 42, cell 7.3 of shop/);
  assert.match(String(values.read("other", 7, 3, value)), /write 42, cell 7.3 of shop/);
  assert.match(String(values.read("shop", 7, 3, value.subarray(1))), /length/);
  assert.match(String(values.read("shop", 7, 3, new Uint8Array(3))), /3 bytes/);
  value[200] ^= 1;
  assert.match(String(values.read("shop", 7, 3, value)), /damaged/);
});

Deno.test("a soak's kills are as many as asked for, in order, the same for a seed, and leave the end in peace", () => {
  const options = { minutes: 60, kills: 30, seed: 5, rate: 3000, diskBytes: 2 ** 30 };
  const plan = schedule(options);
  assert.deepEqual(schedule(options), plan);
  const beside = plan.phases.filter(({ killed }) => killed).length;
  assert.equal(plan.kills.length + beside, 30);
  assert.ok(plan.phases.some(({ killed }) => !killed));
  assert.deepEqual(plan.kills, plan.kills.toSorted((a, b) => a - b));
  assert.ok(plan.kills.at(-1)! <= plan.quietFrom);
  assert.ok(plan.phases.at(-1)!.at < plan.quietFrom);
});

function sampleOf(at: number, life: number, age: number, rss: number): Sample {
  const times = { rate: 1, p50: 1, p99: 1, p999: 1 };
  return {
    ...{ at, life, age, rss, reads: times, writes: times, heap: 1, external: 1 },
    ...{ descriptors: 50, threads: 9, disk: 1, tablesPerLevel: [], ownRss: 1 },
  };
}

Deno.test("a soak compares lives at the same age, and the last life with itself, and names what has grown", () => {
  const lives = (rss: (life: number) => number) =>
    Array.from({ length: 9 }, (_, life) => [
      sampleOf(life * 100 + 10, life, 10, 1000),
      sampleOf(life * 100 + 60, life, 60, rss(life)),
    ]).flat();
  const last = (rss: (i: number) => number) =>
    Array.from({ length: 20 }, (_, i) => sampleOf(900 + i * 10, 8, 100 + i * 10, rss(i)));
  const grown = (samples: Sample[]) =>
    flatness(samples, 60, 900).filter(({ isFlat }) => !isFlat).map(({ what }) => what);
  assert.deepEqual(grown([...lives(() => 200), ...last(() => 250)]), []);
  assert.deepEqual(grown([...lives((life) => 200 + 20 * life), ...last(() => 400)]), [
    "rss 60 s after each start",
  ]);
  assert.deepEqual(grown([...lives(() => 200), ...last((i) => 250 + 10 * i)]), [
    "rss in the last life",
  ]);
});
