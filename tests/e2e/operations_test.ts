/**
 * docs/operations.md: what it walks through works as it stands there.
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

Deno.test("the walk through operations goes as the page says: a tenant is made, backed up, dropped, restored, moved, and its slowest operation found", () =>
  withServer((server) =>
    withDirectory(async (directory) => {
      const program = `exec ${Deno.execPath()} run --quiet -A ${ROOT}main.ts "$@"\n`;
      Deno.mkdirSync(`${directory}/bin`);
      Deno.writeTextFileSync(`${directory}/bin/pairdb`, `#!/bin/sh\n${program}`, { mode: 0o755 });
      const script = walk().replaceAll(SECOND, `127.0.0.1:${freePort()}`);
      const { code, stdout, stderr } = await new Deno.Command("bash", {
        args: ["-euo", "pipefail", "-c", script],
        cwd: directory,
        env: {
          PATH: `${directory}/bin:${Deno.env.get("PATH")}`,
          PAIRDB_SERVER: server.url,
          NO_COLOR: "1",
        },
      }).output();
      const out = new TextDecoder().decode(stdout);
      assert.equal(code, 0, `${out}\n${new TextDecoder().decode(stderr)}`);
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
