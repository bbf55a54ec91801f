/**
 * Writes that come while a migration compares for the last time: it is not complete before the target has them.
 * @module
 */
import assert from "node:assert/strict";
import { type Call, type SimNode, wayTo } from "../../../support/migration.ts";
import { bytes, testNode, text, turn } from "../../../support/node.ts";

/** A source with a few keys, which all fit one piece, and its target. */
async function pair(before: (call: Call) => void | Promise<void>) {
  const target = testNode({ nodeId: "n2" });
  const way = wayTo(() => target.node, async (call) => {
    await before(call);
    return undefined;
  });
  const source = testNode({ peers: way({ life: 0 } as SimNode) });
  await fill(source, (i) => `${i}`);
  return { source, target };
}

async function fill({ node }: ReturnType<typeof testNode>, value: (i: number) => string) {
  for (let i = 0; i < 5; i++) await node.put("t", { key: `k${i}`, value: bytes(value(i)) });
}

async function migrated({ node, world }: ReturnType<typeof testNode>): Promise<void> {
  for (let i = 0; i < 1000; i++) {
    const [{ state, error }] = node.listMigrations();
    if (state === "completed") return;
    assert.notEqual(state, "failed", error);
    await world.clock.advance(50);
  }
  assert.fail(`it is ${JSON.stringify(node.listMigrations())} still`);
}

Deno.test("what is written while the last piece is compared is at the target when a migration is complete [S1]", async () => {
  const written: string[] = [];
  const { source, target } = await pair(async ({ method }) => {
    if (method !== "count" || written.length > 0) return;
    written.push("new", "changed", "deleted");
    await source.node.put("t", { key: "new", value: bytes("new") });
    await source.node.put("t", { key: "k1", value: bytes("changed") });
    await source.node.delete("t", { key: "k2" });
  });
  await source.node.startMigration({ target: "target" });
  await migrated(source);
  assert.equal(written.length, 3);
  assert.equal(text(target.node.get("t", "new")?.winner.value), "new");
  assert.equal(text(target.node.get("t", "k1")?.winner.value), "changed");
  assert.equal(target.node.get("t", "k2"), undefined);
  assert.equal(text(target.node.get("t", "k3")?.winner.value), "3");
  await source.node.close();
});

/** A write that waits for its sync while a migration compares for the last time: `begin` hands it to the log. */
async function waitsFor(
  tenant: string,
  begin: (source: ReturnType<typeof testNode>) => Promise<void>,
): Promise<void> {
  let writing: Promise<unknown> | undefined;
  const { source, target } = await pair(async ({ method }) => {
    if (method !== "count" || writing !== undefined) return;
    writing = Promise.resolve();
    await begin(source);
    source.engine.hold = true;
    writing = source.node.put(tenant, { key: "late", value: bytes("late") });
  });
  await source.node.startMigration({ target: "target" });
  while (!source.engine.hold) await source.world.clock.advance(50);
  for (let i = 0; i < 20; i++) {
    await source.world.clock.advance(50);
    await turn();
  }
  const [{ state }] = source.node.listMigrations();
  assert.equal(state, "syncing", "nobody knows yet whether it comes about");
  source.engine.hold = false;
  source.engine.sync();
  await writing;
  await migrated(source);
  assert.equal(text(target.node.get(tenant, "late")?.winner.value), "late");
  await source.node.close();
}

Deno.test("a migration waits for a write that still waits for its sync when the last piece is compared [S1]", () =>
  waitsFor("t", async () => {}));

Deno.test("a migration waits for the first write of a tenant that is made when the last piece is compared [S1]", () =>
  waitsFor("u", async ({ node }) => void await node.createTenant("u")));

Deno.test("a comparison is one by content: as many keys, versions and bytes are not the same yet [S1]", async () => {
  let totals: unknown[] | undefined;
  const { source, target } = await pair(async ({ method }) => {
    if (method !== "count" || totals !== undefined) return;
    // What had come is lost, and something of the same size is in its place.
    await target.node.dropTenant("t");
    await fill(target, () => "x");
    totals = await Promise.all(
      [source, target].map(async ({ node }) => {
        const { totals } = await node.keyRange("t", {}, { exact: true });
        return { ...totals, checksum: 0 };
      }),
    );
  });
  // In a tenant that was made again the numbers of writes are larger, and take more bytes: so in both.
  await source.node.dropTenant("t");
  await fill(source, (i) => `${i}`);
  await source.node.startMigration({ target: "target" });
  await migrated(source);
  assert.deepEqual(totals?.[0], totals?.[1]);
  for (let i = 0; i < 5; i++) {
    const values = target.node.get("t", `k${i}`)!.versions.map(({ value }) => text(value));
    assert.deepEqual(values.sort(), [`${i}`, "x"]);
  }
  await source.node.close();
});
