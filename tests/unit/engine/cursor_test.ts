/**
 * Every cursor against a sorted list: any sequence of seeks and steps, in both directions, ends at the
 * same entry.
 * @module
 */
import assert from "node:assert/strict";
import { type EntryCursor, MergingCursor } from "../../../src/engine/cursor.ts";
import { LevelCursor } from "../../../src/engine/level_cursor.ts";
import { Memtable } from "../../../src/engine/memtable/mod.ts";
import { DEFAULT_ENGINE_OPTIONS } from "../../../src/engine/mod.ts";
import { BlockBuilder, BlockCursor } from "../../../src/engine/sstable/block.ts";
import {
  BlockCache,
  tableOptionsFor,
  TableReader,
  TableWriter,
} from "../../../src/engine/sstable/mod.ts";
import { LiveTable } from "../../../src/engine/version.ts";
import { compareBytes } from "../../../src/model/mod.ts";
import { SimDisk, SimRandom } from "../../../src/runtime/mod.ts";
import {
  drain,
  type Entry,
  entryAt,
  ListCursor,
  orderEntries,
  tableMeta,
} from "../../support/entries.ts";

/** Few letters and short keys, so that keys are prefixes of each other and have several versions. */
function randomKey(random: SimRandom): Uint8Array {
  const letters = [0, 97, 98, 255];
  const key = Uint8Array.from({ length: random.below(5) }, () => letters[random.below(4)]);
  return random.below(30) === 0 ? Uint8Array.of(...key, ...new Uint8Array(300).fill(98)) : key;
}

/** Sorted entries; each sequence is given out once, as an engine does. */
function randomEntries(random: SimRandom, count: number): Entry[] {
  return Array.from({ length: count }, (_, i) => ({
    key: randomKey(random),
    seq: i + 1,
    kind: random.below(3) as 0 | 1 | 2,
    value: random.bytes(random.below(40)),
  })).sort(orderEntries);
}

function memtableCursor(entries: readonly Entry[]): EntryCursor {
  const memtable = new Memtable();
  for (const { key, seq, kind, value } of entries.toSorted((a, b) => a.seq - b.seq)) {
    memtable.reserve(1, key.length + value.length);
    memtable.insert(seq, kind, key, value);
  }
  return memtable.cursor();
}

function blockCursor(entries: readonly Entry[]): EntryCursor {
  const builder = new BlockBuilder();
  const input = new ListCursor(entries);
  for (input.seekFirst(); input.valid; input.next()) builder.add(input);
  const bytes = builder.finish();
  const cursor = new BlockCursor();
  cursor.load(bytes.slice(), bytes.length, "a block");
  return cursor;
}

function openTable(entries: readonly Entry[], cache?: BlockCache): TableReader {
  const disk = new SimDisk();
  disk.makeDir("/t");
  const options = tableOptionsFor(0, { ...DEFAULT_ENGINE_OPTIONS.table, blockSize: 128 });
  const writer = new TableWriter(disk, "/t/1.sst", 1, options);
  const input = new ListCursor(entries);
  for (input.seekFirst(); input.valid; input.next()) writer.add(input);
  writer.finish({ createdAtMs: 0, minTimeMs: 0, maxTimeMs: 0 });
  return new TableReader(disk, "/t/1.sst", 1, cache);
}

/** Cuts at random places, never inside a key. */
function cut(random: SimRandom, entries: readonly Entry[]): Entry[][] {
  const parts: Entry[][] = [];
  for (const [i, entry] of entries.entries()) {
    const isNewKey = i === 0 || compareBytes(entries[i - 1].key, entry.key) !== 0;
    if (i === 0 || (isNewKey && random.below(8) === 0)) parts.push([]);
    parts.at(-1)!.push(entry);
  }
  return parts;
}

function levelCursor(parts: readonly Entry[][], from = 0, to = parts.length): LevelCursor {
  const level = parts.map((part, i) => {
    const meta = tableMeta(i, ["", ""]);
    const properties = { ...meta.properties, smallest: part[0].key, largest: part.at(-1)!.key };
    return new LiveTable({ ...meta, properties }, () => openTable(part), () => {});
  });
  return new LevelCursor(level, from, to);
}

/** Deals the entries out to cursors of all kinds; some get none. */
function merging(random: SimRandom, entries: readonly Entry[]): EntryCursor {
  const parts: Entry[][] = Array.from({ length: 1 + random.below(7) }, () => []);
  for (const entry of entries) parts[random.below(parts.length)].push(entry);
  return new MergingCursor(parts.map((part, i) => {
    if (i % 3 === 0 || part.length === 0) return memtableCursor(part);
    return i % 3 === 1
      ? openTable(part, new BlockCache(300)).cursor()
      : levelCursor(cut(random, part));
  }));
}

