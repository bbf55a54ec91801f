/**
 * Unary gRPC calls as cheaply as they can be made: from a message's bytes to the frames and back, with one
 * object and one promise a call. For calls between nodes that come by the thousand, and for load.
 *
 *     unary(path, message) ─► HEADERS (one list a path) ─► DATA (prefix and message, written in place)
 *                          ◄─ HEADERS ─► DATA ─► HEADERS with grpc-status
 *
 * Deadlines are kept here, whatever the server does, within a tick of their wheel (deadlines.ts).
 * @module
 */
import { Buffer } from "node:buffer";
import type { Clock } from "../runtime/mod.ts";
import { Deadlines, type Timed } from "./deadlines.ts";
import {
  ClientCall,
  type ClientConnection,
  ERROR,
  fieldOf,
  type HeaderList,
  type Http2Stream,
  LOST,
  readResponseHead,
  type ResponseHead,
  writeUint32,
} from "./http2/mod.ts";
import { lengthIn } from "./request_bytes.ts";

/** Codes of gRPC that this client itself gives. */
export const GRPC = Object.freeze({
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  DEADLINE_EXCEEDED: 4,
  RESOURCE_EXHAUSTED: 8,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  UNAUTHENTICATED: 16,
  PERMISSION_DENIED: 7,
});

/** A call failed. */
export class GrpcError extends Error {
  override readonly name = "GrpcError";
  /**
   * @param code       the grpc-status, never 0
   * @param message    what the server said, or what is wrong with the connection
   * @param details    the google.rpc.Status in binary form; undefined when there is none
   * @param notBegun   whether the server has certainly not begun with the call
   * @param trailers   what came with the status; empty when it was not the server's
   */
  constructor(
    readonly code: number,
    message: string,
    readonly details: Uint8Array | undefined = undefined,
    readonly notBegun = false,
    readonly trailers: HeaderList = [],
  ) {
    super(message);
  }
}

/** What a call may say besides its message. */
export interface UnaryOptions {
  /** Time for the whole call, in ms; the server is told, and the call ends here when it is up. */
  readonly timeoutMs?: number;
  /** Names in lower case and values of printable ASCII, in turn. */
  readonly metadata?: HeaderList;
}

/** What answers a call. */
export interface UnaryAnswer {
  /** The message's bytes, which stay as they are. */
  readonly message: Uint8Array;
  readonly head: HeaderList;
  readonly trailers: HeaderList;
}

/** What a client for unary calls stands on. */
export interface GrpcClientOptions {
  readonly connection: ClientConnection;
  readonly clock: Clock;
  /** `host:port`, as the server likes to be called. */
  readonly authority: string;
  /** Bytes of one answer; a longer one fails with resource_exhausted. 128 MiB by default. */
  readonly readMaxBytes?: number;
}

const PREFIX_BYTES = 5;
const READ_MAX_BYTES = 128 * 1024 * 1024;
/** Paths whose header lists are kept; a client has as many methods as it calls. */
const PATHS_MAX = 256;

/** Unary calls over one connection. */
export class GrpcClient {
  readonly connection: ClientConnection;
  readonly readMaxBytes: number;
  readonly #authority: string;
  readonly #clock: Clock;
  readonly #deadlines: Deadlines;
  readonly #heads = new Map<string, HeaderList>();
  /** The head that came last: decoders give the same list for the same bytes. */
  knownHead: HeaderList | undefined;
  knownResponse: ResponseHead | undefined;

