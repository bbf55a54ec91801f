/**
 * The port: one TCP address for gRPC, gRPC-Web, Connect and the web, over HTTP/1.1 and HTTP/2.
 *
 *     runtime.network ─► connections ─► http2/ ─────┐                 ┌─► RPC library ─► services ─► node
 *                        (sniff)    └─► node:http ──┴─► exchange ─► front
 *                                                                     └─► web app
 *
 * Closing goes in an order that loses nothing: say that we are not ready, stop accepting, let running
 * calls finish within a deadline, abort the rest, close the connections.
 * @module
 */
import {
  createServer as createHttp1Server,
  type IncomingMessage,
  type RequestListener,
  type Server,
} from "node:http";
import type { Duplex } from "node:stream";
import { Code, ConnectError } from "@connectrpc/connect";
import { PairError } from "../model/mod.ts";
import type { CallCounter, StorageNode } from "../node/mod.ts";
import type {
  Connection,
  Listener,
  Log,
  Network,
  Runtime,
  TlsCredentials,
  TlsListenOptions,
  Tracer,
} from "../runtime/mod.ts";
import {
  createOriginGuard,
  createWebApp,
  DEFAULT_CORS_ORIGINS,
  isLoopback,
  nodeSamples,
  Registry,
  type Sample,
  tenantSamples,
  usageSamples,
} from "../web/mod.ts";
import { AnswerRoom } from "./answer_room.ts";
import { type Authority, OPEN_AUTHORITY, proveClientAuth } from "./auth/mod.ts";
import { Connections, type Http2Requests } from "./connections.ts";
import type { Exchange } from "./exchange.ts";
import { FairGate } from "./fair_gate.ts";
import { createFront, type FrontOptions } from "./front.ts";
import { createPipeline, type Pipeline } from "./pipeline.ts";
import { Http1Exchange } from "./http1_exchange.ts";
import { Http1Turns } from "./http1_turns.ts";
import { Http2Exchange } from "./http2_exchange.ts";
import { DEFAULT_PORT_LIMITS, type PortLimits } from "./limits.ts";
import { Readiness } from "./readiness.ts";
import { BodyRoom } from "./request_bytes.ts";
import { createRoutes } from "./router.ts";
import { ShortLane, type ShortLaneOptions } from "./short_lane.ts";

/** How a port speaks TLS. */
export interface PortTls extends Omit<TlsListenOptions, "alpn" | "maxHandshakes"> {
  /** An address of its own, beside the one without TLS; undefined: the port's, which speaks nothing else. */
  readonly listen?: { readonly host: string; readonly port: number } | undefined;
}

/** How a port is opened. */
export interface PortOptions {
  readonly runtime: Pick<Runtime, "clock" | "network" | "log"> & Partial<Pick<Runtime, "usage">>;
  readonly node: StorageNode;
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** The program's version, for people. */
  readonly version: string;
  /** Undefined: no TLS. */
  readonly tls?: PortTls | undefined;
  /** Changes to {@link DEFAULT_PORT_LIMITS}. */
  readonly limits?: Partial<PortLimits>;
  /** Pages that may call: exact origins, `http://localhost:*` for any port, `*` for all. */
  readonly corsOrigins?: readonly string[];
  /** Host names that a port on a loopback address answers to besides loopback's own; `*`: all. */
  readonly allowedHosts?: readonly string[];
  /** Whether /metrics answers. Default true. */
  readonly metrics?: boolean;
  /** Who may call what. Default: everybody everything. */
  readonly authority?: Authority;
  /** Whether everybody may see /metrics, whatever the authority says. Default false. */
  readonly openMetrics?: boolean;
  /** In place of the runtime's. */
  readonly log?: Log;
  /** Counts the port's calls, for the node's health. */
  readonly calls?: CallCounter | undefined;
  /** An operation that takes as long as this is slow, ms. Default 100; Infinity: none is. */
  readonly slowMs?: number | undefined;
  /** Takes a span of each call. Default: nobody. */
  readonly tracer?: Tracer | undefined;
}

/** An open port. It is not ready until {@link Port.setReady} says so; calls are answered from the start. */
export interface Port {
  readonly host: string;
  /** The real port, also when 0 was asked for. */
  readonly port: number;
  /** `http://HOST:PORT`; with https where it speaks TLS. */
  readonly url: string;
  /** The address of its own that TLS has. */
  readonly tlsUrl: string | undefined;
  /**
   * Goes on with another certificate; connections stay.
   * @throws Error that says why it cannot be used; then the old one stays. Also where there is no TLS.
   */
  renewTls(credentials: TlsCredentials): void;
  /** What /readyz and the health service say. @param reason  why not */
  setReady(ready: boolean, reason?: string): void;
  /** Lets running calls finish, within `limits.shutdownTimeoutMs`, and closes. A second call waits for the first. */
  close(): Promise<void>;
}

