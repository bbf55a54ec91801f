/**
 * Stores that released format versions wrote: each build must read them, and go on from them.
 * @module
 */
import assert from "node:assert/strict";
import { decodeEdit, type Edit, encodeEdit } from "../../src/engine/manifest/edit.ts";
import {
  applyEdits,
  MANIFEST_FORMAT,
  ManifestState,
  readManifest,
} from "../../src/engine/manifest/mod.ts";
import {
  checkDirectory,
  COMPACTION_STRATEGIES,
  type Engine,
  type EngineOptions,
  KIND_DELETE,
  KIND_MERGE,
  KIND_PUT,
  openEngine,
  verifyCheckpoint,
} from "../../src/engine/mod.ts";
import { decodeFooter, FOOTER_SIZE } from "../../src/engine/sstable/format.ts";
import { type Compression, COMPRESSIONS, TableReader } from "../../src/engine/sstable/mod.ts";
import { decodeScrub, encodeScrub } from "../../src/engine/scrub/state.ts";
import { decodeWarm, type WarmTable } from "../../src/engine/warm.ts";
import { readSegment } from "../../src/engine/wal/mod.ts";
import { ContextSeals, decodeVersions, encodeVersions, utf8 } from "../../src/model/mod.ts";
import { claimIdentity, readIdentity, readSealKey, restoreNode } from "../../src/node/mod.ts";
import { type Disk, denoDisk, type ReadFile, SimDisk } from "../../src/runtime/mod.ts";
import {
  type Content,
  contents,
  diskWith,
  type Expected,
  GOLDEN_OPERATORS,
  goldenFolder,
  goldenOptions,
  openGolden,
  OUTSIDE,
  ownOf,
  readFolder,
  SIBLINGS,
  unshow,
  worldOn,
} from "../support/golden.ts";

/** Format versions that this program reads. */
const VERSIONS = [1, 2];

interface Store {
  readonly version: number;
  readonly name: string;
  readonly path: string;
  readonly options: EngineOptions;
  readonly key: Uint8Array | undefined;
}

const STORES = VERSIONS.flatMap((version) =>
  [...Deno.readDirSync(goldenFolder(version))].filter(({ isDirectory }) => isDirectory)
    .map(({ name }) => name).sort().map((name): Store => {
      const options = goldenOptions(name);
      const path = `${goldenFolder(version)}/${name}`;
      return { version, name, path, options, key: options.encryption?.key };
    })
);
/** The stores that show the present formats. */
const PRESENT = STORES.filter(({ version }) => version === MANIFEST_FORMAT);

/** Keys that were deleted, purged, torn off or damaged. */
const GONE = ["key/000", "key/001", "key/015", "torn", "dead", "lost"];

function storeOf(name: string): Store {
  return PRESENT.find((store) => store.name === name)!;
}

function expectedOf(path: string): Expected {
  return JSON.parse(Deno.readTextFileSync(`${path}.json`));
}

/** Compares what reads and scans give with the JSON. */
function compare(engine: Engine, { trees, own = {} }: Content): void {
  assert.deepEqual(contents(engine), trees);
  assert.deepEqual(ownOf(engine), own);
  for (const [name, values] of Object.entries(trees)) {
    const tree = engine.tree(name)!;
    for (const key of [...Object.keys(values), ...GONE]) {
      const value = key in values ? unshow(values[key]) : undefined;
      assert.deepEqual(engine.get(tree, unshow(key)), value, `${name}: ${key}`);
    }
  }
  for (const gone of GONE) assert.ok(!(gone in (trees["plain"] ?? {})), gone);
  assert.equal(engine.tree("dropped"), undefined);
}

