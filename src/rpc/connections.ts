/**
 * Connections: from the first byte to the last.
 *
 *     new ── first bytes ──► http2 ─┐
 *      │                └──► http1 ─┤
 *      └─ silent too long ──────────┴─► gone
 *
 * A connection is `new` until its bytes tell its protocol: HTTP/2 begins with a fixed preface, all
 * else is left to the HTTP/1.1 parser. Then node:http2 or node:http has the socket. What these two
 * do not bound under Deno is bounded here: silence, slow request heads, idleness, floods of resets,
 * and the number of connections.
 * @module
 */
import type { Http2Server, ServerHttp2Session } from "node:http2";
import type { Server } from "node:http";
import type { Cancel, Clock, Connection, Log } from "../runtime/mod.ts";
import type { Counter, Gauge, Registry } from "../web/mod.ts";
import type { NodeRequest } from "./exchange.ts";
import type { PortLimits } from "./limits.ts";

/** What every HTTP/2 client sends first (RFC 9113, section 3.4). */
const PREFACE = new TextEncoder().encode("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
/** Bytes that a peer may have on their way on one HTTP/2 connection. */
const CONNECTION_WINDOW_BYTES = 4 * 1024 * 1024;
// Error codes of GOAWAY (RFC 9113, section 7), and the stream id that means "no stream is refused".
const NO_ERROR = 0;
const ENHANCE_YOUR_CALM = 11;
const LAST_STREAM = 2 ** 31 - 1;
/**
 * Time for a GOAWAY, or the last answer, to reach a client, and for calls that it sent before that to
 * reach us. Clients that are done close earlier themselves.
 */
const GOAWAY_GRACE_MS = 250;

/** One connection. */
class Link {
  kind: "new" | "http1" | "http2" = "new";
  session: ServerHttp2Session | undefined;
  /** Requests that are being answered. */
  running = 0;
  /** When the last request ended; before the first, when the connection came. */
  idleSinceMs: number;
  /** Resets that were not forgiven yet, and when that was reckoned. */
  resets = 0;
  resetsAtMs: number;
  /** Was told to go by a GOAWAY. */
  leaving = false;
  /** Closed by us, though perhaps not gone yet. */
  expelled = false;
  /** Stops the wait for the first bytes. */
  cancelPreface: Cancel = () => {};
  /** Stops the wait between GOAWAY and the end. */
  cancelDismissal: Cancel = () => {};

  constructor(readonly socket: Connection, nowMs: number) {
    this.idleSinceMs = nowMs;
    this.resetsAtMs = nowMs;
  }
}

/** What connections need. */
export interface ConnectionsOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly limits: PortLimits;
  readonly registry: Registry;
  readonly http1: Server;
  readonly http2: Http2Server;
}

/** All connections of one port. */
export class Connections {
  #options: ConnectionsOptions;
  #links = new Map<Connection, Link>();
  #sessions = new WeakMap<object, Link>();
  /** The link whose socket is being handed to node:http2, which makes its session in the same turn. */
  #handing: Link | undefined;
  #closing = false;
  #cancelSweep: Cancel | undefined;
  #whenEmpty: (() => void) | undefined;
  #open: Gauge;
  #accepted: Counter;
  #refused: Counter;

  constructor(options: ConnectionsOptions) {
    this.#options = options;
    const { registry, http2 } = options;
    this.#open = registry.gauge("pairdb_connections", "Open connections.", ["protocol"]);
    this.#accepted = registry.counter("pairdb_connections_total", "Connections accepted.");
    this.#refused = registry.counter(
      "pairdb_connections_closed_total",
      "Connections that the server closed on its own account, by reason.",
      ["reason"],
    );
    http2.on("session", (session) => this.#adopt(session));
  }

  /** Whether {@link drain} was called: answers should ask HTTP/1.1 clients to go. */
  get closing(): boolean {
    return this.#closing;
  }

