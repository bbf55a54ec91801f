/**
 * Stores that released format versions wrote: each build must read them, and go on from them.
 * @module
 */
import assert from "node:assert/strict";
import { applyEdits, ManifestState, readManifest } from "../../src/engine/manifest/mod.ts";
import {
  checkDirectory,
  type Engine,
  type EngineOptions,
  KIND_DELETE,
  KIND_MERGE,
  KIND_PUT,
} from "../../src/engine/mod.ts";
import { readSegment } from "../../src/engine/wal/mod.ts";
import { decodeVersions, utf8 } from "../../src/model/mod.ts";
import { claimIdentity } from "../../src/node/mod.ts";
import { type Disk, denoDisk } from "../../src/runtime/mod.ts";
import {
  contents,
  diskWith,
  type Expected,
  goldenFolder,
  goldenOptions,
  openGolden,
  readFolder,
  SIBLINGS,
  unshow,
  worldOn,
} from "../support/golden.ts";

/** Format versions that this program reads. */
const VERSIONS = [1, 2];
const STORES = VERSIONS.flatMap((version) =>
  ["closed", "torn", ...(version > 1 ? ["sealed"] : [])].map((name) => {
    const options = goldenOptions(name);
    return { version, name, path: `${goldenFolder(version)}/${name}`, options, key: options.encryption?.key };
  })
);

function expectedOf(path: string): Expected {
  return JSON.parse(Deno.readTextFileSync(`${path}.json`));
}

/** Compares what reads and scans give with the JSON. */
function compare(engine: Engine, expected: Expected): void {
  assert.deepEqual(contents(engine), expected.trees);
  for (const [name, values] of Object.entries(expected.trees)) {
    const tree = engine.tree(name)!;
    for (const [key, value] of Object.entries(values)) {
      assert.deepEqual(engine.get(tree, unshow(key)), unshow(value), `${name}: ${key}`);
    }
  }
  for (const gone of ["key/000", "key/001", "key/015", "torn"]) {
    assert.equal(engine.get(engine.tree("plain")!, utf8(gone)), undefined, gone);
  }
  assert.equal(engine.tree("dropped"), undefined);
}

async function readAndGoOn(
  disk: Disk,
  root: string,
  expected: Expected,
  options: EngineOptions,
): Promise<void> {
  assert.deepEqual(claimIdentity(worldOn(disk), root, "golden-1"), expected.identity);
  let engine = await openGolden(disk, root, options);
  const { segments, records, tornBytes, losses } = engine.recovery;
  assert.deepEqual({ segments, records, tornBytes }, expected.recovery);
  assert.deepEqual(losses, []);
  for (const [name, levels] of Object.entries(expected.levels)) {
    assert.deepEqual(engine.treeStats(engine.tree(name)!).tablesPerLevel, levels, name);
  }
  compare(engine, expected);
  const siblings = engine.get(engine.tree("versions")!, utf8("siblings"))!;
  assert.deepEqual(decodeVersions(siblings), SIBLINGS);

  // Old tables and logs are inputs of new ones.
  await engine.compact();
  compare(engine, expected);
  const plain = engine.tree("plain")!;
  await engine.write([{ tree: plain, kind: KIND_PUT, key: utf8("new"), value: utf8("write") }]);
  await engine.close();
  engine = await openGolden(disk, root, options);
  assert.deepEqual(engine.get(engine.tree("plain")!, utf8("new")), utf8("write"));
  expected.trees["plain"]["new"] = "write";
  compare(engine, expected);
  await engine.close();
}

for (const { version, name, path, options, key } of STORES) {
  Deno.test(`golden store v${version}/${name} on the simulated disk: every key, and on from there`, async () => {
    await readAndGoOn(diskWith(readFolder(path)), "/data", expectedOf(path), options);
  });

  Deno.test(`golden store v${version}/${name} on the machine's disk: every key, and on from there`, async () => {
    const dir = Deno.makeTempDirSync();
    try {
      for (const [file, bytes] of readFolder(path)) {
        Deno.mkdirSync(`${dir}/${file}`.replace(/\/[^/]*$/, ""), { recursive: true });
        Deno.writeFileSync(`${dir}/${file}`, bytes);
      }
      await readAndGoOn(denoDisk(), dir, expectedOf(path), options);
    } finally {
      Deno.removeSync(dir, { recursive: true });
    }
  });

  Deno.test(`golden store v${version}/${name}: check finds nothing wrong`, async () => {
    const disk = diskWith(readFolder(path));
    const reports = await checkDirectory(disk, "/data", { key });
    assert.deepEqual(reports.filter((report) => report.problem !== undefined), []);
    const torn = reports.filter((report) => report.note !== undefined);
    assert.equal(torn.length, name === "torn" ? 1 : 0);
    for (const { kind, note } of torn) assert.match(`${kind}: ${note}`, /wal: a crash tore its last/);
    // CURRENT, the manifest, four tables, the log, its segments.
    const segments = disk.list("/data/wal").length;
    assert.ok(segments >= 3);
    assert.equal(reports.length, 7 + segments);
  });
}

for (const { version, name, path, key } of STORES) {
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
      item.mutations.forEach(({ treeId, kind }, i) => {
        treesInLog.add(treeId);
        const tree = state.trees.get(treeId);
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
