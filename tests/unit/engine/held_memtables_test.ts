/**
 * Memory of memtables that goes to later ones, while somebody still looks into it.
 * @module
 */
import assert from "node:assert/strict";
import { type Engine, KIND_PUT, type Tree } from "../../../src/engine/mod.ts";
import { fromUtf8, utf8 } from "../../../src/model/mod.ts";
import { engineWorld, openTestEngine, SMALL } from "../../support/engine.ts";

const KEYS = 300;

async function fill(engine: Engine, tree: Tree, value: string): Promise<void> {
  for (let i = 0; i < KEYS; i++) {
    const key = utf8(`key ${String(i).padStart(4, "0")}`);
    await engine.write([{ tree, kind: KIND_PUT, key, value: utf8(value.repeat(100)) }]);
  }
}

Deno.test("a scan shows its moment though the memtables that it looks into were flushed and filled again", async () => {
  const engine = await openTestEngine(engineWorld(), { ...SMALL, memtableSize: 1 << 20 });
  const tree = await engine.createTree("t");
  const open = [];
  for (const value of ["a", "b", "c", "d"]) {
    await fill(engine, tree, value);
    const cursor = engine.scan(tree, {});
    for (let i = 0; i < KEYS / 2; i++) assert.ok(cursor.next());
    open.push({ cursor, value });
    await engine.flush(tree);
  }
  await fill(engine, tree, "e");
  for (const { cursor, value } of open) {
    let left = KEYS / 2;
    for (; cursor.next(); left--) assert.equal(fromUtf8(cursor.value), value.repeat(100));
    assert.equal(left, 0);
    cursor.close();
    await fill(engine, tree, "f");
    await engine.flush(tree);
  }
  await engine.close();
});
