/**
 * The compaction room: `plan.ts` says what a plan is and which rules it keeps, `pick.ts` chooses one by
 * the tree's strategy, `job.ts` carries it out in a worker.
 * @module
 */
export { pendingBytes } from "./debt.ts";
export {
  type CompactJob,
  findOperator,
  type FlushJob,
  type JobBase,
  runTableJob,
  type TableJob,
  type TableJobResult,
} from "./job.ts";
export { findHiding } from "./dead.ts";
export { likelyBytes, pickStep, writtenBytes } from "./step.ts";
export { pickRange, type RangeRequest } from "./range.ts";
export { pickCompaction, pressure } from "./pick.ts";
export {
  type Busy,
  checkPlan,
  type CompactionPlan,
  levelBudget,
  type Levels,
  MAX_LEVEL,
  NO_STATE,
  type PickState,
  type RunningJob,
  spanOf,
  targetSize,
} from "./plan.ts";
