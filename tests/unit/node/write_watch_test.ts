import assert from "node:assert/strict";
import { MAX_COUNTER, MAX_SIBLINGS } from "../../../src/model/mod.ts";
import type { StorageNode, WriteWatch } from "../../../src/node/mod.ts";
import { bytes, rejectsCode, testNode, turn } from "../../support/node.ts";

/** Somebody who waits, until a test says otherwise. */
class Watch implements WriteWatch {
  gone = false;
  handed = 0;

  handedOver(): void {
    assert.equal(this.gone, false, "nothing is begun for nobody");
    this.handed++;
  }
}

const value = bytes("v");
const clock = { entries: [{ node: "other", counter: 1 }], dots: [] };
type Write = (node: StorageNode, watch: WriteWatch) => Promise<unknown>;

/** Every write, and whether it makes its tenant. */
const WRITES: readonly (readonly [string, Write, boolean])[] = [
  ["put()", (node, watch) => node.put("t", { key: "k", value }, watch), true],
  ["batchPut()", (node, watch) => node.batchPut("t", [{ key: "k", value }], {}, watch), true],
  ["delete()", (node, watch) => node.delete("t", { key: "k" }, watch), false],
  [
    "applyReplica()",
    (node, watch) =>
      node.applyReplica("t", { key: "k", value, deleted: false, clock }, "write", watch),
    true,
  ],
];

for (const [name, write, makesTenant] of WRITES) {
  Deno.test(`${name} tells when the log gets the write, in the same step`, async () => {
    const { node, engine } = testNode();
    await node.put("t", { key: "k", value });
    const watch = new Watch();
    const before = engine.log.length;
    const done = write(node, watch);
    assert.equal(watch.handed, 1);
    assert.equal(engine.log.length, before + 1);
    // From here on it finishes, whoever waits.
    watch.gone = true;
    await done;
  });

  Deno.test(`${name} that the log fails had been handed over, one that is refused had not`, async () => {
    const { node, engine } = testNode();
    await node.put("t", { key: "k", value });
    engine.hold = true;
    const watch = new Watch();
    const failed = rejectsCode(() => write(node, watch), 2004);
    assert.equal(watch.handed, 1);
    engine.poison(new Error("fsync failed"));
    await failed;
    await rejectsCode(() => write(node, watch), 2004);
    assert.equal(watch.handed, 1, "the log takes nothing any more");
    await node.close();
    await rejectsCode(() => write(node, watch), 2001);
    assert.equal(watch.handed, 1);
  });

  Deno.test(`${name} that is held back is not begun for those who have left`, async () => {
    const { node, engine } = testNode();
    await node.put("t", { key: "k", value });
    const go = engine.stall();
    const left = new Watch();
    const stays = new Watch();
    const before = engine.log.length;
    const refused = rejectsCode(() => write(node, left), 2001);
    const done = write(node, stays);
    await turn();
    assert.deepEqual([left.handed, stays.handed], [0, 0]);
    left.gone = true;
    go();
    await Promise.all([refused, done]);
    assert.deepEqual([left.handed, stays.handed], [0, 1]);
    assert.equal(engine.log.length, before + 1);
  });

  if (makesTenant) {
    Deno.test(`${name} whose tenant is made first is not begun for those who have left`, async () => {
      const { node, engine } = testNode();
      const watch = new Watch();
      const refused = rejectsCode(() => write(node, watch), 2001);
      watch.gone = true;
      await refused;
      assert.equal(watch.handed, 0);
      assert.deepEqual(engine.log, []);
    });
  }
}

Deno.test("a write that the rules of versions refuse was not handed over", async () => {
  const { node, engine } = testNode();
  const replicaOf = (name: string) => {
    const version = { entries: [{ node: name, counter: 1 }], dots: [] };
    return { key: "k", value, deleted: false, clock: version };
  };
  for (let i = 0; i < MAX_SIBLINGS; i++) await node.applyReplica("t", replicaOf(`r${i}`), "write");
  const before = engine.log.length;
  const watch = new Watch();
  await rejectsCode(() => node.applyReplica("t", replicaOf("one-more"), "write", watch), 2008);
  const context = { entries: [{ node: "n1", counter: MAX_COUNTER }], dots: [] };
  await rejectsCode(() => node.put("t", { key: "k", value, context }, watch), 1000);
  assert.equal(watch.handed, 0);
  assert.equal(engine.log.length, before);
});
