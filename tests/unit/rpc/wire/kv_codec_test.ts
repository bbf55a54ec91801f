import assert from "node:assert/strict";
import fc from "fast-check";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { KeyValueService } from "../../../../src/gen/pairdb/v1/kv_pb.ts";
import {
  batchGetResult,
  batchPutResult,
  deleteResult,
  type Encoder,
  getResult,
  putResult,
} from "../../../../src/rpc/wire/mod.ts";
import {
  checkSame,
  decodeByHand,
  HOT_NAMES,
  type HotName,
  inputOf,
  LongLane,
} from "../../../support/lanes.ts";
import { messageBytes, type Picker } from "../../../support/wire_messages.ts";

/** Choices that fast-check makes, and makes smaller when something is found. */
const picker: fc.Arbitrary<Picker> = fc.gen().map((gen): Picker => ({
  below: (limit) => gen(fc.nat, { max: limit - 1 }),
}));

/** Bytes from the pieces that a case names. */
function bytesOf(...parts: readonly (number | string | readonly number[])[]): Uint8Array {
  return Uint8Array.from(
    parts.flatMap((part) =>
      typeof part === "string" ? [...new TextEncoder().encode(part)] : part
    ) as number[],
  );
}

for (const name of HOT_NAMES) {
  Deno.test(`wire: ${name} is decoded by hand as the library and the service decode it`, async () => {
    const long = new LongLane();
    await fc.assert(
      fc.asyncProperty(picker, async (pick) => {
        const bytes = Uint8Array.from(messageBytes(pick, inputOf(name), false));
        assert.ok(await checkSame(long, name, bytes), "what is well-formed is not passed on");
      }),
      { numRuns: 2000 },
    );
  });

  Deno.test(`wire: of wild bytes for ${name} the decoder takes only what the library takes`, async () => {
    const long = new LongLane();
    let taken = 0;
    await fc.assert(
      fc.asyncProperty(picker, async (pick) => {
        const bytes = Uint8Array.from(messageBytes(pick, inputOf(name), true));
        if (await checkSame(long, name, bytes)) taken++;
      }),
      { numRuns: 2000 },
    );
    assert.ok(taken > 500, `${taken} of 2000 were taken`);
  });
}

const text = fc.oneof(fc.string(), fc.string({ unit: "binary" }), fc.constantFrom("", "\ufeff"))
  .filter((text) => text.isWellFormed());
const count = fc.oneof(fc.constantFrom(0, 1, 127, 128, 2 ** 32), fc.maxSafeNat());
const dot = fc.record({ node: text, counter: count });
const clock = fc.record({
  entries: fc.array(dot, { maxLength: 4 }),
  dots: fc.array(dot, { maxLength: 3 }),
  seal: fc.option(count, { nil: undefined }),
}, { requiredKeys: ["entries", "dots"] });
const written = fc.record({ clock, timestampMs: count });
const value = fc.oneof(
  fc.uint8Array({ maxLength: 4 }),
  fc.uint8Array({ minLength: 120, maxLength: 300 }),
);
const version = fc.record({
  value: fc.option(value, { nil: undefined }),
  clock,
  timestampMs: count,
});
const state = fc.record({
  versions: fc.array(version, { minLength: 1, maxLength: 3 }),
  clock,
}).map(({ versions, clock }) => ({ winner: versions[0], versions, clock }));

/** Each hot answer: an encoder, any outputs, and the request that gets them. */
const ANSWERS: Record<HotName, {
  readonly encoder: Encoder<never>;
  readonly output: fc.Arbitrary<unknown>;
}> = {
  put: { encoder: putResult, output: written },
  get: { encoder: getResult, output: state },
  delete: {
    encoder: deleteResult,
    output: fc.record({ clock, timestampMs: count, existed: fc.boolean() }),
  },
  batchPut: {
    encoder: batchPutResult,
    output: fc.record({ results: fc.array(written, { maxLength: 4 }), unchanged: fc.nat() }),
  },
  batchGet: {
    encoder: batchGetResult,
    output: fc.array(fc.tuple(text, fc.option(state, { nil: undefined })), { maxLength: 4 })
      .chain((items) =>
        fc.array(text, { maxLength: 2 }).map((more) => ({
          // An answer may be cut off: there may be more keys than results.
          keys: [...items.map(([key]) => key), ...more],
          results: items.map(([, found]) => found),
        }))
      ),
  },
};

