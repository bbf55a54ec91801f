import assert from "node:assert/strict";
import fc from "fast-check";
import {
  ERROR,
  type Http2Stream,
  LOST,
  readResponseHead,
  type StreamUser,
} from "../../../../src/rpc/http2/mod.ts";
import {
  echo,
  endPair,
  type Pair,
  pairOf,
  type PairOptions,
  quiet,
} from "../../../support/http2_pair.ts";
import { TestCall, TestUser } from "../../../support/http2_pair.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

/** Runs a test with a pair, and closes both ends. */
async function withPair(
  options: PairOptions,
  test: (pair: Pair, users: TestUser[]) => Promise<void>,
): Promise<void> {
  const users: TestUser[] = [];
  const pair = await pairOf({
    ...options,
    serve: (stream, head) => {
      const user = options.serve(stream, head);
      if (user instanceof TestUser) users.push(user);
      return user;
    },
  });
  try {
    await test(pair, users);
  } finally {
    await endPair(pair);
  }
}

/** Makes a call. */
function begin({ client }: Pair, call = new TestCall()): TestCall {
  assert.ok(client.begin(call));
  return call;
}

const silent = (stream: Http2Stream): StreamUser => new TestUser(stream);

Deno.test("a call has the answer's head, body and trailers", () =>
  withPair({ serve: echo }, async (pair) => {
    const call = begin(pair, new TestCall({ body: bytes("hello") }));
    await quiet();
    assert.deepEqual(call.head, {
      status: 200,
      fields: ["content-type", "text/plain"],
      contentLength: -1,
    });
    assert.equal(call.text, "hello");
    assert.deepEqual(call.trailers, ["x-end", "yes"]);
    assert.equal(pair.client.openStreams, 0);
    assert.equal(pair.server.openStreams, 0);
    assert.deepEqual(pair.failures, []);
  }));

Deno.test("an answer of headers only has no trailers", () =>
  withPair({
    serve: (stream) => {
      const user = new TestUser(stream, () => stream.sendHeaders([":status", "404"], true));
      return user;
    },
  }, async (pair) => {
    const call = begin(pair);
    await quiet();
    assert.equal(call.head?.status, 404);
    assert.deepEqual(call.trailers, []);
  }));

Deno.test("interim answers are skipped", () =>
  withPair({
    serve: (stream) => {
      stream.sendHeaders([":status", "100"]);
      stream.sendHeaders([":status", "103", "link", "</x>"]);
      return echo(stream);
    },
  }, async (pair) => {
    const call = begin(pair, new TestCall({ body: bytes("x") }));
    await quiet();
    assert.equal(call.head?.status, 200);
    assert.equal(call.text, "x");
  }));

Deno.test("streams beyond the server's limit wait for their turn, in order", () =>
  withPair({ server: { maxConcurrentStreams: 2 }, serve: silent }, async (pair, users) => {
    await quiet();
    const calls = [1, 2, 3, 4, 5].map(() => begin(pair));
    await quiet();
    assert.equal(users.length, 2);
    assert.equal(pair.client.queued, 3);
    users[0].stream.sendHeaders([":status", "200"], true);
    await quiet();
    assert.equal(users.length, 3);
    assert.deepEqual(calls.map((call) => call.stream?.id), [1, 3, 5, undefined, undefined]);
    pair.client.forget(calls[3]);
    calls[3].cancel();
    users[1].stream.sendHeaders([":status", "200"], true);
    await quiet();
    assert.deepEqual(calls.map((call) => call.stream?.id), [1, 3, 5, undefined, 7]);
    assert.deepEqual(calls.map((call) => call.failure), Array(5).fill(undefined));
  }));

Deno.test("before the server's SETTINGS no stream is begun", () =>
  withPair({ server: { maxConcurrentStreams: 150 }, serve: silent }, async (pair, users) => {
    for (let i = 0; i < 200; i++) begin(pair);
    assert.equal(pair.client.openStreams, 0);
    await quiet();
    assert.equal(users.length, 150);
    assert.equal(pair.client.queued, 50);
    assert.deepEqual(pair.failures, []);
  }));

