import assert from "node:assert/strict";
import fc from "fast-check";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { DescMessage, MessageInitShape } from "@bufbuild/protobuf";
import {
  type Context,
  decodeContext,
  encodeContext,
  type Fetch,
  PairDB,
  PairError,
} from "../../../src/client/mod.ts";
import { ErrorDetailSchema, VectorClockSchema } from "../../../src/gen/pairdb/v1/common_pb.ts";
import {
  BatchGetRequestSchema,
  BatchGetResponseSchema,
  BatchPutRequestSchema,
  DeleteRequestSchema,
  GetResponseSchema,
  PutRequestSchema,
  PutResponseSchema,
} from "../../../src/gen/pairdb/v1/kv_pb.ts";

/** A client of a server that answers each call with this. */
function answering(
  answer: (body: Uint8Array, signal: AbortSignal) => Response | Promise<Response>,
) {
  const fetch: Fetch = async (_input, init) =>
    await answer(init!.body as Uint8Array, init!.signal as AbortSignal);
  return PairDB.connect("http://test/", { fetch });
}

function message<Desc extends DescMessage>(schema: Desc, fields: MessageInitShape<Desc>): Response {
  return new Response(toBinary(schema, create(schema, fields)) as Uint8Array<ArrayBuffer>, {
    headers: { "content-type": "application/proto" },
  });
}

/** A Connect error with an ErrorDetail, as the server sends it. */
function failure(status: number, code: string, detail: MessageInitShape<typeof ErrorDetailSchema>) {
  const value = toBinary(ErrorDetailSchema, create(ErrorDetailSchema, detail)).toBase64();
  return Response.json({
    code,
    message: "what the server said",
    details: [{ type: "pairdb.v1.ErrorDetail", value }],
  }, { status });
}

/** The error that a call must end with. */
async function errorOf(call: Promise<unknown>): Promise<PairError> {
  try {
    await call;
  } catch (error) {
    assert(error instanceof PairError, String(error));
    return error;
  }
  assert.fail("the call succeeded");
}

