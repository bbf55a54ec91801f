import assert from "node:assert/strict";
import { BlockIndex, IndexBuilder } from "../../../../src/engine/sstable/index.ts";
import { compareBytes, utf8 } from "../../../../src/model/mod.ts";
import { SimRandom } from "../../../../src/runtime/mod.ts";

/** Keys of few different bytes, so that many share much, behind a prefix that most share. */
function randomKey(random: SimRandom): Uint8Array {
  const prefix = utf8(random.below(20) === 0 ? "po" : "post:");
  const rest = Array.from({ length: random.below(12) }, () => [0, 1, 97, 255][random.below(4)]);
  return Uint8Array.of(...prefix, ...rest.map((byte) => random.below(3) === 0 ? byte : 97));
}

Deno.test("an index finds the first entry that ends at a key or behind it, whatever keys share [E24, E25]", () => {
  const random = new SimRandom(11);
  for (let round = 0; round < 300; round++) {
    const drawn = Array.from({ length: random.below(60) }, () => randomKey(random));
    // In one of three rounds nothing but the prefix differs from what is looked for.
    const keys = (round % 3 === 0 ? drawn : drawn.filter((key) => key.length >= 5))
      .sort(compareBytes)
      .filter((key, i, all) => i === 0 || compareBytes(all[i - 1], key) < 0);
    const builder = new IndexBuilder();
    keys.forEach((key, i) => builder.add(key, i * 10, 5, i));
    const index = new BlockIndex(builder.whole(), "index", 1000, false);
    assert.equal(index.count, keys.length);
    const asked = [...keys, ...Array.from({ length: 60 }, () => randomKey(random))];
    for (const key of [...asked, utf8(""), utf8("a"), utf8("z"), utf8("post:z")]) {
      const found = keys.findIndex((last) => compareBytes(last, key) >= 0);
      assert.equal(index.find(key), found < 0 ? keys.length : found);
    }
  }
});
