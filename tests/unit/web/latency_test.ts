import assert from "node:assert/strict";
import fc from "fast-check";
import { Latency, QUANTILES } from "../../../src/web/mod.ts";

Deno.test("Latency's quantiles, up to p99.9, are never under the true ones, and 13 % over them at most [O2]", () => {
  const durationMs = fc.double({ min: 0.001, max: 100_000, noNaN: true });
  fc.assert(fc.property(fc.array(durationMs, { minLength: 1, maxLength: 2000 }), (durations) => {
    const latency = new Latency();
    for (const each of durations) latency.add(each, 0);
    const sorted = durations.toSorted((a, b) => a - b);
    const told = latency.quantilesMs(0)!;
    QUANTILES.forEach((quantile, i) => {
      const exact = sorted[Math.ceil(durations.length * quantile) - 1];
      assert.ok(told[i] >= exact - 1e-9, `p${quantile}: ${told[i]} for ${exact}`);
      assert.ok(told[i] <= exact * 1.13 + 0.0011, `p${quantile}: ${told[i]} for ${exact}`);
    });
    assert.equal(latency.count, durations.length);
  }));
});

Deno.test("Latency forgets after two minutes, but not its total", () => {
  const latency = new Latency();
  assert.equal(latency.quantilesMs(0), undefined);
  latency.add(5, 1000);
  assert.notEqual(latency.quantilesMs(60_999), undefined);
  latency.add(1, 61_000);
  assert.ok(latency.quantilesMs(61_000)![3] > 5);
  assert.ok(latency.quantilesMs(121_000)![3] < 2);
  assert.equal(latency.quantilesMs(400_000), undefined);
  assert.deepEqual([latency.count, latency.sumMs], [2, 6]);
});

Deno.test("Latency takes what no clock should give", () => {
  const latency = new Latency();
  for (const odd of [0, -1, 2 ** 40, Infinity]) latency.add(odd, 0);
  assert.equal(latency.quantilesMs(0)!.length, 4);
});
