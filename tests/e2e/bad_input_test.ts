/**
 * Bad input through the port of the real program, in every protocol: each gets its number and its
 * status, and nothing changes.
 * @module
 */
import assert from "node:assert/strict";
import type { DescMessage, DescMethod, MessageInitShape } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import type { Consistency, VectorClockSchema } from "../../src/gen/pairdb/v1/common_pb.ts";
import { AdminService } from "../../src/gen/pairdb/v1/admin_pb.ts";
import { KeyValueService } from "../../src/gen/pairdb/v1/kv_pb.ts";
import { StorageNodeService } from "../../src/gen/pairdb/v1/storage_node_pb.ts";
import type { TransferEntry } from "../../src/node/mod.ts";
import { TenantService } from "../../src/gen/pairdb/v1/tenant_pb.ts";
import {
  callRaw,
  encodeMessage,
  envelope,
  type Protocol,
  PROTOCOLS,
  type RawAnswer,
} from "../support/raw_rpc.ts";
import { transferOf } from "../support/transfer.ts";
import { callJson, lastSequence, type Server, withServer } from "../support/server.ts";

const KV = KeyValueService.method;
const NODE = StorageNodeService.method;
const TENANT = TenantService.method;
const ADMIN = AdminService.method;
const TEN_MIB = 10 * 1024 * 1024;

/** Methods whose failures say what became of the write. */
const WRITES: ReadonlySet<DescMethod> = new Set<DescMethod>([
  KV.put,
  KV.delete,
  KV.batchPut,
  NODE.write,
  NODE.delete,
  NODE.repair,
  NODE.replicateData,
]);

/** A number of the error table, and the status that goes with it. */
interface Refusal {
  readonly number: number;
  readonly status: Code;
  readonly http: number;
}

const refusal = (number: number): Refusal => ({ number, status: Code.InvalidArgument, http: 400 });

/** One bad call. */
interface BadCall {
  readonly what: string;
  readonly method: DescMethod;
  /** The message in one protocol; undefined where that protocol has no such thing. */
  readonly message: (protocol: Protocol) => Uint8Array<ArrayBuffer> | undefined;
  readonly expected: Refusal;
  /** Facts that the error has to tell. */
  readonly facts?: Readonly<Record<string, string>>;
}

/** A call whose message is sound as a message. */
function bad<I extends DescMessage>(
  what: string,
  method: DescMethod & { readonly input: I },
  init: MessageInitShape<I>,
  number: number,
  facts: Readonly<Record<string, string>> = {},
): BadCall {
  return {
    what: `${method.name}: ${what}`,
    method,
    message: (protocol) => encodeMessage(protocol, method.input, init),
    expected: refusal(number),
    facts,
  };
}

/** What an error tells of something that is too long. */
const tooLong = (bytes: number, limit: number) => ({ bytes: `${bytes}`, limit: `${limit}` });

const value = new Uint8Array([1]);
const clock = { entries: [{ coordinatorNodeId: "other", logicalTimestamp: 5n }] };

const BAD_TENANTS: Record<string, [string, Readonly<Record<string, string>>?]> = {
  "no tenant": [""],
  "a tenant of 257 bytes": ["t".repeat(257), tooLong(257, 256)],
  "a tenant of 258 bytes in 129 characters": ["é".repeat(129), tooLong(258, 256)],
  "a tenant of 258 bytes in 86 characters": ["€".repeat(86), tooLong(258, 256)],
  "a tenant with a colon": ["a:b"],
  "a tenant with NUL": ["a\u0000b"],
  "a tenant with a newline": ["a\nb"],
  "a tenant with the last of the C0 control characters": ["a\u001fb"],
  "a tenant with DEL": ["a\u007f"],
  "a tenant with a C1 control character": ["\u0085a"],
  "a tenant with the last of the C1 control characters": ["\u009fa"],
};

