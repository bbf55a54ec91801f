/**
 * A range moves between two real processes, and either of them is killed in the middle of it: whoever
 * moves goes on behind the last checkpoint, and in the end both hold the same.
 * @module
 */
import assert from "node:assert/strict";
import { ConnectError } from "@connectrpc/connect";
import { connectPeer, contentOf, move, type Peer } from "../support/transfer.ts";
import { callJson, Server, withDirectory } from "../support/server.ts";

const KEYS = 3000;
// All together several times what connections hold on their way, so that the source is still at work.
const REPEATS = 240;
const BATCH_BYTES = 32 * 1024;
const tenant = "shop";

/** Fills a node: values that stay, values that expire, siblings and deletes. */
async function fill(peer: Peer, server: Server): Promise<void> {
  const keyOf = (i: number) => `key ${String(i).padStart(5, "0")}`;
  for (let from = 0; from < KEYS; from += 500) {
    const items = Array.from({ length: 500 }, (_, i) => ({
      key: keyOf(from + i),
      value: btoa(`value ${from + i} `.repeat(REPEATS + i % 7)),
      ...(i % 5 === 0 ? { ttlMs: 1 } : {}),
    }));
    await callJson(server, "KeyValueService/BatchPut", { tenantId: tenant, items });
  }
  for (let i = 0; i < KEYS; i += 10) {
    const vectorClock = { entries: [{ coordinatorNodeId: "other", logicalTimestamp: 1n }] };
    const write = { tenantId: tenant, key: keyOf(i), vectorClock };
    if (i % 30 === 0) await peer.node.delete(write);
    else await peer.node.write({ ...write, value: new TextEncoder().encode("sibling") });
  }
}

/** The process that is killed, and in which of its batches. */
type Victim = "the source" | "the target";

async function movedThrough(victim: Victim): Promise<void> {
  await withDirectory(async (directory) => {
    let source = await Server.start({ data: `${directory}/source` });
    let target = await Server.start({ data: `${directory}/target` });
    let [from, to] = await Promise.all([connectPeer(source.port), connectPeer(target.port)]);
    try {
      await fill(from, source);
      const before = await contentOf(from, tenant);
      assert.ok(before.totals.tombstones > 0n && before.totals.versions > before.totals.keys);

      let checkpoint = "";
      let batches = 0;
      for (const killAt of [7, 11, 3]) {
        let killed: Promise<unknown> | undefined;
        const attempt = move(from, to, {
          tenant,
          checkpoint,
          batchBytes: BATCH_BYTES,
          onBatch(reached, count) {
            checkpoint = reached;
            batches++;
            // Not awaited: it comes in the middle of what follows.
            if (count === killAt) killed = (victim === "the source" ? source : target).kill();
          },
        });
        await assert.rejects(attempt, ConnectError);
        await killed;
        await Promise.all([from.close(), to.close()]);
        if (victim === "the source") source = await Server.start({ data: source.data });
        else target = await Server.start({ data: target.data });
        [from, to] = await Promise.all([connectPeer(source.port), connectPeer(target.port)]);
      }
      const rest = await move(from, to, { tenant, checkpoint, batchBytes: BATCH_BYTES });
      assert.ok(rest.keys > 0n && rest.keys < BigInt(KEYS), `${rest.keys} keys after ${batches}`);

      assert.deepEqual(await contentOf(from, tenant), before);
      const after = await contentOf(to, tenant);
      assert.deepEqual(after.totals, before.totals);
      assert.deepEqual(after.entries, before.entries);

      // All of it once more: nothing is new.
      let applied = 0;
      for await (const { entries, checksum } of from.node.streamKeys({ tenantId: tenant })) {
        const done = await to.node.replicateData({ tenantId: tenant, entries, checksum });
        applied += done.applied;
      }
      assert.equal(applied, 0);
      assert.deepEqual(await contentOf(to, tenant), before);
    } finally {
      await Promise.all([from.close(), to.close()]);
      await Promise.all([source.kill(), target.kill()]);
    }
  });
}

for (const victim of ["the source", "the target"] as const) {
  Deno.test(`a range moves to the last version though ${victim} is killed on the way [N5, N6, S3, S4]`, () =>
    movedThrough(victim));
}
