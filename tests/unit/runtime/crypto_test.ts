/**
 * Cryptography against published vectors, and against Web Crypto as a second opinion.
 * @module
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { Cipher, deriveKey, NONCE_BYTES, sha256, TAG_BYTES } from "../../../src/runtime/mod.ts";

const hex = (text: string) => Uint8Array.from(text.match(/../g) ?? [], (two) => parseInt(two, 16));
const toHex = (bytes: Uint8Array) =>
  [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");

Deno.test("Cipher: the GCM specification's test case 16", () => {
  const key = hex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308");
  const nonce = hex("cafebabefacedbaddecaf888");
  const text = hex(
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
  );
  const bound = hex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
  const sealed = new Cipher(key).seal(nonce, text, bound);
  assert.equal(
    toHex(sealed),
    "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662" +
      "76fc6ece0f4e1768cddf8853bb2d551b",
  );
  assert.deepEqual(new Cipher(key).open(nonce, sealed, bound), text);
});

Deno.test("Cipher: what Web Crypto seals it opens, and the other way round", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ minLength: 32, maxLength: 32 }),
      fc.uint8Array({ minLength: NONCE_BYTES, maxLength: NONCE_BYTES }),
      fc.uint8Array({ maxLength: 300 }),
      fc.uint8Array({ maxLength: 40 }),
      async (key, nonce, text, bound) => {
        const own = (bytes: Uint8Array) => Uint8Array.from(bytes);
        const web = await crypto.subtle.importKey("raw", own(key), "AES-GCM", false, ["encrypt"]);
        const how = { name: "AES-GCM", iv: own(nonce), additionalData: own(bound) };
        const theirs = new Uint8Array(await crypto.subtle.encrypt(how, web, own(text)));
        const cipher = new Cipher(key);
        assert.deepEqual(cipher.seal(nonce, text, bound), theirs);
        assert.deepEqual(cipher.open(nonce, theirs, bound), own(text));
      },
    ),
    { numRuns: 100 },
  );
});

Deno.test("Cipher: any changed byte, another nonce, binding or key is refused", () => {
  const cipher = new Cipher(new Uint8Array(32).fill(7));
  const nonce = new Uint8Array(NONCE_BYTES).fill(1);
  const bound = Uint8Array.of(1, 2, 3);
  const sealed = cipher.seal(nonce, new Uint8Array(20).fill(9), bound);
  for (let i = 0; i < sealed.length; i++) {
    const bad = sealed.slice();
    bad[i] ^= 1;
    assert.equal(cipher.open(nonce, bad, bound), undefined, `byte ${i}`);
  }
  assert.equal(cipher.open(new Uint8Array(NONCE_BYTES), sealed, bound), undefined);
  assert.equal(cipher.open(nonce, sealed), undefined);
  assert.equal(new Cipher(new Uint8Array(32)).open(nonce, sealed, bound), undefined);
  for (let cut = 0; cut < sealed.length; cut++) {
    assert.equal(cipher.open(nonce, sealed.subarray(0, cut), bound), undefined, `cut at ${cut}`);
  }
  assert.equal(sealed.length, 20 + TAG_BYTES);
  assert.throws(() => new Cipher(new Uint8Array(31)), RangeError);
});

Deno.test("deriveKey: RFC 5869's test case 3 (no salt, no purpose)", () => {
  assert.equal(
    toHex(deriveKey(hex("0b".repeat(22)), new Uint8Array(0), "")),
    "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d",
  );
  const key = hex("0b".repeat(22));
  const keys = [deriveKey(key, hex("01"), ""), deriveKey(key, new Uint8Array(0), "x")];
  for (const other of keys) assert.notDeepEqual(other, deriveKey(key, new Uint8Array(0), ""));
});

Deno.test("sha256: in pieces as in one, and the published digest of abc", () => {
  const whole = sha256();
  whole.update(new TextEncoder().encode("abc"));
  const digest = whole.hex();
  assert.equal(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  const pieces = sha256();
  for (const letter of "abc") pieces.update(new TextEncoder().encode(letter));
  assert.equal(pieces.hex(), digest);
});
