/**
 * Tests that need something of the machine. Where it is missing they are skipped, and say why:
 *
 *     testNeeding("grpcio reads what we wrote", missingProgram("python3"), async () => { … });
 * @module
 */

/** Says that a program is not on the PATH; undefined when it is. */
export function missingProgram(...names: readonly string[]): string | undefined {
  const folders = (Deno.env.get("PATH") ?? "").split(":").filter((folder) => folder !== "");
  for (const name of names) {
    for (const folder of folders) {
      try {
        if (Deno.statSync(`${folder}/${name}`).isFile) return undefined;
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      }
    }
  }
  return `${names.join(" or ")} is not on the PATH`;
}

/**
 * Registers a test, or a skipped one.
 * @param name     what the test shows
 * @param missing  what the machine lacks, in words; undefined when nothing
 */
export function testNeeding(
  name: string,
  missing: string | undefined,
  run: (t: Deno.TestContext) => void | Promise<void>,
): void {
  Deno.test({
    name: missing === undefined ? name : `${name} (skipped: ${missing})`,
    ignore: missing !== undefined,
    fn: run,
  });
}

/** Writes a line among the tests' output, for what a run should show even when all is well. */
export function note(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}
