import assert from "node:assert/strict";
import fc from "fast-check";
import { PairError } from "../../../../src/model/mod.ts";
import {
  decodeOutcome,
  decodePlace,
  encodeOutcome,
  encodePlace,
  outcomeKey,
  placeKey,
  placePrefix,
  positionOfKey,
  tenantPrefix,
  treeOfKey,
} from "../../../../src/node/idempotency/records.ts";

const count = fc.maxSafeNat();
/** Objects as the code itself makes them. */
const plain = { noNullPrototype: true } as const;
const event = fc.record({ node: fc.constantFrom("n1", "n2", "ü"), counter: count }, plain);
const events = fc.array(event, { maxLength: 3 });
const clock = fc.record({ entries: events, dots: events }, plain);
const results = fc.array(fc.record({ timestampMs: count, clock }, plain), { maxLength: 4 });
const record = fc.record({
  position: fc.nat({ max: 2 ** 31 - 1 }),
  weight: fc.integer({ min: 1, max: 1000 }),
  timeMs: count,
  digest: fc.uint8Array({ minLength: 16, maxLength: 16 }),
  outcome: fc.record({ results, existed: fc.boolean(), unchanged: fc.nat() }, plain),
}, plain);

Deno.test("outcomes and places survive their bytes", () => {
  fc.assert(fc.property(record, (given) => {
    assert.deepEqual(decodeOutcome(encodeOutcome(given)), given);
  }));
  fc.assert(fc.property(count, fc.uint8Array({ minLength: 16, maxLength: 64 }), (timeMs, key) => {
    const place = { weight: 7, timeMs, key };
    assert.deepEqual(decodePlace(encodePlace(place)), place);
  }));
});

Deno.test("of any bytes the decoders make a record or CorruptedData", () => {
  const tame = (decode: (bytes: Uint8Array) => unknown, bytes: Uint8Array) => {
    try {
      decode(bytes);
    } catch (error) {
      assert.ok(error instanceof PairError && error.error === "CorruptedData", `${error}`);
    }
  };
  fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
    for (const each of [bytes, Uint8Array.of(1, ...bytes)]) {
      tame(decodeOutcome, each);
      tame(decodePlace, each);
    }
  }));
  fc.assert(fc.property(record, fc.nat(), fc.integer({ min: 1, max: 255 }), (given, at, flip) => {
    const bytes = encodeOutcome(given);
    bytes[at % bytes.length] ^= flip;
    tame(decodeOutcome, bytes);
    tame(decodeOutcome, bytes.subarray(0, at % bytes.length));
  }));
});

Deno.test("an outcome's bytes stay what they are", () => {
  const bytes = encodeOutcome({
    position: 300,
    weight: 1,
    timeMs: 1_767_225_600_000,
    digest: Uint8Array.from({ length: 16 }, (_, i) => i),
    outcome: {
      results: [{
        clock: { entries: [{ node: "n1", counter: 2 }], dots: [] },
        timestampMs: 1_767_225_600_000,
      }],
      existed: true,
      unchanged: 0,
    },
  });
  assert.equal(
    bytes.toHex(),
    "01" + "ac02" + "01" + "80d0eab6b733" + "000102030405060708090a0b0c0d0e0f" + "01" + "00" +
      "01" + "026e31" + "01" + "80d0eab6b733" + "01" + "00" + "02" + "00",
  );
  assert.equal(
    encodePlace({ weight: 1, timeMs: 5, key: Uint8Array.of(9, 8) }).toHex(),
    "01" + "01" + "05" + "0908",
  );
});

Deno.test("keys sort by tree, then places by position", () => {
  assert.equal(tenantPrefix(0x01020304).toHex(), "01020304");
  assert.equal(outcomeKey(5, Uint8Array.of(7)).toHex(), "000000050007");
  assert.equal(placePrefix(5).toHex(), "0000000501");
  assert.equal(placeKey(5, 0x123456789abc).toHex(), "0000000501" + "123456789abc");
  for (const tree of [1, 0x80000000, 0xffffffff]) {
    for (const position of [0, 255, 2 ** 32 - 1, 2 ** 32, 2 ** 47 + 1]) {
      const key = placeKey(tree, position);
      assert.deepEqual([treeOfKey(key), positionOfKey(key)], [tree, position]);
    }
  }
});
