/**
 * Redis, driven by its own `redis-benchmark`.
 * @module
 */
import { keyOf, valueOf } from "./messages.ts";
import { cpuUs, type Running } from "./processes.ts";
import type { Figure } from "./load.ts";

/** One run of `redis-benchmark`. */
export interface RedisLoad {
  readonly command: "SET" | "GET";
  readonly keys: number;
  readonly valueBytes: number;
  readonly inFlight: number;
  /** Commands that each client sends at once. */
  readonly pipeline?: number;
  /** Commands in all; it knows no time. */
  readonly requests: number;
}

/** Runs it. */
export async function redisLoad(redis: Running, load: RedisLoad): Promise<Figure> {
  const pipeline = load.pipeline ?? 1;
  const cpuFrom = cpuUs(redis.pid);
  const { stdout, success } = await new Deno.Command("redis-benchmark", {
    args: [
      ...["-p", String(redis.port), "-n", String(load.requests), "-P", String(pipeline)],
      ...["-c", String(load.inFlight), "-d", String(load.valueBytes), "-r", String(load.keys)],
      ...["-t", load.command.toLowerCase(), "--precision", "3"],
    ],
    stderr: "null",
  }).output();
  const cpu = (cpuUs(redis.pid) - cpuFrom) / load.requests;
  const text = new TextDecoder().decode(stdout);
  const rate = Number(/throughput summary: ([\d.]+) requests per second/.exec(text)?.[1]);
  if (!success || !(rate > 0)) throw new Error(`redis-benchmark: ${text.slice(-2000)}`);
  return { rate, ...percentilesIn(text), cpu };
}

/** From the table "99.902% <= 1.234 milliseconds". */
function percentilesIn(text: string): Pick<Figure, "p50" | "p99" | "p999"> {
  const table = [...text.matchAll(/^([\d.]+)% <= ([\d.]+) milliseconds/gm)]
    .map(([, share, ms]) => ({ share: Number(share), us: Number(ms) * 1000 }));
  const at = (share: number) => table.find((row) => row.share >= share)?.us ?? NaN;
  return { p50: at(50), p99: at(99), p999: at(99.9) };
}

/** Stores all keys, so that every GET finds one. */
export async function fillRedis(port: number, keys: number, valueBytes: number): Promise<void> {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port });
  const writer = connection.writable.getWriter();
  const answered = countOk(connection.readable, keys);
  const encoder = new TextEncoder();
  const decoder = new TextDecoder();
  for (let from = 0; from < keys; from += 1000) {
    let text = "";
    for (let key = from; key < Math.min(keys, from + 1000); key++) {
      text += `*3\r\n$3\r\nSET\r\n$16\r\n${keyOf(key)}\r\n$${valueBytes}\r\n`;
      text += `${decoder.decode(valueOf(key, valueBytes))}\r\n`;
    }
    await writer.write(encoder.encode(text));
  }
  await answered;
}

async function countOk(readable: ReadableStream<Uint8Array>, count: number): Promise<void> {
  let bytes = 0;
  for await (const chunk of readable.values({ preventCancel: true })) {
    bytes += chunk.length;
    if (bytes >= count * "+OK\r\n".length) return;
  }
}
