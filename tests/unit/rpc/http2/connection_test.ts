/**
 * A connection against a peer that keeps its own books: bodies both ways through windows of any size,
 * streams side by side, and what each kind of fault costs.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { AbuseError, ERROR } from "../../../../src/rpc/http2/mod.ts";
import { SimRandom } from "../../../../src/runtime/mod.ts";
import { Collector, joined, Peer, type PeerOptions, uint32 } from "../../../support/http2_peer.ts";
import { tableEntry } from "../../../support/attacks.ts";
import { frame } from "../../../support/raw_http2.ts";

const DATA = 0;
const HEADERS = 1;
const PRIORITY = 2;
const RST_STREAM = 3;
const SETTINGS = 4;
const PING = 6;
const GOAWAY = 7;
const WINDOW_UPDATE = 8;
const CONTINUATION = 9;
const END_STREAM = 1;
const END_HEADERS = 4;
const PADDED = 8;

/** A body that differs from every other. */
function bodyOf(stream: number, bytes: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, i) => (i * 31 + stream * 17 + (i >>> 8)) & 0xff);
}

/** Sends all pieces, each when the one before has left; then trailers or END_STREAM. */
class Sender extends Collector {
  pieces: Uint8Array[] = [];
  trailers_: readonly string[] | undefined;
  #started = false;

  start(pieces: Uint8Array[], trailers: readonly string[] | undefined): void {
    this.pieces = pieces;
    this.trailers_ = trailers;
    this.#started = true;
    this.stream.sendHeaders([":status", "200", "x-stream", String(this.stream.id)]);
    this.#go();
  }

  override drained(): void {
    super.drained();
    if (this.#started) this.#go();
  }

  #go(): void {
    for (let piece = this.pieces.shift(); piece !== undefined; piece = this.pieces.shift()) {
      const isLast = this.pieces.length === 0 && this.trailers_ === undefined;
      if (isLast) this.#started = false;
      if (!this.stream.sendData(piece, isLast)) return;
    }
    if (!this.#started) return;
    this.#started = false;
    if (this.trailers_ === undefined) this.stream.sendData(new Uint8Array(0), true);
    else this.stream.sendTrailers(this.trailers_);
  }
}

function someCuts(random: SimRandom, bytes: Uint8Array, most: number): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = 1 + random.below(most);
    pieces.push(bytes.subarray(at, at + length));
    at += length;
  }
  return pieces;
}

