/**
 * Idempotency keys: a write that comes again is not applied again (features B5). `request.ts` tells whether it
 * is the same write, `records.ts` has the bytes of what is remembered, `memory.ts` remembers.
 * @module
 */
export {
  DEFAULT_IDEMPOTENCY,
  type IdempotencyLimits,
  isHiddenTree,
  type Once,
  type Remembered,
  WriteMemory,
} from "./memory.ts";
export type { WriteOutcome } from "./records.ts";
export {
  batchRequest,
  checkIdempotencyKey,
  deleteRequest,
  type KeyedRequest,
  putRequest,
} from "./request.ts";
