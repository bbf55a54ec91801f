/**
 * Connections: from the first byte to the last.
 *
 *     new ── first bytes ──► http2 ─┐
 *      │                └──► http1 ─┤
 *      └─ silent too long ──────────┴─► gone
 *
 * A connection is `new` until its bytes tell its protocol: HTTP/2 begins with a fixed preface, all
 * else is left to the HTTP/1.1 parser. Then our HTTP/2 server or node:http has the socket. What concerns
 * both is bounded here: silence, slow request heads, idleness, and the number of connections.
 * @module
 */
import type { IncomingMessage, Server } from "node:http";
import type { Cancel, Clock, Connection, Log } from "../runtime/mod.ts";
import type { Counter, Gauge, Registry } from "../web/mod.ts";
import {
  AbuseError,
  Http2Error,
  type Http2Options,
  OutputBuffers,
  PREFACE,
  ServerConnection,
  type ServerHandler,
} from "./http2/mod.ts";
import { http2LimitsOf, type PortLimits } from "./limits.ts";
import type { AnswerRoom } from "./answer_room.ts";
import { Backlog, type Holder } from "./backlog.ts";
import { describe } from "./errors.ts";

/** What ALPN calls the protocols; who agrees on one and speaks the other is turned away. */
const ALPN: Readonly<Record<string, "http1" | "http2">> = { "h2": "http2", "http/1.1": "http1" };

/** Time for the first bytes of a connection that is new when all are asked to go. */
const NEW_GRACE_MS = 1000;

/** One connection. */
class Link implements Holder {
  /** The peer's; kept, for a socket that is gone has none. */
  readonly address: string;
  kind: "new" | "http1" | "http2" = "new";
  http2: ServerConnection | undefined;
  /** Requests of HTTP/1.1 that are being answered. */
  running = 0;
  /** Of HTTP/1.1: bytes of answers that wait for the client, and those that its socket was given so far. */
  http1Bytes = 0;
  http1Handed = 0;
  /** When the last request ended; before the first, when the connection came. */
  idleSinceMs: number;
  /** Closed by us, though perhaps not gone yet. */
  expelled = false;
  /** Stops the wait for the first bytes. */
  cancelPreface: Cancel = () => {};
  /** Stops the wait of a connection that is new when all are asked to go. */
  cancelGrace: Cancel = () => {};
  /** How far the client had come in taking answers when that was looked at, and since when. */
  seenProgress = -1;
  stalledSinceMs = 0;

  /** @param expel  closes the connection for a reason that is the client's doing */
  constructor(
    readonly socket: Connection,
    nowMs: number,
    private readonly expel: (link: Link, reason: string) => void,
  ) {
    this.address = socket.remoteAddress ?? "";
    this.idleSinceMs = nowMs;
  }

  get queuedBytes(): number {
    return this.http2?.queuedBytes ?? this.http1Bytes;
  }

  get progress(): number {
    // Under Deno a response says that it is out while its last bytes still wait in the socket.
    return this.http2?.progress ?? this.http1Handed - this.socket.writableLength;
  }

  /** Whether something waits for the client, be it only in the socket. */
  get owes(): boolean {
    const inSocket = this.http2?.output.pendingBytes ?? this.socket.writableLength;
    return inSocket + this.queuedBytes > 0;
  }

  cut(): void {
    if (this.http2 !== undefined) this.http2.expel("slow_reader");
    else this.expel(this, "slow_reader");
  }

  /** Whether a request is being answered. */
  get busy(): boolean {
    return this.running > 0 || (this.http2 !== undefined && this.http2.openStreams > 0);
  }
}

/** A request over HTTP/1.1, as far as its connection is concerned. */
export interface Http1Request {
  /** Counts bytes more, or, below 0, fewer, of its answer that wait for the client. */
  queued(bytes: number): void;
  /** Its connection took so many of them. */
  handed(bytes: number): void;
  /** It has been answered. */
  end(): void;
}

/** What connections need. */
export interface ConnectionsOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly limits: PortLimits;
  readonly registry: Registry;
  /** Told when less waits for clients than before. */
  readonly answers: Pick<AnswerRoom, "advance" | "waiting">;
  readonly http1: Server;
  readonly http2: Http2Requests;
}

/** Where requests over HTTP/2 go. */
export type Http2Requests = Pick<ServerHandler, "open" | "refuse">;

/** All connections of one port. */
export class Connections {
  #options: ConnectionsOptions;
  #links = new Map<Connection, Link>();
  #buffers = new OutputBuffers();
  #closing = false;
  #cancelSweep: Cancel | undefined;
  #whenEmpty: (() => void) | undefined;
  #open: Gauge;
  #accepted: Counter;
  #refused: Counter;
  #streamsRefused: Counter;
  /** Connections by their peer's address. */
  #addresses = new Map<string, number>();
  #backlog: Backlog;

