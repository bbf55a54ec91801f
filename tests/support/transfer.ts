/**
 * Transfers for tests: batches made by hand, and a mover from one node to another.
 * @module
 */
import assert from "node:assert/strict";
import { type Client, createClient } from "@connectrpc/connect";
import {
  type KeyValueEntry,
  StorageNodeService,
  type TransferTotals,
} from "../../src/gen/pairdb/v1/storage_node_pb.ts";
import { addToChecksum, encodeVersions, utf8 } from "../../src/model/mod.ts";
import type { TransferEntry } from "../../src/node/mod.ts";
import { connectHttp2 } from "../../src/rpc/http2/mod.ts";
import { fromBatch } from "../../src/rpc/transfer.ts";
import { denoClock, denoNetwork } from "../../src/runtime/mod.ts";
import { ownTransport } from "./own_transport.ts";

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

/** A client of a node's own service, over a connection of ours. */
export interface Peer {
  readonly node: Client<typeof StorageNodeService>;
  /** Ends the connection, at once. */
  close(): Promise<void>;
}

/** Connects to a node as another node would. */
export async function connectPeer(port: number): Promise<Peer> {
  const connection = await connectHttp2(denoNetwork(), { host: "127.0.0.1", port }, {
    clock: denoClock(),
  });
  const ended = new Promise<void>((resolve) => connection.whenEnded(resolve));
  const transport = ownTransport(connection, port);
  return {
    node: createClient(StorageNodeService, transport),
    close() {
      connection.destroy();
      return ended;
    },
  };
}

/** How a range is moved. */
export interface MoveOptions {
  readonly tenant: string;
  readonly tokenRange?: { readonly start: Uint8Array; readonly end: Uint8Array };
  /** Where an earlier attempt had got to. */
  readonly checkpoint?: string;
  readonly batchBytes?: number;
  /** Told after each batch that the target has, with where to go on. */
  readonly onBatch?: (checkpoint: string, batches: number) => void | Promise<void>;
}

/** Moves a range from one node to another, one batch after the other. @returns what the source says it sent */
export async function move(
  source: Peer,
  target: Peer,
  { tenant: tenantId, tokenRange, checkpoint, batchBytes, onBatch }: MoveOptions,
): Promise<TransferTotals> {
  let batches = 0;
  const request = { tenantId, tokenRange, resumeAfter: checkpoint, batchBytes };
  for await (const batch of source.node.streamKeys(request)) {
    const { entries, checksum, totals } = batch;
    if (entries.length > 0) {
      const done = await target.node.replicateData({ tenantId, entries, checksum });
      assert.equal(done.lastKey, entries.at(-1)!.key);
      await onBatch?.(batch.checkpoint, ++batches);
    }
    if (totals !== undefined) return totals;
  }
  throw new Error("the stream ended without totals");
}

/** All that a node holds of a tenant, or of tokens of it, version by version, and what it says that it comes to. */
export async function contentOf(
  peer: Peer,
  tenantId: string,
  tokenRange?: MoveOptions["tokenRange"],
) {
  const entries: KeyValueEntry[] = [];
  let totals: TransferTotals | undefined;
  for await (const message of peer.node.streamKeys({ tenantId, tokenRange })) {
    entries.push(...message.entries);
    totals = message.totals;
  }
  assert.ok(totals !== undefined, "the stream was cut off");
  return { entries, totals };
}
