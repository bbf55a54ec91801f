/**
 * What attacks cost others: calls a second of a polite client (16 in flight, on a connection of its own)
 * alone and while each attack goes on, again and again, from a process of its own.
 *
 * The attackers take a processor too. Where there are few, the polite client loses to them what it would
 * not on machines of their own: so the same is measured against an idle server, with the attackers' bytes
 * going to a port that only drops them, and the table has both.
 * @module
 */
import { connectHttp2, ERROR } from "../src/rpc/http2/mod.ts";
import { GrpcClient } from "../src/rpc/grpc_client.ts";
import { denoClock, denoNetwork } from "../src/runtime/mod.ts";
import { Attacker } from "../tests/support/attacker.ts";
import {
  FLOODS,
  GET,
  HEADER_BOMBS,
  headerFrames,
  MADE_TO_RESET,
  message,
  PUT,
} from "../tests/support/attacks.ts";
import { joined } from "../tests/support/http2_peer.ts";
import { callJson, Server, withDirectory } from "../tests/support/server.ts";

const IN_FLIGHT = 16;
const SECONDS = 1;
const FRAMES = 10_000;

/** One round of an attack, by name. */
const ROUNDS: Readonly<Record<string, (port: number) => Promise<void>>> = {
  ...Object.fromEntries(
    Object.entries(FLOODS).map((
      [name, [, make]],
    ) => [name, flood(make, name.startsWith("windows"))]),
  ),
  ...Object.fromEntries(
    Object.entries(MADE_TO_RESET).map(([name, make]) => [
      `made to reset: ${name}`,
      flood((attacker) => (i) => joined(make(attacker, 2 * i + 1)), false),
    ]),
  ),
  ...Object.fromEntries(
    Object.entries(HEADER_BOMBS).map(([name, make]) => [
      `header bomb: ${name}`,
      async (port: number) => {
        const attacker = await Attacker.open(port);
        const block = make(attacker);
        await attacker.flood(50, (i) => headerFrames(2 * i + 1, block));
        await attacker.close();
      },
    ]),
  ),
};

function flood(
  make: (attacker: Attacker) => (i: number) => Uint8Array,
  starved: boolean,
): (port: number) => Promise<void> {
  return async (port) => {
    const attacker = await Attacker.open(port, starved ? 0 : undefined);
    await attacker.flood(FRAMES, make(attacker));
    // A port that only drops never says anything.
    if (attacker.goAway === ERROR.ENHANCE_YOUR_CALM) await attacker.ended();
    await attacker.close();
  };
}

/** The attackers' process: one attack on a port until it is killed. */
if (import.meta.main) {
  const [name, port] = Deno.args;
  for (;;) await ROUNDS[name](Number(port)).catch(() => {});
}

/** Calls a second of the polite client. */
async function rate(client: GrpcClient): Promise<number> {
  const path = `/pairdb.v1.${GET}`;
  const request = message("abuse", "small");
  const from = performance.now();
  const until = from + SECONDS * 1000;
  let calls = 0;
  await Promise.all(Array.from({ length: IN_FLIGHT }, async () => {
    while (performance.now() < until) {
      await client.unary(path, request);
      calls++;
    }
  }));
  return calls / (performance.now() - from) * 1000;
}

async function rateUnder(client: GrpcClient, name: string, port: number): Promise<number> {
  const attackers = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--allow-all", import.meta.filename!, name, String(port)],
    stdin: "null",
  }).spawn();
  try {
    // Until it attacks.
    await new Promise((resolve) => setTimeout(resolve, 1000));
    return await rate(client);
  } finally {
    attackers.kill("SIGKILL");
    await attackers.status;
  }
}

/** Takes connections and drops what comes. */
function openSink(): Deno.TcpListener {
  const sink = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  void drop(sink);
  return sink;
}

async function drop(sink: Deno.TcpListener): Promise<void> {
  for await (const connection of sink) {
    // Attackers are killed amid their sentences.
    void connection.readable.pipeTo(new WritableStream()).catch(() => {});
  }
}

/** Runs all attacks. @returns the table */
export async function benchAbuse(): Promise<string> {
  const lines: string[] = [];
  await withDirectory(async (directory) => {
    await using server = await Server.start({ data: `${directory}/data` });
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
    using sink = openSink();
    const sinkPort = (sink.addr as Deno.NetAddr).port;
    await rate(client);
    const row = (name: string, ...cells: (string | number)[]) =>
      lines.push([name.padEnd(56), ...cells.map((cell) => String(cell).padStart(12))].join(""));
    row("attack", "alone", "sink", "attacked", "of alone", "of sink");
    for (const name of Object.keys(ROUNDS)) {
      const alone = await rate(client);
      const beside = await rateUnder(client, name, sinkPort);
      const attacked = await rateUnder(client, name, server.port);
      const percent = (of: number) => `${Math.round(100 * attacked / of)} %`;
      row(name, ...[alone, beside, attacked].map(Math.round), percent(alone), percent(beside));
    }
    connection.close();
  });
  return lines.join("\n");
}
