/**
 * The largest, or the smallest, of all numbers that were written.
 *
 *     value     a number as JSON has it, which a double holds: `12.5`
 *     read      the same
 *     delete    replaces what it has seen; a concurrent write stays, with the extreme that its writer had seen
 *
 * The state is the tag 4 and the number as JavaScript prints it, in ASCII.
 * @module
 */
import { fromUtf8, utf8 } from "../bytes.ts";
import { PairError } from "../errors.ts";
import { type DataType, type Inspected, TIMELESS } from "./merging.ts";
import { badOperation, textOf } from "./operations.ts";

const TAG = 4;
const FORM = "numbers, such as 12.5";
const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;
const INTEGER = /^-?\d+$/;
/** Characters of a number: more say nothing that a double holds. */
const LENGTH_MAX = 64;

/** `merge:max` and `merge:min`. */
export class Extreme implements DataType {
  readonly #sign: 1 | -1;

  constructor(readonly name: "max" | "min") {
    this.#sign = name === "max" ? 1 : -1;
  }

  apply(state: Uint8Array | undefined, value: Uint8Array): Uint8Array {
    const written = encode(parseNumber(value));
    return state === undefined ? written : this.merge(state, written);
  }

  merge(a: Uint8Array, b: Uint8Array): Uint8Array {
    return this.#sign * (decode(a) - decode(b)) >= 0 ? a : b;
  }

  clear(): undefined {}

  view(state: Uint8Array): Uint8Array {
    decode(state);
    return state.slice(1);
  }

  inspect(state: Uint8Array): Inspected {
    decode(state);
    return TIMELESS;
  }
}

function parseNumber(value: Uint8Array): number {
  const text = value.length > LENGTH_MAX ? "" : textOf(value, FORM);
  if (!NUMBER.test(text)) throw badOperation(FORM, "this is none");
  const number = Number(text);
  if (!Number.isFinite(number)) throw badOperation(FORM, "this is too large");
  if (INTEGER.test(text) && !Number.isSafeInteger(number)) {
    throw badOperation(FORM, "a whole number beyond 2^53 - 1 is not held exactly");
  }
  return number;
}

function encode(number: number): Uint8Array {
  // -0 is 0 here.
  return utf8(`\x04${number}`);
}

function decode(bytes: Uint8Array): number {
  const damaged = (why: string) =>
    new PairError("CorruptedData", `Cannot read a number that is kept as an extreme: ${why}`);
  if (bytes[0] !== TAG || bytes.length > LENGTH_MAX) throw damaged("it is none");
  let text: string;
  try {
    text = fromUtf8(bytes.subarray(1));
  } catch {
    throw damaged("it is not UTF-8");
  }
  const number = Number(text);
  if (!Number.isFinite(number) || String(number) !== text) throw damaged("it has another form");
  return number;
}
