/**
 * Writes the golden stores of the present format version that are not there yet, from a fixed seed and clock:
 *
 *     deno run -A tests/golden/make.ts
 *
 * (SCRUB beside them is what `encodeScrub` made of the state that golden_test.ts names; SEAL_KEY what
 * `claimSealKey` made of the key there; IDENTITY what `claimIdentity` made of the name.)
 *
 * Run it only for a new format version, with VERSION raised, or for a new store. A folder that exists is what
 * a released program wrote, and is never written again: this script refuses to.
 * @module
 */
import assert from "node:assert/strict";
import {
  COMPACTION_STRATEGIES,
  type Engine,
  KIND_DELETE,
  KIND_MERGE,
  KIND_PUT,
  type Mutation,
  openEngine,
  type Tree,
} from "../../src/engine/mod.ts";
import { COMPRESSIONS } from "../../src/engine/sstable/mod.ts";
import { FRAME_HEADER, HEADER_SIZE } from "../../src/engine/wal/format.ts";
import { encodeVersions, utf8 } from "../../src/model/mod.ts";
import { claimIdentity } from "../../src/node/mod.ts";
import { SimDisk } from "../../src/runtime/mod.ts";
import {
  contents,
  diskWith,
  type Expected,
  GOLDEN_OPERATORS,
  GOLDEN_OPTIONS,
  goldenFolder,
  goldenOptions,
  openGolden,
  OUTSIDE,
  ownOf,
  readDisk,
  readFolder,
  SIBLINGS,
  worldOn,
} from "../support/golden.ts";

const VERSION = 2;

const put = (tree: Tree, key: string, value: string | Uint8Array): Mutation => ({
  tree,
  kind: KIND_PUT,
  key: utf8(key),
  value: typeof value === "string" ? utf8(value) : value,
});
const merge = (tree: Tree, key: string, value: string): Mutation => ({
  ...put(tree, key, value),
  kind: KIND_MERGE,
});
const remove = (tree: Tree, key: string): Mutation => ({
  ...put(tree, key, ""),
  kind: KIND_DELETE,
});

/** First life: tables on level 1, with a snapshot held so that deletes and operands survive there. */
async function firstLife(engine: Engine): Promise<void> {
  const plain = await engine.createTree("plain");
  const notes = await engine.createTree("notes", { mergeOperator: "append" });
  for (let i = 0; i < 40; i++) {
    const key = `key/${String(i).padStart(3, "0")}`;
    await engine.write([put(plain, key, `first ${i}`), put(notes, `note ${i % 7}`, `n${i}`)]);
  }
  await engine.flush();
  const snapshot = engine.snapshot();
  for (let i = 0; i < 40; i += 5) {
    await engine.write([remove(plain, `key/${String(i).padStart(3, "0")}`)], "delete");
  }
  await engine.write([merge(notes, "note 1", "more"), merge(notes, "new note", "begun")]);
  await engine.write([put(plain, "large", "L".repeat(700)), put(plain, "", "the empty key")]);
  await engine.flush();
  await engine.compact();
  snapshot.release();
}

/**
 * Second life: level 0 above it, a log over several segments, and a dropped tree of which a record is still
 * in the log, beyond the last flush.
 */
async function secondLife(engine: Engine): Promise<void> {
  const plain = engine.tree("plain")!;
  const notes = engine.tree("notes")!;
  const dropped = await engine.createTree("dropped");
  await engine.write([put(dropped, "gone", "with its tree")]);
  await engine.flush(dropped);
  const versions = await engine.createTree("versions", { mergeOperator: "versions" });
  await engine.write([put(versions, "siblings", encodeVersions(SIBLINGS))], "repair");
  for (let i = 0; i < 12; i++) await engine.write([put(plain, `key/${100 + i}`, `second ${i}`)]);
  await engine.write([remove(plain, "key/001"), put(plain, "key/002", "")], "delete");
  await engine.write([merge(notes, "note 1", "again"), remove(notes, "note 2")]);
  await engine.flush(plain);
  await engine.flush(notes);
  await engine.write([put(dropped, "gone too", "with its tree")]);
  await engine.dropTree(dropped);
  for (let i = 0; i < 10; i++) {
    const tree = [plain, notes][i % 2];
    await engine.write([put(tree, `log ${i}`, "in the log ".repeat(i)), remove(plain, `key/01${i}`)]);
  }
  await engine.write([merge(notes, "note 2", "reborn")]);
  await engine.write([put(plain, "bytes", Uint8Array.of(0, 255, 10)), put(plain, "ключ", "UTF-8")]);
}

