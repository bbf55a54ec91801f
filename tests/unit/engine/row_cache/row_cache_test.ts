import assert from "node:assert/strict";
import { KIND_DELETE, KIND_MERGE, KIND_PUT } from "../../../../src/engine/mod.ts";
import { DEFAULT_WEIGHTS, RowCache } from "../../../../src/engine/row_cache/mod.ts";
import { ROW_OVERHEAD } from "../../../../src/engine/row_cache/row_cache.ts";
import { murmur3, utf8 } from "../../../../src/model/mod.ts";
import { SimRandom } from "../../../../src/runtime/mod.ts";
import { hitRatio, TRACES } from "../../../support/cache_traces.ts";
import { Lfu, Lru, Ours, WTinyLfu } from "../../../support/cache_policies.ts";

function cacheOf(capacity: number): RowCache {
  return new RowCache(capacity, DEFAULT_WEIGHTS, () => 0);
}

function hashOf(key: Uint8Array): number {
  return murmur3(key, 7, 0, key.length);
}

interface Row {
  readonly seq: number;
  readonly value: Uint8Array;
}

Deno.test("a row cache answers with the newest value or not at all, within its bytes [K1]", () => {
  for (let seed = 1; seed <= 30; seed++) {
    const random = new SimRandom(seed);
    const capacity = [0, 300, 5000, 40_000, 400_000][seed % 5];
    const cache = cacheOf(capacity);
    const model = new Map<string, Row>();
    const value = () => random.bytes(random.below(random.below(10) === 0 ? 3000 : 80));
    let seq = 0;
    let hits = 0;
    for (let step = 0; step < 4000; step++) {
      const tree = 1 + random.below(3);
      const key = utf8(
        `k${random.below(random.below(2) === 0 ? 400 : 20)}${"x".repeat(random.below(2) * 40)}`,
      );
      const name = `${tree}/${key}`;
      const choice = random.below(10) === 0 ? random.below(100) : random.below(99);
      if (choice < 70) {
        const at = seq - random.below(3);
        const found = cache.get(tree, key, hashOf(key), at);
        const row = model.get(name);
        if (found !== undefined) {
          hits++;
          assert.ok(
            row !== undefined && row.seq <= at,
            `seed ${seed}: a row that must not be seen`,
          );
          assert.deepEqual(Uint8Array.from(found), row.value, `seed ${seed}`);
          found.fill(0xee);
        } else if (row !== undefined) {
          cache.fill(tree, key, hashOf(key), row.seq, row.value);
        }
      } else if (choice < 99) {
        const kind = ([KIND_PUT, KIND_PUT, KIND_DELETE, KIND_MERGE] as const)[random.below(4)];
        const next = value();
        cache.write(tree, key, hashOf(key), ++seq, kind, next);
        if (kind === KIND_PUT) model.set(name, { seq, value: next });
        else if (kind === KIND_DELETE) model.delete(name);
        else model.set(name, { seq, value: Uint8Array.of(...(model.get(name)?.value ?? []), 1) });
      } else {
        cache.dropTree(tree);
        for (const other of model.keys()) if (other.startsWith(`${tree}/`)) model.delete(other);
      }
      assert.ok(cache.stats.bytes <= capacity);
      assert.ok(cache.stats.entries * ROW_OVERHEAD <= cache.stats.bytes);
    }
    assert.equal(cache.stats.hits, hits);
    if (capacity > 40_000) assert.ok(hits > 200, `seed ${seed}: ${hits} hits`);
    for (const tree of [1, 2, 3]) cache.dropTree(tree);
    assert.equal(cache.stats.entries, 0);
    assert.equal(cache.stats.bytes, 0);
  }
});

Deno.test("trees do not share rows, whatever their keys [T3]", () => {
  const cache = cacheOf(1 << 20);
  const key = utf8("same");
  for (const tree of [1, 2, 3]) cache.fill(tree, key, 99, 1, Uint8Array.of(tree));
  for (const tree of [1, 2, 3]) assert.deepEqual([...cache.get(tree, key, 99, 1)!], [tree]);
  cache.dropTree(2);
  assert.equal(cache.get(2, key, 99, 1), undefined);
  assert.deepEqual([...cache.get(3, key, 99, 1)!], [3]);
});

Deno.test("keys of one hash are told apart, and cannot make look-ups long", () => {
  const cache = cacheOf(1 << 24);
  const keys = Array.from({ length: 2000 }, (_, i) => utf8(`key ${i}`));
  for (const [i, key] of keys.entries()) cache.fill(1, key, 42, 1, utf8(`${i}`));
  let held = 0;
  for (const [i, key] of keys.entries()) {
    const found = cache.get(1, key, 42, 1);
    if (found === undefined) continue;
    held++;
    assert.equal(new TextDecoder().decode(found), `${i}`);
  }
  assert.ok(held > 50 && held < 200, `${held} rows of one hash`);
});