Deno.test("connect() takes http and https URLs, or HOST:PORT, and nothing else", () => {
  assert.equal(PairDB.connect("localhost:50052").url, "http://localhost:50052");
  assert.equal(
    PairDB.connect("https://db.example.org/pairdb/").url,
    "https://db.example.org/pairdb",
  );
  for (const url of ["", "ftp://x", "http://", "file:///etc/passwd", "http://a b"]) {
    assert.throws(() => PairDB.connect(url), /^PairError: Cannot use the server's URL/);
  }
});

Deno.test("an error with a row comes back with its row, message and details", async () => {
  const db = answering(() =>
    failure(400, "invalid_argument", {
      code: 1002,
      name: "KeyTooLarge",
      details: { limit: "1024" },
    })
  );
  const error = await errorOf(db.put("t", "k", "v"));
  assert.equal(error.code, 1002);
  assert.equal(error.error, "KeyTooLarge");
  assert.equal(error.message, "what the server said");
  assert.deepEqual(error.details, { limit: "1024" });
});

Deno.test("a row that a newer server has counts by who is at fault [R4]", async () => {
  const client = answering(() =>
    failure(400, "invalid_argument", { code: 1099 as 1000, name: "New" })
  );
  assert.equal((await errorOf(client.put("t", "k", "v"))).error, "InvalidArgument");
  const server = answering(() => failure(500, "internal", { code: 2099 as 2000, name: "New" }));
  assert.equal((await errorOf(server.put("t", "k", "v"))).error, "Internal");
});

Deno.test("get() gives undefined for 1001 only", async () => {
  const absent = answering(() => failure(404, "not_found", { code: 1001, name: "KeyNotFound" }));
  assert.equal(await absent.get("t", "k"), undefined);
  const tenant = answering(() =>
    failure(400, "invalid_argument", { code: 1004, name: "InvalidTenantID" })
  );
  assert.equal((await errorOf(tenant.get("t", "k"))).code, 1004);
});

Deno.test("answers from something that is no PairDB are errors that say what came", async () => {
  const cases: [Response, string][] = [
    [
      new Response("<html>", { status: 404, headers: { "content-type": "text/html" } }),
      "InvalidArgument",
    ],
    [new Response("busy", { status: 503 }), "Unavailable"],
    [new Response("<html>", { headers: { "content-type": "text/html" } }), "Internal"],
  ];
  for (const [response, row] of cases) {
    const error = await errorOf(answering(() => response).put("t", "k", "v"));
    assert.equal(error.error, row);
    assert.match(error.message, /^http:\/\/test answered: /);
  }
});

Deno.test("a network that fails is Unavailable with the server's URL", async () => {
  const db = answering(() => Promise.reject(new TypeError("connection refused")));
  const error = await errorOf(db.get("t", "k"));
  assert.equal(error.code, 2001);
  assert.equal(error.message, "cannot reach http://test: is a node running?");
});

Deno.test("a call ends with its caller's abort reason, or with 2001 at its deadline", async () => {
  const hanging = answering((_body, signal) =>
    new Promise((_resolve, reject) =>
      signal.addEventListener("abort", () => reject(signal.reason), { once: true })
    )
  );
  const controller = new AbortController();
  const call = hanging.get("t", "k", { signal: controller.signal });
  controller.abort(new Error("changed my mind"));
  await assert.rejects(call, /changed my mind/);
  const late = await errorOf(hanging.get("t", "k", { timeoutMs: 1 }));
  assert.equal(late.code, 2001);
  assert.match(late.message, /in time/);
});

Deno.test("put() sends what it was given, and an empty value as one", async () => {
  const db = answering((body) => {
    const request = fromBinary(PutRequestSchema, body);
    assert.equal(request.tenantId, "t");
    assert.equal(request.key, "k");
    assert.deepEqual(request.value, new Uint8Array());
    assert.equal(request.ttlMs, 5n);
    assert.equal(request.vectorClock?.entries[0].logicalTimestamp, 7n);
    assert.equal(request.vectorClock?.dots[0].coordinatorNodeId, "b");
    return message(PutResponseSchema, {
      vectorClock: { entries: [{ coordinatorNodeId: "a", logicalTimestamp: 8n }] },
      timestamp: 9n,
    });
  });
  const context = { entries: [{ node: "a", counter: 7 }], dots: [{ node: "b", counter: 3 }] };
  assert.deepEqual(await db.put("t", "k", "", { context, ttlMs: 5 }), {
    context: { entries: [{ node: "a", counter: 8 }], dots: [] },
    timestampMs: 9,
  });
});

Deno.test("what encoding would change is refused before it is sent", async () => {
  const db = answering(() => assert.fail("it was sent"));
  const lone = "\ud800";
  assert.equal((await errorOf(db.put("t", lone, "v"))).code, 1005);
  assert.equal((await errorOf(db.get("t", lone))).code, 1005);
  assert.equal((await errorOf(db.put(lone, "k", "v"))).code, 1004);
  assert.equal((await errorOf(db.put("t", "k", lone))).code, 1000);
  for (const ttlMs of [-1, 0.5, 2 ** 53, NaN]) {
    assert.equal((await errorOf(db.put("t", "k", "v", { ttlMs }))).code, 1000);
  }
  assert.equal((await errorOf(db.scan("t", { limit: -1 }).next())).code, 1000);
});

Deno.test("get() tells an absent value from an empty one, and a sibling that is a delete", async () => {
  const empty = answering(() => message(GetResponseSchema, { value: new Uint8Array() }));
  assert.deepEqual((await empty.get("t", "k"))?.value, new Uint8Array());
  const conflict = answering(() =>
    message(GetResponseSchema, { siblings: [{ value: new Uint8Array([1]) }, { deleted: true }] })
  );
  const found = await conflict.get("t", "k");
  assert.equal(found?.value, undefined);
  assert.deepEqual(found?.siblings.map((version) => version.value), [
    new Uint8Array([1]),
    undefined,
  ]);
});

Deno.test("batchGet() asks again for what an answer left out, and never for ever", async () => {
  const asked: string[][] = [];
  const db = answering((body) => {
    const { keys } = fromBinary(BatchGetRequestSchema, body);
    asked.push(keys);
    return message(BatchGetResponseSchema, {
      items: keys.slice(0, 2).map((key) => ({ key, found: key !== "b" })),
    });
  });
  const found = await db.batchGet("t", ["a", "b", "c"]);
  assert.deepEqual(found.map((one) => one !== undefined), [true, false, true]);
  assert.deepEqual(asked, [["a", "b", "c"], ["c"]]);
  const mute = answering(() => message(BatchGetResponseSchema, {}));
  assert.equal((await errorOf(mute.batchGet("t", ["a"]))).code, 2000);
});

Deno.test("a context survives being text", () => {
  const node = fc.string({ minLength: 1, maxLength: 20 }).map((text) => `n${text}`);
  const events = fc.uniqueArray(
    fc.record({ node, counter: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }) }),
    { selector: (entry) => entry.node, maxLength: 20 },
  ).map((list) => list.sort((a, b) => a.node < b.node ? -1 : 1));
  fc.assert(fc.property(events, (entries) => {
    // Without control characters, and as plain objects: fast-check's have no prototype.
    const printable = entries.filter((entry) => !/\p{Cc}/u.test(entry.node))
      .map((entry) => ({ ...entry }));
    const context: Context = { entries: printable, dots: [] };
    for (const each of [context, { ...context, seal: 0 }, { ...context, seal: 2 ** 53 - 1 }]) {
      const text = encodeContext(each);
      assert.match(text, /^[A-Za-z0-9_-]*$/);
      assert.deepEqual(decodeContext(text), each);
      assert.deepEqual(JSON.parse(JSON.stringify(each)), each);
    }
  }));
});

