/**
 * TCP and TLS, through node:net and node:tls: the HTTP servers take their sockets.
 * @module
 */
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { type Log, silentLog } from "../log.ts";
import type { Connection, Listener, Network } from "../network.ts";
import { connectTls, listenTls } from "./tls.ts";

/**
 * The machine's network. Needs net permission. Connections come with Nagle's delay off.
 * @param log  told when a listener fails after it was bound, such as for want of descriptors
 */
export function denoNetwork(log: Log = silentLog): Network {
  return {
    listen: (address, accept) => listen(address, accept, log),
    connect: (address) => {
      if (address.tls !== undefined) return connectTls({ ...address, tls: address.tls });
      return new Promise<Connection>((resolve, reject) => {
        const socket: Socket = connect({ host: address.host, port: address.port, noDelay: true });
        socket.once("error", reject);
        socket.once("connect", () => {
          socket.off("error", reject);
          resolve(socket);
        });
      });
    },
  };
}

function listen(
  { host, port, tls }: Parameters<Network["listen"]>[0],
  accept: (connection: Connection) => void,
  log: Log,
): Promise<Listener> {
  return new Promise((resolve, reject) => {
    const { server, renew, abandon } = tls === undefined
      ? { server: createServer({ noDelay: true }, accept), renew: withoutTls, abandon: () => {} }
      : listenTls(tls, accept, log);
    server.once("error", reject);
    server.listen({ host, port }, () => {
      server.off("error", reject);
      // Without a listener for it, an error would end the process.
      server.on(
        "error",
        (error) => log.error("network.listener_failed", { message: String(error) }),
      );
      resolve(listenerOf(server, renew, abandon));
    });
  });
}

function withoutTls(): never {
  throw new Error("this listener has no TLS");
}

function listenerOf(
  server: Server,
  renew: Listener["renew"],
  abandon: () => void,
): Listener {
  // A TCP server has an address of this shape while it listens.
  const { address, port } = server.address() as AddressInfo;
  return {
    host: address,
    port,
    renew,
    close() {
      // The port is free at once; the callback would come only with the end of the last connection.
      if (server.listening) server.close();
      abandon();
      return Promise.resolve();
    },
  };
}
