/**
 * One HTTP/2 connection: what server and client have in common.
 *
 *     socket ─► FrameReader ─► #frame ─┬─► settings, ping, goaway, windows: handled here
 *                                      ├─► HEADERS ─► HeaderBlocks ─► onHeaders (server or client)
 *                                      └─► DATA, RST_STREAM ─► stream's user
 *     socket ◄─ Output ◄─ FrameWriter ◄─ frames of streams, as windows and the socket allow
 *
 * A peer's fault in one stream resets it; a fault in what all streams share ends the connection, with a
 * GOAWAY that says why (RFC 9113, section 5.4).
 * @module
 */
import type { Cancel, Clock, Connection, PeerCertificate } from "../../runtime/mod.ts";
import { Budget, type BudgetLimits } from "./budget.ts";
import { ClosedStreams } from "./closed_streams.ts";
import { ReceiveWindow, SendWindow } from "./flow_control.ts";
import { FrameReader } from "./frame_reader.ts";
import { FrameWriter, PING_BYTES } from "./frame_writer.ts";
import {
  AbuseError,
  ERROR,
  FLAG,
  FRAME,
  Http2Error,
  MAX_FRAME_BYTES,
  paddingOf,
  readUint31,
  readUint32,
} from "./frames.ts";
import { HeaderBlocks } from "./header_blocks.ts";
import { type HeaderList, HpackDecoder, HpackError } from "./hpack_decoder.ts";
import { Output, type OutputBuffers } from "./output.ts";
import { decodeSettings, DEFAULT_WINDOW_BYTES, SETTING, SETTING_BYTES } from "./settings.ts";
import { Http2Stream, LOST } from "./stream.ts";
import { StreamTable } from "./stream_table.ts";

/** What one connection may take. Sizes in bytes. */
export interface Http2Limits {
  /** Streams that the peer may have open at once. */
  readonly maxConcurrentStreams: number;
  /** One header list, as RFC 9113 section 6.5.2 reckons it. */
  readonly maxHeaderBytes: number;
  /** DATA that the peer may have on its way in one stream. */
  readonly streamWindowBytes: number;
  /** The same for all streams together. */
  readonly connectionWindowBytes: number;
  /**
   * Streams that the peer resets or that are refused, and those that its faults make us reset, each of which
   * counts for ten (CVE-2023-44487, CVE-2025-8671).
   */
  readonly resets: BudgetLimits;
  /** Frames that do nothing for a request: PING, SETTINGS, empty DATA and the like. */
  readonly overhead: BudgetLimits;
  /** Time in ms for a header block to come to its end, from its HEADERS on. */
  readonly headerBlockMs: number;
  /** With more than this waiting for the peer to take it, no further work is begun for it. */
  readonly holdQueuedBytes: number;
  /**
   * Answers that wait for the peer to take them. A stream that adds to more is reset, unless no other has
   * anything waiting: one large answer always passes.
   */
  readonly maxQueuedBytes: number;
}

/** What a connection stands on. */
export interface Http2Options {
  readonly socket: Connection;
  readonly clock: Clock;
  readonly limits: Http2Limits;
  readonly buffers: OutputBuffers;
  /**
   * Told once, when the connection fails.
   * @param error  the peer's fault as an Http2Error; anything else is a defect of ours
   */
  readonly onFailure?: (error: unknown) => void;
  /** Told of each stream that is held up, refused or reset for a limit: `held`, `streams`, `answers`, `headers`. */
  readonly onRefused?: (limit: string) => void;
  /** Told how many bytes more (or, below 0, fewer) wait for the peer to take them. */
  readonly onQueued?: (bytes: number) => void;
}

/** A header block, and the list it makes, are read up to this many times the list's limit, to be able to say that it is too large. */
const BLOCK_FACTOR = 4;
/**
 * Resets that a peer's fault in a stream counts for. Whoever keeps to the protocol makes none, and each costs
 * several times as much as another frame, since it is thrown.
 */
const FAULT_RESETS = 10;
/** Settings in one frame: there are seven kinds, and each may cost a walk through all streams. */
const MAX_SETTINGS = 32;
/** What wanted frames make up for: see {@link Http2Limits.overhead}. */
const EARNED_BY_SENDING = 4;
const EARNED_BY_RECEIVING = 1;
/**
 * A smaller frame of DATA that is a part of a piece makes up for nothing: it is small since the peer grants
 * a few bytes at a time (CVE-2019-9511).
 */