/** What {@link openTransport} serves, and where. */
export interface TransportOptions extends
  Pick<
    FrontOptions,
    "clock" | "log" | "routes" | "web" | "judge" | "metricsFor" | "errorDetails"
  > {
  readonly network: Network;
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** Undefined: no TLS. */
  readonly tls?: PortTls | undefined;
  readonly limits: PortLimits;
  /** What the routes were made with. */
  readonly pipeline: Pipeline;
  /** Gets the metrics of connections. */
  readonly registry: Registry;
}

/** An address that is listened on. */
export type Transport = Pick<Port, "host" | "port" | "url" | "tlsUrl" | "renewTls" | "close">;

/** The answer to a request whose header list is over the limit. */
const HEADERS_TOO_LARGE = new TextEncoder().encode(
  JSON.stringify({
    code: "resource_exhausted",
    message: "the request's headers are too large",
  }),
);
/** What CONNECT is told that there is. */
const ALLOW = "allow: GET, HEAD, POST, OPTIONS\r\n";
/** Time for calls that were aborted at shutdown to say so. */
const LAST_WORDS_MS = 500;

/**
 * Opens a port.
 * @throws PairError as {@link openTransport} does
 */
export async function openPort(options: PortOptions): Promise<Port> {
  const { runtime: { clock, network, usage }, node, host, port } = options;
  const log = options.log ?? options.runtime.log;
  const limits = { ...DEFAULT_PORT_LIMITS, ...options.limits };
  const authority = options.authority ?? OPEN_AUTHORITY;
  const registry = new Registry();
  const readiness = new Readiness(node);
  registry.collect(() => nodeSamples(node));
  registry.collect(() => tenantSamples(node));

  const fair = new FairGate(clock, limits.tenantWaitingCalls);
  registry.collect(() => fairSamples(fair));
  if (usage !== undefined) registry.collect(() => usageSamples(usage));

  const { calls: counter, slowMs, tracer } = options;
  const pipeline = createPipeline({
    clock,
    log,
    registry,
    authority,
    counter,
    slowMs,
    tracer,
  });
  const transport = await openTransport({
    clock,
    network,
    log,
    host,
    port,
    tls: options.tls,
    limits,
    registry,
    routes: createRoutes({
      node,
      clock,
      limits,
      readiness,
      pipeline,
      fair,
    }),
    pipeline,
    web: createWebApp({
      node,
      registry: options.metrics === false ? undefined : registry,
      log,
      version: options.version,
      ready: () => readiness.state(),
    }),
    metricsFor: options.openMetrics === true ? OPEN_AUTHORITY : authority,
    judge: createOriginGuard({
      origins: options.corsOrigins ?? DEFAULT_CORS_ORIGINS,
      hosts: options.allowedHosts ?? [],
      loopback: isLoopback(host),
    }),
  });
  return {
    ...transport,
    setReady: (ready, reason) => readiness.set(ready, reason),
    close: async () => {
      readiness.close();
      await transport.close();
      fair.close();
    },
  };
}

/**
 * Serves routes and a web app, whatever they are, on one address.
 * @throws PairError Unavailable (2001) when an address cannot be listened on, InvalidArgument (1000) when
 *   the certificate cannot be used, Internal (2000) when clients without one are not turned away
 */
