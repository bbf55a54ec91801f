/**
 * The second level under races, with a cache that answers with what is old, another key's or damaged, forgets
 * and fails to forget, is slow, hangs, is away for a while and starts again, behind a node that flushes, compacts,
 * purges, drops and starts again: against the list of all writes. No read may show another state than its
 * moment's.
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
  SECOND_LEVEL_MODES,
  type Snapshot,
  type Tree,
} from "../../src/engine/mod.ts";
import { fromUtf8, utf8 } from "../../src/model/mod.ts";
import { SimRandom, SimSharedCache } from "../../src/runtime/mod.ts";
import { engineWorld, openTestEngine, SMALL } from "../support/engine.ts";
import { SlowDisk } from "../support/slow_disk.ts";

/** What a key held after each of its writes, by sequence. */
type History = { readonly seq: number; readonly value: string | undefined }[];

const WRONG = {
  stale: 0.2,
  foreign: 0.05,
  damaged: 0.05,
  lostSet: 0.1,
  lostDelete: 0.3,
  error: 0.01,
  hang: 0.003,
  delayMs: 2,
};

class Race {
  readonly #random: SimRandom;
  readonly #world;
  readonly #slow: SlowDisk | undefined;
  readonly #seed: number;
  readonly cache: SimSharedCache;
  #engine!: Engine;
  readonly #trees = new Map<string, { tree: Tree; keys: Map<string, History> }>();
  readonly #snapshots: Snapshot[] = [];
  #last = 0;
  #step = 0;
  #writes: Promise<void>[] = [];
  #reads: Promise<void>[] = [];
  #background: Promise<unknown>[] = [];
  /** What the first read that was wrong said. */
  #failure: unknown;
  readonly sources = new Map<string, number>();
  /** Sums of the figures of engines that were closed. */
  hits = 0;
  unproven = 0;

