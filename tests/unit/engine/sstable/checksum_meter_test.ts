import assert from "node:assert/strict";
import { KIND_PUT } from "../../../../src/engine/mod.ts";
import { ChecksumMeter } from "../../../../src/engine/sstable/mod.ts";
import { utf8 } from "../../../../src/model/mod.ts";
import { engineWorld, openTestEngine, SMALL } from "../../../support/engine.ts";

Deno.test("ChecksumMeter counts every check, and times the first and each sixteenth after it", () => {
  let nowMs = 100;
  let looks = 0;
  const meter = new ChecksumMeter(() => {
    looks++;
    return nowMs;
  });
  for (let n = 0; n < 33; n++) {
    const beganMs = meter.begin();
    nowMs += 2;
    meter.end(beganMs);
  }
  assert.deepEqual([meter.verified, meter.timed, meter.timedMs], [33, 3, 6]);
  assert.equal(looks, 6);
});

Deno.test("each section that reads verify is counted, and what comes from the cache is not [O5]", async () => {
  const world = engineWorld();
  const engine = await openTestEngine(world, { ...SMALL, memtableSize: 1 << 20, rowCacheSize: 0 });
  const tree = await engine.createTree("t");
  const value = utf8("v".repeat(200));
  for (let n = 10; n < 20; n++) {
    await engine.write([{ tree, kind: KIND_PUT, key: utf8(`k${n}`), value }]);
  }
  await engine.flush();
  engine.get(tree, utf8("k10"));
  const { checksumsVerified: opened } = engine.stats();
  // Properties, filter, index, and a block.
  assert.equal(opened, 4);
  engine.get(tree, utf8("k10"));
  assert.equal(engine.stats().checksumsVerified, opened);
  engine.get(tree, utf8("k19"));
  const { checksumsVerified, checksumsTimed } = engine.stats();
  assert.deepEqual([checksumsVerified, checksumsTimed], [opened + 1, 1]);
  await engine.close();
});
