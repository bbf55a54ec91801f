import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type Config,
  configurationPage,
  environmentSettings,
  fileSettings,
  flagSetting,
  OPTIONS,
  printConfig,
  resolveConfig,
} from "../../../src/cli/config/mod.ts";
import {
  closeLimits,
  engineOptions,
  nodeLimits,
  poolLimits,
  portLimits,
  snapshotSchedule,
  watchLimits,
} from "../../../src/cli/parts.ts";
import { parseQuietHours } from "../../../src/cli/units.ts";
import { PairError } from "../../../src/client/mod.ts";
import { DEFAULT_ENGINE_OPTIONS } from "../../../src/engine/mod.ts";
import {
  DEFAULT_HOT_KEY_LIMITS,
  DEFAULT_IDEMPOTENCY,
  DEFAULT_WATCH_LIMITS,
} from "../../../src/node/mod.ts";
import { SLOW_MS } from "../../../src/rpc/mod.ts";
import { DEFAULT_CORS_ORIGINS } from "../../../src/web/mod.ts";

const fromFile = (text: string) => resolveConfig([fileSettings(text, "p.yaml")]);
const fromEnvironment = (variables: Record<string, string>) =>
  resolveConfig([environmentSettings(variables)]);
const fromFlags = (...assignments: string[]) =>
  resolveConfig([assignments.map((one) => flagSetting(one))]);

/** The message of the error that `run` throws, which must be InvalidArgument. */
function refusal(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    assert(error instanceof PairError, String(error));
    assert.equal(error.code, 1000);
    return error.message;
  }
  assert.fail("it was accepted");
}

Deno.test("defaults are those of the design documents [N12, O9]", () => {
  const config = resolveConfig([]);
  assert.equal(config.server.host, "127.0.0.1");
  assert.equal(config.server.port, 50052);
  assert.equal(config.server.max_connections, 1000);
  assert.equal(config.server.read_timeout, 10_000);
  assert.equal(config.server.write_timeout, 10_000);
  assert.equal(config.server.shutdown_timeout, 30_000);
  assert.equal(config.storage.data_dir, "./pairdb-data");
  assert.equal(config.storage.max_disk_usage, 0.9);
  assert.equal(config.commit_log.sync_mode, "always");
  assert.deepEqual(config.logging, { level: "info", format: "json" });
});

Deno.test("the engine's sizes, times and weights by default [E4, E5, E6, E7, E15, E24, E28, E42, E43, E46, K1, K2, X13, X15]", () => {
  const MIB = 1 << 20;
  const { log, memtableSize, maxImmutables, table, compaction, rowCache } = engineOptions(
    resolveConfig([]),
  );
  assert.deepEqual([log.segmentSize, log.segmentAgeMs], [1024 * MIB, 600_000]);
  assert.deepEqual([log.archiveMaxAgeMs, log.syncIntervalMs, log.syncEvery], [
    604_800_000,
    100,
    1000,
  ]);
  assert.deepEqual([log.syncMode, log.archive], ["always", false]);
  assert.deepEqual([memtableSize, maxImmutables], [64 * MIB, 2]);
  assert.deepEqual([table.blockSize, table.falsePositives], [4096, 0.01]);
  // What level 1 has; level 0 has what a memtable gives.
  assert.deepEqual([compaction.targetTableSize, compaction.tableSizeMultiplier], [128 * MIB, 2]);
  const { l0Trigger, l0Slowdown, l0Stop } = compaction;
  assert.deepEqual([l0Trigger, l0Slowdown, l0Stop], [4, 8, 12]);
  assert.deepEqual([compaction.baseLevelSize, compaction.tombstoneGraceMs], [
    256 * MIB,
    86_400_000,
  ]);
  assert.deepEqual(rowCache, {
    frequencyWeight: 0.5,
    recencyWeight: 0.5,
    adaptiveWindowMs: 300_000,
  });
  const { compaction: { workers }, cache } = resolveConfig([]);
  assert.equal(workers, 2);
  assert.equal(cache.max_size, 1024 * MIB);
});

