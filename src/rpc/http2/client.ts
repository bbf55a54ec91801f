/**
 * The client's side of a connection: our streams, in the order in which they were asked for.
 *
 *     open(call) ─┬─ there is room ───────► call.start(stream)
 *                 └─ too many streams ────► queue ─► … when one has ended
 *
 *     GOAWAY(last):  streams above `last` and all that wait are refused: they may be made again elsewhere;
 *                    the others are finished, then the connection ends
 * @module
 */
import type { Cancel, Clock, Connection, Network } from "../../runtime/mod.ts";
import { Http2Connection, type Http2Limits } from "./connection.ts";
import {
  ERROR,
  FLAG,
  FRAME,
  FRAME_HEADER_BYTES,
  Http2Error,
  MAX_31,
  PREFACE,
  writeFrameHeader,
  writeUint32,
} from "./frames.ts";
import type { HeaderList } from "./hpack_decoder.ts";
import { OutputBuffers } from "./output.ts";
import type { ClientCall } from "./response.ts";
import { SETTING } from "./settings.ts";
import type { Http2Stream } from "./stream.ts";

const MIB = 1 << 20;

/** What a client takes of one server, which it trusts more than a server does its clients. */
export const CLIENT_LIMITS: Http2Limits = {
  // There is no push.
  maxConcurrentStreams: 0,
  maxHeaderBytes: 64 * 1024,
  streamWindowBytes: 4 * MIB,
  connectionWindowBytes: 16 * MIB,
  // A server may refuse thousands of streams when it goes away, and it grants a window for many small bodies.
  resets: { burst: 100_000, perSecond: 10_000 },
  overhead: { burst: 100_000, perSecond: 10_000 },
  headerBlockMs: 10_000,
  // Requests wait as long as their callers let them.
  holdQueuedBytes: Infinity,
  maxQueuedBytes: Infinity,
};

/** When a silent connection is asked for a sign of life. */
export interface KeepAlive {
  /** Silence, in ms, after which a PING goes out. */
  readonly afterMs: number;
  /** Time for its answer, in ms; then the connection is taken for lost. */
  readonly timeoutMs: number;
}

/** What a client's connection stands on. */
export interface ClientOptions {
  readonly socket: Connection;
  readonly clock: Clock;
  /** {@link CLIENT_LIMITS} where nothing else is said. */
  readonly limits?: Http2Limits;
  /** Shared by connections that do not all write at once. */
  readonly buffers?: OutputBuffers;
  /** Calls that may wait for a stream; one more is not taken. 10,000 by default. */
  readonly maxQueued?: number;
  readonly keepAlive?: KeepAlive;
}

const MAX_QUEUED = 10_000;
/** Before each message of gRPC: whether it is compressed, and its length. */
const PREFIX_BYTES = 5;

/** A connection to a server. */
export class ClientConnection extends Http2Connection {
  readonly #socket: Connection;
  readonly #maxQueued: number;
  readonly #keepAlive: KeepAlive | undefined;
  readonly #onEnd: (() => void)[] = [];
  readonly #queue = new Set<ClientCall>();
  #nextId = 1;
  /** What the server has said; one that names no limit has none. */
  #maxStreams = MAX_31;
  /** No new streams: either side has said that it goes. */
  #closing = false;
  #heard = false;
  #cancelPing: Cancel = () => {};