async function readAndGoOn(
  disk: Disk,
  root: string,
  expected: Expected,
  options: EngineOptions,
): Promise<void> {
  // In format 1 the writes of a directory are its node's.
  const actor = "golden-1";
  assert.deepEqual(claimIdentity(worldOn(disk), root, "golden-1"), { actor, ...expected.identity });
  let engine = await openGolden(disk, root, options);
  const { segments, records, tornBytes, losses } = engine.recovery;
  assert.deepEqual({ segments, records, tornBytes }, expected.recovery);
  assert.deepEqual(losses, []);
  for (const [name, levels] of Object.entries(expected.levels)) {
    assert.deepEqual(engine.treeStats(engine.tree(name)!).tablesPerLevel, levels, name);
  }
  compare(engine, expected);
  for (const [key, versions] of Object.entries({ siblings: SIBLINGS, "from outside": OUTSIDE })) {
    const state = expected.trees["versions"]?.[key];
    if (state === undefined) continue;
    assert.deepEqual(decodeVersions(unshow(state)), versions, key);
    assert.deepEqual(encodeVersions(versions), unshow(state), key);
  }

  // Old tables and logs are inputs of new ones.
  await engine.compact();
  compare(engine, expected);
  const [{ name }] = engine.trees();
  const [key, value] = [utf8("new"), utf8("write")];
  await engine.write([{ tree: engine.tree(name)!, kind: KIND_PUT, key, value }]);
  await engine.close();
  engine = await openGolden(disk, root, options);
  assert.deepEqual(engine.get(engine.tree(name)!, key), value);
  expected.trees[name]["new"] = "write";
  compare(engine, expected);
  await engine.close();
}

/** Whatever became of the store since: its snapshot is what it was. */
async function verifyAndRestore(
  disk: Disk,
  root: string,
  { identity, snapshot }: Expected,
): Promise<void> {
  const { name, sequence, createdAtMs, ...content } = snapshot!;
  const from = `${root}/snapshots/${name}`;
  const { problems, inventory } = await verifyCheckpoint(disk, from);
  assert.deepEqual(problems, []);
  const { nodeId: node, incarnation: store } = identity;
  const { files: _, ...head } = inventory;
  assert.deepEqual(head, { node, store, sequence, createdAtMs });
  await assert.rejects(openGolden(disk, from), { error: "InvalidArgument" });
  const to = root.replace(/[^/]*$/, "restored");
  const restored = await restoreNode(worldOn(disk), from, to, { nodeId: "golden-2" });
  assert.deepEqual(claimIdentity(worldOn(disk), to, "golden-2"), restored.identity);
  const engine = await openGolden(disk, to);
  assert.deepEqual(engine.recovery.losses, []);
  compare(engine, content);
  await engine.close();
}

for (const { version, name, path, options, key } of STORES) {
  const all = async (disk: Disk, root: string) => {
    const expected = expectedOf(path);
    await readAndGoOn(disk, root, expected, options);
    if (expected.snapshot !== undefined) await verifyAndRestore(disk, root, expected);
  };

  Deno.test(`golden store v${version}/${name} on the simulated disk: every key, and on from there`, async () => {
    await all(diskWith(readFolder(path)), "/data");
  });

  Deno.test(`golden store v${version}/${name} on the machine's disk: every key, and on from there`, async () => {
    const dir = Deno.makeTempDirSync();
    try {
      for (const [file, bytes] of readFolder(path)) {
        Deno.mkdirSync(`${dir}/data/${file}`.replace(/\/[^/]*$/, ""), { recursive: true });
        Deno.writeFileSync(`${dir}/data/${file}`, bytes);
      }
      await all(denoDisk(), `${dir}/data`);
    } finally {
      Deno.removeSync(dir, { recursive: true });
    }
  });

  Deno.test(`golden store v${version}/${name}: check finds nothing wrong`, async () => {
    const files = readFolder(path);
    const disk = diskWith(files);
    const snapshots = new Set([...files.keys()].flatMap((file) => file.match(/^snapshots\/[^/]+/) ?? []));
    for (const inner of ["", ...[...snapshots].map((dir) => `/${dir}`)]) {
      const reports = await checkDirectory(disk, `/data${inner}`, { key });
      assert.deepEqual(reports.filter((report) => report.problem !== undefined), []);
      const torn = reports.filter((report) => report.note !== undefined);
      assert.equal(torn.length, name === "torn" ? 1 : 0);
      for (const { kind, note } of torn) assert.match(`${kind}: ${note}`, /wal: a crash tore its last/);
      // CURRENT, the manifest, the log; and each table, segment, WARM and SCRUB.
      const own = [...files.keys()].filter((file) =>
        /^(tenants\/[^/]+\/\d+\.sst|wal\/(archive\/)?\d+(-\d+)?\.wal|WARM|SCRUB)$/.test(`/${file}`.slice(inner.length + 1))
      );
      assert.equal(reports.length, 3 + own.length);
    }
  });
}

