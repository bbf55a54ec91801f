/**
 * Reconciling: the merge operator of trees that hold versions. An engine folds operands with it, on
 * reads and in compactions, without knowing what a clock is.
 * @module
 */
import { counterFloor, deadSince } from "./death.ts";
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
} as const;
