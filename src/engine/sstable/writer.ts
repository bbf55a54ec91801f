/**
 * Table writer: sorted entries in, one durable file out.
 *
 * The file's own bytes are synced here; its name is made durable by whoever registers it.
 * @module
 */
import { ByteWriter } from "../../model/mod.ts";
import type { AppendFile, Disk } from "../../runtime/mod.ts";
import { KIND_DELETE, KIND_MERGE } from "../api.ts";
import { compareRanges, type EntryCursor } from "../cursor.ts";
import { BlockBuilder } from "./block.ts";
import { FilterBuilder, filterSize } from "./filter.ts";
import { encodeFooter, FOOTER_SIZE, type Handle } from "./format.ts";
import { IndexBuilder } from "./index.ts";
import { PARTITIONS_MIN, type TableOptions } from "./options.ts";
import { encodeProperties, type TableProperties } from "./properties.ts";
import { tableCipher, type TableSeal } from "./sealing.ts";
import { SectionWriter } from "./section_writer.ts";

/** What a new table has beside its options. */
export interface TableExtras {
  /** Encrypts the table. */
  readonly seal?: TableSeal | undefined;
  /** When the value of a put dies, ms since 1970; 0 when something in it lives for ever. */
  readonly deadSince?: ((value: Uint8Array, start: number, end: number) => number) | undefined;
}

/** Wall times of a new table, ms since 1970. */
export interface TableTimes {
  readonly createdAtMs: number;
  /** No entry was written before. */
  readonly minTimeMs: number;
  /** No entry was written after. */
  readonly maxTimeMs: number;
}

/** A finished table. */
export interface FinishedTable {
  readonly number: number;
  /** Bytes of the file. */
  readonly size: number;
  readonly properties: TableProperties;
}

/** Writes one table. Add entries in order, then `finish`, or `abandon` on failure. */
export class TableWriter {
  readonly #number: number;
  readonly #options: TableOptions;
  readonly #extras: TableExtras;
  readonly #file: AppendFile;
  readonly #disk: Disk;
  readonly #out: SectionWriter;
  readonly #block = new BlockBuilder();
  readonly #filter = new FilterBuilder();
  readonly #index = new IndexBuilder();
  #smallest: Uint8Array | undefined;
  #entries = 0;
  #deletes = 0;
  #merges = 0;
  #minSeq = Infinity;
  #maxSeq = 0;
  #keyBytes = 0;
  #valueBytes = 0;
  #rawBytes = 0;
  #mortal = 0;
  #lastDeathMs = 0;
  #lastKey = new Uint8Array(256);
  #lastLength = -1;

  /** Creates the file. @throws DiskError */
  constructor(
    disk: Disk,
    path: string,
    number: number,
    options: TableOptions,
    extras: TableExtras = {},
  ) {
    this.#disk = disk;
    this.#number = number;
    this.#options = options;
    this.#extras = extras;
    this.#file = disk.create(path);
    const { seal } = extras;
    const cipher = seal === undefined ? undefined : tableCipher(seal, seal.salt);
    this.#out = new SectionWriter(number, this.#file, options.compression, cipher);
  }

  /** Entries so far. */
  get entries(): number {
    return this.#entries;
  }
  /** Bytes of data so far; the file will be a little larger. */
  get size(): number {
    return this.#out.position + this.#block.size;
  }