Deno.test("all bytes of all streams arrive in order, and no window is overrun, both ways", () => {
  fc.assert(
    fc.property(
      fc.nat(),
      fc.integer({ min: 1, max: 20 }),
      fc.constantFrom(0, 1, 7, 100, 5000, 65_535),
      fc.constantFrom(65_535, 70_000, 1 << 20),
      (seed, count, windowBytes, connectionWindowBytes) => {
        const random = new SimRandom(seed);
        const senders = new Map<number, Sender>();
        const peer: Peer = new Peer({
          windowBytes,
          limits: { streamWindowBytes: 1 + random.below(3000), connectionWindowBytes },
          handler: {
            open(stream, head) {
              const sender = new Sender(stream, head);
              senders.set(stream.id, sender);
              return sender;
            },
          },
        });
        peer.exchange();
        const ids = Array.from({ length: count }, (_, i) => 2 * i + 1);
        const up = new Map(ids.map((id) => [id, bodyOf(id, random.below(4000))]));
        const down = new Map(ids.map((id) => [id, bodyOf(id + 1, random.below(6000))]));
        const rest = new Map<number, Uint8Array | undefined>();
        const unstarted = [...ids];
        const answering = new Set(ids);
        let most = windowBytes < 100 ? 400 : 4000;
        // Streams begin, send, are answered and get windows in any order, until all is said.
        for (let step = 0; step < 100_000; step++) {
          peer.exchange();
          const choice = random.below(6);
          if (choice === 0 && unstarted.length > 0) {
            const id = unstarted.shift()!;
            peer.send(...someCuts(random, peer.request(id, false), 50));
            rest.set(id, up.get(id));
          } else if (choice <= 2 && rest.size > 0) {
            const id = [...rest.keys()][random.below(rest.size)];
            const body = rest.get(id)!;
            const padding = random.below(4) === 0 ? 1 + random.below(20) : 0;
            const room = Math.min(peer.maySend, peer.streamOf(id).maySend) - padding - 1;
            const length = Math.min(body.length, 1 + random.below(500), Math.max(0, room));
            if (length === 0 && body.length > 0) continue;
            const isEnd = length === body.length;
            const payload = padding === 0 ? body.slice(0, length) : joined([
              Uint8Array.of(padding),
              body.subarray(0, length),
              new Uint8Array(padding),
            ]);
            const flags = (isEnd ? END_STREAM : 0) | (padding > 0 ? PADDED : 0);
            peer.maySend -= payload.length;
            peer.streamOf(id).maySend -= payload.length;
            peer.send(...someCuts(random, frame(DATA, flags, id, payload), 1 + random.below(300)));
            if (isEnd) rest.delete(id);
            else rest.set(id, body.subarray(length));
          } else if (choice === 3) {
            const ready = [...answering].filter((id) => senders.get(id)?.ended);
            if (ready.length === 0) continue;
            const id = ready[random.below(ready.length)];
            answering.delete(id);
            const trailers = random.below(2) === 0 ? ["grpc-status", "0"] : undefined;
            senders.get(id)!.start(someCuts(random, down.get(id)!, 1500), trailers);
          } else if (choice === 4) {
            peer.grant(0, 1 + random.below(most));
            for (const id of ids) {
              const known = peer.streams.get(id);
              if (known === undefined || known.ended || random.below(2) === 0) continue;
              peer.grant(id, 1 + random.below(most));
            }
          } else if (choice === 5 && random.below(10) === 0) {
            // Down, perhaps below what is on its way, and up again.
            peer.setWindow(random.below(2 * windowBytes + 2));
          }
          most = Math.min(most * 2, 20_000);
          const isDone = unstarted.length + rest.size + answering.size === 0 &&
            ids.every((id) => peer.streams.get(id)?.ended);
          if (isDone) break;
        }
        peer.exchange();
        for (const id of ids) {
          const { body, headers, ended, reset } = peer.streams.get(id)!;
          assert.deepEqual([ended, reset], [true, undefined], `stream ${id} has ended`);
          assert.deepEqual(headers, [":status", "200", "x-stream", String(id)]);
          assert.deepEqual(joined(body), down.get(id), "the answer is whole");
          assert.deepEqual(joined(senders.get(id)!.body), up.get(id), "the request is whole");
        }
        assert.equal(peer.connection.openStreams, 0);
        assert.equal(peer.connection.queuedBytes, 0);
        assert.deepEqual(peer.failures, []);
        assert.ok(peer.maySend * 2 >= connectionWindowBytes, "our window was given back");
      },
    ),
    { numRuns: 60 },
  );
});

/** A peer whose streams are answered with nothing until a test does. */
function withStreams(count: number, options: PeerOptions = {}): Peer {
  const peer = new Peer(options);
  for (let i = 0; i < count; i++) peer.send(peer.request(2 * i + 1, false));
  peer.exchange();
  return peer;
}

Deno.test("the connection's window is given back for data of streams that were reset: 10,000 times", () => {
  const slow: PeerOptions = {
    handler: { open: (stream, head) => new Collector(stream, head, false) },
  };
  const peer = new Peer(slow);
  const body = new Uint8Array(6000);
  for (let i = 0; i < 10_000; i++) {
    const id = 2 * i + 1;
    peer.exchange();
    assert.ok(peer.maySend >= body.length, `after ${i} streams ${peer.maySend} bytes may be sent`);
    peer.maySend -= body.length;
    peer.send(peer.request(id, false), frame(DATA, 0, id, body));
    peer.send(frame(RST_STREAM, 0, id, Uint8Array.from(uint32(8))));
  }
  peer.exchange();
  assert.equal(peer.connection.openStreams, 0);
  assert.equal(peer.goAway, undefined);
});

