/**
 * The smoke test of an executable: does the one file work by itself?
 *
 *     deno run -A tests/smoke/smoke.ts dist/pairdb
 *
 * It runs with an empty environment (no PATH, no HOME), in an empty directory, and is spoken to by its
 * own command line and by bare HTTP. Enough is written, flushed and compacted to start its workers.
 * It is stopped by SIGTERM, started again on the same data, killed, and started once more.
 * Each line of the output is something seen; the first failure ends the run with exit code 1.
 * @module
 */
import assert from "node:assert/strict";
import { resolve } from "node:path";

/** How long anything may take; a hung program fails the run. */
const LIMIT_MS = 60_000;
const TENANT = "smoke";
const BATCHES = 40;
const BATCH = 100;
const VALUE_BYTES = 1024;

const program = Deno.args[0];
if (program === undefined) throw new Error("say which executable: smoke.ts FILE");
const executable = resolve(program);
const started = performance.now();

function say(text: string): void {
  const line = new TextEncoder().encode(`smoke: ${text}\n`);
  for (let at = 0; at < line.length;) at += Deno.stdout.writeSync(line.subarray(at));
}

/** Rejects when `work` takes too long; the timer goes with it. */
async function within<T>(what: string, work: Promise<T>): Promise<T> {
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

/** Runs one command of the executable to its end. */
async function command(
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<{ code: number; out: string; err: string }> {
  const child = new Deno.Command(executable, {
    args: [...args],
    cwd: directory,
    env,
    clearEnv: true,
    stdin: "null",
  }).output();
  const { code, stdout, stderr } = await within(`pairdb ${args[0]}`, child);
  const decoder = new TextDecoder();
  return { code, out: decoder.decode(stdout), err: decoder.decode(stderr) };
}

/** The same, for a command that must succeed. */
async function succeed(args: readonly string[], env: Record<string, string> = {}): Promise<string> {
  const { code, out, err } = await command(args, env);
  assert.equal(code, 0, `pairdb ${args.join(" ")}: exit code ${code}\n${out}${err}`);
  return out;
}

/** Nodes that run; none outlives this program. */
const running = new Set<Server>();

/** A serving node. */
class Server {
  /** Everything it has written to standard error: its log. */
  log = "";
  readonly #child: Deno.ChildProcess;
  #logged: Promise<void>;
  url = "";
  readyMs = 0;

  private constructor(env: Record<string, string>) {
    this.#child = new Deno.Command(executable, {
      args: ["serve", "--listen", "127.0.0.1:0"],
      cwd: directory,
      env,
      clearEnv: true,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#logged = this.#keepLog();
    running.add(this);
  }

  /** Starts one and waits for its ready line. */
  static async start(env: Record<string, string> = {}): Promise<Server> {
    const from = performance.now();
    const server = new Server(env);
    const ready = await within("the ready line", server.#readyLine());
    server.readyMs = Math.round(performance.now() - from);
    const match = /^pairdb ready on (http:\/\/127\.0\.0\.1:\d+) node=(\S+)$/.exec(ready);
    if (match === null) {
      await server.stop("SIGKILL");
      throw new Error(`no ready line but: ${ready}\n${server.log}`);
    }
    server.url = match[1];
    return server;
  }

  /** Sends a signal and waits for the end. */
  async stop(signal: Deno.Signal): Promise<Deno.CommandStatus> {
    try {
      this.#child.kill(signal);
    } catch (error) {
      // It ended by itself; its exit code tells how.
      if (!(error instanceof TypeError)) throw error;
    }
    const status = await within(`the end after ${signal}`, this.#child.status);
    await this.#logged;
    running.delete(this);
    return status;
  }

  /** The first line of standard output; the rest is read away. */
  async #readyLine(): Promise<string> {
    const decoder = new TextDecoder();
    const reader = this.#child.stdout.getReader();
    let text = "";
    while (!text.includes("\n")) {
      const { value, done } = await reader.read();
      if (done) break;
      text += decoder.decode(value, { stream: true });
    }
    reader.releaseLock();
    this.#child.stdout.pipeTo(new WritableStream()).catch((error) => {
      this.log += `standard output: ${error}\n`;
    });
    return text.split("\n", 1)[0];
  }

  async #keepLog(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of this.#child.stderr) {
      this.log += decoder.decode(chunk, { stream: true });
    }
  }
}