Deno.test("all caches together keep to cache.max_size, the row cache to what the block cache leaves [K1]", () => {
  const sizes = (...assignments: string[]) => {
    const { blockCacheSize, rowCacheSize } = engineOptions(fromFlags(...assignments));
    return [blockCacheSize, rowCacheSize].map((size) => size / (1 << 20));
  };
  assert.deepEqual(sizes(), [256, 256]);
  assert.deepEqual(sizes("cache.max_size=300MiB"), [256, 44]);
  assert.deepEqual(sizes("cache.max_size=100MiB"), [100, 0]);
});

/** What the engine is told by an option that is set: [option, text, its place among the engine's options, value]. */
const TOLD: [path: string, text: string, place: string, value: unknown][] = [
  ["storage.max_open_files", "17", "maxOpenFiles", 17],
  ["memory.budget", "17MiB", "memoryBudget", 17 << 20],
  ["disk.reserve", "17MiB", "reserve", 17 << 20],
  ["commit_log.segment_size", "17MiB", "log.segmentSize", 17 << 20],
  ["commit_log.max_segment_age", "17s", "log.segmentAgeMs", 17_000],
  ["commit_log.sync_mode", "none", "log.syncMode", "none"],
  ["commit_log.sync_mode", "batch", "log.syncMode", "batch"],
  ["commit_log.sync_interval", "17ms", "log.syncIntervalMs", 17],
  ["commit_log.sync_every", "17", "log.syncEvery", 17],
  ["commit_log.archive", "true", "log.archive", true],
  ["commit_log.max_age", "17s", "log.archiveMaxAgeMs", 17_000],
  ["commit_log.archive_max_segments", "17", "log.archiveMaxSegments", 17],
  ["commit_log.recovery", "strict", "recovery", "strict"],
  ["mem_table.max_size", "17MiB", "memtableSize", 17 << 20],
  ["mem_table.num_mem_tables", "7", "maxImmutables", 7],
  ["mem_table.max_age", "17s", "memtableAgeMs", 17_000],
  ["mem_table.total_size", "17MiB", "memtableBudget", 17 << 20],
  ["sstable.block_size", "17KiB", "table.blockSize", 17 << 10],
  ["sstable.bloom_filter_fp", "0.17", "table.falsePositives", 0.17],
  ["sstable.compression_per_level", "zstd,snappy", "table.compression", ["zstd", "snappy"]],
  ["sstable.partition_size", "17KiB", "table.partitionSize", 17 << 10],
  ["sstable.l0_size", "17MiB", "compaction.targetTableSize", 34 << 20],
  ["sstable.level_multiplier", "3", "compaction.tableSizeMultiplier", 3],
  ["sstable.level_multiplier", "3", "compaction.targetTableSize", 192 << 20],
  ["cache.max_size", "300MiB", "rowCacheSize", 44 << 20],
  ["cache.max_size", "17MiB", "blockCacheSize", 17 << 20],
  ["cache.block_cache_size", "17MiB", "blockCacheSize", 17 << 20],
  ["cache.warm", "false", "warmCache", false],
  ["cache.row_cache_size", "17MiB", "rowCacheSize", 17 << 20],
  ["cache.frequency_weight", "0.17", "rowCache.frequencyWeight", 0.17],
  ["cache.recency_weight", "0.17", "rowCache.recencyWeight", 0.17],
  ["cache.adaptive_window", "17s", "rowCache.adaptiveWindowMs", 17_000],
  ["compaction.strategy", "hybrid", "compaction.strategy", "hybrid"],
  ["compaction.window", "17s", "compaction.windowMs", 17_000],
  ["compaction.tombstone_grace", "17s", "compaction.tombstoneGraceMs", 17_000],
  ["compaction.l0_trigger", "7", "compaction.l0Trigger", 7],
  ["compaction.l0_slowdown", "9", "compaction.l0Slowdown", 9],
  ["compaction.l0_stop", "17", "compaction.l0Stop", 17],
  ["compaction.level_base_size", "17MiB", "compaction.baseLevelSize", 17 << 20],
  ["compaction.pending_slowdown", "17MiB", "guards.pendingSlowdown", 17 << 20],
  ["compaction.pending_stop", "65GiB", "guards.pendingStop", 65 * 2 ** 30],
  ["compaction.throttle", "17", "guards.throttle", 17_000_000],
  ["scrub.interval", "17s", "scrub.intervalMs", 17_000],
  ["background.quiet_hours", "22:00-06:30", "quiet.hours", parseQuietHours("22:00-06:30")],
  ["background.quiet_rate", "0.17", "quiet.transferShare", 0.17],
];

