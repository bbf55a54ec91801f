/**
 * Quiet hours: when they are, and what makes way in them while all else goes on.
 */
import assert from "node:assert/strict";
import { KIND_PUT } from "../../../src/engine/mod.ts";
import { Jobs, planOf } from "../../../src/engine/job_runner.ts";
import { awakeShare, quietUntilMs, restMs } from "../../../src/engine/quiet_hours.ts";
import { Throttle } from "../../../src/engine/throttle.ts";
import { utf8 } from "../../../src/model/mod.ts";
import { DEAD, engineWorld, openTestEngine, SMALL } from "../../support/engine.ts";

const HOUR = 3_600_000;
/** A Monday. */
const MONDAY = Date.UTC(2026, 4, 4);
const at = (day: number, hour: number) => MONDAY + (day * 24 + hour) * HOUR;

Deno.test("quiet hours are of every day or of some, and those past midnight of the day on which they begin [B6]", () => {
  const work = { fromMs: 8 * HOUR, toMs: 18 * HOUR };
  assert.equal(quietUntilMs(undefined, at(0, 9)), undefined);
  assert.equal(quietUntilMs(work, at(0, 8) - 1), undefined);
  assert.equal(quietUntilMs(work, at(0, 8)), at(0, 18));
  assert.equal(quietUntilMs(work, at(6, 17)), at(6, 18));
  assert.equal(quietUntilMs(work, at(0, 18)), undefined);
  const onDays = { ...work, days: [0, 1, 2, 3, 4] };
  assert.equal(quietUntilMs(onDays, at(4, 12)), at(4, 18));
  assert.equal(quietUntilMs(onDays, at(5, 12)), undefined);
  assert.equal(quietUntilMs(onDays, at(7, 12)), at(7, 18));
  const night = { fromMs: 22 * HOUR, toMs: 6 * HOUR, days: [6] };
  assert.equal(quietUntilMs(night, at(6, 5)), undefined);
  assert.equal(quietUntilMs(night, at(6, 23)), at(7, 6));
  assert.equal(quietUntilMs(night, at(7, 5)), at(7, 6));
  assert.equal(quietUntilMs(night, at(7, 6)), undefined);
  assert.equal(quietUntilMs(night, at(7, 23)), undefined);
  assert.equal(quietUntilMs({ fromMs: HOUR, toMs: HOUR }, at(0, 1)), undefined);
  const shares = [undefined, night, work].map((hours) => Math.round(awakeShare(hours) * 24));
  assert.deepEqual(shares, [24, 16, 14]);
  assert.deepEqual([restMs(30, 1), restMs(30, 0.25), restMs(1000, 0.01)], [0, 90, 1000]);
});

/** An engine on Monday at 8, with quiet hours until 9. */
async function openQuiet(transferShare = 0.25, hours = true) {
  const world = engineWorld({ delays: true, startWallMs: MONDAY });
  await world.clock.advance(8 * HOUR);
  const quiet = {
    hours: hours ? { fromMs: 8 * HOUR, toMs: 9 * HOUR, days: [0] } : undefined,
    transferShare,
  };
  const compaction = { ...SMALL.compaction, l0Trigger: 4, tombstoneGraceMs: 1000 };
  const engine = await world.clock.runUntil(
    openTestEngine(world, { ...SMALL, compaction, quiet }),
  );
  const tree = await world.clock.runUntil(engine.createTree("main", { mergeOperator: "mortal" }));
  return { world, engine, tree };
}

/** Writes a table of values that begin as their keys do. */
function writeTable(
  { world, engine, tree }: Awaited<ReturnType<typeof openQuiet>>,
  prefix: string,
) {
  return world.clock.runUntil((async () => {
    for (let i = 0; i < 20; i++) {
      const [key, value] = [utf8(`${prefix}${i}`), utf8(`${prefix}${i}`)];
      await engine.write([{ tree, kind: KIND_PUT, key, value }]);
    }
    await engine.flush(tree);
  })());
}

