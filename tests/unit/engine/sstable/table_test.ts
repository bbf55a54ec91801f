import assert from "node:assert/strict";
import {
  filterHash1,
  filterHash2,
  type TableOptions,
  TableReader,
  TableWriter,
} from "../../../../src/engine/sstable/mod.ts";
import { BlockCache } from "../../../../src/engine/sstable/mod.ts";
import { compareBytes, utf8 } from "../../../../src/model/mod.ts";
import { SimDisk, SimRandom } from "../../../../src/runtime/mod.ts";
import {
  drain,
  type Entry,
  entryAt,
  ListCursor,
  orderEntries,
  parseEntry,
} from "../../../support/entries.ts";

const OPTIONS: TableOptions = {
  blockSize: 256,
  falsePositives: 0.01,
  compression: "none",
  partitionSize: 65536,
};
const TIMES = { createdAtMs: 1234, minTimeMs: 1000, maxTimeMs: 1200 };
const PATH = "/t/000007.sst";

function writeTable(disk: SimDisk, entries: readonly Entry[], options = OPTIONS) {
  disk.makeDir("/t");
  const writer = new TableWriter(disk, PATH, 7, options);
  const input = new ListCursor(entries);
  for (input.seekFirst(); input.valid; input.next()) writer.add(input);
  const finished = writer.finish(TIMES);
  assert.equal(disk.stat(PATH)!.size, finished.size);
  return finished;
}

function openTable(entries: readonly Entry[], options = OPTIONS, cache?: BlockCache): TableReader {
  const disk = new SimDisk();
  writeTable(disk, entries, options);
  return new TableReader(disk, PATH, 7, cache);
}

function all(reader: TableReader): Entry[] {
  const cursor = reader.cursor();
  cursor.seekFirst();
  return drain(cursor);
}

function randomEntries(seed: number, count: number, keys: number): Entry[] {
  const random = new SimRandom(seed);
  return Array.from({ length: count }, (_, seq) => ({
    key: utf8(`k${random.below(keys)}`),
    seq: seq + 1,
    kind: random.below(3) as 0 | 1 | 2,
    value: random.bytes(random.below(60)),
  })).sort(orderEntries);
}

/** Compares every way to look a key up with a sorted list. */
function checkLookups(reader: TableReader, entries: readonly Entry[]): void {
  const keys = new Set(entries.map(({ key }) => key.toHex()));
  for (const hex of [...keys, "00", "ffff", utf8("k").toHex(), utf8("k5x").toHex()]) {
    const key = Uint8Array.fromHex(hex);
    if (keys.has(hex)) {
      const hash1 = filterHash1(key, 0, key.length);
      assert.ok(reader.mayContain(hash1, filterHash2(key, 0, key.length), key));
    }
    const versions = entries.filter((entry) => compareBytes(entry.key, key) === 0);
    for (const seq of [Infinity, ...versions.flatMap((entry) => [entry.seq, entry.seq - 1])]) {
      const visible = versions.filter((entry) => entry.seq <= seq);
      const cursor = reader.find(key, seq);
      assert.equal(cursor !== undefined, visible.length > 0);
      for (const version of visible) {
        assert.deepEqual(entryAt(cursor!), version);
        cursor!.next();
      }
    }
  }
}

Deno.test("a table gives back what was written, in order, and finds every version of every key [E21]", () => {
  for (const blockSize of [1, 64, 256, 100_000]) {
    const entries = randomEntries(blockSize, 800, 200);
    const reader = openTable(entries, { ...OPTIONS, blockSize });
    assert.deepEqual(all(reader), entries);
    checkLookups(reader, entries);
    if (blockSize === 1) assert.equal(reader.blocks, 800);
    if (blockSize === 100_000) assert.equal(reader.blocks, 1);
    reader.close();
  }
});

Deno.test("many versions of one key lie across blocks, and each sequence finds its own", () => {
  const versions = Array.from({ length: 300 }, (_, i) => parseEntry(`put@${400 - i} k=value ${i}`));
  const entries = [parseEntry("put@9 a=1"), ...versions, parseEntry("delete@3 z")];
  const reader = openTable(entries);
  assert.ok(reader.blocks > 10);
  checkLookups(reader, entries);
  reader.close();
});

