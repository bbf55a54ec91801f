import assert from "node:assert/strict";
import fc from "fast-check";
import { TICK_MS } from "../../../src/rpc/deadlines.ts";
import {
  GrpcClient,
  GrpcError,
  grpcTimeout,
  type UnaryAnswer,
} from "../../../src/rpc/grpc_client.ts";
import {
  ERROR,
  fieldOf,
  type HeaderList,
  type Http2Stream,
  type RequestHead,
} from "../../../src/rpc/http2/mod.ts";
import {
  endPair,
  type Pair,
  pairOf,
  type PairOptions,
  quiet,
  TestUser,
} from "../../support/http2_pair.ts";

const PATH = "/a.B/C";
const OK_HEAD: HeaderList = [":status", "200", "content-type", "application/grpc+proto"];

/** What the server's handler sees. */
interface Seen {
  readonly heads: RequestHead[];
  readonly users: TestUser[];
}

/** Runs a test with a client whose server answers each whole request by `answer`. */
async function withClient(
  answer: (stream: Http2Stream, body: Uint8Array) => void,
  test: (client: GrpcClient, pair: Pair, seen: Seen) => Promise<void>,
  options: Partial<PairOptions> & { readMaxBytes?: number } = {},
): Promise<void> {
  const seen: Seen = { heads: [], users: [] };
  const pair = await pairOf({
    ...options,
    serve: (stream, head) => {
      const user = new TestUser(stream, (user, bytes, end) => {
        stream.consumed(bytes.length);
        if (end) answer(stream, new Uint8Array(user.body.flatMap((piece) => [...piece])));
      });
      seen.heads.push(head);
      seen.users.push(user);
      return user;
    },
  });
  const { readMaxBytes } = options;
  const client = new GrpcClient({
    connection: pair.client,
    clock: pair.clock,
    authority: "server:1",
    ...(readMaxBytes === undefined ? {} : { readMaxBytes }),
  });
  try {
    await test(client, pair, seen);
  } finally {
    await endPair(pair);
  }
}

function framed(message: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(5 + message.length);
  new DataView(bytes.buffer).setUint32(1, message.length);
  bytes.set(message, 5);
  return bytes;
}

/** Answers with what came. */
function echo(stream: Http2Stream, body: Uint8Array): void {
  stream.sendHeaders(OK_HEAD);
  stream.sendData(body);
  stream.sendTrailers(["grpc-status", "0", "x-more", "yes"]);
}

function silent(): void {}

/** The error of a call that must fail. */
async function failure(call: Promise<UnaryAnswer>): Promise<GrpcError> {
  try {
    await call;
  } catch (error) {
    assert.ok(error instanceof GrpcError, String(error));
    return error;
  }
  return assert.fail("the call succeeded");
}

Deno.test("unary() brings the message, the head's and the trailers' metadata", () =>
  withClient(echo, async (client, _pair, { heads }) => {
    const message = new Uint8Array([1, 2, 3]);
    const answer = await client.unary(PATH, message);
    assert.deepEqual(answer.message, message);
    assert.deepEqual(answer.head, ["content-type", "application/grpc+proto"]);
    assert.equal(fieldOf(answer.trailers, "x-more"), "yes");
    const { method, path, authority, fields } = heads[0];
    assert.deepEqual({ method, path, authority }, {
      method: "POST",
      path: PATH,
      authority: "server:1",
    });
    assert.deepEqual(fields, ["content-type", "application/grpc", "te", "trailers"]);
  }));

Deno.test("unary() sends metadata and the deadline", () =>
  withClient(echo, async (client, _pair, { heads }) => {
    const metadata = ["x-a", "1", "x-a", "2"];
    await client.unary(PATH, new Uint8Array(0), { timeoutMs: 1500, metadata });
    await client.unary(PATH, new Uint8Array(0), { timeoutMs: 1500 });
    assert.deepEqual(heads[0].fields.slice(4), ["grpc-timeout", "1500m", ...metadata]);
    assert.deepEqual(heads[1].fields.slice(4), ["grpc-timeout", "1500m"]);
  }));

