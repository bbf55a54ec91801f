/**
 * A tenant that was dropped and is there again under its name: what was known of the first one, clients'
 * contexts and other nodes' copies, must not pass for knowledge of the second. Both count the writes of one
 * node; if the second began with the first one's numbers, an old clock would cover writes that nobody has seen.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { CausalContext } from "../../../src/model/mod.ts";
import type { StorageNode } from "../../../src/node/mod.ts";
import { SimNode, wayTo } from "../../support/migration.ts";
import { bytes, rejectsCode, text } from "../../support/node.ts";

/** Drops a tenant and makes it again, with a crash, a stop or nothing on the way. */
async function renew(
  it: SimNode,
  between: "kill" | "restart" | "nothing" | "set back",
): Promise<void> {
  await it.node.dropTenant("t");
  if (between === "set back") it.world.clock.jumpWall(-3_600_000);
  if (between === "kill") await it.kill();
  if (between === "restart") await it.restart();
  await it.node.createTenant("t");
}

/** Writes the key some times, one by one or as one batch. */
async function write(node: StorageNode, times: number, batch: boolean, name: string) {
  const items = Array.from(
    { length: times },
    (_, i) => ({ key: "k", value: bytes(`${name}${i}`) }),
  );
  if (batch) await node.batchPut("t", items);
  else for (const item of items) await node.put("t", item);
}

function contextOf(node: StorageNode): CausalContext {
  return node.get("t", "k")!.clock;
}

function valuesOf(node: StorageNode): (string | undefined)[] {
  return node.get("t", "k")!.versions.map(({ value }) => text(value)).sort();
}

Deno.test("an old clock of a tenant that was dropped covers nothing of the one that has its name now", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.record({
          times: fc.integer({ min: 1, max: 9 }),
          batch: fc.boolean(),
          between: fc.constantFrom(
            "kill" as const,
            "restart" as const,
            "nothing" as const,
            "set back" as const,
          ),
        }),
        { minLength: 1, maxLength: 3 },
      ),
      fc.integer({ min: 1, max: 12 }),
      async (lives, times) => {
        const it = await SimNode.open("n1", 1);
        const old: CausalContext[] = [];
        for (const { times, batch, between } of lives) {
          await write(it.node, times, batch, "old");
          old.push(contextOf(it.node));
          await renew(it, between);
        }
        await write(it.node, times, false, "new");
        const unseen = `new${times - 1}`;
        for (const context of old) {
          await rejectsCode(
            () => it.node.put("t", { key: "k", value: bytes("x"), context, ifContext: true }),
            1000,
          );
          assert.deepEqual(valuesOf(it.node), [unseen]);
        }
        await it.node.put("t", { key: "k", value: bytes("late"), context: old[0] });
        assert.deepEqual(valuesOf(it.node), ["late", unseen]);
        await it.node.close();
      },
    ),
    { numRuns: 40 },
  );
});

Deno.test("what is written to a tenant that was made again is newer than the copies that others have of the first", async () => {
  const target = await SimNode.open("target", 2);
  const source = await SimNode.open("n1", 1, { peers: wayTo(() => target.node, () => undefined) });
  await write(source.node, 5, false, "old");
  assert.equal((await source.migrate()).state, "completed");
  await renew(source, "nothing");
  await write(source.node, 1, false, "new");
  assert.equal((await source.migrate()).state, "completed");
  assert.deepEqual(valuesOf(target.node), ["new0"]);
  await source.node.close();
  await target.node.close();
});
