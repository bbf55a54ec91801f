/**
 * Where buf is: the compiler of proto files, and a gRPC client (`buf curl`).
 *
 * It comes as the npm package of the platform (`@bufbuild/buf-linux-x64` and its like), because the
 * umbrella package finds its program by an install script, which Deno does not run. Nothing but Deno
 * is needed.
 * @module
 */

/** The version that generates src/gen/. */
const BUF_VERSION = "1.75.0";

/** Buf's names for the platforms that it is built for. */
const PLATFORMS: Readonly<Record<string, string>> = {
  "linux-x86_64": "linux-x64",
  "linux-aarch64": "linux-aarch64",
  "darwin-x86_64": "darwin-x64",
  "darwin-aarch64": "darwin-arm64",
  "windows-x86_64": "win32-x64",
  "windows-aarch64": "win32-arm64",
};

/**
 * Fetches buf's package into Deno's cache, unless it is there, and returns the path of the program.
 * @throws Error where there is no buf for this platform, or npm cannot be reached
 */
export async function findBuf(): Promise<string> {
  const platform = PLATFORMS[`${Deno.build.os}-${Deno.build.arch}`];
  if (platform === undefined) {
    throw new Error(`Cannot find buf: no build for ${Deno.build.os} on ${Deno.build.arch}`);
  }
  const specifier = `npm:@bufbuild/buf-${platform}@${BUF_VERSION}`;
  // Importing any file of the package makes Deno fetch all of it; it holds no JavaScript.
  const script = await Deno.makeTempFile({ prefix: "pairdb-buf-", suffix: ".ts" });
  try {
    await Deno.writeTextFile(
      script,
      `import "${specifier}/package.json" with { type: "json" };\n`,
    );
    await deno("cache", "--no-config", "--no-lock", script);
  } finally {
    await Deno.remove(script);
  }
  const info = JSON.parse(
    await deno("info", "--no-config", "--no-lock", "--json", specifier),
  ) as { npmPackages?: Record<string, { localPath?: string }> };
  const home = Object.values(info.npmPackages ?? {})[0]?.localPath;
  if (home === undefined) throw new Error(`Cannot find buf: ${specifier} is not in Deno's cache`);
  return `${home}/bin/buf${Deno.build.os === "windows" ? ".exe" : ""}`;
}

/** Runs Deno and returns what it prints. @throws Error with what it said when it fails */
async function deno(...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), { args }).output();
  const decoder = new TextDecoder();
  if (!success) {
    throw new Error(`deno ${args.join(" ")} failed: ${decoder.decode(stderr).trim()}`);
  }
  return decoder.decode(stdout);
}
