import assert from "node:assert/strict";
import { Files } from "../../../../src/engine/files.ts";
import {
  decodeScrub,
  encodeScrub,
  loadScrub,
  NEVER,
  saveScrub,
  type ScrubState,
} from "../../../../src/engine/scrub/state.ts";
import { PairError } from "../../../../src/model/mod.ts";
import { SimDisk } from "../../../../src/runtime/mod.ts";

const STATE: ScrubState = {
  startedAtMs: 1_767_225_600_000,
  end: 124,
  position: 45,
  rounds: 3,
  damaged: new Map([[12, "Cannot read tenants/a~1/000012.sst: кайдо"], [40, ""]]),
};

Deno.test("SCRUB: a state comes back as it was, and each byte of it is checked", () => {
  for (const state of [NEVER, STATE]) {
    assert.deepEqual(decodeScrub("SCRUB", encodeScrub(state)), state);
  }
  const bytes = encodeScrub(STATE);
  const damaged = (error: unknown) => error instanceof PairError && error.error === "CorruptedData";
  for (let i = 0; i < bytes.length; i++) {
    const flipped = bytes.slice();
    flipped[i] ^= 1 << (i % 8);
    assert.throws(() => decodeScrub("SCRUB", flipped), damaged, `byte ${i}`);
    assert.throws(() => decodeScrub("SCRUB", bytes.subarray(0, i)), damaged, `${i} bytes`);
  }
});

Deno.test("SCRUB: what is written down is bounded", () => {
  const damaged = new Map(Array.from({ length: 5000 }, (_, i) => [i, "x".repeat(5000)]));
  const back = decodeScrub("SCRUB", encodeScrub({ ...STATE, damaged }));
  assert.equal(back.damaged.size, 1000);
  assert.ok([...back.damaged.values()].every((problem) => problem.length === 1000));
});

Deno.test("SCRUB: no file is a store that was never scrubbed; saving replaces it", async () => {
  const disk = new SimDisk();
  disk.makeDir("/data");
  const files = new Files("/data");
  assert.deepEqual(loadScrub(disk, files), NEVER);
  await saveScrub(disk, files, { ...STATE, rounds: 1 });
  await saveScrub(disk, files, STATE);
  assert.deepEqual(loadScrub(disk, files), STATE);
  assert.equal(disk.stat(files.scrubTemp), undefined);
});
