/**
 * A tree of tables without bytes: what compactions do to them, for tests of the picker. Tables hold keys
 * and sequences; jobs may overlap in time and end in any order.
 * @module
 */
import assert from "node:assert/strict";
import {
  type Busy,
  checkPlan,
  type CompactionPlan,
  NO_STATE,
  pickCompaction,
  type PickState,
  spanOf,
} from "../../src/engine/compaction/mod.ts";
import type { TableMeta } from "../../src/engine/manifest/mod.ts";
import type { CompactionOptions } from "../../src/engine/mod.ts";
import { compareBytes, fromUtf8, utf8 } from "../../src/model/mod.ts";
import type { SimRandom } from "../../src/runtime/mod.ts";

/** Bytes that each entry counts for. */
export const ENTRY_BYTES = 100;

/** A table: sequence by key, and when its keys were written. */
interface ModelTable {
  readonly meta: TableMeta;
  readonly entries: ReadonlyMap<number, number>;
  readonly first: number;
}

function keyOf(key: number): Uint8Array {
  return utf8(String(key).padStart(8, "0"));
}

/** A tree of modelled tables. */
export class ModelTree {
  readonly tables = new Map<number, ModelTable>();
  readonly jobs = new Map<CompactionPlan, Busy["running"][number]>();
  /** The newest sequence of each key. */
  readonly newest = new Map<number, number>();
  options: CompactionOptions;
  nowMs = 0;
  written = 0;
  rewritten = 0;
  #nextTable = 1;
  #seq = 0;
  #levels: TableMeta[][] | undefined;
  readonly #lastKeys = new Map<number, Uint8Array>();

  constructor(options: CompactionOptions) {
    this.options = options;
  }

  /** Tables by level, as the picker gets them. */
  get levels(): TableMeta[][] {
    return this.#levels ??= this.#sorted();
  }

  #sorted(): TableMeta[][] {
    const levels: TableMeta[][] = [[]];
    for (const { meta } of this.tables.values()) {
      while (levels.length <= meta.level) levels.push([]);
      levels[meta.level].push(meta);
    }
    levels[0].sort((a, b) => b.properties.maxSeq - a.properties.maxSeq);
    for (const level of levels.slice(1)) {
      level.sort((a, b) => this.#firstKey(a) - this.#firstKey(b));
    }
    return levels;
  }

  get busy(): Busy {
    return {
      tables: new Set([...this.jobs.keys()].flatMap(({ inputs }) => inputs.map((t) => t.number))),
      running: [...this.jobs.values()],
    };
  }

  /** The number of the next table. */
  get nextTable(): number {
    return this.#nextTable;
  }

  /** Bytes of all tables. */
  get bytes(): number {
    return this.levels.flat().reduce((sum, { size }) => sum + size, 0);
  }

