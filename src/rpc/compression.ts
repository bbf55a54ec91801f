/**
 * Compression of messages: gzip, which every gRPC client has, and zstd and brotli for those who ask.
 * Levels are the fastest, since a server that is asked for compression by default (as all gRPC clients
 * do) should not spend more time on it than on the call.
 *
 * Few messages are inflated at once, and of those that become many times as large only one: a thousand at once
 * would each take as much memory as the largest message may. Others do not wait for them. And since the
 * decoders run on this thread, whatever their names say, such messages get a share of its time and no more.
 *
 * Inflating is bounded by the limit of a message, and what is cut short is refused. Gzip's decoder sees to the
 * latter; the other two return what they have when their input ends early, so:
 *   - zstd says in the heads of its blocks where a frame ends (zstd_frame.ts);
 *   - brotli tells nobody but its decoder, and only the web's stream reports it. It has no limit of its
 *     own, so it runs second, on what is known to be small: twice the work for messages in brotli.
 * @module
 */
import type { Transform } from "node:stream";
import {
  brotliCompress,
  constants,
  createBrotliDecompress,
  createGunzip,
  createZstdDecompress,
  gzip,
  zstdCompress,
} from "node:zlib";
import { promisify } from "node:util";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Compression } from "@connectrpc/connect/protocol";
import type { Clock } from "../runtime/mod.ts";
import { isWholeZstdFrame } from "./zstd_frame.ts";

/** Messages to clients below this size leave as they are: in a data centre the network is faster than gzip. */
export const COMPRESS_MIN_BYTES = 32 * 1024;

/** Messages that do not become larger than this, or than so many times their size, wait for nobody. */
const QUICK_BYTES = 64 * 1024;
const QUICK_FACTOR = 8;
/** Messages that are inflated at once on one port: such ones, and others. A decoder alone takes megabytes. */
const QUICK_AT_ONCE = 4;
const HEAVY_AT_ONCE = 1;
/** After such a one none is inflated for so many times as long as it took. */
const HEAVY_REST_FACTOR = 6;
/** A decoder's pieces; with smaller ones (16 KiB by default) most of its time goes into making them. */
const PIECE_BYTES = 256 * 1024;
/** The window of a zstd frame, as a power of 2: what RFC 8878 asks of decoders, 8 MiB. */
const ZSTD_WINDOW_LOG_MAX = 23;

/** How one codec works. */
interface Codec {
  readonly compress: (bytes: Uint8Array) => Promise<Uint8Array>;
  /** A decoder that gives pieces of this size. */
  readonly decoder: (chunkSize: number) => Transform;
  /** Whether the bytes that were inflated end where they should. */
  readonly isWhole: (bytes: Uint8Array) => boolean | Promise<boolean>;
}

const gzipAsync = promisify(gzip);
const zstdAsync = promisify(zstdCompress);
const brotliAsync = promisify(brotliCompress);

/** All codecs of one port, in the order in which an error tells them to a client. */
export function createCompressions(clock: Clock): Compression[] {
  const gates = {
    quick: new Gate(clock, QUICK_AT_ONCE, 0),
    heavy: new Gate(clock, HEAVY_AT_ONCE, HEAVY_REST_FACTOR),
  };
  return CODECS.map(([name, codec]) => compression(name, codec, gates));
}

const CODECS: readonly (readonly [name: string, codec: Codec])[] = [
  ["gzip", {
    compress: (bytes) => gzipAsync(bytes, { level: 1 }),
    decoder: (chunkSize) => createGunzip({ chunkSize }),
    isWhole: () => true,
  }],
  ["zstd", {
    compress: (bytes) => zstdAsync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: 1 } }),
    decoder: (chunkSize) =>
      createZstdDecompress({
        chunkSize,
        params: { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG_MAX },
      }),
    isWhole: isWholeZstdFrame,
  }],
  ["br", {
    compress: (bytes) => brotliAsync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } }),
    decoder: (chunkSize) => createBrotliDecompress({ chunkSize }),
    isWhole: isWholeBrotli,
  }],
];