Deno.test("what is set reaches the engine, and the port, and no option of theirs is left out [E4, E5, E6, E7, E15, E24, E28, E42, E43, E46]", () => {
  const at = (options: unknown, place: string) =>
    place.split(".").reduce((inner, name) => (inner as Record<string, unknown>)[name], options);
  for (const [path, text, place, value] of TOLD) {
    assert.deepEqual(at(engineOptions(fromFlags(`${path}=${text}`)), place), value, path);
    assert.notDeepEqual(at(engineOptions(resolveConfig([])), place), value, `${path} by default`);
  }
  const sections = [
    "commit_log",
    "mem_table",
    "sstable",
    "cache",
    "compaction",
    "scrub",
    "background",
  ];
  // Those are told the pool of threads, and whoever closes the node.
  const others = ["mem_table.flush_on_stop", "compaction.workers", "compaction.queue"];
  const known = new Set([...TOLD.map(([path]) => path), ...others]);
  const all = [...OPTIONS.keys()].filter((path) => sections.includes(path.split(".")[0]));
  assert.deepEqual(all.filter((path) => !known.has(path)), []);

  const limits = [
    "max_connections=17",
    "read_timeout=18ms",
    "write_timeout=19ms",
    "shutdown_timeout=20ms",
  ];
  assert.deepEqual(portLimits(fromFlags(...limits.map((limit) => `server.${limit}`))), {
    maxConnections: 17,
    maxConcurrentStreams: 17,
    readTimeoutMs: 18,
    writeTimeoutMs: 19,
    shutdownTimeoutMs: 20,
  });
});

Deno.test("what is set reaches the node, its pool of threads, its schedule and its stop [D1, E16, E30, E46, N12, W1, W3, X17]", () => {
  assert.deepEqual(poolLimits(resolveConfig([])), { workers: 2, queue: 1024 });
  assert.deepEqual(poolLimits(fromFlags("compaction.workers=17", "compaction.queue=18")), {
    workers: 17,
    queue: 18,
  });
  const defaults = nodeLimits(resolveConfig([]));
  assert.equal(defaults.tenantAutoCreate, true);
  assert.equal(defaults.writeStallMsMax, 9000, "before server.write_timeout is over");
  assert.equal(nodeLimits(fromFlags("server.write_timeout=1m")).writeStallMsMax, 10_000);
  assert.deepEqual(defaults.idempotency, DEFAULT_IDEMPOTENCY);
  assert.deepEqual(defaults.hotKeys, DEFAULT_HOT_KEY_LIMITS);
  assert.deepEqual(defaults.diskThresholds, {
    degraded: 0.9,
    strict: false,
    checkIntervalMs: 1000,
  });
  assert.equal(defaults.sealRequired, false);
  const set = fromFlags(
    "tenant.auto_create=false",
    "server.write_timeout=170ms",
    "idempotency.max_writes=17",
    "idempotency.max_age=18s",
    "storage.max_disk_usage=0.17",
    "disk.strict=true",
    "disk.check_interval=190ms",
    "watch.max_watchers=20",
    "watch.history_size=21MiB",
    "watch.linger=22ms",
    "hot_keys.max_reads_per_second=23",
    "hot_keys.max_writes_per_second=24",
    "server.context_seal=required",
  );
  assert.deepEqual(nodeLimits(set), {
    tenantAutoCreate: false,
    writeStallMsMax: 153,
    idempotency: { maxWrites: 17, maxAgeMs: 18_000 },
    diskThresholds: { degraded: 0.17, strict: true, checkIntervalMs: 190 },
    watch: { maxWatchers: 20, historySize: 21 << 20, lingerMs: 22 },
    hotKeys: { maxReads: 23, maxWrites: 24 },
    sealRequired: true,
  });
  assert.equal(snapshotSchedule(resolveConfig([])), undefined);
  const quiet = ["background.quiet_hours=22:00-06:30"];
  assert.deepEqual(
    snapshotSchedule(fromFlags("snapshot.interval=1h", "snapshot.keep=17", ...quiet)),
    {
      intervalMs: 3_600_000,
      keep: 17,
      quietHours: parseQuietHours("22:00-06:30"),
    },
  );
  assert.equal(snapshotSchedule(fromFlags("snapshot.interval=1h"))?.keep, 7);
  assert.deepEqual(closeLimits(resolveConfig([])), { flushMs: 30_000, waitMs: 30_000 });
  const hurried = fromFlags("mem_table.flush_on_stop=false", "server.shutdown_timeout=17ms");
  assert.deepEqual(closeLimits(hurried), { flushMs: 0, waitMs: 17 });
});

