import assert from "node:assert/strict";
import { checkDirectory, type Engine, KIND_PUT } from "../../../src/engine/mod.ts";
import { Files } from "../../../src/engine/files.ts";
import type { ColdReads } from "../../../src/engine/cold_reads.ts";
import type { TableReader } from "../../../src/engine/sstable/mod.ts";
import { LiveTable } from "../../../src/engine/version.ts";
import { decodeWarm, encodeWarm, type WarmTable, warmUp } from "../../../src/engine/warm.ts";
import { utf8 } from "../../../src/model/mod.ts";
import { SimRandom, type SimRuntime } from "../../../src/runtime/mod.ts";
import { engineWorld, openTestEngine, SMALL } from "../../support/engine.ts";

const FILES = new Files("/data");
const OPTIONS = { ...SMALL, blockCacheSize: 1 << 20, rowCacheSize: 0 };

function open(world: SimRuntime, options = OPTIONS): Promise<Engine> {
  return world.clock.runUntil(openTestEngine(world, options));
}

/** A store with a few tables; of each tenth key the block was read before it was closed. */
async function closedStore(delays = false): Promise<{ world: SimRuntime; bytes: number }> {
  const world = engineWorld({ delays });
  const engine = await open(world);
  const tree = await world.clock.runUntil(engine.createTree("t"));
  for (let i = 0; i < 500; i++) {
    const key = utf8(`key ${String(i).padStart(4, "0")}`);
    await world.clock.runUntil(
      engine.write([{ tree, kind: KIND_PUT, key, value: new Uint8Array(40) }]),
    );
  }
  await world.clock.runUntil(engine.compact());
  await world.clock.runUntil(engine.close());
  assert.equal(world.disk.stat(FILES.warm), undefined, "nothing was read");
  const again = await open(world);
  const reads = readSome(again);
  assert.ok(reads > 10, "the blocks were not in the cache");
  const { blockCacheBytes } = again.stats();
  await world.clock.runUntil(again.close());
  return { world, bytes: blockCacheBytes };
}

/** Reads each tenth key; returns how many blocks were not in the cache. */
function readSome(engine: Engine): number {
  const tree = engine.tree("t")!;
  const before = engine.stats().blockCacheMisses;
  for (let i = 0; i < 500; i += 10) {
    assert.ok(engine.get(tree, utf8(`key ${String(i).padStart(4, "0")}`)) !== undefined);
  }
  return engine.stats().blockCacheMisses - before;
}

function warnings(world: SimRuntime): string[] {
  return world.log.events.filter(({ level }) => level !== "info").map(({ event }) => event);
}

Deno.test("a restart brings back the blocks that were in the cache [K5]", async () => {
  for (const delays of [false, true]) {
    const { world, bytes } = await closedStore(delays);
    const engine = await open(world);
    await world.clock.advance(1000);
    assert.equal(engine.stats().blockCacheBytes, bytes);
    assert.equal(readSome(engine), 0);
    assert.deepEqual(warnings(world), []);
    await world.clock.runUntil(engine.close());
  }
});

Deno.test("warming neither delays an open nor holds up a close", async () => {
  const { world } = await closedStore(true);
  const engine = await open(world);
  assert.equal(engine.stats().blockCacheBytes, 0, "it is open before a block is here");
  const reads: string[] = [];
  world.disk.hook = ({ op, path }) => {
    if (op.startsWith("readAt") && path.endsWith(".sst")) reads.push(op);
    return undefined;
  };
  await world.clock.advance(2);
  await world.clock.runUntil(engine.close());
  assert.ok(
    reads.length > 0 && reads.length < 10,
    "some reads, of more than ten, and then the close",
  );
  assert.ok(reads.every((op) => op === "readAtAsync"), "it never blocks the event loop");
  assert.deepEqual(warnings(world), []);
});

Deno.test("a close while the cache is warmed leaves what was noted before", async () => {
  const { world } = await closedStore(true);
  const noted = world.disk.readWhole(FILES.warm);
  let engine = await open(world);
  await world.clock.advance(2);
  assert.ok(engine.stats().blockCacheBytes > 0);
  await world.clock.runUntil(engine.close());
  assert.deepEqual(world.disk.readWhole(FILES.warm), noted);
  engine = await open(world);
  await world.clock.advance(1000);
  await world.clock.runUntil(engine.close());
  assert.deepEqual(world.disk.readWhole(FILES.warm), noted, "as warm again as it was");
});

