/**
 * A tenant whose flushes fail for good: retries are few, its writers hear why, health tells, and all is well
 * once a flush succeeds.
 * @module
 */
import assert from "node:assert/strict";
import { DEFAULT_ENGINE_OPTIONS, openEngine } from "../../../src/engine/mod.ts";
import { type PairError, reconcileOperator } from "../../../src/model/mod.ts";
import type { StorageNode } from "../../../src/node/mod.ts";
import type { Errno, SimRuntime } from "../../../src/runtime/mod.ts";
import { engineWorld } from "../../support/engine.ts";
import { bytes, nodeOn } from "../../support/node.ts";

async function open(world: SimRuntime): Promise<StorageNode> {
  const options = { ...DEFAULT_ENGINE_OPTIONS, memtableSize: 64 << 10 };
  const engine = openEngine(world, "/data", options, [reconcileOperator]);
  return nodeOn(await world.clock.runUntil(engine), world);
}

function put(world: SimRuntime, node: StorageNode, tenant: string, n: number) {
  return world.clock.runUntil(node.put(tenant, { key: `k${n}`, value: bytes("v".repeat(1000)) }));
}

/** Puts until one is refused. */
async function fill(world: SimRuntime, node: StorageNode): Promise<PairError> {
  for (let n = 0; n < 1000; n++) {
    try {
      await put(world, node, "t", n);
    } catch (error) {
      return error as PairError;
    }
  }
  throw new Error("nothing was refused");
}

for (const [errno, row] of [["EACCES", "SSTableFailed"], ["ENOSPC", "DiskFull"]] as const) {
  Deno.test(`a tenant whose flushes fail for good (${errno}) says so, and is well after one that succeeds`, async () => {
    const world = engineWorld({ delays: true });
    const node = await open(world);
    await put(world, node, "other", 0);
    let failing: Errno | undefined = errno;
    let tries = 0;
    world.disk.hook = ({ op, path }) => {
      if (failing === undefined || op !== "create" || !path.includes("/t~2/")) return undefined;
      tries++;
      return failing;
    };
    const refused = await fill(world, node);
    assert.equal(refused.error, row);
    assert.match(refused.message, new RegExp(`Cannot write now: .*/t~2/\\d+\\.sst: ${errno}`));
    assert.equal(refused.details.errno, errno);
    const { status, reasons } = node.health();
    assert.equal(status, "degraded", "other tenants are well");
    assert.match(
      reasons.join(),
      new RegExp(`^tenants whose last flush failed: 1, for: .*${errno}`),
    );
    assert.equal(node.status().counters.flushesFailing, 1);
    await put(world, node, "other", 1);

    // Writers that keep asking do not make it any quicker.
    tries = 0;
    const startedMs = world.clock.monotonicMs();
    while (world.clock.monotonicMs() - startedMs < 20_000) {
      await assert.rejects(put(world, node, "t", 1), { error: row });
      await world.clock.advance(50);
    }
    assert.ok(tries >= 4 && tries <= 6, `${tries} tries in 20 s`);

    failing = undefined;
    await world.clock.advance(5000);
    await put(world, node, "t", 1);
    assert.equal(node.health().status, "healthy");
    assert.equal(node.status().counters.flushesFailing, 0);
    await world.clock.runUntil(node.close());
    assert.equal(world.clock.pendingCount, 0);
  });
}

Deno.test("a flush that fails once is nothing that health or a writer hears of", async () => {
  const world = engineWorld({ delays: true });
  const node = await open(world);
  let failures = 1;
  world.disk.hook = ({ op, path }) =>
    op === "create" && path.endsWith(".sst") && failures-- > 0 ? "EIO" : undefined;
  for (let n = 0; n < 300; n++) {
    await put(world, node, "t", n);
    assert.equal(node.health().status, "healthy");
  }
  assert.equal(node.status().counters.jobsFailed, 1);
  assert.ok(node.status().tables > 0);
  await world.clock.runUntil(node.close());
});