function badTenants(): BadCall[] {
  return Object.entries(BAD_TENANTS).flatMap(([what, [tenantId, facts]]) => [
    bad(what, KV.put, { tenantId, key: "k", value }, 1004, facts),
    bad(what, KV.get, { tenantId, key: "k" }, 1004, facts),
    bad(what, KV.delete, { tenantId, key: "k" }, 1004, facts),
    bad(what, KV.batchPut, { tenantId, items: [{ key: "k", value }] }, 1004, facts),
    bad(what, KV.batchGet, { tenantId, keys: ["k"] }, 1004, facts),
    bad(what, KV.scan, { tenantId }, 1004, facts),
    bad(what, KV.watch, { tenantId }, 1004, facts),
    bad(what, NODE.write, { tenantId, key: "k", value, vectorClock: clock }, 1004, facts),
    bad(what, NODE.read, { tenantId, key: "k" }, 1004, facts),
    bad(what, NODE.delete, { tenantId, key: "k", vectorClock: clock }, 1004, facts),
    bad(what, NODE.repair, { tenantId, key: "k", value, vectorClock: clock }, 1004, facts),
    bad(what, NODE.replicateData, { tenantId, ...transferOf([version("k")]) }, 1004, facts),
    bad(what, NODE.streamKeys, { tenantId }, 1004, facts),
    // Without a tenant it is about all of them.
    ...(tenantId === "" ? [] : [bad(what, NODE.getKeyRange, { tenantId }, 1004, facts)]),
    bad(what, KV.explainGet, { tenantId, key: "k" }, 1004, facts),
    bad(what, TENANT.createTenant, { tenantId }, 1004, facts),
    bad(what, TENANT.updateTenant, { tenantId, options: { maxKeys: 1n } }, 1004, facts),
    bad(what, ADMIN.invalidateCache, { tenantId }, 1004, facts),
    bad(what, ADMIN.fillCache, { tenantId }, 1004, facts),
    ...(tenantId === "" ? [] : [
      bad(what, ADMIN.flush, { tenantId }, 1004, facts),
      bad(what, ADMIN.compact, { tenantId, purge: true }, 1004, facts),
      bad(what, ADMIN.listHotKeys, { tenantId }, 1004, facts),
      bad(what, ADMIN.startMigration, { targetUrl: "http://127.0.0.1:1", tenantId }, 1004, facts),
    ]),
    bad(what, TENANT.dropTenant, { tenantId }, 1004, facts),
  ]);
}

const BAD_KEYS: Record<string, [string, number, Readonly<Record<string, string>>?]> = {
  "no key": ["", 1000],
  "a key of 1025 bytes": ["k".repeat(1025), 1002, tooLong(1025, 1024)],
  "a key of 1026 bytes in 513 characters": ["é".repeat(513), 1002, tooLong(1026, 1024)],
  "a key of 1026 bytes in 342 characters": ["€".repeat(342), 1002, tooLong(1026, 1024)],
  "a key with the last of the C0 control characters": ["a\u001fb", 1005],
  "a key with the last of the C1 control characters": ["\u009fa", 1005],
  "a key with NUL": ["a\u0000b", 1005],
  "a key with a newline": ["a\nb", 1005],
  "a key with DEL": ["a\u007f", 1005],
  "a key with a C1 control character": ["\u0085a", 1005],
};

function badKeys(): BadCall[] {
  const tenantId = "t";
  const sound = { key: "sound", value };
  return Object.entries(BAD_KEYS).flatMap(([what, [key, number, facts]]) => [
    bad(what, KV.put, { tenantId, key, value }, number, facts),
    bad(what, KV.get, { tenantId, key }, number, facts),
    bad(what, KV.delete, { tenantId, key }, number, facts),
    bad(what, KV.batchPut, { tenantId, items: [sound, { key, value }, sound] }, number, facts),
    bad(what, KV.batchGet, { tenantId, keys: ["k", key] }, number, facts),
    bad(what, NODE.write, { tenantId, key, value, vectorClock: clock }, number, facts),
    bad(what, KV.explainGet, { tenantId, key }, number, facts),
    ...(key === "" ? [] : [
      bad(what, KV.watch, { tenantId, key }, number, facts),
      bad(what, ADMIN.invalidateCache, { tenantId, key }, number, facts),
      bad(what, ADMIN.fillCache, { tenantId, key }, number, facts),
    ]),
    bad(what, NODE.read, { tenantId, key }, number, facts),
    bad(what, NODE.delete, { tenantId, key, vectorClock: clock }, number, facts),
    bad(what, NODE.repair, { tenantId, key, value, vectorClock: clock }, number, facts),
  ]);
}

function badValues(): BadCall[] {
  const key = { tenantId: "t", key: "k" };
  const sound = { key: "sound", value };
  const large = new Uint8Array(TEN_MIB + 1);
  const facts = tooLong(TEN_MIB + 1, TEN_MIB);
  return [
    bad("no value", KV.put, key, 1000),
    bad("no value", KV.batchPut, { tenantId: "t", items: [sound, { key: "k" }] }, 1000),
    bad("no value", NODE.write, { ...key, vectorClock: clock }, 1000),
    bad("no value", NODE.repair, { ...key, vectorClock: clock }, 1000),
    bad(
      "a delete with a value",
      NODE.repair,
      { ...key, value, deleted: true, vectorClock: clock },
      1000,
    ),
    bad("10 MiB and 1 byte", KV.put, { ...key, value: large }, 1003, facts),
    bad(
      "10 MiB and 1 byte",
      KV.batchPut,
      { tenantId: "t", items: [sound, { key: "k", value: large }] },
      1003,
      facts,
    ),
    bad("10 MiB and 1 byte", NODE.write, { ...key, value: large, vectorClock: clock }, 1003, facts),
    bad(
      "10 MiB and 1 byte",
      NODE.repair,
      { ...key, value: large, vectorClock: clock },
      1003,
      facts,
    ),
  ];
}

