import assert from "node:assert/strict";
import fc from "fast-check";
import { KIND_MERGE, type Mutation } from "../../../src/engine/mod.ts";
import {
  decodeVersions,
  inTokenRange,
  MAX_VALUE_BYTES,
  PairError,
  readToken,
  tokenOf,
  type TokenRange,
  tokenShare,
  type Version,
} from "../../../src/model/mod.ts";
import type {
  StorageNode,
  StreamInput,
  TenantOptions,
  TransferBatch,
} from "../../../src/node/mod.ts";
import { type Clock, simRuntime, SimSandbox } from "../../../src/runtime/mod.ts";
import { bytes, rejectsCode, testNode, text, turn } from "../../support/node.ts";
import { checksumOf } from "../../support/transfer.ts";

function version(value: string | undefined, counter: number, node = "n9"): Version {
  return {
    clock: { entries: [{ node, counter }], dots: [] },
    dot: { node, counter },
    value: value === undefined ? undefined : bytes(value),
    timestampMs: 1000 + counter,
    expiresAtMs: 0,
  };
}

function entry(key: string, version: Version) {
  return { key, version };
}

async function collect(node: StorageNode, input: StreamInput = {}, tenant = "t") {
  const batches: TransferBatch[] = [];
  for await (const batch of node.streamKeys(tenant, input)) batches.push(batch);
  return { batches, entries: batches.flatMap(({ entries }) => entries), last: batches.at(-1)! };
}

function replicate(node: StorageNode, entries: readonly { key: string; version: Version }[]) {
  return node.replicate("t", entries, checksumOf(entries));
}

/** A node with siblings, deletes and values that expire. */
async function filled(keys = 40) {
  const it = testNode();
  const { node, world } = it;
  for (let i = 0; i < keys; i++) {
    const key = `key ${String(i).padStart(4, "0")}`;
    await node.put("t", { key, value: bytes(`value ${i}`), ttlMs: i % 5 === 0 ? 50 : 0 });
    if (i % 3 === 0) {
      await node.put("t", { key, value: bytes("sibling"), context: { entries: [], dots: [] } });
    }
    if (i % 4 === 0) await node.delete("t", { key });
  }
  await world.clock.advance(100);
  return it;
}

Deno.test("streamKeys() gives every version in key order, deletes and expired values too [N6, S4]", async () => {
  const { node } = await filled();
  const { entries, last } = await collect(node);
  const keys = entries.map(({ key }) => key);
  assert.deepEqual(keys, keys.toSorted());
  assert.equal(new Set(keys).size, 40);
  assert.equal(last.totals?.keys, 40);
  assert.equal(last.totals?.versions, entries.length);
  assert.ok(entries.length > 40, "there are siblings");
  const tombstones = entries.filter(({ version }) => version.value === undefined).length;
  assert.ok(tombstones >= 10);
  assert.equal(last.totals?.tombstones, tombstones);
  assert.ok(entries.some(({ version }) => version.expiresAtMs > 0 && version.value !== undefined));
});

Deno.test("streamKeys() is of one moment, and closes its cursor however it ends [N6, S4]", async () => {
  const { node, engine } = await filled();
  const stream = node.streamKeys("t", { batchBytes: 100 });
  const first = await stream.next();
  for (let i = 0; i < 40; i++) {
    await node.put("t", { key: `key ${String(i).padStart(4, "0")}`, value: bytes("new") });
  }
  await node.put("t", { key: "later", value: bytes("new") });
  let entries = [...first.value!.entries];
  for await (const batch of stream) entries = [...entries, ...batch.entries];
  assert.equal(new Set(entries.map(({ key }) => key)).size, 40);
  assert.ok(entries.every(({ version }) => new TextDecoder().decode(version.value) !== "new"));
  assert.equal(engine.openCursors, 0);

  const left = node.streamKeys("t", { batchBytes: 100 });
  await left.next();
  assert.equal(engine.openCursors, 1);
  await left.return(undefined);
  assert.equal(engine.openCursors, 0);

  const abort = new AbortController();
  const ended = node.streamKeys("t", { batchBytes: 100 }, abort.signal);
  await ended.next();
  abort.abort(new Error("gone"));
  await assert.rejects(ended.next(), /gone/);
  assert.equal(engine.openCursors, 0);
});

