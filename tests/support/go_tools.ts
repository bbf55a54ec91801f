/**
 * Programs written in Go that tests use: other people's suites and clients, as .ci/run installs them.
 * @module
 */
import { missingProgram } from "./needs.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

/** Folders that may hold them, besides those of the PATH: .ci/run's own, and Go's. */
function goFolders(): string[] {
  const folders = [`${ROOT}.cache/go/bin`];
  const go = findProgram("go", [`${ROOT}.cache/go/sdk/go/bin`]);
  if (go === undefined) return folders;
  const { stdout } = new Deno.Command(go, { args: ["env", "GOPATH"] }).outputSync();
  const paths = new TextDecoder().decode(stdout).trim();
  return [
    ...folders,
    ...paths.split(":").filter((path) => path !== "").map((path) => `${path}/bin`),
  ];
}

/** A program's path; undefined when it is nowhere. */
function findProgram(name: string, folders: readonly string[]): string | undefined {
  const path = (Deno.env.get("PATH") ?? "").split(":").filter((folder) => folder !== "");
  return [...folders, ...path].map((folder) => `${folder}/${name}`).find((file) => {
    try {
      return Deno.statSync(file).isFile;
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory)) {
        throw error;
      }
      return false;
    }
  });
}

/** A program, or in words that the machine lacks it. */
export type GoTool =
  | { readonly path: string; readonly missing?: undefined }
  | { readonly path?: undefined; readonly missing: string };

/** Looks for a program that `go install` made. */
export function findGoTool(name: string): GoTool {
  const path = findProgram(name, goFolders());
  if (path !== undefined) return { path };
  const go = missingProgram("go");
  return {
    missing: `there is no ${name}; .ci/run installs it${go === undefined ? "" : " with Go"}`,
  };
}

/** Looks for Go itself. */
export function findGo(): GoTool {
  const path = findProgram("go", [`${ROOT}.cache/go/sdk/go/bin`]);
  return path !== undefined ? { path } : { missing: "there is no go" };
}

/** How a tool ended. */
export interface ToolEnd {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs a tool to its end; one that takes over `limitMs` is killed. It asks no proxy about this machine. */
export async function runTool(
  path: string,
  args: readonly string[],
  { cwd, env, limitMs = 120_000 }: {
    readonly cwd?: string;
    readonly env?: Record<string, string>;
    readonly limitMs?: number;
  } = {},
): Promise<ToolEnd> {
  const { code, stdout, stderr } = await new Deno.Command(path, {
    args: [...args],
    cwd,
    env: { NO_PROXY: "127.0.0.1", no_proxy: "127.0.0.1", NO_COLOR: "1", ...env },
    stdin: "null",
    signal: AbortSignal.timeout(limitMs),
  }).output();
  return { code, out: new TextDecoder().decode(stdout), err: new TextDecoder().decode(stderr) };
}