Deno.test("the connection's window is given back for data of closed streams, and beyond a stream's window", () => {
  const peer = withStreams(0, {
    limits: { streamWindowBytes: 1000, connectionWindowBytes: 65_535 },
    handler: { open: (stream, head) => new Collector(stream, head, false) },
  });
  for (let i = 0; i < 500; i++) {
    const id = 2 * i + 1;
    peer.exchange();
    assert.ok(peer.maySend >= 3000, `after ${i} streams ${peer.maySend} bytes may be sent`);
    peer.maySend -= 2700;
    peer.send(peer.request(id, false), frame(DATA, 0, id, new Uint8Array(900)));
    // 100 are left: this one is over it, and the next comes to a stream that is gone.
    peer.send(frame(DATA, 0, id, new Uint8Array(900)), frame(DATA, 0, id, new Uint8Array(900)));
    peer.exchange();
    assert.equal(peer.streamOf(id).reset, ERROR.FLOW_CONTROL_ERROR);
  }
  assert.equal(peer.goAway, undefined);
});

Deno.test("more DATA than the connection's window allows ends the connection", () => {
  const peer = withStreams(5, { limits: { streamWindowBytes: 65_535 } });
  for (let id = 1; id < 10; id += 2) peer.send(frame(DATA, 0, id, new Uint8Array(16_384)));
  peer.exchange();
  assert.equal(peer.goAway, undefined, "eager users give back at once");
  const slow = withStreams(5, {
    handler: { open: (stream, head) => new Collector(stream, head, false) },
  });
  for (let id = 1; id < 10; id += 2) slow.send(frame(DATA, 0, id, new Uint8Array(16_384)));
  slow.exchange();
  assert.equal(slow.goAway?.code, ERROR.FLOW_CONTROL_ERROR);
  for (const { resetCode } of slow.users.values()) assert.notEqual(resetCode, undefined);
});

Deno.test("trailers of a request, padding and CONTINUATION with priority, byte by byte", () => {
  const peer = new Peer();
  const block = peer.block([
    ":method",
    "POST",
    ":scheme",
    "http",
    ":path",
    "/",
    "x",
    "y".repeat(9),
  ]);
  const priority = [0, 0, 0, 0, 9];
  const first = Uint8Array.of(3, ...priority, ...block.subarray(0, 4), 0, 0, 0);
  const bytes = joined([
    frame(HEADERS, PADDED | 0x20, 1, first),
    frame(CONTINUATION, 0, 1, block.subarray(4, 5)),
    frame(CONTINUATION, 0, 1, new Uint8Array(0)),
    frame(CONTINUATION, END_HEADERS, 1, block.subarray(5)),
    frame(DATA, PADDED, 1, Uint8Array.of(2, 65, 66, 0, 0)),
    frame(HEADERS, END_HEADERS | END_STREAM, 1, peer.block(["x-trailer", "z"])),
  ]);
  for (const byte of bytes) peer.send(Uint8Array.of(byte));
  const user = peer.users.get(1)!;
  assert.deepEqual(user.head.fields, ["x", "y".repeat(9)]);
  assert.deepEqual(joined(user.body), Uint8Array.of(65, 66));
  assert.deepEqual(user.trailers, ["x-trailer", "z"]);
  assert.ok(user.ended);
});

Deno.test("a header list of many frames goes out whole", () => {
  const peer = withStreams(1);
  const long = ["x-long", "v".repeat(40_000)];
  peer.users.get(1)!.stream.sendHeaders([":status", "200", ...long], false);
  peer.users.get(1)!.stream.sendTrailers(long);
  peer.exchange();
  assert.deepEqual(peer.streamOf(1).headers, [":status", "200", ...long]);
  assert.deepEqual(peer.streamOf(1).trailers, long);
  assert.ok(peer.of(CONTINUATION).length >= 4);
});

