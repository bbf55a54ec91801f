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
  /** True where TLS is spoken. */
  readonly encrypted?: boolean;
  /** What was agreed on by ALPN; `false` or null: nothing. Undefined where there is no TLS. */
  readonly alpnProtocol?: string | false | null;
  /** Of a TLS connection whose client showed a certificate that was verified. */
  readonly peer?: PeerCertificate | undefined;
  /** Switches Nagle's delay off, where there is one. */
  setNoDelay?(on: boolean): unknown;
};

/** A certificate and its key, and the CAs of the other side, as PEM. */
export interface TlsCredentials {
  /** The certificate, with those between it and its CA behind it. */
  readonly cert: Uint8Array;
  readonly key: Uint8Array;
  /** Whose certificates are taken from the other side. */
  readonly ca?: Uint8Array | undefined;
}

/** How a listener speaks TLS. */
export interface TlsListenOptions extends TlsCredentials {
  /** What clients are asked for; one that shows a certificate which cannot be verified is turned away always. */
  readonly clientAuth: "none" | "request" | "require";
  readonly minVersion: "1.2" | "1.3";
  /** The protocols that are spoken inside, the best first. */
  readonly alpn: readonly string[];
  readonly handshakeTimeoutMs: number;
  /** Handshakes at a time; a connection beyond them is cut off. */
  readonly maxHandshakes: number;
}

/** How a connection speaks TLS. */
export interface TlsConnectOptions {
  /** Whose certificates are taken from the server; undefined: any, which proves nothing. */
  readonly ca: Uint8Array | undefined;
  /** The name that the server's certificate must have. */
  readonly serverName: string;
  /** Our own certificate and key. */
  readonly cert?: Uint8Array | undefined;
  readonly key?: Uint8Array | undefined;
  readonly alpn: readonly string[];
}

/** A bound port. */
export interface Listener {
  readonly host: string;
  /** The real port, also when 0 was asked for. */
  readonly port: number;
  /**
   * Goes on with other credentials; connections stay as they are.
   * Throws an Error that says why when they cannot be used, and keeps the old ones. For TLS only.
   */
  renew(credentials: TlsCredentials): void;
  /** Stops accepting; connections stay. */
  close(): Promise<void>;
}

/** Listening and connecting. */
export interface Network {
  /**
   * Binds `host:port` (0: any free one) and hands each new connection to `accept`, those of TLS after
   * their handshake. Rejects with an Error whose `code` is the errno, or which says what is wrong with
   * the credentials.
   */
  listen(
    address: { host: string; port: number; tls?: TlsListenOptions | undefined },
    accept: (connection: Connection) => void,
  ): Promise<Listener>;
  /** Opens a connection, and makes its handshake. */
  connect(
    address: { host: string; port: number; tls?: TlsConnectOptions | undefined },
  ): Promise<Connection>;
}
