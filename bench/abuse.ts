/**
 * What attacks cost others: how much of its calls a polite client on a connection of its own keeps while each
 * attack goes on, again and again, from a process of its own.
 *
 * The attackers take a processor too. Where there are few, the polite client loses to them what it would
 * not on machines of their own: so the same is measured with the attackers' bytes going to a port that only
 * drops them, and the table has both. The three are taken in turn, a short while each, so that what else
 * the machine does meets all of them.
 * @module
 */
import { connectHttp2 } from "../src/rpc/http2/mod.ts";
import { GrpcClient } from "../src/rpc/grpc_client.ts";
import { denoClock, denoNetwork } from "../src/runtime/mod.ts";
import { GET, message, PUT } from "../tests/support/attacks.ts";
import { callJson, Server, withDirectory } from "../tests/support/server.ts";
import { bePolite, type Served } from "./abuse/polite.ts";
import { ROUNDS, type Taken } from "./abuse/rounds.ts";
import { busy } from "./machine.ts";
import type { Row } from "./report.ts";
import { cpuUs, startDeno } from "./server/processes.ts";

/** How long one sample takes, and before it the attack has gone on for. */
const SAMPLE_MS = 700;
const WARM_UP_MS = 300;
/** What a polite client has to keep of the rate that it has alone. */
const FLOOR = 0.8;
const ATTACKERS = new URL("./abuse/rounds.ts", import.meta.url).pathname;

/** One sample: what the polite client had, what the server's process used, what the attackers sent. */
interface Sample extends Served {
  readonly seconds: number;
  readonly cpuMs: number;
  readonly connections: number;
  readonly megabytes: number;
}

/** How the bench is run. */
export interface AbuseOptions {
  readonly rounds: number;
  /** Attacks whose name has this in it; all when undefined. */
  readonly only?: string | undefined;
}

/** Runs the attacks. @returns rows of the polite client's figures, and a line for each attack about its floor */
export async function benchAbuse(
  { rounds, only = "" }: AbuseOptions,
): Promise<{ rows: Row[]; notes: string[] }> {
  const rows: Row[] = [];
  const notes = [
    `${SAMPLE_MS} ms a sample, median of ${rounds}; ratios are to the polite client alone, and to it with the attack on a sink`,
    `the machine was ${busy()} before`,
  ];
  await withDirectory(async (directory) => {
    let pid = 0;
    await using server = await Server.start({
      data: `${directory}/data`,
      onSpawn: (child) => pid = child.pid,
    });
    await callJson(server, PUT, { tenantId: "abuse", key: "small", value: "YQ==" });
    await callJson(server, PUT, {
      tenantId: "abuse",
      key: "large",
      value: new Uint8Array(1 << 20).toBase64(),
    });
    const clock = denoClock();
    const address = { host: "127.0.0.1", port: server.port };
    const connection = await connectHttp2(denoNetwork(), address, { clock });
    const client = new GrpcClient({ connection, clock, authority: `127.0.0.1:${server.port}` });
    const sink = await startDeno([ATTACKERS]);
    const sample = () => sampleOf(pid, client, () => Promise.resolve({ connections: 0, bytes: 0 }));
    for (let i = 0; i < 3; i++) await sample();
    for (const name of Object.keys(ROUNDS).filter((each) => each.includes(only))) {
      const [alone, beside, attacked]: Sample[][] = [[], [], []];
      for (let round = 0; round < rounds; round++) {
        alone.push(await sample());
        beside.push(await sampleUnder(pid, client, name, sink.port));
        attacked.push(await sampleUnder(pid, client, name, server.port));
      }
      const figures = (of: (sample: Sample) => number) =>
        [attacked, alone, beside].map((samples) => median(samples.map(of)));
      const row = (what: string, unit: string, of: (sample: Sample) => number) => {
        const [pairdb, alone, sink] = figures(of);
        rows.push({ name: `${name}: ${what}`, unit, pairdb, peers: { alone, sink } });
      };
      row("rate", "ops/s", ({ rate }) => rate);
      row("p99", "ms", ({ p99 }) => p99);
      row("server's CPU", "%", ({ cpuMs, seconds }) => cpuMs / seconds / 10);
      notes.push(verdict(name, alone, beside, attacked));
    }
    await sink.stop();
    connection.close();
  });
  return { rows, notes };
}

/** A line about an attack: its floor, and what it costs the server. */
function verdict(name: string, alone: Sample[], beside: Sample[], attacked: Sample[]): string {
  // Of one round each, which have had the same machine.
  const kept = median(attacked.map(({ rate }, i) => rate / alone[i].rate));
  const keptOfSink = median(attacked.map(({ rate }, i) => rate / beside[i].rate));
  const own = median(alone.map(({ cpuMs, calls }) => cpuMs / calls));
  const cpuMs = attacked.map((each) => Math.max(0, each.cpuMs - own * each.calls));
  const aMegabyte = median(attacked.map(({ megabytes }, i) => cpuMs[i] / megabytes));
  const aConnection = median(attacked.map(({ connections }, i) => cpuMs[i] / connections));
  const came = median(attacked.map(({ connections, seconds }) => connections / seconds));
  const p99 = median(attacked.map(({ p99 }) => p99));
  const isMet = kept >= FLOOR ? "met" : "MISSED";
  return [
    `floor ${isMet}: ${name}: ${kept.toFixed(2)} of alone (>= ${FLOOR}), ${
      keptOfSink.toFixed(2)
    } of sink`,
    `p99 ${p99.toFixed(1)} ms`,
    `${came.toFixed(0)} connections a second`,
    `CPU of the server ${aConnection.toFixed(2)} ms a connection, ${aMegabyte.toFixed(1)} ms a MB`,
  ].join("; ");
}

/** One sample of the polite client. @param taken  asks the attackers what they have taken so far */
async function sampleOf(
  pid: number,
  client: GrpcClient,
  taken: () => Promise<Taken>,
): Promise<Sample> {
  const before = await taken();
  const [cpu, from] = [cpuUs(pid), performance.now()];
  const served = await bePolite(client, `/pairdb.v1.${GET}`, message("abuse", "small"), SAMPLE_MS);
  const seconds = (performance.now() - from) / 1000;
  const cpuMs = (cpuUs(pid) - cpu) / 1000;
  const after = await taken();
  return {
    ...served,
    seconds,
    cpuMs,
    connections: after.connections - before.connections,
    megabytes: (after.bytes - before.bytes) / 1e6,
  };
}

async function sampleUnder(
  pid: number,
  client: GrpcClient,
  name: string,
  port: number,
): Promise<Sample> {
  const attackers = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--allow-all", ATTACKERS, name, String(port)],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const asks = attackers.stdin.getWriter();
  const answers = attackers.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const taken = async (): Promise<Taken> => {
    await asks.write(new TextEncoder().encode("\n"));
    return JSON.parse((await answers.read()).value!) as Taken;
  };
  try {
    // Until it attacks.
    while ((await taken()).bytes === 0);
    await new Promise((resolve) => setTimeout(resolve, WARM_UP_MS));
    return await sampleOf(pid, client, taken);
  } finally {
    attackers.kill("SIGKILL");
    await attackers.status;
    await asks.close().catch(() => {});
    await answers.cancel();
  }
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1];
}