Deno.test("an answer before the request's end is followed by RST_STREAM(NO_ERROR)", () => {
  const peer = withStreams(1);
  const { stream } = peer.users.get(1)!;
  stream.sendHeaders([":status", "413"]);
  stream.sendData(new Uint8Array(3), true);
  peer.exchange();
  const last = peer.frames.slice(-2).map(({ type, flags }) => [type, flags]);
  assert.deepEqual(last, [[DATA, END_STREAM], [RST_STREAM, 0]]);
  assert.equal(peer.streamOf(1).reset, ERROR.NO_ERROR);
  // What was on its way does no harm, and costs no window.
  peer.maySend -= 5000;
  peer.send(frame(DATA, END_STREAM, 1, new Uint8Array(5000)));
  peer.exchange();
  assert.equal(peer.goAway, undefined);
});

Deno.test("SETTINGS in the middle of an answer narrow the window below zero, and it goes on later", () => {
  const peer = withStreams(1, { windowBytes: 1000 });
  const { stream } = peer.users.get(1)!;
  stream.sendHeaders([":status", "200"]);
  assert.ok(!stream.sendData(bodyOf(1, 3000), true));
  peer.exchange();
  peer.setWindow(0);
  peer.exchange();
  assert.equal(stream.sendWindow.bytes, -1000);
  peer.grant(1, 1000);
  peer.exchange();
  assert.equal(joined(peer.streamOf(1).body).length, 1000);
  peer.setWindow(5000);
  peer.exchange();
  assert.deepEqual(joined(peer.streamOf(1).body), bodyOf(1, 3000));
});

Deno.test("a stream that adds to too much that waits is reset; one alone may be as large as it likes", () => {
  let waiting = 0;
  const peer = withStreams(3, {
    windowBytes: 0,
    limits: { maxQueuedBytes: 10_000 },
    onQueued: (bytes) => waiting += bytes,
  });
  const [first, second, third] = [1, 3, 5].map((id) => peer.users.get(id)!);
  for (const { stream } of [first, second, third]) stream.sendHeaders([":status", "200"]);
  assert.ok(!first.stream.sendData(bodyOf(1, 50_000), true));
  assert.equal(waiting, 50_000);
  second.stream.sendData(new Uint8Array(1));
  assert.equal(second.resetCode, ERROR.ENHANCE_YOUR_CALM);
  assert.equal(waiting, 50_000);
  for (const id of [1, 5]) peer.grant(id, 60_000);
  peer.exchange();
  assert.equal(waiting, 0);
  assert.ok(third.stream.sendData(bodyOf(5, 1000), true), "what leaves at once never waits");
  peer.exchange();
  assert.deepEqual(joined(peer.streamOf(1).body), bodyOf(1, 50_000));
  assert.deepEqual(joined(peer.streamOf(5).body), bodyOf(5, 1000));
  assert.equal(peer.streamOf(3).reset, ERROR.ENHANCE_YOUR_CALM);
});

Deno.test("a peer that asks and does not read is not read either, until it does", () => {
  const peer = withStreams(0, { limits: { maxConcurrentStreams: 1e6 } });
  const answer = [":status", "200", "x-long", "v".repeat(8000)];
  let id = 1;
  while (!peer.socket.paused) {
    assert.ok(id < 1000, "the output is bounded");
    peer.send(peer.request(id, true));
    peer.users.get(id)!.stream.sendHeaders(answer, true);
    id += 2;
  }
  peer.exchange();
  assert.ok(!peer.socket.paused);
  assert.equal(peer.of(HEADERS).length, (id - 1) / 2);
});

