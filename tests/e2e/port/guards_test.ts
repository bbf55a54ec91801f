/**
 * A node's guards that no other file has, as clients see them: what is refused has its number, its status and its
 * facts over every protocol, changes nothing, and is taken once the guard has let go. The others: disk
 * (`../full_disk_test.ts`), memory (`short_memory_test.ts`), quotas (`quotas_test.ts`), hot keys
 * (`../hot_keys_test.ts`), queues of tenants (`fair_test.ts`).
 * @module
 */
import assert from "node:assert/strict";
import type { DescMethod } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { KeyValueService } from "../../../src/gen/pairdb/v1/kv_pb.ts";
import { StorageNodeService } from "../../../src/gen/pairdb/v1/storage_node_pb.ts";
import { TenantService } from "../../../src/gen/pairdb/v1/tenant_pb.ts";
import { EMPTY_CLOCK, MAX_SIBLINGS } from "../../../src/model/mod.ts";
import type { Peer } from "../../../src/node/mod.ts";
import { SMALL } from "../../support/engine.ts";
import { bytes } from "../../support/node.ts";
import { callRaw, encodeMessage, type Protocol, PROTOCOLS } from "../../support/raw_rpc.ts";
import { callShort, metricsOf, type SimPort, WELL, withSimPort } from "../../support/sim_port.ts";

const KV = KeyValueService.method;
const NODE = StorageNodeService.method;
const value = new Uint8Array([1]);
const vectorClock = { entries: [{ coordinatorNodeId: "n2", logicalTimestamp: 1n }] };

/** Two tables on level 0 stop writers, and no compaction comes by itself. */
const BEHIND = {
  ...SMALL.compaction,
  l0Trigger: 1000,
  l0Slowdown: 2,
  l0Stop: 2,
  baseLevelSize: 1 << 30,
};

/** A node that does not answer. */
const NOBODY: Peer = {
  identity: (signal) =>
    new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
  replicate: () => Promise.reject(new Error("it was not asked who it is")),
  count: () => Promise.reject(new Error("it was not asked who it is")),
  close() {},
};

/** A method and what it is asked. */
type Ask = readonly [DescMethod, Record<string, unknown>];

/** What every kind of write is asked. */
const WRITES: readonly Ask[] = [
  [KV.put, { tenantId: "t", key: "new", value }],
  [KV.batchPut, { tenantId: "t", items: [{ key: "new", value }] }],
  [KV.delete, { tenantId: "t", key: "memory" }],
  [NODE.write, { tenantId: "t", key: "new", value, vectorClock }],
  [NODE.repair, { tenantId: "t", key: "new", value, vectorClock }],
  [NODE.delete, { tenantId: "t", key: "memory", vectorClock }],
];

/** A refusal, on the wire and in the details. */
interface Refusal {
  readonly number: number;
  readonly status: Code;
  /** Of Connect's unary calls; all others have 200. */
  readonly http: number;
  readonly facts: Readonly<Record<string, string>>;
}

/** Demands that a call is refused so. @param meanwhile  runs until the answer is there */
async function refused(
  { port }: SimPort,
  protocol: Protocol,
  [method, init]: Ask,
  { number, status, http, facts }: Refusal,
  meanwhile?: () => Promise<void>,
): Promise<void> {
  let isAnswered = false;
  const call = callRaw(port.url, protocol, method, encodeMessage(protocol, method.input, init))
    .finally(() => isAnswered = true);
  while (meanwhile !== undefined && !isAnswered) await meanwhile();
  const answer = await call;
  const isUnary = protocol.startsWith("Connect") && method.methodKind === "unary";
  assert.deepEqual(
    [answer.detail?.code, answer.status, answer.httpStatus],
    [number, status, isUnary ? http : 200],
    `${method.name}: ${answer.message}`,
  );
  assert.partialDeepStrictEqual(answer.detail?.details, facts, method.name);
}

