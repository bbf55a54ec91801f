/**
 * Every byte of every table and segment of the golden stores flipped: verifying the file finds it, in
 * whatever parts. Sound ones are found sound.
 * @module
 */
import assert from "node:assert/strict";
import {
  parseArchivedName,
  parseSegmentName,
  parseTableName,
} from "../../../../src/engine/files.ts";
import { TableReader } from "../../../../src/engine/sstable/mod.ts";
import {
  beginningOf,
  runScrubJob,
  type ScrubPosition,
  type ScrubTarget,
} from "../../../../src/engine/scrub/verify.ts";
import { PairError } from "../../../../src/model/mod.ts";
import { SimDisk } from "../../../../src/runtime/mod.ts";
import { GOLDEN_KEY, goldenFolder, goldenOptions, readFolder } from "../../../support/golden.ts";

/** Verifies a file in parts; returns how many there were. */
function verify(disk: SimDisk, target: ScrubTarget, key: Uint8Array | undefined, bytesMax: number) {
  let position: ScrubPosition | undefined = beginningOf(target);
  let parts = 0;
  for (; position !== undefined; parts++) {
    const job = {
      type: "scrub",
      target,
      position: structuredClone(position),
      bytesMax,
      key,
    } as const;
    position = runScrubJob(disk, job, false);
  }
  return parts;
}

/** Tables and segments of a golden store. */
function filesOf(version: number, store: string) {
  const key = goldenOptions(store).encryption?.key;
  const disk = new SimDisk();
  const found: { target: ScrubTarget; bytes: Uint8Array }[] = [];
  for (const [file, bytes] of readFolder(`${goldenFolder(version)}/${store}`)) {
    if (file.startsWith("snapshots/") || file.startsWith("quarantine/")) continue;
    const path = `/data/${file}`;
    const name = file.slice(file.lastIndexOf("/") + 1);
    const size = bytes.length;
    const table = parseTableName(name);
    const segment = parseSegmentName(name) ?? parseArchivedName(name)?.number;
    disk.setBytes(path, bytes);
    if (table !== undefined) {
      const tree = Number(/~(\d+)\//.exec(file)![1]);
      const reader = new TableReader(disk, path, table, undefined, key && { key, tree });
      const { entries } = reader.properties;
      reader.close();
      found.push({ target: { kind: "table", path, number: table, size, tree, entries }, bytes });
    } else if (segment !== undefined) {
      const kind = file.includes("archive") ? "archive" : "segment";
      found.push({ target: { kind, path, number: segment, size, counted: size }, bytes });
    }
  }
  return { disk, key, found };
}

const STORES = [[1, "closed"], [2, "closed"], [2, "packed"], [2, "sealed"], [2, "mixed"], [
  2,
  "kept",
]] as const;

for (const [version, store] of STORES) {
  Deno.test(`golden store v${version}/${store}: a scrub finds every flipped byte, and nothing where all is sound [R5, R6]`, () => {
    const { disk, key, found } = filesOf(version, store);
    assert.ok(found.some(({ target }) => target.kind === "table"));
    assert.ok(found.some(({ target }) => target.kind === "segment"));
    for (const { target, bytes } of found) {
      assert.ok(verify(disk, target, key, 1) > 1, target.path);
      verify(disk, target, key, 300);
      const whole = verify(disk, target, key, Infinity);
      assert.equal(whole, target.kind === "table" ? 2 : 1);
      for (let at = 0; at < bytes.length; at++) {
        const bit = 1 << (at % 8);
        disk.corrupt(target.path, at, bit);
        assert.throws(
          () => verify(disk, target, key, at % 3 === 0 ? 64 : Infinity),
          (error) =>
            error instanceof PairError &&
            ["CorruptedData", "ChecksumFailed", "InvalidArgument"].includes(error.error),
          `${target.path} at ${at}`,
        );
        disk.corrupt(target.path, at, bit);
      }
    }
  });
}

Deno.test("a table that is not the one of the manifest is found: another size, other entries [R6]", () => {
  const { disk, found } = filesOf(2, "closed");
  const { target } = found.find(({ target }) => target.kind === "table")!;
  assert.ok(target.kind === "table");
  for (const other of [{ entries: target.entries + 1 }, { size: target.size + 1 }]) {
    assert.throws(() => verify(disk, { ...target, ...other }, GOLDEN_KEY, Infinity), {
      error: "CorruptedData",
    });
  }
});

Deno.test("a segment that is too short is found; where nobody knows its length, its end may be torn [R6]", () => {
  const { disk, found } = filesOf(2, "closed");
  const { target, bytes } = found.find(({ target }) =>
    target.kind === "segment" && target.size > 300
  )!;
  assert.ok(target.kind !== "table");
  disk.setBytes(target.path, bytes.subarray(0, bytes.length - 1));
  assert.throws(() => verify(disk, target, undefined, Infinity), { error: "CorruptedData" });
  verify(disk, { ...target, counted: undefined }, undefined, Infinity);
  // But for a sound frame behind it.
  disk.setBytes(target.path, bytes);
  disk.corrupt(target.path, 140, 1);
  assert.throws(() => verify(disk, { ...target, counted: undefined }, undefined, Infinity), {
    error: "CorruptedData",
  });
});
