/**
 * Encryption at rest of log and manifest: nothing that was written can be read in the files, a wrong key
 * or none is told from damage and changes nothing, and damage is found as it is without encryption.
 * @module
 */
import assert from "node:assert/strict";
import {
  checkDirectory,
  dumpFile,
  type Engine,
  type EngineOptions,
  KIND_PUT,
} from "../../../src/engine/mod.ts";
import { fromUtf8, utf8 } from "../../../src/model/mod.ts";
import { SimDisk, SimRandom, type SimRuntime } from "../../../src/runtime/mod.ts";
import { engineWorld, openTestEngine, SMALL } from "../../support/engine.ts";
import { readDisk } from "../../support/golden.ts";

const KEY = new SimRandom(1).bytes(32);
const OTHER = new SimRandom(2).bytes(32);
// Nothing is flushed: tables have tests of their own.
const CLEAR: EngineOptions = {
  ...SMALL,
  memtableSize: 1 << 20,
  log: { ...SMALL.log, segmentSize: 700 },
};
const SECRET: EngineOptions = { ...CLEAR, encryption: { key: KEY } };
const WRITES = 20;

async function write(engine: Engine, from: number): Promise<void> {
  const tree = engine.tree("t") ?? await engine.createTree("t");
  for (let n = from; n < from + WRITES; n++) {
    const value = utf8(`the plain value ${n}`);
    await engine.write([{ tree, kind: KIND_PUT, key: utf8(`the plain key ${n}`), value }]);
  }
}

function contents(engine: Engine): string[] {
  const found: string[] = [];
  const cursor = engine.scan(engine.tree("t")!, {});
  while (cursor.next()) found.push(fromUtf8(cursor.value));
  cursor.close();
  return found.sort();
}

const values = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => `the plain value ${from + i}`).sort();

/** A store that a power loss ended. */
async function crashed(options: EngineOptions): Promise<SimRuntime> {
  const world = engineWorld();
  const engine = await openTestEngine(world, options);
  await write(engine, 0);
  const after = engineWorld({ image: world.disk.snapshotImage() });
  after.disk.crash("drop");
  await engine.close();
  return after;
}

function holds(disk: SimDisk, text: string): string[] {
  const files = [...readDisk(disk, "/data")].filter(([path]) => path !== "LOCK");
  return files.filter(([, bytes]) => bytes.toHex().includes(utf8(text).toHex())).map(([path]) =>
    path
  );
}

Deno.test("what is written comes back after a crash, and cannot be read in the files", async () => {
  const world = await crashed(SECRET);
  for (const text of ["the plain key", "the plain value", "plain"]) {
    assert.deepEqual(holds(world.disk, text), []);
  }
  assert.notDeepEqual(holds((await crashed(CLEAR)).disk, "the plain value"), []);
  const engine = await openTestEngine(world, SECRET);
  assert.deepEqual(engine.recovery.losses, []);
  assert.deepEqual(contents(engine), values(0, WRITES));
  await engine.close();
  assert.deepEqual(
    (await checkDirectory(world.disk, "/data", { key: KEY })).filter(({ problem }) => problem),
    [],
  );
});

Deno.test("without its key, or with another, a store is refused, and nothing is changed", async () => {
  const world = await crashed(SECRET);
  const before = readDisk(world.disk, "/data");
  const refusals: [EngineOptions, RegExp][] = [
    [CLEAR, /MANIFEST-\d+: it is encrypted, and no key was given/],
    [{ ...CLEAR, encryption: { key: OTHER } }, /encrypted with another key/],
    [{ ...CLEAR, encryption: { key: KEY.slice(1) } }, /31 bytes, not 32/],
  ];
  for (const [options, message] of refusals) {
    await assert.rejects(openTestEngine(world, options), { error: "InvalidArgument", message });
    const key = options.encryption?.key;
    if (key?.length === 31) continue;
    await assert.rejects(checkDirectory(world.disk, "/data", { key }), {
      error: "InvalidArgument",
    });
  }
  before.delete("LOCK");
  const after = readDisk(world.disk, "/data");
  after.delete("LOCK");
  assert.deepEqual(after, before);
  await (await openTestEngine(world, SECRET)).close();
});

Deno.test("a store in clear is encrypted from the day that it gets a key, and keeps what it has", async () => {
  const world = await crashed(CLEAR);
  let engine = await openTestEngine(world, SECRET);
  await write(engine, WRITES);
  assert.deepEqual(contents(engine), values(0, 2 * WRITES));
  await engine.close();
  assert.deepEqual(holds(world.disk, `the plain value ${WRITES + 1}`), []);
  await assert.rejects(openTestEngine(world, CLEAR), { error: "InvalidArgument" });
  engine = await openTestEngine(world, SECRET);
  assert.deepEqual(contents(engine), values(0, 2 * WRITES));
  await engine.close();
});

Deno.test("dump shows sealed batches as such, and with the key what is in them", async () => {
  const { disk } = await crashed(SECRET);
  const path = `/data/wal/${disk.list("/data/wal")[0]}`;
  const blind = [...dumpFile(disk, path)];
  assert.ok(blind.some((item) => typeof item.encryptedBytes === "number"));
  assert.ok(blind.every((item) => item.value === undefined));
  const seen = [...dumpFile(disk, path, { key: KEY })];
  assert.ok(
    seen.some(({ key, value }) => key === "the plain key 0" && value === "the plain value 0"),
  );
  assert.throws(() => [...dumpFile(disk, path, { key: OTHER })], { message: /another key/ });
  const manifest = disk.list("/data").find((name) => name.startsWith("MANIFEST-"))!;
  assert.throws(() => [...dumpFile(disk, `/data/${manifest}`)], { message: /no key was given/ });
  assert.ok([...dumpFile(disk, `/data/${manifest}`, { key: KEY })].length > 0);
});

Deno.test("no flipped byte of a sealed segment gives other data, or goes without a word", async () => {
  const image = (await crashed(SECRET)).disk.snapshotImage();
  const names = SimDisk.fromImage(image).list("/data/wal");
  // All but the last, whose end nobody vouches for.
  const path = `/data/wal/${names[1]}`;
  const size = SimDisk.fromImage(image).stat(path)!.size;
  const all = new Set(values(0, WRITES));
  for (let at = 0; at < size; at += 3) {
    const world = engineWorld({ image });
    world.disk.corrupt(path, at, 1 << (at % 8));
    const engine = await openTestEngine(world, SECRET);
    const { losses } = engine.recovery;
    assert.equal(losses.length, 1, `byte ${at}`);
    assert.equal(losses[0].file, path);
    const found = contents(engine);
    assert.ok(found.every((value) => all.has(value)), `byte ${at}`);
    // A damaged header has a copy; a damaged frame costs itself alone.
    assert.ok(found.length >= WRITES - 1, `byte ${at}: ${found.length} values`);
    await engine.close();
  }
});

Deno.test("each segment and manifest has a key of its own: the same write gives other bytes", async () => {
  const world = await crashed(SECRET);
  const salts = new Set<string>();
  const names = world.disk.list("/data/wal");
  for (const name of names) {
    salts.add(world.disk.readWhole(`/data/wal/${name}`).slice(40, 56).toHex());
  }
  assert.equal(salts.size, names.length);
});
