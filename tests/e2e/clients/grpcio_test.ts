/**
 * grpcio, Python's gRPC, against the real program. It has no proto file and asks for the messages.
 * @module
 */
import assert from "node:assert/strict";
import { testNeeding } from "../../support/needs.ts";
import { withServer } from "../../support/server.ts";

/** Debian's Python: it is the one that has Debian's grpcio. */
const PYTHON = "/usr/bin/python3";
const SCRIPT = new URL("grpcio.py", import.meta.url).pathname;

/** What the machine lacks; undefined when nothing. */
async function missingGrpcio(): Promise<string | undefined> {
  try {
    const { success } = await new Deno.Command(PYTHON, {
      args: ["-c", "import grpc, google.protobuf"],
    }).output();
    return success ? undefined : "Python has no grpcio (Debian: python3-grpcio, python3-protobuf)";
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return `there is no ${PYTHON}`;
    throw error;
  }
}

testNeeding(
  "grpcio: every call for clients, by reflection, and errors with their number",
  await missingGrpcio(),
  () =>
    withServer(async ({ port }) => {
      const { success, stdout, stderr } = await new Deno.Command(PYTHON, {
        args: [SCRIPT, `127.0.0.1:${port}`],
        // Where a proxy is set, grpcio would ask it even for this machine.
        env: { no_proxy: "127.0.0.1", PYTHONDONTWRITEBYTECODE: "1" },
      }).output();
      assert.ok(success, new TextDecoder().decode(stderr));
      const { bad_key, no_key, too_large, ...seen } = JSON.parse(new TextDecoder().decode(stdout));
      assert.deepEqual(seen, {
        counter: 1,
        value_back: true,
        same_clock: true,
        stored: 1000,
        batch: [["k005", true, 5], ["none", false, 0], ["k000", true, 0]],
        existed: true,
        scanned: 999,
        scanned_in_order: true,
        empty_value: true,
        large_back: true,
      });
      const errors = [
        [bad_key, "INVALID_ARGUMENT", 1005, "InvalidKey"],
        [no_key, "NOT_FOUND", 1001, "KeyNotFound"],
        [too_large, "INVALID_ARGUMENT", 1003, "ValueTooLarge"],
      ];
      for (const [{ message, ...facts }, status, code, name] of errors) {
        const type = "pairdb.v1.ErrorDetail";
        assert.deepEqual(facts, { status, same_status: true, type, code, name });
        assert.match(message, /^Cannot /);
      }
    }),
);
