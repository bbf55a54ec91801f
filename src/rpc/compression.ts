/**
 * Compression of messages: gzip, which every gRPC client has. Level 1, since a server that is asked
 * for it by default (as all gRPC clients do) should not spend more time on it than on the call.
 * @module
 */
import { gunzip, gzip } from "node:zlib";
import { promisify } from "node:util";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Compression } from "@connectrpc/connect/protocol";

const gzipAsync = promisify(gzip);
const gunzipAsync = promisify(gunzip);

/** Messages to clients below this size leave as they are: in a data centre the network is faster than gzip. */
export const COMPRESS_MIN_BYTES = 32 * 1024;

/** Gzip, bounded when it inflates. */
export const gzipCompression: Compression = {
  name: "gzip",
  async compress(bytes) {
    return plain(await gzipAsync(bytes, { level: 1 }));
  },
  async decompress(bytes, readMaxBytes) {
    if (bytes.length === 0) return new Uint8Array(0);
    try {
      return plain(await gunzipAsync(bytes, { maxOutputLength: readMaxBytes }));
    } catch (error) {
      if ((error as { code?: unknown }).code === "ERR_BUFFER_TOO_LARGE") {
        throw new ConnectError(
          `message is larger than ${readMaxBytes} bytes after decompression`,
          Code.ResourceExhausted,
        );
      }
      throw new ConnectError("message is not gzip", Code.InvalidArgument);
    }
  },
};

/** The same bytes, for types that tell shared memory from one's own. */
function plain(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes.buffer instanceof ArrayBuffer
    ? bytes as Uint8Array<ArrayBuffer>
    : new Uint8Array(bytes);
}
