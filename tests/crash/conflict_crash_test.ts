/**
 * Data types on two nodes with engines of their own, which write, hand each other what they have, flush, compact,
 * are closed and opened, and crash: each shows at any time what a model says that remembers all operations, and
 * in the end both hold the same.
 * @module
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { type Engine, openEngine } from "../../src/engine/mod.ts";
import { encodeVersions, HLC_SKEW_MS, VERSION_OPERATORS } from "../../src/model/mod.ts";
import type { StorageNode, TransferEntry } from "../../src/node/mod.ts";
import { SimRandom, type SimRuntime } from "../../src/runtime/mod.ts";
import { MODELS } from "../support/data_types.ts";
import { engineWorld, SMALL } from "../support/engine.ts";
import { bytes, nodeOn, text } from "../support/node.ts";
import { type Operation, surviving } from "../support/replicas.ts";
import { checksumOf } from "../support/transfer.ts";

const STEPS = 150;
const SEEDS = [1, 2];
const KEYS = ["a", "b", "c", "d"];
const NODES = ["n2", "n1"];

/** A node, and what it knows of each key. */
interface Member {
  world: SimRuntime;
  engine: Engine;
  node: StorageNode;
  readonly known: Map<string, Set<number>>;
}

async function open(world: SimRuntime, nodeId: string): Promise<Pick<Member, "engine" | "node">> {
  const engine = await openEngine(world, "/data", SMALL, VERSION_OPERATORS);
  const node = nodeOn(engine, world, { nodeId, tenantAutoCreate: false });
  return { engine, node };
}

async function entriesOf(node: StorageNode): Promise<readonly TransferEntry[]> {
  const entries: TransferEntry[] = [];
  for await (const batch of node.streamKeys("t", {})) entries.push(...batch.entries);
  return entries;
}

function shown(node: StorageNode, key: string): string | undefined {
  return text(node.get("t", key)?.winner.value);
}

/** Everything of one node to the other, as a batch, or as chance has it version by version. */
async function handOver(from: Member, to: Member, random?: SimRandom): Promise<void> {
  const entries = await entriesOf(from.node);
  if (entries.length === 0) return;
  if (random === undefined || random.below(2) === 0) {
    await to.node.replicate("t", entries, checksumOf(entries));
  } else {
    // In any order, one by one. What a delete has left is known by its expiry, which Repair does not carry.
    const isPlain = ({ version }: TransferEntry) => version.expiresAtMs === 0;
    const left = entries.filter((entry) => !isPlain(entry));
    if (left.length > 0) await to.node.replicate("t", left, checksumOf(left));
    const plain = entries.filter(isPlain).sort(() => random.below(3) - 1);
    for (const { key, version } of plain) {
      const { value, clock, timestampMs } = version;
      const deleted = value === undefined;
      await to.node.applyReplica("t", { key, value, deleted, clock, timestampMs }, "repair");
    }
  }
  for (const [key, known] of from.known) to.known.set(key, to.known.get(key)!.union(known));
}

