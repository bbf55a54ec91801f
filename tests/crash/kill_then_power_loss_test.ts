/**
 * A process that is killed, restarted, and then loses power.
 *
 * After `kill -9` the system's cache still holds what the process had written and not synced, so the
 * restart reads a log whose end is not durable, and serves it. What it serves, and what it builds on, must be
 * made durable before anything is acknowledged: else a power loss afterwards takes away what readers
 * have seen, and leaves a hole in front of acknowledged writes.
 */
import assert from "node:assert/strict";
import { KIND_PUT } from "../../src/engine/mod.ts";
import { fromUtf8, utf8 } from "../../src/model/mod.ts";
import type { CrashPolicy, SimDiskImage, SimRuntime } from "../../src/runtime/mod.ts";
import { engineWorld, openTestEngine, SMALL } from "../support/engine.ts";

const OPTIONS = { ...SMALL, memtableSize: 1200, log: { ...SMALL.log, segmentSize: 2000 } };

/** Counts up: every write says how many came before it, so that the state is one number. */
async function script(world: SimRuntime): Promise<void> {
  const engine = await openTestEngine(world, OPTIONS);
  await engine.createTree("t");
  for (let n = 1; n <= 40; n++) {
    const tree = engine.tree("t")!;
    const value = utf8(`${n}${"v".repeat(n % 90)}`);
    await engine.write([{ tree, kind: KIND_PUT, key: utf8("n"), value }]);
  }
  await engine.close();
}

async function killedAt(
  stop: number,
): Promise<{ image: SimDiskImage; done: boolean; call: string | undefined }> {
  const world = engineWorld();
  let call: string | undefined;
  world.disk.stopAtMutation(stop);
  try {
    await script(world);
  } catch (error) {
    if (!world.disk.stopped) throw error;
    call = /before call \d+: (.*)$/.exec((error as Error).message)?.[1];
  }
  return { image: world.disk.snapshotImage(), done: !world.disk.stopped, call };
}

function count(value: Uint8Array | undefined): number {
  return value === undefined ? 0 : Number.parseInt(fromUtf8(value));
}

/** Restarts on what the killed process left, writes once, loses power, opens again. */
async function check(image: SimDiskImage, policy: CrashPolicy, where: string): Promise<void> {
  // No crash() here: the machine did not stop, so nothing unsynced is lost and nothing is synced.
  const world = engineWorld({ image });
  const engine = await openTestEngine(world, OPTIONS);
  const tree = engine.tree("t") ?? await engine.createTree("t");
  const seen = count(engine.get(tree, utf8("n")));
  await engine.write([{ tree, kind: KIND_PUT, key: utf8("after"), value: utf8("kill") }]);
  world.disk.crash(policy);

  const again = await openTestEngine(world, OPTIONS);
  assert.deepEqual(again.recovery.losses, [], where);
  const found = again.tree("t")!;
  assert.equal(count(again.get(found, utf8("n"))), seen, `${where}: what readers had seen`);
  assert.equal(fromUtf8(again.get(found, utf8("after"))!), "kill", where);
  await again.close();
}

Deno.test("what a restart after kill -9 serves and acknowledges survives a power loss [E6]", async () => {
  for (let stop = 0;; stop++) {
    const { image, done } = await killedAt(stop);
    if (done) {
      assert.ok(stop > 100, `the script has ${stop} crash points`);
      break;
    }
    await check(image, "drop", `killed at ${stop}, then power loss`);
    await check(image, { seed: stop }, `killed at ${stop}, then power loss, some of it kept`);
  }
});

Deno.test("a segment whose name a killed process left undurable is not told lost when its successor is there", async () => {
  let kills = 0;
  for (let stop = 0;; stop++) {
    const { image, done, call } = await killedAt(stop);
    if (done) break;
    if (call !== "syncDir /data/wal") continue;
    kills++;
    // The restart is cut short as well; of the names in the log's directory the power loss keeps any.
    for (let cut = 10; cut < 26; cut++) {
      for (let seed = 0; seed < 30; seed++) {
        const world = engineWorld({ image });
        world.disk.stopAtMutation(cut);
        try {
          await (await openTestEngine(world, OPTIONS)).close();
        } catch (error) {
          if (!world.disk.stopped) throw error;
        }
        world.disk.crash({ seed: cut * 100 + seed });
        const engine = await openTestEngine(world, OPTIONS);
        const where = `killed at ${stop}, cut at ${cut}, seed ${seed}`;
        assert.deepEqual(engine.recovery.losses, [], where);
        await engine.close();
      }
    }
  }
  assert.ok(kills > 1, `${kills} kills`);
});
