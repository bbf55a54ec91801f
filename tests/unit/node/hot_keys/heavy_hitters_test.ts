/**
 * The sketch of hot keys, beside exact counts: on streams of many shapes, with what decays and what is sampled.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { Tree } from "../../../../src/engine/mod.ts";
import { fromUtf8, utf8 } from "../../../../src/model/mod.ts";
import {
  HeavyHitters,
  HOT_KEY_WINDOW_MS,
  SLOTS,
} from "../../../../src/node/hot_keys/heavy_hitters.ts";
import { SimRandom } from "../../../../src/runtime/mod.ts";

function tree(id: number): Tree {
  return { id, name: `t${id}`, createdAtMs: 0, purgeFloor: 0, purgedSequence: 0, options: {} };
}

const TREES = [tree(1), tree(2)];

/** A clock that counts how often it is asked. */
class HandClock {
  nowMs = 1000;
  asked = 0;
  monotonicMs(): number {
    this.asked++;
    return this.nowMs;
  }
}

interface Call {
  readonly tree: Pick<Tree, "id" | "name">;
  readonly key: string;
}

/** Streams by shape: which key the i-th call is for. */
const SHAPES: Readonly<Record<string, (i: number, random: SimRandom) => string>> = {
  /** Few are most of it. */
  zipf: (_, random) => `k${Math.floor(1 / (random.u32() / 2 ** 32 + 1 / 5000))}`,
  uniform: (_, random) => `k${random.below(1000)}`,
  /** Each comes when its slot was just taken. */
  rotating: (i) => `k${i % (SLOTS + 1)}`,
  /** One key between keys that never come again. */
  needle: (i) => i % 3 === 0 ? "needle" : `once ${i}`,
  /** Each has its time. */
  bursts: (i) => `burst ${Math.floor(i / 200)}`,
  /** Many that fill the slots, then one. */
  late: (i) => i < 1500 ? `k${i}` : i % 2 === 0 ? "late" : `k${i}`,
  /** Keys of all lengths, and one the beginning of another. */
  lengths: (_, random) => "x".repeat(1 + random.below(600)),
};

const nameOf = ({ tree, key }: Call) => `${tree.id} ${key}`;

/** Exact counts, decayed to now. */
function exactRates(calls: readonly (Call & { atMs: number })[], bornMs: number, nowMs: number) {
  const ageMs = Math.max(1000, nowMs - bornMs);
  const seconds = HOT_KEY_WINDOW_MS / 1000 * (1 - Math.exp(-ageMs / HOT_KEY_WINDOW_MS));
  const rates = new Map<string, number>();
  let total = 0;
  for (const call of calls) {
    const rate = Math.exp((call.atMs - nowMs) / HOT_KEY_WINDOW_MS) / seconds;
    rates.set(nameOf(call), (rates.get(nameOf(call)) ?? 0) + rate);
    total += rate;
  }
  return { rates, total };
}

Deno.test("HeavyHitters: rates are right within their errors, on every kind of stream, whatever decays [B12]", () => {
  const scene = fc.record({
    shape: fc.constantFrom(...Object.keys(SHAPES)),
    seed: fc.nat(),
    length: fc.nat(3000),
    /** Time between calls, and one pause. */
    stepMs: fc.constantFrom(0.5, 1, 7, 100),
    pauseMs: fc.constantFrom(0, 20_000, 700_000),
    /** Time after the last. */
    afterMs: fc.constantFrom(0, 5000, 600_000),
  });
  fc.assert(
    fc.property(scene, ({ shape, seed, length, stepMs, pauseMs, afterMs }) => {
      const clock = new HandClock();
      const random = new SimRandom(seed);
      const bornMs = clock.nowMs;
      const sketch = new HeavyHitters<string>(clock, random);
      const calls: (Call & { atMs: number })[] = [];
      for (let i = 0; i < length; i++) {
        if (i === Math.floor(length / 2)) clock.nowMs += pauseMs;
        clock.nowMs += stepMs;
        const call = { tree: TREES[i % 7 === 0 ? 1 : 0], key: SHAPES[shape](i, random) };
        sketch.note(call.tree, utf8(call.key));
        calls.push({ ...call, atMs: clock.nowMs });
      }
      clock.nowMs += afterMs;
      const { rates, total } = exactRates(calls, bornMs, clock.nowMs);
      const rounding = 1e-9 * (1 + total);
      const listed = new Map(
        sketch.list().map(({ tree, key, perSecond, error }) => {
          const name = nameOf({ tree, key: fromUtf8(key) });
          return [name, { tree, key, perSecond, error }];
        }),
      );
      assert.ok(listed.size <= SLOTS);
      for (const [name, { tree, key, perSecond, error }] of listed) {
        const exact = rates.get(name);
        assert.ok(exact !== undefined, "what is listed was named");
        assert.ok(Math.abs(exact - perSecond) <= error + rounding, `${name}: ${exact}`);
        assert.ok(2 * error <= total / SLOTS + rounding, `the error is bounded: ${error}`);
        const slot = sketch.find(tree, key);
        assert.ok(slot >= 0, "each has its slot");
        // The list has brought the sketch up to now.
        const seconds = total / exactCalls(calls, clock.nowMs);
        assert.ok(sketch.callsMin(slot) * seconds <= exact + rounding);
      }
      for (const [name, exact] of rates) {
        if (listed.has(name)) continue;
        assert.ok(exact <= sketch.absent.error + rounding, `${name} is not listed: ${exact}`);
        assert.ok(exact <= total / SLOTS + rounding, `${name} has a share and is not listed`);
      }
      const found = sketch.rates();
      assert.ok(Math.abs(found.total - total) <= rounding);
      assert.ok(found.largest <= Math.max(0, ...rates.values()) + rounding);
    }),
    { numRuns: 150 },
  );
});

