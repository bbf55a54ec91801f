import assert from "node:assert/strict";
import { latin1 } from "../../../../src/rpc/http2/latin1.ts";
import { RecentStrings } from "../../../../src/rpc/http2/recent_strings.ts";
import { SimRandom } from "../../../../src/runtime/mod.ts";

Deno.test("find() gives what was kept for the same bytes and coding, or nothing", () => {
  const recent = new RecentStrings();
  const random = new SimRandom(1);
  // Two values, so that strings meet in their places and in most of their bytes.
  const bytes = Uint8Array.from(random.bytes(2000), (byte) => byte & 1);
  const textOf = (start: number, end: number, coded: boolean) =>
    `${coded} ${latin1(bytes, start, end)}`;
  let found = 0;
  for (let i = 0; i < 20_000; i++) {
    const start = random.below(50);
    const end = start + 6 + random.below(6);
    const coded = random.below(2) === 0;
    const text = recent.find(bytes, start, end, coded);
    if (text === undefined) {
      recent.keep(bytes, start, end, coded, textOf(start, end, coded));
    } else {
      found++;
      assert.equal(text, textOf(start, end, coded));
    }
  }
  assert.ok(found > 300, `${found} were found`);
});

Deno.test("keep() keeps its own bytes, and no strings that are short or long", () => {
  const recent = new RecentStrings();
  const bytes = new Uint8Array(300).fill(97);
  for (const [length, kept] of [[0, 0], [7, 0], [8, 1], [128, 1], [129, 0], [300, 0]]) {
    recent.keep(bytes, 0, length, false, "text");
    assert.equal(recent.find(bytes, 0, length, false), kept ? "text" : undefined, `${length}`);
    assert.equal(recent.find(bytes, 0, length, true), undefined);
  }
  recent.keep(bytes, 3, 13, true, "text");
  assert.equal(recent.find(bytes, 4, 14, true), "text", "wherever it lies");
  bytes[5] = 98;
  assert.equal(recent.find(bytes, 3, 13, true), undefined);
});
