/**
 * An HTTP/2 client that is nothing but a model: it sends the frames that a test wants, keeps the books of
 * both directions on its own, and fails the test when the server sends what it must not. All in one
 * thread and without a socket: `exchange()` carries everything over, both ways, until nobody has anything to say.
 * @module
 */
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import {
  HpackDecoder,
  HpackEncoder,
  type Http2Limits,
  OutputBuffers,
  type RequestHead,
  ServerConnection,
  type ServerHandler,
  type StreamUser,
} from "../../src/rpc/http2/mod.ts";
import type { Http2Stream } from "../../src/rpc/http2/mod.ts";
import { type Connection, SimClock } from "../../src/runtime/mod.ts";
import { frame } from "./raw_http2.ts";

/** Limits that no test meets by accident. */
export const WIDE_LIMITS: Http2Limits = {
  maxConcurrentStreams: 100,
  maxHeaderBytes: 16 * 1024,
  streamWindowBytes: 65_535,
  connectionWindowBytes: 65_535,
  resets: { burst: 1e9, perSecond: 0 },
  overhead: { burst: 1e9, perSecond: 0 },
  headerBlockMs: 10_000,
  holdQueuedBytes: 1e9,
  maxQueuedBytes: 1e9,
};

/** The outgoing half of a socket that a test holds in its hand. */
export class FakeSocket extends EventEmitter {
  /** What was written and not taken yet. */
  readonly written: { bytes: Uint8Array; done: () => void }[] = [];
  ended = false;
  destroyed = false;
  paused = false;
  #onEnd: (() => void) | undefined;

  write(bytes: Uint8Array, done: () => void): boolean {
    assert.ok(!this.ended, "nothing is written after the end");
    this.written.push({ bytes, done });
    return true;
  }

  end(done?: () => void): void {
    this.ended = true;
    this.#onEnd = done;
  }

  destroy(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    for (const { done } of this.written.splice(0)) done();
    this.emit("close");
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
  }

  /** Takes the next write; undefined when there is none. Its memory may be used again after this. */
  take(): Uint8Array | undefined {
    const next = this.written.shift();
    if (next === undefined) {
      if (this.ended) this.#onEnd?.();
      this.#onEnd = undefined;
      return undefined;
    }
    const copy = next.bytes.slice();
    // Whoever still looks at a buffer that was given back sees this.
    next.bytes.fill(0xee);
    next.done();
    return copy;
  }
}

/** A stream as the peer sees it. */
export interface PeerStream {
  headers: readonly string[] | undefined;
  trailers: readonly string[] | undefined;
  readonly body: Uint8Array[];
  ended: boolean;
  /** The code of RST_STREAM. */
  reset: number | undefined;
  /** Bytes that the server may send. */
  granted: number;
  /** Bytes that we may send. */
  maySend: number;
}

/** A frame as it came. */
export interface PeerFrame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Uint8Array;
}

/** How a peer is made. */
export interface PeerOptions {
  readonly limits?: Partial<Http2Limits>;
  readonly handler?: Partial<ServerHandler>;
  /** SETTINGS_INITIAL_WINDOW_SIZE that the peer names. */
  readonly windowBytes?: number;
  readonly onFailure?: (error: unknown) => void;
  readonly onQueued?: (bytes: number) => void;
  /** False where a test sends SETTINGS and WINDOW_UPDATE past {@link Peer}'s own methods. */
  readonly booksKept?: boolean;
}

/** A user that keeps what comes. */
export class Collector implements StreamUser {
  readonly body: Uint8Array[] = [];
  ended = false;
  trailers: readonly string[] | undefined;
  resetCode: number | undefined;
  drains = 0;

  /** @param eager  whether it takes what comes at once */
  constructor(readonly stream: Http2Stream, readonly head: RequestHead, readonly eager = true) {}

  data(bytes: Uint8Array, end: boolean): void {
    this.body.push(bytes);
    this.ended ||= end;
    if (this.eager) this.stream.consumed(bytes.length);
  }

  headers(headers: readonly string[], end: boolean): void {
    this.trailers = headers;
    this.ended ||= end;
  }

  reset(code: number): void {
    assert.equal(this.resetCode, undefined, "a stream ends once");
    this.resetCode = code;
  }

  drained(): void {
    this.drains++;
  }
}

