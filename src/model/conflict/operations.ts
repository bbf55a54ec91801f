/**
 * Operations: what clients put into keys of a data type, as text.
 * @module
 */
import { PairError } from "../errors.ts";
import { decodeText } from "../text.ts";

/** A value as text. @throws PairError InvalidArgument (1000) when it is not UTF-8 */
export function textOf(value: Uint8Array, form: string): string {
  try {
    return decodeText(value);
  } catch {
    throw badOperation(form, "this is not UTF-8");
  }
}

/** Levels of JSON in JSON: printing it takes stack for each. */
const DEPTH_MAX = 64;

/** So many digits in a row may be a whole number that a double does not hold exactly. */
const MANY_DIGITS = /\d{16}/;
const INTEGER = /^-?\d+$/;

/** What JSON.parse calls for each part, with the text of a number, a string or the like. */
type Reviver = (key: string, value: unknown, context: { readonly source?: string }) => unknown;

/**
 * A value as JSON.
 * @throws PairError InvalidArgument (1000) when it is none, has a number that no double holds, or a whole one that
 *   none holds exactly, or more than 64 levels
 */
export function jsonOf(value: Uint8Array, form: string): unknown {
  const text = textOf(value, form);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw badOperation(form, "this is not JSON");
  }
  checkJson(json, form, DEPTH_MAX);
  if (MANY_DIGITS.test(text)) checkIntegers(text, form);
  return json;
}

/** Refuses whole numbers of which the parser makes others: an id would come back as that of somebody else. */
function checkIntegers(text: string, form: string): void {
  const check: Reviver = (_key, value, { source = "" }) => {
    // Where the digits that will be shown are those that came, nobody is misled.
    const isExact = typeof value !== "number" || !INTEGER.test(source) ||
      Number.isSafeInteger(value) || String(value) === source;
    if (isExact) return value;
    throw badOperation(form, "a whole number beyond 2^53 - 1 is not held exactly: send it as text");
  };
  JSON.parse(text, check as (key: string, value: unknown) => unknown);
}

function checkJson(json: unknown, form: string, levels: number): void {
  // The parser makes infinity of it, and the printer null of that.
  if (typeof json === "number" && !Number.isFinite(json)) {
    throw badOperation(form, "a number is too large");
  }
  if (typeof json !== "object" || json === null) return;
  if (levels === 0) throw badOperation(form, `it has more than ${DEPTH_MAX} levels`);
  for (const part of Object.values(json)) checkJson(part, form, levels - 1);
}

/** Whether JSON is an object, and no array. */
export function isObject(json: unknown): json is Record<string, unknown> {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}

/** @param form  what the key takes, for people */
export function badOperation(form: string, why: string): PairError {
  return new PairError("InvalidArgument", `Cannot write the key: its values are ${form}; ${why}`, {
    reason: "operation",
  });
}
