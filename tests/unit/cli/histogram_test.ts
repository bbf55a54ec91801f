import assert from "node:assert/strict";
import fc from "fast-check";
import { Histogram } from "../../../src/cli/histogram.ts";

Deno.test("of no times every share is 0", () => {
  const times = new Histogram();
  assert.deepEqual([times.count, times.at(0.5), times.at(1)], [0, 0, 0]);
});

Deno.test("the time of a share is that of the sorted times, up to 1.6 %, and the largest is exact", () => {
  fc.assert(fc.property(
    fc.array(fc.integer({ min: 0, max: 3_000_000_000 }), { minLength: 1, maxLength: 200 }),
    fc.double({ min: 0.001, max: 1, noNaN: true }),
    (all, share) => {
      const times = new Histogram();
      for (const us of all) times.add(us);
      const sorted = [...all].sort((a, b) => a - b);
      const exact = sorted[Math.ceil(share * all.length) - 1];
      const told = times.at(share);
      assert.ok(told >= exact && told <= exact * 1.016 + 1, `${told} for ${exact}`);
      assert.equal(times.at(1), sorted.at(-1));
      assert.equal(times.count, all.length);
    },
  ));
});
