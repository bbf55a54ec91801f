import assert from "node:assert/strict";
import { EMPTY_CLOCK } from "../../../src/model/mod.ts";
import { bytes, rejectsCode, testNode, text, turn } from "../../support/node.ts";

const BAD_TENANTS = ["", "a:b", "\u0000", "a\u007f", "\ud800", "x".repeat(257), "é".repeat(129)];

Deno.test("every method refuses a bad tenant id (1004) and changes nothing", async () => {
  const { node, engine } = testNode();
  const put = { key: "k", value: bytes("v") };
  const replica = {
    ...put,
    deleted: false,
    clock: { entries: [{ node: "x", counter: 1 }], dots: [] },
  };
  for (const tenant of BAD_TENANTS) {
    await rejectsCode(() => node.put(tenant, put), 1004);
    await rejectsCode(() => node.get(tenant, "k"), 1004);
    await rejectsCode(() => node.delete(tenant, { key: "k" }), 1004);
    await rejectsCode(() => node.batchPut(tenant, [put]), 1004);
    await rejectsCode(() => node.batchGet(tenant, ["k"]), 1004);
    await rejectsCode(() => node.scan(tenant, {}), 1004);
    await rejectsCode(() => node.applyReplica(tenant, replica, "write"), 1004);
    await rejectsCode(() => node.createTenant(tenant), 1004);
    await rejectsCode(() => node.dropTenant(tenant), 1004);
    await rejectsCode(() => node.flush(tenant), 1004);
    await rejectsCode(() => node.compact(tenant), 1004);
  }
  assert.deepEqual(engine.trees(), []);
  assert.deepEqual([engine.log, engine.maintenance], [[], []]);
});

Deno.test("with auto_create a read of an unknown tenant finds nothing and makes nothing", async () => {
  const { node } = testNode();
  assert.equal(node.get("t", "k"), undefined);
  assert.deepEqual([...node.scan("t", {})], []);
  const { existed, clock } = await node.delete("t", { key: "k" });
  assert.deepEqual([existed, clock], [false, EMPTY_CLOCK]);
  assert.deepEqual(node.listTenants(), []);
});

Deno.test("without auto_create reads, writes and deletes of an unknown tenant are refused (1004)", async () => {
  const { node, engine } = testNode({ tenantAutoCreate: false });
  const put = { key: "k", value: bytes("v") };
  const replica = {
    ...put,
    deleted: false,
    clock: { entries: [{ node: "x", counter: 1 }], dots: [] },
  };
  await rejectsCode(() => node.put("t", put), 1004);
  await rejectsCode(() => node.batchPut("t", [put]), 1004);
  await rejectsCode(() => node.delete("t", { key: "k" }), 1004);
  await rejectsCode(() => node.get("t", "k"), 1004);
  await rejectsCode(() => node.batchGet("t", ["k"]), 1004);
  await rejectsCode(() => node.scan("t", {}), 1004);
  await rejectsCode(() => node.applyReplica("t", replica, "repair"), 1004);
  assert.deepEqual(engine.trees(), []);
  await node.createTenant("t");
  await node.put("t", put);
  assert.equal(text(node.get("t", "k")?.winner.value), "v");
});

Deno.test("first writes that come together share one creation", async () => {
  const { node, engine } = testNode();
  engine.hold = true;
  const writes = ["a", "b", "c"].map((key) => node.put("t", { key, value: bytes(key) }));
  assert.equal(engine.waiting, 1, "one creation");
  engine.sync();
  await turn();
  assert.equal(engine.waiting, 3, "three writes");
  engine.sync();
  await Promise.all(writes);
  assert.deepEqual(node.listTenants().map(({ tenant }) => tenant), ["t"]);
  assert.equal([...node.scan("t", {})].length, 3);
});

Deno.test("a creation that fails fails its writers, and the next write tries again", async () => {
  const { node, engine } = testNode();
  const createTree = engine.createTree.bind(engine);
  engine.createTree = () => Promise.reject(new Error("manifest"));
  const writes = ["a", "b"].map((key) => node.put("t", { key, value: bytes(key) }));
  for (const { status } of await Promise.allSettled(writes)) assert.equal(status, "rejected");
  engine.createTree = createTree;
  await node.put("t", { key: "a", value: bytes("a") });
  assert.equal(text(node.get("t", "a")?.winner.value), "a");
});

