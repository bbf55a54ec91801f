/**
 * Shared caches over the network. The clients are loaded when one is opened: who has no shared cache does not
 * pay for them.
 * @module
 */
import { isIP } from "node:net";
import type { SharedCache, SharedCacheOptions } from "../../shared_cache.ts";

/**
 * A shared cache. Nothing is connected yet: the first call does that, and fails when it cannot.
 * @throws TypeError when the URL is none
 */
export async function denoSharedCache(options: SharedCacheOptions): Promise<SharedCache> {
  const address = addressOf(options.url);
  switch (options.kind) {
    case "redis":
      return (await import("./redis.ts")).redisCache(address, options);
    case "memcached":
      return (await import("./memcached.ts")).memcachedCache(address, options);
  }
}

/** A URL, taken apart. */
export interface Address {
  readonly host: string;
  readonly port: number;
  /** Whether to speak TLS. */
  readonly isSecure: boolean;
  /** The name that the certificate has to be for; undefined: the host is an address, and it is for that. */
  readonly serverName: string | undefined;
  /** The number behind the slash; 0 when there is none. */
  readonly database: number;
  /** For people. */
  readonly name: string;
}

const PORTS: Readonly<Record<string, number>> = {
  "redis:": 6379,
  "rediss:": 6379,
  "memcache:": 11211,
  "memcaches:": 11211,
};

function addressOf(text: string): Address {
  const url = new URL(text);
  const { protocol, hostname, port, pathname } = url;
  const isSecure = protocol.endsWith("s:") && protocol !== "redis:";
  const number = port === "" ? PORTS[protocol] : Number(port);
  if (number === undefined) throw new TypeError(`no shared cache has URLs of ${protocol}`);
  // IPv6 addresses stand in brackets in a URL, and nowhere else.
  const host = hostname.replace(/^\[(.*)\]$/, "$1");
  const database = Number(pathname.replace(/^\//, "") || 0);
  return {
    host,
    port: number,
    isSecure,
    // TLS takes no address for a name.
    serverName: isIP(host) === 0 ? host : undefined,
    database,
    name: `${protocol}//${hostname}:${number}`,
  };
}
