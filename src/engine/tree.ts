/**
 * A tree: one tenant's key space, from the newest entry in memory to the oldest on disk.
 *
 * Reads go memtable, frozen memtables newest first, row cache, level 0 newest first, then one table a
 * level: the first put or delete found ends the search, merge operands on the way are folded onto it.
 * @module
 */
import { compareBytes } from "../model/mod.ts";
import {
  type EntryKind,
  KIND_DELETE,
  KIND_MERGE,
  KIND_PUT,
  type MergeOperator,
  type RangeEstimate,
  type ReadTrace,
  type Tree,
  type TreeOptions,
  type TreeUsage,
} from "./api.ts";
import { pressure, type RunningJob } from "./compaction/mod.ts";
import { type EntryCursor, MergingCursor } from "./cursor.ts";
import { shareInRange } from "./estimate.ts";
import { type KeyBounds, LevelCursor } from "./level_cursor.ts";
import type { TreeMeta } from "./manifest/mod.ts";
import { Copies } from "./copies.ts";
import { type Arenas, Memtable } from "./memtable/mod.ts";
import type { CompactionOptions } from "./options.ts";
import type { ReadSteps } from "./read_steps.ts";
import type { RowCache } from "./row_cache/mod.ts";
import { filterHash1, filterHash2, type TableCursor } from "./sstable/mod.ts";
import { compactionOf, readOptions, type StoredOptions } from "./tree_options.ts";
import { firstReaching, type LiveTable, tableFor, type Version } from "./version.ts";

/** What a tree holds at one moment. */
export interface TreeView {
  readonly active: Memtable;
  /** Frozen memtables, newest first. */
  readonly immutables: readonly Memtable[];
  readonly version: Version;
}

/** A view for a reader that outlives a call: it stays as it is until it is released. */
export interface HeldView extends TreeView {
  release(): void;
}

/** A compaction under way. */
export interface RunningCompaction extends RunningJob {
  /** Numbers of the tables that it reads and will replace. */
  readonly inputs: readonly number[];
  /** Resolves when it has ended, well or not. */
  readonly done: Promise<void>;
}

/** The engine's side of a {@link Tree}. */
export class TreeState implements Tree {
  readonly id: number;
  readonly name: string;
  readonly createdAtMs: number;
  /** Its directory's name. */
  readonly dir: string;
  readonly operator: MergeOperator | undefined;

  active: Memtable;
  readonly #rows: RowCache;
  readonly #copies = new Copies();
  readonly #isMortal = (value: Uint8Array) => this.deadSince(value) > 0;
  /** Frozen memtables, newest first. */
  immutables: Memtable[] = [];
  version: Version;
  /** Entries up to here are in tables; recovery skips them in the log. */
  flushedSeq: number;
  purgeFloor: number;
  purgedSequence: number;
  dropped = false;
  /** The engine's follower is told of its writes. */
  followed = false;
  /** Compactions have dropped values that were dead by then; rows of such are not to be believed any more. */
  purgedBeforeMs = 0;

  /** The flush under way. */
  flushing: Promise<void> | undefined;
  /** Compactions under way. */
  readonly compacting = new Set<RunningCompaction>();
  /** Ends with a compaction that somebody asked for; until then no other is started. */
  exclusive: Promise<void> | undefined;
  /** Bytes that compactions have yet to rewrite, of the present version. */
  pendingBytes = 0;
  /** The version of which a step turned out too large for the disk: of it none is tried again. */
  triedInVain: Version | undefined;
  /** The version of which a compaction is wanted, and no step fits on the disk. */
  outOfRoom: Version | undefined;
  /** Until then no compaction is begun in the hope that it fits: one did not. Monotonic ms. */
  hopesFromMs = 0;
  /** By level, where the last compaction ended: the next takes the table after it. */
  readonly lastCompacted = new Map<number, Uint8Array>();
  /** Damage in a table: this tree is not compacted any more, so that it cannot spread. */
  compactionStopped: Error | undefined;

