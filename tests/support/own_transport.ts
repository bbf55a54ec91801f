/**
 * The RPC library's gRPC client over a connection of our own HTTP/2 client.
 * @module
 */
import type { Transport } from "@connectrpc/connect";
import { createTransport } from "@connectrpc/connect/protocol-grpc";
import type { ClientConnection } from "../../src/rpc/http2/mod.ts";
import { universalClient } from "../../src/rpc/universal_client.ts";

/** A transport to a port on this machine. */
export function ownTransport(connection: ClientConnection, port: number): Transport {
  return createTransport({
    baseUrl: `http://127.0.0.1:${port}`,
    httpClient: universalClient(connection),
    useBinaryFormat: true,
    interceptors: [],
    acceptCompression: [],
    sendCompression: null,
    compressMinBytes: 0,
    readMaxBytes: 64 << 20,
    writeMaxBytes: 64 << 20,
  });
}
