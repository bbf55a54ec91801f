/**
 * Writes that are lost although somebody was told of them: by a power cut where the log is not synced for each,
 * or by damage to it. The node has forgotten these events; if it counted the same ones again, for other
 * values, whoever knows the first would take the second for seen, or for old: contexts of clients would replace
 * what nobody has read, and other nodes would drop it.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { DEFAULT_ENGINE_OPTIONS, openEngine } from "../../../src/engine/mod.ts";
import { type CausalContext, PairError, VERSION_OPERATORS } from "../../../src/model/mod.ts";
import { openStorageNode, type StorageNode } from "../../../src/node/mod.ts";
import type { SimRuntime } from "../../../src/runtime/mod.ts";
import { engineWorld, SMALL } from "../../support/engine.ts";
import { bytes, rejectsCode, testNode, text } from "../../support/node.ts";

type SyncMode = typeof DEFAULT_ENGINE_OPTIONS.log.syncMode;

async function openIn(world: SimRuntime, syncMode: SyncMode): Promise<StorageNode> {
  const log = { ...SMALL.log, syncMode };
  return openStorageNode({
    engine: await openEngine(world, "/data", { ...SMALL, log }, VERSION_OPERATORS),
    runtime: world,
    nodeId: "n1",
    version: "test",
    dataDir: "/data",
    tenantAutoCreate: true,
  });
}

/** The world as it is after a power cut now. @param byMs  how far the wall clock has got meanwhile */
function afterPowerCut(world: SimRuntime, seed: number, byMs: number): SimRuntime {
  const cut = engineWorld({ image: world.disk.snapshotImage() });
  cut.disk.crash({ seed });
  return engineWorld({ image: cut.disk.snapshotImage(), startWallMs: world.clock.wallMs() + byMs });
}

/** Writes the key some times, and keeps what a client and another node have of each write. */
async function write(node: StorageNode, times: number): Promise<Known[]> {
  const known: Known[] = [];
  for (let n = 0; n < times; n++) {
    await node.put("t", { key: "k", value: bytes(`old${n}`) });
    const { clock, winner } = node.get("t", "k")!;
    known.push({ context: clock, timestampMs: winner.timestampMs, value: `old${n}` });
  }
  return known;
}

interface Known {
  readonly context: CausalContext;
  readonly timestampMs: number;
  readonly value: string;
}

/** After the loss: writes that nobody has read yet, and then those who know what was before. */
async function checkUnseen(node: StorageNode, known: readonly Known[], times: number) {
  for (let n = 0; n < times; n++) await node.put("t", { key: "k", value: bytes(`new${n}`) });
  const unseen = `new${times - 1}`;
  const { clock, winner } = node.get("t", "k")!;
  for (const { context, value, timestampMs } of known) {
    await rejectsCode(
      () => node.put("t", { key: "k", value: bytes("x"), context, ifContext: true }),
      1000,
    );
    // Another node that has the old version is told of the new one.
    const other = testNode({ nodeId: "n2" });
    const copy = { key: "k", value: bytes(value), clock: context, timestampMs, deleted: false };
    await other.node.applyReplica("t", copy, "write");
    const next = { value: bytes(unseen), clock, timestampMs: winner.timestampMs };
    await other.node.applyReplica("t", { ...copy, ...next }, "write");
    assert.deepEqual(valuesOf(other.node), [unseen]);
  }
  for (const [n, { context }] of known.entries()) {
    try {
      await node.put("t", { key: "k", value: bytes(`late${n}`), context });
    } catch (error) {
      // Refused is as good.
      assert.ok(error instanceof PairError && error.code === 1000, String(error));
    }
    assert.ok(valuesOf(node).includes(unseen), `replaced by old${n}, which never saw it`);
  }
}

function valuesOf(node: StorageNode): (string | undefined)[] {
  return node.get("t", "k")!.versions.map(({ value }) => text(value)).sort();
}

for (const syncMode of ["none", "batch"] as const) {
  Deno.test(`sync_mode ${syncMode}: what a power cut took is not counted again`, () =>
    fc.assert(
      fc.asyncProperty(
        fc.nat(),
        fc.array(
          // A clock may be behind after the power was gone.
          fc.record({
            writes: fc.integer({ min: 1, max: 6 }),
            byMs: fc.constantFrom(1, -86_400_000),
          }),
          { minLength: 1, maxLength: 3 },
        ),
        fc.integer({ min: 1, max: 8 }),
        fc.boolean(),
        // Whoever has lost writes may want a sync for each from then on: the life before had none.
        fc.constantFrom(syncMode, "always" as const),
        async (seed, lives, times, drops, lastMode) => {
          let world = engineWorld({ seed });
          let node = await openIn(world, syncMode);
          await node.createTenant("t");
          const known: Known[] = [];
          for (const [n, { writes, byMs }] of lives.entries()) {
            known.push(...await write(node, writes));
            // What is counted on from an earlier loss, too, can be lost or dropped.
            world = afterPowerCut(world, seed + known.length, byMs);
            node = await openIn(world, n === lives.length - 1 ? lastMode : syncMode);
          }
          if (drops) {
            await node.dropTenant("t");
            await node.createTenant("t");
          }
          await checkUnseen(node, known, times);
          await node.close();
        },
      ),
      { numRuns: 30 },
    ));
}

Deno.test("what a damaged log has lost is not counted again", async () => {
  const world = engineWorld({ seed: 1 });
  const node = await openIn(world, "always");
  await write(node, 1);
  const path = `/data/wal/${world.disk.list("/data/wal").at(-1)}`;
  const from = world.disk.stat(path)!.size;
  const known = await write(node, 6);
  const to = world.disk.stat(path)!.size;
  // Something sound behind it: an end that is damaged may pass for torn.
  await node.put("t", { key: "other", value: bytes("v") });
  const image = world.disk.snapshotImage();
  const later = engineWorld({ image, startWallMs: world.clock.wallMs() + 1 });
  for (let at = from; at < to; at += 16) later.disk.corrupt(path, at, 1);
  const damaged = await openIn(later, "always");
  assert.ok(damaged.status().recovery.losses > 0);
  assert.deepEqual(valuesOf(damaged), ["old0"]);
  await checkUnseen(damaged, known, 2);
  await damaged.close();
});