  /** The version that `#pressure` is of: writers ask for it each time, and it changes with the version only. */
  #measured: Version | undefined;
  #pressure = 0;

  /** The version that `#inTables` is of. */
  #summed: Version | undefined;
  #inTables: TreeUsage = { bytes: 0, keys: 0 };

  #options: TreeOptions = {};

  constructor(
    meta: TreeMeta & {
      readonly purgeFloor: number;
      readonly purgedSequence: number;
      readonly options: StoredOptions;
    },
    dir: string,
    operator: MergeOperator | undefined,
    version: Version,
    flushedSeq: number,
    active: Memtable,
    rows: RowCache,
  ) {
    this.id = meta.id;
    this.name = meta.name;
    this.createdAtMs = meta.createdAtMs;
    this.dir = dir;
    this.operator = operator;
    this.version = version.acquire();
    this.flushedSeq = flushedSeq;
    this.purgeFloor = meta.purgeFloor;
    this.purgedSequence = meta.purgedSequence;
    this.setOptions(meta.options);
    this.active = active;
    this.#rows = rows;
    // What is in the log beyond the tables was written after what is in them.
    const tables = version.tables().map((table) => table.meta.properties.maxTimeMs);
    active.sinceMs = tables.reduce((a, b) => Math.max(a, b), meta.createdAtMs);
  }

  get options(): TreeOptions {
    return this.#options;
  }

  /**
   * Above all that its values may have left to be remembered, also those that are gone.
   * @param nowMs  wall time, ms since 1970
   */
  floorOfLost(nowMs: number): number {
    return this.operator?.floorOfLost?.(nowMs, this.purgeFloor) ?? this.purgeFloor;
  }

  /** Takes what the manifest keeps from now on. */
  setOptions(stored: StoredOptions): void {
    this.#options = readOptions(stored);
    this.#measured = undefined;
  }

