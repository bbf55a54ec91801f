import assert from "node:assert/strict";
import { Deadlines, TICK_MS, Timed } from "../../../src/rpc/deadlines.ts";
import { SimClock, SimRandom } from "../../../src/runtime/mod.ts";

/** Slots of the wheel times their width: deadlines further away wait for a later round. */
const ROUND_MS = 4096 * TICK_MS;

/** A deadline that keeps when it fired. */
class Probe extends Timed {
  firedMs: number | undefined;
  failedWith: unknown;

  constructor(readonly clock: SimClock, readonly then: () => void = () => {}) {
    super();
  }

  override expire(): void {
    assert.equal(this.firedMs, undefined, "it fires once");
    this.firedMs = this.clock.monotonicMs();
    this.then();
  }

  override fail(reason: unknown): void {
    this.failedWith = reason;
  }
}

/** A wheel on a clock that has run for a while. */
async function wheel(startMs = 0): Promise<{ clock: SimClock; deadlines: Deadlines }> {
  const clock = new SimClock();
  await clock.advance(startMs);
  return { clock, deadlines: new Deadlines(clock) };
}

function assertOnTime(probe: Probe, atMs: number): void {
  const { firedMs } = probe;
  assert.ok(firedMs !== undefined, `the deadline at ${atMs} did not fire`);
  assert.ok(firedMs >= atMs, `the deadline at ${atMs} fired early, at ${firedMs}`);
  assert.ok(firedMs < atMs + TICK_MS, `the deadline at ${atMs} fired late, at ${firedMs}`);
}

Deno.test("deadlines: none fires early, or a tick late, wherever in a tick it was set", async () => {
  for (const startMs of [0, 3, 5, 9.75, ROUND_MS - 1]) {
    for (const inMs of [0.5, 1, 5, 6, 9.99, 10, 11, 14, 99, 1000]) {
      const { clock, deadlines } = await wheel(startMs);
      const probe = new Probe(clock);
      deadlines.set(probe, startMs + inMs);
      await clock.advance(2000);
      assertOnTime(probe, startMs + inMs);
      assert.equal(deadlines.size, 0);
      assert.equal(clock.pendingCount, 0, "with none set no timer runs");
    }
  }
});

Deno.test("deadlines: far ones wait for their round", async () => {
  const { clock, deadlines } = await wheel(7);
  const inMs = [ROUND_MS - TICK_MS, ROUND_MS, ROUND_MS + 1, 2 * ROUND_MS, 5 * ROUND_MS + 3];
  const probes = inMs.map((ms) => {
    const probe = new Probe(clock);
    deadlines.set(probe, 7 + ms);
    return probe;
  });
  await clock.advance(ROUND_MS - 2 * TICK_MS);
  assert.equal(deadlines.size, inMs.length);
  await clock.advance(6 * ROUND_MS);
  probes.forEach((probe, i) => assertOnTime(probe, 7 + inMs[i]));
});

Deno.test("deadlines: one that has passed fires at the next tick, and Infinity never", async () => {
  const { clock, deadlines } = await wheel(1234);
  const past = new Probe(clock);
  const never = new Probe(clock);
  deadlines.set(past, 20);
  deadlines.set(never, Infinity);
  assert.equal(deadlines.size, 1);
  await clock.advance(TICK_MS);
  assert.equal(past.firedMs, 1240);
  await clock.advance(2 * ROUND_MS);
  assert.equal(never.firedMs, undefined);
});

Deno.test("deadlines: one that is taken back does not fire, and one that is set again fires once", async () => {
  const { clock, deadlines } = await wheel();
  const gone = new Probe(clock);
  const moved = new Probe(clock);
  deadlines.set(gone, 50);
  deadlines.set(moved, 50);
  deadlines.set(moved, 500);
  deadlines.clear(gone);
  deadlines.clear(gone);
  assert.equal(deadlines.size, 1);
  await clock.advance(1000);
  assert.equal(gone.firedMs, undefined);
  assertOnTime(moved, 500);
});

