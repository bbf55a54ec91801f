/**
 * Bounds: which keys are meant where somebody names one key, a prefix, a first key and an end.
 * @module
 */
import type { ScanRange } from "../engine/mod.ts";
import { compareBytes, encodeBound, encodeKey, PairError, prefixEnd } from "../model/mod.ts";
import type { CacheRange, ScanInput, WatchInput } from "./api.ts";
import { hashOf, type KeyRange } from "./changes.ts";

/** Keys from `start`, inclusive, to `end`, exclusive; undefined: no bound. */
interface Bounds {
  readonly start: Uint8Array | undefined;
  readonly end: Uint8Array | undefined;
}

/** The range that bounds leave, all together. @throws PairError of a bound that is none */
export function boundsOf(input: Pick<ScanInput, "prefix" | "start" | "end">): Bounds {
  const prefix = encodeBound(input.prefix, "the prefix");
  return {
    start: later(encodeBound(input.start, "the start"), prefix),
    end: earlier(encodeBound(input.end, "the end"), prefix && prefixEnd(prefix)),
  };
}

/** @throws PairError InvalidArgument (1000) for a key together with a prefix; of a bound that is none */
export function boundsOfCache({ key = "", prefix = "" }: CacheRange): ScanRange {
  if (key === "") return boundsOf({ prefix });
  if (prefix !== "") {
    throw new PairError("InvalidArgument", "Cannot take a key and a prefix: give one of them");
  }
  return oneKey(encodeKey(key));
}

/** @throws PairError of a key or a bound that is none */
export function boundsOfWatch(input: WatchInput): KeyRange {
  const { key = "" } = input;
  if (key === "") return { ...boundsOf(input), hash: undefined };
  const bytes = encodeKey(key);
  return { ...oneKey(bytes), hash: hashOf(bytes) };
}

function oneKey(start: Uint8Array): Bounds {
  // The first key behind it.
  const end = new Uint8Array(start.length + 1);
  end.set(start);
  return { start, end };
}

/** The larger of two lower bounds; undefined stands for none. */
function later(a: Uint8Array | undefined, b: Uint8Array | undefined): Uint8Array | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return compareBytes(a, b) >= 0 ? a : b;
}

/** The smaller of two upper bounds; undefined stands for none. */
function earlier(a: Uint8Array | undefined, b: Uint8Array | undefined): Uint8Array | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return compareBytes(a, b) <= 0 ? a : b;
}
