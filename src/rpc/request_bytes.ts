/**
 * Request bodies while they come: held in few pieces, counted, and given on in whole messages.
 *
 *     chunks ─► Pieces ─► is a message whole? ─► the RPC library ─► inflated.ts
 *                 └─► BodyRoom: how much all requests of a connection ◄─┘
 *                     and of the port hold
 *
 * Why not chunk by chunk to the library:
 *   - it makes room for a message as soon as five bytes say how long it is, true or not;
 *   - it walks through all chunks with each new one, so a body of single bytes costs the square of them;
 *   - each chunk is an object, and holds the whole of what was read from the socket with it.
 * @module
 */
import { Code, ConnectError } from "@connectrpc/connect";
import type { Cancel, Clock } from "../runtime/mod.ts";
import { readUint32 } from "./http2/mod.ts";
import type { PortLimits } from "./limits.ts";

/** Pieces below this are copied together. */
const SMALL_BYTES = 1024;
/** So are those that hold memory of more than this many times their size. */
const SLACK_FACTOR = 4;
/** Sizes of what they are copied into. */
const BLOCK_BYTES_MIN = 1024;
const BLOCK_BYTES_MAX = 16 * 1024;
const PREFIX_BYTES = 5;

/** Bytes that come in pieces of any size, and take not much more memory than their number. */
export class Pieces {
  #list: Uint8Array[] = [];
  #bytes = 0;
  /** The last piece's memory, as long as it is ours and has room. */
  #block: Uint8Array | undefined;
  #used = 0;
  #blockBytes = BLOCK_BYTES_MIN;

  /** How many bytes there are. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Adds a piece, which must stay as it is. */
  add(piece: Uint8Array): void {
    if (piece.length === 0) return;
    this.#bytes += piece.length;
    const isLean = piece.length * SLACK_FACTOR >= piece.buffer.byteLength;
    if (piece.length >= SMALL_BYTES && isLean) {
      this.#block = undefined;
      this.#list.push(piece);
    } else this.#copy(piece);
  }

