import assert from "node:assert/strict";
import {
  FilterBuilder,
  filterHash1,
  filterHash2,
  filterMayContain,
} from "../../../../src/engine/sstable/filter.ts";
import { utf8 } from "../../../../src/model/mod.ts";

function build(keys: readonly Uint8Array[], falsePositives: number): Uint8Array {
  const builder = new FilterBuilder();
  for (const key of keys) builder.add(key, 0, key.length);
  return builder.finish(falsePositives);
}

function mayContain(filter: Uint8Array, key: Uint8Array): boolean {
  const hash1 = filterHash1(key, 0, key.length);
  return filterMayContain(filter, filter.length, hash1, filterHash2(key, 0, key.length));
}

/** Keys as people make them: counters, paths, and a common prefix. */
const SHAPES: Record<string, (i: number) => Uint8Array> = {
  counters: (i) => utf8(String(i)),
  "padded counters": (i) => utf8(`user/${String(i).padStart(12, "0")}/profile`),
  "four bytes": (i) => Uint8Array.of(i, i >> 8, i >> 16, i >> 24),
};

for (const [shape, key] of Object.entries(SHAPES)) {
  for (const asked of [0.1, 0.01]) {
    Deno.test(`a filter of 20,000 ${shape} lets about ${asked} of other keys through, and all its own [E28]`, () => {
      const present = Array.from({ length: 20_000 }, (_, i) => key(i));
      const filter = build(present, asked);
      for (const one of present) assert.ok(mayContain(filter, one));
      let passed = 0;
      const probes = 50_000;
      for (let i = 0; i < probes; i++) if (mayContain(filter, key(1_000_000 + i))) passed++;
      const measured = passed / probes;
      assert.ok(measured <= asked * 1.5, `measured ${measured}`);
      assert.ok(measured > 0, "a filter that passes nothing else is larger than asked for");
    });
  }
}

Deno.test("a filter takes the bits that the formula says [E28]", () => {
  // m = -n ln p / (ln 2)^2: 9.585 bits a key for 0.01, and 7 probes.
  const filter = build(Array.from({ length: 1000 }, (_, i) => utf8(String(i))), 0.01);
  assert.equal(filter.length, Math.ceil(9585.06 / 8) + 1);
  assert.equal(filter.at(-1), 7);
});

Deno.test("small and empty filters work", () => {
  for (const keys of [[], [utf8("")], [utf8("a")], [utf8("a"), utf8("b"), utf8("c")]]) {
    for (const asked of [0.5, 0.1, 0.0001]) {
      const filter = build(keys, asked);
      for (const key of keys) assert.ok(mayContain(filter, key));
    }
  }
  let passed = 0;
  const none = build([], 0.01);
  for (let i = 0; i < 1000; i++) if (mayContain(none, utf8(String(i)))) passed++;
  assert.equal(passed, 0, "the empty filter passes nothing");
});

Deno.test("hashes read a range of a buffer, whatever lies around it", () => {
  const key = utf8("some key");
  const around = utf8("xxsome keyyy");
  assert.equal(filterHash1(around, 2, 10), filterHash1(key, 0, 8));
  assert.equal(filterHash2(around, 2, 10), filterHash2(key, 0, 8));
  assert.notEqual(filterHash1(key, 0, 8), filterHash2(key, 0, 8));
});
