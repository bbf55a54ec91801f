/**
 * Every way to write asks the disk guard first, with an estimate of all that it brings: what is refused has changed
 * nothing.
 * @module
 */
import assert from "node:assert/strict";
import {
  encodeKey,
  encodeVersions,
  PairError,
  type VectorClock,
  type Version,
} from "../../../src/model/mod.ts";
import type { StorageNode } from "../../../src/node/mod.ts";
import { LARGE_WRITE_BYTES } from "../../../src/node/disk_guard.ts";
import { testNode } from "../../support/node.ts";
import { checksumOf } from "../../support/transfer.ts";

const TOTAL = 1e12;
const IDEMPOTENCY_KEY = "0123456789abcdef";

/** A node of a disk that is in use to so many hundredths. */
async function nodeAt(percent: number) {
  const it = testNode();
  await it.node.put("t", { key: "gone", value: new Uint8Array(1) });
  it.world.disk.space = () => ({ totalBytes: TOTAL, freeBytes: TOTAL * (1 - percent / 100) });
  await it.world.clock.advance(1000);
  return it;
}

/** What a node holds. */
function stateOf({ node, engine }: ReturnType<typeof testNode>) {
  const tenants = node.listTenants().map(({ tenant }) => tenant);
  return {
    tenants,
    writes: engine.log.length,
    keys: [...node.scan("t", {})].map(({ key }) => key),
  };
}

/** A clock that no other write has. */
let counter = 0;
function newClock(): VectorClock {
  return { entries: [{ node: "n2", counter: ++counter }], dots: [] };
}

function versionOf(value: Uint8Array | undefined): Version {
  return { clock: newClock(), dot: undefined, value, timestampMs: 7, expiresAtMs: 0 };
}

/** A way to write. */
interface Way {
  readonly entries: number;
  /** Writes a value of so many bytes to each of its keys. */
  readonly run: (node: StorageNode, tenant: string, bytes: number) => Promise<unknown>;
  /** Bytes of keys and values that the disk gets, with such values. */
  readonly size: (bytes: number) => number;
}

const ITEMS = 20;
const items = (bytes: number) =>
  Array.from({ length: ITEMS }, (_, i) => ({ key: `k${10 + i}`, value: new Uint8Array(bytes) }));
const replicas = (origin: "write" | "repair"): Way => ({
  entries: 1,
  run: (node, tenant, bytes) =>
    node.applyReplica(
      tenant,
      { key: "k", value: new Uint8Array(bytes), deleted: false, clock: newClock() },
      origin,
    ),
  size: (bytes) => 1 + bytes,
});

const PUTS: Readonly<Record<string, Way>> = {
  put: {
    entries: 1,
    run: (node, tenant, bytes) => node.put(tenant, { key: "k", value: new Uint8Array(bytes) }),
    size: (bytes) => 1 + bytes,
  },
  "put with an idempotency key": {
    entries: 1,
    run: (node, tenant, bytes) =>
      node.put(tenant, {
        key: "k",
        value: new Uint8Array(bytes),
        idempotencyKey: `${IDEMPOTENCY_KEY}${++counter}`,
      }),
    size: (bytes) => 1 + bytes,
  },
  batchPut: {
    entries: ITEMS,
    run: (node, tenant, bytes) => node.batchPut(tenant, items(bytes)),
    size: (bytes) => ITEMS * (3 + bytes),
  },
  "batchPut with an idempotency key": {
    entries: ITEMS,
    run: (node, tenant, bytes) =>
      node.batchPut(tenant, items(bytes), { idempotencyKey: `${IDEMPOTENCY_KEY}${++counter}` }),
    size: (bytes) => ITEMS * (3 + bytes),
  },
  "applyReplica of a write": replicas("write"),
  "applyReplica of a repair": replicas("repair"),
  replicate: {
    entries: 2,
    run(node, tenant, bytes) {
      const entries = ["a", "b"].map((key) => ({
        key,
        version: versionOf(new Uint8Array(bytes)),
      }));
      return node.replicate(tenant, entries, checksumOf(entries));
    },
    size: (bytes) => 2 * (1 + encodeVersions([versionOf(new Uint8Array(bytes))]).length),
  },
};

