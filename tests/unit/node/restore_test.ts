/**
 * Restoring a node: the data is the old node's, the identity is a new one.
 * @module
 */
import assert from "node:assert/strict";
import { openNode } from "../../../src/embedded/mod.ts";
import { type EngineJob, runEngineJob } from "../../../src/engine/mod.ts";
import { reconcileOperator } from "../../../src/model/mod.ts";
import { readIdentity, restoreNode } from "../../../src/node/mod.ts";
import { type SimRuntime, simRuntime } from "../../../src/runtime/mod.ts";
import { bytes, rejectsCode, text } from "../../support/node.ts";

function world(): SimRuntime {
  const world: SimRuntime = simRuntime({
    delays: false,
    handler: (job) => runEngineJob(world.disk, [reconcileOperator], job as EngineJob),
  });
  return world;
}

const OPTIONS = { dataDir: "/data", nodeId: "n1", version: "0.0.0-test" };

Deno.test("a restored node has the data, a name of its own, and an incarnation of its own", async () => {
  const there = world();
  const node = await openNode(there, OPTIONS);
  await node.put("t", { key: "k", value: bytes("v") });
  const snapshot = await node.createSnapshot("s");
  assert.equal(snapshot.node, "n1");
  assert.deepEqual(await node.verifySnapshot("s"), {
    snapshot: node.listSnapshots()[0],
    problems: [],
  });
  assert.equal(node.status().snapshots, 1);
  await node.put("t", { key: "k", value: bytes("later") });
  await node.close();
  const before = readIdentity(there.disk, "/data", undefined)!;
  const { identity, inventory } = await restoreNode(there, snapshot.dir, "/new");
  assert.equal(inventory.store, before.incarnation);
  assert.notEqual(identity.nodeId, "n1");
  assert.notEqual(identity.incarnation, before.incarnation);
  const restored = await openNode(there, { dataDir: "/new", version: "0.0.0-test" });
  assert.equal(restored.nodeId, identity.nodeId);
  const found = restored.get("t", "k")!;
  assert.equal(text(found.winner.value), "v");
  // Its next write is newer than what it holds, and no event of the old node's.
  const written = await restored.put("t", { key: "k", value: bytes("new") });
  const actors = written.clock.entries.map(({ node }) => node).sort();
  assert.deepEqual(actors, [before.actor, identity.actor]);
  assert.deepEqual(restored.get("t", "k")!.versions.map(({ value }) => text(value)), ["new"]);
  await restored.close();
});

Deno.test("a name that is asked for is taken, and one that is none is refused before anything is made", async () => {
  const there = world();
  const node = await openNode(there, OPTIONS);
  const { dir } = await node.createSnapshot("s");
  await node.close();
  await rejectsCode(() => restoreNode(there, dir, "/new", { nodeId: "" }), 1000);
  assert.equal(there.disk.stat("/new"), undefined);
  await restoreNode(there, dir, "/new", { nodeId: "n1", copy: true });
  const restored = await openNode(there, { ...OPTIONS, dataDir: "/new" });
  assert.equal(restored.nodeId, "n1");
  await restored.close();
});

Deno.test("a node that is closed makes no snapshots", async () => {
  const node = await openNode(world(), OPTIONS);
  await node.close();
  await rejectsCode(() => node.createSnapshot("s"), 2001);
  await rejectsCode(() => node.listSnapshots(), 2001);
  await rejectsCode(() => node.verifySnapshot("s"), 2001);
  await rejectsCode(() => node.deleteSnapshot("s"), 2001);
});
