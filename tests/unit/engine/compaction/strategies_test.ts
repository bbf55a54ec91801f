/**
 * The strategies over a tree without bytes: thousands of flushes, jobs that overlap and end in any order,
 * strategies that change. Reads must always find the newest entry first, and the shape, the rewriting
 * and the space must stay within what each strategy promises.
 */
import assert from "node:assert/strict";
import { pressure } from "../../../../src/engine/compaction/mod.ts";
import { COMPACTION_STRATEGIES, type CompactionOptions } from "../../../../src/engine/mod.ts";
import { SimRandom } from "../../../../src/runtime/mod.ts";
import { ENTRY_BYTES, ModelTree } from "../../../support/lsm_model.ts";

/** A flush has 20 entries, 2000 bytes; level 1 holds four of them, a table there two. */
const FLUSH = 20;
const OPTIONS: CompactionOptions = {
  strategy: "leveled",
  windowMs: 1000,
  tombstoneGraceMs: 86_400_000,
  l0Trigger: 4,
  l0Slowdown: 8,
  l0Stop: 12,
  baseLevelSize: 4 * FLUSH * ENTRY_BYTES,
  targetTableSize: 2 * FLUSH * ENTRY_BYTES,
  tableSizeMultiplier: 2,
};

function randomKeys(random: SimRandom, keys: number): number[] {
  return Array.from({ length: FLUSH }, () => random.below(keys));
}

interface Bounds {
  /** Bytes rewritten for each byte flushed. */
  rewritten: number;
  /** Bytes of tables for each live byte, at rest. */
  space: number;
  /** Sorted runs that a read may have to look into, at rest. */
  runs: number;
}

/** After 2000 flushes, 40,000 entries. */
const BOUNDS: Record<string, Record<string, Bounds>> = {
  "keys at random": {
    leveled: { rewritten: 14, space: 1.2, runs: 8 },
    size_tiered: { rewritten: 7, space: 3, runs: 16 },
    time_window: { rewritten: 4, space: 10, runs: 50 },
    hybrid: { rewritten: 12, space: 1.5, runs: 14 },
  },
  "new keys in order": {
    leveled: { rewritten: 1.2, space: 1, runs: 8 },
    size_tiered: { rewritten: 10, space: 1, runs: 16 },
    time_window: { rewritten: 4, space: 1, runs: 50 },
    hybrid: { rewritten: 3, space: 1, runs: 14 },
  },
};

for (const strategy of COMPACTION_STRATEGIES) {
  for (const [what, bounds] of Object.entries(BOUNDS)) {
    Deno.test(`${strategy}: rewriting, space and runs stay within their bounds, ${what} [E49]`, () => {
      const random = new SimRandom(7);
      const tree = new ModelTree({ ...OPTIONS, strategy });
      let next = 0;
      let worst = 0;
      for (let flush = 0; flush < 2000; flush++) {
        // 40 windows in all.
        tree.nowMs += 20;
        const keys = what === "keys at random"
          ? randomKeys(random, 8000)
          : Array.from({ length: FLUSH }, () => next++);
        tree.flush(keys);
        worst = Math.max(worst, pressure(tree.levels, tree.options));
        tree.settle(random);
        if (flush % 200 === 0) tree.check();
      }
      tree.check();
      const { levels } = tree;
      const runs = levels[0].length + levels.slice(1).filter((level) => level.length > 0).length;
      const measured = {
        rewritten: tree.rewritten / tree.written,
        space: tree.bytes / (tree.newest.size * ENTRY_BYTES),
        runs,
      };
      const allowed = bounds[strategy];
      const text = `${JSON.stringify(measured)} within ${JSON.stringify(allowed)}`;
      assert.ok(measured.rewritten <= allowed.rewritten, text);
      assert.ok(measured.space <= allowed.space, text);
      assert.ok(measured.runs <= allowed.runs, text);
      assert.ok(worst <= OPTIONS.l0Trigger, "a tree that keeps up never slows its writers");
    });
  }
}

for (const strategy of COMPACTION_STRATEGIES) {
  Deno.test(`${strategy}: jobs side by side, in any order, keep every read right`, () => {
    for (let seed = 1; seed <= 10; seed++) {
      const random = new SimRandom(seed);
      const tree = new ModelTree({
        ...OPTIONS,
        strategy,
        l0Trigger: 1 + random.below(5),
        targetTableSize: (1 + random.below(60)) * ENTRY_BYTES,
        baseLevelSize: (1 + random.below(200)) * ENTRY_BYTES,
      });
      const slots = 1 + random.below(4);
      let together = 0;
      for (let step = 0; step < 300; step++) {
        const choice = random.below(3);
        // The clock goes forwards, and now and then a little back.
        tree.nowMs += random.below(60) - 10;
        if (choice === 0) tree.flush(randomKeys(random, 10 + random.below(2000)));
        else if (choice === 1 && tree.jobs.size < slots) tree.begin();
        else if (tree.jobs.size > 0) {
          together = Math.max(together, tree.jobs.size);
          tree.end([...tree.jobs.keys()][random.below(tree.jobs.size)]);
        }
        if (step % 10 === 0) tree.check();
      }
      tree.settle(random, slots);
      tree.check();
    }
  });
}

Deno.test("jobs run side by side where they can", () => {
  const random = new SimRandom(3);
  const tree = new ModelTree(OPTIONS);
  for (let flush = 0; flush < 400; flush++) {
    tree.flush(randomKeys(random, 8000));
    tree.settle(random);
  }
  // Behind by many flushes on every level.
  tree.options = { ...OPTIONS, baseLevelSize: 500 };
  let begun = 0;
  while (tree.begin()) begun++;
  assert.ok(begun >= 3, `${begun} jobs at once`);
  tree.settle(random, 4);
  tree.check();
});

Deno.test("a change of strategy comes to the new shape and loses nothing [E49]", () => {
  for (let seed = 1; seed <= 6; seed++) {
    const random = new SimRandom(seed);
    const tree = new ModelTree(OPTIONS);
    for (let change = 0; change < 8; change++) {
      const strategy = COMPACTION_STRATEGIES[random.below(4)];
      tree.options = { ...OPTIONS, strategy };
      for (let flush = 0; flush < 40; flush++) {
        tree.nowMs += 30;
        tree.flush(randomKeys(random, 2000));
        while (tree.jobs.size < 2 && tree.begin());
        if (random.below(2) === 0 && tree.jobs.size > 0) tree.end([...tree.jobs.keys()][0]);
        if (flush % 8 === 0) tree.check();
      }
      tree.settle(random, 2);
      tree.check();
      assert.ok(pressure(tree.levels, tree.options) < Math.max(OPTIONS.l0Trigger, 2), strategy);
      assert.ok(!tree.begin(), "at rest");
    }
  }
});

Deno.test("level 0 does not wait for ever while level 1 is compacted", () => {
  const random = new SimRandom(5);
  const tree = new ModelTree(OPTIONS);
  let most = 0;
  for (let flush = 0; flush < 1000; flush++) {
    tree.flush(randomKeys(random, 8000));
    while (tree.jobs.size < 3 && tree.begin());
    // Two jobs end for each flush: enough to keep up, if level 0 gets its turn.
    for (let i = 0; i < 2 && tree.jobs.size > 0; i++) tree.end([...tree.jobs.keys()][0]);
    most = Math.max(most, tree.levels[0].length);
  }
  assert.ok(most < OPTIONS.l0Stop, `${most} tables on level 0`);
});
