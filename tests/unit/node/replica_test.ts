import assert from "node:assert/strict";
import fc from "fast-check";
import type { VectorClock } from "../../../src/model/mod.ts";
import type { ReplicaWrite } from "../../../src/node/mod.ts";
import { rawClock } from "../../support/arbitraries.ts";
import { bytes, rejectsCode, testNode, text, turn } from "../../support/node.ts";

function clock(...entries: [string, number][]): VectorClock {
  return { entries: entries.map(([node, counter]) => ({ node, counter })), dots: [] };
}

function version(value: string | undefined, clock: VectorClock, timestampMs?: number) {
  return {
    key: "k",
    value: value === undefined ? undefined : bytes(value),
    deleted: value === undefined,
    clock,
    timestampMs,
  };
}

Deno.test("applyReplica() stores exactly the version, as a write [E3, N2]", async () => {
  const { node, engine } = testNode();
  const result = await node.applyReplica("t", version("v", clock(["n2", 7]), 123), "write");
  assert.deepEqual(result, { clock: clock(["n2", 7]), timestampMs: 123 });
  const read = node.get("t", "k")!;
  assert.deepEqual(read.winner, { value: bytes("v"), ...result });
  assert.deepEqual(engine.log, [{ tag: "write", kinds: [0] }]);
});

Deno.test("applyReplica() of a dominated version writes nothing and returns the key's clock", async () => {
  const { node, engine } = testNode();
  await node.applyReplica("t", version("new", clock(["n2", 7], ["n3", 1])), "write");
  for (const origin of ["write", "delete", "repair"] as const) {
    for (const value of ["old", undefined]) {
      const { clock: after } = await node.applyReplica(
        "t",
        version(value, clock(["n2", 6])),
        origin,
      );
      assert.deepEqual(after, clock(["n2", 7], ["n3", 1]));
    }
  }
  assert.equal(engine.log.length, 1);
  assert.deepEqual(node.get("t", "k")!.versions.map(({ value }) => text(value)), ["new"]);
});

Deno.test("applyReplica() does not vouch for a dominating version that still waits for its sync", async () => {
  const { node, engine } = testNode();
  await node.createTenant("t");
  engine.hold = true;
  const newer = node.applyReplica("t", version("new", clock(["n2", 2]), 5), "write");
  let answered = false;
  const older = node.applyReplica("t", version("old", clock(["n2", 1]), 4), "write")
    .finally(() => answered = true);
  await turn();
  assert.equal(answered, false);
  engine.sync();
  await newer;
  assert.deepEqual((await older).clock, clock(["n2", 2]));
  assert.deepEqual(node.get("t", "k")!.versions.map(({ value }) => text(value)), ["new"]);
});

Deno.test("applyReplica() keeps what is concurrent, and returns a clock that covers it", async () => {
  const { node } = testNode();
  await node.put("t", { key: "k", value: bytes("mine") });
  const { clock: after } = await node.applyReplica(
    "t",
    version("theirs", clock(["n2", 1])),
    "write",
  );
  assert.deepEqual(after, clock(["n1", 1], ["n2", 1]));
  const values = node.get("t", "k")!.versions.map(({ value }) => text(value));
  assert.deepEqual(values.sort(), ["mine", "theirs"]);
});

Deno.test("a repair goes in as a merge operand and reads as any other write [E3, E37, N4]", async () => {
  const { node, engine } = testNode();
  await node.put("t", { key: "k", value: bytes("mine") });
  await node.applyReplica("t", version("theirs", clock(["n2", 1]), 9), "repair");
  assert.deepEqual(engine.log.at(-1), { tag: "repair", kinds: [2] });
  const read = node.get("t", "k")!;
  assert.deepEqual(read.versions.map(({ value }) => text(value)), ["mine", "theirs"]);
  await node.put("t", { key: "k", value: bytes("both"), context: read.clock });
  assert.deepEqual(node.get("t", "k")!.versions.map(({ value }) => text(value)), ["both"]);
});

Deno.test("a replicated delete stays and keeps the value it has seen from coming back [E3, N10]", async () => {
  const { node, engine } = testNode();
  await node.applyReplica("t", version(undefined, clock(["n2", 2])), "delete");
  assert.deepEqual(engine.log, [{ tag: "delete", kinds: [0] }]);
  assert.equal(node.get("t", "k"), undefined);
  await node.applyReplica("t", version("late", clock(["n2", 1])), "repair");
  assert.equal(node.get("t", "k"), undefined);
  assert.equal(engine.log.length, 1);
});

Deno.test("a version that is sent twice is stored once, also without a timestamp", async () => {
  const { node, engine, world } = testNode();
  const first = await node.applyReplica("t", version("v", clock(["n2", 1])), "write");
  assert.equal(first.timestampMs, world.clock.wallMs());
  await world.clock.advance(1000);
  const again = await node.applyReplica("t", version("v", clock(["n2", 1]), 0), "write");
  assert.deepEqual(again, first);
  assert.equal(engine.log.length, 1);
});

