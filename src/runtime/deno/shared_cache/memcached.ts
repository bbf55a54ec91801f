/**
 * Memcached, through a node of the package `memcache`: its client would answer a server that is gone like one
 * that has nothing.
 *
 * It takes values for text, so ours go as base64. Its connections end when they are idle, and are made again.
 * @module
 */
import { createNode, type MemcacheNode } from "memcache";
import type { SharedCache, SharedCacheOptions, SharedEntry } from "../../shared_cache.ts";
import type { Address } from "./mod.ts";

/** A connection that nobody has used for this long is ended, in ms. */
const IDLE_MS = 60_000;
/** The longest time to live; the server takes more for a date. In s. */
const TTL_S_MAX = 30 * 86_400;

/** A cache in a Memcached server. */
export function memcachedCache(address: Address, options: SharedCacheOptions): SharedCache {
  return new MemcachedCache(address, options);
}

class MemcachedCache implements SharedCache {
  readonly name: string;
  readonly #open: () => MemcacheNode;
  #node: MemcacheNode | undefined;
  #connecting: Promise<void> | undefined;
  #giveUp: ((reason: Error) => void) | undefined;
  #closed = false;

  constructor(address: Address, { ca }: SharedCacheOptions) {
    const { host, port, isSecure, serverName, name } = address;
    this.name = name;
    const tls = isSecure && {
      ...(serverName && { servername: serverName }),
      ...(ca === undefined ? {} : { ca }),
    };
    this.#open = () => createNode(host, port, { timeout: IDLE_MS, tls });
  }

  async getMany(keys: readonly string[]): Promise<(Uint8Array | undefined)[]> {
    const node = await this.#connected();
    const found: { values?: string[]; foundKeys: string[] } = await node.command(
      `get ${keys.join(" ")}`,
      { isMultiline: true, requestedKeys: [...keys] },
    );
    const values = new Map(found.foundKeys.map((key, i) => [key, found.values?.[i]]));
    return keys.map((key) => bytesOf(values.get(key)));
  }

  async setMany(entries: readonly SharedEntry[], ttlMs: number): Promise<void> {
    const node = await this.#connected();
    const ttl = Math.min(TTL_S_MAX, Math.ceil(ttlMs / 1000));
    await Promise.all(entries.map(async ({ key, value }) => {
      const text = value.toBase64();
      const answer = await node.command(`set ${key} 0 ${ttl} ${text.length}\r\n${text}`);
      if (answer !== "STORED") throw new Error(`Memcached did not store a value: ${answer}`);
    }));
  }

  async deleteMany(keys: readonly string[]): Promise<void> {
    const node = await this.#connected();
    await Promise.all(keys.map((key) => node.command(`delete ${key}`)));
  }

  reset(): void {
    this.#drop(new Error("the connection was given up"));
  }

  #drop(reason: Error): void {
    const node = this.#node;
    this.#node = undefined;
    this.#connecting = undefined;
    // The node itself does not tell those who wait for it to connect.
    this.#giveUp?.(reason);
    void node?.disconnect();
  }

  close(): void {
    this.#closed = true;
    this.reset();
  }

  async #connected(): Promise<MemcacheNode> {
    if (this.#closed) throw new Error("the shared cache is closed");
    if (this.#node === undefined) {
      const node = this.#open();
      const forget = (reason: Error) => {
        if (this.#node === node) this.#drop(reason);
      };
      node.on("close", () => forget(new Error("the connection has ended")));
      node.on("error", forget);
      this.#node = node;
      const { promise: givenUp, reject } = Promise.withResolvers<never>();
      this.#giveUp = reject;
      this.#connecting = Promise.race([node.connect(), givenUp]);
    }
    const node = this.#node;
    await this.#connecting;
    return node;
  }
}

/** What somebody else put there may be no base64: then it is nothing of ours. */
function bytesOf(text: string | undefined): Uint8Array | undefined {
  if (text === undefined) return undefined;
  try {
    return Uint8Array.fromBase64(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return undefined;
  }
}