function badClocks(server: Server): BadCall[] {
  const entry = (coordinatorNodeId: string, logicalTimestamp: bigint) => ({
    entries: [{ coordinatorNodeId, logicalTimestamp }],
  });
  const clocks: Record<string, typeof clock & { dots?: typeof clock.entries }> = {
    "a clock of 1001 entries": {
      entries: Array.from({ length: 1001 }, (_, i) => ({
        coordinatorNodeId: `n${i}`,
        logicalTimestamp: 1n,
      })),
    },
    "a clock of 2001 entries": {
      entries: Array.from({ length: 2001 }, (_, i) => ({
        coordinatorNodeId: `n${i}`,
        logicalTimestamp: 1n,
      })),
    },
    "a clock of 1501 entries and 500 dots": {
      entries: Array.from({ length: 1501 }, (_, i) => ({
        coordinatorNodeId: `n${i}`,
        logicalTimestamp: 1n,
      })),
      dots: Array.from({ length: 500 }, (_, i) => ({
        coordinatorNodeId: `n${i}`,
        logicalTimestamp: 3n,
      })),
    },
    "a counter of -1": entry("other", -1n),
    "a counter of 2^53": entry("other", 2n ** 53n),
    "a counter of 2^63 - 1": entry("other", 2n ** 63n - 1n),
    "a counter of -2^63": entry("other", -(2n ** 63n)),
    "a dot of -1": {
      entries: [],
      dots: [{ coordinatorNodeId: "other", logicalTimestamp: -1n }],
    },
    "a node id that is empty": entry("", 1n),
    "a node id of 129 bytes": entry("n".repeat(129), 1n),
    "a node id with NUL": entry("a\u0000", 1n),
    "events of this node that never were": entry(server.nodeId, 1_000_000n),
  };
  const key = { tenantId: "t", key: "k" };
  return Object.entries(clocks).flatMap(([what, vectorClock]) => {
    const calls = [
      bad(what, KV.put, { ...key, value, vectorClock }, 1000),
      bad(what, KV.delete, { ...key, vectorClock }, 1000),
      bad(
        what,
        KV.batchPut,
        { tenantId: "t", items: [{ key: "sound", value }, { key: "k", value, vectorClock }] },
        1000,
      ),
    ];
    // Other nodes may know of events of this one that it has lost: they hand versions back. And their clocks
    // may be longer.
    if (what.startsWith("events") || what.includes("1001")) return calls;
    return [
      ...calls,
      bad(what, NODE.write, { ...key, value, vectorClock }, 1000),
      bad(what, NODE.delete, { ...key, vectorClock }, 1000),
      bad(what, NODE.repair, { ...key, value, vectorClock }, 1000),
    ];
  });
}

function badNumbers(): BadCall[] {
  const key = { tenantId: "t", key: "k" };
  const items = (count: number) =>
    Array.from({ length: count }, (_, i) => ({ key: `i${i}`, value }));
  return [
    bad("a TTL of -1", KV.put, { ...key, value, ttlMs: -1n }, 1000),
    bad("a TTL of 2^53", KV.put, { ...key, value, ttlMs: 2n ** 53n }, 1000),
    bad("a TTL of 2^53 - 1 from now", KV.put, { ...key, value, ttlMs: 2n ** 53n - 1n }, 1000),
    bad(
      "a level that there is not",
      KV.put,
      { ...key, value, consistency: 99 as Consistency },
      1000,
    ),
    bad("a level that there is not", KV.get, { ...key, consistency: -1 as Consistency }, 1000),
    bad("no items", KV.batchPut, { tenantId: "t" }, 1000, { items: "0", limit: "1000" }),
    bad("1001 items", KV.batchPut, { tenantId: "t", items: items(1001) }, 1000, {
      items: "1001",
      limit: "1000",
    }),
    bad("no keys", KV.batchGet, { tenantId: "t" }, 1000, { items: "0", limit: "1000" }),
    bad("1001 keys", KV.batchGet, { tenantId: "t", keys: Array(1001).fill("k") }, 1000, {
      items: "1001",
      limit: "1000",
    }),
    bad("a limit of -1", KV.scan, { tenantId: "t", limit: -1n }, 1000),
    bad("a key and an end", KV.watch, { tenantId: "t", key: "k", end: "l" }, 1000),
    bad("a resume token of one letter", KV.watch, { tenantId: "t", resumeToken: "x" }, 1000),
    bad("progress each hour and more", KV.watch, { tenantId: "t", progressMs: 3_600_001n }, 1000),
    bad("a start of 1025 bytes", KV.watch, { tenantId: "t", start: "p".repeat(1025) }, 1002),
    bad("a limit of 2^53", KV.scan, { tenantId: "t", limit: 2n ** 53n }, 1000),
    bad("a prefix of 1025 bytes", KV.scan, { tenantId: "t", prefix: "p".repeat(1025) }, 1002),
    bad("a start of 1025 bytes", KV.scan, { tenantId: "t", start: "p".repeat(1025) }, 1002),
    bad("an end of 1025 bytes", KV.scan, { tenantId: "t", end: "p".repeat(1025) }, 1002),
    bad("a timestamp of -1", NODE.repair, {
      ...key,
      value,
      vectorClock: clock,
      timestamp: -1n,
    }, 1000),
    bad("no clock", NODE.repair, { ...key, value }, 1000),
  ];
}

