/**
 * The row cache under races: readers, unsynced writes, flushes, compactions, snapshots and drops at every
 * point of a write's way, against the list of all writes. No read may show what is not acknowledged, an
 * older state than its moment's, or another.
 * @module
 */
import assert from "node:assert/strict";
import {
  type Engine,
  type EntryKind,
  KIND_DELETE,
  KIND_MERGE,
  KIND_PUT,
  type ReadTrace,
  type Snapshot,
  type Tree,
} from "../../src/engine/mod.ts";
import { fromUtf8, utf8 } from "../../src/model/mod.ts";
import { SimRandom } from "../../src/runtime/mod.ts";
import { engineWorld, openTestEngine, SMALL } from "../support/engine.ts";

/** What a key held after each of its writes, by sequence. */
type History = { readonly seq: number; readonly value: string | undefined }[];

class Race {
  readonly #random: SimRandom;
  readonly #world;
  readonly #rowCacheSize: number;
  #engine!: Engine;
  readonly #trees = new Map<string, { tree: Tree; keys: Map<string, History> }>();
  readonly #snapshots: Snapshot[] = [];
  /** The last sequence given out, and the last that is acknowledged. */
  #last = 0;
  #acknowledged = 0;
  #step = 0;
  #writes: Promise<void>[] = [];
  #background: Promise<unknown>[] = [];
  readonly sources = new Map<string, number>();
  pendingReads = 0;

  constructor(seed: number) {
    this.#random = new SimRandom(seed);
    this.#world = engineWorld({ seed, delays: true });
    this.#rowCacheSize = [700, 3000, 1 << 16, 1 << 20][seed % 4];
  }

  async run(steps: number): Promise<void> {
    this.#engine = await this.#until(openTestEngine(this.#world, {
      ...SMALL,
      memtableSize: 1000,
      rowCacheSize: this.#rowCacheSize,
      log: { ...SMALL.log, syncMode: "always" },
    }));
    for (const name of ["a", "b"]) await this.#create(name);
    while (this.#step++ < steps) await this.#next();
    await this.#settle();
    for (const name of this.#trees.keys()) for (const key of KEYS) this.#check(name, key);
    for (const snapshot of this.#snapshots.splice(0)) snapshot.release();
    await this.#until(this.#engine.close());
  }

  async #next(): Promise<void> {
    const random = this.#random;
    const choice = random.below(1000);
    const name = random.below(2) === 0 ? "a" : "b";
    if (choice < 250) this.#write(name);
    else if (choice < 800) this.#check(name, KEYS[random.below(KEYS.length)]);
    else if (choice < 950) await this.#let();
    else if (choice < 965) this.#snapshots.push(this.#engine.snapshot());
    else if (choice < 980) this.#snapshots.shift()?.release();
    else if (choice < 990) this.#background.push(this.#engine.flush());
    else if (choice < 996) this.#background.push(this.#engine.compact());
    else if (choice === 996) {
      await this.#settle();
      for (const snapshot of this.#snapshots.splice(0)) snapshot.release();
      await this.#until(this.#engine.dropTree(this.#trees.get(name)!.tree));
      await this.#create(name);
    } else await this.#settle();
  }

  async #create(name: string): Promise<void> {
    const tree = await this.#until(this.#engine.createTree(name, { mergeOperator: "append" }));
    this.#trees.set(name, { tree, keys: new Map() });
  }

  #write(name: string): void {
    const random = this.#random;
    const { tree, keys } = this.#trees.get(name)!;
    const mutations = Array.from({ length: 1 + random.below(3) }, (_, i) => {
      const key = KEYS[random.below(KEYS.length)];
      const kind = ([KIND_PUT, KIND_PUT, KIND_DELETE, KIND_MERGE] as const)[random.below(4)];
      const value = `${this.#step}.${i}${"v".repeat(random.below(40))}`;
      return { tree, kind: kind as EntryKind, key: utf8(key), value: utf8(value), name: key };
    });
    const done = this.#engine.write(mutations);
    for (const { name, kind, value } of mutations) {
      const history = keys.get(name) ?? [];
      const before = history.at(-1)?.value;
      const text = fromUtf8(value);
      const after = kind === KIND_DELETE
        ? undefined
        : kind === KIND_PUT || before === undefined
        ? text
        : `${before},${text}`;
      history.push({ seq: ++this.#last, value: after });
      keys.set(name, history);
    }
    const upTo = this.#last;
    this.#writes.push(done.then(() => {
      this.#acknowledged = Math.max(this.#acknowledged, upTo);
    }));
  }

  /** Reads a key at every moment there is. */
  #check(name: string, key: string): void {
    const { tree, keys } = this.#trees.get(name)!;
    const history = keys.get(key) ?? [];
    const at = (seq: number) => history.findLast((state) => state.seq <= seq)?.value;
    const text = (value: Uint8Array | undefined) => value && fromUtf8(value);
    const bytes = utf8(key);
    const trace: ReadTrace = { source: "none" };
    if (this.#random.below(2) === 0) this.#checkSnapshots(tree, bytes, at);
    const found = text(this.#engine.get(tree, bytes, { trace }));
    // A write's promise resolves a little after its group has become visible.
    const visible = this.#engine.snapshot();
    visible.release();
    assert.ok(visible.sequence >= this.#acknowledged && visible.sequence <= this.#last);
    assert.equal(found, at(visible.sequence), `step ${this.#step}, from ${trace.source}`);
    this.sources.set(trace.source, (this.sources.get(trace.source) ?? 0) + 1);
    assert.equal(text(this.#engine.getPending(tree, bytes)), at(Infinity), `step ${this.#step}`);
    if (visible.sequence < this.#last) this.pendingReads++;
    if (this.#random.below(2) === 0) this.#checkSnapshots(tree, bytes, at);
  }

  #checkSnapshots(tree: Tree, key: Uint8Array, at: (seq: number) => string | undefined): void {
    for (const snapshot of this.#snapshots) {
      const found = this.#engine.get(tree, key, { snapshot });
      assert.equal(found && fromUtf8(found), at(snapshot.sequence), `step ${this.#step}, snapshot`);
    }
  }

  /** Lets the world go on a little. */
  async #let(): Promise<void> {
    for (let i = this.#random.below(20); i > 0; i--) await Promise.resolve();
    if (this.#random.below(3) === 0) await this.#world.clock.advance(this.#random.below(30) / 10);
  }

  async #settle(): Promise<void> {
    await this.#until(Promise.all(this.#writes.splice(0)));
    await this.#until(Promise.all(this.#background.splice(0)));
  }

  /** Waits, and lets the world's clock move. */
  #until<T>(promise: Promise<T>): Promise<T> {
    return this.#world.clock.runUntil(promise);
  }
}

const KEYS = Array.from({ length: 12 }, (_, i) => `key ${i}`);
const STEPS = Number(Deno.env.get("PAIRDB_RACE_STEPS") ?? 3000);

for (const seed of [1, 2, 3, 4, 5, 6, 7, 8]) {
  Deno.test(`no reader can tell the row cache from the tables (seed ${seed}) [E31, E32, E33]`, async () => {
    const race = new Race(seed);
    await race.run(STEPS);
    for (const source of ["cache", "memtable", "sstable"]) {
      assert.ok((race.sources.get(source) ?? 0) > 20, `${source} was read from`);
    }
    assert.ok(race.pendingReads > 20, "reads met unsynced writes");
  });
}
