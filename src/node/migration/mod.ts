/**
 * Migrations: moving a range to another node while it is written to, and draining a node. `migrations.ts` has
 * all of a node's, `migration.ts` is one.
 * @module
 */
export { DEFAULT_MIGRATION_LIMITS, type MigrationLimits } from "./limits.ts";
export { Migrations } from "./migrations.ts";
export { NOTHING, type Peer, type PeerIdentity, type Peers } from "./peer.ts";
export type { MigrationRange } from "./records.ts";
