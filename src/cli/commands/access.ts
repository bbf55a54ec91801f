/**
 * `pairdb token create|list|revoke` and `pairdb certificate allow|list|revoke`: the credentials file of
 * a node, changed where it lies. A node that runs takes the change by itself, within
 * auth.reload_interval, or at once when it gets SIGHUP.
 * @module
 */
import { PairError } from "../../model/mod.ts";
import {
  type CertificateEntry,
  checkEntry,
  type Credentials,
  makeToken,
  NO_CREDENTIALS,
  parseCredentials,
  renderCredentials,
  type TokenEntry,
} from "../../rpc/mod.ts";
import { denoClock, denoRandom } from "../../runtime/mod.ts";
import { resolveConfig } from "../config/mod.ts";
import { credentialsPath } from "../security.ts";
import { print, type Shell, UsageError } from "../shell.ts";
import { table } from "../table.ts";
import { type ConfigFlags, settingsOf } from "./config.ts";

/** Flags that say where the credentials are. */
export interface AccessFlags extends ConfigFlags {
  readonly data?: string;
}

/** Flags that say what a token or certificate stands for. */
export interface GrantFlags extends AccessFlags {
  readonly role: "client" | "operator" | "node";
  readonly tenants?: string;
  readonly readOnly?: boolean;
  /** In ms. */
  readonly expires?: number;
  readonly note?: string;
}

/** Makes a token, and prints it: nobody can print it again. */
export function createToken(shell: Shell, flags: GrantFlags): Promise<number> {
  const { id, text, hash } = makeToken(denoRandom());
  const entry: TokenEntry = { id, hash, ...grantOf(flags) };
  checkEntry(entry);
  change(shell, flags, (all) => ({ ...all, tokens: [...all.tokens, entry] }));
  print(shell, text, { token: text, ...shown(entry) });
  if (shell.output !== "json") {
    shell.process.err(`token ${id}: keep it now, only its hash is in ${fileOf(shell, flags)}\n`);
  }
  return Promise.resolve(0);
}

/** Prints the tokens' entries. */
export function listTokens(shell: Shell, flags: AccessFlags): Promise<number> {
  return list(shell, "id", read(shell, flags).tokens);
}

/** Removes a token. */
export function revokeToken(shell: Shell, id: string, flags: AccessFlags): Promise<number> {
  change(shell, flags, (all) => ({
    ...all,
    tokens: without(all.tokens, (entry) => entry.id === id, "token"),
  }));
  print(shell, "OK", { id, revoked: true });
  return Promise.resolve(0);
}

/** Says who a certificate is; in place of what was said of it before. */
export function allowCertificate(shell: Shell, san: string, flags: GrantFlags): Promise<number> {
  const entry: CertificateEntry = { san: normalized(san), ...grantOf(flags) };
  checkEntry(entry);
  change(shell, flags, (all) => ({
    ...all,
    certificates: [...all.certificates.filter((other) => other.san !== entry.san), entry],
  }));
  print(shell, "OK", shown(entry));
  return Promise.resolve(0);
}

/** Prints the certificates' entries. */
export function listCertificates(shell: Shell, flags: AccessFlags): Promise<number> {
  return list(shell, "san", read(shell, flags).certificates);
}

/** Removes a certificate. */
export function revokeCertificate(shell: Shell, san: string, flags: AccessFlags): Promise<number> {
  change(shell, flags, (all) => ({
    ...all,
    certificates: without(
      all.certificates,
      (entry) => entry.san === normalized(san),
      "certificate",
    ),
  }));
  print(shell, "OK", { san: normalized(san), revoked: true });
  return Promise.resolve(0);
}

function grantOf(flags: GrantFlags) {
  const { role, tenants, readOnly, expires, note } = flags;
  if (role === "client" && tenants === undefined) {
    throw new UsageError("a client needs --tenants: tenant ids with commas, or * for all");
  }
  if (role !== "client" && tenants !== undefined && tenants !== "*") {
    throw new UsageError(`--tenants is for clients: the role ${role} has all tenants`);
  }
  const now = denoClock().wallMs();
  return {
    role,
    tenants: tenants === undefined || tenants === "*" ? "*" as const : tenants.split(","),
    read_only: readOnly ?? false,
    created_at: new Date(now).toISOString(),
    ...(expires === undefined ? {} : { expires_at: new Date(now + expires).toISOString() }),
    ...(note === undefined ? {} : { note }),
  };
}

/** Host names have no case. */
function normalized(san: string): string {
  return san.startsWith("DNS:") ? `DNS:${san.slice(4).toLowerCase()}` : san;
}

function fileOf(shell: Shell, flags: AccessFlags): string {
  const data = flags.data === undefined
    ? []
    : [{ path: "storage.data_dir", value: flags.data, where: "--data" }];
  return credentialsPath(shell.process, resolveConfig(settingsOf(shell, flags, data)));
}

function read(shell: Shell, flags: AccessFlags): Credentials {
  const path = fileOf(shell, flags);
  if (shell.process.fileMode(path) === undefined) return NO_CREDENTIALS;
  return parseCredentials(shell.process.readText(path), path);
}

function change(shell: Shell, flags: AccessFlags, edit: (all: Credentials) => Credentials): void {
  const path = fileOf(shell, flags);
  shell.process.changePrivate(path, (text) => {
    const edited = renderCredentials(
      edit(text === undefined ? NO_CREDENTIALS : parseCredentials(text, path)),
    );
    // What a node would refuse to read must not get into the file.
    parseCredentials(edited, path);
    return edited;
  });
}

function without<T>(entries: readonly T[], is: (entry: T) => boolean, what: string): T[] {
  const rest = entries.filter((entry) => !is(entry));
  if (rest.length === entries.length) {
    throw new PairError("InvalidArgument", `there is no such ${what}`);
  }
  return rest;
}

function list(
  shell: Shell,
  name: "id" | "san",
  entries: readonly (TokenEntry | CertificateEntry)[],
): Promise<number> {
  const rows = entries.map((entry) => [
    "san" in entry ? entry.san : entry.id,
    entry.role,
    entry.tenants === "*" ? "*" : entry.tenants.join(","),
    entry.read_only ? "read" : "read, write",
    entry.created_at,
    entry.expires_at ?? "",
    entry.note ?? "",
  ]);
  const head = [name, "role", "tenants", "access", "created", "expires", "note"];
  print(shell, shell.output === "json" ? [] : table(shell.process, head, rows), entries.map(shown));
  return Promise.resolve(0);
}

/** An entry without its hash. */
function shown(entry: TokenEntry | CertificateEntry): Record<string, unknown> {
  const { hash: _, ...rest } = entry as TokenEntry;
  return rest;
}
