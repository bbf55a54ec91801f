/**
 * Writes with idempotency keys through crashes: at each change of the disk in turn the world stops, and keeps
 * what was synced and more or less of the rest. Whoever was not answered, and whoever was, asks again with the
 * same key: each write is there once, and who was answered gets the same answer.
 *
 * How often a write was applied is in the clock of its key: each application is one event of the node.
 * @module
 */
import assert from "node:assert/strict";
import type { StorageNode, WriteResult } from "../../src/node/mod.ts";
import { reconcileOperator } from "../../src/model/mod.ts";
import { openEngine } from "../../src/engine/mod.ts";
import {
  type CrashPolicy,
  type SimDiskImage,
  SimRandom,
  type SimRuntime,
} from "../../src/runtime/mod.ts";
import { engineWorld, SMALL } from "../support/engine.ts";
import { bytes, nodeOn } from "../support/node.ts";

/** Writes of a script; they come in groups, so that several share a sync. */
const WRITES = 36;
const TENANTS = ["one", "two"];
/** Forgotten are the oldest: small enough to happen within a script. */
const LIMITS = { maxWrites: 12, maxAgeMs: 1_000_000 };

/** One write: a put, or a batch of so many puts: the last of another key, all others of one. */
interface Write {
  readonly tenant: string;
  readonly idempotencyKey: string;
  readonly key: string;
  readonly items: number;
}

/** What the script was told before the world stopped. */
interface Told {
  /** By the write's place in the script. */
  readonly answers: ReadonlyMap<number, readonly WriteResult[]>;
  /** Writes that were begun. */
  readonly begun: number;
}

interface Point {
  readonly told: Told;
  readonly image: SimDiskImage;
  readonly call: string;
}

function script(seed: number): Write[] {
  const random = new SimRandom(seed);
  return Array.from({ length: WRITES }, (_, n) => ({
    tenant: TENANTS[random.below(2)],
    // The same keys in both tenants.
    idempotencyKey: `idempotency key ${n >> 1}/${n & 1}`,
    key: `k${n}`,
    items: random.below(4) === 0 ? 2 + random.below(2) : 1,
  }));
}

async function openNode(world: SimRuntime): Promise<StorageNode> {
  const options = { ...SMALL, memtableSize: 1500 };
  return nodeOn(await openEngine(world, "/data", options, [reconcileOperator]), world, {
    idempotency: LIMITS,
  });
}

async function apply(node: StorageNode, write: Write): Promise<readonly WriteResult[]> {
  const { tenant, idempotencyKey, key, items } = write;
  const value = bytes(`value of ${key}`);
  if (items === 1) return [await node.put(tenant, { key, value, idempotencyKey })];
  const puts = Array.from({ length: items }, (_, i) => ({
    key: i === items - 1 ? `${key}/other` : key,
    value,
  }));
  return (await node.batchPut(tenant, puts, { idempotencyKey })).results;
}

async function points(seed: number, writes: readonly Write[]): Promise<Point[]> {
  const world = engineWorld({ seed });
  const found: Point[] = [];
  const answers = new Map<number, readonly WriteResult[]>();
  let begun = 0;
  world.disk.hook = ({ op, path }) => {
    if (["append", "sync", "syncNow", "create", "rename", "remove", "syncDir"].includes(op)) {
      const told = { answers: new Map(answers), begun };
      found.push({ told, image: world.disk.snapshotImage(), call: `${op} ${path}` });
    }
    return undefined;
  };
  const node = await openNode(world);
  // Those who wait for a tenant to be made may overtake each other: the model's order is the script's.
  for (const tenant of TENANTS) await node.createTenant(tenant);
  const random = new SimRandom(seed + 1);
  for (let n = 0; n < writes.length;) {
    const group = Math.min(1 + random.below(3), writes.length - n);
    begun = n + group;
    await Promise.all(Array.from({ length: group }, async (_, i) => {
      answers.set(n + i, await apply(node, writes[n + i]));
    }));
    n += group;
    if (random.below(8) === 0) await node.flush();
  }
  await node.close();
  return found;
}

/** The writes of each tenant that must be remembered when those before `begun` were begun: whatever was applied. */
function remembered(writes: readonly Write[], begun: number): Set<number> {
  const kept = new Set<number>();
  for (const tenant of TENANTS) {
    let sum = 0;
    for (let n = begun - 1; n >= 0; n--) {
      if (writes[n].tenant !== tenant) continue;
      sum += writes[n].items;
      if (sum > LIMITS.maxWrites) break;
      kept.add(n);
    }
  }
  return kept;
}

async function check(writes: readonly Write[], point: Point, policy: CrashPolicy): Promise<void> {
  const { told } = point;
  let world = engineWorld({ image: point.image });
  world.disk.crash(policy);
  world = engineWorld({ image: world.disk.snapshotImage() });
  let node = await openNode(world);
  const kept = remembered(writes, told.begun);
  const again = new Map<number, readonly WriteResult[]>();
  // In the order of the script: to ask for one that is forgotten would be a new write.
  for (let n = 0; n < told.begun; n++) {
    const { tenant, key, items } = writes[n];
    const eventsOf = (key: string) => node.get(tenant, key)?.clock.entries[0].counter ?? 0;
    const events = () => eventsOf(key) + (items === 1 ? 0 : eventsOf(`${key}/other`));
    const before = events();
    const answer = told.answers.get(n);
    assert.ok(before === 0 || before === items, `write ${n}: ${before} of ${items} applied`);
    if (answer !== undefined) assert.equal(before, items, `write ${n} was answered and is lost`);
    if (!kept.has(n)) continue;
    again.set(n, await apply(node, writes[n]));
    assert.equal(events(), items, `write ${n} was applied ${events()} times, not ${items}`);
    if (answer !== undefined) assert.deepEqual(again.get(n), answer);
  }
  // And once more, after a kill.
  world = engineWorld({ image: world.disk.snapshotImage() });
  node = await openNode(world);
  for (const [n, answer] of again) assert.deepEqual(await apply(node, writes[n]), answer);
  await node.close();
}

Deno.test("no crash point has a write with an idempotency key applied twice, or its answer changed [B5]", async () => {
  let states = 0;
  for (const seed of [1, 2, 3]) {
    const writes = script(seed);
    const random = new SimRandom(seed + 2);
    const all = await points(seed, writes);
    assert.ok(all.length > 100, `the script has ${all.length} points`);
    for (const [i, point] of all.entries()) {
      const policies: CrashPolicy[] = [i % 2 === 0 ? "drop" : "keep", { seed: random.u32() }];
      for (const policy of policies) {
        try {
          await check(writes, point, policy);
        } catch (cause) {
          const where = `seed ${seed}, point ${i} before ${point.call}, ${JSON.stringify(policy)}`;
          throw new Error(`${where}: ${cause}`, { cause });
        }
        states++;
      }
    }
  }
  assert.ok(states > 600, `${states} states`);
});
