/**
 * Who a data directory is, and whose events its writes are: never those of another disk under the same name.
 */
import assert from "node:assert/strict";
import { openNode } from "../../../src/embedded/mod.ts";
import { type EngineJob, runEngineJob } from "../../../src/engine/mod.ts";
import { MAX_NODE_ID_BYTES, reconcileOperator, utf8 } from "../../../src/model/mod.ts";
import { claimIdentity, readIdentity, type StorageNode } from "../../../src/node/mod.ts";
import { type SimRuntime, simRuntime } from "../../../src/runtime/mod.ts";
import { SimNode, wayTo } from "../../support/migration.ts";
import { bytes, rejectsCode, text } from "../../support/node.ts";

function world(seed = 1): SimRuntime {
  const world: SimRuntime = simRuntime({
    seed,
    delays: false,
    handler: (job) => runEngineJob(world.disk, [reconcileOperator], job as EngineJob),
  });
  world.disk.makeDir("/data");
  return world;
}

function identify(wanted: string | undefined, seed = 1) {
  const { disk, random } = world(seed);
  const made = claimIdentity({ disk, random } as SimRuntime, "/data", wanted);
  assert.deepEqual(readIdentity(disk, "/data", wanted), made);
  assert.deepEqual(readIdentity(disk, "/data", undefined), made);
  return made;
}

Deno.test("the writes of a directory are its own: by a name drawn for it, or by a chosen one with its incarnation", () => {
  const drawn = identify(undefined);
  assert.match(drawn.nodeId, /^node-[0-9a-f]{8}$/);
  assert.equal(drawn.actor, drawn.nodeId);
  const chosen = [1, 2].map((seed) => identify("n1", seed));
  for (const { nodeId, incarnation, actor } of chosen) {
    assert.equal(nodeId, "n1");
    assert.equal(actor, `n1@${incarnation.slice(0, 8)}`);
  }
  assert.notEqual(chosen[0].actor, chosen[1].actor);
});

Deno.test("a name of any length that is one leaves room for an actor, which clocks can hold [V4]", () => {
  for (const name of ["n".repeat(119), "n".repeat(120), "n".repeat(128), "\u{1f600}".repeat(32)]) {
    const { actor, incarnation } = identify(name);
    assert.ok(utf8(actor).length <= MAX_NODE_ID_BYTES, actor);
    assert.ok(actor === incarnation || actor === `${name}@${incarnation.slice(0, 8)}`, actor);
  }
});

/** A node under the name n1 on an empty disk, and how all of it goes over to another. */
async function onEmptyDisk(seed: number, target: () => StorageNode) {
  const runtime = world(seed);
  const way = wayTo(target, () => undefined);
  const node = await openNode(runtime, {
    dataDir: "/data",
    nodeId: "n1",
    version: "test",
    peers: way({ life: 0 } as SimNode),
  });
  const migrate = async () => {
    await node.startMigration({ target: "target" });
    for (let i = 0; i < 1000 && node.listMigrations()[0].state !== "completed"; i++) {
      await runtime.clock.advance(50);
    }
    assert.equal(node.listMigrations()[0].state, "completed");
  };
  return { node, migrate };
}

function valuesOf(node: StorageNode): (string | undefined)[] {
  return node.get("t", "k")!.versions.map(({ value }) => text(value)).sort();
}

Deno.test("a node whose disk was wiped counts no event again that clients and other nodes know of it", async () => {
  const target = await SimNode.open("target", 2);
  const first = await onEmptyDisk(3, () => target.node);
  for (let i = 0; i < 5; i++) await first.node.put("t", { key: "k", value: bytes(`old${i}`) });
  const { entries, dots } = first.node.get("t", "k")!.clock;
  await first.migrate();
  await first.node.close();

  const { node, migrate } = await onEmptyDisk(4, () => target.node);
  assert.equal(node.nodeId, "n1");
  await node.put("t", { key: "k", value: bytes("new") });
  // A context from before covers nothing of it; a seal would only say so earlier.
  const late = { key: "k", value: bytes("late"), context: { entries, dots } };
  await rejectsCode(() => node.put("t", { ...late, ifContext: true }), 1000);
  await node.put("t", late);
  assert.deepEqual(valuesOf(node), ["late", "new"]);
  // Nor does the copy of the first disk's write that another node has: it would have, had the second one's been
  // its first event again.
  await migrate();
  assert.deepEqual(valuesOf(target.node), ["late", "new"]);
  await node.close();
  await target.node.close();
});
