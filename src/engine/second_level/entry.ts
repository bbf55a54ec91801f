/**
 * Entries of the second level: a row, sealed by the process that keeps it.
 *
 *     name    pairdb:<16 hex digits, of the process>:<32 hex digits, of tree and key>
 *     value   | format u8 = 1 | nonce 12 bytes | AES-256-GCM of: as of u64 LE, row | tag 16 bytes |
 *
 * The key of the seal is drawn at the start and never leaves the memory; tree and key are bound into it. So what
 * opens was sealed by this process, since its start, for this key of this tree, and is whole: whatever a cache
 * that others write to may answer. And nobody else can read it.
 * @module
 */
import { Cipher, KEY_BYTES, NONCE_BYTES, type Random, sha256Of } from "../../runtime/mod.ts";

const FORMAT = 1;
const HEAD = 1 + NONCE_BYTES;
/** Bytes before the row in the sealed text. */
const SEQUENCE_BYTES = 8;

/** A row as of a moment. */
export interface Row {
  /** The number of the last write that reads of that moment saw. */
  readonly sequence: number;
  readonly value: Uint8Array;
}

/** What a row is of, as the cache and the seal know it. */
export interface RowName {
  /** The cache's key. */
  readonly name: string;
  /** What the seal is bound to. */
  readonly bound: Uint8Array;
}

/** Seals and opens the rows of one process. */
export class Entries {
  readonly #cipher: Cipher;
  readonly #prefix: string;
  /** Counts on with each seal: none comes twice under this key. */
  readonly #nonce = new DataView(new ArrayBuffer(NONCE_BYTES));

  /** @param random  good enough for keys */
  constructor(random: Random) {
    this.#cipher = new Cipher(random.bytes(KEY_BYTES));
    this.#prefix = `pairdb:${random.bytes(8).toHex()}:`;
  }

  /** A name that no row has. */
  get probe(): string {
    return `${this.#prefix}probe`;
  }

  name(tree: number, key: Uint8Array): RowName {
    const bound = new Uint8Array(SEQUENCE_BYTES + key.length);
    putNumber(bound, 0, tree);
    bound.set(key, SEQUENCE_BYTES);
    return { name: this.#prefix + sha256Of(bound).subarray(0, 16).toHex(), bound };
  }

  seal({ bound }: RowName, { sequence, value }: Row): Uint8Array {
    const text = new Uint8Array(SEQUENCE_BYTES + value.length);
    putNumber(text, 0, sequence);
    text.set(value, SEQUENCE_BYTES);
    const nonce = this.#nextNonce();
    const sealed = this.#cipher.seal(nonce, text, bound);
    const entry = new Uint8Array(HEAD + sealed.length);
    entry[0] = FORMAT;
    entry.set(nonce, 1);
    entry.set(sealed, HEAD);
    return entry;
  }

  /** Undefined when the bytes are no row of that name that was sealed here. */
  open({ bound }: RowName, entry: Uint8Array): Row | undefined {
    if (entry.length < HEAD || entry[0] !== FORMAT) return undefined;
    const text = this.#cipher.open(entry.subarray(1, HEAD), entry.subarray(HEAD), bound);
    if (text === undefined || text.length < SEQUENCE_BYTES) return undefined;
    return { sequence: takeNumber(text, 0), value: text.subarray(SEQUENCE_BYTES) };
  }

  #nextNonce(): Uint8Array {
    const low = this.#nonce.getUint32(0, true) + 1;
    this.#nonce.setUint32(0, low, true);
    if (low > 0xffff_ffff) this.#nonce.setUint32(4, this.#nonce.getUint32(4, true) + 1, true);
    return new Uint8Array(this.#nonce.buffer.slice(0));
  }
}

function putNumber(into: Uint8Array, at: number, value: number): void {
  const view = new DataView(into.buffer, into.byteOffset);
  view.setUint32(at, value >>> 0, true);
  view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
}

function takeNumber(from: Uint8Array, at: number): number {
  const view = new DataView(from.buffer, from.byteOffset);
  return view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true);
}
