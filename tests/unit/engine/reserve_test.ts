/**
 * The reserve: ballast that a disk filled by others gives back, and starts on a disk that is full.
 * @module
 */
import assert from "node:assert/strict";
import { type Engine, type EngineOptions, KIND_PUT } from "../../../src/engine/mod.ts";
import { fromUtf8, utf8 } from "../../../src/model/mod.ts";
import type { AppendFile, SimDisk, SimRuntime } from "../../../src/runtime/mod.ts";
import { engineWorld, openTestEngine, SMALL } from "../../support/engine.ts";

const KIB = 1024;
const RESERVE = "/data/RESERVE";
const OPTIONS: EngineOptions = { ...SMALL, reserve: 4 * KIB };

async function open(world: SimRuntime, options = OPTIONS): Promise<Engine> {
  const engine = await world.clock.runUntil(openTestEngine(world, options));
  // The reserve is made in the background.
  await world.clock.advance(1000);
  return engine;
}

function put(engine: Engine, name: string, key: string, size = 20): Promise<void> {
  const tree = engine.tree(name)!;
  return engine.write([{ tree, kind: KIND_PUT, key: utf8(key), value: utf8("v".repeat(size)) }]);
}

/** A file of somebody else that takes all that is free, and what is freed meanwhile when asked again. */
class Filler {
  readonly #disk: SimDisk;
  readonly #file: AppendFile;

  constructor(disk: SimDisk) {
    this.#disk = disk;
    this.#file = disk.create("/filler");
  }

  fill(): void {
    this.#file.append(new Uint8Array(this.#disk.space("/").freeBytes));
  }

  remove(): void {
    this.#file.close();
    this.#disk.remove("/filler");
  }
}

Deno.test("the reserve is made where there is room, and is no more than a 64th of the disk", async () => {
  for (
    const [capacity, used, expected] of [
      [undefined, 0, 4 * KIB],
      [1024 * KIB, 0, 4 * KIB],
      [128 * KIB, 0, 2 * KIB],
      [1024 * KIB, 1012 * KIB, undefined],
    ] as const
  ) {
    const world = engineWorld({ capacityBytes: capacity });
    world.disk.create("/filler").append(new Uint8Array(used));
    const engine = await open(world);
    assert.equal(world.disk.stat(RESERVE)?.size, expected, `${used} of ${capacity}`);
    await world.clock.runUntil(engine.close());
    assert.equal(world.clock.pendingCount, 0);
    // It stays from start to start, and one that was not finished is finished.
    if (expected !== undefined) {
      const creates = world.disk.count("create");
      world.disk.setBytes(RESERVE, new Uint8Array(100));
      const again = await open(world);
      assert.equal(world.disk.stat(RESERVE)?.size, expected);
      assert.ok(world.disk.count("create") > creates);
      await world.clock.runUntil(again.close());
    }
  }
  const world = engineWorld();
  const engine = await open(world, SMALL);
  assert.equal(world.disk.stat(RESERVE), undefined, "none is asked for");
  await world.clock.runUntil(engine.close());
});

Deno.test("on a disk that others have filled, a tree is dropped in the room of the reserve, which comes back [X17]", async () => {
  const world = engineWorld({ capacityBytes: 512 * KIB });
  const engine = await open(world);
  for (const name of ["old", "new"]) await world.clock.runUntil(engine.createTree(name));
  for (let n = 0; n < 40; n++) await world.clock.runUntil(put(engine, "old", `k${n}`, 100));
  const filler = new Filler(world.disk);
  filler.fill();
  assert.equal(world.disk.space("/").freeBytes, 0);
  await world.clock.runUntil(engine.dropTree(engine.tree("old")!));
  assert.equal(world.disk.stat(RESERVE), undefined);
  // The log's bytes find room there too.
  await world.clock.runUntil(put(engine, "new", "a"));
  assert.equal(engine.full, undefined);
  filler.fill();
  await assert.rejects(world.clock.runUntil(put(engine, "new", "b")), { error: "DiskFull" });
  assert.match(String(engine.full), /ENOSPC/);
  filler.remove();
  await world.clock.advance(31_000);
  assert.equal(world.disk.stat(RESERVE)?.size, 4 * KIB);
  assert.equal(engine.full, undefined);
  await world.clock.runUntil(put(engine, "new", "c"));
  for (const key of ["a", "b", "c"]) assert.ok(engine.get(engine.tree("new")!, utf8(key)), key);
  await world.clock.runUntil(engine.close());
});

