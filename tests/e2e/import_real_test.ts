import assert from "node:assert/strict";
import { testNeeding } from "../support/needs.ts";
import { withDirectory } from "../support/server.ts";
import { debianPackages, importReal } from "./import_real.ts";

/** Enough for many batches; the script beside this test takes all. */
const packages = await debianPackages(12_000);

testNeeding(
  "import: Debian's package list survives kill -9 in the middle and at the end (12,000 records)",
  "missing" in packages ? packages.missing : undefined,
  () =>
    withDirectory(async (directory) => {
      assert.ok("records" in packages);
      const report = await importReal({ ...packages, directory, killAtShare: 0.5 });
      assert.equal(report.records, packages.records.size);
      // Every record was written once, whatever was killed and repeated.
      assert.equal(report.lastSequence, packages.records.size);
    }),
);