Deno.test("begin() takes no call when too many wait", () =>
  withPair({
    server: { maxConcurrentStreams: 1 },
    options: { maxQueued: 2 },
    serve: silent,
  }, async (pair) => {
    await quiet();
    for (let i = 0; i < 3; i++) begin(pair);
    assert.equal(pair.client.begin(new TestCall()), false);
  }));

Deno.test("a server's reset is told with its code", () =>
  withPair({ serve: silent }, async (pair, users) => {
    const call = begin(pair, new TestCall({ open: true }));
    await quiet();
    users[0].stream.reset(ERROR.REFUSED_STREAM);
    await quiet();
    assert.equal(call.failure, ERROR.REFUSED_STREAM);
    assert.equal(pair.client.openStreams, 0);
  }));

Deno.test("cancel() resets the server's stream, and late answers are ignored", () =>
  withPair({ serve: silent }, async (pair, users) => {
    const call = begin(pair);
    await quiet();
    users[0].stream.sendHeaders([":status", "200"]);
    users[0].stream.sendData(bytes("on its way"), true);
    call.cancel();
    await quiet();
    assert.equal(call.head, undefined);
    assert.equal(call.failure, undefined);
    assert.equal(pair.client.openStreams, 0);
    // The connection lives on.
    begin(pair);
    await quiet();
    assert.equal(users.length, 2);
    assert.deepEqual(pair.failures, []);
  }));

Deno.test("cancel() of a running stream tells the server", () =>
  withPair({ serve: silent }, async (pair, users) => {
    const call = begin(pair);
    await quiet();
    call.cancel();
    await quiet();
    assert.equal(users[0].resetCode, ERROR.CANCEL);
  }));

Deno.test("a whole answer before the request's end is no failure", () =>
  withPair({
    server: { streamWindowBytes: 100 },
    serve: (stream) => {
      stream.sendHeaders([":status", "413"]);
      stream.sendData(bytes("too much"), true);
      return new TestUser(stream);
    },
  }, async (pair) => {
    const call = begin(pair, new TestCall({ body: new Uint8Array(10_000) }));
    await quiet();
    assert.equal(call.head?.status, 413);
    assert.equal(call.text, "too much");
    assert.deepEqual(call.trailers, []);
    assert.equal(call.failure, undefined);
    assert.equal(pair.client.openStreams, 0);
    assert.equal(pair.server.openStreams, 0);
    assert.deepEqual(pair.failures, []);
  }));

Deno.test("a reset amid an answer is a failure, whatever its code", () =>
  withPair({ serve: silent }, async (pair, users) => {
    const call = begin(pair);
    await quiet();
    users[0].stream.sendHeaders([":status", "200"]);
    users[0].stream.reset(ERROR.NO_ERROR);
    await quiet();
    assert.equal(call.failure, ERROR.NO_ERROR);
  }));

Deno.test("an answer that is not of its content-length is a failure", () =>
  withPair({ serve: silent }, async (pair, users) => {
    const call = begin(pair);
    await quiet();
    users[0].stream.sendHeaders([":status", "200", "content-length", "5"]);
    users[0].stream.sendData(bytes("four"), true);
    await quiet();
    assert.equal(call.failure, ERROR.PROTOCOL_ERROR);
    assert.equal(pair.client.failed, false);
  }));

Deno.test("DATA before an answer's head is a failure of the stream", () =>
  withPair({ serve: silent }, async (pair, users) => {
    const [call, other] = [begin(pair), begin(pair)];
    await quiet();
    users[0].stream.sendData(bytes("?"));
    users[1].stream.sendHeaders([":status", "200"], true);
    await quiet();
    assert.equal(call.failure, ERROR.PROTOCOL_ERROR);
    assert.deepEqual(other.trailers, []);
  }));

Deno.test("a header list over the limit is a failure of the stream", () =>
  withPair({ client: { maxHeaderBytes: 200 }, serve: silent }, async (pair, users) => {
    const [call, other] = [begin(pair), begin(pair)];
    await quiet();
    users[0].stream.sendHeaders([":status", "200", "x", "y".repeat(300)]);
    users[1].stream.sendHeaders([":status", "200"], true);
    await quiet();
    assert.equal(call.failure, ERROR.ENHANCE_YOUR_CALM);
    assert.deepEqual(other.trailers, []);
  }));

