/**
 * StorageNodeService: one node's own copy, for coordinators and for nodes that take it over.
 * @module
 */
import type { ServiceImpl } from "@connectrpc/connect";
import { PairError } from "../../model/mod.ts";
import { type ReadResult, type StorageNode, valueBytes } from "../../node/mod.ts";
import type { Clock } from "../../runtime/mod.ts";
import type { StorageNodeService } from "../../gen/pairdb/v1/storage_node_pb.ts";
import { answerName, readInTurn, turnKey } from "../answer_room.ts";
import { costOf, type FairGate, PIECE } from "../fair_gate.ts";
import { watchKey } from "../outcomes.ts";
import { fromClock, fromState, toClock, toCount } from "../convert.ts";
import { fromDrain } from "../migrations.ts";
import { fromBatch, fromKeyRange, toOrigin, toRange, toTransferEntries } from "../transfer.ts";

/**
 * Binds the service to a node.
 * @param clock  stamps health reports
 * @param fair   says which call may begin, and when
 */
export function storageNodeService(
  node: StorageNode,
  clock: Clock,
  fair: FairGate,
): Required<ServiceImpl<typeof StorageNodeService>> {
  return {
    async write({ tenantId, key, value, vectorClock }, { values }) {
      const watch = values.get(watchKey);
      const version = toClock(vectorClock);
      const write = () => {
        if (version === undefined) return node.put(tenantId, { key, value }, watch);
        const copy = { key, value, deleted: false, clock: version };
        return node.applyReplica(tenantId, copy, "write", watch);
      };
      const written = await fair.run(tenantId, costOf(1, value?.length ?? 0), write, watch);
      return { success: true, vectorClock: fromClock(written.clock) };
    },

    async read({ tenantId, key }, { values }) {
      // Between nodes versions are as they are stored: what clients see of them cannot be merged.
      const stored = () => node.read(tenantId, key, { asStored: true });
      const read = () => fair.run(tenantId, 1, stored, undefined);
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
      const remove = () => {
        if (version === undefined) return node.delete(tenantId, { key }, watch);
        const copy = { key, value: undefined, deleted: true, clock: version };
        return node.applyReplica(tenantId, copy, "delete", watch);
      };
      const written = await fair.run(tenantId, 1, remove, watch);
      return { success: true, vectorClock: fromClock(written.clock) };
    },

    async repair({ tenantId, key, value, vectorClock, timestamp, deleted }, { values }) {
      const version = toClock(vectorClock);
      if (version === undefined) {
        throw new PairError("InvalidArgument", "Cannot repair: the vector clock is missing");
      }
      const timestampMs = toCount(timestamp, "timestamp") || undefined;
      const watch = values.get(watchKey);
      const copy = { key, value, deleted, clock: version, timestampMs };
      const repair = () => node.applyReplica(tenantId, copy, "repair", watch);
      await fair.run(tenantId, costOf(1, value?.length ?? 0), repair, watch);
      return { success: true };
    },

    async replicateData(request, { values }) {
      const { tenantId, entries, checksum } = request;
      const taken = toTransferEntries(entries, tenantId);
      const origin = toOrigin(request);
      const watch = values.get(watchKey);
      const replicate = () => node.replicate(tenantId, taken, checksum, watch, origin);
      const bytes = entries.reduce((sum, { value }) => sum + (value?.length ?? 0), 0);
      const cost = Math.max(1, costOf(entries.length, bytes));
      return { success: true, ...await fair.run(tenantId, cost, replicate, watch) };
    },

    // Each message waits until the one before it was taken by the connection, and a client that goes away
    // ends the iteration, which closes the node's cursor.
    async *streamKeys(request, { signal }) {
      const { tenantId, resumeAfter, batchBytes } = request;
      const input = { ...toRange(request), resumeAfter, batchBytes };
      await fair.run(tenantId, PIECE, () => {}, undefined);
      signal.throwIfAborted();
      for await (const batch of node.streamKeys(tenantId, input, signal)) {
        yield fromBatch(batch);
        await fair.piece(tenantId, PIECE);
      }
    },

    async getKeyRange(request, { signal }) {
      const { tenantId, exact } = request;
      const tenant = tenantId === "" ? undefined : tenantId;
      return fromKeyRange(await node.keyRange(tenant, toRange(request), { exact, signal }));
    },

    async drainNode({ targetUrl, cancel }) {
      if (!cancel) return fromDrain(await node.drain(targetUrl === "" ? undefined : targetUrl));
      if (targetUrl !== "") {
        throw new PairError("InvalidArgument", "Cannot cancel the drain: it was given a target");
      }
      return fromDrain(await node.cancelDrain());
    },

    healthCheck() {
      const health = node.health();
      return {
        nodeId: node.nodeId,
        status: health.status,
        timestamp: BigInt(clock.wallMs()),
        reasons: [...health.reasons],
        metrics: { ...health.metrics },
        incarnation: node.incarnation,
      };
    },
  };
}
