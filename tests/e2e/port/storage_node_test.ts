/**
 * StorageNodeService on a real node, every way that it can be called: what each answer says, field by field, and that
 * the node holds it.
 * @module
 */
import assert from "node:assert/strict";
import {
  create,
  type DescMethod,
  fromBinary,
  fromJson,
  type JsonValue,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import { AdminService } from "../../../src/gen/pairdb/v1/admin_pb.ts";
import { ErrorDetailSchema } from "../../../src/gen/pairdb/v1/common_pb.ts";
import { StorageNodeService } from "../../../src/gen/pairdb/v1/storage_node_pb.ts";
import { openPairDB } from "../../../src/embedded/mod.ts";
import { readToken } from "../../../src/model/mod.ts";
import type { Health, StorageNode } from "../../../src/node/mod.ts";
import { denoClock } from "../../../src/runtime/mod.ts";
import { Http2Peer } from "../../support/http2_by_hand.ts";
import { withPort } from "../../support/port.ts";
import { bodyOf, callBy, type Way, waysOf } from "../../support/ways.ts";

const NODE = StorageNodeService.method;
const ADMIN = AdminService.method;
const id = { tenantId: "t", key: "k" };
const VALUE = Uint8Array.of(5);

/** A clock of a message. */
function clock(...events: [node: string, counter: number][]) {
  return {
    entries: events.map(([coordinatorNodeId, counter]) => ({
      coordinatorNodeId,
      logicalTimestamp: BigInt(counter),
    })),
  };
}

/** The same as JSON has it. */
function shown(...events: [node: string, counter: number][]) {
  return {
    entries: events.map(([coordinatorNodeId, counter]) => ({
      coordinatorNodeId,
      logicalTimestamp: String(counter),
    })),
  };
}

/** Calls that are made one way. */
interface Call {
  /** @returns the one message, or what a failure says */
  <M extends DescMethod>(
    method: M,
    init: MessageInitShape<M["input"]>,
  ): Promise<Record<string, unknown>>;
  /** @returns every message of a stream, which must go well */
  all<M extends DescMethod>(
    method: M,
    init: MessageInitShape<M["input"]>,
  ): Promise<Record<string, unknown>[]>;
}

/** Runs `body` once for each way to call these methods, each on a node of its own. */
async function everyWay(
  methods: readonly DescMethod[],
  body: (call: Call, node: StorageNode) => Promise<void>,
): Promise<void> {
  const ways = methods.map(waysOf).reduce((a, b) => a.filter((way) => b.includes(way)));
  assert.ok(ways.length >= 11, `${ways.length} ways`);
  for (const way of ways) {
    await using db = await openPairDB({ memory: true });
    try {
      await withCalls(way, db.node, (call) => body(call, db.node));
    } catch (cause) {
      throw new Error(`${way.name}: ${(cause as Error).message}`, { cause });
    }
  }
}

async function withCalls(way: Way, node: StorageNode, body: (call: Call) => Promise<void>) {
  await withPort(async ({ port }) => {
    const peer = await Http2Peer.open(port.port);
    try {
      const outcomeOf = (method: DescMethod, init: Record<string, unknown>) => {
        const sent = { method, body: bodyOf(way, method, [create(method.input, init)]) };
        return callBy(way, { url: port.url, peer }, sent);
      };
      const one = async (method: DescMethod, init: Record<string, unknown>) => {
        const { code, message, details, messages } = await outcomeOf(method, init);
        if (code === "ok") return messages[0] as Record<string, unknown>;
        const [type, hex] = details[0].split(" ");
        assert.equal(type, ErrorDetailSchema.typeName);
        const detail = fromBinary(ErrorDetailSchema, Uint8Array.fromHex(hex));
        return { code, number: detail.code, message };
      };
      const all = async (method: DescMethod, init: Record<string, unknown>) => {
        const { code, message, messages } = await outcomeOf(method, init);
        assert.equal(code, "ok", message);
        return messages as Record<string, unknown>[];
      };
      await body(Object.assign(one, { all }));
    } finally {
      await peer.close();
    }
  }, { node, clock: { ...denoClock(), wallMs: () => 1_700_000_000_000 } });
}

Deno.test("a write is what Read gives, with its clock, its siblings, its time and where it was, every way [N2, N3, N4, E33]", () =>
  everyWay([NODE.write, NODE.read, NODE.repair], async (call, node) => {
    const n1 = node.nodeId;
    const made = await call(NODE.write, { ...id, value: VALUE });
    assert.deepEqual(made, { success: true, vectorClock: shown([n1, 1]) });
    const mine = node.get("t", "k")!.winner;
    assert.deepEqual(await call(NODE.read, id), {
      success: true,
      value: VALUE.toBase64(),
      vectorClock: shown([n1, 1]),
      source: "memtable",
      timestamp: String(mine.timestampMs),
    });

    // A version of another node beside it, exactly as it is: both are there, and the clock is of both.
    const theirs = { ...id, value: new Uint8Array(0), vectorClock: clock(["other", 7]) };
    const both = shown([n1, 1], ["other", 7]);
    assert.deepEqual(await call(NODE.write, theirs), { success: true, vectorClock: both });
    const found = node.get("t", "k")!;
    const siblings = found.versions.map(({ value, clock, timestampMs }) => ({
      // An empty value is one.
      value: value!.toBase64(),
      vectorClock: shown(...clock.entries.map(({ node, counter }): [string, number] => [
        node,
        counter,
      ])),
      timestamp: String(timestampMs),
    }));
    assert.deepEqual(siblings.map(({ vectorClock }) => vectorClock).toSorted(byNode), [
      shown([n1, 1]),
      shown(["other", 7]),
    ]);
    assert.deepEqual(await call(NODE.read, id), {
      success: true,
      value: found.winner.value!.toBase64(),
      vectorClock: both,
      source: "memtable",
      siblings,
      timestamp: String(found.winner.timestampMs),
    });

    // What has seen both replaces both, with the time it was written at; what is older changes nothing.
    const whole = {
      ...id,
      value: VALUE,
      vectorClock: clock([n1, 1], ["other", 8]),
      timestamp: 123n,
    };
    const merged = {
      success: true,
      value: VALUE.toBase64(),
      vectorClock: shown([n1, 1], ["other", 8]),
      timestamp: "123",
    };
    assert.deepEqual(await call(NODE.repair, whole), { success: true });
    assert.deepEqual(await call(NODE.read, id), { ...merged, source: "memtable" });
    const { lastSequence } = node.status();
    assert.deepEqual(await call(NODE.write, { ...theirs, value: Uint8Array.of(9) }), {
      success: true,
      vectorClock: merged.vectorClock,
    });
    assert.deepEqual(await call(NODE.repair, { ...theirs, value: Uint8Array.of(9) }), {
      success: true,
    });
    assert.equal(node.status().lastSequence, lastSequence);

    await node.flush();
    assert.deepEqual(await call(NODE.read, id), { ...merged, source: "sstable" });
    assert.deepEqual(await call(NODE.read, id), { ...merged, source: "cache" });
  }));

function byNode(a: ReturnType<typeof shown>, b: ReturnType<typeof shown>): number {
  return a.entries[0].coordinatorNodeId < b.entries[0].coordinatorNodeId ? -1 : 1;
}

Deno.test("a delete stays and answers with its clock, and so does one that comes by Repair, every way [N10, N4, E35]", () =>
  everyWay([NODE.write, NODE.read, NODE.delete, NODE.repair], async (call, node) => {
    const n1 = node.nodeId;
    const absent = { code: "not_found", number: 1001 };
    const read = async () => {
      const { message: _, ...rest } = await call(NODE.read, id);
      return rest;
    };
    assert.deepEqual(await read(), absent);
    await call(NODE.write, { ...id, value: VALUE });
    // Without a clock it is of what is there.
    assert.deepEqual(await call(NODE.delete, id), {
      success: true,
      vectorClock: shown([n1, 2]),
    });
    assert.deepEqual(await read(), absent);
    // With one it is of what that has seen.
    await call(NODE.write, { ...id, value: VALUE });
    assert.deepEqual(await call(NODE.delete, { ...id, vectorClock: clock([n1, 2]) }), {
      success: true,
      vectorClock: shown([n1, 3]),
    });
    assert.equal((await read()).value, VALUE.toBase64(), "it had not seen the last write");
    assert.deepEqual(
      await call(NODE.delete, { ...id, vectorClock: clock([n1, 3], ["other", 1]) }),
      {
        success: true,
        vectorClock: shown([n1, 3], ["other", 1]),
      },
    );
    assert.deepEqual(await read(), absent);

    const repair = {
      ...id,
      deleted: true,
      vectorClock: clock([n1, 3], ["other", 2]),
      timestamp: 5n,
    };
    assert.deepEqual(await call(NODE.repair, repair), { success: true });
    const versions = [];
    for await (const { entries } of node.streamKeys("t", {})) versions.push(...entries);
    assert.deepEqual(
      versions.map(({ version: { value, timestampMs } }) => [value, timestampMs]),
      [[undefined, 5]],
    );
    // What the delete has seen does not come back.
    await call(NODE.repair, { ...id, value: VALUE, vectorClock: clock(["other", 1]) });
    assert.deepEqual(await read(), absent);
  }));

Deno.test("HealthCheck names the node, its state, why, when, and its figures, every way [N9]", async () => {
  const states: Health[] = [
    { status: "healthy", reasons: [], metrics: { disk_usage: 0.25, cpu_usage: 0.5 } },
    { status: "degraded", reasons: ["the disk is 91 % full", "and so on"], metrics: {} },
    { status: "unhealthy", reasons: ["writes are refused"], metrics: {} },
  ];
  for (const health of states) {
    await everyWay([NODE.healthCheck], async (call, node) => {
      node.health = () => health;
      const { status, reasons, metrics } = health;
      assert.deepEqual(await call(NODE.healthCheck, {}), {
        nodeId: node.nodeId,
        incarnation: node.incarnation,
        status,
        timestamp: "1700000000000",
        ...(reasons.length > 0 ? { reasons } : {}),
        ...(Object.keys(metrics).length > 0 ? { metrics } : {}),
      });
    });
  }
});

Deno.test("GetKeyRange counts a range, and estimates it, every way [N7]", () =>
  everyWay([NODE.getKeyRange], async (call, node) => {
    for (let i = 0; i < 10; i++) await node.put("t", { key: `k${i}`, value: VALUE });
    await node.delete("t", { key: "k4" });
    const range = { tenantId: "t", keyRangeStart: "k2", keyRangeEnd: "k7" };
    const { totals, ...rest } = await node.keyRange("t", { start: "k2", end: "k7" }, {
      exact: true,
    });
    assert.ok(totals !== undefined && rest.bytes > 0);
    assert.deepEqual(await call(NODE.getKeyRange, { ...range, exact: true }), {
      startKey: "k2",
      endKey: "k6",
      exact: true,
      keys: "5",
      bytes: String(rest.bytes),
      totals: {
        keys: "5",
        versions: "5",
        tombstones: "1",
        bytes: String(rest.bytes),
        checksum: totals.checksum,
      },
    });
    const estimate = await node.keyRange("t", { start: "k2", end: "k7" });
    assert.deepEqual(await call(NODE.getKeyRange, range), {
      startKey: "k2",
      endKey: "k6",
      keys: String(estimate.keys),
      bytes: String(estimate.bytes),
    });
    const all = await call(NODE.getKeyRange, {});
    assert.deepEqual([all.startKey, all.endKey], ["k0", "k9"]);
    assert.deepEqual(await call(NODE.getKeyRange, { tenantId: "t", keyRangeStart: "x" }), {});
  }));

Deno.test("StreamKeys narrows by keys, tokens and size and goes on where it is told, and ReplicateData says what it took, every way [N5, N6, S3, S4]", () =>
  everyWay([NODE.streamKeys, NODE.replicateData], async (call, node) => {
    for (let i = 10; i < 40; i++) await node.put("t", { key: `k${i}`, value: VALUE });
    const stream = async (init: MessageInitShape<typeof NODE.streamKeys.input>) => {
      const messages = await call.all(NODE.streamKeys, { tenantId: "t", ...init });
      const keys = messages.flatMap(({ entries = [] }) =>
        (entries as { key: string }[]).map(({ key }) => key)
      );
      return { keys, messages };
    };
    const range = await stream({ keyRangeStart: "k15", keyRangeEnd: "k20" });
    assert.deepEqual(range.keys, ["k15", "k16", "k17", "k18", "k19"]);
    const { messages } = await stream({});
    assert.equal(messages.length, 1);
    assert.equal((await stream({ batchBytes: 1 })).messages.length, 30);
    assert.deepEqual((await stream({ resumeAfter: "k37" })).keys, ["k38", "k39"]);
    const half = { start: new Uint8Array(16), end: new Uint8Array(16).fill(0x80, 0, 1) };
    const some = await stream({ tokenRange: half });
    const others = await stream({ tokenRange: { start: half.end, end: half.start } });
    assert.ok(some.keys.length > 0 && others.keys.length > 0);
    assert.deepEqual(
      [...some.keys, ...others.keys].sort(),
      range.keys.concat(
        (await stream({ keyRangeEnd: "k15" })).keys,
        (await stream({ keyRangeStart: "k20" })).keys,
      ).sort(),
    );

    // A message of one is a request of the other.
    const [batch] = messages.map((message) =>
      fromJson(NODE.streamKeys.output, message as JsonValue)
    );
    const { entries, checksum } = batch as MessageShape<typeof NODE.streamKeys.output>;
    const taken = { success: true, keys: 30, versions: 30, lastKey: "k39" };
    const request = { tenantId: "copy", entries, checksum };
    assert.deepEqual(await call(NODE.replicateData, request), { ...taken, applied: 30 });
    assert.deepEqual(await call(NODE.replicateData, request), taken);
    const { totals } = await node.keyRange("copy", {}, { exact: true });
    assert.deepEqual(totals, (await node.keyRange("t", {}, { exact: true })).totals);
  }));

Deno.test("DrainNode and the calls of migrations tell every figure, every way [N8, S2, S8, S9]", async () => {
  const migration = {
    id: "m1",
    target: "http://127.0.0.1:1",
    tenant: "t",
    start: "a",
    end: "z",
    tokens: {
      start: readToken(new Uint8Array(16), ""),
      end: readToken(new Uint8Array(16).fill(9), ""),
    },
    draining: true,
    createdAtMs: 1,
    endedAtMs: 2,
    pendingKeys: 3,
    fallsBehind: true,
    error: "why",
    keysCopied: 4,
    bytesCopied: 5,
    keysStreamed: 6,
    bytesStreamed: 7,
    piecesCompared: 8,
    piecesResent: 9,
    keysResent: 10,
    rescans: 11,
    retries: 12,
  };
  const told = {
    id: "m1",
    targetUrl: "http://127.0.0.1:1",
    tenantId: "t",
    keyRangeStart: "a",
    keyRangeEnd: "z",
    tokenRange: {
      start: new Uint8Array(16).toBase64(),
      end: new Uint8Array(16).fill(9).toBase64(),
    },
    draining: true,
    createdAt: "1",
    endedAt: "2",
    pendingKeys: "3",
    fallsBehind: true,
    error: "why",
    keysCopied: "4",
    bytesCopied: "5",
    keysStreamed: "6",
    bytesStreamed: "7",
    piecesCompared: "8",
    piecesResent: "9",
    keysResent: "10",
    rescans: "11",
    retries: "12",
  };
  for (const state of ["copying", "streaming", "syncing", "completed", "failed"] as const) {
    await everyWay(
      [NODE.drainNode, ADMIN.startMigration, ADMIN.listMigrations, ADMIN.cancelMigration],
      async (call, node) => {
        const info = { ...migration, state };
        const drained = state === "completed";
        node.drain = () => Promise.resolve({ drained, migration: info });
        node.cancelDrain = () => Promise.resolve({ drained: false, migration: info });
        node.startMigration = node.cancelMigration = () => Promise.resolve(info);
        node.listMigrations = () => [info];
        const shown = { ...told, state };
        assert.deepEqual(await call(NODE.drainNode, {}), {
          ...(drained ? { drained } : {}),
          migration: shown,
        });
        assert.deepEqual(await call(NODE.drainNode, { cancel: true }), { migration: shown });
        assert.deepEqual(await call(ADMIN.startMigration, {}), { migration: shown });
        assert.deepEqual(await call(ADMIN.listMigrations, {}), { migrations: [shown] });
        assert.deepEqual(await call(ADMIN.cancelMigration, {}), { migration: shown });
      },
    );
  }
});
