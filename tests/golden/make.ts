/**
 * Writes the golden stores of the present format version, from a fixed seed and clock:
 *
 *     deno run -A tests/golden/make.ts
 *
 * Run it only for a new format version, with VERSION raised. A folder that exists is what a released program
 * wrote, and is never written again: this script refuses to.
 * @module
 */
import assert from "node:assert/strict";
import {
  type Engine,
  KIND_DELETE,
  KIND_MERGE,
  KIND_PUT,
  type Mutation,
  openEngine,
  type Tree,
} from "../../src/engine/mod.ts";
import { encodeVersions, utf8 } from "../../src/model/mod.ts";
import { claimIdentity } from "../../src/node/mod.ts";
import { SimDisk } from "../../src/runtime/mod.ts";
import {
  contents,
  type Expected,
  GOLDEN_OPERATORS,
  goldenFolder,
  goldenOptions,
  openGolden,
  readDisk,
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

async function make(end: "closed" | "torn" | "sealed"): Promise<void> {
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
    const last = [...files.keys()].filter((path) => path.startsWith("wal/")).at(-1)!;
    files.set(last, files.get(last)!.slice(0, -7));
  } else {
    await engine.close();
    files = readDisk(disk, "/data");
  }
  files.set("LOCK", new Uint8Array(0));
  const folder = `${goldenFolder(VERSION)}/${end}`;
  for (const [path, bytes] of files) {
    Deno.mkdirSync(`${folder}/${path}`.replace(/\/[^/]*$/, ""), { recursive: true });
    Deno.writeFileSync(`${folder}/${path}`, bytes);
  }
  const copy = new SimDisk();
  for (const [path, bytes] of files) copy.setBytes(`/data/${path}`, bytes);
  const reopened = await openGolden(copy, "/data", options);
  assert.deepEqual(contents(reopened), trees);
  const { segments, records, tornBytes } = reopened.recovery;
  const expected: Expected = {
    recovery: { segments, records, tornBytes },
    levels: Object.fromEntries(
      reopened.trees().map((tree) => [tree.name, reopened.treeStats(tree).tablesPerLevel]),
    ),
    trees,
    identity,
  };
  await reopened.close();
  Deno.writeTextFileSync(`${folder}.json`, `${JSON.stringify(expected, undefined, 2)}\n`);
}

if (import.meta.main) {
  try {
    Deno.statSync(goldenFolder(VERSION));
    throw new Error(`tests/golden/v${VERSION} exists: golden stores are never written again`);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  await make("closed");
  await make("torn");
  await make("sealed");
}
