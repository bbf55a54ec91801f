/**
 * The front desk: looks at a request's head and sends it to the RPC library, to the web app, or away.
 * @module
 */
import type { Hono } from "hono";
import { Code, ConnectError, type ContextValues, createContextValues } from "@connectrpc/connect";
import { errorToJsonBytes } from "@connectrpc/connect/protocol-connect";
import { parseTimeout, setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import type { UniversalServerRequest } from "@connectrpc/connect/protocol";
import type { Clock, Log } from "../runtime/mod.ts";
import type { OriginRequest, OriginVerdict, WebBindings } from "../web/mod.ts";
import {
  admitToMetrics,
  type Authority,
  OPEN_AUTHORITY,
  valuesOf as peerValues,
} from "./auth/mod.ts";
import { AnswerEnd, answerEndKey } from "./answer_end.ts";
import { turnKey } from "./answer_room.ts";
import { completeError, deadlineExceeded, describe, timeUp } from "./errors.ts";
import { type Answer, type Exchange, pathOf, requestKey, urlOf } from "./exchange.ts";
import { countInflated } from "./inflated.ts";
import {
  isPlainWatch,
  isWatchPath,
  PLAIN_WATCH_METHODS,
  plainWatch,
  WATCH_PATH,
} from "./plain_watch.ts";
import type { Route } from "./router.ts";

/** Where requests can go. */
export interface FrontOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly routes: ReadonlyMap<string, Route>;
  readonly web: Hono<{ Bindings: WebBindings }>;
  /** Knows who may see /metrics. Default: everybody. */
  readonly metricsFor?: Authority;
  readonly judge: (request: OriginRequest) => OriginVerdict;
  /** Bytes of one request's headers, as HTTP/2 reckons them; of HTTP/1.1 the parser sees to the rest. */
  readonly maxHeaderBytes: number;
  /** The longest deadline that a client may ask for. */
  readonly maxTimeoutMs: number;
  /** The longest that a request takes which is no RPC. */
  readonly webTimeoutMs: number;
  /** Bytes of the body of a request that is no RPC, for which the answer waits. */
  readonly passMaxBytes: number;
  /** Whether the answer for an RPC that there is not carries an ErrorDetail; as the pipeline has it. */
  readonly errorDetails?: boolean;
  /** Whether HTTP/1.1 clients are to be asked to close their connection. */
  readonly closing: () => boolean;
}

const encoder = new TextEncoder();

/** As Connect writes a timeout in ms. */
const CONNECT_TIMEOUT = /^\d{1,10}$/;

/** The methods that there are, for what is asked of the server as a whole. */
const ALL_METHODS: readonly string[] = ["GET", "HEAD", "POST", "OPTIONS"];

/** A path that only an RPC has: a service with its package, and a method. */
const RPC_PATH = /^\/[A-Za-z_]\w*(\.\w+)+\/\w+$/;

/** Answers requests. The promise never rejects; true when the client got its answer. */
export function createFront(options: FrontOptions): (exchange: Exchange) => Promise<boolean> {
  return async (exchange) => {
    try {
      await serve(options, exchange);
    } catch (error) {
      // A client that left, or a deadline that passed while it did not read; anything else is a bug.
      if (!(error instanceof ConnectError)) {
        options.log.error("exchange_failed", {
          path: pathOf(exchange.target),
          error: describe(error),
        });
      }
      exchange.destroy();
      return false;
    }
    return exchange.finished;
  };
}

