/**
 * Whose turn it is on a connection over HTTP/1.1.
 * @module
 */
import type { Connection } from "../runtime/mod.ts";

/**
 * A client may send requests before it has its answers, and the parser gives them all at once. Each is
 * begun when the answer before it is out: a read then sees the write that was sent before it (RFC 9112,
 * section 9.3.2), and of one connection there is one answer at a time in memory.
 */
export class Http1Turns {
  /** Of connections with a request that is being served: those that wait behind it. */
  readonly #waiting = new WeakMap<Connection, (() => Promise<void>)[]>();

  /** Whether a request of the connection is being served. */
  busy(socket: Connection): boolean {
    return this.#waiting.has(socket);
  }

  /** Serves a request when it is its turn; at once, where no other is served. `serve` does not reject. */
  take(socket: Connection, serve: () => Promise<void>): void {
    const waiting = this.#waiting.get(socket);
    if (waiting === undefined) return void this.#serveAll(socket, serve);
    waiting.push(serve);
    // What is parsed already is bounded by one chunk of the socket; no more is taken meanwhile.
    socket.pause();
  }

  async #serveAll(socket: Connection, first: () => Promise<void>): Promise<void> {
    const waiting: (() => Promise<void>)[] = [];
    this.#waiting.set(socket, waiting);
    for (let serve: typeof first | undefined = first; serve !== undefined;) {
      await serve();
      await taken(socket);
      serve = waiting.shift();
      // The body of the last one may be still to come.
      if (waiting.length === 0 && !socket.destroyed) socket.resume();
    }
    this.#waiting.delete(socket);
  }
}

/** Resolves when a socket has room again, or is gone. Under Deno a response is finished before it is out. */
function taken(socket: Connection): Promise<void> {
  if (!socket.writableNeedDrain || socket.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      socket.off("drain", done);
      socket.off("close", done);
      resolve();
    };
    socket.on("drain", done);
    socket.on("close", done);
  });
}
