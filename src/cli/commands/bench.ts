/**
 * `pairdb bench TENANT`: asks a server for as much as it gives, for a while, and tells how much and how quick that
 * was, as programs with the SDK see it.
 *
 *     OPERATION  CALLS  FAILED  PER SECOND  P50 MS  P95 MS  P99 MS  P99.9 MS  MAX MS
 *     read        …
 *     write       …
 *
 * The keys (`bench/00000000` and so on) are all written first, so that every read finds a value, and left there.
 * Each of the clients has one call under way at a time. Failed calls count apart: their times say nothing.
 * @module
 */
import type { BatchItem, PairDB } from "../../client/mod.ts";
import { denoClock, denoRandom } from "../../runtime/mod.ts";
import { Histogram } from "../histogram.ts";
import { Progress } from "../progress.ts";
import { connect, print, type Shell } from "../shell.ts";
import { table } from "../table.ts";

/** Flags of `bench`. */
export interface BenchFlags {
  /** How long, ms. */
  readonly duration: number;
  /** Calls under way at a time. */
  readonly clients: number;
  /** Percent of all calls. */
  readonly reads: number;
  readonly keys: number;
  /** Bytes. */
  readonly valueSize: number;
}

/** Most items of a batch: the server's limit. */
const BATCH_ITEMS = 1000;
/** Bytes of a batch's values, except that one larger value may stand alone. */
const BATCH_BYTES = 4 * 1024 * 1024;

const HEADINGS = [
  "operation",
  "calls",
  "failed",
  "per second",
  ...["p50 ms", "p95 ms", "p99 ms", "p99.9 ms", "max ms"],
];
const SHARES = { p50_ms: 0.5, p95_ms: 0.95, p99_ms: 0.99, p999_ms: 0.999, max_ms: 1 };

/** One kind of call. */
interface Tally {
  readonly times: Histogram;
  failed: number;
}

/** Prints the figures. @throws the first failure, once they are printed */
export async function bench(shell: Shell, tenant: string, flags: BenchFlags): Promise<number> {
  const db = await connect(shell);
  const random = denoRandom();
  const value = random.bytes(flags.valueSize);
  await fill(shell, db, tenant, value, flags.keys);

  const clock = denoClock();
  const read: Tally = { times: new Histogram(), failed: 0 };
  const write: Tally = { times: new Histogram(), failed: 0 };
  const failures: unknown[] = [];
  const startMs = clock.monotonicMs();
  const client = async () => {
    for (;;) {
      const beganMs = clock.monotonicMs();
      if (beganMs - startMs >= flags.duration) return;
      const key = keyOf(random.below(flags.keys));
      const isRead = random.below(100) < flags.reads;
      const tally = isRead ? read : write;
      try {
        if (isRead) await db.get(tenant, key);
        else await db.put(tenant, key, value);
        tally.times.add((clock.monotonicMs() - beganMs) * 1000);
      } catch (error) {
        tally.failed++;
        if (failures.length === 0) failures.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: flags.clients }, client));
  const elapsedMs = clock.monotonicMs() - startMs;

  const kinds = Object.entries({ read, write })
    .filter(([, { times, failed }]) => times.count + failed > 0);
  const figures = kinds.map(([operation, tally]) => figuresOf(operation, tally, elapsedMs));
  const lines = shell.output === "json" ? [] : table(shell.process, HEADINGS, figures.map(toRow));
  const { clients, keys, valueSize } = flags;
  print(shell, lines, {
    tenant,
    elapsed_ms: Math.round(elapsedMs),
    clients,
    keys,
    value_bytes: valueSize,
    operations: figures,
  });
  if (failures.length > 0) throw failures[0];
  return 0;
}

/** Writes all keys. */
async function fill(
  { process }: Shell,
  db: PairDB,
  tenant: string,
  value: Uint8Array,
  keys: number,
): Promise<void> {
  const progress = new Progress(process, "filling", keys);
  const fit = Math.floor(BATCH_BYTES / Math.max(1, value.length));
  const step = Math.min(BATCH_ITEMS, Math.max(1, fit));
  try {
    for (let from = 0; from < keys; from += step) {
      const length = Math.min(step, keys - from);
      const items = Array.from({ length }, (_, n): BatchItem => ({ key: keyOf(from + n), value }));
      await db.batchPut(tenant, items);
      progress.update(from + length, from + length);
    }
  } finally {
    progress.clear();
  }
}

function keyOf(n: number): string {
  return `bench/${String(n).padStart(8, "0")}`;
}

/** What is printed of a kind of call; times in ms. */
interface Figures extends Readonly<Record<keyof typeof SHARES, number>> {
  readonly operation: string;
  readonly calls: number;
  readonly failed: number;
  readonly per_second: number;
}

function figuresOf(operation: string, { times, failed }: Tally, elapsedMs: number): Figures {
  const at = (share: number) => times.at(share) / 1000;
  const { p50_ms, p95_ms, p99_ms, p999_ms, max_ms } = SHARES;
  return {
    operation,
    calls: times.count,
    failed,
    per_second: Math.round(times.count / (elapsedMs / 1000)),
    p50_ms: at(p50_ms),
    p95_ms: at(p95_ms),
    p99_ms: at(p99_ms),
    p999_ms: at(p999_ms),
    max_ms: at(max_ms),
  };
}

function toRow({ operation, calls, failed, per_second, ...times }: Figures): string[] {
  const ms = Object.values(times).map((time) => time.toFixed(time < 10 ? 2 : 1));
  return [operation, `${calls}`, `${failed}`, `${per_second}`, ...ms];
}
