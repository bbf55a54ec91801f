/**
 * Every byte of every file of a small closed store damaged, and every file cut at every length: opening
 * and reading everything gives the right data, or says which file is damaged. Never other data, never a
 * key that is missing without a word.
 * @module
 */
import assert from "node:assert/strict";
import { readManifest } from "../../src/engine/manifest/mod.ts";
import { checkDirectory, type Engine, KIND_DELETE, KIND_PUT } from "../../src/engine/mod.ts";
import { TableReader } from "../../src/engine/sstable/mod.ts";
import {
  HEADER_SIZE as HEADER_SIZE_NOW,
  HEADER_SIZE_1 as HEADER_SIZE,
} from "../../src/engine/wal/format.ts";
import { readSegment } from "../../src/engine/wal/mod.ts";
import { compareBytes, getU32, PairError, utf8 } from "../../src/model/mod.ts";
import type { SimDisk } from "../../src/runtime/mod.ts";
import {
  contents,
  diskWith,
  GOLDEN_OPERATORS,
  GOLDEN_OPTIONS,
  goldenFolder,
  openGolden,
  readFolder,
  show,
  unshow,
} from "../support/golden.ts";
import { reached, wanted } from "../support/ladder.ts";

/** How many bits of each byte are flipped, each in a run of its own. */
const BITS = wanted("corruption");
/** What was flipped, by file. */
const FLIPPED = new Map<string, number>();

const FILES = readFolder(`${goldenFolder(1)}/closed`);
FILES.delete("LOCK");
FILES.delete("IDENTITY"); // The node's, not the engine's: tests/golden/newer_format_test.ts.

type Contents = Record<string, Record<string, string>>;

/** One entry of the store, and where it stands. */
interface Entry {
  readonly file: string;
  /** In the log: where its frame begins. */
  readonly offset: number;
  readonly tree: number;
  readonly key: string;
  readonly seq: number;
  readonly kind: number;
  readonly value: Uint8Array;
}

/** What each tree is called, what it folds with, and up to where its entries are in tables. */
const TREES = new Map([
  [1, { name: "plain", operator: undefined, flushed: 108 }],
  [2, { name: "notes", operator: GOLDEN_OPERATORS[0], flushed: 110 }],
  [4, { name: "versions", operator: GOLDEN_OPERATORS[1], flushed: 0 }],
]);

/** Every entry of the sound store, read without the engine. */
function allEntries(): Entry[] {
  const disk = diskWith(FILES);
  const entries: Entry[] = [];
  for (const file of FILES.keys()) {
    const table = /~(\d+)\/(\d+)\.sst$/.exec(file);
    if (table !== null) {
      const reader = new TableReader(disk, `/data/${file}`, Number(table[2]));
      const cursor = reader.cursor();
      for (cursor.seekFirst(); cursor.valid; cursor.next()) {
        const { keyBuffer, keyStart, keyEnd, valueBuffer, valueStart, valueEnd, seq, kind } =
          cursor;
        const key = show(keyBuffer.slice(keyStart, keyEnd));
        const value = valueBuffer.slice(valueStart, valueEnd);
        entries.push({ file, offset: 0, tree: Number(table[1]), key, seq, kind, value });
      }
      reader.close();
    }
    const segment = /^wal\/(\d+)\.wal$/.exec(file);
    if (segment === null) continue;
    for (const item of readSegment(disk, `/data/${file}`, Number(segment[1]))) {
      if (!("mutations" in item)) continue;
      item.mutations.forEach(({ tree, kind, key, value }, i) => {
        const seq = item.firstSeq + i;
        if (seq <= (TREES.get(tree.id)?.flushed ?? Infinity)) return;
        entries.push({
          file,
          offset: item.offset,
          tree: tree.id,
          key: show(key),
          seq,
          kind,
          value,
        });
      });
    }
  }
  return entries.sort((a, b) => a.seq - b.seq);
}

const ENTRIES = allEntries();

/** What entries add up to: the engine's rules, in a few lines. */
function modelOf(entries: readonly Entry[]): Contents {
  const model: Contents = {};
  for (const [id, { name, operator }] of TREES) {
    const values = new Map<string, Uint8Array>();
    for (const { tree, key, kind, value } of entries) {
      if (tree !== id) continue;
      if (kind === KIND_PUT) values.set(key, value);
      else if (kind === KIND_DELETE) values.delete(key);
      else values.set(key, operator!.merge(unshow(key), values.get(key), [value]));
    }
    const sorted = [...values].sort(([a], [b]) => compareBytes(unshow(a), unshow(b)));
    model[name] = Object.fromEntries(sorted.map(([key, value]) => [key, show(value)]));
  }
  return model;
}

