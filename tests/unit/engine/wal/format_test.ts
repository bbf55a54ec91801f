import assert from "node:assert/strict";
import fc from "fast-check";
import {
  checkFrame,
  decodeHeader,
  encodeHeader,
  FRAME_HEADER,
  HEADER_SIZE,
  isCopySound,
  type LoggedMutation,
  putFrame,
  putRecord,
  recordLength,
  TYPE_BATCH,
  TYPE_CLOSE,
} from "../../../../src/engine/wal/format.ts";
import { readSegment } from "../../../../src/engine/wal/mod.ts";
import { SimDisk } from "../../../../src/runtime/mod.ts";
import { decodeFrame, decodeRecords } from "../../../support/wal.ts";
import { utf8 } from "../../../../src/model/mod.ts";

const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const u48 = fc.integer({ min: 0, max: 2 ** 48 - 1 });
const mutation: fc.Arbitrary<LoggedMutation> = fc.record({
  kind: fc.constantFrom(0 as const, 1 as const, 2 as const),
  tree: fc.record({ id: fc.oneof(fc.nat(300), fc.nat(Number.MAX_SAFE_INTEGER)) }, {
    noNullPrototype: true,
  }),
  key: fc.uint8Array({ maxLength: 300 }),
  value: fc.uint8Array({ maxLength: 300 }),
}, { noNullPrototype: true });

/** A frame at `offset` of a file that is otherwise zero. */
function frameAt(
  offset: number,
  mutations: readonly LoggedMutation[],
  place: { salt: number; synced: number; firstSeq: number },
  tag: "write" | "delete" | "repair" = "write",
): Uint8Array {
  const length = mutations.reduce((sum, mutation) => sum + recordLength(mutation), 0);
  const file = new Uint8Array(offset + FRAME_HEADER + length);
  let end = offset + FRAME_HEADER;
  for (const mutation of mutations) end = putRecord(file, end, mutation);
  assert.equal(end, file.length, "recordLength() is what putRecord() takes");
  const { salt, synced, firstSeq } = place;
  putFrame(file, offset, length, firstSeq, TYPE_BATCH, tag);
  checkFrame(file, offset, offset, salt, synced);
  return file;
}

Deno.test("a segment's header comes back", () => {
  const keySalt = fc.option(fc.uint8Array({ minLength: 16, maxLength: 16 }), { nil: undefined });
  const fields = {
    segment: u32,
    previous: u32,
    previousLength: u32,
    firstSeq: u48,
    salt: u32,
    keySalt,
  };
  fc.assert(
    fc.property(fc.record(fields, { noNullPrototype: true }), (header) => {
      const bytes = encodeHeader(header);
      assert.equal(bytes.length, HEADER_SIZE);
      const { segment } = header;
      assert.deepEqual(decodeHeader("a.wal", segment, bytes), { format: 2, ...header });
      assert.equal(decodeHeader("a.wal", (segment + 1) % 2 ** 32, bytes), undefined);
    }),
  );
});

Deno.test("a header with a changed byte is read from its copy; both damaged, or cut, it is not", () => {
  const header = {
    segment: 7,
    previous: 6,
    previousLength: 9,
    firstSeq: 5,
    salt: 4,
    keySalt: undefined,
  };
  const bytes = encodeHeader(header);
  assert.ok(isCopySound("a.wal", 7, bytes));
  for (let at = 0; at < HEADER_SIZE; at++) {
    for (const mask of [1, 0x80, 0xff]) {
      const changed = bytes.slice();
      changed[at] ^= mask;
      assert.deepEqual(decodeHeader("a.wal", 7, changed), { format: 2, ...header }, `byte ${at}`);
      assert.equal(isCopySound("a.wal", 7, changed), false, `byte ${at} is noticed`);
      changed[(at + 64) % HEADER_SIZE] ^= mask;
      assert.equal(decodeHeader("a.wal", 7, changed), undefined, `byte ${at}, twice`);
    }
    const cut = decodeHeader("a.wal", 7, bytes.subarray(0, at));
    assert.equal(cut !== undefined, at >= HEADER_SIZE / 2, `cut at ${at}`);
  }
});