Deno.test("deadlines: after a pause all that is due fires, and nothing else", async () => {
  for (const pauseMs of [35, 1000, ROUND_MS - TICK_MS, ROUND_MS, 3 * ROUND_MS + 5]) {
    const { clock, deadlines } = await wheel();
    const due = [10, 30, pauseMs].map((atMs) => {
      const probe = new Probe(clock);
      deadlines.set(probe, atMs);
      return probe;
    });
    const later = new Probe(clock);
    deadlines.set(later, pauseMs + 100);
    clock.block(pauseMs);
    await clock.advance(TICK_MS);
    assert.ok(due.every(({ firedMs }) => firedMs !== undefined), `after ${pauseMs} ms`);
    assert.equal(later.firedMs, undefined);
    await clock.advance(200);
    assertOnTime(later, pauseMs + 100);
  }
});

Deno.test("deadlines: wall time that jumps changes nothing", async () => {
  const { clock, deadlines } = await wheel();
  const probe = new Probe(clock);
  deadlines.set(probe, 500);
  clock.jumpWall(-86_400_000);
  await clock.advance(200);
  clock.jumpWall(2 * 86_400_000);
  await clock.advance(200);
  assert.equal(probe.firedMs, undefined);
  await clock.advance(200);
  assertOnTime(probe, 500);
});

Deno.test("deadlines: whoever expires may take back others, and set new ones", async () => {
  const { clock, deadlines } = await wheel();
  const neighbour = new Probe(clock);
  const again = new Probe(clock);
  const first = new Probe(clock, () => {
    deadlines.clear(neighbour);
    deadlines.clear(first);
    // All of these ticks have passed when this runs.
    deadlines.set(again, 25);
  });
  deadlines.set(first, 20);
  deadlines.set(neighbour, 20);
  clock.block(105);
  await clock.advance(0);
  assert.equal(first.firedMs, 105);
  await clock.advance(TICK_MS);
  assert.equal(neighbour.firedMs, undefined);
  assert.equal(again.firedMs, 110);
  assert.equal(deadlines.size, 0);
});

Deno.test("deadlines: clearAll() tells all, and close() stops the timer", async () => {
  const { clock, deadlines } = await wheel();
  const probes = [20, 20, 400, 3 * ROUND_MS].map((atMs) => {
    const probe = new Probe(clock);
    deadlines.set(probe, atMs);
    return probe;
  });
  // Ending one call may end another of its connection.
  deadlines.clearAll((timed) => {
    deadlines.clear(probes[1]);
    timed.fail("closing");
  });
  assert.deepEqual(probes.map(({ failedWith }) => failedWith), [
    "closing",
    undefined,
    "closing",
    "closing",
  ]);
  assert.equal(deadlines.size, 0);
  deadlines.set(probes[0], 100);
  deadlines.close();
  assert.equal(clock.pendingCount, 0);
  await clock.advance(ROUND_MS);
  assert.ok(probes.every(({ firedMs }) => firedMs === undefined));
});

Deno.test("deadlines: 100,000 random operations end as in a sorted list", async () => {
  const random = new SimRandom(20261128);
  const { clock, deadlines } = await wheel(random.below(100_000) / 4);
  const set = new Map<Probe, number>();
  let fired = 0;
  for (let i = 0; i < 100_000; i++) {
    const choice = random.below(10);
    if (choice < 5) {
      const probe = new Probe(clock, () => {
        fired++;
        assert.ok(set.delete(probe), "only what is set fires");
      });
      const farMs = [20, 300, 30_000, 3 * ROUND_MS][random.below(4)];
      const atMs = clock.monotonicMs() + random.below(farMs * 4) / 4;
      set.set(probe, atMs);
      deadlines.set(probe, atMs);
    } else if (choice < 8) {
      // The oldest: it may be about to fire.
      for (const probe of set.keys()) {
        deadlines.clear(probe);
        set.delete(probe);
        if (random.below(4) > 0) break;
      }
    } else {
      clock.block(random.below(20) / 4);
      if (random.below(500) === 0) clock.block(random.below(2 * ROUND_MS));
    }
    if (i % 100 === 0) {
      await clock.advance(TICK_MS);
      const nowMs = clock.monotonicMs();
      for (const [probe, atMs] of set) {
        assert.equal(probe.firedMs, undefined);
        assert.ok(atMs > nowMs - TICK_MS, `the deadline at ${atMs} has not fired at ${nowMs}`);
      }
      assert.equal(deadlines.size, set.size);
    }
  }
  assert.ok(fired > 5000, `${fired} fired`);
});