/** What ends the connection with ENHANCE_YOUR_CALM, by the reason that metrics have. */
const FLOODS: Record<string, (peer: Peer, i: number) => Uint8Array[]> = {
  ping: () => [frame(PING, 0, 0, new Uint8Array(8))],
  settings: () => [frame(SETTINGS, 0, 0)],
  priority: (_, i) => [frame(PRIORITY, 0, 2 * i + 1, new Uint8Array(5))],
  unknown_frame: () => [frame(0x77, 0, 0, new Uint8Array(3))],
  window_update: () => [frame(WINDOW_UPDATE, 0, 0, Uint8Array.from(uint32(1)))],
  empty_data: () => [frame(DATA, 0, 1)],
  goaway: () => [frame(GOAWAY, 0, 0, new Uint8Array(8))],
  closed_stream: (_, i) => [frame(i % 2 === 0 ? RST_STREAM : DATA, 0, 1, new Uint8Array(4))],
  resets: (peer, i) => [
    peer.request(2 * i + 3, false),
    frame(RST_STREAM, 0, 2 * i + 3, Uint8Array.from(uint32(8))),
  ],
};

for (const [reason, frames] of Object.entries(FLOODS)) {
  Deno.test(`a flood of ${reason} ends the connection with ENHANCE_YOUR_CALM, once the budget is spent`, () => {
    const budget = { burst: 100, perSecond: 1 };
    const peer = withStreams(1, { limits: { resets: budget, overhead: budget } });
    let sent = 0;
    for (; peer.failures.length === 0; sent++) {
      assert.ok(sent < 1000, "the flood has an end");
      peer.send(...frames(peer, sent));
    }
    peer.exchange();
    assert.equal(peer.goAway?.code, ERROR.ENHANCE_YOUR_CALM);
    const [failure] = peer.failures;
    assert.ok(failure instanceof AbuseError);
    assert.equal(failure.kind, reason);
    assert.ok(sent >= 98, `${sent} were taken`);
  });
}

Deno.test("an abuser is not read any more, and gone once it may have heard why", async () => {
  const peer = new Peer({ limits: { overhead: { burst: 10, perSecond: 0 } } });
  for (let i = 0; i < 11; i++) peer.send(frame(PING, 0, 0, new Uint8Array(8)));
  peer.exchange();
  assert.equal(peer.goAway?.code, ERROR.ENHANCE_YOUR_CALM);
  assert.ok(peer.socket.paused && peer.socket.ended);
  // Something else resumes the socket, and some bytes come through.
  peer.socket.resume();
  peer.send(new Uint8Array(1000));
  assert.ok(peer.socket.paused);
  await peer.clock.advance(249);
  assert.ok(!peer.socket.destroyed);
  await peer.clock.advance(1);
  assert.ok(peer.socket.destroyed);
  assert.equal(peer.clock.pendingCount, 0);
});

Deno.test("who only broke the protocol is read to the end", () => {
  const peer = new Peer();
  peer.send(frame(DATA, 0, 0, new Uint8Array(1)));
  peer.exchange();
  assert.equal(peer.goAway?.code, ERROR.PROTOCOL_ERROR);
  assert.ok(peer.socket.ended && !peer.socket.paused);
});

Deno.test("windows that are granted byte by byte earn nothing, and end the connection", () => {
  const peer = withStreams(1, {
    windowBytes: 0,
    limits: { overhead: { burst: 100, perSecond: 0 } },
  });
  const { stream } = peer.users.get(1)!;
  stream.sendHeaders([":status", "200"]);
  stream.sendData(new Uint8Array(100_000), true);
  for (let i = 0; i < 200 && peer.failures.length === 0; i++) {
    peer.grant(1, 1);
    peer.exchange();
  }
  assert.equal(peer.goAway?.code, ERROR.ENHANCE_YOUR_CALM);
});

