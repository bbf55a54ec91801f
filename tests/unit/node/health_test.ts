import assert from "node:assert/strict";
import { CallCounter } from "../../../src/node/mod.ts";
import { PairError, utf8 } from "../../../src/model/mod.ts";
import { bytes, rejectsCode, testNode } from "../../support/node.ts";

/** Ten seconds after a node opened, in which so much happened. */
async function busyNode(
  load: { cpuMs?: number; calls?: number; failed?: number; memory?: number; disk?: number },
) {
  const calls = new CallCounter();
  const it = testNode({ calls });
  it.world.usage.cpus = 2;
  it.world.disk.capacityBytes = 1000;
  it.world.disk.create("/data/file").append(new Uint8Array(1000 * (load.disk ?? 0)));
  await it.world.clock.advance(10_000);
  it.world.usage.usedMs = load.cpuMs ?? 0;
  const used = (load.memory ?? 0) * 1000;
  it.world.usage.used = { ...it.world.usage.used, residentBytes: used, limitBytes: 1000 };
  Object.assign(calls, { calls: load.calls ?? 0, failed: load.failed ?? 0 });
  return it;
}

Deno.test("health() is healthy on a sound node, with its disk's usage", () => {
  const { node } = testNode();
  assert.deepEqual(node.health(), {
    status: "healthy",
    reasons: [],
    metrics: { disk_usage: 0, disk_usage_percent: 0 },
  });
});

Deno.test("health() has load, memory, disk, and the rates of the last minute [G3]", async () => {
  const { node, engine } = await busyNode({
    cpuMs: 5000,
    calls: 50,
    failed: 1,
    memory: 0.25,
    disk: 0.5,
  });
  engine.figures.rowCacheHits = 2;
  engine.figures.blockCacheHits = 1;
  engine.figures.rowCacheMisses = 1;
  const { status, metrics } = node.health();
  assert.deepEqual([status, metrics], ["healthy", {
    cpu_usage: 0.25,
    memory_usage: 0.25,
    disk_usage: 0.5,
    disk_usage_percent: 50,
    request_rate: 5,
    error_rate: 0.02,
    cache_hit_rate: 0.75,
  }]);
});

Deno.test("above 90 % of processors, memory or disk a node is degraded, at 90 % it is not [G4, G9]", async () => {
  for (
    const [load, reason] of [
      [{ cpuMs: 18_001 }, "processors are 90 % used"],
      [{ memory: 0.901 }, "memory is 90 % used"],
      [{ disk: 0.901 }, "the disk is 90 % full"],
    ] as const
  ) {
    const { status, reasons } = (await busyNode(load)).node.health();
    assert.deepEqual([status, reasons], ["degraded", [reason]]);
  }
  const { node } = await busyNode({ cpuMs: 18_000, memory: 0.9, disk: 0.9 });
  assert.equal(node.health().status, "healthy");
});

Deno.test("above 10 % of calls that fail through its own fault a node is unhealthy, at 10 % it is not [G4]", async () => {
  const { node } = await busyNode({ calls: 100, failed: 11 });
  const { status, reasons } = node.health();
  assert.deepEqual([status, reasons], ["unhealthy", ["11 % of calls fail"]]);
  assert.equal((await busyNode({ calls: 100, failed: 10 })).node.health().status, "healthy");
  const few = (await busyNode({ calls: 19, failed: 19 })).node.health();
  assert.deepEqual([few.status, few.metrics.error_rate], ["healthy", 1]);
});

Deno.test("while reads and jobs fail by the disk a node is degraded, and a minute later it is not [R7]", async () => {
  const { node, engine, world } = await busyNode({});
  engine.figures.diskFailures = 2;
  const { status, reasons } = node.health();
  assert.deepEqual([status, reasons], ["degraded", ["the disk failed 2 times in the last minute"]]);
  await world.clock.advance(61_000);
  node.health();
  await world.clock.advance(61_000);
  assert.equal(node.health().status, "healthy");
});

Deno.test("the worst rule decides, and all that hold are told, the worst first [G4, X20]", async () => {
  const { node, engine, world } = await busyNode({
    cpuMs: 20_000,
    calls: 100,
    failed: 50,
    memory: 0.95,
    disk: 0.95,
  });
  const { status, reasons } = node.health();
  assert.equal(status, "unhealthy");
  assert.deepEqual(reasons, [
    "50 % of calls fail",
    "the disk is 95 % full",
    "memory is 95 % used",
    "processors are 100 % used",
  ]);
  engine.poison(new Error("EIO at sync"));
  assert.match(node.health().reasons[0], /EIO at sync/);
  // Once the calls go well again only the rest is left.
  await world.clock.advance(61_000);
  node.health();
  await world.clock.advance(61_000);
  assert.ok(!node.health().reasons.some((reason) => reason.includes("calls fail")));
});

