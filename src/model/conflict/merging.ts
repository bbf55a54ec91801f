/**
 * Strategies that merge the values of concurrent versions into one value.
 *
 * A **data type** (counter, sets, map, max, min: state-based CRDTs after Shapiro et al., 2011) says what a
 * client's value does to the state that is stored, what a delete leaves of it, and what clients see of it. All
 * writes go on from everything that their node holds, so a version that has seen another contains it, and
 * only concurrent ones are ever merged.
 *
 * What a delete leaves is stored as a value that has expired in the very moment it was made: reads, scans,
 * compactions and transfers treat it as the delete that it is, and it still says, beside a concurrent version,
 * what of that was deleted. A value whose time to live is over counts as deleted then.
 *
 * What an application's function makes of values as they were put is the node's affair: it runs elsewhere.
 * @module
 */
import { type ClockEntry, maxCounter } from "../clock.ts";
import { PairError } from "../errors.ts";
import { MAX_VALUE_BYTES } from "../limits.ts";
import { mergeOperator } from "../reconcile.ts";
import { isLive, isRest, joinVersions, type Version } from "../version.ts";
import { type ClientWrite, type Coordinated, coordinateWrite, nextDot } from "../write_rule.ts";
import { checkSkew, hybridStamp } from "./hlc.ts";
import type { ConflictStrategy, ForeignVersion } from "./types.ts";

/** The event that an operation becomes: it is never another's, and nobody has seen it before. */
export interface WriteEvent {
  readonly node: string;
  readonly counter: number;
  /** Hybrid time, ms since 1970. */
  readonly stampMs: number;
}

/** A data type. States are bytes with one form each, so that equal ones are equal as bytes. */
export interface DataType {
  /** As in `merge:<name>`. */
  readonly name: string;
  /**
   * Merges two states. It is pure and a join: merge(a, b) = merge(b, a), merge(a, merge(b, c)) =
   * merge(merge(a, b), c), merge(a, a) = a, as bytes; so nodes that hold the same versions show the same.
   */
  merge(a: Uint8Array, b: Uint8Array): Uint8Array;
  /**
   * The state that a client's value makes of one.
   * @param state  undefined: there is none
   * @throws PairError InvalidArgument (1000) when the value is none of its operations
   */
  apply(state: Uint8Array | undefined, value: Uint8Array, event: WriteEvent): Uint8Array;
  /** What a delete that has seen this state leaves; undefined: nothing is needed. */
  clear(state: Uint8Array): Uint8Array | undefined;
  /** What clients see. */
  view(state: Uint8Array): Uint8Array;
  /** What a state from another node is checked for. @throws PairError CorruptedData (2007) when it is none */
  inspect(state: Uint8Array): Inspected;
}

/** What a state says about time. */
export interface Inspected {
  /** The latest stamp in it, ms since 1970; 0: none. */
  readonly stampMs: number;
  /** Events that it names: those of its version, and of what that had seen. */
  readonly events: readonly ClockEntry[];
}

/** Of a state that says nothing about time. */
export const TIMELESS: Inspected = Object.freeze({ stampMs: 0, events: Object.freeze([]) });

/** The strategy of a data type. */
export class TypedMerge implements ConflictStrategy {
  readonly name: string;
  readonly operator: string = mergeOperator.name;
  readonly #type: DataType;

  constructor(type: DataType) {
    this.name = `merge:${type.name}`;
    this.#type = type;
  }

  resolve(versions: readonly Version[], nowMs: number): readonly Version[] {
    if (versions.length === 0) return versions;
    const live = versions.filter((version) => !isGone(version, nowMs));
    const [latest] = live.length === 0 ? versions : live;
    const shown = { ...latest, clock: joinVersions(versions), dot: undefined };
    if (live.length === 0) {
      return isRest(latest) ? [{ ...shown, value: undefined, expiresAtMs: 0 }] : [shown];
    }
    const state = this.#fold(versions, nowMs)!;
    // What was written to live longest keeps the key.
    const expiries = live.map(({ expiresAtMs }) => expiresAtMs);
    const expiresAtMs = expiries.includes(0) ? 0 : Math.max(...expiries);
    return [{ ...shown, value: this.#type.view(state), expiresAtMs }];
  }

  coordinate(local: readonly Version[], node: string, write: ClientWrite): Coordinated {
    const purged = write.purgeFloor ?? 0;
    const { counter } = nextDot(local, node, write.context, purged);
    const stampMs = hybridStamp(write.timestampMs, local);
    // The version says that it has seen what is in its state, and no more: what a context names beside that
    // would count as taken up, and be lost when it comes.
    const whole = { ...write, context: undefined, timestampMs: stampMs };
    const state = this.#fold(local, write.timestampMs);
    if (write.value === undefined) {
      const rest = state && this.#type.clear(state);
      const expiresAtMs = rest === undefined ? 0 : stampMs;
      return coordinateWrite(local, node, { ...whole, value: rest, expiresAtMs });
    }
    const value = this.#type.apply(state, write.value, { node, counter, stampMs });
    this.#checkSize(value);
    // An expiry that is not behind the stamp is the mark of a delete.
    const expiresAtMs = write.expiresAtMs && Math.max(write.expiresAtMs, stampMs + 1);
    return coordinateWrite(local, node, { ...whole, value, expiresAtMs });
  }

  checkVersion({ value, timestampMs, clock }: ForeignVersion, nowMs: number): void {
    checkSkew(timestampMs, nowMs);
    if (value === undefined) return;
    let inspected: Inspected;
    try {
      inspected = this.#type.inspect(value);
    } catch (cause) {
      throw this.#noState({ cause });
    }
    checkSkew(inspected.stampMs, nowMs);
    // An event that is made up would pass for one that was seen, and removed, when it happens.
    const isMadeUp = ({ node, counter }: ClockEntry) => maxCounter(clock, node) < counter;
    if (inspected.events.some(isMadeUp)) throw this.#noState();
  }

  #noState(options?: { cause: unknown }): PairError {
    const why = `Cannot take the version: its value is no state of ${this.name}`;
    return new PairError("InvalidArgument", why, {}, options);
  }

  /** All that versions say, as one state; undefined when none says anything. */
  #fold(versions: readonly Version[], nowMs: number): Uint8Array | undefined {
    let state: Uint8Array | undefined;
    for (const version of versions) {
      const { value } = version;
      if (value === undefined) continue;
      const part = isGone(version, nowMs) ? this.#type.clear(value) : value;
      if (part !== undefined) state = state === undefined ? part : this.#type.merge(state, part);
    }
    return state;
  }

  /** Both what is stored and what is shown have to be values. */
  #checkSize(state: Uint8Array): void {
    // No state takes more than eight times its bytes to show.
    const bytes = state.length * 8 <= MAX_VALUE_BYTES
      ? state.length
      : Math.max(state.length, this.#type.view(state).length);
    if (bytes <= MAX_VALUE_BYTES) return;
    throw new PairError(
      "ValueTooLarge",
      "Cannot write the key: what it would hold is longer than 10 MiB",
      { bytes, limit: MAX_VALUE_BYTES },
    );
  }
}

/** Whether a version is a delete, or as good as one. */
function isGone(version: Version, nowMs: number): boolean {
  return !isLive(version, nowMs) || isRest(version);
}
