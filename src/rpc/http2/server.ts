/**
 * The server's side of a connection: the client's streams, and going away politely.
 *
 *     drain:  GOAWAY(2^31 - 1), PING ─► client begins no stream any more; those on their way are served
 *             PING's answer          ─► GOAWAY(last stream): later ones were never begun
 *             last stream's end      ─► the connection ends
 * @module
 */
import type { Cancel } from "../../runtime/mod.ts";
import { Http2Connection, type Http2Options } from "./connection.ts";
import { ERROR, Http2Error, MAX_31 } from "./frames.ts";
import type { HeaderList } from "./hpack_decoder.ts";
import { checkFields, readRequestHead, type RequestHead } from "./request_head.ts";
import { SETTING } from "./settings.ts";
import type { Http2Stream, StreamUser } from "./stream.ts";

/** Something to be done once all frames of a chunk were looked at. */
export interface Task {
  /** Begins; the stream may have been reset meanwhile. */
  begin(): void;
}

/** What a server does with requests. */
export interface ServerHandler {
  /**
   * Takes a request's head. The body comes to the user that is returned; work begins in a task that the
   * user hands to {@link ServerConnection.defer}, so that a request which is reset at once costs nothing.
   */
  open(stream: Http2Stream, head: RequestHead, connection: ServerConnection): StreamUser;
  /** A request whose header list is over the limit; answers or resets the stream. */
  refuse(stream: Http2Stream): void;
  /** A stream is gone. */
  ended(connection: ServerConnection): void;
}

/** How long a client's answer to the PING of {@link ServerConnection.drain} is waited for. */
const DRAIN_PING_MS = 1000;
/** Heads that were seen last: decoders give the same list for the same bytes. */
const KNOWN_HEADS = 8;

/** A connection that a client has made. Its preface has been read. */
export class ServerConnection extends Http2Connection {
  readonly #handler: ServerHandler;
  #lastStreamId = 0;
  /** The last stream that the client began, though we may have ignored it. */
  #lastSeenId = 0;
  /** Streams above this are ignored: the last GOAWAY said so. */
  #servedTo = MAX_31;
  #draining = false;
  #cancelPing: Cancel = () => {};
  readonly #tasks: Task[] = [];
  /** Too much waits for the client: tasks wait too. */
  #isHeld = false;
  readonly #knownLists: (HeaderList | undefined)[] = new Array(KNOWN_HEADS).fill(undefined);
  readonly #knownHeads: RequestHead[] = [];
  #nextKnown = 0;

  constructor(options: Http2Options, handler: ServerHandler) {
    super(options);
    this.#handler = handler;
    const { maxConcurrentStreams, maxHeaderBytes, streamWindowBytes } = this.limits;
    this.start([
      [SETTING.MAX_CONCURRENT_STREAMS, maxConcurrentStreams],
      [SETTING.INITIAL_WINDOW_SIZE, streamWindowBytes],
      [SETTING.MAX_HEADER_LIST_SIZE, maxHeaderBytes],
    ]);
  }

  /** Whether {@link drain} was called. */
  get draining(): boolean {
    return this.#draining;
  }