Deno.test("a lost connection fails all calls, and refuses those that wait", () =>
  withPair({ server: { maxConcurrentStreams: 1 }, serve: silent }, async (pair) => {
    await quiet();
    const [open, waiting] = [begin(pair), begin(pair)];
    await quiet();
    pair.socket.destroy();
    pair.client.destroy();
    await quiet();
    assert.equal(open.failure, LOST);
    assert.equal(waiting.failure, ERROR.REFUSED_STREAM);
    assert.equal(pair.client.usable, false);
    assert.equal(pair.client.begin(new TestCall()), false);
  }));

Deno.test("whenEnded() tells once, also when the server ends the connection, and at once afterwards", async () => {
  let ends = 0;
  await withPair({ serve: silent }, async (pair) => {
    pair.client.whenEnded(() => ends++);
    const call = begin(pair);
    await quiet();
    pair.socket.end();
    await quiet();
    assert.equal(call.failure, LOST);
    assert.equal(ends, 1);
    pair.client.whenEnded(() => ends++);
    assert.equal(ends, 2);
  });
  assert.equal(ends, 2);
});

Deno.test("a server that drains finishes what it has, and the connection ends", () =>
  withPair({ serve: silent }, async (pair, users) => {
    const call = begin(pair);
    await quiet();
    pair.server.drain();
    await quiet();
    assert.equal(pair.client.begin(new TestCall()), false);
    assert.equal(pair.client.failed, false);
    users[0].stream.sendHeaders([":status", "200"], true);
    await quiet();
    assert.deepEqual(call.trailers, []);
    assert.equal(pair.client.failed, true);
    assert.deepEqual(pair.failures, []);
  }));

Deno.test("GOAWAY refuses what is above its last stream and what waits", () =>
  withPair({ server: { maxConcurrentStreams: 3 }, serve: silent }, async (pair, users) => {
    await quiet();
    const calls = [begin(pair), begin(pair), begin(pair), begin(pair)];
    await quiet();
    // A GOAWAY by hand: our server names the last stream that it has seen.
    const frame = new Uint8Array([0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0]);
    pair.client.receive(frame);
    assert.deepEqual(calls.map((call) => call.failure), [
      undefined,
      undefined,
      ERROR.REFUSED_STREAM,
      ERROR.REFUSED_STREAM,
    ]);
    users[0].stream.sendHeaders([":status", "200"], true);
    users[1].stream.sendHeaders([":status", "200"], true);
    await quiet();
    assert.deepEqual(calls.slice(0, 2).map((call) => call.trailers), [[], []]);
    assert.equal(pair.client.failed, true);
  }));

Deno.test("close() lets running and waiting calls end, then says goodbye", () =>
  withPair({ server: { maxConcurrentStreams: 1 }, serve: silent }, async (pair, users) => {
    await quiet();
    const calls = [begin(pair), begin(pair)];
    pair.client.close();
    assert.equal(pair.client.begin(new TestCall()), false);
    await quiet();
    users[0].stream.sendHeaders([":status", "200"], true);
    await quiet();
    users[1].stream.sendHeaders([":status", "200"], true);
    await quiet();
    assert.deepEqual(calls.map((call) => call.trailers), [[], []]);
    assert.equal(pair.client.failed, true);
    assert.deepEqual(pair.failures, []);
  }));

Deno.test("a silent server is asked for a sign of life, and lost without one", () =>
  withPair({
    serve: silent,
    options: { keepAlive: { afterMs: 1000, timeoutMs: 100 } },
  }, async (pair) => {
    const call = begin(pair);
    await pair.clock.advance(5000);
    assert.equal(pair.client.failed, false, "the server answers each PING");
    pair.socket.pause();
    pair.socket.removeAllListeners("data");
    await pair.clock.advance(2200);
    assert.equal(pair.client.failed, true);
    assert.equal(call.failure, LOST);
  }));

