/**
 * The engine against a sorted map: the same random operations on both, under random options, the same
 * answers.
 *
 * A seed is one life of a store: options, keys and some thousands of operations. What counts as an
 * operation is one mutation, one get or one scan. A failing life prints its seed;
 * `PAIRDB_LADDER_SEED=n PAIRDB_LADDER_COUNT=1` replays it alone.
 * @module
 */
import assert from "node:assert/strict";
import {
  COMPACTION_STRATEGIES,
  type Engine,
  type EngineOptions,
  KIND_DELETE,
  KIND_MERGE,
  KIND_PUT,
  type Mutation,
  type ScanCursor,
  type ScanRange,
  type Snapshot,
} from "../../src/engine/mod.ts";
import { compareBytes, fromUtf8, utf8 } from "../../src/model/mod.ts";
import { SimRandom, type SimRuntime } from "../../src/runtime/mod.ts";
import { DEAD, engineWorld, openTestEngine, SMALL } from "../support/engine.ts";
import { firstSeed, reached, wanted } from "../support/ladder.ts";

/** Steps of one life; a step is some operations. */
const STEPS = 2500;
const TREES = ["one", "two", "three"];
/** In this one values die; what is dead is as good as absent, and may be there or not. */
const MORTAL = "three";

/** The keys that a life knows, in order. */
interface Keys {
  readonly bytes: readonly Uint8Array[];
  readonly texts: readonly string[];
}

/** By key index; undefined where there is no value. */
type Model = (string | undefined)[];

/** Keys of different lengths, some of which are prefixes of others, some beyond the first plane. */
function makeKeys(random: SimRandom): Keys {
  const alphabet = ["a", "b", "c", "\u{ff61}", "\u{10002}", "~"];
  const texts = new Set<string>();
  const count = [12, 60, 250][random.below(3)];
  while (texts.size < count) {
    let key = "";
    for (let i = 0; i <= random.below(4); i++) key += alphabet[random.below(alphabet.length)];
    texts.add(random.below(20) === 0 ? key + "x".repeat(random.below(400)) : key);
  }
  const sorted = [...texts].sort((a, b) => compareBytes(utf8(a), utf8(b)));
  return { texts: sorted, bytes: sorted.map((text) => utf8(text)) };
}

function makeOptions(random: SimRandom): EngineOptions {
  const modes = ["always", "batch", "none"] as const;
  const codecs = ["none", "lz4", "snappy", "zstd"] as const;
  return {
    ...SMALL,
    memtableSize: 512 + random.below(8192),
    maxImmutables: 1 + random.below(3),
    memtableBudget: random.below(4) === 0 ? 4096 + random.below(8192) : SMALL.memtableBudget,
    table: {
      ...SMALL.table,
      blockSize: 64 + random.below(1024),
      falsePositives: 0.01 + random.below(50) / 100,
      compression: Array.from({ length: 1 + random.below(3) }, () => codecs[random.below(4)]),
      partitionSize: random.below(2) === 0 ? 1 + random.below(40) : 65536,
    },
    ...(random.below(4) === 0 ? { encryption: { key: random.bytes(32) } } : {}),
    rowCacheSize: [0, 1024, 8192, 1 << 20][random.below(4)],
    encryption: random.below(3) === 0 ? { key: random.bytes(32) } : undefined,
    blockCacheSize: [0, 2048, 8192, 1 << 20][random.below(4)],
    log: {
      ...SMALL.log,
      syncMode: modes[random.below(3)],
      syncEvery: 1 + random.below(20),
      segmentSize: 1000 + random.below(20_000),
    },
    compaction: {
      ...SMALL.compaction,
      strategy: COMPACTION_STRATEGIES[random.below(COMPACTION_STRATEGIES.length)],
      windowMs: 1 + random.below(50),
      tombstoneGraceMs: random.below(2) * 86_400_000,
      l0Trigger: 1 + random.below(4),
      baseLevelSize: 1024 + random.below(8192),
      targetTableSize: 512 + random.below(2048),
    },
  };
}

/** A moment that is held: what was there then must stay readable. */
interface Held {
  readonly snapshot: Snapshot;
  readonly models: ReadonlyMap<string, Model>;
}

/** A scan that is under way while the store goes on changing. */
interface Open {
  readonly cursor: ScanCursor;
  readonly rest: [key: string, value: string][];
}

