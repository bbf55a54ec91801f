/**
 * Tenants: what they have of their own, and how much.
 * @module
 */
import type { TreeOptions } from "../../engine/mod.ts";

/** What a tenant has of its own; see {@link TreeOptions}. */
export type TenantOptions = TreeOptions;

/** A function of the application that merges concurrent values, of tenants with `merge:<name>`. */
export interface MergeFunctionInfo {
  /** As in `merge:<name>`. */
  readonly name: string;
  /** SHA-256 of its source, in hex. */
  readonly digest: string;
  /** Of the source. */
  readonly bytes: number;
  /** Wall time, ms since 1970. */
  readonly registeredAtMs: number;
  /** How many tenants were created with it. */
  readonly tenants: number;
}

/** How much a tenant has. */
export interface TenantSize {
  /** Of keys and values, before compression. */
  readonly bytes: number;
  /** Keys. */
  readonly keys: number;
}

/** What a tenant uses of its quotas. Sizes are estimates and never too low, see `quotas.ts`; the rest counts from the start of the node. */
export interface TenantUsage extends TenantSize {
  /** Keys that were asked for or written, and scans. */
  readonly requests: number;
  /** Of keys and values that were written. */
  readonly bytesIn: number;
  /** Of values that were read. */
  readonly bytesOut: number;
  /** Requests that a quota, or the limit of a hot key, has refused. */
  readonly refused: number;
  /** Bytes that it holds of the caches. */
  readonly cacheBytes: number;
}

/** Facts about a tenant. */
export interface TenantInfo {
  /** The tenant's id. */
  readonly tenant: string;
  /** Wall time of its creation, ms since 1970. */
  readonly createdAtMs: number;
  /** Bytes in its memtables and tables, before merging: an upper bound. */
  readonly bytes: number;
  /** SSTables. */
  readonly tables: number;
  readonly options: TenantOptions;
  readonly usage: TenantUsage;
}