Deno.test("a node that was killed on a full disk starts in the room of the reserve, reads all, and goes on when there is more [D4]", async () => {
  const first = engineWorld({ capacityBytes: 512 * KIB });
  const killed = await open(first);
  await first.clock.runUntil(killed.createTree("t"));
  for (let n = 0; n < 200; n++) {
    await first.clock.runUntil(put(killed, "t", `k${n}`, 100));
  }
  new Filler(first.disk).fill();
  const world = engineWorld({ image: first.disk.snapshotImage(), capacityBytes: 512 * KIB });
  const engine = await open(world);
  assert.equal(world.disk.stat(RESERVE), undefined);
  for (let n = 0; n < 200; n++) {
    const value = engine.get(engine.tree("t")!, utf8(`k${n}`));
    assert.equal(value && fromUtf8(value), "v".repeat(100), `k${n}`);
  }
  world.disk.remove("/filler");
  await world.clock.advance(31_000);
  await world.clock.runUntil(put(engine, "t", "more"));
  assert.equal(world.disk.stat(RESERVE)?.size, 4 * KIB);
  await world.clock.runUntil(engine.close());
});

Deno.test("a log that should be flushed at the start stays in memory while the disk is full [D4]", async () => {
  const large: EngineOptions = { ...OPTIONS, memtableSize: 64 * KIB };
  const first = engineWorld({ capacityBytes: 512 * KIB });
  const killed = await open(first, large);
  await first.clock.runUntil(killed.createTree("t"));
  for (let n = 0; n < 200; n++) await first.clock.runUntil(put(killed, "t", `k${n}`, 200));
  assert.equal(killed.stats().tables, 0);
  new Filler(first.disk).fill();
  const image = first.disk.snapshotImage();
  const world = engineWorld({ image, capacityBytes: 512 * KIB });
  const engine = await open(world);
  assert.ok(engine.stats().memtableBytes > 40 * KIB);
  for (let n = 0; n < 200; n++) assert.ok(engine.get(engine.tree("t")!, utf8(`k${n}`)), `k${n}`);
  world.disk.remove("/filler");
  await world.clock.advance(40_000);
  assert.ok(engine.stats().tables > 0, "it is flushed when there is room");
  await world.clock.runUntil(put(engine, "t", "more"));
  await world.clock.runUntil(engine.close());
  // Memory has its bounds: beyond them the start fails, and says why.
  const small = engineWorld({ image, capacityBytes: 512 * KIB });
  const starting = openTestEngine(small, { ...OPTIONS, memtableBudget: 8 * KIB });
  await assert.rejects(small.clock.runUntil(starting), { error: "DiskFull" });
});

Deno.test("a start on a full disk without a reserve says what to do, and loses nothing", async () => {
  const first = engineWorld({ capacityBytes: 512 * KIB });
  const killed = await open(first, SMALL);
  await first.clock.runUntil(killed.createTree("t"));
  for (let n = 0; n < 100; n++) await first.clock.runUntil(put(killed, "t", `k${n}`));
  new Filler(first.disk).fill();
  const world = engineWorld({ image: first.disk.snapshotImage(), capacityBytes: 512 * KIB });
  for (let attempt = 0; attempt < 3; attempt++) {
    await assert.rejects(world.clock.runUntil(openTestEngine(world, SMALL)), {
      error: "DiskFull",
      message: /^Cannot open \/data: its disk is full\. Make .* room/,
    });
  }
  // What jobs left behind that a full disk ended is room enough, and nobody's.
  const [dir] = world.disk.list("/data/tenants");
  const named = world.disk.list(`/data/tenants/${dir}`);
  world.disk.capacityBytes = undefined;
  world.disk.setBytes(`/data/tenants/${dir}/000999.sst`, new Uint8Array(2 * KIB));
  world.disk.capacityBytes = 512 * KIB + 2 * KIB;
  assert.equal(world.disk.space("/").freeBytes, 0);
  const inOrphans = await open(world, SMALL);
  assert.deepEqual(world.disk.list(`/data/tenants/${dir}`), named);
  await world.clock.runUntil(inOrphans.close());
  world.disk.remove("/filler");
  const engine = await open(world, SMALL);
  assert.deepEqual(engine.recovery.losses, []);
  for (let n = 0; n < 100; n++) assert.ok(engine.get(engine.tree("t")!, utf8(`k${n}`)), `k${n}`);
  await world.clock.runUntil(engine.close());
});
