/**
 * Merge functions come through what data comes through.
 */
import assert from "node:assert/strict";
import { openNode } from "../../../../src/embedded/mod.ts";
import { type EngineJob, runEngineJob } from "../../../../src/engine/mod.ts";
import { VERSION_OPERATORS } from "../../../../src/model/mod.ts";
import { restoreNode, type StorageNode } from "../../../../src/node/mod.ts";
import { type SimRuntime, simRuntime, SimSandbox } from "../../../../src/runtime/mod.ts";
import { bytes, rejectsCode, text } from "../../../support/node.ts";

const SOURCE = "the longer";
const sandbox = () => new SimSandbox().know(SOURCE, () => (a, b) => text(a)! > text(b)! ? a : b);

function world(): SimRuntime {
  const world: SimRuntime = simRuntime({
    handler: (job) => runEngineJob(world.disk, VERSION_OPERATORS, job as EngineJob),
  });
  return world;
}

const open = (there: SimRuntime, dataDir: string, inSandbox?: SimSandbox) =>
  openNode(there, { dataDir, version: "0.0.0-test", sandbox: inSandbox });

async function value(node: StorageNode): Promise<(string | undefined)[]> {
  return (await node.read("t", "k"))!.versions.map(({ value }) => text(value));
}

Deno.test("a merge function is there after a restart, and in a restored snapshot, with its digest", async () => {
  const there = world();
  const node = await open(there, "/data", sandbox());
  await rejectsCode(() => node.createTenant("t", { conflictStrategy: "merge:longer" }), 1000);
  await node.registerMergeFunction("longer", SOURCE);
  await node.createTenant("t", { conflictStrategy: "merge:longer" });
  const { clock } = await node.put("t", { key: "k", value: bytes("a") });
  for (const each of ["b", "c"]) {
    await node.put("t", { key: "k", value: bytes(each), context: clock });
  }
  const [{ digest }] = node.listMergeFunctions();
  const { dir } = await node.createSnapshot("s");
  await node.close();
  await restoreNode(there, dir, "/new");
  for (const dataDir of ["/data", "/new"]) {
    const again = await open(there, dataDir, sandbox());
    const [info] = again.listMergeFunctions();
    assert.deepEqual([info.name, info.digest, info.tenants], ["longer", digest, 1]);
    assert.deepEqual(await value(again), ["c"]);
    // The same again is no error, and no other function takes its place.
    await again.registerMergeFunction("longer", SOURCE);
    await rejectsCode(() => again.registerMergeFunction("longer", "another"), 1000);
    await rejectsCode(() => again.removeMergeFunction("longer"), 1000);
    await again.close();
  }
});

Deno.test("a program without a sandbox opens the data all the same, and shows siblings", async () => {
  const there = world();
  const node = await open(there, "/data", sandbox());
  await node.registerMergeFunction("longer", SOURCE);
  await node.createTenant("t", { conflictStrategy: "merge:longer" });
  const { clock } = await node.put("t", { key: "k", value: bytes("a") });
  for (const each of ["b", "c"]) {
    await node.put("t", { key: "k", value: bytes(each), context: clock });
  }
  await node.close();
  const without = await open(there, "/data");
  assert.deepEqual((await value(without)).sort(), ["b", "c"]);
  assert.equal(without.status().counters.mergeFunctionSkips, 1);
  await without.close();
});
