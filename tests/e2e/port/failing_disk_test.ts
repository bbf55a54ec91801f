/**
 * A node whose disk fails or lies, as its clients see it: the real engine on a simulated disk behind a real port.
 * @module
 */
import assert from "node:assert/strict";
import type { DescMethod } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { KeyValueService } from "../../../src/gen/pairdb/v1/kv_pb.ts";
import { StorageNodeService } from "../../../src/gen/pairdb/v1/storage_node_pb.ts";
import { TenantService } from "../../../src/gen/pairdb/v1/tenant_pb.ts";
import { callJson } from "../../support/port.ts";
import { PROTOCOLS } from "../../support/raw_rpc.ts";
import { callShort, metricsOf, WELL, withSimPort } from "../../support/sim_port.ts";

const KV = KeyValueService.method;
const NODE = StorageNodeService.method;
const value = new Uint8Array([1]);
const vectorClock = { entries: [{ coordinatorNodeId: "n2", logicalTimestamp: 1n }] };

/** What every kind of write is asked. */
const WRITES: readonly (readonly [DescMethod, Record<string, unknown>])[] = [
  [KV.put, { tenantId: "t", key: "new", value }],
  [KV.put, { tenantId: "new", key: "new", value }],
  [KV.delete, { tenantId: "t", key: "memory" }],
  [KV.batchPut, { tenantId: "t", items: [{ key: "new", value }] }],
  [NODE.write, { tenantId: "t", key: "new", value, vectorClock }],
  [NODE.repair, { tenantId: "t", key: "new", value, vectorClock }],
  [NODE.delete, { tenantId: "t", key: "memory" }],
];

