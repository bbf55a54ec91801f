import assert from "node:assert/strict";
import { Link } from "../../../../src/engine/second_level/link.ts";
import { silentLog, SimClock, SimRandom, SimSharedCache } from "../../../../src/runtime/mod.ts";

function openLink() {
  const clock = new SimClock();
  const cache = new SimSharedCache(clock, new SimRandom(1));
  const link = new Link(cache, "probe", clock, silentLog);
  const ask = () => clock.runUntil(link.call((cache) => cache.getMany(["k"]), 5));
  return { clock, cache, link, ask };
}

Deno.test("nobody calls a cache before it has answered a probe, and nobody waits for that", async () => {
  const { clock, cache, link, ask } = openLink();
  cache.partitioned = true;
  link.start();
  await clock.advance(1);
  assert.equal(await ask(), undefined);
  assert.equal(cache.calls.get, 0);
  cache.partitioned = false;
  // The pauses double: 250, 500, 1000 ms...
  await clock.advance(300);
  assert.ok(link.isUp);
  assert.deepEqual(await ask(), [undefined]);
  link.close();
  assert.equal(clock.pendingCount, 0);
});

Deno.test("five calls in a row that fail end the calling, and a probe begins it again", async () => {
  const { clock, cache, link, ask } = openLink();
  link.start();
  await clock.advance(1);
  cache.faults = { error: 1 };
  for (let i = 0; i < 4; i++) assert.equal(await ask(), undefined);
  cache.faults = {};
  assert.deepEqual(await ask(), [undefined]);
  cache.faults = { error: 1 };
  for (let i = 0; i < 5; i++) assert.equal(await ask(), undefined);
  assert.ok(!link.isUp);
  assert.equal(cache.calls.reset, 1);
  assert.equal(link.errors, 9);
  const { get } = cache.calls;
  assert.equal(await ask(), undefined);
  assert.equal(cache.calls.get, get);
  cache.faults = {};
  await clock.advance(250);
  assert.deepEqual(await ask(), [undefined]);
  link.close();
});

Deno.test("a cache that takes too long is waited for no longer than that, and counts as gone", async () => {
  const { clock, cache, link } = openLink();
  link.start();
  await clock.advance(1);
  cache.faults = { hang: 1 };
  const startMs = clock.monotonicMs();
  for (let i = 0; i < 8; i++) {
    assert.equal(await clock.runUntil(link.call((cache) => cache.getMany(["k"]), 5)), undefined);
  }
  assert.equal(clock.monotonicMs() - startMs, 25);
  assert.equal(link.timeouts, 5);
  assert.ok(!link.isUp);
  link.close();
});

Deno.test("one that answers probes and nothing else is tried ever more rarely", async () => {
  const { clock, cache, link, ask } = openLink();
  link.start();
  await clock.advance(1);
  const pauses: number[] = [];
  for (let round = 0; round < 8; round++) {
    cache.faults = { error: 1 };
    for (let i = 0; i < 5; i++) assert.equal(await ask(), undefined);
    cache.faults = {};
    const sinceMs = clock.monotonicMs();
    while (!link.isUp) await clock.advance(250);
    pauses.push(clock.monotonicMs() - sinceMs);
  }
  assert.deepEqual(pauses, [250, 500, 1000, 2000, 4000, 8000, 8000, 8000]);
  // A call with an answer is what counts.
  assert.deepEqual(await ask(), [undefined]);
  cache.faults = { error: 1 };
  for (let i = 0; i < 5; i++) await ask();
  cache.faults = {};
  await clock.advance(250);
  assert.ok(link.isUp);
  link.close();
});

Deno.test("a probe that hangs ends, and others follow ever more rarely", async () => {
  const { clock, cache, link } = openLink();
  cache.faults = { hang: 1 };
  link.start();
  await clock.advance(120_000);
  const timeouts = link.timeouts;
  // 5 s each, and pauses of up to 8 s.
  assert.ok(timeouts > 8 && timeouts < 15, `${timeouts}`);
  assert.equal(cache.calls.reset, timeouts);
  cache.faults = {};
  await clock.advance(14_000);
  assert.ok(link.isUp);
  link.close();
});
