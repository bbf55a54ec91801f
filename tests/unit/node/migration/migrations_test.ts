import assert from "node:assert/strict";
import { KIND_PUT } from "../../../../src/engine/mod.ts";
import { utf8 } from "../../../../src/model/mod.ts";
import { Followers } from "../../../../src/node/followers.ts";
import { DEFAULT_MIGRATION_LIMITS, Migrations } from "../../../../src/node/migration/mod.ts";
import { encodeRecord, newRecord } from "../../../../src/node/migration/records.ts";
import { simRuntime } from "../../../../src/runtime/mod.ts";
import { MemoryEngine } from "../../../support/memory_engine.ts";

Deno.test("a record that cannot be read hides no other: a node that drains does so still", async () => {
  const engine = new MemoryEngine();
  const tree = await engine.createTree(":migrations");
  const range = { start: "", end: "", tokens: undefined };
  const order = { id: "drain", target: "target", tenant: undefined, range, createdAtMs: 1 };
  const drain = { ...newRecord(order, "first", true), state: "completed" as const };
  const records = { broken: Uint8Array.of(255), drain: encodeRecord(drain) };
  for (const [id, value] of Object.entries(records)) {
    await engine.write([{ tree, kind: KIND_PUT, key: utf8(id), value }]);
  }
  const runtime = simRuntime();
  const migrations = new Migrations({
    engine,
    followers: new Followers(engine),
    runtime,
    limits: DEFAULT_MIGRATION_LIMITS,
    peers: undefined,
    nodeId: "n1",
    incarnation: "first",
    tenants: () => [],
    find: () => undefined,
    originOf: () => assert.fail("there is no tenant"),
  });
  migrations.resume();
  assert.ok(migrations.draining);
  assert.deepEqual(migrations.list().map(({ id }) => id), ["drain"]);
  await migrations.close();
});
