/**
 * Shared cache: a server of short-lived values that several processes use, such as Redis or Memcached.
 *
 * Nothing of it is to be relied on: what was set may be gone, what was deleted may come back, an answer may
 * be old, somebody else's, or damaged, and may not come at all. Who uses it has to be able to tell.
 * @module
 */

/** A value to keep. */
export interface SharedEntry {
  /** 1 to 250 bytes of printable ASCII without spaces. */
  readonly key: string;
  readonly value: Uint8Array;
}

/** One such server. Every method may reject, with an Error whose message has no secret, and may take for ever. */
export interface SharedCache {
  /** Where it is, for people: without user and password. */
  readonly name: string;
  /** The values of keys, in their order; undefined where there is none. */
  getMany(keys: readonly string[]): Promise<readonly (Uint8Array | undefined)[]>;
  /** @param ttlMs  for how long, at least 1000; rounded up to whole seconds where the server knows no less */
  setMany(entries: readonly SharedEntry[], ttlMs: number): Promise<void>;
  /** Forgets keys, those that it does not have too. */
  deleteMany(keys: readonly string[]): Promise<void>;
  /** Gives up the connection and all calls that wait for it; the next call connects anew. */
  reset(): void;
  /** The same, for good: later calls reject. */
  close(): void;
}

/** How a {@link SharedCache} is reached. */
export interface SharedCacheOptions {
  readonly kind: "redis" | "memcached";
  /** `redis://HOST:PORT/DB`, `rediss://…`, `memcache://HOST:PORT` or `memcaches://…` (an s: over TLS). */
  readonly url: string;
  /** For Redis. */
  readonly user?: string | undefined;
  readonly password?: string | undefined;
  /** PEM of the CAs that may have signed the server's certificate; absent: the system's. */
  readonly ca?: string | undefined;
  /** Time for a connection, in ms. */
  readonly connectMs: number;
}
