import assert from "node:assert/strict";
import fc from "fast-check";
import {
  decodeVersions,
  encodeVersions,
  MAX_COUNTER,
  PairError,
  reconcileOperator,
  type Version,
} from "../../../src/model/mod.ts";
import { state } from "../../support/arbitraries.ts";

const full = state.filter((versions) => versions.length > 0);

function isDamage(error: unknown): boolean {
  return error instanceof PairError && error.error === "CorruptedData";
}

/** Decodes, and demands a sound state or CorruptedData. */
function decodeAnything(bytes: Uint8Array): void {
  let versions: readonly Version[];
  try {
    versions = decodeVersions(bytes);
  } catch (error) {
    assert.ok(isDamage(error), String(error));
    return;
  }
  assert.deepEqual(decodeVersions(encodeVersions(versions)), versions);
}

Deno.test("decodeVersions() gives back what encodeVersions() took [E2, E38, E40]", () => {
  fc.assert(
    fc.property(full, (versions) => {
      assert.deepEqual(decodeVersions(encodeVersions(versions)), versions);
    }),
    { numRuns: 500 },
  );
});

Deno.test("encodeVersions() writes the bytes that the head of the file draws", () => {
  const own = { node: "n1", counter: 300 };
  const one: Version = {
    clock: { entries: [own], dots: [] },
    dot: own,
    value: Uint8Array.of(0xaa, 0xbb),
    timestampMs: 1,
    expiresAtMs: 0,
  };
  assert.deepEqual(
    [...encodeVersions([one])],
    [1, 1, /* OWN */ 8, /* ms */ 1, /* entries */ 1, 2, 0x6e, 0x31, 0xac, 0x02, 0, 2, 0xaa, 0xbb],
  );
  const dot = { node: "n1", counter: 302 };
  const tombstone: Version = {
    clock: { entries: [own], dots: [dot] },
    dot,
    value: undefined,
    timestampMs: 2,
    expiresAtMs: 128,
  };
  assert.deepEqual([...encodeVersions([tombstone, one])].slice(0, 18), [
    ...[1, 2, /* DELETE | EXPIRES | DOTS | OWN */ 15, 2, 0x80, 0x01],
    ...[1, 2, 0x6e, 0x31, 0xac, 0x02, 1, 2, 0x6e, 0x31, 0xae, 0x02],
  ]);
});

Deno.test("the codec holds the largest numbers, long and non-ASCII node ids, and empty values", () => {
  const versions: Version[] = [{
    clock: {
      entries: [{ node: "x".repeat(128), counter: MAX_COUNTER }, { node: "\ufeffé", counter: 1 }],
      dots: [{ node: "ключ", counter: MAX_COUNTER }],
    },
    dot: { node: "ключ", counter: MAX_COUNTER },
    value: new Uint8Array(0),
    timestampMs: MAX_COUNTER,
    expiresAtMs: MAX_COUNTER,
  }];
  assert.deepEqual(decodeVersions(encodeVersions(versions)), versions);
});

Deno.test("decodeVersions() takes any bytes: a state or CorruptedData", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), decodeAnything), { numRuns: 2000 });
  const flipped = fc.tuple(full, fc.nat(), fc.integer({ min: 1, max: 255 }));
  fc.assert(
    fc.property(flipped, ([versions, at, mask]) => {
      const bytes = encodeVersions(versions).slice();
      bytes[at % bytes.length] ^= mask;
      decodeAnything(bytes);
    }),
    { numRuns: 2000 },
  );
});

Deno.test("decodeVersions() refuses every cut and every excess", () => {
  fc.assert(
    fc.property(full, (versions) => {
      const bytes = encodeVersions(versions);
      for (let end = 0; end < bytes.length; end++) {
        assert.throws(() => decodeVersions(bytes.subarray(0, end)), isDamage);
      }
      assert.throws(() => decodeVersions(Uint8Array.of(...bytes, 0)), isDamage);
    }),
    { numRuns: 100 },
  );
});

Deno.test("decodeVersions() refuses what no encoder writes", () => {
  const version = (...rest: number[]) => Uint8Array.of(1, 1, ...rest);
  const cases: Record<string, Uint8Array> = {
    "an unknown format": Uint8Array.of(2, 1, 0, 1, 1, 1, 0x61, 1, 0),
    "no versions": Uint8Array.of(1, 0),
    "101 versions": Uint8Array.of(1, 101),
    "unknown flags": version(16, 1, 1, 1, 0x61, 1, 0),
    "an expiry of 0": version(2, 1, 0, 1, 1, 0x61, 1, 0),
    "an empty clock": version(0, 1, 0, 0),
    "more entries than bytes": version(0, 1, 0xe9, 0x07),
    "a counter of 0": version(0, 1, 1, 1, 0x61, 0, 0),
    "an empty node id": version(0, 1, 1, 0, 1, 0),
    "a node id of 129 bytes": version(0, 1, 1, 0x81, 0x01, ...new Array(129).fill(0x61), 1, 0),
    "a node id that is not UTF-8": version(0, 1, 1, 1, 0xff, 1, 0),
    "a node twice": version(0, 1, 2, 1, 0x61, 1, 1, 0x61, 2, 0),
    "nodes out of order": version(0, 1, 2, 1, 0x62, 1, 1, 0x61, 1, 0),
    "an empty list of dots": version(4, 1, 1, 1, 0x61, 1, 0, 0),
    "a dot that adjoins its entry": version(4, 1, 1, 1, 0x61, 1, 1, 1, 0x61, 2, 0),
    "a dot of 1": version(4, 1, 0, 1, 1, 0x61, 1, 0),
    "an own event outside the clock": version(8, 1, 1, 1, 0x61, 1, 1, 0),
    "the same version twice": Uint8Array.of(
      1,
      2,
      ...[1, 1].flatMap(() => [0, 1, 1, 1, 0x61, 1, 0]),
    ),
  };
  for (const [what, bytes] of Object.entries(cases)) {
    assert.throws(() => decodeVersions(bytes), isDamage, what);
  }
  assert.equal(decodeVersions(version(0, 1, 1, 1, 0x61, 1, 0)).length, 1, "the sound base case");
});

Deno.test("reconcileOperator refuses damaged states (2007)", () => {
  const sound = Uint8Array.of(1, 1, 0, 1, 1, 1, 0x61, 1, 0);
  const damaged = Uint8Array.of(1, 1, 0);
  const none = new Uint8Array(0);
  assert.throws(() => reconcileOperator.merge(none, damaged, [sound]), isDamage);
  assert.throws(() => reconcileOperator.merge(none, sound, [damaged]), isDamage);
});
