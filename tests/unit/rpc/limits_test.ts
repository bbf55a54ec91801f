import assert from "node:assert/strict";
import { DEFAULT_PORT_LIMITS } from "../../../src/rpc/limits.ts";

Deno.test("docs/wire.md has a row for every limit of the port", async () => {
  const text = await Deno.readTextFile(new URL("../../../docs/wire.md", import.meta.url));
  for (const name of Object.keys(DEFAULT_PORT_LIMITS)) {
    assert.ok(text.includes(`\`${name}\``), name);
  }
});