/** One life of a store and its model. */
class Life {
  readonly #random: SimRandom;
  readonly #world: SimRuntime;
  readonly #delays: boolean;
  readonly #keys: Keys;
  readonly #options: EngineOptions;
  readonly #models = new Map<string, Model>();
  readonly #numbers = new Set<string>();
  #held: Held[] = [];
  #open: Open[] = [];
  #engine!: Engine;
  #step = 0;
  /** Operations compared so far. */
  operations = 0;
  flushes = 0;
  compactions = 0;
  /** Closings after which something had been dropped because it was dead. */
  purges = 0;

  constructor(seed: number) {
    this.#random = new SimRandom(seed);
    this.#delays = this.#random.below(4) === 0;
    this.#world = engineWorld({ seed, delays: this.#delays });
    this.#world.disk.hook = ({ op, path }) => this.#watch(op, path);
    this.#keys = makeKeys(this.#random);
    this.#options = makeOptions(this.#random);
  }

  async run(): Promise<void> {
    await this.#start();
    for (const name of TREES) await this.#makeTree(name);
    const steps = this.#delays ? STEPS / 4 : STEPS;
    while (this.#step++ < steps) await this.#next();
    for (const name of TREES) this.#check(name);
    await this.#close();
    assert.deepEqual(this.#world.log.events.filter((event) => event.level === "error"), []);
  }

  async #next(): Promise<void> {
    const random = this.#random;
    const choice = random.below(200);
    const name = TREES[random.below(TREES.length)];
    if (choice < 130) await this.#write();
    else if (choice < 165) this.#check(name);
    else if (choice < 169) this.#hold();
    else if (choice < 177) this.#check(name, this.#pick(this.#held));
    else if (choice < 180) this.#drop(this.#held)?.snapshot.release();
    else if (choice < 186) this.#openScan(name);
    else if (choice < 190) this.#goOn();
    else if (choice < 192) await this.#wait(this.#engine.flush(this.#someTree()));
    else if (choice < 194) await this.#wait(this.#engine.compact(this.#someTree()));
    else if (choice === 194 && random.below(4) === 0) await this.#replaceTree(name);
    else if (choice === 195) await this.#reopen();
    else if (choice === 196) await this.#compactRange(name);
    else if (choice === 197) await this.#changeOptions(name);
  }

  /** A range on demand, with the dead in it or without. */
  async #compactRange(name: string): Promise<void> {
    const { start, end } = this.#range(name);
    const purge = this.#random.below(2) === 0;
    await this.#wait(this.#engine.compact(this.#engine.tree(name)!, { start, end, purge }));
  }

