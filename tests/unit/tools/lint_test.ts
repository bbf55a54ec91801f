/** The house's lint rules, each with violations planted and with what must pass. */
import assert from "node:assert/strict";
import plugin, { ambientRule } from "../../../tools/lint/plugin.ts";
import { FLOORS, judgeImport } from "../../../tools/lint/rooms.ts";

/** Messages of one rule for one file. */
function lint(rule: string, file: string, source: string): string[] {
  return Deno.lint.runPlugin(plugin, file, source)
    .filter((one) => one.id === `pairdb/${rule}`)
    .map((one) => one.message);
}

Deno.test("judgeImport() lets imports stay in the room or go down by the door", () => {
  for (
    const [from, specifier] of [
      ["src/engine/engine.ts", "./files.ts"],
      ["src/engine/engine.ts", "./wal/mod.ts"],
      ["src/engine/wal/log.ts", "../files.ts"],
      ["src/engine/wal/log.ts", "./format.ts"],
      ["src/engine/wal/log.ts", "../sstable/mod.ts"],
      ["src/engine/wal/log.ts", "../../model/mod.ts"],
      ["src/engine/wal/deep/x.ts", "../log.ts"],
      ["src/rpc/server.ts", "../web/mod.ts"],
      ["src/rpc/server.ts", "../gen/pairdb/v1/kv_pb.ts"],
      ["src/client/mod.ts", "../model/mod.ts"],
      ["src/embedded/mod.ts", "../node/mod.ts"],
      ["src/cli/version.ts", "../../deno.json"],
      ["src/cli/serve.ts", "npm:zod@4.6.7"],
      ["src/cli/serve.ts", "commander"],
      ["main.ts", "./src/cli/mod.ts"],
    ]
  ) {
    assert.equal(judgeImport(from, specifier), undefined, `${from} imports ${specifier}`);
  }
});

