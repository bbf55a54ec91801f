import assert from "node:assert/strict";
import {
  checkPlausible,
  counterBound,
  MAX_COUNTER,
  PairError,
  type VectorClock,
  type Version,
} from "../../../src/model/mod.ts";

const NOW_MS = 1_790_000_000_000;

function entries(...of: [string, number][]): VectorClock {
  return { entries: of.map(([node, counter]) => ({ node, counter })), dots: [] };
}

function version(clock: VectorClock): Version {
  return { clock, dot: undefined, value: undefined, timestampMs: 1, expiresAtMs: 0 };
}

Deno.test("checkPlausible() takes what can have been, by the clock, and in any case 2^32 and what is here", () => {
  const local = [version(entries(["known", 2 ** 52]))];
  checkPlausible(entries(["a", NOW_MS * 1000], ["b", 1]), [], NOW_MS);
  checkPlausible(entries(["a", 2 ** 32]), [], 0);
  checkPlausible(entries(["known", 2 ** 52]), local, NOW_MS);
  checkPlausible({ entries: [], dots: [{ node: "known", counter: 2 ** 52 }] }, local, NOW_MS);
  const refused: [VectorClock, readonly Version[], number][] = [
    [entries(["a", NOW_MS * 1000 + 1]), [], NOW_MS],
    [entries(["a", 2 ** 32 + 1]), [], 0],
    [entries(["a", 1], ["b", MAX_COUNTER]), local, NOW_MS],
    [{ entries: [], dots: [{ node: "a", counter: MAX_COUNTER }] }, local, NOW_MS],
    [entries(["known", 2 ** 52 + 1]), local, NOW_MS],
  ];
  for (const [clock, at, nowMs] of refused) {
    assert.throws(() => checkPlausible(clock, at, nowMs), (error) => {
      assert.ok(error instanceof PairError);
      assert.equal(error.code, 1000);
      assert.equal(error.details.limit, Math.max(2 ** 32, nowMs * 1000));
      return true;
    });
  }
});

Deno.test("counterBound() leaves room to count on, and rises whatever the clock does", () => {
  let before = 0;
  for (const nowMs of [0, NOW_MS, NOW_MS + 1, 0, NOW_MS - 1, NOW_MS + 1e9]) {
    const bound = counterBound(nowMs, before);
    assert.ok(bound - before >= 1000, "more than a batch can have written");
    before = bound;
  }
  checkPlausible(entries(["a", 2 * counterBound(NOW_MS)], ["b", 2 * counterBound(0)]), [], NOW_MS);
});