Deno.test("createTenant() describes it, and refuses one that exists (1000, detail reason)", async () => {
  const { node, world } = testNode();
  const createdAtMs = world.clock.wallMs();
  const counted = { requests: 0, bytesIn: 0, bytesOut: 0, refused: 0 };
  const usage = { bytes: 0, keys: 0, ...counted, cacheBytes: 0 };
  const described = { tenant: "t", createdAtMs, bytes: 0, tables: 0, options: {}, usage };
  assert.deepEqual(await node.createTenant("t"), described);
  await assert.rejects(node.createTenant("t"), {
    code: 1000,
    details: { reason: "already_exists" },
  });
  const both = await Promise.allSettled([node.createTenant("u"), node.createTenant("u")]);
  assert.deepEqual(both.map(({ status }) => status), ["fulfilled", "rejected"]);
});

Deno.test("updateTenant() changes what it names and no more; no tenant is 1004", async () => {
  const { node } = testNode();
  await node.createTenant("t", { strategy: "hybrid", ttlMs: 5 });
  assert.deepEqual((await node.updateTenant("t", { ttlMs: 7 })).options, {
    strategy: "hybrid",
    ttlMs: 7,
  });
  assert.deepEqual(node.listTenants()[0].options, { strategy: "hybrid", ttlMs: 7 });
  await rejectsCode(() => node.updateTenant("u", { ttlMs: 7 }), 1004);
});

Deno.test("a tenant's default time to live holds for values without their own, to the millisecond", async () => {
  const { node, world } = testNode();
  await node.createTenant("t", { ttlMs: 1000 });
  await node.put("t", { key: "default", value: bytes("v") });
  await node.put("t", { key: "zero", value: bytes("v"), ttlMs: 0 });
  await node.put("t", { key: "longer", value: bytes("v"), ttlMs: 3000 });
  await node.batchPut("t", [{ key: "batch", value: bytes("v") }]);
  await world.clock.advance(999);
  const live = () => [...node.scan("t", {})].map(({ key }) => key);
  assert.deepEqual(live(), ["batch", "default", "longer", "zero"]);
  const both = await node.batchGet("t", ["default", "batch"]);
  assert.ok(both.every((found) => found !== undefined));
  await world.clock.advance(1);
  assert.deepEqual(live(), ["longer", "zero"]);
  assert.equal(node.get("t", "default"), undefined);
  assert.deepEqual(await node.batchGet("t", ["default", "batch"]), [undefined, undefined]);
  // What was written under the old default keeps it; what comes now is for ever.
  await node.updateTenant("t", { ttlMs: 0 });
  await node.put("t", { key: "for ever", value: bytes("v") });
  await world.clock.advance(2000);
  assert.deepEqual(live(), ["for ever", "zero"]);
});

Deno.test("skipUnchanged writes again where values expire, so that they live on", async () => {
  const { node, world } = testNode();
  await node.createTenant("t", { ttlMs: 1000 });
  const items = [{ key: "k", value: bytes("v") }];
  await node.batchPut("t", items, { skipUnchanged: true });
  await world.clock.advance(900);
  assert.equal((await node.batchPut("t", items, { skipUnchanged: true })).unchanged, 0);
  await world.clock.advance(900);
  assert.ok(node.get("t", "k") !== undefined);
});

Deno.test("the largest default time to live never runs over", async () => {
  const { node, world } = testNode();
  await node.createTenant("t", { ttlMs: Number.MAX_SAFE_INTEGER });
  await node.put("t", { key: "k", value: bytes("v") });
  world.clock.jumpWall(200 * 365 * 86_400_000);
  assert.ok(node.get("t", "k") !== undefined);
});

Deno.test("listTenants() is in order of the id, with sizes", async () => {
  const { node } = testNode();
  for (const tenant of ["b", "10", "9", "a"]) await node.createTenant(tenant);
  await node.put("b", { key: "k", value: bytes("v") });
  assert.deepEqual(node.listTenants().map(({ tenant }) => tenant), ["10", "9", "a", "b"]);
  assert.ok(node.listTenants()[3].bytes > 0);
  assert.equal(node.status().tenants, 4);
});

Deno.test("dropTenant() removes a tenant with its data; one that is not there is refused (1004)", async () => {
  const { node } = testNode();
  await node.put("t", { key: "k", value: bytes("v") });
  await node.put("u", { key: "k", value: bytes("stays") });
  await node.dropTenant("t");
  assert.equal(node.get("t", "k"), undefined);
  assert.equal(text(node.get("u", "k")?.winner.value), "stays");
  await rejectsCode(() => node.dropTenant("t"), 1004);
  // It may be made again, empty.
  await node.put("t", { key: "other", value: bytes("v") });
  assert.equal(node.get("t", "k"), undefined);
});