async function serve(options: FrontOptions, exchange: Exchange): Promise<void> {
  if (exchange.flaw !== undefined) {
    const answer = refusal(400, "invalid_argument", exchange.flaw);
    return await send(options, exchange, answer, [["connection", "close"]]);
  }
  if (headerBytes(exchange.header) > options.maxHeaderBytes) {
    const answer = refusal(431, "resource_exhausted", "the request's headers are too large");
    return await send(options, exchange, answer);
  }
  const verdict = options.judge(exchange);
  if (verdict.kind === "refuse") {
    return await send(options, exchange, refusal(403, "permission_denied", verdict.reason));
  }
  if (verdict.kind === "preflight") {
    return await send(options, exchange, { status: 204 }, verdict.headers);
  }
  const isPlain = isPlainWatch(exchange);
  const route = options.routes.get(isPlain ? WATCH_PATH : pathOf(exchange.target));
  const byMethod = isPlain ? undefined : answerByMethod(options, exchange, route);
  if (byMethod !== undefined) return await send(options, exchange, byMethod, verdict.headers);
  const serverMs = route === undefined ? options.webTimeoutMs : route.timeoutMs ?? Infinity;
  // The library only aborts a signal, which nobody looks at who waits for the body.
  const clientMs = route === undefined
    ? undefined
    : clientTimeoutMs(exchange.header, options.maxTimeoutMs);
  const isClients = clientMs !== undefined && clientMs <= serverMs;
  const timeoutMs = isClients ? clientMs : serverMs;
  const cancel = timeoutMs === Infinity ? undefined : options.clock.after(
    timeoutMs,
    () => exchange.abort(isClients ? deadlineExceeded() : timeUp()),
  );
  const end = new AnswerEnd();
  try {
    if (route === undefined) {
      const unknown = unknownRpc(exchange, options.errorDetails);
      if (unknown === undefined && exchange.http2) await passBody(exchange, options.passMaxBytes);
      const answer = unknown ?? await askWeb(options, exchange);
      return await send(options, exchange, answer, verdict.headers);
    }
    tameTimeouts(exchange.header, options.maxTimeoutMs);
    const request = toUniversal(exchange, end);
    const answer = isPlain
      ? await plainWatch(route, request, exchange.target)
      : await route.handle(request);
    const body = answer.body && end.watch(answer.body);
    await send(options, exchange, { ...answer, body }, verdict.headers);
  } finally {
    end.end();
    cancel?.();
  }
}

/**
 * What is answered for the method alone: what OPTIONS asks, and a method that the target does not have.
 * Undefined: go on, also where there is no such target.
 */
function answerByMethod(
  options: FrontOptions,
  { method, target }: Exchange,
  route: Route | undefined,
): Answer | undefined {
  const methods = target === "*" ? ALL_METHODS : methodsOf(options.web, pathOf(target), route);
  if (methods?.includes(method) && method !== "OPTIONS") return undefined;
  const allow = (methods ?? ALL_METHODS).join(", ");
  if (methods !== undefined && method === "OPTIONS") {
    return { status: 204, header: new Headers({ allow }) };
  }
  // What is no method of the web's either, its Request does not take, whatever the path.
  const isOdd = !/^[A-Z]+$/.test(method) || method === "CONNECT" || method === "TRACE";
  if (methods === undefined && !isOdd) return undefined;
  // Clients of all protocols go by the bare status where a call has not come to one (the conformance suite).
  if (route !== undefined) return { status: 405, header: new Headers({ allow }) };
  const answer = refusal(405, "unimplemented", "this HTTP method is not served");
  answer.header.set("allow", allow);
  return answer;
}

/** The methods that a path has; undefined when there is nothing. */
function methodsOf(
  web: FrontOptions["web"],
  path: string,
  route: Route | undefined,
): readonly string[] | undefined {
  if (route !== undefined) return [...route.handle.allowedMethods, "OPTIONS"];
  if (isWatchPath(path)) return PLAIN_WATCH_METHODS;
  const methods = web.routes.filter((page) => page.path === path).map((page) => page.method);
  if (methods.length === 0) return undefined;
  return [
    ...new Set(methods.flatMap((each) => each === "GET" ? ["GET", "HEAD"] : each)),
    "OPTIONS",
  ];
}

/** A refusal of a call that has not come to its protocol, as Connect tells errors. */
function rpcRefusal(status: number, message: string, errorDetails = true): HeadedAnswer {
  const error = completeError(new ConnectError(message, Code.Unimplemented), errorDetails);
  return jsonAnswer(status, errorToJsonBytes(error, undefined));
}

async function send(
  options: FrontOptions,
  exchange: Exchange,
  answer: Answer,
  headers: readonly (readonly [string, string])[] = [],
): Promise<void> {
  const header = new Headers(answer.header);
  for (const [name, value] of headers) header.append(name, value);
  if (!exchange.http2 && options.closing()) header.set("connection", "close");
  await exchange.answer({ ...answer, header });
}

/** The size of headers as HTTP/2 reckons it (RFC 9113, section 6.5.2). */
function headerBytes(header: Headers): number {
  let bytes = 0;
  header.forEach((value, name) => bytes += name.length + value.length + 32);
  return bytes;
}

/** What the client allows, ms; undefined when it does not say, or the library will refuse what it says. */
function clientTimeoutMs(header: Headers, maxMs: number): number | undefined {
  if (isGrpc(header)) {
    return atMost(parseTimeout(header.get("grpc-timeout"), maxMs).timeoutMs, maxMs);
  }
  const text = header.get("connect-timeout-ms");
  return text !== null && CONNECT_TIMEOUT.test(text) ? atMost(Number(text), maxMs) : undefined;
}

function atMost(ms: number | undefined, maxMs: number): number | undefined {
  return ms !== undefined && ms <= maxMs ? ms : undefined;
}

