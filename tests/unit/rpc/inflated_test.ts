import assert from "node:assert/strict";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { createContextValues } from "@connectrpc/connect";
import { BatchPutRequestSchema } from "../../../src/gen/pairdb/v1/kv_pb.ts";
import { countInflated, sizeOf } from "../../../src/rpc/inflated.ts";

function exchange(header: Record<string, string>, target = "/a/b") {
  return { header: new Headers(header), target, holdInflated() {} };
}

Deno.test("sizeOf() is not below what a message holds, however it is divided", () => {
  for (const [count, length] of [[1, 10_000], [100, 100], [1000, 0]]) {
    const item = { key: "k".repeat(20), value: new Uint8Array(length) };
    const made = create(BatchPutRequestSchema, { items: Array(count).fill(item) });
    const bytes = toBinary(BatchPutRequestSchema, made);
    const size = sizeOf(fromBinary(BatchPutRequestSchema, bytes));
    assert.ok(size >= bytes.length, `${size} for ${bytes.length}`);
    // Small items take more than their bytes: objects.
    assert.ok(size >= count * 128, `${size} for ${count} items`);
  }
});

Deno.test("countInflated() is for calls that may be compressed", () => {
  assert.equal(countInflated(exchange({}), undefined), undefined);
  assert.equal(countInflated(exchange({ "grpc-encoding": "identity" }), undefined), undefined);
  for (const name of ["grpc-encoding", "content-encoding", "connect-content-encoding"]) {
    assert.ok(countInflated(exchange({ [name]: "gzip" }), undefined) !== undefined, name);
  }
  assert.ok(countInflated(exchange({}, "/a/b?compression=br"), undefined) !== undefined);
  const values = createContextValues();
  assert.equal(countInflated(exchange({ "grpc-encoding": "br" }), values), values, "others stay");
});