Deno.test("in quiet hours compactions that writers need go on, those that only drop what is dead wait [B6]", async () => {
  const it = await openQuiet();
  const { world, engine, tree } = it;
  assert.equal(engine.quietUntilMs(), at(0, 9));
  for (let i = 0; i < 5; i++) await writeTable(it, "k");
  await world.clock.advance(60_000);
  assert.ok(engine.stats().compactions > 0, "the shape");
  await writeTable(it, DEAD);
  await world.clock.advance(50 * 60_000);
  assert.notEqual(engine.quietUntilMs(), undefined);
  assert.ok(engine.get(tree, utf8(`${DEAD}1`)) !== undefined, "what is dead is there");
  await world.clock.advance(15 * 60_000);
  assert.equal(engine.quietUntilMs(), undefined);
  assert.equal(engine.get(tree, utf8(`${DEAD}1`)), undefined);
  assert.ok(engine.get(tree, utf8("k1")) !== undefined);
  await world.clock.runUntil(engine.close());
});

for (const freePercent of [16, 14]) {
  const isTight = freePercent < 15;
  const what = isTight ? "do not wait" : "wait";
  Deno.test(`in quiet hours compactions that only drop what is dead ${what} where ${freePercent} % of the disk are free [B6]`, async () => {
    const it = await openQuiet();
    const { world, engine, tree } = it;
    const { disk } = world;
    // So large that what the engine itself writes makes no difference of a percent.
    disk.create("/ballast").append(new Uint8Array(32 << 20));
    await writeTable(it, DEAD);
    const { totalBytes, freeBytes } = disk.space("/data");
    disk.capacityBytes = Math.round((totalBytes - freeBytes) / (1 - freePercent / 100));
    await world.clock.advance(50 * 60_000);
    assert.notEqual(engine.quietUntilMs(), undefined);
    const dead = engine.get(tree, utf8(`${DEAD}1`));
    assert.equal(dead === undefined, isTight, "what is dead is gone");
    assert.equal(engine.stats().compactions > 0, isTight);
    disk.capacityBytes = undefined;
    await world.clock.runUntil(engine.close());
  });
}

Deno.test("in quiet hours a transfer works for its share of the time, and for all of it outside them [B6]", async () => {
  for (const [hours, share, least] of [[true, 0.25, 4], [true, 1, 1], [false, 0.25, 1]] as const) {
    const { world, engine, tree } = await openQuiet(share, hours);
    const job = engine.activity("transfer", tree);
    const startedMs = world.clock.monotonicMs();
    await world.clock.runUntil((async () => {
      for (let i = 0; i < 20; i++) {
        await world.clock.sleep(10);
        await job.advance(1000);
      }
    })());
    const tookMs = world.clock.monotonicMs() - startedMs;
    assert.ok(tookMs >= 200 * least && tookMs < 200 * least * 1.2, `${tookMs} ms`);
    job.end();
    await world.clock.runUntil(engine.close());
  }
});

Deno.test("who rests in quiet hours goes on, and is not refused, once the engine has given up", async () => {
  const world = engineWorld({ startWallMs: MONDAY });
  const quiet = { hours: { fromMs: 0, toMs: 9 * HOUR }, transferShare: 0.01 };
  const unused = () => assert.fail("no worker does anything");
  const jobs = new Jobs({
    runtime: world,
    options: { quiet },
    noted: (error) => error,
    relieveDescriptors: unused,
    remove: unused,
  }, new Throttle(world.clock, 0));
  const job = jobs.start(planOf("transfer"));
  await world.clock.advance(500);
  let isOver = false;
  const rest = Promise.resolve(job.advance(1000)).then(() => isOver = true);
  await world.clock.advance(0);
  assert.equal(isOver, false, "it rests");
  jobs.giveUp();
  await rest;
  await job.advance(1000);
  job.end();
  assert.equal(jobs.completed, 1);
});
