import assert from "node:assert/strict";
import { addToChecksum, crc32c, encodeVersions } from "../../../src/model/mod.ts";
import { bytes } from "../../support/node.ts";

const STATE = encodeVersions([{
  clock: { entries: [{ node: "n1", counter: 3 }], dots: [] },
  dot: { node: "n1", counter: 3 },
  value: bytes("v"),
  timestampMs: 5,
  expiresAtMs: 0,
}]);

Deno.test("addToChecksum() is CRC32C over lengths, keys and states [S4]", () => {
  const u48 = (value: number) => [value, 0, 0, 0, 0, 0];
  const one = (key: string) => [
    ...u48(key.length),
    ...bytes(key),
    ...u48(STATE.length),
    ...STATE,
  ];
  const first = addToChecksum(bytes("a"), STATE, 0);
  assert.equal(first, crc32c(Uint8Array.from(one("a"))));
  const second = addToChecksum(bytes("bc"), STATE, first);
  assert.equal(second, crc32c(Uint8Array.from([...one("a"), ...one("bc")])));
});

Deno.test("addToChecksum() tells where a key ends and its state begins [S4]", () => {
  const whole = Uint8Array.of(1, 2, 3, 4);
  const sums = [0, 1, 2, 3, 4].map((at) =>
    addToChecksum(whole.subarray(0, at), whole.subarray(at), 0)
  );
  assert.equal(new Set(sums).size, sums.length);
});
