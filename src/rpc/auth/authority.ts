/**
 * The authority of a server: who a caller is, and what a caller may do.
 *
 *     authorization header ─┐
 *                           ├─► authenticate ─► identity ─► authorise (method, tenant) ─► the service
 *     client certificate ───┘
 *
 * All of it is synchronous: a call waits for no disk and no other server. Deny by default: what no rule
 * allows is refused, before anything is looked up in the store.
 *
 * Invariants
 *   - A token that is shown decides, whatever certificate the connection has: a gateway passes on its
 *     clients' tokens, and a bad one must not become the gateway's own right.
 *   - After {@link Credentials} are replaced, an identity whose entry is gone or changed holds no more,
 *     not even for a stream that runs; one whose entry is as it was goes on.
 * @module
 */
import { validateTenant } from "../../model/mod.ts";
import type { Clock, Log, PeerCertificate } from "../../runtime/mod.ts";
import { equalSecrets } from "../../runtime/mod.ts";
import type { CertificateEntry, Credentials, TokenEntry } from "./credentials.ts";
import { denied, unauthenticated } from "./failures.ts";
import { ANONYMOUS, type Identity } from "./identity.ts";
import type { MethodRule } from "./methods.ts";
import { hashToken, tokenId } from "./token.ts";

/** Decides about calls. All methods are synchronous and throw a ConnectError to refuse. */
export interface Authority {
  /**
   * Who calls.
   * @param authorization  the header's text; undefined when there is none
   * @param peer           the certificate that the connection showed, already verified
   * @throws ConnectError Unauthenticated
   */
  authenticate(authorization: string | undefined, peer: PeerCertificate | undefined): Identity;
  /** Whether a caller may call a method at all: role and access. @throws ConnectError PermissionDenied */
  authoriseMethod(identity: Identity, rule: MethodRule): void;
  /** Whether a caller may touch a tenant. @throws ConnectError PermissionDenied */
  authoriseTenant(identity: Identity, tenant: string): void;
  /** Whether an identity is still one: for calls that run long. */
  holds(identity: Identity): boolean;
}

/** The authority of a server without authentication: everybody may do everything. */
export const OPEN_AUTHORITY: Authority = {
  authenticate: () => ANONYMOUS,
  authoriseMethod: () => {},
  authoriseTenant: () => {},
  holds: () => true,
};

/** What a {@link CredentialsAuthority} is made from. */
export interface AuthorityOptions {
  readonly clock: Pick<Clock, "wallMs">;
  readonly log: Log;
  readonly credentials: Credentials;
  /** Which kinds of credentials count; the other kind is not looked at. */
  readonly accepts: { readonly tokens: boolean; readonly certificates: boolean };
}

/** Verified headers that are remembered; the oldest goes for a new one. */
const MAX_REMEMBERED = 4096;
/** Between two log lines of one caller that reaches for others' tenants, ms. */
const REACH_LOG_MS = 60_000;
const BEARER = /^bearer +([!-~]+)$/i;

/** An entry of the credentials, ready to use. */
interface Standing {
  /** The entry's text: what did not change keeps its identity when credentials are replaced. */
  readonly source: string;
  readonly identity: Identity;
  /** Of a token. */
  readonly hash: Uint8Array;
}

/** Decides by credentials that can be replaced at any time. */
export class CredentialsAuthority implements Authority {
  readonly #options: Omit<AuthorityOptions, "credentials">;
  /** By the token's id. */
  #tokens: ReadonlyMap<string, Standing> = new Map();
  /** By the certificate's name. */
  #certificates: ReadonlyMap<string, Standing> = new Map();
  #standing = new Set<Identity>();
  /** Of those who reached for tenants of others: when that was logged, and how often it was since. */
  readonly #reaches = new WeakMap<Identity, { loggedMs: number; times: number }>();
  /**
   * Headers that were verified. The look-up compares secrets in no constant time, but by a seeded hash
   * of the whole text first, which a guess does not come near in small steps.
   */
  readonly #verified = new Map<string, Identity>();

  constructor({ credentials, ...options }: AuthorityOptions) {
    this.#options = options;
    this.replace(credentials);
  }

  /** Goes on with other credentials, from the next call, and the next message of running streams, on. */
  replace({ tokens, certificates }: Credentials): void {
    this.#tokens = standings(tokens, ({ id }) => id, this.#tokens);
    this.#certificates = standings(certificates, ({ san }) => san, this.#certificates);
    this.#standing = new Set(
      [...this.#tokens.values(), ...this.#certificates.values()].map(({ identity }) => identity),
    );
    this.#verified.clear();
  }

  authenticate(authorization: string | undefined, peer: PeerCertificate | undefined): Identity {
    const { accepts } = this.#options;
    if (authorization !== undefined && accepts.tokens) return this.#byToken(authorization);
    if (peer !== undefined && accepts.certificates) return this.#byCertificate(peer);
    throw unauthenticated(true);
  }

