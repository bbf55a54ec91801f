/**
 * Writes docs/configuration.md from the configuration's schema.
 *
 *     deno run -A tools/config_docs.ts [--check]
 *
 * With --check nothing is written: exit code 1 says that the page is out of date.
 * @module
 */
import { configurationPage } from "../src/cli/config/mod.ts";

const page = new URL("../docs/configuration.md", import.meta.url);

/** The page as `deno fmt` has it, since the tree is kept formatted. */
async function formatted(text: string): Promise<string> {
  const formatter = new Deno.Command(Deno.execPath(), {
    args: ["fmt", "--ext", "md", "--line-width", "100", "-"],
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const writer = formatter.stdin.getWriter();
  await writer.write(new TextEncoder().encode(text));
  await writer.close();
  const { success, stdout } = await formatter.output();
  if (!success) throw new Error("Cannot format the page: deno fmt failed");
  return new TextDecoder().decode(stdout);
}

const wanted = await formatted(configurationPage());
if (Deno.args.includes("--check")) {
  const present = await Deno.readTextFile(page).catch(() => "");
  if (present !== wanted) {
    await Deno.stderr.write(
      new TextEncoder().encode(
        "docs/configuration.md is out of date: run deno run -A tools/config_docs.ts\n",
      ),
    );
    Deno.exit(1);
  }
} else {
  await Deno.writeTextFile(page, wanted);
}