Deno.test("windows that are granted by the frame cost nothing", () => {
  const peer = withStreams(1, {
    windowBytes: 0,
    limits: { overhead: { burst: 100, perSecond: 0 } },
  });
  const { stream } = peer.users.get(1)!;
  stream.sendHeaders([":status", "200"]);
  stream.sendData(new Uint8Array(4_000_000), true);
  for (let i = 0; i < 1000 && !peer.streamOf(1).ended; i++) {
    peer.grant(0, 8000);
    peer.grant(1, 8000);
    peer.exchange();
  }
  assert.ok(peer.streamOf(1).ended);
  assert.equal(peer.goAway, undefined);
});

/** Faults of a client that make the server reset a stream (CVE-2025-8671), and the code. */
const MADE_TO_RESET: Record<string, [code: number, frames: (id: number) => Uint8Array[]]> = {
  "WINDOW_UPDATE by nothing": [
    ERROR.PROTOCOL_ERROR,
    (id) => [frame(WINDOW_UPDATE, 0, id, new Uint8Array(4))],
  ],
  "a window beyond 2^31": [
    ERROR.FLOW_CONTROL_ERROR,
    (id) => [frame(WINDOW_UPDATE, 0, id, Uint8Array.from(uint32(2 ** 31 - 1)))],
  ],
  "a PRIORITY of another length": [
    ERROR.FRAME_SIZE_ERROR,
    (id) => [frame(PRIORITY, 0, id, new Uint8Array(4))],
  ],
  "a stream that depends on itself": [
    ERROR.PROTOCOL_ERROR,
    (id) => [frame(PRIORITY, 0, id, Uint8Array.of(...uint32(id), 1))],
  ],
  "DATA after END_STREAM": [
    ERROR.STREAM_CLOSED,
    (id) => [frame(DATA, END_STREAM, id), frame(DATA, 0, id, new Uint8Array(1))],
  ],
  "HEADERS amid a body": [
    ERROR.PROTOCOL_ERROR,
    (id) => [frame(HEADERS, END_HEADERS, id, Uint8Array.of(0x82))],
  ],
};

for (const [what, [code, frames]] of Object.entries(MADE_TO_RESET)) {
  Deno.test(`${what} resets the stream, counts for ten resets, and ends the connection in the end`, () => {
    const peer = new Peer({ limits: { resets: { burst: 100, perSecond: 0 } } });
    for (let id = 1; id < 21; id += 2) {
      peer.send(peer.request(id, false), ...frames(id));
      peer.exchange();
      assert.equal(peer.streamOf(id).reset, code);
      assert.deepEqual(peer.failures, []);
      assert.equal(peer.users.get(id)!.resetCode, code);
    }
    peer.send(peer.request(21, false), ...frames(21));
    peer.exchange();
    assert.equal(peer.goAway?.code, ERROR.ENHANCE_YOUR_CALM);
    assert.equal(peer.goAway?.debug, "too much of this: resets");
  });
}

Deno.test("a body that is not of its content-length resets the stream", () => {
  for (const [declared, sent] of [[5, 4], [5, 6], [0, 1]]) {
    const peer = new Peer();
    peer.send(peer.request(1, false, ["content-length", String(declared)]));
    peer.send(frame(DATA, END_STREAM, 1, new Uint8Array(sent)));
    peer.exchange();
    assert.equal(peer.streamOf(1).reset, ERROR.PROTOCOL_ERROR);
  }
  const peer = new Peer();
  peer.send(peer.request(1, true, ["content-length", "3"]));
  peer.exchange();
  assert.equal(peer.streamOf(1).reset, ERROR.PROTOCOL_ERROR);
});

