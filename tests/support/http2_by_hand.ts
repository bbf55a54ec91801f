/**
 * An HTTP/2 client by hand, which sends a body cut as a test wants it and keeps every part of the answer
 * apart. Unlike raw_http2.ts, where frames are read one by one, it takes whole answers.
 * @module
 */
import { HpackDecoder } from "../../src/rpc/http2/mod.ts";
import { RawClient } from "./raw_http.ts";
import {
  DATA,
  END_HEADERS,
  END_STREAM,
  frame,
  GOAWAY,
  headerBlock,
  HEADERS,
  nextFrame,
  PREFACE,
  RST_STREAM,
  SETTINGS,
} from "./raw_http2.ts";

const PING = 6;
const WINDOW_UPDATE = 8;
const ACK = 1;
const PADDED = 8;

/** One field after the other, in order. */
export type Fields = readonly (readonly [string, string])[];

/** A whole answer, part by part. */
export interface Http2Answer {
  readonly header: Fields;
  readonly body: Uint8Array;
  readonly trailer: Fields;
}

/** What a body is cut into. */
export interface Piece {
  readonly bytes: Uint8Array;
  /** Bytes of padding; undefined: the frame has no field for it. */
  readonly padding?: number;
}

interface Waiting {
  header: Fields | undefined;
  chunks: Uint8Array[];
  trailer: Fields;
  readonly done: PromiseWithResolvers<Http2Answer>;
}

/** One connection; its streams are independent of each other. */
export class Http2Peer {
  readonly #client: RawClient;
  readonly #decoder = new HpackDecoder({ maxListBytes: 65_536, maxTableBytes: 4096 });
  readonly #streams = new Map<number, Waiting>();
  #nextId = 1;
  /** What the server lets us send on the connection, and on each stream. */
  #window = 65_535;
  #initialWindow = 65_535;
  readonly #windows = new Map<number, number>();
  #wake: (() => void) | undefined;
  readonly #reading: Promise<void>;

