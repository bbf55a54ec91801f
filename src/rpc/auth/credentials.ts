/**
 * The credentials file: which tokens and which certificates are whose. `pairdb token` and `pairdb
 * certificate` write it; a server reads it, at the start and whenever it has changed.
 *
 *     { "version": 1,
 *       "tokens": [{ "id": "k3vq7m2a", "hash": "<64 hex digits>", "role": "client",
 *                    "tenants": ["shop"], "read_only": false, "created_at": "2026-01-02T03:04:05.678Z" }],
 *       "certificates": [{ "san": "URI:spiffe://example.org/pairdb/node/1", "role": "node",
 *                          "tenants": "*", "read_only": false, "created_at": "…" }] }
 *
 * Invariants
 *   - No token is in it, only hashes: whoever reads the file cannot call.
 *   - Operators and nodes have all tenants; what limits a caller to tenants is the role of a client.
 *   - An error about the file names a place in it, never what stands there.
 * @module
 */
import { z } from "zod";
import { PairError, validateTenant } from "../../model/mod.ts";
import type { Role } from "./identity.ts";

/** The most tokens, and the most certificates, in one file. */
const MAX_ENTRIES = 10_000;
const MAX_TENANTS = 1000;

const role = z.enum(["client", "operator", "node"]);
const moment = z.iso.datetime();
const tenants = z.union([
  z.literal("*"),
  z.array(z.string().refine(isTenant)).min(1).max(MAX_TENANTS),
]);

/** What tokens and certificates have in common. */
const grant = {
  role,
  tenants,
  read_only: z.boolean().default(false),
  created_at: moment,
  expires_at: moment.optional(),
  note: z.string().max(200).optional(),
};

const token = z.strictObject({
  id: z.string().regex(/^[a-z2-7]{8}$/),
  hash: z.string().regex(/^[0-9a-f]{64}$/),
  ...grant,
}).refine(limitsClientsOnly, { path: ["tenants"] });

/** Names of a certificate as {@link PeerCertificate} has them: with their kind, since kinds must not be confused. */
const certificate = z.strictObject({
  san: z.string().max(2048).regex(/^(URI|DNS|EMAIL):[!-~]+$/),
  ...grant,
}).refine(limitsClientsOnly, { path: ["tenants"] });

const credentials = z.strictObject({
  version: z.literal(1),
  tokens: z.array(token).max(MAX_ENTRIES).refine((all) => areUnique(all.map(({ id }) => id))),
  certificates: z.array(certificate).max(MAX_ENTRIES)
    .refine((all) => areUnique(all.map(({ san }) => san))).default([]),
});

/** What a token or a certificate stands for. */
export interface Grant {
  readonly role: Role;
  /** Tenant ids; `*`: all. */
  readonly tenants: "*" | readonly string[];
  /** Only calls that change nothing. */
  readonly read_only: boolean;
  /** ISO 8601. */
  readonly created_at: string;
  /** ISO 8601; absent: never. */
  readonly expires_at?: string | undefined;
  /** What people want to remember about it. */
  readonly note?: string | undefined;
}

/** A token as it is kept. */
export interface TokenEntry extends Grant {
  readonly id: string;
  /** SHA-256 of the token, 64 hexadecimal digits. */
  readonly hash: string;
}

/** Whose a certificate is. */
export interface CertificateEntry extends Grant {
  /** One of its alternative names, with its kind: `URI:…`, `DNS:…`, `EMAIL:…`. */
  readonly san: string;
}

/** All of a file. */
export interface Credentials {
  readonly version: 1;
  readonly tokens: readonly TokenEntry[];
  readonly certificates: readonly CertificateEntry[];
}

/** What a server without a file knows: nobody. */
export const NO_CREDENTIALS: Credentials = { version: 1, tokens: [], certificates: [] };

/**
 * Reads a file's text.
 * @param path  for errors
 * @throws PairError InvalidArgument (1000) with the place of what is wrong, and nothing of the content
 */
export function parseCredentials(text: string, path: string): Credentials {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    // The parser's own words quote the text.
    throw unusable(path, "it is not JSON");
  }
  const parsed = credentials.safeParse(json);
  if (parsed.success) return parsed.data;
  const place = parsed.error.issues[0].path.map(String).join(".") || "its top";
  throw unusable(path, `${place} is not as it should be`);
}

/** The text of a file. */
export function renderCredentials(all: Credentials): string {
  return `${JSON.stringify(all, undefined, 2)}\n`;
}

/**
 * Checks one entry before it is written.
 * @throws PairError InvalidArgument (1000)
 */
export function checkEntry(entry: TokenEntry | CertificateEntry): void {
  const parsed = ("san" in entry ? certificate : token).safeParse(entry);
  if (parsed.success) return;
  const field = String(parsed.error.issues[0].path[0] ?? "entry");
  throw new PairError("InvalidArgument", `Cannot write the credentials: ${RULES[field] ?? field}`);
}

const RULES: Readonly<Record<string, string>> = {
  tenants: "tenants are 1 to 1000 tenant ids, and only clients are limited to some",
  san: "a certificate's name is of the form URI:spiffe://…, DNS:host or EMAIL:address",
  note: "a note has at most 200 characters",
};

function unusable(path: string, why: string): PairError {
  return new PairError("InvalidArgument", `Cannot use the credentials in ${path}: ${why}`, {
    file: path,
  });
}

function isTenant(id: string): boolean {
  try {
    validateTenant(id);
    return true;
  } catch {
    return false;
  }
}

function limitsClientsOnly(entry: { role: string; tenants: "*" | readonly string[] }): boolean {
  return entry.role === "client" || entry.tenants === "*";
}

function areUnique(names: readonly string[]): boolean {
  return new Set(names).size === names.length;
}