Deno.test("health looks at disk, memory, log and tables [G9]", () => {
  const { node, engine, world } = testNode();
  engine.figures.memoryLevel = 3;
  engine.figures.checksumFailures = 1;
  engine.full = new PairError("DiskFull", "Cannot write the log: ENOSPC");
  world.disk.hook = ({ op }) => op === "space" ? "EIO" : undefined;
  const { status, reasons } = node.health();
  assert.equal(status, "degraded");
  assert.equal(reasons.length, 4, reasons.join("; "));
  for (
    const part of [/room on the disk/, /damaged data/, /memory is short/, /cannot be measured/]
  ) {
    assert.ok(reasons.some((reason) => part.test(reason)), `${part}: ${reasons.join("; ")}`);
  }
});

Deno.test("health() is degraded above the disk threshold, and measures once a second", async () => {
  const { node, world } = testNode();
  world.disk.capacityBytes = 1000;
  world.disk.create("/data/file").append(new Uint8Array(900));
  const full = node.health();
  assert.deepEqual([full.status, full.metrics.disk_usage], ["healthy", 0.9]);
  world.disk.create("/data/more").append(new Uint8Array(1));
  await world.clock.advance(999);
  assert.equal(node.health().status, "healthy");
  await world.clock.advance(1);
  const { status, reasons } = node.health();
  assert.deepEqual([status, reasons], ["degraded", ["the disk is 90 % full"]]);
  const strict = testNode({ diskThresholds: { degraded: 0.5 } });
  strict.world.disk.capacityBytes = 10;
  strict.world.disk.create("/data/file").append(new Uint8Array(6));
  assert.equal(strict.node.health().status, "degraded");
});

Deno.test("the disk is measured at the interval that is asked for [D1]", async () => {
  const { node, world } = testNode({ diskThresholds: { degraded: 0.9, checkIntervalMs: 200 } });
  node.health();
  const measured = world.disk.count("space");
  await world.clock.advance(199);
  node.health();
  assert.equal(world.disk.count("space"), measured);
  await world.clock.advance(1);
  node.health();
  assert.equal(world.disk.count("space"), measured + 1);
});

Deno.test("the disk is measured anew, though not all the time, before an estimate alone refuses a write", async () => {
  const { node, world } = testNode();
  world.disk.capacityBytes = 1 << 20;
  const put = (key: string) => node.put("t", { key, value: new Uint8Array(30_000) });
  const measured = () => world.disk.count("space");
  // The engine of this test keeps all in memory: the disk stays empty.
  for (let n = 0; n < 100; n++) {
    await put(`k${n}`);
    await world.clock.advance(7);
  }
  assert.ok(measured() > 5 && measured() < 40, `${measured()} times`);
});

Deno.test("health() is degraded when the disk cannot be measured", () => {
  const { node, world } = testNode();
  world.disk.hook = ({ op }) => op === "space" ? "EIO" : undefined;
  assert.deepEqual(node.health(), {
    status: "degraded",
    reasons: ["the disk cannot be measured: EIO"],
    metrics: {},
  });
  assert.equal(node.status().diskTotalBytes, 0);
});

Deno.test("health() names what recovery lost, up to a bound", () => {
  const loss = { file: "wal/000001.wal", offset: 12, bytes: 34 };
  const { node } = testNode({}, { recovery: { losses: [loss] } });
  const { status, reasons } = node.health();
  assert.equal(status, "degraded");
  assert.deepEqual(reasons, ["recovery lost 34 bytes of wal/000001.wal at offset 12"]);
  const many = testNode({}, { recovery: { losses: new Array(1000).fill(loss) } });
  assert.equal(many.node.health().reasons.length, 9);
  assert.equal(many.node.health().reasons[8], "recovery lost 992 more pieces of the log");
});

Deno.test("health() is degraded once damage was met, also where files are in quarantine or compaction stopped", () => {
  const { node, engine } = testNode();
  engine.figures.checksumFailures = 3;
  engine.figures.quarantinedFiles = 2;
  engine.figures.compactionsStopped = 1;
  const { status, reasons } = node.health();
  assert.equal(status, "degraded");
  assert.deepEqual(reasons, [
    "damaged data was met: 3 times",
    "damaged log segments in quarantine: 2",
    "tenants that a damaged table keeps from compaction: 1",
  ]);
});

