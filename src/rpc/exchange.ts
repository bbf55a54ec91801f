/**
 * One HTTP exchange: node's request and response objects, of either HTTP version, as the RPC library
 * and the web app take and give them.
 *
 * Why not the library's own adapter: it leaves a request's body by destroying it, which wedges an
 * HTTP/1.1 connection under Deno, waits for an event that never comes, and lets a malformed Host
 * header end the process.
 * @module
 */
import type { EventEmitter } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Clock } from "../runtime/mod.ts";

/** A request of either HTTP version. */
export type NodeRequest = IncomingMessage | Http2ServerRequest;
/** A response of either HTTP version. */
export type NodeResponse = ServerResponse | Http2ServerResponse;

/** What is answered, from either side of the house. */
export interface Answer {
  readonly status: number;
  readonly header?: Headers | undefined;
  readonly body?: AsyncIterable<Uint8Array> | undefined;
  readonly trailer?: Headers | undefined;
}

const CANCEL = 8; // RST_STREAM error codes, RFC 9113 section 7
const NO_ERROR = 0;

/** A request's body, chunk by chunk. Leaving early does no harm; {@link Exchange.answer} sees to the rest. */
class RequestBody implements AsyncIterableIterator<Uint8Array> {
  #request: NodeRequest;
  #listening = false;
  #ended = false;
  #failure: unknown;
  #wake: (() => void) | undefined;

  constructor(request: NodeRequest) {
    this.#request = request;
  }

  /** Whether every byte was taken. */
  get ended(): boolean {
    return this.#ended;
  }

  async next(): Promise<IteratorResult<Uint8Array>> {
    this.#listen();
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure;
      const chunk = this.#request.read() as Uint8Array | null;
      if (chunk !== null) return { done: false, value: chunk };
      if (this.#ended) return { done: true, value: undefined };
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  /** Makes the waiting and all later reads throw. */
  fail(reason: unknown): void {
    this.#failure ??= reason;
    this.#wake?.();
  }

  /** Lets reads go on after {@link fail}, for the rest of the body. */
  revive(): void {
    this.#failure = undefined;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Listeners come with the first read, since most requests that are not RPCs have no body. */
  #listen(): void {
    if (this.#listening) return;
    this.#listening = true;
    const wake = () => this.#wake?.();
    this.#request.on("readable", wake);
    this.#request.on("end", () => {
      this.#ended = true;
      wake();
    });
    this.#request.on("error", () => this.fail(lost()));
    this.#request.on("close", () => {
      if (!this.#ended) this.fail(lost());
    });
  }
}

/** Limits on what is read after an early answer. */
export interface DrainLimits {
  readonly drainMaxBytes: number;
  readonly drainTimeoutMs: number;
}

/** A request, its answer, and the signal that ends both. */
export class Exchange {
  readonly header: Headers;
  readonly method: string;
  /** The path without the query. */
  readonly path: string;
  /** Aborted when the client goes away, when time is up, and when the port closes. */
  readonly signal: AbortSignal;
  #controller = new AbortController();
  #body: RequestBody;
  /** The answer went out whole. */
  #finished = false;
  /** The stream or connection closed before that. */
  #gone = false;
  /** The HTTP/2 stream, or the HTTP/1.1 connection, which lives on. */
  readonly #below: EventEmitter;
  readonly #forget: () => void;

  constructor(
    readonly request: NodeRequest,
    readonly response: NodeResponse,
    private readonly clock: Clock,
    private readonly limits: DrainLimits,
  ) {
    this.signal = this.#controller.signal;
    this.header = toHeaders(request.headers);
    this.method = request.method ?? "";
    const target = request.url ?? "/";
    const query = target.indexOf("?");
    this.path = query < 0 ? target : target.slice(0, query);
    this.#body = new RequestBody(request);
    // The objects' own flags are no help: a reset HTTP/2 stream calls its response finished.
    const onClose = () => {
      if (this.#finished) return;
      this.#gone = true;
      this.abort(lost());
    };
    response.once("close", onClose);
    // Under Deno a response that waits for room does not say that its connection closed; what is below does.
    this.#below = "stream" in request ? request.stream : request.socket;
    this.#below.once("close", onClose);
    this.#forget = () => this.#below.off("close", onClose);
    // Without a listener an error of the stream would be an uncaught exception; its effect, "close", is handled.
    response.on("error", () => this.abort(lost()));
    request.on("error", () => this.abort(lost()));
  }

  /** Whether the client got its answer, as far as can be known here. */
  get finished(): boolean {
    return this.#finished;
  }

  /** Whether this is HTTP/2. */
  get http2(): boolean {
    return this.request.httpVersionMajor >= 2;
  }

  /** The host that the client named: HTTP/2's :authority or HTTP/1.1's Host. Empty when it named none. */
  get authority(): string {
    const authority = this.request.headers[":authority"] ?? this.request.headers.host;
    return typeof authority === "string" ? authority : "";
  }

  /** The address asked for, on a host name of our own: what the client named may be no host at all. */
  get url(): string {
    const target = this.request.url ?? "/";
    return `http://pairdb.invalid${target.startsWith("/") ? target : "/"}`;
  }

  /** The body as it arrives. */
  get body(): AsyncIterableIterator<Uint8Array> {
    return this.#body;
  }

  /** Ends the exchange early: running reads fail with `reason`, and the signal fires. */
  abort(reason: ConnectError): void {
    if (this.signal.aborted) return;
    this.#body.fail(reason);
    this.#controller.abort(reason);
  }

  /** Writes the answer, no faster than the client takes it, then sees to the rest of the request. */
  async answer(answer: Answer): Promise<void> {
    const iterator = answer.body?.[Symbol.asyncIterator]();
    try {
      // The head waits for the first chunk: until then a handler may still set headers.
      let step = await iterator?.next();
      if (this.#gone) return;
      // The two classes have the same method, under types that do not meet.
      const writeHead = this.response.writeHead as (status: number, headers: object) => unknown;
      writeHead.call(this.response, answer.status, this.#head(answer));
      while (step !== undefined && step.done !== true) {
        if (this.#gone) return;
        if (this.method !== "HEAD") await this.#write(step.value);
        step = await iterator?.next();
      }
      if (answer.trailer !== undefined) this.response.addTrailers(toNodeHeaders(answer.trailer));
      await this.finish();
    } finally {
      this.#forget();
      await iterator?.return?.();
    }
  }

  #head(answer: Answer): Record<string, string | string[]> {
    const head = toNodeHeaders(answer.header ?? new Headers());
    // HTTP/1.1 would say "chunked" for an answer that has no body.
    if (answer.body === undefined && !this.http2) head["content-length"] = "0";
    return head;
  }

  /** Hands one chunk to the connection and waits until there is room for the next. */
  #write(chunk: Uint8Array): Promise<void> {
    const { response, signal } = this;
    const write = response.write as (chunk: Uint8Array) => boolean;
    if (this.#gone || write.call(response, chunk)) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const done = (settle: () => void) => {
        response.off("drain", onDrain);
        response.off("close", onClose);
        signal.removeEventListener("abort", onAbort);
        settle();
      };
      const onDrain = () => done(resolve);
      const onClose = () => done(() => reject(lost()));
      // Time is up while the client does not read: it cannot be told any more.
      const onAbort = () => {
        this.destroy();
        done(() => reject(signal.reason));
      };
      response.on("drain", onDrain);
      response.on("close", onClose);
      signal.addEventListener("abort", onAbort);
      if (signal.aborted) onAbort();
    });
  }

