/**
 * What the weights are, by how hot a window was.
 * @module
 */
import assert from "node:assert/strict";
import { DEFAULT_WEIGHTS, Weights } from "../../../../src/engine/row_cache/weights.ts";

Deno.test("above 0.7 of the rows asked for recency counts, below 0.3 frequency, between as configured [K4]", () => {
  const WINDOW_MS = 1000;
  const ROWS = 100;
  let nowMs = 0;
  let tick = 0;
  const options = {
    ...DEFAULT_WEIGHTS,
    frequencyWeight: 0.6,
    recencyWeight: 0.4,
    adaptiveWindowMs: WINDOW_MS,
  };
  const weights = new Weights(options, () => nowMs);
  /** The clock is asked once in 64 times. */
  const now = () => {
    for (let n = 0; n < 64; n++) weights.now(tick, ROWS);
    return [weights.frequency, weights.recency];
  };
  /** A window in which so many of a hundred rows are asked for, each twice. */
  const after = (touched: number) => {
    const last = new Map<number, number>();
    const earlier = tick - 1;
    for (let n = 0; n < 2 * touched; n++) {
      const row = n % touched;
      weights.touched(++tick, last.get(row) ?? earlier);
      last.set(row, tick);
    }
    const before = [weights.frequency, weights.recency];
    nowMs += WINDOW_MS - 1;
    assert.deepEqual(now(), before, "a window that has not ended changes nothing");
    nowMs++;
    return now();
  };
  assert.deepEqual([weights.frequency, weights.recency], [0.6, 0.4]);
  assert.deepEqual(after(71), [0.3, 0.7]);
  assert.deepEqual(after(70), [0.6, 0.4]);
  assert.deepEqual(after(29), [0.7, 0.3]);
  assert.deepEqual(after(30), [0.6, 0.4]);
});
