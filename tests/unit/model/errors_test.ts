import assert from "node:assert/strict";
import { ERRORS, PairError } from "../../../src/model/mod.ts";
import { ERROR_TABLE } from "../../support/error_table.ts";

Deno.test("PairError has its row's number, a text, details and the cause that it was given [R1]", () => {
  for (const [name, number] of ERROR_TABLE) {
    const cause = new Error("deeper");
    const error = new PairError(name, "Cannot: state", { tenant: "t", bytes: 5 }, { cause });
    assert.ok(error instanceof Error);
    assert.deepEqual(
      [error.name, error.error, error.code, error.message, error.cause],
      ["PairError", name, number, "Cannot: state", cause],
    );
    assert.deepEqual(error.details, { tenant: "t", bytes: 5 });
    const bare = new PairError(name, "Cannot: state");
    assert.deepEqual([bare.details, "cause" in bare], [{}, false]);
  }
});

Deno.test("each row says what the caller can do about it", () => {
  for (const [name, { then }] of Object.entries(ERRORS)) assert.ok(then.length > 0, name);
});