const ALL = modelOf(ENTRIES);

/** What opening and reading everything came to. */
interface Outcome {
  /** What failed, if opening or the scans did. */
  readonly error: PairError | undefined;
  readonly losses: Engine["recovery"]["losses"];
  readonly tornBytes: number;
  /** What the scans gave; undefined when one of them failed. */
  readonly found: Contents | undefined;
}

/** Opens and reads every key of `expected`, one by one and by scanning. */
async function readAll(disk: SimDisk, expected: () => Contents): Promise<Outcome> {
  let engine: Engine;
  try {
    engine = await openGolden(disk);
  } catch (error) {
    assert.ok(error instanceof PairError, `opening throws ${error}`);
    return { error, losses: [], tornBytes: 0, found: undefined };
  }
  try {
    const { losses, tornBytes } = engine.recovery;
    let error: PairError | undefined;
    for (const [name, values] of Object.entries(expected())) {
      for (const [key, value] of Object.entries(values)) {
        try {
          const found = engine.get(engine.tree(name)!, unshow(key));
          if (losses.length === 0) assert.equal(found && show(found), value, `${name}: ${key}`);
        } catch (thrown) {
          if (!(thrown instanceof PairError)) throw thrown;
          error ??= thrown;
        }
      }
    }
    try {
      return { error, losses, tornBytes, found: contents(engine) };
    } catch (thrown) {
      if (!(thrown instanceof PairError)) throw thrown;
      return { error: thrown, losses, tornBytes, found: undefined };
    }
  } finally {
    await engine.close();
  }
}

/** The entries that do not stand in the bytes that were reported lost. */
function survivors(losses: Outcome["losses"]): Entry[] {
  return ENTRIES.filter(({ file, offset }) =>
    !losses.some((loss) =>
      loss.file === `/data/${file}` && offset >= loss.offset && offset < loss.offset + loss.bytes
    )
  );
}

/** Demands the right data, or a word about `file`; with a reported loss, all that was not lost. */
function judge(outcome: Outcome, file: string, where: string): void {
  const { error, losses, found } = outcome;
  if (error !== undefined) {
    assert.ok(error.error === "CorruptedData" || error.error === "ChecksumFailed", where);
    assert.ok(error.message.includes(`/data/${file}`), `${where}: ${error.message}`);
    return;
  }
  for (const loss of losses) assert.equal(loss.file, `/data/${file}`, where);
  assert.deepEqual(found, modelOf(survivors(losses)), where);
}

function damaged(file: string, at: number, bit = 0): SimDisk {
  const disk = diskWith(FILES);
  disk.corrupt(`/data/${file}`, at, 1 << ((at + bit) % 8));
  return disk;
}

function cut(file: string, length: number): SimDisk {
  const disk = diskWith(FILES);
  disk.setBytes(`/data/${file}`, FILES.get(file)!.slice(0, length));
  return disk;
}

const paths = [...FILES.keys()];
const SEGMENTS = paths.filter((path) => path.startsWith("wal/"));
const LAST_SEGMENT = SEGMENTS.at(-1)!;
const SEGMENT_BEFORE = SEGMENTS.at(-2)!;
const MANIFEST = paths.find((path) => path.startsWith("MANIFEST"))!;

/** Where the manifest's last edit begins, the one of the clean close. */
function closingEdit(): number {
  const bytes = FILES.get(MANIFEST)!;
  let last = 0;
  for (let at = 20; at < bytes.length; at += 12 + getU32(bytes, at)) last = at;
  return last;
}

/** Where the bytes are whose flip goes without a word, of those that are tried. */
function unnoticeable(file: string): number[] {
  if (file !== MANIFEST) return [];
  // A damaged last edit passes for torn. A clean close makes sure that it is one that no data depends on: without
  // it, the store is taken for one that a crash ended.
  const from = closingEdit();
  return [...FILES.get(MANIFEST)!.keys()].filter((at) => at >= from);
}

Deno.test("the model of this test reads the sound store as the engine does", async () => {
  const outcome = await readAll(diskWith(FILES), () => ALL);
  assert.deepEqual(outcome, { error: undefined, losses: [], tornBytes: 0, found: ALL });
  assert.ok(ENTRIES.some(({ file }) => file === LAST_SEGMENT), "the last segment holds data");
});

