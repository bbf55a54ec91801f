/**
 * TLS, through node:tls. What Deno 2.9.6 leaves to be done here:
 *   - credentials that do not fit together are taken without a word, and then every handshake fails: they
 *     are checked before they are used;
 *   - a handshake that takes too long is reported, and its connection left open: it is closed here;
 *   - a certificate's names come as one text in which a name can forge others: they are read from the
 *     certificate's bytes (san.ts);
 *   - with `request`, a certificate that could not be verified passes for none: it ends the connection;
 *   - resumed sessions outlive the CAs by which they were verified (verified_peers.ts).
 * @module
 */
import { Buffer } from "node:buffer";
import { createPrivateKey, X509Certificate } from "node:crypto";
import type { Server, Socket } from "node:net";
import { connect, createServer, type TlsOptions, type TLSSocket } from "node:tls";
import type { Log } from "../log.ts";
import type {
  Connection,
  PeerCertificate,
  TlsConnectOptions,
  TlsCredentials,
  TlsListenOptions,
} from "../network.ts";
import { alternativeNames } from "./san.ts";
import { VerifiedPeers } from "./verified_peers.ts";

/**
 * A server that hands on connections after their handshake. `abandon` ends the handshakes that are
 * under way, for a server that closes.
 * @throws Error that says what is wrong with the credentials
 */
export function listenTls(
  options: TlsListenOptions,
  accept: (connection: Connection) => void,
  log: Log,
): { server: Server; renew: (credentials: TlsCredentials) => void; abandon: () => void } {
  let peers = checkCredentials(options);
  let { ca } = options;
  const server = createServer(serverOptions(options));
  const handshakes = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    // Only what is beyond a handshake is counted, and bounded, by those who accept.
    if (handshakes.size >= options.maxHandshakes) return void socket.destroy();
    handshakes.add(socket);
    socket.once("close", () => handshakes.delete(socket));
    socket.setNoDelay(true);
  });
  server.on("secureConnection", (socket) => {
    const raw = (socket as TLSSocket & { _parent?: Socket })._parent;
    if (raw !== undefined) handshakes.delete(raw);
    const peer = peerOf(socket, options.clientAuth, peers);
    if (peer === "unverified") return void socket.destroy();
    accept(peer === undefined ? socket : Object.assign(socket, { peer }));
  });
  server.on("tlsClientError", (error, socket) => {
    log.debug("tls_handshake_failed", { error: error.message });
    socket.on("error", () => {});
    socket.destroy();
  });
  return {
    server,
    renew(credentials) {
      const renewed = checkCredentials(credentials);
      if (!isSame(credentials.ca, ca)) peers = renewed;
      ca = credentials.ca;
      server.setSecureContext(serverOptions({ ...options, ...credentials }));
    },
    abandon() {
      for (const socket of handshakes) socket.destroy();
    },
  };
}

function serverOptions(options: TlsListenOptions): TlsOptions {
  const { cert, key, ca, clientAuth, minVersion, alpn, handshakeTimeoutMs } = options;
  return {
    cert: Buffer.from(cert),
    key: Buffer.from(key),
    ca: ca === undefined ? undefined : Buffer.from(ca),
    requestCert: clientAuth !== "none",
    rejectUnauthorized: clientAuth === "require",
    minVersion: `TLSv${minVersion}`,
    ALPNProtocols: [...alpn],
    handshakeTimeout: handshakeTimeoutMs,
  };
}

/** Who a client is; undefined: it showed no certificate, and need not. */
function peerOf(
  socket: TLSSocket,
  clientAuth: TlsListenOptions["clientAuth"],
  peers: VerifiedPeers | undefined,
): PeerCertificate | "unverified" | undefined {
  if (clientAuth === "none") return undefined;
  const { raw } = socket.getPeerCertificate();
  // The library turns both away by itself where a certificate is required; this must not hang on that alone.
  if (raw === undefined) return clientAuth === "require" ? "unverified" : undefined;
  if (!socket.authorized) return "unverified";
  try {
    const certificate = new X509Certificate(raw);
    if (!socket.isSessionReused()) peers?.pass(certificate);
    else if (peers?.knows(certificate) !== true) return "unverified";
    return {
      names: alternativeNames(new Uint8Array(raw)),
      expiresAtMs: Date.parse(certificate.validTo),
    };
  } catch {
    // What the platform verified and we cannot read has no name that could be trusted.
    return "unverified";
  }
}

/** Opens a connection and makes its handshake. */
export function connectTls(
  { host, port, tls }: { host: string; port: number; tls: TlsConnectOptions },
): Promise<Connection> {
  return new Promise((resolve, reject) => {
    const buffer = (bytes: Uint8Array | undefined) => bytes && Buffer.from(bytes);
    const socket = connect({
      host,
      port,
      servername: tls.serverName,
      ca: buffer(tls.ca),
      cert: buffer(tls.cert),
      key: buffer(tls.key),
      rejectUnauthorized: tls.ca !== undefined,
      ALPNProtocols: [...tls.alpn],
    });
    const onClose = () => reject(new Error(`${host}:${port} closed during the handshake`));
    socket.once("error", reject);
    socket.once("close", onClose);
    socket.once("secureConnect", () => {
      socket.off("error", reject);
      socket.off("close", onClose);
      socket.setNoDelay(true);
      resolve(socket);
    });
  });
}

/**
 * Checks credentials.
 * @returns who is good under the CAs; undefined when there are none
 * @throws Error that says what is wrong; never with what stands in the files
 */
function checkCredentials({ cert, key, ca }: TlsCredentials): VerifiedPeers | undefined {
  const certificate = readable("the certificate is not PEM", () => new X509Certificate(cert));
  const privateKey = readable(
    "the key is not PEM, or encrypted",
    () => createPrivateKey(Buffer.from(key)),
  );
  if (!certificate.checkPrivateKey(privateKey)) {
    throw new Error("the key is not that of the certificate");
  }
  if (ca === undefined) return undefined;
  return readable("the CA's certificate is not PEM", () => new VerifiedPeers(ca));
}

function isSame(one: Uint8Array | undefined, other: Uint8Array | undefined): boolean {
  if (one === undefined || other === undefined) return one === other;
  return Buffer.compare(one, other) === 0;
}

function readable<T>(otherwise: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw new Error(otherwise, { cause });
  }
}