async function make(end: "closed" | "torn" | "sealed" | "marked"): Promise<void> {
  const disk = new SimDisk();
  const options = goldenOptions(end);
  const open = () => openEngine(worldOn(disk), "/data", options, GOLDEN_OPERATORS);
  let engine = await open();
  const identity = claimIdentity(worldOn(disk), "/data", "golden-1");
  await firstLife(engine);
  await engine.close();
  engine = await open();
  await secondLife(engine);
  const trees = contents(engine);
  let files = readDisk(disk, "/data");
  if (end === "torn") {
    // One more write, of which the last bytes never reached the disk.
    await engine.write([put(engine.tree("plain")!, "torn", "never acknowledged")]);
    files = readDisk(disk, "/data");
    const last = segmentsIn(files).at(-1)!;
    files.set(last, files.get(last)!.slice(0, -7));
  } else {
    await engine.close();
    files = readDisk(disk, "/data");
  }
  await keep(end, files, { trees, identity });
}

/** A tree for each compression, written while that was set: a small table, and one in partitions. */
async function makePacked(): Promise<void> {
  const disk = new SimDisk();
  const options = goldenOptions("packed");
  let trees: Expected["trees"] = {};
  for (const compression of COMPRESSIONS) {
    const table = { ...options.table, compression: [compression] };
    const engine = await openGolden(disk, "/data", { ...options, table });
    const tree = await engine.createTree(compression);
    await engine.write([put(tree, "alone", "in a table that is not cut ".repeat(3))]);
    await engine.flush(tree);
    const pins = [];
    for (let i = 0; i < 12; i++) {
      // Each version of "often" is pinned: together they are more than a block.
      await engine.write([
        put(tree, `key number ${i}`, `${compression} `.repeat(i + 8)),
        put(tree, "often", `time ${i} `.repeat(5)),
      ]);
      pins.push(engine.snapshot());
    }
    await engine.flush(tree);
    for (const pin of pins) pin.release();
    trees = contents(engine);
    await engine.close();
  }
  const identity = claimIdentity(worldOn(disk), "/data", "golden-1");
  await keep("packed", readDisk(disk, "/data"), { trees, identity });
}

/** What a store keeps beside its data: options, floors, a snapshot, old and damaged log segments, what was warm. */
async function makeKept(): Promise<void> {
  const disk = new SimDisk();
  const log = { ...GOLDEN_OPTIONS.log, archive: true, archiveMaxSegments: 2 };
  const open = (world = worldOn(disk)) =>
    openEngine(world, "/data", { ...GOLDEN_OPTIONS, log }, GOLDEN_OPERATORS);
  const world = worldOn(disk);
  let engine = await open(world);
  const identity = claimIdentity(world, "/data", "golden-1");
  await optionsAndFloors(engine, () => world.clock.advance(1000));
  await engine.close();

  engine = await open();
  await engine.write([put(engine.tree("plain")!, "lost", "in a frame that is damaged")]);
  await engine.write([put(engine.tree("plain")!, "found", "behind the damage")]);
  await engine.close();
  const last = segmentsIn(readDisk(disk, "/data")).at(-1)!;
  disk.corrupt(`/data/${last}`, HEADER_SIZE + FRAME_HEADER, 1);

  engine = await open();
  assert.equal(engine.recovery.losses.length, 1);
  const expected = await snapshotAndBeyond(engine, identity);
  await engine.close();
  await keep("kept", readDisk(disk, "/data"), { ...expected, identity });
}

