/**
 * When a stored state died, and what must be remembered of it, read from its bytes without decoding
 * clocks, nodes and values: flushes and compactions ask this of every value. The bytes are drawn in
 * `version_codec.ts`.
 *
 * A state is dead once none of its versions has a value to show: each is a delete, or has expired. When it
 * is dropped, its clocks are forgotten with it, and a new write of the key must not get a counter that
 * somebody may have seen before. Hence the floor: the largest counter in it.
 * @module
 */
import { ByteReader } from "./bytes.ts";
import { MAX_COUNTER } from "./limits.ts";
import { latestOf } from "./version.ts";
import { decodeVersions, DELETE, DOTS, EXPIRES, FORMAT, OWN } from "./version_codec.ts";

/**
 * A state with a larger counter is never dropped: writes of all keys go on above the largest floor, and
 * one forged counter must not use the others up.
 */
const FLOOR_MAX = MAX_COUNTER / 2;

/**
 * The wall time from which on nothing in a state is alive, ms since 1970: of a delete its stamp, of a
 * value its expiry, of several versions the latest of them; 0 when something lives for ever, when the
 * state must be kept for its counters, or when it cannot be read.
 * @param bytes  a buffer that holds the state from `start` to `end`
 */
export function deadSince(bytes: Uint8Array, start: number, end: number): number {
  // Most states are one version without an expiry: three bytes tell.
  if (end - start < 3 || (bytes[start + 2] & (DELETE | EXPIRES)) === 0) {
    if (bytes[start + 1] === 1) return 0;
  }
  const death = readDeath(bytes, start, end);
  return death.floor > FLOOR_MAX ? 0 : death.sinceMs;
}

/**
 * The same where only the latest version counts: a state is dead when that is, whatever else it holds.
 */
export function latestDeadSince(bytes: Uint8Array, start: number, end: number): number {
  if (bytes[start + 1] === 1) return deadSince(bytes, start, end);
  try {
    const latest = latestOf(decodeVersions(bytes.subarray(start, end)));
    if (counterFloor(bytes, start, end) > FLOOR_MAX) return 0;
    return latest.value === undefined ? latest.timestampMs : latest.expiresAtMs;
  } catch {
    return 0; // As below.
  }
}

/** The largest counter in a state's clocks; 0 when it cannot be read. */
export function counterFloor(bytes: Uint8Array, start: number, end: number): number {
  return readDeath(bytes, start, end).floor;
}

function readDeath(bytes: Uint8Array, start: number, end: number): {
  sinceMs: number;
  floor: number;
} {
  const alive = { sinceMs: 0, floor: 0 };
  try {
    const reader = new ByteReader(bytes, "a key's versions", start, end);
    if (reader.u8() !== FORMAT) return alive;
    const count = reader.varint();
    let sinceMs = 0;
    let floor = 0;
    let lives = count === 0;
    for (let i = 0; i < count; i++) {
      const flags = reader.u8();
      const stampMs = reader.varint();
      const expiresAtMs = (flags & EXPIRES) === 0 ? 0 : reader.varint();
      floor = skipEvents(reader, floor);
      if ((flags & DOTS) !== 0) floor = skipEvents(reader, floor);
      if ((flags & OWN) !== 0) reader.varint();
      if ((flags & DELETE) === 0) reader.bytes();
      const diedMs = (flags & DELETE) !== 0 ? stampMs : expiresAtMs;
      if (diedMs === 0) lives = true;
      sinceMs = Math.max(sinceMs, diedMs);
    }
    reader.end();
    return { sinceMs: lives ? 0 : sinceMs, floor };
  } catch {
    // What cannot be read is kept as it is: whoever reads the key is told.
    return alive;
  }
}

function skipEvents(reader: ByteReader, floor: number): number {
  for (let left = reader.varint(); left > 0; left--) {
    reader.bytes();
    floor = Math.max(floor, reader.varint());
  }
  return floor;
}
