/**
 * `deno task generate`: turns proto/ into src/gen/, and the conformance suite's protos into
 * tests/conformance/gen/, with buf and protoc-gen-es.
 *
 *     deno task generate            rewrites both
 *     deno task generate --check    changes nothing; fails when either is not what its protos give
 * @module
 */
import { findBuf } from "./buf.ts";

/** What is generated: each template of buf's names its protos and the folder that it fills. */
const SETS: readonly { readonly template: string; readonly output: string }[] = [
  { template: "buf.gen.yaml", output: "src/gen" },
  { template: "tests/conformance/buf.gen.yaml", output: "tests/conformance/gen" },
];

const ROOT = new URL("../", import.meta.url).pathname;

const check = Deno.args.includes("--check");
const scratch = await Deno.makeTempDir({ prefix: "pairdb-generate-" });
try {
  const buf = await findBuf();
  const env = { PATH: await pathWithDeno(scratch) };
  for (const { template, output } of SETS) {
    await run(buf, ["generate", "--template", template, "--output", scratch], { cwd: ROOT, env });
    const wanted = await readTree(`${scratch}/${output}`);
    const present = await readTree(`${ROOT}${output}`);
    const stale = differences(output, wanted, present);
    if (check && stale.length > 0) {
      await say(
        `${output} is not what its protos give; run \`deno task generate\`:\n${stale.join("\n")}\n`,
      );
      Deno.exitCode = 1;
    } else if (!check) {
      await writeTree(output, wanted, present);
      await say(`${wanted.size} files in ${output}, ${stale.length} changed\n`);
    }
  }
} finally {
  await Deno.remove(scratch, { recursive: true });
}

/** A PATH on which `deno` is the one that runs this tool: buf starts the plugin by that name. */
async function pathWithDeno(folder: string): Promise<string> {
  const bin = `${folder}/bin`;
  await Deno.mkdir(bin);
  const windows = Deno.build.os === "windows";
  await Deno.symlink(Deno.execPath(), `${bin}/${windows ? "deno.exe" : "deno"}`);
  return `${bin}${windows ? ";" : ":"}${Deno.env.get("PATH") ?? ""}`;
}

/** Runs a program and returns its output. @throws Error with what it said when it fails */
async function run(
  program: string,
  args: string[],
  options: { cwd?: string; env?: Record<string, string> } = {},
): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, { args, ...options })
    .output();
  const decoder = new TextDecoder();
  if (!success) {
    throw new Error(`${program} ${args.join(" ")} failed: ${decoder.decode(stderr).trim()}`);
  }
  return decoder.decode(stdout);
}

/** Path below `folder` → text, of all files. Empty when there is no such folder. */
async function readTree(folder: string, prefix = ""): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  const entries: Deno.DirEntry[] = [];
  try {
    for await (const entry of Deno.readDir(`${folder}/${prefix}`)) entries.push(entry);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return files;
    throw error;
  }
  for (const entry of entries) {
    const path = `${prefix}${entry.name}`;
    if (entry.isDirectory) {
      for (const [name, text] of await readTree(folder, `${path}/`)) files.set(name, text);
    } else {
      files.set(path, await Deno.readTextFile(`${folder}/${path}`));
    }
  }
  return files;
}

/** One line for each file that is missing, superfluous or different in `present`. */
function differences(
  output: string,
  wanted: Map<string, string>,
  present: Map<string, string>,
): string[] {
  const lines: string[] = [];
  for (const [path, text] of wanted) {
    if (!present.has(path)) lines.push(`  missing      ${output}/${path}`);
    else if (present.get(path) !== text) lines.push(`  out of date  ${output}/${path}`);
  }
  for (const path of present.keys()) {
    if (!wanted.has(path)) lines.push(`  superfluous  ${output}/${path}`);
  }
  return lines.sort();
}

/** Makes the folder equal to `wanted`. */
async function writeTree(
  output: string,
  wanted: Map<string, string>,
  present: Map<string, string>,
): Promise<void> {
  for (const path of present.keys()) {
    if (!wanted.has(path)) await Deno.remove(`${ROOT}${output}/${path}`);
  }
  for (const [path, text] of wanted) {
    const file = `${ROOT}${output}/${path}`;
    await Deno.mkdir(file.slice(0, file.lastIndexOf("/")), { recursive: true });
    await Deno.writeTextFile(file, text);
  }
}

async function say(text: string): Promise<void> {
  await Deno.stderr.write(new TextEncoder().encode(text));
}
