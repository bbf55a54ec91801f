/**
 * Versions: which tables make up a tree at one moment.
 *
 * A version is never changed; a flush or compaction installs the next one. Readers that outlive a call
 * (scans, jobs) hold a reference on theirs, and a table is closed and its file removed only when no
 * version that anyone holds has it any more.
 * @module
 */
import { compareBytes, PairError } from "../model/mod.ts";
import type { TableMeta } from "./manifest/mod.ts";
import type { TableReader } from "./sstable/mod.ts";

/** A table of one or more versions. */
export class LiveTable {
  readonly meta: TableMeta;
  readonly #open: () => TableReader;
  readonly #onUnused: (table: LiveTable) => void;
  #reader: TableReader | undefined;
  #references = 0;
  #closed = false;

  /**
   * @param open      opens the file, at the first read
   * @param onUnused  called when the last version that has the table is gone
   */
  constructor(
    meta: TableMeta,
    open: () => TableReader,
    onUnused: (table: LiveTable) => void,
  ) {
    this.meta = meta;
    this.#open = open;
    this.#onUnused = onUnused;
  }

  /** The reader; opened at the first call. @throws PairError as TableReader does */
  get reader(): TableReader {
    if (this.#closed) throw new PairError("Unavailable", "The engine is closed");
    return this.#reader ??= this.#open();
  }

  /** Whether the reader is open. */
  get isOpen(): boolean {
    return this.#reader !== undefined;
  }

  /** Whether it was closed for good: it must not be acquired any more, and its file is going, or gone. */
  get isClosed(): boolean {
    return this.#closed;
  }

  acquire(): void {
    this.#references++;
  }

  release(): void {
    if (--this.#references === 0) this.#onUnused(this);
  }

  /** Closes the reader, for good. */
  close(): void {
    this.#closed = true;
    this.#reader?.close();
    this.#reader = undefined;
  }
}

/** A table and the level that it is on: a trivial move changes the level and keeps the table. */
export interface Placed {
  readonly level: number;
  readonly table: LiveTable;
}

/** The tables of a tree at one moment. */
export class Version {
  /** Level 0 newest first; the others by key, without overlaps. */
  readonly levels: readonly (readonly LiveTable[])[];
  #references = 0;
  #runs: readonly (readonly LiveTable[])[] | undefined;
  #metas: readonly (readonly TableMeta[])[] | undefined;

  /**
   * @throws Error when tables of a level below 0 overlap, or the sequences of tables of level 0 do: a
   *   bug, found before it is made durable
   */
  constructor(placed: Iterable<Placed>) {
    const levels: LiveTable[][] = [[]];
    for (const { level, table } of placed) {
      while (levels.length <= level) levels.push([]);
      levels[level].push(table);
    }
    // A later flush has higher sequences; numbers settle ties.
    levels[0].sort((a, b) =>
      b.meta.properties.maxSeq - a.meta.properties.maxSeq || b.meta.number - a.meta.number
    );
    for (let i = 1; i < levels[0].length; i++) {
      const newer = levels[0][i - 1].meta;
      const { meta } = levels[0][i];
      if (meta.properties.maxSeq >= newer.properties.minSeq) {
        throw new Error(`tables ${newer.number} and ${meta.number} share sequences on level 0`);
      }
    }
    for (let level = 1; level < levels.length; level++) {
      const run = levels[level];
      run.sort((a, b) => compareBytes(a.meta.properties.smallest, b.meta.properties.smallest));
      for (let i = 1; i < run.length; i++) {
        const before = run[i - 1].meta;
        const { meta } = run[i];
        if (compareBytes(before.properties.largest, meta.properties.smallest) >= 0) {
          throw new Error(`tables ${before.number} and ${meta.number} overlap on level ${level}`);
        }
      }
    }
    this.levels = levels;
  }

  /** What the manifest knows of each level's tables. */
  get metas(): readonly (readonly TableMeta[])[] {
    return this.#metas ??= this.levels.map((run, level) =>
      run.map((table) => ({ ...table.meta, level }))
    );
  }

  /**
   * All tables in as few runs as do it, each by key and without overlaps: what a scan merges. Those of level 0
   * that were written in the order of their keys are one.
   */
  get runs(): readonly (readonly LiveTable[])[] {
    return this.#runs ??= [...disjointRuns(this.levels[0]), ...this.levels.slice(1)];
  }

  /** All tables. */
  tables(): LiveTable[] {
    return this.levels.flat();
  }

  /** The next version. */
  with(remove: ReadonlySet<number>, add: readonly Placed[]): Version {
    const kept = this.levels.flatMap((run, level) =>
      run.filter((table) => !remove.has(table.meta.number)).map((table) => ({ level, table }))
    );
    return new Version([...kept, ...add]);
  }

  acquire(): this {
    if (this.#references++ === 0) { for (const table of this.tables()) table.acquire(); }
    return this;
  }

  release(): void {
    if (--this.#references === 0) { for (const table of this.tables()) table.release(); }
  }
}

/** Puts tables together whose ranges do not overlap: the fewest runs (interval partitioning). */
function disjointRuns(tables: readonly LiveTable[]): LiveTable[][] {
  const runs: LiveTable[][] = [];
  const byStart = tables.toSorted((a, b) =>
    compareBytes(a.meta.properties.smallest, b.meta.properties.smallest)
  );
  for (const table of byStart) {
    const { smallest } = table.meta.properties;
    const run = runs.find((run) => compareBytes(run.at(-1)!.meta.properties.largest, smallest) < 0);
    if (run === undefined) runs.push([table]);
    else run.push(table);
  }
  return runs;
}

/** The table of a sorted level whose range holds `key`; -1 when there is none. */
export function tableFor(level: readonly LiveTable[], key: Uint8Array): number {
  const index = firstReaching(level, key);
  return index < level.length &&
      compareBytes(level[index].meta.properties.smallest, key) <= 0
    ? index
    : -1;
}

/** The first table of a sorted level whose greatest key is `key` or more; its length when there is none. */
export function firstReaching(level: readonly LiveTable[], key: Uint8Array): number {
  let low = 0;
  let high = level.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compareBytes(level[middle].meta.properties.largest, key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