Deno.test("defaults are those of the rooms below: written twice, kept the same here", () => {
  const config = resolveConfig([]);
  assert.deepEqual(watchLimits(config), DEFAULT_WATCH_LIMITS);
  assert.equal(config.slow_operations.threshold, SLOW_MS);
  // Ballast is for the disk of a server: a store inside a program has none unless it is asked for.
  const { compaction, reserve, ...engine } = engineOptions(config);
  const { compaction: compactionThere, reserve: reserveThere, ...engineThere } =
    DEFAULT_ENGINE_OPTIONS;
  assert.deepEqual([reserve, reserveThere], [16 << 20, 0]);
  assert.deepEqual(engine, engineThere);
  assert.deepEqual(compaction, compactionThere);
  assert.deepEqual(config.server.cors_origins, DEFAULT_CORS_ORIGINS);
});

Deno.test("every option has words, a default within its bounds, and a variable", () => {
  for (const option of OPTIONS.values()) {
    assert(option.description.endsWith("."), option.path);
    assert(option.expects.length > 0, option.path);
    assert.equal(option.variable, `PAIRDB_${option.path.replace(".", "_").toUpperCase()}`);
    const written = Array.isArray(option.default) ? option.default.join(",") : `${option.default}`;
    assert.deepEqual(fromFlags(`${option.path}=${written}`), resolveConfig([]), option.path);
  }
});

