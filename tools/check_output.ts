/**
 * Makes one line a finding of what `deno fmt --check` and `deno doc --lint` print.
 * @module
 */

/** Files that `deno fmt --check` would change; undefined when its output names none. */
export function findUnformatted(output: string, root: string): string[] | undefined {
  const files = [...output.matchAll(/^from (.+):$/gm)].map((one) => one[1].replace(root, ""));
  return files.length > 0
    ? files.map((file) => `${file}:1: not formatted: run deno fmt`)
    : undefined;
}

/** Rooms that are programmed against from outside: there every member is documented as well. */
const OUTWARD: readonly string[] = ["src/client/", "src/embedded/"];

/**
 * Findings of `deno doc --lint`; undefined when its output holds none that can be read.
 *
 * It wants words for each field of each interface. In the SDK and the embedded database that is
 * right. In the rooms inside, a field whose name says it all may stand bare; what is exported may not.
 * It also takes types of npm packages for private ones, which nobody here can publish.
 * @param output  its output, without colours
 * @param root    the repository, as an absolute path ending in a slash
 * @param read    a file's text, by its path relative to the repository
 */
export function findDocProblems(
  output: string,
  root: string,
  read: (file: string) => string,
): string[] | undefined {
  const findings = [...output.matchAll(/^error\[([\w-]+)\]: (.+)\n\s*--> (.+):(\d+):\d+$/gm)];
  if (findings.length === 0) return undefined;
  const problems: string[] = [];
  for (const [, code, message, path, line] of findings) {
    const file = path.replace(/^file:\/\//, "").replace(root, "");
    const source = read(file);
    const text = source.split("\n")[Number(line) - 1] ?? "";
    const isMember = /^\s/.test(text);
    const isInside = !OUTWARD.some((room) => file.startsWith(room));
    if (code === "missing-jsdoc" && isMember && isInside) continue;
    const hidden = / references private type '(\w+)'/.exec(message)?.[1];
    if (hidden !== undefined && isFromPackage(source, hidden)) continue;
    problems.push(`${file}:${line}: ${message}: ${text.trim()} [${code}]`);
  }
  return problems;
}

/** Whether a module imports a name from a package. */
function isFromPackage(source: string, name: string): boolean {
  const imports = [...source.matchAll(/^import\s([^;"]*?)\sfrom\s"([^"]+)"/gm)];
  return imports.some(([, names, from]) =>
    !from.startsWith(".") && new RegExp(`\\b${name}\\b`).test(names)
  );
}
