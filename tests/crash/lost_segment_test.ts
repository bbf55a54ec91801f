/**
 * Log segments that vanish or are emptied after a crash: recovery misses them, says which, and goes on
 * with what is left, or refuses, as it is told to. Never without a word.
 * @module
 */
import assert from "node:assert/strict";
import { checkDirectory, type Engine, KIND_PUT } from "../../src/engine/mod.ts";
import { fromUtf8, PairError, utf8 } from "../../src/model/mod.ts";
import { SimDisk, type SimDiskImage } from "../../src/runtime/mod.ts";
import { engineWorld, openTestEngine, SMALL } from "../support/engine.ts";

const OPTIONS = { ...SMALL, memtableSize: 1 << 20, log: { ...SMALL.log, segmentSize: 300 } };
const STRICT = { ...OPTIONS, recovery: "strict" as const };
const WRITES = 13;

async function write(engine: Engine, n: number): Promise<void> {
  const tree = engine.tree("t")!;
  await engine.write([{ tree, kind: KIND_PUT, key: utf8(`k${n}`), value: utf8("v".repeat(60)) }]);
}

function keys(engine: Engine): number[] {
  const found: number[] = [];
  const cursor = engine.scan(engine.tree("t")!, {});
  while (cursor.next()) found.push(Number(fromUtf8(cursor.key).slice(1)));
  cursor.close();
  return found.sort((a, b) => a - b);
}

/** A store of several segments that a power loss ended, with nothing in tables. */
async function crashed(): Promise<{ image: SimDiskImage; segments: string[] }> {
  const world = engineWorld();
  const engine = await openTestEngine(world, OPTIONS);
  await engine.createTree("t");
  for (let n = 0; n < WRITES; n++) await write(engine, n);
  const image = world.disk.snapshotImage();
  await engine.close();
  const disk = SimDisk.fromImage(image);
  const segments = disk.list("/data/wal").map((name) => `/data/wal/${name}`);
  assert.ok(segments.length > 3);
  return { image, segments };
}

/** Damages a copy, and reopens it in both modes; returns what salvage found. */
async function reopen(image: SimDiskImage, damage: (disk: SimDisk) => void, file: string) {
  const world = engineWorld({ image });
  world.disk.crash("drop");
  damage(world.disk);
  const reports = await checkDirectory(world.disk, "/data");
  assert.ok(reports.some(({ problem }) => problem?.includes(file)), `check tells of ${file}`);
  await assert.rejects(
    openTestEngine(world, STRICT),
    (error) =>
      error instanceof PairError && error.error === "CorruptedData" && error.message.includes(file),
  );
  let engine = await openTestEngine(world, OPTIONS);
  const { losses, records } = engine.recovery;
  const left = keys(engine);
  assert.equal(records, left.length, "what came back is counted");
  const [told] = world.log.named("recovered").slice(-1);
  assert.deepEqual([told.fields.records, told.fields.losses], [records, losses.length]);
  await write(engine, 99);
  await engine.close();
  engine = await openTestEngine(world, STRICT);
  assert.deepEqual(engine.recovery.losses, [], "a loss is told once");
  assert.deepEqual(keys(engine), [...left, 99]);
  await engine.close();
  return { losses, left };
}

Deno.test("the newest segment, gone or cut short of its header, is a loss that is named", async () => {
  const { image, segments } = await crashed();
  const newest = segments.at(-1)!;
  const bytes = SimDisk.fromImage(image).readWhole(newest);
  for (const length of [undefined, 0, 1, 20, 63]) {
    const { losses, left } = await reopen(image, (disk) => {
      if (length === undefined) disk.remove(newest);
      else disk.setBytes(newest, bytes.slice(0, length));
    }, newest);
    assert.deepEqual(losses, [{ file: newest, offset: 0, bytes: 0 }], `cut at ${length}`);
    assert.ok(left.length > 0 && left.length < WRITES, "what stood before it is there");
    assert.deepEqual(left, left.map((_, i) => i));
  }
});

Deno.test("a segment in the middle that is gone is a loss that is named, with its length [E11]", async () => {
  const { image, segments } = await crashed();
  for (const file of segments.slice(1, -1)) {
    const size = SimDisk.fromImage(image).stat(file)!.size;
    const { losses, left } = await reopen(image, (disk) => disk.remove(file), file);
    assert.deepEqual(losses, [{ file, offset: 0, bytes: size }]);
    assert.ok(left.includes(0) && left.includes(WRITES - 1) && left.length < WRITES);
  }
});

Deno.test("a log without its beginning is refused in either mode, and nothing is removed", async () => {
  const { image, segments } = await crashed();
  const world = engineWorld({ image });
  world.disk.remove(segments[0]);
  const before = world.disk.list("/data/wal");
  for (const options of [OPTIONS, STRICT]) {
    await assert.rejects(
      openTestEngine(world, options),
      (error) => error instanceof PairError && error.message.includes(segments[0]),
    );
  }
  assert.deepEqual(world.disk.list("/data/wal"), before);
});

Deno.test("a crash while a vanished segment is recovered from changes nothing about it", async () => {
  const { image, segments } = await crashed();
  const newest = segments.at(-1)!;
  for (let stop = 0;; stop++) {
    const world = engineWorld({ image });
    world.disk.crash("drop");
    world.disk.remove(newest);
    world.disk.syncDir("/data/wal");
    world.disk.stopAtMutation(world.disk.mutationCount + stop);
    try {
      const engine = await openTestEngine(world, OPTIONS);
      await engine.close();
    } catch (error) {
      if (!world.disk.stopped) throw error;
    }
    const losses = world.log.named("wal damage: records lost");
    for (const { level, fields: { file, offset, bytes } } of losses) {
      assert.deepEqual([level, file, typeof offset, typeof bytes], [
        "error",
        newest,
        "number",
        "number",
      ]);
    }
    const told = losses.length > 0;
    if (!world.disk.stopped) {
      assert.ok(told && stop > 10, `${stop} stops`);
      break;
    }
    world.disk.crash({ seed: stop });
    const engine = await openTestEngine(world, OPTIONS);
    const again = engine.recovery.losses;
    assert.ok(told || again.length > 0, `stop ${stop}: told at least once`);
    for (const { file } of again) assert.equal(file, newest, `stop ${stop}`);
    assert.ok(keys(engine).length < WRITES);
    await engine.close();
  }
});
