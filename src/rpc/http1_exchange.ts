/**
 * One exchange over HTTP/1.1: node's request and response objects.
 *
 * Why not the RPC library's own adapter: it leaves a request's body by destroying it, which wedges the
 * connection under Deno, waits for an event that never comes, and lets a malformed Host header end the
 * process.
 * @module
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { ConnectError } from "@connectrpc/connect";
import type { Clock, Connection, PeerCertificate } from "../runtime/mod.ts";
import type { AnswerTurn } from "./answer_room.ts";
import type { Http1Request } from "./connections.ts";
import { type Answer, bodyLate, clientGone, type Exchange, grpcMessage } from "./exchange.ts";
import { type BodyRoom, forgetLength, HeldBody, type HeldBodyOptions } from "./request_bytes.ts";

/** A request's body, chunk by chunk. Leaving early does no harm; {@link Exchange.answer} sees to the rest. */
class RequestBody implements AsyncIterableIterator<Uint8Array> {
  #request: IncomingMessage;
  #listening = false;
  #ended = false;
  #failure: unknown;
  #wake: (() => void) | undefined;

  constructor(request: IncomingMessage) {
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
    this.#request.on("error", () => this.fail(clientGone()));
    this.#request.on("close", () => {
      if (!this.#ended) this.fail(clientGone());
    });
  }
}

/** Limits on what is read after an early answer. */
export interface DrainLimits {
  readonly drainMaxBytes: number;
  readonly drainTimeoutMs: number;
}

/**
 * An answer goes to its connection in pieces of this size: one that takes none for a while is told from one
 * that is slow.
 */
const PIECE_BYTES = 64 * 1024;

/** A request, its answer, and the signal that ends both. */
export class Http1Exchange implements Exchange {
  readonly http2 = false;
  readonly httpVersion: string;
  readonly header: Headers;
  readonly method: string;
  readonly signal: AbortSignal;
  readonly secure: boolean;
  readonly peer: PeerCertificate | undefined;
  #controller = new AbortController();
  #body: RequestBody;
  readonly #held: HeldBody;
  /** The answer went out whole. */
  #finished = false;
  /** The connection closed before that. */
  #gone = false;
  readonly #forget: () => void;
  /** Scheme and host of a target that names them, as for a proxy; they count, and Host does not (RFC 9112, section 3.2.2). */
  readonly #absolute: RegExpExecArray | null;
  /** Bytes of the answer that wait for the client. */
  #queued = 0;