const BAD_IDEMPOTENCY_KEYS: Record<string, string> = {
  "an idempotency key that is empty": "",
  "an idempotency key of 15 bytes": "x".repeat(15),
  "an idempotency key of 65 bytes": "x".repeat(65),
  "an idempotency key of 66 bytes in 33 characters": "é".repeat(33),
  "an idempotency key with a newline": "0123456789abcdef\n",
};

function badIdempotencyKeys(): BadCall[] {
  const key = { tenantId: "t", key: "k" };
  return Object.entries(BAD_IDEMPOTENCY_KEYS).flatMap(([what, idempotencyKey]) => [
    bad(what, KV.put, { ...key, value, idempotencyKey }, 1000),
    bad(what, KV.delete, { ...key, idempotencyKey }, 1000),
    bad(what, KV.batchPut, { tenantId: "t", items: [{ key: "k", value }], idempotencyKey }, 1000),
  ]);
}

/** Conditions that do not hold of `t/k`, and a key that has been given to another write. */
function unmetConditions(idempotencyKey: string): BadCall[] {
  const key = { tenantId: "t", key: "k" };
  const sound = { key: "sound", value };
  const unmet = { ifContext: true, vectorClock: clock };
  const aborted = (call: BadCall): BadCall => ({
    ...call,
    expected: { number: 1000, status: Code.Aborted, http: 409 },
  });
  return [
    aborted(bad("another context", KV.put, { ...key, value, ...unmet }, 1000)),
    aborted(bad("a value where there is to be none", KV.put, {
      ...key,
      value,
      ifContext: true,
    }, 1000)),
    aborted(bad("another context", KV.delete, { ...key, ...unmet }, 1000)),
    aborted(bad("another context", KV.batchPut, {
      tenantId: "t",
      items: [sound, { key: "k", value, ...unmet }],
    }, 1000)),
    bad("a condition behind another item of its key", KV.batchPut, {
      tenantId: "t",
      items: [sound, { ...sound, ifContext: true }],
    }, 1000),
    bad("a key of another write", KV.put, { ...key, value, idempotencyKey }, 1000),
    bad("a key of another write", KV.delete, { ...key, idempotencyKey }, 1000),
    bad("a key of another write", KV.batchPut, {
      tenantId: "t",
      items: [sound],
      idempotencyKey,
    }, 1000),
  ];
}

/** Contexts as answers give them, which do not fit the key `t/k` or were changed. */
async function badSeals(server: Server): Promise<BadCall[]> {
  const given = async (tenantId: string, key: string) => {
    const { vectorClock } = await callJson(server, "KeyValueService/Get", { tenantId, key });
    const [{ coordinatorNodeId, logicalTimestamp }] = vectorClock.entries;
    const entries = [{ coordinatorNodeId, logicalTimestamp: BigInt(logicalTimestamp) }];
    return { entries, seal: BigInt(vectorClock.seal) };
  };
  const sound = await given("t", "k");
  const [entry] = sound.entries;
  const clocks: Record<string, MessageInitShape<typeof VectorClockSchema>> = {
    "a context of another key": await given("t", "other"),
    "a context of another tenant": await given("u", "k"),
    "another seal": { ...sound, seal: sound.seal ^ 1n },
    "a seal of 0": { ...sound, seal: 0n },
    "a seal with another upper bit": { ...sound, seal: sound.seal ^ 1n << 63n },
    "a seal without its events": { seal: sound.seal },
    "another counter": { ...sound, entries: [{ ...entry, logicalTimestamp: 1n << 30n }] },
    "an entry more": { ...sound, entries: [entry, ...clock.entries] },
    "a dot more": { ...sound, dots: [{ coordinatorNodeId: "other", logicalTimestamp: 5n }] },
  };
  const key = { tenantId: "t", key: "k" };
  const idempotencyKey = "0123456789abcdef";
  return Object.entries(clocks).flatMap(([what, vectorClock]) =>
    [{ vectorClock }, { vectorClock, ifContext: true }].flatMap((how) => {
      const items = [{ key: "sound", value }, { key: "k", value, ...how }];
      return [
        bad(what, KV.put, { ...key, value, ...how }, 1000),
        bad(what, KV.put, { ...key, value, ...how, idempotencyKey }, 1000),
        bad(what, KV.delete, { ...key, ...how }, 1000),
        bad(what, KV.batchPut, { tenantId: "t", items }, 1000),
        bad(what, KV.batchPut, { tenantId: "t", items, idempotencyKey }, 1000),
      ];
    })
  );
}

