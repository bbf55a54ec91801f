import assert from "node:assert/strict";
import fc from "fast-check";
import { makeToken } from "../../../../src/rpc/auth/mod.ts";
import { hashToken, tokenId } from "../../../../src/rpc/auth/token.ts";
import { SimRandom } from "../../../../src/runtime/mod.ts";

Deno.test("makeToken() gives a text of the form, whose hash is what is kept", () => {
  const random = new SimRandom(1);
  const ids = new Set<string>();
  for (let i = 0; i < 200; i++) {
    const { id, text, hash } = makeToken(random);
    assert.match(text, /^pdb_[a-z2-7]{8}_[A-Za-z0-9_-]{43}$/);
    assert.equal(tokenId(text), id);
    assert.equal(hashToken(text).toHex(), hash);
    assert.match(hash, /^[0-9a-f]{64}$/);
    ids.add(id);
  }
  assert.equal(ids.size, 200);
});

Deno.test("tokenId() finds none in anything else", () => {
  const { text } = makeToken(new SimRandom(1));
  fc.assert(fc.property(fc.string(), (other) => tokenId(other) === undefined));
  for (const other of [`${text}A`, text.slice(1), text.slice(0, -1), ` ${text}`, `${text}\n`]) {
    assert.equal(tokenId(other), undefined);
  }
});

Deno.test("another way to write the same bytes of a secret is another token", () => {
  const { text, hash } = makeToken(new SimRandom(3));
  // 32 bytes leave two bits of the last letter unused.
  const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const last = letters.indexOf(text.at(-1)!);
  for (let i = 1; i < 4; i++) {
    const twin = text.slice(0, -1) + letters[(last & ~3) | ((last + i) & 3)];
    assert.notEqual(twin, text);
    assert.notEqual(hashToken(twin).toHex(), hash);
  }
});
