/**
 * Between the messages of migrations and drains and the node's values.
 * @module
 */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { tokenBytes } from "../model/mod.ts";
import type { DrainInfo, MigrationInfo } from "../node/mod.ts";
import type { DrainNodeResponseSchema, MigrationSchema } from "../gen/pairdb/v1/storage_node_pb.ts";

/** A migration as a message. */
export function fromMigration(info: MigrationInfo): MessageInitShape<typeof MigrationSchema> {
  const { tokens } = info;
  return {
    id: info.id,
    targetUrl: info.target,
    tenantId: info.tenant ?? "",
    keyRangeStart: info.start,
    keyRangeEnd: info.end,
    tokenRange: tokens && { start: tokenBytes(tokens.start), end: tokenBytes(tokens.end) },
    state: info.state,
    draining: info.draining,
    createdAt: BigInt(info.createdAtMs),
    endedAt: BigInt(info.endedAtMs),
    pendingKeys: BigInt(info.pendingKeys),
    fallsBehind: info.fallsBehind,
    error: info.error,
    keysCopied: BigInt(info.keysCopied),
    bytesCopied: BigInt(info.bytesCopied),
    keysStreamed: BigInt(info.keysStreamed),
    bytesStreamed: BigInt(info.bytesStreamed),
    piecesCompared: BigInt(info.piecesCompared),
    piecesResent: BigInt(info.piecesResent),
    keysResent: BigInt(info.keysResent),
    rescans: BigInt(info.rescans),
    retries: BigInt(info.retries),
  };
}

/** The answer of DrainNode. */
export function fromDrain(
  { drained, migration }: DrainInfo,
): MessageInitShape<typeof DrainNodeResponseSchema> {
  return { drained, migration: fromMigration(migration) };
}