Deno.test("a batch's frame comes back, its records in order [E2, E3]", () => {
  const tag = fc.constantFrom("write" as const, "delete" as const, "repair" as const);
  fc.assert(
    fc.property(
      fc.array(mutation, { maxLength: 5 }),
      fc.nat(100),
      fc.record({ salt: u32, synced: u32, firstSeq: u48 }),
      tag,
      (mutations, offset, place, tag) => {
        const file = frameAt(offset, mutations, place, tag);
        const frame = decodeFrame(file, offset, place.salt);
        const { synced, firstSeq } = place;
        const end = file.length;
        assert.deepEqual(frame, { offset, end, synced, firstSeq, type: TYPE_BATCH, tag });
        assert.deepEqual(
          decodeRecords("a.wal", file, frame!),
          mutations.map((one) => (one.kind === 1 ? { ...one, value: new Uint8Array(0) } : one)),
        );
      },
    ),
    { numRuns: 500 },
  );
});

const PLACE = { salt: 0x12345678, synced: 44, firstSeq: 9 };
const ONE: LoggedMutation = { kind: 0, tree: { id: 1 }, key: utf8("key"), value: utf8("value") };

Deno.test("no frame with a changed byte, cut, or elsewhere, is sound [E2]", () => {
  const file = frameAt(44, [ONE], PLACE);
  for (let at = 44; at < file.length; at++) {
    for (const mask of [1, 0x80, 0xff]) {
      const changed = file.slice();
      changed[at] ^= mask;
      assert.equal(decodeFrame(changed, 44, PLACE.salt), undefined, `byte ${at}`);
    }
    assert.equal(decodeFrame(file.subarray(0, at), 44, PLACE.salt), undefined, `cut at ${at}`);
  }
  assert.equal(decodeFrame(file, 44, PLACE.salt + 1), undefined, "another segment's");
  const moved = Uint8Array.of(0, ...file);
  assert.equal(decodeFrame(moved, 45, PLACE.salt), undefined, "another place's");
  assert.equal(decodeFrame(new Uint8Array(100), 0, 0), undefined, "zeros");
});

Deno.test("checkFrame() makes a frame one of another place", () => {
  const file = frameAt(44, [ONE, ONE], PLACE, "repair");
  const end = checkFrame(file, 44, 44, 99, 77);
  assert.equal(end, file.length);
  const frame = decodeFrame(file, 44, 99)!;
  assert.deepEqual([frame.synced, frame.firstSeq, frame.tag], [77, 9, "repair"]);
  // Frames wait in a buffer at another offset than the one they will have in the file.
  const buffer = file.slice(44);
  checkFrame(buffer, 0, 1000, 5, 900);
  const later = new Uint8Array(1000 + buffer.length);
  later.set(buffer, 1000);
  assert.equal(decodeFrame(later, 1000, 5)?.synced, 900);
});

Deno.test("a close frame has no records", () => {
  const file = new Uint8Array(HEADER_SIZE + FRAME_HEADER);
  putFrame(file, HEADER_SIZE, 0, 10, TYPE_CLOSE, "write");
  checkFrame(file, HEADER_SIZE, HEADER_SIZE, 3, 44);
  const frame = decodeFrame(file, HEADER_SIZE, 3)!;
  assert.equal(frame.type, TYPE_CLOSE);
  assert.deepEqual(decodeRecords("a.wal", file, frame), []);
});

Deno.test("where the header is damaged, the first frame tells the salt; no other does", () => {
  const file = frameAt(HEADER_SIZE, [ONE], PLACE);
  const items = (bytes: Uint8Array) => {
    const disk = new SimDisk();
    disk.setBytes("/000007.wal", bytes);
    return [...readSegment(disk, "/000007.wal", 7)].slice(0, 2);
  };
  const second = frameAt(file.length, [ONE], PLACE);
  second.set(file);
  const batch = { offset: HEADER_SIZE, firstSeq: 9, tag: "write", mutations: [ONE] };
  assert.deepEqual(items(second), [{ offset: 0, unreadableBytes: HEADER_SIZE }, batch]);
  second[HEADER_SIZE + FRAME_HEADER] ^= 1;
  assert.deepEqual(items(second), [{ offset: 0, unreadableBytes: second.length }]);
  const cut = file.subarray(0, HEADER_SIZE + 3);
  assert.deepEqual(items(cut), [{ offset: 0, unreadableBytes: cut.length }]);
});

Deno.test("records that make no sense behind a sound checksum are damage that names the place", () => {
  const file = frameAt(44, [ONE], PLACE);
  file[44 + FRAME_HEADER] = 3;
  checkFrame(file, 44, 44, PLACE.salt, 44);
  const frame = decodeFrame(file, 44, PLACE.salt)!;
  assert.throws(() => decodeRecords("a.wal", file, frame), {
    error: "CorruptedData",
    message: "Cannot read a.wal at 44: kind 3 is not known",
  });
});
