/**
 * Sealed tables: encryption at rest.
 *
 * Each table has a key of its own, derived from the store's by the salt in the table's footer and the tree's
 * id: so number and offset, which no two sections of a table share, are enough of a nonce.
 * @module
 */
import { PairError } from "../../model/mod.ts";
import { Cipher, deriveKey } from "../../runtime/mod.ts";

/** What the tables of one tree are sealed with. */
export interface TableKey {
  /** The store's key, 32 bytes. */
  readonly key: Uint8Array;
  /** The tree's id. */
  readonly tree: number;
}

/** How one new table is sealed. */
export interface TableSeal extends TableKey {
  /** 16 random bytes, used for no other table. */
  readonly salt: Uint8Array;
}

/** The cipher of one table. */
export function tableCipher({ key, tree }: TableKey, salt: Uint8Array): Cipher {
  return new Cipher(deriveKey(key, salt, `tree ${tree}`));
}

/** The error for a sealed table that no key, or another one, was given for. */
export function keyRefused(path: string, given: boolean): PairError {
  return new PairError(
    "InvalidArgument",
    given
      ? `Cannot open ${path}: it was encrypted with another key than the one given (encryption.key_file)`
      : `Cannot open ${path}: it is encrypted, and no key was given (encryption.key_file)`,
    { file: path, reason: "encryption_key" },
  );
}
