/**
 * Validation: every input of a storage node, checked before anything is looked up or changed, and
 * brought into the form that the node works with. Limits are in `src/model/limits.ts`.
 * @module
 */
import {
  addToChecksum,
  type CausalContext,
  checkClock,
  type ClockEntry,
  clockSize,
  compareBytes,
  encodeBound,
  encodeKey,
  encodeVersions,
  MAX_BATCH_BYTES,
  MAX_BATCH_ITEMS,
  MAX_COUNTER,
  MAX_VALUE_BYTES,
  maxCounter,
  orderVersions,
  PairError,
  type VectorClock,
  type Version,
} from "../model/mod.ts";
import type {
  DeleteInput,
  PutInput,
  ReplicaWrite,
  StreamInput,
  TransferEntry,
  WatchInput,
} from "./api.ts";
import { BATCH_BYTES, BATCH_BYTES_MAX, type TransferRange } from "./transfer.ts";
import type { KeyRange } from "./changes.ts";
import { parseToken, type WatchRange } from "./watch.ts";

/** A watch says how far it has got after this long: where nobody says, at least and at most, ms. */
const PROGRESS_MS = 10_000;
const PROGRESS_MS_MIN = 100;
const PROGRESS_MS_MAX = 3_600_000;

/** A put that may go on. */
export interface CheckedPut {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  /** Without its seal, which may not be its own: `seal` is what it came with. */
  readonly context: VectorClock | undefined;
  readonly seal: number | undefined;
  readonly ifContext: boolean;
  /** Wall time, ms since 1970; 0: never; undefined: as the tenant says. */
  readonly expiresAtMs: number | undefined;
}

/** A delete that may go on. */
export interface CheckedDelete {
  readonly key: Uint8Array;
  /** As of a put. */
  readonly context: VectorClock | undefined;
  readonly seal: number | undefined;
  readonly ifContext: boolean;
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
    seal: input.context?.seal,
    ifContext: input.ifContext ?? false,
    expiresAtMs: expiryOf(input.ttlMs, nowMs),
  };
}

/** @throws PairError of the key; InvalidArgument (1000) for a bad context */
export function checkDelete({ key, context, ifContext = false }: DeleteInput): CheckedDelete {
  const seal = context?.seal;
  return { key: encodeKey(key), context: checkContext(context), seal, ifContext };
}

