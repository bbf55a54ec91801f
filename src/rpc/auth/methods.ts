/**
 * The method table: for every RPC who may call it, whether it changes anything, and where its tenant
 * stands. A method without a row does not compile, and a service without a table does not start.
 *
 *   - Keys and values are for clients of the tenant, and for operators.
 *   - A node's own copies are for nodes alone: an operator's token is in more hands, and a write by
 *     this way chooses its own version. The health report is for operators too; `pairdb health` asks it.
 *   - Tenants as objects, and a node's upkeep, are for operators: their lists tell of all tenants. One
 *     list has keys: clients see it of their own tenants, each of which they have to name.
 *   - Draining a node and moving its data are for both: whoever puts nodes together, and whoever runs them.
 *   - Health is for probes, which have no token. Reflection tells what is in the published proto files,
 *     and nothing of the store.
 * @module
 */
import type { DescMethod, DescService } from "@bufbuild/protobuf";
import { AdminService } from "../../gen/pairdb/v1/admin_pb.ts";
import { KeyValueService } from "../../gen/pairdb/v1/kv_pb.ts";
import { StorageNodeService } from "../../gen/pairdb/v1/storage_node_pb.ts";
import { TenantService } from "../../gen/pairdb/v1/tenant_pb.ts";
import { Health } from "../../gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import type { Role } from "./identity.ts";

/** What one method asks of its caller. */
export interface MethodRule {
  /** Who may call; `anyone`: no credentials are looked at. */
  readonly roles: readonly Role[] | "anyone";
  readonly access: "read" | "write";
  /** The field of the request that names the tenant; undefined: the method is about no tenant. */
  readonly tenant: "tenantId" | undefined;
}

type Rules<S extends DescService> = { readonly [Method in keyof S["method"]]: MethodRule };

const KEYS: readonly Role[] = ["client", "operator"];

const KEY_VALUE: Rules<typeof KeyValueService> = {
  put: rule(KEYS, "write", "tenantId"),
  get: rule(KEYS, "read", "tenantId"),
  explainGet: rule(KEYS, "read", "tenantId"),
  delete: rule(KEYS, "write", "tenantId"),
  batchPut: rule(KEYS, "write", "tenantId"),
  batchGet: rule(KEYS, "read", "tenantId"),
  scan: rule(KEYS, "read", "tenantId"),
  watch: rule(KEYS, "read", "tenantId"),
};

const STORAGE_NODE: Rules<typeof StorageNodeService> = {
  write: rule(["node"], "write", "tenantId"),
  read: rule(["node"], "read", "tenantId"),
  delete: rule(["node"], "write", "tenantId"),
  repair: rule(["node"], "write", "tenantId"),
  replicateData: rule(["node"], "write", "tenantId"),
  streamKeys: rule(["node"], "read", "tenantId"),
  getKeyRange: rule(["node"], "read", "tenantId"),
  drainNode: rule(["node", "operator"], "write"),
  healthCheck: rule(["node", "operator"], "read"),
};

const TENANT: Rules<typeof TenantService> = {
  createTenant: rule(["operator"], "write", "tenantId"),
  updateTenant: rule(["operator"], "write", "tenantId"),
  listTenants: rule(["operator"], "read"),
  dropTenant: rule(["operator"], "write", "tenantId"),
};

const ADMIN: Rules<typeof AdminService> = {
  status: rule(["operator"], "read"),
  flush: rule(["operator"], "write", "tenantId"),
  compact: rule(["operator"], "write", "tenantId"),
  invalidateCache: rule(["operator"], "write", "tenantId"),
  fillCache: rule(["operator"], "write", "tenantId"),
  createSnapshot: rule(["operator"], "write"),
  listSnapshots: rule(["operator"], "read"),
  verifySnapshot: rule(["operator"], "read"),
  deleteSnapshot: rule(["operator"], "write"),
  startScrub: rule(["operator"], "write"),
  listSlowOperations: rule(["operator"], "read", "tenantId"),
  listJobs: rule(["operator"], "read"),
  listHotKeys: rule(KEYS, "read", "tenantId"),
  registerMergeFunction: rule(["operator"], "write"),
  listMergeFunctions: rule(["operator"], "read"),
  removeMergeFunction: rule(["operator"], "write"),
  startMigration: rule(["node", "operator"], "write", "tenantId"),
  listMigrations: rule(["node", "operator"], "read"),
  cancelMigration: rule(["node", "operator"], "write"),
};

const HEALTH: Rules<typeof Health> = {
  check: rule("anyone", "read"),
  watch: rule("anyone", "read"),
};

const REFLECTION: Rules<typeof ServerReflection> = { serverReflectionInfo: rule("anyone", "read") };
const REFLECTION_ALPHA: Rules<typeof ServerReflectionAlpha> = REFLECTION;

const RULES: ReadonlyMap<DescMethod, MethodRule> = new Map([
  ...rows(KeyValueService, KEY_VALUE),
  ...rows(StorageNodeService, STORAGE_NODE),
  ...rows(TenantService, TENANT),
  ...rows(AdminService, ADMIN),
  ...rows(Health, HEALTH),
  ...rows(ServerReflection, REFLECTION),
  ...rows(ServerReflectionAlpha, REFLECTION_ALPHA),
]);

/**
 * A method's row. It is looked up by the method that a request was resolved to, never by the text of
 * its path, so that no other spelling of a path has another row.
 * @throws Error when there is none: a bug, that must not start
 */
export function ruleOf(method: DescMethod): MethodRule {
  const found = RULES.get(method);
  if (found === undefined) {
    throw new Error(`${method.parent.typeName}.${method.name} has no row in the method table`);
  }
  return found;
}

function rule(
  roles: MethodRule["roles"],
  access: MethodRule["access"],
  tenant?: "tenantId",
): MethodRule {
  return { roles, access, tenant };
}

function rows<S extends DescService>(service: S, rules: Rules<S>): [DescMethod, MethodRule][] {
  const byName: Readonly<Record<string, MethodRule>> = rules;
  return service.methods.map((method) => [method, byName[method.localName]]);
}