/** A table in a golden store, read from memory. */
interface Table {
  readonly tree: string;
  readonly format: number;
  readonly sealed: boolean;
  readonly reader: TableReader;
  /** How its data blocks are stored. */
  readonly compressions: ReadonlySet<Compression>;
}

/** All tables below a store, those of snapshots too. */
function tablesOf({ path, key }: Store): Table[] {
  return [...readFolder(path)].flatMap(([file, bytes]) => {
    const parts = /([^/]*)~(\d+)\/(\d+)\.sst$/.exec(file);
    if (parts === null) return [];
    const [, name, tree, number] = parts;
    const at = bytes.length - FOOTER_SIZE;
    const { dataEnd, trailer, format, salt } = decodeFooter(file, Number(number), at, bytes.subarray(at));
    const compressions = new Set<Compression>();
    const readAt = (into: Uint8Array, offset: number) => {
      into.set(bytes.subarray(offset, offset + into.length));
      // A section is read with its trailer, which begins with its compression.
      if (offset < dataEnd) compressions.add(COMPRESSIONS[into[into.length - trailer]]);
      return into.length;
    };
    const readAtAsync: ReadFile["readAtAsync"] = (into, offset) => Promise.resolve(readAt(into, offset));
    const openRead = () => ({ path: file, size: bytes.length, readAt, readAtAsync, close() {} });
    const tableKey = key && { key, tree: Number(tree) };
    const reader = new TableReader({ openRead }, file, Number(number), undefined, tableKey);
    const cursor = reader.cursor();
    for (cursor.seekFirst(); cursor.valid;) cursor.next();
    return [{ tree: name, format, sealed: salt !== undefined, reader, compressions }];
  });
}

/** The edits of each manifest below a store, those of snapshots too. */
function manifestsOf({ path, key }: Store): (readonly Edit[])[] {
  const files = readFolder(path);
  const disk = diskWith(files);
  return [...files.keys()].flatMap((file) => {
    const number = /(?:^|\/)MANIFEST-(\d+)$/.exec(file)?.[1];
    return number === undefined ? [] : [readManifest(disk, `/data/${file}`, Number(number), key).edits];
  });
}

/** Blocks that a store's WARM names; none when it has no such file. */
function warmOf(files: ReadonlyMap<string, Uint8Array>): WarmTable[] {
  const bytes = files.get("WARM");
  return bytes === undefined ? [] : decodeWarm("WARM", bytes);
}

/** Tags of edits' fields. */
function tagsOf(edits: readonly Edit[]): Set<number> {
  const fields = edits.flatMap((edit) => Object.entries(edit));
  return new Set(fields.flatMap(([name, value]) => [...encodeEdit({ [name]: value }).slice(0, 1)]));
}

/** All tags that the decoder takes. What should follow is missing, but it says so of a tag that it knows. */
function knownTags(): number[] {
  return Array.from({ length: 256 }, (_, tag) => tag).filter((tag) => {
    try {
      decodeEdit(Uint8Array.of(tag), "an edit");
    } catch (error) {
      return !/field \d+ is not known/.test((error as Error).message);
    }
    return true;
  });
}

