/**
 * Table reader: point look-ups and cursors over one table file.
 *
 * Opening reads the footer, the properties, and the index and filter of a small table, which stay in memory.
 * Data blocks, and the partitions of a large table's index and filter, are read when needed, verified, and kept
 * by the block cache, each in its slot: the blocks by number, behind them the partitions.
 * @module
 */
import { ByteReader, PairError } from "../../model/mod.ts";
import { type Disk, DiskError, type ReadFile } from "../../runtime/mod.ts";
import type { EntryCursor } from "../cursor.ts";
import type { BlockCursor } from "./block.ts";
import type { BlockCache, CachedBlocks } from "./cache.ts";
import type { ChecksumMeter } from "./checksum_meter.ts";
import { filterMayContain } from "./filter.ts";
import { damaged, decodeFooter, FOOTER_SIZE, type Handle, readFailed } from "./format.ts";
import { BlockIndex, PartitionView } from "./index.ts";
import { decodeProperties, type TableProperties } from "./properties.ts";
import type { ReadAhead } from "./read_ahead.ts";
import type { TableKey } from "./sealing.ts";
import {
  type BodyPart,
  readFooter,
  SectionReader,
  verifyBody,
  verifyBodyPart,
} from "./section_reader.ts";
import { TableCursor } from "./table_cursor.ts";

/**
 * Looks whether this program can read a table, without opening it.
 * @returns whether the table is sealed
 * @throws PairError InvalidArgument when the format is newer. Damage passes: it is found when the table is
 *   read, and until then concerns nobody else; DiskError
 */
export function checkTableFormat(disk: Disk, path: string, number: number): boolean {
  const file = disk.openRead(path);
  try {
    const at = file.size - FOOTER_SIZE;
    if (at < 0) return false;
    const bytes = new Uint8Array(FOOTER_SIZE);
    file.readAt(bytes, at);
    return decodeFooter(path, number, at, bytes).salt !== undefined;
  } catch (error) {
    if (!(error instanceof PairError) || error.error === "InvalidArgument") throw error;
    return false;
  } finally {
    file.close();
  }
}

/**
 * Whether a sealed table opens with a key: false when it is damaged, and tells nothing.
 * @throws PairError InvalidArgument when there is no key, or it is another one; DiskError
 */
export function provesKey(
  disk: Disk,
  path: string,
  number: number,
  key: TableKey | undefined,
): boolean {
  const file = disk.openRead(path);
  try {
    const sections = new SectionReader(file, number, key);
    sections.read(sections.footer.properties);
    return true;
  } catch (error) {
    if (!(error instanceof PairError) || error.error === "InvalidArgument") throw error;
    return false;
  } finally {
    file.close();
  }
}

/**
 * Verifies a table's footer and the checksum of all of it, for which no key is needed.
 * @throws PairError CorruptedData or ChecksumFailed with the file; SSTableFailed; DiskError
 */
export function verifyTableFile(disk: Disk, path: string, number: number): void {
  const file = disk.openRead(path);
  try {
    verifyBody(file, readFooter(file, number));
  } finally {
    file.close();
  }
}

/**
 * The same, a part at a time; see `verifyBodyPart`.
 * @throws PairError ChecksumFailed or CorruptedData when the table is damaged, SSTableFailed; DiskError
 */
export function verifyTablePart(
  disk: Disk,
  path: string,
  number: number,
  from: BodyPart,
  bytesMax: number,
): BodyPart | undefined {
  const file = disk.openRead(path);
  try {
    return verifyBodyPart(file, readFooter(file, number), from, bytesMax);
  } finally {
    file.close();
  }
}

/** Cursors that a table keeps for the next scans. */
const SPARE_CURSORS = 4;

/** Where tables are opened from. */
export interface TableFiles {
  openRead(path: string): ReadFile;
  /** Whether reads take so long that they should not be made larger. */
  readonly isSlow?: boolean;
  /** Is told of each section that is verified. */
  readonly checksums?: ChecksumMeter;
}

/** Is told what a look-up takes. */
export interface ReadMeter {
  /**
   * A block was used, or a part of the index or the filter; one perhaps several times.
   * @param slot       names it among the table's
   * @param bytesRead  of it in the file; 0: it was in the cache
   */
  used(slot: number, bytesRead: number): void;
}

/** An open table. */
export class TableReader {
  readonly number: number;
  readonly path: string;
  readonly properties: TableProperties;
  /** Data blocks. */
  readonly blocks: number;
  /** Partitions of index and filter; 0 when both are in memory whole. */
  readonly partitions: number;

