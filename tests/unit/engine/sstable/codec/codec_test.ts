import assert from "node:assert/strict";
import * as lz4js from "lz4js";
import * as snappyjs from "snappyjs";
import {
  type Compression,
  COMPRESSIONS,
  decompress,
  encoderFor,
} from "../../../../../src/engine/sstable/codec/mod.ts";
import { lz4Decompress } from "../../../../../src/engine/sstable/codec/lz4.ts";
import { snappyDecompress } from "../../../../../src/engine/sstable/codec/snappy.ts";
import { utf8 } from "../../../../../src/model/mod.ts";
import { SimRandom } from "../../../../../src/runtime/mod.ts";
import { jsonRows, mixedBytes } from "../../../../support/blocks.ts";

const CODECS = COMPRESSIONS.filter((name) => name !== "none");
const NAMES: readonly string[] = COMPRESSIONS;
const byteOf = (name: Compression) => NAMES.indexOf(name);

/** Enough for whatever any codec makes of `length` bytes. */
const bound = (length: number) => length + (length >> 3) + 64;

/** One block, compressed by a fresh encoder or the given one. */
function compress(name: Compression, raw: Uint8Array, encoder = encoderFor(name)!): Uint8Array {
  const into = new Uint8Array(bound(raw.length));
  const end = encoder.compress(raw, 0, raw.length, into, 0, into.length);
  assert.ok(end >= 0, "there is room");
  return into.slice(0, end);
}

/** Blocks of every shape, from nothing to several windows of 64 KiB. */
function* blocks(): Generator<Uint8Array> {
  const random = new SimRandom(7);
  for (let size = 0; size < 80; size++) {
    yield new Uint8Array(size).fill(size);
    yield random.bytes(size);
    yield utf8("abcdefgh".repeat(10)).slice(0, size);
  }
  for (const size of [100, 255, 256, 270, 1000, 4096, 65535, 65536, 65537, 300_000]) {
    yield random.bytes(size);
    yield new Uint8Array(size);
    yield jsonRows(random, size);
    yield mixedBytes(random, size);
  }
  for (let i = 0; i < 500; i++) yield mixedBytes(random, random.below(6000));
}

for (const name of CODECS) {
  Deno.test(`${name} gives back every block, with one encoder for all of them [E29]`, () => {
    const encoder = encoderFor(name)!;
    for (const raw of blocks()) {
      const packed = compress(name, raw, encoder);
      assert.deepEqual(decompress(byteOf(name), packed, 0, packed.length, raw.length), raw);
    }
  });

  Deno.test(`${name} reads and writes only where it is told to`, () => {
    const random = new SimRandom(8);
    const encoder = encoderFor(name)!;
    for (let i = 0; i < 200; i++) {
      const raw = mixedBytes(random, 1 + random.below(3000));
      const start = random.below(50);
      const from = Uint8Array.of(...random.bytes(start), ...raw, ...random.bytes(random.below(50)));
      const at = random.below(50);
      const into = new Uint8Array(bound(raw.length) + 100).fill(0xa5);
      const limit = at + bound(raw.length);
      const end = encoder.compress(from, start, start + raw.length, into, at, limit);
      assert.ok(end > at && end <= limit);
      assert.ok(into.subarray(0, at).every((byte) => byte === 0xa5));
      assert.ok(into.subarray(limit).every((byte) => byte === 0xa5));
      assert.deepEqual(decompress(byteOf(name), into, at, end, raw.length), raw);
    }
  });

  Deno.test(`${name} keeps to the limit, and says when it cannot`, () => {
    const random = new SimRandom(9);
    const encoder = encoderFor(name)!;
    let refused = 0;
    for (let i = 0; i < 300; i++) {
      const raw = mixedBytes(random, 1 + random.below(2000));
      const limit = random.below(raw.length + 20);
      const into = new Uint8Array(raw.length + 64).fill(0xa5);
      const end = encoder.compress(raw, 0, raw.length, into, 0, limit);
      assert.ok(end <= limit);
      assert.ok(into.subarray(limit).every((byte) => byte === 0xa5), "nothing beyond the limit");
      if (end < 0) refused++;
      else assert.deepEqual(decompress(byteOf(name), into, 0, end, raw.length), raw);
    }
    assert.ok(refused > 50 && refused < 290, `${refused} of 300`);
  });

  Deno.test(`${name}: a block cut at any place does not pass for the block`, () => {
    const random = new SimRandom(10);
    for (const raw of [jsonRows(random, 4096), mixedBytes(random, 3000), new Uint8Array(500)]) {
      const packed = compress(name, raw);
      for (let cut = 0; cut < packed.length; cut++) {
        const found = decompress(byteOf(name), packed, 0, cut, raw.length);
        // What zstd makes of a cut frame is whole only when nothing but its end mark is missing.
        if (found !== undefined) assert.deepEqual(found, raw, `cut at ${cut}`);
        if (name !== "zstd") assert.equal(found, undefined, `cut at ${cut}`);
      }
    }
  });

  Deno.test(`${name}: another raw length than the block's is refused`, () => {
    const raw = jsonRows(new SimRandom(11), 1000);
    const packed = compress(name, raw);
    for (const length of [0, 1, 999, 1001, 4000, 2 ** 31, 2 ** 32 - 1]) {
      assert.equal(decompress(byteOf(name), packed, 0, packed.length, length), undefined);
    }
  });

  Deno.test(`${name}: random data is left alone`, () => {
    const raw = new SimRandom(12).bytes(4096);
    const into = new Uint8Array(4096);
    assert.equal(encoderFor(name)!.compress(raw, 0, 4096, into, 0, 4096 - 512), -1);
  });
}