  constructor(seed: number) {
    this.#seed = seed;
    this.#random = new SimRandom(seed);
    this.#world = engineWorld({ seed, delays: true });
    this.cache = new SimSharedCache(this.#world.clock, new SimRandom(seed + 1000));
    if (seed % 2 === 0) this.#slow = new SlowDisk(this.#world.disk, this.#world.clock);
  }

  async run(steps: number): Promise<void> {
    await this.#open();
    for (const name of ["a", "b"]) await this.#create(name);
    while (this.#step++ < steps) await this.#next();
    await this.#settle();
    this.cache.faults = { stale: 1 };
    for (const name of this.#trees.keys()) for (const key of KEYS) this.#check(name, key);
    await this.#settle();
    await this.#close();
  }

  async #open(): Promise<void> {
    const world = this.#slow === undefined
      ? this.#world
      : { ...this.#world, disk: this.#slow.disk };
    this.#engine = await this.#until(openTestEngine(world, {
      ...SMALL,
      memtableSize: 1000,
      blockCacheSize: this.#seed % 3 === 0 ? 2048 : 0,
      rowCacheSize: [0, 300][this.#seed % 2],
      log: { ...SMALL.log, syncMode: "always" },
      compaction: { ...SMALL.compaction, tombstoneGraceMs: 0 },
      secondLevel: {
        // One that is closed is closed for good.
        cache: Object.assign(Object.create(this.cache), {
          getMany: (keys: string[]) => this.cache.getMany(keys),
          setMany: (entries: [], ttlMs: number) => this.cache.setMany(entries, ttlMs),
          deleteMany: (keys: string[]) => this.cache.deleteMany(keys),
          reset: () => this.cache.reset(),
          close: () => {},
        }),
        mode: SECOND_LEVEL_MODES[this.#seed % SECOND_LEVEL_MODES.length],
        ask: "always",
        ttlMs: 2000,
        valueMax: 200,
        timeoutMs: 5,
        queueBytes: this.#seed === 4 ? 500 : 1 << 20,
      },
    }));
  }

  async #close(): Promise<void> {
    for (const snapshot of this.#snapshots.splice(0)) snapshot.release();
    const stats = this.#engine.stats();
    this.hits += stats.sharedCacheHits;
    this.unproven += stats.sharedCacheUnproven;
    await this.#until(this.#engine.close());
  }

  async #next(): Promise<void> {
    const random = this.#random;
    const choice = random.below(1000);
    const name = random.below(2) === 0 ? "a" : "b";
    if (choice < 100) this.#write(name);
    else if (choice < 750) this.#check(name, KEYS[random.below(KEYS.length)]);
    else if (choice < 920) await this.#let();
    else if (choice < 930) this.#snapshots.push(this.#engine.snapshot());
    else if (choice < 940) this.#snapshots.shift()?.release();
    else if (choice < 965) this.#background.push(this.#engine.flush());
    else if (choice < 970) this.#background.push(this.#engine.compact());
    else if (choice < 975) this.cache.partitioned = random.below(4) === 0;
    else if (choice < 978) this.cache.restart();
    else if (choice < 982) this.cache.faults = random.below(2) === 0 ? WRONG : { delayMs: 1 };
    else if (choice < 988) {
      const { tree } = this.#trees.get(name)!;
      this.#background.push(this.#engine.uncache(tree, { start: utf8("key 3") }));
    } else if (choice < 994) {
      this.#background.push(this.#engine.cache(this.#trees.get(name)!.tree, {}));
    } else if (choice === 994) {
      await this.#settle();
      for (const snapshot of this.#snapshots.splice(0)) snapshot.release();
      await this.#until(this.#engine.compact(this.#trees.get(name)!.tree, { purge: true }));
    } else if (choice === 995) {
      await this.#settle();
      for (const snapshot of this.#snapshots.splice(0)) snapshot.release();
      await this.#until(this.#engine.dropTree(this.#trees.get(name)!.tree));
      await this.#create(name);
    } else if (choice === 996) {
      await this.#settle();
      await this.#close();
      await this.#open();
      for (const [of, { keys }] of this.#trees) {
        this.#trees.set(of, { tree: this.#engine.tree(of)!, keys });
      }
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
      const kind = ([KIND_PUT, KIND_PUT, KIND_PUT, KIND_DELETE, KIND_MERGE] as const)[
        random.below(5)
      ];
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
    // Whoever gave the bytes may use them for something else once the call is back.
    for (const { value } of mutations) value.fill(0x21);
    this.#writes.push(done);
  }

  /** Reads a key, at the present moment or at one that is pinned. */
  #check(name: string, key: string): void {
    const { tree, keys } = this.#trees.get(name)!;
    const pinned = this.#random.below(4) === 0 ? this.#snapshots[0] : undefined;
    const now = this.#engine.snapshot();
    now.release();
    const { sequence } = pinned ?? now;
    const expected = (keys.get(key) ?? []).findLast((state) => state.seq <= sequence)?.value;
    const trace: ReadTrace = { source: "none" };
    const step = this.#step;
    const found = this.#engine.read(tree, utf8(key), { snapshot: pinned, trace });
    const judge = (value: Uint8Array | undefined) => {
      assert.equal(value && fromUtf8(value), expected, `step ${step}, from ${trace.source}`);
      this.sources.set(trace.source, (this.sources.get(trace.source) ?? 0) + 1);
    };
    const fail = (error: unknown) => void (this.#failure ??= error);
    if (found instanceof Promise) this.#reads.push(found.then(judge).catch(fail));
    else judge(found);
  }

  /** Lets the world go on a little. */
  async #let(): Promise<void> {
    for (let i = this.#random.below(20); i > 0; i--) await Promise.resolve();
    if (this.#random.below(2) === 0) await this.#world.clock.advance(this.#random.below(30) / 10);
    // Long enough for a cache that was away to be found again.
    if (this.#random.below(15) === 0) await this.#world.clock.advance(3000);
  }

  async #settle(): Promise<void> {
    await this.#until(Promise.all(this.#writes.splice(0)));
    await this.#until(Promise.all(this.#reads.splice(0)));
    if (this.#failure !== undefined) throw this.#failure;
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
  const mode = SECOND_LEVEL_MODES[seed % SECOND_LEVEL_MODES.length];
  Deno.test(`no reader can tell a faulty shared cache from the tables (${mode}, seed ${seed}) [K6]`, async () => {
    const race = new Race(seed);
    await race.run(STEPS);
    assert.ok(race.hits > 10, `${race.hits} reads were answered by it`);
    assert.ok(race.unproven > 20, `${race.unproven} answers were not believed`);
    assert.ok((race.sources.get("sstable") ?? 0) > 20);
  });
}