  /** How the tree is compacted. */
  compaction(engine: CompactionOptions): CompactionOptions {
    return compactionOf(engine, this.#options);
  }

  /** How far compaction is behind; see `pressure` of the compaction room. */
  pressure(engine: CompactionOptions): number {
    if (this.#measured !== this.version) {
      this.#measured = this.version;
      this.#pressure = pressure(this.version.metas, this.compaction(engine));
    }
    return this.#pressure;
  }

  /**
   * Starts a new memtable, the present one waits for its flush; false when there is nothing in it.
   * @param nowMs  wall time
   */
  freeze(nowMs: number): boolean {
    if (this.active.count === 0) return false;
    this.active.link();
    this.active.untilMs = nowMs;
    this.immutables.unshift(this.active);
    this.active = this.active.fresh();
    this.active.sinceMs = nowMs;
    return true;
  }

  /** Memtables, newest first. */
  memtables(): Memtable[] {
    return [this.active, ...this.immutables];
  }

  /** Bytes in memtables that hold anything. */
  get memtableBytes(): number {
    return this.memtables().reduce((sum, table) => sum + (table.count > 0 ? table.bytes : 0), 0);
  }

  /** See {@link TreeUsage}. Tables are added up once a version. */
  usage(): TreeUsage {
    if (this.#summed !== this.version) {
      this.#summed = this.version;
      let [bytes, keys] = [0, 0];
      for (const { meta: { properties } } of this.version.tables()) {
        bytes += properties.keyBytes + properties.valueBytes;
        keys += properties.entries;
      }
      this.#inTables = { bytes, keys };
    }
    let { bytes, keys } = this.#inTables;
    if (this.active.count > 0) bytes += this.active.bytes;
    keys += this.active.keys;
    for (const memtable of this.immutables) {
      bytes += memtable.bytes;
      keys += memtable.keys;
    }
    return { bytes, keys };
  }

  /** The sequence of the oldest entry that is in no table; undefined when there is none. */
  oldestUnflushed(without?: Memtable): number | undefined {
    for (const table of [...this.immutables].reverse()) if (table !== without) return table.minSeq;
    return this.active.count > 0 ? this.active.minSeq : undefined;
  }

  /** The present view. */
  hold(): HeldView {
    const [active, ...immutables] = this.memtables().map((memtable) => memtable.hold());
    const version = this.version.acquire();
    const release = () => {
      for (const memtable of [active, ...immutables]) memtable.release();
      version.release();
    };
    return { active, immutables, version, release };
  }

  /**
   * The value of a key as of a sequence, copied; undefined when there is none.
   * @param view  what to look into; absent: what there is now
   */
  read(
    key: Uint8Array,
    seq: number,
    trace?: ReadTrace,
    view: TreeView = this,
  ): Uint8Array | undefined {
    if (trace !== undefined) trace.source = "none";
    const steps = trace?.steps;
    steps?.begin();
    const search = new Search(key, this.operator, this.#copies, trace);
    steps?.enter("memtable");
    if (this.#readMemtable(view.active, key, seq, search)) return search.value;
    for (const memtable of view.immutables) {
      steps?.enter("frozen_memtable");
      if (this.#readMemtable(memtable, key, seq, search)) return search.value;
    }
    const { levels } = view.version;
    if (levels.length === 1 && levels[0].length === 0) return search.end();
    const hash1 = filterHash1(key, 0, key.length);
    // Of a key with operands in memtables there is no row: writing them has dropped it.
    if (search.started || !this.#rows.enabled) {
      return this.#readTables(levels, key, hash1, seq, search);
    }
    steps?.enter("row_cache");
    const row = this.#rows.get(this.id, key, hash1, seq);
    if (row !== undefined) {
      if (!this.#rows.foundMortal || this.deadSince(row) > this.purgedBeforeMs) {
        if (trace !== undefined) trace.source = "cache";
        steps?.took(row.length);
        return row;
      }
      this.#rows.drop(this.id, key, hash1);
    }
    const value = this.#readTables(levels, key, hash1, seq, search);
    if (value !== undefined && this.#isNewest(key, seq)) {
      const deadSince = this.deadSince(value);
      // What a compaction may have purged only the tables can tell.
      if (deadSince === 0 || deadSince > this.purgedBeforeMs) {
        this.#rows.fill(this.id, key, hash1, search.seq, value, deadSince > 0);
      }
    }
    return value;
  }

  /** Keeps the row cache true to a write, in the step that puts it into the memtable. */
  writeRow(seq: number, kind: EntryKind, key: Uint8Array, value: Uint8Array): void {
    const hash = filterHash1(key, 0, key.length);
    this.#rows.write(this.id, key, hash, seq, kind, value, this.#isMortal);
  }

  /** Takes a row into the cache that came from the second level: nothing was written to its key after `seq`. */
  keepRow(key: Uint8Array, seq: number, value: Uint8Array): void {
    if (this.dropped) return;
    const hash = filterHash1(key, 0, key.length);
    this.#rows.fill(this.id, key, hash, seq, value, this.#isMortal(value));
  }

  /** Drops a row from the cache. */
  dropRow(key: Uint8Array): void {
    this.#rows.drop(this.id, key, filterHash1(key, 0, key.length));
  }

  /** The wall ms from which on nothing in a value lives; 0: something lives for ever. */
  deadSince(value: Uint8Array): number {
    return this.operator?.deadSince?.(value, 0, value.length) ?? 0;
  }

  /**
   * Whether what was just read from tables as of a sequence is the key's newest state, so that it may be
   * kept as a row. It is not when tables hold later writes than the reader may see, or a memtable does:
   *
   *     reader at 7                          writer
   *                                          write 8 of the key: no row to change
   *     reads the tables: value of 5
   *     keeps it as the row, from 5 on       is synced; its memtable is flushed
   *                                          a reader at 8 gets the row: the write is lost
   *
   * A read that waited for the disk asks what is in memory now, not when it began: the same holds for it.
   */
  #isNewest(key: Uint8Array, seq: number): boolean {
    return !this.dropped && seq >= this.flushedSeq && !holdsLater(this.active, key, seq) &&
      !this.immutables.some((memtable) => holdsLater(memtable, key, seq));
  }

  #readTables(
    levels: Version["levels"],
    key: Uint8Array,
    hash1: number,
    seq: number,
    search: Search,
  ): Uint8Array | undefined {
    const hash2 = filterHash2(key, 0, key.length);
    for (const table of levels[0]) {
      const { smallest, largest } = table.meta.properties;
      if (compareBytes(key, smallest) < 0 || compareBytes(key, largest) > 0) continue;
      if (askTable(table, 0, key, hash1, hash2, seq, search)) return search.value;
    }
    for (let level = 1; level < levels.length; level++) {
      const index = tableFor(levels[level], key);
      if (index < 0) continue;
      const table = levels[level][index];
      if (askTable(table, level, key, hash1, hash2, seq, search)) return search.value;
    }
    return search.end();
  }

  /**
   * A cursor over all entries with keys in [start, end), and perhaps others. What has none of them is left
   * out, and tables are opened only when they are reached.
   * @param view  held for as long as the cursor is used
   */
  cursor({ active, immutables, version }: HeldView, { start, end }: KeyBounds): EntryCursor {
    const cursors: EntryCursor[] = [];
    // What comes into an empty memtable later is newer than any moment that is pinned now.
    if (active.count > 0) cursors.push(active.cursor());
    for (const memtable of immutables) cursors.push(memtable.cursor());
    for (const run of version.runs) {
      const from = start === undefined ? 0 : firstReaching(run, start);
      let to = run.length;
      if (end !== undefined) {
        // The first that reaches the end may begin before it.
        to = firstReaching(run, end);
        if (to < run.length && compareBytes(run[to].meta.properties.smallest, end) < 0) to++;
      }
      if (from >= to) continue;
      // One that is not open yet is opened at the first step, which may wait for the disk.
      const only = to - from === 1 && run[from].isOpen;
      cursors.push(only ? run[from].reader.cursor() : new LevelCursor(run, from, to));
    }
    return cursors.length === 1 ? cursors[0] : new MergingCursor(cursors);
  }

  /** About how much is in a range, from the bounds and counts of its parts. */
  estimate(bounds: KeyBounds): RangeEstimate {
    let entries = 0;
    let bytes = 0;
    for (const { meta: { properties } } of this.version.tables()) {
      const share = shareInRange(bounds, properties.smallest, properties.largest);
      entries += share * properties.entries;
      bytes += share * (properties.keyBytes + properties.valueBytes);
    }
    for (const memtable of this.memtables()) {
      if (memtable.count === 0) continue;
      const share = shareInRange(
        bounds,
        keyOf(memtable, memtable.first()),
        keyOf(memtable, memtable.last()),
      );
      entries += share * memtable.count;
      bytes += share * memtable.bytes;
    }
    return { entries: Math.ceil(entries), bytes: Math.ceil(bytes) };
  }

  #readMemtable(memtable: Memtable, key: Uint8Array, seq: number, search: Search): boolean {
    for (let node = memtable.find(key, seq); node !== 0; node = memtable.older(node)) {
      const kind = memtable.kind(node);
      if (
        search.take(
          kind,
          memtable.seq(node),
          memtable.buffer,
          memtable.keyEnd(node),
          memtable.valueEnd(node),
          "memtable",
        )
      ) {
        return true;
      }
    }
    return false;
  }
}

function keyOf(memtable: Memtable, node: number): Uint8Array {
  return memtable.buffer.subarray(memtable.keyStart(node), memtable.keyEnd(node));
}

/** Looks into a table whose range has the key; true when that ends the search. */
function askTable(
  table: LiveTable,
  level: number,
  key: Uint8Array,
  hash1: number,
  hash2: number,
  seq: number,
  search: Search,
): boolean {
  const { steps } = search;
  if (steps === undefined) {
    const { reader } = table;
    return reader.mayContain(hash1, hash2, key) && search.takeFrom(reader.find(key, seq));
  }
  const step = steps.enter("sstable", level, table.meta.number);
  if (!table.isOpen) step.opened = true;
  const { reader } = table;
  return reader.measured(step, () => {
    if (reader.mayContain(hash1, hash2, key)) return search.takeFrom(reader.find(key, seq));
    step.result = "filtered";
    return false;
  });
}

/** Folds the entries of one key, newest first, until the answer is known. */
class Search {
  /** The answer, once `take` has returned true. */
  value: Uint8Array | undefined;
  /** The sequence of the newest entry taken; -1 before the first. */
  seq = -1;
  readonly #key: Uint8Array;
  readonly #operator: MergeOperator | undefined;
  readonly #copies: Copies;
  readonly #trace: ReadTrace | undefined;
  // Newest first.
  #operands: Uint8Array[] | undefined;