for (const name of HOT_NAMES) {
  Deno.test(`wire: the answer to ${name} is written as the library writes it, within its bound`, async () => {
    const long = new LongLane();
    const { output: desc, input } = KeyValueService.method[name];
    const { encoder, output } = ANSWERS[name];
    await fc.assert(
      fc.asyncProperty(output, fc.nat({ max: 9 }), async (given, at) => {
        const keys = (given as { keys?: string[] }).keys;
        const request = create(input, keys === undefined ? {} : { keys } as never);
        const message = await long.answer(name, request, given);
        const wanted = toBinary(desc, create(desc, message as MessageInitShape<typeof desc>));
        const bound = encoder.bound(given as never);
        const into = new Uint8Array(at + bound + 20).fill(0xaa);
        const end = encoder.write(given as never, into, at);
        assert.ok(end - at <= bound, `${end - at} bytes, and the bound was ${bound}`);
        assert.deepEqual(into.slice(at, end), wanted);
        assert.ok(into.subarray(0, at).every((byte) => byte === 0xaa));
        assert.ok(into.subarray(end).every((byte) => byte === 0xaa));
      }),
      { numRuns: 1000 },
    );
  });
}

/** Cases that chance may leave out, each with what the long lane makes of it. */
const CASES:
  readonly (readonly [string, HotName, Uint8Array, "call" | "malformed" | "passed on"])[] = [
    ["nothing at all", "put", bytesOf(), "call"],
    ["a field twice: the last one counts", "get", bytesOf([0x12, 1], "a", [0x12, 1], "b"), "call"],
    ["a clock in two pieces", "delete", bytesOf([0x1a, 2, 0x0a, 0, 0x1a, 2, 0x12, 0]), "call"],
    [
      "a seal that is 0, without events",
      "delete",
      bytesOf([0x1a, 9, 0x19, 0, 0, 0, 0, 0, 0, 0, 0]),
      "call",
    ],
    [
      "a seal that no number holds",
      "delete",
      bytesOf([0x1a, 9, 0x19, 1, 0, 0, 0, 0, 0, 0x20, 0xff]),
      "call",
    ],
    ["a seal of seven bytes", "delete", bytesOf([0x1a, 8, 0x19, 0, 0, 0, 0, 0, 0, 0]), "malformed"],
    [
      "a level beyond 2^53 counts by its lower bits",
      "get",
      bytesOf([0x18, 0x83, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7f]),
      "call",
    ],
    ["a key that is not UTF-8", "get", bytesOf([0x12, 1, 0xff]), "malformed"],
    ["a key of half a character", "put", bytesOf([0x12, 2, 0xc3, 0x28]), "malformed"],
    ["a lone surrogate", "put", bytesOf([0x12, 3, 0xed, 0xa0, 0x80]), "malformed"],
    ["a tag of six bytes", "get", bytesOf([0x92, 0x80, 0x80, 0x80, 0x80, 0, 1], "k"), "malformed"],
    ["field number 0", "get", bytesOf([0x02, 0]), "malformed"],
    [
      "a varint of eleven bytes",
      "get",
      bytesOf([0x18, ...new Array(10).fill(0x80), 0]),
      "malformed",
    ],
    ["a length beyond the end", "put", bytesOf([0x12, 5], "abc"), "malformed"],
    ["a key as a number", "get", bytesOf([0x10, 1], "k"), "passed on"],
    ["a group", "get", bytesOf([0x53, 0x54]), "passed on"],
  ];

for (const [what, name, bytes, verdict] of CASES) {
  Deno.test(`wire: ${what}`, async () => {
    const short = decodeByHand(name, bytes);
    const long = await new LongLane().decode(name, bytes);
    if (verdict === "passed on") {
      assert.deepEqual([short.kind, long.kind], ["malformed", "call"]);
      return;
    }
    assert.equal(short.kind, verdict);
    assert.deepEqual(short, long);
  });
}
