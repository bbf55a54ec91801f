/**
 * Explanations: how a read of a key went.
 * @module
 */
import type { ReadStep, ReadTrace } from "../../engine/mod.ts";
import type { CausalContext, VectorClock } from "../../model/mod.ts";

/** A version of a key, as {@link Explanation} shows it: not its value. */
export interface ExplainedVersion {
  /** Whether it has a value to show, had one until its time to live was over, or is a delete. */
  readonly state: "value" | "expired" | "deleted";
  /** Of the value, expired or not; 0 for a delete. */
  readonly valueBytes: number;
  /** All that the version has seen, itself included. */
  readonly clock: CausalContext;
  /** Its own event; undefined where the clock came whole from outside. */
  readonly dot: VectorClock["dots"][number] | undefined;
  /** Wall time at the node that took the write, ms since 1970. */
  readonly timestampMs: number;
  /** Wall time from which on it reads as a delete, ms since 1970; 0: never. */
  readonly expiresAtMs: number;
}

/** How a read of a key went, and what it found, on this node. */
export interface Explanation {
  /**
   * What a read answers: `found`: a value; else none, because there is no version of the key (`absent`), because
   * the value's time to live is over (`expired`: of one version at least), or because it was deleted.
   */
  readonly state: "found" | "absent" | "expired" | "deleted";
  /** The layer that held the newest entry of the key. */
  readonly source: ReadTrace["source"];
  /** Layer by layer, in the order in which they were asked. Without any: there is no such tenant. */
  readonly steps: readonly ReadStep[];
  /** Times that the read waited for a slow disk. */
  readonly waits: number;
  /** Every version, the latest first: siblings, when there are several. */
  readonly versions: readonly ExplainedVersion[];
  /** Covers every version. */
  readonly clock: CausalContext;
  /** Of all versions together, as they are stored. */
  readonly stateBytes: number;
  /** What the read took in the node, with the decoding of its versions, in microseconds. */
  readonly durationUs: number;
}
