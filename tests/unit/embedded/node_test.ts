import assert from "node:assert/strict";
import { openNode } from "../../../src/embedded/mod.ts";
import { type EngineJob, runEngineJob } from "../../../src/engine/mod.ts";
import { PairError, reconcileOperator, utf8 } from "../../../src/model/mod.ts";
import { type SimRuntime, simRuntime } from "../../../src/runtime/mod.ts";

/** A world with a closed node in `/data` that holds one flushed key and one in the log. */
async function closedNode(): Promise<SimRuntime> {
  const world: SimRuntime = simRuntime({
    handler: (job) => runEngineJob(world.disk, [reconcileOperator], job as EngineJob),
  });
  const node = await openNode(world, { dataDir: "/data", version: "test", nodeId: "n1" });
  await node.put("t", { key: "flushed", value: utf8("1") });
  await node.flush();
  await node.put("t", { key: "logged", value: utf8("2") });
  await node.close();
  return world;
}

const open = (world: SimRuntime, nodeId?: string) =>
  openNode(world, { dataDir: "/data", version: "test", nodeId });

/** All files below `/data`, but for the lock's. */
function files(world: SimRuntime, dir = "/data"): string[] {
  return world.disk.list(dir).map((name) => `${dir}/${name}`).flatMap((path) =>
    world.disk.stat(path)!.kind === "directory" ? files(world, path) : [path]
  ).filter((path) => !path.endsWith("/LOCK"));
}

Deno.test("openNode() opens under the id that the directory has, and under no other", async () => {
  const world = await closedNode();
  const before = files(world);
  await assert.rejects(open(world, "n2"), { code: 1000, message: /belongs to node "n1"/ });
  assert.deepEqual(files(world), before);
  const node = await open(world);
  assert.equal(node.nodeId, "n1");
  assert.equal(node.get("t", "logged")?.source, "memtable");
  await node.close();
});

Deno.test("openNode() says of what the disk refuses which file it was, and takes it for no fault of the caller's", async () => {
  const cases = [
    ["EACCES", 2006, /^Cannot open \/data: \/data\/IDENTITY: permission denied$/],
    ["EIO", 2006, /^Cannot open \/data: \/data\/IDENTITY: .*EIO$/],
    ["EISDIR", 2007, /^Cannot open \/data: \/data\/IDENTITY: a directory is in the way$/],
    ["ENOSPC", 2002, /^Cannot open \/data: \/data\/LOCK: the disk is full$/],
    ["EROFS", 2006, /^Cannot open \/data: \/data\/LOCK: the file system is read-only$/],
  ] as const;
  for (const [errno, code, message] of cases) {
    const world = await closedNode();
    const isLock = message.source.includes("LOCK");
    world.disk.hook = ({ op, path }) =>
      (isLock ? op === "lock" : op === "readWhole" && path.endsWith("/IDENTITY"))
        ? errno
        : undefined;
    await assert.rejects(open(world), { name: "PairError", code, message }, errno);
    world.disk.hook = undefined;
    const node = await open(world);
    assert.equal(node.get("t", "logged")?.source, "memtable");
    await node.close();
  }
});

Deno.test("openNode() refuses data whose IDENTITY is gone", async () => {
  const world = await closedNode();
  world.disk.remove("/data/IDENTITY");
  await assert.rejects(open(world, "n1"), { code: 2007, message: /no IDENTITY/ });
});

for (const kept of ["IDENTITY", "tenants", "wal"]) {
  Deno.test(`openNode() takes a directory without CURRENT for no new one while ${kept} is there`, async () => {
    const world = await closedNode();
    const remove = files(world).filter((path) => !path.startsWith(`/data/${kept}`));
    for (const path of remove) world.disk.remove(path);
    for (const dir of ["wal", "tenants"]) if (dir !== kept) world.disk.removeDir(`/data/${dir}`);
    const before = files(world);
    await assert.rejects(open(world), (error) => {
      assert.ok(error instanceof PairError && error.code === 2007, String(error));
      assert.match(error.message, /it has data but no CURRENT/);
      return true;
    });
    assert.deepEqual(files(world), before, "nothing was removed");
  });
}
