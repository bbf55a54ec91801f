/**
 * Refusals: calls that the node turned away on purpose, by why it did. What failed otherwise (a key that is
 * not there, a fault of the node's own, a deadline) is none. A closed set, for labels.
 *
 *     validation   argument, key, key_too_large, value_too_large, tenant, clock, siblings, context, context_seal,
 *                  idempotency
 *     guards       disk_full, disk_throttled, memory, write_stall, draining
 *     shares       quota, hot_key, tenant_queue, watches, limit (whatever else is bounded, as a message's size)
 *     callers      unauthenticated, permission
 * @module
 */
import { Code } from "@connectrpc/connect";

/** Why. */
export type Refusal =
  | "argument"
  | "key"
  | "key_too_large"
  | "value_too_large"
  | "tenant"
  | "clock"
  | "siblings"
  | "context"
  | "context_seal"
  | "idempotency"
  | "disk_full"
  | "disk_throttled"
  | "memory"
  | "write_stall"
  | "draining"
  | "quota"
  | "hot_key"
  | "tenant_queue"
  | "watches"
  | "limit"
  | "unauthenticated"
  | "permission";

/** Rows of the error table that are refusals. */
const BY_NUMBER: ReadonlyMap<number, Refusal> = new Map([
  [1000, "argument"],
  [1002, "key_too_large"],
  [1003, "value_too_large"],
  [1004, "tenant"],
  [1005, "key"],
  [2002, "disk_full"],
  [2003, "disk_throttled"],
  [2008, "limit"],
]);

/** The detail `reason` says more than its row. */
const BY_REASON: ReadonlyMap<string | undefined, Refusal> = new Map([
  ["clock", "clock"],
  ["siblings", "siblings"],
  ["context_mismatch", "context"],
  ["context_seal", "context_seal"],
  ["idempotency_key_reused", "idempotency"],
  ["memory", "memory"],
  ["write_stall", "write_stall"],
  ["quota", "quota"],
  ["hot_key", "hot_key"],
  ["tenant_queue", "tenant_queue"],
  ["watches", "watches"],
]);

const BY_STATUS: ReadonlyMap<Code, Refusal> = new Map([
  [Code.Unauthenticated, "unauthenticated"],
  [Code.PermissionDenied, "permission"],
]);

/**
 * Why a call was turned away; undefined when it failed otherwise.
 * @param number  in the error table
 * @param reason  the detail of that name
 */
export function refusalOf(
  code: Code,
  number: number,
  reason: string | undefined,
): Refusal | undefined {
  const row = BY_NUMBER.get(number);
  // Of all that passes by itself, this alone is meant.
  if (row === undefined) return reason === "draining" ? "draining" : undefined;
  return BY_STATUS.get(code) ?? BY_REASON.get(reason) ?? row;
}
