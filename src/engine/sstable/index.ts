/**
 * Index: which data block holds a key.
 *
 * The index of a small table stays in memory whole:
 *
 *     | blocks varint | (last key, offset varint, size varint) for each block |          keys as varint length and bytes
 *
 * Index and filter of a large one are cut into partitions, which are read like data blocks, and only a
 * list of them stays in memory:
 *
 *     index:     | partitions varint | (last key, offset varint, size varint, blocks varint) for each partition |
 *     partition: | filter | (last key, offset varint, size varint) for each block | where each begins u32 ... | blocks u32 | filter bytes u32 |
 *
 * Offset and size are those of the block, or partition, in the file, without trailer.
 * @module
 */
import { ByteReader, ByteWriter, getU32, PairError } from "../../model/mod.ts";
import { compareRanges } from "../cursor.ts";
import { filterMayContain } from "./filter.ts";
import type { Handle } from "./format.ts";

/** An index in memory, of blocks or of partitions. */
export class BlockIndex {
  /** Blocks, or partitions. */
  readonly count: number;
  readonly offsets: Float64Array;
  readonly sizes: Uint32Array;
  /** Of partitions: the first block of each, and behind them the number of all blocks. */
  readonly firstBlocks: Uint32Array;
  // Entry i ends at the key #bytes[#starts[i], #ends[i]).
  readonly #bytes: Uint8Array;
  readonly #starts: Uint32Array;
  readonly #ends: Uint32Array;
  // All keys begin with the same #shared bytes; #heads[i] is what follows them in key i, as a number. A search
  // compares numbers that lie close together, and keys only where their heads are equal.
  readonly #shared: number;
  readonly #heads: Float64Array;

