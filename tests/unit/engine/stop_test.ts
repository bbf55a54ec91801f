/**
 * How long a stop waits for what is done in the background. On the simulated clock.
 * @module
 */
import assert from "node:assert/strict";
import { type Engine, type EngineJob, KIND_PUT } from "../../../src/engine/mod.ts";
import { utf8 } from "../../../src/model/mod.ts";
import { type SimRuntime, simRuntime } from "../../../src/runtime/mod.ts";
import { contents, jobHandler, openTestEngine, SMALL } from "../../support/engine.ts";

const FOR_EVER_MS = 1e9;
/** What it takes a stop to clean up behind what it has waited for. */
const REST_MS = 200;
const KEYS = 30;

/** A world whose jobs of one type take so long once their bytes are written. */
function slowWorld(type: EngineJob["type"], tookMs: number): SimRuntime {
  const world: SimRuntime = simRuntime({
    delays: true,
    handler: async (job) => {
      const result = await jobHandler(world)(job);
      if ((job as EngineJob).type === type) await world.clock.sleep(tookMs);
      return result;
    },
  });
  return world;
}

async function write(world: SimRuntime, engine: Engine, count = KEYS): Promise<void> {
  const tree = engine.tree("main") ?? await world.clock.runUntil(engine.createTree("main"));
  for (let n = 0; n < count; n++) {
    const [key, value] = [utf8(`k${n}`), utf8("v".repeat(40))];
    await world.clock.runUntil(engine.write([{ tree, kind: KIND_PUT, key, value }]));
  }
}

/** Closes. @returns how long it took, ms */
async function stop(
  world: SimRuntime,
  engine: Engine,
  ...options: Parameters<Engine["close"]>
): Promise<number> {
  const startedMs = world.clock.monotonicMs();
  await world.clock.runUntil(engine.close(...options));
  return world.clock.monotonicMs() - startedMs;
}

function tableFiles({ disk }: SimRuntime): number {
  return disk.list("/data/tenants").flatMap((dir) => disk.list(`/data/tenants/${dir}`))
    .filter((name) => name.endsWith(".sst")).length;
}

/** A crash now loses nothing, and the directory can be opened. */
async function reopened(world: SimRuntime): Promise<{ tables: number; records: number }> {
  world.disk.crash("drop");
  const again = await world.clock.runUntil(openTestEngine(world));
  assert.equal(contents(again).size, KEYS);
  const { tables } = again.stats();
  const { records } = again.recovery;
  await stop(world, again, { waitMs: 0 });
  return { tables, records };
}

/** Everything stays in one memtable until somebody says otherwise. */
const OPTIONS = { ...SMALL, memtableSize: 1 << 20 };

for (const flushMs of [0, 10_000]) {
  const what = flushMs === 0 ? "that is under way" : "of its own";
  Deno.test(`a stop waits for a flush ${what}, when that ends within the limit [W3]`, async () => {
    const world = slowWorld("flush", 3000);
    const engine = await world.clock.runUntil(openTestEngine(world, OPTIONS));
    await write(world, engine);
    const flushing = flushMs === 0 ? engine.flush().catch(() => "failed") : undefined;
    await world.clock.advance(100);
    const tookMs = await stop(world, engine, { flushMs, waitMs: 10_000 });
    assert.ok(tookMs > 2500 && tookMs < 3000 + REST_MS, `${tookMs} ms`);
    assert.notEqual(await flushing, "failed");
    assert.deepEqual(world.log.named("jobs given up at the stop"), []);
    assert.deepEqual(await reopened(world), { tables: 1, records: 0 });
  });

  for (const lastsMs of [30_000, FOR_EVER_MS]) {
    Deno.test(`a stop gives a flush ${what} of ${lastsMs} ms up at the limit, and nothing is lost or left behind [W3]`, async () => {
      const world = slowWorld("flush", lastsMs);
      const engine = await world.clock.runUntil(openTestEngine(world, OPTIONS));
      await write(world, engine);
      const flushing = flushMs === 0 ? engine.flush().catch(() => "failed") : undefined;
      await world.clock.advance(100);
      const tookMs = await stop(world, engine, { flushMs, waitMs: 2000 });
      assert.ok(tookMs >= 2000 && tookMs < 2000 + REST_MS, `${tookMs} ms`);
      if (flushMs === 0) assert.equal(await flushing, "failed");
      assert.equal(tableFiles(world), 0, "what the job wrote is gone");
      const [told] = world.log.named("jobs given up at the stop");
      assert.deepEqual([told.level, told.fields.jobs], ["warn", "flush"]);
      assert.deepEqual(await reopened(world), { tables: 0, records: KEYS });
    });
  }
}

Deno.test("flushes that are given up at the stop are no failures: the log says once how many it has to keep", async () => {
  const world = slowWorld("flush", FOR_EVER_MS);
  const engine = await world.clock.runUntil(openTestEngine(world, OPTIONS));
  await write(world, engine);
  for (let n = 0; n < 20; n++) {
    const tree = await world.clock.runUntil(engine.createTree(`tree${n}`));
    const mutation = { tree, kind: KIND_PUT, key: utf8("k"), value: utf8("v") } as const;
    await world.clock.runUntil(engine.write([mutation]));
  }
  await stop(world, engine, { flushMs: 2000, waitMs: 2000 });
  const alarms = world.log.events.filter(({ level }) => level === "error" || level === "warn");
  assert.deepEqual(alarms.map(({ event }) => event), ["jobs given up at the stop"]);
  const told = world.log.named("left in the log at the stop");
  assert.deepEqual(told.map(({ level, fields }) => [level, fields]), [["info", { trees: 21 }]]);
  const again = await world.clock.runUntil(openTestEngine(world));
  assert.equal(again.recovery.records, KEYS + 20);
  await stop(world, again, { waitMs: 0 });
});

for (const type of ["files", "scrub", "compact"] as const) {
  Deno.test(`a stop waits for no ${type} job beyond the limit [W3]`, async () => {
    const world = slowWorld(type, FOR_EVER_MS);
    const scrub = { intervalMs: type === "scrub" ? 1000 : 0 };
    const engine = await world.clock.runUntil(openTestEngine(world, { ...OPTIONS, scrub }));
    await write(world, engine);
    await world.clock.runUntil(engine.flush());
    await write(world, engine);
    await world.clock.runUntil(engine.flush());
    // A scrub begins by itself.
    const work = {
      files: () => engine.checkpoint("copy"),
      compact: () => engine.compact(),
      scrub: undefined,
    };
    const ended = work[type]?.().catch(() => {});
    await world.clock.advance(3000);
    const kind = { files: "snapshot", scrub: "scrub", compact: "compaction" }[type];
    assert.deepEqual(engine.jobs().map(({ kind }) => kind), [kind]);
    const tookMs = await stop(world, engine, { waitMs: 1000 });
    assert.ok(tookMs >= 1000 && tookMs < 1000 + REST_MS, `${tookMs} ms`);
    await ended;
    assert.equal(tableFiles(world), 2);
    assert.equal((await reopened(world)).tables, 2);
  });
}