Deno.test("streamKeys() makes a batch when it is asked for one, of bounded size [S4]", async () => {
  const { node } = testNode();
  const value = new Uint8Array(1000);
  for (let i = 0; i < 50; i++) await node.put("t", { key: `k${i}`, value });
  await node.put("t", { key: "k5x", value: new Uint8Array(20_000) });
  const { batches } = await collect(node, { batchBytes: 5000 });
  for (const { entries } of batches) {
    const size = entries.reduce((sum, { version }) => sum + version.value!.length, 0);
    assert.ok(size <= 5000 || entries.length === 1, `${size} bytes in ${entries.length} entries`);
  }
  const many = testNode();
  const items = Array.from({ length: 1000 }, (_, i) => ({ key: `k${i}`, value: bytes("") }));
  await many.node.batchPut("t", items);
  const counts = (await collect(many.node)).batches.map(({ entries }) => entries.length);
  assert.deepEqual(counts, [500, 500]);
});

Deno.test("streamKeys() goes on behind the checkpoint of any batch, and misses nothing [N6, S4]", async () => {
  const { node } = await filled();
  const { batches, last } = await collect(node, { batchBytes: 150 });
  assert.ok(batches.length > 10);
  for (const [i, { checkpoint }] of batches.entries()) {
    const had = batches.slice(0, i + 1).flatMap(({ entries }) => entries);
    const rest = await collect(node, { resumeAfter: checkpoint });
    // Versions of a key that was cut come again; none is missing.
    const kept = had.filter(({ key }) => checkpoint !== "" && key <= checkpoint);
    assert.equal(checksumOf([...kept, ...rest.entries]), last.totals!.checksum);
  }
  assert.deepEqual((await collect(node, { resumeAfter: last.checkpoint })).last, {
    entries: [],
    checksum: 0,
    checkpoint: last.checkpoint,
    totals: { keys: 0, versions: 0, tombstones: 0, bytes: 0, checksum: 0 },
  });
});

Deno.test("checksums of batches and of the whole do not depend on each other's cuts [S4]", async () => {
  const { node } = await filled();
  const whole = (await collect(node)).last.totals!.checksum;
  for (const batchBytes of [1, 500, 5000]) {
    const { batches, last } = await collect(node, { batchBytes });
    for (const { entries, checksum } of batches) assert.equal(checksum, checksumOf(entries));
    assert.equal(last.totals!.checksum, whole);
  }
});

Deno.test("streamKeys() narrows by key and by token, and token ranges around the ring add up [S3]", async () => {
  const { node } = await filled();
  const { entries } = await collect(node, { start: "key 0010", end: "key 0020" });
  assert.deepEqual([...new Set(entries.map(({ key }) => key))].length, 10);
  assert.equal((await collect(node, { start: "b", end: "a" })).entries.length, 0);
  const points = ["10", "80", "f0"].map((byte) =>
    readToken(Uint8Array.fromHex(byte.repeat(16)), "")
  );
  const ranges = points.map((start, i): TokenRange => ({ start, end: points[(i + 1) % 3] }));
  const parts = [];
  for (const tokens of ranges) {
    const part = await collect(node, { tokens });
    for (const { key } of part.entries) assert.ok(inTokenRange(tokenOf(bytes(key)), tokens));
    parts.push(...part.entries);
  }
  const all = (await collect(node)).entries;
  assert.equal(parts.length, all.length);
  assert.equal(new Set(parts.map(({ key }) => key)).size, new Set(all.map(({ key }) => key)).size);
});

