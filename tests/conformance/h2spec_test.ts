/**
 * h2spec, the conformance suite of HTTP/2 and HPACK, against the real program. Strict mode also tests
 * what the standards only recommend.
 * @module
 */
import assert from "node:assert/strict";
import { findGoTool, runTool } from "../support/go_tools.ts";
import { note, testNeeding } from "../support/needs.ts";
import { withServer } from "../support/server.ts";
import { withTlsServer } from "../support/tls_server.ts";

/** With fewer, the tool has left something out. */
const CASES_MIN = 140;

const h2spec = findGoTool("h2spec");

testNeeding(
  "h2spec --strict: no case fails, none is skipped",
  h2spec.missing,
  () => withServer(({ port }) => checkAll(port)),
);

testNeeding(
  "h2spec --strict over TLS: no case fails, none is skipped",
  h2spec.missing,
  () => withTlsServer(({ port }) => checkAll(port, "--tls", "--insecure")),
);

/** Runs all cases against a port. */
async function checkAll(port: number, ...flags: readonly string[]): Promise<void> {
  assert.ok(h2spec.path !== undefined);
  const { code, out, err } = await runTool(h2spec.path, [
    ...["--host", "127.0.0.1", "--port", String(port), "--path", "/healthz"],
    // Seconds: an answer that does not come is what many cases wait for.
    ...["--strict", "--timeout", "3"],
    ...flags,
  ], { limitMs: 600_000 });
  const count = /(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed/.exec(out);
  assert.ok(count !== null, `there is no count of cases (exit code ${code}):\n${out}\n${err}`);
  const [total, passed, skipped, failed] = count.slice(1).map(Number);
  const over = flags.includes("--tls") ? " over TLS" : "";
  note(
    `h2spec${over}: ${passed} of ${total} cases passed, ${skipped} skipped, ${failed} failed`,
  );
  assert.equal(failed, 0, failures(out));
  assert.equal(skipped, 0, out);
  assert.equal(code, 0, err);
  assert.ok(total >= CASES_MIN, `only ${total} cases ran`);
}

/** The part of the output that repeats what failed. */
function failures(out: string): string {
  const from = out.indexOf("Failures:");
  return from < 0 ? out : out.slice(from);
}