const DELETES: Readonly<Record<string, (node: StorageNode) => Promise<unknown>>> = {
  delete: (node) => node.delete("t", { key: "gone" }),
  "delete with an idempotency key": (node) =>
    node.delete("t", { key: "gone", idempotencyKey: IDEMPOTENCY_KEY }),
  "applyReplica of a delete": (node) =>
    node.applyReplica(
      "t",
      { key: "gone", value: undefined, deleted: true, clock: newClock() },
      "delete",
    ),
  "applyReplica of a repaired delete": (node) =>
    node.applyReplica(
      "t",
      { key: "gone", value: undefined, deleted: true, clock: newClock() },
      "repair",
    ),
  replicate(node) {
    const entries = [{ key: "gone", version: versionOf(undefined) }];
    return node.replicate("t", entries, checksumOf(entries));
  },
};

/** The estimate in words of the row, apart from the code: log and table, overheads, and a fifth more. */
function estimateOf({ entries, size }: Way, bytes: number): number {
  return Math.ceil((2 * size(bytes) + entries * (48 + 64)) * 1.2);
}

/** The longest values with which a write is not large. */
function longestSmall(way: Way): number {
  let bytes = 0;
  while (estimateOf(way, bytes + 1) <= LARGE_WRITE_BYTES) bytes++;
  return bytes;
}

async function refused(run: () => Promise<unknown>, expected: Record<string, unknown>) {
  await assert.rejects(run, (error) => {
    assert.ok(error instanceof PairError, `${error}`);
    assert.partialDeepStrictEqual({ code: error.code, ...error.details }, expected);
    return true;
  });
}

Deno.test("every write is estimated whole: a byte more than a small one has is 2003 on a throttled disk, and changes nothing [D2, D3]", async (t) => {
  for (const [name, way] of Object.entries(PUTS)) {
    await t.step(name, async () => {
      const it = await nodeAt(91);
      const most = longestSmall(way);
      const before = stateOf(it);
      const bytes = estimateOf(way, most + 1);
      for (const tenant of ["t", "new"]) {
        await refused(() => way.run(it.node, tenant, most + 1), {
          code: 2003,
          bytes,
          totalBytes: TOTAL,
        });
      }
      assert.deepEqual(stateOf(it), before);
      await way.run(it.node, "t", most);
      assert.equal(it.engine.log.length, before.writes + 1);
      const { diskThrottled, diskRefused, diskEstimatedBytes } = it.node.status().counters;
      assert.deepEqual([diskThrottled, diskRefused], [2, 0]);
      // Besides what was put at first.
      const first = Math.ceil((2 * 5 + 112) * 1.2);
      assert.equal(diskEstimatedBytes, first + estimateOf(way, most));
    });
  }
});

Deno.test("a full disk takes no write, whichever way it comes, and every delete; a strict one none [D2, X17]", async (t) => {
  for (const [name, way] of Object.entries(PUTS)) {
    await t.step(name, async () => {
      const it = await nodeAt(96);
      const before = stateOf(it);
      for (const tenant of ["t", "new"]) {
        await refused(() => way.run(it.node, tenant, 0), { code: 2002, totalBytes: TOTAL });
      }
      assert.deepEqual(stateOf(it), before);
      assert.equal(it.node.status().counters.diskRefused, 2);
    });
  }
  for (const [name, run] of Object.entries(DELETES)) {
    await t.step(`a delete by ${name}`, async () => {
      const it = await nodeAt(96);
      await run(it.node);
      assert.equal(it.engine.log.length, 2);

      const thresholds = { degraded: 0.9, strict: true };
      const strict = testNode({ diskThresholds: thresholds });
      await strict.node.put("t", { key: "gone", value: new Uint8Array(1) });
      strict.world.disk.space = () => ({ totalBytes: TOTAL, freeBytes: TOTAL * 0.04 });
      await strict.world.clock.advance(1000);
      await refused(() => run(strict.node), { code: 2002 });
      assert.ok(strict.node.get("t", "gone") !== undefined);
      assert.equal(strict.engine.log.length, 1);
    });
  }
});

Deno.test("from 80 % on the log warns, once, and everything is taken [D2]", async () => {
  const it = await nodeAt(81);
  for (const [name, way] of Object.entries(PUTS)) await way.run(it.node, name, 100_000);
  const told = it.world.log.named("node.disk").map(({ level, fields }) => [level, fields.state]);
  assert.deepEqual(told, [["warn", "warn"]]);
  assert.equal(it.node.health().status, "healthy");
});

Deno.test("the estimate has the key's bytes in it, and not its characters [D3]", async () => {
  const it = await nodeAt(50);
  const before = it.node.status().counters.diskEstimatedBytes;
  await it.node.delete("t", { key: "é".repeat(100) });
  const key = encodeKey("é".repeat(100));
  const bytes = it.node.status().counters.diskEstimatedBytes - before;
  assert.equal(bytes, Math.ceil((2 * key.length + 112) * 1.2));
});