/** Trees of every strategy, a dropped one behind them, values that die some day, and one that is dead. */
async function optionsAndFloors(engine: Engine, wait: () => Promise<void>): Promise<void> {
  const plain = await engine.createTree("plain", { options: { ttlMs: 0 } });
  const versions = await engine.createTree("versions", { mergeOperator: "versions" });
  for (const strategy of COMPACTION_STRATEGIES) {
    const options = { strategy, windowMs: 60_000, ttlMs: 86_400_000 };
    await engine.createTree(strategy, { options });
  }
  // It has the highest id, which the next manifest must not forget.
  await engine.dropTree(await engine.createTree("dropped"));
  await wait();
  for (let i = 10; i < 30; i++) await engine.write([put(plain, `key/${i}`, `value ${i} `.repeat(4))]);
  await engine.write([put(versions, "siblings", encodeVersions(SIBLINGS))]);
  await engine.write([put(versions, "from outside", encodeVersions(OUTSIDE))]);
  await bury(engine, versions, 7);
  await engine.flush();
}

/** A snapshot, and changes since; returns what is in both. Damage is in the log at first, and set aside. */
async function snapshotAndBeyond(
  engine: Engine,
  { nodeId: node, incarnation: store }: Expected["identity"],
): Promise<Omit<Expected, "recovery" | "levels" | "identity">> {
  const plain = engine.tree("plain")!;
  await engine.flush();
  await engine.setTreeOptions(plain, { strategy: "size_tiered", ttlMs: undefined });
  for (const strategy of COMPACTION_STRATEGIES) {
    await engine.write([put(engine.tree(strategy)!, "log", `${strategy} `.repeat(20))]);
  }
  const { name, sequence, createdAtMs } = await engine.checkpoint("monday", { node, store });
  const snapshot = { name, sequence, createdAtMs, trees: contents(engine), own: ownOf(engine) };
  await engine.write([remove(plain, "found"), put(plain, "after", "the snapshot")]);
  await bury(engine, engine.tree("versions")!, 300);
  const expected = { trees: contents(engine), own: ownOf(engine), snapshot };
  // Of the new tables nothing is in the cache: two reads leave a gap between two blocks that are warm.
  await engine.compact(plain);
  for (const key of ["after", "key/29"]) engine.get(plain, utf8(key));
  return expected;
}

/** What is remembered of values that were dropped, from one manifest to the next. */
async function makePurged(): Promise<void> {
  const disk = new SimDisk();
  let engine = await openGolden(disk, "/data");
  const identity = claimIdentity(worldOn(disk), "/data", "golden-1");
  const versions = await engine.createTree("versions", { mergeOperator: "versions" });
  await engine.write([put(versions, "siblings", encodeVersions(SIBLINGS))]);
  await bury(engine, versions, 7);
  await engine.close();
  engine = await openGolden(disk, "/data");
  await bury(engine, engine.tree("versions")!, 300);
  const expected = { trees: contents(engine), own: ownOf(engine) };
  await engine.close();
  await keep("purged", readDisk(disk, "/data"), { ...expected, identity });
}

/** What is remembered of trees that were dropped, from one manifest to the next: where those after them begin. */
async function makeDropped(): Promise<void> {
  const disk = new SimDisk();
  let engine = await openGolden(disk, "/data");
  const identity = claimIdentity(worldOn(disk), "/data", "golden-1");
  for (const life of ["first", "second"]) {
    const dropped = await engine.createTree("dropped", { mergeOperator: "versions" });
    await engine.write([put(dropped, life, encodeVersions(SIBLINGS))]);
    await engine.dropTree(dropped);
    const tree = await engine.createTree(life);
    await engine.write([put(tree, "key", life)]);
    if (life === "second") break;
    await engine.close();
    engine = await openGolden(disk, "/data");
  }
  const expected = { trees: contents(engine), own: ownOf(engine) };
  await engine.close();
  await keep("dropped", readDisk(disk, "/data"), { ...expected, identity });
}

/** A life that acknowledged writes before they were durable, and had no end; and one that did not, behind it. */
async function makeRelaxed(): Promise<void> {
  const first = new SimDisk();
  const log = { ...GOLDEN_OPTIONS.log, syncMode: "batch" as const };
  const relaxed = await openGolden(first, "/data", { ...GOLDEN_OPTIONS, log });
  const identity = claimIdentity(worldOn(first), "/data", "golden-1");
  const versions = await relaxed.createTree("versions", { mergeOperator: "versions" });
  await relaxed.write([put(versions, "siblings", encodeVersions(SIBLINGS))]);
  const disk = diskWith(readDisk(first, "/data"));
  const engine = await openGolden(disk, "/data");
  const expected = { trees: contents(engine), own: ownOf(engine) };
  await engine.close();
  await keep("relaxed", readDisk(disk, "/data"), { ...expected, identity });
}

