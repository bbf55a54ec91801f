/**
 * Tables of every kind: compressed, in partitions, sealed, and read without blocking.
 * @module
 */
import assert from "node:assert/strict";
import {
  BlockCache,
  checkTableOptions,
  type Compression,
  COMPRESSIONS,
  filterHash1,
  filterHash2,
  type LevelTableOptions,
  type TableKey,
  type TableOptions,
  tableOptionsFor,
  TableReader,
  TableWriter,
} from "../../../../src/engine/sstable/mod.ts";
import type { TableSeal } from "../../../../src/engine/sstable/sealing.ts";
import { DEFAULT_ENGINE_OPTIONS } from "../../../../src/engine/mod.ts";
import { type PairError, utf8 } from "../../../../src/model/mod.ts";
import { DiskError, type ReadFile, SimDisk, SimRandom } from "../../../../src/runtime/mod.ts";
import {
  drain,
  type Entry,
  entryAt,
  ListCursor,
  orderEntries,
  parseEntry,
} from "../../../support/entries.ts";

const PATH = "/t/000007.sst";
const TIMES = { createdAtMs: 3, minTimeMs: 1, maxTimeMs: 2 };
const KEY: TableKey = { key: new Uint8Array(32).fill(5), tree: 4 };
const SEAL: TableSeal = { ...KEY, salt: new Uint8Array(16).fill(6) };

interface Kind {
  readonly name: string;
  readonly options: TableOptions;
  readonly seal: TableSeal | undefined;
}

/** Every compression, whole and in partitions, open and sealed. */
const KINDS: readonly Kind[] = COMPRESSIONS.flatMap((compression) =>
  [65536, 1].flatMap((partitionSize) =>
    [undefined, SEAL].map((seal) => ({
      name: `${compression}${partitionSize === 1 ? ", partitioned" : ""}${seal ? ", sealed" : ""}`,
      options: { blockSize: 256, falsePositives: 0.01, compression, partitionSize },
      seal,
    }))
  )
);

function write(disk: SimDisk, entries: readonly Entry[], { options, seal }: Omit<Kind, "name">) {
  disk.makeDir("/t");
  const writer = new TableWriter(disk, PATH, 7, options, { seal });
  const input = new ListCursor(entries);
  for (input.seekFirst(); input.valid; input.next()) writer.add(input);
  return writer.finish(TIMES);
}

function open(disk: SimDisk, seal?: TableSeal, cache?: BlockCache): TableReader {
  return new TableReader(disk, PATH, 7, cache, seal && KEY);
}

function all(reader: TableReader): Entry[] {
  const cursor = reader.cursor();
  cursor.seekFirst();
  return drain(cursor);
}

/** Rows that compress, of keys with several versions. */
function rows(seed: number, count: number): Entry[] {
  const random = new SimRandom(seed);
  return Array.from({ length: count }, (_, i) => ({
    key: utf8(`row/${String(random.below(count)).padStart(6, "0")}`),
    seq: i + 1,
    kind: random.below(3) as 0 | 1 | 2,
    value: utf8(`{"id":${random.below(1000)},"name":"somebody","mail":"somebody@example.org"}`),
  })).sort(orderEntries);
}

function passes(reader: TableReader, key: Uint8Array): boolean {
  const hash1 = filterHash1(key, 0, key.length);
  return reader.mayContain(hash1, filterHash2(key, 0, key.length), key);
}

