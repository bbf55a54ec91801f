/**
 * What a client's idempotency key stands for: one write, told from every other by a digest of what was asked
 * for. The digest is Murmur3 of 128 bits, a guard against mistakes: a client that seeks two writes with one
 * digest deceives itself alone, for keys of two tenants never meet.
 *
 * How many replicas are to answer first, and how long the caller waits, is no part of the write.
 * @module
 */
import {
  ByteWriter,
  describeFault,
  inspectText,
  MAX_IDEMPOTENCY_KEY_BYTES,
  MIN_IDEMPOTENCY_KEY_BYTES,
  PairError,
  putU32,
  tokenOf,
  utf8,
  type VectorClock,
} from "../../model/mod.ts";
import type { CheckedDelete, CheckedPut } from "../validate.ts";

/** A write with a key. */
export interface KeyedRequest {
  /** The client's key: 16 to 64 bytes. */
  readonly key: Uint8Array;
  /** 16 bytes that tell this write from every other. */
  readonly digest: Uint8Array;
}

const PUT = 1;
const DELETE = 2;
const BATCH_PUT = 3;
/** Of a put without a context, about, beside its key. */
const PUT_BYTES = 48;

/** @throws PairError InvalidArgument (1000) when a key is given that is none */
export function checkIdempotencyKey(key: string | undefined): Uint8Array | undefined {
  if (key === undefined) return undefined;
  if (typeof key !== "string") throw badKey("it is no text");
  // A UTF-16 unit takes at least one byte: a long text is refused before any work is done on it.
  const bytes = key.length > MAX_IDEMPOTENCY_KEY_BYTES ? undefined : utf8(key);
  const length = bytes?.length ?? key.length;
  if (
    bytes === undefined || length < MIN_IDEMPOTENCY_KEY_BYTES || length > MAX_IDEMPOTENCY_KEY_BYTES
  ) {
    throw badKey("it has not 16 to 64 bytes", length);
  }
  const fault = inspectText(key);
  if (fault !== undefined) throw badKey(describeFault(fault));
  return bytes;
}

/** @param ttlMs  as it was asked for: when that ends is another time whenever it is asked */
export function putRequest(
  key: Uint8Array,
  item: CheckedPut,
  ttlMs: number | undefined,
): KeyedRequest {
  const writer = new ByteWriter(item.key.length + PUT_BYTES).u8(PUT);
  writePut(writer, item, ttlMs);
  return requestOf(key, writer);
}

/** The same for a delete. */
export function deleteRequest(key: Uint8Array, item: CheckedDelete): KeyedRequest {
  const writer = new ByteWriter().u8(DELETE).bytes(item.key);
  writeCondition(writer, item);
  return requestOf(key, writer);
}

/** The same for a batch. @param ttlsMs  of each item */
export function batchRequest(
  key: Uint8Array,
  items: readonly CheckedPut[],
  ttlsMs: readonly (number | undefined)[],
  skipUnchanged: boolean,
): KeyedRequest {
  const writer = new ByteWriter().u8(BATCH_PUT).u8(skipUnchanged ? 1 : 0).varint(items.length);
  items.forEach((item, i) => writePut(writer, item, ttlsMs[i]));
  return requestOf(key, writer);
}

function requestOf(key: Uint8Array, writer: ByteWriter): KeyedRequest {
  return { key, digest: digestOf(writer.view()) };
}

function writePut(writer: ByteWriter, item: CheckedPut, ttlMs: number | undefined): void {
  writer.bytes(item.key).varint(item.value.length).raw(digestOf(item.value));
  // None is not 0: as the tenant says, and for ever.
  if (ttlMs === undefined) writer.u8(0);
  else writer.u8(1).varint(ttlMs);
  writeCondition(writer, item);
}

function writeCondition(
  writer: ByteWriter,
  { context, ifContext }: Pick<CheckedPut, "context" | "ifContext">,
): void {
  writer.u8((ifContext ? 1 : 0) | (context === undefined ? 0 : 2));
  if (context !== undefined) writeClock(writer, context);
}

function writeClock(writer: ByteWriter, { entries, dots }: VectorClock): void {
  for (const events of [entries, dots]) {
    writer.varint(events.length);
    for (const { node, counter } of events) writer.text(node).varint(counter);
  }
}

function digestOf(bytes: Uint8Array): Uint8Array {
  const token = tokenOf(bytes);
  const digest = new Uint8Array(16);
  for (let i = 0; i < token.length; i++) putU32(digest, i * 4, token[i]);
  return digest;
}

function badKey(why: string, bytes?: number): PairError {
  return new PairError("InvalidArgument", `Cannot take the idempotency key: ${why}`, {
    field: "idempotency_key",
    ...(bytes === undefined ? {} : { bytes, limit: MAX_IDEMPOTENCY_KEY_BYTES }),
  });
}
