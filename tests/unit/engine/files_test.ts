import assert from "node:assert/strict";
import {
  Files,
  manifestName,
  parseManifestName,
  parseSegmentName,
  parseTableName,
  parseTreeDirName,
  tablePath,
  treeDirName,
} from "../../../src/engine/files.ts";

Deno.test("names of files are read back as the numbers they were made from [T2]", () => {
  const files = new Files("/data");
  const base = (path: string) => path.slice(path.lastIndexOf("/") + 1);
  for (const number of [1, 7, 999_999, 1_000_000, 123_456_789_012]) {
    assert.equal(parseManifestName(manifestName(number)), number);
    assert.equal(parseSegmentName(base(files.segment(number))), number);
    assert.equal(parseTableName(base(tablePath("/data/tenants/t~1", number))), number);
  }
  assert.equal(files.segment(7), "/data/wal/000007.wal");
  assert.equal(files.table("t~1", 7), "/data/tenants/t~1/000007.sst");
  assert.equal(files.manifest(7), "/data/MANIFEST-000007");
  assert.equal(files.quarantined(7), "/data/quarantine/000007.wal");
});

Deno.test("a name of any other shape is not ours", () => {
  const strays = [
    "",
    "7.wal",
    "00007.wal",
    "0000007.wal",
    "000007.wal.bak",
    "x000007.wal",
    "000007.WAL",
    "000007.wal\n",
    " 000007.wal",
    "-00007.wal",
    "1e5000.wal",
    "0000000000000007.wal",
    "٠٠٠٠٠٧.wal",
    "000007",
    "000007.sst",
  ];
  for (const name of strays) assert.equal(parseSegmentName(name), undefined, name);
  for (
    const name of [
      "MANIFEST",
      "MANIFEST-7",
      "MANIFEST-0000007",
      "manifest-000007",
      "MANIFEST-000007~",
    ]
  ) {
    assert.equal(parseManifestName(name), undefined, name);
  }
  for (const name of ["000007.sst.tmp", "7.sst", "000007.wal", "000007.sst "]) {
    assert.equal(parseTableName(name), undefined, name);
  }
});

Deno.test("a tree's directory is safe as a name, unique by its id, and readable where it can be [T2]", () => {
  assert.equal(treeDirName("orders", 3), "orders~3");
  assert.equal(treeDirName("a/../b", 1), "a_2F___2Fb~1");
  assert.equal(treeDirName("", 2), "~2");
  assert.equal(treeDirName("ключ", 4).length <= 80 + 2, true);
  const names = [
    "orders",
    "a/../b",
    "",
    "..",
    ".",
    "~",
    "a~b",
    "CON",
    "x".repeat(256),
    "é\u{10002}",
  ];
  for (const name of names) {
    const dir = treeDirName(name, 17);
    assert.match(dir, /^[A-Za-z0-9_-]{0,80}~17$/, name);
    assert.equal(parseTreeDirName(dir), 17, name);
  }
});

Deno.test("a directory of any other shape is not a tree's", () => {
  for (
    const name of ["backup", "t~", "t~0", "t~01", "t~1x", "t~-1", "a.b~1", "t~1~", "t~1\n", "~"]
  ) {
    assert.equal(parseTreeDirName(name), undefined, name);
  }
});
