/**
 * TCP, through node:net: the node:http and node:http2 servers take its sockets.
 * @module
 */
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { type Log, silentLog } from "../log.ts";
import type { Connection, Listener, Network } from "../network.ts";

/**
 * The machine's network. Needs net permission. Connections come with Nagle's delay off.
 * @param log  told when a listener fails after it was bound, such as for want of descriptors
 */
export function denoNetwork(log: Log = silentLog): Network {
  return {
    listen: (address, accept) => listen(address, accept, log),
    connect: (address) =>
      new Promise<Connection>((resolve, reject) => {
        const socket: Socket = connect({ ...address, noDelay: true });
        socket.once("error", reject);
        socket.once("connect", () => {
          socket.off("error", reject);
          resolve(socket);
        });
      }),
  };
}

function listen(
  address: { host: string; port: number },
  accept: (connection: Connection) => void,
  log: Log,
): Promise<Listener> {
  return new Promise((resolve, reject) => {
    const server = createServer({ noDelay: true }, accept);
    server.once("error", reject);
    server.listen(address, () => {
      server.off("error", reject);
      // Without a listener for it, an error would end the process.
      server.on(
        "error",
        (error) => log.error("network.listener_failed", { message: String(error) }),
      );
      resolve(listenerOf(server));
    });
  });
}

function listenerOf(server: Server): Listener {
  // A TCP server has an address of this shape while it listens.
  const { address, port } = server.address() as AddressInfo;
  return {
    host: address,
    port,
    close() {
      // The port is free at once; the callback would come only with the end of the last connection.
      if (server.listening) server.close();
      return Promise.resolve();
    },
  };
}
