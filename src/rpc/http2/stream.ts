/**
 * One stream: a request and its answer.
 *
 *                        peer's END_STREAM              our END_STREAM
 *     open ─┬──────────► half closed (remote) ────────► closed
 *           └──────────► half closed (local) ─────────► closed
 *                        our END_STREAM                 peer's END_STREAM
 *
 * and from each of them to closed by RST_STREAM of either side.
 * @module
 */
import type { HeaderList } from "./hpack_decoder.ts";
import type { Http2Connection } from "./connection.ts";
import { ReceiveWindow, SendWindow } from "./flow_control.ts";
import { ERROR } from "./frames.ts";

/** In place of an error code: the connection is gone, and the stream with it. */
export const LOST = -1;

/** Who has a stream's frames. None of these may throw, except Http2Error for a peer's fault. */
export interface StreamUser {
  /**
   * A piece of the body, which stays as it is. The user says {@link Http2Stream.consumed} when it is done
   * with it; until then the peer is held back.
   * @param end  nothing follows
   */
  data(bytes: Uint8Array, end: boolean): void;
  /** Headers after the first: a client's answer and trailers, a server's trailers. */
  headers(headers: HeaderList, end: boolean): void;
  /**
   * The stream ended before its time: reset by the peer, or its connection is gone.
   * @param code  the peer's error code, or {@link LOST}
   */
  reset(code: number): void;
  /** Everything that was sent has left the stream's queue. */
  drained(): void;
}

/** A stream of one connection. */
export class Http2Stream {
  readonly id: number;
  readonly sendWindow: SendWindow;
  readonly #connection: Http2Connection;
  #receiveWindow: ReceiveWindow | undefined;
  user: StreamUser | undefined;
  /** The peer said END_STREAM. */
  remoteClosed = false;
  /** We were told that nothing follows; END_STREAM may still wait for room. */
  localClosed = false;
  /** We said END_STREAM. */
  localEnded = false;
  /** Gone: closed on both sides, or reset. */
  closed = false;
  /** The body's length by its content-length; -1 when none was named. */
  declaredBytes = -1;
  /** Bytes of the body that have come. */
  receivedBytes = 0;
  /** Bytes of DATA that the user still has, for which the peer waits. */
  unconsumed = 0;
  /** What waits for room; undefined: nothing ever did, as in most streams. */
  #queue: Uint8Array[] | undefined;
  #queuedBytes = 0;
  /** Of the first piece in the queue: bytes that have left. They take memory as long as it does. */
  #leftBytes = 0;
  /** What the connection knows of: all of each piece that waits, or a part of it. */
  #countedBytes = 0;
  #trailers: HeaderList | undefined;
  #endQueued = false;

  constructor(connection: Http2Connection, id: number, sendWindowBytes: number) {
    this.#connection = connection;
    this.id = id;
    this.sendWindow = new SendWindow(sendWindowBytes);
  }

  /** Bytes of the pieces that wait for room, or a part of them. */
  get queuedBytes(): number {
    return this.#countedBytes;
  }

  /** Whether something waits for room, if only the end. */
  get waiting(): boolean {
    return this.#queuedBytes > 0 || this.#endQueued;
  }

  /** Counts DATA against the stream's window. @param bytes  padding included */
  receive(bytes: number, windowBytes: number): void {
    this.#receiveWindow ??= new ReceiveWindow(windowBytes);
    // First, so that the connection gets its window back also when the stream is reset for too much.
    this.unconsumed += bytes;
    this.#receiveWindow.receive(bytes, this.id);
  }

  /** Lets the peer send as many bytes more. */
  consumed(bytes: number): void {
    // What a stream held when it ended was given back then.
    if (this.closed || this.#receiveWindow === undefined) return;
    this.unconsumed -= bytes;
    const increment = this.remoteClosed ? 0 : this.#receiveWindow.consume(bytes);
    this.#connection.grant(bytes, this.id, increment);
  }

  /** Sends a header list: a server's answer, a client's request. */
  sendHeaders(headers: HeaderList, end = false): void {
    if (this.closed || this.localClosed) return;
    if (end) this.localClosed = true;
    this.#connection.writeHeaders(this.id, headers, end);
    if (end) this.#connection.endLocal(this);
  }

  /**
   * Sends a piece of the body; what there is no room for waits, and is not copied.
   * @returns whether all of it has left; if not, wait for `drained` before the next. Where too much waits
   *   on the connection, the stream is reset, and its user told
   */
  sendData(bytes: Uint8Array, end = false): boolean {
    if (this.closed || this.localClosed) return true;
    if (end) {
      this.localClosed = true;
      this.#endQueued = true;
    }
    if (bytes.length > 0) {
      (this.#queue ??= []).push(bytes);
      this.#queuedBytes += bytes.length;
    }
    if (this.waiting) this.#connection.pump(this);
    // Only now: what leaves at once never waited.
    if (this.#heldBytes() > this.#countedBytes) {
      this.#count();
      if (!this.#connection.mayQueue(this, this.#countedBytes)) this.#connection.refuseAnswer(this);
    }
    return !this.waiting;
  }

  /** Ends the stream with trailers, after all data. */
  sendTrailers(trailers: HeaderList): void {
    if (this.closed || this.localClosed) return;
    this.localClosed = true;
    this.#trailers = trailers;
    this.#endQueued = true;
    this.#connection.pump(this);
  }

  /** Ends the stream now. Nothing of it is sent or taken any more, and its user hears no more. */
  reset(code: number = ERROR.CANCEL): void {
    this.#connection.resetStream(this, code);
  }

  /** Forgets what waits. */
  drop(): void {
    this.closed = true;
    this.#queue = undefined;
    this.#queuedBytes = 0;
    this.#leftBytes = 0;
    this.#count();
    this.#endQueued = false;
    this.#trailers = undefined;
  }

  /**
   * Writes one frame of what waits.
   * @param room  what the connection's window and a frame allow
   * @returns bytes written; -1 when the stream has nothing that it may send now
   */
  writeFrame(room: number): number {
    const queue = this.#queue ?? [];
    const piece = queue[0];
    if (piece === undefined) {
      if (!this.#endQueued) return -1;
      this.#endQueued = false;
      const trailers = this.#trailers;
      if (trailers !== undefined) this.#connection.writeHeaders(this.id, trailers, true);
      else this.#connection.writeData(this.id, NO_BYTES, true);
      this.#connection.endLocal(this);
      return 0;
    }
    const length = Math.min(room, this.sendWindow.bytes, piece.length);
    if (length <= 0) return -1;
    const isRest = length === piece.length;
    const isEnd = isRest && queue.length === 1 && this.#endQueued &&
      this.#trailers === undefined;
    if (isRest) queue.shift();
    else queue[0] = piece.subarray(length);
    this.#queuedBytes -= length;
    this.#leftBytes = isRest ? 0 : this.#leftBytes + length;
    if (this.#heldBytes() < this.#countedBytes) this.#count();
    this.sendWindow.take(length);
    const frame = isRest ? piece : piece.subarray(0, length);
    this.#connection.writeData(this.id, frame, isEnd, !isRest);
    if (isEnd) {
      this.#endQueued = false;
      this.#connection.endLocal(this);
    }
    return length;
  }

  #heldBytes(): number {
    return this.#queuedBytes + this.#leftBytes;
  }

  /** Tells the connection how much waits. */
  #count(): void {
    const heldBytes = this.#heldBytes();
    const change = heldBytes - this.#countedBytes;
    this.#countedBytes = heldBytes;
    this.#connection.countQueued(change);
  }
}

const NO_BYTES = new Uint8Array(0);
