/**
 * Reading the log a window at a time finds what reading it whole finds, however small the window, and
 * whatever is damaged; and a damaged length costs no memory.
 * @module
 */
import assert from "node:assert/strict";
import { Files } from "../../../../src/engine/files.ts";
import { DEFAULT_ENGINE_OPTIONS } from "../../../../src/engine/mod.ts";
import { HEADER_SIZE } from "../../../../src/engine/wal/format.ts";
import { findSegments, Log, replaySegment } from "../../../../src/engine/wal/mod.ts";
import { SegmentFile } from "../../../../src/engine/wal/segment_file.ts";
import { getU32, putU32, utf8 } from "../../../../src/model/mod.ts";
import {
  DiskError,
  DiskLayer,
  type ReadFile,
  SimDisk,
  SimRandom,
  simRuntime,
} from "../../../../src/runtime/mod.ts";
import { batches } from "../../../support/wal.ts";

const FILES = new Files("/data");
const WHOLE = 1 << 20;

/** A closed log of a few segments; the usual frames go from a few bytes to several small windows. */
async function written(sizes = [3, 20, 90, 400, 1500]): Promise<SimDisk> {
  const world = simRuntime();
  world.disk.makeDir("/data/wal");
  let number = 0;
  const log = new Log(
    world,
    FILES,
    { ...DEFAULT_ENGINE_OPTIONS.log, segmentSize: 4000 },
    [],
    0,
    {
      nextNumber: () => ++number,
      opened: () => Promise.resolve(),
      remove: () => {},
      committed: () => {},
      makeRoom: () => false,
      waits: () => {},
    },
  );
  const random = new SimRandom(5);
  for (let seq = 1; seq <= 60; seq++) {
    const value = random.bytes(sizes[random.below(sizes.length)]);
    await log.append(seq, "write", [{ kind: 0, tree: { id: 1 }, key: utf8(`k${seq}`), value }]);
  }
  await log.close();
  assert.ok(number > 2);
  return world.disk;
}

async function readAll(disk: SimDisk, windowBytes: number) {
  const records: unknown[] = [];
  const results = [];
  let last = 0;
  for (const found of findSegments(disk, FILES, 0).log) {
    const take = batches((seq, mutations) => records.push({ seq, mutations }));
    const result = await replaySegment(disk, found, last, take, { windowBytes });
    last = result.segment.lastSeq;
    results.push(result);
  }
  return { records, results };
}

Deno.test("any window gives the same records, losses and torn bytes, over damage of every kind", async () => {
  const image = (await written()).snapshotImage();
  let damaged = 0;
  for (let seed = 0; seed < 120; seed++) {
    const disk = SimDisk.fromImage(image);
    const random = new SimRandom(seed);
    for (let i = 0; i < seed % 4; i++) {
      const names = disk.list("/data/wal");
      const path = `/data/wal/${names[random.below(names.length)]}`;
      const bytes = disk.readWhole(path);
      const at = HEADER_SIZE + random.below(bytes.length - HEADER_SIZE);
      if (random.below(3) > 0) disk.corrupt(path, at, 1 << random.below(8));
      else disk.setBytes(path, bytes.slice(0, at));
    }
    const expected = await readAll(disk, WHOLE);
    damaged += expected.results.filter(({ losses }) => losses.length > 0).length;
    for (const window of [1, 160, 201, 777, 2000]) {
      assert.deepEqual(await readAll(disk, window), expected, `seed ${seed}, window ${window}`);
    }
  }
  assert.ok(damaged > 30, `${damaged} segments with losses`);
});

/** The log of `written`, whose asynchronous reads are noted and may fail. */
class Watched extends DiskLayer {
  readonly reads: { offset: number; bytes: number }[] = [];
  failFrom = Infinity;

  override openRead(path: string): ReadFile {
    const file = super.openRead(path);
    return {
      path,
      size: file.size,
      readAt: (into, offset) => file.readAt(into, offset),
      readAtAsync: async (into, offset) => {
        this.reads.push({ offset, bytes: into.length });
        if (offset >= this.failFrom) throw new DiskError("readAtAsync", path, "EIO");
        return await file.readAtAsync(into, offset);
      },
      close: () => file.close(),
    };
  }
}

Deno.test("the next window is read beside the work on one, and nothing twice", async () => {
  const disk = new Watched(await written([3, 20, 90, 400]));
  const { log } = findSegments(disk, FILES, 0);
  const take = batches(() => {});
  for (const found of log) {
    disk.reads.length = 0;
    await replaySegment(disk, found, 0, take, { windowBytes: 2000 });
    let end = 0;
    for (const { offset, bytes } of disk.reads) {
      assert.equal(offset, end);
      end += bytes;
    }
    assert.equal(end, found.size);
  }
  const file = new SegmentFile(disk, log[0].path, Infinity, 1000);
  disk.reads.length = 0;
  await file.fetch(0);
  assert.deepEqual(disk.reads, [{ offset: 0, bytes: 1000 }, { offset: 1000, bytes: 750 }]);
  file.close();
});

Deno.test("a failing read ahead is told when it is needed, and not before", async () => {
  const disk = new Watched(await written());
  const [found] = findSegments(disk, FILES, 0).log;
  disk.failFrom = 1000;
  const file = new SegmentFile(disk, found.path, Infinity, 1000);
  await file.fetch(0);
  file.close();
  let seen = 0;
  const take = batches(() => seen++);
  await assert.rejects(
    () => replaySegment(disk, found, 0, take, { windowBytes: 1000 }),
    { name: "DiskError", errno: "EIO" },
  );
  assert.ok(seen > 0);
});

Deno.test("a damaged length is checked in pieces, and takes no memory", async () => {
  const disk = await written();
  const path = FILES.segment(1);
  const bytes = disk.readWhole(path);
  putU32(bytes, HEADER_SIZE, 3000);
  disk.setBytes(path, bytes);
  const file = new SegmentFile(disk, path, Infinity, 256);
  file.salt = getU32(bytes, HEADER_SIZE + 8);
  assert.equal(file.load(HEADER_SIZE), false);
  assert.ok(file.bytes.length <= 256);
  file.close();
});
