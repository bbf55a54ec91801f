/**
 * Sets of texts: one that only grows, and one whose elements can be removed (OR-Set).
 *
 *     value     `{"add":["a"],"remove":["b"]}`, either or both; `["a","b"]` adds. A set that only grows takes
 *               no `remove`
 *     read      a JSON array, ordered by the bytes of its texts: `["a","c"]`
 *     remove    what its node has seen goes; an element that is added concurrently stays
 *     delete    removes all that it has seen; what is added concurrently stays
 * @module
 */
import { compareBytes, fromUtf8, utf8 } from "../bytes.ts";
import { PairError } from "../errors.ts";
import {
  type Change,
  change,
  clear,
  decode,
  type Dots,
  encode,
  inspect,
  join,
  NO_DOTS,
} from "./dots.ts";
import type { DataType, Inspected, WriteEvent } from "./merging.ts";
import { badOperation, isObject, jsonOf } from "./operations.ts";

const TAG = 2;
const PRESENT = new Uint8Array(0);

/** `merge:gset` and `merge:orset`. */
export class ElementSet implements DataType {
  readonly #form: string;

  constructor(readonly name: "gset" | "orset") {
    this.#form = name === "gset"
      ? 'JSON such as {"add":["a"]} or ["a"]'
      : 'JSON such as {"add":["a"],"remove":["b"]} or ["a"]';
  }

  apply(state: Uint8Array | undefined, value: Uint8Array, event: WriteEvent): Uint8Array {
    const before = state === undefined ? NO_DOTS : read(state);
    return write(change(before, this.#parse(value), { ...event, stampMs: 0 }));
  }

  merge(a: Uint8Array, b: Uint8Array): Uint8Array {
    return write(join(read(a), read(b)));
  }

  clear(state: Uint8Array): Uint8Array {
    return write(clear(read(state)));
  }

  view(state: Uint8Array): Uint8Array {
    const texts = read(state).elements.map(({ name }) => JSON.stringify(textOfName(name)));
    return utf8(`[${texts.join(",")}]`);
  }

  inspect(state: Uint8Array): Inspected {
    const dots = read(state);
    for (const { name } of dots.elements) textOfName(name);
    return inspect(dots);
  }

  #parse(value: Uint8Array): readonly Change[] {
    const json = jsonOf(value, this.#form);
    const { add = [], remove = [], ...others } = Array.isArray(json)
      ? { add: json }
      : isObject(json)
      ? json
      : { none: true };
    if (Object.keys(others).length > 0) throw badOperation(this.#form, "this is neither");
    const named = [
      ...this.#names(add).map((name) => ({ name, value: PRESENT })),
      ...this.#names(remove).map((name) => ({ name, value: undefined })),
    ].sort((a, b) => compareBytes(a.name, b.name));
    const changes: Change[] = [];
    for (const next of named) {
      const last = changes.at(-1);
      if (last === undefined || compareBytes(last.name, next.name) !== 0) changes.push(next);
      else if (last.value !== next.value) {
        throw badOperation(this.#form, "an element is both added and removed");
      }
    }
    if (this.name === "gset" && changes.some(({ value }) => value === undefined)) {
      throw badOperation(this.#form, "nothing can be removed from a set that only grows");
    }
    return changes;
  }

  #names(list: unknown): readonly Uint8Array[] {
    if (!Array.isArray(list)) throw badOperation(this.#form, "this is neither");
    return list.map((text) => {
      if (typeof text === "string" && text.isWellFormed()) return utf8(text);
      throw badOperation(this.#form, "an element is no well-formed text");
    });
  }
}

function read(state: Uint8Array): Dots {
  return decode(state, TAG, false);
}

function write(dots: Dots): Uint8Array {
  return encode(dots, TAG, false);
}

/** @throws PairError CorruptedData (2007) when it is not UTF-8 */
export function textOfName(name: Uint8Array): string {
  try {
    return fromUtf8(name);
  } catch (cause) {
    throw new PairError("CorruptedData", "Cannot read a set or a map: a name is not UTF-8", {}, {
      cause,
    });
  }
}
