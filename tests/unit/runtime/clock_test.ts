/**
 * Clocks, real and virtual.
 * @module
 */
import assert from "node:assert/strict";
import { clampDelayMs, denoClock, MAX_TIMER_MS, SimClock } from "../../../src/runtime/mod.ts";

Deno.test("denoClock: tells the time", () => {
  const clock = denoClock();
  const before = Date.now();
  assert.ok(Number.isInteger(clock.wallMs()) && clock.wallMs() >= before);
  const first = clock.monotonicMs();
  assert.ok(clock.monotonicMs() >= first);
});

Deno.test("denoClock: after() fires once, and not when cancelled", async () => {
  const clock = denoClock();
  let cancelled = 0;
  clock.after(0, () => cancelled++)();
  const cancel = await new Promise<() => void>((resolve) => {
    const cancel = clock.after(1, () => resolve(cancel));
  });
  cancel();
  await clock.sleep(2);
  assert.equal(cancelled, 0);
});

Deno.test("sleep() rejects with the reason of an abort, before or during, and leaves no timer", async () => {
  const reason = new Error("stop");
  for (const clock of [denoClock(), new SimClock()]) {
    await assert.rejects(clock.sleep(1e9, AbortSignal.abort(reason)), reason);
    const controller = new AbortController();
    const asleep = assert.rejects(clock.sleep(1e9, controller.signal), reason);
    controller.abort(reason);
    await asleep;
    if (clock instanceof SimClock) assert.equal(clock.pendingCount, 0);
  }
});

Deno.test("sleep() takes its listener off the signal", async () => {
  const clock = new SimClock();
  const signal = new AbortController().signal;
  let listeners = 0;
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (...args: Parameters<typeof add>) => {
    listeners++;
    add(...args);
  };
  signal.removeEventListener = (...args: Parameters<typeof remove>) => {
    listeners--;
    remove(...args);
  };
  await clock.runUntil(clock.sleep(5, signal));
  assert.equal(listeners, 0);
});

Deno.test("clampDelayMs() keeps delays in a timer's range", () => {
  const cases = [[-1, 0], [0, 0], [0.5, 0.5], [NaN, 0], [2 ** 40, MAX_TIMER_MS]];
  for (const [given, delay] of cases) assert.equal(clampDelayMs(given), delay);
  assert.equal(clampDelayMs(Infinity), MAX_TIMER_MS);
});

Deno.test("SimClock: timers fire by due time, then by insertion, at their time", async () => {
  const clock = new SimClock();
  const fired: string[] = [];
  const set = (name: string, ms: number) =>
    clock.after(ms, () => fired.push(`${name}@${clock.monotonicMs()}`));
  set("c", 20);
  set("a", 10);
  set("b", 10);
  const cancel = set("never", 15);
  set("late", 31);
  cancel();
  cancel();
  await clock.advance(30);
  assert.deepEqual(fired, ["a@10", "b@10", "c@20"]);
  assert.equal(clock.monotonicMs(), 30);
  assert.equal(clock.pendingCount, 1);
});

Deno.test("SimClock: everything that is ready runs before the next timer fires", async () => {
  const clock = new SimClock();
  const log: string[] = [];
  clock.after(1, async () => {
    log.push("first");
    for (let i = 0; i < 100; i++) await Promise.resolve();
    log.push("its promises");
    clock.after(0, () => log.push("its timer"));
  });
  clock.after(2, () => log.push("second"));
  await clock.advance(5);
  assert.deepEqual(log, ["first", "its promises", "its timer", "second"]);
});

Deno.test("SimClock: runUntil() stops at the promise and gives what it gives", async () => {
  const clock = new SimClock();
  clock.after(100, () => {});
  assert.equal(await clock.runUntil(clock.sleep(7).then(() => "slept")), "slept");
  assert.equal(clock.monotonicMs(), 7);
  await assert.rejects(clock.runUntil(Promise.reject(new Error("its own"))), /its own/);
});

Deno.test("SimClock: runUntil() tells a deadlock, and a wait without end", async () => {
  const clock = new SimClock();
  await assert.rejects(clock.runUntil(new Promise(() => {})), /no timer is left/);
  const tick = () => void clock.after(1000, tick);
  tick();
  await assert.rejects(clock.runUntil(new Promise(() => {}), 5000), /pending after 5000 ms/);
});

Deno.test("SimClock: wall time jumps apart from monotonic time and timers", async () => {
  const clock = new SimClock(1_000_000);
  let fired = 0;
  clock.after(10, () => fired++);
  await clock.advance(5.5);
  assert.equal(clock.wallMs(), 1_000_005);
  clock.jumpWall(-500);
  assert.equal(clock.wallMs(), 999_505);
  assert.equal(clock.monotonicMs(), 5.5);
  assert.equal(fired, 0);
  await clock.advance(4.5);
  assert.equal(fired, 1);
});
