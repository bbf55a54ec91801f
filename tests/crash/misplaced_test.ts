/**
 * Sound bytes in the wrong place: two stretches of a table swapped, or one that is another table's.
 * Disks and controllers do this, and a checksum of the bytes alone lets it pass.
 * @module
 */
import assert from "node:assert/strict";
import { KIND_PUT } from "../../src/engine/mod.ts";
import { fromUtf8, PairError, utf8 } from "../../src/model/mod.ts";
import { engineWorld, openTestEngine, SMALL } from "../support/engine.ts";
import { diskWith, readDisk } from "../support/golden.ts";

/** One table a tree, each of many blocks of one size: entries differ in their bytes alone. */
const ENTRIES = 90;
const TREES = ["one", "two"];
const OPTIONS = { ...SMALL, memtableSize: 1 << 20 };

/** Keys share no first byte, so that the blocks of a table are all of one size. */
function keyOf(i: number): string {
  return `${String.fromCharCode(33 + i)}/key`;
}

async function makeStore(): Promise<Map<string, Uint8Array<ArrayBuffer>>> {
  const world = engineWorld();
  const engine = await openTestEngine(world, OPTIONS);
  // So that all sequences take the same number of bytes.
  const first = await engine.createTree("first");
  for (let i = 0; i < 128; i++) {
    await engine.write([{ tree: first, kind: KIND_PUT, key: utf8("k"), value: utf8("") }]);
  }
  for (const name of TREES) {
    const tree = await engine.createTree(name);
    const mutations = Array.from({ length: ENTRIES }, (_, i) => ({
      tree,
      kind: KIND_PUT,
      key: utf8(keyOf(i)),
      value: utf8(`${name} ${100 + i}`),
    } as const));
    await engine.write(mutations);
  }
  await engine.flush();
  await engine.close();
  return readDisk(world.disk, "/data");
}

/** Reads all of the first tree; undefined when damage was found on the way. */
async function readOne(files: ReadonlyMap<string, Uint8Array>): Promise<string[] | undefined> {
  const world = engineWorld({ image: diskWith(files).snapshotImage() });
  try {
    const engine = await openTestEngine(world, OPTIONS);
    try {
      const found: string[] = [];
      const cursor = engine.scan(engine.tree("one")!, {});
      while (cursor.next()) found.push(`${fromUtf8(cursor.key)}=${fromUtf8(cursor.value)}`);
      return found;
    } finally {
      await engine.close();
    }
  } catch (error) {
    if (!(error instanceof PairError)) throw error;
    assert.ok(["CorruptedData", "ChecksumFailed"].includes(error.error), error.message);
    return undefined;
  }
}

const RIGHT = Array.from({ length: ENTRIES }, (_, i) => `${keyOf(i)}=one ${100 + i}`);

Deno.test("two stretches of a table, swapped, are damage, whatever their length", async () => {
  const files = await makeStore();
  assert.deepEqual(await readOne(files), RIGHT);
  const path = [...files.keys()].find((name) => /one~\d+\/\d+\.sst$/.test(name))!;
  const sound = files.get(path)!;
  let noticed = 0;
  // One of the lengths is that of a block with its trailer.
  for (let length = 50; length < 800 && 2 * length < sound.length; length++) {
    const swapped = Uint8Array.from(sound);
    swapped.copyWithin(0, length, 2 * length);
    swapped.set(sound.subarray(0, length), length);
    const found = await readOne(new Map(files).set(path, swapped));
    if (found === undefined) noticed++;
    else assert.deepEqual(found, RIGHT, `${length} bytes swapped`);
  }
  assert.ok(noticed > 500, `${noticed} swaps noticed`);
});

Deno.test("the beginning of another table, in the same place, is damage, whatever its length", async () => {
  const files = await makeStore();
  const tables = [...files.keys()].filter((name) => name.endsWith(".sst"));
  const [one, two] = ["one~", "two~"].map((dir) => tables.find((name) => name.includes(dir))!);
  const sound = files.get(one)!;
  const other = files.get(two)!;
  assert.equal(sound.length, other.length);
  for (let length = 50; length < 800 && length < sound.length; length++) {
    const mixed = Uint8Array.from(sound);
    mixed.set(other.subarray(0, length));
    assert.equal(await readOne(new Map(files).set(one, mixed)), undefined, `${length} bytes`);
  }
});
