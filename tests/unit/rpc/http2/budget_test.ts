import assert from "node:assert/strict";
import { Budget } from "../../../../src/rpc/http2/budget.ts";

Deno.test("a Budget holds for its burst, and for what time forgives", () => {
  const budget = new Budget({ burst: 10, perSecond: 2 }, 1000);
  for (let i = 0; i < 10; i++) assert.ok(budget.spend(1000), `event ${i}`);
  assert.ok(!budget.spend(1000));
  // 11 spent; a second forgives 2, and one is spent.
  assert.ok(budget.spend(2000));
  assert.ok(!budget.spend(2000));
});

Deno.test("a Budget saves up nothing: neither time nor what was earned goes beyond the burst", () => {
  const budget = new Budget({ burst: 3, perSecond: 1 }, 0);
  budget.earn(1000);
  const spend = () => [1, 2, 3, 4].map(() => budget.spend(1e6));
  assert.deepEqual(spend(), [true, true, true, false]);
});

Deno.test("a Budget is earned back event by event", () => {
  const budget = new Budget({ burst: 5, perSecond: 0 }, 0);
  for (let i = 0; i < 1000; i++) {
    assert.ok(budget.spend(0));
    budget.earn(1);
  }
});

Deno.test("an event may weigh as much as several", () => {
  const budget = new Budget({ burst: 25, perSecond: 0 }, 0);
  assert.ok(budget.spend(0, 10));
  assert.ok(budget.spend(0, 10));
  assert.ok(!budget.spend(0, 10));
});
