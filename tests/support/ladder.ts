/**
 * The ladder: how much of each kind of machine check a run does.
 *
 * Each row is a suite that counts what it has checked. In every `deno task test` it goes as far as the
 * first figure; `deno task test:nightly` takes rows with new seeds until the second figure is reached
 * (tools/nightly.ts). A suite ends by calling {@link reached}, which fails when it has done less than it
 * was to do, so that no row can shrink without a word, and prints a line for the nightly run to add up:
 *
 *     ladder {"row":"crash","count":5004}
 *
 * PAIRDB_LADDER_COUNT says how far a suite goes, in the unit of its row; PAIRDB_LADDER_SEED where its
 * random choices start.
 * @module
 */
import assert from "node:assert/strict";

/** What one row counts, and how far it goes. */
export interface Row {
  /** What is counted. */
  readonly unit: string;
  /** In every run of the tests. */
  readonly first: number;
  /** In the nightly run. */
  readonly second: number;
  /** Where the suite is. */
  readonly files: readonly string[];
  /** What one process of the nightly run takes on, so that it lasts about a minute. */
  readonly part: number;
  /** Seeds from one part to the next; more than a part can use. */
  readonly stride: number;
  /** Whether there is nothing to check beyond the second figure. */
  readonly finite?: boolean;
}

/** All rows, by name. */
export const ROWS = {
  crash: {
    unit: "crash states",
    first: 5000,
    second: 250_000,
    files: ["tests/crash/engine_crash_test.ts"],
    part: 15_000,
    stride: 10_000,
  },
  kill9: {
    unit: "kill -9 cycles",
    first: 20,
    second: 500,
    files: ["tests/crash/kill9_test.ts"],
    part: 25,
    stride: 1,
  },
  corruption: {
    unit: "flipped bits of each byte",
    first: 1,
    second: 8,
    files: ["tests/crash/corruption_test.ts", "tests/crash/corruption_formats_test.ts"],
    part: 8,
    stride: 1,
    finite: true,
  },
  io: {
    unit: "failed hits of each I/O call site",
    first: 1,
    second: 100,
    files: ["tests/crash/io_errors_test.ts"],
    part: 10,
    stride: 10,
    finite: true,
  },
  fuzz: {
    unit: "inputs of each decoder",
    first: 20_000,
    second: 5_000_000,
    files: [
      "tests/fuzz/engine_decoders_test.ts",
      "tests/fuzz/hpack_decoder_test.ts",
      "tests/fuzz/http2_connection_test.ts",
      "tests/fuzz/kv_codec_test.ts",
    ],
    part: 50_000,
    stride: 50_000,
  },
  oracle: {
    unit: "operations against the oracle",
    first: 200_000,
    second: 50_000_000,
    files: ["tests/oracle/engine_test.ts"],
    part: 1_000_000,
    stride: 100_000,
  },
} satisfies Record<string, Row>;

/** The name of a row. */
export type RowName = keyof typeof ROWS;

/** How far the suite of a row is to go in this run. */
export function wanted(row: RowName): number {
  return fromEnvironment("PAIRDB_LADDER_COUNT") ?? ROWS[row].first;
}

/** Where random choices start. */
export function firstSeed(): number {
  return fromEnvironment("PAIRDB_LADDER_SEED") ?? 1;
}

/**
 * Says how far a suite came, and fails when that is less than it was to do.
 * @param least  what was to be done; by default {@link wanted}
 * @param notes  further figures for the nightly table
 */
export function reached(
  row: RowName,
  count: number,
  least = wanted(row),
  notes: Readonly<Record<string, number | string>> = {},
): void {
  const line = `ladder ${JSON.stringify({ row, count, ...notes })}\n`;
  Deno.stdout.writeSync(new TextEncoder().encode(line));
  assert.ok(count >= least, `${row}: ${count} of ${least} ${ROWS[row].unit} were checked`);
}

function fromEnvironment(name: string): number | undefined {
  const text = Deno.env.get(name);
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`${name}=${text} is no count`);
  return value;
}