Deno.test("streamKeys() says how far it has looked when it finds no token for long, and goes on from there [N6, S3]", async () => {
  const world = simRuntime();
  world.disk.makeDir("/data");
  let nowMs = 0;
  const clock: Clock = {
    wallMs: () => world.clock.wallMs(),
    monotonicMs: () => nowMs += 500,
    sleep: () => Promise.resolve(),
    after: (...args) => world.clock.after(...args),
    soon: (run) => world.clock.soon(run),
  };
  const { node } = testNode({ runtime: { ...world, clock } });
  for (let i = 0; i < 100; i++) await node.put("t", { key: `k${100 + i}`, value: bytes("v") });
  const at = tokenOf(bytes("k199"));
  // Nothing but the last key.
  const tokens = { start: Uint32Array.from(at, (word, i) => i === 3 ? word - 1 : word), end: at };
  const { batches, last } = await collect(node, { tokens });
  assert.ok(batches.length > 3);
  const checkpoints = batches.map(({ checkpoint }) => checkpoint);
  assert.deepEqual(checkpoints, checkpoints.toSorted());
  assert.deepEqual(last.entries.map(({ key }) => key), ["k199"]);
  assert.deepEqual(batches.slice(0, -1).flatMap(({ entries }) => entries), []);
  for (const resumeAfter of checkpoints.slice(0, -1)) {
    const rest = await collect(node, { tokens, resumeAfter });
    assert.deepEqual(rest.entries.map(({ key }) => key), ["k199"]);
  }
});

Deno.test("streamKeys() refuses bad input at once [N6, V1, T4]", async () => {
  const { node } = await filled(1);
  for (
    const [tenant, input, code] of [
      ["none", {}, 1004],
      ["a:b", {}, 1004],
      ["t", { start: "x".repeat(1025) }, 1002],
      ["t", { end: "\ud800" }, 1005],
      ["t", { resumeAfter: "\n" }, 1005],
      ["t", { batchBytes: -1 }, 1000],
      ["t", { batchBytes: 8 * 1024 * 1024 + 1 }, 1000],
    ] as const
  ) {
    await rejectsCode(() => node.streamKeys(tenant, input), code);
  }
});

Deno.test("replicate() stores exactly the versions, and again changes nothing [N5]", async () => {
  const { node: source } = await filled();
  const { node: target, engine } = testNode({ nodeId: "n2" });
  const { batches, last } = await collect(source, { batchBytes: 300 });
  for (const round of [0, 1]) {
    const writes = engine.log.length;
    for (const { entries, checksum } of batches) {
      const done = await target.replicate("t", entries, checksum);
      assert.deepEqual(done, {
        keys: new Set(entries.map(({ key }) => key)).size,
        versions: entries.length,
        applied: round === 0 ? entries.length : 0,
        lastKey: entries.at(-1)!.key,
      });
    }
    assert.equal(engine.log.length - writes, round === 0 ? batches.length : 0);
  }
  assert.deepEqual((await collect(target)).last.totals, last.totals);
});

Deno.test("replicate() keeps what is newer or concurrent here, in any order of arrival [N5, C9]", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(3), fc.nat(2), fc.integer({ min: 1, max: 4 }), fc.nat(3)), {
        minLength: 1,
        maxLength: 25,
      }),
      fc.infiniteStream(fc.nat(1000)),
      async (writes, random) => {
        // A clock of one node stands for one write.
        const all = new Map(writes.map(([key, node, counter, value]) => [
          `${key} ${node} ${counter}`,
          entry(`k${key}`, version(value === 0 ? undefined : `${value}`, counter, `n${node}`)),
        ]));
        const shuffled = [...all.values()].map((each) => ({ each, at: random.next().value }))
          .sort((a, b) => a.at - b.at).map(({ each }) => each);
        const [one, two] = [testNode().node, testNode({ nodeId: "n2" }).node];
        for (const each of all.values()) await replicate(one, [each]);
        for (const each of [...shuffled, ...shuffled]) await replicate(two, [each]);
        assert.deepEqual((await collect(one)).last.totals, (await collect(two)).last.totals);
      },
    ),
    { numRuns: 60 },
  );
});

