/**
 * docs/operations.md and the README: what they walk through works as it stands there.
 * @module
 */
import assert from "node:assert/strict";
import { withDirectory, withServer } from "../support/server.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
/** Where the page starts its second node. */
const SECOND = "127.0.0.1:50053";

/** The commands of the walk and of what follows it, as one script. */
function walk(): string {
  const page = Deno.readTextFileSync(`${ROOT}docs/operations.md`);
  const blocksOf = (title: string) => {
    const [, section] = new RegExp(`^## ${title}\\n(.*?)^## `, "ms").exec(page) ?? [];
    return [...section.matchAll(/^```sh\n(.*?)^```/gms)].map(([, text]) => text);
  };
  const blocks = [
    ...blocksOf("Walk through it"),
    // The node is replaced between the two.
    ...blocksOf("Stop, restart, upgrade"),
    ...blocksOf("Move data, or take a node out of service"),
  ];
  assert.equal(blocks.length, 9);
  return `${blocks.join("")}kill $! && wait $!\n`;
}

function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  return port;
}

/** The commands of the README for a node that runs. */
function tour(): string {
  const [, block] =
    /^alias pairdb=[^\n]*\n(.*?)^```/ms.exec(Deno.readTextFileSync(`${ROOT}README.md`)) ?? [];
  return block;
}

/** What `jq -r .context` prints, where there is no jq. */
const JQ = "console.log(JSON.parse(await new Response(Deno.stdin.readable).text()).context)";

/** Runs a script that calls `pairdb`, up to the first command that fails, which is an error. @returns its output */
async function runScript(script: string, directory: string, url: string): Promise<string> {
  const deno = Deno.execPath();
  Deno.mkdirSync(`${directory}/bin`);
  for (
    const [name, command] of [
      ["pairdb", `${deno} run --quiet -A ${ROOT}main.ts "$@"`],
      ["jq", `${deno} eval '${JQ}'`],
    ]
  ) {
    Deno.writeTextFileSync(`${directory}/bin/${name}`, `#!/bin/sh\nexec ${command}\n`, {
      mode: 0o755,
    });
  }
  const { code, stdout, stderr } = await new Deno.Command("bash", {
    args: ["-euo", "pipefail", "-c", script],
    cwd: directory,
    env: {
      PATH: `${directory}/bin:${Deno.env.get("PATH")}`,
      PAIRDB_SERVER: url,
      NO_COLOR: "1",
    },
  }).output();
  const out = new TextDecoder().decode(stdout);
  assert.equal(code, 0, `${out}\n${new TextDecoder().decode(stderr)}`);
  return out;
}

Deno.test("the walk through operations goes as the page says: a tenant is made, backed up, dropped, restored, moved, and its slowest operation found", () =>
  withServer((server) =>
    withDirectory(async (directory) => {
      const script = walk().replaceAll(SECOND, `127.0.0.1:${freePort()}`);
      const out = await runScript(script, directory, server.url);
      const lines = out.split("\n");
      // The list, once with the tenant and once without.
      assert.equal(lines.filter((line) => /^kiosk\t\d{4}-/.test(line)).length, 1, out);
      assert.ok(lines.includes("over its quota"), out);
      assert.ok(lines.includes("imported 2 records (0 unchanged)"), out);
      assert.ok(lines.includes("2 apples"), out);
      assert.match(out, /ms\t[a-z_]+\tkiosk\t/);
      assert.match(out, /^kiosk-1\t.*\tcompleted\t/m);
      assert.match(out, /^drained to .*: completed;/m);
      assert.match(out, /^healthy node=/m);
    })
  ));

Deno.test("the commands of the README work in the order in which they stand there", () =>
  withServer((server) =>
    withDirectory(async (directory) => {
      const lines = (await runScript(tour(), directory, server.url)).split("\n");
      assert.ok(lines.includes("cart/42\t2 apples"), lines.join("\n"));
      assert.ok(lines.some((line) => line.includes('"value":"3 apples"')), lines.join("\n"));
    })
  ));
