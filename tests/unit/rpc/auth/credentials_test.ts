import assert from "node:assert/strict";
import fc from "fast-check";
import { PairError } from "../../../../src/model/mod.ts";
import {
  checkEntry,
  type Credentials,
  NO_CREDENTIALS,
  parseCredentials,
  renderCredentials,
} from "../../../../src/rpc/auth/mod.ts";
import { certificateOf, tokenOf } from "./support.ts";

const ALL: Credentials = {
  version: 1,
  tokens: [
    tokenOf(1, { tenants: ["shop", "käse"], read_only: true, note: "the till" }).entry,
    tokenOf(2, { role: "operator", tenants: "*", expires_at: "2026-02-01T00:00:00.000Z" }).entry,
  ],
  certificates: [
    certificateOf("URI:spiffe://example.org/node/1"),
    certificateOf("DNS:till.example.org", { role: "client", tenants: ["shop"] }),
  ],
};

function refusal(of: unknown): string {
  try {
    parseCredentials(typeof of === "string" ? of : JSON.stringify(of), "c.json");
  } catch (error) {
    assert(error instanceof PairError);
    assert.equal(error.code, 1000);
    return error.message;
  }
  throw new Error("it was taken");
}

Deno.test("credentials come back from their text", () => {
  for (const all of [ALL, NO_CREDENTIALS]) {
    assert.deepEqual(parseCredentials(renderCredentials(all), "c.json"), all);
  }
});

Deno.test("what is wrong with credentials is named by its place", () => {
  const [client, operator] = ALL.tokens;
  const cases: [unknown, RegExp][] = [
    ["", /it is not JSON/],
    ["{", /it is not JSON/],
    [[], /its top/],
    [{ ...ALL, version: 2 }, /: version is not/],
    [{ ...ALL, more: 1 }, /its top/],
    [{ ...ALL, tokens: [client, client] }, /: tokens is not/],
    [{ ...ALL, tokens: [client, { ...operator, tenants: ["a"] }] }, /: tokens\.1\.tenants is not/],
    [{ ...ALL, tokens: [{ ...client, tenants: [] }] }, /: tokens\.0\.tenants is not/],
    [{ ...ALL, tokens: [{ ...client, tenants: ["a:b"] }] }, /: tokens\.0\.tenants/],
    [{ ...ALL, tokens: [{ ...client, role: "admin" }] }, /: tokens\.0\.role is not/],
    [{ ...ALL, tokens: [{ ...client, expires_at: "soon" }] }, /: tokens\.0\.expires_at is not/],
    [{ ...ALL, tokens: [{ ...client, hash: "00" }] }, /: tokens\.0\.hash is not/],
    [
      { ...ALL, certificates: [certificateOf("spiffe://example.org")] },
      /: certificates\.0\.san is not/,
    ],
  ];
  for (const [of, expected] of cases) assert.match(refusal(of), expected);
});

Deno.test("an error about credentials shows nothing of them", () => {
  const secret = "canary7f3a";
  assert(!refusal(`{"tokens": ${secret}`).includes(secret));
  assert(!refusal({ version: 1, tokens: [{ id: secret, hash: secret }] }).includes(secret));
  assert(!refusal({ version: 1, tokens: [{ ...ALL.tokens[0], role: secret }] }).includes(secret));
});

Deno.test("any text is credentials or one PairError", () => {
  fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
    try {
      parseCredentials(text, "c.json");
    } catch (error) {
      assert(error instanceof PairError, String(error));
    }
  }));
});

Deno.test("checkEntry() refuses what the file would refuse", () => {
  for (const entry of [...ALL.tokens, ...ALL.certificates]) checkEntry(entry);
  const bad = [
    tokenOf(1, { role: "operator" }).entry,
    tokenOf(1, { tenants: ["a:b"] }).entry,
    certificateOf("example.org"),
  ];
  for (const entry of bad) assert.throws(() => checkEntry(entry), PairError);
});