/** Values at the edges: [option, the least, the most], then what is just beyond each. */
const EDGES: [path: string, least: string, most: string, below: string, above: string][] = [
  ["server.port", "0", "65535", "-1", "65536"],
  ["server.max_connections", "1", "1000000", "0", "1000001"],
  ["server.read_timeout", "1ms", "1h", "0ms", "3600001ms"],
  ["server.write_timeout", "1ms", "1h", "0ms", "3600001ms"],
  ["server.shutdown_timeout", "0ms", "1h", "-1ms", "3600001ms"],
  ["auth.reload_interval", "100ms", "1h", "99ms", "3600001ms"],
  ["tls.handshake_timeout", "100ms", "1m", "99ms", "60001ms"],
  ["storage.max_open_files", "16", "1000000", "15", "1000001"],
  ["storage.max_disk_usage", "0.1", "1", "0.09", "1.01"],
  ["memory.budget", "0", "1TiB", "-1", "1099511627777"],
  ["disk.check_interval", "100ms", "1m", "99ms", "60001ms"],
  ["disk.reserve", "0", "1GiB", "-1", "1073741825"],
  ["commit_log.segment_size", "1MiB", "16GiB", "1048575", "17179869185"],
  ["commit_log.max_segment_age", "1s", "168h", "999ms", "604800001ms"],
  ["commit_log.sync_interval", "1ms", "1m", "0ms", "60001ms"],
  ["commit_log.sync_every", "1", "10000000", "0", "10000001"],
  ["commit_log.max_age", "1s", "87600h", "999ms", "315360000001ms"],
  ["commit_log.archive_max_segments", "1", "1000000", "0", "1000001"],
  ["mem_table.max_size", "64KiB", "1GiB", "65535", "1073741825"],
  ["mem_table.num_mem_tables", "1", "16", "0", "17"],
  ["mem_table.max_age", "0ms", "8760h", "-1ms", "8761h"],
  ["mem_table.total_size", "1MiB", "64GiB", "1048575", "68719476737"],
  ["sstable.block_size", "4KiB", "64KiB", "4095", "65537"],
  ["sstable.bloom_filter_fp", "0.0001", "0.5", "0.00009", "0.51"],
  ["sstable.partition_size", "4KiB", "1MiB", "4095", "1048577"],
  ["sstable.l0_size", "64KiB", "4GiB", "65535", "4294967297"],
  ["sstable.level_multiplier", "1", "10", "0", "11"],
  ["cache.max_size", "0", "1TiB", "-1", "1099511627777"],
  ["cache.block_cache_size", "0", "1TiB", "-1", "1099511627777"],
  ["cache.row_cache_size", "0", "32GiB", "-1", "34359738369"],
  ["cache.frequency_weight", "0", "1", "-0.1", "1.1"],
  ["cache.recency_weight", "0", "1", "-0.1", "1.1"],
  ["cache.adaptive_window", "1s", "24h", "999ms", "25h"],
  ["shared_cache.ttl", "1s", "720h", "999ms", "721h"],
  ["shared_cache.max_value_size", "1", "10MiB", "0", "10485761"],
  ["shared_cache.timeout", "1ms", "1s", "0ms", "1001ms"],
  ["shared_cache.queue_size", "64KiB", "1GiB", "65535", "1073741825"],
  ["compaction.window", "1s", "8760h", "999ms", "31536000001ms"],
  ["compaction.tombstone_grace", "0ms", "8760h", "-1ms", "31536000001ms"],
  ["compaction.l0_trigger", "1", "8", "0", "1001"],
  ["compaction.l0_slowdown", "4", "11", "0", "1001"],
  ["compaction.l0_stop", "9", "1000", "1", "1001"],
  ["compaction.level_base_size", "1MiB", "1TiB", "1048575", "1099511627777"],
  ["compaction.pending_slowdown", "1MiB", "255GiB", "1048575", "70368744177665"],
  ["compaction.pending_stop", "65GiB", "64TiB", "2097151", "70368744177665"],
  ["compaction.throttle", "0", "100000", "-1", "100001"],
  ["compaction.workers", "1", "64", "0", "65"],
  ["compaction.queue", "1", "100000", "0", "100001"],
  ["snapshot.interval", "0ms", "8760h", "-1ms", "8761h"],
  ["snapshot.keep", "1", "1000", "0", "1001"],
  ["scrub.interval", "0ms", "8760h", "-1ms", "31536000001ms"],
  ["background.quiet_rate", "0.01", "1", "0.009", "1.1"],
  ["hot_keys.max_reads_per_second", "0", "1000000000", "-1", "1000000001"],
  ["hot_keys.max_writes_per_second", "0", "1000000000", "-1", "1000000001"],
  ["watch.max_watchers", "1", "100000", "0", "100001"],
  ["watch.history_size", "64KiB", "16GiB", "65535", "17179869185"],
  ["watch.linger", "0", "24h", "-1", "86400001"],
  ["idempotency.max_writes", "1", "100000000", "0", "100000001"],
  ["idempotency.max_age", "1s", "365d", "999ms", "366d"],
  ["slow_operations.threshold", "0ms", "1h", "-1ms", "3600001ms"],
];

Deno.test("every option with bounds takes its edges and refuses what is beyond, by name and with the range [E24]", () => {
  for (const [path, least, most, below, above] of EDGES) {
    fromFlags(`${path}=${least}`);
    fromFlags(`${path}=${most}`);
    for (const beyond of [below, above, "many", ""]) {
      const message = refusal(() => fromFlags(`${path}=${beyond}`));
      const { expects } = OPTIONS.get(path)!;
      assert(message.startsWith(`--set: ${path}: `), message);
      assert(
        message.includes(`${JSON.stringify(Number(beyond))} is not ${expects}`) ||
          message.includes(`${JSON.stringify(beyond)} is not ${expects}`),
        message,
      );
    }
  }
  const unbounded = ["text", "list", "choice", "flag"];
  const bounded = [...OPTIONS.values()].filter((option) => !unbounded.includes(option.kind));
  assert.deepEqual(bounded.map((option) => option.path), EDGES.map(([path]) => path));
});