Deno.test("judgeImport() names the edge that breaks the rule, and the way out", () => {
  for (
    const [from, specifier, expected] of [
      ["src/engine/x.ts", "../node/mod.ts", /^floor 2 \(engine\) imports floor 3 \(node\), above/],
      ["src/model/x.ts", "../runtime/clock.ts", /past the door of floor 0 \(runtime\)/],
      [
        "src/runtime/x.ts",
        "../model/mod.ts",
        /^floor 0 \(runtime\) imports floor 1 \(model\), above/,
      ],
      ["src/model/x.ts", "../gen/pairdb/v1/kv_pb.ts", /sideways/],
      ["src/cluster/x.ts", "../shards/mod.ts", /sideways/],
      ["src/web/x.ts", "../rpc/mod.ts", /sideways/],
      ["src/rpc/x.ts", "../web/app.ts", /past the door/],
      ["src/client/x.ts", "../runtime/mod.ts", /generated code only/],
      ["src/client/x.ts", "../node/mod.ts", /generated code only/],
      ["src/embedded/x.ts", "../rpc/mod.ts", /no network/],
      ["src/embedded/x.ts", "../client/mod.ts", /no network/],
      ["src/node/x.ts", "../engine/sstable/mod.ts", /past the door of floor 2 \(engine\)/],
      ["src/node/x.ts", "../engine/api.ts", /past the door of floor 2 \(engine\)/],
      ["src/engine/wal/log.ts", "../sstable/block.ts", /past the door of engine\/sstable/],
      ["src/engine/engine.ts", "./wal/log.ts", /past the door of engine\/wal/],
      ["src/engine/engine.ts", "./wal/deep/x.ts", /past the door of engine\/wal/],
      ["src/engine/wal/log.ts", "./deep/x.ts", /past the door of engine\/wal\/deep/],
      ["src/engine/x.ts", "../../tests/util.ts", /outside src\//],
      ["src/engine/x.ts", "../../main.ts", /outside src\//],
      ["src/engine/x.ts", "../cellar/mod.ts", /no room/],
      ["src/cellar/x.ts", "../model/mod.ts", /no room/],
      ["main.ts", "./src/cli/serve.ts", /past the door/],
    ] as const
  ) {
    assert.match(judgeImport(from, specifier) ?? "", expected, `${from} imports ${specifier}`);
  }
});

Deno.test("judgeImport() lets a room load its own files lazily, and nobody else's", () => {
  assert.equal(judgeImport("src/cli/run.ts", "./commands/serve.ts", true), undefined);
  assert.match(judgeImport("src/cli/run.ts", "./commands/serve.ts") ?? "", /past the door/);
  assert.match(judgeImport("src/cli/run.ts", "../rpc/port.ts", true) ?? "", /past the door/);
  assert.match(judgeImport("src/node/a.ts", "../rpc/mod.ts", true) ?? "", /above/);
});

Deno.test("FLOORS holds every room that design and disk know", () => {
  for (const entry of Deno.readDirSync(new URL("../../../src", import.meta.url))) {
    if (entry.isDirectory) assert.ok(entry.name in FLOORS, entry.name);
  }
});

Deno.test("imports: every form of import is judged", () => {
  for (
    const source of [
      `import { a } from "../node/mod.ts"; a();`,
      `import type { A } from "../node/mod.ts"; export type B = A;`,
      `import "../node/mod.ts";`,
      `export { a } from "../node/mod.ts";`,
      `export * from "../node/mod.ts";`,
      `export const a = () => import("../node/mod.ts");`,
      `export type A = import("../node/mod.ts").A;`,
    ]
  ) {
    assert.equal(lint("imports", "src/engine/x.ts", source).length, 1, source);
  }
  assert.deepEqual(lint("imports", "tests/x.ts", `import "../src/node/limits.ts";`), []);
});

Deno.test("ambient: each way to reach into the world is found", () => {
  for (
    const source of [
      "Date.now();",
      "new Date();",
      "Date();",
      "performance.now();",
      "Math.random();",
      "setTimeout(f, 1);",
      "setInterval(f, 1);",
      "const later = setTimeout;",
      "globalThis.setTimeout(f, 1);",
      `globalThis["fetch"](url);`,
      "Deno.readFileSync(path);",
      "const { env } = Deno;",
      "let file: Deno.FsFile;",
      "await fetch(url);",
      "const send = options.fetch ?? fetch;",
      "new Worker(url);",
      "crypto.getRandomValues(bytes);",
      "crypto.randomUUID();",
      "AbortSignal.timeout(5);",
      "process.exit(1);",
      "use({ fetch });",
      "`now ${Date.now()}`;",
      `import { readFileSync } from "node:fs";`,
      `import net from "node:net";`,
      `import "node:timers";`,
      `import { createHash } from "node:crypto";`,
      `await import("node:fs");`,
      `import { request } from "node:http";`,
      `import http2 from "node:http2"; http2.createServer().listen(0);`,
      `import * as http from "node:http"; server.listen(0);`,
    ]
  ) {
    assert.equal(lint("ambient", "src/engine/x.ts", source).length, 1, source);
  }
});

Deno.test("ambient: what only looks like the world passes", () => {
  for (
    const source of [
      "// Date.now() is not for us\n",
      `const text = "Date.now() and Deno.exit";`,
      "const text = `setTimeout`;",
      "const at = new Date(ms).toISOString();",
      "const at = Date.UTC(2026, 1);",
      "queueMicrotask(f);",
      "clock.performance.now();",
      "this.fetch(url);",
      "const o = { setTimeout: 1, fetch: 2 }; o.setTimeout;",
      "interface Api { fetch(x: string): void; setTimeout: number }",
      "class A { fetch() {} }",
      "function f(process: Process) { process.exit(1); }",
      "function f({ fetch }: Options) { return fetch(url); }",
      "type Send = typeof fetch;",
      `import type { Socket } from "node:net";`,
      `import { type Socket } from "node:net";`,
      `import { createServer } from "node:http2";`,
      `import http from "node:http"; runtime.network.listen(address, accept);`,
      `import { Readable } from "node:stream";`,
      "crypto.subtle.digest(name, bytes);",
      "valueOf(); toString(); globalThis.constructor; globalThis;",
      "Math.max(1, 2);",
    ]
  ) {
    assert.deepEqual(lint("ambient", "src/engine/x.ts", source), [], source);
  }
  assert.deepEqual(lint("ambient", "src/runtime/deno/clock.ts", "Date.now();"), []);
  assert.deepEqual(lint("ambient", "tests/unit/x_test.ts", "Date.now();"), []);
  assert.equal(lint("ambient", "main.ts", "Deno.exit(1);").length, 1);
});

Deno.test("ambient: an exception covers its file and its name, and expires", () => {
  const rule = ambientRule([{ file: "src/client/mod.ts", uses: ["fetch"], reason: "a test" }]);
  const run = (file: string, source: string) =>
    Deno.lint.runPlugin({ name: "pairdb", rules: { ambient: rule } }, file, source).length;
  assert.equal(run("src/client/mod.ts", "fetch(url);"), 0);
  assert.equal(run("src/client/mod.ts", "fetch(url); Date.now();"), 1);
  assert.equal(run("src/client/other.ts", "fetch(url);"), 1);
  assert.equal(run("src/client/mod.ts", "const a = 1;"), 1, "an exception nobody uses");
});

Deno.test("module-state: what can change may not live at the top of a module", () => {
  for (
    const source of [
      "let count = 0;",
      "var count = 0;",
      "export let count = 0;",
      "const cache = new Map();",
      "export const seen = new Set<string>();",
      "class A { static count = 0; }",
    ]
  ) {
    assert.equal(lint("module-state", "src/node/x.ts", source).length, 1, source);
  }
  for (
    const source of [
      "const limit = 10;",
      "function f() { let count = 0; return ++count; }",
      "const table = new Map([[1, 2]]);",
      "class A { static readonly limit = 1; count = 0; }",
      "declare let x: number;",
    ]
  ) {
    assert.deepEqual(lint("module-state", "src/node/x.ts", source), [], source);
  }
});

Deno.test("empty-catch: a failure is not swallowed, not even with a comment", () => {
  assert.equal(lint("empty-catch", "tests/x.ts", "try { f(); } catch { }").length, 1);
  assert.equal(lint("empty-catch", "src/a.ts", "try { f(); } catch (e) { /* never */ }").length, 1);
  assert.deepEqual(lint("empty-catch", "src/a.ts", "try { f(); } catch (e) { g(e); }"), []);
});

Deno.test("ignore-reason: a silenced rule says why", () => {
  const bare = "// deno-lint-ignore no-explicit-any\nexport let a: any;";
  assert.equal(lint("ignore-reason", "src/a.ts", bare).length, 1);
  assert.equal(lint("ignore-reason", "src/a.ts", "// deno-lint-ignore-file\n").length, 1);
  const told = "// deno-lint-ignore no-explicit-any -- a foreign type\nexport let a: any;";
  assert.deepEqual(lint("ignore-reason", "src/a.ts", told), []);
});

Deno.test("ARCHITECTURE.md has each room on its floor", () => {
  const page = Deno.readTextFileSync(new URL("../../../ARCHITECTURE.md", import.meta.url));
  const rows = [...page.matchAll(/^\| (\d) +\| `src\/(\w+)\/`/gm)];
  const floors = Object.fromEntries(rows.map(([, floor, room]) => [room, Number(floor)]));
  for (const entry of Deno.readDirSync(new URL("../../../src", import.meta.url))) {
    if (entry.isDirectory) assert.equal(floors[entry.name], FLOORS[entry.name], entry.name);
  }
});
