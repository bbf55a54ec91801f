/**
 * A directory that a newer program wrote is refused, by name and numbers, and left as it is.
 * @module
 */
import assert from "node:assert/strict";
import { FOOTER_SIZE, sectionChecksum, TABLE_FORMAT } from "../../src/engine/sstable/format.ts";
import { MANIFEST_FORMAT } from "../../src/engine/manifest/mod.ts";
import { WAL_FORMAT } from "../../src/engine/wal/format.ts";
import { crc32c, PairError, putU32, utf8 } from "../../src/model/mod.ts";
import { claimIdentity } from "../../src/node/mod.ts";
import {
  diskWith,
  goldenFolder,
  openGolden,
  readDisk,
  readFolder,
  refusesNewer,
  worldOn,
} from "../support/golden.ts";

/** The path of the golden store's file that a pattern names. */
function find(files: ReadonlyMap<string, Uint8Array>, pattern: RegExp): string {
  const path = [...files.keys()].find((name) => pattern.test(name));
  assert.ok(path !== undefined, `no ${pattern}`);
  return path;
}

/** Each file's format number raised, its checksum made to fit. */
const RAISED: Record<string, { file: RegExp; known: number; raise: (bytes: Uint8Array) => void }> = {
  wal: {
    file: /^wal\/000019/,
    known: WAL_FORMAT,
    raise(bytes) {
      putU32(bytes, 8, WAL_FORMAT + 1);
      putU32(bytes, 40, crc32c(bytes, 0, 40));
    },
  },
  manifest: {
    file: /^MANIFEST/,
    known: MANIFEST_FORMAT,
    raise(bytes) {
      putU32(bytes, 8, MANIFEST_FORMAT + 1);
      putU32(bytes, 16, crc32c(bytes, 0, 16));
    },
  },
  "table on level 0": {
    file: /plain~1\/000020/,
    known: TABLE_FORMAT,
    raise: (bytes) => raiseTable(bytes, 20),
  },
  "table on level 1": {
    file: /plain~1\/000011/,
    known: TABLE_FORMAT,
    raise: (bytes) => raiseTable(bytes, 11),
  },
};

function raiseTable(bytes: Uint8Array, number: number): void {
  const at = bytes.length - FOOTER_SIZE;
  putU32(bytes, at + 52, TABLE_FORMAT + 1);
  putU32(bytes, at + 60, sectionChecksum(number, at, bytes.subarray(at), 0, 60));
}

/** All files but the lock, which says who looked last. */
function withoutLock(files: Map<string, Uint8Array>): Map<string, Uint8Array> {
  files.delete("LOCK");
  return files;
}

for (const store of ["closed", "torn"]) {
  for (const [what, { file, known, raise }] of Object.entries(RAISED)) {
    Deno.test(`a newer ${what} in a ${store} store is refused, and nothing is changed`, async () => {
      const files = readFolder(`${goldenFolder(1)}/${store}`);
      const path = find(files, file);
      raise(files.get(path)!);
      const disk = diskWith(files);
      await assert.rejects(
        openGolden(disk),
        (error) => refusesNewer(error, `/data/${path}`, known + 1, known),
      );
      assert.deepEqual(withoutLock(readDisk(disk, "/data")), withoutLock(files));
      // The lock is free again.
      await assert.rejects(openGolden(disk), { error: "InvalidArgument" });
    });
  }
}

Deno.test("a newer IDENTITY is refused, and nothing is changed", () => {
  const files = readFolder(`${goldenFolder(1)}/closed`);
  const body = `pairdb 3\nsomething new\n`;
  const crc = crc32c(utf8(body)).toString(16).padStart(8, "0");
  files.set("IDENTITY", utf8(`${body}crc32c ${crc}\n`));
  const disk = diskWith(files);
  assert.throws(
    () => claimIdentity(worldOn(disk), "/data", undefined),
    (error) => refusesNewer(error, "/data/IDENTITY", 3, 2),
  );
  assert.deepEqual(readDisk(disk, "/data"), files);
});

for (const version of [1, 2]) {
  Deno.test(`an IDENTITY of format ${version} of another node, or a damaged one, is refused, and nothing is changed`, () => {
  const files = readFolder(`${goldenFolder(1)}/closed`);
  if (version === 2) files.set("IDENTITY", Deno.readFileSync(`${goldenFolder(2)}/IDENTITY`));
  const disk = diskWith(files);
  assert.throws(
    () => claimIdentity(worldOn(disk), "/data", "other"),
    (error) => error instanceof PairError && error.error === "InvalidArgument",
  );
  assert.deepEqual(readDisk(disk, "/data"), files);
  const size = files.get("IDENTITY")!.length;
  for (let at = 0; at < size; at++) {
    disk.corrupt("/data/IDENTITY", at, 1);
    assert.throws(
      () => claimIdentity(worldOn(disk), "/data", undefined),
      (error) => error instanceof PairError && error.message.includes("/data/IDENTITY"),
      `byte ${at}`,
    );
    disk.corrupt("/data/IDENTITY", at, 1);
    const cut = diskWith(new Map([["IDENTITY", files.get("IDENTITY")!.slice(0, at)]]));
    assert.throws(
      () => claimIdentity(worldOn(cut), "/data", undefined),
      (error) => error instanceof PairError && error.error === "CorruptedData",
      `cut at ${at}`,
    );
  }
  assert.deepEqual(readDisk(disk, "/data"), files);
});
}
