/**
 * The other node of a migration, as far as the source needs it. How it is reached is not known here: the
 * floors above bring it.
 * @module
 */
import type { Replicated, TenantOrigin, TransferEntry, TransferTotals } from "../api.ts";
import type { MigrationRange } from "./records.ts";

/** Who another node is. */
export interface PeerIdentity {
  /** Its name. */
  readonly nodeId: string;
  /** Of its data directory: where it is another, it does not have what it had. */
  readonly incarnation: string;
}

/**
 * The target of a migration. Its calls connect when there is a need, and may be made again after any failure:
 * merging takes in twice what comes twice. Each fails within a time of its own, with a PairError: 1xxx says that
 * it is of no use to try again, except for ChecksumFailed (1006) and what has the detail `reason: clock_skew`.
 */
export interface Peer {
  /** Who it is. */
  identity(signal: AbortSignal): Promise<PeerIdentity>;
  /**
   * Has it merge a batch in; durable when the promise resolves. See `StorageNode.replicate`.
   * @param origin  what the tenant is here; undefined: there is none any more
   */
  replicate(
    tenant: string,
    origin: TenantOrigin | undefined,
    entries: readonly TransferEntry[],
    checksum: number,
    signal: AbortSignal,
  ): Promise<Replicated>;
  /**
   * Counts what it holds of a range; all zeros where it has no such tenant.
   * @returns undefined when that is too much to be counted in time
   */
  count(
    tenant: string,
    range: MigrationRange,
    signal: AbortSignal,
  ): Promise<TransferTotals | undefined>;
  /** Ends its connection. */
  close(): void;
}

/** Finds peers. */
export interface Peers {
  /**
   * A node by its address. Does not connect yet.
   * @throws PairError InvalidArgument (1000) when the address is none
   */
  open(target: string): Peer;
}

/** What a node that holds nothing of a range counts. */
export const NOTHING: TransferTotals = {
  keys: 0,
  versions: 0,
  tombstones: 0,
  bytes: 0,
  checksum: 0,
};
