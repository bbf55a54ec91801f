/**
 * The example of docs/merge-functions.md does what the page says, in the machine's sandbox.
 */
import assert from "node:assert/strict";
import { checkLaws } from "../../../../src/node/merge/laws.ts";
import { denoSandbox } from "../../../../src/runtime/mod.ts";
import { bytes, text } from "../../../support/node.ts";

const PAGE = await Deno.readTextFile(
  new URL("../../../../docs/merge-functions.md", import.meta.url),
);

Deno.test("the example of docs/merge-functions.md holds the laws, and merges carts", async () => {
  const [, source] = /```ts\n([^`]+)```/.exec(PAGE)!;
  const samples = [...PAGE.matchAll(/^echo -n '(.+)' > /gm)].map(([, sample]) => bytes(sample));
  assert.equal(samples.length, 2);
  const sandbox = denoSandbox();
  try {
    const code = await sandbox.prepare(source);
    await checkLaws(() => sandbox.start(code, { timeMs: 10_000 }), samples);
    const merge = sandbox.start(code, { timeMs: 10_000 });
    const puts = [...PAGE.matchAll(/^pairdb put carts cart\/42 '(.+)' --context/gm)]
      .map(([, value]) => bytes(value));
    const [, shown] = /^pairdb get carts cart\/42 +# (.+)$/m.exec(PAGE)!;
    assert.equal(text(await merge.fold(puts)), shown);
    merge.end();
  } finally {
    sandbox.close();
  }
});
