/**
 * The bytes of a manifest: its header and its frames, each of which holds one edit.
 *
 *     header:  0          8        12       16       20       36       40
 *              +----------+--------+--------+--------+--------+--------+
 *              | PAIRDBMF | format | number | flags  | key    | crc32c |   crc32c covers all before it
 *              | magic    | u32=2  | u32    | u32    | salt   | u32    |
 *              +----------+--------+--------+--------+--------+--------+
 *              Flag 1: edits are sealed under a key derived from the store's and the key salt; else that is
 *              zero. Format 1 has neither flags nor key salt: 20 bytes.
 *     frame:   | length u32 | crc32c u32 | number u32 | edit, `length` bytes |   crc32c covers number and edit
 *              An edit of no bytes is the end mark of the one before, see manifest.ts.
 *              A sealed edit is encrypted by AES-256-GCM, its tag behind it. The nonce is the frame's offset
 *              u48 and six zeros; the number is authenticated with it.
 * @module
 */
import { crc32c, getU32, PairError, putU32, putU48 } from "../../model/mod.ts";
import { Cipher, deriveKey, NONCE_BYTES, type Random, TAG_BYTES } from "../../runtime/mod.ts";
import { decodeEdit, type Edit, encodeEdit, type ManifestState } from "./edit.ts";

/** The version that this program writes, and the newest that it reads. */
export const MANIFEST_FORMAT = 2;

const HEADER_SIZE = 40;
/** Format 1, without flags and salt. */
const HEADER_SIZE_1 = 20;
const FRAME_HEADER = 12;
const FLAG_SEALED = 1;
const KEY_SALT_BYTES = 16;
const MAGIC = [0x50, 0x41, 0x49, 0x52, 0x44, 0x42, 0x4d, 0x46]; // "PAIRDBMF"

/** What new manifests are encrypted with. */
export interface Sealing {
  /** The store's key. */
  readonly key: Uint8Array;
  readonly random: Random;
}

/** What a header says of the frames behind it. */
export interface Layout {
  /** Where the first frame begins. */
  readonly size: number;
  /** Undefined when edits are in clear. */
  readonly cipher: Cipher | undefined;
}

/** A new manifest's beginning: its header, and the edit that makes the state from nothing. */
export function encodeBeginning(
  number: number,
  state: ManifestState,
  sealing: Sealing | undefined,
): { header: Uint8Array; first: Uint8Array; cipher: Cipher | undefined } {
  const header = new Uint8Array(HEADER_SIZE);
  header.set(MAGIC);
  putU32(header, 8, MANIFEST_FORMAT);
  putU32(header, 12, number);
  let cipher: Cipher | undefined;
  if (sealing !== undefined) {
    const salt = sealing.random.bytes(KEY_SALT_BYTES);
    putU32(header, 16, FLAG_SEALED);
    header.set(salt, 20);
    cipher = manifestCipher(sealing.key, salt);
  }
  putU32(header, HEADER_SIZE - 4, crc32c(header, 0, HEADER_SIZE - 4));
  const first = encodeFrame(number, state.snapshot(), cipher, HEADER_SIZE);
  return { header, first, cipher };
}

/**
 * Reads a header.
 * @param key  the store's, if there is one
 * @throws PairError CorruptedData when it is damaged or foreign, InvalidArgument when its format is newer,
 *   or it is encrypted and there is no key
 */