Deno.test("options that are words refuse other words", () => {
  const bad = [
    "server.node_id=a b",
    `server.node_id=${"n".repeat(129)}`,
    "server.host=",
    "server.host=http://x",
    "server.datacenter=",
    "server.rack=a/b",
    "server.cors_origins=example.org",
    "server.cors_origins=https://example.org/",
    "server.allowed_hosts=a:80",
    "server.context_seal=never",
    "auth.mode=open",
    "auth.metrics=everybody",
    "auth.credentials_file=a\0b",
    "tls.client_auth=perhaps",
    "tls.min_version=1.1",
    "tls.listen=50053",
    "tls.listen=::1:50053",
    "peer.allow_http=yes",
    "storage.data_dir=",
    "storage.data_dir=a\0b",
    "sstable.compression_per_level=",
    "sstable.compression_per_level=none,gzip",
    "sstable.compression_per_level=none zstd",
    "commit_log.sync_mode=sometimes",
    "commit_log.recovery=maybe",
    "background.quiet_hours=8-18",
    "background.quiet_hours=08:00-24:00",
    "background.quiet_hours=08:00",
    "background.quiet_hours=mon",
    "background.quiet_hours=monday 08:00-18:00",
    "background.quiet_hours=mon-fri, 08:00-18:00",
    "shared_cache.kind=valkey",
    "shared_cache.url=http://127.0.0.1:6379",
    "shared_cache.url=redis://me:secret@127.0.0.1",
    "shared_cache.user=a b",
    "shared_cache.mode=write",
    "shared_cache.ask=never",
    "tenant.auto_create=yes",
    "metrics.enabled=1",
    "logging.level=trace",
    "logging.format=xml",
  ];
  for (const assignment of bad) {
    const message = refusal(() => fromFlags(assignment));
    assert(message.startsWith(`--set: ${assignment.split("=")[0]}: `), message);
  }
  assert.deepEqual(
    fromFlags("server.cors_origins=https://a.org, http://b.org:8080").server.cors_origins,
    ["https://a.org", "http://b.org:8080"],
  );
});

Deno.test("bounds between options are checked", () => {
  const message = refusal(() => fromFile("compaction:\n  l0_stop: 8\n"));
  assert.equal(
    message,
    "p.yaml:2:3: compaction.l0_stop: must be above compaction.l0_slowdown",
  );
});

Deno.test("a shared cache needs the URL of its kind, and only Redis knows users", () => {
  const set = (...lines: string[]) =>
    fromFile(`shared_cache:\n${lines.map((line) => `  ${line}\n`).join("")}`);
  const message = refusal(() => set("kind: redis"));
  assert.equal(
    message,
    "shared_cache.url: must be a redis:// or rediss:// URL for the kind redis",
  );
  refusal(() => set("kind: redis", "url: memcache://127.0.0.1"));
  refusal(() => set("kind: memcached", "url: redis://127.0.0.1"));
  refusal(() => set("kind: memcached", "url: memcache://127.0.0.1", "password_file: /p"));
  refusal(() => set("kind: memcached", "url: memcache://127.0.0.1", "user: me"));
  set("kind: memcached", "url: memcaches://[::1]:11211");
  set("kind: redis", "url: rediss://cache.example.org:6380/2", "user: me", "password_file: /p");
});

Deno.test("an address for other machines needs it written out who may call", () => {
  const hosts = ["0.0.0.0", "::", "192.0.2.1", "db.example.org", "127.0.0.1.example.org"];
  for (const host of hosts) {
    const message = refusal(() => fromFile(`server:\n  host: "${host}"\n`));
    assert(message.startsWith(`p.yaml:2:3: server.host: ${host} lets other machines in`), message);
    for (const mode of ["none", "token"]) {
      fromFile(`server:\n  host: "${host}"\nauth:\n  mode: ${mode}\n`);
    }
  }
  for (const host of ["127.0.0.1", "127.8.9.10", "::1", "localhost"]) {
    fromFile(`server:\n  host: "${host}"\n`);
  }
  const tls = "tls:\n  cert_file: c\n  key_file: k\n";
  assert.match(refusal(() => fromFile(`${tls}  listen: "[::]:1"\n`)), /tls\.listen: :: lets other/);
  fromFile(`${tls}  listen: 127.0.0.1:1\n`);
});

Deno.test("options of TLS that make no sense alone are refused", () => {
  const cases: [string, RegExp][] = [
    ["tls.cert_file=c", /tls\.key_file: must be set with tls\.cert_file/],
    ["tls.key_file=k", /tls\.cert_file: must be set with tls\.key_file/],
    ["tls.client_auth=require", /tls\.client_auth: needs TLS/],
    ["tls.listen=127.0.0.1:1", /tls\.listen: needs TLS/],
    ["auth.mode=certificate", /auth\.mode: certificate needs tls\.client_auth/],
  ];
  for (const [assignment, expected] of cases) {
    assert.match(refusal(() => fromFlags(assignment)), expected);
  }
});

