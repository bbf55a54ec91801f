import assert from "node:assert/strict";
import { brakeMs, SLOWDOWN_MS_MAX, SLOWDOWN_MS_MIN } from "../../../src/engine/brake.ts";
import { pendingBytes } from "../../../src/engine/compaction/mod.ts";
import { DEFAULT_ENGINE_OPTIONS } from "../../../src/engine/mod.ts";
import { tableMeta } from "../../support/entries.ts";

const LIMITS = {
  l0Slowdown: 8,
  l0Stop: 12,
  pendingSlowdown: 1000,
  pendingStop: 3000,
  maxImmutables: 2,
};
const NONE = { level0: 0, pendingBytes: 0, immutables: 0 };

Deno.test("brakeMs(): nothing below the limits, a wait that grows from the first, a stop at the second [X13]", () => {
  assert.equal(brakeMs(NONE, LIMITS), 0);
  assert.equal(brakeMs({ level0: 7, pendingBytes: 999, immutables: 1 }, LIMITS), 0);
  assert.equal(brakeMs({ ...NONE, level0: 8 }, LIMITS), SLOWDOWN_MS_MIN);
  assert.equal(brakeMs({ ...NONE, pendingBytes: 1000 }, LIMITS), SLOWDOWN_MS_MIN);
  const waits = [8, 9, 10, 11].map((level0) => brakeMs({ ...NONE, level0 }, LIMITS));
  for (let i = 1; i < waits.length; i++) assert.ok(waits[i] > waits[i - 1], String(waits));
  assert.ok(waits[3] < SLOWDOWN_MS_MAX);
  for (const debt of [{ level0: 12 }, { pendingBytes: 3000 }, { immutables: 2 }]) {
    assert.equal(brakeMs({ ...NONE, ...debt }, LIMITS), Infinity, JSON.stringify(debt));
  }
});

Deno.test("brakeMs(): the heaviest debt decides", () => {
  const both = brakeMs({ level0: 8, pendingBytes: 2000, immutables: 0 }, LIMITS);
  assert.equal(both, brakeMs({ ...NONE, pendingBytes: 2000 }, LIMITS));
  assert.equal(brakeMs({ level0: 9, pendingBytes: 0, immutables: 2 }, LIMITS), Infinity);
});

Deno.test("brakeMs(): of more than two frozen memtables the last but one slows", () => {
  const limits = { ...LIMITS, maxImmutables: 4 };
  assert.equal(brakeMs({ ...NONE, immutables: 2 }, limits), 0);
  assert.equal(brakeMs({ ...NONE, immutables: 3 }, limits), SLOWDOWN_MS_MIN);
  assert.equal(brakeMs({ ...NONE, immutables: 4 }, limits), Infinity);
});

Deno.test("pendingBytes(): what is over a level's budget goes down level by level", () => {
  const options = { ...DEFAULT_ENGINE_OPTIONS.compaction, l0Trigger: 2, baseLevelSize: 1000 };
  const level = (number: number, sizes: number[]) =>
    sizes.map((size, i) => tableMeta(i + 1, ["a", "b"], { level: number, size }));
  assert.equal(pendingBytes([], options), 0);
  assert.equal(pendingBytes([level(0, [10]), level(1, [1000])], options), 0);
  // Both tables, and level 1 with them; then 20 too many on level 1.
  assert.equal(pendingBytes([level(0, [10, 10]), level(1, [1000])], options), 1020 + 20);
  // 500 too many, for each of which twice as many wait below.
  assert.equal(pendingBytes([[], level(1, [1500]), level(2, [3000])], options), 500 * 3);
});