for (const kind of KINDS) {
  Deno.test(`a table gives back what was written, and finds every key: ${kind.name}`, () => {
    const entries = rows(1, 900);
    const disk = new SimDisk();
    const finished = write(disk, entries, kind);
    assert.equal(disk.stat(PATH)!.size, finished.size);
    for (const cache of [undefined, new BlockCache(0), new BlockCache(3000), new BlockCache(1e6)]) {
      const reader = open(disk, kind.seal, cache);
      assert.equal(reader.partitions > 0, kind.options.partitionSize === 1);
      assert.deepEqual(reader.properties, finished.properties);
      assert.deepEqual(all(reader), entries);
      for (const entry of entries) {
        assert.ok(passes(reader, entry.key));
        assert.deepEqual(entryAt(reader.find(entry.key, entry.seq)!), entry);
      }
      let passed = 0;
      for (let i = 0; i < 1000; i++) if (passes(reader, utf8(`row/${i}x`))) passed++;
      assert.ok(passed < 60, `${passed} of 1000 absent keys pass the filter`);
      assert.equal(reader.find(utf8("a"), Infinity), undefined);
      assert.equal(reader.find(utf8("z"), Infinity), undefined);
      reader.verifyBody();
      reader.close();
    }
  });

  Deno.test(`walks keep their blocks while others are looked up: ${kind.name}`, () => {
    const entries = rows(3, 600);
    const disk = new SimDisk();
    write(disk, entries, kind);
    const random = new SimRandom(4);
    for (const capacity of [1024, 6000, 30_000]) {
      // Two tables that take each other's buffers.
      const cache = new BlockCache(capacity);
      const readers = [open(disk, kind.seal, cache), open(disk, kind.seal, cache)];
      const walks = Array.from({ length: 6 }, (_, i) => {
        const cursor = readers[i % 2].cursor();
        cursor.seekFirst();
        return { cursor, at: 0 };
      });
      for (let step = 0; step < 1500; step++) {
        const walk = walks[random.below(walks.length)];
        const way = random.below(8);
        if (way === 0) {
          walk.at = random.below(entries.length);
          walk.cursor.seek(entries[walk.at].key, entries[walk.at].seq);
        } else if (way < 3) {
          const at = random.below(entries.length);
          const found = readers[random.below(2)].find(entries[at].key, entries[at].seq)!;
          for (let i = at; i < at + 3 && i < entries.length; i++, found.next()) {
            assert.deepEqual(entryAt(found), entries[i]);
          }
        } else if (way < 5 && walk.at > 0) {
          walk.cursor.prev();
          walk.at--;
        } else if (walk.at + 1 < entries.length) {
          walk.cursor.next();
          walk.at++;
        }
        for (const { cursor, at } of walks) assert.deepEqual(entryAt(cursor), entries[at]);
      }
    }
  });

  Deno.test(`each byte of a table is checked: ${kind.name}`, () => {
    const entries = rows(2, 30);
    const disk = new SimDisk();
    const { size } = write(disk, entries, {
      ...kind,
      options: { ...kind.options, blockSize: 400 },
    });
    for (let at = 0; at < size; at++) {
      disk.corrupt(PATH, at, 1 << at % 8);
      let opened: TableReader | undefined;
      try {
        opened = open(disk, kind.seal);
        assert.throws(() => opened!.verifyBody(), { error: "ChecksumFailed" }, `byte ${at}`);
        // The checksum of all is the one thing that reading does not look at.
        assert.ok(all(opened).length < entries.length || at >= size - 72, `byte ${at}`);
      } catch (error) {
        const { error: name, message } = error as { error?: string; message: string };
        assert.ok(["ChecksumFailed", "CorruptedData"].includes(name!), `byte ${at}: ${error}`);
        assert.ok(message.includes(PATH), message);
      } finally {
        opened?.close();
      }
      disk.corrupt(PATH, at, 1 << at % 8);
    }
    assert.deepEqual(all(open(disk, kind.seal)), entries);
  });
}

Deno.test("a walk without a cache reads each partition once, and blocks by the piece", () => {
  const disk = new SimDisk();
  write(disk, rows(10, 3000), {
    options: { ...KINDS[0].options, partitionSize: 200 },
    seal: undefined,
  });
  const reader = open(disk);
  assert.ok(reader.partitions > 20 && reader.partitions < reader.blocks / 3);
  const opened = disk.count("readAt");
  all(reader);
  // The first blocks one by one, in case that they are all that is wanted.
  const reads = disk.count("readAt") - opened - reader.partitions;
  const dataBytes = disk.stat(PATH)!.size;
  assert.ok(reads >= 5 && reads <= 5 + 2 + dataBytes / (32 * 1024), `${reads} reads`);
  reader.close();
});

Deno.test("a second walk keeps what it reads ahead while there is room, and pushes nothing out", () => {
  const disk = new SimDisk();
  write(disk, rows(10, 3000), { ...KINDS[0], seal: undefined });
  const cache = new BlockCache(40_000);
  const reader = open(disk, undefined, cache);
  const walked = all(reader);
  assert.equal(reader.cachedBlocks().length, 5, "those that it read one by one");
  assert.deepEqual(all(reader), walked);
  const kept = reader.cachedBlocks();
  assert.ok(kept.length > 5 && kept.length < reader.blocks, `${kept.length} blocks`);
  assert.deepEqual(kept, Array.from(kept, (_, i) => i), "the first ones");
  assert.deepEqual(all(reader), walked, "the same from the cache and the file");
  assert.deepEqual(reader.cachedBlocks(), kept);
  reader.close();
});

Deno.test("a walk that reads ahead comes up to what cannot be read, and no further", () => {
  const disk = new SimDisk();
  const entries = rows(10, 3000);
  write(disk, entries, { ...KINDS[0], seal: undefined });
  const bad = disk.stat(PATH)!.size >> 1;
  const below = disk.openRead(PATH);
  // A sector that cannot be read, and all reads that it is a part of.
  const file: ReadFile = {
    path: PATH,
    size: below.size,
    readAt: (into, offset) => {
      if (offset <= bad && bad < offset + into.length) throw new DiskError("readAt", PATH, "EIO");
      return below.readAt(into, offset);
    },
    readAtAsync: (into, offset) => below.readAtAsync(into, offset),
    close: () => below.close(),
  };
  const reader = new TableReader({ openRead: () => file }, PATH, 7);
  const seen: Entry[] = [];
  const cursor = reader.cursor();
  let failure: PairError | undefined;
  try {
    for (cursor.seekFirst(); cursor.valid; cursor.next()) seen.push(entryAt(cursor));
  } catch (error) {
    failure = error as PairError;
  }
  assert.equal(failure?.error, "SSTableFailed");
  const { offset } = failure.details as { offset: number };
  assert.ok(offset <= bad && bad < offset + 1000, `the block at ${offset} has ${bad}`);
  assert.ok(seen.length > 1000, `${seen.length} entries before it`);
  assert.deepEqual(seen, entries.toSorted(orderEntries).slice(0, seen.length));
  reader.close();
});