Deno.test("golden manifests have every field that an edit can have", () => {
  const manifests = PRESENT.flatMap(manifestsOf);
  const known = knownTags();
  assert.ok(known.length >= 12 && known.length < 200);
  const sorted = (tags: Iterable<number>) => [...tags].sort((a, b) => a - b);
  assert.deepEqual(sorted(tagsOf(manifests.flatMap((edits) => edits.slice(1)))), known);
  // The edit that makes a state from nothing has no tables to remove.
  const [remove] = tagsOf([{ remove: [{ tree: 1, number: 1 }] }]);
  const first = tagsOf(manifests.map(([edit]) => edit));
  assert.deepEqual(sorted(first), known.filter((tag) => tag !== remove));
});

Deno.test("golden manifests have every option, and every strategy, of a tree", () => {
  const values = PRESENT.flatMap(manifestsOf).flat()
    .flatMap(({ options = [] }) => options.flatMap((tree) => [...tree.values]));
  assert.deepEqual([...new Set(values.map(([name]) => name))].sort(), ["strategy", "ttl_ms", "window_ms"]);
  const strategies = values.filter(([name]) => name === "strategy").map(([, value]) => value);
  assert.deepEqual([...new Set(strategies)].sort(), [...COMPACTION_STRATEGIES].sort());
});

Deno.test("golden tables have something in every property", () => {
  const all = PRESENT.flatMap(tablesOf).map(({ reader }) => reader.properties);
  for (const name of Object.keys(all[0]) as (keyof typeof all[0])[]) {
    const isThere = (value: number | Uint8Array) => (typeof value === "number" ? value : value.length) > 0;
    assert.ok(all.some((properties) => isThere(properties[name])), name);
  }
});

for (const { version, name, path, options } of STORES.filter(({ path }) => warmOf(readFolder(path)).length > 0)) {
  Deno.test(`golden store v${version}/${name}: what was warm is warm again`, async () => {
    const files = readFolder(path);
    const warm = warmOf(files);
    const disk = diskWith(files);
    const world = worldOn(disk);
    // Room for all of it: a cache that is nearly full is not warmed to the end.
    const roomy = { ...options, blockCacheSize: 1 << 20 };
    const engine = await openEngine(world, "/data", roomy, GOLDEN_OPERATORS);
    await world.clock.advance(1);
    await engine.close();
    const blocks = warm.reduce((sum, table) => sum + table.blocks.length, 0);
    assert.deepEqual(world.log.named("cache warmed").map(({ fields }) => fields.blocks), [blocks]);
    assert.deepEqual(decodeWarm("WARM", disk.readWhole("/data/WARM")), warm);
  });
}

Deno.test("golden store packed has tables in clear of every compression, in partitions and not", () => {
  const tables = tablesOf(storeOf("packed"));
  for (const compression of COMPRESSIONS) {
    const [whole, cut, ...more] = tables.filter(({ tree }) => tree === compression);
    assert.deepEqual(more, []);
    for (const { compressions, sealed, format } of [whole, cut]) {
      assert.deepEqual([...compressions], [compression]);
      assert.ok(!sealed && format === 2);
    }
    assert.equal(whole.reader.partitions, 0);
    assert.ok(cut.reader.partitions > 1, compression);
    // The versions of the last key begin in one block and end in another.
    assert.ok(cut.reader.blockFor(utf8("often")) < cut.reader.blocks - 1);
  }
});

