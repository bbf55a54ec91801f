/**
 * The row cache under races: readers, unsynced writes, flushes, compactions, snapshots and drops at every
 * point of a write's way, against the list of all writes. No read may show what is not acknowledged, an
 * older state than its moment's, or another.
 * @module
 */
import assert from "node:assert/strict";
import type { ReadTrace, Tree } from "../../src/engine/mod.ts";
import { fromUtf8, utf8 } from "../../src/model/mod.ts";
import { openTestEngine, SMALL } from "../support/engine.ts";
import { EngineRace, RACE_SEEDS, RACE_STEPS } from "../support/engine_race.ts";

class RowCacheRace extends EngineRace {
  readonly #rowCacheSize: number;
  pendingReads = 0;

  constructor(seed: number) {
    super(seed, 2);
    this.#rowCacheSize = [700, 3000, 1 << 16, 1 << 20][seed % 4];
  }

  protected override async open(): Promise<void> {
    this.engine = await this.until(openTestEngine(this.world, {
      ...SMALL,
      memtableSize: 1000,
      rowCacheSize: this.#rowCacheSize,
      log: { ...SMALL.log, syncMode: "always" },
    }));
  }

  protected override async next(choice: number, name: string): Promise<void> {
    if (choice < 250) this.write(name);
    else if (choice < 800) this.check(name, this.someKey());
    else if (choice < 950) await this.let(3);
    else if (choice < 965) this.snapshots.push(this.engine.snapshot());
    else if (choice < 980) this.snapshots.shift()?.release();
    else if (choice < 990) this.background.push(this.engine.flush());
    else if (choice < 996) this.background.push(this.engine.compact());
    else if (choice === 996) await this.dropAndCreate(name);
    else await this.settle();
  }

  /** Reads a key at every moment there is. */
  protected override check(name: string, key: string): void {
    const tree = this.tree(name);
    const at = (seq: number) => this.valueAt(name, key, seq);
    const text = (value: Uint8Array | undefined) => value && fromUtf8(value);
    const bytes = utf8(key);
    const trace: ReadTrace = { source: "none" };
    if (this.random.below(2) === 0) this.#checkSnapshots(tree, bytes, at);
    const found = text(this.engine.get(tree, bytes, { trace }));
    // A write's promise resolves a little after its group has become visible.
    const visible = this.engine.snapshot();
    visible.release();
    assert.ok(visible.sequence >= this.acknowledged && visible.sequence <= this.last);
    assert.equal(found, at(visible.sequence), `step ${this.step}, from ${trace.source}`);
    this.noteSource(trace.source);
    assert.equal(text(this.engine.getPending(tree, bytes)), at(Infinity), `step ${this.step}`);
    if (visible.sequence < this.last) this.pendingReads++;
    if (this.random.below(2) === 0) this.#checkSnapshots(tree, bytes, at);
  }

  #checkSnapshots(tree: Tree, key: Uint8Array, at: (seq: number) => string | undefined): void {
    for (const snapshot of this.snapshots) {
      const found = this.engine.get(tree, key, { snapshot });
      assert.equal(found && fromUtf8(found), at(snapshot.sequence), `step ${this.step}, snapshot`);
    }
  }
}

for (const seed of RACE_SEEDS) {
  Deno.test(`no reader can tell the row cache from the tables (seed ${seed}) [E31, E32, E33]`, async () => {
    const race = new RowCacheRace(seed);
    await race.run(RACE_STEPS);
    await race.end();
    for (const source of ["cache", "memtable", "sstable"]) {
      assert.ok(race.readsFrom(source) > 20, `${source} was read from`);
    }
    assert.ok(race.pendingReads > 20, "reads met unsynced writes");
  });
}