  /** @param client  told what of the answer waits for it, and what it took */
  constructor(
    readonly request: IncomingMessage,
    readonly response: ServerResponse,
    private readonly clock: Clock,
    private readonly limits: DrainLimits & HeldBodyOptions["limits"],
    room: BodyRoom,
    private readonly client: Pick<Http1Request, "queued" | "handed">,
    readonly turn: AnswerTurn,
  ) {
    this.signal = this.#controller.signal;
    this.header = toHeaders(request.headers);
    if (this.header.has("authorization")) keepRepeated(this.header, request.rawHeaders);
    // The parser hands on the very socket that it was given.
    const socket: Connection = request.socket;
    this.secure = socket.encrypted === true;
    this.peer = socket.peer;
    this.method = request.method ?? "";
    this.#absolute = /^https?:\/\/([^/?#]*)/i.exec(request.url ?? "");
    this.httpVersion = request.httpVersion;
    this.#body = new RequestBody(request);
    this.#held = new HeldBody(this.#body, {
      room,
      connection: request.socket,
      clock,
      limits,
      contentType: this.header.get("content-type") ?? "",
      onLate: () => this.abort(bodyLate()),
    });
    forgetLength(this.header, limits.readMaxBytes);
    const onClose = () => {
      if (this.#finished) return;
      this.#gone = true;
      this.abort(clientGone());
    };
    response.once("close", onClose);
    // Under Deno a response that waits for room does not say that its connection closed; the socket does.
    request.socket.once("close", onClose);
    this.#forget = () => request.socket.off("close", onClose);
    // Without a listener an error would be an uncaught exception; its effect, "close", is handled.
    response.on("error", () => this.abort(clientGone()));
    request.on("error", () => this.abort(clientGone()));
  }

  get finished(): boolean {
    return this.#finished;
  }

  get authority(): string {
    return this.#absolute?.[1] ?? this.request.headers.host ?? "";
  }

  /**
   * Of two hosts nobody may choose one: what looks at the one and what looks at the other would judge two
   * different requests (RFC 9112, section 3.2). That there is a Host at all, the parser sees to.
   */
  get flaw(): string | undefined {
    const { rawHeaders, httpVersion } = this.request;
    let hosts = 0;
    for (let i = 0; i < rawHeaders.length; i += 2) {
      if (rawHeaders[i].length === 4 && rawHeaders[i].toLowerCase() === "host") hosts++;
    }
    if (hosts > 1) return "the request has more than one Host";
    const isNeeded = httpVersion === "1.1" && this.#absolute === null;
    return isNeeded && this.authority === "" ? "the request's Host is empty" : undefined;
  }

  get target(): string {
    const target = this.request.url ?? "/";
    if (this.#absolute === null) return target;
    const path = target.slice(this.#absolute[0].length);
    return path.startsWith("/") ? path : `/${path}`;
  }

  get body(): AsyncIterableIterator<Uint8Array> {
    return this.#held;
  }

  get received(): number {
    return this.#held.received;
  }

  abort(reason: ConnectError): void {
    if (this.signal.aborted) return;
    this.#body.fail(reason);
    this.#controller.abort(reason);
  }

  async answer(answer: Answer): Promise<void> {
    const iterator = answer.body?.[Symbol.asyncIterator]();
    try {
      // The head waits for the first chunk: until then a handler may still set headers.
      let step = await iterator?.next();
      if (this.#gone) return;
      this.response.writeHead(answer.status, this.#head(answer));
      while (step !== undefined && step.done !== true) {
        if (this.#gone) return;
        if (this.method !== "HEAD") await this.#write(step.value);
        this.turn.end();
        step = await iterator?.next();
      }
      if (answer.trailer !== undefined) this.response.addTrailers(toNodeHeaders(answer.trailer));
      await this.finish();
    } finally {
      this.#count(-this.#queued);
      this.#forget();
      await iterator?.return?.();
    }
  }

  #head(answer: Answer): Record<string, string | string[]> {
    const head = toNodeHeaders(answer.header ?? new Headers());
    // HTTP/1.1 would say "chunked" for an answer that has no body. To HEAD a length is that of GET's
    // answer, and 204 has none (RFC 9110, section 8.6).
    if (answer.body === undefined && this.method !== "HEAD" && answer.status !== 204) {
      head["content-length"] = "0";
    }
    return head;
  }

  /** Hands one chunk to the connection and waits until there is room for the next. */
  async #write(chunk: Uint8Array): Promise<void> {
    this.#count(chunk.length);
    this.turn.end();
    for (let from = 0; from < chunk.length && !this.#gone; from += PIECE_BYTES) {
      // A copy: a part of it would keep all of it alive for as long as the socket has it.
      const piece = chunk.length > PIECE_BYTES ? chunk.slice(from, from + PIECE_BYTES) : chunk;
      if (!this.response.write(piece)) await this.#room();
      this.client.handed(piece.length);
    }
    // No sooner: as long as a part of it waits, it is there as a whole.
    this.#count(-chunk.length);
  }

  #count(bytes: number): void {
    if (bytes === 0) return;
    this.#queued += bytes;
    this.client.queued(bytes);
  }

  /** Waits until the connection takes more. */
  #room(): Promise<void> {
    const { response, signal } = this;
    return new Promise((resolve, reject) => {
      const done = (settle: () => void) => {
        response.off("drain", onDrain);
        response.off("close", onClose);
        signal.removeEventListener("abort", onAbort);
        settle();
      };
      const onDrain = () => done(resolve);
      const onClose = () => done(() => reject(clientGone()));
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
    return new Promise((resolve) => {
      const done = () => {
        response.off("finish", onFinish);
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
      response.on("close", done);
      // A call that was aborted before has its answer here: it may still go out.
      if (!signal.aborted) signal.addEventListener("abort", onAbort);
      response.end();
    });
  }

  /** Reads and drops the rest of the request; too much or too slow, and it is cut off. */
  async #drain(): Promise<void> {
    this.#body.revive();
    const giveUp = () => this.#body.fail(clientGone());
    const cancel = this.clock.after(this.limits.drainTimeoutMs, giveUp);
    // After the answer an HTTP/1.1 request does not tell any more that its connection closed.
    const { socket } = this.request;
    socket.once("close", giveUp);
    try {
      let bytes = 0;
      for await (const chunk of this.#body) {
        bytes += chunk.length;
        if (bytes > this.limits.drainMaxBytes) throw clientGone();
      }
    } catch {
      // The answer is out: all that is left of this exchange is a client that goes on sending.
      this.destroy();
    } finally {
      cancel();
      socket.off("close", giveUp);
    }
  }

  holdInflated(bytes: number): void {
    this.#held.holdInflated(bytes);
  }

  release(): void {
    this.turn.close();
    this.#held.release();
  }

  /** Closes the connection. */
  destroy(): void {
    this.request.destroy();
    // Under Deno the socket of a request whose answer waits for room outlives it.
    this.request.socket.destroy();
  }
}

/** Node's header object as Headers. */
function toHeaders(from: IncomingMessage["headers"]): Headers {
  const headers = new Headers();
  for (const name in from) {
    const value = from[name];
    if (value === undefined) continue;
    if (typeof value === "string") headers.append(name, value);
    else for (const each of value) headers.append(name, each);
  }
  return headers;
}

/**
 * Of several authorization headers node keeps the first. Which one counts must not be anybody's guess:
 * joined, as other headers are, they are no credentials at all.
 */
function keepRepeated(headers: Headers, raw: readonly string[]): void {
  const values = raw.filter((_, at) =>
    at % 2 === 1 && raw[at - 1].toLowerCase() === "authorization"
  );
  if (values.length > 1) headers.set("authorization", values.join(", "));
}

/** Headers as node's header object. */
function toNodeHeaders(headers: Headers): Record<string, string | string[]> {
  const out: Record<string, string | string[]> = {};
  headers.forEach((value, name) => {
    if (name === "grpc-message") value = grpcMessage(value);
    const before = out[name];
    // Only set-cookie comes more than once.
    if (before === undefined) out[name] = value;
    else out[name] = Array.isArray(before) ? [...before, value] : [before, value];
  });
  return out;
}