/** A version as it is moved from node to node. */
function version(key: string, bytes = value): TransferEntry {
  const dot = { node: "other", counter: 5 };
  const clock = { entries: [dot], dots: [] };
  return { key, version: { clock, dot, value: bytes, timestampMs: 7, expiresAtMs: 0 } };
}

function badTransfers(): BadCall[] {
  const tenantId = "t";
  const sound = { tenantId, ...transferOf([version("a"), version("b")]) };
  const [a, b] = sound.entries;
  const many = Array.from({ length: 1001 }, (_, i) => version(`${1000 + i}`));
  const large = version("a", new Uint8Array(TEN_MIB + 1));
  const damaged = { number: 1006, status: Code.DataLoss, http: 500 };
  const range = (length: number) => ({
    tokenRange: { start: new Uint8Array(length), end: new Uint8Array(16) },
  });
  const take = NODE.replicateData;
  return [
    { ...bad("another checksum", take, { ...sound, checksum: 1 }, 0), expected: damaged },
    { ...bad("an entry that was lost", take, { ...sound, entries: [a] }, 0), expected: damaged },
    {
      ...bad("another time", take, { ...sound, entries: [a, { ...b, timestamp: 8n }] }, 0),
      expected: damaged,
    },
    bad("no checksum", take, { ...sound, checksum: undefined }, 1000),
    bad("no entries", take, { tenantId, checksum: 0 }, 1000),
    ...[{ conflictStrategy: "lww" }, { maxBytes: -1n }].flatMap((tenantOptions) => [
      bad("another tenant's options", take, { ...sound, tenantOptions }, 1000),
      bad("the same without entries", take, { tenantId, checksum: 0, tenantOptions }, 1000),
    ]),
    {
      ...bad("no entries with a checksum", take, { tenantId, checksum: 1, tenantOptions: {} }, 0),
      expected: damaged,
    },
    bad(
      "an option that no tenant can have",
      take,
      { ...sound, tenantId: "shared", tenantOptions: { cacheSharePercent: 101 } },
      1000,
    ),
    bad(
      "a merge function that is not here",
      take,
      {
        ...sound,
        tenantId: "merged",
        tenantOptions: { conflictStrategy: "merge:mine" },
        mergeFunctionDigest: "00",
      },
      1000,
    ),
    bad("1001 entries", take, { tenantId, ...transferOf(many) }, 1000),
    bad("wrong order", take, { tenantId, ...transferOf([version("b"), version("a")]) }, 1000),
    bad("a version twice", take, { tenantId, ...transferOf([version("a"), version("a")]) }, 1000),
    bad("10 MiB and 1 byte", take, { tenantId, ...transferOf([large]) }, 1003),
    bad("an entry of another tenant", take, { ...sound, entries: [{ ...a, tenantId: "u" }] }, 1000),
    bad("no value", take, { ...sound, entries: [{ ...a, value: undefined }] }, 1000),
    bad("a delete with a value", take, { ...sound, entries: [{ ...a, isTombstone: true }] }, 1000),
    bad("no clock", take, { ...sound, entries: [{ ...a, vectorClock: undefined }] }, 1000),
    bad("an expiry of -1", take, { ...sound, entries: [{ ...a, expiresAt: -1n }] }, 1000),
    bad(
      "a bad key behind a sound one",
      take,
      { ...sound, entries: [a, { ...b, key: "\n" }] },
      1005,
    ),
    bad("an unknown tenant", NODE.streamKeys, { tenantId: "nobody" }, 1004),
    bad("a bad checkpoint", NODE.streamKeys, { tenantId, resumeAfter: "\n" }, 1005),
    bad("a long start", NODE.streamKeys, { tenantId, keyRangeStart: "p".repeat(1025) }, 1002),
    bad("batches above 8 MiB", NODE.streamKeys, { tenantId, batchBytes: 8388609 }, 1000),
    bad("a token of 15 bytes", NODE.streamKeys, { tenantId, ...range(15) }, 1000),
    bad("a token of 17 bytes", NODE.getKeyRange, { tenantId, ...range(17) }, 1000),
    bad("a long end", NODE.getKeyRange, { tenantId, keyRangeEnd: "p".repeat(1025) }, 1002),
    bad("an unknown tenant", NODE.getKeyRange, { tenantId: "nobody" }, 1004),
    bad("all tenants, exactly", NODE.getKeyRange, { exact: true }, 1000),
  ];
}