Deno.test("golden store kept has all that a store keeps beside its data", async () => {
  const store = storeOf("kept");
  const files = readFolder(store.path);
  const disk = diskWith(files);
  const names = [...files.keys()];
  assert.ok(warmOf(files).some(({ blocks }) => blocks.some((block, i) => i > 0 && block > blocks[i - 1] + 1)));
  const { reader } = tablesOf(store).findLast(({ tree }) => tree === "versions")!;
  const { minTimeMs, maxTimeMs, mortal, lastDeathMs } = reader.properties;
  const startMs = Date.UTC(2026, 0, 1);
  assert.deepEqual([minTimeMs, maxTimeMs], [startMs, startMs + 1000]);
  assert.deepEqual([mortal, lastDeathMs], [1, SIBLINGS[1].expiresAtMs]);

  // The snapshot has files of every kind, and one that the store has no more.
  const inner = names.filter((file) => file.startsWith("snapshots/monday/"))
    .map((file) => file.slice("snapshots/monday/".length));
  for (const shape of [/^SNAPSHOT$/, /^CURRENT$/, /^MANIFEST-/, /^wal\/\d+\.wal$/, /^tenants\/.*\.sst$/]) {
    assert.ok(inner.some((file) => shape.test(file)), `${shape}`);
  }
  assert.ok(inner.some((file) => file.endsWith(".sst") && !files.has(file)));

  const archived = names.filter((file) => /^wal\/archive\/\d{6}-\d+\.wal$/.test(file));
  const quarantined = names.filter((file) => /^quarantine\/\d{6}\.wal$/.test(file));
  const itemsOf = (file: string) => [...readSegment(disk, `/data/${file}`, Number(/\d{6}/.exec(file)![0]))];
  assert.ok(archived.flatMap(itemsOf).some((item) => "mutations" in item));
  assert.ok(quarantined.flatMap(itemsOf).some((item) => "unreadableBytes" in item));

  const engine = await openGolden(disk);
  const { walArchivedSegments, quarantinedFiles, snapshots } = engine.stats();
  assert.deepEqual([walArchivedSegments, quarantinedFiles, snapshots], [archived.length, 1, 1]);
  await engine.close();
  for (const file of [...archived, ...quarantined]) {
    assert.deepEqual(disk.readWhole(`/data/${file}`), files.get(file));
  }
});

Deno.test("golden store kept: the names of what is unfinished are still known", async () => {
  const files = readFolder(storeOf("kept").path);
  const nothing = new Uint8Array(0);
  const unfinished = [
    "CURRENT.tmp",
    "snapshots/.making~tuesday/CURRENT",
    "snapshots/.deleting~sunday/SNAPSHOT",
  ];
  for (const file of unfinished) files.set(file, nothing);
  const disk = diskWith(files);
  await (await openGolden(disk)).close();
  assert.deepEqual(disk.list("/data/snapshots"), ["monday"]);
  for (const file of unfinished) assert.equal(disk.stat(`/data/${file}`), undefined, file);
  disk.setBytes("/data/RESTORING", nothing);
  await assert.rejects(openGolden(disk), { error: "InvalidArgument" });
});

Deno.test("golden store mixed has files of both formats, the newer ones sealed", () => {
  const store = storeOf("mixed");
  const shapes = (of: { format: number; sealed: boolean }[]) =>
    [...new Set(of.map(({ format, sealed }) => `${format}${sealed ? " sealed" : ""}`))].sort();
  assert.deepEqual(shapes(tablesOf(store)), ["1", "2 sealed"]);
  const files = readFolder(store.path);
  const headers = [...files.keys()].flatMap((file) => {
    const number = /^wal\/(\d+)\.wal$/.exec(file)?.[1];
    if (number === undefined) return [];
    const items = [...readSegment(diskWith(files), `/data/${file}`, Number(number), store.key)];
    return items.flatMap((item) => "format" in item ? [{ ...item, sealed: item.keySalt !== undefined }] : []);
  });
  assert.deepEqual(shapes(headers), ["1", "2 sealed"]);
});