export async function openTransport(options: TransportOptions): Promise<Transport> {
  const { clock, network, log, host, limits, registry } = options;
  const exchanges = new Map<Exchange, Promise<void>>();
  const serve = (exchange: Exchange, end?: () => void) => {
    const served = front(exchange).then(() => {
      exchanges.delete(exchange);
      exchange.release();
      end?.();
    });
    exchanges.set(exchange, served);
    return served;
  };
  const room = new BodyRoom(limits);
  const answers = new AnswerRoom({ clock, limits, queuedBytes: () => connections.queuedBytes });
  registry.collect(() => [...roomSamples(room), ...answerSamples(answers)]);
  const turns = new Http1Turns();
  const newest = new WeakMap<Connection, IncomingMessage>();
  const http1 = http1Server(limits, (request, response) => {
    newest.set(request.socket, request);
    // Nobody else listens while it waits, and an error that nobody hears ends the process.
    request.on("error", () => {});
    response.on("error", () => {});
    turns.take(request.socket, async () => {
      // The client left, or was asked to by the answer before: it takes none any more.
      if (!request.socket.writable) return;
      const client = connections.begin(request);
      // Requests of a connection take turns, so that nothing waits on it when one is begun.
      const turn = answers.of({ queuedBytes: 0 });
      await serve(
        new Http1Exchange(request, response, clock, limits, room, client, turn),
        client.end,
      );
    });
  }, (error, socket) => {
    // What is wrong behind a whole request is no answer to that one, which may be stored by now.
    const behind = turns.busy(socket) && newest.get(socket)?.complete === true;
    if (!behind) return refuseBytes(error, socket);
    turns.take(socket, () => Promise.resolve(refuseBytes(error, socket)));
  });
  // A tunnel to elsewhere is nothing that there is here; its request has no answer of the usual kind.
  http1.on("connect", (_request, socket) => {
    turns.take(socket, () => Promise.resolve(sayLast(socket, "405 Method Not Allowed", ALLOW)));
  });
  const takeOver: ShortLaneOptions["takeOver"] = (stream, head, connection, prepaid) => {
    const held = { room, connection, clock, limits };
    const turn = answers.of(connection);
    const exchange = new Http2Exchange(stream, head, connection, prepaid, held, turn);
    connection.defer({ begin: () => exchange.gone || serve(exchange) });
    return exchange;
  };
  const { routes, judge, pipeline } = options;
  const shortLane = new ShortLane({
    clock,
    pipeline,
    limits,
    routes,
    judge,
    room,
    answers,
    takeOver,
  });
  const http2: Http2Requests = {
    open: (stream, head, connection) =>
      shortLane.open(stream, head, connection) ?? takeOver(stream, head, connection, 0),
    refuse(stream) {
      stream.sendHeaders([":status", "431", "content-type", "application/json"]);
      stream.sendData(HEADERS_TOO_LARGE, true);
    },
  };
  const connections: Connections = new Connections({
    clock,
    log,
    limits,
    registry,
    answers,
    http1,
    http2,
  });
  const front = createFront({
    clock,
    log,
    routes,
    web: options.web,
    judge,
    metricsFor: options.metricsFor,
    errorDetails: options.errorDetails ?? true,
    maxHeaderBytes: limits.maxHeaderBytes,
    maxTimeoutMs: limits.streamTimeoutMs,
    webTimeoutMs: limits.readTimeoutMs,
    passMaxBytes: limits.drainMaxBytes,
    closing: () => connections.closing,
  });

  const listeners: Listener[] = [];
  const closeListeners = () => Promise.all(listeners.map((listener) => listener.close()));
  const bind = async (address: { host: string; port: number }, tls?: PortTls) => {
    const alpn = ["h2", "http/1.1"];
    const listener = await listen(
      network,
      { ...address, tls: tls && { ...tls, alpn, maxHandshakes: limits.maxConnections } },
      (connection) => connections.accept(connection),
    );
    listeners.push(listener);
    if (tls?.clientAuth === "require") await proveClientAuth({ network, clock }, listener);
    return listener;
  };
  const { tls } = options;
  const onlyTls = tls !== undefined && tls.listen === undefined;
  let listener: Listener;
  let tlsListener: Listener | undefined;
  try {
    listener = await bind({ host, port: options.port }, onlyTls ? tls : undefined);
    tlsListener = tls?.listen === undefined ? undefined : await bind(tls.listen, tls);
  } catch (error) {
    await closeListeners();
    connections.destroy();
    throw error;
  }

  const close = async () => {
    await closeListeners();
    const drained = connections.drain();
    const patience = new AbortController();
    // Sleeping rejects when the drain wins; that is no failure.
    const pause = (ms: number) => clock.sleep(ms, patience.signal).then(() => {}, () => {});
    await Promise.race([drained, pause(limits.shutdownTimeoutMs)]);
    shortLane.abort(shuttingDown);
    for (const exchange of exchanges.keys()) exchange.abort(shuttingDown());
    await Promise.race([drained, pause(LAST_WORDS_MS)]);
    connections.destroy();
    await drained;
    // What is left waits for nothing that a client could bring any more.
    await Promise.race([Promise.all(exchanges.values()), pause(LAST_WORDS_MS)]);
    shortLane.close();
    answers.close();
    patience.abort();
  };
  let closed: Promise<void> | undefined;
  return {
    host: listener.host,
    port: listener.port,
    url: httpUrl(onlyTls ? "https" : "http", host, listener.port),
    tlsUrl: tlsListener && httpUrl("https", tls!.listen!.host, tlsListener.port),
    renewTls: (credentials) => (tlsListener ?? listener).renew(credentials),
    close: () => closed ??= close(),
  };
}