/** A write that is as large as may be, of some key. */
interface LargestWrite {
  readonly what: string;
  readonly method: DescMethod;
  readonly init: Record<string, unknown>;
  readonly key: string;
  readonly bytes: Uint8Array;
}

function largest(tenantId: string, { nodeId }: Server): LargestWrite[] {
  const most = new Uint8Array(TEN_MIB).fill(7);
  const clockOf = (count: number) => ({
    entries: Array.from({ length: count }, (_, i) => ({
      coordinatorNodeId: `m${10_000 + i}`,
      logicalTimestamp: 1n,
    })),
  });
  const atEdges = {
    entries: [
      { coordinatorNodeId: "n".repeat(128), logicalTimestamp: 1n },
      { coordinatorNodeId: "é".repeat(64), logicalTimestamp: 2n ** 32n },
      { coordinatorNodeId: nodeId, logicalTimestamp: 0n },
    ],
  };
  const keys = [
    "k".repeat(1024),
    "é".repeat(512),
    "€".repeat(341),
    " ",
    "~",
    "a:b",
    "\u00a0",
    "\ufeff",
  ];
  const clocks = {
    "node ids and counters at their edges": atEdges,
    "a clock of 1000, with the node's own entry": clockOf(999),
  };
  const longest = clockOf(2000);
  const put = (
    what: string,
    key: string,
    bytes: Uint8Array,
    more: Record<string, unknown> = {},
  ) => ({
    what: `Put: ${what}`,
    method: KV.put,
    init: { tenantId, key, value: bytes, ...more },
    key,
    bytes,
  });
  const between = (
    method: DescMethod,
    what: string,
    key: string,
    bytes: Uint8Array,
    vectorClock = clock,
  ) => ({
    what: `${method.name}: ${what}`,
    method,
    init: { tenantId, key, value: bytes, vectorClock },
    key,
    bytes,
  });
  const none = new Uint8Array(0);
  return [
    ...keys.flatMap((key, i) => [
      put(`the key ${i}`, key, value),
      put(`an empty value of the key ${i}`, key, none),
    ]),
    ...Object.entries(clocks).map(([what, vectorClock]) => put(what, what, value, { vectorClock })),
    put("a value of 10 MiB", "most", most),
    {
      what: "BatchPut: 1000 items, empty ones too",
      method: KV.batchPut,
      init: {
        tenantId,
        items: Array.from({ length: 1000 }, (_, i) => ({ key: `i${i}`, value: none })),
      },
      key: "i999",
      bytes: none,
    },
    ...[NODE.write, NODE.repair].flatMap((method) => [
      between(method, "a key of 1024 bytes", `${method.name}`.padEnd(1024, "k"), value),
      between(method, "an empty value", `${method.name} empty`, none),
      between(method, "a clock of 2000", `${method.name} 2000`, value, longest),
      between(
        method,
        "node ids and counters at their edges",
        `${method.name} edges`,
        value,
        atEdges,
      ),
      between(method, "a value of 10 MiB", `${method.name} most`, most),
    ]),
  ];
}

const latin1 = (text: string) => Uint8Array.from(text, (character) => character.charCodeAt(0));

/** A call whose message is none: text for JSON, bytes (as Latin-1) for all others. */
function malformed(
  what: string,
  method: DescMethod,
  { json, binary }: { json?: string; binary?: string },
): BadCall {
  return {
    what: `${method.name}: ${what}`,
    method,
    message: (protocol) => {
      const text = protocol === "Connect JSON" ? json : binary;
      return text === undefined ? undefined : latin1(text);
    },
    expected: refusal(1000),
  };
}

