/**
 * Counters that nobody can have counted to: refused where they come in, whichever way that is; and what
 * is just taken leaves every node able to write and delete the key.
 * @module
 */
import assert from "node:assert/strict";
import {
  addToChecksum,
  encodeKey,
  encodeVersions,
  MAX_COUNTER,
  type VectorClock,
  type Version,
} from "../../../src/model/mod.ts";
import type { StorageNode } from "../../../src/node/mod.ts";
import { bytes, rejectsCode, testNode, text } from "../../support/node.ts";

const DAY_MS = 86_400_000;

function clock(...entries: [string, number][]): VectorClock {
  return { entries: entries.map(([node, counter]) => ({ node, counter })), dots: [] };
}

function replica(value: string, clock: VectorClock) {
  return { key: "k", value: bytes(value), deleted: false, clock };
}

function transfer(node: StorageNode, clock: VectorClock) {
  const version: Version = {
    clock,
    dot: undefined,
    value: bytes("v"),
    timestampMs: 1,
    expiresAtMs: 0,
  };
  const checksum = addToChecksum(encodeKey("k"), encodeVersions([version]), 0);
  return node.replicate("t", [{ key: "k", version }], checksum);
}

Deno.test("a forged counter is refused whichever way it comes, and changes nothing [V4]", async () => {
  const { node, engine, world } = testNode();
  await node.put("t", { key: "k", value: bytes("v") });
  const most = (world.clock.wallMs() + DAY_MS) * 1000;
  for (const name of ["n1", "n2"]) {
    for (const counter of [MAX_COUNTER, MAX_COUNTER - 1, most + 1]) {
      for (
        const forged of [clock([name, counter]), { entries: [], dots: [{ node: name, counter }] }]
      ) {
        const context = forged;
        const value = bytes("x");
        await rejectsCode(() => node.put("t", { key: "k", value, context }), 1000);
        await rejectsCode(() => node.delete("t", { key: "k", context }), 1000);
        await rejectsCode(
          () => node.batchPut("t", [{ key: "a", value }, { key: "k", value, context }]),
          1000,
        );
        for (const origin of ["write", "delete", "repair"] as const) {
          await rejectsCode(() => node.applyReplica("t", replica("x", forged), origin), 1000);
        }
        await rejectsCode(() => transfer(node, forged), 1000);
      }
    }
  }
  assert.equal(engine.log.length, 1);
  assert.equal(text(node.get("t", "k")?.winner.value), "v");
});

Deno.test("the largest counters that are taken trap no key: every node can write it and delete it", async () => {
  const one = testNode();
  const two = testNode({ nodeId: "n2" });
  const most = one.world.clock.wallMs() * 1000;
  const value = bytes("v");
  // A client makes up what n2 may have counted to.
  const { clock: made } = await one.node.put("t", {
    key: "k",
    value,
    context: clock(["n2", most]),
  });
  const copy = (of: VectorClock) => two.node.applyReplica("t", replica("v", of), "write");
  await copy(made);
  // So does a peer of n1, a day ahead at most.
  const ahead = (one.world.clock.wallMs() + DAY_MS) * 1000;
  await one.node.applyReplica("t", replica("w", clock(["n1", ahead], ["n2", most])), "repair");
  for (const { node } of [one, two]) {
    for (let n = 0; n < 3; n++) {
      const context = node.get("t", "k")?.clock;
      await node.put("t", { key: "k", value, context });
      await node.put("t", { key: "k", value });
      assert.equal(node.get("t", "k")!.versions.length, 1);
    }
    const { clock: seen } = node.get("t", "k")!;
    assert.equal((await node.delete("t", { key: "k", context: seen })).existed, true);
    assert.equal(node.get("t", "k"), undefined);
    await node.put("t", { key: "k", value });
  }
  // What the one has the other takes, a moment later where it was at the edge.
  await two.world.clock.advance(1);
  await copy(one.node.get("t", "k")!.clock);
  await two.node.put("t", { key: "k", value, context: two.node.get("t", "k")!.clock });
  assert.equal(two.node.get("t", "k")!.versions.length, 1);
});
