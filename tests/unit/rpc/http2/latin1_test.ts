import assert from "node:assert/strict";
import { latin1 } from "../../../../src/rpc/http2/latin1.ts";

Deno.test("latin1() makes one character of each byte, for every length and every byte", () => {
  const bytes = Uint8Array.from({ length: 300 }, (_, i) => i);
  for (let start = 0; start < 300; start += 13) {
    for (let end = start; end <= 300; end++) {
      const expected = Array.from(bytes.subarray(start, end), (byte) => String.fromCharCode(byte));
      assert.equal(latin1(bytes, start, end), expected.join(""));
    }
  }
});
