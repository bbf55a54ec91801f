/** What `deno test` prints, read back. */
import assert from "node:assert/strict";
import { readSummary } from "../../../tools/test_summary.ts";

Deno.test("readSummary() reads counts and skipped tests", () => {
  const output = `running 3 tests from ./tests/a_test.ts
a ... ok (1ms)
a browser reads (skipped: no chromium) ... ignored (0ms)
with steps ...
  a step ... ignored (0ms)
with steps ... ok (3ms)

ok | 2 passed (1 step) | 0 failed | 1 ignored (1 step) (12ms)
`;
  assert.deepEqual(readSummary(output, true), {
    passed: 2,
    failed: 0,
    skipped: ["a browser reads (skipped: no chromium)"],
  });
});

Deno.test("readSummary() takes the runner's own summary, not one that a test printed", () => {
  const output = `ok | 99 passed | 0 failed (1ms)\n\nFAILED | 1 passed | 7 failed (1 step) (1s)\n`;
  assert.deepEqual(readSummary(output, false), { passed: 1, failed: 7, skipped: [] });
});

Deno.test("readSummary() counts a run without a summary as a failure", () => {
  assert.deepEqual(readSummary("", false), { passed: 0, failed: 1, skipped: [] });
  assert.equal(readSummary("ok | 3 passed | 0 failed (1ms)\n", false).failed, 1);
});