  /** Takes a new connection. */
  accept(socket: Connection): void {
    const { clock, limits } = this.#options;
    // A peer's reset is an error of the socket; what follows from it comes with "close".
    socket.on("error", () => {});
    if (this.#closing || this.#links.size >= limits.maxConnections) {
      this.#refused.add(1, "too_many");
      socket.destroy();
      return;
    }
    socket.setNoDelay?.(true);
    const link = new Link(socket, clock.monotonicMs());
    this.#links.set(socket, link);
    this.#accepted.add(1);
    this.#open.add(1, link.kind);
    socket.once("close", () => this.#forget(link));
    link.cancelPreface = clock.after(limits.prefaceTimeoutMs, () => this.#expel(link, "silent"));
    this.#sniff(link);
    this.#armSweep();
  }

  /** Marks the start of a request. @returns to be called at its end; `whole`: it was answered */
  begin(request: NodeRequest): (whole: boolean) => void {
    const link = "stream" in request
      ? this.#sessions.get(request.stream.session ?? request)
      : this.#links.get(request.socket);
    if (link === undefined) return () => {};
    link.running++;
    return (whole) => {
      link.running--;
      link.idleSinceMs = this.#options.clock.monotonicMs();
      if (!whole && link.kind === "http2") this.#countReset(link);
      if (this.#closing || link.leaving) this.#dismiss(link);
    };
  }

  /** Asks all to go, lets running requests end. Resolves when the last connection is gone. */
  drain(): Promise<void> {
    this.#closing = true;
    for (const link of [...this.#links.values()]) this.#dismiss(link);
    if (this.#links.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#whenEmpty = resolve);
  }

  /** Closes everything now. */
  destroy(): void {
    for (const link of [...this.#links.values()]) link.socket.destroy();
  }

  /** Reads until the bytes tell the protocol, then hands the socket over with all its bytes. */
  #sniff(link: Link): void {
    const { socket } = link;
    let seen = new Uint8Array(0);
    const onReadable = () => {
      for (let chunk = socket.read(); chunk !== null; chunk = socket.read()) {
        const joined = new Uint8Array(seen.length + chunk.length);
        joined.set(seen);
        joined.set(chunk, seen.length);
        seen = joined;
      }
      const protocol = protocolOf(seen);
      if (protocol === undefined) return;
      socket.off("readable", onReadable);
      socket.unshift(seen);
      this.#handOver(link, protocol);
    };
    socket.on("readable", onReadable);
    // Nobody else watches for the end while the protocol is unknown.
    socket.once("end", () => {
      if (link.kind === "new") socket.destroy();
    });
  }

  #handOver(link: Link, protocol: "http1" | "http2"): void {
    link.cancelPreface();
    this.#open.add(-1, link.kind);
    link.kind = protocol;
    this.#open.add(1, link.kind);
    const { http1, http2 } = this.#options;
    this.#handing = link;
    (protocol === "http2" ? http2 : http1).emit("connection", link.socket);
    this.#handing = undefined;
  }

  #adopt(session: ServerHttp2Session): void {
    const link = this.#handing;
    if (link === undefined) return;
    link.session = session;
    this.#sessions.set(session, link);
    unwindFirst(session);
    session.setLocalWindowSize(CONNECTION_WINDOW_BYTES);
  }

  #forget(link: Link): void {
    link.cancelPreface();
    link.cancelDismissal();
    if (!this.#links.delete(link.socket)) return;
    this.#open.add(-1, link.kind);
    if (this.#links.size > 0) return;
    this.#cancelSweep?.();
    this.#cancelSweep = undefined;
    this.#whenEmpty?.();
  }

  /** Closes a connection for a reason that is the client's doing. */
  #expel(link: Link, reason: string): void {
    if (link.expelled) return;
    link.expelled = true;
    this.#refused.add(1, reason);
    this.#options.log.debug("connection_closed", { reason, protocol: link.kind });
    if (reason === "resets") this.#goAway(link, ENHANCE_YOUR_CALM);
    link.socket.destroy();
  }

  /** Asks a connection to go; closes it a moment after its last request was answered. */
  #dismiss(link: Link): void {
    if (link.kind !== "http2") {
      if (link.running === 0) link.socket.destroy();
      return;
    }
    this.#goAway(link, NO_ERROR);
    link.cancelDismissal();
    // A call that was on its way meanwhile is answered first; its end comes here again.
    link.cancelDismissal = this.#options.clock.after(GOAWAY_GRACE_MS, () => {
      if (link.running === 0) link.socket.destroy();
    });
  }

  /** Says GOAWAY, once, refusing no stream: one that is on its way now is still answered. */
  #goAway(link: Link, code: number): void {
    const { session } = link;
    if (link.leaving || session === undefined || session.destroyed) return;
    link.leaving = true;
    session.goaway(code, LAST_STREAM);
  }

  /** A leaky bucket of calls that a client began and dropped. */
  #countReset(link: Link): void {
    const { clock, limits } = this.#options;
    const now = clock.monotonicMs();
    const forgiven = (now - link.resetsAtMs) / 1000 * limits.resetsPerSecond;
    link.resets = Math.max(0, link.resets - forgiven) + 1;
    link.resetsAtMs = now;
    if (link.resets > limits.resetBurst) this.#expel(link, "resets");
  }

  /** Looks for idle connections, as long as there are any connections. */
  #armSweep(): void {
    const { clock, limits } = this.#options;
    const everyMs = Math.min(limits.idleTimeoutMs, limits.http2IdleTimeoutMs) / 4;
    this.#cancelSweep ??= clock.after(everyMs, () => {
      this.#cancelSweep = undefined;
      const now = clock.monotonicMs();
      for (const link of [...this.#links.values()]) this.#sweep(link, now);
      if (this.#links.size > 0) this.#armSweep();
    });
  }

  #sweep(link: Link, nowMs: number): void {
    const { limits } = this.#options;
    if (link.running > 0) return;
    const idleMs = nowMs - link.idleSinceMs;
    if (link.kind === "http1" && idleMs >= limits.idleTimeoutMs) this.#expel(link, "idle");
    // Once it was told to go, its end is on its way.
    if (link.kind !== "http2" || link.leaving) return;
    if (idleMs >= limits.http2IdleTimeoutMs) this.#dismiss(link);
  }
}

/**
 * Makes a session end itself only after nghttp2 has returned. When a client says GOAWAY, Deno 2.9.6
 * closes the session from inside nghttp2's callback and so frees what nghttp2 goes on to read: the
 * process dies of an assertion (find_stream_on_goaway_func) or a bad pointer, in about every second
 * run of a load generator (denoland/deno #36788). Microtasks run once native code has unwound.
 */
function unwindFirst(session: ServerHttp2Session): void {
  const close = session.close.bind(session);
  const destroy = session.destroy.bind(session);
  session.close = (callback) => queueMicrotask(() => close(callback));
  session.destroy = (error, code) => queueMicrotask(() => destroy(error, code));
}

/** What the first bytes tell; undefined while they could still become HTTP/2's preface. */
export function protocolOf(bytes: Uint8Array): "http1" | "http2" | undefined {
  const length = Math.min(bytes.length, PREFACE.length);
  for (let i = 0; i < length; i++) if (bytes[i] !== PREFACE[i]) return "http1";
  return length === PREFACE.length ? "http2" : undefined;
}
