/**
 * Network: listening and connecting, byte streams only.
 * @module
 */
import type { Duplex } from "node:stream";

/** Who the other end of a TLS connection is, by a certificate that was verified. */
export interface PeerCertificate {
  /** Its subject alternative names, with their kind: `URI:…`, `DNS:…` (in lower case), `EMAIL:…`. */
  readonly names: readonly string[];
  /** Wall time in ms from which it is none any more. */
  readonly expiresAtMs: number;
}

/** One byte stream. In production a node:net Socket; in the simulator an in-memory pair. */
export type Connection = Duplex & {
  readonly remoteAddress?: string;
  /** Of a TLS connection whose client showed a certificate that was verified. */
  readonly peer?: PeerCertificate | undefined;
  /** Switches Nagle's delay off, where there is one. */
  setNoDelay?(on: boolean): unknown;
};

/** A bound port. */
export interface Listener {
  readonly host: string;
  /** The real port, also when 0 was asked for. */
  readonly port: number;
  /** Stops accepting; connections stay. */
  close(): Promise<void>;
}

/** Listening and connecting. */
export interface Network {
  /** Binds `host:port` (0: any free one) and hands each new connection to `accept`. Rejects with an Error whose `code` is the errno. */
  listen(
    address: { host: string; port: number },
    accept: (connection: Connection) => void,
  ): Promise<Listener>;
  /** Opens a connection. */
  connect(address: { host: string; port: number }): Promise<Connection>;
}