export function decodeHeader(
  path: string,
  number: number,
  bytes: Uint8Array,
  key: Uint8Array | undefined,
): Layout {
  if (bytes.length < HEADER_SIZE_1 || MAGIC.some((byte, i) => bytes[i] !== byte)) {
    throw damagedFile(path, 0, "this is not a manifest: the magic number is missing");
  }
  const format = getU32(bytes, 8);
  // A newer header may have another length: format 1's is where a program of any age finds a checksum.
  const size = format === 1 ? HEADER_SIZE_1 : HEADER_SIZE;
  const sound = (end: number) =>
    bytes.length >= end && getU32(bytes, end - 4) === crc32c(bytes, 0, end - 4);
  if (!sound(size) && !(format > MANIFEST_FORMAT && sound(HEADER_SIZE_1))) {
    throw damagedFile(path, 0, "the header's checksum does not match");
  }
  if (format > MANIFEST_FORMAT) {
    throw new PairError(
      "InvalidArgument",
      `Cannot open ${path}: its format is ${format}, newer than this program's ${MANIFEST_FORMAT}`,
      { file: path, format },
    );
  }
  if (getU32(bytes, 12) !== number) throw damagedFile(path, 0, "it is another manifest's content");
  const flags = format === 1 ? 0 : getU32(bytes, 16);
  if (flags === 0) return { size, cipher: undefined };
  if (flags !== FLAG_SEALED) throw damagedFile(path, 16, "its flags are not known");
  if (key === undefined) {
    throw new PairError(
      "InvalidArgument",
      `Cannot open ${path}: it is encrypted, and no key was given (encryption.key_file)`,
      { file: path, reason: "encryption_key" },
    );
  }
  return { size, cipher: manifestCipher(key, bytes.subarray(20, 20 + KEY_SALT_BYTES)) };
}

/** An edit's frame, for `offset` of the file. */
export function encodeFrame(
  number: number,
  edit: Edit,
  cipher: Cipher | undefined,
  offset: number,
): Uint8Array<ArrayBuffer> {
  const payload = encodeEdit(edit);
  const length = payload.length + (cipher === undefined ? 0 : TAG_BYTES);
  const bytes = new Uint8Array(FRAME_HEADER + length);
  putU32(bytes, 0, length);
  putU32(bytes, 8, number);
  const sealed = cipher?.seal(nonceOf(offset), payload, bytes.subarray(8, FRAME_HEADER));
  bytes.set(sealed ?? payload, FRAME_HEADER);
  putU32(bytes, 4, crc32c(bytes, 8));
  return bytes;
}

/** Bytes of an end mark, the frame of an edit without fields. */
export function markSize(cipher: Cipher | undefined): number {
  return FRAME_HEADER + (cipher === undefined ? 0 : TAG_BYTES);
}

/** Where the sound frame at an offset ends; undefined when there is none. */
export function frameEnd(bytes: Uint8Array, at: number, number: number): number | undefined {
  if (at + FRAME_HEADER > bytes.length || getU32(bytes, at + 8) !== number) return undefined;
  const end = at + FRAME_HEADER + getU32(bytes, at);
  if (end > bytes.length || getU32(bytes, at + 4) !== crc32c(bytes, at + 8, end)) return undefined;
  return end;
}

/**
 * The edit in a sound frame.
 * @param isFirst  what cannot be opened in the first frame shows that the key is another one
 * @throws PairError CorruptedData; InvalidArgument for a wrong key
 */
export function decodeFrame(
  path: string,
  bytes: Uint8Array,
  at: number,
  end: number,
  cipher: Cipher | undefined,
  isFirst: boolean,
): Edit {
  let payload: Uint8Array | undefined = bytes.subarray(at + FRAME_HEADER, end);
  if (cipher !== undefined) {
    payload = cipher.open(nonceOf(at), payload, bytes.subarray(at + 8, at + FRAME_HEADER));
  }
  if (payload !== undefined) return decodeEdit(payload, `${path} at ${at}`);
  if (!isFirst) throw damagedFile(path, at, "an edit was changed");
  throw new PairError(
    "InvalidArgument",
    `Cannot open ${path}: it was encrypted with another key than the one given (encryption.key_file)`,
    { file: path, reason: "encryption_key" },
  );
}

/** The error for a file that makes no sense. */
export function damagedFile(path: string, offset: number, why: string): PairError {
  return new PairError("CorruptedData", `Cannot read ${path} at ${offset}: ${why}`, {
    file: path,
    offset,
  });
}

function manifestCipher(key: Uint8Array, salt: Uint8Array): Cipher {
  return new Cipher(deriveKey(key, salt, "manifest"));
}

function nonceOf(offset: number): Uint8Array {
  const nonce = new Uint8Array(NONCE_BYTES);
  putU48(nonce, 0, offset);
  return nonce;
}