Deno.test("dropTenant() waits for the tenant's creation", async () => {
  const { node, engine } = testNode();
  engine.hold = true;
  const created = node.createTenant("t");
  const dropped = node.dropTenant("t");
  engine.sync();
  await created;
  await turn();
  engine.sync();
  await dropped;
  assert.deepEqual(node.listTenants(), []);
});

Deno.test("while a tenant is dropped nobody finds it, and a write waits and makes it anew", async () => {
  const { node, engine } = testNode();
  engine.hold = true;
  const until = async (waiting: number) => {
    while (engine.waiting < waiting) await turn();
    engine.sync();
  };
  const first = node.put("t", { key: "k", value: bytes("old") });
  await until(1);
  await until(1);
  await first;
  const dropped = node.dropTenant("t");
  const second = node.put("t", { key: "k2", value: bytes("new") });
  await Promise.resolve();
  assert.equal(node.get("t", "k"), undefined);
  assert.deepEqual(node.listTenants(), []);
  await until(1); // the drop
  await until(1); // the creation
  await until(1); // the write
  await Promise.all([dropped, second]);
  assert.deepEqual([...node.scan("t", {})].map(({ key }) => key), ["k2"]);
});

Deno.test("a time to live of 0 is for ever, also where the tenant has a default", async () => {
  const { node, world } = testNode();
  await node.createTenant("t", { ttlMs: 1000 });
  const value = bytes("v");
  await node.put("t", { key: "default", value });
  await node.put("t", { key: "own", value, ttlMs: 5000 });
  await node.put("t", { key: "stays", value, ttlMs: 0 });
  await node.batchPut("t", [{ key: "also default", value }, {
    key: "also stays",
    value,
    ttlMs: 0,
  }]);
  const startMs = world.clock.wallMs();
  const expiries = [...node.scan("t", {})].map((
    { key, result },
  ) => [key, result.winner.expiresAtMs]);
  assert.deepEqual(expiries, [
    ["also default", startMs + 1000],
    ["also stays", undefined],
    ["default", startMs + 1000],
    ["own", startMs + 5000],
    ["stays", undefined],
  ]);
  const keys = () => [...node.scan("t", {})].map(({ key }) => key);
  await world.clock.advance(1001);
  assert.deepEqual(keys(), ["also stays", "own", "stays"]);
  await world.clock.advance(10_000);
  assert.deepEqual(keys(), ["also stays", "stays"]);
  // What has no time and shall have none is unchanged.
  const again = await node.batchPut("t", [{ key: "stays", value, ttlMs: 0 }, {
    key: "stays",
    value,
  }], {
    skipUnchanged: true,
  });
  assert.equal(again.unchanged, 1);
  await world.clock.advance(1001);
  assert.deepEqual(keys(), ["also stays"]);
});

Deno.test("tenants that are made, changed and dropped are lines in the log, and what is refused is none [O9]", async () => {
  const { node, world } = testNode();
  const told = () =>
    world.log.events.splice(0).map(({ level, event, fields }) => ({ level, event, ...fields }));
  await node.createTenant("t", { maxKeys: 3, ttlMs: 5 });
  assert.deepEqual(told(), [{
    level: "info",
    event: "tenant.created",
    tenant: "t",
    by: "request",
    options: ["max_keys=3", "ttl_ms=5"],
  }]);
  await node.updateTenant("t", { maxKeys: undefined, cacheShare: 10 });
  assert.deepEqual(told(), [{
    level: "info",
    event: "tenant.updated",
    tenant: "t",
    options: ["max_keys=", "cache_share=10"],
  }]);
  await rejectsCode(() => node.createTenant("t"), 1000);
  await rejectsCode(() => node.updateTenant("t", { conflictStrategy: "lww" }), 1000);
  await rejectsCode(() => node.dropTenant("u"), 1004);
  assert.deepEqual(told(), []);
  await node.dropTenant("t");
  assert.deepEqual(told(), [{ level: "info", event: "tenant.dropped", tenant: "t" }]);
  await Promise.all(["a", "b"].map((key) => node.put("u", { key, value: bytes("secret") })));
  assert.deepEqual(told(), [{
    level: "info",
    event: "tenant.created",
    tenant: "u",
    by: "write",
    options: [],
  }]);
});