for (const protocol of PROTOCOLS) {
  Deno.test(`port: a log that cannot be synced ends writes and makes the node unhealthy, and reads go on, over ${protocol} [R7]`, () =>
    withSimPort(async (it) => {
      const { world, port, real } = it;
      assert.equal((await fetch(`${port.url}/readyz`).then(drop)).status, 200);
      world.disk.hook = ({ op, path }) => op === "sync" && path.includes("wal") ? "EIO" : undefined;
      // The one that met the failure may be there after a restart; those that come later never are.
      const first = await callShort(it, protocol, KV.put, { tenantId: "t", key: "first", value });
      assert.deepEqual([first.status, first.number], [Code.Internal, 2004]);
      assert.equal(first.details.outcome, "unknown");
      world.disk.hook = undefined;
      const { lastSequence } = real.status();
      for (const [method, init] of WRITES) {
        const { status, number, details } = await callShort(it, protocol, method, init);
        assert.deepEqual([status, number], [Code.Internal, 2004], method.name);
        assert.equal(details.outcome, "not_applied", method.name);
      }
      const made = await callShort(it, protocol, TenantService.method.createTenant, {
        tenantId: "new",
      });
      assert.deepEqual([made.status, made.number], [Code.Internal, 2004]);
      assert.equal(real.status().lastSequence, lastSequence);
      assert.deepEqual(real.listTenants().map(({ tenant }) => tenant), ["t"]);

      for (const key of ["memory", "table 10", "table 29"]) {
        assert.deepEqual(await callShort(it, protocol, KV.get, { tenantId: "t", key }), WELL, key);
        assert.deepEqual(
          await callShort(it, protocol, NODE.read, { tenantId: "t", key }),
          WELL,
          key,
        );
      }
      assert.deepEqual(await callShort(it, protocol, KV.scan, { tenantId: "t" }), WELL);
      const absent = await callShort(it, protocol, KV.get, { tenantId: "t", key: "first" });
      assert.equal(absent.number, 1001, "what was never acknowledged is not shown");

      const { json: health } = await callJson(port, "StorageNodeService/HealthCheck", {});
      assert.equal(health.status, "unhealthy");
      assert.match(String((health.reasons as string[])[0]), /^writes are refused.*EIO/);
      const ready = await fetch(`${port.url}/readyz`);
      assert.match(await ready.text(), /writes are refused/);
      assert.equal(ready.status, 503);
      assert.match(await metricsOf(it), /^pairdb_health\{state="unhealthy"\} 1$/m);
    }));

  Deno.test(`port: a table that the disk does not give is 2006, and what is elsewhere is served, over ${protocol} [R7]`, () =>
    withSimPort(async (it) => {
      it.world.disk.hook = ({ op, path }) =>
        op === "readAt" && path.endsWith(".sst") ? "EIO" : undefined;
      const lost = { tenantId: "t", key: "table 15" };
      for (const [method, init] of [[KV.get, lost], [NODE.read, lost], [KV.scan, lost]] as const) {
        const { tenantId, ...rest } = init;
        const asked = method === KV.scan ? { tenantId } : { tenantId, ...rest };
        const { status, number, details } = await callShort(it, protocol, method, asked);
        assert.deepEqual([status, number], [Code.Internal, 2006], method.name);
        assert.equal(details.errno, "EIO");
      }
      const memory = { tenantId: "t", key: "memory" };
      assert.deepEqual(await callShort(it, protocol, KV.get, memory), WELL);
      assert.equal(it.real.status().counters.checksumFailures, 0, "it may pass: no damage");
      const told = it.world.log.named("disk failed");
      assert.equal(told.length, 3);
      for (const { level, fields } of told) {
        assert.deepEqual([level, fields.errno], ["error", "EIO"]);
        assert.match(String(fields.file), /^\/data\/tenants\/.*\.sst$/);
      }
      assert.match(await metricsOf(it), /^pairdb_disk_failures_total 3$/m);
      it.world.disk.hook = undefined;
      assert.deepEqual(await callShort(it, protocol, KV.get, lost), WELL);
    }));

  Deno.test(`port: a flipped bit of a table is 1006, logged with its place, and counted, and other keys are served, over ${protocol} [R5, R6]`, () =>
    withSimPort(async (it) => {
      const { world, port } = it;
      const [dir] = world.disk.list("/data/tenants");
      const [name] = world.disk.list(`/data/tenants/${dir}`);
      const file = `/data/tenants/${dir}/${name}`;
      // In the first of its blocks.
      world.disk.corrupt(file, 200, 1);
      const first = { tenantId: "t", key: "table 10" };
      let met = 0;
      for (
        const [method, init] of [[KV.get, first], [NODE.read, first], [KV.scan, first]] as const
      ) {
        const { tenantId, ...rest } = init;
        const asked = method === KV.scan ? { tenantId } : { tenantId, ...rest };
        const { status, number, details } = await callShort(it, protocol, method, asked);
        met++;
        assert.deepEqual([status, number], [Code.DataLoss, 1006], method.name);
        assert.equal(details.file, file);
        assert.ok(Number(details.offset) <= 200, details.offset);
        const told = world.log.named("damaged data");
        assert.equal(told.length, met);
        const { level, fields } = told.at(-1)!;
        assert.deepEqual([level, fields.file, String(fields.offset)], [
          "error",
          file,
          details.offset,
        ]);
        assert.notEqual(fields.found, fields.expected);
      }
      for (const key of ["memory", "table 29"]) {
        assert.deepEqual(await callShort(it, protocol, KV.get, { tenantId: "t", key }), WELL, key);
      }
      const metrics = await metricsOf(it);
      assert.match(metrics, new RegExp(`^pairdb_checksum_failures_total ${met}$`, "m"));
      assert.match(
        metrics,
        new RegExp(`^pairdb_corrupted_entries_total\\{place="tables"\\} ${met}$`, "m"),
      );
      const { json: health } = await callJson(port, "StorageNodeService/HealthCheck", {});
      assert.equal(health.status, "degraded");
      assert.ok((health.reasons as string[]).includes(`damaged data was met: ${met} times`));
      // Nothing is written over what is damaged in silence: writes of other keys go on.
      assert.deepEqual(
        await callShort(it, protocol, KV.put, { tenantId: "t", key: "new", value }),
        WELL,
      );
    }));
}

async function drop(response: Response): Promise<Response> {
  await response.body?.cancel();
  return response;
}
