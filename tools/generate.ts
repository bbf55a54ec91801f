/**
 * `deno task generate`: turns proto/ into src/gen/ with buf and protoc-gen-es.
 *
 *     deno task generate            rewrites src/gen/
 *     deno task generate --check    changes nothing; fails when src/gen/ is not what proto/ gives
 * @module
 */
import { findBuf } from "./buf.ts";

const OUTPUT = "src/gen";

const ROOT = new URL("../", import.meta.url).pathname;

const check = Deno.args.includes("--check");
const scratch = await Deno.makeTempDir({ prefix: "pairdb-generate-" });
try {
  await generateInto(scratch);
  const wanted = await readTree(`${scratch}/${OUTPUT}`);
  const present = await readTree(`${ROOT}${OUTPUT}`);
  const stale = differences(wanted, present);
  if (check && stale.length > 0) {
    await say(
      `src/gen is not what proto/ gives; run \`deno task generate\`:\n${stale.join("\n")}\n`,
    );
    Deno.exitCode = 1;
  } else if (!check) {
    await writeTree(wanted, present);
    await say(`${wanted.size} files in ${OUTPUT}, ${stale.length} changed\n`);
  }
} finally {
  await Deno.remove(scratch, { recursive: true });
}

/** Runs buf with the repository's buf.gen.yaml, writing below `folder`. */
async function generateInto(folder: string): Promise<void> {
  const buf = await findBuf();
  // buf starts the plugin as `deno`; the one that runs this tool need not be on the PATH.
  const bin = `${folder}/bin`;
  await Deno.mkdir(bin);
  const name = Deno.build.os === "windows" ? "deno.exe" : "deno";
  await Deno.symlink(Deno.execPath(), `${bin}/${name}`);
  const separator = Deno.build.os === "windows" ? ";" : ":";
  await run(buf, ["generate", "--output", folder], {
    cwd: ROOT,
    env: { PATH: `${bin}${separator}${Deno.env.get("PATH") ?? ""}` },
  });
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
function differences(wanted: Map<string, string>, present: Map<string, string>): string[] {
  const lines: string[] = [];
  for (const [path, text] of wanted) {
    if (!present.has(path)) lines.push(`  missing      ${OUTPUT}/${path}`);
    else if (present.get(path) !== text) lines.push(`  out of date  ${OUTPUT}/${path}`);
  }
  for (const path of present.keys()) {
    if (!wanted.has(path)) lines.push(`  superfluous  ${OUTPUT}/${path}`);
  }
  return lines.sort();
}

/** Makes src/gen equal to `wanted`. */
async function writeTree(
  wanted: Map<string, string>,
  present: Map<string, string>,
): Promise<void> {
  for (const path of present.keys()) {
    if (!wanted.has(path)) await Deno.remove(`${ROOT}${OUTPUT}/${path}`);
  }
  for (const [path, text] of wanted) {
    const file = `${ROOT}${OUTPUT}/${path}`;
    await Deno.mkdir(file.slice(0, file.lastIndexOf("/")), { recursive: true });
    await Deno.writeTextFile(file, text);
  }
}

async function say(text: string): Promise<void> {
  await Deno.stderr.write(new TextEncoder().encode(text));
}