Deno.test("rows whose sizes change do not lose the cache's memory", () => {
  const random = new SimRandom(3);
  const capacity = 1 << 20;
  const cache = cacheOf(capacity);
  for (const size of [20, 700, 90, 3000, 20, 7000, 60]) {
    for (let i = 0; i < 40_000; i++) {
      const key = utf8(`${size}/${random.below(Math.ceil(capacity / 4 / (size + 80)))}`);
      if (cache.get(1, key, hashOf(key), 1) !== undefined) continue;
      cache.fill(1, key, hashOf(key), 1, new Uint8Array(size));
    }
    // What is asked for now takes a quarter of the cache: nearly all of it must be here.
    let hits = 0;
    for (let i = 0; i < 1000; i++) {
      const key = utf8(`${size}/${random.below(Math.ceil(capacity / 4 / (size + 80)))}`);
      if (cache.get(1, key, hashOf(key), 1) !== undefined) hits++;
    }
    assert.ok(hits > 900, `values of ${size} bytes: ${hits} of 1000`);
  }
});

Deno.test("hotness over the window moves the weights [K4]", () => {
  let nowMs = 0;
  const cache = new RowCache(100 * 100, DEFAULT_WEIGHTS, () => nowMs);
  const ask = (from: number, to: number, times: number) => {
    for (let i = 0; i < times; i++) {
      const key = utf8(`row ${from + i % (to - from)}`);
      if (cache.get(1, key, hashOf(key), 1) === undefined) {
        cache.fill(1, key, hashOf(key), 1, new Uint8Array(20));
      }
    }
  };
  const endWindow = () => {
    nowMs += 300_000;
    ask(5000, 6000, 128);
    return [cache.weights.frequency, cache.weights.recency];
  };
  ask(0, 50, 500);
  assert.deepEqual([cache.weights.frequency, cache.weights.recency], [0.5, 0.5]);
  ask(0, 200, 5000);
  assert.deepEqual(endWindow(), [0.3, 0.7]);
  // Of about a hundred rows ten are asked for.
  ask(0, 10, 50);
  assert.deepEqual(endWindow(), [0.7, 0.3]);
});

Deno.test("a row counts as its key, its value and 64 bytes, and gives them back [E18]", () => {
  const cache = cacheOf(1 << 20);
  const key = utf8("some key");
  cache.fill(1, key, hashOf(key), 1, new Uint8Array(100));
  assert.deepEqual([cache.stats.entries, cache.stats.bytes], [1, 8 + 100 + 64]);
  cache.write(1, key, hashOf(key), 2, KIND_PUT, new Uint8Array(40));
  assert.equal(cache.stats.bytes, 8 + 40 + 64);
  cache.write(1, key, hashOf(key), 3, KIND_DELETE, new Uint8Array(0));
  assert.deepEqual([cache.stats.entries, cache.stats.bytes], [0, 0]);
});

Deno.test("of the rows the one with the lowest score goes: asked for seldom, or long ago [K3]", () => {
  const row = (i: number) => utf8(`row ${i}`);
  const EVEN = 0;
  const ODD = 1;
  /** A full cache, asked for its even and its odd rows as told; how many of 50 each stay when others come in. */
  const kept = (weights: [number, number], asked: readonly { which: number; times: number }[]) => {
    const [frequencyWeight, recencyWeight] = weights;
    const options = { ...DEFAULT_WEIGHTS, frequencyWeight, recencyWeight };
    const cache = new RowCache(100 * 92, options, () => 0);
    const get = (i: number) => cache.get(1, row(i), hashOf(row(i)), 1) !== undefined;
    const ask = (i: number) => {
      if (!get(i)) cache.fill(1, row(i), hashOf(row(i)), 1, new Uint8Array(22));
    };
    for (let i = 0; i < 100; i++) ask(i);
    for (const { which, times } of asked) {
      for (let t = 0; t < times; t++) for (let i = which; i < 100; i += 2) ask(i);
    }
    for (let i = 1000; i < 1050; i++) for (let t = 0; t < 6; t++) ask(i);
    const stays = [0, 0];
    for (let i = 0; i < 100; i++) if (get(i)) stays[i % 2]++;
    return stays;
  };
  const [often, seldom] = kept([1, 0], [{ which: EVEN, times: 20 }, { which: ODD, times: 1 }]);
  assert.ok(often === 50 && seldom < 40, `${often} asked for often, ${seldom} seldom`);
  // As often, one after the other: then the age decides.
  for (const [first, then] of [[EVEN, ODD], [ODD, EVEN]]) {
    const stays = kept([0.5, 0.5], [{ which: first, times: 2 }, { which: then, times: 2 }]);
    assert.ok(stays[then] > stays[first] + 10, `${stays} of even and odd`);
  }
  // The weights decide which of the two it is; with neither, no row is worth less than another.
  const long = [{ which: EVEN, times: 20 }, { which: ODD, times: 1 }];
  const [before, lately] = kept([0, 1], long);
  assert.ok(lately > before + 10, `${before} asked for often, ${lately} lately`);
  assert.deepEqual(kept([0, 0], long), [50, 50]);
});

