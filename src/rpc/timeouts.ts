/**
 * How long calls may take, by their method.
 * @module
 */
import type { DescMethod } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { AdminService } from "../gen/pairdb/v1/admin_pb.ts";
import { KeyValueService } from "../gen/pairdb/v1/kv_pb.ts";
import { StorageNodeService } from "../gen/pairdb/v1/storage_node_pb.ts";
import { TenantService } from "../gen/pairdb/v1/tenant_pb.ts";
import { Health } from "../gen/grpc/health/v1/health_pb.ts";
import type { PortLimits } from "./limits.ts";

/** Unary calls that do maintenance, or go through as much as is stored: they may take as long as a stream. */
const SLOW: ReadonlySet<DescMethod> = new Set<DescMethod>([
  AdminService.method.flush,
  AdminService.method.compact,
  AdminService.method.createSnapshot,
  AdminService.method.verifySnapshot,
  AdminService.method.deleteSnapshot,
  AdminService.method.invalidateCache,
  AdminService.method.fillCache,
  AdminService.method.registerMergeFunction,
  TenantService.method.dropTenant,
  StorageNodeService.method.getKeyRange,
]);

/** Streams that wait for changes, and so have no natural end. */
const ENDLESS: ReadonlySet<DescMethod> = new Set<DescMethod>([
  Health.method.watch,
  KeyValueService.method.watch,
]);

/** The longest that a call of a method may take, in ms; undefined: as long as the client stays. */
export function timeoutOf(method: DescMethod, limits: PortLimits): number | undefined {
  if (ENDLESS.has(method)) return undefined;
  if (method.methodKind !== "unary" || SLOW.has(method)) return limits.streamTimeoutMs;
  return method.idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS
    ? limits.readTimeoutMs
    : limits.writeTimeoutMs;
}
