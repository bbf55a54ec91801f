/**
 * Tokens and entries for tests of authentication.
 * @module
 */
import { type CertificateEntry, makeToken, type TokenEntry } from "../../../../src/rpc/auth/mod.ts";
import { SimRandom } from "../../../../src/runtime/mod.ts";

/** A token and its entry; the seed makes it. */
export function tokenOf(
  seed: number,
  changes: Partial<TokenEntry> = {},
): { text: string; entry: TokenEntry } {
  const { id, text, hash } = makeToken(new SimRandom(seed));
  const entry: TokenEntry = {
    id,
    hash,
    role: "client",
    tenants: ["shop"],
    read_only: false,
    created_at: "2026-01-01T00:00:00.000Z",
    ...changes,
  };
  return { text, entry };
}

/** A certificate's entry. */
export function certificateOf(
  san: string,
  changes: Partial<CertificateEntry> = {},
): CertificateEntry {
  return {
    san,
    role: "node",
    tenants: "*",
    read_only: false,
    created_at: "2026-01-01T00:00:00.000Z",
    ...changes,
  };
}
