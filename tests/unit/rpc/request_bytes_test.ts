import assert from "node:assert/strict";
import { Code, ConnectError } from "@connectrpc/connect";
import fc from "fast-check";
import { BodyRoom, forgetLength, HeldBody, Pieces } from "../../../src/rpc/request_bytes.ts";
import { settle, SimClock } from "../../../src/runtime/mod.ts";
import { joined } from "../../support/http2_peer.ts";
import { envelope } from "../../support/raw_rpc.ts";

Deno.test("Pieces gives back the bytes that it was given, in pieces of any size", () => {
  const steps = fc.array(
    fc.oneof(
      fc.record({ add: fc.uint8Array({ maxLength: 3000 }) }),
      fc.record({ take: fc.nat({ max: 2000 }) }),
      fc.record({ peek: fc.nat({ max: 50 }) }),
    ),
    { maxLength: 40 },
  );
  fc.assert(
    fc.property(steps, (steps) => {
      const pieces = new Pieces();
      let model = new Uint8Array(0);
      for (const step of steps) {
        if ("add" in step) {
          pieces.add(step.add);
          model = joined([model, step.add]) as Uint8Array<ArrayBuffer>;
        } else if ("take" in step) {
          const taken = pieces.shift(step.take);
          assert.equal(taken === undefined, model.length === 0 || step.take === 0);
          if (taken === undefined) continue;
          assert.ok(taken.length <= step.take);
          assert.deepEqual(taken.slice(), model.slice(0, taken.length));
          model = model.slice(taken.length);
        } else assert.deepEqual(pieces.peek(step.peek), model.slice(0, step.peek));
        assert.equal(pieces.bytes, model.length);
        assert.deepEqual(pieces.join().slice(), model);
      }
    }),
  );
});

Deno.test("Pieces holds not much more memory than it has bytes", () => {
  const pieces = new Pieces();
  const memory = new Set<ArrayBufferLike>();
  // Single bytes, each of a chunk of 64 KiB.
  for (let i = 0; i < 5000; i++) pieces.add(new Uint8Array(65_536).subarray(100, 101));
  let count = 0;
  for (let piece = pieces.shift(); piece !== undefined; piece = pieces.shift()) {
    memory.add(piece.buffer);
    count++;
  }
  assert.ok(count < 10, `${count} pieces`);
  const bytes = [...memory].reduce((sum, each) => sum + each.byteLength, 0);
  assert.ok(bytes <= 32 * 1024, `${bytes} bytes of memory for 5,000`);
});

interface Made {
  body: HeldBody;
  room: BodyRoom;
  clock: SimClock;
  push: (bytes: Uint8Array | undefined) => void;
  late: () => number;
}

function make(contentType: string, bodyBytes = 10_000): Made {
  const room = new BodyRoom({ connectionBodyBytes: bodyBytes, bodyBytes: 2 * bodyBytes });
  const clock = new SimClock();
  const chunks: (Uint8Array | undefined)[] = [];
  let wake = () => {};
  let late = 0;
  let ended = false;
  const source: AsyncIterator<Uint8Array> = {
    async next() {
      while (chunks.length === 0 && !ended) await new Promise<void>((resolve) => wake = resolve);
      const value = chunks.shift();
      if (value !== undefined) return { done: false, value };
      ended = true;
      return { done: true, value: undefined };
    },
  };
  const limits = { readMaxBytes: 1000, bodyTimeoutMs: 500 };
  const onLate = () => void late++;
  const body = new HeldBody(source, { room, connection: room, clock, limits, contentType, onLate });
  const push = (bytes: Uint8Array | undefined) => {
    chunks.push(bytes);
    wake();
  };
  return { body, room, clock, push, late: () => late };
}

Deno.test("HeldBody refuses flags that a protocol does not have, and gives what came before", async () => {
  const flagged = (flags: number) => Uint8Array.of(flags, 0, 0, 0, 1, 7);
  const allowed: readonly (readonly [type: string, flags: readonly number[]])[] = [
    ["application/grpc", [0, 1]],
    ["Application/GRPC+proto", [0, 1]],
    ["application/grpc-web+proto", [0, 1]],
    ["application/connect+json", [0, 1, 2, 3]],
  ];
  for (const [type, flags] of allowed) {
    for (let flag = 0; flag < 256; flag++) {
      const { body, push } = make(type);
      push(joined([envelope(Uint8Array.of(1)), flagged(flag)]));
      push(undefined);
      const found: Uint8Array[] = [];
      const read = async () => {
        for await (const piece of body) found.push(piece);
      };
      if (flags.includes(flag)) {
        await read();
        assert.equal(joined(found).length, 12);
        continue;
      }
      await assert.rejects(read, (error) => {
        const hex = flag.toString(16).padStart(2, "0");
        return error instanceof ConnectError && error.code === Code.Internal &&
          error.rawMessage === `protocol error: a message has the flags 0x${hex}`;
      });
      assert.deepEqual(joined(found), envelope(Uint8Array.of(1)), `${type} ${flag}`);
    }
  }
});