Deno.test("a table of one entry, also of an empty key and value", () => {
  for (const text of ["put@1 =", "delete@1 ", "merge@5 key=operand"]) {
    const entry = parseEntry(text);
    const reader = openTable([entry]);
    assert.deepEqual(all(reader), [entry]);
    assert.deepEqual(reader.properties.smallest, entry.key);
    assert.deepEqual(reader.properties.largest, entry.key);
    checkLookups(reader, [entry]);
    reader.close();
  }
});

Deno.test("values larger than block and write buffer, and keys of a kilobyte", () => {
  const random = new SimRandom(2);
  const sizes = [0, 255, 256, 257, 262_143, 262_144, 1_000_000, 3, 70_000];
  const entries: Entry[] = sizes.map((size, i) => ({
    key: utf8(`${i}${"k".repeat(i % 2 === 0 ? 1000 : 0)}`),
    seq: i + 1,
    kind: 0,
    value: random.bytes(Math.min(size, 5000)).length < size
      ? new Uint8Array(size).fill(i + 1)
      : random.bytes(size),
  }));
  const reader = openTable(entries);
  assert.deepEqual(all(reader), entries);
  checkLookups(reader, entries);
  reader.close();
});

Deno.test("a table has the filter that was asked for, by the number of its keys, whole or in parts, and has it when it is opened again [E28]", () => {
  // Many versions of a key are one key to the filter.
  const entries = Array.from({ length: 6000 }, (_, i) => ({
    key: utf8(`k${String(i >> 1).padStart(5, "0")}`),
    seq: 6000 - i,
    kind: 0 as const,
    value: utf8("v"),
  }));
  const sizes: number[] = [];
  for (const falsePositives of [0.001, 0.01, 0.2]) {
    for (const partitionSize of [65536, 16]) {
      const options = { ...OPTIONS, falsePositives, partitionSize };
      const disk = new SimDisk();
      writeTable(disk, entries, options);
      const reader = new TableReader(disk, PATH, 7, new BlockCache(1 << 20));
      assert.equal(reader.partitions > 0, partitionSize === 16);
      const passes = (text: string) => {
        const key = utf8(text);
        const hash1 = filterHash1(key, 0, key.length);
        return reader.mayContain(hash1, filterHash2(key, 0, key.length), key);
      };
      let passed = 0;
      for (let i = 0; i < 3000; i++) {
        assert.ok(passes(`k${String(i).padStart(5, "0")}`));
        for (const other of ["a", "b", "c"]) {
          if (passes(`k${String(i).padStart(5, "0")}${other}`)) passed++;
        }
      }
      const measured = passed / 9000;
      assert.ok(measured <= falsePositives * 1.6 + 0.001, `${measured} for ${falsePositives}`);
      assert.ok(measured >= falsePositives / 4, `${measured} for ${falsePositives}`);
      if (partitionSize === 65536) sizes.push(reader.size);
      reader.close();
    }
  }
  // 14.4, 9.6 and 3.3 bits for each of 3000 keys.
  const bits = sizes.map((size) => ((size - sizes[2]) * 8) / 3000);
  assert.ok(Math.abs(bits[0] - 11) < 0.2 && Math.abs(bits[1] - 6.2) < 0.2, `${bits}`);
});

Deno.test("properties count what went in [E26]", () => {
  const entries = ["put@9 a=xyz", "delete@4 a", "merge@12 b=12", "put@2 ccc="].map(parseEntry);
  const { properties, number } = writeTable(new SimDisk(), entries);
  assert.equal(number, 7);
  assert.deepEqual(properties, {
    entries: 4,
    deletes: 1,
    merges: 1,
    minSeq: 2,
    maxSeq: 12,
    keyBytes: 6,
    valueBytes: 5,
    ...TIMES,
    mortal: 0,
    lastDeathMs: 0,
    rawBytes: 38,
    smallest: utf8("a"),
    largest: utf8("ccc"),
  });
  const reader = openTable(entries);
  assert.deepEqual(reader.properties, properties);
  reader.close();
});

