/**
 * Bearer tokens: how one looks, is made, and is kept.
 *
 *     pdb_k3vq7m2a_<43 letters of base64url>
 *         └ id     └ secret: 256 random bits
 *
 * The id names the token to people and in logs. At rest there is only the SHA-256 of the whole text. A
 * slow hash with a salt is for passwords, which people choose and others can guess: against 256 random
 * bits guessing is hopeless at any speed, and a fast hash lets a server check each call.
 * @module
 */
import { type Random, sha256Of } from "../../runtime/mod.ts";

const ID_LETTERS = "abcdefghijklmnopqrstuvwxyz234567";
const ID_LENGTH = 8;
const SECRET_BYTES = 32;
const TOKEN = /^pdb_([a-z2-7]{8})_[A-Za-z0-9_-]{43}$/;

/** A token that was just made: the only moment at which its text is known. */
export interface NewToken {
  readonly id: string;
  /** What its owner shows. */
  readonly text: string;
  /** What is kept: 64 hexadecimal digits. */
  readonly hash: string;
}

/** Makes a token. @param random  fit for secrets */
export function makeToken(random: Pick<Random, "bytes">): NewToken {
  // 32 letters divide 256 values evenly: no letter is likelier than another.
  const id = Array.from(random.bytes(ID_LENGTH), (byte) => ID_LETTERS[byte % 32]).join("");
  const secret = random.bytes(SECRET_BYTES).toBase64({ alphabet: "base64url", omitPadding: true });
  const text = `pdb_${id}_${secret}`;
  return { id, text, hash: hashToken(text).toHex() };
}

/** The id in a token's text; undefined when it is no token. */
export function tokenId(text: string): string | undefined {
  return TOKEN.exec(text)?.[1];
}

/**
 * The hash of a token. Of its text, not of the bytes that the secret stands for: base64url writes the
 * same bytes in several ways, and only the one that was given out is the token.
 */
export function hashToken(text: string): Uint8Array<ArrayBuffer> {
  return sha256Of(new TextEncoder().encode(text));
}