Deno.test("a header block that does not end is cut off by its frames, its bytes and its time", async () => {
  const begin = (peer: Peer) => peer.send(frame(HEADERS, 0, 1, Uint8Array.of(0x82)));
  const many = new Peer();
  begin(many);
  for (let i = 0; i < 40; i++) many.send(frame(CONTINUATION, 0, 1));
  many.exchange();
  assert.equal(many.goAway?.code, ERROR.ENHANCE_YOUR_CALM);

  const large = new Peer();
  begin(large);
  for (let i = 0; i < 5; i++) large.send(frame(CONTINUATION, 0, 1, new Uint8Array(16_384)));
  large.exchange();
  assert.equal(large.goAway?.code, ERROR.ENHANCE_YOUR_CALM);

  const slow = new Peer();
  begin(slow);
  await slow.clock.advance(9_999);
  slow.send(frame(CONTINUATION, 0, 1));
  assert.deepEqual(slow.failures, []);
  await slow.clock.advance(1);
  assert.equal((slow.failures[0] as AbuseError).kind, "slow_headers");

  const inTime = new Peer();
  const block = inTime.block([":method", "GET", ":scheme", "http", ":path", "/"]);
  inTime.send(frame(HEADERS, END_STREAM, 1, block.subarray(0, 1)));
  await inTime.clock.advance(5_000);
  inTime.send(frame(CONTINUATION, END_HEADERS, 1, block.subarray(1)));
  assert.equal(inTime.users.size, 1);
  assert.equal(inTime.clock.pendingCount, 0);
});

Deno.test("a header list of four times the limit is not read to its end, and ends the connection", () => {
  const peer = new Peer();
  const head = peer.block([":method", "GET", ":scheme", "http", ":path", "/"]);
  // Each further byte names the entry of 4 KiB again.
  const block = joined([
    head,
    tableEntry("x", "a".repeat(3900)),
    new Uint8Array(10_000).fill(0xbe),
  ]);
  peer.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, block));
  peer.exchange();
  assert.equal(peer.goAway?.code, ERROR.ENHANCE_YOUR_CALM);
  assert.equal((peer.failures[0] as AbuseError).kind, "headers");
});

Deno.test("SETTINGS with more settings than there are kinds end the connection", () => {
  const peer = new Peer();
  peer.send(frame(SETTINGS, 0, 0, new Uint8Array(6 * 32)));
  assert.deepEqual(peer.failures, []);
  peer.send(frame(SETTINGS, 0, 0, new Uint8Array(6 * 33)));
  peer.exchange();
  assert.equal(peer.goAway?.code, ERROR.ENHANCE_YOUR_CALM);
});

Deno.test("a frame that is too large ends the connection before its payload comes", () => {
  const peer = new Peer();
  peer.send(Uint8Array.of(0, 0x40, 1, DATA, 0, 0, 0, 0, 1));
  peer.exchange();
  assert.equal(peer.goAway?.code, ERROR.FRAME_SIZE_ERROR);
});

Deno.test("nothing is left after the end of a connection: no stream, no timer, nothing that waits", async () => {
  for (const end of ["the peer's", "ours"]) {
    let waiting = 0;
    const peer = withStreams(20, { windowBytes: 10, onQueued: (bytes) => waiting += bytes });
    for (const { stream } of peer.users.values()) {
      stream.sendHeaders([":status", "200"]);
      stream.sendData(new Uint8Array(1000), true);
    }
    // A header block that does not end has a timer.
    peer.send(frame(HEADERS, 0, 99, Uint8Array.of(0x82)));
    assert.ok(waiting > 0 && peer.clock.pendingCount > 0);
    if (end === "ours") {
      peer.send(frame(PING, 0, 0, new Uint8Array(3)));
      peer.exchange();
      assert.equal(peer.goAway?.code, ERROR.PROTOCOL_ERROR, "a header block was interrupted");
      await peer.clock.advance(250);
      assert.ok(peer.socket.destroyed);
    } else peer.socket.destroy();
    assert.equal(peer.connection.openStreams, 0);
    assert.equal(peer.connection.queuedBytes, 0);
    assert.equal(waiting, 0);
    assert.equal(peer.clock.pendingCount, 0);
    for (const { resetCode } of peer.users.values()) assert.notEqual(resetCode, undefined);
  }
});
