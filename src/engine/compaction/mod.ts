/**
 * The compaction room.
 * @module
 */
export {
  type CompactJob,
  findOperator,
  type FlushJob,
  type JobBase,
  runTableJob,
  type TableJob,
  type TableJobResult,
} from "./job.ts";
export {
  type CompactionPlan,
  levelBudget,
  MAX_LEVEL,
  pickCompaction,
  pickEverything,
  targetSize,
} from "./pick.ts";
