/**
 * The node of a soak: the real program through all its lives, with connections to each, and what it logged.
 *
 *     life 1 ── kill -9 ── life 2 ── kill -9 ── … ── life n ── stop
 *       └ link: connections to it        └ opened once its keys were verified
 * @module
 */
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { AdminService } from "../../src/gen/pairdb/v1/admin_pb.ts";
import { ErrorDetailSchema } from "../../src/gen/pairdb/v1/common_pb.ts";
import { KeyValueService } from "../../src/gen/pairdb/v1/kv_pb.ts";
import { TenantService } from "../../src/gen/pairdb/v1/tenant_pb.ts";
import { type ClientConnection, connectHttp2 } from "../../src/rpc/http2/mod.ts";
import { denoClock, denoNetwork } from "../../src/runtime/mod.ts";
import { ownTransport } from "../../tests/support/own_transport.ts";
import { Server } from "../../tests/support/server.ts";

const CONNECTIONS = 4;
/** Longer than the node's own limits, which answer before it; a call that takes longer hangs. */
export const CALL_TIMEOUT_MS = 30_000;

/** Connections to one life of the node. */
export interface Link {
  readonly life: number;
  /** One of several connections, in turn. */
  readonly keys: Client<typeof KeyValueService>;
  readonly tenants: Client<typeof TenantService>;
  readonly admin: Client<typeof AdminService>;
  readonly url: string;
  readonly pid: number;
  readonly startedMs: number;
  /** The node was killed or stopped, or is about to be. */
  readonly isOver: boolean;
}

/** How a call failed. */
export interface Failure {
  /** `lost`: without an answer; `hung`: not within its time. */
  readonly what: "refused" | "unknown" | "lost" | "hung";
  /** The number of our error table; 0: none came. */
  readonly code: number;
  readonly reason: string;
  readonly retryMs: number;
  readonly message: string;
}

/** What became of a call that threw. */
export function failureOf(error: unknown): Failure {
  const wire = ConnectError.from(error);
  const detail = wire.findDetails(ErrorDetailSchema)[0];
  if (detail !== undefined) {
    return {
      what: detail.details.outcome === "unknown" ? "unknown" : "refused",
      code: detail.code,
      reason: detail.details.quota ?? detail.details.reason ?? "",
      retryMs: Number(detail.details.retry_after_ms ?? 0),
      message: wire.rawMessage,
    };
  }
  const what = wire.code === Code.DeadlineExceeded ? "hung" : "lost";
  return {
    what,
    code: 0,
    reason: "",
    retryMs: 0,
    message: `${Code[wire.code]}: ${wire.rawMessage}`,
  };
}

/** Lines of the log that are no news, by their event: only while a disk is full, or ever. */
const EXPLAINED: Readonly<Record<string, { readonly why: string; readonly onlyFull: boolean }>> = {
  slow_operation: { why: "an operation took longer than the threshold", onlyFull: false },
  slow_operations_not_logged: { why: "more of them than are logged", onlyFull: false },
  "node.disk": { why: "the disk fills", onlyFull: true },
  "engine.full": { why: "no room for the log", onlyFull: true },
  "engine.reserve": { why: "the ballast was given up", onlyFull: true },
  "cannot make the reserve": { why: "no room for the ballast", onlyFull: true },
  "flush failed": { why: "no room for a table", onlyFull: true },
  "compaction failed": { why: "no room for a table", onlyFull: true },
};

/** One kind of line at level warn or error. */
export interface Logged {
  readonly level: string;
  readonly event: string;
  readonly full: boolean;
  /** Undefined: nobody knows. */
  readonly why: string | undefined;
  count: number;
  readonly first: string;
}

/** The node through all its lives. */
export class SoakNode {
  life = 0;
  /** From the start of each life's process to its ready line, ms. */
  readonly readyMs: number[] = [];
  readonly logged = new Map<string, Logged>();
  /** Spans in which a disk was filled, wall ms; the last may be open. */
  readonly fullSpans: { from: number; to: number }[] = [];
  #link: Promise<Link>;
  #open!: (link: Link) => void;
  #fail!: (reason: Error) => void;
  #server: Server | undefined;
  #current: { isOver: boolean } | undefined;
  #connections: ClientConnection[] = [];

  constructor(
    readonly data: string,
    private readonly args: readonly string[],
    private readonly onDeath: (what: string) => void,
  ) {
    this.#link = this.#next();
  }

