/**
 * A network in memory: connections are pairs of streams, hosts are names.
 * @module
 */
import { Buffer } from "node:buffer";
import { type Duplex, duplexPair } from "node:stream";
import type { Connection, Listener, Network } from "../network.ts";

/** Where ports for 0 start: the first of the range that IANA leaves to the asking. */
const FIRST_FREE_PORT = 49_152;

/** Every listener and connection of one simulated world. */
export class SimNetwork implements Network {
  readonly #listeners = new Map<string, (connection: Connection) => void>();
  #nextPort = FIRST_FREE_PORT;

  listen(
    address: Parameters<Network["listen"]>[0],
    accept: (connection: Connection) => void,
  ): Promise<Listener> {
    const { host } = address;
    if (address.tls !== undefined) return Promise.reject(withoutTls());
    const port = address.port === 0 ? this.#freePort(host) : address.port;
    const key = `${host}:${port}`;
    if (this.#listeners.has(key)) return Promise.reject(failure("EADDRINUSE", "listen", key));
    this.#listeners.set(key, accept);
    const close = () => {
      if (this.#listeners.get(key) === accept) this.#listeners.delete(key);
      return Promise.resolve();
    };
    const renew = () => {
      throw withoutTls();
    };
    return Promise.resolve({ host, port, renew, close });
  }

  async connect(address: Parameters<Network["connect"]>[0]): Promise<Connection> {
    if (address.tls !== undefined) throw withoutTls();
    // A caller may not count on hearing before it has awaited, as with a real network.
    await Promise.resolve();
    const key = `${address.host}:${address.port}`;
    const accept = this.#listeners.get(key);
    if (accept === undefined) throw failure("ECONNREFUSED", "connect", key);
    const [near, far] = duplexPair().map(copyingWrites);
    accept(Object.assign(far, { remoteAddress: address.host, setNoDelay: () => {} }));
    return Object.assign(near, { remoteAddress: address.host, setNoDelay: () => {} });
  }

  #freePort(host: string): number {
    while (this.#listeners.has(`${host}:${this.#nextPort}`)) this.#nextPort++;
    return this.#nextPort++;
  }
}

function withoutTls(): Error {
  return new Error("the simulated network has no TLS");
}

/** Makes a stream take what it is given as a socket does: when it says that it has, the bytes are the writer's again. */
function copyingWrites(stream: Duplex): Duplex {
  const { _write } = stream;
  stream._write = (chunk: Uint8Array, encoding, callback) =>
    _write.call(stream, Buffer.from(chunk), encoding, callback);
  return stream;
}

function failure(code: string, call: string, key: string): Error {
  return Object.assign(new Error(`${call} ${code} ${key}`), { code });
}
