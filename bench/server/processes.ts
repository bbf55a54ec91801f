/**
 * The servers of a run, each in a process of its own with a directory of its own.
 * @module
 */
import denoConfig from "../../deno.json" with { type: "json" };

/** A server that was started for the run. */
export interface Running {
  readonly port: number;
  readonly pid: number;
  stop(): Promise<void>;
}

/** PairDB as people run it: `deno task start` with its defaults. */
export async function startPairDB(dir: string, args: readonly string[] = []): Promise<Running> {
  const main = new URL("../../main.ts", import.meta.url).pathname;
  const { start } = denoConfig.tasks;
  const flags = start.split(" ").filter((word) => word.startsWith("--v8-flags="));
  const serve = [main, "serve", "--listen", "127.0.0.1:0", "--data", dir, ...args];
  return await startDeno([...flags, ...serve]);
}

/** A program of ours that says `ready on http://host:port` on its first line. */
export async function startDeno(args: readonly string[]): Promise<Running> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "-A", ...args],
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const { value = "" } = await reader.read();
  const port = /ready on http:\/\/[^:]+:(\d+)/.exec(value)?.[1];
  if (port === undefined) throw new Error(`the server is not ready: ${value}`);
  return running(child, Number(port), () => reader.cancel());
}

/** etcd, one member, with its defaults. */
export async function startEtcd(dir: string, program: string): Promise<Running> {
  const [client, peer] = [freePort(), freePort()];
  const child = new Deno.Command(program, {
    args: [
      ...["--data-dir", dir, "--log-level", "error"],
      ...["--listen-client-urls", `http://127.0.0.1:${client}`],
      ...["--advertise-client-urls", `http://127.0.0.1:${client}`],
      ...["--listen-peer-urls", `http://127.0.0.1:${peer}`],
      ...["--initial-advertise-peer-urls", `http://127.0.0.1:${peer}`],
      ...["--initial-cluster", `default=http://127.0.0.1:${peer}`],
      // The default of 2 GB ends a long run with "database space exceeded".
      ...["--quota-backend-bytes", String(8 * 2 ** 30)],
    ],
    stdout: "null",
    stderr: "null",
  }).spawn();
  await untilOpen(client);
  return running(child, client);
}

/** Redis with every write synced before it is acknowledged. */
export async function startRedis(dir: string, program: string): Promise<Running> {
  await Deno.mkdir(dir, { recursive: true });
  const port = freePort();
  const child = new Deno.Command(program, {
    args: [
      ...["--port", String(port), "--bind", "127.0.0.1", "--dir", dir],
      ...["--appendonly", "yes", "--appendfsync", "always", "--save", ""],
    ],
    stdout: "null",
    stderr: "null",
  }).spawn();
  await untilOpen(port);
  return running(child, port);
}

function running(
  child: Deno.ChildProcess,
  port: number,
  after: () => Promise<void> = () => Promise.resolve(),
): Running {
  return {
    port,
    pid: child.pid,
    stop: async () => {
      child.kill("SIGTERM");
      await child.status;
      await after();
    },
  };
}

/** Waits until a port takes connections. */
async function untilOpen(port: number): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    try {
      (await Deno.connect({ hostname: "127.0.0.1", port })).close();
      return;
    } catch (error) {
      if (!(error instanceof Deno.errors.ConnectionRefused)) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
  throw new Error(`nothing listens on port ${port}`);
}

function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  listener.close();
  return (listener.addr as Deno.NetAddr).port;
}

/** Linux counts CPU time in hundredths of a second, whatever the kernel's own tick is. */
const TICK_US = 10_000;

/** What a process and its threads have used of the CPUs since it began, in microseconds. */
export function cpuUs(pid: number): number {
  const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
  // The name, in brackets, may have anything in it; utime and stime are the 14th and 15th field.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * TICK_US;
}
