/**
 * The services, one file for each service of proto/: translate, call down, translate back.
 * @module
 */
export { adminService } from "./admin.ts";
export { healthService } from "./health.ts";
export { keyValueService } from "./kv.ts";
export { Catalog, reflectionAlphaService, reflectionService } from "./reflection.ts";
export { storageNodeService } from "./storage_node.ts";
export { tenantService } from "./tenant.ts";
