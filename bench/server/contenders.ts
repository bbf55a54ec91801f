/**
 * Who takes part: PairDB, etcd and Redis, each filled with the same keys, and how each is driven.
 * @module
 */
import { which } from "../peers.ts";
import { etcdJson, JsonClient, pairdbJson } from "./json.ts";
import { connectClients, type Figure, load, timed, uniform } from "./load.ts";
import { type Calls, etcdCalls, type KeySpace, pairdbCalls } from "./messages.ts";
import { type Running, startEtcd, startPairDB, startRedis } from "./processes.ts";
import { fillRedis, redisLoad } from "./redis.ts";

/** One kind of load. */
export interface Work {
  readonly title: string;
  readonly operation: "put" | "get";
  readonly inFlight: number;
  /** Keys of one call. Redis has them in a pipeline of at most 16. */
  readonly items: number;
  readonly protocol: "native" | "json";
}

/** One server of a run. */
export interface Contender {
  readonly name: string;
  readonly server: Running;
  /** Drives it; undefined: it has nothing of the kind. */
  run(work: Work, seconds: number): Promise<Figure | undefined>;
  stop(): Promise<void>;
}

/** A server that speaks gRPC, with connections to it. */
export interface GrpcContender extends Contender {
  /** Its calls about so many keys. */
  readonly callsOf: (space: KeySpace) => Calls;
  readonly clients: Awaited<ReturnType<typeof connectClients>>;
}

/** Calls in flight while a store is filled. */
const FILLING = 8;
/** Keys of one call then. */
const FILL_ITEMS = 100;

/** Starts PairDB and stores the keys. */
export async function pairdbContender(dir: string, space: KeySpace): Promise<GrpcContender> {
  const server = await startPairDB(dir);
  return await grpcContender("PairDB", server, space, pairdbCalls, pairdbJson(space));
}

/** Any server of PairDB's calls. */
export function laneContender(
  name: string,
  server: Running,
  space: KeySpace,
): Promise<GrpcContender> {
  return grpcContender(name, server, space, pairdbCalls, pairdbJson(space));
}

/** etcd; undefined when it is not installed. */
export async function etcdContender(
  dir: string,
  space: KeySpace,
  missing: Set<string>,
): Promise<GrpcContender | undefined> {
  const program = await which("etcd");
  if (program === undefined) {
    missing.add("etcd (Debian's etcd-server)");
    return undefined;
  }
  const server = await startEtcd(dir, program);
  return await grpcContender("etcd", server, space, etcdCalls, etcdJson(space));
}

/** Redis; undefined when it is not installed. */
export async function redisContender(
  dir: string,
  space: KeySpace,
  missing: Set<string>,
): Promise<Contender | undefined> {
  const program = await which("redis-server");
  if (program === undefined || await which("redis-benchmark") === undefined) {
    missing.add("Redis (Debian's redis-server and redis-tools)");
    return undefined;
  }
  const server = await startRedis(dir, program);
  await fillRedis(server.port, space.keys, space.valueBytes);
  // It knows no time, so each run is as long as the last rate says.
  const rates = new Map<string, number>();
  return {
    name: "Redis",
    server,
    stop: () => server.stop(),
    async run({ operation, inFlight, items, protocol, title }, seconds) {
      if (protocol === "json") return undefined;
      const command = operation === "put" ? "SET" : "GET";
      const pipeline = Math.min(items, 16);
      const measure = (requests: number) =>
        redisLoad(server, { ...space, command, inFlight, pipeline, requests });
      const rate = rates.get(title) ?? (await measure(1000 * Math.min(inFlight, 20))).rate;
      const figure = await measure(Math.ceil(rate * seconds));
      rates.set(title, figure.rate);
      return figure;
    },
  };
}

async function grpcContender(
  name: string,
  server: Running,
  space: KeySpace,
  callsOf: (space: KeySpace) => Calls,
  json: ReturnType<typeof pairdbJson>,
): Promise<GrpcContender> {
  const calls = callsOf(space);
  const clients = await connectClients(server.port);
  const random = uniform(space.keys, 0x5eed);
  await fill(clients, calls, space.keys);
  return {
    name,
    server,
    callsOf,
    clients,
    async run({ operation, inFlight, items, protocol }, seconds) {
      const { pid } = server;
      if (protocol === "json") {
        return await jsonLoad(server, json[operation], inFlight, seconds, random);
      }
      const call = calls[operation](items);
      return await load(clients, call, { inFlight, seconds, nextKey: random, pid });
    },
    async stop() {
      for (const { connection } of clients) connection.destroy();
      await server.stop();
    },
  };
}

/** Stores all keys, in order. */
async function fill(
  clients: GrpcContender["clients"],
  calls: Calls,
  keys: number,
): Promise<void> {
  let next = 0;
  const nextKey = () => {
    if (next >= keys) return -1;
    next += FILL_ITEMS;
    return next - FILL_ITEMS;
  };
  await load(clients, calls.put(FILL_ITEMS, 1), { inFlight: FILLING, seconds: 3600, nextKey });
}

async function jsonLoad(
  server: Running,
  call: Parameters<JsonClient["call"]>[0],
  inFlight: number,
  seconds: number,
  random: () => number,
): Promise<Figure> {
  const clients: JsonClient[] = [];
  for (let i = 0; i < inFlight; i++) clients.push(await JsonClient.connect(server.port));
  try {
    return await timed({ inFlight, seconds, pid: server.pid }, async (i) => {
      await clients[i].call(call, random());
      return true;
    });
  } finally {
    for (const client of clients) client.close();
  }
}