Deno.test("replicate() refuses a bad batch with nothing changed [N5, S4, V1, V4]", async () => {
  const { node, engine } = await filled(3);
  const before = (await collect(node)).last.totals;
  const writes = engine.log.length;
  const [a, b] = [entry("a", version("1", 1)), entry("b", version("2", 2))];
  const emptyClock = { ...version("1", 1), clock: { entries: [], dots: [] }, dot: undefined };
  const newer = entry("a", { ...version("2", 2, "n8") });
  const bad: [string, { key: string; version: Version }[], number, (number | undefined)?][] = [
    ["a bit that fell over", [a, b], 1006, checksumOf([a, b]) ^ 1],
    ["an entry that was lost", [a], 1006, checksumOf([a, b])],
    ["no checksum", [a, b], 1000, undefined],
    ["no entries", [], 1000],
    [
      "too many",
      Array.from({ length: 1001 }, (_, i) => entry(`k${1000 + i}`, version("", 1))),
      1000,
    ],
    ["wrong order", [b, a], 1000],
    ["a version twice", [a, a], 1000],
    ["versions in wrong order", [a, newer], 1000],
    ["a long key", [a, entry("x".repeat(1025), version("1", 1))], 1002],
    ["a bad key", [entry("\n", version("1", 1)), a], 1005],
    ["an empty key", [entry("", version("1", 1)), a], 1000],
    ["an empty clock", [entry("a", emptyClock)], 1000, 0],
    [
      "an event of its own that is not the last",
      [
        entry("a", { ...version("1", 2), dot: { node: "n9", counter: 1 } }),
      ],
      1000,
      0,
    ],
    ["a negative time", [entry("a", { ...version("1", 1), timestampMs: -1 })], 1000, 0],
    ["half a millisecond", [entry("a", { ...version("1", 1), expiresAtMs: 0.5 })], 1000, 0],
    [
      "a large value",
      [
        a,
        entry("b", { ...version("1", 1), value: new Uint8Array(MAX_VALUE_BYTES + 1) }),
      ],
      1003,
      0,
    ],
  ];
  for (const [what, entries, code, ...given] of bad) {
    const checksum = given.length === 0 ? checksumOf(entries) : given[0];
    await rejectsCode(() => node.replicate("t", entries, checksum), code);
    assert.equal(engine.log.length, writes, what);
  }
  await rejectsCode(() => node.replicate("a:b", [a], checksumOf([a])), 1004);
  const strict = testNode({ tenantAutoCreate: false });
  await rejectsCode(() => strict.node.replicate("t", [a], checksumOf([a])), 1004);
  assert.equal(strict.engine.trees().length, 0);
  assert.deepEqual((await collect(node)).last.totals, before);
});

Deno.test("replicate() makes a tenant as it is where the batch comes from, with no entries too, and compares one that is there [N5]", async () => {
  const { node, engine } = testNode();
  const options = { conflictStrategy: "lww", maxKeys: 5, ttlMs: 0 };
  const a = [entry("a", version("1", 1))];
  const sum = checksumOf(a);
  const empty = await node.replicate("t", [], 0, undefined, { options });
  assert.deepEqual(empty, { keys: 0, versions: 0, applied: 0, lastKey: "" });
  assert.deepEqual(node.listTenants().map(({ options }) => options), [options]);
  await node.replicate("new", a, sum, undefined, { options: {} });
  await node.replicate("t", a, sum, undefined, { options: { conflictStrategy: "lww" } });
  await node.replicate("t", a, sum);
  assert.deepEqual(node.listTenants().map(({ options }) => options), [{}, options]);
  const writes = engine.log.length;
  const refused: [string, TenantOptions][] = [
    ["t", {}],
    ["t", { conflictStrategy: "merge:max" }],
    ["new", { conflictStrategy: "lww" }],
    // As it would be refused when it is created by a call.
    ["other", { conflictStrategy: "none of those" }],
  ];
  const b = [entry("b", version("1", 1))];
  for (const [tenant, options] of refused) {
    for (const entries of [[], b]) {
      const sum = checksumOf(entries);
      await rejectsCode(() => node.replicate(tenant, entries, sum, undefined, { options }), 1000);
    }
  }
  // What is not named is as the default.
  await node.replicate("new", b, checksumOf(b), undefined, {
    options: { conflictStrategy: "vector_clock" },
  });
  assert.equal(engine.log.length, writes + 1);
  assert.deepEqual(node.listTenants().map(({ tenant }) => tenant), ["new", "t"]);
  await rejectsCode(() => node.replicate("t", [], 1, undefined, { options }), 1006);
  const strict = testNode({ tenantAutoCreate: false });
  await rejectsCode(() => strict.node.replicate("t", a, sum, undefined, { options }), 1004);
});

