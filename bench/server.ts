// deno-lint-ignore-file no-console -- a long bench says where it is
/**
 * The server beside etcd and Redis: the same calls on the same keys, durable writes, in one run.
 *
 *     this process ─► gRPC over 4 connections ─► PairDB (`serve`, defaults)      random keys; each status and
 *                  └► the same ────────────────► etcd                            each value is checked
 *     redis-benchmark ─► as many clients ──────► Redis (`appendfsync always`)
 *
 * The servers take turns, each in a process of its own, and the median of several rounds counts. `cpu` is
 * what the server's process uses for one call (for one key of a batch), by /proc.
 *
 * @module
 */
import { busy } from "./machine.ts";
import type { Row } from "./report.ts";
import {
  type Contender,
  etcdContender,
  type GrpcContender,
  laneContender,
  pairdbContender,
  redisContender,
  type Work,
} from "./server/contenders.ts";
import type { KeySpace } from "./server/messages.ts";
import { floors, Measured, REPLACED, TITLES } from "./server/measured.ts";
import { Compactions, MIXED_IN_FLIGHT, runMixed } from "./server/mixed.ts";
import { startDeno } from "./server/processes.ts";
import { WORKLOADS } from "./server/ycsb.ts";

/** The parts of a run, by the letter that chooses them. */
export const SERVER_SETS: Readonly<Record<string, string>> = {
  a: "Put and Get, 100 B",
  b: "Put and Get, 1 KiB",
  c: "batches of 16 and 100, 100 B",
  d: "JSON over HTTP/1.1, 100 B",
  e: "Put and Get, 1 KiB, more data than the caches hold",
  f: "YCSB A, B, C, D and F, 1 KiB, while compaction runs",
  g: "the gRPC lane beside the one that it has replaced",
};

/** What to run. */
export interface ServerBench {
  /** Keys that are stored before the first call; a multiple of 100. */
  readonly keys: number;
  /** The same for set e. */
  readonly beyondKeys: number;
  /** How long each server is driven in each round, in seconds. */
  readonly seconds: number;
  readonly rounds: number;
  /** Calls in flight. */
  readonly depths: readonly number[];
  /** Letters of {@link SERVER_SETS}. */
  readonly sets: string;
}

/** What the parts of a run share. */
interface Run {
  readonly bench: ServerBench;
  readonly dir: string;
  readonly measured: Measured;
  readonly missing: Set<string>;
  readonly notes: string[];
}

