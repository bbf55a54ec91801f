import assert from "node:assert/strict";
import { PairError, utf8 } from "../../../src/model/mod.ts";
import { bytes, rejectsCode, testNode } from "../../support/node.ts";

Deno.test("health() is healthy on a sound node, with its disk's usage", () => {
  const { node } = testNode();
  assert.deepEqual(node.health(), { status: "healthy", reasons: [], metrics: { disk_usage: 0 } });
});

Deno.test("health() reports memory when it is told how", () => {
  const { node } = testNode({ memoryUsage: () => 0.25 });
  assert.equal(node.health().metrics.memory_usage, 0.25);
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
