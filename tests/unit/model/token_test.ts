import assert from "node:assert/strict";
import fc from "fast-check";
import {
  compareTokens,
  inTokenRange,
  readToken,
  type Token,
  tokenBytes,
  tokenOf,
  tokenShare,
} from "../../../src/model/mod.ts";
import { bytes, rejectsCode } from "../../support/node.ts";

const token = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((b) => readToken(b, "token"));

function hex(key: string): string {
  return tokenBytes(tokenOf(bytes(key))).toHex();
}

/** The hash as the reference implementation writes it to memory: words with their least byte first. */
function asInMemory(words: Token): Uint8Array {
  const out = new Uint8Array(16);
  words.forEach((word, i) => new DataView(out.buffer).setUint32(4 * i, word, true));
  return out;
}

Deno.test("tokenOf() is Murmur3 x86 128, by the verification code of SMHasher [S3]", () => {
  // Hashes of 0, 0 1, 0 1 2 ... under the seeds 256 - length, hashed together under 0.
  const hashes = new Uint8Array(256 * 16);
  const key = Uint8Array.from({ length: 256 }, (_, i) => i);
  for (let i = 0; i < 256; i++) {
    hashes.set(asInMemory(tokenOf(key.subarray(0, i), undefined, 256 - i)), 16 * i);
  }
  const final = asInMemory(tokenOf(hashes));
  assert.equal(new DataView(final.buffer).getUint32(0, true), 0xb3ece62a);
});

Deno.test("tokens are for ever: data is placed by them [S3]", () => {
  assert.equal(hex("cart/42"), "ef6d8d70c429fb72e7fa493fe7fa493f");
  assert.equal(hex("ключ"), "1dc1da77872827771e36116e1e36116e");
});

Deno.test("a token comes back from its bytes, in the order of its bytes [S3]", () => {
  fc.assert(fc.property(token, token, (a, b) => {
    assert.deepEqual(readToken(tokenBytes(a), "token"), a);
    const order = Math.sign(compareTokens(a, b));
    assert.equal(order, Math.sign(orderOfBytes(tokenBytes(a), tokenBytes(b))));
  }));
});

function orderOfBytes(a: Uint8Array, b: Uint8Array): number {
  return a.toHex() < b.toHex() ? -1 : Number(a.toHex() > b.toHex());
}

Deno.test("ranges that follow each other around the ring hold every token once [S3]", () => {
  fc.assert(
    fc.property(fc.uniqueArray(token, { minLength: 1, maxLength: 6, selector: String }), token, (
      points,
      at,
    ) => {
      points.sort(compareTokens);
      const ranges = points.map((start, i) => ({ start, end: points[(i + 1) % points.length] }));
      assert.equal(ranges.filter((range) => inTokenRange(at, range)).length, 1);
      const shares = ranges.map(tokenShare);
      assert.ok(shares.every((share) => share >= 0 && share <= 1));
      assert.ok(Math.abs(shares.reduce((a, b) => a + b) - 1) < 1e-9);
      // The end belongs to a range, the start does not, unless it is the whole ring.
      assert.ok(ranges.every((range) => inTokenRange(range.end, range)));
      assert.equal(inTokenRange(ranges[0].start, ranges[0]), ranges.length === 1);
    }),
  );
});

Deno.test("a token of any other length is refused with 1000 [S3]", async () => {
  for (const length of [0, 15, 17]) {
    await rejectsCode(() => readToken(new Uint8Array(length), "token_range.start"), 1000);
  }
});