  /** Asks the client to go: what it has begun is served, then the connection ends. */
  drain(): void {
    if (this.#draining || this.failed) return;
    this.#draining = true;
    this.frames.goAway(MAX_31, ERROR.NO_ERROR);
    this.frames.ping();
    this.#cancelPing = this.clock.after(DRAIN_PING_MS, () => this.#setLast());
  }

  /** Does something after all frames of the chunk that is being read. */
  defer(task: Task): void {
    this.#tasks.push(task);
  }

  protected override get lastStreamId(): number {
    return this.#lastStreamId;
  }

  protected override isIdle(streamId: number): boolean {
    // Streams with even numbers would be ours, and there are none.
    return streamId % 2 === 0 || streamId > this.#lastSeenId;
  }

  protected override onHeaders(
    streamId: number,
    headers: HeaderList,
    end: boolean,
    tooLarge: boolean,
  ): void {
    const known = this.streams.get(streamId);
    if (known !== undefined) return this.#trailers(known, headers, end && !tooLarge);
    this.#checkId(streamId);
    // They were on their way when we reset the stream.
    if (streamId <= this.#lastSeenId) return this.countStray();
    this.#lastSeenId = streamId;
    // Said to be refused in the last GOAWAY; the client may not have read it yet.
    if (streamId > this.#servedTo) return this.refuseStream(streamId);
    this.#lastStreamId = streamId;
    if (this.openStreams >= this.limits.maxConcurrentStreams) {
      this.refused("streams");
      return this.refuseStream(streamId);
    }
    if (tooLarge) return this.#refuse(streamId, end);
    const head = this.#headOf(headers, streamId);
    const stream = this.open(streamId);
    stream.declaredBytes = head.contentLength;
    stream.remoteClosed = end;
    if (end && head.contentLength > 0) {
      throw new Http2Error(ERROR.PROTOCOL_ERROR, "a body was declared, and none came", streamId);
    }
    stream.user = this.#handler.open(stream, head, this);
    if (end) stream.user.data(NO_BYTES, true);
  }

  protected override onLocalEnd(stream: Http2Stream): void {
    // The answer is whole, so the rest of the request is not wanted (RFC 9113, section 8.1).
    this.resetStream(stream, ERROR.NO_ERROR);
  }

  protected override onChunkEnd(): void {
    if (this.#tasks.length > 0 && !this.#isHeld) this.#runTasks();
  }

  /** What was held back may begin, once what runs now has come to its end. */
  protected override onQueueShrunk(): void {
    if (!this.#isHeld || this.queuedBytes > this.limits.holdQueuedBytes) return;
    this.#isHeld = false;
    queueMicrotask(() => this.#runTasks());
  }

  /** Begins what is to be begun, as long as the client takes what it has asked for. */
  #runTasks(): void {
    const tasks = this.#tasks;
    let next = 0;
    // By its index, since beginning one may add another.
    while (next < tasks.length && this.queuedBytes <= this.limits.holdQueuedBytes) {
      tasks[next++].begin();
    }
    tasks.splice(0, next);
    this.#isHeld = tasks.length > 0;
    if (this.#isHeld) this.refused("held");
  }

  protected override onPingAck(): void {
    if (this.#draining) this.#setLast();
  }

  /** The client begins no stream any more. */
  protected override onGoAway(): void {
    this.#setLast();
  }

  protected override onLost(): void {
    this.#cancelPing();
  }

  protected override onStreamGone(): void {
    this.#handler.ended(this);
    this.#finishIfDone();
  }

  #trailers(stream: Http2Stream, headers: HeaderList, end: boolean): void {
    if (stream.remoteClosed) {
      throw new Http2Error(ERROR.STREAM_CLOSED, "HEADERS after END_STREAM", stream.id);
    }
    if (!end) throw new Http2Error(ERROR.PROTOCOL_ERROR, "HEADERS amid a body", stream.id);
    checkFields(headers, stream.id);
    this.takeHeaders(stream, headers, true);
  }

  #checkId(streamId: number): void {
    if (streamId % 2 === 0) {
      throw new Http2Error(ERROR.PROTOCOL_ERROR, "a client's stream with an even number");
    }
    if (streamId > this.#lastSeenId) return;
    if (this.closedStreams.wasResetByUs(streamId)) return;
    const code = this.closedStreams.has(streamId) ? ERROR.STREAM_CLOSED : ERROR.PROTOCOL_ERROR;
    throw new Http2Error(code, "HEADERS for a stream that is closed");
  }

  #refuse(streamId: number, end: boolean): void {
    const stream = this.open(streamId);
    stream.remoteClosed = end;
    this.refused("headers");
    this.#handler.refuse(stream);
    // Nobody waits for what finds no room: without this the stream would stay as long as the connection.
    if (!stream.localEnded) stream.reset(ERROR.ENHANCE_YOUR_CALM);
  }

  #headOf(headers: HeaderList, streamId: number): RequestHead {
    const at = this.#knownLists.indexOf(headers);
    if (at >= 0) return this.#knownHeads[at];
    const head = readRequestHead(headers, streamId);
    this.#knownLists[this.#nextKnown] = headers;
    this.#knownHeads[this.#nextKnown] = head;
    this.#nextKnown = (this.#nextKnown + 1) % KNOWN_HEADS;
    return head;
  }

  #setLast(): void {
    if (this.#servedTo < MAX_31 || this.failed) return;
    this.#cancelPing();
    this.#servedTo = this.#lastStreamId;
    this.frames.goAway(this.#servedTo, ERROR.NO_ERROR);
    this.#finishIfDone();
  }

  #finishIfDone(): void {
    if (this.#servedTo === MAX_31 || this.openStreams > 0 || this.failed) return;
    this.finish();
  }
}

const NO_BYTES = new Uint8Array(0);
