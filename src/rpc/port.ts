/**
 * The port: one TCP address for gRPC, gRPC-Web, Connect and the web, over HTTP/1.1 and HTTP/2.
 *
 *     runtime.network ─► connections ─► node:http2 ─┐                 ┌─► RPC library ─► services ─► node
 *                        (sniff)    └─► node:http ──┴─► exchange ─► front
 *                                                                     └─► web app
 *
 * Closing goes in an order that loses nothing: say that we are not ready, stop accepting, let running
 * calls finish within a deadline, abort the rest, close the connections.
 * @module
 */
import { createServer as createHttp1Server, type Server } from "node:http";
import { createServer as createHttp2Server, type Http2Server } from "node:http2";
import { Code, ConnectError } from "@connectrpc/connect";
import { PairError } from "../model/mod.ts";
import type { StorageNode } from "../node/mod.ts";
import type { Listener, Log, Network, Runtime } from "../runtime/mod.ts";
import {
  createOriginGuard,
  createWebApp,
  DEFAULT_CORS_ORIGINS,
  isLoopback,
  nodeSamples,
  Registry,
} from "../web/mod.ts";
import { Connections } from "./connections.ts";
import { Exchange, type NodeRequest, type NodeResponse } from "./exchange.ts";
import { createFront, type FrontOptions } from "./front.ts";
import { createPipeline } from "./interceptors.ts";
import { DEFAULT_PORT_LIMITS, type PortLimits } from "./limits.ts";
import { Readiness } from "./readiness.ts";
import { createRoutes } from "./router.ts";

/** How a port is opened. */
export interface PortOptions {
  readonly runtime: Pick<Runtime, "clock" | "network" | "log">;
  readonly node: StorageNode;
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** The program's version, for people. */
  readonly version: string;
  /** Changes to {@link DEFAULT_PORT_LIMITS}. */
  readonly limits?: Partial<PortLimits>;
  /** Pages that may call: exact origins, `http://localhost:*` for any port, `*` for all. */
  readonly corsOrigins?: readonly string[];
  /** Host names that a port on a loopback address answers to besides loopback's own; `*`: all. */
  readonly allowedHosts?: readonly string[];
  /** Whether /metrics answers. Default true. */
  readonly metrics?: boolean;
  /** In place of the runtime's. */
  readonly log?: Log;
}

/** An open port. It is not ready until {@link Port.setReady} says so; calls are answered from the start. */
export interface Port {
  readonly host: string;
  /** The real port, also when 0 was asked for. */
  readonly port: number;
  /** `http://HOST:PORT`. */
  readonly url: string;
  /** What /readyz and the health service say. @param reason  why not */
  setReady(ready: boolean, reason?: string): void;
  /** Lets running calls finish, within `limits.shutdownTimeoutMs`, and closes. A second call waits for the first. */
  close(): Promise<void>;
}

/** What {@link openTransport} serves, and where. */
export interface TransportOptions
  extends Pick<FrontOptions, "clock" | "log" | "routes" | "web" | "judge"> {
  readonly network: Network;
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  readonly limits: PortLimits;
  /** Gets the metrics of connections. */
  readonly registry: Registry;
}

/** An address that is listened on. */
export type Transport = Pick<Port, "host" | "port" | "url" | "close">;

/** Time for calls that were aborted at shutdown to say so. */
const LAST_WORDS_MS = 500;

/**
 * Opens a port.
 * @throws PairError Unavailable (2001) when the address cannot be listened on
 */
export async function openPort(options: PortOptions): Promise<Port> {
  const { runtime: { clock, network }, node, host, port } = options;
  const log = options.log ?? options.runtime.log;
  const limits = { ...DEFAULT_PORT_LIMITS, ...options.limits };
  const registry = new Registry();
  const readiness = new Readiness(node);
  registry.collect(() => nodeSamples(node));

  const transport = await openTransport({
    clock,
    network,
    log,
    host,
    port,
    limits,
    registry,
    routes: createRoutes({
      node,
      clock,
      limits,
      readiness,
      pipeline: createPipeline({ clock, log, registry }),
    }),
    web: createWebApp({
      node,
      registry: options.metrics === false ? undefined : registry,
      log,
      version: options.version,
      ready: () => readiness.state(),
    }),
    judge: createOriginGuard({
      origins: options.corsOrigins ?? DEFAULT_CORS_ORIGINS,
      hosts: options.allowedHosts ?? [],
      loopback: isLoopback(host),
    }),
  });
  return {
    ...transport,
    setReady: (ready, reason) => readiness.set(ready, reason),
    close: () => {
      readiness.close();
      return transport.close();
    },
  };
}

