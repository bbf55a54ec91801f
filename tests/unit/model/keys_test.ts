import assert from "node:assert/strict";
import fc from "fast-check";
import {
  compareBytes,
  decodeKey,
  encodeBound,
  encodeKey,
  PairError,
  prefixEnd,
  utf8,
  validateTenant,
} from "../../../src/model/mod.ts";

function throwsCode(run: () => unknown, code: number): void {
  assert.throws(run, (error) => error instanceof PairError && error.code === code);
}

const CONTROLS = [0x00, 0x01, 0x0a, 0x1f, 0x7f, 0x80, 0x9f].map((unit) =>
  String.fromCharCode(unit)
);
const LONE_SURROGATES = ["\ud800", "a\udc00b", "\udfff\ud800", "x".repeat(10) + "\udbff"];

Deno.test("encodeKey() refuses an empty or missing key as an argument (1000)", () => {
  throwsCode(() => encodeKey(""), 1000);
  throwsCode(() => encodeKey(undefined as unknown as string), 1000);
});

Deno.test("encodeKey() takes 1024 bytes and refuses 1025 (1002), counting bytes", () => {
  assert.equal(encodeKey("k".repeat(1024)).length, 1024);
  throwsCode(() => encodeKey("k".repeat(1025)), 1002);
  assert.equal(encodeKey("é".repeat(512)).length, 1024);
  throwsCode(() => encodeKey("é".repeat(512) + "k"), 1002);
  throwsCode(() => encodeKey("x".repeat(5_000_000)), 1002);
});

Deno.test("encodeKey() refuses control characters and lone surrogates (1005)", () => {
  for (const text of [...CONTROLS, ...LONE_SURROGATES]) {
    throwsCode(() => encodeKey(text), 1005);
    throwsCode(() => encodeKey(`é${text}`), 1005);
    throwsCode(() => encodeKey(`plain${text}`), 1005);
  }
  // The neighbours of the control ranges are fine.
  for (const text of [" ", "~", "\u00a0", "\u2028"]) assert.equal(decodeKey(encodeKey(text)), text);
});

Deno.test("encodeKey() says the same of a text and of its bytes", () => {
  const said = (key: string | Uint8Array) => {
    try {
      return encodeKey(key);
    } catch (error) {
      if (!(error instanceof PairError)) throw error;
      return [error.code, error.message, error.details];
    }
  };
  const units = ["k", "é", "鍵", "\0", "\x7f", " ", "\ufeff"];
  const part = fc.tuple(fc.constantFrom(...units), fc.constantFrom(0, 1, 340, 341, 511, 512, 1024))
    .map(([unit, times]) => unit.repeat(times));
  fc.assert(fc.property(fc.array(part, { maxLength: 3 }), (parts) => {
    const key = parts.join("");
    assert.deepEqual(said(utf8(key)), said(key));
  }));
});

Deno.test("a key comes back as it went in, a byte order mark included", () => {
  for (const key of ["\ufeffkey", "\ufeff", "ключ", "\u{10002}", "a:b/c", "k".repeat(1000)]) {
    assert.equal(decodeKey(encodeKey(key)), key);
    assert.deepEqual(encodeKey(key), utf8(key));
  }
  const key = fc.string({ unit: "binary", minLength: 1, maxLength: 60 });
  fc.assert(fc.property(key, (key) => {
    fc.pre(key.isWellFormed() && !/\p{Cc}/u.test(key));
    assert.equal(decodeKey(encodeKey(key)), key);
    assert.deepEqual(encodeKey(key), utf8(key));
  }));
});

Deno.test("keys are ordered as UTF-8 bytes, not as UTF-16 units", () => {
  assert.ok("\uff61" > "\u{10002}");
  assert.ok(compareBytes(encodeKey("\uff61"), encodeKey("\u{10002}")) < 0);
});

Deno.test("decodeKey() names bytes that are not UTF-8 as damage (2007)", () => {
  throwsCode(() => decodeKey(Uint8Array.of(0x61, 0xff)), 2007);
  throwsCode(() => decodeKey(new Uint8Array(100).fill(0xff)), 2007);
});

Deno.test("encodeBound() takes any well-formed text, and nothing for an empty one", () => {
  assert.equal(encodeBound(undefined, "the start"), undefined);
  assert.equal(encodeBound("", "the start"), undefined);
  assert.deepEqual(encodeBound("a\u0000", "the start"), Uint8Array.of(0x61, 0));
  throwsCode(() => encodeBound("\ud800", "the start"), 1005);
  throwsCode(() => encodeBound("k".repeat(1025), "the start"), 1002);
  throwsCode(() => encodeBound("é".repeat(513), "the start"), 1002);
});

Deno.test("prefixEnd() is the least bytes above all that begins with the prefix", () => {
  assert.deepEqual(prefixEnd(Uint8Array.of(1, 2)), Uint8Array.of(1, 3));
  assert.deepEqual(prefixEnd(Uint8Array.of(1, 0xff, 0xff)), Uint8Array.of(2));
  assert.equal(prefixEnd(Uint8Array.of(0xff)), undefined);
  assert.equal(prefixEnd(new Uint8Array(0)), undefined);
  const bytes = fc.uint8Array({ maxLength: 3 });
  fc.assert(
    fc.property(bytes, bytes, (prefix, key) => {
      const begins = compareBytes(key.subarray(0, prefix.length), prefix) === 0;
      const end = prefixEnd(prefix);
      const within = compareBytes(key, prefix) >= 0 && (!end || compareBytes(key, end) < 0);
      assert.equal(within, begins);
    }),
    { numRuns: 500 },
  );
});

Deno.test("validateTenant() takes 1 to 256 bytes without ':' and control characters", () => {
  for (const tenant of ["t", "x".repeat(256), "é".repeat(128), "a;b", "a b", "../x"]) {
    validateTenant(tenant);
  }
  const bad = ["", "x".repeat(257), "é".repeat(129), "a:b", ":", ...CONTROLS, ...LONE_SURROGATES];
  for (const tenant of bad) throwsCode(() => validateTenant(tenant), 1004);
  throwsCode(() => validateTenant(undefined as unknown as string), 1004);
});
