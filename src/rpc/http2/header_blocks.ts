/**
 * Header blocks: what a HEADERS frame and its CONTINUATIONs bring, gathered, bounded and decoded.
 *
 *     HEADERS, END_HEADERS ──────────────────────────────────────► decoder ─► onHeaders
 *     HEADERS ─► copied ─► CONTINUATION ... CONTINUATION, END_HEADERS ──┘
 *
 * A block is decoded whatever becomes of its stream: the decoder's table belongs to the connection.
 * @module
 */
import { ByteWriter } from "../../model/mod.ts";
import type { Cancel, Clock } from "../../runtime/mod.ts";
import { AbuseError, ERROR, FLAG, Http2Error, paddingOf, readUint31 } from "./frames.ts";
import type { HeaderList, HpackDecoder } from "./hpack_decoder.ts";

/** What blocks are read with. */
export interface HeaderBlocksOptions {
  readonly clock: Clock;
  readonly decoder: HpackDecoder;
  /** Bytes of one block, while it is gathered. */
  readonly maxBytes: number;
  /** Time in ms for a block to come to its end, from its HEADERS on. */
  readonly endMs: number;
  /** A block has not come to its end in time. */
  readonly onLate: () => void;
  /** A block was decoded. */
  readonly onHeaders: (
    streamId: number,
    headers: HeaderList,
    end: boolean,
    tooLarge: boolean,
  ) => void;
}

/** A block that has not come to its end. */
interface Unfinished {
  readonly bytes: ByteWriter;
  /** How many frames. */
  frames: number;
  readonly end: boolean;
  readonly selfDependent: boolean;
}

/** CONTINUATION frames of one header block (CVE-2024-27983). */
const MAX_CONTINUATIONS = 32;

/** The header blocks of one connection's peer. */
export class HeaderBlocks {
  /** Whose block has not come to its end: nothing else may come before that. 0: nobody's. */
  streamId = 0;
  readonly #options: HeaderBlocksOptions;
  #block: Unfinished | undefined;
  /** Stops the wait for the end. */
  #cancel: Cancel = () => {};

  constructor(options: HeaderBlocksOptions) {
    this.#options = options;
  }

  /** Stops waiting for the end of a block. */
  stop(): void {
    this.#cancel();
  }

  /** Takes a HEADERS frame. */
  headers(flags: number, streamId: number, bytes: Uint8Array, start: number, end: number): void {
    let from = start;
    let to = end;
    if ((flags & FLAG.PADDED) !== 0) {
      to -= paddingOf(bytes, start, end);
      from++;
    }
    let selfDependent = false;
    if ((flags & FLAG.PRIORITY) !== 0) {
      if (to - from < 5) {
        throw new Http2Error(ERROR.FRAME_SIZE_ERROR, "HEADERS too short for its priority");
      }
      selfDependent = readUint31(bytes, from) === streamId;
      from += 5;
    }
    const isEnd = (flags & FLAG.END_STREAM) !== 0;
    if ((flags & FLAG.END_HEADERS) !== 0) {
      return this.#decode(streamId, bytes, from, to, isEnd, selfDependent);
    }
    // Copied: a few bytes would hold the whole chunk that they came in.
    const copy = new ByteWriter().raw(bytes.subarray(from, to));
    this.streamId = streamId;
    this.#block = { bytes: copy, frames: 1, end: isEnd, selfDependent };
    const { clock, endMs, onLate } = this.#options;
    this.#cancel = clock.after(endMs, onLate);
  }

  /** Takes a CONTINUATION frame of {@link streamId}. */
  continuation(flags: number, bytes: Uint8Array, start: number, end: number): void {
    const block = this.#block;
    if (block === undefined) {
      throw new Http2Error(ERROR.PROTOCOL_ERROR, "CONTINUATION without HEADERS");
    }
    block.bytes.raw(bytes.subarray(start, end));
    block.frames++;
    const isTooLarge = block.bytes.length > this.#options.maxBytes;
    if (isTooLarge || block.frames > MAX_CONTINUATIONS + 1) {
      throw new AbuseError("continuation");
    }
    if ((flags & FLAG.END_HEADERS) === 0) return;
    const { streamId } = this;
    this.#block = undefined;
    this.streamId = 0;
    this.#cancel();
    const whole = block.bytes.view();
    this.#decode(streamId, whole, 0, whole.length, block.end, block.selfDependent);
  }

  #decode(
    streamId: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    isEnd: boolean,
    selfDependent: boolean,
  ): void {
    const { headers, tooLarge } = this.#options.decoder.decode(bytes, start, end);
    if (selfDependent) {
      throw new Http2Error(ERROR.PROTOCOL_ERROR, "a stream depends on itself", streamId);
    }
    this.#options.onHeaders(streamId, headers, isEnd, tooLarge);
  }
}