Deno.test("a node that gets its own lost writes back counts on from them", async () => {
  const { node } = testNode();
  await node.applyReplica("t", version("mine, lost", clock(["n1", 41])), "repair");
  const { clock: after } = await node.put("t", { key: "k", value: bytes("next") });
  assert.deepEqual(after, clock(["n1", 42]));
});

Deno.test("a key whose clock is as long as may be is written, deleted, and taken by other nodes", async () => {
  const many = Array.from({ length: 1000 }, (_, i): [string, number] => [`m${1000 + i}`, 1]);
  const { node } = testNode();
  await node.applyReplica("t", version("foreign", clock(...many)), "repair");
  const put = await node.put("t", { key: "k", value: bytes("blind") });
  assert.deepEqual(put.clock, clock(...many, ["n1", 1]));
  // A context that was read is taken back as long as it is; one that is longer, or another's, is not.
  const again = { key: "k", value: bytes("read"), context: put.clock };
  assert.deepEqual((await node.put("t", again)).clock, clock(...many, ["n1", 2]));
  for (const more of [clock(...many, ["x", 1]), clock(...many, ["n1", 2], ["x", 1])]) {
    await rejectsCode(() => node.put("t", { ...again, context: more }), 1000);
    await rejectsCode(() => node.put("none", { ...again, context: more }), 1000);
    await rejectsCode(() => node.delete("t", { key: "k", context: more }), 1000);
    await rejectsCode(() => node.delete("none", { key: "k", context: more }), 1000);
    await rejectsCode(() => node.batchPut("t", [{ ...again, context: more }]), 1000);
  }
  assert.deepEqual(node.listTenants().map(({ tenant }) => tenant), ["t"]);
  await node.delete("t", { key: "k" });
  assert.equal(node.get("t", "k")?.winner.value, undefined);

  const other = testNode({ nodeId: "n2" }).node;
  await other.applyReplica("t", version("foreign", clock(...many)), "repair");
  await other.applyReplica("t", version("read", clock(...many, ["n1", 2])), "repair");
  const second = await other.put("t", { key: "k", value: bytes("second") });
  assert.deepEqual(second.clock, clock(...many, ["n1", 2], ["n2", 1]));
  await other.delete("t", { key: "k", context: second.clock });
  assert.equal(other.get("t", "k")?.winner.value, undefined);
});

Deno.test("applyReplica() refuses bad versions and changes nothing", async () => {
  const { node, engine } = testNode();
  const good = version("v", clock(["n2", 1]));
  const many = Array.from({ length: 2001 }, (_, i): [string, number] => [`n${i}`, 1]);
  const cases: [ReplicaWrite, number][] = [
    [{ ...good, key: "" }, 1000],
    [{ ...good, key: "k".repeat(1025) }, 1002],
    [{ ...good, key: "\ud800" }, 1005],
    [{ ...good, value: undefined }, 1000],
    [{ ...good, deleted: true }, 1000],
    [{ ...good, value: new Uint8Array(10 * 1024 * 1024 + 1) }, 1003],
    [{ ...good, clock: { entries: [], dots: [] } }, 1000],
    [{ ...good, clock: clock(["n2", 0]) }, 1000],
    [{ ...good, clock: clock(["n2", -1]) }, 1000],
    [{ ...good, clock: clock(["n2", 2 ** 53]) }, 1000],
    [{ ...good, clock: clock(["", 1]) }, 1000],
    [{ ...good, clock: clock(["x".repeat(129), 1]) }, 1000],
    [{ ...good, clock: clock(...many) }, 1000],
    [{ ...good, timestampMs: -1 }, 1000],
    [{ ...good, timestampMs: 1.5 }, 1000],
    [{ ...good, timestampMs: 2 ** 53 }, 1000],
  ];
  for (const [bad, code] of cases) {
    for (const origin of ["write", "repair"] as const) {
      await rejectsCode(() => node.applyReplica("t", bad, origin), code);
    }
  }
  await rejectsCode(() => node.applyReplica("a:b", good, "write"), 1004);
  assert.equal(engine.log.length, 0);
  assert.deepEqual(node.listTenants(), []);
  // The largest that is allowed is taken.
  await node.applyReplica("t", { ...good, clock: clock(...many.slice(1)) }, "write");
});

Deno.test("nodes that get the same versions in any order, by write or repair, end up alike", async () => {
  const replica = fc.record({
    value: fc.option(fc.constantFrom("a", "b"), { nil: undefined }),
    clock: rawClock.filter(({ entries, dots }) =>
      [...entries, ...dots].some(({ counter }) => counter > 0)
    ),
    timestampMs: fc.integer({ min: 1, max: 3 }),
    repair: fc.boolean(),
  }, { noNullPrototype: true });
  await fc.assert(fc.asyncProperty(fc.array(replica, { maxLength: 8 }), async (replicas) => {
    const states = [];
    for (const order of [replicas, replicas.toReversed()]) {
      const { node, engine } = testNode();
      await node.createTenant("t");
      for (const { value, clock, timestampMs, repair } of order) {
        const origin = repair ? "repair" : "write";
        await node.applyReplica("t", version(value, clock, timestampMs), origin);
      }
      states.push(engine.get(engine.tree("t")!, bytes("k")));
    }
    assert.deepEqual(states[0], states[1]);
  }));
});
