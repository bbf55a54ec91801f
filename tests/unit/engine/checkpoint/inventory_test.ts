/**
 * The inventory of a checkpoint, alone: what is written is read back, and nothing else is taken for one.
 * @module
 */
import assert from "node:assert/strict";
import {
  decodeInventory,
  encodeInventory,
  type Inventory,
  readInventory,
} from "../../../../src/engine/checkpoint/inventory.ts";
import { PairError, utf8 } from "../../../../src/model/mod.ts";
import { sha256, SimDisk } from "../../../../src/runtime/mod.ts";

const INVENTORY: Inventory = {
  node: "n 1 ü",
  store: "0123456789abcdef0123456789abcdef",
  sequence: 1200,
  createdAtMs: 1_763_724_000_000,
  files: [
    { path: "CURRENT", size: 24, sha256: "a".repeat(64) },
    { path: "MANIFEST-000031", size: 900, sha256: "b".repeat(64) },
    { path: "tenants/notes~2/000014.sst", size: 4096, sha256: "c".repeat(64) },
    { path: "wal/000030.wal", size: 44, sha256: "d".repeat(64) },
  ],
};

const read = (bytes: Uint8Array) => decodeInventory("/s/SNAPSHOT", bytes);

/** A well-made inventory of a body that the encoder would not write. */
function sealed(body: string): Uint8Array {
  const digest = sha256();
  digest.update(utf8(body));
  return utf8(`${body}sha256 ${digest.hex()}\n`);
}

Deno.test("an inventory is read back as it was written, in the order of paths", () => {
  assert.deepEqual(read(encodeInventory(INVENTORY)), INVENTORY);
  const turned = { ...INVENTORY, files: INVENTORY.files.toReversed() };
  assert.deepEqual(read(encodeInventory(turned)), INVENTORY);
  const bare = { node: "", store: "", sequence: 0, createdAtMs: 0, files: [] };
  assert.deepEqual(read(encodeInventory(bare)), bare);
});

Deno.test("every flipped bit and every cut of an inventory is refused by its name", () => {
  const bytes = encodeInventory(INVENTORY);
  const refused = (bytes: Uint8Array, what: string) =>
    assert.throws(() => read(bytes), (error) => {
      assert.ok(error instanceof PairError, what);
      // A flipped format number may be that of a newer program.
      assert.ok(["CorruptedData", "InvalidArgument"].includes(error.error), what);
      assert.equal(error.details.file, "/s/SNAPSHOT", what);
      return true;
    });
  for (let at = 0; at < bytes.length; at++) {
    for (let bit = 0; bit < 8; bit++) {
      const flipped = bytes.slice();
      flipped[at] ^= 1 << bit;
      refused(flipped, `bit ${bit} of byte ${at}`);
    }
    refused(bytes.subarray(0, at), `cut at ${at}`);
  }
  refused(Uint8Array.of(...bytes, 10), "a line more");
});

Deno.test("an inventory of a newer format is refused with both numbers", () => {
  const newer = sealed("pairdb snapshot 2\nwhatever comes then\n");
  assert.throws(() => read(newer), {
    error: "InvalidArgument",
    message: /SNAPSHOT: its format is 2, newer than this program's 1/,
  });
});

Deno.test("an inventory leads to no file but those of a checkpoint", () => {
  const head = "pairdb snapshot 1\nnode \nstore \nsequence 1\ntime 1\nfiles 1\n";
  const line = `${"a".repeat(64)} 5 `;
  assert.equal(read(sealed(`${head}${line}wal/000001.wal\n`)).files.length, 1);
  const paths = [
    "../CURRENT",
    "/etc/passwd",
    "wal/../../x",
    "wal/1.wal",
    "tenants/a~1/../000001.sst",
    "tenants/../a~1/000001.sst",
    "tenants/a~1/000001.wal",
    "IDENTITY",
    "SNAPSHOT",
    "LOCK",
    "",
  ];
  for (const path of paths) {
    assert.throws(() => read(sealed(`${head}${line}${path}\n`)), { error: "CorruptedData" }, path);
  }
});

Deno.test("a directory without an inventory is no snapshot", () => {
  const disk = new SimDisk();
  assert.throws(() => readInventory(disk, "/nowhere"), { error: "InvalidArgument" });
  disk.makeDir("/s/SNAPSHOT");
  assert.throws(() => readInventory(disk, "/s"), /is not a snapshot/);
});