  constructor({ connection, clock, authority, readMaxBytes = READ_MAX_BYTES }: GrpcClientOptions) {
    this.connection = connection;
    this.readMaxBytes = readMaxBytes;
    this.#authority = authority;
    this.#deadlines = new Deadlines(clock);
    this.#clock = clock;
    connection.whenEnded(() => this.#deadlines.close());
  }

  /**
   * Makes a call.
   * @param path     `/package.Service/Method`
   * @param message  its bytes, without a prefix; not copied, so leave them until the call has ended
   * @throws GrpcError (as a rejection) when the status is not OK, time is up, or the connection is lost
   */
  unary(path: string, message: Uint8Array, options: UnaryOptions = {}): Promise<UnaryAnswer> {
    return new Promise((resolve, reject) => {
      const head = this.#headOf(path, options);
      const call = new UnaryCall(this, head, message, resolve, reject);
      const { timeoutMs } = options;
      if (timeoutMs !== undefined) {
        this.#deadlines.set(call, this.#clock.monotonicMs() + timeoutMs);
      }
      if (!this.connection.begin(call)) call.reset(ERROR.REFUSED_STREAM);
    });
  }

  /** A call has ended. */
  ended(call: UnaryCall): void {
    this.#deadlines.clear(call);
  }

  /** The request's header list. Those without metadata are the same for each call. */
  #headOf(path: string, { timeoutMs, metadata }: UnaryOptions): HeaderList {
    const key = timeoutMs === undefined ? path : `${path} ${timeoutMs}`;
    let head = this.#heads.get(key);
    if (head === undefined) {
      head = this.#newHead(path, timeoutMs);
      if (this.#heads.size >= PATHS_MAX) this.#heads.clear();
      this.#heads.set(key, head);
    }
    return metadata === undefined ? head : [...head, ...metadata];
  }

  #newHead(path: string, timeoutMs: number | undefined): HeaderList {
    const { scheme } = this.connection;
    return [
      ...[":method", "POST", ":scheme", scheme, ":path", path, ":authority", this.#authority],
      ...["content-type", "application/grpc", "te", "trailers"],
      ...timeoutMs === undefined ? [] : ["grpc-timeout", grpcTimeout(timeoutMs)],
    ];
  }
}

/** A timeout as gRPC writes it: at most eight digits and a unit. */
export function grpcTimeout(timeoutMs: number): string {
  const us = Math.max(1, Math.ceil(timeoutMs * 1000));
  if (us < 1e8) return us % 1000 === 0 ? `${us / 1000}m` : `${us}u`;
  const ms = Math.ceil(timeoutMs);
  return ms < 1e8 ? `${ms}m` : `${Math.min(Math.ceil(ms / 1000), 99_999_999)}S`;
}

/** One call on its way. */
class UnaryCall extends ClientCall implements Timed {
  // The wheel's.
  dueTick = 0;
  before: Timed = this;
  after: Timed = this;
  readonly #client: GrpcClient;
  readonly #request: HeaderList;
  readonly #message: Uint8Array;
  readonly #resolve: (answer: UnaryAnswer) => void;
  readonly #reject: (error: GrpcError) => void;
  #head: ResponseHead | undefined;
  /** The body as far as it has come; usually one piece. */
  #body: Uint8Array = NO_BYTES;
  #bodyBytes = 0;

