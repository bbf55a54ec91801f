import assert from "node:assert/strict";
import fc from "fast-check";
import { RecentRates } from "../../../src/node/load.ts";

Deno.test("RecentRates says nothing before ten seconds, then what happened since the start", () => {
  const rates = new RecentRates(0, { n: 5 });
  assert.equal(rates.since(9999, { n: 6 }), undefined);
  assert.deepEqual(rates.since(10_000, { n: 7 }), { elapsedMs: 10_000, grown: { n: 2 } });
});

Deno.test("RecentRates tells of the last minute, whoever asks how often, and of a longer pause as a whole", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 20_000 }), { minLength: 40 }), (steps) => {
      // The figure is the time: what it grew by is what passed.
      const rates = new RecentRates(0, { n: 0 });
      let nowMs = 0;
      for (const step of steps) {
        nowMs += step;
        const told = rates.since(nowMs, { n: nowMs });
        if (told === undefined) assert.ok(nowMs < 10_000);
        else {
          assert.equal(told.grown.n, told.elapsedMs);
          assert.ok(told.elapsedMs <= 60_000 + 20_000 + 5000 && told.elapsedMs <= nowMs);
          assert.ok(told.elapsedMs >= Math.min(nowMs, 60_000));
        }
      }
    }),
  );
  const rates = new RecentRates(0, { n: 0 });
  assert.equal(rates.since(600_000, { n: 1 })?.elapsedMs, 600_000);
});
