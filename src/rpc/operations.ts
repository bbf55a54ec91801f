/**
 * Operations: what methods are to those who look at figures. A closed set, for labels.
 * @module
 */
import type { DescMethod } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { KeyValueService } from "../gen/pairdb/v1/kv_pb.ts";
import { StorageNodeService } from "../gen/pairdb/v1/storage_node_pb.ts";
import { TenantService } from "../gen/pairdb/v1/tenant_pb.ts";

/** A kind of work; `other` is what operators and probes ask for. */
export type Operation =
  | "read"
  | "write"
  | "delete"
  | "batch_read"
  | "batch_write"
  | "scan"
  | "transfer"
  | "tenant"
  | "other";

const kv = KeyValueService.method;
const node = StorageNodeService.method;

const OPERATIONS: ReadonlyMap<DescMethod, Operation> = new Map<DescMethod, Operation>([
  [kv.get, "read"],
  [kv.put, "write"],
  [kv.delete, "delete"],
  [kv.batchGet, "batch_read"],
  [kv.batchPut, "batch_write"],
  [kv.scan, "scan"],
  [node.read, "read"],
  [node.write, "write"],
  [node.delete, "delete"],
  [node.repair, "write"],
  [node.replicateData, "transfer"],
  [node.streamKeys, "transfer"],
  [node.getKeyRange, "transfer"],
  ...TenantService.methods.map((method): [DescMethod, Operation] => [method, "tenant"]),
]);

/** Calls that are about a node, not about its keys. */
const UPKEEP: ReadonlySet<DescMethod> = new Set<DescMethod>([node.drainNode, node.healthCheck]);

/** The operation that a method is. A call for keys that has no row is a read or a write; a stream is `other`. */
export function operationOf(method: DescMethod): Operation {
  const found = OPERATIONS.get(method);
  if (found !== undefined) return found;
  const isOfKeys = method.parent === KeyValueService || method.parent === StorageNodeService;
  if (!isOfKeys || method.methodKind !== "unary" || UPKEEP.has(method)) return "other";
  return method.idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS ? "read" : "write";
}
