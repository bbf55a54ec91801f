/**
 * Requests of PairDB and etcd as bytes, and what their answers have to say. By hand, since it has to cost
 * the generator as little as it can, and needs no copy of etcd's protocol: its `PutRequest` is `{key: 1,
 * value: 2}`, its `RangeRequest` `{key: 1}`, its `RangeResponse` `{kvs: 2 {value: 5}}`, its `TxnRequest`
 * `{success: 2 {request_range: 1, request_put: 2}}`, its `TxnResponse` `{responses: 3 {response_range: 1}}`.
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
  /** Keys that one call is about. */
  readonly items: number;
  /** Room for a request, to be used again and again. */
  room(): Uint8Array;
  /** Makes the request about a key. @param room  from {@link room}, or of an earlier request that was answered */
  request(key: number, room: Uint8Array): Uint8Array;
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

/** What a run is about. */
export interface KeySpace {
  /** Keys that are stored. */
  readonly keys: number;
  readonly valueBytes: number;
}

/** How the keys of a batch are apart; a prime, so that no key is twice in one. */
const STRIDE = 7919;

/** The calls of one server. */
export interface Calls {
  /** A call about so many keys: the given one, and others `stride` apart. */
  put(items: number, stride?: number): Call;
  get(items: number): Call;
}

/** PairDB: Put, Get, BatchPut, BatchGet. */
export function pairdbCalls({ keys, valueBytes }: KeySpace): Calls {
  const path = (method: string) => `/pairdb.v1.KeyValueService/${method}`;
  const tenant = field(1, encoder.encode(TENANT));
  const put = [field(1, KEY), field(2, valueOf(0, valueBytes))];
  return {
    put(items, stride = STRIDE) {
      const base = { items, stride, keys };
      if (items > 1) {
        const parts = [tenant, ...times(items, field(2, joined(put)))];
        return call({ ...base, path: path("BatchPut"), parts });
      }
      const parts = [tenant, field(2, KEY), field(3, valueOf(0, valueBytes))];
      return call({ ...base, path: path("Put"), parts });
    },
    get(items) {
      const base = { items, stride: STRIDE, keys, valueBytes };
      if (items > 1) {
        return call({
          ...base,
          path: path("BatchGet"),
          parts: [tenant, ...times(items, field(2, KEY))],
          values: (message, found) => eachField(message, 1, (item) => found(fieldIn(item, 3))),
        });
      }
      return call({
        ...base,
        path: path("Get"),
        parts: [tenant, field(2, KEY)],
        values: (message, found) => found(fieldIn(message, 1)),
      });
    },
  };
}

/** etcd: Put and Range, which is linearizable unless it says otherwise, and Txn of several of them. */
export function etcdCalls({ keys, valueBytes }: KeySpace): Calls {
  const path = (method: string) => `/etcdserverpb.KV/${method}`;
  const put = [field(1, KEY), field(2, valueOf(0, valueBytes))];
  const valueIn = (range: Slice) => {
    const kvs = fieldIn(range, 2);
    return kvs && fieldIn(kvs, 5);
  };
  return {
    put(items, stride = STRIDE) {
      const base = { items, stride, keys };
      if (items === 1) return call({ ...base, path: path("Put"), parts: put });
      const parts = times(items, field(2, field(2, joined(put))));
      return call({ ...base, path: path("Txn"), parts });
    },
    get(items) {
      const base = { items, stride: STRIDE, keys, valueBytes };
      if (items > 1) {
        return call({
          ...base,
          path: path("Txn"),
          parts: times(items, field(2, field(1, field(1, KEY)))),
          values: (message, found) =>
            eachField(message, 3, (response) => {
              const range = fieldIn(response, 1);
              found(range && valueIn(range));
            }),
        });
      }
      return call({
        ...base,
        path: path("Range"),
        parts: [field(1, KEY)],
        values: (message, found) => found(valueIn(message)),
      });
    },
  };
}

const KEY = encoder.encode(keyOf(0));

/** What a call is made of. */
interface CallShape {
  readonly path: string;
  /** The request's fields, with {@link KEY} wherever a key stands: as often for each item, one after the other. */
  readonly parts: readonly Uint8Array[];
  readonly items: number;
  readonly stride: number;
  readonly keys: number;
  readonly valueBytes?: number;
  /** Gives all values of an answer, in order; without it answers say nothing of interest. */
  readonly values?: (message: Slice, found: (value: Slice | undefined) => void) => void;
}

/** A call whose requests differ in the digits of the keys only. */
function call({ path, parts, items, stride, keys, valueBytes = 0, values }: CallShape): Call {
  const template = joined(parts);
  const places = placesOf(template);
  const perItem = places.length / items;
  return {
    path,
    items,
    room: () => template.slice(),
    request(key, bytes) {
      for (let at = 0; at < places.length; at++) {
        const item = Math.floor(at / perItem);
        writeDigits(bytes, places[at], (key + item * stride) % keys);
      }
      return bytes;
    },
    check(key, bytes) {
      if (values === undefined) return;
      let item = 0;
      values(
        { bytes, start: 0, end: bytes.length },
        (value) => checkValue((key + item++ * stride) % keys, value, valueBytes),
      );
      if (item !== items) throw new Error(`${path} answers ${item} values of ${items}`);
    },
  };
}

function times(count: number, part: Uint8Array): Uint8Array[] {
  return Array.from({ length: count }, () => part);
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
  let rest = key;
  for (let at = last; at > last - DIGITS; at--) {
    bytes[at] = 0x30 + rest % 10;
    rest = Math.floor(rest / 10);
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

/** The first length-delimited field of this number. */
function fieldIn(message: Slice, number: number): Slice | undefined {
  let first: Slice | undefined;
  eachField(message, number, (slice) => {
    first ??= slice;
  });
  return first;
}

/** All length-delimited fields of this number. */
function eachField(
  { bytes, start, end }: Slice,
  number: number,
  take: (slice: Slice) => void,
): void {
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
      if (tag >>> 3 === number) take({ bytes, start: at, end: at + length });
      at += length;
    }
  }
}