  /** Ends the response and takes what is left of the request, so that the connection lives on. */
  async finish(): Promise<void> {
    await this.#ended();
    if (this.#gone || this.#body.ended || this.request.readableEnded) return;
    await this.#drain();
  }

  /** Ends the response; resolves when it is out, or its connection gone. */
  #ended(): Promise<void> {
    // What has closed says so only once: waiting for it now would be for ever.
    if (this.#gone) return Promise.resolve();
    const { response, signal } = this;
    // While a request's body is unread, an HTTP/2 response says nothing under Deno; its stream does.
    const stream = "stream" in response ? response.stream : undefined;
    return new Promise((resolve) => {
      const done = () => {
        response.off("finish", onFinish);
        stream?.off("finish", onFinish);
        response.off("close", done);
        signal.removeEventListener("abort", onAbort);
        resolve();
      };
      const onFinish = () => {
        this.#finished = true;
        done();
      };
      // Time is up while the client does not take the answer.
      const onAbort = () => {
        this.destroy();
        done();
      };
      response.on("finish", onFinish);
      stream?.on("finish", onFinish);
      response.on("close", done);
      // A call that was aborted before has its answer here: it may still go out.
      if (!signal.aborted) signal.addEventListener("abort", onAbort);
      response.end();
    });
  }

  /** Reads and drops the rest of the request; too much or too slow, and it is cut off. */
  async #drain(): Promise<void> {
    this.#body.revive();
    const giveUp = () => this.#body.fail(lost());
    const cancel = this.clock.after(this.limits.drainTimeoutMs, giveUp);
    // After the answer an HTTP/1.1 request does not tell any more that its connection closed.
    const { socket } = this.request;
    socket.once("close", giveUp);
    try {
      let bytes = 0;
      for await (const chunk of this.#body) {
        bytes += chunk.length;
        if (bytes > this.limits.drainMaxBytes) throw lost();
      }
    } catch {
      // The answer is out: all that is left of this exchange is a client that goes on sending.
      this.destroy(NO_ERROR);
    } finally {
      cancel();
      socket.off("close", giveUp);
    }
  }

  /**
   * Ends the exchange: an HTTP/2 stream is reset, an HTTP/1.1 connection closed.
   * @param code  for the reset; NO_ERROR when there was an answer (RFC 9113, section 8.1)
   */
  destroy(code: number = CANCEL): void {
    if ("stream" in this.request) this.request.stream.close(code);
    else this.request.destroy();
  }
}

function lost(): ConnectError {
  return new ConnectError("the client went away", Code.Canceled);
}

/** Node's header object as Headers; HTTP/2's pseudo headers stay behind. */
function toHeaders(from: NodeRequest["headers"]): Headers {
  const headers = new Headers();
  for (const name in from) {
    const value = from[name];
    if (value === undefined || name.charCodeAt(0) === 0x3a) continue;
    if (typeof value === "string") headers.append(name, value);
    else for (const each of value) headers.append(name, each);
  }
  return headers;
}

/** Headers as node's header object. */
function toNodeHeaders(headers: Headers): Record<string, string | string[]> {
  const out: Record<string, string | string[]> = {};
  headers.forEach((value, name) => {
    if (name === "grpc-message") value = reencodeMessage(value);
    const before = out[name];
    // Only set-cookie comes more than once.
    if (before === undefined) out[name] = value;
    else out[name] = Array.isArray(before) ? [...before, value] : [before, value];
  });
  return out;
}

/**
 * The library escapes all that a URL would escape; gRPC asks only for `%` and what is not printable
 * ASCII, and grpc-js leaves the other escapes as they are: "Cannot get%3A the key has no value".
 */
function reencodeMessage(escaped: string): string {
  return decodeURIComponent(escaped).replace(/[^ -$&-~]+/g, encodeURIComponent);
}