/** Moves both about and compares where they stand. */
function checkWalk(random: SimRandom, cursor: EntryCursor, entries: readonly Entry[]): void {
  let at = -1;
  const isInside = () => at >= 0 && at < entries.length;
  for (let step = 0; step < 300; step++) {
    const key = randomKey(random);
    const choice = random.below(isInside() ? 20 : 4);
    if (choice === 0) {
      cursor.seekFirst();
      at = 0;
    } else if (choice === 1) {
      cursor.seekLast();
      at = entries.length - 1;
    } else if (choice === 2) {
      const seq = random.below(3) === 0 ? Infinity : random.below(entries.length + 2);
      cursor.seek(key, seq);
      at = entries.findIndex((entry) => (compareBytes(entry.key, key) || seq - entry.seq) >= 0);
    } else if (choice === 3) {
      cursor.seekBefore(key);
      at = entries.findLastIndex((entry) => compareBytes(entry.key, key) < 0);
    } else {
      // In runs, as scans go.
      const back = random.below(2) === 0;
      for (let run = random.below(30); run >= 0 && isInside(); run--) {
        back ? cursor.prev() : cursor.next();
        at += back ? -1 : 1;
        assert.deepEqual(cursor.valid ? entryAt(cursor) : undefined, entries[at]);
      }
    }
    assert.deepEqual(cursor.valid ? entryAt(cursor) : undefined, entries[at]);
  }
}

/** All entries from the last to the first. */
function drainBack(cursor: EntryCursor): Entry[] {
  const entries: Entry[] = [];
  for (cursor.seekLast(); cursor.valid; cursor.prev()) entries.push(entryAt(cursor));
  return entries;
}

const KINDS: Record<string, (random: SimRandom, entries: readonly Entry[]) => EntryCursor> = {
  memtable: (_, entries) => memtableCursor(entries),
  block: (_, entries) => blockCursor(entries),
  table: (_, entries) => openTable(entries).cursor(),
  level: (random, entries) => levelCursor(cut(random, entries)),
  merging,
};

for (const [name, make] of Object.entries(KINDS)) {
  Deno.test(`a ${name} cursor goes anywhere that a sorted list does`, () => {
    const random = new SimRandom(7);
    for (let round = 0; round < 60; round++) {
      const entries = randomEntries(random, 1 + random.below(round < 20 ? 20 : 200));
      const cursor = make(random, entries);
      checkWalk(random, cursor, entries);
      assert.deepEqual(drainBack(cursor), entries.toReversed());
      cursor.seekFirst();
      assert.deepEqual(drain(cursor), entries);
    }
  });
}

Deno.test("a level cursor keeps to the tables that it was given", () => {
  const random = new SimRandom(3);
  for (let round = 0; round < 20; round++) {
    const parts = cut(random, randomEntries(random, 200));
    const from = random.below(parts.length);
    const to = from + random.below(parts.length - from + 1);
    checkWalk(random, levelCursor(parts, from, to), parts.slice(from, to).flat());
  }
});

Deno.test("cursors over nothing are valid nowhere", () => {
  const none = [
    memtableCursor([]),
    new MergingCursor([]),
    levelCursor([]),
  ];
  for (const cursor of none) {
    cursor.seekFirst();
    assert.equal(cursor.valid, false);
    cursor.seekLast();
    assert.equal(cursor.valid, false);
    cursor.seekBefore(Uint8Array.of(255));
    assert.equal(cursor.valid, false);
    cursor.seek(new Uint8Array(0), Infinity);
    assert.equal(cursor.valid, false);
  }
});

Deno.test("a memtable cursor that goes back sees what was inserted before its position", () => {
  const memtable = new Memtable();
  const insert = (seq: number, key: number) => {
    memtable.reserve(1, 1);
    memtable.insert(seq, 0, Uint8Array.of(key), new Uint8Array(0));
  };
  insert(1, 10);
  insert(2, 30);
  const cursor = memtable.cursor();
  cursor.seekLast();
  // The arena grows meanwhile, and moves.
  for (let i = 0; i < 200; i++) insert(3 + i, 20);
  for (let seq = 3; seq < 203; seq++) {
    cursor.prev();
    assert.deepEqual([entryAt(cursor).key[0], cursor.seq], [20, seq]);
  }
  cursor.prev();
  assert.equal(cursor.seq, 1);
  cursor.prev();
  assert.equal(cursor.valid, false);
});

Deno.test("a block whose restarts do not fit its entries is damage, not a loop or another answer", () => {
  const builder = new BlockBuilder();
  const entries = Array.from({ length: 40 }, (_, i) => ({
    key: Uint8Array.of(1, i),
    seq: i + 1,
    kind: 0 as const,
    value: new Uint8Array(3),
  }));
  const input = new ListCursor(entries);
  for (input.seekFirst(); input.valid; input.next()) builder.add(input);
  const bytes = builder.finish();
  // The last of three restarts points a byte further.
  const bent = bytes.slice();
  bent[bent.length - 8]++;
  const cursor = new BlockCursor();
  cursor.load(bent, bent.length, "the block");
  assert.throws(() => drainBack(cursor), { error: "CorruptedData" });
});
