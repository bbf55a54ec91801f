/**
 * How much compaction is owed: the bytes that have to be rewritten until every level is within its bounds.
 * @module
 */
import type { CompactionOptions } from "../options.ts";
import { bytesOf, levelBudget, type Levels } from "./plan.ts";

/**
 * An estimate, as RocksDB's: what is too much on a level is merged into the next, with as many bytes there
 * as the levels' sizes are apart, and adds to what that one has.
 * Strategies without budgets for levels owe tables, not bytes: see `pressure`.
 * @param levels  tables by level
 */
export function pendingBytes(
  levels: Levels,
  options: CompactionOptions,
): number {
  if (options.strategy !== "leveled" && options.strategy !== "hybrid") return 0;
  const sizes = levels.map(bytesOf);
  const full = options.strategy === "leveled" && (levels[0]?.length ?? 0) >= options.l0Trigger;
  let arriving = full ? sizes[0] : 0;
  let pending = arriving === 0 ? 0 : arriving + (sizes[1] ?? 0);
  for (let level = 1; level < sizes.length; level++) {
    const size = sizes[level] + arriving;
    arriving = Math.max(0, size - levelBudget(level, options));
    const below = sizes[level + 1] ?? 0;
    if (arriving > 0) pending += arriving * (1 + below / size);
  }
  return pending;
}