for (const { type, values, show } of MODELS) {
  Deno.test(`merge:${type.name} shows what its model does through flushes, compactions, restarts and crashes`, async () => {
    for (const seed of SEEDS) {
      const random = new SimRandom(seed);
      const inputs = fc.sample(values, { numRuns: STEPS, seed });
      const operations: Operation[] = [];
      const members: Member[] = [];
      for (const nodeId of NODES) {
        const world = engineWorld({ seed });
        world.clock.jumpWall(random.below(HLC_SKEW_MS / 2));
        const known = new Map(KEYS.map((key) => [key, new Set<number>()]));
        members.push({ world, ...await open(world, nodeId), known });
        await members.at(-1)!.node.createTenant("t", { conflictStrategy: `merge:${type.name}` });
      }
      const check = ({ node, known }: Member) => {
        for (const key of KEYS) {
          const replica = { state: [], known: known.get(key)! };
          const alive = surviving(replica, operations);
          const all = operations.filter(({ id }) => replica.known.has(id));
          assert.equal(shown(node, key), alive.length === 0 ? undefined : show(alive, all));
        }
      };
      for (let step = 0; step < STEPS; step++) {
        const place = random.below(2);
        const member = members[place];
        const { node, engine, known } = member;
        const choice = random.below(20);
        if (choice < 12) {
          const key = KEYS[random.below(KEYS.length)];
          const value = random.below(6) === 0 ? undefined : inputs[step];
          const operation = {
            id: step,
            value,
            node: NODES[place],
            saw: new Set(known.get(key)),
            before: shown(node, key),
          };
          const { timestampMs } = value === undefined
            ? await node.delete("t", { key })
            : await node.put("t", { key, value: bytes(value) });
          operations.push({ ...operation, stampMs: timestampMs });
          known.get(key)!.add(step);
          await member.world.clock.advance(random.below(3));
        } else if (choice < 15) await handOver(member, members[1 - place], random);
        else if (choice === 15) await node.flush("t");
        else if (choice === 16) await node.compact("t");
        else if (choice === 17) {
          await node.close();
          Object.assign(member, await open(member.world, NODES[place]));
        } else if (choice === 18) {
          // All that was answered is in the log. The old node is left to its fate.
          const wallMs = member.world.clock.wallMs();
          member.world.disk.crash({ seed: random.u32() });
          const world = engineWorld({ image: member.world.disk.snapshotImage() });
          world.clock.jumpWall(wallMs - world.clock.wallMs());
          Object.assign(member, { world, ...await open(world, NODES[place]) });
        }
        assert.ok(engine !== undefined);
        check(member);
      }
      for (const [from, to] of [[0, 1], [1, 0]]) await handOver(members[from], members[to]);
      for (const member of members) check(member);
      const [one, two] = await Promise.all(members.map(({ node }) => entriesOf(node)));
      const encoded = (entries: readonly TransferEntry[]) =>
        entries.map(({ key, version }) => `${key} ${encodeVersions([version]).toHex()}`);
      assert.deepEqual(encoded(one), encoded(two));
      for (const { node } of members) await node.close();
    }
  });
}

Deno.test("what is deleted leaves the disk, with what it hides, and what comes after it counts", async () => {
  for (const conflictStrategy of ["lww", "merge:counter", "merge:orset"]) {
    const members: Member[] = [];
    for (const nodeId of ["a", "b"]) {
      const world = engineWorld();
      // Of two writes at once the later is that of b.
      if (nodeId === "b") world.clock.jumpWall(10);
      const member = { world, ...await open(world, nodeId), known: new Map() };
      await member.node.createTenant("t", { conflictStrategy });
      members.push(member);
    }
    const [a, b] = members;
    const value = bytes(conflictStrategy === "merge:orset" ? '["x"]' : "5");
    await a.node.put("t", { key: "k", value });
    await b.node.put("t", { key: "k", value });
    // With lww a deletes nothing but what it has written: the delete of b is concurrent, and later.
    if (conflictStrategy === "lww") await b.node.delete("t", { key: "k" });
    await handOver(b, a);
    if (conflictStrategy !== "lww") await a.node.delete("t", { key: "k" });
    assert.equal(shown(a.node, "k"), undefined);
    await handOver(a, b);
    await a.world.clock.advance(100);
    await a.node.flush("t");
    await a.node.compact("t", { purge: true });
    assert.equal((await a.node.explain("t", "k")).versions.length, 0, conflictStrategy);
    assert.ok(a.engine.tree("t")!.purgeFloor > 0);

    // The other still has what the delete has left.
    await a.node.put("t", { key: "k", value });
    await handOver(a, b);
    await handOver(b, a);
    for (const { node } of members) assert.equal(shown(node, "k"), text(value), conflictStrategy);
    for (const { node } of members) await node.close();
  }
});