/** See the module. */
export class Peer {
  readonly clock = new SimClock();
  readonly socket = new FakeSocket();
  readonly connection: ServerConnection;
  /** What the server's handler was given, by stream. */
  readonly users = new Map<number, Collector>();
  readonly streams = new Map<number, PeerStream>();
  /** All frames of the server, in order. */
  readonly frames: PeerFrame[] = [];
  readonly encoder = new HpackEncoder();
  readonly failures: unknown[] = [];
  goAway: { last: number; code: number; debug: string } | undefined;
  /** Bytes that the server may send on the connection, and that we may. */
  granted = 65_535;
  maySend = 65_535;
  serverWindowBytes = 65_535;
  readonly #booksKept: boolean;
  #windowBytes: number;
  readonly #decoder = new HpackDecoder({ maxTableBytes: 4096, maxListBytes: 1 << 20 });
  #bytes = new Uint8Array(0);
  #block: { stream: number; parts: number[]; end: boolean } | undefined;

  constructor(peerOptions: PeerOptions = {}) {
    const { limits, handler, windowBytes, onFailure, onQueued } = peerOptions;
    this.#booksKept = peerOptions.booksKept ?? true;
    this.#windowBytes = windowBytes ?? 65_535;
    const options = {
      socket: this.socket as unknown as Connection,
      clock: this.clock,
      limits: { ...WIDE_LIMITS, ...limits },
      buffers: new OutputBuffers(),
      onFailure: (error: unknown) => {
        this.failures.push(error);
        onFailure?.(error);
      },
      onQueued: onQueued ?? (() => {}),
    };
    this.connection = new ServerConnection(options, {
      open: (stream, head) => {
        const user = new Collector(stream, head);
        this.users.set(stream.id, user);
        return user;
      },
      refuse: (stream) => stream.sendHeaders([":status", "431"], true),
      ended: () => {},
      ...handler,
    });
    const settings = windowBytes === undefined ? [] : [0, 4, ...uint32(windowBytes)];
    this.send(frame(4, 0, 0, Uint8Array.from(settings)));
  }

  /** Hands the server these bytes. */
  send(...chunks: Uint8Array[]): void {
    for (const chunk of chunks) this.connection.receive(chunk);
  }

  /** Hands over everything that waits, until nothing does. */
  exchange(): void {
    for (;;) {
      this.connection.output.flush();
      const bytes = this.socket.take();
      if (bytes === undefined) return;
      this.#read(bytes);
    }
  }

  /** A header block of our encoder, which has a table. */
  block(headers: readonly string[]): Uint8Array {
    const into = new Uint8Array(64 * 1024);
    return into.slice(0, this.encoder.encode(headers, into, 0));
  }

  /** A request's HEADERS. */
  request(stream: number, end: boolean, extra: readonly string[] = [], path = "/x"): Uint8Array {
    const method = end ? "GET" : "POST";
    const headers = [":method", method, ":scheme", "http", ":path", path, ":authority", "a"];
    return frame(1, 4 | (end ? 1 : 0), stream, this.block([...headers, ...extra]));
  }

  /** What the peer knows of a stream. */
  streamOf(id: number): PeerStream {
    let stream = this.streams.get(id);
    if (stream === undefined) {
      stream = {
        headers: undefined,
        trailers: undefined,
        body: [],
        ended: false,
        reset: undefined,
        granted: this.#windowBytes,
        maySend: this.serverWindowBytes,
      };
      this.streams.set(id, stream);
    }
    return stream;
  }

  /** Lets the server send more; 0: on the connection. */
  grant(stream: number, bytes: number): void {
    if (stream === 0) this.granted += bytes;
    else this.streamOf(stream).granted += bytes;
    this.send(frame(8, 0, stream, Uint8Array.from(uint32(bytes))));
  }

  /** Changes the window of all streams. What the server has sent under the old one is taken first. */
  setWindow(bytes: number): void {
    this.exchange();
    const change = bytes - this.#windowBytes;
    this.#windowBytes = bytes;
    for (const stream of this.streams.values()) stream.granted += change;
    this.send(frame(4, 0, 0, Uint8Array.from([0, 4, ...uint32(bytes)])));
  }

  /** The frames of one type that have come. */
  of(type: number): PeerFrame[] {
    return this.frames.filter((each) => each.type === type);
  }