  private constructor(client: RawClient) {
    this.#client = client;
    // Its end is no news to those who wait for nothing.
    this.#reading = this.#read().catch((error) => {
      for (const { done } of this.#streams.values()) done.reject(error);
      this.#streams.clear();
      this.#wake?.();
    });
  }

  /** Connects. The server may send as much as it likes. */
  static async open(port: number): Promise<Http2Peer> {
    const client = await RawClient.open(port);
    const peer = new Http2Peer(client);
    await client.send(PREFACE);
    // INITIAL_WINDOW_SIZE (4) of streams, and as much for the connection.
    await client.send(frame(SETTINGS, 0, 0, Uint8Array.of(0, 4, 0x7f, 0xff, 0xff, 0xff)));
    await client.send(frame(WINDOW_UPDATE, 0, 0, Uint8Array.of(0x7f, 0, 0, 0)));
    return peer;
  }

  /** Sends a request's head. @returns its stream */
  begin(fields: Fields, end = false): number {
    const id = this.#nextId;
    this.#nextId += 2;
    this.#streams.set(id, {
      header: undefined,
      chunks: [],
      trailer: [],
      done: Promise.withResolvers(),
    });
    this.#windows.set(id, this.#initialWindow);
    // A failure is for those who ask for the answer.
    this.#streams.get(id)?.done.promise.catch(() => {});
    void this.#client.send(
      frame(HEADERS, END_HEADERS | (end ? END_STREAM : 0), id, headerBlock(fields)),
    );
    return id;
  }

  /** Sends pieces of a body, each in a frame of its own, as the windows allow. */
  async body(id: number, pieces: readonly Piece[], end = true): Promise<void> {
    for (const [i, { bytes, padding }] of pieces.entries()) {
      const payload = padding === undefined ? bytes : new Uint8Array(1 + bytes.length + padding);
      if (padding !== undefined) {
        payload[0] = padding;
        payload.set(bytes, 1);
      }
      await this.#room(id, payload.length);
      // Answered in full already: nobody reads what would follow.
      if (!this.#streams.has(id)) return;
      const flags = (padding === undefined ? 0 : PADDED) |
        (end && i === pieces.length - 1 ? END_STREAM : 0);
      await this.#client.send(frame(DATA, flags, id, payload));
    }
  }

  /** The whole answer on a stream. Rejects when the connection ends before it, or the stream is reset. */
  answer(id: number): Promise<Http2Answer> {
    const waiting = this.#streams.get(id);
    if (waiting === undefined) throw new Error(`nobody waits on stream ${id}`);
    return waiting.done.promise.finally(() => this.#streams.delete(id));
  }

  /** A request with its body in one piece of at most 16 KiB a frame, and its answer. */
  async call(fields: Fields, body: Uint8Array): Promise<Http2Answer> {
    if (body.length === 0) return await this.answer(this.begin(fields, true));
    const id = this.begin(fields);
    const answer = this.answer(id);
    const pieces: Piece[] = [];
    for (let at = 0; at < body.length; at += 16_384) {
      pieces.push({ bytes: body.subarray(at, at + 16_384) });
    }
    await this.body(id, pieces);
    return await answer;
  }

  /** Gives a stream up. */
  cancel(id: number): Promise<void> {
    return this.#client.send(frame(RST_STREAM, 0, id, Uint8Array.of(0, 0, 0, 8)));
  }

  /** Bytes as they are. */
  send(bytes: Uint8Array): Promise<void> {
    return this.#client.send(bytes);
  }

  /** Cuts the connection. */
  async close(): Promise<void> {
    await this.#client.close();
    await this.#reading;
  }

  async #room(id: number, bytes: number): Promise<void> {
    const has = () => Math.min(this.#window, this.#windows.get(id) ?? Infinity) >= bytes;
    while (!has() && this.#streams.has(id)) {
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    this.#window -= bytes;
    const own = this.#windows.get(id);
    if (own !== undefined) this.#windows.set(id, own - bytes);
  }

  async #read(): Promise<void> {
    for (;;) {
      const { type, flags, stream, payload } = await nextFrame(this.#client);
      const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
      if (type === SETTINGS && (flags & ACK) === 0) {
        for (let at = 0; at < payload.length; at += 6) {
          if (view.getUint16(at) === 4) this.#setInitialWindow(view.getUint32(at + 2));
        }
        await this.#client.send(frame(SETTINGS, ACK, 0));
      } else if (type === PING && (flags & ACK) === 0) {
        await this.#client.send(frame(PING, ACK, 0, payload));
      } else if (type === WINDOW_UPDATE) {
        const by = view.getUint32(0);
        if (stream === 0) this.#window += by;
        else this.#windows.set(stream, (this.#windows.get(stream) ?? 0) + by);
        this.#wake?.();
      } else if (type === GOAWAY && view.getUint32(4) !== 0) {
        throw new Error(`the server ended the connection with code ${view.getUint32(4)}`);
      } else if (type === HEADERS || type === DATA || type === RST_STREAM) {
        this.#take(type, flags, stream, payload);
      }
    }
  }

  #setInitialWindow(bytes: number): void {
    for (const [id, window] of this.#windows) {
      this.#windows.set(id, window + bytes - this.#initialWindow);
    }
    this.#initialWindow = bytes;
    this.#wake?.();
  }

  #take(type: number, flags: number, stream: number, payload: Uint8Array): void {
    // The table follows every block, also one that nobody waits for.
    const fields = type === HEADERS
      ? pairs(this.#decoder.decode(payload, 0, payload.length).headers)
      : [];
    const waiting = this.#streams.get(stream);
    if (waiting === undefined) return;
    if (type === RST_STREAM) {
      const code = new DataView(payload.buffer, payload.byteOffset).getUint32(0);
      waiting.done.reject(new Error(`the stream was reset with code ${code}`));
      this.#end(stream);
      return;
    }
    if (type === DATA) waiting.chunks.push(payload);
    else if (waiting.header === undefined) waiting.header = fields;
    else waiting.trailer = fields;
    if ((flags & END_STREAM) === 0) return;
    waiting.done.resolve({
      header: waiting.header ?? [],
      body: joined(waiting.chunks),
      trailer: waiting.trailer,
    });
    this.#end(stream);
  }

  #end(stream: number): void {
    this.#streams.delete(stream);
    this.#windows.delete(stream);
    this.#wake?.();
  }
}

function pairs(list: readonly string[]): Fields {
  return Array.from({ length: list.length / 2 }, (_, i) => [list[2 * i], list[2 * i + 1]]);
}

/** Pieces in one. */
export function joined(pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

/** The head of a POST. */
export function postFields(path: string, headers: Record<string, string>): Fields {
  return [
    [":method", "POST"],
    [":scheme", "http"],
    [":path", path],
    [":authority", "localhost"],
    ...Object.entries(headers),
  ];
}