  /** The node, as soon as it is up and verified. Rejects when it will not be up again. */
  up(): Promise<Link> {
    return this.#link;
  }

  /** The node if it is up and verified; undefined else. */
  get now(): Link | undefined {
    return this.#opened?.isOver === false ? this.#opened : undefined;
  }
  #opened: Link | undefined;

  /** Starts a life. Nobody else has the link before {@link open}. */
  async start(): Promise<Link> {
    const life = ++this.life;
    let child: Deno.ChildProcess | undefined;
    const server = this.#server = await Server.start({
      data: this.data,
      args: this.args,
      onSpawn: (spawned) => child = spawned,
    });
    this.readyMs.push(server.readyMs);
    const state = this.#current = { isOver: false };
    void child!.status.then(({ code }) => {
      if (!state.isOver) {
        this.onDeath(`life ${life} ended by itself with code ${code}: ${tail(server)}`);
      }
    });
    const clock = denoClock();
    this.#connections = await Promise.all(
      Array.from(
        { length: CONNECTIONS },
        () => connectHttp2(denoNetwork(), { host: "127.0.0.1", port: server.port }, { clock }),
      ),
    );
    const transports = this.#connections.map((each) => ownTransport(each, server.port));
    const keys = transports.map((transport) => createClient(KeyValueService, transport));
    let turn = 0;
    return {
      life,
      get keys() {
        return keys[turn++ % keys.length];
      },
      tenants: createClient(TenantService, transports[0]),
      admin: createClient(AdminService, transports[0]),
      url: server.url,
      pid: child!.pid,
      startedMs: performance.now(),
      get isOver() {
        return state.isOver;
      },
    };
  }

  /** Lets everybody at it. */
  open(link: Link): void {
    this.#opened = link;
    this.#open(link);
  }

  /** kill -9. */
  kill(): Promise<void> {
    return this.#end("SIGKILL").then(() => {});
  }

  /** Asks it to stop. @returns its exit code */
  stop(): Promise<number> {
    return this.#end("SIGTERM");
  }

  /** It will not be up again: whoever waits for it is told. */
  giveUp(reason: Error): void {
    this.#fail(reason);
  }

  async #end(signal: "SIGKILL" | "SIGTERM"): Promise<number> {
    const server = this.#server;
    if (server === undefined) return 0;
    this.#server = undefined;
    // Who calls from now on waits for the next life.
    if (this.#opened !== undefined) this.#link = this.#next();
    this.#opened = undefined;
    if (this.#current !== undefined) this.#current.isOver = true;
    let code = 0;
    if (signal === "SIGKILL") await server.kill();
    else code = await server.stop();
    for (const connection of this.#connections) connection.destroy();
    this.#connections = [];
    this.#readLog(server.log);
    return code;
  }

  #next(): Promise<Link> {
    const next = new Promise<Link>((open, fail) => {
      this.#open = open;
      this.#fail = fail;
    });
    // Perhaps nobody waits.
    next.catch(() => {});
    return next;
  }

  #readLog(log: string): void {
    for (const line of log.split("\n")) {
      if (line === "") continue;
      const entry = parse(line);
      if (entry.level !== "warn" && entry.level !== "error") continue;
      const full = this.#isFull(Date.parse(entry.time));
      const known = EXPLAINED[entry.event];
      const why = known !== undefined && (full || !known.onlyFull) ? known.why : undefined;
      const name = `${entry.level} ${entry.event} ${full}`;
      const seen = this.logged.get(name);
      if (seen !== undefined) seen.count++;
      else {
        const { level, event } = entry;
        this.logged.set(name, { level, event, full, why, count: 1, first: line.slice(0, 1000) });
      }
    }
  }

  #isFull(wallMs: number): boolean {
    return this.fullSpans.some(({ from, to }) => wallMs >= from && wallMs <= to);
  }
}

/** A line of the log. One that is none, such as a panic, is an error of its own; a kill may cut the last. */
function parse(line: string): { time: string; level: string; event: string } {
  try {
    return JSON.parse(line);
  } catch {
    const isCut = line.startsWith("{");
    return { time: "", level: isCut ? "info" : "error", event: isCut ? "cut" : "no line of a log" };
  }
}

function tail(server: Server): string {
  return server.log.slice(-3000);
}