  /**
   * @param limit        where the sections end that it may name
   * @param partitioned  whether its entries are partitions
   * @throws PairError CorruptedData when the bytes make no sense
   */
  constructor(bytes: Uint8Array, what: string, limit: number, partitioned: boolean) {
    const reader = new ByteReader(bytes, what);
    const count = reader.varint();
    // An entry takes three bytes at least: a count beyond that must not become an allocation.
    if (count * 3 > bytes.length) {
      throw reader.damaged(`${count} entries are more than it can have`);
    }
    this.count = count;
    this.#bytes = bytes;
    this.offsets = new Float64Array(count);
    this.sizes = new Uint32Array(count);
    this.#starts = new Uint32Array(count);
    this.#ends = new Uint32Array(count);
    this.firstBlocks = new Uint32Array(partitioned ? count + 1 : 0);
    for (let i = 0; i < count; i++) {
      const length = reader.varint();
      this.#starts[i] = reader.position;
      reader.skip(length);
      this.#ends[i] = reader.position;
      const offset = reader.varint();
      const size = reader.varint();
      if (offset + size > limit) throw reader.damaged("a block lies outside the file");
      this.offsets[i] = offset;
      this.sizes[i] = size;
      if (!partitioned) continue;
      const blocks = this.firstBlocks[i] + reader.varint();
      if (blocks > limit) throw reader.damaged("a partition has more blocks than the file");
      this.firstBlocks[i + 1] = blocks;
    }
    reader.end();
    this.#shared = count === 0 ? 0 : sharedLength(
      bytes.subarray(this.#starts[0], this.#ends[0]),
      bytes.subarray(this.#starts[count - 1], this.#ends[count - 1]),
    );
    this.#heads = new Float64Array(count);
    for (let i = 0; i < count; i++) {
      this.#heads[i] = headOf(bytes, this.#starts[i] + this.#shared, this.#ends[i]);
    }
  }

  /** The first entry that ends at `key` or a greater one; `count` when there is none. */
  find(key: Uint8Array): number {
    const { count } = this;
    if (count === 0) return 0;
    const first = this.#starts[0];
    const shared = this.#shared;
    const most = Math.min(shared, key.length);
    const order = compareRanges(this.#bytes, first, first + shared, key, 0, most);
    if (order !== 0) return order < 0 ? count : 0;
    const head = headOf(key, shared, key.length);
    let low = this.#firstHead(head);
    let high = low;
    // Mostly there is one with the same head, or none.
    for (let step = 1; high < count && this.#heads[high] === head; step *= 2) {
      high = Math.min(count, high + step);
    }
    while (low < high) {
      const middle = (low + high) >> 1;
      const start = this.#starts[middle];
      if (compareRanges(this.#bytes, start, this.#ends[middle], key, 0, key.length) < 0) {
        low = middle + 1;
      } else high = middle;
    }
    return low;
  }

  /** The first entry whose key's head is `head` or more; `count` when there is none. */
  #firstHead(head: number): number {
    const heads = this.#heads;
    let low = 0;
    let high = heads.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (heads[middle] < head) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The partition of a block. */
  partitionOf(block: number): number {
    let low = 0;
    let high = this.count - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.firstBlocks[middle] <= block) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}

/** How many bytes two keys have in common at their start. */
function sharedLength(a: Uint8Array, b: Uint8Array): number {
  const most = Math.min(a.length, b.length);
  let shared = 0;
  while (shared < most && a[shared] === b[shared]) shared++;
  return shared;
}

/** The first six of some bytes as a number, with zeros where they end: of greater bytes it is not less. */
function headOf(bytes: Uint8Array, start: number, end: number): number {
  let head = 0;
  for (let at = start; at < start + 6; at++) head = head * 256 + (at < end ? bytes[at] : 0);
  return head;
}

const NO_BYTES = new Uint8Array(0);

/** A look into one partition at a time; `load` puts another under it. */
export class PartitionView {
  /** Blocks. */
  count = 0;
  /** Where the block that {@link PartitionView.locate} looked up lies. */
  offset = 0;
  size = 0;
  #bytes: Uint8Array = NO_BYTES;
  #filterSize = 0;
  /** Where the list of places begins. */
  #places = 0;
  #what = "";

  /**
   * Looks into a partition.
   * @param blocks  how many it must have
   * @throws PairError CorruptedData when its end makes no sense
   */
  load(bytes: Uint8Array, blocks: number, what: string): void {
    if (bytes === this.#bytes) return;
    this.#what = what;
    const end = bytes.length - 8;
    this.count = end < 0 ? -1 : getU32(bytes, end);
    this.#places = end - 4 * this.count;
    this.#filterSize = end < 0 ? 0 : getU32(bytes, end + 4);
    this.#bytes = NO_BYTES;
    if (this.count !== blocks || this.#filterSize < 2 || this.#filterSize > this.#places) {
      throw this.#damaged("its end makes no sense");
    }
    this.#bytes = bytes;
  }

  /** Whether the filter lets a key with these hash halves through. */
  mayContain(hash1: number, hash2: number): boolean {
    return filterMayContain(this.#bytes, this.#filterSize, hash1, hash2);
  }

  /** The first block that ends at `key` or a greater one; `count` when there is none. */
  find(key: Uint8Array): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >> 1;
      const end = this.#key(middle);
      if (compareRanges(this.#bytes, this.#keyStart, end, key, 0, key.length) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /**
   * Looks up where a block of the partition lies.
   * @param limit  where the data blocks end, their trailers included
   * @throws PairError CorruptedData when that is outside
   */
  locate(block: number, limit: number): void {
    const reader = new ByteReader(this.#bytes, this.#what, this.#key(block), this.#places);
    this.offset = reader.varint();
    this.size = reader.varint();
    if (this.offset + this.size > limit) throw this.#damaged("a block lies outside the file");
  }

  #keyStart = 0;

  /** Finds the last key of a block: it begins at `#keyStart`. Returns where it ends. */
  #key(block: number): number {
    const bytes = this.#bytes;
    let at = getU32(bytes, this.#places + 4 * block);
    let length = 0;
    let shift = 0;
    for (let more = true; more; shift += 7) {
      if (at < this.#filterSize || at >= this.#places || shift > 28) {
        throw this.#damaged("an entry makes no sense");
      }
      const byte = bytes[at++];
      length += (byte & 0x7f) * 2 ** shift;
      more = byte >= 0x80;
    }
    if (length > this.#places - at) throw this.#damaged("an entry makes no sense");
    this.#keyStart = at;
    return at + length;
  }

  #damaged(why: string): PairError {
    return new PairError("CorruptedData", `Cannot read ${this.#what}: ${why}`);
  }
}

/** Gathers the entries of a new table's index. */
export class IndexBuilder {
  readonly #entries = new ByteWriter(4096);
  /** Where the entry of each block begins, and, behind all, where the last ends. */
  readonly #starts: number[] = [0];
  /** Keys that were hashed for the filter before the end of each block. */
  readonly #keys: number[] = [0];

  /** Blocks so far. */
  get blocks(): number {
    return this.#keys.length - 1;
  }
  /** Bytes so far. */
  get size(): number {
    return this.#entries.length;
  }

  /**
   * Adds a block.
   * @param keys  keys in the filter now
   */
  add(lastKey: Uint8Array, offset: number, size: number, keys: number): void {
    this.#entries.bytes(lastKey).varint(offset).varint(size);
    this.#starts.push(this.#entries.length);
    this.#keys.push(keys);
  }

  /** The whole index. */
  whole(): Uint8Array {
    return new ByteWriter(this.size + 8).varint(this.blocks).raw(this.#entries.view()).view();
  }

  /**
   * The index in partitions.
   * @param count   how many partitions, about
   * @param filter  makes the filter of the keys `from` to `to`
   * @param write   writes one partition
   * @returns the index of the partitions
   */
  partitioned(
    count: number,
    filter: (from: number, to: number) => Uint8Array,
    write: (bytes: Uint8Array) => Handle,
  ): Uint8Array {
    const blocksEach = Math.max(1, Math.ceil(this.blocks / count));
    const list = new ByteWriter(4096).varint(Math.ceil(this.blocks / blocksEach));
    const partition = new ByteWriter(65536);
    for (let first = 0; first < this.blocks; first += blocksEach) {
      const end = Math.min(first + blocksEach, this.blocks);
      partition.reset();
      const bits = filter(this.#keys[first], this.#keys[end]);
      partition.raw(bits).raw(
        this.#entries.view().subarray(this.#starts[first], this.#starts[end]),
      );
      for (let block = first; block < end; block++) {
        partition.u32(bits.length + this.#starts[block] - this.#starts[first]);
      }
      partition.u32(end - first).u32(bits.length);
      const handle = write(partition.view());
      list.bytes(this.#lastKey(end - 1)).varint(handle.offset).varint(handle.size)
        .varint(end - first);
    }
    return list.view();
  }

  #lastKey(block: number): Uint8Array {
    return new ByteReader(this.#entries.view(), "index", this.#starts[block]).bytes();
  }
}
