import assert from "node:assert/strict";
import fc from "fast-check";
import { Entries } from "../../../../src/engine/second_level/entry.ts";
import { SimRandom } from "../../../../src/runtime/mod.ts";

const bytes = fc.uint8Array({ maxLength: 40 });

Deno.test("a row opens for its own key of its own tree, and is what was sealed", () => {
  const entries = new Entries(new SimRandom(1));
  fc.assert(fc.property(
    fc.nat(2 ** 31),
    bytes,
    fc.nat(Number.MAX_SAFE_INTEGER),
    bytes,
    (tree, key, sequence, value) => {
      const name = entries.name(tree, key);
      const row = entries.open(name, entries.seal(name, { sequence, value }));
      assert.deepEqual(row, { sequence, value });
    },
  ));
});

Deno.test("what is another's, or of another start, or damaged anywhere does not open", () => {
  const entries = new Entries(new SimRandom(1));
  const later = new Entries(new SimRandom(2));
  fc.assert(fc.property(
    fc.nat(5),
    bytes,
    fc.nat(5),
    bytes,
    fc.nat(),
    (tree, key, otherTree, otherKey, bit) => {
      const name = entries.name(tree, key);
      const entry = entries.seal(name, { sequence: 7, value: otherKey });
      const other = entries.name(otherTree, otherKey);
      const isSame = tree === otherTree && key.toHex() === otherKey.toHex();
      assert.equal(name.name === other.name, isSame);
      assert.equal(entries.open(other, entry) !== undefined, isSame);
      assert.equal(later.open(later.name(tree, key), entry), undefined);
      assert.notEqual(later.name(tree, key).name, name.name);
      const damaged = entry.slice();
      damaged[(bit >> 3) % damaged.length] ^= 1 << (bit & 7);
      assert.equal(entries.open(name, damaged), undefined);
      assert.equal(entries.open(name, entry.subarray(0, bit % entry.length)), undefined);
    },
  ));
});

Deno.test("names are fit for every cache, and rows cannot be read by who has them", () => {
  const entries = new Entries(new SimRandom(1));
  const key = new Uint8Array(1024).fill(10);
  const name = entries.name(1, key);
  assert.match(name.name, /^pairdb:[0-9a-f]{16}:[0-9a-f]{32}$/);
  const value = new TextEncoder().encode("a secret of the tenant");
  const one = entries.seal(name, { sequence: 1, value });
  const two = entries.seal(name, { sequence: 1, value });
  assert.notDeepEqual(one, two);
  assert.ok(!new TextDecoder("latin1").decode(one).includes("secret"));
});