function malformedMessages(): BadCall[] {
  const methods = [KV.put, KV.get, KV.batchPut, KV.scan, NODE.write, TENANT.createTenant];
  return [
    ...methods.flatMap((method) => [
      malformed("text that is no JSON", method, { json: "tenant t" }),
      malformed("JSON that is cut off", method, { json: '{"tenantId":"t","key":"k"' }),
      malformed("JSON that is no object", method, { json: "[1]" }),
      malformed("a number for a text", method, { json: '{"tenantId":7}' }),
      malformed("a field that is cut off", method, { binary: "\x0a\x05t" }),
      malformed("a varint without an end", method, { binary: "\x0a\xff\xff\xff\xff\xff\xff" }),
      malformed("a field with number 0", method, { binary: "\x02\x01t" }),
      malformed("a wire type that there is not", method, { binary: "\x0f\x01t" }),
      malformed("a tenant that is not UTF-8", method, {
        json: '{"tenantId":"\xff\xfe","key":"k","value":"AA=="}',
        binary: "\x0a\x02\xff\xfe",
      }),
    ]),
    malformed("a value that is no base64", KV.put, {
      json: '{"tenantId":"t","key":"k","value":"%%%"}',
    }),
    malformed("a counter that is no number", KV.put, {
      json: '{"tenantId":"t","key":"k","value":"","vectorClock":{"entries":[' +
        '{"coordinatorNodeId":"n","logicalTimestamp":"x"}]}}',
    }),
    malformed("a counter beyond int64", KV.put, {
      json: '{"tenantId":"t","key":"k","value":"","vectorClock":{"entries":[' +
        '{"coordinatorNodeId":"n","logicalTimestamp":"9223372036854775808"}]}}',
    }),
    malformed("a key that is not UTF-8", KV.put, {
      json: '{"tenantId":"t","key":"a\xff","value":"AA=="}',
      binary: "\x0a\x01t\x12\x02a\xff\x1a\x01v",
    }),
    malformed("a key of half a UTF-8 character", KV.get, {
      json: '{"tenantId":"t","key":"a\xc3"}',
      binary: "\x0a\x01t\x12\x02a\xc3",
    }),
    malformed("a key with a surrogate as UTF-8", KV.get, {
      json: '{"tenantId":"t","key":"\xed\xa0\x80"}',
      binary: "\x0a\x01t\x12\x03\xed\xa0\x80",
    }),
    malformed("a key with half a pair", KV.put, {
      json: '{"tenantId":"t","key":"\\ud800","value":""}',
    }),
    malformed("a tenant with half a pair", KV.put, {
      json: '{"tenantId":"\\udc00","key":"k","value":""}',
    }),
  ];
}

function tooLargeMessages(): BadCall[] {
  const expected = { number: 2008, status: Code.ResourceExhausted, http: 429 };
  return [KV.put, KV.get, NODE.write, NODE.replicateData].map((method) => ({
    what: `${method.name}: a message of 17 MiB`,
    method,
    message: () => new Uint8Array(17 * 1024 * 1024).fill(0x20),
    expected,
  }));
}

/** All tenants as they are; that they were asked is counted, but is no change. */
async function tenantsOf(server: Server): Promise<unknown> {
  const { tenants } = await callJson(server, "TenantService/ListTenants", {});
  return (tenants as { usage?: unknown }[] | undefined)?.map(({ usage: _, ...tenant }) => tenant);
}

/** Everything that could have changed. */
async function stateOf(server: Server): Promise<unknown> {
  const tenants = await tenantsOf(server);
  const scanned = await fetch(`${server.url}/pairdb.v1.KeyValueService/Scan`, {
    method: "POST",
    headers: { "content-type": "application/connect+json" },
    body: envelope(new TextEncoder().encode('{"tenantId":"t"}')),
  });
  return [tenants, await scanned.text(), await lastSequence(server)];
}

function check(protocol: Protocol, call: BadCall, answer: RawAnswer): void {
  const { what, method, expected, facts = {} } = call;
  const unaryConnect = protocol.startsWith("Connect") && method.methodKind === "unary";
  assert.deepEqual(
    {
      number: answer.detail?.code,
      status: answer.status,
      http: answer.httpStatus,
    },
    { ...expected, http: unaryConnect ? expected.http : 200 },
    `${what}: ${answer.message}`,
  );
  assert.notEqual(answer.message, "", what);
  const outcome = WRITES.has(method) ? "not_applied" : undefined;
  assert.equal(answer.detail?.details.outcome, outcome, what);
  assert.partialDeepStrictEqual(answer.detail?.details, facts, what);
}