  constructor(
    key: Uint8Array,
    operator: MergeOperator | undefined,
    copies: Copies,
    trace: ReadTrace | undefined,
  ) {
    this.#key = key;
    this.#operator = operator;
    this.#copies = copies;
    this.#trace = trace;
  }

  /** Where it is taken down, if anybody asks. */
  get steps(): ReadSteps | undefined {
    return this.#trace?.steps;
  }

  /** Whether any entry was taken. */
  get started(): boolean {
    return this.seq >= 0;
  }

  /** Takes one entry; true when it ends the search. */
  take(
    kind: EntryKind,
    seq: number,
    buffer: Uint8Array,
    start: number,
    end: number,
    source: "memtable" | "sstable",
  ): boolean {
    if (this.seq < 0) {
      // The newest entry decides where the answer came from.
      this.seq = seq;
      if (this.#trace !== undefined) this.#trace.source = source;
    }
    this.#trace?.steps?.took(end - start);
    if (kind === KIND_MERGE) {
      (this.#operands ??= []).push(this.#copies.copy(buffer, start, end));
      return false;
    }
    this.value = this.#fold(
      kind === KIND_PUT ? this.#copies.copy(buffer, start, end) : undefined,
    );
    return true;
  }

  /** Takes a table's entries of the key, from a cursor on the newest; true when they end the search. */
  takeFrom(cursor: TableCursor | undefined): boolean {
    if (cursor === undefined) return false;
    do {
      const { kind, seq, valueBuffer, valueStart, valueEnd } = cursor;
      if (this.take(kind, seq, valueBuffer, valueStart, valueEnd, "sstable")) return true;
      cursor.next();
    } while (cursor.valid && cursor.isAt(this.#key));
    return false;
  }

  /** The answer when nothing lies below what was taken. */
  end(): Uint8Array | undefined {
    return this.#fold(undefined);
  }

  #fold(base: Uint8Array | undefined): Uint8Array | undefined {
    if (this.#operands === undefined) return base;
    if (this.#operator === undefined) throw new Error("a merge operand in a tree without operator");
    return this.#operator.merge(this.#key, base, this.#operands.reverse());
  }
}

/** Whether a memtable has an entry of a key above a sequence. Rarely looked for: only unsynced writes are above. */
function holdsLater(memtable: Memtable, key: Uint8Array, seq: number): boolean {
  return memtable.maxSeq > seq && memtable.find(key, Infinity) !== 0;
}

/** Whether an entry of this kind can be put into a tree. */
export function acceptsKind(tree: TreeState, kind: EntryKind): boolean {
  return kind === KIND_PUT || kind === KIND_DELETE || tree.operator !== undefined;
}

/**
 * A new, empty memtable; its tower heights differ from tree to tree.
 * @param fullBytes  the size at which it will be frozen
 * @param arenas     where its memory comes from
 */
export function newMemtable(tree: number, fullBytes: number, arenas: Arenas): Memtable {
  return new Memtable(Math.imul(tree + 1, 0x9e3779b1), fullBytes, arenas);
}