for (const { version, name, path, key } of STORES) {
  // What is read here is what make.ts has these three live through.
  if (!["closed", "torn", "sealed"].includes(name)) continue;
  Deno.test(`golden store v${version}/${name} has every shape that it is there for`, () => {
    const files = readFolder(path);
    const disk = diskWith(files);
    const state = new ManifestState();
    const manifest = [...files.keys()].find((file) => file.startsWith("MANIFEST-"))!;
    const number = Number(manifest.slice("MANIFEST-".length));
    const { edits } = readManifest(disk, `/data/${manifest}`, number, key);
    applyEdits(state, manifest, edits);

    const levels = [0, 1].map((level) => {
      const tables = [...state.trees.values()].flatMap((tree) => [...tree.tables.values()]);
      const sum = { puts: 0, deletes: 0, merges: 0 };
      for (const { properties } of tables.filter((table) => table.level === level)) {
        sum.puts += properties.entries - properties.deletes - properties.merges;
        sum.deletes += properties.deletes;
        sum.merges += properties.merges;
      }
      return sum;
    });
    for (const [level, { puts, deletes, merges }] of levels.entries()) {
      assert.ok(puts > 0 && deletes > 0 && merges > 0, `level ${level}`);
    }

    const segments = [...files.keys()].filter((file) => file.startsWith("wal/"));
    assert.ok(segments.length > 1);
    const items = segments.flatMap((file) => [
      ...readSegment(disk, `/data/${file}`, Number.parseInt(file.slice("wal/".length)), key),
    ]);
    const kinds = new Set<number>();
    const treesInLog = new Set<number>();
    for (const item of items) {
      if (!("mutations" in item)) continue;
      item.mutations.forEach(({ tree: { id }, kind }, i) => {
        treesInLog.add(id);
        const tree = state.trees.get(id);
        if (tree !== undefined && item.firstSeq + i > tree.flushedSeq) kinds.add(kind);
      });
    }
    assert.deepEqual([...kinds].sort(), [KIND_PUT, KIND_DELETE, KIND_MERGE], "not flushed yet");
    const dropped = edits.flatMap((edit) => edit.dropTree ?? []);
    assert.ok(dropped.some((id) => treesInLog.has(id)), "a record of a dropped tree");

    const last = items.at(-1)!;
    assert.ok(name === "torn" ? "unreadableBytes" in last : "closed" in last);
    assert.equal(state.closed !== undefined, name !== "torn");
  });
}

Deno.test("golden stores stay small", () => {
  for (const version of VERSIONS) {
    let bytes = 0;
    for (const content of readFolder(goldenFolder(version)).values()) bytes += content.length;
    assert.ok(bytes < 100 * 1024, `v${version} has ${bytes} bytes`);
  }
});

Deno.test("golden v2/SCRUB: how far a scrub was, and what it had found", () => {
  const bytes = Deno.readFileSync(`${goldenFolder(2)}/SCRUB`);
  const state = decodeScrub("SCRUB", bytes);
  assert.deepEqual(state, {
    startedAtMs: 1_767_225_600_000,
    end: 124,
    position: 45,
    rounds: 3,
    damaged: new Map([[12, "checksum"], [40, "order"]]),
  });
  assert.deepEqual(encodeScrub(state), bytes);
});

Deno.test("golden v2/IDENTITY: a directory under a chosen name, and whose events its writes are", () => {
  const disk = new SimDisk();
  disk.makeDir("/data");
  disk.setBytes("/data/IDENTITY", Deno.readFileSync(`${goldenFolder(2)}/IDENTITY`));
  assert.deepEqual(readIdentity(disk, "/data", "golden-1"), {
    nodeId: "golden-1",
    incarnation: "03ac0883065e9c03f40a6d09b8c26f86",
    actor: "golden-1@03ac0883",
  });
});

Deno.test("golden v2/SEAL_KEY: the secret of a directory's seals, and a seal that it makes", () => {
  const disk = new SimDisk();
  disk.makeDir("/data");
  disk.setBytes("/data/SEAL_KEY", Deno.readFileSync(`${goldenFolder(2)}/SEAL_KEY`));
  const key = readSealKey(disk, "/data")!;
  assert.deepEqual([...key], Array.from({ length: 16 }, (_, i) => i));
  // Clients keep contexts: a seal that was made once is made again by every later program.
  const clock = {
    entries: [{ node: "n1", counter: 3 }, { node: "nœud", counter: 2 ** 40 }],
    dots: [{ node: "n1", counter: 5 }],
  };
  assert.equal(new ContextSeals(key).sealOf("shop", "cart/42", clock), 6275328493520586);
});
