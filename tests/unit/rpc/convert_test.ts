import assert from "node:assert/strict";
import fc from "fast-check";
import { create } from "@bufbuild/protobuf";
import { Consistency, VectorClockSchema } from "../../../src/gen/pairdb/v1/common_pb.ts";
import {
  checkConsistency,
  fromClock,
  fromContext,
  fromState,
  toClock,
  toContext,
  toCount,
} from "../../../src/rpc/convert.ts";
import { valueBytes } from "../../../src/node/mod.ts";

const MAX = BigInt(Number.MAX_SAFE_INTEGER);
const invalid = { name: "PairError", error: "InvalidArgument" };

Deno.test("toCount() keeps numbers exactly, or refuses them", () => {
  fc.assert(fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (value) => {
    if (value > MAX || value < 0n) assert.throws(() => toCount(value, "f"), invalid);
    else assert.equal(BigInt(toCount(value, "f")), value);
  }));
  for (const value of [2n ** 31n, 2n ** 32n, MAX]) assert.equal(BigInt(toCount(value, "f")), value);
  for (const value of [MAX + 1n, 2n ** 63n - 1n, -1n, -(2n ** 63n)]) {
    assert.throws(() => toCount(value, "ttl_ms"), { ...invalid, message: /ttl_ms/ });
  }
});

Deno.test("toClock() undoes fromClock()", () => {
  const entry = fc.tuple(fc.string({ minLength: 1 }), fc.maxSafeNat())
    .map(([node, counter]) => ({ node, counter }));
  const clock = fc.tuple(fc.array(entry, { minLength: 1 }), fc.array(entry))
    .map(([entries, dots]) => ({ entries, dots }));
  fc.assert(fc.property(clock, (given) => {
    assert.deepEqual(toClock(create(VectorClockSchema, fromClock(given))), given);
  }));
});

Deno.test("toContext() undoes fromContext(), the seal included; toClock() has none", () => {
  const clock = { entries: [{ node: "a", counter: 1 }], dots: [] };
  fc.assert(fc.property(fc.option(fc.maxSafeNat(), { nil: undefined }), (seal) => {
    const message = create(VectorClockSchema, fromContext({ ...clock, seal }));
    assert.deepEqual(toContext(message), { ...clock, seal });
    assert.deepEqual(toClock(message), clock);
  }));
  assert.equal(
    create(VectorClockSchema, fromClock({ ...clock, seal: 1 } as typeof clock)).seal,
    undefined,
  );
  // A seal without events is no context of ours; it is for the node to refuse.
  assert.deepEqual(toContext(create(VectorClockSchema, { seal: 0n })), {
    entries: [],
    dots: [],
    seal: 0,
  });
  assert.equal(toContext(create(VectorClockSchema)), undefined);
});

Deno.test("a seal beyond 2^53 stays one", () => {
  for (const seal of [2n ** 53n, 2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 1n]) {
    assert.ok(toContext(create(VectorClockSchema, { seal }))!.seal! >= 2 ** 53);
  }
});

Deno.test("toClock() takes an empty clock for none", () => {
  assert.equal(toClock(undefined), undefined);
  assert.equal(toClock(create(VectorClockSchema)), undefined);
});

Deno.test("fromState() shows siblings only when there are several", () => {
  const clock = { entries: [{ node: "a", counter: 1 }], dots: [] };
  const one = { value: new Uint8Array(3), clock, timestampMs: 5 };
  const deleted = { value: undefined, clock, timestampMs: 4 };
  const alone = { winner: one, versions: [one], clock };
  assert.deepEqual(fromState(alone).siblings, []);
  assert.equal(valueBytes(alone), 3);
  const two = { winner: one, versions: [one, deleted], clock };
  assert.deepEqual(fromState(two).siblings.map((each) => each.deleted), [false, true]);
  assert.equal(valueBytes(two), 6);
  const keyOnly = fromState(two, false);
  assert.deepEqual([keyOnly.value, keyOnly.siblings, keyOnly.timestamp], [undefined, [], 5n]);
});

Deno.test("checkConsistency() takes the levels and nothing else", () => {
  for (let level = 0; level <= 7; level++) checkConsistency(level as Consistency);
  for (const level of [-1, 8, 99]) {
    assert.throws(() => checkConsistency(level as Consistency), invalid);
  }
  assert.equal(Consistency.SERIAL, 7);
});
