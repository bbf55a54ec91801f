/**
 * How long calls may take: what goes through all that is stored has the time of a stream.
 * @module
 */
import assert from "node:assert/strict";
import type { DescMethod } from "@bufbuild/protobuf";
import { AdminService } from "../../../src/gen/pairdb/v1/admin_pb.ts";
import { KeyValueService } from "../../../src/gen/pairdb/v1/kv_pb.ts";
import { StorageNodeService } from "../../../src/gen/pairdb/v1/storage_node_pb.ts";
import { TenantService } from "../../../src/gen/pairdb/v1/tenant_pb.ts";
import { DEFAULT_PORT_LIMITS } from "../../../src/rpc/limits.ts";
import { timeoutOf } from "../../../src/rpc/timeouts.ts";

const LIMITS = {
  ...DEFAULT_PORT_LIMITS,
  readTimeoutMs: 1000,
  writeTimeoutMs: 2000,
  streamTimeoutMs: 3000,
};

/** Unary methods whose work grows with what is stored. */
const LONG: readonly DescMethod[] = [
  ...[AdminService.method.flush, AdminService.method.compact],
  ...[AdminService.method.createSnapshot, AdminService.method.verifySnapshot],
  ...[AdminService.method.deleteSnapshot, AdminService.method.registerMergeFunction],
  ...[AdminService.method.invalidateCache, AdminService.method.fillCache],
  ...[TenantService.method.dropTenant, StorageNodeService.method.getKeyRange],
];

const SERVICES = [AdminService, KeyValueService, StorageNodeService, TenantService];

Deno.test("timeouts: a snapshot and other work that grows with the store has the time of a stream, other calls have not", () => {
  for (const method of SERVICES.flatMap(({ methods }): readonly DescMethod[] => methods)) {
    if (method.methodKind !== "unary") continue;
    const time = timeoutOf(method, LIMITS);
    if (LONG.includes(method)) assert.equal(time, LIMITS.streamTimeoutMs, method.name);
    else assert.ok(time === LIMITS.readTimeoutMs || time === LIMITS.writeTimeoutMs, method.name);
  }
});

Deno.test("timeouts: a scan has the time of a stream, a watch lasts as long as its client", () => {
  assert.equal(timeoutOf(KeyValueService.method.scan, LIMITS), LIMITS.streamTimeoutMs);
  assert.equal(timeoutOf(KeyValueService.method.watch, LIMITS), undefined);
});