/** Rows of a trace. */
const ROWS = 10_000;
const LENGTH = 150_000;

for (const { name, make } of TRACES) {
  Deno.test(`hit ratio on "${name}" is near the best of LRU and LFU [K1]`, () => {
    const trace = make(ROWS, LENGTH);
    for (const size of [0.05, 0.2]) {
      const capacity = ROWS * size;
      const ours = hitRatio(new Ours(capacity), trace);
      const best = Math.max(hitRatio(new Lru(capacity), trace), hitRatio(new Lfu(capacity), trace));
      assert.ok(ours > best - 0.03, `${size}: ${ours}, not ${best}`);
    }
  });
}

Deno.test("hit ratio over all traces is no worse than W-TinyLFU's", () => {
  let ours = 0;
  let theirs = 0;
  for (const { make } of TRACES) {
    const trace = make(ROWS, LENGTH);
    ours += hitRatio(new Ours(ROWS / 10), trace) / TRACES.length;
    theirs += hitRatio(new WTinyLfu(ROWS / 10), trace) / TRACES.length;
  }
  assert.ok(ours > theirs - 0.01, `${ours}, not ${theirs}`);
});

Deno.test("a tree never has more rows than its share, and makes room with its own [T3]", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = new SimRandom(seed);
    const capacity = [20_000, 100_000][seed % 2];
    const cache = cacheOf(capacity);
    const shares = new Map<number, number>();
    const limitOf = (tree: number) => Math.floor(capacity * (shares.get(tree) ?? 1e9) / 100);
    const keys = Array.from({ length: 400 }, (_, i) => utf8(`k${i}`));
    let dropped = 0;
    const largest = random.below(2) === 0 ? 80 : capacity / 200;
    for (let step = 0; step < 6000; step++) {
      const tree = 1 + random.below(3);
      const key = keys[random.below(random.below(2) === 0 ? 400 : 20)];
      const value = new Uint8Array(random.below(largest));
      const choice = random.below(400);
      const before = [1, 2, 3].map((tree) => cache.bytesOf(tree));
      if (choice === 0) {
        shares.set(tree, 1 + random.below(60));
        cache.setShare(tree, shares.get(tree));
      } else if (choice === 1) {
        cache.setShare(tree, undefined);
        shares.delete(tree);
      } else if (choice === 2) {
        cache.dropTree(tree);
        shares.delete(tree);
        dropped++;
        assert.equal(cache.bytesOf(tree), 0);
      } else if (choice === 3) {
        cache.suspended = true;
        assert.deepEqual([1, 2, 3].map((tree) => cache.bytesOf(tree)), [0, 0, 0]);
        cache.suspended = false;
      } else if (choice < 40) {
        const kind = random.below(4) === 0 ? KIND_DELETE : KIND_PUT;
        cache.write(tree, key, hashOf(key), step, kind, value);
      } else if (cache.get(tree, key, hashOf(key), step) === undefined) {
        const bytes = key.length + value.length + ROW_OVERHEAD;
        const wasOver = before[tree - 1] + bytes > limitOf(tree);
        cache.fill(tree, key, hashOf(key), step, value);
        const took = [1, 2, 3].some((other) =>
          other !== tree && cache.bytesOf(other) < before[other - 1]
        );
        if (wasOver && took) {
          assert.ok(cache.bytesOf(tree) <= bytes, `seed ${seed}, step ${step}: others made room`);
        }
      }
      let sum = 0;
      for (const tree of [1, 2, 3]) {
        const own = cache.bytesOf(tree);
        assert.ok(own <= limitOf(tree), `seed ${seed}, step ${step}: ${own} of ${limitOf(tree)}`);
        sum += own;
      }
      assert.equal(cache.stats.bytes, sum);
    }
    assert.ok(dropped > 0);
  }
});

Deno.test("within its share a tree keeps the rows that are asked for most, whatever else it reads [T3]", () => {
  const cache = cacheOf(1_000_000);
  cache.setShare(1, 5);
  const random = new SimRandom(3);
  const value = new Uint8Array(30);
  const ask = (tree: number, name: string) => {
    const key = utf8(name);
    const found = cache.get(tree, key, hashOf(key), 1) !== undefined;
    if (!found) cache.fill(tree, key, hashOf(key), 1, value);
    return found;
  };
  for (let i = 0; i < 1000; i++) ask(2, `other${i}`);
  let [hits, asked] = [0, 0];
  for (let i = 0; i < 60_000; i++) {
    // 300 rows fit: half of all reads are of 200, the rest are read once.
    if (i % 2 === 0) ask(1, `once${i}`);
    else {
      const found = ask(1, `hot${random.below(200)}`);
      if (i > 30_000) {
        asked++;
        if (found) hits++;
      }
    }
  }
  assert.ok(hits / asked > 0.9, `${hits} of ${asked}`);
  for (let i = 0; i < 1000; i++) assert.ok(ask(2, `other${i}`));
});
