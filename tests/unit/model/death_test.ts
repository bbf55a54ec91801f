import assert from "node:assert/strict";
import fc from "fast-check";
import {
  decodeVersions,
  encodeVersions,
  isLive,
  MAX_COUNTER,
  reconcileOperator,
  type Version,
} from "../../../src/model/mod.ts";
import { state } from "../../support/arbitraries.ts";

/** The answer by the book. */
function deathOf(versions: readonly Version[]): number {
  const deaths = versions.map(({ value, timestampMs, expiresAtMs }) =>
    value === undefined ? timestampMs : expiresAtMs
  );
  return deaths.includes(0) ? 0 : Math.max(...deaths);
}

Deno.test("deadSince() and floor() read bytes as decodeVersions() does, wherever they lie", () => {
  const states = state.filter((versions) => versions.length > 0);
  fc.assert(
    fc.property(states, fc.nat({ max: 9 }), (versions, before) => {
      const encoded = encodeVersions(versions);
      const buffer = new Uint8Array(before + encoded.length + 3).fill(0xff);
      buffer.set(encoded, before);
      const end = before + encoded.length;
      const decoded = decodeVersions(encoded);
      assert.equal(reconcileOperator.deadSince(buffer, before, end), deathOf(decoded));
      const counters = decoded.flatMap(({ clock }) => [...clock.entries, ...clock.dots])
        .map(({ counter }) => counter);
      assert.equal(reconcileOperator.floor(buffer, before, end), Math.max(...counters));
    }),
    { numRuns: 2000 },
  );
});

Deno.test("from deadSince() on nothing in a state is live, and before it something is", () => {
  const states = state.filter((versions) => versions.length > 0);
  fc.assert(fc.property(states, fc.nat({ max: 8 }), (versions, nowMs) => {
    const bytes = encodeVersions(versions);
    const since = reconcileOperator.deadSince(bytes, 0, bytes.length);
    const live = versions.some((version) => isLive(version, nowMs));
    if (since > 0 && nowMs >= since) assert.ok(!live);
    if (since === 0 && versions.every(({ value }) => value !== undefined)) {
      assert.ok(versions.some(({ expiresAtMs }) => expiresAtMs === 0));
    }
  }));
});

Deno.test("bytes that are no state never die", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), fc.boolean(), (bytes, nearly) => {
      if (nearly) bytes.set([1, 1].slice(0, bytes.length));
      let readable = true;
      try {
        decodeVersions(bytes);
      } catch {
        readable = false;
      }
      const since = reconcileOperator.deadSince(bytes, 0, bytes.length);
      assert.ok(Number.isSafeInteger(since) && since >= 0);
      if (readable) assert.equal(since, deathOf(decodeVersions(bytes)));
    }),
    { numRuns: 5000 },
  );
  const tombstone = encodeVersions([deleted(5)]);
  for (let length = 0; length < tombstone.length; length++) {
    assert.equal(reconcileOperator.deadSince(tombstone, 0, length), 0, `${length} bytes of it`);
  }
});

Deno.test("a state with a counter that may have been forged is kept", () => {
  const since = (counter: number) => {
    const bytes = encodeVersions([deleted(counter)]);
    return reconcileOperator.deadSince(bytes, 0, bytes.length);
  };
  assert.equal(since(1), 7);
  assert.equal(since(2 ** 52 - 1), 7);
  assert.equal(since(2 ** 52), 0);
  assert.equal(since(MAX_COUNTER), 0);
});

function deleted(counter: number): Version {
  return {
    clock: { entries: [{ node: "n", counter }], dots: [] },
    dot: undefined,
    value: undefined,
    timestampMs: 7,
    expiresAtMs: 0,
  };
}