Deno.test("there is no encoder for none, and no decoder for a byte that names no codec", () => {
  assert.equal(encoderFor("none"), undefined);
  for (const byte of [0, 4, 255]) {
    assert.equal(decompress(byte, new Uint8Array(10), 0, 10, 10), undefined);
  }
});

Deno.test("the bytes on disk name the codecs for ever", () => {
  assert.deepEqual(COMPRESSIONS, ["none", "lz4", "snappy", "zstd"]);
});

Deno.test("lz4js reads our LZ4, and we read that of lz4js", () => {
  const hashTable = new Uint32Array(1 << 16);
  const encoder = encoderFor("lz4")!;
  let theirs = 0;
  for (const raw of blocks()) {
    const packed = compress("lz4", raw, encoder);
    const back = new Uint8Array(raw.length);
    assert.equal(lz4js.decompressBlock(packed, back, 0, packed.length, 0), raw.length);
    assert.deepEqual(back, raw);

    const into = new Uint8Array(lz4js.compressBound(raw.length));
    hashTable.fill(0);
    const size = lz4js.compressBlock(raw, into, 0, raw.length, hashTable);
    // It answers 0 where it finds nothing to save.
    if (size === 0) continue;
    theirs++;
    assert.deepEqual(decompress(byteOf("lz4"), into, 0, size, raw.length), raw);
  }
  assert.ok(theirs > 300);
});

Deno.test("snappyjs reads our Snappy, and we read that of snappyjs", () => {
  const encoder = encoderFor("snappy")!;
  for (const raw of blocks()) {
    const packed = compress("snappy", raw, encoder);
    assert.deepEqual(new Uint8Array(snappyjs.uncompress(packed)), raw);
    const theirs = new Uint8Array(snappyjs.compress(raw));
    assert.deepEqual(decompress(byteOf("snappy"), theirs, 0, theirs.length, raw.length), raw);
  }
});

Deno.test("our ratio stands beside that of the oracles", () => {
  const raw = jsonRows(new SimRandom(13), 65536);
  const into = new Uint8Array(lz4js.compressBound(raw.length));
  const theirs = lz4js.compressBlock(raw, into, 0, raw.length, new Uint32Array(1 << 16));
  assert.ok(compress("lz4", raw).length < theirs * 1.1);
  assert.ok(compress("snappy", raw).length < snappyjs.compress(raw).length * 1.1);
});