for (const file of paths) {
  Deno.test(`no flipped byte of ${file} gives other data, or hides a key [R5]`, async () => {
    const size = FILES.get(file)!.length;
    const unnoticed = new Set<number>();
    for (let at = 0; at < size; at++) {
      for (let bit = 0; bit < BITS; bit++) {
        const outcome = await readAll(damaged(file, at, bit), () => ALL);
        judge(outcome, file, `byte ${at}, bit ${(at + bit) % 8}`);
        FLIPPED.set(file, (FLIPPED.get(file) ?? 0) + 1);
        if (outcome.error !== undefined || outcome.losses.length > 0) continue;
        if (outcome.tornBytes === 0) unnoticed.add(at);
      }
    }
    assert.deepEqual([...unnoticed], unnoticeable(file));
  });
}

Deno.test("every byte of every file was flipped", () => {
  const bytes = [...FILES.values()].reduce((sum, { length }) => sum + length, 0);
  const flips = [...FLIPPED.values()].reduce((sum, count) => sum + count, 0);
  assert.equal(flips, bytes * BITS);
  reached("corruption", flips / bytes, BITS, { files: FILES.size, flips });
});

for (const file of SEGMENTS) {
  Deno.test(`strict recovery refuses what salvage reports: ${file}`, async () => {
    const strict = { ...GOLDEN_OPTIONS, recovery: "strict" as const };
    for (let at = 0; at < FILES.get(file)!.length; at += 5) {
      const salvaged = await openGolden(damaged(file, at));
      const { losses } = salvaged.recovery;
      await salvaged.close();
      const strictly = openGolden(damaged(file, at), "/data", strict);
      if (losses.length === 0) {
        await (await strictly).close();
        continue;
      }
      await assert.rejects(
        strictly,
        (error) =>
          error instanceof PairError && error.error === "CorruptedData" &&
          error.message.includes(file) && error.details.offset === losses[0].offset,
        `byte ${at}`,
      );
    }
  });
}

for (const file of paths.filter((path) => path !== LAST_SEGMENT && path !== MANIFEST)) {
  Deno.test(`${file}, cut at any length, gives no other data and hides no key`, async () => {
    for (let length = 0; length < FILES.get(file)!.length; length++) {
      const outcome = await readAll(cut(file, length), () => ALL);
      assert.ok(outcome.error ?? outcome.losses[0], `cut at ${length} is noticed`);
      judge(outcome, file, `cut at ${length}`);
    }
  });
}

Deno.test("the manifest, cut at any length, gives no other data and hides no key", async () => {
  // What edits are missing shows in the files that no longer fit: the message names one of those.
  for (let length = 0; length < FILES.get(MANIFEST)!.length; length++) {
    const { error, losses, found } = await readAll(cut(MANIFEST, length), () => ALL);
    if (error === undefined) {
      assert.deepEqual(losses, []);
      assert.deepEqual(found, ALL, `cut at ${length}`);
    } else assert.match(error.message, /\/data\/(MANIFEST|wal|tenants)/, `cut at ${length}`);
  }
});

Deno.test("the last segment, cut at any length after a clean close, gives what stands before the cut, and says what is lost", async () => {
  // A file cut at its end looks like the torn tail of a crash. That there was a clean close instead, and at
  // which sequence, is in the manifest.
  const bytes = FILES.get(LAST_SEGMENT)!;
  const items = [...readSegment(diskWith(FILES), `/data/${LAST_SEGMENT}`, 23)];
  const frames = items.flatMap((item) => "offset" in item ? [item.offset] : []);
  const ends = [...frames.slice(1), bytes.length];
  const closeFrame = frames.at(-1)!;
  const strict = { ...GOLDEN_OPTIONS, recovery: "strict" as const };
  for (let length = 0; length < bytes.length; length++) {
    const where = `cut at ${length}`;
    const whole = ends.filter((end) => end <= length).length;
    const standing = new Set(frames.slice(0, whole));
    const expected = modelOf(
      ENTRIES.filter(({ file, offset }) => file !== LAST_SEGMENT || standing.has(offset)),
    );
    // A file without a whole header is no segment: the log ends with the one before.
    const [file, end] = length < HEADER_SIZE
      ? [SEGMENT_BEFORE, FILES.get(SEGMENT_BEFORE)!.length]
      : [LAST_SEGMENT, whole === 0 ? HEADER_SIZE : ends[whole - 1]];
    const path = `/data/${file}`;
    const torn = length < HEADER_SIZE ? 0 : length - end;
    // Without its close frame the log still has all data.
    const losses = length < closeFrame ? [{ file: path, offset: end, bytes: 0 }] : [];
    const outcome = await readAll(cut(LAST_SEGMENT, length), () => expected);
    assert.deepEqual(
      outcome,
      { error: undefined, losses, tornBytes: torn, found: expected },
      where,
    );

    const problems = (await checkDirectory(cut(LAST_SEGMENT, length), "/data"))
      .filter((report) => report.problem !== undefined);
    assert.deepEqual(problems.map((report) => report.file), losses.map((loss) => loss.file), where);

    const strictly = openGolden(cut(LAST_SEGMENT, length), "/data", strict);
    if (losses.length === 0) await (await strictly).close();
    else {
      await assert.rejects(
        strictly,
        (error) =>
          error instanceof PairError && error.error === "CorruptedData" &&
          error.message.includes(path) && error.details.offset === end,
        where,
      );
    }
  }
});