  /** Whether the entry has another key than the one before it: only then may a table end before it. */
  isNewKey(entry: EntryCursor): boolean {
    return this.#lastLength < 0 || compareRanges(
          this.#lastKey,
          0,
          this.#lastLength,
          entry.keyBuffer,
          entry.keyStart,
          entry.keyEnd,
        ) !== 0;
  }

  /** Adds the entry that the cursor stands on. */
  add(entry: EntryCursor): void {
    const length = entry.keyEnd - entry.keyStart;
    if (this.isNewKey(entry)) {
      this.#filter.add(entry.keyBuffer, entry.keyStart, entry.keyEnd);
      if (this.#lastKey.length < length) this.#lastKey = new Uint8Array(length * 2);
      this.#lastKey.set(entry.keyBuffer.subarray(entry.keyStart, entry.keyEnd));
      this.#lastLength = length;
      this.#smallest ??= this.#lastKey.slice(0, length);
    }
    this.#block.add(entry);
    this.#entries++;
    if (entry.kind === KIND_DELETE) this.#deletes++;
    else if (entry.kind === KIND_MERGE) this.#merges++;
    else if (this.#extras.deadSince !== undefined) this.#countMortal(entry);
    if (entry.seq < this.#minSeq) this.#minSeq = entry.seq;
    if (entry.seq > this.#maxSeq) this.#maxSeq = entry.seq;
    this.#keyBytes += length;
    this.#valueBytes += entry.valueEnd - entry.valueStart;
    if (this.#block.size >= this.#options.blockSize) this.#endBlock();
  }

  /** Writes what is left, syncs and closes the file. */
  finish(times: TableTimes): FinishedTable {
    if (this.#block.count > 0) this.#endBlock();
    const dataEnd = this.#out.position;
    const { falsePositives, partitionSize } = this.#options;
    const size = filterSize(this.#filter.count, falsePositives) + this.#index.size;
    let filter: Handle = { offset: dataEnd, size: 0 };
    let index: Handle;
    if (size <= partitionSize * PARTITIONS_MIN) {
      const bits = this.#filter.finish(falsePositives);
      // A good filter looks random: nothing to save.
      filter = this.#out.write(bits, false);
      index = this.#write(this.#index.whole());
    } else {
      const list = this.#index.partitioned(
        Math.ceil(size / partitionSize),
        (from, to) => this.#filter.finish(falsePositives, from, to),
        (partition) => this.#write(partition),
      );
      filter = { offset: this.#out.position, size: 0 };
      index = this.#write(list);
    }
    const properties = this.#properties(times);
    const propertyBytes = new ByteWriter();
    encodeProperties(propertyBytes, properties);
    const handle = this.#write(propertyBytes.view());
    const at = this.#out.position;
    this.#out.drain();
    const salt = this.#extras.seal?.salt;
    const { body } = this.#out;
    this.#file.append(
      encodeFooter(this.#number, at, { filter, index, properties: handle, dataEnd, salt, body }),
    );
    this.#file.syncNow();
    this.#file.close();
    return { number: this.#number, size: at + FOOTER_SIZE, properties };
  }

  /** Closes and removes an unfinished file. */
  abandon(): void {
    this.#file.close();
    this.#disk.remove(this.#file.path);
  }

  #properties({ createdAtMs, minTimeMs, maxTimeMs }: TableTimes): TableProperties {
    return {
      entries: this.#entries,
      deletes: this.#deletes,
      merges: this.#merges,
      minSeq: this.#entries === 0 ? 0 : this.#minSeq,
      maxSeq: this.#maxSeq,
      keyBytes: this.#keyBytes,
      valueBytes: this.#valueBytes,
      createdAtMs,
      smallest: this.#smallest ?? new Uint8Array(0),
      largest: this.#lastKey.slice(0, Math.max(0, this.#lastLength)),
      minTimeMs,
      maxTimeMs,
      mortal: this.#mortal,
      lastDeathMs: this.#lastDeathMs,
      rawBytes: this.#rawBytes,
    };
  }

  #countMortal({ valueBuffer, valueStart, valueEnd }: EntryCursor): void {
    const deadSinceMs = this.#extras.deadSince!(valueBuffer, valueStart, valueEnd);
    if (deadSinceMs <= 0) return;
    this.#mortal++;
    if (deadSinceMs > this.#lastDeathMs) this.#lastDeathMs = deadSinceMs;
  }

  #endBlock(): void {
    const block = this.#block.finish();
    const handle = this.#write(block);
    this.#rawBytes += block.length;
    const lastKey = this.#lastKey.subarray(0, this.#lastLength);
    this.#index.add(lastKey, handle.offset, handle.size, this.#filter.count);
  }

  #write(section: Uint8Array): Handle {
    return this.#out.write(section);
  }
}
