import assert from "node:assert/strict";
import fc from "fast-check";
import {
  Blocks,
  type ClientWrite,
  coordinateWrite,
  decodeVersions,
  encodeVersions,
  MAX_COUNTER,
  OwnStates,
  PairError,
  type Version,
} from "../../../src/model/mod.ts";
import { state } from "../../support/arbitraries.ts";

/** One of those that arbitrary states name. */
const NODE = "a";

const number = fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: MAX_COUNTER }));
const value = fc.option(fc.uint8Array({ maxLength: 300 }), { nil: undefined });
const expiry = fc.oneof(fc.constant(0), number);
const write: fc.Arbitrary<ClientWrite> = fc.record({
  context: fc.oneof(
    { weight: 5, arbitrary: fc.constant(undefined) },
    fc.constant({ entries: [{ node: "b", counter: 3 }], dots: [] }),
  ),
  value,
  timestampMs: number,
  expiresAtMs: expiry,
  purgeFloor: fc.oneof(fc.constant(0), number),
});

/** States as writes without a context leave them, of this node and of others. */
const own: fc.Arbitrary<readonly Version[]> = fc.record({
  node: fc.constantFrom(NODE, NODE, "b", "aa", ""),
  counter: number,
  value,
  timestampMs: number,
  expiresAtMs: expiry,
}).filter(({ node }) => node !== "").map(({ node, counter, ...rest }) => {
  const dot = { node, counter };
  return [{ clock: { entries: [dot], dots: [] }, dot, ...rest }];
});

/** What the write rule and the codec make of it; the error's name where they refuse. */
function ruled(before: Uint8Array | undefined, input: ClientWrite): unknown {
  try {
    const local = before === undefined ? [] : decodeVersions(before);
    const { versions, written } = coordinateWrite(local, NODE, input);
    return { state: [...encodeVersions(versions)], clock: written.clock };
  } catch (error) {
    if (error instanceof PairError) return error.error;
    throw error;
  }
}

function followed(before: Uint8Array | undefined, input: ClientWrite): unknown {
  const made = new OwnStates(NODE, new Blocks()).follow(before, input);
  return made && { state: [...made.state], clock: made.clock };
}

Deno.test("an own state is followed by what the write rule and the codec would make of it", () => {
  const states = fc.oneof(own, state);
  let short = 0;
  fc.assert(
    fc.property(states, write, (versions, input) => {
      const before = versions.length === 0 ? undefined : encodeVersions(versions);
      const made = followed(before, input);
      if (made === undefined) return;
      short++;
      assert.deepEqual(made, ruled(before, input));
    }),
    { numRuns: 2000 },
  );
  assert.ok(short > 300, `${short} of them took the short way`);
});

Deno.test("the short way is taken for a new key, and one that this node alone has written", () => {
  const input = { context: undefined, value: Uint8Array.of(1), timestampMs: 5, expiresAtMs: 0 };
  const first = new OwnStates(NODE, new Blocks()).follow(undefined, input);
  assert.deepEqual(first?.clock, { entries: [{ node: NODE, counter: 1 }], dots: [] });
  const second = new OwnStates(NODE, new Blocks()).follow(first?.state, input);
  assert.deepEqual(second?.clock, { entries: [{ node: NODE, counter: 2 }], dots: [] });
  assert.equal(new OwnStates("b", new Blocks()).follow(first?.state, input), undefined);
  const context = second?.clock;
  assert.equal(
    new OwnStates(NODE, new Blocks()).follow(first?.state, { ...input, context }),
    undefined,
  );
});

Deno.test("a counter that is used up, and bytes that are no state, are left to the write rule", () => {
  const input = { context: undefined, value: undefined, timestampMs: 5, expiresAtMs: 0 };
  const dot = { node: NODE, counter: MAX_COUNTER };
  const last = {
    clock: { entries: [dot], dots: [] },
    dot,
    value: undefined,
    timestampMs: 1,
    expiresAtMs: 0,
  };
  assert.equal(followed(encodeVersions([last]), input), undefined);
  fc.assert(
    fc.property(
      own,
      fc.nat(),
      fc.integer({ min: 0, max: 255 }),
      fc.boolean(),
      (versions, at, byte, cut) => {
        const bytes = encodeVersions(versions);
        const place = at % bytes.length;
        const damaged = cut ? bytes.slice(0, place) : bytes.with(place, byte);
        const made = followed(damaged, input);
        // Where both take it, both make the same of it.
        if (made !== undefined && typeof ruled(damaged, input) === "object") {
          assert.deepEqual(made, ruled(damaged, input));
        }
        if (cut) assert.equal(made, undefined);
      },
    ),
    { numRuns: 2000 },
  );
});
