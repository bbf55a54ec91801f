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
import { FilterBuilder } from "./filter.ts";
import { encodeFooter, FOOTER_SIZE, type Handle, sealSection, TRAILER_SIZE } from "./format.ts";
import { encodeProperties, type TableProperties } from "./properties.ts";

/** How a table is made. */
export interface TableOptions {
  /** Data blocks are ended at this many bytes, uncompressed. */
  readonly blockSize: number;
  /** The share of absent keys that the filter lets through. */
  readonly falsePositives: number;
}

/** A finished table. */
export interface FinishedTable {
  readonly number: number;
  /** Bytes of the file. */
  readonly size: number;
  readonly properties: TableProperties;
}

/** Bytes gathered before they go to the file in one append. */
const WRITE_BUFFER = 256 * 1024;

/** Writes one table. Add entries in order, then `finish`, or `abandon` on failure. */
export class TableWriter {
  readonly #number: number;
  readonly #options: TableOptions;
  readonly #file: AppendFile;
  readonly #disk: Disk;
  readonly #out = new ByteWriter(WRITE_BUFFER + 65536);
  readonly #block = new BlockBuilder();
  readonly #filter = new FilterBuilder();
  readonly #index = new ByteWriter(4096);
  #written = 0;
  #blocks = 0;
  #smallest: Uint8Array | undefined;
  #entries = 0;
  #deletes = 0;
  #merges = 0;
  #minSeq = Infinity;
  #maxSeq = 0;
  #keyBytes = 0;
  #valueBytes = 0;
  #lastKey = new Uint8Array(256);
  #lastLength = -1;

  /** Creates the file. @throws DiskError */
  constructor(disk: Disk, path: string, number: number, options: TableOptions) {
    this.#disk = disk;
    this.#number = number;
    this.#options = options;
    this.#file = disk.create(path);
  }

  /** Entries so far. */
  get entries(): number {
    return this.#entries;
  }
  /** Bytes of data so far; the file will be a little larger. */
  get size(): number {
    return this.#written + this.#out.length + this.#block.size;
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
    if (entry.kind === KIND_MERGE) this.#merges++;
    if (entry.seq < this.#minSeq) this.#minSeq = entry.seq;
    if (entry.seq > this.#maxSeq) this.#maxSeq = entry.seq;
    this.#keyBytes += length;
    this.#valueBytes += entry.valueEnd - entry.valueStart;
    if (this.#block.size >= this.#options.blockSize) this.#endBlock();
  }

  /**
   * Writes what is left, syncs and closes the file.
   * @param createdAtMs  wall time, for the properties
   */
  finish(createdAtMs: number): FinishedTable {
    if (this.#block.count > 0) this.#endBlock();
    const dataEnd = this.#written + this.#out.length;
    const filterBytes = this.#filter.finish(this.#options.falsePositives, TRAILER_SIZE);
    const filter = this.#section(filterBytes, filterBytes.length - TRAILER_SIZE);
    const index = this.#writeSection(new ByteWriter().varint(this.#blocks).raw(this.#index.view()));
    const properties: TableProperties = {
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
    };
    const propertyBytes = new ByteWriter();
    encodeProperties(propertyBytes, properties);
    const handle = this.#writeSection(propertyBytes);
    const at = this.#written + this.#out.length;
    this.#out.raw(encodeFooter(this.#number, at, { filter, index, properties: handle, dataEnd }));
    this.#drain();
    this.#file.syncNow();
    this.#file.close();
    return { number: this.#number, size: at + FOOTER_SIZE, properties };
  }

  /** Closes and removes an unfinished file. */
  abandon(): void {
    this.#file.close();
    this.#disk.remove(this.#file.path);
  }

  #endBlock(): void {
    const { bytes, size } = this.#block.finish(TRAILER_SIZE);
    const handle = this.#section(bytes, size);
    this.#index.bytes(this.#lastKey.subarray(0, this.#lastLength))
      .varint(handle.offset).varint(handle.size);
    this.#blocks++;
    if (this.#out.length >= WRITE_BUFFER) this.#drain();
  }

  #writeSection(content: ByteWriter): Handle {
    const size = content.length;
    for (let i = 0; i < TRAILER_SIZE; i++) content.u8(0);
    return this.#section(content.view(), size);
  }

  /** Seals a section that has room for its trailer, and queues it. */
  #section(bytes: Uint8Array, size: number): Handle {
    const offset = this.#written + this.#out.length;
    sealSection(this.#number, offset, bytes, size);
    this.#out.raw(bytes.subarray(0, size + TRAILER_SIZE));
    return { offset, size };
  }

  #drain(): void {
    this.#file.append(this.#out.view());
    this.#written += this.#out.length;
    this.#out.reset();
  }
}
