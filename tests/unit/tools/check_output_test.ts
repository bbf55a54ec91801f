/** What Deno's checkers print, one line a finding. */
import assert from "node:assert/strict";
import { findDocProblems, findUnformatted } from "../../../tools/check_output.ts";

const ROOT = "/somewhere/pairdb/";

Deno.test("findUnformatted() names the files", () => {
  const output = `from /somewhere/pairdb/src/a.ts:\n1 | -const  a=1\n1 | +const a = 1;\n\n\n` +
    `from /somewhere/pairdb/main.ts:\n\nerror: Found 2 not formatted files in 9 files\n`;
  assert.deepEqual(findUnformatted(output, ROOT), [
    "src/a.ts:1: not formatted: run deno fmt",
    "main.ts:1: not formatted: run deno fmt",
  ]);
  assert.equal(findUnformatted("error: cannot read deno.json", ROOT), undefined);
});

Deno.test("findDocProblems() keeps exports everywhere, and members where others program against them", () => {
  const block = (code: string, path: string, line: number) =>
    `error[${code}]: what is wrong\n  --> ${ROOT}${path}:${line}:5\n   |\n\n`;
  const output = block("missing-jsdoc", "src/engine/a.ts", 1) +
    block("missing-jsdoc", "src/engine/a.ts", 2) +
    block("private-type-ref", "src/engine/a.ts", 2) +
    block("missing-jsdoc", "src/client/a.ts", 2);
  const text = "export interface A {\n  readonly key: string;\n}\n";
  assert.deepEqual(findDocProblems(output, ROOT, () => text), [
    "src/engine/a.ts:1: what is wrong: export interface A { [missing-jsdoc]",
    "src/engine/a.ts:2: what is wrong: readonly key: string; [private-type-ref]",
    "src/client/a.ts:2: what is wrong: readonly key: string; [missing-jsdoc]",
  ]);
  assert.deepEqual(
    findDocProblems(block("missing-jsdoc", "src/engine/a.ts", 2), ROOT, () => text),
    [],
  );
  const hidden = (name: string) =>
    `error[private-type-ref]: public type 'A' references private type '${name}'\n` +
    `  --> ${ROOT}src/rpc/a.ts:3:1\n`;
  const imports = `import { Code, type Wire } from "@connectrpc/connect";\n` +
    `import type { Own } from "./own.ts";\nexport interface A {}\n`;
  const found = findDocProblems(
    hidden("Code") + hidden("Wire") + hidden("Own"),
    ROOT,
    () => imports,
  );
  assert.equal(found?.length, 1);
  assert.match(found[0], /'Own'/);
  assert.equal(findDocProblems("error: no such file", ROOT, () => text), undefined);
});