Deno.test("texts of programs that know of no seals still are contexts, and stay as they are", () => {
  const text = "CgYKAm4xEAMSBgoCbjEQBQ";
  const context = {
    entries: [{ node: "n1", counter: 3 }],
    dots: [{ node: "n1", counter: 5 }],
  };
  assert.deepEqual(decodeContext(text), context);
  assert.equal(encodeContext(context), text);
});

Deno.test("the seal of an answer's context goes back with it, in every kind of write", async () => {
  const seal = 2n ** 53n - 1n;
  const vectorClock = { entries: [{ coordinatorNodeId: "n1", logicalTimestamp: 1n }], seal };
  const bodies: Uint8Array[] = [];
  const db = answering((body) => {
    bodies.push(body);
    return message(PutResponseSchema, bodies.length === 1 ? { vectorClock } : {});
  });
  const { context } = await db.put("t", "k", "v");
  assert.equal(context.seal, Number(seal));
  await db.put("t", "k", "v", { context });
  await db.delete("t", "k", { context });
  await db.batchPut("t", [{ key: "k", value: "v", context }]);
  const sent = [
    fromBinary(PutRequestSchema, bodies[1]).vectorClock!.seal!,
    fromBinary(DeleteRequestSchema, bodies[2]).vectorClock!.seal!,
    fromBinary(BatchPutRequestSchema, bodies[3]).items[0].vectorClock!.seal!,
  ];
  assert.deepEqual(sent, [seal, seal, seal]);
  await assert.rejects(db.put("t", "k", "v", { context: { ...context, seal: 0.5 } }), {
    code: 1000,
    message: /the seal of the context/,
  });
});

Deno.test("decodeContext() gives a context or InvalidArgument for any text", () => {
  fc.assert(fc.property(fc.oneof(fc.string(), fc.base64String()), (text) => {
    try {
      decodeContext(text);
    } catch (error) {
      assert(error instanceof PairError);
      assert.equal(error.code, 1000);
    }
  }));
  const forged = create(VectorClockSchema, {
    entries: [{ coordinatorNodeId: "n", logicalTimestamp: 2n ** 60n }],
  });
  const text = toBinary(VectorClockSchema, forged).toBase64({
    alphabet: "base64url",
    omitPadding: true,
  });
  assert.throws(() => decodeContext(text), { code: 1000 });
});
