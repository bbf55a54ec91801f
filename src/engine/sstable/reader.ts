/**
 * Table reader: point look-ups and cursors over one table file.
 *
 * Opening reads the footer, the properties, the index and the filter, which stay in memory; data
 * blocks are read when needed, verified, and kept by the block cache.
 * @module
 */
import { ByteReader, compareBytes, PairError } from "../../model/mod.ts";
import { type Disk, DiskError, type ReadFile } from "../../runtime/mod.ts";
import type { EntryCursor } from "../cursor.ts";
import type { BlockCursor } from "./block.ts";
import type { BlockCache, CachedBlocks } from "./cache.ts";
import { filterMayContain } from "./filter.ts";
import {
  damaged,
  decodeFooter,
  type Footer,
  FOOTER_SIZE,
  type Handle,
  TRAILER_SIZE,
  verifySection,
} from "./format.ts";
import { decodeProperties, type TableProperties } from "./properties.ts";
import { TableCursor } from "./table_cursor.ts";

/**
 * Looks whether this program can read a table, without opening it.
 * @throws PairError InvalidArgument when the format is newer. Damage passes: it is found when the table is
 *   read, and until then concerns nobody else; DiskError
 */
export function checkTableFormat(disk: Disk, path: string, number: number): void {
  const file = disk.openRead(path);
  try {
    const at = file.size - FOOTER_SIZE;
    if (at < 0) return;
    const bytes = new Uint8Array(FOOTER_SIZE);
    file.readAt(bytes, at);
    decodeFooter(path, number, at, bytes);
  } catch (error) {
    if (!(error instanceof PairError) || error.error === "InvalidArgument") throw error;
  } finally {
    file.close();
  }
}

/** An open table. */
export class TableReader {
  readonly number: number;
  readonly path: string;
  readonly properties: TableProperties;
  /** Data blocks. */
  readonly blocks: number;

  readonly #file: ReadFile;
  readonly #cache: BlockCache | undefined;
  readonly #cached: CachedBlocks | undefined;
  readonly #filter: Uint8Array;
  readonly #filterSize: number;
  // The index: block i ends at key #lastKeys[i] and lies at #offsets[i], #sizes[i].
  readonly #lastKeys: Uint8Array[] = [];
  readonly #offsets: number[] = [];
  readonly #sizes: number[] = [];
  // Point look-ups share one cursor: they are synchronous, so no two overlap.
  readonly #probe: TableCursor;

  /**
   * @param cache  keeps data blocks; without one every read goes to the file
   * @throws PairError CorruptedData or ChecksumFailed with file and offset, InvalidArgument for a newer
   *   format; DiskError
   */
  constructor(
    disk: Pick<Disk, "openRead">,
    path: string,
    number: number,
    cache?: BlockCache,
  ) {
    this.number = number;
    this.path = path;
    this.#file = disk.openRead(path);
    try {
      const footer = this.#readFooter();
      const properties = this.#readSection(footer.properties);
      const reader = new ByteReader(
        properties,
        `properties of ${path}`,
        0,
        footer.properties.size,
      );
      this.properties = decodeProperties(reader);
      reader.end();
      this.#filter = this.#readSection(footer.filter);
      this.#filterSize = footer.filter.size;
      if (this.#filterSize < 2) throw damaged(path, footer.filter.offset, "the filter is empty");
      this.blocks = this.#readIndex(footer);
    } catch (error) {
      this.#file.close();
      throw error;
    }
    this.#cache = cache;
    this.#cached = cache?.register(this.blocks);
    this.#probe = new TableCursor(this);
  }

  /** Bytes of the file. */
  get size(): number {
    return this.#file.size;
  }

  /** Whether the filter lets a key with these hash halves through. */
  mayContain(hash1: number, hash2: number): boolean {
    return filterMayContain(this.#filter, this.#filterSize, hash1, hash2);
  }

  /**
   * The newest entry of a key with a sequence of at most `seq`, as a cursor that goes on to the older
   * ones; undefined when there is none. Valid until the next call.
   */
  find(key: Uint8Array, seq: number): TableCursor | undefined {
    const cursor = this.#probe;
    cursor.seek(key, seq);
    return cursor.valid && cursor.isAt(key) ? cursor : undefined;
  }

  /** A cursor of its own over all entries. */
  cursor(): EntryCursor {
    return new TableCursor(this);
  }

  /** The first block that can hold `key` or a greater one; `blocks` when there is none. */
  blockFor(key: Uint8Array): number {
    let low = 0;
    let high = this.blocks;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (compareBytes(this.#lastKeys[middle], key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Puts a verified block under a cursor. */
  loadBlock(index: number, into: BlockCursor): void {
    let bytes = this.#cached === undefined ? undefined : this.#cache!.get(this.#cached, index);
    if (bytes === undefined) {
      bytes = this.#readSection({ offset: this.#offsets[index], size: this.#sizes[index] });
      if (this.#cached !== undefined) this.#cache!.put(this.#cached, index, bytes);
    }
    into.load(bytes, this.#sizes[index], this.path);
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

  #readFooter(): Footer {
    const at = this.#file.size - FOOTER_SIZE;
    if (at < 0) {
      throw damaged(this.path, 0, `${this.#file.size} bytes are too few for an sstable`);
    }
    const bytes = new Uint8Array(FOOTER_SIZE);
    this.#read(bytes, at);
    return decodeFooter(this.path, this.number, at, bytes);
  }

  #readSection(handle: Handle): Uint8Array {
    const bytes = new Uint8Array(handle.size + TRAILER_SIZE);
    this.#read(bytes, handle.offset);
    verifySection(this.path, this.number, handle, bytes);
    return bytes;
  }

  #read(into: Uint8Array, offset: number): void {
    let count: number;
    try {
      count = this.#file.readAt(into, offset);
    } catch (cause) {
      if (!(cause instanceof DiskError)) throw cause;
      throw new PairError(
        "SSTableFailed",
        `Cannot read ${this.path} at ${offset}: ${cause.errno}`,
        {
          file: this.path,
          offset,
          errno: cause.errno,
        },
        { cause },
      );
    }
    if (count < into.length) throw damaged(this.path, offset, "the file ends before its section");
  }

  #readIndex(footer: Footer): number {
    const bytes = this.#readSection(footer.index);
    const reader = new ByteReader(bytes, `index of ${this.path}`, 0, footer.index.size);
    const count = reader.varint();
    for (let i = 0; i < count; i++) {
      const key = reader.bytes();
      const offset = reader.varint();
      const size = reader.varint();
      if (offset + size + TRAILER_SIZE > footer.dataEnd) {
        throw damaged(this.path, footer.index.offset, "a block lies outside the file");
      }
      this.#lastKeys.push(key);
      this.#offsets.push(offset);
      this.#sizes.push(size);
    }
    reader.end();
    return count;
  }
}