Deno.test("replicate() refuses a tenant whose merge function is not here, or another by its name", async () => {
  const known = (source: string) =>
    new SimSandbox().know(source, () => (a, b) => text(a)! > text(b)! ? a : b);
  const options = { conflictStrategy: "merge:larger" };
  const { node } = testNode({ sandbox: known("the larger") });
  const refused = (mergeFunctionDigest: string | undefined, details: Record<string, string>) =>
    assert.rejects(
      () => node.replicate("t", [], 0, undefined, { options, mergeFunctionDigest }),
      (error) => {
        assert.ok(error instanceof PairError && error.code === 1000);
        assert.deepEqual(error.details, details);
        return true;
      },
    );
  await refused("ab", { reason: "merge_function", present: "", wanted: "ab" });
  await refused(undefined, { option: "conflictStrategy" });
  const { digest } = await node.registerMergeFunction("larger", "the larger");
  await refused("ab", { reason: "merge_function", present: digest, wanted: "ab" });
  assert.deepEqual(node.listTenants(), []);
  await node.replicate("t", [], 0, undefined, { options, mergeFunctionDigest: digest });
  assert.deepEqual(node.listTenants().map(({ options }) => options), [options]);
  // Also where the tenant is there.
  await refused("ab", { reason: "merge_function", present: digest, wanted: "ab" });
  await node.close();
});

Deno.test("replicate() takes no version where a key of the batch would hold too many [N5]", async () => {
  const { node } = testNode();
  for (let i = 0; i < 100; i++) {
    await replicate(node, [entry("k", version("v", 1, `n${100 + i}`))]);
  }
  const before = (await collect(node)).last.totals;
  const batch = [entry("a", version("v", 1)), entry("k", version("one more", 1, "n999"))];
  await rejectsCode(() => replicate(node, batch), 2008);
  assert.deepEqual((await collect(node)).last.totals, before);
});

Deno.test("replicate() writes what is new and nothing else: what is replaced must not outlive its replacement [N5]", async () => {
  const { node, engine } = testNode();
  await replicate(node, [entry("k", version(undefined, 2))]);
  const written: Mutation[] = [];
  const write = engine.write.bind(engine);
  engine.write = (mutations, ...more) => {
    written.push(...mutations);
    return write(mutations, ...more);
  };
  // In the order of states: the latest first.
  const [old, other] = [version("old", 1), version("other", 9, "n8")];
  const done = await replicate(node, [entry("k", other), entry("k", old)]);
  assert.equal(done.applied, 1);
  assert.deepEqual(written.map(({ kind }) => kind), [KIND_MERGE]);
  const states = written.flatMap(({ value }) => decodeVersions(value));
  assert.deepEqual(states.map(({ clock }) => clock), [other.clock]);
});

Deno.test("replicate() does not vouch for what still waits for its sync [N5, B5]", async () => {
  const { node, engine } = testNode();
  await node.createTenant("t");
  engine.hold = true;
  const batch = [entry("k", version("v", 1))];
  const first = replicate(node, batch);
  let answered = false;
  const again = replicate(node, batch).finally(() => answered = true);
  await turn();
  assert.equal(answered, false);
  engine.sync();
  assert.equal((await first).applied, 1);
  assert.equal((await again).applied, 0);
});

Deno.test("replicate() tells its watch when the log has the batch, and heeds one that is gone [N5, B5]", async () => {
  const { node, engine } = testNode();
  await node.createTenant("t");
  const batch = [entry("k", version("v", 1))];
  let told = 0;
  await node.replicate("t", batch, checksumOf(batch), { gone: false, handedOver: () => told++ });
  assert.equal(told, 1);
  const resume = engine.stall();
  const other = [entry("k", version("w", 2))];
  const left = node.replicate("t", other, checksumOf(other), {
    gone: true,
    handedOver: () => told++,
  });
  resume();
  await rejectsCode(() => left, 2001);
  assert.equal(told, 1);
});

