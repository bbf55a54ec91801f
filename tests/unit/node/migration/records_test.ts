import assert from "node:assert/strict";
import fc from "fast-check";
import { PairError } from "../../../../src/model/mod.ts";
import {
  decodeRecord,
  encodeRecord,
  type MigrationRecord,
  newRecord,
} from "../../../../src/node/migration/records.ts";

const record: MigrationRecord = {
  order: {
    id: "m1",
    target: "https://n2:1",
    tenant: "shop",
    range: {
      start: "a",
      end: "é",
      tokens: { start: Uint32Array.of(1, 2, 3, 4), end: Uint32Array.of(5, 6, 7, 0xffffffff) },
    },
    createdAtMs: 1_700_000_000_000,
  },
  incarnation: "0f",
  draining: true,
  state: "syncing",
  sinceSequence: 300,
  begunAnew: new Map([["shop", 301]]),
  endedAtMs: 0,
  checkpoint: { tenant: "shop", key: "k" },
  counts: {
    keysCopied: 1,
    bytesCopied: 300,
    keysStreamed: 3,
    bytesStreamed: 4,
    piecesCompared: 5,
    piecesResent: 6,
    keysResent: 7,
    rescans: 8,
    retries: 9,
  },
  error: "x",
};

// Without the sequences, which came later. It must be read for ever.
const BEFORE = "01" + "023066" + "0c" + "68747470733a2f2f6e323a31" + "07" + "0473686f70" + "0161" +
  "02c3a9" + "00000001000000020000000300000004" + "000000050000000600000007ffffffff" + "02" +
  "80d095ffbc31" + "00" + "0473686f70" + "016b" + "09" + "01ac020304050607" + "0809" + "0178";
const BYTES = BEFORE.replace("3a31" + "07", "3a31" + "1f")
  .replace("ffffffff" + "02", "ffffffff" + "ac02" + "01" + "0473686f70" + "ad02" + "02");

Deno.test("a record of a migration has the bytes that docs/formats.md tells, and is read from them", () => {
  assert.equal(encodeRecord(record).toHex(), BYTES);
  assert.deepEqual(decodeRecord("m1", Uint8Array.fromHex(BYTES)), record);
  const before = { ...record, sinceSequence: 0, begunAnew: new Map() };
  assert.deepEqual(decodeRecord("m1", Uint8Array.fromHex(BEFORE)), before);
});

Deno.test("a record without tenant, range and tokens comes back as it was", () => {
  const range = { start: "", end: "", tokens: undefined };
  const order = { id: "i", target: "t", tenant: undefined, range, createdAtMs: 5 };
  const plain = newRecord(order, "", false, 7);
  assert.deepEqual(decodeRecord("i", encodeRecord(plain)), plain);
});

Deno.test("a record with counts that are not known yet is read, and one that lacks some", () => {
  const more = BYTES.replace("0901ac02", "0a01ac02").replace("08090178", "080963" + "0178");
  assert.deepEqual(decodeRecord("m1", Uint8Array.fromHex(more)), record);
  const less = BYTES.replace("0901ac02", "0801ac02").replace("08090178", "08" + "0178");
  const counts = { ...record.counts, retries: 0 };
  assert.deepEqual(decodeRecord("m1", Uint8Array.fromHex(less)), { ...record, counts });
});

Deno.test("damaged records give an error and nothing else", () => {
  const whole = Uint8Array.fromHex(BYTES);
  fc.assert(fc.property(fc.nat(whole.length - 1), fc.nat(255), fc.nat(8), (at, byte, cut) => {
    const bytes = whole.slice(0, whole.length - cut);
    if (at < bytes.length) bytes[at] = byte;
    try {
      decodeRecord("m1", bytes);
    } catch (error) {
      assert.ok(error instanceof PairError && error.error === "CorruptedData", `${error}`);
    }
  }));
});
