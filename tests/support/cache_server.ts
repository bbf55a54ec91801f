/**
 * Redis and Memcached of the machine, as processes of their own on loopback.
 * @module
 */
import { missingProgram } from "./needs.ts";

/** What can be started. */
export const CACHE_SERVERS = ["redis", "memcached"] as const;
export type CacheKind = (typeof CACHE_SERVERS)[number];

const PROGRAMS = { redis: "redis-server", memcached: "memcached" } as const;
const SCHEMES = { redis: "redis", memcached: "memcache" } as const;

/** Says that a kind cannot be started here; undefined when it can. */
export function missingCache(kind: CacheKind): string | undefined {
  return missingProgram(PROGRAMS[kind]);
}

/** A server that takes connections. Empty at each start. */
export class CacheServer {
  readonly #child: Deno.ChildProcess;

  private constructor(readonly kind: CacheKind, readonly port: number, child: Deno.ChildProcess) {
    this.#child = child;
  }

  /** @param port  absent: any free one */
  static async start(kind: CacheKind, port = freePort(), password = ""): Promise<CacheServer> {
    const args = kind === "redis"
      ? ["--port", `${port}`, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
      : ["-l", "127.0.0.1", "-p", `${port}`, "-U", "0", "-u", "nobody"];
    if (password !== "") args.push("--requirepass", password);
    const child = new Deno.Command(PROGRAMS[kind], {
      args,
      cwd: "/",
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    const server = new CacheServer(kind, port, child);
    await server.#listens();
    return server;
  }

  get url(): string {
    return `${SCHEMES[this.kind]}://127.0.0.1:${this.port}`;
  }

  /** Stops it where it stands, as a machine that hangs: what has come in waits. */
  freeze(): void {
    this.#child.kill("SIGSTOP");
  }

  thaw(): void {
    this.#child.kill("SIGCONT");
  }

  async kill(): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch (error) {
      // It has ended already.
      if (!(error instanceof TypeError)) throw error;
    }
    await this.#child.status;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  async #listens(): Promise<void> {
    let ended = false;
    void this.#child.status.then(() => ended = true);
    while (!ended) {
      try {
        (await Deno.connect({ hostname: "127.0.0.1", port: this.port })).close();
        return;
      } catch (error) {
        if (!(error instanceof Deno.errors.ConnectionRefused)) throw error;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
    throw new Error(`${PROGRAMS[this.kind]} ended before it listened`);
  }
}

function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  return port;
}
