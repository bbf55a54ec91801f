/**
 * Cryptography: authenticated encryption, key derivation and digests, as pure functions of their
 * arguments.
 *
 * All of it is synchronous and comes from `node:crypto`, which the runtime has built in: Web Crypto has
 * neither a synchronous cipher, which a read that must not wait needs, nor a digest that takes its input
 * in pieces, which a file larger than memory needs. The algorithms are the same.
 * @module
 */
import { Buffer } from "node:buffer";
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  hkdfSync,
  timingSafeEqual,
} from "node:crypto";

/** Bytes of a key for {@link Cipher}. */
export const KEY_BYTES = 32;
/** Bytes of a nonce. */
export const NONCE_BYTES = 12;
/** Bytes that sealing adds behind the text. */
export const TAG_BYTES = 16;

/** AES-256-GCM (NIST SP 800-38D) under one key. */
export class Cipher {
  readonly #key: Uint8Array;

  /** @param key  {@link KEY_BYTES} bytes */
  constructor(key: Uint8Array) {
    if (key.length !== KEY_BYTES) throw new RangeError(`a key has ${KEY_BYTES} bytes`);
    this.#key = key.slice();
  }

  /**
   * Encrypts.
   * @param nonce  {@link NONCE_BYTES} bytes; never twice under one key for different texts
   * @param text   what to encrypt
   * @param bound  is authenticated too, and not stored: whoever opens has to give the same
   * @returns as many bytes as the text has, and the tag behind them
   */
  seal(nonce: Uint8Array, text: Uint8Array, bound: Uint8Array = NOTHING): Uint8Array<ArrayBuffer> {
    const cipher = createCipheriv("aes-256-gcm", this.#key, nonce);
    cipher.setAAD(bound);
    const sealed = new Uint8Array(text.length + TAG_BYTES);
    const body = cipher.update(text);
    sealed.set(body);
    sealed.set(cipher.final(), body.length);
    sealed.set(cipher.getAuthTag(), text.length);
    return sealed;
  }

  /**
   * Decrypts what {@link Cipher.seal} made.
   * @returns the text; undefined when the bytes, the nonce, what was bound or the key are not those of the sealing
   */
  open(
    nonce: Uint8Array,
    sealed: Uint8Array,
    bound: Uint8Array = NOTHING,
  ): Uint8Array<ArrayBuffer> | undefined {
    const length = sealed.length - TAG_BYTES;
    if (length < 0) return undefined;
    const cipher = createDecipheriv("aes-256-gcm", this.#key, nonce, { authTagLength: TAG_BYTES });
    cipher.setAAD(bound);
    cipher.setAuthTag(Buffer.from(sealed.subarray(length)));
    const text = new Uint8Array(length);
    const body = cipher.update(sealed.subarray(0, length));
    text.set(body);
    try {
      text.set(cipher.final(), body.length);
    } catch {
      // The one way in which the library says that the tag does not match.
      return undefined;
    }
    return text;
  }
}

/**
 * A key from a key: HKDF with SHA-256 (RFC 5869).
 * @param key      the secret to derive from
 * @param salt     may be empty; other salts give independent keys
 * @param purpose  what the key is for; other purposes give independent keys
 */
export function deriveKey(
  key: Uint8Array,
  salt: Uint8Array,
  purpose: string,
): Uint8Array<ArrayBuffer> {
  return new Uint8Array(hkdfSync("sha256", key, salt, purpose, KEY_BYTES));
}

/** A digest that takes its input in pieces. */
export interface Digest {
  update(bytes: Uint8Array): void;
  /** The digest in lower-case hex; the last call. */
  hex(): string;
}

/** SHA-256 (FIPS 180-4). */
export function sha256(): Digest {
  const hash = createHash("sha256");
  return {
    update: (bytes) => void hash.update(bytes),
    hex: () => hash.digest("hex"),
  };
}

/** SHA-256 of bytes that are all there: 32 bytes. */
export function sha256Of(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(createHash("sha256").update(bytes).digest());
}

/** Whether two byte strings are equal, in a time that does not tell where they differ. */
export function equalSecrets(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && timingSafeEqual(one, other);
}

const NOTHING = new Uint8Array(0);
