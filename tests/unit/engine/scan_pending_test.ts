/**
 * Scans of what waits for its sync: what a count needs, and no client may see.
 * @module
 */
import assert from "node:assert/strict";
import { KIND_DELETE, KIND_PUT, type ScanCursor } from "../../../src/engine/mod.ts";
import { fromUtf8, utf8 } from "../../../src/model/mod.ts";
import { engineWorld, openTestEngine } from "../../support/engine.ts";

function keysOf(cursor: ScanCursor): string[] {
  const keys: string[] = [];
  while (cursor.next()) keys.push(fromUtf8(cursor.key));
  cursor.close();
  return keys;
}

Deno.test("a pending scan sees writes before their sync, and none that are made after its begin", async () => {
  const world = engineWorld({ delays: true });
  const engine = await world.clock.runUntil(openTestEngine(world));
  const tree = await world.clock.runUntil(engine.createTree("t"));
  const put = (key: string) =>
    engine.write([{ tree, kind: KIND_PUT, key: utf8(key), value: utf8("v") }]);
  await world.clock.runUntil(put("a"));
  const gone = engine.write([{
    tree,
    kind: KIND_DELETE,
    key: utf8("a"),
    value: new Uint8Array(0),
  }]);
  const b = put("b");
  const cursor = engine.scanPending(tree, {});
  const c = put("c");
  assert.deepEqual(keysOf(cursor), ["b"]);
  assert.deepEqual(keysOf(engine.scan(tree, {})), ["a"]);
  await world.clock.runUntil(Promise.all([gone, b, c]));
  assert.deepEqual(keysOf(engine.scan(tree, {})), ["b", "c"]);
  await world.clock.runUntil(engine.close());
});
