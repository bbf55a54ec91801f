/**
 * The polite client of `bench/abuse.ts`: a few callers on one connection, each of which thinks between its
 * calls. So its rate is far below what the machine can do, and falls when answers take longer.
 * @module
 */
import type { GrpcClient } from "../../src/rpc/grpc_client.ts";

/** Callers, and how long each thinks, in ms: 1,500 calls a second or so, a twentieth of what one core answers. */
const CALLERS = 16;
const THINK_MS = 10;

/** What the polite client has had of a time. */
export interface Served {
  /** Calls a second. */
  readonly rate: number;
  /** Of the time that a call took, in ms. */
  readonly p99: number;
  /** Calls. */
  readonly calls: number;
}

/** Calls for a time. @param path  of a unary method @param ms  after which no call is begun */
export async function bePolite(
  client: GrpcClient,
  path: string,
  request: Uint8Array,
  ms: number,
): Promise<Served> {
  const times: number[] = [];
  const from = performance.now();
  await Promise.all(Array.from({ length: CALLERS }, async (_, i) => {
    // Not all at once.
    await pause(i * THINK_MS / CALLERS);
    for (let began = from; (began = performance.now()) - from < ms;) {
      await client.unary(path, request);
      times.push(performance.now() - began);
      await pause(THINK_MS);
    }
  }));
  const seconds = (performance.now() - from) / 1000;
  times.sort((a, b) => a - b);
  return {
    rate: times.length / seconds,
    p99: times[Math.floor(times.length * 0.99)],
    calls: times.length,
  };
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