/** A Connect call as bare JSON over HTTP. */
async function call(url: string, method: string, body: unknown): Promise<Record<string, unknown>> {
  const response = await within(
    method,
    fetch(`${url}/pairdb.v1.${method}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    }),
  );
  const text = await response.text();
  assert.equal(response.status, 200, `${method}: HTTP ${response.status} ${text}`);
  return JSON.parse(text);
}

const base64 = (text: string) => btoa(text);
const keyOf = (n: number) => `bulk/${String(n).padStart(6, "0")}`;
const valueOf = (n: number) => `${n}:`.padEnd(VALUE_BYTES, String(n % 10));

/** Fills, flushes and compacts: with the workers or not at all. */
async function fill(url: string): Promise<void> {
  for (let batch = 0; batch < BATCHES; batch++) {
    const items = Array.from({ length: BATCH }, (_, i) => {
      const n = batch * BATCH + i;
      return { key: keyOf(n), value: base64(valueOf(n)) };
    });
    await call(url, "KeyValueService/BatchPut", { tenantId: TENANT, items });
    // A second table in each half, so that compaction has something to merge.
    if (batch === BATCHES / 2) await succeed(["flush", "--server", url]);
  }
  await succeed(["flush", "--server", url]);
  const flushed = await call(url, "AdminService/Status", {});
  assert.ok(Number(flushed.tables ?? 0) > 0, `no table after a flush: ${JSON.stringify(flushed)}`);
  await succeed(["compact", "--server", url]);
}

const UNION = `export default function merge(a: Uint8Array, b: Uint8Array): Uint8Array {
  const read = (bytes: Uint8Array): string[] => JSON.parse(new TextDecoder().decode(bytes));
  const all = [...new Set([...read(a), ...read(b)])].sort();
  return new TextEncoder().encode(JSON.stringify(all));
}`;

/** A merge function in TypeScript: with the parser of types and the sandbox, or not at all. */
async function mergeByFunction(url: string): Promise<void> {
  const tenantId = "merged";
  await call(url, "AdminService/RegisterMergeFunction", { name: "union", source: UNION });
  const options = { conflictStrategy: "merge:union" };
  await call(url, "TenantService/CreateTenant", { tenantId, options });
  const put = (value: string, vectorClock?: unknown) =>
    call(url, "KeyValueService/Put", { tenantId, key: "k", value: base64(value), vectorClock });
  const { vectorClock } = await put("[]");
  await put('["b"]', vectorClock);
  await put('["a"]', vectorClock);
  const { value } = await call(url, "KeyValueService/Get", { tenantId, key: "k" });
  assert.equal(value, base64('["a","b"]'));
}

/** What was written is there, by the CLI and by HTTP. */
async function readBack(url: string): Promise<void> {
  const env = { PAIRDB_SERVER: url };
  assert.equal((await succeed(["get", TENANT, "greeting"], env)).trimEnd(), "grüß dich");
  const got = await call(url, "KeyValueService/Get", { tenantId: TENANT, key: "over-http" });
  assert.equal(got.value, base64("hello"));
  const lines = (await succeed(["export", TENANT], env)).trimEnd().split("\n");
  const found = new Map<string, string>(
    lines.map((line) => JSON.parse(line)).map(({ key, value }) => [key, value]),
  );
  for (let n = 0; n < BATCHES * BATCH; n++) {
    assert.equal(found.get(keyOf(n)), valueOf(n), `export of ${keyOf(n)}`);
  }
}

const directory = await Deno.makeTempDir({ prefix: "pairdb-smoke-" });
const home = await Deno.makeTempDir({ prefix: "pairdb-smoke-home-" });
try {
  const version = await succeed(["version"]);
  const kind = /self-extracting|compiled/.exec(version)?.[0];
  assert.ok(kind, `version does not say which kind of executable it is: ${version}`);
  say(`${program} is ${version.trim().replace(/\s+/g, " ")}`);

  // A home of its own, so that a self-extracting executable has never been unpacked there.
  const first = await Server.start({ HOME: home });
  say(`first start on an empty machine: ready after ${first.readyMs} ms`);
  assert.equal((await first.stop("SIGTERM")).code, 0, `after SIGTERM:\n${first.log}`);

  const second = await Server.start();
  say(`with an empty environment: ready after ${second.readyMs} ms`);
  const env = { PAIRDB_SERVER: second.url };
  await succeed(["put", TENANT, "greeting", "grüß dich"], env);
  await call(second.url, "KeyValueService/Put", {
    tenantId: TENANT,
    key: "over-http",
    value: base64("hello"),
  });
  const missing = await command(["get", TENANT, "no such key"], env);
  assert.equal(missing.code, 1);
  assert.match(missing.err, /^error: .*\(code 1001 /m);
  await fill(second.url);
  await readBack(second.url);
  say(`${BATCHES * BATCH} records written, flushed, compacted and read back`);
  await mergeByFunction(second.url);
  say("a merge function in TypeScript was registered and asked");
  assert.equal((await second.stop("SIGTERM")).code, 0, `after SIGTERM:\n${second.log}`);
  say("SIGTERM: exit code 0");

  const third = await Server.start();
  await readBack(third.url);
  await succeed(["put", TENANT, "last", "words"], { PAIRDB_SERVER: third.url });
  await third.stop("SIGKILL");
  const fourth = await Server.start();
  const last = await succeed(["get", TENANT, "last"], { PAIRDB_SERVER: fourth.url });
  assert.equal(last.trimEnd(), "words");
  await readBack(fourth.url);
  await fourth.stop("SIGTERM");
  say(`everything read back after a restart (ready after ${third.readyMs} ms) and after kill -9`);

  await succeed(["check", "pairdb-data"]);
  say("`check` finds every checksum right");
  say(`passed: the ${kind} executable, in ${Math.round(performance.now() - started) / 1000} s`);
} catch (error) {
  say(`FAILED: ${error instanceof Error ? error.stack : error}`);
  Deno.exitCode = 1;
} finally {
  for (const server of running) await server.stop("SIGKILL");
  await Deno.remove(directory, { recursive: true });
  await Deno.remove(home, { recursive: true });
}
