/**
 * Every byte of every file of stores in the formats that this program writes, flipped: under each of its
 * options a small store is made and closed, and each flip is either noticed or harmless. Never other
 * data, never a key that is missing without a word. corruption_test.ts does the same, more strictly, for
 * the store of a released format.
 * @module
 */
import assert from "node:assert/strict";
import {
  type Engine,
  type EngineOptions,
  KIND_DELETE,
  KIND_MERGE,
  KIND_PUT,
  type Tree,
} from "../../src/engine/mod.ts";
import { FRAME_HEADER } from "../../src/engine/wal/format.ts";
import { fromUtf8, getU32, PairError, utf8 } from "../../src/model/mod.ts";
import { engineWorld, openTestEngine, SMALL } from "../support/engine.ts";
import { diskWith, readDisk } from "../support/golden.ts";
import { reached, wanted } from "../support/ladder.ts";

/** How many bits of each byte are flipped. */
const BITS = wanted("corruption");

/** What stores are made with. */
const VARIANTS: Record<string, Partial<EngineOptions>> = {
  "small blocks": { table: { ...SMALL.table, blockSize: 128, compression: ["none"] } },
  "compression and partitions": {
    table: { ...SMALL.table, compression: ["snappy", "lz4", "zstd"], partitionSize: 1 },
  },
  "compression by zstd": {
    table: { ...SMALL.table, compression: ["zstd"] },
  },
  encryption: { encryption: { key: new Uint8Array(32).fill(7) } },
};

type Store = Map<string, Map<string, string>>;

/** A store, and what is in it. */
interface Made {
  readonly options: EngineOptions;
  readonly files: Map<string, Uint8Array<ArrayBuffer>>;
  readonly contents: Store;
  /** By tree and key, every value that was ever there: with a loss in the log an older one may be back. */
  readonly history: Map<string, Set<string>>;
}

/** Tables on two levels, a log of several segments, a dropped tree, a tree with options of its own. */
async function make(variant: Partial<EngineOptions>): Promise<Made> {
  const options: EngineOptions = {
    ...SMALL,
    memtableSize: 1 << 20,
    log: { ...SMALL.log, segmentSize: 500 },
    compaction: { ...SMALL.compaction, l0Trigger: 1000, targetTableSize: 700 },
    ...variant,
  };
  const world = engineWorld();
  const engine = await openTestEngine(world, options);
  const contents: Store = new Map();
  const history = new Map<string, Set<string>>();
  const write = async (tree: Tree, kind: 0 | 1 | 2, key: string, value: string) => {
    await engine.write([{ tree, kind, key: utf8(key), value: utf8(value) }]);
    const values = contents.get(tree.name) ?? new Map<string, string>();
    contents.set(tree.name, values);
    if (kind === KIND_PUT) values.set(key, value);
    else if (kind === KIND_DELETE) values.delete(key);
    else values.set(key, values.has(key) ? `${values.get(key)},${value}` : value);
    const name = `${tree.name}/${key}`;
    if (!history.has(name)) history.set(name, new Set());
    const now = values.get(key);
    if (now !== undefined) history.get(name)!.add(now);
  };
  const plain = await engine.createTree("plain");
  const notes = await engine.createTree("notes", { mergeOperator: "append" });
  await engine.setTreeOptions(notes, { strategy: "size_tiered", ttlMs: 1000 });
  for (let i = 0; i < 24; i++) {
    await write(plain, KIND_PUT, `key/${i}`, `first ${i} ${"v".repeat(i)}`);
  }
  for (let i = 0; i < 6; i++) await write(notes, KIND_MERGE, `note ${i % 2}`, `n${i}`);
  const snapshot = engine.snapshot();
  for (let i = 0; i < 24; i += 5) await write(plain, KIND_DELETE, `key/${i}`, "");
  await engine.flush();
  await engine.compact();
  snapshot.release();
  const gone = await engine.createTree("gone");
  await engine.write([{ tree: gone, kind: KIND_PUT, key: utf8("a"), value: utf8("b") }]);
  await engine.dropTree(gone);
  for (let i = 0; i < 6; i++) await write(plain, KIND_PUT, `key/${i}`, `second ${i}`);
  await write(notes, KIND_MERGE, "note 0", "more");
  await engine.flush();
  for (let i = 0; i < 8; i++) await write(plain, KIND_PUT, `log/${i}`, "in the log ".repeat(i));
  await engine.close();
  const files = readDisk(world.disk, "/data");
  files.delete("LOCK");
  return { options, files, contents, history };
}

