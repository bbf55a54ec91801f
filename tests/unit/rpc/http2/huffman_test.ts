import assert from "node:assert/strict";
import fc from "fast-check";
import hpackJs from "hpack.js";
import { huffmanBytes, huffmanDecode, huffmanEncode } from "../../../../src/rpc/http2/huffman.ts";
import { latin1 } from "../../../../src/rpc/http2/latin1.ts";
import { fromHex, toHex } from "../../../support/hpack.ts";

function encode(text: string): Uint8Array {
  const into = new Uint8Array(4 * text.length);
  const end = huffmanEncode(text, into, 0);
  assert.equal(huffmanBytes(text), end);
  return into.subarray(0, end);
}

function decode(bytes: Uint8Array): string | undefined {
  const into = new Uint8Array(2 * bytes.length);
  const count = huffmanDecode(bytes, 0, bytes.length, into);
  return count < 0 ? undefined : latin1(into, 0, count);
}

Deno.test("the Huffman code is that of RFC 7541, symbol by symbol", () => {
  // hpack.js has it as [bits, code]; what is longer is padded with ones.
  const theirs: [bits: number, code: number][] = hpackJs.huffman.encode;
  for (let byte = 0; byte < 256; byte++) {
    const [bits, code] = theirs[byte];
    const digits = code.toString(2).padStart(bits, "0").padEnd(Math.ceil(bits / 8) * 8, "1");
    const expected = digits.match(/.{8}/g)!.map((eight) => parseInt(eight, 2));
    const coded = encode(String.fromCharCode(byte));
    assert.deepEqual(Array.from(coded), expected, `${byte}`);
    assert.equal(decode(coded), String.fromCharCode(byte));
  }
});

Deno.test("huffmanEncode() and huffmanDecode() know the strings of RFC 7541", () => {
  const strings: Record<string, string> = {
    "www.example.com": "f1e3c2e5f23a6ba0ab90f4ff",
    "no-cache": "a8eb10649cbf",
    "custom-key": "25a849e95ba97d7f",
    "custom-value": "25a849e95bb8e8b4bf",
    "302": "6402",
    "private": "aec3771a4b",
    "Mon, 21 Oct 2013 20:13:21 GMT": "d07abe941054d444a8200595040b8166e082a62d1bff",
    "https://www.example.com": "9d29ad171863c78f0b97c8e9ae82ae43d3",
    "307": "640eff",
    "gzip": "9bd9ab",
    "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1":
      "94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
    "": "",
  };
  for (const [text, hex] of Object.entries(strings)) {
    assert.equal(toHex(encode(text)), hex);
    assert.equal(decode(fromHex(hex)), text);
  }
});

Deno.test("any bytes come back, wherever they lie", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat({ max: 9 }), (bytes, at) => {
      const text = String.fromCharCode(...bytes);
      const into = new Uint8Array(1000).fill(0xa5);
      const end = huffmanEncode(text, into, at);
      assert.ok(into.subarray(0, at).every((byte) => byte === 0xa5), "nothing before");
      assert.ok(into.subarray(end).every((byte) => byte === 0xa5), "nothing behind");
      const back = new Uint8Array(300);
      assert.equal(huffmanDecode(into, at, end, back), bytes.length);
      assert.deepEqual(back.subarray(0, bytes.length), bytes);
    }),
  );
});

Deno.test("huffmanDecode() is strict about the end: whatever it takes is what it would write", () => {
  // All strings of two bytes, and some of three.
  const bytes = new Uint8Array(3);
  for (let i = 0; i < 0x10000; i++) {
    bytes[0] = i >>> 8;
    bytes[1] = i & 0xff;
    for (const length of i % 16 === 0 ? [1, 2, 3] : [2]) {
      bytes[2] = i * 7 & 0xff;
      const text = decode(bytes.subarray(0, length));
      if (text !== undefined) assert.deepEqual(encode(text), bytes.subarray(0, length));
    }
  }
});

Deno.test("huffmanDecode() writes what there is room for, and counts the rest", () => {
  const coded = encode("0123456789");
  const into = new Uint8Array(4);
  assert.equal(huffmanDecode(coded, 0, coded.length, into), 10);
  assert.equal(latin1(into, 0, 4), "0123");
  assert.equal(huffmanDecode(coded, 0, coded.length, new Uint8Array(0)), 10);
});

Deno.test("huffmanDecode() refuses EOS, and padding that is wrong or too long", () => {
  for (const hex of ["ff", "ffff", "ffffffff", "18", "1b", "1fff", "fffffffc1f", "00ffffffff00"]) {
    assert.equal(decode(fromHex(hex)), undefined, hex);
  }
  assert.equal(decode(fromHex("1f")), "a", "three ones");
  assert.equal(decode(fromHex("07")), "0", "three ones again");
});

Deno.test("huffmanBytes() refuses what is no byte", () => {
  assert.throws(() => huffmanBytes("aĀb"), RangeError);
  assert.equal(huffmanBytes("a\xff"), 4);
});
