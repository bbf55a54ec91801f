/**
 * A map of named fields, each a value of its own (an observed-remove map of registers in which the last write
 * wins).
 *
 *     value     a JSON merge patch (RFC 7396) of one level: `{"name":"Ann","age":null}` sets `name` to any
 *               JSON but null, which replaces what it was, and removes `age`
 *     read      a JSON object, ordered by the bytes of its names: `{"name":"Ann"}`
 *     conflict  of concurrent writes of a field the latest is shown, by hybrid time, then node id; a field that
 *               is written while it is removed stays
 *     delete    removes all that it has seen; what is set concurrently stays
 * @module
 */
import { compareBytes, fromUtf8, utf8 } from "../bytes.ts";
import { PairError } from "../errors.ts";
import {
  change,
  clear,
  decode,
  type Dots,
  encode,
  inspect,
  join,
  latestPut,
  NO_DOTS,
} from "./dots.ts";
import type { DataType, Inspected, WriteEvent } from "./merging.ts";
import { badOperation, isObject, jsonOf } from "./operations.ts";
import { textOfName } from "./set.ts";

const TAG = 3;
const FORM = 'JSON objects such as {"field":"value","other":null}';

/** `merge:map`. */
export class FieldMap implements DataType {
  readonly name = "map";

  apply(state: Uint8Array | undefined, value: Uint8Array, event: WriteEvent): Uint8Array {
    return write(change(state === undefined ? NO_DOTS : read(state), parse(value), event));
  }

  merge(a: Uint8Array, b: Uint8Array): Uint8Array {
    return write(join(read(a), read(b)));
  }

  clear(state: Uint8Array): Uint8Array {
    return write(clear(read(state)));
  }

  view(state: Uint8Array): Uint8Array {
    // Put together as text: an object would bring names that are numbers into another order.
    const fields = read(state).elements.map((element) =>
      `${JSON.stringify(textOfName(element.name))}:${fromUtf8(latestPut(element).value)}`
    );
    return utf8(`{${fields.join(",")}}`);
  }

  inspect(state: Uint8Array): Inspected {
    const dots = read(state);
    for (const { name, puts } of dots.elements) {
      textOfName(name);
      for (const { value } of puts) checkValue(value);
    }
    return inspect(dots);
  }
}

function parse(value: Uint8Array) {
  const json = jsonOf(value, FORM);
  if (!isObject(json)) throw badOperation(FORM, "this is none");
  return Object.entries(json).map(([name, part]) => {
    if (!name.isWellFormed()) throw badOperation(FORM, "a name is no well-formed text");
    return { name: utf8(name), value: part === null ? undefined : utf8(JSON.stringify(part)) };
  }).sort((a, b) => compareBytes(a.name, b.name));
}

/** What goes into the answer as it is must be JSON, as {@link parse} writes it. */
function checkValue(value: Uint8Array): void {
  const json = jsonOf(value, FORM);
  if (json !== null && JSON.stringify(json) === fromUtf8(value)) return;
  throw new PairError("CorruptedData", "Cannot read a map: a field is not as it is written");
}

function read(state: Uint8Array): Dots {
  return decode(state, TAG, true);
}

function write(dots: Dots): Uint8Array {
  return encode(dots, TAG, true);
}
