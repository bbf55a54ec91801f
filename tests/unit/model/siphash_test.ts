/**
 * SipHash-1-3 against published vectors, and the book.
 * @module
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { putU32, SipHash } from "../../../src/model/mod.ts";

/**
 * SipHash-1-3 under the key 00 01 02 ... 0f: of no bytes, of 00, of 00 01 and so on up to 63, as bytes.
 * Source: the Rust project's tests of its own, library/coretests/tests/hash/sip.rs.
 */
const VECTORS = `
  dcc40f055801acab 93ca577df39bf4c9 4dd4c74d029bcb82 fbf7dde7b80af88b 2883d388605775cf 673b53492fd5f9de
  a7229fc5502b0dc5 4011b19b987d92d3 8e9a298d11959036 e43d066cb38ea425 7f09ff92ee85de79 52c34df9c118c170
  a2d9b457b184a378 a7ff29120c766f30 345df9c011a15a60 5699512a6dd820d3 668b907d1add4fcc 0cd8db639068f29c
  3ee673b49c38fc8f 1c7d298de59d1ff2 40e0cca6462fdcc0 44f8452bfeab92b9 2e8720a39b7bfe7f 23c1e6da7f0e5a52
  8c9c3467b2ae64f4 79095b702859cd45 a51399cae3353e3a 353bde4a4ec71da9 0dd06cef02ed0bfb f4e1b14ab43cd988
  63e6c543d6110f54 bcd1218c1fdd7023 0db6a7166c7b1581 bff98f7ae5b9544d 3e752a1f78129f75 916b18bfbea3a1ce
  0662a2add308f52c 5730c3a32d1c10b6 a1363aae9674f4b3 9283107b54576b62 3115e4993236d2c1 44d91a3f92c17c66
  258813c8fe4f7065 a64989c2d180f224 6b87f8faed1ccac2 9621049ffc4b16c2 23d6b168939c6ea1 fd14518b9c16fb49
  464c07dff843319f b386cc1224affdc6 8f09520ad149af7e 9a2f299d5513f31c 121ff4a2dd304ac4 d01ea74389e9fa36
  e6bcf0734cb38f31 80e9a77036bf7aa2 756d3c24dbc0bcb4 1315b7fd52d8f823 088a7da64d5f038f 48f1e8b7e5d09cd8
  ee44a6f7bce6f4f6 f237180fd89ac5ae e094664b15f6b2c3 a8b3bbb76290199d
`.trim().split(/\s+/);

const counting = (length: number) => Uint8Array.from({ length }, (_, i) => i);

/** The hash of bytes, as bytes in hex. */
function hashOf(hash: SipHash, bytes: Uint8Array): string {
  const whole = bytes.length & ~7;
  hash.begin();
  hash.padded(bytes.subarray(0, whole));
  hash.end(bytes.subarray(whole));
  const result = new Uint8Array(8);
  putU32(result, 0, hash.low >>> 0);
  putU32(result, 4, hash.high >>> 0);
  return result.toHex();
}

Deno.test("SipHash gives what is published", () => {
  const hash = new SipHash(counting(16));
  assert.equal(VECTORS.length, 64);
  VECTORS.forEach((wanted, length) => assert.equal(hashOf(hash, counting(length)), wanted));
});

/** The same by the book, in 64-bit integers, for any numbers of rounds. */
function byTheBook(key: Uint8Array, bytes: Uint8Array, [c, d] = [1, 3]): string {
  const mask = 2n ** 64n - 1n;
  const word = (from: Uint8Array, at: number) => {
    let value = 0n;
    for (let i = 7; i >= 0; i--) value = value << 8n | BigInt(from[at + i] ?? 0);
    return value;
  };
  const rotated = (x: bigint, by: bigint) => (x << by | x >> 64n - by) & mask;
  const [k0, k1] = [word(key, 0), word(key, 8)];
  let v0 = k0 ^ 0x736f6d6570736575n, v1 = k1 ^ 0x646f72616e646f6dn;
  let v2 = k0 ^ 0x6c7967656e657261n, v3 = k1 ^ 0x7465646279746573n;
  const rounds = (count: number) => {
    for (; count > 0; count--) {
      v0 = v0 + v1 & mask;
      v2 = v2 + v3 & mask;
      v1 = rotated(v1, 13n) ^ v0;
      v3 = rotated(v3, 16n) ^ v2;
      v0 = rotated(v0, 32n);
      v2 = v2 + v1 & mask;
      v0 = v0 + v3 & mask;
      v1 = rotated(v1, 17n) ^ v2;
      v3 = rotated(v3, 21n) ^ v0;
      v2 = rotated(v2, 32n);
    }
  };
  const take = (m: bigint) => {
    v3 ^= m;
    rounds(c);
    v0 ^= m;
  };
  const whole = bytes.length & ~7;
  for (let at = 0; at < whole; at += 8) take(word(bytes, at));
  take(word(bytes, whole) | BigInt(bytes.length & 0xff) << 56n);
  v2 ^= 0xffn;
  rounds(d);
  const hash = v0 ^ v1 ^ v2 ^ v3;
  return Uint8Array.from({ length: 8 }, (_, i) => Number(hash >> BigInt(8 * i) & 0xffn)).toHex();
}

Deno.test("the book is that of the paper: its vector of SipHash-2-4, appendix A", () => {
  assert.equal(byTheBook(counting(16), counting(15), [2, 4]), "e545be4961ca29a1");
});

Deno.test("SipHash is that of the book for any key and any bytes, one message after the other", () => {
  const key = fc.uint8Array({ minLength: 16, maxLength: 16 });
  // Beyond the block, and beyond what a byte counts.
  const messages = fc.array(fc.uint8Array({ maxLength: 900 }), { maxLength: 4 });
  fc.assert(fc.property(key, messages, (key, messages) => {
    const hash = new SipHash(key);
    for (const bytes of messages) assert.equal(hashOf(hash, bytes), byTheBook(key, bytes));
  }));
});

Deno.test("a key of another length is refused", () => {
  for (const length of [0, 15, 17]) assert.throws(() => new SipHash(counting(length)), RangeError);
});