/**
 * Serves routes and a web app, whatever they are, on one address.
 * @throws PairError Unavailable (2001) when the address cannot be listened on
 */
export async function openTransport(options: TransportOptions): Promise<Transport> {
  const { clock, network, log, host, limits, registry } = options;
  const exchanges = new Map<Exchange, Promise<void>>();
  const onRequest = (request: NodeRequest, response: NodeResponse) => {
    const end = connections.begin(request);
    const exchange = new Exchange(request, response, clock, limits);
    const served = front(exchange).then((whole) => {
      exchanges.delete(exchange);
      end(whole);
    });
    exchanges.set(exchange, served);
  };
  const http1 = http1Server(limits, onRequest);
  const http2 = http2Server(limits, log, onRequest);
  const connections = new Connections({ clock, log, limits, registry, http1, http2 });
  const front = createFront({
    clock,
    log,
    routes: options.routes,
    web: options.web,
    judge: options.judge,
    maxHeaderBytes: limits.maxHeaderBytes,
    maxTimeoutMs: limits.streamTimeoutMs,
    closing: () => connections.closing,
  });

  let listener: Listener;
  try {
    listener = await network.listen(
      { host, port: options.port },
      (connection) => connections.accept(connection),
    );
  } catch (cause) {
    const errno = String((cause as { code?: unknown }).code ?? "EOTHER");
    throw new PairError("Unavailable", `Cannot listen on ${host}:${options.port}: ${errno}`, {
      errno,
    }, { cause });
  }

  const close = async () => {
    await listener.close();
    const drained = connections.drain();
    const patience = new AbortController();
    // Sleeping rejects when the drain wins; that is no failure.
    const pause = (ms: number) => clock.sleep(ms, patience.signal).then(() => {}, () => {});
    await Promise.race([drained, pause(limits.shutdownTimeoutMs)]);
    for (const exchange of exchanges.keys()) exchange.abort(shuttingDown());
    await Promise.race([drained, pause(LAST_WORDS_MS)]);
    connections.destroy();
    await drained;
    // What is left waits for nothing that a client could bring any more.
    await Promise.race([Promise.all(exchanges.values()), pause(LAST_WORDS_MS)]);
    patience.abort();
  };
  let closed: Promise<void> | undefined;
  return {
    host: listener.host,
    port: listener.port,
    url: `http://${host.includes(":") ? `[${host}]` : host}:${listener.port}`,
    close: () => closed ??= close(),
  };
}

type OnRequest = (request: NodeRequest, response: NodeResponse) => void;

/** A server that parses HTTP/1.1 on sockets that it is handed. Times are kept by {@link Connections}. */
function http1Server(limits: PortLimits, onRequest: OnRequest): Server {
  const server = createHttp1Server({
    maxHeaderSize: limits.maxHeaderBytes,
    keepAliveTimeout: limits.idleTimeoutMs,
    headersTimeout: 0,
    requestTimeout: 0,
  }, onRequest);
  // A server that does not listen itself closes each connection after one answer (denoland/deno #35609).
  Object.defineProperty(server, "listening", { value: true });
  server.on("clientError", (error: Error & { code?: string }, socket) => {
    const status = error.code === "HPE_HEADER_OVERFLOW"
      ? "431 Request Header Fields Too Large"
      : "400 Bad Request";
    if (!socket.writable) return void socket.destroy();
    socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`);
    // The end is not waited for by a client that goes on sending.
    socket.once("finish", () => socket.destroy());
  });
  return server;
}

/** The same for HTTP/2. */
function http2Server(limits: PortLimits, log: Log, onRequest: OnRequest): Http2Server {
  const server = createHttp2Server({
    settings: {
      maxConcurrentStreams: limits.maxConcurrentStreams,
      maxHeaderListSize: limits.maxHeaderBytes,
      initialWindowSize: 1024 * 1024,
      enablePush: false,
    },
    maxSessionMemory: 64,
  }, onRequest);
  server.on("sessionError", (error) => log.debug("http2_session_error", { error: error.message }));
  return server;
}

function shuttingDown(): ConnectError {
  return new ConnectError("the server is shutting down", Code.Unavailable);
}
