/**
 * Client: talks to a PairDB server from Deno, Node.js and browsers. Needs `fetch` and nothing else.
 * @module
 */
export { PairDB } from "./pairdb.ts";
export type { AdminCalls } from "./admin.ts";
export type { TenantCalls } from "./tenants.ts";
export { decodeContext, encodeContext } from "./context.ts";
export type { Fetch } from "./platform.ts";
export type { RetryOptions } from "./retry.ts";
export type * from "./types.ts";
export {
  type CausalContext,
  type ClockEntry,
  ContextMismatch,
  type ErrorDetails,
  type ErrorName,
  ERRORS,
  PairError,
  type VectorClock,
} from "../model/mod.ts";
