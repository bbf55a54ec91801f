/**
 * The storage node on the real engine against the same node on a list in memory: the same random
 * operations on both, the same answers, through flushes, compactions and restarts of the real one.
 * A failing run prints its seed; put it into SEEDS to replay it.
 * @module
 */
import assert from "node:assert/strict";
import { type Engine, type EngineJob, openEngine, runEngineJob } from "../../src/engine/mod.ts";
import { PairError, reconcileOperator, type VectorClock } from "../../src/model/mod.ts";
import type { ReadResult, StorageNode } from "../../src/node/mod.ts";
import { SimRandom, type SimRuntime, simRuntime } from "../../src/runtime/mod.ts";
import { SMALL } from "../support/engine.ts";
import { MemoryEngine } from "../support/memory_engine.ts";
import { bytes, nodeOn } from "../support/node.ts";

const OPERATIONS = Number(Deno.env.get("PAIRDB_ORACLE_OPERATIONS") ?? 1500);
const SEEDS = [1, 2, 3, 4];
const TENANTS = ["one", "two"];
const KEYS = Array.from({ length: 25 }, (_, i) => `key ${"x".repeat(i % 3)}${i}`);

function open(engine: Engine, world: SimRuntime): StorageNode {
  return nodeOn(engine, world, { idempotency: { maxWrites: 40, maxAgeMs: 500 } });
}

/** What a call gave, or the code that it failed with, so that failures can be compared too. */
async function outcome<T>(run: () => T | Promise<T>): Promise<T | number> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof PairError) return error.code;
    throw error;
  }
}

function withoutSource(result: ReadResult | undefined) {
  return result && { ...result, source: undefined };
}

type Call = (node: StorageNode) => unknown;

function randomCall(
  random: SimRandom,
  contexts: Map<string, VectorClock>,
  operation: number,
): Call {
  const tenant = TENANTS[random.below(TENANTS.length)];
  const key = KEYS[random.below(KEYS.length)];
  const value = bytes(`${operation}`.repeat(random.below(8)));
  const name = `${tenant}/${key}`;
  // An old context, none, or one that has seen nothing.
  const context = [contexts.get(name), undefined, { entries: [], dots: [] }][random.below(3)];
  const foreign = {
    entries: [{ node: `far${random.below(3)}`, counter: operation + 1 }],
    dots: [],
  };
  // Few keys, so that they come again with the same write, and with others.
  const idempotencyKey = random.below(3) === 0 ? `idempotency key ${random.below(30)}` : undefined;
  const ifContext = random.below(4) === 0;
  switch (random.below(9)) {
    case 0:
      return (node) => node.delete(tenant, { key, context, ifContext, idempotencyKey });
    case 8: {
      // The same write, often.
      const again = { key, value: bytes("again"), ifContext, idempotencyKey };
      return (node) => node.put(tenant, again);
    }
    case 1: {
      const deleted = random.below(4) === 0;
      const origin = (["write", "repair"] as const)[random.below(2)];
      const write = { key, value: deleted ? undefined : value, deleted, clock: foreign };
      return (node) => node.applyReplica(tenant, write, origin);
    }
    case 2: {
      const items = Array.from({ length: 1 + random.below(6) }, () => ({
        key: KEYS[random.below(KEYS.length)],
        value,
        ifContext: random.below(8) === 0,
      }));
      const skipUnchanged = random.below(2) === 0;
      return (node) => node.batchPut(tenant, items, { skipUnchanged, idempotencyKey });
    }
    case 3: {
      const limit = random.below(10);
      const start = KEYS[random.below(KEYS.length)];
      return (node) => [...node.scan(tenant, { start, limit })];
    }
    case 4:
      return (node) => {
        const read = node.get(tenant, key);
        if (read) contexts.set(name, read.clock);
        return withoutSource(read);
      };
    default: {
      const ttlMs = random.below(10) === 0 ? 1 + random.below(50) : 0;
      const put = { key, value, context, ttlMs, ifContext, idempotencyKey };
      return (node) => node.put(tenant, put);
    }
  }
}

async function run(seed: number): Promise<void> {
  const random = new SimRandom(seed);
  const world: SimRuntime = simRuntime({
    seed,
    handler: (job) => runEngineJob(world.disk, [reconcileOperator], job as EngineJob),
  });
  const openReal = async () =>
    open(await openEngine(world, "/data", SMALL, [reconcileOperator]), world);
  const operators = [reconcileOperator];
  const memory = new MemoryEngine({ operators, wallMs: () => world.clock.wallMs() });
  const model = open(memory, world);
  let real = await openReal();
  const contexts = new Map<string, VectorClock>();
  for (let operation = 0; operation < OPERATIONS; operation++) {
    const call = randomCall(random, contexts, operation);
    const expected = await outcome(() => call(model));
    assert.deepEqual(await outcome(() => call(real)), expected, `operation ${operation}`);
    const event = random.below(100);
    if (event === 0) await real.flush(TENANTS[random.below(2)]).catch(isNoTenant);
    if (event === 1) await real.compact(TENANTS[random.below(2)]).catch(isNoTenant);
    if (event === 2) {
      await real.close();
      real = await openReal();
    }
    if (event < 20) await world.clock.advance(random.below(20));
  }
  for (const tenant of TENANTS) {
    const read = async (node: StorageNode) =>
      (await node.batchGet(tenant, KEYS)).map(withoutSource);
    const results = [await read(model), await read(real)];
    assert.deepEqual(results[1], results[0]);
    assert.deepEqual([...real.scan(tenant, {})], [...model.scan(tenant, {})]);
  }
  assert.ok(real.status().tables > 0, "nothing was ever flushed");
  await real.close();
  await model.close();
}

function isNoTenant(error: unknown): void {
  if (!(error instanceof PairError) || error.error !== "InvalidTenantID") throw error;
}

for (const seed of SEEDS) {
  Deno.test(`a node on the engine answers as a node on a list in memory does (seed ${seed}) [E3, E20, T1]`, () =>
    run(seed));
}
