import assert from "node:assert/strict";
import fc from "fast-check";
import { decodeEdit, encodeEdit } from "../../../../src/engine/manifest/edit.ts";
import { Files } from "../../../../src/engine/files.ts";
import {
  type Edit,
  Manifest,
  ManifestState,
  readCurrent,
  readManifest,
} from "../../../../src/engine/manifest/mod.ts";
import { PairError } from "../../../../src/model/mod.ts";
import { SimDisk, SimRandom } from "../../../../src/runtime/mod.ts";
import { tableMeta } from "../../../support/entries.ts";

const PLAIN = { noNullPrototype: true } as const;
const number = fc.oneof(fc.nat(300), fc.nat({ max: Number.MAX_SAFE_INTEGER }));
const id = fc.nat(5);
const key = fc.uint8Array({ maxLength: 40 });

const properties = fc.record({
  entries: number,
  deletes: number,
  merges: number,
  minSeq: number,
  maxSeq: number,
  keyBytes: number,
  valueBytes: number,
  createdAtMs: number,
  smallest: key,
  largest: key,
  minTimeMs: number,
  maxTimeMs: number,
  mortal: number,
  lastDeathMs: number,
  rawBytes: number,
}, PLAIN);

const table = fc.record({ level: fc.nat(63), number, size: number, properties }, PLAIN);
const list = <T>(one: fc.Arbitrary<T>) => fc.array(one, { minLength: 1, maxLength: 3 });

/** Any edit: lists that are there are not empty, as the decoder gives them. */
const edit: fc.Arbitrary<Edit> = fc.record({
  nextFile: number,
  oldestLog: number,
  newestLog: number,
  lastSeq: number,
  dropTree: id,
  closed: number,
  floor: number,
  relaxed: fc.boolean(),
  newTrees: list(
    fc.record({
      id: number,
      name: fc.string({ unit: "grapheme", maxLength: 20 }),
      operator: fc.string({ maxLength: 9 }),
      createdAtMs: number,
    }, PLAIN),
  ),
  add: list(fc.record({ tree: id, table }, PLAIN)),
  remove: list(fc.record({ tree: id, number }, PLAIN)),
  flushed: list(fc.record({ tree: id, seq: number }, PLAIN)),
  purged: list(fc.record({ tree: id, floor: number }, PLAIN)),
  forgotten: list(fc.record({ tree: id, seq: number }, PLAIN)),
}, { requiredKeys: [], ...PLAIN });

Deno.test("decodeEdit() gives back what encodeEdit() took [E26]", () => {
  fc.assert(
    fc.property(edit, (edit) => {
      assert.deepEqual(decodeEdit(encodeEdit(edit), "an edit"), edit);
    }),
    { numRuns: 1000 },
  );
});

Deno.test("decodeEdit() refuses every cut that ends inside a field", () => {
  const bytes = encodeEdit({
    nextFile: 300,
    newTrees: [{ id: 1, name: "näme", operator: "append", createdAtMs: 5 }],
    add: [{ tree: 1, table: tableMeta(9, ["a", "b"]) }],
    flushed: [{ tree: 1, seq: 7 }],
  });
  const fields = new Set<number>();
  for (let end = 0; end < bytes.length; end++) {
    try {
      decodeEdit(bytes.subarray(0, end), "an edit");
      fields.add(end);
    } catch (error) {
      assert.ok(error instanceof PairError && error.error === "CorruptedData", String(error));
    }
  }
  assert.equal(fields.size, 4, "only the ends of the four fields read as edits");
});

Deno.test("decodeEdit() refuses a level that would cost memory for all levels below it", () => {
  const add = (level: number) =>
    encodeEdit({ add: [{ tree: 1, table: tableMeta(9, ["a", "b"], { level }) }] });
  assert.equal(decodeEdit(add(63), "an edit").add?.[0].table.level, 63);
  for (const level of [64, 2 ** 40]) {
    assert.throws(() => decodeEdit(add(level), "an edit"), { error: "CorruptedData" });
  }
});

