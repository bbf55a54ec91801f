/**
 * The second level under races, with a cache that answers with what is old, another key's or damaged, forgets
 * and fails to forget, is slow, hangs, is away for a while and starts again, behind a node that flushes, compacts,
 * purges, drops and starts again: against the list of all writes. No read may show another state than its
 * moment's.
 * @module
 */
import assert from "node:assert/strict";
import { type ReadTrace, SECOND_LEVEL_MODES } from "../../src/engine/mod.ts";
import { fromUtf8, utf8 } from "../../src/model/mod.ts";
import { SimRandom, SimSharedCache } from "../../src/runtime/mod.ts";
import { openTestEngine, SMALL } from "../support/engine.ts";
import { EngineRace, RACE_SEEDS, RACE_STEPS } from "../support/engine_race.ts";
import { SlowDisk } from "../support/slow_disk.ts";

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

class SecondLevelRace extends EngineRace {
  readonly #seed: number;
  readonly #slow: SlowDisk | undefined;
  /** What the first read that was wrong said. */
  #failure: unknown;
  readonly cache: SimSharedCache;
  /** Sums of the figures of engines that were closed. */
  hits = 0;
  unproven = 0;

  constructor(seed: number) {
    super(seed, 3);
    this.#seed = seed;
    this.cache = new SimSharedCache(this.world.clock, new SimRandom(seed + 1000));
    if (seed % 2 === 0) this.#slow = new SlowDisk(this.world.disk, this.world.clock);
  }

  protected override async open(): Promise<void> {
    const world = this.#slow === undefined ? this.world : { ...this.world, disk: this.#slow.disk };
    this.engine = await this.until(openTestEngine(world, {
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

  protected override async close(): Promise<void> {
    this.releaseSnapshots();
    const stats = this.engine.stats();
    this.hits += stats.sharedCacheHits;
    this.unproven += stats.sharedCacheUnproven;
    await super.close();
  }

  protected override async next(choice: number, name: string): Promise<void> {
    const { random, engine, background } = this;
    if (choice < 100) this.write(name);
    else if (choice < 750) this.check(name, this.someKey());
    else if (choice < 920) {
      await this.let(2);
      // Long enough for a cache that was away to be found again.
      if (random.below(15) === 0) await this.world.clock.advance(3000);
    } else if (choice < 930) this.snapshots.push(engine.snapshot());
    else if (choice < 940) this.snapshots.shift()?.release();
    else if (choice < 965) background.push(engine.flush());
    else if (choice < 970) background.push(engine.compact());
    else if (choice < 975) this.cache.partitioned = random.below(4) === 0;
    else if (choice < 978) this.cache.restart();
    else if (choice < 982) this.cache.faults = random.below(2) === 0 ? WRONG : { delayMs: 1 };
    else if (choice < 988) {
      background.push(engine.uncache(this.tree(name), { start: utf8("key 3") }));
    } else if (choice < 994) background.push(engine.cache(this.tree(name), {}));
    else if (choice === 994) {
      await this.settle();
      this.releaseSnapshots();
      await this.until(engine.compact(this.tree(name), { purge: true }));
    } else if (choice === 995) await this.dropAndCreate(name);
    else if (choice === 996) await this.reopen();
    else await this.settle();
  }

  /** Reads a key, at the present moment or at one that is pinned. */
  protected override check(name: string, key: string): void {
    const pinned = this.random.below(4) === 0 ? this.snapshots[0] : undefined;
    const now = this.engine.snapshot();
    now.release();
    const expected = this.valueAt(name, key, (pinned ?? now).sequence);
    const trace: ReadTrace = { source: "none" };
    const { step } = this;
    const found = this.engine.read(this.tree(name), utf8(key), { snapshot: pinned, trace });
    const judge = (value: Uint8Array | undefined) => {
      assert.equal(value && fromUtf8(value), expected, `step ${step}, from ${trace.source}`);
      this.noteSource(trace.source);
    };
    const fail = (error: unknown) => void (this.#failure ??= error);
    if (found instanceof Promise) this.reads.push(found.then(judge).catch(fail));
    else judge(found);
  }

  protected override async settle(): Promise<void> {
    await super.settle();
    if (this.#failure !== undefined) throw this.#failure;
  }
}

for (const seed of RACE_SEEDS) {
  const mode = SECOND_LEVEL_MODES[seed % SECOND_LEVEL_MODES.length];
  Deno.test(`no reader can tell a faulty shared cache from the tables (${mode}, seed ${seed}) [K6]`, async () => {
    const race = new SecondLevelRace(seed);
    await race.run(RACE_STEPS);
    race.cache.faults = { stale: 1 };
    await race.end();
    assert.ok(race.hits > 10, `${race.hits} reads were answered by it`);
    assert.ok(race.unproven > 20, `${race.unproven} answers were not believed`);
    assert.ok(race.readsFrom("sstable") > 20);
  });
}
