import assert from "node:assert/strict";
import fc from "fast-check";
import { DynamicTable, ENTRY_OVERHEAD_BYTES } from "../../../../src/rpc/http2/dynamic_table.ts";

function insert(table: DynamicTable, name: string, value: string): void {
  table.insert(name, value, name.length + value.length + ENTRY_OVERHEAD_BYTES);
}

Deno.test("a table begins empty, with 4,096 bytes", () => {
  const table = new DynamicTable();
  assert.deepEqual(table.entries(), []);
  assert.deepEqual([table.count, table.bytes, table.maxBytes], [0, 0, 4096]);
});

Deno.test("a table is a list whose end falls off, whatever is done to it", () => {
  const text = fc.string({ maxLength: 60, unit: "grapheme-ascii" });
  const step = fc.oneof(
    { weight: 20, arbitrary: fc.record({ name: text, value: text }) },
    { weight: 1, arbitrary: fc.oneof(fc.nat({ max: 300 }), fc.constantFrom(0, 4096, 10_000)) },
    { weight: 1, arbitrary: fc.constantFrom("oldest", "newest") },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300, size: "max" }), (steps) => {
      const table = new DynamicTable();
      let model: [string, string][] = [];
      const bytes = () =>
        model.reduce((sum, [name, value]) => sum + name.length + value.length + 32, 0);
      for (const step of steps) {
        const changes = table.changes;
        const before = model;
        if (typeof step === "number") {
          table.resize(step);
          model = model.slice();
        } else if (typeof step === "string") {
          if (table.count === 0) continue;
          if (step === "oldest") table.dropOldest();
          else table.dropNewest();
          model = step === "oldest" ? model.slice(0, -1) : model.slice(1);
        } else {
          insert(table, step.name, step.value);
          model = [[step.name, step.value], ...model];
        }
        while (bytes() > table.maxBytes) model.pop();
        assert.deepEqual(table.entries(), model);
        assert.deepEqual([table.count, table.bytes], [model.length, bytes()]);
        if (JSON.stringify(model) !== JSON.stringify(before)) assert.ok(table.changes > changes);
      }
    }),
    { numRuns: 50 },
  );
});

Deno.test("inserted counts what came in, less what was taken back", () => {
  const table = new DynamicTable();
  for (let i = 0; i < 300; i++) insert(table, "a", String(i));
  assert.equal(table.inserted, 300);
  table.dropNewest();
  assert.equal(table.inserted, 299);
  assert.deepEqual([table.name(1), table.value(1)], ["a", "298"]);
  insert(table, "a", "b".repeat(5000));
  assert.equal(table.inserted, 299);
  assert.equal(table.count, 0);
});
