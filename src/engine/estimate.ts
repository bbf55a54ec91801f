/**
 * Estimates: about how much of a tree is in a range, from what is known without reading a block. A table
 * or memtable that is in the range by a part counts by a share, as if its keys were spread evenly between
 * its first and its last.
 * @module
 */
import { compareBytes } from "../model/mod.ts";
import type { KeyBounds } from "./level_cursor.ts";

/** Bytes of a key, behind what the first and the last have in common, that place it between them. */
const PLACE_BYTES = 6;

/**
 * The share, from 0 to 1, of what lies between two keys that a range is likely to hold.
 * @param smallest  the first key, inclusive
 * @param largest   the last, inclusive
 */
export function shareInRange(
  { start, end }: KeyBounds,
  smallest: Uint8Array,
  largest: Uint8Array,
): number {
  const from = start === undefined ? 0 : placeOf(start, smallest, largest);
  const to = end === undefined ? 1 : placeOf(end, smallest, largest);
  return Math.max(0, to - from);
}

/** How much lies before a key: 0 up to the smallest, 1 behind the largest. */
function placeOf(key: Uint8Array, smallest: Uint8Array, largest: Uint8Array): number {
  if (compareBytes(key, smallest) <= 0) return 0;
  if (compareBytes(key, largest) > 0) return 1;
  let shared = 0;
  while (smallest[shared] === largest[shared]) shared++;
  const low = numberAt(smallest, shared);
  const span = numberAt(largest, shared) - low;
  // Keys that zeros alone tell apart.
  return span === 0 ? 0.5 : (numberAt(key, shared) - low) / span;
}

function numberAt(key: Uint8Array, from: number): number {
  let number = 0;
  for (let i = from; i < from + PLACE_BYTES; i++) number = number * 256 + (key[i] ?? 0);
  return number;
}
