/**
 * Between protobuf messages and the node's values.
 *
 * The wire's int64 is a bigint; inside, numbers are safe integers. What does not fit is refused
 * here, with InvalidArgument (1000), and nothing below this file meets a bigint.
 * @module
 */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type CausalContext, PairError, type VectorClock } from "../model/mod.ts";
import type { KeyState, VersionView } from "../node/mod.ts";
import {
  Consistency,
  type SiblingSchema,
  type VectorClock as VectorClockMessage,
  type VectorClockEntry,
  type VectorClockSchema,
} from "../gen/pairdb/v1/common_pb.ts";

type ClockInit = MessageInitShape<typeof VectorClockSchema>;
type SiblingInit = MessageInitShape<typeof SiblingSchema>;

/**
 * An int64 of the wire as a number.
 * @param field  names the field in the error
 * @throws PairError InvalidArgument (1000) beyond 2^53 - 1, or negative
 */
export function toCount(value: bigint, field: string): number {
  return toSafeCount(Number(value), field);
}

/** The same for an int64 that was read as the nearest number. @throws PairError InvalidArgument (1000) */
export function toSafeCount(number: number, field: string): number {
  if (!Number.isSafeInteger(number)) {
    throw new PairError("InvalidArgument", `Cannot take ${field}: it is beyond 2^53 - 1`, {
      field,
    });
  }
  if (number < 0) {
    throw new PairError("InvalidArgument", `Cannot take ${field}: it is negative`, { field });
  }
  return number;
}

/**
 * The causal context of a client's message. A seal beyond 2^53 becomes the nearest number, and is none of ours.
 * @returns undefined when there is none: an empty clock without a seal has seen nothing and says nothing
 * @throws PairError InvalidArgument (1000) for a counter beyond 2^53 - 1
 */
export function toContext(clock: VectorClockMessage | undefined): CausalContext | undefined {
  if (clock === undefined) return undefined;
  const { entries, dots, seal } = clock;
  if (entries.length === 0 && dots.length === 0 && seal === undefined) return undefined;
  return {
    entries: entries.map(toEntry),
    dots: dots.map(toEntry),
    seal: seal === undefined ? undefined : Number(seal),
  };
}

/**
 * The clock of a message, without its seal: what nodes tell each other.
 * @returns undefined when it has no events
 * @throws PairError InvalidArgument (1000) for a counter beyond 2^53 - 1
 */
export function toClock(clock: VectorClockMessage | undefined): VectorClock | undefined {
  if (clock === undefined || (clock.entries.length === 0 && clock.dots.length === 0)) {
    return undefined;
  }
  return { entries: clock.entries.map(toEntry), dots: clock.dots.map(toEntry) };
}

/** One event of a clock. @throws PairError InvalidArgument (1000) for a counter beyond 2^53 - 1 */
export function toEntry(entry: VectorClockEntry): { node: string; counter: number } {
  return {
    node: entry.coordinatorNodeId,
    counter: toCount(entry.logicalTimestamp, "vector_clock.logical_timestamp"),
  };
}

/** A clock as clients get it: with its seal, where it has one. */
export function fromContext({ entries, dots, seal }: CausalContext): ClockInit {
  if (seal === undefined) return fromClock({ entries, dots });
  return { entries: entries.map(fromEntry), dots: dots.map(fromEntry), seal: BigInt(seal) };
}

/** A clock as a message, without a seal: what nodes tell each other. */
export function fromClock(clock: VectorClock): ClockInit {
  return { entries: clock.entries.map(fromEntry), dots: clock.dots.map(fromEntry) };
}

/** One event of a clock as a message. */
export function fromEntry(
  entry: { readonly node: string; readonly counter: number },
): { coordinatorNodeId: string; logicalTimestamp: bigint } {
  return { coordinatorNodeId: entry.node, logicalTimestamp: BigInt(entry.counter) };
}

/** The fields in which Get, BatchGet, Scan and Read show a key. */
export interface ShownKey {
  value: Uint8Array | undefined;
  vectorClock: ClockInit;
  siblings: SiblingInit[];
  timestamp: bigint;
}

/**
 * A key's state as those messages show it: the winner, and all versions when there are several.
 * @param valuesToo  false: clocks and times only
 */
export function fromState(state: KeyState, valuesToo = true): ShownKey {
  return {
    value: valuesToo ? state.winner.value : undefined,
    vectorClock: fromContext(state.clock),
    siblings: valuesToo && state.versions.length > 1 ? state.versions.map(fromVersion) : [],
    timestamp: BigInt(state.winner.timestampMs),
  };
}

function fromVersion(version: VersionView): SiblingInit {
  return {
    value: version.value,
    vectorClock: fromContext(version.clock),
    timestamp: BigInt(version.timestampMs),
    deleted: version.value === undefined,
  };
}

/**
 * Checks a consistency level. One node takes every level as ONE.
 * @throws PairError InvalidArgument (1000) for a number that is no level
 */
export function checkConsistency(level: number): void {
  if (Consistency[level] === undefined) {
    throw new PairError("InvalidArgument", "Cannot take consistency: there is no such level", {
      field: "consistency",
    });
  }
}
