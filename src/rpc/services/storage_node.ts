/**
 * StorageNodeService: one node's own copy, for coordinators and for nodes that take it over. What is not
 * here yet (DrainNode) answers UNIMPLEMENTED.
 * @module
 */
import type { ServiceImpl } from "@connectrpc/connect";
import { PairError } from "../../model/mod.ts";
import { type ReadResult, type StorageNode, valueBytes } from "../../node/mod.ts";
import type { Clock } from "../../runtime/mod.ts";
import type { StorageNodeService } from "../../gen/pairdb/v1/storage_node_pb.ts";
import { answerName, readInTurn, turnKey } from "../answer_room.ts";
import { watchKey } from "../outcomes.ts";
import { fromClock, fromState, toClock, toCount } from "../convert.ts";
import { fromBatch, fromKeyRange, toRange, toTransferEntries } from "../transfer.ts";

/** Binds the service to a node. @param clock  stamps health reports */
export function storageNodeService(
  node: StorageNode,
  clock: Clock,
): Partial<ServiceImpl<typeof StorageNodeService>> {
  return {
    async write({ tenantId, key, value, vectorClock }, { values }) {
      const watch = values.get(watchKey);
      const version = toClock(vectorClock);
      const written = version === undefined
        ? await node.put(tenantId, { key, value }, watch)
        : await node.applyReplica(
          tenantId,
          { key, value, deleted: false, clock: version },
          "write",
          watch,
        );
      return { success: true, vectorClock: fromClock(written.clock) };
    },

    async read({ tenantId, key }, { values }) {
      const read = () => node.read(tenantId, key);
      const bytesOf = (found: ReadResult | undefined) =>
        found === undefined ? 0 : valueBytes(found);
      const name = answerName(tenantId, key);
      const found = await readInTurn(values.get(turnKey), { name, read, sizeOf: bytesOf });
      if (found === undefined) {
        throw new PairError("KeyNotFound", "Cannot read: the key has no value");
      }
      return { success: true, source: found.source, ...fromState(found) };
    },

    async delete({ tenantId, key, vectorClock }, { values }) {
      const watch = values.get(watchKey);
      const version = toClock(vectorClock);
      const written = version === undefined
        ? await node.delete(tenantId, { key }, watch)
        : await node.applyReplica(
          tenantId,
          { key, value: undefined, deleted: true, clock: version },
          "delete",
          watch,
        );
      return { success: true, vectorClock: fromClock(written.clock) };
    },

    async repair({ tenantId, key, value, vectorClock, timestamp, deleted }, { values }) {
      const version = toClock(vectorClock);
      if (version === undefined) {
        throw new PairError("InvalidArgument", "Cannot repair: the vector clock is missing");
      }
      const timestampMs = toCount(timestamp, "timestamp") || undefined;
      await node.applyReplica(
        tenantId,
        { key, value, deleted, clock: version, timestampMs },
        "repair",
        values.get(watchKey),
      );
      return { success: true };
    },

    async replicateData({ tenantId, entries, checksum }, { values }) {
      const taken = toTransferEntries(entries, tenantId);
      const watch = values.get(watchKey);
      return { success: true, ...await node.replicate(tenantId, taken, checksum, watch) };
    },

    // Each message waits until the one before it was taken by the connection, and a client that goes away
    // ends the iteration, which closes the node's cursor.
    async *streamKeys(request, { signal }) {
      const { tenantId, resumeAfter, batchBytes } = request;
      const input = { ...toRange(request), resumeAfter, batchBytes };
      for await (const batch of node.streamKeys(tenantId, input, signal)) yield fromBatch(batch);
    },

    async getKeyRange(request, { signal }) {
      const { tenantId, exact } = request;
      const tenant = tenantId === "" ? undefined : tenantId;
      return fromKeyRange(await node.keyRange(tenant, toRange(request), { exact, signal }));
    },

    healthCheck() {
      const health = node.health();
      return {
        nodeId: node.nodeId,
        status: health.status,
        timestamp: BigInt(clock.wallMs()),
        reasons: [...health.reasons],
        metrics: { ...health.metrics },
      };
    },
  };
}
