/**
 * Transfer: versions on their way from one node to another.
 * @module
 */
import type { TokenRange, VectorClock, Version } from "../../model/mod.ts";
import type { TenantOptions } from "./tenants.ts";

/** A version that another node made. */
export interface ReplicaWrite {
  /** 1 to 1024 bytes of UTF-8 without control characters. */
  readonly key: string;
  /** Undefined for a delete, and for nothing else. */
  readonly value: Uint8Array | undefined;
  /** Whether the version is a delete. */
  readonly deleted: boolean;
  /**
   * All that the version has seen, itself included; at least one event, and none that cannot have happened:
   * see src/model/plausible.ts.
   */
  readonly clock: VectorClock;
  /** Wall time of the write, ms since 1970; absent or 0: now, or that of the same version here. */
  readonly timestampMs?: number | undefined;
}

/** What a tenant is on the node that its data come from. */
export interface TenantOrigin {
  readonly options: TenantOptions;
  /** SHA-256 of the source of the merge function that its conflict strategy names, in hex; absent: not compared. */
  readonly mergeFunctionDigest?: string | undefined;
}

/** One version of a key on its way from one node to another. */
export interface TransferEntry {
  readonly key: string;
  readonly version: Version;
}

/** Which keys of a tenant are meant; bounds as of {@link ScanInput}, all together narrow it. */
export interface RangeInput {
  /** The first key, inclusive. */
  readonly start?: string;
  /** The end, exclusive. */
  readonly end?: string;
  /** Keys with tokens in there. */
  readonly tokens?: TokenRange | undefined;
}

/** What a stream of versions is asked for. */
export interface StreamInput extends RangeInput {
  /** The checkpoint of an earlier stream: go on behind this key. Absent or empty: from the first. */
  readonly resumeAfter?: string;
  /** Bytes of one batch; absent or 0: 256 KiB; at most 8 MiB. One large version may exceed it. */
  readonly batchBytes?: number;
}

/** What a range holds. */
export interface TransferTotals {
  readonly keys: number;
  readonly versions: number;
  /** Versions that are deletes. */
  readonly tombstones: number;
  /** Of keys and encoded versions. */
  readonly bytes: number;
  /** Over all versions in their order; see `src/model/transfer_checksum.ts`. */
  readonly checksum: number;
}

/** A part of a stream of versions. */
export interface TransferBatch {
  /** By key, the versions of a key in canonical order. At most 500; none where a range of tokens has had none for 10 s, or at the end. */
  readonly entries: readonly TransferEntry[];
  /** Over the entries. */
  readonly checksum: number;
  /** Of this key, and of all before it, every version is out; empty before there is one. */
  readonly checkpoint: string;
  /** Of the whole stream, in its last batch; undefined before. */
  readonly totals: TransferTotals | undefined;
}

/** What a node did with a batch of versions. */
export interface Replicated {
  readonly keys: number;
  readonly versions: number;
  /** Versions that the node did not have, nor anything that replaces them. */
  readonly applied: number;
  /** The last key of the batch. */
  readonly lastKey: string;
}

/** Figures of a range. */
export interface KeyRangeInfo {
  /** The first key that holds any version; empty when there is none. */
  readonly first: string;
  readonly last: string;
  /** Exact with {@link totals}; else estimated, before layers are merged. */
  readonly keys: number;
  /** The same, of keys and encoded versions. */
  readonly bytes: number;
  /** Undefined for an estimate. */
  readonly totals: TransferTotals | undefined;
}