const EARNING_BYTES = 1024;
/** Time for a GOAWAY to arrive before the connection is cut. */
const LAST_WORDS_MS = 250;
/** Time for a peer to take the last of what it is owed, when the connection ends in order. */
const FINISH_MS = 10_000;

/** A connection. Bytes come in by {@link receive}. */
export abstract class Http2Connection {
  readonly output: Output;
  protected readonly frames: FrameWriter;
  protected readonly clock: Clock;
  protected readonly limits: Http2Limits;
  protected readonly streams = new StreamTable<Http2Stream>();
  protected readonly closedStreams = new ClosedStreams();
  protected readonly resets: Budget;
  readonly #socket: Connection;
  readonly #onFailure: Http2Options["onFailure"];
  readonly #onRefused: Http2Options["onRefused"];
  readonly #onQueued: Http2Options["onQueued"];
  readonly #reader: FrameReader;
  readonly #decoder: HpackDecoder;
  readonly #headerBlocks: HeaderBlocks;
  readonly #sendWindow = new SendWindow(DEFAULT_WINDOW_BYTES);
  readonly #receiveWindow: ReceiveWindow;
  readonly #overhead: Budget;
  /** Streams that wait for a window or for the socket, in the order of their turns. */
  readonly #waiting = new Set<Http2Stream>();
  #streamWindow = DEFAULT_WINDOW_BYTES;
  #hasSettings = false;
  #failed = false;
  #gone = false;
  #paused = false;
  #queuedBytes = 0;
  #dataSent = 0;
  #cancelEnd: Cancel = () => {};