Deno.test("hand-made LZ4 blocks: each way to be wrong is found", () => {
  const decode = (packed: number[], length: number) => {
    const into = new Uint8Array(length + 8).fill(0xa5);
    const from = Uint8Array.of(0x99, ...packed, 0x99);
    const sound = lz4Decompress(from, 1, from.length - 1, into, 4, 4 + length);
    assert.ok([0, 1, 2, 3].every((i) => into[i] === 0xa5 && into[length + 4 + i] === 0xa5));
    return sound ? [...into.subarray(4, 4 + length)] : undefined;
  };
  assert.deepEqual(decode([0x10, 7], 1), [7]);
  assert.deepEqual(decode([0x00], 0), []);
  // One literal, four more of it by a match at distance 1, and an end.
  assert.deepEqual(decode([0x10, 7, 1, 0, 0x00], 5), [7, 7, 7, 7, 7]);
  assert.equal(decode([], 0), undefined, "nothing at all");
  assert.equal(decode([0x10], 1), undefined, "no literal");
  assert.equal(decode([0x20, 1, 2], 1), undefined, "too many literals");
  assert.equal(decode([0x10, 7], 2), undefined, "too few");
  assert.equal(decode([0xf0], 20), undefined, "no length");
  assert.equal(decode([0xf0, 255, 255], 20), undefined, "a length without end");
  assert.equal(decode([0x10, 7, 1], 5), undefined, "half an offset");
  assert.equal(decode([0x10, 7, 0, 0, 0x00], 5), undefined, "distance 0");
  assert.equal(decode([0x10, 7, 2, 0, 0x00], 5), undefined, "a match before the beginning");
  assert.equal(decode([0x1f, 7, 1, 0], 24), undefined, "no match length");
  assert.equal(decode([0x10, 7, 1, 0], 5), undefined, "a match at the end");
  assert.equal(decode([0x10, 7, 1, 0, 0x00], 4), undefined, "a match beyond the end");
});

Deno.test("hand-made Snappy blocks: each element, and each way to be wrong", () => {
  const decode = (packed: number[], length: number) => {
    const into = new Uint8Array(length + 8).fill(0xa5);
    const from = Uint8Array.of(0x99, ...packed, 0x99);
    const sound = snappyDecompress(from, 1, from.length - 1, into, 4, 4 + length);
    assert.ok([0, 1, 2, 3].every((i) => into[i] === 0xa5 && into[length + 4 + i] === 0xa5));
    return sound ? [...into.subarray(4, 4 + length)] : undefined;
  };
  assert.deepEqual(decode([0], 0), []);
  assert.deepEqual(decode([1, 0 << 2, 7], 1), [7]);
  const sixes = [6, 6, 6, 6, 6, 6];
  assert.deepEqual(decode([6, 0, 6, ((5 - 4) << 2) | 1, 1], 6), sixes, "copy, one byte of offset");
  assert.deepEqual(decode([6, 0, 6, ((5 - 1) << 2) | 2, 1, 0], 6), sixes, "two bytes");
  assert.deepEqual(decode([6, 0, 6, ((5 - 1) << 2) | 3, 1, 0, 0, 0], 6), sixes, "four bytes");
  for (const bytes of [1, 2, 3, 4]) {
    const length = [5, 0, 0, 0].slice(0, bytes);
    assert.deepEqual(decode([6, (59 + bytes) << 2, ...length, ...sixes], 6), sixes);
    assert.equal(decode([6, (59 + bytes) << 2, ...length.slice(1)], 6), undefined);
  }
  assert.equal(decode([], 0), undefined, "no length");
  assert.equal(decode([0x80], 0), undefined, "half a length");
  assert.equal(decode([0x80, 0x80, 0x80, 0x80, 0x80, 1], 0), undefined, "a length without end");
  assert.equal(decode([2, 0, 7], 1), undefined, "another length");
  assert.equal(decode([1, 4, 7, 7], 1), undefined, "too many literals");
  assert.equal(decode([1, 0], 1), undefined, "no literal");
  assert.equal(decode([1], 1), undefined, "nothing");
  assert.equal(decode([4, 63 << 2, 255, 255, 255, 255], 4), undefined, "a literal of 4 GiB");
  assert.equal(decode([6, 0, 6, 5], 6), undefined, "a copy without offset");
  assert.equal(decode([6, 0, 6, (4 << 2) | 2, 1], 6), undefined, "half an offset");
  assert.equal(decode([6, 0, 6, (4 << 2) | 3, 1, 0, 0], 6), undefined, "half a long offset");
  assert.equal(decode([6, 0, 6, 5, 0], 6), undefined, "distance 0");
  assert.equal(decode([6, 0, 6, 5, 2], 6), undefined, "a copy from before the beginning");
  assert.equal(decode([6, 0, 6, (4 << 2) | 3, 1, 0, 0, 255], 6), undefined, "from far before");
  assert.equal(decode([4, 0, 6, 5, 1], 4), undefined, "a copy beyond the end");
});