  readonly #files: TableFiles;
  readonly #file: ReadFile;
  readonly #sections: SectionReader;
  readonly #cache: BlockCache | undefined;
  readonly #cached: CachedBlocks | undefined;
  /** Empty in a partitioned table. */
  readonly #filter: Uint8Array;
  /** Of the blocks, or of the partitions. */
  readonly #index: BlockIndex;
  // Look-ups are synchronous, so that no two overlap: they share one cursor and one view of a partition.
  readonly #probe: TableCursor;
  // Making a cursor takes as long as some of its steps, and short scans make many.
  readonly #spare: TableCursor[] = [];
  readonly #partition = new PartitionView();
  /** The partition that the view looks into; -1 for none. */
  #entered = -1;
  /** Of the look-up under way; undefined: nobody wants to know. */
  #meter: ReadMeter | undefined;

  /**
   * @param cache  keeps blocks; without one every read goes to the file
   * @param key    of a sealed table
   * @param tree   whose share of the cache the blocks count for
   * @throws PairError CorruptedData or ChecksumFailed with file and offset, InvalidArgument for a newer
   *   format or a sealed table without its key; SSTableFailed when the disk fails
   */
  constructor(
    files: TableFiles,
    path: string,
    number: number,
    cache?: BlockCache,
    key?: TableKey,
    tree?: number,
  ) {
    this.number = number;
    this.path = path;
    this.#files = files;
    this.#file = open(files, path);
    try {
      this.#sections = new SectionReader(this.#file, number, key, files.checksums);
      const { footer } = this.#sections;
      const properties = new ByteReader(
        this.#sections.read(footer.properties),
        `properties of ${path}`,
      );
      this.properties = decodeProperties(properties);
      properties.end();
      const partitioned = footer.format > 1 && footer.filter.size === 0;
      this.#filter = partitioned ? NO_BYTES : this.#sections.read(footer.filter);
      if (!partitioned && this.#filter.length < 2) {
        throw damaged(path, footer.filter.offset, "the filter is empty");
      }
      const limit = (partitioned ? footer.index.offset : footer.dataEnd) - footer.trailer;
      const index = this.#sections.read(footer.index);
      this.#index = new BlockIndex(index, `index of ${path}`, limit, partitioned);
      this.partitions = partitioned ? this.#index.count : 0;
      this.blocks = partitioned ? this.#index.firstBlocks[this.#index.count] : this.#index.count;
    } catch (error) {
      this.#file.close();
      throw error;
    }
    this.#cache = cache;
    this.#cached = cache?.register(this.blocks + this.partitions, tree);
    this.#probe = new TableCursor(this, false);
  }

  /** Bytes of the file. */
  get size(): number {
    return this.#file.size;
  }

