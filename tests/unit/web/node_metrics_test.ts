import assert from "node:assert/strict";
import { openPairDB } from "../../../src/embedded/mod.ts";
import { nodeSamples } from "../../../src/web/node_metrics.ts";

Deno.test("nodeSamples() gives every series once, and one type to a name", async () => {
  await using db = await openPairDB({ memory: true });
  await db.put("t", "k", "v");
  const series = new Set<string>();
  const types = new Map<string, string>();
  for (const { name, labels = {}, type } of nodeSamples(db.node)) {
    const id = name + JSON.stringify(labels);
    assert.ok(!series.has(id), `${id} comes twice`);
    series.add(id);
    assert.equal(types.get(name) ?? type, type, name);
    types.set(name, type);
    assert.equal(name.endsWith("_total"), type === "counter", name);
  }
  assert.ok(series.has("pairdb_wal_segments{}") && series.has("pairdb_flushes_total{}"));
});