  constructor(
    client: GrpcClient,
    request: HeaderList,
    message: Uint8Array,
    resolve: (answer: UnaryAnswer) => void,
    reject: (error: GrpcError) => void,
  ) {
    super();
    this.#client = client;
    this.#request = request;
    this.#message = message;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  /** Time is up. */
  expire(): void {
    this.fail(new GrpcError(GRPC.DEADLINE_EXCEEDED, "the call took longer than its deadline"));
  }

  /** Gives the call up. */
  fail(reason: GrpcError): void {
    if (this.done) return;
    this.#client.connection.forget(this);
    this.cancel();
    this.#fail(reason);
  }

  protected override send(stream: Http2Stream): void {
    stream.sendHeaders(this.#request);
    const message = this.#message;
    const { connection } = this.#client;
    if (connection.hasRoom(stream, PREFIX_BYTES + message.length)) {
      return connection.writePrefixed(stream, message);
    }
    const framed = new Uint8Array(PREFIX_BYTES + message.length);
    writeUint32(framed, 1, message.length);
    framed.set(message, PREFIX_BYTES);
    stream.sendData(framed, true);
  }

  protected override onHead(headers: HeaderList, streamId: number): ResponseHead {
    const client = this.#client;
    if (headers === client.knownHead) return this.#head = client.knownResponse!;
    const head = readResponseHead(headers, streamId);
    client.knownHead = headers;
    client.knownResponse = head;
    return this.#head = head;
  }

  protected override onBody(bytes: Uint8Array): void {
    const before = this.#bodyBytes;
    this.#bodyBytes += bytes.length;
    if (this.#bodyBytes > this.#client.readMaxBytes + PREFIX_BYTES) {
      const text = `the answer is larger than ${this.#client.readMaxBytes} bytes`;
      return this.fail(new GrpcError(GRPC.RESOURCE_EXHAUSTED, text));
    }
    if (before === 0) this.#body = bytes;
    else this.#append(bytes, before);
    this.stream!.consumed(bytes.length);
  }

  protected override onEnd(trailers: HeaderList): void {
    const { status, fields } = this.#head!;
    // An answer of headers only has its status among them.
    const last = trailers.length === 0 ? fields : trailers;
    const code = statusOf(status, fields, last);
    if (typeof code !== "number") return this.#fail(code);
    const message = code === GRPC.OK ? this.#messageOf() : errorOf(code, last);
    if (message instanceof GrpcError) return this.#fail(message);
    this.#client.ended(this);
    this.#resolve({ message, head: fields, trailers });
  }

  protected override onFailure(code: number): void {
    this.#fail(failureOf(code));
  }

  #fail(error: GrpcError): void {
    this.#client.ended(this);
    this.#reject(error);
  }

  /** Adds a piece; the room doubles, so that many pieces are copied twice at most. */
  #append(bytes: Uint8Array, at: number): void {
    const owned = this.#body.byteOffset === 0 && this.#body.length === this.#body.buffer.byteLength;
    if (!owned || this.#body.length < this.#bodyBytes) {
      const declared = at < PREFIX_BYTES ? 0 : PREFIX_BYTES + lengthIn(this.#body);
      const room = Math.min(declared, this.#client.readMaxBytes + PREFIX_BYTES);
      const grown = new Uint8Array(Math.max(this.#bodyBytes * 2, room));
      grown.set(this.#body.subarray(0, at));
      this.#body = grown;
    }
    this.#body.set(bytes, at);
  }

  #messageOf(): Uint8Array | GrpcError {
    const body = this.#body;
    const bytes = this.#bodyBytes;
    if (bytes < PREFIX_BYTES) return internal("the answer has no message");
    if (body[0] !== 0) return internal("the answer is compressed, which was not asked for");
    if (lengthIn(body) !== bytes - PREFIX_BYTES) return internal("the answer is not one message");
    return body.subarray(PREFIX_BYTES, bytes);
  }
}

const NO_BYTES = new Uint8Array(0);

/**
 * The status of an answer: the server's, or what HTTP says in its place.
 * @param last  the trailers, or the fields of an answer of headers only
 */
function statusOf(httpStatus: number, fields: HeaderList, last: HeaderList): number | GrpcError {
  const text = fieldOf(last, "grpc-status");
  if (text === undefined) {
    if (httpStatus === 200) return internal("the answer has no grpc-status");
    return new GrpcError(HTTP_STATUS[httpStatus] ?? GRPC.UNKNOWN, `HTTP status ${httpStatus}`);
  }
  if (!/^\d{1,2}$/.test(text)) return internal("the answer's grpc-status is no number");
  const code = Number(text);
  if (code !== GRPC.OK) return code > 16 ? GRPC.UNKNOWN : code;
  const type = fieldOf(fields, "content-type");
  if (httpStatus === 200 && type?.startsWith("application/grpc") === true) return code;
  return new GrpcError(GRPC.UNKNOWN, `not an answer of gRPC: HTTP ${httpStatus}, ${type}`);
}

/** What HTTP statuses mean where a proxy answers in the server's place (gRPC's http-grpc-status-mapping). */
const HTTP_STATUS: Readonly<Record<number, number>> = {
  400: GRPC.INTERNAL,
  401: GRPC.UNAUTHENTICATED,
  403: GRPC.PERMISSION_DENIED,
  404: GRPC.UNIMPLEMENTED,
  429: GRPC.UNAVAILABLE,
  502: GRPC.UNAVAILABLE,
  503: GRPC.UNAVAILABLE,
  504: GRPC.UNAVAILABLE,
};

function errorOf(code: number, last: HeaderList): GrpcError {
  const details = fieldOf(last, "grpc-status-details-bin");
  const bytes = details === undefined ? undefined : new Uint8Array(Buffer.from(details, "base64"));
  return new GrpcError(code, unescaped(fieldOf(last, "grpc-message") ?? ""), bytes, false, last);
}

function unescaped(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // A server that escapes otherwise: its words as they came are better than none.
    return text;
  }
}

/** An error of HTTP/2 as gRPC names it (PROTOCOL-HTTP2.md, "Errors"). */
export function failureOf(code: number): GrpcError {
  switch (code) {
    case LOST:
      return new GrpcError(GRPC.UNAVAILABLE, "the connection was lost");
    case ERROR.REFUSED_STREAM:
      return new GrpcError(GRPC.UNAVAILABLE, "the call was not taken", undefined, true);
    case ERROR.CANCEL:
      return new GrpcError(GRPC.CANCELLED, "the server cancelled the call");
    case ERROR.ENHANCE_YOUR_CALM:
      return new GrpcError(GRPC.RESOURCE_EXHAUSTED, "the server or the client asks for less");
    default:
      return internal(`the stream was reset with code ${code}`);
  }
}

function internal(text: string): GrpcError {
  return new GrpcError(GRPC.INTERNAL, text);
}
