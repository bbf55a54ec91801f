import assert from "node:assert/strict";
import {
  ContextMismatch,
  coordinateWrite,
  EMPTY_CLOCK,
  joinVersions,
  meetsCondition,
  type VectorClock,
  type Version,
} from "../../../src/model/mod.ts";

const value = Uint8Array.of(1);

function write(local: readonly Version[], context?: VectorClock, expiresAtMs = 0) {
  return coordinateWrite(local, "n", { context, value, timestampMs: 5, expiresAtMs });
}

Deno.test("meetsCondition() takes the context of all versions, and no other", () => {
  const one = write([]).versions;
  const two = write(one, EMPTY_CLOCK).versions;
  assert.equal(two.length, 2);
  const [a, b] = two.map(({ clock }) => clock);
  for (
    const [local, context, applies] of [
      [[], EMPTY_CLOCK, true],
      [[], joinVersions(one), false],
      [one, joinVersions(one), true],
      [one, EMPTY_CLOCK, false],
      [two, joinVersions(two), true],
      // Who has seen one sibling only.
      [two, a, false],
      [two, b, false],
      [one, joinVersions(two), false],
    ] as const
  ) assert.equal(meetsCondition(local, context, 5), applies);
});

Deno.test("meetsCondition() without a context wants no value: none, deleted or expired", () => {
  const deleted = coordinateWrite([], "n", {
    context: undefined,
    value: undefined,
    timestampMs: 5,
    expiresAtMs: 0,
  }).versions;
  const expiring = write([], undefined, 100).versions;
  assert.equal(meetsCondition([], undefined, 5), true);
  assert.equal(meetsCondition(deleted, undefined, 5), true);
  assert.equal(meetsCondition(expiring, undefined, 99), false);
  assert.equal(meetsCondition(expiring, undefined, 100), true);
});

Deno.test("ContextMismatch tells the present context and its reason", () => {
  const present = write([]).written.clock;
  const error = new ContextMismatch(present, { item: 3 });
  assert.deepEqual([error.code, error.error], [1000, "InvalidArgument"]);
  assert.equal(error.present, present);
  assert.deepEqual(error.details, { item: 3, reason: "context_mismatch" });
});