/** How many calls there were, decayed to now; 1 where there were none. */
function exactCalls(calls: readonly { atMs: number }[], nowMs: number): number {
  return calls.reduce((sum, { atMs }) => {
    return sum + Math.exp((atMs - nowMs) / HOT_KEY_WINDOW_MS);
  }, 0) || 1;
}

Deno.test("HeavyHitters: of many calls few are looked at, and the rates are right within their errors all the same [B12]", () => {
  let [within, all] = [0, 0];
  for (const seed of [1, 2, 3]) {
    const clock = new HandClock();
    const random = new SimRandom(seed);
    const sketch = new HeavyHitters<string>(clock, random);
    const perSecond = 100_000;
    const seconds = 15;
    const keys = new Map<string, { readonly bytes: Uint8Array; rate: number }>();
    const weight = 1000 * -Math.expm1(-1 / HOT_KEY_WINDOW_MS);
    for (let ms = 0; ms < seconds * 1000; ms++) {
      clock.nowMs++;
      for (const of of keys.values()) of.rate *= Math.exp(-1 / HOT_KEY_WINDOW_MS);
      for (let i = 0; i < perSecond / 1000; i++) {
        // A tenth is one key's, in step with a period that gaps could have; the rest is 50 keys'.
        const name = i % 10 === 0 ? "tenth" : `k${random.below(50)}`;
        let known = keys.get(name);
        if (known === undefined) keys.set(name, known = { bytes: utf8(name), rate: 0 });
        known.rate += weight;
        sketch.note(TREES[0], known.bytes);
      }
    }
    assert.ok(clock.asked < 3 * 4000 * seconds, `${clock.asked}`);
    const grown = -Math.expm1(-seconds * 1000 / HOT_KEY_WINDOW_MS);
    const listed = sketch.list();
    assert.equal(listed.length, 51);
    for (const { key, perSecond, error } of listed) {
      const exact = keys.get(fromUtf8(key))!.rate / grown;
      const off = Math.abs(exact - perSecond);
      all++;
      if (off <= error) within++;
      // Six standard deviations.
      assert.ok(off <= 2 * error, `${fromUtf8(key)}: ${exact} ${perSecond}`);
      if (fromUtf8(key) === "tenth") assert.ok(error < 0.1 * perSecond, `${error}`);
    }
    const { total, largest } = sketch.rates();
    assert.ok(Math.abs(total - perSecond) < 0.05 * perSecond, `${total}`);
    assert.ok(Math.abs(largest - perSecond / 10) < 0.1 * perSecond / 10, `${largest}`);
  }
  assert.ok(within >= 0.98 * all, `${within} of ${all}`);
});

Deno.test("HeavyHitters: after a rush every call is looked at again", () => {
  const clock = new HandClock();
  const sketch = new HeavyHitters<string>(clock, new SimRandom(1));
  for (let i = 0; i < 200_000; i++) {
    clock.nowMs += 0.01;
    sketch.note(TREES[0], utf8(`k${i}`));
  }
  for (let i = 0; i < 2000; i++) {
    clock.nowMs += 10;
    sketch.note(TREES[0], utf8("quiet"));
  }
  clock.nowMs += 200_000;
  clock.asked = 0;
  for (let i = 0; i < 100; i++) sketch.note(TREES[0], utf8("quiet"));
  assert.ok(clock.asked >= 100, `${clock.asked}`);
});

Deno.test("HeavyHitters: what is attached to a key goes with its slot", () => {
  const clock = new HandClock();
  const sketch = new HeavyHitters<string>(clock, new SimRandom(1));
  const [a, b] = [utf8("a"), utf8("b")];
  sketch.note(TREES[0], a);
  for (let i = 0; i < 10; i++) sketch.note(TREES[0], b);
  sketch.attach(sketch.find(TREES[0], a), "of a");
  sketch.attach(sketch.find(TREES[0], b), "of b");
  assert.equal(sketch.find(TREES[1], a), -1, "another tenant's key");
  for (let i = 0; i < 2 * SLOTS; i++) sketch.note(TREES[0], utf8(`k${i}`));
  assert.equal(sketch.attached(sketch.find(TREES[0], b)), "of b");
  sketch.note(TREES[0], a);
  assert.equal(sketch.attached(sketch.find(TREES[0], a)), undefined);
});

Deno.test("HeavyHitters: of a tree only its name is kept, so that one that is dropped goes whole", () => {
  const sketch = new HeavyHitters<string>(new HandClock(), new SimRandom(1));
  sketch.note(TREES[0], utf8("k"));
  assert.deepEqual(sketch.list().map(({ tree }) => tree), [{ id: 1, name: "t1" }]);
});