Deno.test("an unknown option is named with its place and the nearest known one", () => {
  assert.equal(
    refusal(() => fromFile("server:\n  host: localhost\n  prot: 1\n")),
    "p.yaml:3:3: unknown option server.prot, did you mean server.port?",
  );
  assert.equal(
    refusal(() => fromFile("sever:\n  port: 1\n")),
    "p.yaml:1:1: unknown section sever, did you mean server?",
  );
  assert.equal(
    refusal(() => fromEnvironment({ PAIRDB_SERVER_PROT: "1" })),
    "environment: unknown option PAIRDB_SERVER_PROT, did you mean PAIRDB_SERVER_PORT?",
  );
  assert.equal(
    refusal(() => fromFlags("server.prot=1")),
    "--set: unknown option server.prot, did you mean server.port?",
  );
});

Deno.test("names that every object has are unknown options like others", () => {
  for (const name of ["constructor", "__proto__", "toString"]) {
    assert.match(refusal(() => fromFile(`${name}:\n  a: 1\n`)), /unknown section/);
    assert.match(refusal(() => fromFile(`server:\n  ${name}: 1\n`)), /unknown option/);
    assert.match(refusal(() => fromFlags(`${name}=1`)), /unknown section/);
  }
});

Deno.test("options of the design documents that are still to come are refused as such", () => {
  assert.match(
    refusal(() => fromFile("gossip:\n  enabled: true\n")),
    /^p\.yaml:1:1: gossip is not supported yet: /,
  );
  assert.match(
    refusal(() => fromFile("metrics:\n  port: 9091\n")),
    /^p\.yaml:2:3: metrics\.port is not supported yet: /,
  );
  assert.match(
    refusal(() => fromEnvironment({ PAIRDB_GOSSIP_ENABLED: "true" })),
    /^PAIRDB_GOSSIP_ENABLED: gossip is not supported yet: /,
  );
});

Deno.test("all problems of a configuration are named at once", () => {
  const message = refusal(() => fromFile("server:\n  port: 70000\n  prot: 1\n"));
  assert(message.includes("p.yaml:2:3: server.port: 70000 is not"), message);
  assert(message.includes("p.yaml:3:3: unknown option server.prot"), message);
});

Deno.test("a file that is no YAML map of sections is refused with its place", () => {
  assert.match(refusal(() => fromFile("- a\n")), /^p\.yaml:1:1: /);
  assert.match(refusal(() => fromFile("server: 5\n")), /^p\.yaml:1:9: server is a section/);
  assert.match(
    refusal(() => fromFile("server:\n  port: 1\n  port: 2\n")),
    /^p\.yaml:3:3: .*unique/,
  );
  assert.match(refusal(() => fromFile("server: [")), /^p\.yaml:1:/);
  assert.match(refusal(() => fromFile("a: 1\n---\nb: 2\n")), /^p\.yaml:/);
  assert.match(refusal(() => fromFile("x".repeat(1024 * 1024 + 1))), /longer than 1 MiB/);
});

Deno.test("an empty file, an empty section and an alias are fine", () => {
  assert.deepEqual(fromFile(""), resolveConfig([]));
  assert.deepEqual(fromFile("# nothing\n"), resolveConfig([]));
  assert.deepEqual(fromFile("server:\n"), resolveConfig([]));
  const config = fromFile("server: {datacenter: &name east, rack: *name}\n");
  assert.equal(config.server.rack, "east");
});

Deno.test("a number where text is wanted is refused with the way out", () => {
  assert.match(refusal(() => fromFile("server:\n  node_id: 7\n")), /put it in quotes/);
  assert.equal(fromFile('server:\n  node_id: "7"\n').server.node_id, "7");
  assert.equal(fromFlags("server.node_id=7").server.node_id, "7");
});