Deno.test("keyRange() counts exactly what a stream gives, with its checksum [N7]", async () => {
  const { node } = await filled();
  const tokens = { start: readToken(new Uint8Array(16), ""), end: tokenOf(bytes("any")) };
  for (const input of [{}, { start: "key 0010", end: "key 0020" }, { tokens }, { start: "z" }]) {
    const { entries, last } = await collect(node, input);
    assert.deepEqual(await node.keyRange("t", input, { exact: true }), {
      first: entries[0]?.key ?? "",
      last: entries.at(-1)?.key ?? "",
      keys: last.totals!.keys,
      bytes: last.totals!.bytes,
      totals: last.totals,
    });
  }
});

Deno.test("keyRange() estimates with the true first and last key, over all tenants too [N7]", async () => {
  const { node } = await filled();
  const all = await node.keyRange("t", {});
  assert.deepEqual([all.first, all.last, all.keys], ["key 0000", "key 0039", 40]);
  assert.equal(all.totals, undefined);
  const part = await node.keyRange("t", { start: "key 0010", end: "key 0020" });
  assert.deepEqual([part.first, part.last, part.keys], ["key 0010", "key 0019", 10]);
  const tokens = { start: readToken(new Uint8Array(16), ""), end: tokenOf(bytes("any")) };
  const share = await node.keyRange("t", { tokens });
  assert.equal(share.keys, Math.ceil(40 * tokenShare(tokens)));
  const none = await node.keyRange("t", { start: "z" });
  assert.deepEqual(none, { first: "", last: "", keys: 0, bytes: 0, totals: undefined });

  await node.put("u", { key: "a", value: bytes("") });
  await node.put("u", { key: "я", value: bytes("") });
  const both = await node.keyRange(undefined, {});
  assert.deepEqual([both.first, both.last, both.keys], ["a", "я", 42]);
  await rejectsCode(() => node.keyRange(undefined, {}, { exact: true }), 1000);
  await rejectsCode(() => node.keyRange("none", {}), 1004);
});

/** A clock that every look moves by a microsecond, so that all that is timed takes time. */
function ticking(world: ReturnType<typeof simRuntime>): void {
  const { clock } = world;
  let looks = 0;
  const monotonicMs = clock.monotonicMs.bind(clock);
  clock.monotonicMs = () => monotonicMs() + looks++ / 1000;
}

Deno.test("streams, what they hand over and take in, their time and that of checksums are counted [S8, O7]", async () => {
  const { node, world } = await filled();
  ticking(world);
  const figures = (of: StorageNode = node) => {
    const found = Object.entries(of.status().counters).filter(([name]) =>
      name.startsWith("transfer")
    );
    return Object.fromEntries(found.map(([name, value]) => [name.slice("transfer".length), value]));
  };
  assert.ok(Object.values(figures()).every((value) => value === 0));
  const { entries, last } = await collect(node, { batchBytes: 500 });
  const { keys, versions, bytes: size } = last.totals!;
  const sent = figures();
  assert.deepEqual(
    [sent.Streams, sent.StreamsCompleted, sent.StreamsFailed],
    [0, 1, 0],
  );
  assert.deepEqual([sent.KeysSent, sent.VersionsSent, sent.BytesSent], [keys, versions, size]);
  assert.ok(sent.SendMs > sent.ChecksumMs && sent.ChecksumMs > 0, JSON.stringify(sent));
  assert.deepEqual([sent.BatchesReceived, sent.BytesReceived], [0, 0]);

  // One that runs, and one that its reader leaves.
  const stream = node.streamKeys("t", { batchBytes: 500 });
  await stream.next();
  assert.equal(figures().Streams, 1);
  await stream.return(undefined);
  assert.deepEqual([figures().Streams, figures().StreamsFailed], [0, 1]);
  // To look at a range is to hand nothing over.
  const before = figures();
  await node.keyRange("t", {}, { exact: true });
  assert.deepEqual(figures(), before);

  const other = testNode();
  ticking(other.world);
  await replicate(other.node, entries);
  await replicate(other.node, entries);
  const got = figures(other.node);
  assert.deepEqual(
    [got.BatchesReceived, got.KeysReceived, got.VersionsReceived, got.VersionsApplied],
    [2, 2 * keys, 2 * versions, versions],
  );
  assert.equal(got.BytesReceived, 2 * size);
  assert.ok(got.ReceiveMs > 0 && got.ChecksumMs > 0, JSON.stringify(got));
  assert.equal(got.KeysSent, 0);
});
