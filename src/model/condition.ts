/**
 * Compare and set: a write that applies only to the state of a key that its writer has seen.
 *
 *     the client sends     it applies when                                     and otherwise is told
 *     a context            the key's context is that one, neither more nor     the key's present context
 *                          less: that of all its versions together
 *     none                 the key has no value: never had, deleted, expired
 *
 * The context of a read covers every version of the key, so one that has siblings is changed only by who has
 * seen all of them. What is compared is the clock alone: its seal was looked at before.
 * @module
 */
import { compareClocks, type VectorClock } from "./clock.ts";
import { type ErrorDetails, PairError } from "./errors.ts";
import type { CausalContext } from "./seal.ts";
import { isLive, joinVersions, type Version } from "./version.ts";

/** A key that is not as a conditional write wants it. */
export class ContextMismatch extends PairError {
  /**
   * Makes the error of one write.
   * @param present  the key's context as it is
   * @param facts    more details: `item`, the place of the write in its batch, from 0
   */
  constructor(readonly present: CausalContext, facts: ErrorDetails = {}) {
    super(
      "InvalidArgument",
      "Cannot write the key: its context is not the one given. Read it and try again",
      { ...facts, reason: "context_mismatch" },
    );
  }
}

/**
 * Whether a conditional write applies.
 * @param local    the key's state, writes under way included
 * @param context  what the writer has seen, in normal form; undefined: no value
 * @param nowMs    wall time that decides what has expired
 */
export function meetsCondition(
  local: readonly Version[],
  context: VectorClock | undefined,
  nowMs: number,
): boolean {
  if (context === undefined) return !local.some((version) => isLive(version, nowMs));
  return compareClocks(joinVersions(local), context) === "equal";
}