Deno.test("tables that are compacted away while they are warmed are passed over", async () => {
  const { world } = await closedStore(true);
  const engine = await open(world);
  const tree = engine.tree("t")!;
  for (let i = 0; i < 300; i++) {
    const write = engine.write([{
      tree,
      kind: KIND_PUT,
      key: utf8(`new ${i}`),
      value: new Uint8Array(40),
    }]);
    await world.clock.runUntil(write);
  }
  await world.clock.runUntil(engine.compact());
  await world.clock.advance(1000);
  readSome(engine);
  await world.clock.runUntil(engine.close());
  assert.deepEqual(warnings(world), []);
  // What the file names may be gone altogether.
  world.disk.setBytes(FILES.warm, encodeWarm([{ number: 999_999, blocks: [1, 2] }]));
  const again = await open(world);
  await world.clock.advance(1000);
  assert.equal(again.stats().blockCacheBytes, 0);
  await world.clock.runUntil(again.close());
  assert.deepEqual(warnings(world), []);
});

Deno.test("a table that is retired while those before it are warmed is passed over, and its file goes once", async () => {
  const unused: number[] = [];
  const read: number[] = [];
  const tableOf = (number: number) => {
    const loadBlock = () => read.push(number);
    const reader = { blocks: 1, loadBlock, close() {} } as unknown as TableReader;
    const meta = { number } as LiveTable["meta"];
    const table = new LiveTable(meta, () => reader, (each) => {
      each.close();
      unused.push(each.meta.number);
    });
    table.acquire();
    return table;
  };
  const tables = new Map([1, 2, 3].map((number) => [number, tableOf(number)]));
  const warm = [1, 2, 3].map((number) => ({ number, blocks: [0] }));
  // No block has to be fetched.
  const cold = { attempt: (_: unknown, body: () => void) => body() } as unknown as ColdReads;
  const count = await warmUp(warm, tables, cold, () => {
    if (read.length === 0) tables.get(2)!.release();
    return true;
  });
  assert.equal(count, 2);
  assert.deepEqual(read, [1, 3]);
  assert.deepEqual(unused, [2]);
});

Deno.test("warming stops before it fills the cache", async () => {
  const { world } = await closedStore();
  const engine = await open(world, { ...OPTIONS, blockCacheSize: 1500 });
  await world.clock.advance(1000);
  const { blockCacheBytes } = engine.stats();
  assert.ok(blockCacheBytes > 0 && blockCacheBytes <= 1500, `${blockCacheBytes}`);
  await world.clock.runUntil(engine.close());
});

Deno.test("a WARM file that is damaged or none of ours is ignored, with one line in the log", async () => {
  const { world } = await closedStore();
  const good = world.disk.readWhole(FILES.warm);
  const flipped = good.slice();
  flipped[flipped.length - 1] ^= 1;
  const newer = good.slice();
  newer[8] = 2;
  const bad = [new Uint8Array(0), utf8("something else"), good.slice(0, -1), flipped, newer];
  for (const bytes of bad) {
    world.disk.setBytes(FILES.warm, bytes);
    const engine = await open(world);
    await world.clock.advance(1000);
    assert.equal(engine.stats().blockCacheBytes, 0);
    assert.deepEqual(warnings(world), ["cache not warmed"]);
    world.log.events.length = 0;
    // With nothing in the cache nothing is written either: the next round has its own file.
    await world.clock.runUntil(engine.close());
    const [report, ...more] = (await checkDirectory(world.disk, "/data"))
      .filter(({ kind, problem }) => kind === "warm" || problem !== undefined);
    assert.match(report.note!, /^the block cache starts cold: Cannot read/);
    assert.deepEqual([report.problem, more], [undefined, []]);
  }
});

Deno.test("a disk that fails when the cache is noted, or warmed, fails nothing else", async () => {
  const { world } = await closedStore();
  world.disk.hook = ({ op, path }) =>
    path.includes("WARM") || (op === "readAtAsync" && path.endsWith(".sst")) ? "EIO" : undefined;
  const engine = await open(world);
  await world.clock.advance(1000);
  readSome(engine);
  await world.clock.runUntil(engine.close());
  assert.deepEqual(warnings(world), ["cache not warmed", "cannot note the cache's blocks"]);
});

Deno.test("with warmCache off nothing is noted and nothing warmed", async () => {
  const { world } = await closedStore();
  world.disk.remove(FILES.warm);
  const engine = await open(world, { ...OPTIONS, warmCache: false });
  readSome(engine);
  await world.clock.runUntil(engine.close());
  assert.equal(world.disk.stat(FILES.warm), undefined);
});

Deno.test("what is noted reads back", () => {
  const random = new SimRandom(1);
  for (let round = 0; round < 200; round++) {
    const tables: WarmTable[] = Array.from({ length: random.below(5) }, () => {
      const blocks = new Set<number>();
      for (let i = random.below(50); i > 0; i--) blocks.add(random.below(1 << random.below(30)));
      return { number: random.below(2 ** 31), blocks: [...blocks].sort((a, b) => a - b) };
    });
    assert.deepEqual(decodeWarm("WARM", encodeWarm(tables)), tables);
  }
  assert.deepEqual(
    [...encodeWarm([{ number: 20, blocks: [3, 4, 7] }]).slice(20)],
    [0x14, 3, 3, 0, 2],
    "the example in docs/formats.md",
  );
});