  authoriseMethod(identity: Identity, rule: MethodRule): void {
    const { kind, readOnly } = identity;
    if (rule.roles === "anyone") return;
    if (kind === "anonymous" || !rule.roles.includes(kind)) throw denied();
    if (readOnly && rule.access !== "read") throw denied();
  }

  authoriseTenant(identity: Identity, tenant: string): void {
    const { tenants } = identity;
    if (tenants === "*" || tenants.has(tenant)) return;
    this.#logReach(identity, tenant);
    throw denied();
  }

  holds(identity: Identity): boolean {
    if (identity === ANONYMOUS) return true;
    return this.#standing.has(identity) && !this.#isOver(identity);
  }

  #byToken(authorization: string): Identity {
    const known = this.#verified.get(authorization);
    if (known !== undefined && !this.#isOver(known)) return known;
    const text = BEARER.exec(authorization)?.[1] ?? "";
    const id = tokenId(text);
    if (id === undefined) throw this.#refused("malformed_token");
    const standing = this.#tokens.get(id);
    // That an unknown id is told faster tells nothing: ids are no secrets.
    if (standing === undefined || !equalSecrets(standing.hash, hashToken(text))) {
      throw this.#refused("unknown_token", `token ${id}`);
    }
    if (this.#isOver(standing.identity)) {
      this.#verified.delete(authorization);
      throw this.#refused("expired_token", standing.identity.name);
    }
    this.#remember(authorization, standing.identity);
    return standing.identity;
  }

  #byCertificate({ names, expiresAtMs }: PeerCertificate): Identity {
    let found: Identity | undefined;
    for (const name of names) {
      const identity = this.#certificates.get(name)?.identity;
      if (identity === undefined) continue;
      // Which of two would count must not hang on their order in the certificate.
      if (found !== undefined) throw this.#refused("ambiguous_certificate", identity.name);
      found = identity;
    }
    if (found === undefined) throw this.#refused("unknown_certificate");
    // It was sound at the handshake; a connection may live longer than that.
    if (this.#isOver(found) || this.#options.clock.wallMs() >= expiresAtMs) {
      throw this.#refused("expired_certificate", found.name);
    }
    return found;
  }

  #isOver({ expiresAtMs }: Identity): boolean {
    return expiresAtMs !== Infinity && this.#options.clock.wallMs() >= expiresAtMs;
  }

  #remember(authorization: string, identity: Identity): void {
    const verified = this.#verified;
    if (verified.size >= MAX_REMEMBERED) {
      for (const oldest of verified.keys()) {
        verified.delete(oldest);
        break;
      }
    }
    verified.set(authorization, identity);
  }

  /**
   * Has somebody look: a caller reached for a tenant that is not its own. A caller that does so again and again
   * fills no log: it is named once a minute, with how often it was.
   */
  #logReach(identity: Identity, tenant: string): void {
    const { clock, log } = this.#options;
    const nowMs = clock.wallMs();
    const reach = this.#reaches.get(identity) ?? { loggedMs: -Infinity, times: 0 };
    this.#reaches.set(identity, reach);
    reach.times++;
    if (Math.abs(nowMs - reach.loggedMs) < REACH_LOG_MS) return;
    const { times } = reach;
    reach.loggedMs = nowMs;
    reach.times = 0;
    // What is no tenant's name is anything, of any length.
    const named = isTenant(tenant) ? tenant : undefined;
    log.warn("auth_other_tenant", { who: identity.name, tenant: named, times });
  }

  /** @param who  the name of an entry, never what the caller sent */
  #refused(reason: string, who?: string) {
    this.#options.log.debug("auth_refused", { reason, who });
    return unauthenticated(false);
  }
}

function isTenant(text: string): boolean {
  try {
    validateTenant(text);
    return true;
  } catch {
    return false;
  }
}

/** Entries as identities; one that is as it was before stays the same object. */
function standings<Entry extends TokenEntry | CertificateEntry>(
  entries: readonly Entry[],
  nameOf: (entry: Entry) => string,
  before: ReadonlyMap<string, Standing>,
): ReadonlyMap<string, Standing> {
  return new Map(entries.map((entry) => {
    const name = nameOf(entry);
    const source = JSON.stringify(entry);
    const old = before.get(name);
    return [name, old?.source === source ? old : toStanding(entry, source)];
  }));
}

function toStanding(entry: TokenEntry | CertificateEntry, source: string): Standing {
  const { role, tenants, read_only, expires_at } = entry;
  return {
    source,
    hash: "hash" in entry ? Uint8Array.fromHex(entry.hash) : new Uint8Array(0),
    identity: {
      kind: role,
      name: "san" in entry ? `certificate ${entry.san}` : `token ${entry.id}`,
      tenants: tenants === "*" ? "*" : new Set(tenants),
      readOnly: read_only,
      expiresAtMs: expires_at === undefined ? Infinity : Date.parse(expires_at),
    },
  };
}