  constructor(options: ClientOptions) {
    const { socket, clock, limits = CLIENT_LIMITS, buffers = new OutputBuffers() } = options;
    super({ socket, clock, limits, buffers });
    this.#socket = socket;
    this.#maxQueued = options.maxQueued ?? MAX_QUEUED;
    this.#keepAlive = options.keepAlive;
    const at = this.output.reserve(PREFACE.length);
    this.output.buffer.set(PREFACE, at);
    this.start([
      [SETTING.ENABLE_PUSH, 0],
      [SETTING.INITIAL_WINDOW_SIZE, limits.streamWindowBytes],
      [SETTING.MAX_HEADER_LIST_SIZE, limits.maxHeaderBytes],
    ]);
    // What follows from an error comes with "close".
    socket.on("error", () => {});
    socket.once("end", () => socket.destroy());
    // Pieces of a node:buffer would be such buffers too, whose slice() copies nothing.
    socket.on("data", ({ buffer, byteOffset, length }: Uint8Array<ArrayBuffer>) => {
      this.receive(new Uint8Array(buffer, byteOffset, length));
    });
    if (this.#keepAlive !== undefined) this.#waitForSilence(this.#keepAlive);
  }

  /** Whether calls are taken; how many may wait is another matter. */
  get usable(): boolean {
    return !this.#closing && !this.failed;
  }

  /** What requests have as their `:scheme`. */
  get scheme(): "http" | "https" {
    return this.#socket.encrypted === true ? "https" : "http";
  }

  /** Calls that wait for a stream. */
  get queued(): number {
    return this.#queue.size;
  }

  /**
   * Makes a call, at once or when the server takes one more stream.
   * @returns false when the call is not taken: the connection is ending, or too many wait already
   */
  begin(call: ClientCall): boolean {
    if (!this.usable) return false;
    if (this.#hasRoom()) this.#open(call);
    else if (this.#queue.size >= this.#maxQueued) return false;
    else this.#queue.add(call);
    return true;
  }

  /** Takes a call that was given up out of the queue. */
  forget(call: ClientCall): void {
    this.#queue.delete(call);
  }

  /**
   * Writes a message with gRPC's prefix as the end of a stream, in one frame; only where the connection
   * {@link hasRoom} for both.
   */
  writePrefixed(stream: Http2Stream, message: Uint8Array): void {
    const length = PREFIX_BYTES + message.length;
    const frame = this.output.reserve(FRAME_HEADER_BYTES + length);
    const bytes = this.output.buffer;
    const at = writeFrameHeader(bytes, frame, length, FRAME.DATA, FLAG.END_STREAM, stream.id);
    bytes[at] = 0;
    writeUint32(bytes, at + 1, message.length);
    bytes.set(message, at + PREFIX_BYTES);
    stream.localClosed = true;
    this.sent(stream, length);
    this.endLocal(stream);
  }

  /** Calls `run` once, when the connection has ended, whatever the reason; at once when it has already. */
  whenEnded(run: () => void): void {
    if (this.gone) run();
    else this.#onEnd.push(run);
  }

  /** Takes no new call; ends when those that were taken have ended. */
  close(): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#endIfDone();
  }

  /** Ends now. Calls fail. */
  destroy(): void {
    this.#socket.destroy();
  }

  override receive(chunk: Uint8Array): void {
    this.#heard = true;
    super.receive(chunk);
  }

  /** Streams that the server began: none, for it may not push. */
  protected override get lastStreamId(): number {
    return 0;
  }

  protected override isIdle(streamId: number): boolean {
    return streamId % 2 === 0 || streamId >= this.#nextId;
  }

  protected override onHeaders(
    streamId: number,
    headers: HeaderList,
    end: boolean,
    tooLarge: boolean,
  ): void {
    const stream = this.streams.get(streamId);
    if (stream === undefined) {
      if (!this.isIdle(streamId)) return; // On its way when the stream was reset.
      throw new Http2Error(ERROR.PROTOCOL_ERROR, "HEADERS on an idle stream");
    }
    if (stream.remoteClosed) {
      throw new Http2Error(ERROR.STREAM_CLOSED, "HEADERS after END_STREAM", streamId);
    }
    if (tooLarge) {
      throw new Http2Error(ERROR.ENHANCE_YOUR_CALM, "a header list is too large", streamId);
    }
    this.takeHeaders(stream, headers, end);
  }

  /** The answer is still to come. */
  protected override onLocalEnd(): void {}

  protected override onSetting(id: number, value: number): void {
    if (id === SETTING.MAX_CONCURRENT_STREAMS) this.#maxStreams = value;
  }

  protected override onSettings(): void {
    this.#fill();
  }

  protected override onStreamGone(): void {
    if (this.#queue.size > 0) this.#fill();
    if (this.#closing) this.#endIfDone();
  }

  protected override onGoAway(lastStreamId: number): void {
    this.#closing = true;
    this.#refuseQueue();
    for (const stream of this.streams.all()) {
      if (stream.id <= lastStreamId) continue;
      const { user } = stream;
      this.dropStream(stream);
      user?.reset(ERROR.REFUSED_STREAM);
    }
    this.#endIfDone();
  }

  protected override onLost(): void {
    this.#cancelPing();
    this.#refuseQueue();
    for (const run of this.#onEnd) run();
  }

  #hasRoom(): boolean {
    return this.openStreams < this.#streamLimit && this.#queue.size === 0;
  }

  /** Before the server has said what it takes, nothing is begun: it might be refused, or too much at once. */
  get #streamLimit(): number {
    return this.hasSettings ? this.#maxStreams : 0;
  }

  #open(call: ClientCall): void {
    const id = this.#nextId;
    this.#nextId += 2;
    if (this.#nextId > MAX_31) this.#closing = true;
    const stream: Http2Stream = this.open(id);
    stream.user = call;
    call.start(stream);
  }

  /** Begins what waits, as far as the server takes it. */
  #fill(): void {
    if (this.failed) return this.#refuseQueue();
    for (const call of this.#queue) {
      if (this.openStreams >= this.#streamLimit || this.#nextId > MAX_31) break;
      this.#queue.delete(call);
      this.#open(call);
    }
    if (this.#nextId > MAX_31) this.#refuseQueue();
  }

  #refuseQueue(): void {
    const refused = [...this.#queue];
    this.#queue.clear();
    for (const call of refused) call.reset(ERROR.REFUSED_STREAM);
  }

  #endIfDone(): void {
    if (this.openStreams > 0 || this.#queue.size > 0 || this.failed) return;
    this.frames.goAway(0, ERROR.NO_ERROR);
    this.finish();
  }

  #waitForSilence(keepAlive: KeepAlive): void {
    this.#heard = false;
    this.#cancelPing = this.clock.after(keepAlive.afterMs, () => {
      if (this.#heard) return this.#waitForSilence(keepAlive);
      this.frames.ping();
      this.#cancelPing = this.clock.after(keepAlive.timeoutMs, () => {
        if (this.#heard) this.#waitForSilence(keepAlive);
        else this.destroy();
      });
    });
  }
}

/**
 * Connects to a server, with TLS where the address says how. Rejects with an Error whose `code` is the errno,
 * or which says why the server is not the one that was asked for, or speaks no HTTP/2.
 */
export async function connectHttp2(
  network: Network,
  address: Parameters<Network["connect"]>[0],
  options: Omit<ClientOptions, "socket">,
): Promise<ClientConnection> {
  const socket = await network.connect(address);
  if (address.tls !== undefined && socket.alpnProtocol !== "h2") {
    socket.destroy();
    throw new Error(`Cannot connect to ${address.host}:${address.port}: no HTTP/2 over TLS`);
  }
  return new ClientConnection({ ...options, socket });
}
