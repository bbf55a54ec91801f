import assert from "node:assert/strict";
import { crc32c, crc32cU48, putU48, utf8 } from "../../../src/model/mod.ts";
import { SimRandom } from "../../../src/runtime/mod.ts";

Deno.test("crc32c() gives the check value of the polynomial, in one piece or several", () => {
  const bytes = utf8("123456789");
  assert.equal(crc32c(bytes), 0xe3069283);
  for (let cut = 0; cut <= bytes.length; cut++) {
    assert.equal(crc32c(bytes, cut, bytes.length, crc32c(bytes, 0, cut)), 0xe3069283);
  }
});

Deno.test("crc32c() is the same for long and short pieces, wherever they lie", () => {
  const random = new SimRandom(2);
  const bytes = random.bytes(3000);
  for (let i = 0; i < 300; i++) {
    const view = bytes.subarray(random.below(20));
    const start = random.below(40);
    const end = start + random.below(view.length - start);
    let expected = random.u32();
    const whole = crc32c(view, start, end, expected);
    // Byte by byte: no piece is long.
    for (let at = start; at < end; at++) expected = crc32c(view, at, at + 1, expected);
    assert.equal(whole, expected, `${start} to ${end}`);
  }
});

Deno.test("crc32cU48() is the checksum of the number's bytes", () => {
  const random = new SimRandom(1);
  const bytes = new Uint8Array(6);
  const values = [0, 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 48 - 1];
  for (let i = 0; i < 100; i++) values.push(random.u32() * 0x10000 + random.below(0x10000));
  for (const value of values) {
    const seed = random.u32();
    putU48(bytes, 0, value);
    assert.equal(crc32cU48(value, seed), crc32c(bytes, 0, 6, seed), `${value}`);
  }
});
