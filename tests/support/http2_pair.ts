/**
 * Our HTTP/2 client and server, joined by a simulated network that cuts what goes over it as it is told.
 *
 *     client ─► near │ cut │ far ─► server: one handler, which each test brings
 * @module
 */
import assert from "node:assert/strict";
import {
  CLIENT_LIMITS,
  ClientCall,
  ClientConnection,
  type ClientOptions,
  type HeaderList,
  type Http2Limits,
  type Http2Stream,
  OutputBuffers,
  PREFACE,
  readResponseHead,
  type RequestHead,
  type ResponseHead,
  ServerConnection,
  type StreamUser,
} from "../../src/rpc/http2/mod.ts";
import { type Connection, settle, SimClock, SimNetwork } from "../../src/runtime/mod.ts";

/** A server's limits that no test runs into by chance. */
const SERVER_LIMITS: Http2Limits = { ...CLIENT_LIMITS, maxConcurrentStreams: 100 };

/** What a test says of its world. */
export interface PairOptions {
  readonly server?: Partial<Http2Limits>;
  readonly client?: Partial<Http2Limits>;
  readonly options?: Partial<ClientOptions>;
  /** How long the next piece is that arrives, on either side; all there is by default. */
  readonly cut?: () => number;
  /** What the server does with a request. */
  readonly serve: (stream: Http2Stream, head: RequestHead) => StreamUser;
}

/** A connection's two ends. */
export interface Pair {
  readonly clock: SimClock;
  readonly client: ClientConnection;
  readonly server: ServerConnection;
  /** The server's socket, to cut it off. */
  readonly socket: Connection;
  /** What either side took for a fault of the other. */
  readonly failures: unknown[];
}

/** Joins a client and a server. */
export async function pairOf(options: PairOptions): Promise<Pair> {
  const clock = new SimClock();
  const network = new SimNetwork();
  const failures: unknown[] = [];
  const accepted = Promise.withResolvers<Connection>();
  await network.listen({ host: "server", port: 1 }, accepted.resolve);
  const near = await network.connect({ host: "server", port: 1 });
  const far = await accepted.promise;
  const { cut } = options;
  if (cut !== undefined) recut(near, cut);
  const client = new ClientConnection({
    socket: near,
    clock,
    limits: { ...CLIENT_LIMITS, ...options.client },
    ...options.options,
  });
  const server = new ServerConnection({
    socket: far,
    clock,
    limits: { ...SERVER_LIMITS, ...options.server },
    buffers: new OutputBuffers(),
    onFailure: (error) => failures.push(error),
  }, {
    open: options.serve,
    refuse: (stream) => stream.sendHeaders([":status", "431"], true),
    ended: () => {},
  });
  let preface = PREFACE.length;
  far.on("error", () => {});
  far.once("end", () => far.end());
  far.on("data", (chunk: Uint8Array) => {
    for (let at = 0; at < chunk.length;) {
      const size = Math.max(1, cut?.() ?? chunk.length);
      const piece = chunk.subarray(at, at + size);
      const skipped = Math.min(preface, piece.length);
      preface -= skipped;
      // A copy, since a socket's buffer is its reader's alone.
      if (piece.length > skipped) server.receive(piece.slice(skipped));
      at += size;
    }
  });
  return { clock, client, server, socket: far, failures };
}

/** Closes both ends, and demands that neither waits for anything. */
export async function endPair({ client, socket, clock }: Pair): Promise<void> {
  client.destroy();
  socket.destroy();
  await quiet();
  await clock.advance(1000);
  assert.equal(clock.pendingCount, 0, "timers are left");
}

/** Makes a socket's "data" come in other pieces. */
function recut(socket: Connection, cut: () => number): void {
  const { on } = socket;
  socket.on = function (this: Connection, event: string, listener: (...args: never[]) => void) {
    if (event !== "data") return on.call(this, event, listener as (...args: unknown[]) => void);
    const take = listener as (chunk: Uint8Array) => void;
    return on.call(this, event, (chunk: Uint8Array) => {
      for (let at = 0; at < chunk.length;) {
        const size = Math.max(1, cut());
        take(chunk.slice(at, at + size));
        at += size;
      }
    });
  } as Connection["on"];
}

/** Lets everything happen that needs no time. */
export async function quiet(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await settle();
}

/** What a test sends. */
export interface TestRequest {
  readonly body?: Uint8Array;
  /** Whether the request ends after its body; if not, {@link TestCall.stream} has the rest. */
  readonly open?: boolean;
  /** Whether bodies are consumed as they come. */
  readonly slow?: boolean;
}

/** A call that keeps all that it hears. */
export class TestCall extends ClientCall {
  head: ResponseHead | undefined;
  readonly body: Uint8Array[] = [];
  trailers: HeaderList | undefined;
  /** The code of a failure. */
  failure: number | undefined;
  drains = 0;
  readonly ended = Promise.withResolvers<void>();

  constructor(private readonly request: TestRequest = {}) {
    super();
  }

  /** The body as text. */
  get text(): string {
    return new TextDecoder().decode(this.bytes);
  }

  get bytes(): Uint8Array {
    return new Uint8Array(this.body.flatMap((piece) => [...piece]));
  }

  protected override send(stream: Http2Stream): void {
    const { body, open = false } = this.request;
    stream.sendHeaders(HEAD, body === undefined && !open);
    if (body !== undefined) stream.sendData(body, !open);
  }

  protected override onHead(headers: HeaderList, streamId: number): ResponseHead {
    assert.equal(this.head, undefined, "a second head");
    return this.head = readResponseHead(headers, streamId);
  }

  protected override onBody(bytes: Uint8Array): void {
    assert.ok(!this.done, "a body after the last word");
    this.body.push(bytes.slice());
    if (this.request.slow !== true) this.stream!.consumed(bytes.length);
  }

  protected override onEnd(trailers: HeaderList): void {
    assert.equal(this.trailers, undefined, "a second end");
    this.trailers = trailers;
    this.ended.resolve();
  }

  protected override onFailure(code: number): void {
    assert.equal(this.failure, undefined, "a second failure");
    assert.equal(this.trailers, undefined, "a failure after the end");
    this.failure = code;
    this.ended.resolve();
  }

  override drained(): void {
    this.drains++;
  }
}

const HEAD: HeaderList = [
  ...[":method", "POST", ":scheme", "http", ":path", "/a.B/C", ":authority", "server"],
  ...["te", "trailers"],
];

/** A server's user that does nothing by itself. */
export class TestUser implements StreamUser {
  readonly body: Uint8Array[] = [];
  end = false;
  resetCode: number | undefined;

  constructor(
    readonly stream: Http2Stream,
    private readonly onData: (user: TestUser, bytes: Uint8Array, end: boolean) => void = () => {},
  ) {}

  data(bytes: Uint8Array, end: boolean): void {
    this.body.push(bytes.slice());
    this.end ||= end;
    this.onData(this, bytes, end);
  }

  headers(_headers: HeaderList, end: boolean): void {
    this.end ||= end;
    this.onData(this, new Uint8Array(0), end);
  }

  reset(code: number): void {
    this.resetCode = code;
  }

  drained(): void {}
}

/** Sends back what comes, then trailers. */
export function echo(stream: Http2Stream): StreamUser {
  stream.sendHeaders([":status", "200", "content-type", "text/plain"]);
  return new TestUser(stream, (_user, bytes, end) => {
    // What is echoed is on our hands until it has left; a test's bodies are bounded.
    stream.sendData(bytes.slice());
    stream.consumed(bytes.length);
    if (end) stream.sendTrailers(["x-end", "yes"]);
  });
}
