/**
 * Transfers for tests: batches made by hand, and a mover from one node to another.
 * @module
 */
import { addToChecksum, encodeVersions, utf8 } from "../../src/model/mod.ts";
import type { TransferEntry } from "../../src/node/mod.ts";
import { fromBatch } from "../../src/rpc/transfer.ts";

/** The checksum of entries, as a sender makes it. */
export function checksumOf(entries: readonly TransferEntry[]): number {
  return entries.reduce(
    (sum, { key, version }) => addToChecksum(utf8(key), encodeVersions([version]), sum),
    0,
  );
}

/** Entries as the fields of a ReplicateData. */
export function transferOf(entries: readonly TransferEntry[]) {
  const checksum = checksumOf(entries);
  const message = fromBatch({ entries, checksum, checkpoint: "", totals: undefined });
  return { entries: message.entries!, checksum };
}