/** Listens, and says what kept it from that. */
async function listen(
  network: Network,
  address: Parameters<Network["listen"]>[0],
  accept: Parameters<Network["listen"]>[1],
): Promise<Listener> {
  try {
    return await network.listen(address, accept);
  } catch (cause) {
    const where = `Cannot listen on ${address.host}:${address.port}`;
    const { code, message } = cause as Error & { code?: unknown };
    if (typeof code !== "string" && address.tls !== undefined) {
      throw new PairError("InvalidArgument", `${where}: ${message}`, {}, { cause });
    }
    const errno = String(code ?? "EOTHER");
    throw new PairError("Unavailable", `${where}: ${errno}`, { errno }, { cause });
  }
}

function httpUrl(scheme: string, host: string, port: number): string {
  return `${scheme}://${host.includes(":") ? `[${host}]` : host}:${port}`;
}

/** A server that parses HTTP/1.1 on sockets that it is handed. Times are kept by {@link Connections}. */
function http1Server(
  limits: PortLimits,
  onRequest: RequestListener,
  onError: (error: Error & { code?: string }, socket: Duplex) => void,
): Server {
  /** Connections whose bytes are no HTTP; what follows on them is none either. */
  const failed = new WeakSet<Duplex>();
  const server = createHttp1Server({
    maxHeaderSize: limits.maxHeaderBytes,
    keepAliveTimeout: limits.idleTimeoutMs,
    headersTimeout: 0,
    requestTimeout: 0,
  }, onRequest);
  // A server that does not listen itself closes each connection after one answer (denoland/deno #35609).
  Object.defineProperty(server, "listening", { value: true });
  server.on("clientError", (error: Error & { code?: string }, socket) => {
    if (failed.has(socket)) return;
    failed.add(socket);
    onError(error, socket);
  });
  return server;
}

/** Answers bytes that are no HTTP, and closes their connection. */
function refuseBytes(error: Error & { code?: string }, socket: Duplex): void {
  const status = error.code === "HPE_HEADER_OVERFLOW"
    ? "431 Request Header Fields Too Large"
    : "400 Bad Request";
  sayLast(socket, status);
}

/** Answers with a bare status and closes the connection. @param field  a header line more */
function sayLast(socket: Duplex, status: string, field = ""): void {
  if (!socket.writable) return void socket.destroy();
  socket.end(`HTTP/1.1 ${status}\r\n${field}connection: close\r\ncontent-length: 0\r\n\r\n`);
  // The end is not waited for by a client that goes on sending.
  socket.once("finish", () => socket.destroy());
}

function roomSamples(room: BodyRoom): Sample[] {
  return [{
    name: "pairdb_request_held_bytes",
    help: "Bytes of requests that are held until they are answered.",
    type: "gauge",
    value: room.bytes,
  }, {
    name: "pairdb_requests_refused_total",
    help: "Requests that were refused since too much of requests was held.",
    type: "counter",
    value: room.refused,
  }];
}

function fairSamples(fair: FairGate): Sample[] {
  return [{
    name: "pairdb_fair_waiting",
    help: "Calls that wait for their tenant's turn on a busy node.",
    type: "gauge",
    value: fair.waiting,
  }, {
    name: "pairdb_fair_waited_total",
    help: "Calls that had to wait for their tenant's turn.",
    type: "counter",
    value: fair.waited,
  }, {
    name: "pairdb_fair_refused_total",
    help: "Calls that were refused since too many of their tenant's waited.",
    type: "counter",
    value: fair.refused,
  }];
}

function answerSamples(answers: AnswerRoom): Sample[] {
  return [{
    name: "pairdb_answers_deferred",
    help: "Large answers that wait for their turn to be made.",
    type: "gauge",
    value: answers.waiting,
  }, {
    name: "pairdb_answers_deferred_total",
    help: "Large answers that had to wait for their turn to be made.",
    type: "counter",
    value: answers.waited,
  }, {
    name: "pairdb_answers_refused_total",
    help: "Messages of streams that were refused since too many large answers waited.",
    type: "counter",
    value: answers.refused,
  }];
}

function shuttingDown(): ConnectError {
  return new ConnectError("the server is shutting down", Code.Unavailable);
}