Deno.test("a state's snapshot makes the same state from nothing", () => {
  const state = new ManifestState();
  const steps: Edit[] = [
    { nextFile: 5, newTrees: [{ id: 1, name: "a", operator: "", createdAtMs: 1 }] },
    { newTrees: [{ id: 2, name: "b", operator: "append", createdAtMs: 2 }] },
    {
      lastSeq: 90,
      oldestLog: 3,
      newestLog: 4,
      add: [{ tree: 1, table: tableMeta(10, ["a", "c"]) }, {
        tree: 1,
        table: tableMeta(11, ["d", "e"], { level: 2 }),
      }],
      flushed: [{ tree: 1, seq: 80 }],
    },
    { remove: [{ tree: 1, number: 10 }], add: [{ tree: 2, table: tableMeta(12, ["x", "y"]) }] },
    { newTrees: [{ id: 3, name: "c", operator: "", createdAtMs: 3 }] },
    { dropTree: 3, floor: 70 },
    { newTrees: [{ id: 4, name: "c", operator: "", createdAtMs: 4 }], relaxed: true },
    { purged: [{ tree: 1, floor: 60 }], forgotten: [{ tree: 1, seq: 50 }], floor: 80 },
    { closed: 95 },
    { relaxed: false },
  ];
  for (const step of steps) {
    state.apply(decodeEdit(encodeEdit(step), "a step"));
    const copy = new ManifestState();
    copy.apply(decodeEdit(encodeEdit(state.snapshot()), "a snapshot"));
    assert.deepEqual(copy, state);
  }
  assert.equal(state.nextTree, 5, "a dropped id is not given out again");
});

Deno.test("a clean close counts until the next edit, and in a snapshot taken before that", () => {
  const state = new ManifestState();
  state.apply({ closed: 7, nextFile: 3 });
  assert.equal(state.closed, 7);
  assert.equal(state.snapshot().closed, 7);
  state.apply({ nextFile: 4 });
  assert.equal(state.closed, undefined);
  assert.equal(state.snapshot().closed, undefined);
});

Deno.test("apply() refuses what contradicts the state", () => {
  const state = () => {
    const state = new ManifestState();
    state.apply({
      newTrees: [{ id: 1, name: "a", operator: "", createdAtMs: 1 }],
      add: [{ tree: 1, table: tableMeta(10, ["a", "c"]) }],
    });
    return state;
  };
  const contradictions: [RegExp, Edit][] = [
    [/tree 1 exists/, { newTrees: [{ id: 1, name: "b", operator: "", createdAtMs: 1 }] }],
    [/tree 2 does not exist/, { add: [{ tree: 2, table: tableMeta(11, ["a", "c"]) }] }],
    [/table 10 is live/, { add: [{ tree: 1, table: tableMeta(10, ["a", "c"]) }] }],
    [/table 11 is not live/, { remove: [{ tree: 1, number: 11 }] }],
    [/tree 9 does not exist/, { flushed: [{ tree: 9, seq: 1 }] }],
  ];
  for (const [message, edit] of contradictions) {
    assert.throws(() => state().apply(edit), message);
  }
});

const FILES = new Files("/data");

async function made(disk: SimDisk): Promise<Manifest> {
  disk.makeDir("/data");
  disk.syncDir("/");
  const manifest = Manifest.read(disk, FILES);
  manifest.rollOver();
  await manifest.commit(() => ({ newTrees: [{ id: 1, name: "t", operator: "", createdAtMs: 9 }] }));
  return manifest;
}

Deno.test("a manifest survives power loss up to its last commit", async () => {
  const disk = new SimDisk();
  const manifest = await made(disk);
  await manifest.commit(() => ({ lastSeq: 77 }));
  disk.crash("drop");
  const { state } = Manifest.read(disk, FILES);
  assert.equal(state.lastSeq, 77);
  assert.equal(state.trees.get(1)?.name, "t");
  assert.ok(state.nextFile > readCurrent(disk, FILES)!);
});