  #read(bytes: Uint8Array): void {
    const all = new Uint8Array(this.#bytes.length + bytes.length);
    all.set(this.#bytes);
    all.set(bytes, this.#bytes.length);
    let at = 0;
    while (all.length - at >= 9) {
      const length = all[at] << 16 | all[at + 1] << 8 | all[at + 2];
      if (all.length - at < 9 + length) break;
      const view = new DataView(all.buffer, at);
      const payload = all.slice(at + 9, at + 9 + length);
      this.#take({ type: all[at + 3], flags: all[at + 4], stream: view.getUint32(5), payload });
      at += 9 + length;
    }
    this.#bytes = all.slice(at);
  }

  #take(found: PeerFrame): void {
    const { type, flags, stream: id, payload } = found;
    this.frames.push(found);
    assert.ok(payload.length <= 16_384, "frames are of the size that everybody takes");
    assert.ok(this.#block === undefined || type === 9, "a header block is not interrupted");
    switch (type) {
      case 0: {
        const stream = this.#open(id);
        assert.ok(stream.headers !== undefined, "DATA comes after HEADERS");
        stream.granted -= payload.length;
        this.granted -= payload.length;
        if (payload.length > 0 && this.#booksKept) {
          assert.ok(stream.granted >= 0, `stream ${id} overran its window by ${-stream.granted}`);
          assert.ok(this.granted >= 0, `the connection's window was overrun by ${-this.granted}`);
        }
        stream.body.push(payload);
        stream.ended = (flags & 1) !== 0;
        break;
      }
      case 1:
        this.#open(id);
        this.#block = { stream: id, parts: [...payload], end: (flags & 1) !== 0 };
        if ((flags & 4) !== 0) this.#headers();
        break;
      case 9:
        assert.equal(this.#block?.stream, id);
        this.#block?.parts.push(...payload);
        if ((flags & 4) !== 0) this.#headers();
        break;
      case 3: {
        const stream = this.streamOf(id);
        assert.equal(stream.reset, undefined, "a stream is reset once");
        stream.reset = uint32At(payload, 0);
        break;
      }
      case 4:
        assert.equal(id, 0);
        if ((flags & 1) === 0) this.#settings(payload);
        break;
      case 7:
        this.goAway = {
          last: uint32At(payload, 0),
          code: uint32At(payload, 4),
          debug: new TextDecoder().decode(payload.subarray(8)),
        };
        break;
      case 8: {
        const increment = uint32At(payload, 0);
        assert.ok(increment > 0 && increment < 2 ** 31);
        if (id === 0) this.maySend += increment;
        else this.streamOf(id).maySend += increment;
        assert.ok(this.maySend < 2 ** 31 && (id === 0 || this.streamOf(id).maySend < 2 ** 31));
      }
    }
  }

  /** A stream that the server may still send on. */
  #open(id: number): PeerStream {
    assert.equal(id % 2, 1);
    const stream = this.streamOf(id);
    assert.ok(!stream.ended, `stream ${id} has ended`);
    assert.equal(stream.reset, undefined, `stream ${id} was reset`);
    return stream;
  }

  #headers(): void {
    const { stream: id, parts, end } = this.#block!;
    this.#block = undefined;
    const { headers, tooLarge } = this.#decoder.decode(Uint8Array.from(parts), 0, parts.length);
    assert.ok(!tooLarge);
    const stream = this.streamOf(id);
    if (stream.headers === undefined) stream.headers = headers;
    else {
      assert.ok(end, "trailers end a stream");
      stream.trailers = headers;
    }
    stream.ended = end;
  }

  #settings(payload: Uint8Array): void {
    for (let at = 0; at < payload.length; at += 6) {
      if (payload[at + 1] !== 4) continue;
      const bytes = uint32At(payload, at + 2);
      for (const stream of this.streams.values()) stream.maySend += bytes - this.serverWindowBytes;
      this.serverWindowBytes = bytes;
    }
  }
}

/** Four bytes, the highest first. */
export function uint32(value: number): number[] {
  return [value >>> 24, value >>> 16 & 0xff, value >>> 8 & 0xff, value & 0xff];
}

/** All pieces in one. */
export function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}

function uint32At(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(at);
}