  /** Another strategy, or the engine's own, in the middle of everything. */
  async #changeOptions(name: string): Promise<void> {
    const random = this.#random;
    const strategy = COMPACTION_STRATEGIES[random.below(COMPACTION_STRATEGIES.length + 1)];
    const windowMs = random.below(2) === 0 ? undefined : 1 + random.below(100);
    await this.#wait(
      this.#engine.setTreeOptions(this.#engine.tree(name)!, { strategy, windowMs }),
    );
  }

  /** No file number is ever used twice, not even for a file that is long gone. */
  #watch(op: string, path: string): undefined {
    const number = op === "create"
      ? /\/(?:MANIFEST-)?(\d{6})(?:\.\w+)?$/.exec(path)?.[1]
      : undefined;
    if (number === undefined) return;
    assert.ok(!this.#numbers.has(number), `${path}: the number was used before`);
    this.#numbers.add(number);
  }

  /** One batch, or several writers at once; their order is that of the calls. */
  async #write(): Promise<void> {
    const writers = this.#random.below(6) === 0 ? 1 + this.#random.below(8) : 1;
    const name = TREES[this.#random.below(TREES.length)];
    const tree = this.#engine.tree(name)!;
    const index = this.#random.below(this.#keys.bytes.length);
    const key = this.#keys.bytes[index];
    const model = this.#models.get(name)!;
    const before = model[index];
    const done: Promise<void>[] = [];
    const spread = this.#random.below(2) === 0;
    for (let i = 0; i < writers; i++) {
      done.push(this.#engine.write(this.#batch()));
      // Some come while the group before them is being written, or a segment is begun.
      for (let turn = this.#random.below(spread ? 12 : 1); turn > 0; turn--) {
        await Promise.resolve();
      }
    }
    if (this.#random.below(4) === 0 && !spread) {
      // Until they are committed, only those see them who ask for what waits.
      this.#same(this.#engine.get(tree, key), before, `get ${name} ${index} before the commit`);
      this.#same(this.#engine.getPending(tree, key), model[index], `pending ${name} ${index}`);
    }
    await this.#wait(Promise.all(done));
  }

  #batch(): Mutation[] {
    const random = this.#random;
    const mutations: Mutation[] = [];
    for (let i = 0; i <= random.below(4); i++) {
      const target = TREES[random.below(TREES.length)];
      const index = random.below(this.#keys.bytes.length);
      const model = this.#models.get(target)!;
      const kind = [KIND_PUT, KIND_PUT, KIND_DELETE, KIND_MERGE][random.below(4)] as 0 | 1 | 2;
      const dies = target === MORTAL && kind === KIND_PUT && random.below(3) === 0;
      const value = `${dies ? DEAD : ""}${this.#step}.${i}` + "v".repeat(random.below(60));
      mutations.push({
        tree: this.#engine.tree(target)!,
        kind,
        key: this.#keys.bytes[index],
        value: utf8(value),
      });
      const before = model[index];
      if (kind === KIND_PUT) model[index] = dies ? undefined : value;
      else if (kind === KIND_DELETE) model[index] = undefined;
      else model[index] = before === undefined ? value : `${before},${value}`;
      this.operations++;
    }
    return mutations;
  }

  /** Compares some keys and a range, now or at a held moment. */
  #check(name: string, held?: Held): void {
    const random = this.#random;
    const tree = this.#engine.tree(name)!;
    const model = (held?.models ?? this.#models).get(name)!;
    const { bytes, texts } = this.#keys;
    for (let i = 0; i < 12; i++) {
      const index = random.below(bytes.length);
      const value = this.#engine.get(tree, bytes[index], { snapshot: held?.snapshot });
      this.#same(value, model[index], `get ${name} ${texts[index]}`);
    }
    assert.equal(
      this.#engine.get(tree, utf8(`${texts[0]}!`), { snapshot: held?.snapshot }),
      undefined,
    );
    const range = this.#range(name);
    const cursor = this.#engine.scan(tree, range, held?.snapshot);
    for (const [key, value] of this.#expected(model, range)) this.#sameNext(cursor, key, value);
    assert.ok(!nextLiving(cursor), `a scan of ${name} shows more than there is`);
    cursor.close();
    this.operations += 2;
  }

  #range(name: string): ScanRange {
    const random = this.#random;
    const { bytes, texts } = this.#keys;
    const bounds = random.below(3) > 0;
    const ends = [random.below(bytes.length), random.below(bytes.length)].sort((a, b) => a - b);
    return {
      start: bounds ? bytes[ends[0]] : undefined,
      end: bounds ? bytes[ends[1]] : undefined,
      prefix: random.below(4) === 0 ? utf8([...texts[ends[0]]][0]) : undefined,
      // A limit counts what is there, dead or alive.
      limit: random.below(3) === 0 && name !== MORTAL ? 1 + random.below(20) : undefined,
      reverse: random.below(2) === 0,
    };
  }

  #expected(model: Model, range: ScanRange): [string, string][] {
    const { bytes, texts } = this.#keys;
    const { start, end, prefix, limit, reverse } = range;
    const rows: [string, string][] = [];
    for (const [i, key] of bytes.entries()) {
      const value = model[i];
      if (value === undefined) continue;
      if (start !== undefined && compareBytes(key, start) < 0) continue;
      if (end !== undefined && compareBytes(key, end) >= 0) continue;
      if (prefix?.every((byte, at) => key[at] === byte) ?? true) rows.push([texts[i], value]);
    }
    return (reverse ? rows.reverse() : rows).slice(0, limit);
  }

  #sameNext(cursor: ScanCursor, key: string, value: string): void {
    assert.ok(nextLiving(cursor), `a scan ends before ${key}`);
    assert.equal(fromUtf8(cursor.key), key);
    assert.equal(fromUtf8(cursor.value), value, `scan ${key}`);
  }

  #same(value: Uint8Array | undefined, expected: string | undefined, what: string): void {
    const text = value && fromUtf8(value);
    const found = text?.startsWith(DEAD) ? undefined : text;
    if (found !== expected) assert.equal(found, expected, what);
    this.operations++;
  }

  #hold(): void {
    const models = new Map([...this.#models].map(([name, model]) => [name, [...model]]));
    this.#held.push({ snapshot: this.#engine.snapshot(), models });
    if (this.#held.length > 4) this.#drop(this.#held)!.snapshot.release();
  }

  /** Begins a scan that goes on while other things happen. */
  #openScan(name: string): void {
    const range = this.#range(name);
    const cursor = this.#engine.scan(this.#engine.tree(name)!, range);
    this.#open.push({ cursor, rest: this.#expected(this.#models.get(name)!, range) });
    if (this.#open.length > 3) this.#drop(this.#open)!.cursor.close();
  }

  /** Takes an open scan some steps further, or to its end. */
  #goOn(): void {
    const open = this.#pick(this.#open);
    if (open === undefined) return;
    for (let i = 0; i <= this.#random.below(10); i++) {
      const next = open.rest.shift();
      if (next !== undefined) this.#sameNext(open.cursor, ...next);
      else {
        assert.ok(!nextLiving(open.cursor), "a long scan shows more than there was");
        open.cursor.close();
        this.#open = this.#open.filter((other) => other !== open);
        this.operations++;
        return;
      }
    }
  }

  async #replaceTree(name: string): Promise<void> {
    this.#letGo();
    await this.#wait(this.#engine.dropTree(this.#engine.tree(name)!));
    await this.#makeTree(name);
  }

  async #makeTree(name: string): Promise<void> {
    await this.#wait(
      this.#engine.createTree(name, { mergeOperator: name === MORTAL ? "mortal" : "append" }),
    );
    this.#models.set(name, new Array(this.#keys.bytes.length));
  }

  async #reopen(): Promise<void> {
    await this.#close();
    await this.#start();
    assert.equal(this.#engine.recovery.losses.length, 0);
    assert.equal(this.#engine.recovery.tornBytes, 0);
  }

  async #close(): Promise<void> {
    this.#letGo();
    const { flushes, compactions } = this.#engine.stats();
    this.flushes += flushes;
    this.compactions += compactions;
    if (this.#engine.tree(MORTAL)!.purgeFloor > 0) this.purges++;
    await this.#wait(this.#engine.close());
  }

  async #start(): Promise<void> {
    this.#engine = await this.#wait(openTestEngine(this.#world, this.#options));
  }

  #letGo(): void {
    for (const { snapshot } of this.#held.splice(0)) snapshot.release();
    for (const { cursor } of this.#open.splice(0)) cursor.close();
  }

  #someTree() {
    if (this.#random.below(2) === 0) return undefined;
    return this.#engine.tree(TREES[this.#random.below(TREES.length)]);
  }

  #pick<T>(items: readonly T[]): T | undefined {
    return items[this.#random.below(Math.max(1, items.length))];
  }

  #drop<T>(items: T[]): T | undefined {
    return items.splice(this.#random.below(Math.max(1, items.length)), 1)[0];
  }

  /** Waits, and lets the world's clock move where that is needed. */
  #wait<T>(promise: Promise<T>): Promise<T> {
    return this.#delays ? this.#world.clock.runUntil(promise) : promise;
  }
}

/** Moves to the next value that is not dead. */
function nextLiving(cursor: ScanCursor): boolean {
  while (cursor.next()) if (!fromUtf8(cursor.value).startsWith(DEAD)) return true;
  return false;
}

Deno.test("the engine answers as a sorted map does, whatever its options [E32, N15]", async () => {
  const least = wanted("oracle");
  let seed = firstSeed();
  let operations = 0;
  let flushes = 0;
  let compactions = 0;
  let purges = 0;
  for (; operations < least; seed++) {
    const life = new Life(seed);
    try {
      await life.run();
    } catch (error) {
      throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
    }
    operations += life.operations;
    flushes += life.flushes;
    compactions += life.compactions;
    purges += life.purges;
  }
  assert.ok(flushes > 0 && compactions > 0, "the lives flushed and compacted");
  assert.ok(purges > 0, "something died and was dropped");
  reached("oracle", operations, least, { nextSeed: seed, flushes, compactions, purges });
});