Deno.test("a torn last edit is left out; a damaged one before others is an error that names the file", async () => {
  const disk = new SimDisk();
  const manifest = await made(disk);
  await manifest.commit(() => ({ lastSeq: 77 }));
  const path = FILES.manifest(manifest.number);
  const whole = disk.readWhole(path);
  const MARK = 12;
  disk.setBytes(path, whole.slice(0, -MARK - 1));
  assert.equal(Manifest.read(disk, FILES).state.lastSeq, 0);
  const { tornBytes } = readManifest(disk, path, manifest.number);
  assert.equal(tornBytes, 12 + 4 - 1);
  disk.setBytes(path, whole);
  disk.corrupt(path, 40, 1);
  assert.throws(() => Manifest.read(disk, FILES), { error: "CorruptedData", message: /MANIFEST/ });
});

Deno.test("damage to the last edit does not pass for a torn one", async () => {
  for (const key of [undefined, new Uint8Array(32).fill(3)]) {
    const disk = new SimDisk();
    disk.makeDir("/data");
    const manifest = Manifest.read(disk, FILES, key && { key, random: new SimRandom(1) });
    manifest.rollOver();
    const path = FILES.manifest(manifest.number);
    const before = disk.stat(path)!.size;
    await manifest.commit(() => ({ lastSeq: 77 }));
    const whole = disk.readWhole(path);
    const mark = key === undefined ? 12 : 12 + 16;
    for (let at = before; at < whole.length; at++) {
      disk.corrupt(path, at, 1);
      const read = () => readManifest(disk, path, manifest.number, key);
      // Of the mark nobody was told, and nothing depends on it.
      if (at >= whole.length - mark) assert.equal(read().edits.at(-1)!.lastSeq, 77);
      else assert.throws(read, { error: "CorruptedData" }, `byte ${at}`);
      disk.setBytes(path, whole);
    }
    // A power loss may take a mark and leave the edit that was being written behind it.
    await manifest.commit(() => ({ lastSeq: 78 }));
    disk.corrupt(path, whole.length - 1, 1);
    const { edits, tornBytes } = readManifest(disk, path, manifest.number, key);
    assert.deepEqual([edits.at(-1)!.lastSeq, tornBytes], [78, 0]);
  }
});

Deno.test("a mark that cannot be written costs no edit: the manifest goes on in a fresh file", async () => {
  const disk = new SimDisk();
  const manifest = await made(disk);
  const first = manifest.number;
  const obsolete: string[] = [];
  manifest.onObsolete = (path) => obsolete.push(path);
  for (const verdict of ["ENOSPC", "short"] as const) {
    let appends = 0;
    disk.hook = ({ op }) => {
      if (op !== "append" || ++appends < 2) return undefined;
      // Of a short one the rest fails.
      return appends === 2 ? verdict : "ENOSPC";
    };
    await manifest.commit(() => ({ lastSeq: 5 }));
    disk.hook = undefined;
    assert.equal(manifest.failure, undefined);
    await manifest.commit(() => ({ lastSeq: 6 }));
    assert.equal(Manifest.read(disk, FILES).state.lastSeq, 6);
  }
  assert.deepEqual(obsolete, [first, first + 1].map((number) => FILES.manifest(number)));
});