/** @throws PairError InvalidArgument (1000) when the context is not a clock within its limits */
function checkContext(context: CausalContext | undefined): VectorClock | undefined {
  if (context === undefined) return undefined;
  const { entries, dots } = checkClock(context);
  return { entries, dots };
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
function expiryOf(ttlMs: number | undefined, nowMs: number): number | undefined {
  if (ttlMs === undefined || ttlMs === 0) return ttlMs;
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
 * What a watch is asked for, but its range.
 * @throws PairError InvalidArgument (1000) for a key beside bounds, a token that is none, or a time of
 *   progress out of bounds
 */
export function checkWatch(input: WatchInput): Omit<WatchRange, keyof KeyRange> {
  const { key, prefix, start, end, token, initial = false } = input;
  if (key && (prefix || start || end)) {
    throw new PairError("InvalidArgument", "Cannot watch: there is a key, and bounds beside it");
  }
  const progressMs = input.progressMs || PROGRESS_MS;
  if (!(progressMs >= PROGRESS_MS_MIN && progressMs <= PROGRESS_MS_MAX)) {
    throw new PairError(
      "InvalidArgument",
      "Cannot watch: progress_ms must be from 100 to 3600000, or 0 for the default",
    );
  }
  return { token: token ? parseToken(token) : undefined, initial, progressMs };
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

/** A key of a transfer that may go on. */
export interface CheckedKey {
  readonly key: Uint8Array;
  /** At least one, in canonical order. */
  readonly versions: readonly Version[];
}

/** A batch of a transfer that may go on. */
export interface CheckedTransfer {
  readonly keys: readonly CheckedKey[];
  readonly versions: number;
  /** Of keys and encoded versions. */
  readonly bytes: number;
  /** Whether it takes next to no room. */
  readonly deletesOnly: boolean;
}

/**
 * @param checksum  what the sender has for the entries; undefined is refused
 * @param timed     measures what has to do with it
 * @throws PairError of a key; InvalidArgument (1000) when there are not 1 to 1000 entries or more than
 *   64 MiB of them, for a bad version, or one that is not behind the one before it; ValueTooLarge (1003);
 *   ChecksumFailed (1006)
 */
export function checkTransfer(
  entries: readonly TransferEntry[],
  checksum: number | undefined,
  timed: (sum: () => number) => number = (sum) => sum(),
  mayBeEmpty = false,
): CheckedTransfer {
  if (!mayBeEmpty || entries.length > 0) checkBatchLength(entries.length);
  if (checksum === undefined) throw refusedTransfer("its checksum is missing");
  const keys: { key: Uint8Array; versions: Version[] }[] = [];
  let bytes = 0;
  let actual = 0;
  let deletesOnly = true;
  for (const entry of entries) {
    const key = encodeKey(entry.key);
    const version = checkVersion(entry.version);
    const last = keys.at(-1);
    const order = last === undefined ? -1 : compareBytes(last.key, key);
    if (order > 0 || (order === 0 && orderVersions(last!.versions.at(-1)!, version) >= 0)) {
      throw refusedTransfer("its entries are out of order");
    }
    if (order === 0) last!.versions.push(version);
    else keys.push({ key, versions: [version] });
    const state = encodeVersions([version]);
    actual = timed(() => addToChecksum(key, state, actual));
    bytes += key.length + state.length;
    if (bytes > MAX_BATCH_BYTES) throw refusedTransfer("it is larger than 64 MiB");
    if (version.value !== undefined) deletesOnly = false;
  }
  if (actual !== checksum) {
    throw new PairError(
      "ChecksumFailed",
      "Cannot take the batch: its entries do not have its checksum",
      { checksum, actual },
    );
  }
  return { keys, versions: entries.length, bytes, deletesOnly };
}

/** A version that another node has, whole: nothing of it is made up here. */
function checkVersion({ clock, dot, value, timestampMs, expiresAtMs }: Version): Version {
  const whole = checkClock(clock);
  // As for a replicated write.
  if (clockSize(whole) === 0) throw refusedTransfer("a vector clock is empty");
  if (dot !== undefined && !isOwnEvent(dot, whole)) {
    throw refusedTransfer("a version's own event is not the last of its node in the clock");
  }
  for (const time of [timestampMs, expiresAtMs]) {
    if (!Number.isSafeInteger(time) || time < 0) throw refusedTransfer("a time is out of range");
  }
  const checked = value === undefined ? undefined : checkValue(value);
  return { clock: whole, dot, value: checked, timestampMs, expiresAtMs };
}

function isOwnEvent(dot: ClockEntry, clock: VectorClock): boolean {
  return dot.counter > 0 && maxCounter(clock, dot.node) === dot.counter;
}

function refusedTransfer(why: string): PairError {
  return new PairError("InvalidArgument", `Cannot take the batch: ${why}`);
}

/**
 * The range of a stream or a count.
 * @throws PairError KeyTooLarge (1002) or InvalidKey (1005) for a bad bound or checkpoint,
 *   InvalidArgument (1000) for batches above 8 MiB
 */
export function checkStream(input: StreamInput): TransferRange {
  const start = encodeBound(input.start, "the start");
  const end = encodeBound(input.end, "the end");
  const { resumeAfter = "", batchBytes = 0, tokens } = input;
  if (!Number.isSafeInteger(batchBytes) || batchBytes < 0 || batchBytes > BATCH_BYTES_MAX) {
    throw new PairError("InvalidArgument", "Cannot stream: batch_bytes is not from 0 to 8 MiB", {
      limit: BATCH_BYTES_MAX,
    });
  }
  let from = start;
  if (resumeAfter !== "") {
    const behind = Uint8Array.of(...encodeKey(resumeAfter), 0);
    if (from === undefined || compareBytes(from, behind) < 0) from = behind;
  }
  return {
    start: from,
    end,
    tokens,
    checkpoint: resumeAfter,
    batchBytes: batchBytes || BATCH_BYTES,
  };
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
