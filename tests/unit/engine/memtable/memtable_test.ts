import assert from "node:assert/strict";
import { Arenas, Memtable } from "../../../../src/engine/memtable/mod.ts";
import { compareBytes, murmur3, utf8 } from "../../../../src/model/mod.ts";
import { SimRandom } from "../../../../src/runtime/mod.ts";
import { drain, type Entry, entryAt, orderEntries } from "../../../support/entries.ts";

/** Keys that are short, prefixes of each other, empty, or long. */
function randomKey(random: SimRandom): Uint8Array {
  const length = random.below(20) === 0 ? random.below(500) : random.below(4);
  return Uint8Array.from({ length }, () => [0, 1, 97, 98, 255][random.below(5)]);
}

function randomEntry(random: SimRandom, seq: number): Entry {
  const kind = random.below(3) as 0 | 1 | 2;
  return { key: randomKey(random), seq, kind, value: random.bytes(random.below(40)) };
}

function insert(table: Memtable, { key, seq, kind, value }: Entry): void {
  table.reserve(1, key.length + value.length);
  table.insert(seq, kind, key, value);
}

/** A memtable and the sorted list that it must look like. */
function filled(
  count: number,
  seed: number,
  table = new Memtable(seed),
): { table: Memtable; model: Entry[] } {
  const random = new SimRandom(seed);
  const model: Entry[] = [];
  for (let seq = 1; seq <= count; seq++) {
    const entry = randomEntry(random, seq);
    insert(table, entry);
    model.push(entry);
  }
  return { table, model: model.sort(orderEntries) };
}

function all(table: Memtable): Entry[] {
  const cursor = table.cursor();
  cursor.seekFirst();
  return drain(cursor);
}

Deno.test("a memtable keeps entries by key, and of one key the newest first [E13]", () => {
  for (let seed = 1; seed <= 5; seed++) {
    const { table, model } = filled(2000, seed);
    assert.deepEqual(all(table), model);
    assert.equal(table.count, 2000);
    assert.equal(table.minSeq, 1);
    assert.equal(table.maxSeq, 2000);
  }
});

Deno.test("find() gives the newest version up to a sequence, and older() the ones before", () => {
  const { table, model } = filled(1500, 7);
  const random = new SimRandom(8);
  for (let i = 0; i < 3000; i++) {
    const key = random.below(3) === 0 ? randomKey(random) : model[random.below(model.length)].key;
    const seq = random.below(1600);
    const versions = model.filter((entry) =>
      compareBytes(entry.key, key) === 0 && entry.seq <= seq
    );
    const found: number[] = [];
    for (let node = table.find(key, seq); node !== 0; node = table.older(node)) {
      found.push(table.seq(node));
    }
    assert.deepEqual(found, versions.map((entry) => entry.seq));
  }
});

Deno.test("seek() goes to the first entry at or after a key and sequence [E14]", () => {
  const { table, model } = filled(1000, 9);
  const random = new SimRandom(10);
  const cursor = table.cursor();
  for (let i = 0; i < 2000; i++) {
    const probe = { ...randomEntry(random, random.below(1100)) };
    cursor.seek(probe.key, probe.seq);
    const expected = model.find((entry) => orderEntries(entry, probe) >= 0);
    assert.deepEqual(cursor.valid ? entryAt(cursor) : undefined, expected);
  }
  cursor.seek(new Uint8Array(600).fill(255), Infinity);
  assert.equal(cursor.valid, false);
});

Deno.test("sequential, reversed and repeated keys take the short path and the long one alike [E14]", () => {
  const orders: Record<string, (i: number) => number> = {
    ascending: (i) => i,
    descending: (i) => 999 - i,
    repeated: (i) => i % 10,
    "ascending with steps back": (i) => (i % 7 === 0 ? i >> 1 : i),
  };
  for (const [name, order] of Object.entries(orders)) {
    const table = new Memtable();
    const model: Entry[] = [];
    for (let i = 0; i < 1000; i++) {
      const key = utf8(String(order(i)).padStart(4, "0"));
      const entry: Entry = { key, seq: i + 1, kind: 0, value: utf8(`v${i}`) };
      insert(table, entry);
      model.push(entry);
    }
    assert.deepEqual(all(table), model.sort(orderEntries), name);
  }
});

Deno.test("an empty memtable has nothing, and takes empty keys and values", () => {
  const table = new Memtable();
  assert.equal(table.first(), 0);
  assert.equal(table.find(utf8("a"), Infinity), 0);
  assert.equal(table.seek(new Uint8Array(0), Infinity), 0);
  assert.equal(table.cursor().valid, false);
  const empty: Entry = { key: new Uint8Array(0), seq: 1, kind: 0, value: new Uint8Array(0) };
  insert(table, empty);
  assert.deepEqual(all(table), [empty]);
});