/** Drops a value because it is dead: its counter remains, as the tree's floor. */
async function bury(engine: Engine, tree: Tree, counter: number): Promise<void> {
  const dot = { node: "n1", counter };
  const timestampMs = Date.UTC(2025, 11, 31, 23);
  const clock = { entries: [dot], dots: [] };
  const dead = encodeVersions([{ clock, dot, value: undefined, timestampMs, expiresAtMs: 0 }]);
  await engine.write([put(tree, "dead", dead)], "delete");
  await engine.compact(tree, { purge: true });
  assert.equal(tree.purgeFloor, counter);
}

/** The store that format 1 wrote, gone on with, under encryption: what is old stays as it was. */
async function makeMixed(): Promise<void> {
  const disk = diskWith(readFolder(`${goldenFolder(1)}/closed`));
  const engine = await openGolden(disk, "/data", goldenOptions("mixed"));
  const identity = claimIdentity(worldOn(disk), "/data", "golden-1");
  const plain = engine.tree("plain")!;
  const notes = engine.tree("notes")!;
  await engine.write([put(plain, "key/002", "no longer empty"), remove(plain, "key/003")]);
  await engine.flush(plain);
  await engine.write([merge(notes, "note 1", "sealed"), put(plain, "sealed", "in the log")]);
  const trees = contents(engine);
  await engine.close();
  await keep("mixed", readDisk(disk, "/data"), { trees, identity });
}

/** Log segments, oldest first; not those in the archive. */
function segmentsIn(files: ReadonlyMap<string, unknown>): string[] {
  return [...files.keys()].filter((path) => /^wal\/\d+\.wal$/.test(path));
}

/** Keeps a store for good, once a copy of it has been opened and holds what it should. */
async function keep(
  name: string,
  files: Map<string, Uint8Array>,
  expected: Omit<Expected, "recovery" | "levels">,
): Promise<void> {
  files.set("LOCK", new Uint8Array(0));
  const reopened = await openGolden(diskWith(files), "/data", goldenOptions(name));
  assert.deepEqual(contents(reopened), expected.trees);
  assert.deepEqual(ownOf(reopened), expected.own ?? {});
  const { segments, records, tornBytes } = reopened.recovery;
  const whole: Expected = {
    recovery: { segments, records, tornBytes },
    levels: Object.fromEntries(
      reopened.trees().map((tree) => [tree.name, reopened.treeStats(tree).tablesPerLevel]),
    ),
    ...expected,
  };
  await reopened.close();
  const folder = `${goldenFolder(VERSION)}/${name}`;
  // Fails when the folder is there.
  Deno.mkdirSync(folder);
  for (const [path, bytes] of files) {
    Deno.mkdirSync(`${folder}/${path}`.replace(/\/[^/]*$/, ""), { recursive: true });
    Deno.writeFileSync(`${folder}/${path}`, bytes);
  }
  const json = `${JSON.stringify(whole, undefined, 2)}\n`;
  Deno.writeTextFileSync(`${folder}.json`, json, { createNew: true });
}

const STORES: Record<string, () => Promise<void>> = {
  closed: () => make("closed"),
  torn: () => make("torn"),
  sealed: () => make("sealed"),
  packed: makePacked,
  kept: makeKept,
  mixed: makeMixed,
  // As "closed", by a program that marks the ends of edits in the manifest.
  marked: () => make("marked"),
  purged: makePurged,
  dropped: makeDropped,
  relaxed: makeRelaxed,
};

if (import.meta.main) {
  const folder = goldenFolder(VERSION);
  Deno.mkdirSync(folder, { recursive: true });
  const there = [...Deno.readDirSync(folder)].map(({ name }) => name);
  const missing = Object.keys(STORES).filter((name) => !there.includes(name));
  if (missing.length === 0) {
    throw new Error(`tests/golden/v${VERSION} has all stores: they are never written again`);
  }
  for (const name of missing) await STORES[name]();
}