Deno.test("frames for a stream that was never begun end the connection", () =>
  withPair({ serve: silent }, async (pair) => {
    const call = begin(pair);
    await quiet();
    pair.client.receive(new Uint8Array([0, 0, 1, 1, 5, 0, 0, 0, 9, 0x88]));
    assert.equal(pair.client.failed, true);
    assert.equal(call.failure, LOST);
  }));

Deno.test("readResponseHead() refuses what is no answer", () => {
  assert.deepEqual(readResponseHead([":status", "204", "content-length", "0"], 1), {
    status: 204,
    fields: ["content-length", "0"],
    contentLength: 0,
  });
  for (
    const bad of [
      [],
      ["content-type", "x"],
      [":status", "20"],
      [":status", "600"],
      [":status", "200", ":status", "200"],
      [":status", "200", ":path", "/"],
      [":status", "200", "connection", "close"],
      [":status", "200", "Upper", "x"],
      [":status", "200", "content-length", "x"],
    ]
  ) {
    assert.throws(() => readResponseHead(bad, 1), { name: "Http2Error", streamId: 1 });
  }
});

/** Bytes that differ at every place, as far as that matters. */
function pattern(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8) + seed) & 0xff);
}

Deno.test("bodies arrive whole, both ways at once, whatever the windows and the pieces", () =>
  fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 0, max: 120_000 }), { minLength: 1, maxLength: 6 }),
      fc.constantFrom(1, 7, 1000, 16_384, 70_000),
      fc.constantFrom(1, 7, 1000, 16_384, 70_000),
      fc.array(fc.constantFrom(1, 2, 8, 9, 10, 300, 5000, 100_000), { minLength: 1 }),
      (sizes, serverWindow, clientWindow, cuts) => {
        const smallest = Math.min(serverWindow, clientWindow);
        // One byte a frame is tried, not endured.
        const lengths = sizes.map((size) => Math.min(size, smallest * 50));
        let next = 0;
        const cut = () => cuts[next++ % cuts.length];
        return withPair({
          server: { streamWindowBytes: serverWindow, connectionWindowBytes: 65_535 },
          client: { streamWindowBytes: clientWindow, connectionWindowBytes: 65_535 },
          cut: cuts.every((size) => size < 300) ? () => Math.max(300, cut()) : cut,
          serve: echo,
        }, async (pair) => {
          const bodies = lengths.map(pattern);
          const calls = bodies.map((body) => begin(pair, new TestCall({ body })));
          await Promise.all(calls.map((call) => call.ended.promise));
          calls.forEach((call, i) => {
            assert.equal(call.failure, undefined);
            assert.deepEqual(call.bytes, bodies[i]);
            assert.deepEqual(call.trailers, ["x-end", "yes"]);
          });
          assert.deepEqual(pair.failures, []);
          assert.equal(pair.client.failed, false);
        });
      },
    ),
    { numRuns: 40 },
  ));

Deno.test("a client that does not consume holds the server back, and only that stream", () =>
  withPair({ client: { streamWindowBytes: 1000 }, serve: echo }, async (pair) => {
    const slow = begin(pair, new TestCall({ body: pattern(5000, 1), slow: true }));
    const quick = begin(pair, new TestCall({ body: pattern(5000, 2) }));
    await quiet();
    await quiet();
    assert.equal(slow.bytes.length, 1000);
    assert.equal(quick.bytes.length, 5000);
    assert.ok(quick.trailers !== undefined);
    let consumed = 0;
    while (slow.trailers === undefined) {
      const arrived = slow.bytes.length;
      slow.stream!.consumed(arrived - consumed);
      consumed = arrived;
      await quiet();
    }
    assert.equal(slow.bytes.length, 5000);
    assert.deepEqual(slow.bytes, pattern(5000, 1));
  }));

Deno.test("drained() comes when what waited has left", () =>
  withPair({ server: { streamWindowBytes: 1000 }, serve: silent }, async (pair, users) => {
    await quiet();
    const call = begin(pair, new TestCall({ open: true }));
    assert.equal(call.stream!.sendData(new Uint8Array(1500)), false);
    await quiet();
    assert.equal(call.drains, 0);
    users[0].stream.consumed(1000);
    await quiet();
    assert.equal(call.drains, 1);
    assert.equal(call.stream!.sendData(new Uint8Array(10)), true);
  }));
