import assert from "node:assert/strict";
import hpackJs from "hpack.js";
import { HpackDecoder, HpackEncoder } from "../../../../src/rpc/http2/mod.ts";
import {
  STATIC_COUNT,
  STATIC_NAMES,
  STATIC_PLACES,
  STATIC_VALUES,
} from "../../../../src/rpc/http2/static_table.ts";

Deno.test("the static table is that of hpack.js, entry by entry", () => {
  const theirs: { name: string; value: string }[] = hpackJs["static-table"].table;
  assert.equal(STATIC_COUNT, 61);
  assert.deepEqual(STATIC_NAMES, ["", ...theirs.map(({ name }) => name)]);
  assert.deepEqual(STATIC_VALUES, ["", ...theirs.map(({ value }) => value)]);
});

Deno.test("STATIC_PLACES has the first index of each name, and each entry", () => {
  assert.equal(STATIC_PLACES.size, new Set(STATIC_NAMES.slice(1)).size);
  for (let index = 1; index <= STATIC_COUNT; index++) {
    const { index: first, values } = STATIC_PLACES.get(STATIC_NAMES[index])!;
    assert.equal(first, STATIC_NAMES.indexOf(STATIC_NAMES[index]));
    assert.equal(values.get(STATIC_VALUES[index]), index);
  }
});

Deno.test("each entry of the static table is one byte, both ways", () => {
  const decoder = new HpackDecoder({ maxTableBytes: 4096, maxListBytes: 4096 });
  const encoder = new HpackEncoder();
  for (let index = 1; index <= STATIC_COUNT; index++) {
    const headers = [STATIC_NAMES[index], STATIC_VALUES[index]];
    const block = Uint8Array.of(0x80 | index);
    assert.deepEqual(decoder.decode(block, 0, 1).headers, headers);
    const into = new Uint8Array(1);
    assert.equal(encoder.encode(headers, into, 0), 1);
    assert.deepEqual(into, block);
  }
  assert.equal(decoder.table.count, 0);
  assert.equal(encoder.generation, 0);
});
