import assert from "node:assert/strict";
import { keyOf, readKeyFile } from "../../../src/cli/key_file.ts";
import { PairError } from "../../../src/model/mod.ts";
import { fakeProcess } from "./fake_process.ts";

const DIGITS = "0123456789abcdefABCDEF0123456789".repeat(2);

Deno.test("a key file holds 64 hexadecimal digits, and a line feed if one likes", () => {
  for (const text of [DIGITS, `${DIGITS}\n`, `  ${DIGITS}\r\n`]) {
    const file = readKeyFile(fakeProcess([], { files: { "/key": text } }), "/key");
    assert.equal(file?.key.toHex(), DIGITS.toLowerCase());
    assert.equal(file.exposed, false);
  }
  assert.equal(readKeyFile(fakeProcess([]), ""), undefined);
});

Deno.test("anything else is refused (1000), and is not repeated", () => {
  for (const text of ["", "secret", DIGITS.slice(1), `${DIGITS}0`, DIGITS.replace("a", "g")]) {
    const process = fakeProcess([], { files: { "/key": text } });
    assert.throws(() => readKeyFile(process, "/key"), (error) => {
      assert.ok(error instanceof PairError && error.code === 1000);
      assert.ok(error.message.includes("/key"));
      return text === "" || !error.message.includes(text);
    });
  }
  assert.throws(() => readKeyFile(fakeProcess([]), "/none"), {
    code: 1000,
    message: /^Cannot read the key file: .*\/none/,
  });
});

Deno.test("a key that others can read is used, with a warning", () => {
  for (
    const [mode, exposed] of [[0o600, false], [0o400, false], [0o640, true], [0o604, true]] as const
  ) {
    const process = fakeProcess([], { files: { "/key": DIGITS }, modes: { "/key": mode } });
    assert.equal(keyOf(process, "/key")?.length, 32);
    assert.equal(process.written.err.includes("/key"), exposed, mode.toString(8));
  }
});