for (const protocol of PROTOCOLS) {
  Deno.test(`port: the 101st concurrent version of a key is 2008, and whoever has read the key may write, over ${protocol}`, () =>
    withSimPort(async (it) => {
      const { real } = it;
      for (let n = 0; n < MAX_SIBLINGS; n++) {
        await real.put("t", { key: "k", value: bytes(`${n}`), context: EMPTY_CLOCK });
      }
      const { lastSequence } = real.status();
      const unseen = { tenantId: "t", key: "k", value, vectorClock };
      const limits = { size: `${MAX_SIBLINGS + 1}`, limit: `${MAX_SIBLINGS}` };
      const expected = {
        number: 2008,
        status: Code.ResourceExhausted,
        http: 429,
        facts: { reason: "siblings", outcome: "not_applied", ...limits },
      };
      await refused(it, protocol, [KV.put, unseen], expected);
      await refused(it, protocol, [KV.batchPut, { tenantId: "t", items: [unseen] }], expected);
      await refused(it, protocol, [NODE.write, unseen], expected);
      assert.equal(real.status().lastSequence, lastSequence);
      assert.equal(real.get("t", "k")!.versions.length, MAX_SIBLINGS);
      const seen = { tenantId: "t", key: "k", value };
      assert.deepEqual(await callShort(it, protocol, KV.put, seen), WELL);
      assert.equal(real.get("t", "k")!.versions.length, 1);
    }));

  Deno.test(`port: a write that makes a clock too long is 2008, and whoever has read the key may write, over ${protocol}`, () =>
    withSimPort(async (it) => {
      const { real } = it;
      const counters = (prefix: string) =>
        Array.from({ length: 900 }, (_, n) => ({ node: `${prefix}${n}`, counter: 1 }));
      const clock = { entries: counters("a"), dots: [] };
      await real.applyReplica("t", { key: "k", value, deleted: false, clock }, "repair");
      const { lastSequence } = real.status();
      const entries = counters("b").map(({ node }) => ({
        coordinatorNodeId: node,
        logicalTimestamp: 1n,
      }));
      const unseen = { tenantId: "t", key: "k", value, vectorClock: { entries } };
      const expected = {
        number: 2008,
        status: Code.ResourceExhausted,
        http: 429,
        facts: { reason: "clock", outcome: "not_applied", size: "1801", limit: "1000" },
      };
      await refused(it, protocol, [KV.put, unseen], expected);
      await refused(it, protocol, [KV.batchPut, { tenantId: "t", items: [unseen] }], expected);
      await refused(it, protocol, [KV.delete, unseen], expected);
      assert.equal(real.status().lastSequence, lastSequence);
      const seen = { tenantId: "t", key: "k", value };
      assert.deepEqual(await callShort(it, protocol, KV.put, seen), WELL);
      assert.equal(real.get("t", "k")!.versions.length, 1);
    }));

  Deno.test(`port: while compactions are behind writes are 2008 after ten seconds, and reads go on, over ${protocol}`, () =>
    withSimPort(async (it) => {
      const { world, real } = it;
      await real.flush();
      const { lastSequence } = real.status();
      for (const ask of WRITES) {
        await refused(it, protocol, ask, {
          number: 2008,
          status: Code.ResourceExhausted,
          http: 429,
          facts: { reason: "write_stall", outcome: "not_applied" },
        }, () => world.clock.advance(100));
      }
      assert.equal(real.status().lastSequence, lastSequence);
      for (const [method, key] of [[KV.get, "memory"], [NODE.read, "table 10"]] as const) {
        assert.deepEqual(await callShort(it, protocol, method, { tenantId: "t", key }), WELL);
      }
      assert.match(
        await metricsOf(it),
        /^pairdb_refusals_total\{operation="write",reason="write_stall"\} 3$/m,
      );
      await real.compact("t");
      for (const [method, init] of WRITES) {
        assert.deepEqual(await callShort(it, protocol, method, init), WELL, method.name);
      }
    }, { engine: { compaction: BEHIND } }));

  Deno.test(`port: a node that is drained refuses writes as 2001, and reads go on, over ${protocol}`, () =>
    withSimPort(async (it) => {
      const { real } = it;
      await real.drain("n2");
      const { lastSequence } = real.status();
      const tenant: Ask = [TenantService.method.createTenant, { tenantId: "new" }];
      const facts = { reason: "draining" };
      const expected = { number: 2001, status: Code.Unavailable, http: 503, facts };
      for (const ask of WRITES) {
        await refused(it, protocol, ask, {
          ...expected,
          facts: { ...facts, outcome: "not_applied" },
        });
      }
      await refused(it, protocol, tenant, expected);
      assert.equal(real.status().lastSequence, lastSequence);
      assert.deepEqual(real.listTenants().map(({ tenant }) => tenant), ["t"]);
      for (const [method, key] of [[KV.get, "memory"], [NODE.read, "table 10"]] as const) {
        assert.deepEqual(await callShort(it, protocol, method, { tenantId: "t", key }), WELL);
      }
      await real.cancelDrain();
      for (const [method, init] of [...WRITES, tenant]) {
        assert.deepEqual(await callShort(it, protocol, method, init), WELL, method.name);
      }
    }, { node: { peers: { open: () => NOBODY } } }));

  Deno.test(`port: a watch too many is 2008, over ${protocol}`, () =>
    withSimPort(async (it) => {
      const { real } = it;
      const watch = real.watch("t", {});
      await watch.next();
      await refused(it, protocol, [KV.watch, { tenantId: "t" }], {
        number: 2008,
        status: Code.ResourceExhausted,
        http: 429,
        facts: { reason: "watches", limit: "1" },
      });
      assert.equal(real.status().counters.watchers, 1);
      await watch.return(undefined);
      assert.equal(real.status().counters.watchers, 0);
    }, { node: { watch: { maxWatchers: 1, historySize: 10_000, lingerMs: 0 } } }));
}