  #firstKey({ number }: TableMeta): number {
    return this.tables.get(number)!.first;
  }

  /** Writes keys as one flushed table. */
  flush(keys: readonly number[]): void {
    const entries = new Map<number, number>();
    for (const key of keys) {
      entries.set(key, ++this.#seq);
      this.newest.set(key, this.#seq);
    }
    this.written += entries.size * ENTRY_BYTES;
    this.#add(0, entries, this.nowMs);
  }

  /** Begins the next compaction; false when there is none. */
  begin(state: Partial<PickState> = {}): boolean {
    const picked = { ...NO_STATE, lastKeys: this.#lastKeys, nowMs: this.nowMs, ...state };
    const plan = pickCompaction(this.levels, picked, this.options, this.busy);
    if (plan === undefined) return false;
    checkPlan(this.levels, plan);
    const { tables, running } = this.busy;
    const span = spanOf(plan.inputs);
    for (const { number } of plan.inputs) assert.ok(!tables.has(number), `table ${number} is busy`);
    for (const job of running) {
      const apart: boolean = plan.outputLevel === 0 || job.outputLevel !== plan.outputLevel ||
        compareBytes(job.largest, span.smallest) < 0 ||
        compareBytes(span.largest, job.smallest) < 0;
      assert.ok(apart, `two jobs write to level ${plan.outputLevel}`);
    }
    this.jobs.set(plan, { outputLevel: plan.outputLevel, ...span });
    return true;
  }

  /** Ends a compaction. */
  end(plan: CompactionPlan): void {
    checkPlan(this.levels, plan);
    this.#levels = undefined;
    this.jobs.delete(plan);
    const inputs = plan.inputs.map(({ number }) => this.tables.get(number)!);
    for (const { number } of plan.inputs) this.tables.delete(number);
    const [first] = plan.inputs;
    if (first.level > 0) this.#lastKeys.set(first.level, first.properties.largest);
    if (plan.trivialMove) {
      for (const table of inputs) {
        const meta = { ...table.meta, level: plan.outputLevel };
        this.tables.set(meta.number, { ...table, meta });
      }
      return;
    }
    const merged = new Map<number, number>();
    for (const { entries } of inputs) {
      for (const [key, seq] of entries) merged.set(key, Math.max(seq, merged.get(key) ?? 0));
    }
    const timeMs = Math.max(...inputs.map(({ meta }) => meta.properties.createdAtMs));
    const keys = [...merged.keys()].sort((a, b) => a - b);
    const each = Math.max(1, Math.floor(plan.targetSize / ENTRY_BYTES));
    const size = Number.isFinite(each) ? each : keys.length;
    const cuts = (plan.cuts ?? []).map((key) => Number(fromUtf8(key)));
    const pieceOf = (key: number) => cuts.filter((cut) => cut <= key).length;
    for (let from = 0; from < keys.length;) {
      const piece = pieceOf(keys[from]);
      const some = keys.slice(from, from + size).filter((key) => pieceOf(key) === piece);
      this.#add(plan.outputLevel, new Map(some.map((key) => [key, merged.get(key)!])), timeMs);
      from += some.length;
    }
    this.rewritten += merged.size * ENTRY_BYTES;
  }

  /** Lets jobs begin and end until none is left and none is needed; fails when that does not come to an end. */
  settle(random: SimRandom, slots = 1, state: Partial<PickState> = {}): void {
    for (let steps = 0;; steps++) {
      assert.ok(steps < 10_000, "compactions come to an end");
      while (this.jobs.size < slots && this.begin(state));
      if (this.jobs.size === 0) return;
      this.end([...this.jobs.keys()][random.below(this.jobs.size)]);
    }
  }

  /** Every read finds the newest entry first. */
  check(): void {
    const { levels } = this;
    for (let i = 1; i < levels[0].length; i++) {
      const [newer, older] = [levels[0][i - 1].properties, levels[0][i].properties];
      assert.ok(older.maxSeq < newer.minSeq, "sequences of level 0 do not interleave");
    }
    for (const level of levels.slice(1)) {
      for (let i = 1; i < level.length; i++) {
        const [before, after] = [level[i - 1].properties, level[i].properties];
        assert.ok(compareBytes(before.largest, after.smallest) < 0, "a level does not overlap");
      }
    }
    const found = new Map<number, number>();
    for (const { number } of levels.flat()) {
      for (const [key, seq] of this.tables.get(number)!.entries) {
        if (!found.has(key)) found.set(key, seq);
      }
    }
    assert.equal(found.size, this.newest.size, "keys");
    for (const [key, seq] of found) assert.equal(seq, this.newest.get(key), `key ${key}`);
  }

  #add(level: number, entries: ReadonlyMap<number, number>, timeMs: number): void {
    const keys = [...entries.keys()];
    const seqs = [...entries.values()];
    const number = this.#nextTable++;
    this.#levels = undefined;
    const meta: TableMeta = {
      number,
      level,
      size: entries.size * ENTRY_BYTES,
      properties: {
        entries: entries.size,
        deletes: 0,
        merges: 0,
        minSeq: Math.min(...seqs),
        maxSeq: Math.max(...seqs),
        keyBytes: 0,
        valueBytes: 0,
        createdAtMs: timeMs,
        minTimeMs: timeMs,
        maxTimeMs: timeMs,
        mortal: 0,
        lastDeathMs: 0,
        rawBytes: 0,
        smallest: keyOf(Math.min(...keys)),
        largest: keyOf(Math.max(...keys)),
      },
    };
    this.tables.set(number, { meta, entries, first: Math.min(...keys) });
  }
}