/** gRPC or gRPC-Web. Media types know no case, and the library reads them so. */
function isGrpc(header: Headers): boolean {
  return header.get("content-type")?.toLowerCase().startsWith("application/grpc") ?? false;
}

/**
 * Brings timeouts far above the limit down to just above it. The RPC library refuses both alike, but
 * sets a timer first, and a timer beyond 2^31 ms fires at once.
 */
function tameTimeouts(header: Headers, maxMs: number): void {
  if (header.has("connect-timeout-ms") && Number(header.get("connect-timeout-ms")) > maxMs) {
    header.set("connect-timeout-ms", String(maxMs + 1));
  }
  if (
    header.has("grpc-timeout") &&
    (parseTimeout(header.get("grpc-timeout"), maxMs).timeoutMs ?? 0) > maxMs
  ) {
    header.set("grpc-timeout", `${maxMs + 1}m`);
  }
}

/** What services find of an exchange besides their message. */
function valuesOf(exchange: Exchange, end: AnswerEnd): ContextValues {
  const { peer, turn } = exchange;
  const values = peer === undefined ? createContextValues() : peerValues(peer);
  return values.set(turnKey, turn).set(answerEndKey, end).set(requestKey, exchange);
}

function toUniversal(exchange: Exchange, end: AnswerEnd): UniversalServerRequest {
  return {
    httpVersion: exchange.httpVersion,
    method: exchange.method,
    url: urlOf(exchange.target),
    header: exchange.header,
    body: exchange.body,
    signal: exchange.signal,
    contextValues: countInflated(exchange, valuesOf(exchange, end)),
  };
}

/** The answer for an RPC that there is not, in the caller's protocol; undefined when it is no RPC. */
function unknownRpc(exchange: Exchange, errorDetails = true): Answer | undefined {
  const type = exchange.header.get("content-type")?.toLowerCase() ?? "";
  const grpc = isGrpc(exchange.header);
  if (!grpc && !RPC_PATH.test(pathOf(exchange.target))) return undefined;
  const unknown = new ConnectError("there is no such method", Code.Unimplemented);
  const error = completeError(unknown, errorDetails);
  if (grpc) {
    const header = new Headers({ "content-type": type });
    const status = new Headers();
    setTrailerStatus(status, error);
    // gRPC-Web has no HTTP trailers: with nothing to say, the status stands among the headers.
    if (!type.startsWith("application/grpc-web")) return { status: 200, header, trailer: status };
    status.forEach((value, name) => header.set(name, value));
    return { status: 200, header };
  }
  // Connect's own mapping says 501; for a path that is not there it asks for 404.
  return rpcRefusal(404, unknown.rawMessage, errorDetails);
}

/**
 * Reads a request over HTTP/2 to its end, though no page looks into it. Answered before that, the stream
 * of a sound request would have to be reset, and what is wrong with the rest of another would be told or
 * not as the wind blows. HTTP/1.1 sees to the rest after its answer.
 * @param maxBytes  the rest of a longer one is not waited for
 */
async function passBody(exchange: Exchange, maxBytes: number): Promise<void> {
  let bytes = 0;
  for await (const chunk of exchange.body) {
    bytes += chunk.length;
    if (bytes > maxBytes) return;
  }
}

/** Runs the web app. It gets the path on a host of ours, since the client's may be no host at all. */
async function askWeb(options: FrontOptions, exchange: Exchange): Promise<Answer> {
  const { method, header, signal, authority } = exchange;
  // No page takes a body.
  const request = new Request(urlOf(exchange.target), { method, headers: header, signal });
  const response = await options.web.fetch(request, {
    authority,
    admitToMetrics: () => {
      const authorization = header.get("authorization") ?? undefined;
      return admitToMetrics(options.metricsFor ?? OPEN_AUTHORITY, authorization, exchange.peer);
    },
  });
  if (response.body === null) return { status: response.status, header: response.headers };
  // Pages are small: a length is kinder to clients than chunks.
  const bytes = await response.bytes();
  response.headers.set("content-length", String(bytes.length));
  return { status: response.status, header: response.headers, body: once(bytes) };
}

/** An answer whose headers can be added to. */
type HeadedAnswer = Answer & { readonly header: Headers };

function refusal(status: number, code: string, message: string): HeadedAnswer {
  return jsonAnswer(status, encoder.encode(JSON.stringify({ code, message })));
}

function jsonAnswer(status: number, bytes: Uint8Array): HeadedAnswer {
  const header = new Headers({
    "content-type": "application/json",
    "content-length": String(bytes.length),
  });
  return { status, header, body: once(bytes) };
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