Deno.test("the stronger source wins, option by option", () => {
  const file = fileSettings("server:\n  port: 1\n  host: 127.0.0.1\n  rack: file\n", "p.yaml");
  const environment = environmentSettings({
    PAIRDB_SERVER_PORT: "2",
    PAIRDB_SERVER_HOST: "localhost",
  });
  const flags = [flagSetting("server.port=3"), flagSetting("server.port=4")];
  const { server } = resolveConfig([file, environment, flags]);
  assert.equal(server.port, 4);
  assert.equal(server.host, "localhost");
  assert.equal(server.rack, "file");
  assert.equal(server.datacenter, "dc1");
});

Deno.test("commit_log.sync_writes stands for sync_mode, at its source's strength [E6]", () => {
  assert.equal(fromFile("commit_log:\n  sync_writes: true\n").commit_log.sync_mode, "always");
  assert.equal(fromFile("commit_log:\n  sync_writes: false\n").commit_log.sync_mode, "batch");
  const both = resolveConfig([
    fileSettings("commit_log:\n  sync_writes: false\n", "p.yaml"),
    environmentSettings({ PAIRDB_COMMIT_LOG_SYNC_MODE: "none" }),
    [],
  ]);
  assert.equal(both.commit_log.sync_mode, "none");
  for (
    const text of [
      "commit_log: {sync_writes: false, sync_mode: always}",
      "commit_log: {sync_mode: always, sync_writes: false}",
    ]
  ) assert.match(refusal(() => fromFile(text)), /contradicts/);
  assert.match(refusal(() => fromFile("commit_log: {sync_writes: 1}")), /is not true or false/);
});

Deno.test("variables that are none of ours, or that Kubernetes sets, are left alone", () => {
  const config = fromEnvironment({
    PAIRDB_SERVER: "http://elsewhere",
    PAIRDB_CONFIG: "x.yaml",
    PAIRDB_PACKAGING: "self-extracting",
    PAIRDB_SERVER_PORT: "tcp://10.0.0.1:50052",
    PAIRDB_SERVER_SERVICE_HOST: "10.0.0.1",
    PAIRDB_SERVER_PORT_50052_TCP_PROTO: "tcp",
    PAIRDB_HOME: "/srv",
    PAIRDB_SERVER_HOST: "",
  });
  assert.deepEqual(config, resolveConfig([]));
  assert.match(refusal(() => fromEnvironment({ PAIRDB_COMMITLOG_SYNC: "x" })), /unknown option/);
  assert.match(
    refusal(() => fromEnvironment({ PAIRDB_SERVER_PORT: "x" })),
    /^PAIRDB_SERVER_PORT: /,
  );
});

Deno.test("--set without = is refused", () => {
  assert.match(refusal(() => flagSetting("server.port")), /option=value/);
  assert.match(refusal(() => flagSetting("=1")), /option=value/);
  assert.equal(fromFlags("storage.data_dir=a=b").storage.data_dir, "a=b");
});

Deno.test("what config print writes reads back to the same configuration", () => {
  assert.deepEqual(fromFile(printConfig(resolveConfig([]))), resolveConfig([]));
  const text = fc.stringMatching(/^[^\0]{1,40}$/u);
  fc.assert(fc.property(
    fc.record({
      data_dir: text,
      port: fc.nat({ max: 65535 }),
      timeout: fc.integer({ min: 1, max: 3_600_000 }),
      size: fc.integer({ min: 65536, max: 2 ** 30 }),
      fp: fc.double({ min: 0.0001, max: 0.5, noNaN: true }),
      origins: fc.array(fc.constantFrom("*", "https://a.org"), { maxLength: 3 }),
    }),
    ({ data_dir, port, timeout, size, fp, origins }) => {
      const config: Config = resolveConfig([[
        { path: "storage.data_dir", value: data_dir, where: "test" },
        { path: "server.port", value: port, where: "test" },
        { path: "server.read_timeout", value: timeout, where: "test" },
        { path: "mem_table.max_size", value: size, where: "test" },
        { path: "sstable.bloom_filter_fp", value: fp, where: "test" },
        { path: "server.cors_origins", value: origins, where: "test" },
      ]]);
      assert.deepEqual(fromFile(printConfig(config)), config);
    },
  ));
});

Deno.test("the documentation page has every option", () => {
  const page = configurationPage();
  for (const option of OPTIONS.values()) assert(page.includes(`### ${option.path}\n`), option.path);
});
