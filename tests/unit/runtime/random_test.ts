/**
 * Chance, real and seeded.
 * @module
 */
import assert from "node:assert/strict";
import { denoRandom, type Random, SimRandom, uniformBelow } from "../../../src/runtime/mod.ts";

const SOURCES: Record<string, () => Random> = {
  denoRandom: () => denoRandom(),
  SimRandom: () => new SimRandom(42),
};

for (const [name, make] of Object.entries(SOURCES)) {
  Deno.test(`${name}: values are in range and spread`, () => {
    const random = make();
    const buckets = new Array(8).fill(0);
    for (let i = 0; i < 8000; i++) {
      const value = random.u32();
      assert.ok(Number.isInteger(value) && value >= 0 && value < 2 ** 32);
      buckets[Math.floor(value / 2 ** 29)]++;
      const below = random.below(7);
      assert.ok(Number.isInteger(below) && below >= 0 && below < 7);
    }
    // 1000 expected in each, standard deviation 30.
    for (const count of buckets) assert.ok(count > 700 && count < 1300, `${buckets}`);
    assert.equal(random.below(1), 0);
    assert.ok(random.below(2 ** 32) < 2 ** 32);
  });

  Deno.test(`${name}: bytes() fills any count`, () => {
    const random = make();
    for (const count of [0, 1, 65_536, 65_537, 200_000]) {
      const bytes = random.bytes(count);
      assert.equal(bytes.length, count);
      // A run of 64 zeros has a chance of 2^-512.
      if (count > 64) assert.ok(bytes.subarray(-64).some((byte) => byte !== 0));
    }
  });
}

Deno.test("uniformBelow() draws again where the rest would favour small values, and checks its bound", () => {
  // 2^32 is 1 more than a multiple of 3: one value would be one too many for 0.
  const draws = [2 ** 32 - 1, 2 ** 32 - 1, 5];
  const source = { u32: () => draws.shift() as number };
  assert.equal(uniformBelow(source, 3), 2);
  assert.equal(draws.length, 0);
  for (const bound of [0, -1, 1.5, NaN, 2 ** 32 + 1]) {
    assert.throws(() => uniformBelow(source, bound), RangeError);
  }
});

Deno.test("SimRandom: a seed gives one stream, and another another", () => {
  const take = (seed: number) => {
    const random = new SimRandom(seed);
    return [random.u32(), random.u32(), random.below(100), ...random.bytes(4)];
  };
  assert.deepEqual(take(1), take(1));
  assert.notDeepEqual(take(1), take(2));
});

Deno.test("SimRandom: is xoshiro128** seeded by SplitMix32", () => {
  // From a transcription of the reference code into another language. Seeds replay old runs, so the
  // stream is fixed for ever.
  const first = (seed: number) => {
    const random = new SimRandom(seed);
    return [random.u32(), random.u32(), random.u32(), random.u32()];
  };
  assert.deepEqual(first(0), [3809008728, 1133695204, 53579671, 2891528803]);
  assert.deepEqual(first(1), [2442144158, 3238099751, 3819917871, 2104621829]);
});

Deno.test("SimRandom: a fork is a stream of its own", () => {
  const one = new SimRandom(1);
  const two = new SimRandom(1);
  const forkOne = one.fork();
  const forkTwo = two.fork();
  forkOne.bytes(100);
  assert.equal(one.u32(), two.u32(), "what a fork draws does not disturb the stream it came from");
  assert.notEqual(forkTwo.u32(), two.u32());
});
