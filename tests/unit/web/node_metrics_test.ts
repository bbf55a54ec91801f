import assert from "node:assert/strict";
import { openPairDB } from "../../../src/embedded/mod.ts";
import { PairError } from "../../../src/model/mod.ts";
import { SimUsage } from "../../../src/runtime/mod.ts";
import { Registry } from "../../../src/web/mod.ts";
import { nodeSamples, usageSamples } from "../../../src/web/node_metrics.ts";
import { rejectsCode, testNode } from "../../support/node.ts";

Deno.test("nodeSamples() gives every series once, and one type to a name", async () => {
  await using db = await openPairDB({ memory: true });
  await db.put("t", "k", "v");
  const series = new Set<string>();
  const types = new Map<string, string>();
  for (const { name, labels = {}, type } of nodeSamples(db.node)) {
    const id = name + JSON.stringify(labels);
    assert.ok(!series.has(id), `${id} comes twice`);
    series.add(id);
    assert.equal(types.get(name) ?? type, type, name);
    types.set(name, type);
    assert.equal(name.endsWith("_total"), type === "counter", name);
  }
  assert.ok(series.has("pairdb_wal_segments{}") && series.has("pairdb_flushes_total{}"));
});

/** The text of samples, to look for lines in. */
function rendered(samples: Parameters<Registry["collect"]>[0]) {
  const registry = new Registry();
  registry.collect(samples);
  const text = registry.render();
  return (line: string) => assert.ok(text.includes(`\n${line}\n`), `${line}\n${text}`);
}

Deno.test("nodeSamples() and usageSamples() have disk and refusals, memory by part, CPU, the log and its rotations [O4]", async () => {
  const { node, engine, world } = testNode();
  world.disk.capacityBytes = 10_000_000;
  const file = world.disk.create("/data/file");
  const put = (length: number) => node.put("t", { key: "k", value: new Uint8Array(length) });
  file.append(new Uint8Array(9_100_000));
  for (let n = 0; n < 2; n++) await rejectsCode(() => put(40_000), 2003);
  file.append(new Uint8Array(500_000));
  await world.clock.advance(1000);
  await rejectsCode(() => put(1), 2002);
  Object.assign(engine.figures, {
    rowCacheBytes: 7,
    blockCacheBytes: 8,
    memtableBytes: 9,
    walBytes: 11,
    walSegments: 2,
    walRotations: 3,
  });
  const has = rendered(() => nodeSamples(node));
  has("pairdb_disk_usage_percent 96");
  has("pairdb_disk_free_bytes 400000");
  has("pairdb_disk_total_bytes 10000000");
  has("pairdb_disk_refused_total 1");
  has("pairdb_disk_throttled_total 2");
  has("pairdb_disk_state 3");
  has("pairdb_memtable_bytes 9");
  has("pairdb_row_cache_bytes 7");
  has("pairdb_block_cache_bytes 8");
  has("pairdb_wal_bytes 11");
  has("pairdb_wal_segments 2");
  has("pairdb_wal_rotations_total 3");
  const usage = new SimUsage();
  usage.usedMs = 1500;
  usage.used = {
    residentBytes: 4,
    heapBytes: 3,
    heapLimitBytes: 50,
    collections: 6,
    externalBytes: 2,
    limitBytes: 100,
  };
  const hasOf = rendered(() => usageSamples(usage));
  hasOf("process_cpu_seconds_total 1.5");
  hasOf("process_resident_memory_bytes 4");
  hasOf("pairdb_heap_bytes 3");
  hasOf("pairdb_external_bytes 2");
  hasOf("pairdb_memory_limit_bytes 100");
});

Deno.test("nodeSamples() has the worker pool: what runs, waits, ended well or not, was refused, and how long it took [W5]", () => {
  const { node, engine } = testNode();
  Object.assign(engine.figures, {
    workersActive: 2,
    workersMax: 3,
    workerQueueLength: 4,
    workerSucceeded: 50,
    workerFailed: 6,
    workerRejections: 7,
    workerWaitedMs: 80,
    jobLatencyMs: 900,
    jobLatencyMsMax: 100,
  });
  const has = rendered(() => nodeSamples(node));
  has("pairdb_workers_active 2");
  has("pairdb_workers_max 3");
  has("pairdb_worker_queue_length 4");
  has("pairdb_worker_succeeded_total 50");
  has("pairdb_worker_failed_total 6");
  has("pairdb_worker_rejections_total 7");
  has("pairdb_worker_waited_ms_total 80");
  has("pairdb_job_latency_ms_total 900");
  has("pairdb_job_latency_ms_max 100");
});

Deno.test("estimates of writes can be compared with what log and tables took [O6]", async () => {
  await using db = await openPairDB({ memory: true });
  for (let n = 0; n < 100; n++) await db.put("t", `key-${n}`, "v".repeat(200));
  await db.node.flush();
  const { counters } = db.node.status();
  const took = counters.walBytesWritten + counters.flushBytesWritten;
  assert.ok(took > 40_000, `${took}`);
  // What is estimated has a fifth more, and room for what each entry brings along.
  assert.ok(counters.diskEstimatedBytes >= took, `${counters.diskEstimatedBytes} for ${took}`);
  assert.ok(counters.diskEstimatedBytes < 2 * took, `${counters.diskEstimatedBytes} for ${took}`);
});

Deno.test("nodeSamples() has checksum failures, damage by place, what verifying takes, and what recovery brought back [O5]", () => {
  const losses = [{ file: "wal/1", offset: 0, bytes: 30 }, { file: "wal/1", offset: 90, bytes: 4 }];
  const { node, engine } = testNode({}, { recovery: { records: 12, elapsedMs: 250, losses } });
  engine.figures.checksumFailures = 5;
  Object.assign(engine.figures, {
    checksumsVerified: 33,
    checksumsTimed: 3,
    checksumTimedMs: 0.25,
  });
  engine.poison(new PairError("CommitLogFailed", "x"));
  const has = rendered(() => nodeSamples(node));
  has("pairdb_checksum_failures_total 5");
  has("pairdb_checksums_verified_total 33");
  has("pairdb_checksums_timed_total 3");
  has("pairdb_checksum_timed_ms_total 0.25");
  has('pairdb_corrupted_entries_total{place="log"} 2');
  has('pairdb_corrupted_entries_total{place="tables"} 5');
  has("pairdb_recovery_records 12");
  has("pairdb_recovery_lost_bytes 34");
  has("pairdb_recovery_seconds 0.25");
  has('pairdb_health{state="unhealthy"} 1');
});
