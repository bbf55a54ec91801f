/**
 * Redis, and what speaks its protocol, through @redis/client.
 *
 * The client is not to connect again by itself, nor to queue what it cannot send: a call fails at once when
 * there is no connection to be had, and who calls decides when to try again.
 * @module
 */
import { createClient, RESP_TYPES } from "@redis/client";
import { Buffer } from "node:buffer";
import type { SharedCache, SharedCacheOptions, SharedEntry } from "../../shared_cache.ts";
import type { Address } from "./mod.ts";

/** Commands that may wait for their answers; more are refused. */
const QUEUE_MAX = 10_000;

type Client = ReturnType<typeof openClient>;

/** A cache in a Redis server. */
export function redisCache(address: Address, options: SharedCacheOptions): SharedCache {
  return new RedisCache(address, options);
}

class RedisCache implements SharedCache {
  readonly name: string;
  readonly #open: () => Client;
  #client: Client | undefined;
  #connecting: Promise<unknown> | undefined;
  #giveUp: ((reason: Error) => void) | undefined;
  #closed = false;

  constructor(address: Address, options: SharedCacheOptions) {
    this.name = address.name;
    this.#open = () => openClient(address, options);
  }

  async getMany(keys: readonly string[]): Promise<(Uint8Array | undefined)[]> {
    const client = await this.#connected();
    const values = await client.mGet([...keys]);
    return values.map((value) => value ?? undefined);
  }

  async setMany(entries: readonly SharedEntry[], ttlMs: number): Promise<void> {
    const client = await this.#connected();
    const expiration = { type: "PX", value: Math.ceil(ttlMs) } as const;
    // Sent together, without waiting between them.
    await Promise.all(entries.map(({ key, value }) => {
      const bytes = Buffer.from(value.buffer, value.byteOffset, value.length);
      return client.set(key, bytes, { expiration });
    }));
  }

  async deleteMany(keys: readonly string[]): Promise<void> {
    const client = await this.#connected();
    await client.unlink([...keys]);
  }

  reset(): void {
    const client = this.#client;
    this.#client = undefined;
    this.#connecting = undefined;
    // The client itself does not tell those who wait for it to connect.
    this.#giveUp?.(new Error("the connection was given up"));
    client?.destroy();
  }

  close(): void {
    this.#closed = true;
    this.reset();
  }

  async #connected(): Promise<Client> {
    if (this.#closed) throw new Error("the shared cache is closed");
    if (this.#client?.isOpen !== true) {
      this.#client = this.#open();
      const { promise: givenUp, reject } = Promise.withResolvers<never>();
      this.#giveUp = reject;
      this.#connecting = Promise.race([this.#client.connect(), givenUp]);
    }
    const client = this.#client;
    await this.#connecting;
    return client;
  }
}

function openClient(address: Address, { user, password, ca, connectMs }: SharedCacheOptions) {
  const { host, port, isSecure, serverName, database } = address;
  const socket = { host, port, connectTimeout: connectMs, reconnectStrategy: false } as const;
  const client = createClient({
    socket: isSecure
      ? { ...socket, tls: true, ...(serverName && { servername: serverName }), ...(ca && { ca }) }
      : socket,
    ...(user === undefined ? {} : { username: user }),
    ...(password === undefined ? {} : { password }),
    database,
    disableOfflineQueue: true,
    disableClientInfo: true,
    maintNotifications: "disabled",
    commandsQueueMaxLength: QUEUE_MAX,
    RESP: 2,
  });
  // Whoever calls is told by a rejection; without a listener the event would end the process.
  client.on("error", () => {});
  return client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
}
