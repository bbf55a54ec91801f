/**
 * An example of every RPC: a call that goes well on a prepared node, and calls that its service refuses. A new
 * RPC without one fails the contract suite.
 * @module
 */
import { Health } from "../../src/gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../../src/gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../../src/gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { AdminService } from "../../src/gen/pairdb/v1/admin_pb.ts";
import { Consistency, ErrorCode } from "../../src/gen/pairdb/v1/common_pb.ts";
import { KeyValueService } from "../../src/gen/pairdb/v1/kv_pb.ts";
import { StorageNodeService } from "../../src/gen/pairdb/v1/storage_node_pb.ts";
import { TenantService } from "../../src/gen/pairdb/v1/tenant_pb.ts";
import type { DescMethod, MessageInitShape } from "@bufbuild/protobuf";
import type { FakeNode } from "./fake_node.ts";
import { transferOf } from "./transfer.ts";

/** A call that is refused, with what. */
export interface Refused {
  readonly what: string;
  readonly init: Record<string, unknown>;
  readonly status: string;
  readonly code: ErrorCode;
}

/** An RPC's example. */
export interface Example {
  readonly method: DescMethod;
  readonly good: Record<string, unknown>;
  /** How the good call ends; `ok` unless said. */
  readonly ends?: string;
  readonly refused: readonly Refused[];
  /** The service asks the node. */
  readonly usesNode: boolean;
  /** The stream has no end of its own. */
  readonly endless: boolean;
}

/** What all examples stand on. */
export async function prepare(node: FakeNode): Promise<void> {
  node.plant("t", "k", [Uint8Array.of(1, 2, 255), undefined, new Uint8Array(0)]);
  await node.put("t", { key: "ключ", value: new TextEncoder().encode("значение") });
  await node.createSnapshot("monday");
  await node.startMigration({ id: "m0", target: "http://127.0.0.1:1" });
}

const value = Uint8Array.of(0, 1, 254, 255);
const vectorClock = {
  entries: [{ coordinatorNodeId: "n0", logicalTimestamp: 1n }],
  dots: [{ coordinatorNodeId: "n1", logicalTimestamp: 2n ** 53n - 1n }],
};
const tooFar = { entries: [{ coordinatorNodeId: "n", logicalTimestamp: 2n ** 53n }] };

type Fault = readonly [
  what: string,
  change: Record<string, unknown>,
  code: ErrorCode,
  status?: string,
];

function example<M extends DescMethod>(
  method: M,
  good: MessageInitShape<M["input"]>,
  faults: readonly Fault[] = [],
  more: Partial<Pick<Example, "ends" | "usesNode" | "endless">> = {},
): Example {
  const refused = faults.map(([what, change, code, status = "invalid_argument"]) => ({
    what,
    init: { ...good, ...change },
    status,
    code,
  }));
  const init = good as Record<string, unknown>;
  return { method, good: init, refused, usesNode: true, endless: false, ...more };
}

const BAD_TENANT: Fault = ["no tenant", { tenantId: "" }, ErrorCode.INVALID_TENANT_ID];
const BAD_TENANT_2: Fault = ["a bad tenant", { tenantId: "a:b" }, ErrorCode.INVALID_TENANT_ID];
const NO_KEY: Fault = ["no key", { key: "" }, ErrorCode.INVALID_ARGUMENT];
const BAD_KEY: Fault = ["a bad key", { key: "a\0b" }, ErrorCode.INVALID_KEY];
const LONG_KEY: Fault = ["a long key", { key: "é".repeat(1000) }, ErrorCode.KEY_TOO_LARGE];
const LONG_BAD_KEY: Fault = ["a long bad key", { key: "é\0".repeat(400) }, ErrorCode.KEY_TOO_LARGE];
const KEYS = [BAD_TENANT, BAD_TENANT_2, NO_KEY, BAD_KEY, LONG_KEY, LONG_BAD_KEY];
const MISSING: Fault = ["a missing key", { key: "none" }, ErrorCode.KEY_NOT_FOUND, "not_found"];
const LEVEL: Fault = ["a level that is none", { consistency: 99 }, ErrorCode.INVALID_ARGUMENT];
const CLOCK: Fault = ["a clock too far", { vectorClock: tooFar }, ErrorCode.INVALID_ARGUMENT];
const NO_VALUE: Fault = ["no value", { value: undefined }, ErrorCode.INVALID_ARGUMENT];
const unknownSnapshot: Fault = ["none of that name", { name: "none" }, ErrorCode.INVALID_ARGUMENT];

const kv = KeyValueService.method;
const storage = StorageNodeService.method;
const tenant = TenantService.method;
const admin = AdminService.method;
const tenantId = "t";
const consistency = Consistency.QUORUM;

