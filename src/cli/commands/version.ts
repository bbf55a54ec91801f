/**
 * `pairdb version`: what this program is.
 * @module
 */
import { print, type Shell } from "../shell.ts";
import { VERSION } from "../version.ts";

/** Prints the version, what runs it, and how it was packaged. */
export function version(shell: Shell): number {
  const { platform } = shell.process;
  const kind = packaging(shell);
  print(shell, `pairdb ${VERSION} (${platform}, ${kind})`, {
    name: "pairdb",
    version: VERSION,
    platform,
    kind,
  });
  return 0;
}

/** `compiled` by deno compile, `self-extracting` from compile.sh's launcher, or run from `source`. */
function packaging({ process }: Shell): "compiled" | "self-extracting" | "source" {
  if (process.standalone) return "compiled";
  return process.env("PAIRDB_PACKAGING") === "self-extracting" ? "self-extracting" : "source";
}
