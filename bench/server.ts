// deno-lint-ignore-file no-console -- a long bench says where it is
/**
 * The server beside etcd and Redis: the same calls on the same keys, durable writes, in one run.
 *
 * One generator process, this one, sends gRPC to PairDB and to etcd over 4 connections, with random keys, and
 * checks each status and each value. `redis-benchmark` drives Redis with `appendfsync always`, with as many
 * clients as there are calls in flight. The servers take turns, and the median of several rounds counts.
 * @module
 */
import { which } from "./peers.ts";
import type { Row } from "./report.ts";
import { connectClients, type Figure, load, uniform } from "./server/load.ts";
import { etcdCalls, pairdbCalls } from "./server/messages.ts";
import { type Running, startEtcd, startPairDB, startRedis } from "./server/processes.ts";
import { fillRedis, redisLoad } from "./server/redis.ts";

/** What to run. */
export interface ServerBench {
  /** Keys that are stored before the first call. */
  readonly keys: number;
  /** How long each server is driven in each round, in seconds. */
  readonly seconds: number;
  readonly rounds: number;
  /** Calls in flight. */
  readonly depths: readonly number[];
  readonly valueSizes: readonly number[];
}

type Operation = "put" | "get";

/** One server of the run. */
interface Contender {
  readonly name: string;
  run(operation: Operation, inFlight: number, seconds: number): Promise<Figure>;
}

/** Runs everything. */
export async function benchServer(
  bench: ServerBench,
): Promise<{ rows: Row[]; notes: string[] }> {
  const dir = await Deno.makeTempDir({ prefix: "pairdb-bench-" });
  const rows: Row[] = [];
  const missing = new Set<string>();
  try {
    for (const valueBytes of bench.valueSizes) {
      const servers: Running[] = [];
      try {
        const path = `${dir}/${valueBytes}`;
        await Deno.mkdir(path);
        const all = await contenders(path, bench.keys, valueBytes, servers, missing);
        rows.push(...await unaryRows(bench, valueBytes, all));
      } finally {
        for (const server of servers) await server.stop();
      }
    }
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
  const notes = [
    `${bench.keys} keys, ${bench.seconds} s a server and round, median of ${bench.rounds} rounds`,
    "times and CPU per call in microseconds",
    ...[...missing].map((name) => `not installed: ${name}`),
  ];
  return { rows, notes };
}

async function contenders(
  dir: string,
  keys: number,
  valueBytes: number,
  servers: Running[],
  missing: Set<string>,
): Promise<Contender[]> {
  const grpc = async (name: string, server: Running, calls: ReturnType<typeof pairdbCalls>) => {
    servers.push(server);
    const clients = await connectClients(server.port);
    console.error(`${name}: storing ${keys} keys of ${valueBytes} B`);
    let next = 0;
    const nextKey = () => next < keys ? next++ : -1;
    await load(clients, calls.put, { inFlight: 256, seconds: 3600, nextKey });
    const random = uniform(keys, 0x5eed);
    const run: Contender["run"] = (operation, inFlight, seconds) =>
      load(clients, calls[operation], { inFlight, seconds, nextKey: random, pid: server.pid });
    return { name, run };
  };
  const all = [await grpc("PairDB", await startPairDB(`${dir}/pairdb`), pairdbCalls(valueBytes))];
  const etcd = await which("etcd");
  if (etcd === undefined) missing.add("etcd (Debian's etcd-server)");
  else all.push(await grpc("etcd", await startEtcd(`${dir}/etcd`, etcd), etcdCalls(valueBytes)));
  const redis = await which("redis-server");
  if (redis === undefined || await which("redis-benchmark") === undefined) {
    missing.add("Redis (Debian's redis-server and redis-tools)");
  } else {
    const server = await startRedis(`${dir}/redis`, redis);
    servers.push(server);
    await fillRedis(server.port, keys, valueBytes);
    all.push(redisContender(server, keys, valueBytes));
  }
  return all;
}

/** Redis: its load generator knows no time, so each run is as long as the last rate says. */
function redisContender(server: Running, keys: number, valueBytes: number): Contender {
  const rates = new Map<string, number>();
  return {
    name: "Redis",
    async run(operation, inFlight, seconds) {
      const id = `${operation} ${inFlight}`;
      const command = operation === "put" ? "SET" : "GET";
      const measure = (requests: number) =>
        redisLoad(server, { command, keys, valueBytes, inFlight, requests });
      const rate = rates.get(id) ?? (await measure(1000 * Math.min(inFlight, 20))).rate;
      const figure = await measure(Math.ceil(rate * seconds));
      rates.set(id, figure.rate);
      return figure;
    },
  };
}

async function unaryRows(
  { depths, rounds, seconds }: ServerBench,
  valueBytes: number,
  all: readonly Contender[],
): Promise<Row[]> {
  const rows: Row[] = [];
  for (const operation of ["put", "get"] as const) {
    for (const inFlight of depths) {
      const title = `${
        operation === "put" ? "Put" : "Get"
      }, ${valueBytes} B, ${inFlight} in flight`;
      const figures = new Map<string, Figure[]>(all.map(({ name }) => [name, []]));
      // What comes first is warmer than what comes later, and so it is not counted.
      for (let round = 0; round <= rounds; round++) {
        console.error(`${title}: ${round === 0 ? "warming up" : `round ${round} of ${rounds}`}`);
        for (const { name, run } of all) {
          const figure = await run(operation, inFlight, round === 0 ? seconds / 4 : seconds);
          if (round > 0) figures.get(name)!.push(figure);
        }
      }
      rows.push(...rowsOf(title, figures));
    }
  }
  return rows;
}

const UNITS = [
  ["rate", "ops/s"],
  ["p50", "us"],
  ["p99", "us"],
  ["p999", "us"],
  ["cpu", "us"],
] as const;

function rowsOf(title: string, figures: ReadonlyMap<string, readonly Figure[]>): Row[] {
  return UNITS.map(([what, unit]) => {
    const { PairDB, ...peers } = Object.fromEntries(
      [...figures].map(([name, runs]) => [name, median(runs.map((run) => run[what] ?? NaN))]),
    );
    return { name: `${title}: ${what}`, unit, pairdb: PairDB, peers };
  });
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1];
}
