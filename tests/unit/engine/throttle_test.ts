import assert from "node:assert/strict";
import { JobMonitor, supervisedDisk } from "../../../src/engine/job_monitor.ts";
import { charge, draw, isPaid, Rests, Throttle } from "../../../src/engine/throttle.ts";
import { PairError } from "../../../src/model/mod.ts";
import { SimClock, SimDisk } from "../../../src/runtime/mod.ts";

const MIB = 1 << 20;

function words(throttle: Throttle): Int32Array<SharedArrayBuffer> {
  return new Int32Array(throttle.shared);
}

Deno.test("Throttle: pays in by the clock while jobs run, and saves up a tenth of a second at most", async () => {
  const clock = new SimClock();
  const throttle = new Throttle(clock, 10 * MIB);
  charge(words(throttle), 20 * MIB);
  assert.equal(throttle.balance, -20 * MIB);
  await clock.advance(5000);
  assert.equal(throttle.balance, -20 * MIB, "nobody runs");
  throttle.jobStarted();
  await clock.advance(50);
  assert.equal(throttle.balance, MIB, "the time before counts, up to the limit");
  charge(words(throttle), 11 * MIB);
  await clock.advance(500);
  assert.equal(throttle.balance, -5 * MIB);
  await clock.advance(10_000);
  assert.equal(throttle.balance, MIB);
  throttle.jobEnded();
  assert.equal(clock.pendingCount, 0);
});

Deno.test("Throttle: over an hour of jobs no more is written than the rate allows", async () => {
  const clock = new SimClock();
  const rate = 3_000_000;
  const throttle = new Throttle(clock, rate);
  throttle.jobStarted();
  let written = 0;
  for (let n = 0; n < 3600; n++) {
    // A job that writes whenever it may.
    while (throttle.balance >= 0) {
      charge(words(throttle), 262_144);
      written += 262_144;
    }
    await clock.advance(1000);
  }
  throttle.jobEnded();
  const mean = written / 3600;
  assert.ok(mean < rate * 1.1 && mean > rate * 0.05, `${mean} a second`);
});

Deno.test("Throttle: without a rate nothing is counted and nobody waits; a rate of 0 sets all free", () => {
  const throttle = new Throttle(new SimClock(), 0);
  draw(words(throttle), 1e12, false, assert.fail);
  assert.equal(throttle.balance, 0);
  throttle.rate = MIB;
  charge(words(throttle), 100 * MIB);
  throttle.rate = 0;
  assert.equal(throttle.balance, 0);
  draw(words(throttle), MIB, false, assert.fail);
});

Deno.test("draw(): a compaction waits as soon as the account is overdrawn, a flush only after a second's worth", () => {
  const throttle = new Throttle(new SimClock(), 4 * MIB);
  const stop = () => {
    throw new Error("it waits");
  };
  draw(words(throttle), 3 * MIB, true, stop);
  draw(words(throttle), MIB, true, stop);
  assert.equal(throttle.balance, -4 * MIB);
  assert.throws(() => draw(words(throttle), 1, false, stop), /it waits/);
  assert.throws(() => draw(words(throttle), MIB, true, stop), /it waits/);
});

Deno.test("supervisedDisk(): calls are heartbeats, appends are charged, and a job that was stopped ends", () => {
  const throttle = new Throttle(new SimClock(), MIB);
  const monitor = new JobMonitor();
  const job = { type: "compact", monitor: monitor.shared, throttle: throttle.shared } as const;
  const disk = supervisedDisk(new SimDisk(), job, false);
  const file = disk.create("/f");
  const beats = monitor.heartbeat[0];
  file.append(new Uint8Array(4096));
  file.syncNow();
  file.close();
  assert.ok(monitor.heartbeat[0] > beats);
  assert.equal(throttle.balance, -4096);
  const read = disk.openRead("/f");
  const before = monitor.heartbeat[0];
  assert.equal(read.readAt(new Uint8Array(10), 0), 10);
  assert.ok(monitor.heartbeat[0] > before);
  monitor.stop();
  const stopped = (error: unknown) => error instanceof PairError && error.error === "Unavailable";
  assert.throws(() => read.readAt(new Uint8Array(10), 0), stopped);
  assert.throws(() => disk.create("/g"), stopped);
  // What a job that gives up has to do still works.
  disk.remove("/f");
  read.close();
});

Deno.test("Rests: a compaction rests while there are calls and none is behind", () => {
  const throttle = new Throttle(new SimClock(), 0);
  const rests = new Rests(throttle.shared);
  const rested = (bytes: number) => {
    let count = 0;
    for (let i = 0; i < bytes; i += 1024) if (rests.after(1024)) count++;
    return count;
  };
  assert.equal(rested(MIB), 0, "nobody calls");
  throttle.called();
  assert.equal(rested(4 * MIB), 128, "after one call, though nobody comes to make another");
  assert.equal(rested(MIB), 0, "nor for ever");
  let count = 0;
  for (let i = 0; i < 96; i++) {
    throttle.called();
    count += rested(8 * 1024);
  }
  assert.equal(count, 32, "every 24 KiB");
  throttle.behind = true;
  throttle.called();
  assert.equal(rested(MIB), 0, "it is behind");
  throttle.behind = false;
  assert.equal(rested(240 * 1024), 10);
});

Deno.test("Throttle: who draws waits for what was drawn before, and for nothing that is drawn later [B6]", async () => {
  const clock = new SimClock();
  const throttle = new Throttle(clock, MIB);
  throttle.jobStarted();
  await clock.advance(100);
  assert.equal(throttle.hasSpare, true);
  assert.equal(throttle.draw(64 * 1024), undefined, "there is so much at first");
  const told: string[] = [];
  for (const name of ["first", "second", "third"]) {
    void throttle.draw(512 * 1024)!.then(() => told.push(name));
  }
  // A thread's turn, behind them.
  const place = charge(words(throttle), 512 * 1024)!;
  assert.equal(throttle.hasSpare, false);
  await clock.advance(600);
  assert.deepEqual(told, ["first"]);
  void throttle.draw(100 * MIB)!.then(() => told.push("last"));
  await clock.advance(950);
  assert.deepEqual(told, ["first", "second", "third"]);
  assert.equal(isPaid(words(throttle), place), false);
  await clock.advance(500);
  assert.equal(isPaid(words(throttle), place), true, "the last has drawn far more, and later");
  assert.equal(told.includes("last"), false);
  throttle.rate = 0;
  await clock.advance(0);
  assert.ok(told.includes("last"));
  throttle.jobEnded();
});

Deno.test("isPaid(): places in the line go round at 2^32 [B6]", () => {
  const throttle = new Throttle(new SimClock(), MIB);
  words(throttle)[5] = 2 ** 31 - 3;
  const before = charge(words(throttle), 2048)!;
  const behind = charge(words(throttle), 4096)!;
  assert.ok(behind < before);
  assert.deepEqual([before, behind].map((at) => isPaid(words(throttle), at)), [false, false]);
  words(throttle)[0] += 2;
  assert.deepEqual([before, behind].map((at) => isPaid(words(throttle), at)), [true, false]);
  words(throttle)[0] += 4;
  assert.deepEqual([before, behind].map((at) => isPaid(words(throttle), at)), [true, true]);
});
