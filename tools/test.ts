/**
 * `deno task test [FILE|FOLDER|--deno-test-option]...`: the whole test suite, or the files named.
 *
 * Two runs of `deno test`, one after the other: first everything that may share the machine, in
 * parallel; then what starts servers, browsers and processes to be killed, one file at a time.
 * What the machine lacks (a browser, Python's grpcio) skips its tests, each with its reason.
 * The last line of the output is `N passed, M failed`, and `, K skipped` when K is not 0.
 * The exit code is 0 only when something ran and nothing failed.
 * @module
 */
import { readSummary, type Summary } from "./test_summary.ts";

const ROOT = new URL("../", import.meta.url).pathname;
/** Folders whose tests disturb each other. */
const ALONE: readonly string[] = [
  "tests/conformance/",
  "tests/e2e/",
  "tests/crash/",
  "tests/planted/",
];
/** For one `deno test`; a suite that takes longer hangs. */
const LIMIT_MIN = 40;

/** All `*_test.ts` below a folder, or the file itself, sorted. */
function testFiles(path: string): string[] {
  const stat = Deno.statSync(path);
  if (stat.isFile) return [path];
  const found: string[] = [];
  for (const entry of Deno.readDirSync(path)) {
    const inner = `${path.replace(/\/$/, "")}/${entry.name}`;
    if (entry.isDirectory) found.push(...testFiles(inner));
    else if (entry.name.endsWith("_test.ts")) found.push(inner);
  }
  return found.sort();
}

/** Writes a child's output through, and returns all of it. */
async function passThrough(stream: ReadableStream<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of stream) {
    say(chunk);
    text += decoder.decode(chunk, { stream: true });
  }
  return text;
}

/** Writes all of it to standard output. */
function say(text: string | Uint8Array): void {
  const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
  for (let at = 0; at < bytes.length;) at += Deno.stdout.writeSync(bytes.subarray(at));
}

/** One `deno test`. */
async function run(files: readonly string[], options: readonly string[]): Promise<Summary> {
  const child = new Deno.Command(Deno.execPath(), {
    // Sources are type-checked by `check` and again here, as `deno test` does by itself.
    args: ["test", "--allow-all", "--frozen", ...options, ...files],
    cwd: ROOT,
    env: { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let late = false;
  const limit = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, LIMIT_MIN * 60_000);
  const [output, , status] = await Promise.all([
    passThrough(child.stdout),
    passThrough(child.stderr),
    child.status,
  ]);
  clearTimeout(limit);
  if (late) say(`\ntests: \`deno test\` was ended after ${LIMIT_MIN} minutes\n`);
  return readSummary(output, status.success);
}

const options = Deno.args.filter((argument) => argument.startsWith("-"));
const paths = Deno.args.filter((argument) => !argument.startsWith("-"));
Deno.chdir(ROOT);
const files = (paths.length > 0 ? paths : ["tests"]).flatMap((path) => testFiles(path));
const isAlone = (file: string) => ALONE.some((folder) => file.startsWith(folder));
const together = files.filter((file) => !isAlone(file));
const alone = files.filter(isAlone);

const runs: Summary[] = [];
if (together.length > 0) runs.push(await run(together, ["--parallel", ...options]));
if (alone.length > 0) runs.push(await run(alone, options));

const passed = runs.reduce((sum, one) => sum + one.passed, 0);
const failed = runs.reduce((sum, one) => sum + one.failed, 0);
const skipped = runs.flatMap((one) => one.skipped);
for (const name of skipped) say(`skipped: ${name}\n`);
if (passed + failed === 0) say("tests: none ran\n");
say(
  `${passed} passed, ${failed} failed${skipped.length > 0 ? `, ${skipped.length} skipped` : ""}\n`,
);
if (failed > 0 || passed === 0) Deno.exit(1);
