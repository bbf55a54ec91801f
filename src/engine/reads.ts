/**
 * Reads of keys: one or many, and the way of those that can wait for a slow disk, or for the second level.
 *
 * A read that waits holds the memtables and the version that it began with, so that it sees one moment
 * and its tables stay, whatever is written, flushed or compacted meanwhile.
 * @module
 */
import { compareBytes } from "../model/mod.ts";
import type { ReadTrace } from "./api.ts";
import { ColdRead, type ColdReads, Stash } from "./cold_reads.ts";
import type { SecondLevel } from "./second_level/mod.ts";
import type { TreeState, TreeView } from "./tree.ts";

/** A value, or undefined when there is none. */
export type Value = Uint8Array | undefined;

/** Keys of one call that wait for the disk at the same time. */
const PARALLEL = 32;

/** Reads from trees of one engine. */
export class Reads {
  readonly #cold: ColdReads;
  readonly #second: SecondLevel | undefined;
  readonly #noted: (error: unknown) => unknown;
  /** Reads by where they found their answer; those without a trace are the engine's own. */
  readonly answered: Record<ReadTrace["source"], number> = {
    memtable: 0,
    cache: 0,
    shared_cache: 0,
    sstable: 0,
    none: 0,
  };

  /** @param noted  told an error on its way to the caller */
  constructor(
    cold: ColdReads,
    second: SecondLevel | undefined,
    noted: (error: unknown) => unknown,
  ) {
    this.#cold = cold;
    this.#second = second;
    this.#noted = noted;
  }

  /** A value in one step, whatever the disk takes for it. */
  get(tree: TreeState, key: Uint8Array, seq: number, trace?: ReadTrace): Value {
    const value = this.#readNow(tree, tree, key, seq, trace);
    if (trace !== undefined) this.answered[trace.source]++;
    return value;
  }

