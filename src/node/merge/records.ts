/**
 * The bytes of a merge function. They lie in a tree of their own, under the function's name:
 *
 *     name (UTF-8)  ->  | format 1 | registered | digest, 32 bytes | source (length, UTF-8) | code (the same) |
 *
 * `registered` is wall time, ms since 1970; numbers are varints. The digest is the SHA-256 of the source, by
 * which the function is known; the code is what the source became without its types.
 * @module
 */
import { ByteReader, ByteWriter, compareBytes, fromUtf8, utf8 } from "../../model/mod.ts";
import { sha256Of } from "../../runtime/mod.ts";

/** A merge function, as it is kept. */
export interface FunctionRecord {
  readonly registeredAtMs: number;
  /** SHA-256 of the source. */
  readonly digest: Uint8Array;
  readonly source: string;
  /** JavaScript. */
  readonly code: string;
}

const FORMAT = 1;
const DIGEST_BYTES = 32;

/** The digest of a source. */
export function digestOf(source: string): Uint8Array {
  return sha256Of(utf8(source));
}

/** The bytes of a record. */
export function encodeFunction(
  { registeredAtMs, digest, source, code }: FunctionRecord,
): Uint8Array {
  return new ByteWriter().u8(FORMAT).varint(registeredAtMs).raw(digest)
    .bytes(utf8(source)).bytes(utf8(code)).finish();
}

/** @throws PairError CorruptedData (2007) when these are no such bytes, or the source is not the one of the digest */
export function decodeFunction(bytes: Uint8Array): FunctionRecord {
  const reader = new ByteReader(bytes, "a merge function");
  if (reader.u8() !== FORMAT) throw reader.damaged("its format is unknown");
  const registeredAtMs = reader.varint();
  const digest = reader.raw(DIGEST_BYTES);
  const source = fromUtf8(reader.bytes());
  const code = fromUtf8(reader.bytes());
  reader.end();
  if (compareBytes(digestOf(source), digest) !== 0) {
    throw reader.damaged("its source is not the one that was registered");
  }
  return { registeredAtMs, digest, source, code };
}
