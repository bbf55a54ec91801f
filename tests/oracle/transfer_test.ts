/**
 * Transfers between two nodes on the real engine, over the real port: random histories with siblings,
 * deletes and times to live, moved whole or by ranges of tokens, in batches of any size. Afterwards the
 * target holds what the join of both is, version by version. A failing run prints its seed; put it into
 * SEEDS to replay it.
 * @module
 */
import assert from "node:assert/strict";
import { type EngineJob, openEngine, runEngineJob } from "../../src/engine/mod.ts";
import { reconcileOperator, tokenBytes, tokenOf, type VectorClock } from "../../src/model/mod.ts";
import type { StorageNode } from "../../src/node/mod.ts";
import { openPort, type Port } from "../../src/rpc/mod.ts";
import {
  denoClock,
  denoNetwork,
  silentLog,
  SimRandom,
  type SimRuntime,
  simRuntime,
} from "../../src/runtime/mod.ts";
import { SMALL } from "../support/engine.ts";
import { bytes, nodeOn } from "../support/node.ts";
import { connectPeer, contentOf, move, type Peer } from "../support/transfer.ts";

const OPERATIONS = Number(Deno.env.get("PAIRDB_ORACLE_OPERATIONS") ?? 600);
const SEEDS = [1, 2, 3];
const KEYS = Array.from({ length: 60 }, (_, i) => `key ${"é".repeat(i % 3)}${i}`);
const tenant = "t";

/** A node with its port and a connection to it. */
class Served {
  private constructor(
    readonly world: SimRuntime,
    readonly node: StorageNode,
    readonly port: Port,
    readonly peer: Peer,
  ) {}

  static async open(nodeId: string, seed: number): Promise<Served> {
    const world: SimRuntime = simRuntime({
      seed,
      handler: (job) => runEngineJob(world.disk, [reconcileOperator], job as EngineJob),
    });
    const engine = await openEngine(world, "/data", SMALL, [reconcileOperator]);
    const node = nodeOn(engine, world, { nodeId });
    const runtime = { clock: denoClock(), network: denoNetwork(), log: silentLog };
    const port = await openPort({ runtime, node, host: "127.0.0.1", port: 0, version: "test" });
    port.setReady(true);
    return new Served(world, node, port, await connectPeer(port.port));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.peer.close();
    await this.port.close();
    await this.node.close();
  }
}

/** One random change of a node, as its clients and other nodes make them. */
async function change(
  { node, world }: Served,
  random: SimRandom,
  contexts: Map<string, VectorClock>,
  operation: number,
): Promise<void> {
  const key = KEYS[random.below(KEYS.length)];
  const value = bytes(`${operation}`.repeat(random.below(30)));
  const context = [contexts.get(key), undefined, { entries: [], dots: [] }][random.below(3)];
  switch (random.below(8)) {
    case 0:
      await node.delete(tenant, { key, context });
      break;
    case 1: {
      const clock = {
        entries: [{ node: `far${random.below(3)}`, counter: operation + 1 }],
        dots: [],
      };
      const deleted = random.below(3) === 0;
      const write = { key, value: deleted ? undefined : value, deleted, clock };
      await node.applyReplica(tenant, write, (["write", "repair"] as const)[random.below(2)]);
      break;
    }
    case 2: {
      const read = node.get(tenant, key);
      if (read !== undefined) contexts.set(key, read.clock);
      break;
    }
    default:
      await node.put(tenant, { key, value, context, ttlMs: random.below(4) === 0 ? 30 : 0 });
  }
  const event = random.below(100);
  if (event === 0) await node.flush(tenant);
  if (event === 1) await node.compact(tenant);
  if (event < 20) await world.clock.advance(random.below(20));
}

/** Moves everything, in ranges of tokens that go around the ring, or in one. */
async function moveAll(source: Served, target: Served, random: SimRandom): Promise<void> {
  const points = Array.from(
    { length: 1 + random.below(4) },
    () => tokenBytes(tokenOf(bytes(`${random.below(1000)}`))),
  ).sort((a, b) => a.toHex() < b.toHex() ? -1 : 1);
  for (const [i, start] of points.entries()) {
    const tokenRange = points.length === 1
      ? undefined
      : { start, end: points[(i + 1) % points.length] };
    const batchBytes = [1, 300, 3000, 0][random.below(4)];
    await move(source.peer, target.peer, { tenant, tokenRange, batchBytes });
  }
}

async function run(seed: number): Promise<void> {
  const random = new SimRandom(seed);
  await using one = await Served.open("n1", seed);
  await using two = await Served.open("n2", seed + 1000);
  const contexts = [new Map<string, VectorClock>(), new Map<string, VectorClock>()];
  for (let operation = 0; operation < OPERATIONS; operation++) {
    await change(one, random, contexts[0], operation);
  }
  await moveAll(one, two, random);
  const before = await contentOf(one.peer, tenant);
  const whole = await contentOf(two.peer, tenant);
  assert.deepEqual(whole.entries, before.entries);
  assert.deepEqual(whole.totals, before.totals);
  assert.ok(before.totals.tombstones > 0n && before.totals.versions > before.totals.keys);
  assert.ok(before.entries.some(({ expiresAt }) => expiresAt > 0n), "nothing expires");

  // Both go on, each by itself; then each takes what the other has, in either order.
  for (let operation = 0; operation < OPERATIONS; operation++) {
    const side = random.below(2);
    await change([one, two][side], random, contexts[side], OPERATIONS + operation);
  }
  await moveAll(two, one, random);
  await moveAll(one, two, random);
  const joined = await contentOf(one.peer, tenant);
  assert.deepEqual(await contentOf(two.peer, tenant), joined);
  assert.ok(one.node.status().tables > 0, "nothing was ever flushed");
  for (const { peer } of [one, two]) {
    const counted = await peer.node.getKeyRange({ tenantId: tenant, exact: true });
    assert.deepEqual(counted.totals, joined.totals);
    const { keys } = await peer.node.getKeyRange({ tenantId: tenant });
    assert.ok(keys >= joined.totals.keys, "an estimate counts every layer");
  }
}

for (const seed of SEEDS) {
  Deno.test(`a node that takes over a range holds the same, version by version (seed ${seed}) [N5, N6, N7, S3, S4]`, () =>
    run(seed));
}
