/**
 * Load: so many unary calls in flight over a few connections, for some seconds, each answer checked.
 * @module
 */
import { connectHttp2 } from "../../src/rpc/http2/mod.ts";
import { GrpcClient } from "../../src/rpc/grpc_client.ts";
import { denoClock, denoNetwork } from "../../src/runtime/mod.ts";
import { Histogram } from "../../src/cli/histogram.ts";
import type { Call } from "./messages.ts";
import { cpuUs } from "./processes.ts";

/** Connections that a run has, whatever it has in flight. */
export const CONNECTIONS = 4;
/** An answer that takes longer fails the run. */
const TIMEOUT_MS = 30_000;

/** What was measured. Times in microseconds. */
export interface Figure {
  /** Calls a second; of batches, keys a second. */
  readonly rate: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  /** How many times were measured; undefined where nobody counted. */
  readonly count?: number;
  /** What one call, or one key of a batch, costs the server's process; undefined where nobody looked. */
  readonly cpu?: number;
}

/** Connects to a server. */
export async function connectClients(port: number, count = CONNECTIONS): Promise<GrpcClient[]> {
  const clock = denoClock();
  const authority = `127.0.0.1:${port}`;
  const clients: GrpcClient[] = [];
  for (let i = 0; i < count; i++) {
    const connection = await connectHttp2(denoNetwork(), { host: "127.0.0.1", port }, { clock });
    clients.push(new GrpcClient({ connection, clock, authority }));
  }
  return clients;
}

/** How a call is repeated. */
export interface Load {
  readonly inFlight: number;
  readonly seconds: number;
  /** Which key the next call is about; a negative number ends the load before its time. */
  readonly nextKey: () => number;
  /** The server's process, for the CPU time. */
  readonly pid?: number;
}

/** Calls as fast as answers come. @throws what the first failing call threw */
export async function load(
  clients: readonly GrpcClient[],
  call: Call,
  { inFlight, seconds, nextKey, pid }: Load,
): Promise<Figure> {
  const options = { timeoutMs: TIMEOUT_MS };
  const rooms = Array.from({ length: inFlight }, () => call.room());
  return await timed({ inFlight, seconds, pid, items: call.items }, async (i) => {
    const key = nextKey();
    if (key < 0) return false;
    const { message } = await clients[i % clients.length].unary(
      call.path,
      call.request(key, rooms[i]),
      options,
    );
    call.check(key, message);
    return true;
  });
}

/** How something is repeated. */
export interface Timed {
  readonly inFlight: number;
  readonly seconds: number;
  readonly pid: number | undefined;
  /** What one time counts for. */
  readonly items?: number;
}

/** Does something over and over, so many times at once. @param once  gets its number; false: it is the end */
export async function timed(
  { inFlight, seconds, pid, items = 1 }: Timed,
  once: (i: number) => Promise<boolean>,
): Promise<Figure> {
  const times = new Histogram();
  const cpuFrom = pid === undefined ? 0 : cpuUs(pid);
  const from = performance.now();
  const until = from + seconds * 1000;
  const loop = async (i: number) => {
    for (let now = performance.now(); now < until;) {
      if (!await once(i)) return;
      const then = performance.now();
      times.add((then - now) * 1000);
      now = then;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, (_, i) => loop(i)));
  const took = performance.now() - from;
  const count = times.count * items;
  return {
    rate: count / took * 1000,
    p50: times.at(0.5),
    p99: times.at(0.99),
    p999: times.at(0.999),
    count: times.count,
    ...pid === undefined ? {} : { cpu: (cpuUs(pid) - cpuFrom) / count },
  };
}

/** Numbers below `count`, at random but the same in every run. */
export function uniform(count: number, seed: number): () => number {
  let state = seed | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % count;
  };
}
