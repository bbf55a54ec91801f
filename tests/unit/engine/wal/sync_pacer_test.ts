import assert from "node:assert/strict";
import { SyncPacer } from "../../../../src/engine/wal/sync_pacer.ts";

function warmedUp(ms: number): SyncPacer {
  const pacer = new SyncPacer();
  for (let i = 0; i < 64; i++) {
    assert.equal(pacer.waitsHere(1), false, "nothing is known yet");
    pacer.away(ms);
  }
  return pacer;
}

Deno.test("small groups wait here once syncs are known to be short; large ones never do", () => {
  const pacer = warmedUp(0.3);
  assert.equal(pacer.waitsHere(1), true);
  assert.equal(pacer.waitsHere(64), false);
  for (let i = 0; i < 100; i++) pacer.here(0.05);
  assert.equal(pacer.waitsHere(1), true);
});

Deno.test("on a slow disk nothing waits here", () => {
  assert.equal(warmedUp(8).waitsHere(1), false);
});

Deno.test("one stall sends all to the other thread, until the disk has shown to be fast again", () => {
  const pacer = warmedUp(0.3);
  pacer.here(0.05);
  pacer.here(5);
  for (let i = 0; i < 64; i++) {
    assert.equal(pacer.waitsHere(1), false);
    pacer.away(0.3);
  }
  assert.equal(pacer.waitsHere(1), true);
});

Deno.test("a disk that grows slow sends all to the other thread", () => {
  const pacer = warmedUp(0.3);
  let here = 0;
  while (pacer.waitsHere(1)) {
    pacer.here(0.5);
    assert.ok(++here < 10);
  }
});
