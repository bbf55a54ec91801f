import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { AnswerRoom } from "../../../src/rpc/answer_room.ts";
import { Http1Exchange } from "../../../src/rpc/http1_exchange.ts";
import { DEFAULT_PORT_LIMITS } from "../../../src/rpc/limits.ts";
import { BodyRoom } from "../../../src/rpc/request_bytes.ts";
import { SimClock } from "../../../src/runtime/mod.ts";

/** A request and a response on a connection that closes when it is told to. */
function pair(hasRoom = true): {
  socket: EventEmitter;
  response: EventEmitter;
  exchange: Http1Exchange;
  written: number[];
  /** What waited for the client after each change. */
  queued: number[];
  /** What the connection took. */
  handed: number[];
} {
  const socket = Object.assign(new EventEmitter(), { destroy() {} });
  const written: number[] = [];
  const queued: number[] = [];
  const handed: number[] = [];
  const request = Object.assign(new EventEmitter(), {
    headers: {},
    httpVersion: "1.1",
    method: "POST",
    readableEnded: true,
    socket,
    url: "/",
    destroy() {},
  });
  const response = Object.assign(new EventEmitter(), {
    writeHead() {},
    // Says "finish" never: its connection is gone, which it has said before.
    end() {},
    write(chunk: Uint8Array) {
      written.push(chunk.length);
      return hasRoom;
    },
  });
  const exchange = new Http1Exchange(
    request as unknown as IncomingMessage,
    response as unknown as ServerResponse,
    new SimClock(),
    { drainMaxBytes: 0, drainTimeoutMs: 0, readMaxBytes: 1000, bodyTimeoutMs: 1000 },
    new BodyRoom({ connectionBodyBytes: 1000, bodyBytes: 1000 }),
    {
      queued(bytes) {
        queued.push((queued.at(-1) ?? 0) + bytes);
      },
      handed(bytes) {
        handed.push(bytes);
      },
    },
    new AnswerRoom({ clock: new SimClock(), limits: DEFAULT_PORT_LIMITS, queuedBytes: () => 0 }).of(
      { queuedBytes: 0 },
    ),
  );
  return { socket, response, exchange, written, queued, handed };
}

Deno.test("Http1Exchange.answer() ends when the client left between two chunks, and lets go of the answer", async () => {
  const { socket, exchange, written } = pair();
  let released = false;
  async function* body(): AsyncGenerator<Uint8Array> {
    try {
      yield new Uint8Array(3);
      // A scan that is abandoned: the connection closes while the next piece is being read.
      socket.emit("close");
      yield new Uint8Array(5);
      yield new Uint8Array(7);
    } finally {
      released = true;
    }
  }
  await exchange.answer({ status: 200, body: body() });
  assert.deepEqual(written, [3]);
  assert.ok(released, "the answer's source was told");
  assert.ok(exchange.signal.aborted, "the handler was told");
  assert.equal(socket.listenerCount("close"), 0);
});

Deno.test("Http1Exchange.finish() ends when the client has left before", async () => {
  const { socket, exchange } = pair();
  socket.emit("close");
  await exchange.finish();
  assert.equal(exchange.finished, false);
});

/** One chunk. */
async function* once(bytes: number): AsyncGenerator<Uint8Array> {
  yield new Uint8Array(bytes);
}

Deno.test("Http1Exchange.answer() goes out piece by piece, and tells what still waits", async () => {
  const { response, exchange, written, queued, handed } = pair(false);
  const done = exchange.answer({ status: 200, body: once(150_000) });
  const pieces = [65_536, 65_536, 18_928];
  for (let i = 1; i <= pieces.length; i++) {
    while (written.length < i) await Promise.resolve();
    assert.deepEqual(written, pieces.slice(0, i));
    response.emit("drain");
  }
  while (queued.length < 2) await Promise.resolve();
  // A part of a chunk takes the memory of the whole.
  assert.deepEqual(queued, [150_000, 0]);
  assert.deepEqual(handed, pieces);
  response.emit("close");
  await done;
  assert.equal(queued.length, 2);
});

Deno.test("Http1Exchange.answer() lets go of what waits for a client that leaves", async () => {
  const { socket, response, exchange, queued } = pair(false);
  const done = exchange.answer({ status: 200, body: once(150_000) });
  while (queued.length < 1) await Promise.resolve();
  await Promise.resolve();
  socket.emit("close");
  response.emit("close");
  await assert.rejects(done);
  assert.deepEqual(queued, [150_000, 0]);
});
