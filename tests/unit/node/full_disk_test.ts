/**
 * A node whose disk runs full: writers are told in time, nothing is lost, and it can be emptied.
 * @module
 */
import assert from "node:assert/strict";
import { DEFAULT_ENGINE_OPTIONS, type EngineOptions, openEngine } from "../../../src/engine/mod.ts";
import { PairError, reconcileOperator } from "../../../src/model/mod.ts";
import type { StorageNode } from "../../../src/node/mod.ts";
import type { SimRuntime } from "../../../src/runtime/mod.ts";
import { engineWorld } from "../../support/engine.ts";
import { bytes, nodeOn } from "../../support/node.ts";

const CAPACITY = 8 << 20;
const OPTIONS = {
  ...DEFAULT_ENGINE_OPTIONS,
  log: { ...DEFAULT_ENGINE_OPTIONS.log, segmentSize: 128 << 10 },
  memtableSize: 64 << 10,
  table: { ...DEFAULT_ENGINE_OPTIONS.table, compression: ["none"] as const },
  compaction: {
    ...DEFAULT_ENGINE_OPTIONS.compaction,
    baseLevelSize: 512 << 10,
    targetTableSize: 128 << 10,
  },
};

async function open(world: SimRuntime, l0Trigger = 4): Promise<StorageNode> {
  const compaction = { ...OPTIONS.compaction, l0Trigger, l0Slowdown: 100, l0Stop: 200 };
  return await openWith(world, { ...OPTIONS, compaction });
}

async function openWith(world: SimRuntime, options: EngineOptions): Promise<StorageNode> {
  const engine = await openEngine(world, "/data", options, [reconcileOperator]);
  return nodeOn(engine, world);
}

/** Puts until the node refuses; returns how many it took, and the code of the refusal. */
async function fill(world: SimRuntime, node: StorageNode, tenant: string) {
  for (let n = 0; n < 100_000; n++) {
    try {
      const value = bytes(`${n}`.padEnd(1000));
      await world.clock.runUntil(node.put(tenant, { key: `k${n}`, value }));
    } catch (error) {
      assert.ok(error instanceof PairError, String(error));
      return { count: n, code: error.code };
    }
    // Time passes for measurements, flushes and compactions.
    if (n % 20 === 0) await world.clock.advance(200);
  }
  return { count: 100_000, code: 0 };
}

function check(node: StorageNode, tenant: string, count: number): void {
  for (let n = 0; n < count; n += 7) {
    const value = node.get(tenant, `k${n}`)?.winner.value;
    assert.equal(value && new TextDecoder().decode(value).trimEnd(), `${n}`, `${tenant} k${n}`);
  }
}

Deno.test("a disk that runs full stops puts in time, takes deletes, and is back once there is room [D2, D4, X17]", async () => {
  const world = engineWorld({ capacityBytes: CAPACITY });
  let node = await open(world);
  // A first tenant, to be dropped later.
  for (let n = 0; n < 1500; n++) {
    const value = bytes(`${n}`.padEnd(1000));
    await world.clock.runUntil(node.put("old", { key: `k${n}`, value }));
    if (n % 20 === 0) await world.clock.advance(200);
  }
  const first = await fill(world, node, "shop");
  assert.equal(first.code, 2002);
  assert.ok(first.count > 2000, `${first.count} puts fit`);
  assert.equal(node.health().status, "degraded", "not unhealthy: the log is well");
  check(node, "shop", first.count);
  check(node, "old", 1500);
  const { counters } = node.status();
  assert.ok(counters.diskRefused > 0 && counters.diskState > 0);

  // Deletes go on, are durable, and so is all else.
  for (let n = 0; n < 50; n++) {
    await world.clock.runUntil(node.delete("shop", { key: `k${n * 7}` }));
  }
  assert.equal(node.get("shop", "k7"), undefined);
  await world.clock.runUntil(node.close());
  node = await open(world);
  assert.equal(node.get("shop", "k7"), undefined);
  assert.ok(node.get("shop", "k8") !== undefined);

  // Dropping a tenant makes room: the node takes writes again, without a restart.
  await world.clock.advance(2000);
  const again = await fill(world, node, "again");
  assert.equal(again.code, 2002);
  await world.clock.runUntil(node.dropTenant("old"));
  await world.clock.advance(60_000);
  await world.clock.runUntil(node.put("shop", { key: "more", value: bytes("v") }));
  check(node, "again", again.count);
  assert.equal(node.health().status, "healthy");
  await world.clock.runUntil(node.close());
});