  /**
   * Whether the filter lets a key through.
   * @param hash1  the halves of its hash
   */
  mayContain(hash1: number, hash2: number, key: Uint8Array): boolean {
    if (this.partitions === 0) {
      return filterMayContain(this.#filter, this.#filter.length, hash1, hash2);
    }
    const index = this.#index.find(key);
    if (index === this.partitions) return false;
    return this.#enterPartition(index).mayContain(hash1, hash2);
  }

  /**
   * The newest entry of a key with a sequence of at most `seq`, as a cursor that goes on to the older
   * ones; undefined when there is none. Valid until the next look-up in any table of the same cache.
   */
  find(key: Uint8Array, seq: number): TableCursor | undefined {
    // One that is new has no block yet, so that a meter is told of each.
    const cursor = this.#meter === undefined ? this.#probe : new TableCursor(this, false);
    cursor.seek(key, seq);
    return cursor.valid && cursor.isAt(key) ? cursor : undefined;
  }

  /** Runs a look-up, with all that is done with its cursor, and tells what it takes. */
  measured<T>(meter: ReadMeter, lookUp: () => T): T {
    this.#meter = meter;
    try {
      return lookUp();
    } finally {
      this.#meter = undefined;
    }
  }

  /** A cursor of its own over all entries. */
  cursor(): EntryCursor {
    return this.#spare.pop() ?? new TableCursor(this, true);
  }

  /** Takes back a cursor that nobody uses any more, for the next who asks for one. */
  giveBack(cursor: TableCursor): void {
    if (this.#spare.length < SPARE_CURSORS) this.#spare.push(cursor);
  }

  /** The first block that can hold `key` or a greater one; `blocks` when there is none. */
  blockFor(key: Uint8Array): number {
    const found = this.#index.find(key);
    if (this.partitions === 0) return found;
    if (found === this.partitions) return this.blocks;
    return this.#index.firstBlocks[found] + this.#enterPartition(found).find(key);
  }

  /**
   * Puts a verified block under a cursor.
   * @param lend   the cursor stays there for longer than until the next look-up in any table
   * @param ahead  of a cursor that came here from the block before
   */
  loadBlock(index: number, into: BlockCursor, lend: boolean, ahead?: ReadAhead): void {
    const bytes = ahead === undefined ? this.#slot(index, lend) : this.#nextSlot(index, ahead);
    into.load(bytes, bytes.length, this.path);
  }

  /** Whether a block that was not lent still has its bytes. */
  keeps(index: number, bytes: Uint8Array): boolean {
    return this.#cached === undefined || this.#cached.blocks[index] === bytes;
  }

  /**
   * Reads the whole file and compares its checksum; the cursors verify block by block.
   * @throws PairError ChecksumFailed
   */
  verifyBody(): void {
    this.#sections.verifyBody();
  }

  /** Data blocks that are in the cache now, ascending. */
  cachedBlocks(): number[] {
    const found: number[] = [];
    const slots = this.#cached?.blocks ?? [];
    for (let i = 0; i < this.blocks; i++) if (slots[i] !== undefined) found.push(i);
    return found;
  }

  /** Closes the file and drops its blocks from the cache. */
  close(): void {
    this.#file.close();
    if (this.#cached !== undefined) this.#cache!.forget(this.#cached);
  }

  /** A slot's section, from the cache or the file. */
  #slot(slot: number, lend = false): Uint8Array {
    if (this.#cached === undefined) return this.#sections.read(this.#locate(slot));
    const cache = this.#cache!;
    let bytes = cache.get(this.#cached, slot, lend);
    if (bytes === undefined) {
      const handle = this.#locate(slot);
      bytes = this.#sections.read(handle, cache.memory);
      cache.put(this.#cached, slot, bytes, lend);
      this.#meter?.used(slot, handle.size + this.#sections.footer.trailer);
    } else {
      this.#meter?.used(slot, 0);
    }
    return bytes;
  }

  /** A block's section on a walk: from the cache, the file, or what was read ahead. */
  #nextSlot(slot: number, ahead: ReadAhead): Uint8Array {
    const goesOn = ahead.goesOn();
    // Where the disk is slow, whoever fetches from it reads ahead.
    if (!goesOn || this.#cached?.blocks[slot] !== undefined || this.#files.isSlow === true) {
      return this.#slot(slot, true);
    }
    const bytes = this.#sections.readOn(this.#locate(slot), ahead);
    if (this.#cached !== undefined && this.#cache!.admits(this.#cached, slot, bytes.length)) {
      // A view would keep the whole piece that was read.
      const own = bytes.length === bytes.buffer.byteLength ? bytes : bytes.slice();
      this.#cache!.put(this.#cached, slot, own, true);
    }
    return bytes;
  }

  /** Where a slot's section lies. */
  #locate(slot: number): Handle {
    const { offsets, sizes } = this.#index;
    if (this.partitions === 0) return { offset: offsets[slot], size: sizes[slot] };
    if (slot >= this.blocks) {
      const index = slot - this.blocks;
      return { offset: offsets[index], size: sizes[index] };
    }
    const index = this.#index.partitionOf(slot);
    const partition = this.#enterPartition(index);
    const { dataEnd, trailer } = this.#sections.footer;
    partition.locate(slot - this.#index.firstBlocks[index], dataEnd - trailer);
    return { offset: partition.offset, size: partition.size };
  }

  #enterPartition(index: number): PartitionView {
    // A walk without a cache, a compaction's, looks up block after block in one partition.
    if (this.#cached === undefined && index === this.#entered) return this.#partition;
    this.#entered = -1;
    const bytes = this.#slot(this.blocks + index);
    const { firstBlocks } = this.#index;
    this.#partition.load(bytes, firstBlocks[index + 1] - firstBlocks[index], this.path);
    this.#entered = index;
    return this.#partition;
  }
}

const NO_BYTES = new Uint8Array(0);

/** @throws PairError CorruptedData when the file is missing, SSTableFailed when it cannot be opened */
function open(files: TableFiles, path: string): ReadFile {
  try {
    return files.openRead(path);
  } catch (cause) {
    if (!(cause instanceof DiskError)) throw cause;
    throw readFailed(path, 0, cause);
  }
}
