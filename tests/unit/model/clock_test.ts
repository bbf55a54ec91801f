import assert from "node:assert/strict";
import fc from "fast-check";
import {
  addDot,
  checkClock,
  type ClockEntry,
  compareClocks,
  covers,
  EMPTY_CLOCK,
  includes,
  joinClocks,
  MAX_COUNTER,
  maxCounter,
  normalizeClock,
  orderClocks,
  PairError,
  validateNodeId,
  type VectorClock,
} from "../../../src/model/mod.ts";
import { clock, eventsOf, rawClock } from "../../support/arbitraries.ts";

function entry(node: string, counter: number): ClockEntry {
  return { node, counter };
}

function refuses(clock: VectorClock): void {
  assert.throws(
    () => checkClock(clock),
    (error) => error instanceof PairError && error.code === 1000,
  );
}

Deno.test("normalizeClock() sorts, merges repeated nodes, folds adjoining dots, drops counter 0", () => {
  assert.deepEqual(
    normalizeClock({
      entries: [entry("b", 2), entry("a", 1), entry("b", 4), entry("z", 0)],
      dots: [entry("b", 7), entry("a", 2), entry("c", 1), entry("b", 3), entry("d", 2)],
    }),
    {
      entries: [entry("a", 2), entry("b", 4), entry("c", 1)],
      dots: [entry("b", 7), entry("d", 2)],
    },
  );
});

Deno.test("normalizeClock() keeps the events and gives equal sets equal forms", () => {
  fc.assert(
    fc.property(rawClock, rawClock, (a, b) => {
      const [x, y] = [normalizeClock(a), normalizeClock(b)];
      assert.deepEqual(eventsOf(x), eventsOf(a));
      assert.deepEqual(normalizeClock(x), x);
      const same = eventsOf(a).symmetricDifference(eventsOf(b)).size === 0;
      assert.equal(orderClocks(x, y) === 0, same);
      if (same) assert.deepEqual(x, y);
    }),
    { numRuns: 500 },
  );
});

Deno.test("joinClocks() is the union: commutative, associative, idempotent [E39]", () => {
  fc.assert(
    fc.property(clock, clock, clock, (a, b, c) => {
      assert.deepEqual(
        eventsOf(joinClocks(a, b)),
        eventsOf(a).union(eventsOf(b)).values().toArray()
          .reduce((set, event) => set.add(event), new Set<string>()),
      );
      assert.deepEqual(joinClocks(a, b), joinClocks(b, a));
      assert.deepEqual(joinClocks(joinClocks(a, b), c), joinClocks(a, joinClocks(b, c)));
      assert.deepEqual(joinClocks(a, a), a);
      assert.deepEqual(joinClocks(a, EMPTY_CLOCK), a);
      assert.deepEqual(normalizeClock(joinClocks(a, b)), joinClocks(a, b));
    }),
    { numRuns: 500 },
  );
});

Deno.test("includes() is the subset relation, a partial order", () => {
  fc.assert(
    fc.property(clock, clock, clock, (a, b, c) => {
      assert.equal(includes(a, b), eventsOf(b).isSubsetOf(eventsOf(a)));
      assert.ok(includes(a, a));
      if (includes(a, b) && includes(b, a)) assert.deepEqual(a, b);
      if (includes(a, b) && includes(b, c)) assert.ok(includes(a, c));
      assert.ok(includes(joinClocks(a, b), b));
    }),
    { numRuns: 1000 },
  );
});

Deno.test("covers(), maxCounter() and addDot() agree with the events", () => {
  const node = fc.constantFrom("a", "b", "c", "d");
  fc.assert(
    fc.property(clock, node, fc.integer({ min: 1, max: 7 }), (clock, node, counter) => {
      const events = eventsOf(clock);
      assert.equal(covers(clock, entry(node, counter)), events.has(`${node}${counter}`));
      const counters = [...events].filter((event) => event[0] === node)
        .map((event) => Number(event.slice(1)));
      assert.equal(maxCounter(clock, node), Math.max(0, ...counters));
      const grown = addDot(clock, entry(node, counter));
      assert.deepEqual(grown, normalizeClock(grown));
      assert.deepEqual([...eventsOf(grown)].sort(), [...events.add(`${node}${counter}`)].sort());
    }),
    { numRuns: 500 },
  );
});

Deno.test("compareClocks() tells before, after, equal and concurrent [E39]", () => {
  const a1 = normalizeClock({ entries: [entry("a", 1)], dots: [] });
  const a2 = normalizeClock({ entries: [entry("a", 2)], dots: [] });
  const a1a3 = normalizeClock({ entries: [entry("a", 1)], dots: [entry("a", 3)] });
  assert.equal(compareClocks(a1, a2), "before");
  assert.equal(compareClocks(a2, a1), "after");
  assert.equal(compareClocks(a2, a2), "equal");
  // The point of dots: the third event does not claim the second.
  assert.equal(compareClocks(a2, a1a3), "concurrent");
  assert.equal(compareClocks(a1, a1a3), "before");
});

Deno.test("orderClocks() is a total order", () => {
  fc.assert(
    fc.property(clock, clock, clock, (a, b, c) => {
      assert.equal(Math.sign(orderClocks(a, b)) + Math.sign(orderClocks(b, a)), 0);
      if (orderClocks(a, b) < 0 && orderClocks(b, c) < 0) assert.ok(orderClocks(a, c) < 0);
    }),
    { numRuns: 500 },
  );
});

Deno.test("checkClock() takes 2000 entries and dots and refuses 2001 (1000)", () => {
  const events = Array.from({ length: 2000 }, (_, i) => entry(`n${i}`, 2));
  assert.equal(checkClock({ entries: events, dots: [] }).entries.length, 2000);
  assert.equal(
    checkClock({ entries: events.slice(0, 400), dots: events.slice(400) }).dots.length,
    1600,
  );
  refuses({ entries: [...events, entry("more", 1)], dots: [] });
  refuses({ entries: [], dots: [...events, entry("more", 1)] });
  refuses({ entries: events, dots: [entry("more", 1)] });
});

Deno.test("checkClock() refuses what is no clock (1000)", () => {
  const none: unknown[] = [
    {},
    null,
    7,
    "x",
    [],
    { entries: [] },
    { dots: [] },
    {
      entries: {},
      dots: [],
    },
    { entries: [null], dots: [] },
    { entries: [], dots: [undefined] },
    {
      entries: ["a"],
      dots: [],
    },
  ];
  for (const clock of none) refuses(clock as VectorClock);
});

Deno.test("checkClock() refuses counters that are no integers from 0 to 2^53 - 1 (1000)", () => {
  const top = checkClock({ entries: [entry("a", MAX_COUNTER)], dots: [] });
  assert.equal(maxCounter(top, "a"), MAX_COUNTER);
  assert.deepEqual(checkClock({ entries: [entry("a", 0)], dots: [] }), EMPTY_CLOCK);
  for (const counter of [-1, 1.5, MAX_COUNTER + 1, 2 ** 63, NaN, Infinity]) {
    refuses({ entries: [entry("a", counter)], dots: [] });
    refuses({ entries: [], dots: [entry("a", counter)] });
  }
});

Deno.test("checkClock() and validateNodeId() refuse bad node ids (1000)", () => {
  for (const node of ["", "x".repeat(129), "é".repeat(65), "a\u0000", "a\u0085", "\ud800"]) {
    refuses({ entries: [entry(node, 1)], dots: [] });
    assert.throws(() => validateNodeId(node), PairError);
  }
  validateNodeId("x".repeat(128));
  validateNodeId("é".repeat(64));
});
