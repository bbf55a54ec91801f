/**
 * Requests of PairDB and etcd as bytes, and what their answers have to say. By hand, since it has to cost
 * the generator as little as it can, and needs no copy of etcd's protocol: its `PutRequest` is `{key: 1,
 * value: 2}`, its `RangeRequest` `{key: 1}`, its `RangeResponse` `{kvs: 2 {value: 5}}`.
 * @module
 */

/** Bytes of a key: those that redis-benchmark makes, `key:000000012345`. */
export const KEY_BYTES = 16;
const DIGITS = 12;
const TENANT = "bench";
const encoder = new TextEncoder();

/** One kind of unary call. */
export interface Call {
  readonly path: string;
  /** The request about a key; a new array each time. */
  request(key: number): Uint8Array;
  /** Looks at the answer. @throws Error when it is not what was stored */
  check(key: number, message: Uint8Array): void;
}

/** The key of a number, as text. */
export function keyOf(key: number): string {
  return `key:${String(key).padStart(DIGITS, "0")}`;
}

/** A value of so many bytes that begins with its key, so that answers can be checked. */
export function valueOf(key: number, bytes: number): Uint8Array {
  const value = new Uint8Array(bytes).fill(0x76);
  value.set(encoder.encode(keyOf(key)));
  return value;
}

/** PairDB's calls with values of so many bytes. */
export function pairdbCalls(valueBytes: number): { put: Call; get: Call } {
  const service = "/pairdb.v1.KeyValueService";
  const tenant = field(1, encoder.encode(TENANT));
  return {
    put: call(
      `${service}/Put`,
      [tenant, field(2, KEY), field(3, valueOf(0, valueBytes))],
      () => {},
    ),
    get: call(`${service}/Get`, [tenant, field(2, KEY)], (key, message) => {
      checkValue(key, fieldIn(message, 0, message.length, 1), valueBytes);
    }),
  };
}

/** etcd's calls: Range is linearizable unless it says otherwise. */
export function etcdCalls(valueBytes: number): { put: Call; get: Call } {
  const service = "/etcdserverpb.KV";
  return {
    put: call(`${service}/Put`, [field(1, KEY), field(2, valueOf(0, valueBytes))], () => {}),
    get: call(`${service}/Range`, [field(1, KEY)], (key, message) => {
      const kvs = fieldIn(message, 0, message.length, 2);
      const value = kvs && fieldIn(message, kvs.start, kvs.end, 5);
      checkValue(key, value && { ...value, bytes: message }, valueBytes);
    }),
  };
}

const KEY = encoder.encode(keyOf(0));

/** A call whose requests differ in the digits of the key only, wherever it stands. */
function call(path: string, parts: readonly Uint8Array[], check: Call["check"]): Call {
  const template = joined(parts);
  const places = placesOf(template);
  return {
    path,
    request(key) {
      const bytes = template.slice();
      for (const place of places) writeDigits(bytes, place, key);
      return bytes;
    },
    check,
  };
}

/** Where the last digits of keys stand. */
function placesOf(bytes: Uint8Array): number[] {
  const places: number[] = [];
  for (let at = 0; at + KEY_BYTES <= bytes.length; at++) {
    if (KEY.every((byte, i) => bytes[at + i] === byte)) places.push(at + KEY_BYTES - 1);
  }
  return places;
}

function writeDigits(bytes: Uint8Array, last: number, key: number): void {
  for (let at = last, rest = key; rest > 0; at--, rest = Math.floor(rest / 10)) {
    bytes[at] = 0x30 + rest % 10;
  }
}

interface Slice {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
}

function checkValue(key: number, value: Slice | undefined, length: number): void {
  if (value !== undefined && value.end - value.start === length) {
    let rest = key;
    let at = value.start + KEY_BYTES - 1;
    while (rest > 0 && value.bytes[at] === 0x30 + rest % 10) {
      rest = Math.floor(rest / 10);
      at--;
    }
    if (rest === 0) return;
  }
  throw new Error(`the answer for ${keyOf(key)} is not its value`);
}

/** A length-delimited field. */
export function field(number: number, bytes: Uint8Array): Uint8Array {
  return joined([new Uint8Array([number << 3 | 2, ...varint(bytes.length)]), bytes]);
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  for (; value >= 0x80; value >>>= 7) bytes.push(value & 0x7f | 0x80);
  return [...bytes, value];
}

/** Puts arrays together. */
export function joined(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** The first length-delimited field of this number in `bytes[start, end)`. */
function fieldIn(bytes: Uint8Array, start: number, end: number, number: number): Slice | undefined {
  let at = start;
  const read = () => {
    let value = 0;
    for (let factor = 1;; factor *= 128) {
      const byte = bytes[at++];
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
    }
  };
  while (at < end) {
    const tag = read();
    if ((tag & 7) === 0) read();
    else if ((tag & 7) === 1) at += 8;
    else if ((tag & 7) === 5) at += 4;
    else {
      const length = read();
      if (tag >>> 3 === number) return { bytes, start: at, end: at + length };
      at += length;
    }
  }
  return undefined;
}
