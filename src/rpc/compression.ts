/**
 * Compression of messages: gzip, which every gRPC client has, and zstd and brotli for those who ask.
 * Levels are the fastest, since a server that is asked for compression by default (as all gRPC clients
 * do) should not spend more time on it than on the call.
 *
 * A message that becomes many times as large is inflated only when few others are: a thousand of them at once
 * would each take as much memory as the largest message may. Others do not wait for them.
 *
 * Inflating is bounded by the limit of a message, and what is cut short is refused. Gzip sees to that
 * itself; the other two decoders return what they have when their input ends early, so:
 *   - zstd says in the heads of its blocks where a frame ends (zstd_frame.ts);
 *   - brotli tells nobody but its decoder, and only the web's stream reports it. It has no limit of its
 *     own, so it runs second, on what is known to be small: twice the work for messages in brotli.
 * @module
 */
import {
  brotliCompress,
  brotliDecompress,
  constants,
  gunzip,
  gzip,
  zstdCompress,
  zstdDecompress,
} from "node:zlib";
import { promisify } from "node:util";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Compression } from "@connectrpc/connect/protocol";
import { isWholeZstdFrame } from "./zstd_frame.ts";

/** Messages to clients below this size leave as they are: in a data centre the network is faster than gzip. */
export const COMPRESS_MIN_BYTES = 32 * 1024;

/** Messages that do not become larger than this, or than so many times their size, wait for nobody. */
const QUICK_BYTES = 64 * 1024;
const QUICK_FACTOR = 8;
/** Others that are inflated at once, on one port. */
const HEAVY_AT_ONCE = 2;

/** How one codec works. */
interface Codec {
  readonly compress: (bytes: Uint8Array) => Promise<Uint8Array>;
  /** Fails with ERR_BUFFER_TOO_LARGE when there is more than `maxBytes`. */
  readonly inflate: (bytes: Uint8Array, maxBytes: number) => Promise<Uint8Array>;
  /** Whether the bytes that were inflated end where they should. */
  readonly isWhole: (bytes: Uint8Array) => boolean | Promise<boolean>;
}

const gzipAsync = promisify(gzip);
const gunzipAsync = promisify(gunzip);
const zstdAsync = promisify(zstdCompress);
const unzstdAsync = promisify(zstdDecompress);
const brotliAsync = promisify(brotliCompress);
const unbrotliAsync = promisify(brotliDecompress);

/** All codecs of one port, in the order in which an error tells them to a client. */
export function createCompressions(): Compression[] {
  const gate = new Gate(HEAVY_AT_ONCE);
  return CODECS.map(([name, codec]) => compression(name, codec, gate));
}

const CODECS: readonly (readonly [name: string, codec: Codec])[] = [
  ["gzip", {
    compress: (bytes) => gzipAsync(bytes, { level: 1 }),
    inflate: (bytes, maxOutputLength) => gunzipAsync(bytes, { maxOutputLength }),
    isWhole: () => true,
  }],
  ["zstd", {
    compress: (bytes) => zstdAsync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: 1 } }),
    inflate: (bytes, maxOutputLength) => unzstdAsync(bytes, { maxOutputLength }),
    isWhole: isWholeZstdFrame,
  }],
  ["br", {
    compress: (bytes) => brotliAsync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } }),
    inflate: (bytes, maxOutputLength) => unbrotliAsync(bytes, { maxOutputLength }),
    isWhole: isWholeBrotli,
  }],
];

/** A codec as the RPC library takes it, with the errors of all. */
function compression(
  name: string,
  { compress, inflate, isWhole }: Codec,
  gate: Gate,
): Compression {
  const malformed = () => new ConnectError(`message is not ${name}`, Code.InvalidArgument);
  return {
    name,
    compress: async (bytes) => plain(await compress(bytes)),
    async decompress(bytes, readMaxBytes) {
      if (bytes.length === 0) return new Uint8Array(0);
      let inflated: Uint8Array;
      try {
        const quickBytes = Math.max(QUICK_BYTES, QUICK_FACTOR * bytes.length);
        inflated = quickBytes >= readMaxBytes
          ? await gate.pass(() => inflate(bytes, readMaxBytes))
          : await inflate(bytes, quickBytes).catch((error) => {
            if (!isTooLarge(error)) throw error;
            return gate.pass(() => inflate(bytes, readMaxBytes));
          });
      } catch (error) {
        if (!isTooLarge(error)) throw malformed();
        throw new ConnectError(
          `message is larger than ${readMaxBytes} bytes after decompression`,
          Code.ResourceExhausted,
        );
      }
      if (!await isWhole(bytes)) throw malformed();
      return plain(inflated);
    },
  };
}

function isTooLarge(error: unknown): boolean {
  return (error as { code?: unknown }).code === "ERR_BUFFER_TOO_LARGE";
}

/** Lets so many through at once; the others wait in the order in which they came. */
class Gate {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  async pass<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free++;
      else next();
    }
  }
}

/** Whether a brotli stream comes to its end. Its output must be known to be small. */
async function isWholeBrotli(bytes: Uint8Array): Promise<boolean> {
  const stream = new DecompressionStream("brotli");
  try {
    const inflated = new Blob([plain(bytes)]).stream().pipeThrough(stream);
    for await (const _ of inflated) { /* only the end counts */ }
    return true;
  } catch (error) {
    if (error instanceof TypeError) return false;
    throw error;
  }
}

/** The same bytes as a bare Uint8Array: a Buffer's slices share their memory, which surprises. */
function plain(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes.buffer instanceof ArrayBuffer
    ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    : new Uint8Array(bytes);
}
