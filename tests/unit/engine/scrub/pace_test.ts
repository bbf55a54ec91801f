import assert from "node:assert/strict";
import fc from "fast-check";
import { deadlineMs, nextRoundMs, pauseMs } from "../../../../src/engine/scrub/pace.ts";

const HOUR = 3_600_000;

Deno.test("rounds: whatever its place in them, less than the interval passes between two readings of a file [B6]", () => {
  const intervalMs = 1000;
  fc.assert(fc.property(fc.array(fc.nat(250), { minLength: 2, maxLength: 20 }), (places) => {
    let startedMs = 5000;
    let readMs: number | undefined;
    for (const place of places) {
      assert.ok(startedMs + place <= deadlineMs(startedMs, intervalMs));
      if (readMs !== undefined) assert.ok(startedMs + place - readMs <= intervalMs);
      readMs = startedMs + place;
      startedMs = nextRoundMs(startedMs, intervalMs, readMs);
    }
  }));
});

Deno.test("nextRoundMs(): the first is due at once, and so is one after the clock was set back", () => {
  assert.equal(nextRoundMs(0, 1000, 77), 77);
  assert.equal(nextRoundMs(500, 1000, 77), 77);
  assert.equal(nextRoundMs(77, 1000, 77), 827);
});

Deno.test("pauseMs(): parts are spread over what is left of the round, and a late one hurries ten times", () => {
  const intervalMs = 400 * HOUR;
  const left = 1e12;
  const part = { bytes: 1e9, spentMs: 0, left: left - 1e9 };
  const pause = (leftMs: number, spentMs = 0) =>
    Math.round(pauseMs({ ...part, leftMs, spentMs }, intervalMs, undefined));
  assert.equal(pause(100 * HOUR), HOUR / 10);
  assert.equal(pause(50 * HOUR), HOUR / 20);
  assert.equal(pause(50 * HOUR, HOUR / 40), HOUR / 40);
  assert.equal(pause(50 * HOUR, HOUR), 0);
  for (const late of [10 * HOUR, 0, -HOUR, -1e12]) assert.equal(pause(late), HOUR / 100);
  // A clock that was set back gives no more than the whole time.
  assert.equal(pause(1e15), HOUR / 10);
  const quiet = { fromMs: 8 * HOUR, toMs: 20 * HOUR };
  assert.equal(pauseMs({ ...part, leftMs: 100 * HOUR }, intervalMs, quiet), HOUR / 20);
});

Deno.test("pauseMs(): a small store is done in a moment", () => {
  const part = { bytes: 4096, spentMs: 0, left: 4096, leftMs: 100 * HOUR };
  assert.equal(pauseMs(part, 400 * HOUR, undefined), 4096 / 2 ** 20 * 1000);
});
