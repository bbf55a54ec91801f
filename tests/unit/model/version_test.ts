import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type ClockEntry,
  covers,
  encodeVersions,
  includes,
  isLive,
  isObsolete,
  joinVersions,
  mergeVersions,
  orderVersions,
  reconcileOperator,
  type Version,
} from "../../../src/model/mod.ts";
import { isCanonical, play, state, steps, version } from "../../support/arbitraries.ts";

const NO_KEY = new Uint8Array(0);

function make(fields: Partial<Version> & { entries?: ClockEntry[] }): Version {
  const { entries = [{ node: "a", counter: 1 }], ...rest } = fields;
  return {
    clock: { entries, dots: [] },
    dot: undefined,
    value: Uint8Array.of(1),
    timestampMs: 10,
    expiresAtMs: 0,
    ...rest,
  };
}

function bytesOf(versions: readonly Version[]): Uint8Array | undefined {
  return versions.length === 0 ? undefined : encodeVersions(versions);
}

Deno.test("mergeVersions() of any states is commutative, associative, idempotent, to the byte", () => {
  fc.assert(
    fc.property(state, state, state, (a, b, c) => {
      const ab = mergeVersions(a, b);
      assert.deepEqual(bytesOf(ab), bytesOf(mergeVersions(b, a)));
      assert.deepEqual(
        bytesOf(mergeVersions(ab, c)),
        bytesOf(mergeVersions(a, mergeVersions(b, c))),
      );
      assert.equal(mergeVersions(a, a), a);
      assert.equal(mergeVersions(ab, b), ab);
      assert.ok(isCanonical(ab));
    }),
    { numRuns: 2000 },
  );
});

Deno.test("mergeVersions() drops nothing that the result has not seen, and invents nothing", () => {
  fc.assert(
    fc.property(state, state, (a, b) => {
      const merged = mergeVersions(a, b);
      for (const version of [...a, ...b]) {
        assert.ok(merged.some((kept) => kept === version || includes(kept.clock, version.clock)));
      }
      for (const version of merged) assert.ok(a.includes(version) || b.includes(version));
    }),
    { numRuns: 1000 },
  );
});

Deno.test("mergeVersions() gives back the left state itself when the right one adds nothing", () => {
  fc.assert(
    fc.property(state, state, (a, b) => {
      const merged = mergeVersions(a, b);
      const same = JSON.stringify(merged) === JSON.stringify(a);
      assert.equal(merged === a, same);
    }),
    { numRuns: 500 },
  );
});

Deno.test("isObsolete() is a strict partial order", () => {
  fc.assert(
    fc.property(version, version, version, (a, b, c) => {
      assert.ok(!isObsolete(a, a));
      assert.ok(!(isObsolete(a, b) && isObsolete(b, a)));
      if (isObsolete(a, b) && isObsolete(b, c)) assert.ok(isObsolete(a, c));
    }),
    { numRuns: 2000 },
  );
});

Deno.test("orderVersions() is a total order, 0 only for versions alike in everything", () => {
  fc.assert(
    fc.property(version, version, version, (a, b, c) => {
      assert.equal(Math.sign(orderVersions(a, b)) + Math.sign(orderVersions(b, a)), 0);
      if (orderVersions(a, b) < 0 && orderVersions(b, c) < 0) assert.ok(orderVersions(a, c) < 0);
      if (orderVersions(a, b) === 0) assert.deepEqual(a, b);
    }),
    { numRuns: 1000 },
  );
});

Deno.test("orderVersions() decides timestamp, delete before value, value, earlier expiry, own event", () => {
  const own = { node: "a", counter: 1 };
  const inOrder = [
    make({ timestampMs: 12 }),
    make({ timestampMs: 11, entries: [{ node: "b", counter: 1 }] }),
    make({ timestampMs: 11, entries: [{ node: "a", counter: 2 }] }),
    make({ value: undefined }),
    make({ value: Uint8Array.of(2) }),
    make({ value: Uint8Array.of(1), expiresAtMs: 20 }),
    make({ value: Uint8Array.of(1), expiresAtMs: 30 }),
    make({ value: Uint8Array.of(1), dot: own }),
    make({ value: Uint8Array.of(1) }),
    make({ value: Uint8Array.of() }),
  ];
  for (let i = 1; i < inOrder.length; i++) {
    assert.ok(orderVersions(inOrder[i - 1], inOrder[i]) < 0, `between ${i - 1} and ${i}`);
  }
});

Deno.test("replicas of a history that meet, in any order, hold the same bytes", () => {
  fc.assert(
    fc.property(steps, fc.infiniteStream(fc.nat()), (steps, choices) => {
      const { states, written } = play(steps);
      // The same writes, one by one, in an order by chance, must lead to the same state.
      const pile = [...written];
      let shuffled: readonly Version[] = [];
      while (pile.length > 0) {
        const [version] = pile.splice(choices.next().value! % pile.length, 1);
        shuffled = mergeVersions(shuffled, [version]);
      }
      const met = mergeVersions(mergeVersions(states[0], states[1]), states[2]);
      assert.deepEqual(bytesOf(met), bytesOf(shuffled));
      assert.deepEqual(
        bytesOf(mergeVersions(states[2], mergeVersions(states[1], states[0]))),
        bytesOf(met),
      );
    }),
    { numRuns: 500 },
  );
});

Deno.test("in an honest history covering a version's own event is the same as including its clock", () => {
  fc.assert(
    fc.property(steps, (steps) => {
      const { written } = play(steps);
      for (const a of written) {
        for (const b of written) {
          assert.equal(covers(b.clock, a.dot!), includes(b.clock, a.clock));
          if (a !== b) assert.notDeepEqual(a.dot, b.dot);
        }
      }
    }),
    { numRuns: 300 },
  );
});

Deno.test("joinVersions() covers every version", () => {
  fc.assert(fc.property(state, (versions) => {
    for (const { clock } of versions) assert.ok(includes(joinVersions(versions), clock));
  }));
});

Deno.test("isLive() is false for deletes and from the expiry on", () => {
  assert.ok(isLive(make({}), 1e15));
  assert.ok(!isLive(make({ value: undefined }), 0));
  assert.ok(isLive(make({ expiresAtMs: 100 }), 99));
  assert.ok(!isLive(make({ expiresAtMs: 100 }), 100));
});

Deno.test("reconcileOperator folds operands as mergeVersions does, in any order and grouping", () => {
  const full = state.filter((versions) => versions.length > 0);
  fc.assert(
    fc.property(full, full, full, (a, b, c) => {
      const [x, y, z] = [a, b, c].map((versions) => encodeVersions(versions));
      const expected = encodeVersions(mergeVersions(mergeVersions(a, b), c));
      const { merge } = reconcileOperator;
      assert.deepEqual(merge(NO_KEY, x, [y, z]), expected);
      assert.deepEqual(merge(NO_KEY, undefined, [z, x, y]), expected);
      assert.deepEqual(merge(NO_KEY, merge(NO_KEY, y, [x]), [z]), expected);
    }),
    { numRuns: 300 },
  );
});
