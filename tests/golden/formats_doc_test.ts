/**
 * docs/formats.md against the golden store: every byte that the page shows stands where it says.
 * @module
 */
import assert from "node:assert/strict";
import { MANIFEST_FORMAT } from "../../src/engine/manifest/mod.ts";
import { TABLE_FORMAT } from "../../src/engine/sstable/mod.ts";
import { WAL_FORMAT } from "../../src/engine/wal/format.ts";
import { crc32c, decodeVersions, utf8 } from "../../src/model/mod.ts";
import { goldenFolder, SIBLINGS } from "../support/golden.ts";

const PAGE = Deno.readTextFileSync(new URL("../../docs/formats.md", import.meta.url));

interface Example {
  readonly file: string;
  readonly offset: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** The blocks of the page: hexadecimal digits up to two spaces, then words. */
function examples(): Example[] {
  return [...PAGE.matchAll(/^```hex (\S+) @(\d+)\n([^`]+)^```$/gm)].map(([, file, offset, text]) => ({
    file,
    offset: Number(offset),
    bytes: Uint8Array.from(
      text.trimEnd().split("\n").flatMap((line) => line.split("  ")[0].trim().split(" ")),
      (digits) => {
        assert.match(digits, /^[0-9a-f]{2}$/, `${file} @${offset}`);
        return Number.parseInt(digits, 16);
      },
    ),
  }));
}

/** `closed/...` is in the store of format version 1, `v2/closed/...` in that of version 2. */
function pathOf(file: string): string {
  const [, version, rest] = /^(?:v(\d+)\/)?(.*)$/.exec(file)!;
  return `${goldenFolder(Number(version ?? 1))}/${rest}`;
}

const EXAMPLES = examples();

Deno.test("docs/formats.md shows the bytes that are there", () => {
  assert.equal(EXAMPLES.length, PAGE.match(/^```hex/gm)?.length, "every block is read");
  assert.ok(EXAMPLES.length >= 15);
  for (const { file, offset, bytes } of EXAMPLES) {
    const golden = Deno.readFileSync(pathOf(file));
    assert.deepEqual(
      bytes.toHex(),
      golden.slice(offset, offset + bytes.length).toHex(),
      `${file} @${offset}`,
    );
  }
});

Deno.test("docs/formats.md shows one table, CURRENT and IDENTITY whole", () => {
  for (
    const file of ["v2/closed/tenants/notes~2/000024.sst", "closed/CURRENT", "v2/IDENTITY"]
  ) {
    const shown = EXAMPLES.filter((example) => example.file === file)
      .sort((a, b) => a.offset - b.offset);
    let end = 0;
    for (const { offset, bytes } of shown) {
      assert.equal(offset, end, `${file}: nothing is left out before ${offset}`);
      end = offset + bytes.length;
    }
    assert.equal(end, Deno.statSync(pathOf(file)).size);
  }
});

Deno.test("docs/formats.md describes the formats that this program writes", () => {
  assert.deepEqual([WAL_FORMAT, TABLE_FORMAT, MANIFEST_FORMAT], [2, 2, 2]);
  assert.equal(crc32c(utf8("123456789")), 0xe3069283);
});

Deno.test("the versions in docs/formats.md are the ones described", () => {
  const { bytes } = EXAMPLES.find(({ file, offset }) =>
    file === "closed/wal/000019.wal" && offset === 80
  )!;
  assert.deepEqual(decodeVersions(bytes), SIBLINGS);
});
