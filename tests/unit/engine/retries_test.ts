import assert from "node:assert/strict";
import { Retries } from "../../../src/engine/retries.ts";
import type { TreeState } from "../../../src/engine/tree.ts";
import { KIND_PUT } from "../../../src/engine/mod.ts";
import { PairError, utf8 } from "../../../src/model/mod.ts";
import { engineWorld, openTestEngine, SMALL } from "../../support/engine.ts";

const TREE = { id: 1 } as TreeState;

function failure(n: number): PairError {
  return new PairError("SSTableFailed", `failure ${n}`);
}

Deno.test("Retries pause twice as long each time, up to four seconds, and tell from the fifth failure on", async () => {
  const { clock } = engineWorld();
  const retries = new Retries(clock);
  const startedMs = clock.monotonicMs();
  const triedMs: number[] = [];
  const told: (string | undefined)[] = [];
  const fail = () => {
    triedMs.push(clock.monotonicMs() - startedMs);
    retries.failed(TREE, failure(triedMs.length), fail);
    told.push(retries.lasting(TREE)?.message);
  };
  fail();
  await clock.advance(16_000);
  assert.deepEqual(triedMs, [0, 250, 750, 1750, 3750, 7750, 11_750, 15_750]);
  assert.deepEqual(told.slice(2, 6), [undefined, undefined, "failure 5", "failure 6"]);
  assert.deepEqual(retries.allLasting(), [failure(8)]);
  retries.forget(TREE);
  assert.deepEqual([retries.pauses(TREE), retries.allLasting()], [false, []]);
  assert.equal(clock.pendingCount, 0);
});

Deno.test("Retries are not put off by failures in the pause, and keep the last of them", async () => {
  const { clock } = engineWorld();
  const retries = new Retries(clock);
  let tries = 0;
  for (let n = 0; n < 10; n++) retries.failed(TREE, failure(n), () => tries++);
  assert.equal(retries.lasting(TREE), undefined);
  assert.ok(retries.pauses(TREE));
  await clock.advance(250);
  assert.equal(tries, 1);
  assert.ok(!retries.pauses(TREE));
});

Deno.test("a compaction that fails for good is tried with pauses, whoever asks; writers it stops are told why", async () => {
  const world = engineWorld({ delays: true });
  const compaction = { ...SMALL.compaction, l0Slowdown: 4, l0Stop: 6 };
  const engine = await world.clock.runUntil(openTestEngine(world, { ...SMALL, compaction }));
  const tree = await world.clock.runUntil(engine.createTree("t"));
  let failing = true;
  // Flushes have one input, their memtable; only compactions read tables here.
  world.disk.hook = ({ op, path }) =>
    failing && op === "openRead" && path.endsWith(".sst") ? "EIO" : undefined;
  const put = async (n: number) => {
    for (let held = engine.admit(tree); held !== undefined; held = engine.admit(tree, true)) {
      await held;
    }
    const key = utf8(`k${n % 100}`);
    await engine.write([{ tree, kind: KIND_PUT, key, value: utf8("v".repeat(60)) }]);
  };
  const fill = async () => {
    for (let n = 0; n < 1000; n++) await put(n);
  };
  await assert.rejects(world.clock.runUntil(fill(), 60_000), {
    error: "SSTableFailed",
    message: /^Cannot write now: the last compaction failed: .*\.sst.*: EIO/,
  });
  const { compactionsFailing, flushesFailing, jobsFailed } = engine.stats();
  assert.deepEqual([compactionsFailing, flushesFailing], [1, 0]);
  assert.equal(engine.failing("compaction").length, 1);
  for (let n = 0; n < 400; n++) {
    assert.throws(() => engine.admit(tree), { error: "SSTableFailed" });
    await world.clock.advance(50);
  }
  const tries = engine.stats().jobsFailed - jobsFailed;
  assert.ok(tries >= 4 && tries <= 6, `${tries} tries in 20 s`);
  failing = false;
  await world.clock.advance(10_000);
  await world.clock.runUntil(put(1));
  assert.equal(engine.stats().compactionsFailing, 0);
  await world.clock.runUntil(engine.close());
  assert.equal(world.clock.pendingCount, 0);
});

Deno.test("a flush that somebody asked for and that failed is tried again like any other", async () => {
  const world = engineWorld();
  const engine = await openTestEngine(world);
  const tree = await engine.createTree("t");
  let failing = true;
  world.disk.hook = ({ op, path }) =>
    failing && op === "create" && path.endsWith(".sst") ? "ENOSPC" : undefined;
  await engine.write([{ tree, kind: KIND_PUT, key: utf8("k"), value: utf8("v") }]);
  await assert.rejects(engine.flush(tree), { error: "DiskFull", details: { errno: "ENOSPC" } });
  failing = false;
  await world.clock.advance(300);
  assert.equal(engine.stats().flushes, 1);
  await engine.close();
});