Deno.test("a memtable holds sequences beyond 32 bits", () => {
  const table = new Memtable();
  const key = utf8("k");
  const seqs = [2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 40 + 3, 2 ** 48 - 1];
  for (const seq of seqs) insert(table, { key, seq, kind: 2, value: utf8(String(seq)) });
  assert.deepEqual(all(table).map((entry) => entry.seq), seqs.toReversed());
  for (const seq of seqs) assert.equal(table.seq(table.find(key, seq)), seq);
  assert.equal(table.seq(table.find(key, 2 ** 40)), 2 ** 32);
  assert.equal(table.find(key, 5), 0);
});

Deno.test("the arena grows under cursors, and starts small", () => {
  const table = new Memtable();
  assert.ok(table.bytes < 4096);
  insert(table, { key: utf8("b"), seq: 1, kind: 0, value: utf8("first") });
  const cursor = table.cursor();
  cursor.seekFirst();
  insert(table, { key: utf8("c"), seq: 2, kind: 0, value: new Uint8Array(1 << 20) });
  insert(table, { key: utf8("a"), seq: 3, kind: 0, value: utf8("before") });
  assert.equal(entryAt(cursor).value.length, 5, "the entry under the cursor is still there");
  cursor.next();
  assert.equal(entryAt(cursor).value.length, 1 << 20, "what came behind it is seen");
  assert.ok(table.bytes > 1 << 20);
});

Deno.test("a memtable counts keys, values and an overhead of each entry, and that is what fills it [E18]", () => {
  for (const [entries, size] of [[2000, 0], [2000, 100], [50, 10_000]]) {
    const table = new Memtable();
    const empty = table.bytes;
    let payload = 0;
    for (let seq = 1; seq <= entries; seq++) {
      const key = utf8(`key ${seq}`);
      insert(table, { key, seq, kind: 0, value: new Uint8Array(size) });
      payload += key.length + size;
    }
    const each = (table.bytes - empty - payload) / entries;
    // A header of 24 bytes and links, two on the average; padding.
    assert.ok(each >= 24 && each < 64, `${each} bytes beside key and value`);
  }
});

Deno.test("reserve() that cannot be met changes nothing", () => {
  const { table, model } = filled(50, 3);
  assert.throws(() => table.reserve(1, 2 ** 50), RangeError);
  assert.deepEqual(all(table), model);
});

Deno.test("a frozen memtable reads the same from its message, without a copy", () => {
  const { table, model } = filled(500, 4);
  const message = structuredClone(table.share());
  assert.equal(message.arena.byteLength, table.share().arena.byteLength);
  const received = Memtable.fromShared(message);
  assert.deepEqual(all(received), model);
  assert.equal(received.count, 500);
  assert.notEqual(received.find(model[17].key, model[17].seq), 0);
});

/** Keys of several shapes: with long common parts, of one length, prefixes of each other, many times the same. */
function shapedKey(random: SimRandom, shape: number): Uint8Array {
  if (shape === 0) return randomKey(random);
  if (shape === 1) return utf8(String(random.below(5000)).padStart(16, "0"));
  if (shape === 2) {
    const group = ["order/eu-central/", "order/eu-west/", "user/"][random.below(3)];
    return utf8(`${group}${"x".repeat(random.below(3) * 8)}${random.below(300)}`);
  }
  if (shape === 3) return utf8(["hot", "hot\0", "hot\0\0\0\0\0\0\0", "hotter"][random.below(4)]);
  return Uint8Array.from({ length: 8 + random.below(20) }, () => random.below(2));
}

Deno.test("a memtable that was filled first and linked then is as if all had been inserted", () => {
  for (let seed = 1; seed <= 15; seed++) {
    const random = new SimRandom(seed);
    const placed = new Memtable(seed);
    const inserted = new Memtable(seed);
    let seq = 0;
    // A second round goes into a table that has linked entries.
    for (const count of [random.below(3000), random.below(200)]) {
      const sorted = seed % 5 === 0;
      const keys = Array.from({ length: count }, () => shapedKey(random, seed % 5));
      if (sorted) keys.sort(compareBytes);
      for (const key of keys) {
        const value = random.bytes(random.below(300));
        const kind = random.below(3) as 0 | 1 | 2;
        const both = Uint8Array.of(7, ...key, 8, ...value);
        seq++;
        placed.reserve(1, key.length + value.length);
        placed.place(seq, kind, both, 1, 1 + key.length, 2 + key.length, both.length);
        insert(inserted, { key, seq, kind, value });
      }
      placed.link();
      assert.deepEqual(all(placed), all(inserted), `seed ${seed}`);
    }
    assert.deepEqual(
      [placed.count, placed.minSeq, placed.maxSeq],
      [inserted.count, inserted.minSeq, inserted.maxSeq],
    );
    for (let i = 0; i < 50; i++) {
      const entry = { ...randomEntry(random, ++seq), key: shapedKey(random, seed % 5) };
      insert(placed, entry);
      insert(inserted, entry);
    }
    assert.deepEqual(all(placed), all(inserted), `seed ${seed}, inserted afterwards`);
    assert.deepEqual(all(Memtable.fromShared(placed.share())), all(inserted), `seed ${seed}`);
  }
});

