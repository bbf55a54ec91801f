/**
 * The second level of the row cache: a cache that other processes use too. Start at `second_level.ts`.
 * @module
 */
export {
  type CachedTree,
  SECOND_LEVEL_MODES,
  SecondLevel,
  type SecondLevelMode,
  type SecondLevelOptions,
  type SecondLevelStats,
} from "./second_level.ts";