/** Runs everything that was asked for. */
export async function benchServer(bench: ServerBench): Promise<{ rows: Row[]; notes: string[] }> {
  const before = busy();
  const measured = new Measured();
  const missing = new Set<string>();
  const notes: string[] = [];
  for (const letter of bench.sets) {
    const dir = await Deno.makeTempDir({ prefix: "pairdb-bench-" });
    try {
      await SETS[letter]({ bench, dir, measured, missing, notes });
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  }
  return {
    rows: measured.rows(),
    notes: [
      `${bench.keys} keys, ${bench.seconds} s a server and round, median of ${bench.rounds} rounds`,
      "rate in calls a second, of batches in keys; times and CPU of the server's process in us",
      "Redis has as many clients as there are calls in flight, and a pipeline of 16 for batches",
      `the machine was ${before} before, ${busy()} after; what else runs on it lowers the figures`,
      ...notes,
      ...[...missing].map((name) => `not installed: ${name}`),
      ...floors(measured),
    ],
  };
}

const SETS: Readonly<Record<string, (run: Run) => Promise<void>>> = {
  a: (run) => withPeers(run, { keys: run.bench.keys, valueBytes: 100 }, unary(run, "100 B")),
  b: (run) => withPeers(run, { keys: run.bench.keys, valueBytes: 1024 }, unary(run, "1 KiB")),
  c: (run) => withPeers(run, { keys: run.bench.keys, valueBytes: 100 }, batches()),
  d: (run) => withPeers(run, { keys: run.bench.keys, valueBytes: 100 }, json()),
  e: (run) => {
    const keys = run.bench.beyondKeys;
    run.notes.push(`more data than the caches hold: ${keys} keys of 1 KiB`);
    return withPeers(run, { keys, valueBytes: 1024 }, unary(run, "1 KiB, beyond the caches", [64]));
  },
  f: mixed,
  g: lanes,
};

function unary(
  { bench }: Run,
  what: string,
  depths: readonly number[] = bench.depths,
): readonly Work[] {
  return (["put", "get"] as const).flatMap((operation) =>
    depths.map((inFlight): Work => ({
      title: `${operation === "put" ? "Put" : "Get"}, ${what}, ${inFlight} in flight`,
      operation,
      inFlight,
      items: 1,
      protocol: "native",
    }))
  );
}

function batches(): readonly Work[] {
  return (["put", "get"] as const).flatMap((operation) =>
    [16, 100].map((items): Work => ({
      title: `Batch${operation === "put" ? "Put" : "Get"} of ${items}, 100 B, 64 in flight`,
      operation,
      inFlight: 64,
      items,
      protocol: "native",
    }))
  );
}

function json(): readonly Work[] {
  return (["put", "get"] as const).map((operation): Work => ({
    title: `JSON over HTTP/1.1: ${operation === "put" ? "Put" : "Get"}, 100 B, 64 connections`,
    operation,
    inFlight: 64,
    items: 1,
    protocol: "json",
  }));
}

/** Lets PairDB and its peers do some work. */
async function withPeers(run: Run, space: KeySpace, works: readonly Work[]): Promise<void> {
  const { dir, missing } = run;
  console.error(`storing ${space.keys} keys of ${space.valueBytes} B in each server`);
  await withContenders([
    () => pairdbContender(`${dir}/pairdb`, space),
    () => etcdContender(`${dir}/etcd`, space, missing),
    () => redisContender(`${dir}/redis`, space, missing),
  ], (all) => takeTurns(run, all, works));
}

async function withContenders<T extends Contender>(
  starts: readonly (() => Promise<T | undefined>)[],
  body: (all: readonly T[]) => Promise<void>,
): Promise<void> {
  const all: T[] = [];
  try {
    for (const start of starts) {
      const contender = await start();
      if (contender !== undefined) all.push(contender);
    }
    await body(all);
  } finally {
    for (const contender of all) await contender.stop();
  }
}

async function takeTurns(
  run: Run,
  all: readonly Contender[],
  works: readonly Work[],
): Promise<void> {
  const { seconds } = run.bench;
  for (const work of works) {
    await inRounds(run, work.title, async (round) => {
      for (const contender of all) {
        const figure = await contender.run(work, round === 0 ? seconds / 4 : seconds);
        if (round > 0 && figure !== undefined) {
          run.measured.add(work.title, contender.name, figure);
        }
      }
    });
  }
}

/** Round 0 warms up: what comes later is warmer than what comes first. */
async function inRounds(
  { bench: { rounds } }: Run,
  title: string,
  once: (round: number) => Promise<void>,
): Promise<void> {
  for (let round = 0; round <= rounds; round++) {
    console.error(`${title}: ${round === 0 ? "warming up" : `round ${round} of ${rounds}`}`);
    await once(round);
  }
}

/** YCSB on PairDB, which compacts meanwhile, and on etcd. */
async function mixed(run: Run): Promise<void> {
  const { bench, dir, measured, missing, notes } = run;
  const space = { keys: bench.keys, valueBytes: 1024 };
  console.error(`storing ${space.keys} keys of ${space.valueBytes} B in each server`);
  const shares: number[] = [];
  await withContenders<GrpcContender>([
    () => pairdbContender(`${dir}/pairdb`, space),
    () => etcdContender(`${dir}/etcd`, space, missing),
  ], async (all) => {
    for (const workload of WORKLOADS) {
      const title = `YCSB ${workload.name}`;
      await inRounds(run, title, async (round) => {
        for (const contender of all) {
          const isOurs = contender.name === "PairDB";
          const compactions = isOurs ? new Compactions(contender.server.port) : undefined;
          // Round 0 warms up, and as long: a server's memory has its size, and its code is compiled, only then.
          const load = { ...space, seconds: bench.seconds, seed: round };
          let share: number | undefined;
          const { all: figure, writes } = await runMixed(contender, workload, load)
            .finally(async () => share = await compactions?.stop());
          if (round === 0) continue;
          if (share !== undefined && writes !== undefined) shares.push(share);
          measured.add(title, contender.name, figure);
          if (writes !== undefined) measured.add(`${title}, writes`, contender.name, writes);
        }
      });
    }
  });
  const mean = shares.reduce((sum, share) => sum + share, 0) / shares.length;
  notes.push(
    `YCSB: ${MIXED_IN_FLIGHT} in flight; PairDB compacted in ${
      (mean * 100).toFixed(0)
    } % of the time ` +
      "of workloads that write",
  );
}

/** The lanes, over a node that does not sync. */
async function lanes(run: Run): Promise<void> {
  const space = { keys: run.bench.keys, valueBytes: 100 };
  const program = new URL("./server/lane.ts", import.meta.url).pathname;
  const start = (name: string, lane: string) => async () =>
    laneContender(name, await startDeno([program, lane, `${run.dir}/${lane}`]), space);
  const works = (["get", "put"] as const).map((operation): Work => ({
    title: operation === "get" ? TITLES.lane : "gRPC lane: Put, nothing synced",
    operation,
    inFlight: 64,
    items: 1,
    protocol: "native",
  }));
  await withContenders(
    [start("PairDB", "ours"), start(REPLACED, "replaced")],
    (all) => takeTurns(run, all, works),
  );
  run.notes.push(
    `gRPC lane: 100 B, 64 in flight; "${REPLACED}" is node:http2 with the RPC library's adapter for Node ` +
      "and its universal handlers over the same node and interceptors (bench/server/lane.ts)",
  );
}
