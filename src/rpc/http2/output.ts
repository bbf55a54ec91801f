/**
 * What goes out on one connection. Frames are written into one buffer, and the buffer goes to the socket
 * once a turn: after all frames that came in one chunk, or all answers of one group commit, there is one
 * write. While the socket has more than it can take, bulk data waits in its streams; header lists and
 * answers to control frames are still added. They gather in one buffer, since each write holds a whole one
 * however little it says; and when too much has gathered, nothing more is read from the peer.
 * @module
 */
import type { Connection } from "../../runtime/mod.ts";

/** A buffer's size; also the largest piece that can be reserved. */
export const OUTPUT_BYTES = 64 * 1024;
/** Buffers that are kept while nobody writes. */
const SPARE_MAX = 64;
const NO_BUFFER = new Uint8Array(0);

/** Buffers that all connections of a port share: one that has nothing to say has none. */
export class OutputBuffers {
  #spare: Uint8Array[] = [];

  /** A buffer of {@link OUTPUT_BYTES}, with any content. */
  take(): Uint8Array {
    return this.#spare.pop() ?? new Uint8Array(OUTPUT_BYTES);
  }

  /** Takes a buffer back that nobody looks at any more. */
  give(buffer: Uint8Array): void {
    if (this.#spare.length < SPARE_MAX) this.#spare.push(buffer);
  }
}

/** With more than this on its way to the socket, bulk data waits... */
const BLOCK_BYTES = 256 * 1024;
/** ...until there is no more than this. */
const UNBLOCK_BYTES = 128 * 1024;
/** With more than this, the peer is not read any more: it asks without taking the answers. */
const FULL_BYTES = 1024 * 1024;
/** Writes that the socket has at once before what comes next is gathered until one of them is done. */
const WRITES_MAX = 4;

/** The outgoing half of a socket. */
export class Output {
  readonly #socket: Connection;
  readonly #buffers: OutputBuffers;
  /** Called when bulk data may go on. */
  readonly #onRoom: () => void;
  #buffer: Uint8Array = NO_BUFFER;
  #at = 0;
  #scheduled = false;
  #blocked = false;
  #closed = false;
  /** Bytes that the socket was given and has not written yet. */
  #inFlight = 0;
  /** In so many writes. */
  #writes = 0;
  #writesDone = 0;

  constructor(socket: Connection, buffers: OutputBuffers, onRoom: () => void) {
    this.#socket = socket;
    this.#buffers = buffers;
    this.#onRoom = onRoom;
  }

  /** Whether the socket has more than it can take soon. */
  get blocked(): boolean {
    return this.#blocked;
  }

  /** Whether so much waits that the peer must not be read until there is room (`onRoom`). */
  get full(): boolean {
    return this.#inFlight + this.#at > FULL_BYTES;
  }

  /** Bytes that the socket has not written yet. */
  get pendingBytes(): number {
    return this.#inFlight + this.#at;
  }

  /** Writes that the socket has finished: a figure that stands still while the peer takes nothing. */
  get writesDone(): number {
    return this.#writesDone;
  }

  /** The buffer to write into, at the place that the last {@link reserve} gave. */
  get buffer(): Uint8Array {
    return this.#buffer;
  }

  /**
   * Makes room for `bytes`, at most {@link OUTPUT_BYTES}, and counts them as written.
   * @returns where in {@link buffer} they go; ask for the buffer after this call
   */
  reserve(bytes: number): number {
    if (this.#at + bytes > OUTPUT_BYTES) this.flush();
    if (this.#buffer === NO_BUFFER) this.#buffer = this.#buffers.take();
    const at = this.#at;
    this.#at += bytes;
    if (!this.#scheduled) {
      this.#scheduled = true;
      queueMicrotask(() => this.#flushSoon());
    }
    return at;
  }

  /** Gives back the end of the last reservation. */
  shrink(bytes: number): void {
    this.#at -= bytes;
  }

  /** Hands everything to the socket now. */
  flush(): void {
    this.#scheduled = false;
    const length = this.#at;
    const full = this.#buffer;
    this.#at = 0;
    if (length === 0 || this.#closed) return;
    this.#buffer = NO_BUFFER;
    this.#inFlight += length;
    this.#writes++;
    if (this.#inFlight > BLOCK_BYTES) this.#blocked = true;
    this.#socket.write(full.subarray(0, length), () => this.#written(full, length));
  }

  /** Sends what there is, then ends the connection's outgoing half. @param done  told when all is sent */
  end(done?: () => void): void {
    if (this.#closed) return;
    this.flush();
    this.#closed = true;
    this.#socket.end(done);
  }

  /** Takes nothing any more. */
  close(): void {
    this.#closed = true;
  }

  /** Flushes, unless the socket has enough to do: then the next write that ends does. */
  #flushSoon(): void {
    if (this.#writes < WRITES_MAX) this.flush();
  }

  #written(buffer: Uint8Array, length: number): void {
    this.#buffers.give(buffer);
    this.#inFlight -= length;
    this.#writes--;
    this.#writesDone++;
    if (this.#at > 0) this.#flushSoon();
    if (!this.#blocked || this.#inFlight > UNBLOCK_BYTES) return;
    this.#blocked = false;
    if (!this.#closed) this.#onRoom();
  }
}
