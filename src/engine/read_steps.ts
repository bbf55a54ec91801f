/**
 * How one read went, step by step: for people who ask why it took what it took. A read that nobody asks about
 * notes nothing.
 *
 * A read that waits for a slow disk is attempted several times, each time from the start. The steps are those
 * of the last attempt; what an earlier one has read from the disk still counts as read from there, though the
 * last one finds it in the cache.
 * @module
 */

/** Where a read looks. */
export type ReadLayer = "memtable" | "frozen_memtable" | "row_cache" | "sstable";

/** What one layer said, and what asking took. */
export interface ReadStep {
  readonly layer: ReadLayer;
  /** Of a table, else undefined. */
  readonly level: number | undefined;
  /** A table's number, else undefined. */
  readonly table: number | undefined;
  /**
   * `found`: entries of the key, or its row; `filtered`: the table's filter said no, and no block of data was
   * looked into; `nothing`: none that this read may see.
   */
  readonly result: "found" | "filtered" | "nothing";
  /** Entries of the key that were taken; one for a row. */
  readonly entries: number;
  /** Of their values, as they are stored. */
  readonly valueBytes: number;
  /** Whether the table had to be opened first: its footer and index were read, which is not counted here. */
  readonly opened: boolean;
  /** Blocks that were in the block cache, each counted once; parts of a large table's index and filter too. */
  readonly blocksCached: number;
  /** The same, of those that came from the disk. */
  readonly blocksRead: number;
  /** Bytes of those in the file, before decompression. */
  readonly bytesRead: number;
}

/** A step under way. */
export class OpenStep implements ReadStep {
  result: ReadStep["result"] = "nothing";
  entries = 0;
  valueBytes = 0;
  opened = false;
  bytesRead = 0;
  readonly #cached = new Set<number>();
  readonly #read = new Set<number>();

  /** @param before  what an earlier attempt had of the same table */
  constructor(
    readonly layer: ReadLayer,
    readonly level: number | undefined,
    readonly table: number | undefined,
    before: OpenStep | undefined,
  ) {
    if (before === undefined) return;
    this.opened = before.opened;
    this.bytesRead = before.bytesRead;
    this.#read = before.#read;
  }

  get blocksCached(): number {
    return this.#cached.size;
  }
  get blocksRead(): number {
    return this.#read.size;
  }

  /** An entry was taken. @param bytes  of its value */
  took(bytes: number): void {
    this.result = "found";
    this.entries++;
    this.valueBytes += bytes;
  }

  /** See `ReadMeter` of the sstable room. */
  used(slot: number, bytesRead: number): void {
    if (bytesRead > 0) {
      this.#read.add(slot);
      this.bytesRead += bytesRead;
    } else if (!this.#read.has(slot)) {
      this.#cached.add(slot);
    }
  }
}

/** The steps of one read; hand in a new one each time. */
export class ReadSteps {
  #steps: OpenStep[] = [];
  /** By table, what the attempts before this one had. */
  #before = new Map<number, OpenStep>();
  #attempts = 0;

  /** In the order in which they were taken. */
  get list(): readonly ReadStep[] {
    return this.#steps;
  }

  /** Times that the read waited for a slow disk. */
  get waits(): number {
    return Math.max(0, this.#attempts - 1);
  }

  /** @internal The read begins, or begins anew. */
  begin(): void {
    this.#attempts++;
    for (const step of this.#steps) {
      if (step.table !== undefined) this.#before.set(step.table, step);
    }
    this.#steps = [];
  }

  /** @internal The read goes on to another layer. */
  enter(layer: ReadLayer, level?: number, table?: number): OpenStep {
    const before = table === undefined ? undefined : this.#before.get(table);
    const step = new OpenStep(layer, level, table, before);
    this.#steps.push(step);
    return step;
  }

  /** @internal The layer that was entered last had an entry. @param bytes  of its value */
  took(bytes: number): void {
    this.#steps.at(-1)?.took(bytes);
  }
}
