/**
 * Reconciling: the merge operators of trees that hold versions. An engine folds operands with them, on
 * reads and in compactions, without knowing what a clock is. How a tenant resolves conflicts changes nothing
 * here: concurrent versions are kept, and `conflict/` comes in where a client reads or writes.
 * @module
 */
import { counterFloor, deadSince, latestDeadSince } from "./death.ts";
import { counterBound } from "./plausible.ts";
import { mergeVersions } from "./version.ts";
import { decodeVersions, encodeVersions } from "./version_codec.ts";

/**
 * Folds encoded states into one. A pure function of its arguments, so that worker threads can run it
 * by its name.
 */
export const reconcileOperator = {
  /** Stands in the engine's manifest: it never changes. */
  name: "versions",
  /**
   * @param _key      not looked at
   * @param base      the state below; undefined when there is none
   * @param operands  states to merge in; any order gives the same bytes
   * @throws PairError CorruptedData (2007) when one of them cannot be read
   */
  merge(
    _key: Uint8Array,
    base: Uint8Array | undefined,
    operands: readonly Uint8Array[],
  ): Uint8Array {
    let state = base === undefined ? [] : decodeVersions(base);
    for (const operand of operands) state = mergeVersions(state, decodeVersions(operand));
    return encodeVersions(state);
  },
  deadSince,
  floor: counterFloor,
  floorOfLost: counterBound,
} as const;

/**
 * The operator of trees of which only the latest version of a key is shown. It folds in the same way; a key
 * whose latest version is dead is dead.
 */
export const lwwOperator = {
  name: "versions:lww",
  merge: reconcileOperator.merge,
  deadSince: latestDeadSince,
  floor: counterFloor,
  floorOfLost: counterBound,
} as const;

/**
 * The operator of trees whose values are merged: the same in all but its name, by which programs that would
 * take such values for those of clients know that they cannot open the tree.
 */
export const mergeOperator = {
  name: "versions:merge",
  merge: reconcileOperator.merge,
  deadSince,
  floor: counterFloor,
  floorOfLost: counterBound,
} as const;

/** A merge operator, as engines take them. */
export interface VersionOperator {
  readonly name: string;
  merge(
    key: Uint8Array,
    base: Uint8Array | undefined,
    operands: readonly Uint8Array[],
  ): Uint8Array;
  deadSince(value: Uint8Array, start: number, end: number): number;
  floor(value: Uint8Array, start: number, end: number): number;
  floorOfLost(nowMs: number, floor: number): number;
}

/** All of them: what an engine needs to hold tenants. */
export const VERSION_OPERATORS: readonly VersionOperator[] = Object.freeze([
  reconcileOperator,
  lwwOperator,
  mergeOperator,
]);
