/**
 * Validation: every input of a storage node, checked before anything is looked up or changed, and
 * brought into the form that the node works with. Limits are in `src/model/limits.ts`.
 * @module
 */
import {
  checkClock,
  clockSize,
  encodeKey,
  MAX_BATCH_BYTES,
  MAX_BATCH_ITEMS,
  MAX_COUNTER,
  MAX_VALUE_BYTES,
  PairError,
  type VectorClock,
} from "../model/mod.ts";
import type { PutInput, ReplicaWrite } from "./api.ts";

/** A put that may go on. */
export interface CheckedPut {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly context: VectorClock | undefined;
  /** Wall time, ms since 1970; 0: never. */
  readonly expiresAtMs: number;
}

/** A replicated version that may go on. */
export interface CheckedReplica {
  readonly key: Uint8Array;
  /** Undefined for a delete. */
  readonly value: Uint8Array | undefined;
  readonly clock: VectorClock;
  /** Undefined: the sender did not say. */
  readonly timestampMs: number | undefined;
}

/**
 * @param nowMs  wall time that a TTL counts from
 * @throws PairError of the key; InvalidArgument (1000) for a missing value, a bad context or TTL;
 *   ValueTooLarge (1003)
 */
export function checkPut(input: PutInput, nowMs: number): CheckedPut {
  return {
    key: encodeKey(input.key),
    value: checkValue(input.value),
    context: checkContext(input.context),
    expiresAtMs: expiryOf(input.ttlMs, nowMs),
  };
}

/** @throws PairError InvalidArgument (1000) when the context is not a clock within its limits */
export function checkContext(context: VectorClock | undefined): VectorClock | undefined {
  return context === undefined ? undefined : checkClock(context);
}

/** @throws PairError InvalidArgument (1000) when it is missing, ValueTooLarge (1003) above 10 MiB */
function checkValue(value: Uint8Array | undefined): Uint8Array {
  if (!(value instanceof Uint8Array)) {
    throw new PairError("InvalidArgument", "Cannot write the key: the value is missing");
  }
  if (value.length > MAX_VALUE_BYTES) {
    throw new PairError("ValueTooLarge", "Cannot write the key: the value is longer than 10 MiB", {
      bytes: value.length,
      limit: MAX_VALUE_BYTES,
    });
  }
  return value;
}

/** The moment a value expires, computed once so that all replicas agree on it. */
function expiryOf(ttlMs: number | undefined, nowMs: number): number {
  if (ttlMs === undefined || ttlMs === 0) return 0;
  if (!Number.isSafeInteger(ttlMs) || ttlMs < 0 || ttlMs > MAX_COUNTER - nowMs) {
    throw new PairError(
      "InvalidArgument",
      "Cannot write the key: the TTL is not an integer from 0 to 2^53 - 1 ms past 1970 in sum",
    );
  }
  return nowMs + ttlMs;
}

/**
 * @returns the items, in order
 * @throws PairError InvalidArgument (1000) when there are none, more than 1000, or more than 64 MiB of
 *   keys and values; what {@link checkPut} throws, for the first bad item
 */
export function checkBatch(items: readonly PutInput[], nowMs: number): readonly CheckedPut[] {
  checkBatchLength(items.length);
  let bytes = 0;
  return items.map((item) => {
    const checked = checkPut(item, nowMs);
    bytes += checked.key.length + checked.value.length;
    if (bytes > MAX_BATCH_BYTES) {
      throw new PairError("InvalidArgument", "Cannot write the batch: it is larger than 64 MiB", {
        limit: MAX_BATCH_BYTES,
      });
    }
    return checked;
  });
}

/** @throws PairError InvalidArgument (1000) unless there are 1 to 1000 items */
export function checkBatchLength(items: number): void {
  if (items >= 1 && items <= MAX_BATCH_ITEMS) return;
  throw new PairError("InvalidArgument", "Cannot take the batch: it must have 1 to 1000 items", {
    items,
    limit: MAX_BATCH_ITEMS,
  });
}

/**
 * @throws PairError of the key; InvalidArgument (1000) for a missing value, a value on a delete, a bad
 *   or empty clock, or a bad timestamp; ValueTooLarge (1003)
 */
export function checkReplica(write: ReplicaWrite): CheckedReplica {
  const key = encodeKey(write.key);
  if (write.deleted && write.value !== undefined) {
    throw new PairError("InvalidArgument", "Cannot take the version: a delete has no value");
  }
  const value = write.deleted ? undefined : checkValue(write.value);
  const clock = checkClock(write.clock);
  // A version of no event would be obsolete beside any other, and a write that nobody made.
  if (clockSize(clock) === 0) {
    throw new PairError("InvalidArgument", "Cannot take the version: its vector clock is empty");
  }
  return { key, value, clock, timestampMs: checkTimestamp(write.timestampMs) };
}

function checkTimestamp(timestampMs: number | undefined): number | undefined {
  if (timestampMs === undefined || timestampMs === 0) return undefined;
  if (!Number.isSafeInteger(timestampMs) || timestampMs < 0) {
    throw new PairError(
      "InvalidArgument",
      "Cannot take the version: its timestamp is not an integer from 0 to 2^53 - 1",
    );
  }
  return timestampMs;
}

/**
 * @returns the number of entries a scan may return, Infinity for all
 * @throws PairError InvalidArgument (1000) when it is not an integer from 0 to 2^53 - 1
 */
export function checkLimit(limit: number | undefined): number {
  if (limit === undefined || limit === 0) return Infinity;
  if (!Number.isSafeInteger(limit) || limit < 0) {
    throw new PairError(
      "InvalidArgument",
      "Cannot scan: the limit is not an integer from 0 to 2^53 - 1",
    );
  }
  return limit;
}