Deno.test("flushes and compactions that meet a full disk are tried again, and lose nothing", async () => {
  const world = engineWorld();
  const node = await open(world);
  let failing = true;
  let failed = 0;
  world.disk.hook = ({ op, path }) => {
    if (!failing || op !== "append" || !path.endsWith(".sst")) return undefined;
    failed++;
    return "ENOSPC";
  };
  for (let n = 0; n < 110; n++) {
    await world.clock.runUntil(
      node.put("shop", { key: `k${n}`, value: bytes(`${n}`.padEnd(1000)) }),
    );
  }
  await world.clock.advance(10_000);
  assert.ok(failed >= 5, `${failed} attempts`);
  assert.equal(node.status().tables, 0);
  check(node, "shop", 110);
  failing = false;
  await world.clock.advance(5000);
  assert.ok(node.status().tables > 0);
  const tables = world.disk.list("/data/tenants")
    .flatMap((dir) => world.disk.list(`/data/tenants/${dir}`))
    .filter((name) => name.endsWith(".sst"));
  assert.equal(tables.length, node.status().tables, "no orphans");
  check(node, "shop", 110);
  assert.equal(node.health().status, "healthy");
  await world.clock.runUntil(node.close());
});

Deno.test("a compaction that would not fit is not begun, and is when there is room", async () => {
  const world = engineWorld();
  const node = await open(world, 100);
  for (let round = 0; round < 3; round++) {
    for (let n = 0; n < 200; n++) {
      const value = bytes(`${n}`.padEnd(1000));
      await world.clock.runUntil(node.put("shop", { key: `k${n}`, value }));
    }
    await world.clock.runUntil(node.flush("shop"));
  }
  const { diskFreeBytes, diskTotalBytes } = node.status();
  world.disk.capacityBytes = diskTotalBytes - diskFreeBytes + (1 << 20) + 1000;
  await assert.rejects(world.clock.runUntil(node.compact("shop")), { code: 2002 });
  check(node, "shop", 200);
  world.disk.capacityBytes = undefined;
  await world.clock.runUntil(node.compact("shop"));
  check(node, "shop", 200);
  await world.clock.runUntil(node.close());
});

const MIB = 1 << 20;
/** As somebody would have it on a small disk. */
const SMALL_DISK = {
  ...DEFAULT_ENGINE_OPTIONS,
  log: { ...DEFAULT_ENGINE_OPTIONS.log, segmentSize: 2 * MIB },
  memtableSize: MIB,
  table: { ...DEFAULT_ENGINE_OPTIONS.table, compression: ["none"] as const },
  compaction: { ...DEFAULT_ENGINE_OPTIONS.compaction, targetTableSize: 4 * MIB },
};

/** A disk of 64 MiB filled with one tenant's values until puts are refused. */
async function filled(scattered: boolean) {
  const world = engineWorld({ capacityBytes: 64 * MIB });
  const node = await openWith(world, SMALL_DISK);
  const keys: string[] = [];
  for (let code = 0; code === 0;) {
    const n = keys.length;
    const key = `k${String(scattered ? (n * 7919) % 100_003 : n).padStart(6, "0")}`;
    try {
      await world.clock.runUntil(node.put("shop", { key, value: new Uint8Array(24 << 10) }));
      keys.push(key);
    } catch (error) {
      assert.ok(error instanceof PairError && error.error === "DiskFull", String(error));
      code = error.code;
    }
    await world.clock.advance(50);
  }
  await world.clock.advance(70_000);
  return { world, node, keys };
}

function usage(node: StorageNode): number {
  const { diskFreeBytes, diskTotalBytes } = node.status();
  return 1 - diskFreeBytes / diskTotalBytes;
}