  constructor(options: ConnectionsOptions) {
    this.#options = options;
    const { registry } = options;
    this.#open = registry.gauge("pairdb_connections", "Open connections.", ["protocol"]);
    this.#accepted = registry.counter("pairdb_connections_total", "Connections accepted.");
    this.#refused = registry.counter(
      "pairdb_connections_closed_total",
      "Connections that the server closed on its own account, by reason.",
      ["reason"],
    );
    this.#streamsRefused = registry.counter(
      "pairdb_http2_limited_total",
      "HTTP/2 streams that were held back, refused or reset for a limit, by limit.",
      ["limit"],
    );
    const { clock, limits } = options;
    this.#backlog = new Backlog({
      clock,
      softBytes: limits.answerBytes,
      hardBytes: limits.answerBytesMax,
      graceMs: limits.answerGraceMs,
      holders: () => this.#links.values(),
      isWanted: () => options.answers.waiting > 0,
      onShrunk: () => options.answers.advance(),
    });
    registry.collect(() => [{
      name: "pairdb_answers_waiting_bytes",
      help: "Bytes of answers that wait for clients to take them.",
      type: "gauge",
      value: this.#backlog.bytes,
    }]);
  }

  /** Whether {@link drain} was called: answers should ask HTTP/1.1 clients to go. */
  get closing(): boolean {
    return this.#closing;
  }

  /** Bytes of answers that wait for clients to take them. */
  get queuedBytes(): number {
    return this.#backlog.bytes;
  }

  /** Takes a new connection. */
  accept(socket: Connection): void {
    const { clock, limits } = this.#options;
    // A peer's reset is an error of the socket; what follows from it comes with "close".
    socket.on("error", () => {});
    const refusal = this.#refusalOf(socket);
    if (refusal !== undefined) {
      this.#refused.add(1, refusal);
      socket.destroy();
      return;
    }
    socket.setNoDelay?.(true);
    const link = new Link(socket, clock.monotonicMs(), (...gone) => this.#expel(...gone));
    this.#links.set(socket, link);
    this.#countAddress(link.address, 1);
    this.#accepted.add(1);
    this.#open.add(1, link.kind);
    socket.once("close", () => this.#forget(link));
    link.cancelPreface = clock.after(limits.prefaceTimeoutMs, () => {
      // The rest of HTTP/2's preface is the client's SETTINGS.
      if (link.http2?.hasSettings !== true) this.#expel(link, "silent");
    });
    this.#sniff(link);
    this.#armSweep();
  }

  #refusalOf({ remoteAddress = "" }: Connection): string | undefined {
    const { limits } = this.#options;
    if (this.#closing) return "closing";
    if (this.#links.size >= limits.maxConnections) return "too_many";
    const ofAddress = this.#addresses.get(remoteAddress) ?? 0;
    return ofAddress >= limits.maxConnectionsPerAddress ? "too_many_of_address" : undefined;
  }

  #countAddress(address: string, change: number): void {
    const count = (this.#addresses.get(address) ?? 0) + change;
    if (count > 0) this.#addresses.set(address, count);
    else this.#addresses.delete(address);
  }

  /** Marks the start of a request over HTTP/1.1. */
  begin(request: IncomingMessage): Http1Request {
    const link = this.#links.get(request.socket);
    if (link === undefined) return { queued() {}, handed() {}, end() {} };
    link.running++;
    return {
      queued: (bytes) => this.#countHttp1(link, bytes),
      handed: (bytes) => link.http1Handed += bytes,
      end: () => {
        link.running--;
        link.idleSinceMs = this.#options.clock.monotonicMs();
        if (this.#closing) this.#dismiss(link);
      },
    };
  }

  /** What waits on a connection that is gone was let go of with it. */
  #countHttp1(link: Link, bytes: number): void {
    if (link.expelled || !this.#links.has(link.socket)) return;
    link.http1Bytes += bytes;
    this.#backlog.add(bytes);
  }

  #letGoHttp1(link: Link): void {
    this.#backlog.add(-link.http1Bytes);
    link.http1Bytes = 0;
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
      if (protocol === "none") return this.#expel(link, "foreign");
      const agreed = socket.alpnProtocol;
      if (agreed && ALPN[agreed] !== protocol) return this.#expel(link, "alpn");
      this.#open.add(-1, link.kind);
      link.kind = protocol;
      this.#open.add(1, link.kind);
      if (protocol === "http2") this.#serveHttp2(link, seen.subarray(PREFACE.length));
      else this.#serveHttp1(link, seen);
    };
    socket.on("readable", onReadable);
    // Nobody else watches for the end while the protocol is unknown.
    socket.once("end", () => {
      if (link.kind === "new") socket.destroy();
    });
  }

  #serveHttp1(link: Link, seen: Uint8Array): void {
    link.cancelPreface();
    link.socket.unshift(seen);
    this.#options.http1.emit("connection", link.socket);
  }

  #serveHttp2(link: Link, seen: Uint8Array): void {
    const { clock, limits, http2 } = this.#options;
    const { socket } = link;
    const options: Http2Options = {
      socket,
      clock,
      limits: http2LimitsOf(limits),
      buffers: this.#buffers,
      onFailure: (error) => this.#failed(link, error),
      onRefused: (limit) => this.#streamsRefused.add(1, limit),
      onQueued: (bytes) => this.#backlog.add(bytes),
    };
    const connection = new ServerConnection(options, {
      open: (...request) => http2.open(...request),
      refuse: (stream) => http2.refuse(stream),
      ended: () => {
        if (connection.openStreams === 0) link.idleSinceMs = clock.monotonicMs();
      },
    });
    link.http2 = connection;
    connection.receive(seen);
    socket.on("data", (chunk: Uint8Array) => connection.receive(chunk));
    if (this.#closing) connection.drain();
  }

  /** An HTTP/2 connection failed, by the client's doing or by a defect of ours. */
  #failed(link: Link, error: unknown): void {
    if (link.expelled) return;
    link.expelled = true;
    const { log } = this.#options;
    const isClients = error instanceof Http2Error;
    const reason = error instanceof AbuseError ? error.kind : isClients ? "protocol" : "internal";
    this.#refused.add(1, reason);
    if (isClients) log.debug("connection_closed", { reason: error.message, protocol: link.kind });
    else log.error("http2_failed", { error: describe(error) });
  }

  #forget(link: Link): void {
    link.cancelPreface();
    link.cancelGrace();
    if (!this.#links.delete(link.socket)) return;
    this.#letGoHttp1(link);
    this.#open.add(-1, link.kind);
    this.#countAddress(link.address, -1);
    if (this.#links.size > 0) return;
    this.#backlog.close();
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
    this.#letGoHttp1(link);
    link.socket.destroy();
  }

  /** Asks a connection to go; it ends with its last request. */
  #dismiss(link: Link): void {
    if (link.http2 !== undefined) return link.http2.drain();
    const end = () => {
      if (link.http2 === undefined && link.running === 0) link.socket.destroy();
    };
    // What a new client has sent may be here already, and it knows nothing of our going.
    if (link.kind === "new") link.cancelGrace = this.#options.clock.after(NEW_GRACE_MS, end);
    else end();
  }

  /** Looks for idle connections, as long as there are any connections. */
  #armSweep(): void {
    const { clock, limits } = this.#options;
    const { idleTimeoutMs, http2IdleTimeoutMs, stallTimeoutMs } = limits;
    const everyMs = Math.min(idleTimeoutMs, http2IdleTimeoutMs, stallTimeoutMs) / 4;
    this.#cancelSweep ??= clock.after(everyMs, () => {
      this.#cancelSweep = undefined;
      const now = clock.monotonicMs();
      for (const link of [...this.#links.values()]) this.#sweep(link, now);
      if (this.#links.size > 0) this.#armSweep();
    });
  }

  #sweep(link: Link, nowMs: number): void {
    const { limits } = this.#options;
    this.#lookForStall(link, nowMs);
    if (link.busy) return;
    const idleMs = nowMs - link.idleSinceMs;
    if (link.kind === "http1" && idleMs >= limits.idleTimeoutMs) this.#expel(link, "idle");
    if (link.kind === "http2" && idleMs >= limits.http2IdleTimeoutMs) this.#dismiss(link);
  }

  /** Cuts off a client that takes nothing of what waits for it, or grants no window for it. */
  #lookForStall(link: Link, nowMs: number): void {
    if (!link.owes || link.progress !== link.seenProgress) {
      link.seenProgress = link.progress;
      link.stalledSinceMs = nowMs;
    } else if (nowMs - link.stalledSinceMs >= this.#options.limits.stallTimeoutMs) {
      this.#expel(link, "stalled");
    }
  }
}

/** What the first bytes tell; undefined while they could still become HTTP/2's preface. */
export function protocolOf(bytes: Uint8Array): "http1" | "http2" | "none" | undefined {
  const length = Math.min(bytes.length, PREFACE.length);
  for (let i = 0; i < length; i++) {
    if (bytes[i] !== PREFACE[i]) return isForeign(bytes) ? "none" : "http1";
  }
  return length === PREFACE.length ? "http2" : undefined;
}

/** Whether a first line is there that does not speak of HTTP/1: its sender would not understand our 400. */
function isForeign(bytes: Uint8Array): boolean {
  const end = bytes.indexOf(LINE_FEED);
  if (end < 0) return false;
  return !/ HTTP\/1\.\d\r?$/.test(new TextDecoder().decode(bytes.subarray(0, end)));
}

const LINE_FEED = 0x0a;
