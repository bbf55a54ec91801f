/**
 * The Connect conformance suite against the product's transport: its reference client sends every call
 * in every protocol, codec and compression that server.yaml names, proper and improper ones, in cleartext
 * and over TLS with and without client certificates.
 * @module
 */
import assert from "node:assert/strict";
import { findGoTool, runTool } from "../support/go_tools.ts";
import { note, testNeeding } from "../support/needs.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const HERE = "tests/conformance";

/** With fewer, server.yaml has lost a feature: the suite runs what it is told to. */
const CASES_MIN = 6900;

const suite = findGoTool("connectconformance");

testNeeding("connectconformance: no case fails", suite.missing, async () => {
  assert.ok(suite.path !== undefined);
  const { code, out, err } = await runTool(suite.path, [
    ...["--mode", "server", "--conf", `${HERE}/server.yaml`],
    ...["--known-failing", `@${HERE}/known-failing.txt`],
    // One server for each core that the smallest machine has, and few calls at once: a case that waits
    // for a machine that is busy elsewhere looks like one that fails.
    ...["--max-servers", "2", "--parallel", "4", "--"],
    ...[Deno.execPath(), "run", "--quiet", "--allow-all", `${HERE}/server.ts`],
  ], { cwd: ROOT, limitMs: 600_000 });
  const output = `${out}\n${err}`;
  const count = /Total cases: (\d+)\n(\d+) passed, (\d+) failed/.exec(output);
  assert.ok(count !== null, `there is no count of cases (exit code ${code}):\n${tail(output)}`);
  const [total, passed, failed] = count.slice(1).map(Number);
  note(`connectconformance: ${passed} of ${total} cases passed, ${failed} failed`);
  assert.equal(failed, 0, tail(output));
  assert.equal(code, 0, tail(output));
  assert.ok(total >= CASES_MIN, `only ${total} cases ran`);
});

/** The end of an output: the suite shows each failure, then its count. */
function tail(output: string): string {
  return output.slice(-20_000);
}