Deno.test("unary() takes messages of any size, in any pieces, many at once", () =>
  fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 0, max: 100_000 }), { minLength: 1, maxLength: 8 }),
      fc.array(fc.constantFrom(100, 300, 5000, 16_393, 100_000), { minLength: 1 }),
      (sizes, cuts) => {
        let next = 0;
        const cut = () => cuts[next++ % cuts.length];
        return withClient(echo, async (client) => {
          const messages = sizes.map((size, i) => new Uint8Array(size).map((_, at) => at * 7 + i));
          const answers = await Promise.all(messages.map((each) => client.unary(PATH, each)));
          answers.forEach(({ message }, i) => assert.deepEqual(message, messages[i]));
        }, { cut, server: { streamWindowBytes: 20_000 }, client: { streamWindowBytes: 30_000 } });
      },
    ),
    { numRuns: 25 },
  ));

Deno.test("a status other than OK is thrown, with message and details", () =>
  withClient((stream) => {
    stream.sendHeaders(OK_HEAD);
    stream.sendTrailers([
      ...["grpc-status", "5", "grpc-message", "not %E2%82%AC here"],
      ...["grpc-status-details-bin", "CAUSAWE"],
    ]);
  }, async (client) => {
    const error = await failure(client.unary(PATH, new Uint8Array(1)));
    assert.equal(error.code, 5);
    assert.equal(error.message, "not € here");
    assert.deepEqual(error.details, new Uint8Array([8, 5, 18, 1, 97]));
    assert.equal(error.notBegun, false);
  }));

Deno.test("a status may come with an answer of headers only", () =>
  withClient(
    (stream) => stream.sendHeaders([...OK_HEAD, "grpc-status", "12", "grpc-message", "no"], true),
    async (client) => {
      const error = await failure(client.unary(PATH, new Uint8Array(1)));
      assert.deepEqual([error.code, error.message], [12, "no"]);
    },
  ));

/** An answer, and the code and a part of the message that a caller has for it. */
const BAD_ANSWERS: Record<string, [(stream: Http2Stream) => void, number, RegExp]> = {
  "no grpc-status": [
    (stream) => {
      stream.sendHeaders(OK_HEAD);
      stream.sendData(framed(new Uint8Array(1)), true);
    },
    13,
    /no grpc-status/,
  ],
  "a grpc-status that is no number": [
    (stream) => {
      stream.sendHeaders(OK_HEAD);
      stream.sendTrailers(["grpc-status", "OK"]);
    },
    13,
    /no number/,
  ],
  "a grpc-status that nobody knows": [
    (stream) => {
      stream.sendHeaders(OK_HEAD);
      stream.sendTrailers(["grpc-status", "77"]);
    },
    2,
    /^$/,
  ],
  "OK without a message": [
    (stream) => {
      stream.sendHeaders(OK_HEAD);
      stream.sendTrailers(["grpc-status", "0"]);
    },
    13,
    /no message/,
  ],
  "two messages": [
    (stream) => {
      stream.sendHeaders(OK_HEAD);
      stream.sendData(framed(new Uint8Array(1)));
      stream.sendData(framed(new Uint8Array(1)));
      stream.sendTrailers(["grpc-status", "0"]);
    },
    13,
    /not one message/,
  ],
  "a message that is cut": [
    (stream) => {
      stream.sendHeaders(OK_HEAD);
      stream.sendData(framed(new Uint8Array(9)).subarray(0, 10));
      stream.sendTrailers(["grpc-status", "0"]);
    },
    13,
    /not one message/,
  ],
  "a compressed message": [
    (stream) => {
      stream.sendHeaders(OK_HEAD);
      const bytes = framed(new Uint8Array(1));
      bytes[0] = 1;
      stream.sendData(bytes);
      stream.sendTrailers(["grpc-status", "0"]);
    },
    13,
    /compressed/,
  ],
  "an answer that is not gRPC": [
    (stream) => {
      stream.sendHeaders([":status", "200", "content-type", "text/html"]);
      stream.sendTrailers(["grpc-status", "0"]);
    },
    2,
    /not an answer of gRPC/,
  ],
  "a proxy's 503": [(stream) => stream.sendHeaders([":status", "503"], true), 14, /503/],
  "a 404": [(stream) => stream.sendHeaders([":status", "404"], true), 12, /404/],
  "a reset": [(stream) => stream.reset(ERROR.INTERNAL_ERROR), 13, /reset with code 2/],
  "a cancellation": [(stream) => stream.reset(ERROR.CANCEL), 1, /cancelled/],
};