/** Keys that share a bucket of a memtable with this seed, however many buckets it has. */
function collidingKeys(seed: number, count: number): Uint8Array[] {
  const keys: Uint8Array[] = [];
  for (let i = 0; keys.length < count; i++) {
    const key = utf8(String(i));
    if ((murmur3(key, seed) & 0x1fff) === 0) keys.push(key);
  }
  return keys;
}

Deno.test("keys that share a bucket, more than are looked at, are found all the same", () => {
  const seed = 11;
  const keys = collidingKeys(seed, 120);
  const placed = new Memtable(seed);
  const inserted = new Memtable(seed);
  const model: Entry[] = [];
  // The second round writes each of them again.
  for (let seq = 1; seq <= 2 * keys.length; seq++) {
    const key = keys[(seq * 7) % keys.length];
    const entry: Entry = { key, seq, kind: 0, value: utf8(`v${seq}`) };
    const both = Uint8Array.of(...key, ...entry.value);
    placed.reserve(1, both.length);
    placed.place(seq, 0, both, 0, key.length, key.length, both.length);
    insert(inserted, entry);
    model.push(entry);
  }
  placed.link();
  model.sort(orderEntries);
  assert.deepEqual(all(inserted), model);
  assert.deepEqual(all(placed), model);
  for (const { key, seq } of model) {
    for (const table of [placed, inserted]) assert.equal(table.seq(table.find(key, seq)), seq);
  }
  assert.equal(inserted.find(utf8("none"), Infinity), 0);
});

Deno.test("keys are found while the buckets become more, up to those of a whole memtable", () => {
  const table = new Memtable(5, 1 << 20);
  const key = (i: number) => utf8(`key ${Math.imul(i, 0x9e3779b1) >>> 0}`);
  for (let i = 0; i < 20_000; i++) insert(table, { key: key(i), seq: i + 1, kind: 0, value: NONE });
  for (let i = 0; i < 20_000; i++) assert.equal(table.seq(table.find(key(i), Infinity)), i + 1);
  for (let i = 20_000; i < 21_000; i++) assert.equal(table.find(key(i), Infinity), 0);
});

const NONE = new Uint8Array(0);

Deno.test("an arena that was used before makes no difference", () => {
  const arenas = new Arenas();
  for (let seed = 1; seed <= 6; seed++) {
    // Every word leads to the first entry: what is read without having been written goes wrong, and soon.
    const dirty = new SharedArrayBuffer(128 * 1024);
    new Uint32Array(dirty).fill(100);
    arenas.give(dirty);
    const used = new Memtable(seed, 64 * 1024, arenas);
    const { table, model } = filled(1800, seed, used);
    assert.equal(table.share().arena, dirty);
    assert.deepEqual(all(table), model);
    const backwards: Entry[] = [];
    const cursor = table.cursor();
    for (cursor.seekLast(); cursor.valid && backwards.length < model.length; cursor.prev()) {
      backwards.push(entryAt(cursor));
    }
    assert.deepEqual(backwards.reverse(), model);

    arenas.give(dirty);
    new Uint32Array(dirty).fill(100);
    const placed = new Memtable(seed, 64 * 1024, arenas);
    placed.reserve(1, 100_000);
    assert.equal(placed.share().arena, dirty);
    for (const { seq, kind, key, value } of [...model].sort((a, b) => a.seq - b.seq)) {
      const bytes = Uint8Array.of(...key, ...value);
      placed.place(seq, kind, bytes, 0, key.length, key.length, bytes.length);
    }
    placed.link();
    assert.deepEqual(all(placed), model);
  }
});

Deno.test("an arena goes to the next memtable once nobody holds the one that is retired", () => {
  const arenas = new Arenas();
  const first = new Memtable(1, 1 << 20, arenas);
  insert(first, { key: utf8("a"), seq: 1, kind: 0, value: new Uint8Array(5000) });
  const { arena } = first.share();
  const next = () => {
    const table = first.fresh();
    insert(table, { key: utf8("b"), seq: 2, kind: 0, value: new Uint8Array(5000) });
    return table.share().arena;
  };
  first.hold();
  first.hold();
  first.retire();
  assert.notEqual(next(), arena);
  first.release();
  assert.notEqual(next(), arena);
  first.release();
  assert.equal(next(), arena);
  assert.notEqual(next(), arena, "it is given once");

  const held = first.fresh().hold();
  insert(held, { key: utf8("c"), seq: 3, kind: 0, value: new Uint8Array(5000) });
  held.release();
  assert.notEqual(next(), held.share().arena, "it is not retired");
  held.retire();
  assert.equal(next(), held.share().arena);
  held.retire();
  arenas.clear();
  assert.notEqual(next(), held.share().arena);
});