Deno.test("an edit that finds no room is refused, and the next goes on in a fresh file", async () => {
  for (const taken of ["none of it", "a part of it"]) {
    const disk = new SimDisk();
    const manifest = await made(disk);
    const before = manifest.number;
    let appends = 0;
    const full = ({ op }: { op: string }) => {
      if (op !== "append") return undefined;
      return taken === "a part of it" && ++appends === 1 ? "short" : "ENOSPC";
    };
    disk.hook = full;
    for (let attempt = 0; attempt < 3; attempt++) {
      await assert.rejects(manifest.commit(() => ({ lastSeq: 5 })), { error: "DiskFull" });
      assert.equal(Manifest.read(SimDisk.fromImage(disk.snapshotImage()), FILES).state.lastSeq, 0);
    }
    assert.throws(() => manifest.rollOver(), { error: "DiskFull" });
    assert.equal(manifest.failure, undefined);
    assert.equal(manifest.number, before, "the old file is current");
    disk.hook = undefined;
    await manifest.commit(() => ({ lastSeq: 6 }));
    assert.equal(manifest.state.lastSeq, 6);
    assert.ok(manifest.number > before);
    const after = SimDisk.fromImage(disk.snapshotImage());
    after.crash("drop");
    assert.equal(Manifest.read(after, FILES).state.lastSeq, 6);
    await manifest.close();
  }
});

Deno.test("an edit that finds no room is written where room can be made", async () => {
  const disk = new SimDisk();
  const manifest = await made(disk);
  disk.hook = ({ op }) => (op === "append" ? "ENOSPC" : undefined);
  let given = 0;
  manifest.makeRoom = () => {
    disk.hook = undefined;
    return ++given > 0;
  };
  await manifest.commit(() => ({ lastSeq: 5 }));
  assert.equal(given, 1);
  assert.equal(Manifest.read(disk, FILES).state.lastSeq, 5);
});

Deno.test("after a failed append or sync a manifest takes no more edits", async () => {
  for (const [op, errno] of [["append", "EIO"], ["sync", "ENOSPC"]] as const) {
    const disk = new SimDisk();
    const manifest = await made(disk);
    let fail = true;
    disk.hook = (call) => (fail && call.op === op ? errno : undefined);
    const error = errno === "ENOSPC" ? "DiskFull" : "SSTableFailed";
    await assert.rejects(manifest.commit(() => ({ lastSeq: 5 })), { error });
    fail = false;
    await assert.rejects(manifest.commit(() => ({ lastSeq: 6 })), { error });
    assert.throws(() => manifest.rollOver(), { error });
    assert.ok(manifest.failure instanceof PairError);
    assert.equal(manifest.state.lastSeq, 0);
    await manifest.close();
  }
});

Deno.test("a manifest that has grown is written anew, and the old one is told to be obsolete", async () => {
  const disk = new SimDisk();
  const manifest = await made(disk);
  const obsolete: string[] = [];
  manifest.onObsolete = (path) => obsolete.push(path);
  const first = manifest.number;
  const name = "n".repeat(60_000);
  for (let id = 2; obsolete.length === 0; id++) {
    assert.ok(id < 200, "it rolls over");
    const newTrees = [{ id, name: `${name}${id}`, operator: "", createdAtMs: 0 }];
    await manifest.commit(() => ({ newTrees }));
    await manifest.commit(() => ({ dropTree: id }));
  }
  assert.deepEqual(obsolete, [FILES.manifest(first)]);
  assert.equal(readCurrent(disk, FILES), manifest.number);
  assert.ok(disk.stat(FILES.manifest(manifest.number))!.size < 100_000);
  disk.crash("drop");
  assert.deepEqual([...Manifest.read(disk, FILES).state.trees.keys()], [1]);
});

Deno.test("commits take effect in the order of calls, each built on the state of its turn", async () => {
  const disk = new SimDisk();
  const manifest = await made(disk);
  const seen: number[] = [];
  await Promise.all([1, 2, 3, 4].map((n) =>
    manifest.commit(() => {
      seen.push(manifest.state.lastSeq);
      return { lastSeq: n * 10 };
    })
  ));
  assert.deepEqual(seen, [0, 10, 20, 30]);
  await assert.rejects(
    manifest.commit(() => {
      throw new PairError("InvalidArgument", "not this one");
    }),
    /not this one/,
  );
  await manifest.commit(() => ({ lastSeq: 50 }));
  assert.equal(manifest.state.lastSeq, 50, "an edit that could not be built harms no other");
});
