/**
 * Watching a database in the same process.
 * @module
 */
import assert from "node:assert/strict";
import { type EmbeddedEvent, type EmbeddedPairDB, openPairDB } from "../../../src/embedded/mod.ts";

const brief = ({ type, key, found }: EmbeddedEvent) => [type, key, found?.text()];

/** The next events of a watch, which has them already or gets them soon. */
async function take(watch: AsyncGenerator<EmbeddedEvent>, count: number): Promise<EmbeddedEvent[]> {
  const events: EmbeddedEvent[] = [];
  while (events.length < count) events.push((await watch.next()).value!);
  return events;
}

async function begun(db: EmbeddedPairDB, ...args: Parameters<EmbeddedPairDB["watch"]>) {
  const watch = db.watch(...args);
  const [first] = await take(watch, 1);
  assert.equal(first.type, "progress");
  return watch;
}

Deno.test("watch() tells what comes of a prefix, in order, and a later one goes on behind any event [B8]", async () => {
  await using db = await openPairDB({ memory: true });
  const watch = await begun(db, "shop", { prefix: "cart/" });
  const context = await db.put("shop", "cart/1", "2 apples");
  await db.put("shop", "elsewhere", "x");
  await db.batchPut("shop", [{ key: "cart/2", value: "a" }, { key: "cart/3", value: "b" }]);
  await db.delete("shop", "cart/1");
  const events = await take(watch, 4);
  assert.deepEqual(events.map(brief), [
    ["put", "cart/1", "2 apples"],
    ["put", "cart/2", "a"],
    ["put", "cart/3", "b"],
    ["delete", "cart/1", undefined],
  ]);
  assert.deepEqual(events[0].context, context);
  await watch.return(undefined);
  const again = db.watch("shop", { prefix: "cart/", token: events[1].token });
  const seen = (await take(again, 3)).filter(({ type }) => type !== "progress").map(brief);
  assert.deepEqual(seen.slice(0, 2), [["put", "cart/3", "b"], ["delete", "cart/1", undefined]]);
  await again.return(undefined);
});

Deno.test("watch() begins with what is there when it is asked to; its values are copies", async () => {
  await using db = await openPairDB({ memory: true });
  await db.put("shop", "k", "old");
  const watch = db.watch("shop", { key: "k", initial: true });
  const [initial] = (await take(watch, 1)).filter(({ type }) => type === "initial");
  initial.found!.value.fill(0);
  assert.equal(db.get("shop", "k")?.text(), "old");
  await watch.return(undefined);
});

Deno.test("watch() says by the call what is wrong with it, and ends with its signal, its tenant or the database", async () => {
  const db = await openPairDB({ memory: true });
  assert.throws(() => db.watch("shop", { token: "none of ours" }), { code: 1000 });
  assert.throws(() => db.watch("", {}), { code: 1004 });
  const stop = new AbortController();
  const [stopped, dropped, closed] = [
    await begun(db, "shop", {}, { signal: stop.signal }),
    await begun(db, "gone"),
    await begun(db, "shop"),
  ];
  const next = stopped.next();
  stop.abort(new Error("enough"));
  await assert.rejects(next, { message: "enough" });
  await db.node.createTenant("gone");
  await db.node.dropTenant("gone");
  await assert.rejects(dropped.next(), { code: 1004 });
  await db.close();
  await assert.rejects(closed.next(), { code: 2001 });
  assert.throws(() => db.watch("shop"), { code: 2001 });
});
