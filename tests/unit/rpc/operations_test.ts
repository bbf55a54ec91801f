import assert from "node:assert/strict";
import { AdminService } from "../../../src/gen/pairdb/v1/admin_pb.ts";
import { KeyValueService } from "../../../src/gen/pairdb/v1/kv_pb.ts";
import { StorageNodeService } from "../../../src/gen/pairdb/v1/storage_node_pb.ts";
import { Health } from "../../../src/gen/grpc/health/v1/health_pb.ts";
import { operationOf } from "../../../src/rpc/operations.ts";

Deno.test("operationOf() knows every call for keys, and takes upkeep and probes for something else [O2]", () => {
  for (const method of [...KeyValueService.methods, ...StorageNodeService.methods]) {
    if (method.methodKind !== "unary") continue;
    const isUpkeep = ["DrainNode", "HealthCheck"].includes(method.name);
    assert.equal(operationOf(method) === "other", isUpkeep, method.name);
  }
  for (const method of [...AdminService.methods, ...Health.methods]) {
    assert.equal(operationOf(method), "other", method.name);
  }
  const kv = KeyValueService.method;
  assert.deepEqual(
    [kv.get, kv.put, kv.delete, kv.batchGet, kv.batchPut, kv.scan].map(operationOf),
    ["read", "write", "delete", "batch_read", "batch_write", "scan"],
  );
  const { read, write, delete: remove, repair, replicateData } = StorageNodeService.method;
  assert.deepEqual(
    [read, write, remove, repair, replicateData].map(operationOf),
    ["read", "write", "delete", "write", "transfer"],
  );
});
