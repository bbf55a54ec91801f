/**
 * YCSB while the store compacts: reads and writes by their shares, with PairDB's compactions asked for one
 * after the other.
 * @module
 */
import type { GrpcContender } from "./contenders.ts";
import { Histogram } from "../../src/cli/histogram.ts";
import { type Figure, timed } from "./load.ts";
import type { Call, KeySpace } from "./messages.ts";
import { Steps, type Workload } from "./ycsb.ts";

/** Calls in flight. */
export const MIXED_IN_FLIGHT = 64;
const TIMEOUT_MS = 30_000;
const PAUSE_MS = 50;

/** What one run has measured. */
export interface Mixed {
  readonly all: Figure;
  /** Times of writes alone; undefined when there were none. A read-modify-write counts as a whole. */
  readonly writes: Figure | undefined;
}

/** Runs a workload on a server, in which the keys are stored. */
export async function runMixed(
  { clients, callsOf, server }: GrpcContender,
  workload: Workload,
  { keys, valueBytes, seconds, seed }: KeySpace & { seconds: number; seed: number },
): Promise<Mixed> {
  const steps = new Steps(workload, keys, seed);
  // Inserts go beyond the keys that are stored.
  const calls = callsOf({ keys: Number.MAX_SAFE_INTEGER, valueBytes });
  const [put, get] = [calls.put(1), calls.get(1)];
  const writes = new Histogram();
  const roomsOf = (call: Call) => Array.from({ length: MIXED_IN_FLIGHT }, () => call.room());
  const rooms = new Map([[put, roomsOf(put)], [get, roomsOf(get)]]);
  const options = { timeoutMs: TIMEOUT_MS };
  const unary = async (call: Call, key: number, i: number) => {
    const request = call.request(key, rooms.get(call)![i]);
    const { message } = await clients[i % clients.length].unary(call.path, request, options);
    call.check(key, message);
  };
  const load = { inFlight: MIXED_IN_FLIGHT, seconds, pid: server.pid };
  const all = await timed(load, async (i) => {
    const { step, key } = steps.next();
    const from = performance.now();
    if (step === "read" || step === "modify") await unary(get, key, i);
    if (step !== "read") {
      await unary(put, key, i);
      writes.add((performance.now() - from) * 1000);
    }
    if (step === "insert") steps.inserted();
    return true;
  });
  return {
    all,
    writes: writes.count === 0 ? undefined : {
      rate: all.rate * writes.count / all.count!,
      p50: writes.at(0.5),
      p99: writes.at(0.99),
      p999: writes.at(0.999),
    },
  };
}

/** Asks PairDB for one compaction after the other until it is stopped. */
export class Compactions {
  #stopped = false;
  readonly #done: Promise<void>;
  /** Time in which one was running, in ms. */
  busyMs = 0;
  readonly #fromMs = performance.now();

  constructor(port: number) {
    this.#done = this.#run(`http://127.0.0.1:${port}/pairdb.v1.AdminService/Compact`);
  }

  /** Waits for the last one. @returns the share of time in which one was running */
  async stop(): Promise<number> {
    this.#stopped = true;
    await this.#done;
    return this.busyMs / (performance.now() - this.#fromMs);
  }

  async #run(url: string): Promise<void> {
    while (!this.#stopped) {
      const from = performance.now();
      const response = await fetch(url, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: `{"tenantId":"bench"}`,
      });
      const text = await response.text();
      if (!response.ok) throw new Error(`Compact: HTTP ${response.status} ${text}`);
      this.busyMs += performance.now() - from;
      // With nothing to compact the answer comes at once.
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
}
