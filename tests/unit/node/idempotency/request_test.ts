import assert from "node:assert/strict";
import { EMPTY_CLOCK, PairError } from "../../../../src/model/mod.ts";
import {
  batchRequest,
  checkIdempotencyKey,
  deleteRequest,
  putRequest,
} from "../../../../src/node/idempotency/mod.ts";
import { bytes } from "../../../support/node.ts";

const key = bytes("0123456789abcdef");
const clock = { entries: [{ node: "n", counter: 1 }], dots: [] };
const item = {
  key: bytes("k"),
  value: bytes("v"),
  context: undefined,
  seal: undefined,
  ifContext: false,
  expiresAtMs: 0,
};

Deno.test("checkIdempotencyKey() takes 16 to 64 bytes of text, and none", () => {
  assert.equal(checkIdempotencyKey(undefined), undefined);
  for (const good of ["x".repeat(16), "x".repeat(64), "ü".repeat(8), crypto.randomUUID()]) {
    assert.deepEqual(checkIdempotencyKey(good), bytes(good));
  }
  for (
    const bad of [
      "",
      "x".repeat(15),
      "x".repeat(65),
      "ü".repeat(33),
      "x".repeat(10_000_000),
      "0123456789abcde\n",
      "0123456789abcdef\ud800",
      1234567890123456 as unknown as string,
    ]
  ) {
    assert.throws(() => checkIdempotencyKey(bad), (error) => {
      assert.ok(error instanceof PairError);
      assert.deepEqual([error.code, error.details.field], [1000, "idempotency_key"]);
      return true;
    });
  }
});

Deno.test("a request's digest tells it from every other, and from itself never", () => {
  const put = (changes: object, ttlMs?: number) => putRequest(key, { ...item, ...changes }, ttlMs);
  const batch = (...items: object[]) =>
    batchRequest(
      key,
      items.map((each) => ({ ...item, ...each })),
      items.map(() => undefined),
      false,
    );
  const requests = [
    put({}),
    put({ key: bytes("kv") }),
    put({ value: bytes("w") }),
    put({ value: bytes("") }),
    put({ context: clock }),
    put({ context: EMPTY_CLOCK }),
    put({ context: { entries: [], dots: clock.entries } }),
    put({ ifContext: true }),
    put({ ifContext: true, context: clock }),
    put({}, 0),
    put({}, 5),
    deleteRequest(key, item),
    deleteRequest(key, { ...item, context: clock }),
    deleteRequest(key, { ...item, ifContext: true }),
    batch({}),
    batch({}, {}),
    batch({ value: bytes("w") }, {}),
    batch({}, { value: bytes("w") }),
    batchRequest(key, [item], [undefined], true),
    batchRequest(key, [item], [0], false),
    batchRequest(key, [item], [5], false),
  ];
  assert.equal(new Set(requests.map(({ digest }) => digest.toHex())).size, requests.length);
  // When it is asked again, its end is another.
  assert.deepEqual(put({ expiresAtMs: 1 }, 5), put({ expiresAtMs: 2 }, 5));
  // What its context was sealed with is no part of it.
  assert.deepEqual(put({ context: clock, seal: 1 }), put({ context: clock }));
});
