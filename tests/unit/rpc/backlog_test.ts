import assert from "node:assert/strict";
import { Backlog, type Holder } from "../../../src/rpc/backlog.ts";
import { SimClock } from "../../../src/runtime/mod.ts";

function setUp(isWanted = () => false) {
  const clock = new SimClock();
  const holders: (Holder & { name: string; queuedBytes: number; progress: number })[] = [];
  const cut: string[] = [];
  const shrunk: number[] = [];
  const backlog: Backlog = new Backlog({
    clock,
    softBytes: 100,
    hardBytes: 1000,
    graceMs: 50,
    isWanted,
    onShrunk: () => shrunk.push(backlog.bytes),
    holders: () => holders,
  });
  const holder = (name: string) => {
    const made = {
      name,
      queuedBytes: 0,
      progress: 0,
      cut() {
        cut.push(name);
        backlog.add(-made.queuedBytes);
        made.queuedBytes = 0;
      },
      add(bytes: number) {
        made.queuedBytes += bytes;
        backlog.add(bytes);
      },
    };
    holders.push(made);
    return made;
  };
  return { clock, backlog, holder, cut, shrunk };
}

Deno.test("Backlog lets clients be slow below the soft limit", async () => {
  const { clock, holder, cut } = setUp();
  holder("a").add(100);
  await clock.advance(10_000);
  assert.deepEqual(cut, []);
  assert.equal(clock.pendingCount, 0);
});

Deno.test("Backlog cuts off those that stand still above the soft limit, the largest first", async () => {
  const { clock, backlog, holder, cut } = setUp();
  const [still, larger, moving] = ["still", "larger", "moving"].map(holder);
  still.add(60);
  larger.add(70);
  moving.add(90);
  await clock.advance(49);
  assert.deepEqual(cut, []);
  moving.progress++;
  await clock.advance(1);
  assert.deepEqual(cut, ["larger", "still"]);
  assert.equal(backlog.bytes, 90);
  assert.equal(clock.pendingCount, 0);
});

Deno.test("Backlog makes room up to half of the soft limit where answers wait for it, and says so", async () => {
  const { clock, holder, cut, shrunk } = setUp(() => true);
  for (const name of ["a", "b", "c", "d"]) holder(name).add(30);
  await clock.advance(50);
  assert.deepEqual(cut, ["a", "b", "c"]);
  assert.deepEqual(shrunk, [90, 60, 30]);
});

Deno.test("Backlog waits as long as all move", async () => {
  const { clock, holder, cut } = setUp();
  const moving = holder("moving");
  moving.add(500);
  for (let i = 0; i < 10; i++) {
    moving.progress++;
    await clock.advance(50);
  }
  assert.deepEqual(cut, []);
  await clock.advance(50);
  assert.deepEqual(cut, ["moving"]);
});

Deno.test("Backlog cuts off the largest at once above the hard limit", () => {
  const { holder, cut } = setUp();
  const [small, large] = [holder("small"), holder("large")];
  large.add(700);
  small.add(299);
  assert.deepEqual(cut, []);
  small.add(2);
  assert.deepEqual(cut, ["large"]);
});

Deno.test("Backlog.close() leaves no timer", () => {
  const { clock, backlog, holder } = setUp();
  holder("a").add(500);
  assert.equal(clock.pendingCount, 1);
  backlog.close();
  assert.equal(clock.pendingCount, 0);
});