for (const protocol of PROTOCOLS) {
  Deno.test(`bad input over ${protocol} gets its number and changes nothing [N5, N6, N7, N11, R1, V1, V2, V3, V4, V5]`, (t) =>
    withServer(async (server) => {
      await callJson(server, "KeyValueService/Put", { tenantId: "t", key: "k", value: "aGVsbG8=" });
      const before = await stateOf(server);
      const groups = {
        tenants: badTenants(),
        keys: badKeys(),
        values: badValues(),
        clocks: badClocks(server),
        "numbers and bounds": badNumbers(),
        transfers: badTransfers(),
        "idempotency keys": badIdempotencyKeys(),
        "malformed messages": malformedMessages(),
        "messages beyond the limit": tooLargeMessages(),
      };
      for (const [group, calls] of Object.entries(groups)) {
        await t.step(group, async () => {
          let made = 0;
          for (const call of calls) {
            const message = call.message(protocol);
            if (message === undefined) continue;
            made++;
            check(protocol, call, await callRaw(server.url, protocol, call.method, message));
            assert.equal(await lastSequence(server), 1, `${call.what} wrote something`);
          }
          assert.ok(made > 0);
          assert.deepEqual(await stateOf(server), before);
        });
      }
      assert.equal(await server.stop(), 0);
      assert.doesNotMatch(server.log, /"level":"error"/);
    }));

  Deno.test(`what is just within the limits is taken over ${protocol}, and comes back as it was [V1, V2, V3, V4]`, () =>
    withServer(async (server) => {
      const tenantId = "é".repeat(128);
      let sequence = 0;
      for (const { what, method, init, key, bytes } of largest(tenantId, server)) {
        const message = encodeMessage(protocol, method.input, init);
        const { status, message: text } = await callRaw(server.url, protocol, method, message);
        assert.equal(status, undefined, `${what}: ${text}`);
        assert.ok(await lastSequence(server) > sequence, `${what} wrote nothing`);
        sequence = await lastSequence(server);
        const got = await callJson(server, "KeyValueService/Get", { tenantId, key });
        assert.equal(got.value ?? "none", bytes.toBase64(), what);
      }
      const { tenants } = await callJson(server, "TenantService/ListTenants", {});
      assert.deepEqual(tenants.map((each: { tenantId: string }) => each.tenantId), [tenantId]);
    }));

  Deno.test(`conditions that do not hold and keys of other writes over ${protocol} change nothing [B5]`, () =>
    withServer(async (server) => {
      const idempotencyKey = "0123456789abcdef";
      const put = { tenantId: "t", key: "k", value: "aGVsbG8=", idempotencyKey };
      const { vectorClock } = await callJson(server, "KeyValueService/Put", put);
      const before = await stateOf(server);
      for (const call of unmetConditions(idempotencyKey)) {
        const answer = await callRaw(
          server.url,
          protocol,
          call.method,
          call.message(protocol)!,
        );
        check(protocol, call, answer);
        const aborted = call.expected.status === Code.Aborted;
        const [entry] = answer.detail?.vectorClock?.entries ?? [];
        assert.equal(
          entry && String(entry.logicalTimestamp),
          aborted ? vectorClock.entries[0].logicalTimestamp : undefined,
          `${call.what}: the present context`,
        );
      }
      assert.deepEqual(await stateOf(server), before);
    }));

  Deno.test(`contexts of other keys or tenants, and changed ones, over ${protocol} change nothing`, () =>
    withServer(async (server) => {
      for (const [tenantId, key] of [["t", "k"], ["t", "other"], ["u", "k"]]) {
        await callJson(server, "KeyValueService/Put", { tenantId, key, value: "aGVsbG8=" });
      }
      const calls = await badSeals(server);
      const before = await stateOf(server);
      for (const call of calls) {
        const message = call.message(protocol)!;
        const answer = await callRaw(server.url, protocol, call.method, message);
        check(protocol, call, answer);
        const { reason, item } = answer.detail!.details;
        const at = call.method === KV.batchPut ? "1" : undefined;
        assert.deepEqual([reason, item], ["context_seal", at], call.what);
      }
      assert.deepEqual(await stateOf(server), before);
      const metrics = await (await fetch(`${server.url}/metrics`)).text();
      const [, count] = /^pairdb_refusals_total\{.*reason="context_seal"\} (\d+)$/m.exec(metrics)!;
      assert.ok(Number(count) > 0 && Number(count) <= calls.length);
    }));

  Deno.test(`unknown tenants over ${protocol} are 1004 where tenants are not made by writing`, () =>
    withServer(async (server) => {
      const before = await stateOfNobody(server);
      const key = { tenantId: "nobody", key: "k" };
      const calls = [
        bad("unknown tenant", KV.put, { ...key, value }, 1004),
        bad("unknown tenant", KV.get, key, 1004),
        bad("unknown tenant", KV.delete, key, 1004),
        bad("unknown tenant", KV.batchPut, { ...key, items: [{ key: "k", value }] }, 1004),
        bad("unknown tenant", KV.batchGet, { ...key, keys: ["k"] }, 1004),
        bad("unknown tenant", KV.scan, { tenantId: "nobody" }, 1004),
        bad("unknown tenant", NODE.write, { ...key, value, vectorClock: clock }, 1004),
        bad("unknown tenant", NODE.read, key, 1004),
        bad("unknown tenant", NODE.delete, { ...key, vectorClock: clock }, 1004),
        bad("unknown tenant", NODE.repair, { ...key, value, vectorClock: clock }, 1004),
        bad("unknown tenant", NODE.replicateData, {
          tenantId: "nobody",
          ...transferOf([version("k")]),
        }, 1004),
        bad("unknown tenant", TENANT.dropTenant, { tenantId: "nobody" }, 1004),
      ];
      for (const call of calls) {
        const message = call.message(protocol)!;
        check(protocol, call, await callRaw(server.url, protocol, call.method, message));
      }
      assert.deepEqual(await stateOfNobody(server), before);
    }, ["--set", "tenant.auto_create=false"]));
}

/** The same of a node that has no tenant at all. */
async function stateOfNobody(server: Server): Promise<unknown> {
  return [await tenantsOf(server), await lastSequence(server)];
}