  /** Takes the first piece off, or as much of it as `maxBytes`; undefined when there is none. */
  shift(maxBytes = Infinity): Uint8Array | undefined {
    const first = this.#list[0];
    if (first === undefined || maxBytes <= 0) return undefined;
    if (first.length > maxBytes) {
      this.#bytes -= maxBytes;
      // Where it is the open block, it grows no more: its beginning is gone.
      if (this.#list.length === 1) this.#block = undefined;
      this.#list[0] = first.subarray(maxBytes);
      return first.subarray(0, maxBytes);
    }
    this.#bytes -= first.length;
    this.#list.shift();
    if (this.#list.length === 0) this.#block = undefined;
    return first;
  }

  /** The first bytes, up to `count`, as a copy; the pieces stay. */
  peek(count: number): Uint8Array {
    const found = new Uint8Array(Math.min(count, this.#bytes));
    let at = 0;
    for (let i = 0; at < found.length; i++) {
      const part = this.#list[i].subarray(0, found.length - at);
      found.set(part, at);
      at += part.length;
    }
    return found;
  }

  /** All bytes in one; the pieces stay. */
  join(): Uint8Array {
    return this.#list.length === 1 ? this.#list[0] : this.peek(this.#bytes);
  }

  /** Drops all. */
  clear(): void {
    this.#list = [];
    this.#bytes = 0;
    this.#block = undefined;
  }

  #copy(piece: Uint8Array): void {
    let block = this.#block;
    if (block === undefined || block.length - this.#used < piece.length) {
      this.#block = block = new Uint8Array(Math.max(this.#blockBytes, piece.length));
      this.#used = 0;
      this.#blockBytes = Math.min(2 * this.#blockBytes, BLOCK_BYTES_MAX);
      this.#list.push(block.subarray(0, 0));
    }
    block.set(piece, this.#used);
    this.#used += piece.length;
    this.#list[this.#list.length - 1] = block.subarray(0, this.#used);
  }
}

/** How much of requests a port holds, and each of its connections. */
export class BodyRoom {
  readonly #limits: Pick<PortLimits, "connectionBodyBytes" | "bodyBytes">;
  readonly #ofConnections = new Map<object, number>();
  #bytes = 0;
  #refused = 0;

  constructor(limits: Pick<PortLimits, "connectionBodyBytes" | "bodyBytes">) {
    this.#limits = limits;
  }

  /** Bytes that are held now. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Requests that were refused for want of room. */
  get refused(): number {
    return this.#refused;
  }

  /** Takes room for bytes of one connection. @returns whether there was any; when not, none is taken */
  take(connection: object, bytes: number): boolean {
    const before = this.#ofConnections.get(connection) ?? 0;
    const isFull = this.#bytes + bytes > this.#limits.bodyBytes ||
      before + bytes > this.#limits.connectionBodyBytes;
    if (isFull) {
      this.#refused++;
      return false;
    }
    this.#bytes += bytes;
    this.#ofConnections.set(connection, before + bytes);
    return true;
  }

  /** Gives room back. */
  give(connection: object, bytes: number): void {
    this.#bytes -= bytes;
    const left = (this.#ofConnections.get(connection) ?? 0) - bytes;
    if (left > 0) this.#ofConnections.set(connection, left);
    else this.#ofConnections.delete(connection);
  }
}

/** What a request is told that finds no room. */
export function noRoom(): ConnectError {
  return new ConnectError(
    "the server holds as much of requests as it may; try again later",
    Code.ResourceExhausted,
  );
}

/** What a body is held with. */
export interface HeldBodyOptions {
  readonly room: BodyRoom;
  readonly connection: object;
  readonly clock: Clock;
  readonly limits: Pick<PortLimits, "readMaxBytes" | "bodyTimeoutMs">;
  /** The request's content type, which tells whether the body is messages with prefixes. */
  readonly contentType: string;
  /** Told when a message has not come in time; makes the source fail. */
  readonly onLate: () => void;
}

/** A body whose bytes are given on in whole messages, or all at once where there are no messages. */
export class HeldBody implements AsyncIterableIterator<Uint8Array> {
  readonly #source: AsyncIterator<Uint8Array>;
  readonly #options: HeldBodyOptions;
  readonly #pieces = new Pieces();
  /** The flags that a message's prefix may have; undefined where there are no messages with prefixes. */
  readonly #flags: number | undefined;
  /** What is wrong behind the messages that may be given on. */
  #failure: ConnectError | undefined;
  /** Room that was taken. */
  #held = 0;
  /** Of that, for what the last message has become. */
  #inflated = 0;
  #received = 0;
  #given = 0;
  /** So many bytes from the beginning may be given on. */
  #ready = 0;
  #messages = 0;
  readonly #prefix = new Uint8Array(PREFIX_BYTES);
  #prefixBytes = 0;
  /** What is still to come of the message, once its prefix is here. */
  #left = 0;
  #messageStart = 0;
  /** Of the last whole message. */
  #lastBytes = 0;
  #ended = false;
  #released = false;
  #cancelTimer: Cancel | undefined;

  constructor(source: AsyncIterator<Uint8Array>, options: HeldBodyOptions) {
    this.#source = source;
    this.#options = options;
    this.#flags = flagsOf(options.contentType);
  }

  /** How many bytes have come, whether or not they were given on. */
  get received(): number {
    return this.#received;
  }

  async next(): Promise<IteratorResult<Uint8Array>> {
    for (;;) {
      const piece = this.#pieces.shift(this.#ready - this.#given);
      if (piece !== undefined) {
        this.#given += piece.length;
        return { done: false, value: piece };
      }
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#ended) return { done: true, value: undefined };
      this.#startTimer();
      const step = await this.#source.next();
      if (step.done === true) this.#end();
      else this.#add(step.value);
    }
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /**
   * Counts what a message of this body has become, until the next one is there or the request has ended.
   * @throws ConnectError ResourceExhausted when there is no room for it
   */
  holdInflated(bytes: number): void {
    if (this.#released) return;
    this.#give(this.#inflated);
    this.#inflated = 0;
    if (!this.#options.room.take(this.#options.connection, bytes)) throw noRoom();
    this.#held += bytes;
    this.#inflated = bytes;
  }

  /** The request has ended: what it held is free. Nothing is held for it any more. */
  release(): void {
    if (this.#released) return;
    this.#released = true;
    this.#stopTimer();
    this.#pieces.clear();
    this.#give(this.#held);
  }

  #add(bytes: Uint8Array): void {
    if (this.#released) return;
    if (!this.#options.room.take(this.#options.connection, bytes.length)) throw noRoom();
    this.#held += bytes.length;
    this.#received += bytes.length;
    this.#pieces.add(bytes);
    const { readMaxBytes } = this.#options.limits;
    if (this.#flags !== undefined) this.#scan(bytes, readMaxBytes, this.#flags);
    // What is too large is for the library to refuse, and at once.
    else if (this.#received > readMaxBytes) this.#ready = Infinity;
  }

  #end(): void {
    this.#ended = true;
    this.#ready = Infinity;
    this.#stopTimer();
  }

  /** Follows the prefixes of messages. */
  #scan(bytes: Uint8Array, maxBytes: number, allowed: number): void {
    let at = 0;
    while (at < bytes.length) {
      if (this.#prefixBytes < PREFIX_BYTES) {
        this.#prefix[this.#prefixBytes++] = bytes[at++];
        const flags = this.#prefix[0];
        if ((flags & ~allowed) !== 0) {
          this.#failure ??= badFlags(flags);
          return;
        }
        if (this.#prefixBytes < PREFIX_BYTES) continue;
        this.#left = lengthIn(this.#prefix);
        if (this.#left > maxBytes) this.#ready = Infinity;
      } else {
        const taken = Math.min(this.#left, bytes.length - at);
        this.#left -= taken;
        at += taken;
      }
      if (this.#left === 0) this.#finishMessage(this.#received - (bytes.length - at));
    }
  }

  #finishMessage(end: number): void {
    this.#stopTimer();
    this.#prefixBytes = 0;
    // The one before was worked on when this one was asked for; of one alone that is not known.
    this.#messages++;
    this.#give(this.#lastBytes);
    this.#lastBytes = end - this.#messageStart;
    this.#messageStart = end;
    if (this.#ready < end) this.#ready = end;
  }

  #give(bytes: number): void {
    if (bytes <= 0) return;
    this.#held -= bytes;
    this.#options.room.give(this.#options.connection, bytes);
  }

  /** Runs while a message is due: the first, and each one of which a part is here. */
  #startTimer(): void {
    const isDue = this.#messages === 0 || this.#received > this.#ready;
    if (!isDue || this.#cancelTimer !== undefined || this.#released) return;
    const { clock, limits, onLate } = this.#options;
    this.#cancelTimer = clock.after(limits.bodyTimeoutMs, onLate);
  }

  #stopTimer(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }
}

/** Flags of a message: it is compressed; and in Connect's streams: it ends the stream. */
const COMPRESSED = 0x01;
const END_OF_STREAM = 0x02;

/** Which flags clients may set, by content type; types know no case. */
function flagsOf(contentType: string): number | undefined {
  const protocol = /^application\/(grpc|connect\+)/i.exec(contentType)?.[1].toLowerCase();
  if (protocol === undefined) return undefined;
  // gRPC-Web's 0x80 is for the server alone, which has no other place for trailers.
  return protocol === "grpc" ? COMPRESSED : COMPRESSED | END_OF_STREAM;
}

/** The library looks at the flags that it knows, and takes a message with others for a usual one. */
function badFlags(flags: number): ConnectError {
  return new ConnectError(
    `protocol error: a message has the flags 0x${flags.toString(16).padStart(2, "0")}`,
    Code.Internal,
  );
}

/**
 * Takes a body's length off a request's headers, where it is one that we take: the library would make room
 * for it before any of it is here. Both HTTP versions see to it that the body is as long as it says.
 */
export function forgetLength(header: Headers, readMaxBytes: number): void {
  const length = header.get("content-length");
  if (length !== null && Number(length) <= readMaxBytes) header.delete("content-length");
}

/** What a message's prefix says. */
export function lengthIn(prefix: Uint8Array): number {
  return readUint32(prefix, 1);
}
