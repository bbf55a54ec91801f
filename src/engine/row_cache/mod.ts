/**
 * The row cache room.
 * @module
 */
export { RowCache, type RowCacheStats } from "./row_cache.ts";
export { DEFAULT_WEIGHTS, type RowCacheWeights } from "./weights.ts";