  constructor(options: Http2Options) {
    const { socket, clock, limits, buffers } = options;
    this.#socket = socket;
    this.clock = clock;
    this.limits = limits;
    this.#onFailure = options.onFailure;
    this.#onRefused = options.onRefused;
    this.#onQueued = options.onQueued;
    this.output = new Output(socket, buffers, () => this.#onRoom());
    this.frames = new FrameWriter(this.output);
    this.#reader = new FrameReader((...frame) => this.#frame(...frame));
    this.#decoder = new HpackDecoder({
      maxTableBytes: 4096,
      maxListBytes: limits.maxHeaderBytes,
      abortListBytes: limits.maxHeaderBytes * BLOCK_FACTOR,
    });
    this.#headerBlocks = new HeaderBlocks({
      clock,
      decoder: this.#decoder,
      maxBytes: limits.maxHeaderBytes * BLOCK_FACTOR,
      endMs: limits.headerBlockMs,
      onLate: () => this.#fail(new AbuseError("slow_headers")),
      onHeaders: (streamId, headers, end, tooLarge) => {
        this.#overhead.earn(EARNED_BY_RECEIVING);
        this.onHeaders(streamId, headers, end, tooLarge);
      },
    });
    this.#receiveWindow = new ReceiveWindow(limits.connectionWindowBytes);
    const now = clock.monotonicMs();
    this.resets = new Budget(limits.resets, now);
    this.#overhead = new Budget(limits.overhead, now);
    socket.on("close", () => this.#lost());
  }

  /** Whether this is TLS. */
  get secure(): boolean {
    return this.#socket.encrypted === true;
  }

  /** Who is at the other end, by a verified certificate. */
  get peer(): PeerCertificate | undefined {
    return this.#socket.peer;
  }

  /** Streams that are open. */
  get openStreams(): number {
    return this.streams.size;
  }

  /** Whether the connection has ended, or is about to. */
  get failed(): boolean {
    return this.#failed || this.#gone;
  }

  /** Whether the socket is gone. */
  get gone(): boolean {
    return this.#gone;
  }

  /** Whether the peer's SETTINGS have come, which are the rest of its preface. */
  get hasSettings(): boolean {
    return this.#hasSettings;
  }

  /** Bytes of answers that wait for windows or for the socket. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** A figure that changes whenever the peer takes some of what waits for it. */
  get progress(): number {
    return this.#dataSent + this.output.writesDone;
  }

  /** Takes the next bytes of the peer. What they ask for is begun when all of them were looked at. */
  receive(chunk: Uint8Array): void {
    // node:stream resumes a socket a tick after it was taken over, whoever has paused it meanwhile.
    if (this.#paused) this.#socket.pause();
    try {
      // A view of a Buffer is a Buffer again, which costs several times as much as a plain one.
      const bytes = new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length);
      this.#reader.read(bytes, this.#onFrameError);
    } catch (error) {
      this.#fail(error);
    }
    this.onChunkEnd();
    this.#pauseIfFull();
  }

  /** Ends the connection for a limit that is kept outside of it. */
  expel(kind: string): void {
    this.#fail(new AbuseError(kind));
  }

  /** A new stream's headers, or an open one's second ones. */
  protected abstract onHeaders(
    streamId: number,
    headers: HeaderList,
    end: boolean,
    tooLarge: boolean,
  ): void;

  /** Whether no frame may have come for this id yet. */
  protected abstract isIdle(streamId: number): boolean;

  /** The last of the peer's streams that was begun. */
  protected abstract get lastStreamId(): number;

  /** Our END_STREAM was written, and the peer's has not come yet. */
  protected abstract onLocalEnd(stream: Http2Stream): void;

  /** All frames of one chunk were looked at. */
  protected onChunkEnd(): void {}

  /** Less waits for the peer than before. */
  protected onQueueShrunk(): void {}

  /** A stream is gone. */
  protected onStreamGone(): void {}

  /** The socket is gone. */
  protected onLost(): void {}

  /** The peer says that it takes no stream after `lastStreamId`. */
  protected onGoAway(_lastStreamId: number, _code: number): void {}

  /** The peer's answer to a PING of ours. */
  protected onPingAck(): void {}

  /** A setting of the peer that concerns the role. */
  protected onSetting(_id: number, _value: number): void {}

  /** All settings of one frame have been applied. */
  protected onSettings(): void {}

  /** Sends our half of the preface: SETTINGS, and the window of the connection. */
  protected start(settings: readonly (readonly [id: number, value: number])[]): void {
    const { connectionWindowBytes } = this.limits;
    this.frames.settings(settings);
    const increment = connectionWindowBytes - DEFAULT_WINDOW_BYTES;
    if (increment > 0) this.frames.windowUpdate(0, increment);
  }

  /** Makes a stream. Its user is set by who asked for it. */
  protected open(streamId: number): Http2Stream {
    const stream = new Http2Stream(this, streamId, this.#streamWindow);
    this.streams.add(stream);
    return stream;
  }

  // What streams ask of their connection.

  /** Whether this many bytes of a stream may go out at once, in one frame, before all that waits. */
  hasRoom(stream: Http2Stream, bytes: number): boolean {
    return bytes <= MAX_FRAME_BYTES && bytes <= stream.sendWindow.bytes &&
      bytes <= this.#sendWindow.bytes && !this.output.blocked && !stream.waiting;
  }

  /**
   * Writes a whole answer at once: headers, one DATA frame, trailers. The caller has asked {@link hasRoom}.
   * @param bound    bytes of DATA at most
   * @param write    writes them at a place and returns the end
   */
  answer(
    stream: Http2Stream,
    headers: HeaderList,
    trailers: HeaderList,
    bound: number,
    write: (into: Uint8Array, at: number) => number,
  ): void {
    const length = this.frames.answer(stream.id, headers, trailers, bound, write);
    this.sent(stream, length);
    stream.localClosed = true;
    this.endLocal(stream);
  }

  /** Counts DATA that was written past {@link writeData}. */
  protected sent(stream: Http2Stream, bytes: number): void {
    stream.sendWindow.take(bytes);
    this.#sendWindow.take(bytes);
    this.#dataSent += bytes;
    this.#overhead.earn(EARNED_BY_SENDING);
  }

  /** Writes a header list, in as many frames as it takes. */
  writeHeaders(streamId: number, headers: HeaderList, end: boolean): void {
    this.frames.headers(streamId, headers, end);
  }

  /** Writes one DATA frame. The stream has counted it. @param part  whether more of the piece follows */
  writeData(streamId: number, bytes: Uint8Array, end: boolean, part = false): void {
    if (!part || bytes.length >= EARNING_BYTES) this.#overhead.earn(EARNED_BY_SENDING);
    this.#dataSent += bytes.length;
    this.frames.data(streamId, bytes, end);
  }

  /** Sends what a stream has, as far as there is room; the rest waits for its turn. */
  pump(stream: Http2Stream): void {
    while (stream.waiting && this.#writeOne(stream));
    if (stream.waiting) this.#waiting.add(stream);
  }

  /** Counts bytes that wait in a stream's queue, or, below 0, that left it. */
  countQueued(bytes: number): void {
    if (bytes === 0) return;
    this.#queuedBytes += bytes;
    this.#onQueued?.(bytes);
    if (bytes < 0) this.onQueueShrunk();
  }

  /**
   * Whether a stream's bytes may wait for the peer, besides what waits already: one alone always may. Ask before
   * they are made; what is sent nevertheless is dropped, and its stream reset.
   */
  mayQueue(stream: Http2Stream, bytes: number): boolean {
    const others = this.#queuedBytes - stream.queuedBytes;
    return others === 0 || others + bytes <= this.limits.maxQueuedBytes;
  }

  /** Resets a stream whose answer would wait behind too much that waits already. */
  refuseAnswer(stream: Http2Stream): void {
    const { user } = stream;
    this.resetStream(stream, ERROR.ENHANCE_YOUR_CALM);
    this.refused("answers");
    user?.reset(ERROR.ENHANCE_YOUR_CALM);
    // Each was made for nothing, and the client can have as many as it likes.
    if (!this.resets.spend(this.clock.monotonicMs())) this.expel("resets");
  }

  /** Tells the owner of a stream that was held up, refused or reset for a limit. */
  protected refused(limit: string): void {
    this.#onRefused?.(limit);
  }

  /** A stream's END_STREAM was written. */
  endLocal(stream: Http2Stream): void {
    stream.localEnded = true;
    if (stream.remoteClosed) this.#remove(stream, false);
    else this.onLocalEnd(stream);
  }

  /** Lets the peer send more: on the connection by what was consumed, on a stream by what it reckoned. */
  grant(bytes: number, streamId: number, streamIncrement: number): void {
    if (streamIncrement > 0) this.frames.windowUpdate(streamId, streamIncrement);
    const increment = this.#receiveWindow.consume(bytes);
    if (increment > 0) this.frames.windowUpdate(0, increment);
  }

  /** Resets a stream of ours or the peer's. Does nothing to one that is gone. */
  resetStream(stream: Http2Stream, code: number): void {
    if (stream.closed) return;
    this.frames.reset(stream.id, code);
    this.#remove(stream, true);
  }

  /** Removes a stream without a word to the peer, which has never begun it. */
  protected dropStream(stream: Http2Stream): void {
    this.#remove(stream, true);
  }

  /** Ends the connection: GOAWAY with the reason, then the end. Open streams fail. */
  #fail(error: unknown): void {
    if (this.failed) return;
    if (error instanceof HpackError) error = new Http2Error(ERROR.COMPRESSION_ERROR, error.message);
    const { code, message } = error instanceof Http2Error
      ? error
      : { code: ERROR.INTERNAL_ERROR, message: "internal error" };
    this.frames.goAway(this.lastStreamId, code, message);
    this.#failed = true;
    this.#reader.stop();
    this.frames.stop();
    this.#onFailure?.(error);
    this.output.end();
    this.#dropStreams();
    // What an abuser still sends is not even read: it has to wait, and costs us nothing.
    if (error instanceof AbuseError) this.#pause();
    else this.#resume();
    this.#destroySoon();
  }

  /** Ends a connection whose streams have all ended, once the peer has taken what it is owed. */
  protected finish(): void {
    this.#failed = true;
    this.#reader.stop();
    this.frames.stop();
    this.#cancelEnd = this.clock.after(FINISH_MS, () => this.#socket.destroy());
    this.output.end(() => this.#destroySoon());
    this.#resume();
  }

  /** Not at once: a reset could overtake a GOAWAY. */
  #destroySoon(): void {
    this.#cancelEnd();
    this.#headerBlocks.stop();
    if (this.#gone) return;
    this.#cancelEnd = this.clock.after(LAST_WORDS_MS, () => this.#socket.destroy());
  }

  // Reading.

  readonly #onFrameError = (error: unknown): void => {
    if (!(error instanceof Http2Error) || error.streamId === 0) return this.#fail(error);
    try {
      this.#failStream(error);
    } catch (fatal) {
      this.#fail(fatal);
    }
  };

  #failStream({ streamId, code, message }: Http2Error): void {
    const stream = this.streams.get(streamId);
    // Nothing can be said about a stream that was not begun.
    if (stream === undefined && this.isIdle(streamId)) throw new Http2Error(code, message);
    // One RST_STREAM is enough for a stream (RFC 9113, section 5.4.2).
    if (stream !== undefined || !this.closedStreams.wasResetByUs(streamId)) {
      this.frames.reset(streamId, code);
    }
    if (stream === undefined) this.closedStreams.add(streamId, true);
    else {
      const { user } = stream;
      this.#remove(stream, true);
      user?.reset(code);
    }
    this.#countReset(FAULT_RESETS);
  }

  /** Refuses a stream of the peer that was not begun: it may be made again. Thrown would be several times as dear. */
  protected refuseStream(streamId: number): void {
    this.frames.reset(streamId, ERROR.REFUSED_STREAM);
    this.closedStreams.add(streamId, true);
    this.#countReset();
  }

  #countReset(resets = 1): void {
    if (this.resets.spend(this.clock.monotonicMs(), resets)) return;
    throw new AbuseError("resets");
  }

  /** Counts a frame of a stream that is closed. */
  protected countStray(): void {
    this.#countOverhead("closed_stream");
  }

  /** Counts a frame that is of no use to any request. */
  #countOverhead(kind: string): void {
    if (this.#overhead.spend(this.clock.monotonicMs())) return;
    throw new AbuseError(kind);
  }

  /** A peer that asks without taking the answers is not read any more. */
  #pauseIfFull(): void {
    if (!this.failed && this.output.full) this.#pause();
  }

  #pause(): void {
    if (this.#paused || this.#gone) return;
    this.#paused = true;
    this.#socket.pause();
  }

  #resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#socket.resume();
  }

  #onRoom(): void {
    this.#resume();
    this.#pumpAll();
  }

  #frame(
    type: number,
    flags: number,
    streamId: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    const begun = this.#headerBlocks.streamId;
    if (begun !== 0 && (type !== FRAME.CONTINUATION || streamId !== begun)) {
      throw new Http2Error(ERROR.PROTOCOL_ERROR, "a header block was interrupted");
    }
    if (!this.#hasSettings && type !== FRAME.SETTINGS) {
      throw new Http2Error(ERROR.PROTOCOL_ERROR, "the first frame is not SETTINGS");
    }
    switch (type) {
      case FRAME.DATA:
        return this.#data(flags, streamId, bytes, start, end);
      case FRAME.HEADERS:
        needsStream(streamId, "HEADERS");
        return this.#headerBlocks.headers(flags, streamId, bytes, start, end);
      case FRAME.PRIORITY:
        return this.#priority(streamId, bytes, start, end);
      case FRAME.RST_STREAM:
        return this.#rstStream(streamId, bytes, start, end);
      case FRAME.SETTINGS:
        return this.#settings(flags, streamId, bytes, start, end);
      case FRAME.PUSH_PROMISE:
        throw new Http2Error(ERROR.PROTOCOL_ERROR, "PUSH_PROMISE is not wanted");
      case FRAME.PING:
        return this.#ping(flags, streamId, bytes, start, end);
      case FRAME.GOAWAY:
        return this.#goAway(streamId, bytes, start, end);
      case FRAME.WINDOW_UPDATE:
        return this.#windowUpdate(streamId, bytes, start, end);
      case FRAME.CONTINUATION:
        return this.#headerBlocks.continuation(flags, bytes, start, end);
      default:
        // Unknown types are ignored (RFC 9113, section 5.5).
        this.#countOverhead("unknown_frame");
    }
  }

  #data(flags: number, streamId: number, bytes: Uint8Array, start: number, end: number): void {
    needsStream(streamId, "DATA");
    const length = end - start;
    this.#receiveWindow.receive(length, 0);
    let from = start;
    let to = end;
    if ((flags & FLAG.PADDED) !== 0) {
      to -= paddingOf(bytes, start, end);
      from++;
    }
    const isEnd = (flags & FLAG.END_STREAM) !== 0;
    const stream = this.streams.get(streamId);
    if (stream === undefined || stream.remoteClosed) {
      this.grant(length, 0, 0);
      return this.#strayData(streamId, stream);
    }
    stream.receive(length, this.limits.streamWindowBytes);
    if (from === to && !isEnd) this.#countOverhead("empty_data");
    else this.#overhead.earn(EARNED_BY_RECEIVING);
    stream.receivedBytes += to - from;
    if (isEnd) stream.remoteClosed = true;
    checkLength(stream);
    if (length > to - from) stream.consumed(length - (to - from));
    stream.user?.data(bytes.subarray(from, to), isEnd);
    if (isEnd) this.#endRemote(stream);
  }

  /** DATA for a stream that takes none. */
  #strayData(streamId: number, stream: Http2Stream | undefined): void {
    if (stream === undefined && this.isIdle(streamId)) throw idle("DATA");
    this.countStray();
    // It was on its way when we reset the stream.
    if (stream === undefined && this.closedStreams.wasResetByUs(streamId)) return;
    throw new Http2Error(ERROR.STREAM_CLOSED, "DATA for a closed stream", streamId);
  }

  /** Gives an open stream's user a header list. */
  protected takeHeaders(stream: Http2Stream, headers: HeaderList, end: boolean): void {
    if (end) stream.remoteClosed = true;
    if (end) checkLength(stream);
    stream.user?.headers(headers, end);
    if (end) this.#endRemote(stream);
  }

  #priority(streamId: number, bytes: Uint8Array, start: number, end: number): void {
    needsStream(streamId, "PRIORITY");
    if (end - start !== 5) {
      throw new Http2Error(ERROR.FRAME_SIZE_ERROR, "PRIORITY is not 5 bytes", streamId);
    }
    this.#countOverhead("priority");
    if (readUint31(bytes, start) === streamId) {
      throw new Http2Error(ERROR.PROTOCOL_ERROR, "a stream depends on itself", streamId);
    }
  }

  #rstStream(streamId: number, bytes: Uint8Array, start: number, end: number): void {
    needsStream(streamId, "RST_STREAM");
    needsSize(end - start, 4, "RST_STREAM");
    const stream = this.streams.get(streamId);
    if (stream === undefined) {
      if (this.isIdle(streamId)) throw idle("RST_STREAM");
      return this.countStray();
    }
    const { user } = stream;
    this.#remove(stream, false);
    user?.reset(readUint32(bytes, start));
    this.#countReset();
  }

  #settings(flags: number, streamId: number, bytes: Uint8Array, start: number, end: number): void {
    needsNoStream(streamId, "SETTINGS");
    if ((flags & FLAG.ACK) !== 0) {
      if (end > start) throw new Http2Error(ERROR.FRAME_SIZE_ERROR, "SETTINGS ack with a payload");
      this.#decoder.settingsAcknowledged();
      return this.#countOverhead("settings");
    }
    if (this.#hasSettings) this.#countOverhead("settings");
    if (end - start > MAX_SETTINGS * SETTING_BYTES) throw new AbuseError("settings");
    decodeSettings(bytes, start, end, (id, value) => this.#apply(id, value));
    this.#hasSettings = true;
    this.frames.settingsAck();
    this.#pumpAll();
    this.onSettings();
  }

  #apply(id: number, value: number): void {
    if (id === SETTING.HEADER_TABLE_SIZE) this.frames.setMaxTableBytes(value);
    if (id === SETTING.INITIAL_WINDOW_SIZE) {
      const change = value - this.#streamWindow;
      this.#streamWindow = value;
      for (const stream of this.streams.all()) stream.sendWindow.widen(change, 0);
    }
    this.onSetting(id, value);
  }

  #ping(flags: number, streamId: number, bytes: Uint8Array, start: number, end: number): void {
    needsNoStream(streamId, "PING");
    needsSize(end - start, PING_BYTES, "PING");
    this.#countOverhead("ping");
    if ((flags & FLAG.ACK) !== 0) return this.onPingAck();
    this.frames.pingAck(bytes.subarray(start, end));
  }

  #goAway(streamId: number, bytes: Uint8Array, start: number, end: number): void {
    needsNoStream(streamId, "GOAWAY");
    if (end - start < 8) throw new Http2Error(ERROR.FRAME_SIZE_ERROR, "GOAWAY is too short");
    this.#countOverhead("goaway");
    this.onGoAway(readUint31(bytes, start), readUint32(bytes, start + 4));
  }

  #windowUpdate(streamId: number, bytes: Uint8Array, start: number, end: number): void {
    needsSize(end - start, 4, "WINDOW_UPDATE");
    this.#countOverhead("window_update");
    const increment = readUint31(bytes, start);
    const stream = streamId === 0 ? undefined : this.streams.get(streamId);
    if (streamId !== 0 && stream === undefined) {
      if (this.isIdle(streamId)) throw idle("WINDOW_UPDATE");
      return;
    }
    if (increment === 0) {
      throw new Http2Error(ERROR.PROTOCOL_ERROR, "WINDOW_UPDATE by nothing", streamId);
    }
    if (stream === undefined) {
      this.#sendWindow.widen(increment, 0);
      return this.#pumpAll();
    }
    stream.sendWindow.widen(increment, streamId);
    if (this.#waiting.has(stream)) this.#pumpWaiting(stream);
  }

  #endRemote(stream: Http2Stream): void {
    if (stream.localEnded && !stream.closed) this.#remove(stream, false);
  }

  #remove(stream: Http2Stream, resetByUs: boolean): void {
    stream.drop();
    this.streams.delete(stream.id);
    this.#waiting.delete(stream);
    this.closedStreams.add(stream.id, resetByUs);
    if (stream.unconsumed > 0) this.grant(stream.unconsumed, 0, 0);
    this.onStreamGone();
  }

  /** The socket is gone. */
  #lost(): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#cancelEnd();
    this.#headerBlocks.stop();
    this.#reader.stop();
    this.frames.stop();
    this.output.close();
    this.onLost();
    this.#dropStreams();
  }

  #dropStreams(): void {
    const dropped = this.streams.all();
    this.streams.clear();
    this.#waiting.clear();
    for (const stream of dropped) {
      stream.drop();
      stream.user?.reset(LOST);
    }
    if (dropped.length > 0) this.onStreamGone();
  }

  // Writing.

  #pumpAll(): void {
    // A stream that has written a frame goes to the end: so each has its turn, until none has room.
    for (const stream of this.#waiting) {
      if (this.output.blocked) return;
      if (!this.#writeOne(stream)) continue;
      this.#waiting.delete(stream);
      if (stream.waiting) this.#waiting.add(stream);
      else stream.user?.drained();
    }
  }

  #pumpWaiting(stream: Http2Stream): void {
    this.pump(stream);
    if (stream.waiting) return;
    this.#waiting.delete(stream);
    stream.user?.drained();
  }

  #writeOne(stream: Http2Stream): boolean {
    if (this.output.blocked) return false;
    const written = stream.writeFrame(Math.min(MAX_FRAME_BYTES, this.#sendWindow.bytes));
    if (written < 0) return false;
    this.#sendWindow.take(written);
    return true;
  }
}

/** The body must be as long as its content-length says (RFC 9113, section 8.1.1). */
function checkLength(stream: Http2Stream): void {
  const { declaredBytes, receivedBytes, remoteClosed } = stream;
  if (declaredBytes < 0) return;
  if (receivedBytes > declaredBytes || (remoteClosed && receivedBytes < declaredBytes)) {
    throw new Http2Error(ERROR.PROTOCOL_ERROR, "the body is not of its content-length", stream.id);
  }
}

function needsStream(streamId: number, frame: string): void {
  if (streamId === 0) throw new Http2Error(ERROR.PROTOCOL_ERROR, `${frame} on stream 0`);
}

function needsNoStream(streamId: number, frame: string): void {
  if (streamId !== 0) throw new Http2Error(ERROR.PROTOCOL_ERROR, `${frame} on a stream`);
}

function needsSize(bytes: number, size: number, frame: string): void {
  if (bytes !== size) {
    throw new Http2Error(ERROR.FRAME_SIZE_ERROR, `${frame} is not ${size} bytes`);
  }
}

function idle(frame: string): Http2Error {
  return new Http2Error(ERROR.PROTOCOL_ERROR, `${frame} on an idle stream`);
}
