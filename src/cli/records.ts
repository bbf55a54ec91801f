/**
 * Records: one key and its value as a line of JSON, the form of `import` and `export`.
 *
 *     {"key":"fruit","value":"2 apples"}
 *     {"key":"photo","value_base64":"/9j/4AAQ"}       for bytes that are not UTF-8
 *     {"key":"code","value":"4711","expires_at":1790000000000}     gone from then on, ms since 1970
 *     {"key":"name","value":"Ada","expires_at":0}     never gone, also where the tenant has a default
 * @module
 */
import { encodeKey, MAX_VALUE_BYTES, PairError, utf8 } from "../model/mod.ts";
import { exactText, valueFields } from "./text.ts";

/** One key and its value. */
export interface KeyValue {
  readonly key: string;
  readonly value: Uint8Array;
  /** Milliseconds since 1970 from which on it is gone; 0: never; absent: as the tenant's default says. */
  readonly expiresAtMs?: number | undefined;
}

/** Bytes of a line at most: a value of 10 MiB, each byte written as `\u00XX`, and its key. */
export const MAX_LINE_BYTES = 6 * MAX_VALUE_BYTES + 64 * 1024;

/** The record as a line, with its newline. */
export function formatRecord({ key, value, expiresAtMs }: KeyValue): string {
  // What is undefined is left out.
  return `${JSON.stringify({ key, ...valueFields(value), expires_at: expiresAtMs })}\n`;
}

/**
 * The record of a line.
 * @throws PairError InvalidArgument (1000) when it is malformed; KeyTooLarge, InvalidKey or
 *   ValueTooLarge when no server would take it
 */
export function parseRecord(bytes: Uint8Array): KeyValue {
  const { key, value, value_base64: base64, expires_at: expiry, ...rest } = parseObject(bytes);
  const extra = Object.keys(rest).at(0);
  if (extra !== undefined) throw malformed(`it has a field ${JSON.stringify(extra)} too many`);
  if (typeof key !== "string") throw malformed("it has no text as its key");
  encodeKey(key);
  const decoded = value !== undefined && base64 === undefined
    ? decodeValue(value)
    : value === undefined && base64 !== undefined
    ? decodeBase64(base64)
    : undefined;
  if (decoded === undefined) throw malformed("it has not exactly one of value and value_base64");
  if (decoded.length > MAX_VALUE_BYTES) {
    throw new PairError("ValueTooLarge", "the value is longer than 10 MiB", {
      bytes: decoded.length,
      limit: MAX_VALUE_BYTES,
    });
  }
  if (expiry === undefined) return { key, value: decoded };
  return { key, value: decoded, expiresAtMs: decodeExpiry(expiry) };
}

function decodeExpiry(expiry: unknown): number {
  if (Number.isSafeInteger(expiry) && (expiry as number) >= 0) return expiry as number;
  throw malformed("its expires_at is not a time in ms since 1970");
}

function parseObject(bytes: Uint8Array): { readonly [field: string]: unknown } {
  const text = exactText(bytes);
  if (text === undefined) throw malformed("it is not UTF-8");
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw new PairError("InvalidArgument", "it is not JSON", {}, { cause });
  }
  if (typeof parsed === "object" && parsed !== null && !Array.isArray(parsed)) {
    return parsed as { readonly [field: string]: unknown };
  }
  throw malformed("it is not a JSON object");
}

function decodeValue(value: unknown): Uint8Array {
  if (typeof value !== "string") throw malformed("its value is not text");
  // A lone surrogate has no UTF-8: encoding it would store something else without a word.
  if (!value.isWellFormed()) throw malformed("its value is not well-formed Unicode");
  return utf8(value);
}

function decodeBase64(base64: unknown): Uint8Array {
  if (typeof base64 !== "string") throw malformed("its value_base64 is not text");
  try {
    return Uint8Array.fromBase64(base64, { lastChunkHandling: "strict" });
  } catch (cause) {
    throw new PairError("InvalidArgument", "its value_base64 is not base64", {}, { cause });
  }
}

function malformed(why: string): PairError {
  return new PairError("InvalidArgument", why);
}
