/**
 * A node on the simulated machine, twice with the same seed: everything that happens is the same, to the last byte of
 * its disk, through concurrent writes, flushes, compactions, and losses of power that tear what was not synced. So a
 * failure that a seed finds can be looked at as often as one likes.
 * @module
 */
import assert from "node:assert/strict";
import { openEngine } from "../../src/engine/mod.ts";
import { MAX_SIBLINGS, PairError, VERSION_OPERATORS } from "../../src/model/mod.ts";
import type { StorageNode } from "../../src/node/mod.ts";
import { sha256Of, type SimDisk, SimRandom, type SimRuntime } from "../../src/runtime/mod.ts";
import { engineWorld, SMALL } from "../support/engine.ts";
import { bytes, nodeOn } from "../support/node.ts";

const LIVES = 3;
const STEPS = 150;
const TENANTS = ["a", "b", "c"];

/** All that a run has shown, a line each. */
type Trace = string[];

async function run(seed: number): Promise<Trace> {
  const trace: Trace = [];
  const random = new SimRandom(seed);
  let world = engineWorld({ seed, delays: true });
  for (let life = 0; life < LIVES; life++) {
    const engine = openEngine(world, "/data", SMALL, VERSION_OPERATORS);
    const node = nodeOn(await world.clock.runUntil(engine), world);
    await live(world, node, random, trace);
    for (const { level, event, fields } of world.log.events) {
      trace.push(`${level} ${event} ${JSON.stringify(fields)}`);
    }
    trace.push(JSON.stringify(node.status().counters));
    const dead = world;
    const image = dead.disk.snapshotImage();
    dead.disk.hook = () => "crash";
    const torn = engineWorld({ image });
    torn.disk.crash({ seed: random.u32() });
    trace.push(...digests(torn.disk, "/"));
    const startWallMs = dead.clock.wallMs() + 1;
    world = engineWorld({
      seed: random.u32(),
      delays: true,
      image: torn.disk.snapshotImage(),
      startWallMs,
    });
  }
  return trace;
}

/** Calls of many clients at once, of which the last are still under way at the end. */
async function live(
  world: SimRuntime,
  node: StorageNode,
  random: SimRandom,
  trace: Trace,
): Promise<void> {
  for (let step = 0; step < STEPS; step++) {
    const call = `${trace.length} ${step}`;
    const tenant = TENANTS[random.below(TENANTS.length)];
    const key = `k${random.below(20)}`;
    const value = bytes(`${step}`.padEnd(random.below(120), "v"));
    const told = (what: string, answer: Promise<unknown>) => {
      answer.then(
        (result) => trace.push(`${call} ${what} ${JSON.stringify(result)}`),
        (error: unknown) => {
          trace.push(`${call} ${what} ${error instanceof PairError ? error.error : error}`);
        },
      );
    };
    const kind = random.below(10);
    if (kind < 5) told("put", node.put(tenant, { key, value }));
    else if (kind < 6) told("delete", node.delete(tenant, { key }));
    else if (kind < 7) {
      const items = [{ key, value }, { key: `${key} too`, value, ttlMs: 1 + random.below(500) }];
      told("batch", node.batchPut(tenant, items));
    } else if (kind < 8) told("flush", node.flush(tenant).catch(() => "not there"));
    else if (kind < 9) {
      const versions = node.get(tenant, key)?.versions ?? [];
      assert.ok(versions.length <= MAX_SIBLINGS);
      trace.push(`${call} get ${JSON.stringify(versions.map(({ clock }) => clock))}`);
    } else await world.clock.advance(random.below(40));
  }
  await world.clock.advance(random.below(10));
}

/** Every file below a directory, by name and content. */
function digests(disk: SimDisk, dir: string): string[] {
  return disk.list(dir).toSorted().flatMap((name) => {
    const path = dir === "/" ? `/${name}` : `${dir}/${name}`;
    if (disk.stat(path)?.kind === "directory") return digests(disk, path);
    return [`${path} ${sha256Of(disk.readWhole(path)).toHex()}`];
  });
}

Deno.test("the same seed is the same run, to the last byte of the disk, and another is another", async () => {
  for (let seed = 1; seed <= 5; seed++) {
    const [first, again, other] = [await run(seed), await run(seed), await run(seed + 100)];
    assert.deepEqual(again, first);
    assert.notDeepEqual(other, first);
    // It is about something: compactions were made, and power was lost with writes under way.
    assert.ok(first.some((line) => line.startsWith("info compacted")), "no compaction");
    assert.ok(first.some((line) => line.startsWith("/data/wal/")));
  }
});