Deno.test("HeldBody gives messages whole, however they are cut, and the rest at the end", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 6 }),
      fc.uint8Array({ maxLength: 4 }),
      fc.integer({ min: 1, max: 50 }),
      async (messages, tail, cut) => {
        const { body, push, room } = make("application/grpc+proto");
        // What is cut off has flags that there are.
        tail[0] &= 1;
        const whole = joined([...messages.map(envelope), tail]);
        for (let at = 0; at < whole.length; at += cut) push(whole.subarray(at, at + cut));
        push(undefined);
        const found: Uint8Array[] = [];
        for await (const piece of body) found.push(piece);
        assert.deepEqual(joined(found), whole);
        body.release();
        assert.equal(room.bytes, 0);
      },
    ),
    { numRuns: 60 },
  );
});

Deno.test("HeldBody keeps what is no whole message to itself", async () => {
  const { body, push, clock } = make("application/connect+json");
  const bytes = joined([envelope(new Uint8Array(3)), envelope(new Uint8Array(900))]);
  push(bytes.subarray(0, 20));
  assert.equal((await body.next()).value?.length, 8);
  let given = 0;
  const next = body.next().then(({ value }) => given += value!.length);
  push(bytes.subarray(20, 900));
  await clock.advance(0);
  assert.equal(given, 0);
  push(bytes.subarray(900));
  await next;
  assert.ok(given > 0);
});

Deno.test("HeldBody gives on at once what is too large, for the library to refuse", async () => {
  const framed = make("application/grpc");
  framed.push(Uint8Array.of(0, 0, 0, 4, 0, 9));
  assert.equal((await framed.body.next()).value?.length, 6);
  const bare = make("application/json");
  bare.push(new Uint8Array(1001));
  assert.equal((await bare.body.next()).value?.length, 1001);
});

Deno.test("HeldBody refuses what finds no room, and gives back what it took", async () => {
  const { body, push, room } = make("application/json", 800);
  push(new Uint8Array(700));
  push(new Uint8Array(200));
  await assert.rejects(
    body.next(),
    (error) => error instanceof ConnectError && error.code === Code.ResourceExhausted,
  );
  assert.equal(room.refused, 1);
  body.release();
  body.release();
  assert.equal(room.bytes, 0);
});

Deno.test("HeldBody holds room for one message of many", async () => {
  const { body, push, room } = make("application/grpc", 3000);
  for (let i = 0; i < 50; i++) {
    push(envelope(new Uint8Array(900)));
    assert.equal((await body.next()).value?.length, 905);
  }
  assert.ok(room.bytes <= 2 * 905, `${room.bytes} bytes are held`);
});

Deno.test("HeldBody counts what a message has become, in place of the one before", async () => {
  const { body, push, room } = make("application/grpc", 3000);
  push(envelope(new Uint8Array(95)));
  await body.next();
  for (let i = 0; i < 5; i++) {
    body.holdInflated(2000);
    assert.equal(room.bytes, 2100);
  }
  assert.throws(
    () => body.holdInflated(2901),
    (error) => error instanceof ConnectError && error.code === Code.ResourceExhausted,
  );
  assert.equal(room.bytes, 100);
  body.holdInflated(2900);
  body.release();
  assert.equal(room.bytes, 0);
  // Nobody waits for it any more, and nobody would give it back.
  body.holdInflated(10);
  assert.equal(room.bytes, 0);
});

Deno.test("HeldBody says when a message does not come in time, and not between messages", async () => {
  const { body, push, clock, late } = make("application/grpc");
  void body.next().then(() => body.next()).then(() => body.next());
  await settle();
  await clock.advance(499);
  push(envelope(new Uint8Array(1)));
  await clock.advance(100_000);
  assert.equal(late(), 0);
  push(Uint8Array.of(0, 0));
  await clock.advance(499);
  // A byte now and then is no excuse.
  push(Uint8Array.of(0));
  await clock.advance(1);
  assert.equal(late(), 1);
  body.release();
  assert.equal(clock.pendingCount, 0);
});

Deno.test("forgetLength() leaves only lengths that are too large", () => {
  const header = (length: string) => new Headers({ "content-length": length });
  const [small, large] = [header("1000"), header("1001")];
  forgetLength(small, 1000);
  forgetLength(large, 1000);
  assert.deepEqual([small.has("content-length"), large.has("content-length")], [false, true]);
});

Deno.test("BodyRoom bounds each connection and all together", () => {
  const room = new BodyRoom({ connectionBodyBytes: 10, bodyBytes: 15 });
  const [a, b] = [{}, {}];
  assert.ok(room.take(a, 10));
  assert.ok(!room.take(a, 1));
  assert.ok(room.take(b, 5));
  assert.ok(!room.take(b, 1));
  room.give(a, 4);
  assert.ok(room.take(b, 4));
  room.give(a, 6);
  room.give(b, 9);
  assert.equal(room.bytes, 0);
});
