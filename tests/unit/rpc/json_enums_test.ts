import assert from "node:assert/strict";
import { Code, ConnectError } from "@connectrpc/connect";
import { DescriptorProtoSchema, FieldDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { ErrorDetailSchema } from "../../../src/gen/pairdb/v1/common_pb.ts";
import { GetRequestSchema, PutRequestSchema } from "../../../src/gen/pairdb/v1/kv_pb.ts";
import { StatusRequestSchema } from "../../../src/gen/pairdb/v1/admin_pb.ts";
import { EnumCheckingDecoder } from "../../../src/rpc/json_enums.ts";

const OPTIONS = { fatal: true, ignoreBOM: true };
const utf8 = new TextEncoder();

function decode(desc: ConstructorParameters<typeof EnumCheckingDecoder>[0], text: string): string {
  return new EnumCheckingDecoder(desc, OPTIONS).decode(utf8.encode(text));
}

const refuses = (message: RegExp) => (error: unknown) =>
  error instanceof ConnectError && error.code === Code.InvalidArgument &&
  message.test(error.rawMessage);

Deno.test("EnumCheckingDecoder is for messages that have enums, themselves or in their parts", () => {
  for (
    const desc of [PutRequestSchema, GetRequestSchema, ErrorDetailSchema, DescriptorProtoSchema]
  ) {
    assert.ok(EnumCheckingDecoder.isFor(desc), desc.name);
  }
  assert.equal(EnumCheckingDecoder.isFor(StatusRequestSchema), false);
});

Deno.test("EnumCheckingDecoder gives the text as it is, where its names are known", () => {
  for (
    const text of [
      '{"consistency":"CONSISTENCY_ONE"}',
      '{"consistency":2,"key":"consistency"}',
      '{"consistency":99}',
      '{"consistency":null}',
      '{"unknown":"CONSISTENCY_NONE"}',
      '{"key":"\\u0041","consistency":"CONSISTENCY_ALL"}',
      // For others to tell what is wrong with it.
      '{"consistency":',
      '["consistency"]',
      '{"consistency":{}}',
      "",
    ]
  ) assert.equal(decode(PutRequestSchema, text), text);
});

Deno.test("EnumCheckingDecoder refuses names that there are not, and says where", () => {
  const one = /^consistency is "CONSISTENCY_NONE", which is none of CONSISTENCY_UNSPECIFIED, /;
  assert.throws(
    () => decode(PutRequestSchema, '{"consistency":"CONSISTENCY_NONE"}'),
    refuses(one),
  );
  assert.throws(
    () => decode(PutRequestSchema, '{"\\u0063onsistency":"X"}'),
    refuses(/^consistency is "X"/),
  );
  const long = JSON.stringify({ consistency: "x".repeat(1000) });
  assert.throws(() => decode(PutRequestSchema, long), refuses(/^consistency is "x{64}",/));
});

Deno.test("EnumCheckingDecoder looks into parts, lists and both spellings, also where messages hold themselves", () => {
  const field = '{"field":[{"name":"a"},{"type":"TYPE_ODD"}]}';
  assert.throws(() => decode(DescriptorProtoSchema, field), refuses(/^field\[1\]\.type is/));
  const nested = '{"nestedType":[{"nested_type":[{"field":[{"label":"X"}]}]}]}';
  assert.throws(
    () => decode(DescriptorProtoSchema, nested),
    refuses(/^nestedType\[0\]\.nested_type\[0\]\.field\[0\]\.label is "X"/),
  );
  const camel = '{"options":{"optionTargets":1,"targets":["TARGET_TYPE_FILE","X"]}}';
  assert.throws(
    () => decode(FieldDescriptorProtoSchema, camel),
    refuses(/^options\.targets\[1\] is "X"/),
  );
});

Deno.test("EnumCheckingDecoder refuses what is no UTF-8", () => {
  const decoder = new EnumCheckingDecoder(PutRequestSchema, OPTIONS);
  assert.throws(() => decoder.decode(Uint8Array.of(0xff)), TypeError);
});
