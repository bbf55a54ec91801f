/**
 * The line of a failure.
 * @module
 */
import assert from "node:assert/strict";
import { Code, ConnectError } from "@connectrpc/connect";
import { errorLine } from "../../../src/cli/failure.ts";
import { PairError } from "../../../src/model/mod.ts";

Deno.test("errorLine() says how one gets in, to whom the server said no more than that he is not", () => {
  const line = (code: Code) => {
    const cause = new ConnectError("no", code);
    return errorLine(new PairError("InvalidArgument", "no", {}, { cause }));
  };
  assert.match(line(Code.Unauthenticated), /^error: no; set PAIRDB_TOKEN .* \(code 1000 [^)]+\)$/);
  assert.match(line(Code.PermissionDenied), /^error: no; `pairdb token create --help` /);
  assert.equal(line(Code.InvalidArgument), "error: no (code 1000 InvalidArgument)");
});
