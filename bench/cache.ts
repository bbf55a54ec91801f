/**
 * The row cache's policy beside others: hit ratios on traces that tell them apart.
 * @module
 */
import { Lfu, Lru, Ours, type Policy, WTinyLfu } from "../tests/support/cache_policies.ts";
import { hitRatio, TRACES } from "../tests/support/cache_traces.ts";

const ROWS = 100_000;
const SIZES = [0.01, 0.05, 0.2];

const POLICIES: readonly [string, (capacity: number) => Policy][] = [
  ["LRU", (capacity) => new Lru(capacity)],
  ["LFU", (capacity) => new Lfu(capacity)],
  ["W-TinyLFU", (capacity) => new WTinyLfu(capacity)],
  ["PairDB", (capacity) => new Ours(capacity)],
];

/** Runs every policy on every trace at every size; returns the table. */
export function benchCache(length: number): string {
  const lines = [["trace", "size", ...POLICIES.map(([name]) => name)]];
  for (const { name, make } of TRACES) {
    const trace = make(ROWS, length);
    for (const size of SIZES) {
      const capacity = Math.floor(ROWS * size);
      const ratios = POLICIES.map(([, policy]) => hitRatio(policy(capacity), trace));
      lines.push([
        name,
        `${size * 100} %`,
        ...ratios.map((ratio) => `${(ratio * 100).toFixed(1)} %`),
      ]);
    }
  }
  const widths = lines[0].map((_, column) => Math.max(...lines.map((line) => line[column].length)));
  return lines.map((line) =>
    line.map((cell, i) => i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i])).join("  ")
  ).join("\n");
}