Deno.test("after a crash, a cut of the last segment is a torn tail: nothing tells it apart", async () => {
  // The one damage that takes acknowledged writes without an error: no clean close told how far the log reached.
  const files = readFolder(`${goldenFolder(1)}/torn`);
  const bytes = files.get(LAST_SEGMENT)!;
  for (let length = 0; length < bytes.length; length += 5) {
    const disk = diskWith(files);
    disk.setBytes(`/data/${LAST_SEGMENT}`, bytes.slice(0, length));
    const engine = await openGolden(disk);
    assert.deepEqual(engine.recovery.losses, [], `cut at ${length}`);
    await engine.close();
  }
});

Deno.test("a loss at the end of the log is told once: what is left is the log from then on", async () => {
  const disk = cut(LAST_SEGMENT, HEADER_SIZE);
  let engine = await openGolden(disk);
  assert.equal(engine.recovery.losses.length, 1);
  const plain = engine.tree("plain")!;
  await engine.write([{ tree: plain, kind: KIND_PUT, key: utf8("new"), value: utf8("write") }]);
  const left = contents(engine);
  await engine.close();
  engine = await openGolden(disk);
  assert.deepEqual(engine.recovery.losses, []);
  assert.deepEqual(contents(engine), left);
  await engine.close();
});

Deno.test("a clean close leaves no data last: not in the log, not in the manifest [E12]", async () => {
  const disk = diskWith(FILES);
  const items = [...readSegment(disk, `/data/${LAST_SEGMENT}`, 23)];
  assert.deepEqual(items.at(-1), { offset: 279, closed: true });
  const manifest = (of: SimDisk) => {
    const name = of.list("/data").find((entry) => entry.startsWith("MANIFEST-"))!;
    return readManifest(of, `/data/${name}`, Number(name.slice("MANIFEST-".length)));
  };
  assert.deepEqual(manifest(disk).edits.at(-1), { nextFile: 24, closed: ENTRIES.at(-1)!.seq });
  // And so does the close of an engine that wrote nothing.
  const engine = await openGolden(disk);
  await engine.close();
  assert.equal(manifest(disk).edits.at(-1)?.closed, ENTRIES.at(-1)!.seq);
  const last = disk.list("/data/wal").at(-1)!;
  const only = [...readSegment(disk, `/data/wal/${last}`, Number.parseInt(last))];
  assert.deepEqual(only.slice(1), [{ offset: HEADER_SIZE_NOW, closed: true }]);
});

Deno.test("two tables of a tree, swapped, are found out", async () => {
  const [a, b] = ["tenants/plain~1/000011.sst", "tenants/plain~1/000020.sst"];
  const disk = diskWith(FILES);
  // Of the same length, as far as the manifest can see.
  disk.setBytes(`/data/${a}`, FILES.get(a)!);
  const swapped = FILES.get(b)!.slice();
  const padded = new Uint8Array(FILES.get(a)!.length);
  padded.set(swapped, padded.length - swapped.length);
  disk.setBytes(`/data/${a}`, padded);
  const { error } = await readAll(disk, () => ALL);
  assert.match(String(error), /000011\.sst at \d+: footer checksum/);
});

Deno.test("a scan that met damage says so again, rather than going on elsewhere", async () => {
  const disk = damaged("tenants/plain~1/000011.sst", 400);
  const engine = await openGolden(disk);
  const cursor = engine.scan(engine.tree("plain")!, { start: utf8("key") });
  const seen: string[] = [];
  const walk = () => {
    while (cursor.next()) seen.push(show(cursor.key));
  };
  assert.throws(walk, { error: "ChecksumFailed" });
  const before = seen.length;
  assert.ok(before > 0);
  assert.throws(walk, { error: "ChecksumFailed" });
  assert.equal(seen.length, before);
  cursor.close();
  await engine.close();
});