for (const [name, [answer, code, text]] of Object.entries(BAD_ANSWERS)) {
  Deno.test(`unary() fails on ${name}`, () =>
    withClient(answer, async (client) => {
      const error = await failure(client.unary(PATH, new Uint8Array(1)));
      assert.equal(error.code, code);
      assert.match(error.message, text);
      assert.equal(error.notBegun, false);
    }));
}

Deno.test("an answer over the limit is given up", () =>
  withClient((stream) => {
    stream.sendHeaders(OK_HEAD);
    stream.sendData(framed(new Uint8Array(2000)));
  }, async (client, pair, { users }) => {
    const error = await failure(client.unary(PATH, new Uint8Array(1)));
    assert.equal(error.code, 8);
    await quiet();
    assert.equal(users[0].resetCode, ERROR.CANCEL);
    assert.equal(pair.client.openStreams, 0);
  }, { readMaxBytes: 1000 }));

Deno.test("a refused call has certainly not begun", () =>
  withClient(
    (stream) => stream.reset(ERROR.REFUSED_STREAM),
    async (client, pair) => {
      const error = await failure(client.unary(PATH, new Uint8Array(1)));
      assert.deepEqual([error.code, error.notBegun], [14, true]);
      pair.client.close();
      const late = await failure(client.unary(PATH, new Uint8Array(1)));
      assert.deepEqual([late.code, late.notBegun], [14, true]);
    },
  ));

Deno.test("a lost connection leaves open what has become of the call", () =>
  withClient(silent, async (client, pair) => {
    const call = failure(client.unary(PATH, new Uint8Array(1)));
    await quiet();
    pair.client.destroy();
    const error = await call;
    assert.deepEqual([error.code, error.notBegun], [14, false]);
  }));

Deno.test("a deadline ends a call that nobody answers, and tells the server", () =>
  withClient(silent, async (client, pair, { users }) => {
    const late: GrpcError[] = [];
    for (const timeoutMs of [300, 100, 200, 100]) {
      client.unary(PATH, new Uint8Array(1), { timeoutMs }).catch((error) => late.push(error));
    }
    await pair.clock.advance(99);
    assert.equal(late.length, 0);
    await pair.clock.advance(TICK_MS);
    assert.deepEqual(late.map((error) => error.code), [4, 4]);
    await pair.clock.advance(100);
    assert.equal(late.length, 3);
    await pair.clock.advance(100);
    assert.equal(late.length, 4);
    assert.deepEqual(users.map((user) => user.resetCode), Array(4).fill(ERROR.CANCEL));
    assert.equal(pair.client.openStreams, 0);
  }));

Deno.test("a deadline also counts while a call waits for a stream", () =>
  withClient(silent, async (client, pair, { users }) => {
    await quiet();
    void client.unary(PATH, new Uint8Array(1)).catch(() => {});
    const waiting = failure(client.unary(PATH, new Uint8Array(1), { timeoutMs: 50 }));
    await pair.clock.advance(50 + TICK_MS);
    assert.equal((await waiting).code, 4);
    assert.equal(pair.client.queued, 0);
    assert.equal(users.length, 1);
  }, { server: { maxConcurrentStreams: 1 } }));

Deno.test("grpcTimeout() has at most eight digits, and never less time than was asked for", () => {
  assert.equal(grpcTimeout(1), "1m");
  assert.equal(grpcTimeout(0.25), "250u");
  assert.equal(grpcTimeout(0), "1u");
  assert.equal(grpcTimeout(30_000), "30000m");
  assert.equal(grpcTimeout(99_999_999), "99999999m");
  assert.equal(grpcTimeout(100_000_001), "100001S");
  const UNITS: Record<string, number> = { u: 1e-3, m: 1, S: 1000 };
  fc.assert(fc.property(fc.double({ min: 0, max: 9e10, noNaN: true }), (ms) => {
    const text = grpcTimeout(ms);
    const [, digits, unit] = /^(\d{1,8})([umS])$/.exec(text)!;
    const told = Number(digits) * UNITS[unit];
    assert.ok(told >= ms - 1e-6 * ms && told <= ms + Math.max(UNITS[unit], 1), `${ms}: ${text}`);
  }));
});
