/**
 * Keys: what users call their values by. A key is 1 to 1024 bytes of UTF-8 without control
 * characters; it is ordered and compared as bytes, and comes back exactly as it went in (also with a
 * byte order mark in front, which decoders like to drop).
 * @module
 */
import { utf8 } from "./bytes.ts";
import { PairError } from "./errors.ts";
import { MAX_KEY_BYTES } from "./limits.ts";
import { decodeText, describeFault, encodeText } from "./text.ts";

/** A key as callers have it: text, or its bytes, which stay as they are until the call is done. */
export type Key = string | Uint8Array;

/**
 * The bytes of a key.
 * @throws PairError InvalidArgument (1000) when it is missing or empty, KeyTooLarge (1002) above 1024
 *   bytes, InvalidKey (1005) when it is ill-formed or has a control character
 */
export function encodeKey(key: Key): Uint8Array {
  if (typeof key === "object" && key instanceof Uint8Array) return checkKey(key);
  if (typeof key !== "string" || key.length === 0) {
    throw new PairError("InvalidArgument", "Cannot take the key: it is missing or empty");
  }
  const bytes = key.length > MAX_KEY_BYTES ? utf8(key) : encodeText(key);
  if (typeof bytes === "string") {
    // Its length comes first, as it does for bytes.
    if (utf8(key).length > MAX_KEY_BYTES) throw tooLarge("the key", utf8(key).length);
    throw new PairError("InvalidKey", `Cannot take the key: ${describeFault(bytes)}`);
  }
  if (bytes.length > MAX_KEY_BYTES) throw tooLarge("the key", bytes.length);
  return bytes;
}

/** The same for a key that came as bytes, which is what most come as. */
function checkKey(key: Uint8Array): Uint8Array {
  if (key.length > MAX_KEY_BYTES) throw tooLarge("the key", key.length);
  for (let i = 0; i < key.length; i++) {
    // What is not plain ASCII goes the long way.
    if (key[i] < 0x20 || key[i] >= 0x7f) return encodeKey(textOf(key));
  }
  if (key.length === 0) return encodeKey("");
  return key;
}

function textOf(key: Uint8Array): string {
  try {
    return decodeText(key);
  } catch (cause) {
    const text = `Cannot take the key: ${describeFault("ill-formed")}`;
    throw new PairError("InvalidKey", text, {}, { cause });
  }
}

/**
 * The bytes of a bound of a scan: any well-formed text of at most 1024 bytes, since a bound need not
 * be a key. Absent or empty: no bound.
 * @param what  names the bound in errors, such as "the prefix"
 * @throws PairError KeyTooLarge (1002), InvalidKey (1005) when it is ill-formed
 */
export function encodeBound(
  text: string | undefined,
  what: string,
): Uint8Array<ArrayBuffer> | undefined {
  if (text === undefined || text.length === 0) return undefined;
  if (text.length > MAX_KEY_BYTES) throw tooLarge(what, text.length);
  if (!text.isWellFormed()) {
    throw new PairError("InvalidKey", `Cannot take ${what}: it is not well-formed Unicode`);
  }
  const bytes = utf8(text);
  if (bytes.length > MAX_KEY_BYTES) throw tooLarge(what, bytes.length);
  return bytes;
}

/**
 * The key that bytes stand for.
 * @throws PairError CorruptedData (2007) when they are not UTF-8: no key was stored like that
 */
export function decodeKey(bytes: Uint8Array): string {
  try {
    return decodeText(bytes);
  } catch (cause) {
    throw new PairError("CorruptedData", "Cannot read a stored key: it is not UTF-8", {
      bytes: bytes.length,
    }, { cause });
  }
}

/**
 * The least bytes above everything that begins with `prefix`.
 * @returns undefined when there is none: the prefix is empty or all FF
 */
export function prefixEnd(prefix: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
  let last = prefix.length - 1;
  while (last >= 0 && prefix[last] === 0xff) last--;
  if (last < 0) return undefined;
  const end = prefix.slice(0, last + 1);
  end[last]++;
  return end;
}

function tooLarge(what: string, bytes: number): PairError {
  return new PairError("KeyTooLarge", `Cannot take ${what}: it is longer than 1 KiB`, {
    bytes,
    limit: MAX_KEY_BYTES,
  });
}