  /** A value; a promise of it when it has to come from a slow disk, or may come from the second level. */
  read(tree: TreeState, key: Uint8Array, seq: number, trace?: ReadTrace): Value | Promise<Value> {
    const second = this.#secondFor(trace);
    if (second === undefined && !this.#cold.isSlow) return this.get(tree, key, seq, trace);
    const stash = new Stash();
    const found = this.#attempt(tree, tree, key, seq, trace, stash);
    if (!(found instanceof ColdRead)) {
      if (trace !== undefined) this.answered[trace.source]++;
      return found;
    }
    const view = tree.hold();
    return this.#wait(tree, view, key, seq, trace, second, stash, found)
      .finally(() => view.release());
  }

  /** Values in the order of their keys, in one step. */
  getMany(
    tree: TreeState,
    keys: readonly Uint8Array[],
    seq: number,
    traces?: readonly ReadTrace[],
  ): Value[] {
    const values = new Array<Value>(keys.length);
    for (const i of inKeyOrder(keys)) values[i] = this.get(tree, keys[i], seq, traces?.[i]);
    return values;
  }

  /** The same; a promise when some have to come from a slow disk. */
  readMany(
    tree: TreeState,
    keys: readonly Uint8Array[],
    seq: number,
    traces?: readonly ReadTrace[],
  ): Value[] | Promise<Value[]> {
    const second = this.#secondFor(traces?.[0]);
    if (second === undefined && !this.#cold.isSlow) return this.getMany(tree, keys, seq, traces);
    const values = new Array<Value>(keys.length);
    const cold: number[] = [];
    for (const i of inKeyOrder(keys)) {
      const trace = traces?.[i];
      const found = this.#attempt(tree, tree, keys[i], seq, trace, new Stash());
      if (found instanceof ColdRead) cold.push(i);
      else {
        values[i] = found;
        if (trace !== undefined) this.answered[trace.source]++;
      }
    }
    if (cold.length === 0) return values;
    const view = tree.hold();
    return this.#waitMany(tree, view, keys, seq, traces, second, cold, values)
      .finally(() => view.release());
  }

  async #waitMany(
    tree: TreeState,
    view: TreeView,
    keys: readonly Uint8Array[],
    seq: number,
    traces: readonly ReadTrace[] | undefined,
    second: SecondLevel | undefined,
    cold: readonly number[],
    values: Value[],
  ): Promise<Value[]> {
    for (let from = 0; from < cold.length; from += PARALLEL) {
      const slice = cold.slice(from, from + PARALLEL);
      const reads = slice.map(async (i) => {
        const stash = new Stash();
        values[i] = await this.#wait(tree, view, keys[i], seq, traces?.[i], second, stash);
      });
      // All of them end before the view is given up.
      const failed = (await Promise.allSettled(reads)).find(({ status }) => status === "rejected");
      if (failed !== undefined) throw (failed as PromiseRejectedResult).reason;
    }
    return values;
  }

  /** What a read asks before the disk; undefined: nothing. Whoever wants to see each step wants to see the tables. */
  #secondFor(trace: ReadTrace | undefined): SecondLevel | undefined {
    const second = this.#second;
    if (second === undefined || trace?.steps !== undefined) return undefined;
    return second.isAsked(this.#cold.isSlow) ? second : undefined;
  }

  /** A read of what is not in memory. @param cold  what an attempt lacked, when there was one */
  async #wait(
    tree: TreeState,
    view: TreeView,
    key: Uint8Array,
    seq: number,
    trace: ReadTrace | undefined,
    second: SecondLevel | undefined,
    stash: Stash,
    cold?: ColdRead,
  ): Promise<Value> {
    const row = await second?.get(tree, key, seq);
    if (row !== undefined) {
      // True for this reader, whatever came since; for the next only when nothing did.
      if (second!.isNewest(tree, key, row.sequence)) tree.keepRow(key, row.sequence, row.value);
      if (trace !== undefined) trace.source = "shared_cache";
      this.answered.shared_cache++;
      return row.value;
    }
    const value = this.#cold.isSlow
      ? await this.#fromDisk(tree, view, key, seq, trace, stash, cold)
      : this.#readNow(tree, view, key, seq, trace);
    if (trace !== undefined) this.answered[trace.source]++;
    if (value !== undefined) second?.found(tree, key, seq, value);
    return value;
  }

  /** Attempts a read until it has all that it needs. */
  async #fromDisk(
    tree: TreeState,
    view: TreeView,
    key: Uint8Array,
    seq: number,
    trace: ReadTrace | undefined,
    stash: Stash,
    cold: ColdRead | undefined,
  ): Promise<Value> {
    for (;;) {
      if (cold !== undefined) {
        try {
          await this.#cold.fetch(cold, stash);
        } catch (error) {
          throw this.#noted(error);
        }
      }
      const found = this.#attempt(tree, view, key, seq, trace, stash);
      if (!(found instanceof ColdRead)) return found;
      cold = found;
    }
  }

  #readNow(
    tree: TreeState,
    view: TreeView,
    key: Uint8Array,
    seq: number,
    trace: ReadTrace | undefined,
  ): Value {
    try {
      return tree.read(key, seq, trace, view);
    } catch (error) {
      throw this.#noted(error);
    }
  }

  #attempt(
    tree: TreeState,
    view: TreeView,
    key: Uint8Array,
    seq: number,
    trace: ReadTrace | undefined,
    stash: Stash,
  ): Value | ColdRead {
    try {
      return this.#cold.attempt(stash, () => tree.read(key, seq, trace, view));
    } catch (error) {
      throw this.#noted(error);
    }
  }
}

/** Indexes of keys, by key: neighbours lie in the same block, which is then looked up and decoded once. */
function inKeyOrder(keys: readonly Uint8Array[]): number[] {
  const order = Array.from(keys, (_, i) => i);
  return order.sort((a, b) => compareBytes(keys[a], keys[b]));
}