Deno.test("compression saves space, and what it saves nothing on is stored as it is [E29]", () => {
  const sizeOf = (entries: readonly Entry[], compression: Compression) =>
    write(new SimDisk(), entries, {
      options: { ...KINDS[0].options, blockSize: 4096, compression },
      seal: undefined,
    })
      .size;
  const entries = rows(7, 2000);
  const plain = sizeOf(entries, "none");
  for (const compression of ["lz4", "snappy", "zstd"] as const) {
    assert.ok(sizeOf(entries, compression) < plain / 2, compression);
  }
  const random = new SimRandom(8);
  const noise = entries.map((entry) => ({ ...entry, value: random.bytes(300) }));
  const noisy = sizeOf(noise, "none");
  for (const compression of ["lz4", "snappy", "zstd"] as const) {
    const size = sizeOf(noise, compression);
    assert.ok(size <= noisy && size > noisy * 0.95, `${compression}: ${size} of ${noisy}`);
  }
});

Deno.test("a sealed table opens with its key alone, and shows nothing without", () => {
  const disk = new SimDisk();
  const entries = [parseEntry("put@1 the-secret-key=the-secret-value")];
  write(disk, entries, { options: KINDS[0].options, seal: SEAL });
  const text = new TextDecoder("latin1").decode(disk.readWhole(PATH));
  assert.ok(!text.includes("secret"));
  const other = { ...KEY, key: new Uint8Array(32).fill(9) };
  for (const key of [undefined, other, { ...KEY, tree: 5 }]) {
    assert.throws(() => new TableReader(disk, PATH, 7, undefined, key), {
      error: "InvalidArgument",
      message: key === undefined ? /it is encrypted, and no key/ : /encrypted with another key/,
      details: { file: PATH, reason: "encryption_key" },
    });
  }
  assert.deepEqual(all(open(disk, SEAL)), entries);
});

Deno.test("no two tables are sealed alike, and sections cannot change places", () => {
  const entries = rows(9, 300);
  const bytes = [1, 2].map((salt) => {
    const disk = new SimDisk();
    const seal = { ...KEY, salt: new Uint8Array(16).fill(salt) };
    write(disk, entries, { options: KINDS[0].options, seal });
    return disk.readWhole(PATH);
  });
  let same = 0;
  for (let i = 0; i < 2000; i++) if (bytes[0][i] === bytes[1][i]) same++;
  assert.ok(same < 60, `${same} of 2000 bytes`);
});

Deno.test("properties count what dies, by what the operator says", () => {
  const disk = new SimDisk();
  disk.makeDir("/t");
  const deadSince = (value: Uint8Array, start: number, end: number) =>
    Number(new TextDecoder().decode(value.subarray(start, end)));
  const writer = new TableWriter(disk, PATH, 7, KINDS[0].options, { deadSince });
  const entries = ["put@1 a=50", "put@2 b=0", "put@3 c=70", "delete@4 d", "merge@5 e=90"];
  const input = new ListCursor(entries.map(parseEntry));
  for (input.seekFirst(); input.valid; input.next()) writer.add(input);
  const { properties } = writer.finish(TIMES);
  assert.deepEqual([properties.mortal, properties.lastDeathMs, properties.deletes], [2, 70, 1]);
  assert.deepEqual(open(disk).properties, properties);
});

Deno.test("options are by level, the last for all below", () => {
  const options = { ...DEFAULT_ENGINE_OPTIONS.table, compression: ["none", "lz4"] as const };
  const levels = [0, 1, 2, 30].map((level) => tableOptionsFor(level, options).compression);
  assert.deepEqual(levels, ["none", "lz4", "lz4", "lz4"]);
});

Deno.test("options outside their range are refused by name", () => {
  const good: LevelTableOptions = DEFAULT_ENGINE_OPTIONS.table;
  checkTableOptions(good);
  const bad: [string, Partial<Record<keyof LevelTableOptions, unknown>>][] = [
    ["table.blockSize", { blockSize: 63 }],
    ["table.blockSize", { blockSize: 65537 }],
    ["table.blockSize", { blockSize: 100.5 }],
    ["table.blockSize", { blockSize: NaN }],
    ["table.falsePositives", { falsePositives: 0 }],
    ["table.falsePositives", { falsePositives: 0.6 }],
    ["table.falsePositives", { falsePositives: NaN }],
    ["table.partitionSize", { partitionSize: 0 }],
    ["table.partitionSize", { partitionSize: (1 << 20) + 1 }],
    ["table.compression", { compression: [] }],
    ["table.compression", { compression: ["lz4", "gzip"] }],
  ];
  for (const [option, change] of bad) {
    assert.throws(() => checkTableOptions({ ...good, ...change } as LevelTableOptions), {
      error: "InvalidArgument",
      message: new RegExp(`^${option} is .*: it must be `),
      details: { option },
    });
  }
});