const SHORT_TOKEN: Fault = [
  "a short token",
  { tokenRange: { start: new Uint8Array(15), end: new Uint8Array(16) } },
  ErrorCode.INVALID_ARGUMENT,
];
/** A batch of two versions, the first with an own event and an expiry. */
const transfer = transferOf([
  {
    key: "a",
    version: {
      clock: { entries: [{ node: "n0", counter: 1 }], dots: [] },
      dot: { node: "n0", counter: 1 },
      value,
      timestampMs: 7,
      expiresAtMs: 2 ** 50,
    },
  },
  {
    key: "ключ",
    version: {
      clock: {
        entries: [{ node: "n0", counter: 1 }],
        dots: [{ node: "n1", counter: 2 ** 53 - 1 }],
      },
      dot: undefined,
      value: undefined,
      timestampMs: 7,
      expiresAtMs: 0,
    },
  },
]);

/** All of them. */
export const EXAMPLES: readonly Example[] = [
  example(kv.put, { tenantId, key: "new", value, vectorClock, consistency, ttlMs: 60_000n }, [
    ...KEYS,
    LEVEL,
    CLOCK,
    NO_VALUE,
    ["a negative time to live", { ttlMs: -1n }, ErrorCode.INVALID_ARGUMENT],
    ["a time to live too long", { ttlMs: 2n ** 63n - 1n }, ErrorCode.INVALID_ARGUMENT],
  ]),
  example(kv.get, { tenantId, key: "k", consistency }, [...KEYS, LEVEL, MISSING]),
  example(kv.explainGet, { tenantId, key: "k", consistency }, [...KEYS, LEVEL]),
  example(kv.delete, { tenantId, key: "k", vectorClock, consistency }, [...KEYS, LEVEL, CLOCK]),
  example(
    kv.batchPut,
    {
      tenantId,
      items: [{ key: "a", value, vectorClock }, { key: "ключ", value: new Uint8Array(0) }],
      consistency,
      skipUnchanged: true,
    },
    [
      BAD_TENANT,
      BAD_TENANT_2,
      LEVEL,
      [
        "a clock too far",
        { items: [{ key: "a", value, vectorClock: tooFar }] },
        ErrorCode.INVALID_ARGUMENT,
      ],
      ["an item without a value", { items: [{ key: "a" }] }, ErrorCode.INVALID_ARGUMENT],
    ],
  ),
  example(kv.batchGet, { tenantId, keys: ["k", "none", "ключ", "k"], consistency }, [
    BAD_TENANT,
    BAD_TENANT_2,
    LEVEL,
    ["no keys", { keys: [] }, ErrorCode.INVALID_ARGUMENT],
    ["a bad key", { keys: ["k", "\n"] }, ErrorCode.INVALID_KEY],
  ]),
  example(kv.scan, { tenantId, limit: 5n, consistency }, [
    LEVEL,
    ["a negative limit", { limit: -1n }, ErrorCode.INVALID_ARGUMENT],
  ]),
  example(kv.watch, { tenantId, prefix: "k", initial: true }, [
    BAD_TENANT,
    BAD_TENANT_2,
    ["a key beside a prefix", { key: "k" }, ErrorCode.INVALID_ARGUMENT],
    ["a token that is none", { resumeToken: "x" }, ErrorCode.INVALID_ARGUMENT],
    ["progress too often", { progressMs: 99n }, ErrorCode.INVALID_ARGUMENT],
    ["a negative time", { progressMs: -1n }, ErrorCode.INVALID_ARGUMENT],
  ], { ends: "deadline_exceeded", endless: true }),
  example(storage.write, { tenantId, key: "new", value, vectorClock }, [CLOCK, NO_VALUE]),
  example(storage.read, { tenantId, key: "k" }, [...KEYS, MISSING]),
  example(storage.delete, { tenantId, key: "k" }, [...KEYS, CLOCK]),
  example(storage.repair, { tenantId, key: "k", value, vectorClock, timestamp: 7n }, [
    CLOCK,
    ["no clock", { vectorClock: undefined }, ErrorCode.INVALID_ARGUMENT],
  ]),
  example(storage.replicateData, { tenantId, ...transfer }, [
    BAD_TENANT,
    BAD_TENANT_2,
    ["no entries", { entries: [] }, ErrorCode.INVALID_ARGUMENT],
    ["no checksum", { checksum: undefined }, ErrorCode.INVALID_ARGUMENT],
    ["another checksum", { checksum: 1 }, ErrorCode.CHECKSUM_FAILED, "data_loss"],
    ["wrong order", { entries: transfer.entries.toReversed() }, ErrorCode.INVALID_ARGUMENT],
    [
      "an entry of another tenant",
      { entries: [{ ...transfer.entries[0], tenantId: "u" }] },
      ErrorCode.INVALID_ARGUMENT,
    ],
    [
      "an entry without a value",
      { entries: [{ key: "a", vectorClock }] },
      ErrorCode.INVALID_ARGUMENT,
    ],
    ["an entry without a clock", { entries: [{ key: "a", value }] }, ErrorCode.INVALID_ARGUMENT],
    ["a bad key", { entries: [{ ...transfer.entries[0], key: "\n" }] }, ErrorCode.INVALID_KEY],
  ]),
  example(storage.streamKeys, { tenantId, resumeAfter: "a" }, [
    BAD_TENANT,
    ["one that is not there", { tenantId: "v" }, ErrorCode.INVALID_TENANT_ID],
    SHORT_TOKEN,
  ]),
  example(storage.getKeyRange, { tenantId, exact: true }, [
    BAD_TENANT_2,
    ["one that is not there", { tenantId: "v" }, ErrorCode.INVALID_TENANT_ID],
    SHORT_TOKEN,
  ]),
  example(storage.drainNode, { targetUrl: "http://127.0.0.1:1" }, [
    ["a drain that is not there", { targetUrl: "" }, ErrorCode.INVALID_ARGUMENT],
    ["a cancelled one with a target", { cancel: true }, ErrorCode.INVALID_ARGUMENT],
  ]),
  example(storage.healthCheck, {}),
  example(tenant.createTenant, {
    tenantId: "u",
    options: { defaultTtlMs: 5n, maxKeys: 7n, compression: "zstd" },
  }, [
    BAD_TENANT,
    ["one that is there", { tenantId }, ErrorCode.INVALID_ARGUMENT, "already_exists"],
  ]),
  example(tenant.updateTenant, { tenantId, options: { compactionStrategy: "leveled" } }, [
    ["one that is not there", { tenantId: "v" }, ErrorCode.INVALID_TENANT_ID],
    ["a negative time", { options: { defaultTtlMs: -1n } }, ErrorCode.INVALID_ARGUMENT],
    ["a negative quota", { options: { maxBytes: -1n } }, ErrorCode.INVALID_ARGUMENT],
    ["a quota out of range", { options: { maxKeys: 2n ** 53n } }, ErrorCode.INVALID_ARGUMENT],
  ]),
  example(tenant.listTenants, {}),
  example(tenant.dropTenant, { tenantId }, [
    ["one that is not there", { tenantId: "v" }, ErrorCode.INVALID_TENANT_ID],
  ]),
  example(admin.status, {}),
  example(admin.flush, { tenantId }),
  example(admin.compact, { tenantId, start: "a", end: "z", purge: true }),
  example(admin.invalidateCache, { tenantId, prefix: "a" }, [
    ["one that is not there", { tenantId: "v" }, ErrorCode.INVALID_TENANT_ID],
    ["a key and a prefix", { key: "k" }, ErrorCode.INVALID_ARGUMENT],
  ]),
  example(admin.fillCache, { tenantId, prefix: "a" }, [
    ["one that is not there", { tenantId: "v" }, ErrorCode.INVALID_TENANT_ID],
    ["a key and a prefix", { key: "k" }, ErrorCode.INVALID_ARGUMENT],
  ]),
  example(admin.createSnapshot, { name: "tuesday" }, [
    ["one that is there", { name: "monday" }, ErrorCode.INVALID_ARGUMENT, "already_exists"],
  ]),
  example(admin.listSnapshots, {}),
  example(admin.verifySnapshot, { name: "monday" }, [unknownSnapshot]),
  example(admin.listJobs, { ended: true }),
  example(admin.startScrub, {}),
  example(admin.listHotKeys, { tenantId, limit: 3 }, [
    BAD_TENANT_2,
    ["one that is not there", { tenantId: "v" }, ErrorCode.INVALID_TENANT_ID],
    ["a negative limit", { limit: -1 }, ErrorCode.INVALID_ARGUMENT],
  ]),
  example(admin.registerMergeFunction, { name: "ours", source: "export default (a) => a" }, [
    [
      "a name that has another source",
      { name: "theirs" },
      ErrorCode.INVALID_ARGUMENT,
      "already_exists",
    ],
  ]),
  example(admin.listMergeFunctions, {}),
  example(admin.removeMergeFunction, { name: "theirs" }, [
    ["one that is not there", { name: "nobodys" }, ErrorCode.INVALID_ARGUMENT],
  ]),
  example(admin.startMigration, { id: "m1", targetUrl: "http://127.0.0.1:1", tenantId }, [
    SHORT_TOKEN,
  ]),
  example(admin.listMigrations, {}),
  example(admin.cancelMigration, { id: "m0" }, [
    ["one that is not there", { id: "none" }, ErrorCode.INVALID_ARGUMENT],
  ]),
  example(admin.deleteSnapshot, { name: "monday" }, [unknownSnapshot]),
  example(admin.listSlowOperations, { tenantId, withinMs: 60_000n, limit: 5 }, [
    ["a negative time", { withinMs: -1n }, ErrorCode.INVALID_ARGUMENT],
    ["a negative limit", { limit: -1 }, ErrorCode.INVALID_ARGUMENT],
  ], { usesNode: false }),
  example(Health.method.check, { service: KeyValueService.typeName }, [
    ["an unknown service", { service: "nope" }, ErrorCode.INVALID_ARGUMENT, "not_found"],
  ]),
  example(Health.method.watch, { service: "" }, [], { ends: "deadline_exceeded", endless: true }),
  ...[ServerReflection, ServerReflectionAlpha].map((service) =>
    example(
      service.method.serverReflectionInfo,
      {
        messageRequest: { case: "listServices", value: "" },
      },
      [],
      { usesNode: false },
    )
  ),
];
