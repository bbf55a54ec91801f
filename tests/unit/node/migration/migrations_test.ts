import assert from "node:assert/strict";
import { KIND_PUT } from "../../../../src/engine/mod.ts";
import { PairError, utf8 } from "../../../../src/model/mod.ts";
import { Followers } from "../../../../src/node/followers.ts";
import {
  DEFAULT_MIGRATION_LIMITS,
  Migrations,
  type Peer,
  type Peers,
} from "../../../../src/node/migration/mod.ts";
import { encodeRecord, newRecord } from "../../../../src/node/migration/records.ts";
import { simRuntime } from "../../../../src/runtime/mod.ts";
import { MemoryEngine } from "../../../support/memory_engine.ts";
import { rejectsCode } from "../../../support/node.ts";

/** Migrations of a node that starts with these records. */
async function resumed(
  records: Readonly<Record<string, Uint8Array>>,
  open: Peers["open"] = () => ({ close() {} }) as Peer,
) {
  const engine = new MemoryEngine();
  const tree = await engine.createTree(":migrations");
  for (const [id, value] of Object.entries(records)) {
    await engine.write([{ tree, kind: KIND_PUT, key: utf8(id), value }]);
  }
  const migrations = new Migrations({
    engine,
    followers: new Followers(engine),
    runtime: simRuntime(),
    limits: DEFAULT_MIGRATION_LIMITS,
    peers: { open },
    nodeId: "n1",
    incarnation: "first",
    tenants: () => [],
    find: () => undefined,
    findSettled: () => Promise.resolve(undefined),
    originOf: () => assert.fail("there is no tenant"),
  });
  migrations.resume();
  return { engine, migrations };
}

/** One that is over. */
function recordOf(id: string, state: "completed" | "failed", draining: boolean) {
  const range = { start: "", end: "", tokens: undefined };
  const order = { id, target: "target", tenant: undefined, range, createdAtMs: 1 };
  return encodeRecord({
    ...newRecord(order, "first", draining, 0),
    state,
    endedAtMs: 2,
    error: "why",
  });
}

Deno.test("a record that cannot be read hides no other: a node that drains does so still", async () => {
  const { migrations } = await resumed({
    broken: Uint8Array.of(255),
    drain: recordOf("drain", "completed", true),
  });
  assert.ok(migrations.draining);
  assert.deepEqual(migrations.list().map(({ id }) => id), ["drain"]);
  await migrations.close();
});

Deno.test("one that cannot be begun again is what it was", async () => {
  const { engine, migrations } = await resumed({ m1: recordOf("m1", "failed", false) });
  engine.poison(new Error("the disk is gone"));
  await rejectsCode(() => migrations.start({ id: "m1", target: "target" }), 2004);
  const [{ state, endedAtMs, error }] = migrations.list();
  assert.deepEqual([state, endedAtMs, error], ["failed", 2, "why"]);
  await migrations.close();
});

Deno.test("a drain whose target may not be reached any more is what it was", async () => {
  const record = recordOf("drain", "failed", true);
  const { engine, migrations } = await resumed({ drain: record }, () => {
    throw new PairError("InvalidArgument", "no such address");
  });
  await rejectsCode(() => migrations.drain("target"), 1000);
  const [{ state, endedAtMs, error }] = migrations.list();
  assert.deepEqual([state, endedAtMs, error], ["failed", 2, "why"]);
  assert.deepEqual(engine.get(engine.tree(":migrations")!, utf8("drain")), record);
  await migrations.close();
});
