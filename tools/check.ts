/**
 * `deno task check [STEP]...`: everything about the code that can be judged without running it.
 *
 *   fmt       the formatting is `deno fmt`'s
 *   lint      `deno lint` with the house's own rules (tools/lint/plugin.ts): imports, the ambient world,
 *             module-level state, empty catches, silenced rules
 *   types     everything type-checks, and the lock file is current
 *   docs      what the public modules export is documented (`deno doc --lint`, see check_output.ts)
 *   promises  no promise is dropped (tools/lint/promises.ts)
 *   generated src/gen/ and tests/conformance/gen/ are what their protos give
 *   config    docs/generated/ is what the config schema gives
 *   rows      the rows that tests cite are rows of docs/rows.md (tools/rows.ts)
 *   shell     the shell scripts parse
 *
 * All steps run, whatever the others find, and each failure stands on a line of its own, with file and
 * line where it has them. The exit code is 0 only when nothing was found.
 * @module
 */
import { findDocProblems, findUnformatted } from "./check_output.ts";

const ROOT = new URL("../", import.meta.url).pathname;
Deno.chdir(ROOT);

/** What is type-checked, as far as it exists. */
const CODE: readonly string[] = ["main.ts", "src", "tests", "tools", "bench"];
/** What others import: all that these export is documented. */
const PUBLIC: readonly string[] = [
  "client",
  "embedded",
  "engine",
  "node",
  "runtime",
  "model",
  "rpc",
  "web",
].map((room) => `src/${room}/mod.ts`);
const SHELL: readonly string[] = ["compile.sh", "tools/launcher.sh", ".ci/run"];

/** What one step found: nothing, or lines for people. `skipped` says why it could not run. */
interface Result {
  readonly problems: readonly string[];
  readonly skipped?: string;
}

/** A child's outcome. */
interface Outcome {
  readonly success: boolean;
  readonly stdout: string;
  readonly stderr: string;
}

async function run(program: string, args: readonly string[]): Promise<Outcome> {
  const { success, stdout, stderr } = await new Deno.Command(program, {
    args: [...args],
    env: { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" },
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  return { success, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/**
 * A step that is one Deno command.
 * @param read  makes findings of its output; when that holds none, a failure shows the output itself
 */
async function deno(
  args: readonly string[],
  read: (output: string) => readonly string[] | undefined = () => undefined,
): Promise<Result> {
  const { success, stdout, stderr } = await run(Deno.execPath(), args);
  if (success) return { problems: [] };
  const problems = read(stdout + stderr);
  if (problems !== undefined) return { problems };
  const lines = `${stderr}\n${stdout}`.split("\n").map((line) => line.trimEnd())
    .filter((line) => line !== "" && !line.startsWith("Check "));
  return { problems: lines.length > 0 ? lines : [`deno ${args[0]} failed and said nothing`] };
}

/** A step that a tool of ours runs, once the tool is there. */
async function tool(file: string, ...args: readonly string[]): Promise<Result> {
  if (!exists(file)) return { problems: [], skipped: `there is no ${file} yet` };
  return await deno(["run", "--quiet", "--allow-all", file, ...args]);
}

/** One finding of `deno lint --json`. */
interface Finding {
  readonly filename: string;
  readonly range?: { readonly start: { readonly line: number } };
  readonly message: string;
  readonly code: string;
  readonly hint?: string;
}

async function lint(): Promise<Result> {
  const { success, stdout, stderr } = await run(Deno.execPath(), ["lint", "--json"]);
  if (success) return { problems: [] };
  let report: { diagnostics: Finding[]; errors: { file_path: string; message: string }[] };
  try {
    report = JSON.parse(stdout);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return { problems: [`deno lint gave no report: ${stderr.trim()}`] };
  }
  return {
    problems: [
      ...report.errors.map((one) => `${relative(one.file_path)}: ${one.message}`),
      ...report.diagnostics.map((one) =>
        `${relative(one.filename)}:${one.range?.start.line ?? 1}: ${one.message}` +
        `${one.hint ? ` (${one.hint})` : ""} [${one.code}]`
      ),
    ],
  };
}

/** In a process of its own: it takes a thread for seconds. */
function promises(): Promise<Result> {
  const files = CODE.filter(exists).flatMap((path) => sources(path))
    .filter((file) => !/(^|\/)gen\//.test(file));
  return tool("tools/lint/promises.ts", ...files);
}

async function shell(): Promise<Result> {
  const problems: string[] = [];
  for (const file of SHELL.filter(exists)) {
    const interpreter = Deno.readTextFileSync(file).startsWith("#!/bin/sh") ? "sh" : "bash";
    const { success, stderr } = await run(interpreter, ["-n", file]);
    if (!success) problems.push(stderr.trim());
  }
  return { problems };
}

/** All TypeScript files below a path. */
function sources(path: string): string[] {
  if (Deno.statSync(path).isFile) return [path];
  return [...Deno.readDirSync(path)].flatMap((entry) => {
    const inner = `${path}/${entry.name}`;
    if (entry.isDirectory) return sources(inner);
    return entry.name.endsWith(".ts") ? [inner] : [];
  }).sort();
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** A path or file URL, relative to the repository. */
function relative(path: string): string {
  return path.replace(/^file:\/\//, "").replace(ROOT, "");
}

const STEPS: Readonly<Record<string, () => Promise<Result>>> = {
  fmt: () => deno(["fmt", "--check"], (output) => findUnformatted(output, ROOT)),
  lint,
  types: () => deno(["check", "--quiet", "--frozen", ...CODE.filter(exists)]),
  docs: () =>
    deno(
      ["doc", "--lint", "--quiet", ...PUBLIC.filter(exists)],
      (output) => findDocProblems(output, ROOT, (file) => Deno.readTextFileSync(file)),
    ),
  promises,
  generated: () => tool("tools/generate.ts", "--check"),
  config: () => tool("tools/config_docs.ts", "--check"),
  rows: () => tool("tools/rows.ts", "--check"),
  shell,
};

const wanted = Deno.args.length > 0 ? Deno.args : Object.keys(STEPS);
const unknown = wanted.filter((name) => !(name in STEPS));
const lines: string[] = unknown.map((name) => `there is no step ${name}`);
let failed = unknown.length;
// All at once: most of a step is waiting for a process of its own.
await Promise.all(
  wanted.filter((name) => name in STEPS).map(async (name) => {
    const started = performance.now();
    // Lets the other steps start their processes before this one takes the thread.
    await new Promise((resolve) => setTimeout(resolve, 0));
    const { problems, skipped } = await STEPS[name]();
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    const outcome = skipped !== undefined
      ? `skipped: ${skipped}`
      : problems.length === 0
      ? "ok"
      : "FAILED";
    lines.push(`${name.padEnd(9)} ${outcome} (${seconds} s)`, ...problems.map((one) => `  ${one}`));
    if (problems.length > 0) failed++;
  }),
);
lines.push(
  failed === 0 ? "check: all is well" : `check: ${failed} of ${wanted.length} steps failed`,
);
await new Response(`${lines.join("\n")}\n`).body!.pipeTo(Deno.stdout.writable);
if (failed > 0) Deno.exit(1);
