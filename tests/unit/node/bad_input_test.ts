import assert from "node:assert/strict";
import { MAX_COUNTER, type VectorClock } from "../../../src/model/mod.ts";
import type { PutInput } from "../../../src/node/mod.ts";
import { bytes, rejectsCode, testNode, text } from "../../support/node.ts";

const TEN_MIB = 10 * 1024 * 1024;

function clock(...entries: [string, number][]): VectorClock {
  return { entries: entries.map(([node, counter]) => ({ node, counter })), dots: [] };
}

const BAD_KEYS: [string, number][] = [
  ["", 1000],
  ["k".repeat(1025), 1002],
  ["é".repeat(513), 1002],
  ["\u0000", 1005],
  ["a\nb", 1005],
  ["a\u007fb", 1005],
  ["a\u0085b", 1005],
  ["\ud800", 1005],
  ["ok\udc00", 1005],
];

const BAD_CLOCKS: VectorClock[] = [
  clock(...Array.from({ length: 1001 }, (_, i): [string, number] => [`n${i}`, 1])),
  clock(["x", -1]),
  clock(["x", 0.5]),
  clock(["x", NaN]),
  clock(["x", MAX_COUNTER + 1]),
  clock(["x", 2 ** 63]),
  clock(["", 1]),
  clock(["x".repeat(129), 1]),
  clock(["a\u0000", 1]),
  { entries: [], dots: [{ node: "x", counter: -1 }] },
  // Events of this node that it never made (a batch that goes before may have made the second).
  clock(["n1", 3]),
  clock(["n1", MAX_COUNTER]),
  clock(["elsewhere", MAX_COUNTER]),
  clock(["x", 1], ["y", MAX_COUNTER - 1]),
  { entries: [], dots: [{ node: "n1", counter: 7 }] },
];

const BAD_PUTS: [Partial<PutInput>, number][] = [
  [{ value: undefined }, 1000],
  [{ value: "text" as unknown as Uint8Array }, 1000],
  [{ value: new Uint8Array(TEN_MIB + 1) }, 1003],
  [{ ttlMs: -1 }, 1000],
  [{ ttlMs: 1.5 }, 1000],
  [{ ttlMs: NaN }, 1000],
  [{ ttlMs: MAX_COUNTER }, 1000],
  [{ ttlMs: 2 ** 60 }, 1000],
  ...BAD_KEYS.map(([key, code]): [Partial<PutInput>, number] => [{ key }, code]),
  ...BAD_CLOCKS.map((context): [Partial<PutInput>, number] => [{ context }, 1000]),
];

Deno.test("bad input gets its code and changes nothing", async () => {
  const { node, engine } = testNode();
  await node.put("t", { key: "k", value: bytes("v") });
  const sound = { key: "k", value: bytes("x") };
  for (const [bad, code] of BAD_PUTS) {
    await rejectsCode(() => node.put("t", { ...sound, ...bad }), code);
    await rejectsCode(() => node.batchPut("t", [sound, { ...sound, ...bad }]), code);
    if (!bad.context) await rejectsCode(() => node.put("new", { ...sound, ...bad }), code);
  }
  for (const [key, code] of BAD_KEYS) {
    await rejectsCode(() => node.get("t", key), code);
    await rejectsCode(() => node.batchGet("t", ["k", key]), code);
    await rejectsCode(() => node.delete("t", { key }), code);
  }
  for (const context of BAD_CLOCKS) {
    await rejectsCode(() => node.delete("t", { key: "k", context }), 1000);
  }
  assert.equal(engine.log.length, 1);
  assert.deepEqual(node.listTenants().map(({ tenant }) => tenant), ["t"]);
  assert.equal(text(node.get("t", "k")?.winner.value), "v");
});

Deno.test("the largest input that is allowed is taken [V1, V4]", async () => {
  const { node, world } = testNode();
  const key = "k".repeat(1024);
  const tenant = "t".repeat(256);
  const most = world.clock.wallMs() * 1000;
  const entries = Array.from({ length: 999 }, (_, i): [string, number] => [`x${i}`, most]);
  await node.put(tenant, {
    key,
    value: new Uint8Array(TEN_MIB),
    context: clock(...entries),
    ttlMs: MAX_COUNTER - world.clock.wallMs(),
  });
  const read = node.get(tenant, key)!;
  assert.equal(read.winner.value!.length, TEN_MIB);
  assert.equal(read.clock.entries.length, 1000);
  // What a read gives can be sent back.
  await node.put(tenant, { key, value: bytes("next"), context: read.clock });
  assert.equal(node.get(tenant, key)!.versions.length, 1);
});

Deno.test("a TTL is counted from the wall clock and checked in sum", async () => {
  const { node, world } = testNode();
  const most = MAX_COUNTER - world.clock.wallMs();
  await rejectsCode(() => node.put("t", { key: "k", value: bytes("v"), ttlMs: most + 1 }), 1000);
  await node.put("t", { key: "k", value: bytes("v"), ttlMs: most });
  assert.ok(node.get("t", "k"));
});
