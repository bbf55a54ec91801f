import assert from "node:assert/strict";
import fc from "fast-check";
import { Rate } from "../../../src/node/rate.ts";

Deno.test("Rate: a second's worth at once, then as it comes [B2]", () => {
  const rate = new Rate(10, 0);
  for (let i = 0; i < 10; i++) {
    assert.equal(rate.waitMs(0), 0, `${i}`);
    rate.take(1);
  }
  assert.equal(rate.waitMs(0), 100);
  assert.equal(rate.waitMs(99), 1);
  assert.equal(rate.waitMs(100), 0);
  rate.take(1);
  assert.equal(rate.waitMs(100), 100);
  // A long pause saves up no more than a second.
  assert.equal(rate.waitMs(1e6), 0);
  rate.take(10);
  assert.equal(rate.waitMs(1e6), 100);
});

Deno.test("Rate: what is larger than a second's worth is let in, and owed [B2]", () => {
  const rate = new Rate(100, 0);
  rate.take(1000);
  assert.equal(rate.waitMs(0), 9010);
  assert.equal(rate.waitMs(9010), 0);
});

Deno.test("Rate: a change takes what is saved, and keeps what is owed [B2]", () => {
  const rate = new Rate(100, 0);
  rate.change(1, 0);
  rate.take(1);
  assert.equal(rate.waitMs(0), 1000);
  rate.take(9);
  rate.change(1000, 0);
  assert.equal(rate.waitMs(0), 10);
});

Deno.test("Rate: over any time it lets in no more than the rate, a second's worth and one [B2]", () => {
  const asked = fc.array(
    fc.record({ afterMs: fc.nat(300), amount: fc.integer({ min: 1, max: 40 }) }),
  );
  fc.assert(fc.property(fc.integer({ min: 1, max: 50 }), asked, (perSecond, calls) => {
    const rate = new Rate(perSecond, 0);
    let [nowMs, taken, last] = [0, 0, 0];
    for (const { afterMs, amount } of calls) {
      nowMs += afterMs;
      const waitMs = rate.waitMs(nowMs);
      assert.equal(new Set([waitMs]).has(Math.ceil(waitMs)), true);
      if (waitMs > 0) continue;
      rate.take(amount);
      taken += amount;
      last = amount;
      assert.ok(taken - last <= perSecond * (1 + nowMs / 1000) + 1e-6);
    }
  }));
});
