/**
 * Commands and options that the documents name: the program has them.
 * @module
 */
import assert from "node:assert/strict";
import type { Command } from "commander";
import { buildProgram } from "../../../src/cli/commands/mod.ts";
import { OPTIONS, SECTIONS } from "../../../src/cli/config/mod.ts";
import { fakeProcess } from "./fake_process.ts";

const ROOT = new URL("../../../", import.meta.url).pathname;

/** Events of the log that look like options. */
const NO_OPTIONS = new Set([
  ...["snapshot.scheduled", "snapshot.failed"],
  ...["tenant.created", "tenant.updated", "tenant.dropped"],
]);

/** Every page, and what stands in it as code: between backticks, or in a block for the shell. */
function codeInDocs(): [page: string, code: string][] {
  const inDocs = ["docs", "docs/operations"].flatMap((folder) =>
    [...Deno.readDirSync(ROOT + folder)]
      .filter(({ name }) => name.endsWith(".md")).map(({ name }) => `${folder}/${name}`)
  );
  return ["README.md", ...inDocs].flatMap((page) => {
    const text = Deno.readTextFileSync(ROOT + page);
    const blocks = [...text.matchAll(/^```sh\n(.*?)^```/gms)].flatMap(([, block]) =>
      block.replaceAll("\\\n", " ").split("\n")
    );
    const inline = [...text.replaceAll(/^```.*?^```/gms, "").matchAll(/`([^`]+)`/g)]
      .map(([, code]) => code.replaceAll("\n", " "));
    return [...blocks, ...inline].map((code): [string, string] => [page, code]);
  });
}

/** The commands of a line, from `pairdb` to the end of each, without comments. */
function commandsIn(code: string): string[][] {
  return [...code.replace(/ #.*$/, "").matchAll(/(?:^|[ (])pairdb ([a-z][^|;&)>]*)/g)]
    .map(([, command]) => command.trim().split(/\s+/));
}

Deno.test("every command that the documents name is one of the program's, with its flags", () => {
  const program = buildProgram(fakeProcess([]), () => {});
  let checked = 0;
  for (const [page, code] of codeInDocs()) {
    for (const words of commandsIn(code)) {
      let command: Command = program;
      const rest = [...words];
      for (;;) {
        const next = command.commands.find((each) => each.name() === rest[0]);
        if (next === undefined) break;
        command = next;
        rest.shift();
      }
      const said = `${page}: pairdb ${words.join(" ")}`;
      assert.notEqual(command, program, `${said}: there is no such command`);
      // A group, such as `pairdb tenant`, does nothing by itself.
      const isGroup = command.commands.length > 0 && command.registeredArguments.length === 0;
      if (isGroup) {
        assert.ok(rest.length === 0 || rest[0].startsWith("-"), `${said}: no such command`);
      }
      for (const flag of rest.filter((word) => /^--[a-z]/.test(word))) {
        const [name] = flag.split("=");
        assert.ok(command.options.some(({ long }) => long === name), `${said}: it has no ${name}`);
      }
      checked++;
    }
  }
  assert.ok(checked > 60, `${checked} commands`);
});

Deno.test("every option that the documents name is one of the configuration's", () => {
  let checked = 0;
  for (const [page, code] of codeInDocs()) {
    // That page is made from them, and has those of the design that are not there.
    if (page === "docs/configuration.md") continue;
    for (
      const [path, section, name] of code.matchAll(
        /(?<![\w./-])([a-z_]+)\.([a-z0-9_]+)(?![\w./(-])/g,
      )
    ) {
      if (!(section in SECTIONS) || NO_OPTIONS.has(path) || name === "md") continue;
      assert.ok(OPTIONS.has(path), `${page}: ${code}: there is no option ${path}`);
      checked++;
    }
  }
  assert.ok(checked > 60, `${checked} options`);
});