Deno.test("seek() moves over blocks to the first entry at or after a key", () => {
  const entries = randomEntries(3, 500, 150);
  const reader = openTable(entries);
  const cursor = reader.cursor();
  const random = new SimRandom(4);
  for (let i = 0; i < 2000; i++) {
    const key = utf8(`k${random.below(170)}`.slice(0, 1 + random.below(4)));
    const seq = random.below(520);
    cursor.seek(key, seq);
    const at = entries.findIndex((entry) => (compareBytes(entry.key, key) || seq - entry.seq) >= 0);
    assert.deepEqual(cursor.valid ? entryAt(cursor) : undefined, entries[at]);
    if (!cursor.valid) continue;
    cursor.next();
    assert.deepEqual(cursor.valid ? entryAt(cursor) : undefined, entries[at + 1]);
  }
  reader.close();
});

Deno.test("a cursor that was closed serves the next, and stands nowhere until that seeks", () => {
  const entries = randomEntries(4, 300, 100);
  const reader = openTable(entries);
  const first = reader.cursor();
  const other = reader.cursor();
  first.seekFirst();
  other.seekLast();
  first.close();
  const second = reader.cursor();
  assert.equal(second, first);
  assert.equal(second.valid, false);
  assert.notEqual(reader.cursor(), other);
  second.seekFirst();
  assert.deepEqual(drain(second), entries);
  assert.deepEqual(entryAt(other), entries.at(-1));
});

Deno.test("look-ups through a cache give the same, and read each block once [E25]", () => {
  const entries = randomEntries(5, 600, 200);
  const cache = new BlockCache(1 << 20);
  const disk = new SimDisk();
  writeTable(disk, entries);
  const reader = new TableReader(disk, PATH, 7, cache);
  const opened = disk.count("readAt");
  checkLookups(reader, entries);
  assert.deepEqual(all(reader), entries);
  assert.equal(disk.count("readAt") - opened, reader.blocks);
  assert.ok(cache.bytes > 0);
  reader.close();
  assert.equal(cache.bytes, 0);
});

Deno.test("a finished table is durable; an abandoned one is gone [E22, E23]", () => {
  const disk = new SimDisk();
  const entries = randomEntries(6, 50, 20);
  writeTable(disk, entries);
  disk.syncDir("/t");
  disk.syncDir("/");
  disk.crash("drop");
  const reader = new TableReader(disk, PATH, 7);
  assert.deepEqual(all(reader), entries);
  reader.close();

  const writer = new TableWriter(disk, "/t/000008.sst", 8, OPTIONS);
  const input = new ListCursor(entries);
  input.seekFirst();
  writer.add(input);
  writer.abandon();
  assert.deepEqual(disk.list("/t"), ["000007.sst"]);
});

Deno.test("a table under another number, or cut, or with bytes behind it, is damage that names the file", () => {
  const disk = new SimDisk();
  writeTable(disk, randomEntries(7, 100, 50));
  const damage = (path: string, number: number) =>
    assert.throws(
      () => new TableReader(disk, path, number),
      { error: "CorruptedData", message: new RegExp(path) },
    );
  damage(PATH, 8);
  const whole = disk.readWhole(PATH);
  disk.setBytes("/t/cut.sst", whole.slice(0, -1));
  damage("/t/cut.sst", 7);
  disk.setBytes("/t/more.sst", Uint8Array.of(...whole, 0));
  damage("/t/more.sst", 7);
  disk.setBytes("/t/short.sst", whole.slice(0, 10));
  damage("/t/short.sst", 7);
});

Deno.test("a failing read is the disk's fault, not damage and not absence, and passes", () => {
  const disk = new SimDisk();
  const entries = randomEntries(8, 100, 50);
  writeTable(disk, entries);
  const reader = new TableReader(disk, PATH, 7);
  disk.hook = ({ op }) => (op === "readAt" ? "EIO" : undefined);
  assert.throws(() => reader.find(entries[0].key, Infinity), {
    error: "SSTableFailed",
    details: { file: PATH, offset: 0, errno: "EIO" },
  });
  disk.hook = undefined;
  assert.deepEqual(entryAt(reader.find(entries[0].key, Infinity)!), entries[0]);
  reader.close();
});
