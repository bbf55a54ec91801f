import assert from "node:assert/strict";
import fc from "fast-check";
import { StreamTable } from "../../../../src/rpc/http2/stream_table.ts";

Deno.test("StreamTable holds what a Map would, however ids meet", () =>
  fc.assert(fc.property(
    // Few ids, many of which have the same home in small tables.
    fc.array(fc.tuple(fc.constantFrom("add", "delete", "clear"), fc.nat(40), fc.nat(3))),
    (steps) => {
      const table = new StreamTable<{ id: number }>();
      const map = new Map<number, { id: number }>();
      for (const [step, low, high] of steps) {
        const id = 1 + 2 * low + 2048 * high;
        if (step === "clear" && low === 0) {
          table.clear();
          map.clear();
        } else if (step === "delete") {
          table.delete(id);
          map.delete(id);
        } else if (!map.has(id)) {
          const stream = { id };
          table.add(stream);
          map.set(id, stream);
        }
        assert.equal(table.size, map.size);
        for (const known of map.keys()) assert.equal(table.get(known), map.get(known));
        assert.equal(table.get(id), map.get(id));
      }
      assert.deepEqual(table.all(), [...map.values()].sort((a, b) => a.id - b.id));
    },
  )));

Deno.test("StreamTable takes thousands, and a few that stay while others come and go", () => {
  const table = new StreamTable<{ id: number }>();
  const stays = { id: 1 };
  table.add(stays);
  for (let id = 3; id < 100_000; id += 2) {
    table.add({ id });
    if (id > 2001) table.delete(id - 2000);
    assert.equal(table.get(1), stays);
  }
  assert.equal(table.size, 1001);
  assert.equal(table.get(99_999)!.id, 99_999);
  assert.equal(table.get(3), undefined);
});