for (const scattered of [false, true]) {
  const order = scattered ? "keys at random" : "keys in order";
  Deno.test(`a full disk is emptied by deletes and a compaction on command, ${order} [X17]`, async () => {
    const { world, node, keys } = await filled(scattered);
    for (const key of keys) await world.clock.runUntil(node.delete("shop", { key }));
    await world.clock.runUntil(node.compact("shop", { purge: true }));
    await world.clock.advance(1000);
    assert.ok(usage(node) < 0.15, `${usage(node)}`);
    await world.clock.runUntil(node.put("shop", { key: "more", value: bytes("v") }));
    await world.clock.runUntil(node.close());
  });

  Deno.test(`deletes of a part of what fills a disk make room by themselves, and all of it on command, ${order}`, async () => {
    const { world, node, keys } = await filled(scattered);
    for (const [i, key] of keys.entries()) {
      if (i % 3 > 0) await world.clock.runUntil(node.delete("shop", { key }));
    }
    await world.clock.runUntil(node.flush("shop"));
    await world.clock.advance(70_000);
    assert.ok(usage(node) < 0.88, `${usage(node)}`);
    await world.clock.runUntil(node.put("shop", { key: "more", value: new Uint8Array(100_000) }));
    await world.clock.runUntil(node.compact("shop"));
    await world.clock.advance(1000);
    assert.ok(usage(node) < 0.5, `${usage(node)}`);
    for (const [i, key] of keys.entries()) {
      assert.equal(node.get("shop", key) !== undefined, i % 3 === 0, key);
    }
    await world.clock.runUntil(node.close());
  });
}

Deno.test("a disk that fills up is relieved at once: the archive goes, the log is flushed, deletes are compacted away [D5]", async () => {
  const world = engineWorld({ capacityBytes: CAPACITY });
  const node = await openWith(world, {
    ...OPTIONS,
    log: { ...OPTIONS.log, archive: true, archiveMaxSegments: 1000 },
    // By themselves neither flushes nor compactions come.
    memtableSize: 4 << 20,
    compaction: {
      ...OPTIONS.compaction,
      baseLevelSize: 64 << 20,
      l0Trigger: 90,
      l0Slowdown: 100,
      l0Stop: 200,
    },
  });
  const run = <T>(promise: Promise<T>) => world.clock.runUntil(promise);
  const value = (n: number) => bytes(`${n}`.padEnd(1000));
  for (let n = 0; n < 1500; n++) await run(node.put("t", { key: `k${n}`, value: value(n) }));
  await run(node.flush());
  for (let n = 0; n < 1500; n++) await run(node.delete("t", { key: `k${n}` }));
  await run(node.flush());
  const before = node.status();
  const { counters: { compactions }, walArchivedBytes } = before;
  assert.ok(walArchivedBytes > 1 << 20 && compactions === 0, `${walArchivedBytes} ${compactions}`);

  let relieved: number | undefined;
  for (let n = 0; relieved === undefined; n++) {
    assert.ok(n < 10_000);
    await run(node.put("t", { key: `new ${n}`, value: value(n) }));
    // Far less time than between two looks at what is due.
    if (n % 100 === 0) await world.clock.advance(200);
    if (world.log.named("disk.relief").length > 0) relieved = n;
  }
  const [told] = world.log.named("node.disk").filter(({ fields }) => fields.state === "throttle");
  assert.equal(told.level, "warn");
  const usedAt = Number(told.fields.usage);
  assert.ok(usedAt >= 0.9 && usedAt < 0.92, `${usedAt}`);
  await world.clock.advance(2000);
  const after = node.status();
  assert.deepEqual([after.walArchivedSegments, after.walArchivedBytes], [0, 0]);
  assert.ok(after.counters.flushes > before.counters.flushes && after.walBytes < 1 << 20);
  assert.ok(after.counters.compactions > 0, "what was deleted is off the disk");
  const used = 1 - after.diskFreeBytes / after.diskTotalBytes;
  assert.ok(used < 0.65, `${used} in use`);
  assert.equal(after.health.status, "healthy");
  for (let n = 0; n <= relieved; n += 7) {
    assert.ok(node.get("t", `new ${n}`) !== undefined, `new ${n}`);
  }
  // There is room again: what is flushed from now on is archived as before.
  for (let n = 0; n < 200; n++) await run(node.put("t", { key: `more ${n}`, value: value(n) }));
  await run(node.flush());
  const { walArchivedSegments } = node.status();
  assert.ok(walArchivedSegments > 0, "the archive goes on");

  // Where nothing helps, large writes are refused as 2003, then puts as 2002.
  const codes = new Set<number>();
  for (let n = 0; n < 100 && !codes.has(2002); n++) {
    const large = async () => {
      await node.put("more", { key: `k${n}`, value: new Uint8Array(40_000).fill(n + 1) });
    };
    const small = async () => {
      for (let i = 0; i < 40; i++) await node.put("more", { key: `s${n}/${i}`, value: value(n) });
    };
    for (const write of [large, small]) {
      await run(write().catch((error: PairError) => void codes.add(error.code)));
    }
    await world.clock.advance(1000);
  }
  assert.deepEqual([...codes].sort(), [2002, 2003]);
  await run(node.close());
});