function scan(engine: Engine): Store {
  const found: Store = new Map();
  for (const tree of engine.trees()) {
    const values = new Map<string, string>();
    for (const reverse of [false, true]) {
      const cursor = engine.scan(tree, { reverse });
      let count = 0;
      for (; cursor.next(); count++) values.set(fromUtf8(cursor.key), fromUtf8(cursor.value));
      cursor.close();
      assert.equal(count, values.size, "both directions show the same keys");
    }
    found.set(tree.name, values);
  }
  return found;
}

/** Opens and reads everything: what came, or undefined when damage was named. */
async function readAll(
  made: Made,
  files: Made["files"],
  where: string,
): Promise<"noticed" | "sound"> {
  const world = engineWorld({ image: diskWith(files).snapshotImage() });
  const named = (error: unknown) => {
    if (!(error instanceof PairError)) throw new Error(where, { cause: error });
    const isDamage = error.error === "CorruptedData" || error.error === "ChecksumFailed";
    // A format number that a flip has raised, or a field that says "encrypted", is refused as such.
    assert.ok(isDamage || error.error === "InvalidArgument", `${where}: ${error.message}`);
    assert.match(error.message, /\/data\/(MANIFEST|CURRENT|wal|tenants)/, where);
    return "noticed" as const;
  };
  let engine: Engine;
  try {
    engine = await openTestEngine(world, made.options);
  } catch (error) {
    return named(error);
  }
  try {
    const lost = engine.recovery.losses.length > 0;
    for (const [name, values] of made.contents) {
      const tree = engine.tree(name);
      if (tree === undefined) assert.ok(lost, `${where}: ${name} is gone`);
      for (const [key, value] of tree === undefined ? [] : values) {
        const found = engine.get(tree!, utf8(key));
        if (!lost) assert.equal(found && fromUtf8(found), value, `${where}: ${name}/${key}`);
      }
    }
    const found = scan(engine);
    if (!lost) {
      assert.deepEqual(found, made.contents, where);
      return "sound";
    }
    for (const [name, values] of found) {
      for (const [key, value] of values) {
        assert.ok(made.history.get(`${name}/${key}`)?.has(value), `${where}: ${key} is ${value}`);
      }
    }
    return "noticed";
  } catch (error) {
    return named(error);
  } finally {
    await engine.close();
  }
}

/** Where in a manifest the marks lie that stand behind its edits: frames of nothing but a seal. */
function marksIn(manifest: Uint8Array): Set<number> {
  const marks = new Set<number>();
  for (let at = 40; at < manifest.length;) {
    const length = getU32(manifest, at);
    const end = at + 12 + length;
    if (length === 0 || length === 16) { for (let i = at; i < end; i++) marks.add(i); }
    at = end;
  }
  assert.ok(marks.size > 0);
  return marks;
}

for (const [variant, options] of Object.entries(VARIANTS)) {
  Deno.test(`no flipped byte of a store with ${variant} gives other data, or hides a key [R5]`, async () => {
    const made = await make(options);
    assert.equal(await readAll(made, made.files, "the sound store"), "sound");
    let flips = 0;
    let bytes = 0;
    let harmless = 0;
    for (const [file, sound] of made.files) {
      bytes += sound.length;
      const marks = file.startsWith("MANIFEST") ? marksIn(sound) : new Set();
      for (let at = 0; at < sound.length; at++) {
        for (let bit = 0; bit < BITS; bit++) {
          const flipped = Uint8Array.from(sound);
          flipped[at] ^= 1 << ((at + bit) % 8);
          const where = `${file}, byte ${at}, bit ${(at + bit) % 8}`;
          const outcome = await readAll(made, new Map(made.files).set(file, flipped), where);
          flips++;
          if (outcome === "noticed") continue;
          // Only of what nothing depends on: those, and the log's closing frame.
          const isEnd = file.startsWith("wal/") && at >= sound.length - FRAME_HEADER;
          assert.ok(marks.has(at) || isEnd, `${where} goes without a word`);
          harmless++;
        }
      }
    }
    reached("corruption", flips / bytes, BITS, {
      variant,
      files: made.files.size,
      flips,
      harmless,
    });
  });
}
