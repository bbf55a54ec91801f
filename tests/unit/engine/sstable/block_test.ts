import assert from "node:assert/strict";
import { BlockBuilder, BlockCursor } from "../../../../src/engine/sstable/block.ts";
import { compareBytes, utf8 } from "../../../../src/model/mod.ts";
import { SimRandom } from "../../../../src/runtime/mod.ts";
import { drain, type Entry, entryAt, ListCursor, orderEntries } from "../../../support/entries.ts";

/** A block of these entries, in their order. */
function build(builder: BlockBuilder, entries: readonly Entry[]): BlockCursor {
  const input = new ListCursor(entries);
  for (input.seekFirst(); input.valid; input.next()) builder.add(input);
  assert.equal(builder.count, entries.length);
  const predicted = builder.size;
  const bytes = builder.finish();
  assert.equal(bytes.length, predicted);
  const cursor = new BlockCursor();
  cursor.load(bytes.slice(), bytes.length, "a block");
  return cursor;
}

function put(key: string | Uint8Array, seq: number, value = `${seq}`): Entry {
  return { key: typeof key === "string" ? utf8(key) : key, seq, kind: 0, value: utf8(value) };
}

/** Seeks to every entry, between all of them, before the first and behind the last. */
function checkSeeks(cursor: BlockCursor, entries: readonly Entry[]): void {
  const probes = entries.flatMap(({ key, seq }) => [
    { key, seq },
    { key, seq: seq - 0.5 },
    { key, seq: Infinity },
    { key: Uint8Array.of(...key, 0), seq: Infinity },
    { key: key.subarray(0, Math.max(0, key.length - 1)), seq },
  ]);
  for (const probe of [...probes, { key: new Uint8Array(0), seq: Infinity }]) {
    const at = entries.findIndex((entry) =>
      (compareBytes(entry.key, probe.key) || probe.seq - entry.seq) >= 0
    );
    cursor.seek(probe.key, probe.seq);
    assert.deepEqual(cursor.valid ? entryAt(cursor) : undefined, entries[at]);
    if (cursor.valid) {
      cursor.next();
      assert.deepEqual(cursor.valid ? entryAt(cursor) : undefined, entries[at + 1]);
    }
  }
  cursor.seek(new Uint8Array(2000).fill(255), 0);
  assert.equal(cursor.valid, false);
}

Deno.test("a block gives back its entries, and finds each of them and what lies between", () => {
  const builder = new BlockBuilder();
  // Below, at and above the restart interval of 16.
  for (const count of [1, 2, 15, 16, 17, 31, 32, 33, 100]) {
    const entries = Array.from({ length: count }, (_, i) => put(`key${i * 3 + 1000}`, i + 1));
    const cursor = build(builder, entries);
    cursor.seekFirst();
    assert.deepEqual(drain(cursor), entries);
    checkSeeks(cursor, entries);
  }
});

Deno.test("a block holds many versions of a key across restarts", () => {
  const entries = Array.from({ length: 60 }, (_, i) => put("same", 60 - i));
  const cursor = build(new BlockBuilder(), [put("a", 99), ...entries, put("z", 98)]);
  checkSeeks(cursor, [put("a", 99), ...entries, put("z", 98)]);
});

Deno.test("a block holds empty keys and values, long keys, and numbers of every length", () => {
  const random = new SimRandom(1);
  const keys = [
    new Uint8Array(0),
    Uint8Array.of(0),
    utf8("a".repeat(127)),
    utf8("a".repeat(128)),
    utf8("a".repeat(1024)),
    utf8("a".repeat(1023) + "b"),
    utf8("b".repeat(300)),
    Uint8Array.of(255, 255),
  ];
  const entries: Entry[] = keys.sort(compareBytes).map((key, i) => ({
    key,
    seq: [1, 127, 128, 2 ** 14, 2 ** 31, 2 ** 32, 2 ** 48, 2 ** 53 - 1][i],
    kind: (i % 3) as 0 | 1 | 2,
    value: random.bytes([0, 1, 127, 128, 5000, 0, 300, 20_000][i]),
  }));
  const cursor = build(new BlockBuilder(), entries);
  cursor.seekFirst();
  assert.deepEqual(drain(cursor), entries);
  checkSeeks(cursor, entries);
});

Deno.test("random blocks find what a sorted list finds", () => {
  const random = new SimRandom(5);
  const builder = new BlockBuilder();
  for (let round = 0; round < 40; round++) {
    const seen = new Set<string>();
    const entries: Entry[] = [];
    for (let i = 0; i <= random.below(70); i++) {
      const key = Uint8Array.from({ length: random.below(6) }, () => 97 + random.below(3));
      const seq = 1 + random.below(9);
      if (seen.has(`${key}@${seq}`)) continue;
      seen.add(`${key}@${seq}`);
      entries.push({ key, seq, kind: random.below(3) as 0 | 1 | 2, value: random.bytes(3) });
    }
    entries.sort(orderEntries);
    checkSeeks(build(builder, entries), entries);
  }
});

Deno.test("a cursor takes another block, and forgets the one before", () => {
  const builder = new BlockBuilder();
  const first = build(builder, [put("a", 1), put("b", 2)]);
  first.seekFirst();
  const other = new BlockBuilder();
  const input = new ListCursor([put("c", 3)]);
  input.seekFirst();
  other.add(input);
  const bytes = other.finish();
  first.load(bytes, bytes.length, "another");
  assert.equal(first.valid, false);
  first.seekFirst();
  assert.deepEqual(drain(first), [put("c", 3)]);
});

Deno.test("a block whose end makes no sense is damage", () => {
  const cursor = new BlockCursor();
  const damage = { error: "CorruptedData", message: /Cannot read the block: / };
  assert.throws(() => cursor.load(new Uint8Array(7), 7, "the block"), damage);
  assert.throws(() => cursor.load(new Uint8Array(100), 100, "the block"), damage, "no restarts");
  const many = new Uint8Array(100).fill(255);
  assert.throws(() => cursor.load(many, 100, "the block"), damage, "2^32 - 1 restarts");
});
