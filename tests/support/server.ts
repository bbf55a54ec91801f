/**
 * The real program as processes of its own: `serve` on a real disk and a real port, and commands.
 *
 *     await withServer(async (server) => {
 *       await callJson(server, "KeyValueService/Put", { … });
 *       await server.kill();                         // kill -9
 *       const again = await Server.start({ data: server.data });
 *       …
 *       await again.stop();
 *     });
 * @module
 */
import assert from "node:assert/strict";
import denoConfig from "../../deno.json" with { type: "json" };

/** What `deno task start` gives the runtime. */
const FLAGS = denoConfig.tasks.start.split(" ").filter((word) => word.startsWith("--v8-flags="));
const MAIN = new URL("../../main.ts", import.meta.url).pathname;

/** How long a start or an end may take; a program that hangs fails its test. */
const LIMIT_MS = 60_000;

/** How the program ended. */
export interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** What every process gets: no colours, and nobody's own settings of PairDB. */
function environment(): Record<string, string> {
  const inherited = Object.entries(Deno.env.toObject())
    .filter(([name]) => !name.startsWith("PAIRDB_"));
  return { ...Object.fromEntries(inherited), NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" };
}

/** The arguments of Deno that make it our program. */
function programArgs(args: readonly string[]): string[] {
  return ["run", "--quiet", "--allow-all", ...FLAGS, MAIN, ...args];
}

/** Starts a command; its output streams are piped. */
export function startProgram(
  args: readonly string[],
  stdin: "null" | "piped" = "null",
  env: Readonly<Record<string, string>> = {},
): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: programArgs(args),
    env: { ...environment(), ...env },
    clearEnv: true,
    stdin,
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** Runs a command to its end. */
export async function runProgram(...args: string[]): Promise<Ended> {
  return await endOf(startProgram(args), args[0]);
}

/** Waits for the end of a command that {@link startProgram} started. */
export async function endOf(child: Deno.ChildProcess, what: string): Promise<Ended> {
  const { code, stdout, stderr } = await within(`the end of ${what}`, child.output());
  return { code, out: new TextDecoder().decode(stdout), err: new TextDecoder().decode(stderr) };
}

/** How a server is started. */
export interface ServerOptions {
  /** Its data directory. */
  readonly data: string;
  /** More flags of `serve`. */
  readonly args?: readonly string[];
  /** More of its environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Told the process before it is ready. */
  readonly onSpawn?: (child: Deno.ChildProcess) => void;
}

/** The program ended before it was ready. */
export class NotReady extends Error {
  override name = "NotReady";
  constructor(readonly ended: Ended) {
    super(`serve ended with code ${ended.code} before it was ready: ${ended.err}`);
  }
}

/** A node that said it is ready. Stop or kill it, or leave that to `await using`. */
export class Server {
  /** `http://127.0.0.1:PORT`. */
  url = "";
  port = 0;
  nodeId = "";
  /** From the start of the process to its ready line. */
  readyMs = 0;
  #out = "";
  #log = "";
  readonly #child: Deno.ChildProcess;
  readonly #streams: Promise<unknown>;
  #ready = Promise.withResolvers<void>();

  private constructor(readonly data: string, child: Deno.ChildProcess) {
    this.#child = child;
    this.#streams = Promise.all([
      this.#read(child.stdout, (text) => {
        this.#out += text;
        if (this.#out.includes("\n")) this.#ready.resolve();
      }),
      this.#read(child.stderr, (text) => this.#log += text),
    ]).then(() => this.#ready.resolve());
  }

  /**
   * Starts a node on a free port and waits for its ready line.
   * @throws NotReady with what it said when it ends instead
   */
  static async start({ data, args = [], env, onSpawn }: ServerOptions): Promise<Server> {
    const from = performance.now();
    const serve = ["serve", "--data", data, "--listen", "127.0.0.1:0", ...args];
    const child = startProgram(serve, "null", env);
    const server = new Server(data, child);
    onSpawn?.(child);
    try {
      await within("the ready line", server.#ready.promise);
    } catch (error) {
      await server.kill();
      throw error;
    }
    server.readyMs = Math.round(performance.now() - from);
    const line = server.#out.split("\n", 1)[0];
    const found = /^pairdb ready on (https?:\/\/127\.0\.0\.1:(\d+)) node=(\S+)$/.exec(line);
    if (found === null) {
      const { code } = await server.kill();
      throw new NotReady({ code, out: server.#out, err: server.#log });
    }
    [, server.url, , server.nodeId] = found;
    server.port = Number(found[2]);
    return server;
  }

  /** What it has written to standard error: its log, one JSON object a line. */
  get log(): string {
    return this.#log;
  }

  /** The log's events of one name. */
  events(name: string): Record<string, unknown>[] {
    return this.#log.split("\n").filter((line) => line.startsWith("{") && line.endsWith("}"))
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter((event) => event.event === name);
  }

  /** kill -9, and the end of it. */
  kill(): Promise<Deno.CommandStatus> {
    return this.#end("SIGKILL");
  }

  /** Asks it to stop. @returns the exit code */
  async stop(signal: Deno.Signal = "SIGTERM"): Promise<number> {
    return (await this.#end(signal)).code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  async #end(signal: Deno.Signal): Promise<Deno.CommandStatus> {
    try {
      this.#child.kill(signal);
    } catch (error) {
      // It has ended already.
      if (!(error instanceof TypeError)) throw error;
    }
    const status = await within(`the end after ${signal}`, this.#child.status);
    await this.#streams;
    return status;
  }

  async #read(stream: ReadableStream<Uint8Array>, take: (text: string) => void): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream) take(decoder.decode(chunk, { stream: true }));
  }
}

/** Runs `body` in a new directory, which goes afterwards. */
export async function withDirectory(body: (directory: string) => Promise<void>): Promise<void> {
  const directory = await Deno.makeTempDir({ prefix: "pairdb-e2e-" });
  try {
    await body(directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

/** Runs `body` with a node on a new directory; both go afterwards. */
export function withServer(
  body: (server: Server) => Promise<void>,
  args: readonly string[] = [],
): Promise<void> {
  return withDirectory(async (directory) => {
    await using server = await Server.start({ data: `${directory}/data`, args });
    try {
      await body(server);
    } catch (cause) {
      // What the node has to say may well be the reason.
      await server.kill();
      const tail = server.log.slice(-4000);
      throw new Error(
        `${cause instanceof Error ? cause.message : cause}\nthe node's log:\n${tail}`,
        {
          cause,
        },
      );
    }
  });
}

/** Calls a method as bare curl would, and demands success. */
export async function callJson(
  server: { readonly url: string },
  method: string,
  body: unknown,
  // deno-lint-ignore no-explicit-any -- whatever JSON the server sends
): Promise<any> {
  const response = await fetch(`${server.url}/pairdb.v1.${method}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  assert.equal(response.status, 200, `${method}: HTTP ${response.status} ${text}`);
  return JSON.parse(text);
}

/** The sequence number of the last write. */
export async function lastSequence(server: { readonly url: string }): Promise<number> {
  return Number((await callJson(server, "AdminService/Status", {})).lastSequence ?? 0);
}

/** Rejects when `work` takes too long. */
export async function within<T>(what: string, work: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took over ${LIMIT_MS} ms`)), LIMIT_MS);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