Deno.test("health() names tables that a scrub found damaged, up to a bound [R6]", () => {
  const { node, engine } = testNode();
  engine.damaged = [{
    file: "tenants/t~1/000012.sst",
    tree: 1,
    problem: "its checksum does not fit",
  }];
  const { status, reasons } = node.health();
  assert.equal(status, "degraded");
  assert.deepEqual(reasons, [
    "a scrub found tenants/t~1/000012.sst damaged: its checksum does not fit",
  ]);
  engine.damaged = new Array(20).fill(engine.damaged[0]);
  assert.equal(node.health().reasons.length, 9);
  assert.equal(node.health().reasons[8], "a scrub found 12 more tables damaged");
});

Deno.test("health() is degraded while flushes or compactions keep failing, and names a cause", () => {
  const { node, engine } = testNode();
  const failed = new PairError("SSTableFailed", "Cannot write a table: EACCES");
  engine.failures.flush = [failed, failed];
  engine.failures.compaction = [failed];
  assert.deepEqual(node.health().reasons, [
    "tenants whose last flush failed: 2, for: Cannot write a table: EACCES",
    "tenants whose last compaction failed: 1, for: Cannot write a table: EACCES",
  ]);
  assert.equal(node.health().status, "degraded");
  engine.failures.flush = engine.failures.compaction = [];
  assert.equal(node.health().status, "healthy");
});

Deno.test("health() is unhealthy on a poisoned engine, with the cause first [R7, X20]", () => {
  const { node, engine } = testNode({}, {
    recovery: { losses: [{ file: "f", offset: 0, bytes: 1 }] },
  });
  engine.poison(new Error("EIO at sync"));
  const { status, reasons } = node.health();
  assert.equal(status, "unhealthy");
  assert.match(reasons[0], /EIO at sync/);
  assert.equal(reasons.length, 2);
});

Deno.test("health() is degraded while the log waits for room, which it says first: reads go on, and so will writes [D4]", () => {
  const { node, engine } = testNode({}, {
    recovery: { losses: [{ file: "f", offset: 0, bytes: 1 }] },
  });
  engine.full = new PairError("DiskFull", "Cannot write the log: ENOSPC");
  const { status, reasons } = node.health();
  assert.equal(status, "degraded");
  assert.match(reasons[0], /no write is taken before there is room on the disk: .*ENOSPC/);
  assert.equal(reasons.length, 2);
  engine.full = undefined;
  assert.equal(node.health().reasons.length, 1);
});

Deno.test("status() has the figures of the engine, the disk and the node", async () => {
  const { node, world, engine } = testNode();
  world.disk.capacityBytes = 1000;
  await node.put("t", { key: "k", value: bytes("v") });
  await world.clock.advance(1234.5);
  const { counters, ...status } = node.status();
  const stats = engine.stats();
  assert.deepEqual(status, {
    nodeId: "n1",
    version: "0.0.0-test",
    health: node.health(),
    uptimeMs: 1234,
    dataDir: "/data",
    tenants: 1,
    memtableBytes: stats.memtableBytes,
    walBytes: stats.walBytes,
    walSegments: 1,
    walArchivedSegments: 0,
    walArchivedBytes: 0,
    tableBytes: 0,
    tables: 0,
    tablesPerLevel: [],
    diskTotalBytes: 1000,
    diskFreeBytes: 1000,
    lastSequence: 1,
    snapshots: 0,
    snapshotBytes: 0,
    recovery: { records: 0, losses: 0, lostBytes: 0, elapsedMs: 0 },
  });
  assert.equal(counters.walRecords, 1);
});

Deno.test("openStorageNode() refuses a bad node id (1000)", async () => {
  for (const nodeId of ["", "x".repeat(129), "a\u0001", "\ud800"]) {
    await rejectsCode(() => testNode({ nodeId }), 1000);
  }
});

Deno.test("a stored state that is damaged is an error (2007), never a missing key", async () => {
  const { node, engine } = testNode();
  await node.put("t", { key: "k", value: bytes("v") });
  const tree = engine.tree("t")!;
  await engine.write([{ tree, kind: 0, key: utf8("k"), value: Uint8Array.of(1, 1, 99) }]);
  await rejectsCode(() => node.get("t", "k"), 2007);
  await rejectsCode(() => node.batchGet("t", ["k"]), 2007);
  await rejectsCode(() => node.put("t", { key: "k", value: bytes("x") }), 2007);
  await rejectsCode(() => node.delete("t", { key: "k" }), 2007);
});
