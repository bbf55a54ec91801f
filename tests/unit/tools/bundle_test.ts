/** Where workers and assets end up in the self-extracting executable. */
import assert from "node:assert/strict";
import { findUrlLiterals, outputOf, relocate } from "../../../tools/bundle.ts";

const BUNDLE = `// src/a/start.ts
var spawn = () => new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
// src/b/page.ts
var page = new URL(
  "../assets/page.html", import.meta.url
);
// node_modules/.deno/x/index.js
var other = new URL(path, import.meta.url);
var text = 'new URL("./not.ts")';
`;

Deno.test("findUrlLiterals() finds each literal with the module it stood in", () => {
  const found = findUrlLiterals(BUNDLE);
  assert.deepEqual(found.map(({ literal, module }) => [module, literal]), [
    ["src/a/start.ts", "./worker.ts"],
    ["src/b/page.ts", "../assets/page.html"],
  ]);
  for (const { literal, offset } of found) {
    assert.equal(BUNDLE.slice(offset, offset + literal.length), literal);
  }
});

Deno.test("relocate() points literals to the bundled files, from wherever the code ended up", () => {
  const included = new Set(["src/a/worker.ts", "src/assets/page.html"]);
  const atRoot = relocate(BUNDLE, "main.js", included);
  assert.ok(atRoot.includes(`new URL("./src/a/worker.js", import.meta.url)`), atRoot);
  assert.ok(atRoot.includes(`"./src/assets/page.html"`), atRoot);
  const nested = relocate(BUNDLE, "src/a/worker.js", included);
  assert.ok(nested.includes(`new URL("./worker.js", import.meta.url)`), nested);
  assert.ok(nested.includes(`"../assets/page.html"`), nested);
  assert.equal(outputOf("src/a/worker.ts"), "src/a/worker.js");
});

Deno.test("relocate() refuses a part that deno compile would leave out", () => {
  assert.throws(
    () => relocate(BUNDLE, "main.js", new Set(["src/a/worker.ts"])),
    /src\/b\/page\.ts loads src\/assets\/page\.html, which deno\.json's compile\.include/,
  );
});
