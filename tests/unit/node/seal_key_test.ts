/**
 * The secret of a directory's seals: made once, kept, the directory's own.
 * @module
 */
import assert from "node:assert/strict";
import { openNode } from "../../../src/embedded/mod.ts";
import { type EngineJob, runEngineJob } from "../../../src/engine/mod.ts";
import { reconcileOperator } from "../../../src/model/mod.ts";
import { claimSealKey, readSealKey, restoreNode } from "../../../src/node/mod.ts";
import { type SimRuntime, simRuntime } from "../../../src/runtime/mod.ts";
import { bytes } from "../../support/node.ts";

const OPTIONS = { dataDir: "/data", nodeId: "n1", version: "0.0.0-test" };
const refused = { code: 1000, details: { reason: "context_seal" } };

function world(): SimRuntime {
  const world: SimRuntime = simRuntime({
    delays: false,
    handler: (job) => runEngineJob(world.disk, [reconcileOperator], job as EngineJob),
  });
  return world;
}

Deno.test("a directory's secret is made once, and lasts", () => {
  const there = world();
  there.disk.makeDir("/data");
  there.disk.syncDir("/");
  assert.equal(readSealKey(there.disk, "/data"), undefined);
  const key = claimSealKey(there, "/data");
  assert.equal(key.length, 16);
  there.disk.crash("drop");
  assert.deepEqual(claimSealKey(there, "/data"), key);
  assert.deepEqual(readSealKey(there.disk, "/data"), key);
  there.disk.makeDir("/other");
  assert.notDeepEqual(claimSealKey(there, "/other"), key);
});

Deno.test("a secret that is half made is made anew", () => {
  const there = world();
  there.disk.makeDir("/data");
  there.disk.setBytes("/data/SEAL_KEY.tmp", bytes("pairdb-se"));
  assert.equal(claimSealKey(there, "/data").length, 16);
  assert.equal(there.disk.stat("/data/SEAL_KEY.tmp"), undefined);
});

Deno.test("contexts are taken over a restart, and after one of an older program", async () => {
  const there = world();
  let node = await openNode(there, OPTIONS);
  const { clock } = await node.put("t", { key: "k", value: bytes("1") });
  assert.notEqual(clock.seal, undefined);
  await node.close();
  node = await openNode(there, OPTIONS);
  assert.deepEqual(node.get("t", "k")!.clock, clock);
  await node.put("t", { key: "k", value: bytes("2"), context: clock, ifContext: true });
  await node.close();
  // As an older program left it: the next start gives it a secret, and takes contexts without seals.
  there.disk.remove("/data/SEAL_KEY");
  node = await openNode(there, OPTIONS);
  const again = node.get("t", "k")!.clock;
  assert.notEqual(again.seal, undefined);
  const { entries, dots } = again;
  await node.put("t", { key: "k", value: bytes("3"), context: { entries, dots } });
  // What was given under the old secret is another's now.
  await assert.rejects(
    () => node.put("t", { key: "k", value: bytes("4"), context: clock }),
    refused,
  );
  await node.close();
});

Deno.test("a restored node has a secret of its own, and no snapshot has the old one", async () => {
  const there = world();
  const node = await openNode(there, OPTIONS);
  const { clock } = await node.put("t", { key: "k", value: bytes("1") });
  const { dir } = await node.createSnapshot("s");
  await node.close();
  assert.equal(there.disk.stat(`${dir}/SEAL_KEY`), undefined);
  await restoreNode(there, dir, "/new");
  const restored = await openNode(there, { dataDir: "/new", version: "0.0.0-test" });
  assert.notDeepEqual(readSealKey(there.disk, "/new"), readSealKey(there.disk, "/data"));
  const write = (context: typeof clock) =>
    restored.put("t", { key: "k", value: bytes("2"), context });
  await assert.rejects(() => write(clock), refused);
  await write(restored.get("t", "k")!.clock);
  await restored.close();
});

Deno.test("nodes with one secret take each other's contexts", async () => {
  const there = world();
  const node = await openNode(there, OPTIONS);
  const { clock } = await node.put("t", { key: "k", value: bytes("1") });
  there.disk.makeDir("/new");
  there.disk.setBytes("/new/SEAL_KEY", there.disk.readWhole("/data/SEAL_KEY"));
  const other = await openNode(there, { ...OPTIONS, dataDir: "/new", nodeId: "n2" });
  await other.put("t", { key: "k", value: bytes("2"), context: clock });
  await other.close();
  await node.close();
});

Deno.test("a secret that is damaged or newer is refused, and nothing is touched", async () => {
  const there = world();
  await (await openNode(there, OPTIONS)).close();
  const whole = there.disk.readWhole("/data/SEAL_KEY");
  const files = there.disk.list("/data");
  for (let at = 0; at < whole.length; at++) {
    for (const bad of [whole.with(at, whole[at] ^ 1), whole.slice(0, at)]) {
      there.disk.setBytes("/data/SEAL_KEY", new Uint8Array(bad));
      assert.throws(() => readSealKey(there.disk, "/data"), /\/data\/SEAL_KEY/, `byte ${at}`);
    }
  }
  there.disk.setBytes("/data/SEAL_KEY", whole.slice(0, 20));
  await assert.rejects(openNode(there, OPTIONS), {
    code: 2007,
    message: /SEAL_KEY at 0: it is damaged. Remove it/,
  });
  there.disk.setBytes("/data/SEAL_KEY", bytes("pairdb-seal 2\nsomething new\n"));
  await assert.rejects(openNode(there, OPTIONS), { code: 1000, message: /newer than/ });
  assert.deepEqual(there.disk.list("/data"), files);
  assert.equal(new TextDecoder().decode(there.disk.readWhole("/data/SEAL_KEY")).length, 28);
});
