/**
 * Browsers: which pages may call this port (CORS), and which names it answers to.
 *
 * A page on any site can make a visitor's browser send requests to 127.0.0.1. Two checks stop it from
 * reaching a database there (etcd CVE-2018-5702 is the story):
 *   - Origin: a request that names a page's origin is served when the origin is allowed, or is this
 *     port's own; else it is refused, and its answer is not readable for the page.
 *   - Host: a page can point its own host name at 127.0.0.1 (DNS rebinding) and so have "our own"
 *     origin. So a port that is bound to a loopback address answers only to loopback names, to IP
 *     addresses, which cannot be rebound, and to names that the operator allowed.
 * @module
 */
import { cors } from "@connectrpc/connect";

/** Pages of this machine, on any port. */
export const DEFAULT_CORS_ORIGINS: readonly string[] = [
  "http://localhost:*",
  "http://127.0.0.1:*",
  "http://[::1]:*",
];

/** How long a browser may remember a preflight's answer, in seconds: the most that Chromium takes. */
const PREFLIGHT_MAX_AGE_S = 7200;

/** What a request says about where it comes from. */
export interface OriginRequest {
  readonly method: string;
  readonly header: Headers;
  /** The Host or :authority. */
  readonly authority: string;
  /** Whether it came over TLS: a name of a page's own has no certificate for this server. */
  readonly secure?: boolean;
}

/** What is to be done with it. */
export type OriginVerdict =
  /** Serve it, with these headers on the answer. */
  | { readonly kind: "serve"; readonly headers: readonly (readonly [string, string])[] }
  /** It is a preflight: answer it with these headers and no body. */
  | { readonly kind: "preflight"; readonly headers: readonly (readonly [string, string])[] }
  /** Refuse it, for this reason. */
  | { readonly kind: "refuse"; readonly reason: string };

/** The rules of one port. */
export interface OriginRules {
  /** Allowed origins: exact, with `*` for any port (`http://localhost:*`), or `*` for all. */
  readonly origins: readonly string[];
  /** Host names that a port on a loopback address answers to, besides loopback's own; `*`: all. */
  readonly hosts: readonly string[];
  /** Whether the port is bound to a loopback address. */
  readonly loopback: boolean;
}

/** Judges requests by fixed rules. */
export function createOriginGuard(rules: OriginRules): (request: OriginRequest) => OriginVerdict {
  const allowed = originMatcher(rules.origins);
  const hosts = new Set(rules.hosts.map((host) => host.toLowerCase()));
  return ({ method, header, authority, secure }) => {
    const host = hostName(authority);
    if (
      rules.loopback && secure !== true && !isLocalName(host) && !hosts.has(host) && !hosts.has("*")
    ) {
      return { kind: "refuse", reason: "this host name is not one of the server's" };
    }
    const origin = header.get("origin");
    if (origin === null) return { kind: "serve", headers: [] };
    const preflight = method === "OPTIONS" && header.has("access-control-request-method");
    if (!allowed(origin)) {
      if (!preflight && (origin === `http://${authority}` || origin === `https://${authority}`)) {
        return { kind: "serve", headers: [] };
      }
      return { kind: "refuse", reason: "pages of this origin are not allowed here" };
    }
    return preflight
      ? { kind: "preflight", headers: preflightHeaders(origin) }
      : { kind: "serve", headers: answerHeaders(origin) };
  };
}

function answerHeaders(origin: string): [string, string][] {
  return [
    ["access-control-allow-origin", origin],
    ["access-control-expose-headers", cors.exposedHeaders.join(", ")],
    ["vary", "Origin"],
  ];
}

function preflightHeaders(origin: string): [string, string][] {
  return [
    ["access-control-allow-origin", origin],
    ["access-control-allow-methods", cors.allowedMethods.join(", ")],
    ["access-control-allow-headers", [...cors.allowedHeaders, "Authorization"].join(", ")],
    ["access-control-max-age", String(PREFLIGHT_MAX_AGE_S)],
    ["vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"],
  ];
}

function originMatcher(patterns: readonly string[]): (origin: string) => boolean {
  if (patterns.includes("*")) return () => true;
  const exact = new Set(patterns.filter((pattern) => !pattern.endsWith(":*")));
  const anyPort = patterns.filter((pattern) => pattern.endsWith(":*"))
    .map((pattern) => pattern.slice(0, -2));
  return (origin) =>
    exact.has(origin) ||
    anyPort.some((base) => origin === base || /^:\d+$/.test(afterPrefix(origin, base)));
}

function afterPrefix(text: string, prefix: string): string {
  return text.startsWith(prefix) ? text.slice(prefix.length) : "";
}

/** An authority without its port and user, in lower case: `[::1]:80` → `[::1]`. */
function hostName(authority: string): string {
  return authority.slice(authority.lastIndexOf("@") + 1).replace(/:\d*$/, "").toLowerCase();
}

/** Loopback's names and anything that is an address; an empty name is a client that is no browser. */
function isLocalName(host: string): boolean {
  return host === "" || host === "localhost" || host.endsWith(".localhost") ||
    /^\d{1,3}(\.\d{1,3}){3}$/.test(host) || /^\[[0-9a-f:.]+\]$/.test(host);
}

/** Whether an address that is listened on can be reached from this machine only. */
export function isLoopback(address: string): boolean {
  return address === "localhost" || address === "::1" || /^127(\.\d{1,3}){3}$/.test(address);
}
