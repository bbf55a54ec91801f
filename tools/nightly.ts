/**
 * `deno task test:nightly [--hours 2] [--seed 1] [--rows crash,io] [--jobs 2] [--report FILE] [--resume FILE]`:
 * the ladder at its second figures (tests/support/ladder.ts).
 *
 * Takes parts of rows, each in a process of its own and with seeds of its own, the row that is furthest
 * behind first, until the hours have passed and every row has reached its figure; then the planted bugs.
 * Prints a line per minute and a table at the end. `--report` writes the figures as JSON, which
 * `--resume` goes on from. The exit code is 1 when anything failed.
 * @module
 */
import { parseArgs } from "node:util";
import { type RowName, ROWS } from "../tests/support/ladder.ts";
import {
  type Failure,
  grouped,
  isDone,
  nextSeed,
  pickRow,
  type Progress,
  readLadderLine,
  startOf,
  tableOf,
} from "./nightly_plan.ts";

const ROOT = new URL("../", import.meta.url).pathname;
/** A part that takes longer hangs. */
const PART_LIMIT_MIN = 40;
const PLANTED = "tests/planted/planted_test.ts";

const { values } = parseArgs({
  args: Deno.args,
  options: {
    hours: { type: "string", default: "2" },
    seed: { type: "string", default: "1" },
    rows: { type: "string", default: Object.keys(ROWS).join(",") },
    jobs: { type: "string", default: String(navigator.hardwareConcurrency) },
    report: { type: "string" },
    resume: { type: "string" },
  },
});
const hours = numberOf("hours");
const firstSeed = numberOf("seed");
const jobs = Math.max(1, numberOf("jobs"));

function numberOf(name: "hours" | "seed" | "jobs"): number {
  const value = Number(values[name]);
  if (!(value >= 0)) throw new Error(`--${name} takes a number, not ${values[name]}`);
  return value;
}

const rows = values.rows.split(",").map((name) => {
  if (!(name in ROWS)) {
    throw new Error(`--rows: there is no row "${name}", but ${Object.keys(ROWS)}`);
  }
  return startOf(name, ROWS[name as RowName]);
});
if (values.resume !== undefined) takeUp(Deno.readTextFileSync(values.resume));

/** Goes on from a report. */
function takeUp(json: string): void {
  const report = JSON.parse(json) as { rows: (Progress & { name: string })[] };
  for (const each of rows) {
    const before = report.rows.find(({ name }) => name === each.name);
    if (before === undefined) continue;
    Object.assign(each, { count: before.count, parts: before.parts, seconds: before.seconds });
    each.failures.push(...before.failures);
  }
}

function say(text: string): void {
  const bytes = new TextEncoder().encode(`${text}\n`);
  for (let at = 0; at < bytes.length;) at += Deno.stdout.writeSync(bytes.subarray(at));
}

/** Runs test files to their end. */
async function test(
  files: readonly string[],
  env: Record<string, string>,
): Promise<{ success: boolean; output: string; seconds: number }> {
  const from = performance.now();
  const child = new Deno.Command(Deno.execPath(), {
    args: ["test", "--allow-all", "--no-check", "--frozen", ...files],
    cwd: ROOT,
    env: { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1", ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const limit = setTimeout(() => child.kill("SIGKILL"), PART_LIMIT_MIN * 60_000);
  const { success, stdout, stderr } = await child.output();
  clearTimeout(limit);
  const output = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  return { success, output, seconds: (performance.now() - from) / 1000 };
}

/** The next part of a row. */
async function runPart(each: Progress): Promise<void> {
  const { row, name } = each;
  const seed = nextSeed(each, firstSeed);
  const { part } = row;
  each.parts++;
  each.underWay += part;
  const env = { PAIRDB_LADDER_SEED: String(seed), PAIRDB_LADDER_COUNT: String(part) };
  const { success, output, seconds } = await test(row.files, env);
  each.underWay -= part;
  each.seconds += seconds;
  const figures = readLadderLine(output, name);
  if (success && figures !== undefined) {
    each.count += figures.count;
    return;
  }
  const at = output.indexOf(" ERRORS ");
  const failure: Failure = { row: name, seed, count: part, text: output.slice(at, at + 4000) };
  each.failures.push(failure);
  say(
    `FAILED: PAIRDB_LADDER_SEED=${seed} PAIRDB_LADDER_COUNT=${part} deno test -A ${
      row.files.join(" ")
    }\n${failure.text}`,
  );
}

const startedMs = performance.now();
const elapsedMin = () => (performance.now() - startedMs) / 60_000;

function progressLine(): string {
  const counts = rows.map(({ name, row, count, failures }) =>
    `${name} ${grouped(count)}/${grouped(row.second)}${
      failures.length > 0 ? ` (${failures.length} FAILED)` : ""
    }`
  );
  return `${Math.floor(elapsedMin())} min: ${counts.join(", ")}`;
}

/** Takes parts until there is nothing left to begin. */
async function work(): Promise<void> {
  for (;;) {
    const enough = elapsedMin() >= hours * 60;
    if (enough && isDone(rows)) return;
    const next = pickRow(rows, enough);
    // Nothing is left but what others have in hand, which may fail and have to be made up for.
    if (next === undefined) {
      if (rows.every(({ underWay }) => underWay === 0)) return;
      await new Promise((resolve) => setTimeout(resolve, 1000));
      continue;
    }
    await runPart(next);
    writeReport();
  }
}

let planted: { success: boolean; seconds: number; text: string } | undefined;

function writeReport(): void {
  if (values.report === undefined) return;
  const report = {
    seed: firstSeed,
    minutes: Math.round(elapsedMin() * 10) / 10,
    rows: rows.map(({ name, row, count, parts, seconds, failures }) => ({
      name,
      unit: row.unit,
      count,
      wanted: row.second,
      parts,
      seconds: Math.round(seconds),
      failures,
    })),
    planted,
  };
  Deno.writeTextFileSync(values.report, `${JSON.stringify(report, undefined, 2)}\n`);
}

const ticker = setInterval(() => say(progressLine()), 60_000);
await Promise.all(Array.from({ length: jobs }, () => work()));
clearInterval(ticker);
{
  const { success, output, seconds } = await test([PLANTED], { PAIRDB_PLANTED: "all" });
  const found = output.split("\n").filter((line) => line.startsWith("planted ")).join("\n");
  planted = { success, seconds: Math.round(seconds), text: success ? found : output.slice(-4000) };
  say(planted.text);
}
writeReport();
say(tableOf(rows));
const failed = rows.filter(({ failures }) => failures.length > 0).length +
  (planted.success ? 0 : 1);
say(
  `${Math.round(elapsedMin())} min, seed ${firstSeed}: ${failed === 0 ? "all is well" : "FAILED"}`,
);
if (failed > 0) Deno.exit(1);
