/**
 * A node whose memory gets short, as its clients see it: writes are refused, reads go on, and it recovers by itself.
 * @module
 */
import assert from "node:assert/strict";
import { Code } from "@connectrpc/connect";
import { KeyValueService } from "../../../src/gen/pairdb/v1/kv_pb.ts";
import { StorageNodeService } from "../../../src/gen/pairdb/v1/storage_node_pb.ts";
import { callJson } from "../../support/port.ts";
import { PROTOCOLS } from "../../support/raw_rpc.ts";
import { callShort, WELL, withSimPort } from "../../support/sim_port.ts";

const KV = KeyValueService.method;
const NODE = StorageNodeService.method;
const value = new Uint8Array([1]);
const vectorClock = { entries: [{ coordinatorNodeId: "n2", logicalTimestamp: 1n }] };

for (const protocol of PROTOCOLS) {
  Deno.test(`port: short memory refuses writes as 2008 until it is over, and reads go on, over ${protocol} [M2, M3]`, () =>
    withSimPort(async (it) => {
      const { world, port, real } = it;
      let collections = 0;
      /** So much of the heap is left in use by each collection from now on. */
      const heap = async (share: number) => {
        const heapBytes = share * 1000;
        const used = { ...world.usage.used, heapBytes, heapLimitBytes: 1000 };
        world.usage.used = { ...used, collections: ++collections };
        await world.clock.advance(40_000);
      };
      await heap(0.95);
      await heap(0.95);
      const { lastSequence } = real.status();
      const writes = [
        [KV.put, { tenantId: "t", key: "new", value }],
        [KV.batchPut, { tenantId: "t", items: [{ key: "new", value }] }],
        [KV.delete, { tenantId: "t", key: "memory" }],
        [NODE.write, { tenantId: "t", key: "new", value, vectorClock }],
        [NODE.repair, { tenantId: "t", key: "new", value, vectorClock }],
      ] as const;
      for (const [method, init] of writes) {
        const { status, number, details } = await callShort(it, protocol, method, init);
        assert.deepEqual([status, number], [Code.ResourceExhausted, 2008], method.name);
        assert.deepEqual([details.reason, details.outcome], ["memory", "not_applied"], method.name);
      }
      assert.equal(real.status().lastSequence, lastSequence);
      for (const key of ["memory", "table 10"]) {
        assert.deepEqual(await callShort(it, protocol, KV.get, { tenantId: "t", key }), WELL);
        assert.deepEqual(await callShort(it, protocol, NODE.read, { tenantId: "t", key }), WELL);
      }
      const { json } = await callJson(port, "StorageNodeService/HealthCheck", {});
      assert.equal(json.status, "degraded");
      assert.match((json.reasons as string[]).join(), /memory is short/);

      await heap(0.5);
      for (const [method, init] of writes) {
        assert.deepEqual(await callShort(it, protocol, method, init), WELL, method.name);
      }
      assert.equal(real.health().status, "healthy");
    }));
}
