/**
 * Writes frames to where they go out from: the counterpart of `frame_reader.ts`. Its encoder is the only one of
 * the connection, since what the peer knows of header lists depends on all that went before.
 * @module
 */
import {
  FLAG,
  FRAME,
  FRAME_HEADER_BYTES,
  MAX_FRAME_BYTES,
  writeFrameHeader,
  writeUint32,
} from "./frames.ts";
import type { HeaderList } from "./hpack_decoder.ts";
import { HpackEncoder } from "./hpack_encoder.ts";
import type { Output } from "./output.ts";
import { encodeSettings } from "./settings.ts";

/** The payload of a PING. */
export const PING_BYTES = 8;

/** The frames of one connection. */
export class FrameWriter {
  readonly #output: Output;
  readonly #encoder = new HpackEncoder();
  /** Blocks of {@link answer}, with the encoder's generation for which they hold. */
  readonly #blocks = new Map<HeaderList, { generation: number; bytes: Uint8Array }>();
  #stopped = false;

  constructor(output: Output) {
    this.#output = output;
  }

  /** Writes nothing any more. */
  stop(): void {
    this.#stopped = true;
  }

  /** What the peer keeps of header lists, at most. */
  setMaxTableBytes(bytes: number): void {
    this.#encoder.setMaxTableBytes(bytes);
  }

  /** A header list, in as many frames as it takes. */
  headers(streamId: number, headers: HeaderList, end: boolean): void {
    if (this.#stopped) return;
    const bound = blockBound(headers);
    if (bound <= MAX_FRAME_BYTES) return this.#block(streamId, headers, end, bound);
    const block = new Uint8Array(bound);
    const length = this.#encoder.encode(headers, block, 0);
    for (let from = 0; from === 0 || from < length; from += MAX_FRAME_BYTES) {
      const piece = block.subarray(from, Math.min(length, from + MAX_FRAME_BYTES));
      const last = from + MAX_FRAME_BYTES >= length ? FLAG.END_HEADERS : 0;
      if (from > 0) this.#frame(FRAME.CONTINUATION, last, streamId, piece);
      else this.#frame(FRAME.HEADERS, last | (end ? FLAG.END_STREAM : 0), streamId, piece);
    }
  }

  data(streamId: number, bytes: Uint8Array, end: boolean): void {
    this.#frame(FRAME.DATA, end ? FLAG.END_STREAM : 0, streamId, bytes);
  }

  /**
   * A whole answer: headers, one DATA frame, trailers. Both lists are ones that are sent again and again.
   * @param bound  bytes of DATA at most, which fit into a frame
   * @param write  writes them at a place and returns the end
   * @returns bytes of DATA
   */
  answer(
    streamId: number,
    headers: HeaderList,
    trailers: HeaderList,
    bound: number,
    write: (into: Uint8Array, at: number) => number,
  ): number {
    const head = this.#repeated(headers);
    const tail = this.#repeated(trailers);
    const most = 3 * FRAME_HEADER_BYTES + head.length + bound + tail.length;
    const start = this.#output.reserve(most);
    const bytes = this.#output.buffer;
    let at = writeFrameHeader(bytes, start, head.length, FRAME.HEADERS, FLAG.END_HEADERS, streamId);
    bytes.set(head, at);
    const data = at + head.length;
    at = write(bytes, data + FRAME_HEADER_BYTES);
    const length = at - data - FRAME_HEADER_BYTES;
    writeFrameHeader(bytes, data, length, FRAME.DATA, 0, streamId);
    const last = FLAG.END_HEADERS | FLAG.END_STREAM;
    at = writeFrameHeader(bytes, at, tail.length, FRAME.HEADERS, last, streamId);
    bytes.set(tail, at);
    this.#output.shrink(start + most - at - tail.length);
    return length;
  }

  settings(settings: readonly (readonly [id: number, value: number])[]): void {
    this.#frame(FRAME.SETTINGS, 0, 0, encodeSettings(settings));
  }

  settingsAck(): void {
    this.#frame(FRAME.SETTINGS, FLAG.ACK, 0, NO_BYTES);
  }

  /** A PING with an opaque number. */
  ping(): void {
    this.#frame(FRAME.PING, 0, 0, new Uint8Array(PING_BYTES));
  }

  /** @param payload  that of the PING */
  pingAck(payload: Uint8Array): void {
    this.#frame(FRAME.PING, FLAG.ACK, 0, payload);
  }

  /** @param debug  for people */
  goAway(lastStreamId: number, code: number, debug = ""): void {
    const text = new TextEncoder().encode(debug);
    const payload = new Uint8Array(8 + text.length);
    writeUint32(payload, 0, lastStreamId);
    writeUint32(payload, 4, code);
    payload.set(text, 8);
    this.#frame(FRAME.GOAWAY, 0, 0, payload);
  }

  /** @param streamId  0: of the connection */
  windowUpdate(streamId: number, increment: number): void {
    this.#number(FRAME.WINDOW_UPDATE, streamId, increment);
  }

  reset(streamId: number, code: number): void {
    this.#number(FRAME.RST_STREAM, streamId, code);
  }

  #block(streamId: number, headers: HeaderList, end: boolean, bound: number): void {
    const at = this.#output.reserve(FRAME_HEADER_BYTES + bound);
    const bytes = this.#output.buffer;
    const from = at + FRAME_HEADER_BYTES;
    const to = this.#encoder.encode(headers, bytes, from);
    const flags = FLAG.END_HEADERS | (end ? FLAG.END_STREAM : 0);
    writeFrameHeader(bytes, at, to - from, FRAME.HEADERS, flags, streamId);
    this.#output.shrink(bound - (to - from));
  }

  /** A header block that is sent again and again, encoded once. */
  #repeated(headers: HeaderList): Uint8Array {
    const encoder = this.#encoder;
    const known = this.#blocks.get(headers);
    if (known !== undefined && known.generation === encoder.generation) return known.bytes;
    const { generation } = encoder;
    const bytes = new Uint8Array(blockBound(headers));
    const block = bytes.subarray(0, encoder.encode(headers, bytes, 0));
    // One that has made entries would make them again.
    if (encoder.generation === generation) this.#blocks.set(headers, { generation, bytes: block });
    return block;
  }

  #frame(type: number, flags: number, streamId: number, payload: Uint8Array): void {
    if (this.#stopped) return;
    const at = this.#output.reserve(FRAME_HEADER_BYTES + payload.length);
    const bytes = this.#output.buffer;
    bytes.set(payload, writeFrameHeader(bytes, at, payload.length, type, flags, streamId));
  }

  /** A frame whose payload is 32 bits. */
  #number(type: number, streamId: number, value: number): void {
    if (this.#stopped) return;
    const at = this.#output.reserve(FRAME_HEADER_BYTES + 4);
    const bytes = this.#output.buffer;
    writeUint32(bytes, writeFrameHeader(bytes, at, 4, type, 0, streamId), value);
  }
}

const NO_BYTES = new Uint8Array(0);

/** The most bytes that a header list can take: literals with their lengths, and size updates. */
function blockBound(headers: HeaderList): number {
  let bound = 16;
  for (const text of headers) bound += text.length + 8;
  return bound;
}