/** A codec as the RPC library takes it, with the errors of all. */
function compression(
  name: string,
  { compress, decoder, isWhole }: Codec,
  { quick, heavy }: { readonly quick: Gate; readonly heavy: Gate },
): Compression {
  const malformed = () => new ConnectError(`message is not ${name}`, Code.InvalidArgument);
  return {
    name,
    compress: async (bytes) => plain(await compress(bytes)),
    async decompress(bytes, readMaxBytes) {
      if (bytes.length === 0) return new Uint8Array(0);
      let inflated: Uint8Array<ArrayBuffer>;
      try {
        const quickBytes = Math.max(QUICK_BYTES, QUICK_FACTOR * bytes.length);
        inflated = quickBytes >= readMaxBytes
          ? await heavy.pass(() => inflate(decoder, bytes, readMaxBytes))
          : await quick.pass(() => inflate(decoder, bytes, quickBytes)).catch((error) => {
            if (!(error instanceof TooLargeError)) throw error;
            return heavy.pass(() => inflate(decoder, bytes, readMaxBytes));
          });
      } catch (error) {
        if (!(error instanceof TooLargeError)) throw malformed();
        throw new ConnectError(
          `message is larger than ${readMaxBytes} bytes after decompression`,
          Code.ResourceExhausted,
        );
      }
      if (!await isWhole(bytes)) throw malformed();
      return inflated;
    },
  };
}

/** A message becomes larger than it may. */
class TooLargeError extends Error {
  override name = "TooLargeError";
}

/**
 * Inflates a message. The decoder's pieces go back at once: left to the collector, those of a few messages
 * that are refused would take as much memory as all else.
 * @throws TooLargeError when there is more than `maxBytes`; another Error where it is malformed
 */
function inflate(
  decoder: Codec["decoder"],
  bytes: Uint8Array,
  maxBytes: number,
): Promise<Uint8Array<ArrayBuffer>> {
  return new Promise((resolve, reject) => {
    const stream = decoder(Math.min(PIECE_BYTES, maxBytes + 1));
    const pieces: Uint8Array<ArrayBuffer>[] = [];
    let length = 0;
    stream.on("data", (piece: Uint8Array<ArrayBuffer>) => {
      pieces.push(piece);
      length += piece.length;
      if (length > maxBytes) stream.destroy(new TooLargeError());
    });
    stream.on("error", reject);
    stream.on("end", () => {
      const whole = new Uint8Array(length);
      let at = 0;
      for (const piece of pieces) {
        whole.set(piece, at);
        at += piece.length;
      }
      resolve(whole);
    });
    // The decoder does not write into them any more. Smaller ones may share their memory with other buffers.
    stream.on("close", () => {
      for (const { buffer } of pieces) {
        if (buffer.byteLength === PIECE_BYTES) buffer.transfer(0);
      }
    });
    stream.end(bytes);
  });
}

/** Lets so many through at once; the others wait in the order in which they came. */
class Gate {
  readonly #clock: Clock;
  readonly #restFactor: number;
  #free: number;
  #restUntilMs = 0;
  readonly #waiting: (() => void)[] = [];

  /** @param restFactor  for how many times as long as work took the next one waits */
  constructor(clock: Clock, count: number, restFactor: number) {
    this.#clock = clock;
    this.#free = count;
    this.#restFactor = restFactor;
  }

  async pass<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    const restMs = this.#restUntilMs - this.#clock.monotonicMs();
    if (restMs > 0) await this.#clock.sleep(restMs);
    const startMs = this.#clock.monotonicMs();
    try {
      return await work();
    } finally {
      const nowMs = this.#clock.monotonicMs();
      this.#restUntilMs = nowMs + (nowMs - startMs) * this.#restFactor;
      this.#leave();
    }
  }

  #leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free++;
    else next();
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
