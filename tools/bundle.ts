/**
 * The self-extracting executable's program: `main.ts` and the workers, with everything they import, as
 * JavaScript files that need no package and no network.
 *
 * What a command imports lazily stays in a file of its own, so that `pairdb get` does not pay for the
 * server (50 ms to start instead of 150).
 *
 * `deno bundle` leaves `new URL("./worker.ts", import.meta.url)` as it stands, and the file it names
 * is not beside the bundle. So every such literal is looked up from the module it stood in (the
 * bundler writes that module's path above its code), and renamed to the file's new place. What it
 * names must be in deno.json's `compile.include`, which `deno compile` goes by: the two kinds of
 * executable then hold the same parts, also where only one of them can be built.
 *
 *     deno run -A tools/bundle.ts OUTPUT_DIRECTORY
 * @module
 */
import { dirname, join, relative } from "node:path";

/** One `new URL("…", import.meta.url)` in a bundle. */
export interface UrlLiteral {
  /** What stands between the quotes. */
  readonly literal: string;
  /** The module it stood in, as the bundler names it: relative to the working directory. */
  readonly module: string;
  /** Where the quoted text starts in the bundle. */
  readonly offset: number;
}

/** Finds the files that a bundle loads by URL, in the order they stand. */
export function findUrlLiterals(bundle: string): UrlLiteral[] {
  const found: UrlLiteral[] = [];
  const url = /new URL\(\s*"(\.{1,2}\/[^"]+)",\s*import\.meta\.url\s*\)/g;
  for (const match of bundle.matchAll(url)) {
    const before = bundle.slice(0, match.index);
    const modules = [...before.matchAll(/^\/\/ (\S+\.(?:ts|tsx|mts|js|mjs|cjs|jsx))$/gm)];
    const literal = match[1];
    found.push({
      literal,
      module: modules.at(-1)?.[1] ?? "",
      offset: match.index + match[0].indexOf(`"${literal}"`) + 1,
    });
  }
  return found;
}

/** Replaces literals, last first so that offsets stay true. */
function renameLiterals(
  bundle: string,
  renames: readonly { offset: number; from: string; to: string }[],
): string {
  let text = bundle;
  for (const { offset, from, to } of renames.toSorted((a, b) => b.offset - a.offset)) {
    text = text.slice(0, offset) + to + text.slice(offset + from.length);
  }
  return text;
}

/** Where an included source ends up, relative to the output directory. */
export function outputOf(source: string): string {
  return source.replace(/\.ts$/, ".js");
}

/**
 * Points the literals of one bundled file to where their files are.
 * @param text      the file's code
 * @param file      its place, relative to the output directory
 * @param included  sources of workers and assets, relative to the repository
 * @throws Error for a literal that names anything else
 */
export function relocate(text: string, file: string, included: ReadonlySet<string>): string {
  const renames = findUrlLiterals(text).map(({ literal, module, offset }) => {
    const source = join(dirname(module), literal);
    if (!included.has(source)) {
      throw new Error(
        `Cannot bundle: ${module} loads ${source}, which deno.json's compile.include does not list`,
      );
    }
    const path = relative(dirname(file), outputOf(source));
    return { offset, from: literal, to: path.startsWith(".") ? path : `./${path}` };
  });
  return renameLiterals(text, renames);
}

/** All JavaScript files below a directory, relative to it. */
function scripts(directory: string, below = ""): string[] {
  return [...Deno.readDirSync(join(directory, below))].flatMap((entry) => {
    const path = join(below, entry.name);
    if (entry.isDirectory) return scripts(directory, path);
    return entry.name.endsWith(".js") ? [path] : [];
  });
}

/** Bundles the program into a directory that is not there yet. */
async function bundle(output: string): Promise<void> {
  const config = JSON.parse(await Deno.readTextFile("deno.json")) as {
    compile?: { include?: string[] };
  };
  const included = new Set((config.compile?.include ?? []).map((path) => join(path)));
  const entries = ["main.ts", ...[...included].filter((path) => path.endsWith(".ts"))];
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "bundle",
      "--quiet",
      "--platform=deno",
      "--code-splitting",
      "--outdir",
      output,
      ...entries,
    ],
    stdout: "null",
    stderr: "piped",
  }).output();
  if (!success) throw new Error(`Cannot bundle: ${new TextDecoder().decode(stderr).trim()}`);
  for (const file of scripts(output)) {
    const path = join(output, file);
    await Deno.writeTextFile(path, relocate(await Deno.readTextFile(path), file, included));
  }
  for (const asset of [...included].filter((path) => !path.endsWith(".ts"))) {
    await Deno.mkdir(join(output, dirname(asset)), { recursive: true });
    await Deno.copyFile(asset, join(output, asset));
  }
}

if (import.meta.main) {
  const output = Deno.args[0];
  if (output === undefined) throw new Error("Cannot bundle: say where to (OUTPUT_DIRECTORY)");
  await bundle(output);
}
