/**
 * The log through its own door: writer, finding segments, replay.
 * @module
 */
import assert from "node:assert/strict";
import { HEADER_SIZE } from "../../../../src/engine/wal/format.ts";
import { Files } from "../../../../src/engine/files.ts";
import { DEFAULT_ENGINE_OPTIONS } from "../../../../src/engine/mod.ts";
import type { FoundSegment, SegmentResult } from "../../../../src/engine/wal/replay.ts";
import {
  findSegments,
  IGNORE,
  Log,
  type LogOptions,
  replaySegment,
} from "../../../../src/engine/wal/mod.ts";
import { batches } from "../../../support/wal.ts";
import { PairError, utf8 } from "../../../../src/model/mod.ts";
import {
  DiskError,
  SimDisk,
  type SimDiskVerdict,
  type SimRuntime,
  simRuntime,
} from "../../../../src/runtime/mod.ts";

const FILES = new Files("/data");
const OPTIONS: LogOptions = DEFAULT_ENGINE_OPTIONS.log;

/** A log in a world of its own, counting what it was told. */
class Bench {
  readonly world: SimRuntime;
  readonly log: Log;
  #number = 0;
  #seq = 0;
  committed = 0;
  manifestIsFull = false;
  /** How often the log is told that room was made. */
  reserve = 0;
  /** What it has told of waiting for room. */
  readonly waits: (string | undefined)[] = [];
  /** The newest segment that a manifest would know of. */
  known = 1;

  constructor(options: Partial<LogOptions> = {}, delays = true) {
    this.world = simRuntime({ delays });
    this.world.disk.makeDir("/data/wal");
    for (const dir of ["/", "/data"]) this.world.disk.syncDir(dir);
    this.log = new Log(
      this.world,
      FILES,
      { ...OPTIONS, ...options },
      [],
      0,
      {
        nextNumber: () => ++this.#number,
        opened: async (number) => {
          if (delays) await this.world.clock.sleep(1);
          if (this.manifestIsFull) {
            const cause = new DiskError("append", "MANIFEST", "ENOSPC");
            throw new PairError("DiskFull", "Cannot write the manifest", {}, { cause });
          }
          this.known = number;
        },
        remove: (path) => this.world.disk.remove(path),
        committed: (seq) => {
          assert.ok(seq > this.committed, "commits rise");
          this.committed = seq;
        },
        makeRoom: () => this.reserve > 0 && this.reserve-- > 0,
        waits: (reason) => this.waits.push(reason?.error),
      },
    );
  }

  /** Queues a batch of one record with a value of this size; returns its sequence and what it waits for. */
  append(size = 10): { seq: number; done: Promise<void> } {
    const seq = this.#seq + 1;
    const value = new Uint8Array(size).fill(seq);
    const record = { kind: 0 as const, tree: { id: 1 }, key: utf8(`k${seq}`), value };
    const done = this.log.append(seq, "write", [record]);
    // One that is refused has taken no sequence.
    this.#seq = seq;
    return { seq, done };
  }

  run<T>(promise: Promise<T>): Promise<T> {
    return this.world.clock.runUntil(promise);
  }
}

/** Files as they are now, on a disk whose calls take no time. */
const still = (disk: SimDisk) => SimDisk.fromImage(disk.snapshotImage());

/** Reads a log back and checks every record against what {@link Bench.append} wrote. */
async function replay(source: SimDisk): Promise<{ seqs: number[]; results: SegmentResult[] }> {
  const disk = still(source);
  const seqs: number[] = [];
  const results: SegmentResult[] = [];
  let last = 0;
  for (const found of findSegments(disk, FILES, 0).log) {
    const result = await replaySegment(
      disk,
      found,
      last,
      batches((firstSeq, mutations) => {
        assert.equal(mutations.length, 1);
        assert.deepEqual(mutations[0].key, utf8(`k${firstSeq}`));
        assert.ok(mutations[0].value.every((byte) => byte === firstSeq % 256));
        seqs.push(firstSeq);
      }),
    );
    last = result.segment.lastSeq;
    results.push(result);
  }
  return { seqs, results };
}

const upTo = (count: number) => Array.from({ length: count }, (_, i) => i + 1);

/** The disk as a power loss leaves it. */
function afterPowerLoss(world: SimRuntime): SimDisk {
  const disk = still(world.disk);
  disk.crash("drop");
  return disk;
}

Deno.test("64 writers at a time share syncs [E8]", async () => {
  const bench = new Bench();
  const before = bench.world.disk.count("sync");
  await bench.run(Promise.all(
    upTo(64).map(async () => {
      for (let i = 0; i < 20; i++) await bench.append().done;
    }),
  ));
  const syncs = bench.world.disk.count("sync") - before;
  assert.ok(syncs <= 1280 / 16, `${syncs} syncs for 1280 writes`);
  assert.equal(bench.log.records, 1280);
  assert.equal(bench.log.groups, syncs);
  assert.equal(bench.committed, 1280);
  await bench.run(bench.log.close());
  assert.deepEqual((await replay(bench.world.disk)).seqs, upTo(1280));
});

Deno.test("a write is acknowledged only by a sync that began after its bytes were there", async () => {
  const bench = new Bench();
  let acknowledged = 0;
  const write = async () => {
    const { seq, done } = bench.append();
    await done;
    acknowledged = Math.max(acknowledged, seq);
    const { seqs } = await replay(afterPowerLoss(bench.world));
    assert.ok(seqs.length >= acknowledged, `${seqs.length} of ${acknowledged} are durable`);
  };
  await bench.run(Promise.all(
    upTo(40).map(async (i) => {
      await bench.world.clock.sleep(i / 3);
      await write();
      await write();
    }),
  ));
  await bench.run(bench.log.close());
});

Deno.test("200 writers with values of all sizes, over rotations: replay has every record, in order [E4]", async () => {
  const bench = new Bench({ segmentSize: 100_000 });
  await bench.run(Promise.all(
    upTo(200).map(async (writer) => {
      for (let i = 0; i < 5; i++) {
        await bench.world.clock.sleep(bench.world.random.below(20));
        await bench.append([0, 1, 100, 5000, 70_000][(writer + i) % 5]).done;
      }
    }),
  ));
  const segments = bench.log.segments.length;
  assert.ok(segments > 20, `${segments} segments`);
  for (const power of [bench.world.disk, afterPowerLoss(bench.world)]) {
    const { seqs, results } = await replay(power);
    assert.deepEqual(seqs, upTo(1000));
    assert.equal(results.length, segments);
    assert.ok(results.every(({ losses, tornBytes }) => losses.length === 0 && tornBytes === 0));
  }
  assert.equal(bench.log.bytes, results(bench.world.disk));
  await bench.run(bench.log.close());
});

/** Bytes of all segment files. */
function results(disk: SimDisk): number {
  return disk.list("/data/wal").reduce(
    (sum, name) => sum + disk.stat(`/data/wal/${name}`)!.size,
    0,
  );
}

Deno.test("a segment ends by age, and when asked to [E5]", async () => {
  const bench = new Bench({ segmentAgeMs: 1000 });
  await bench.run(bench.append().done);
  assert.equal(bench.log.segments.length, 1);
  await bench.world.clock.advance(1001);
  await bench.run(bench.append().done);
  assert.equal(bench.log.segments.length, 2, "the write that finds it old still goes into it");
  await bench.run(bench.append().done);
  bench.log.rotate();
  await bench.run(bench.append().done);
  await bench.world.clock.advance(100);
  const before = bench.log.segments.length;
  assert.ok(before >= 3);
  assert.equal(bench.log.rotations, before - 1);
  const bytes = bench.log.segments.reduce((sum, segment) => sum + segment.bytes, 0);
  assert.equal(bench.log.bytesWritten, bytes - before * HEADER_SIZE);
  assert.deepEqual(bench.log.segments.map(({ number }) => number), upTo(before));
  await bench.run(bench.log.close());
  assert.deepEqual((await replay(bench.world.disk)).seqs, [1, 2, 3, 4]);
});

Deno.test("every crash during a rotation under load leaves a prefix with all that was acknowledged", async () => {
  for (let stop = 0;; stop++) {
    const bench = new Bench({ segmentSize: 600 });
    bench.world.disk.stopAtMutation(bench.world.disk.mutationCount + stop);
    let acknowledged = 0;
    const writers = upTo(6).map(async (i) => {
      await bench.world.clock.sleep(i * 2);
      for (let n = 0; n < 8; n++) {
        const { seq, done } = bench.append(50);
        await done;
        acknowledged = Math.max(acknowledged, seq);
      }
    });
    const settled = await bench.run(Promise.allSettled(writers));
    if (!bench.world.disk.stopped) {
      assert.ok(settled.every(({ status }) => status === "fulfilled") && stop > 40);
      bench.world.disk.stopAtMutation(Infinity);
      await bench.run(bench.log.close());
      break;
    }
    for (const seed of [0, 1, 2]) {
      const disk = SimDisk.fromImage(bench.world.disk.snapshotImage());
      disk.crash(seed === 0 ? "drop" : { seed: seed + stop });
      const { seqs, results } = await replay(disk);
      const { missing } = findSegments(disk, FILES, 0, bench.known);
      assert.deepEqual(missing, [], `stop ${stop}: what the manifest knows of is there`);
      assert.deepEqual(seqs, upTo(seqs.length), `stop ${stop}: a prefix`);
      assert.ok(seqs.length >= acknowledged, `stop ${stop}: ${seqs.length} of ${acknowledged}`);
      assert.deepEqual(results.flatMap(({ losses }) => losses), [], `stop ${stop}`);
    }
  }
});

/** Writers that go on after failures, while one call of the disk fails once. */
async function failOnce(
  op: "append" | "sync",
  errno: SimDiskVerdict,
  options: Partial<LogOptions> = {},
): Promise<{ bench: Bench; acknowledged: number[]; failedAfter: number; errors: unknown[] }> {
  const bench = new Bench(options);
  const acknowledged: number[] = [];
  const errors: unknown[] = [];
  let failedAfter = -1;
  let calls = 0;
  bench.world.disk.hook = (call) => {
    if (call.op !== op || ++calls !== 6) return undefined;
    failedAfter = bench.committed;
    return errno;
  };
  await bench.run(Promise.all(
    upTo(10).map(async (i) => {
      await bench.world.clock.sleep(i);
      for (let n = 0; n < 20; n++) {
        try {
          const { seq, done } = bench.append(100);
          await done;
          acknowledged.push(seq);
        } catch (error) {
          errors.push(error);
          await bench.world.clock.sleep(1);
        }
      }
    }),
  ));
  assert.ok(failedAfter > 0, "the call failed with writes acknowledged before");
  return { bench, acknowledged, failedAfter, errors };
}

for (const [op, errno] of [["sync", "EIO"], ["sync", "ENOSPC"], ["append", "EIO"]] as const) {
  Deno.test(`after ${errno} at ${op} nothing is acknowledged any more, though the disk is well again`, async () => {
    const expected = errno === "ENOSPC" ? "DiskFull" : "CommitLogFailed";
    const { bench, acknowledged, failedAfter, errors } = await failOnce(op, errno);
    assert.ok(Math.max(...acknowledged) <= failedAfter);
    assert.ok(errors.length > 100);
    for (const error of errors) {
      assert.ok(error instanceof PairError && error.error === expected, String(error));
      assert.match(error.message, new RegExp(errno));
    }
    assert.ok(bench.log.failure);
    await assert.rejects(bench.log.sync(), { error: expected });
    await bench.run(bench.log.close());
    for (const disk of [bench.world.disk, afterPowerLoss(bench.world)]) {
      const { seqs, results } = await replay(disk);
      assert.deepEqual(seqs, upTo(seqs.length), "a prefix");
      assert.ok(seqs.length >= Math.max(...acknowledged), "with all that was acknowledged");
      assert.deepEqual(results.flatMap(({ losses }) => losses), []);
    }
  });
}

for (const syncMode of ["always", "batch", "none"] as const) {
  for (const room of [0, 1, 60, 150, 290]) {
    Deno.test(`mode ${syncMode}: a log with room for ${room} bytes more goes on where it stopped when there is room [D4]`, async () => {
      const bench = new Bench({ syncMode, segmentSize: 1 << 20 }, false);
      const { disk, clock } = bench.world;
      await bench.run(bench.append(100).done);
      const { totalBytes, freeBytes } = disk.space("/");
      disk.capacityBytes = totalBytes - freeBytes + room;
      const group = upTo(3).map(() => bench.append(100));
      for (const { done } of group) await assert.rejects(bench.run(done), { error: "DiskFull" });
      assert.equal(bench.log.full?.error, "DiskFull");
      assert.equal(bench.log.failure, undefined);
      // Nothing is queued behind it, flushed or cut off meanwhile.
      assert.throws(() => bench.append(100), { error: "DiskFull" });
      await assert.rejects(bench.log.sync(), { error: "DiskFull" });
      await assert.rejects(bench.log.cut(() => {}), { error: "DiskFull" });
      await clock.advance(1000);
      assert.equal(bench.committed, 1, "what was refused is not seen");
      const image = disk.snapshotImage();
      // A little more room is not enough, and no harm.
      disk.capacityBytes += 7;
      await clock.advance(1000);
      assert.equal(bench.committed, 1);
      disk.capacityBytes = undefined;
      await clock.advance(300);
      assert.equal(bench.committed, 4);
      assert.deepEqual(bench.waits, ["DiskFull", undefined]);
      await bench.run(bench.append(100).done);
      await bench.run(bench.log.close());
      assert.equal(clock.pendingCount, 0);
      const { seqs, results } = await replay(disk);
      assert.deepEqual(seqs, upTo(5));
      assert.deepEqual(results.map(({ losses }) => losses), [[]]);
      // A kill while it waited: a beginning of the group may be there, and nothing is lost.
      const killed = await replay(SimDisk.fromImage(image));
      assert.deepEqual(killed.seqs, upTo(killed.seqs.length));
      assert.deepEqual(killed.results.map(({ losses }) => losses), [[]]);
    });
  }
}

Deno.test("room that is made at once costs nobody an answer [D4]", async () => {
  const bench = new Bench({}, false);
  await bench.run(bench.append().done);
  let fails = 2;
  bench.reserve = 5;
  bench.world.disk.hook = ({ op }) => (op === "append" && fails-- > 0 ? "ENOSPC" : undefined);
  await bench.run(bench.append().done);
  assert.equal(bench.reserve, 3);
  assert.deepEqual(bench.waits, []);
  await bench.run(bench.log.close());
  assert.deepEqual((await replay(bench.world.disk)).seqs, [1, 2]);
});

Deno.test("a segment that the manifest has no room for takes no frame before the manifest knows of it [D4]", async () => {
  const bench = new Bench();
  await bench.run(bench.append().done);
  bench.manifestIsFull = true;
  bench.log.rotate();
  await bench.world.clock.advance(0);
  await assert.rejects(bench.run(bench.append().done), { error: "DiskFull" });
  await bench.world.clock.advance(2000);
  const [, second] = bench.log.segments;
  assert.equal(bench.world.disk.stat(FILES.segment(second.number))?.size, HEADER_SIZE);
  assert.equal(bench.known, 1);
  bench.manifestIsFull = false;
  await bench.world.clock.advance(1000);
  assert.equal(bench.known, second.number);
  assert.equal(bench.committed, 2);
  await bench.run(bench.log.close());
  assert.deepEqual((await replay(bench.world.disk)).seqs, [1, 2]);
});

for (const op of ["create", "append"] as const) {
  Deno.test(`no room to ${op} a segment: the rotation goes on when there is, and writers that queue meanwhile are told [D4]`, async () => {
    const bench = new Bench();
    await bench.run(bench.append().done);
    let full = true;
    let calls = 0;
    bench.world.disk.hook = (call) => full && call.op === op && ++calls > 0 ? "ENOSPC" : undefined;
    bench.log.rotate();
    // Comes while the old segment is synced.
    await bench.world.clock.advance(0);
    const { done } = bench.append();
    await assert.rejects(bench.run(done), { error: "DiskFull" });
    await bench.world.clock.advance(1000);
    assert.ok(calls > 1, `${calls} attempts`);
    assert.equal(bench.log.segments.length, 1);
    full = false;
    await bench.world.clock.advance(1000);
    assert.equal(bench.committed, 2);
    await bench.run(bench.append().done);
    await bench.run(bench.log.close());
    const { seqs, results } = await replay(bench.world.disk);
    assert.deepEqual(seqs, [1, 2, 3]);
    assert.deepEqual(results.flatMap(({ losses }) => losses), []);
  });
}

Deno.test("a log that waits for room, and then fails otherwise, takes nothing any more [R7]", async () => {
  for (const how of ["EIO", "other length"]) {
    const bench = new Bench({}, false);
    await bench.run(bench.append().done);
    let errno: SimDiskVerdict = "ENOSPC";
    bench.world.disk.hook = ({ op }) => (op === "append" ? errno : undefined);
    await assert.rejects(bench.run(bench.append().done), { error: "DiskFull" });
    errno = how === "EIO" ? "EIO" : undefined;
    if (how !== "EIO") {
      // As on a file system that takes more of a write than it says.
      bench.world.disk.stat = () => ({ kind: "file", size: 1 });
    }
    await bench.world.clock.advance(1000);
    assert.equal(bench.log.failure?.error, "CommitLogFailed", how);
    assert.throws(() => bench.append(), { error: "CommitLogFailed" });
    await bench.run(bench.log.close());
    assert.equal(bench.committed, 1);
  }
});

Deno.test("a log is closed while it waits for room: what was acknowledged is durable", async () => {
  for (const syncMode of ["always", "none"] as const) {
    const bench = new Bench({ syncMode }, false);
    await bench.run(bench.append().done);
    bench.world.disk.hook = ({ op }) => (op === "append" ? "ENOSPC" : undefined);
    await assert.rejects(bench.run(bench.append().done), { error: "DiskFull" });
    await bench.run(bench.log.close());
    assert.equal(bench.world.clock.pendingCount, 0);
    assert.deepEqual((await replay(afterPowerLoss(bench.world))).seqs, [1]);
  }
});

for (const syncMode of ["batch", "none"] as const) {
  Deno.test(`mode ${syncMode}: a failed sync ends acknowledgements too`, async () => {
    const bench = new Bench({ syncMode });
    await bench.run(bench.append().done);
    bench.world.disk.hook = ({ op }) => (op === "sync" ? "EIO" : undefined);
    const synced = bench.log.sync();
    const meanwhile = bench.append().done;
    const outcomes = await bench.run(Promise.allSettled([synced, meanwhile]));
    assert.equal(outcomes[0].status, "rejected");
    bench.world.disk.hook = undefined;
    assert.throws(() => bench.append(), { error: "CommitLogFailed" });
    await bench.run(bench.log.close());
  });
}

Deno.test("mode batch: a write is durable within the interval, or after as many writes [E7]", async () => {
  const bench = new Bench({ syncMode: "batch", syncIntervalMs: 100, syncEvery: 50 });
  await bench.run(bench.append().done);
  assert.deepEqual((await replay(afterPowerLoss(bench.world))).seqs, []);
  await bench.world.clock.advance(106);
  assert.deepEqual((await replay(afterPowerLoss(bench.world))).seqs, [1]);
  // 49 in one group: writes are counted, not groups. The 50th is the one that is not waited for.
  await bench.run(Promise.all(upTo(49).map(() => bench.append().done)));
  await bench.world.clock.advance(6);
  assert.deepEqual((await replay(afterPowerLoss(bench.world))).seqs, [1]);
  await bench.run(bench.append().done);
  await bench.world.clock.advance(6);
  assert.deepEqual((await replay(afterPowerLoss(bench.world))).seqs, upTo(51));
  await bench.run(Promise.all(upTo(60).map(() => bench.append().done)));
  await bench.world.clock.advance(6);
  assert.deepEqual((await replay(afterPowerLoss(bench.world))).seqs, upTo(111));
  await bench.run(bench.log.close());
  assert.equal(bench.world.clock.pendingCount, 0);
});

Deno.test("mode none: durable after sync() and close(), and not before [E7]", async () => {
  const bench = new Bench({ syncMode: "none" });
  await bench.run(bench.append().done);
  await bench.world.clock.advance(10_000);
  assert.deepEqual((await replay(afterPowerLoss(bench.world))).seqs, []);
  await bench.run(bench.log.sync());
  assert.deepEqual((await replay(afterPowerLoss(bench.world))).seqs, [1]);
  await bench.run(bench.append().done);
  await bench.run(bench.log.close());
  assert.deepEqual((await replay(afterPowerLoss(bench.world))).seqs, [1, 2]);
});

Deno.test("sync() returns while writers go on for ever: they cannot keep a flush waiting", async () => {
  for (const syncMode of ["always", "batch", "none"] as const) {
    const bench = new Bench({ syncMode });
    let stop = false;
    const writers = upTo(8).map(async (i) => {
      await bench.world.clock.sleep(i);
      while (!stop) {
        await bench.append().done;
        if (syncMode !== "always") await bench.world.clock.sleep(0.01);
      }
    });
    await bench.world.clock.advance(100);
    const { seq } = bench.append();
    await bench.world.clock.runUntil(bench.log.sync(), 1000);
    assert.ok((await replay(afterPowerLoss(bench.world))).seqs.length >= seq, syncMode);
    stop = true;
    await bench.run(Promise.all(writers));
    await bench.run(bench.log.close());
  }
});

Deno.test("segments below a number are removed, a damaged one is kept aside, never the open one", async () => {
  const world = simRuntime();
  world.disk.makeDir("/data/wal");
  for (const number of [1, 2, 3]) world.disk.setBytes(FILES.segment(number), Uint8Array.of(number));
  const old = (number: number, damaged: boolean) => ({
    number,
    lastSeq: number,
    bytes: 1,
    damaged,
  });
  const log = new Log(
    world,
    FILES,
    OPTIONS,
    [old(1, false), old(2, true), old(3, false)],
    3,
    {
      nextNumber: () => 4,
      opened: () => Promise.resolve(),
      remove: (path) => world.disk.remove(path),
      committed: () => {},
      makeRoom: () => false,
      waits: () => {},
    },
  );
  log.removeBelow(3);
  assert.deepEqual(world.disk.list("/data/wal"), ["000003.wal", "000004.wal"]);
  assert.deepEqual(world.disk.list("/data/quarantine"), ["000002.wal"]);
  log.removeBelow(99);
  assert.deepEqual(world.disk.list("/data/wal"), ["000004.wal"]);
  await log.close();
});

/** A closed log of three segments, 1 to 3, with records 1 to 5. */
async function threeSegments(): Promise<SimDisk> {
  const bench = new Bench({ segmentSize: 284 }, false);
  for (let i = 0; i < 5; i++) await bench.append(50).done;
  await bench.log.close();
  const disk = bench.world.disk;
  assert.deepEqual(disk.list("/data/wal"), ["000001.wal", "000002.wal", "000003.wal"]);
  return disk;
}

const numbers = (log: readonly FoundSegment[]) => log.map(({ number }) => number);

Deno.test("a cut under load divides the log: closed segments hold all before it, and nothing behind", async () => {
  const bench = new Bench();
  const { log, world } = bench;
  for (let round = 0; round < 10; round++) {
    const before = [bench.append(20), bench.append(2000)];
    let at = 0;
    let closed: number[] = [];
    const done = log.cut(() => {
      at = log.segments.at(-1)!.lastSeq;
      closed = log.segments.slice(0, -1).map(({ number }) => number);
    });
    const behind = bench.append(30);
    await bench.run(Promise.all([done, ...before.map((write) => write.done), behind.done]));
    assert.ok(at >= before[1].seq, "what was queued before the call is before the cut");
    // Only what a power loss leaves counts.
    const disk = SimDisk.fromImage(world.disk.snapshotImage());
    disk.crash("drop");
    let last = 0;
    for (const found of findSegments(disk, FILES, 0).log) {
      if (!closed.includes(found.number)) continue;
      last = (await replaySegment(disk, found, last, IGNORE)).segment.lastSeq;
    }
    assert.equal(last, at);
  }
  await bench.run(log.close());
});

Deno.test("a cut of an idle log begins no segment; one that throws tells only its caller", async () => {
  const bench = new Bench({}, false);
  await bench.append().done;
  await bench.log.cut(() => {});
  const segments = bench.log.segments.length;
  await bench.log.cut(() => {});
  assert.equal(bench.log.segments.length, segments);
  const wrong = new Error("no");
  const refused = bench.log.cut(() => {
    throw wrong;
  });
  await assert.rejects(refused, wrong);
  await bench.append().done;
  assert.equal(bench.log.failure, undefined);
  await bench.log.close();
});

Deno.test("a cut of a log that fails meanwhile, or has failed, is refused", async () => {
  const bench = new Bench();
  const lost = assert.rejects(bench.append().done, { error: "CommitLogFailed" });
  bench.world.disk.hook = ({ op }) => op === "create" ? "EIO" : undefined;
  const done = bench.log.cut(() => assert.fail("there is no next segment"));
  await bench.run(Promise.all([lost, assert.rejects(done, { error: "CommitLogFailed" })]));
  await assert.rejects(bench.log.cut(() => {}), { error: "CommitLogFailed" });
  await bench.run(bench.log.close());
});

Deno.test("what somebody holds is not removed until he lets go", async () => {
  const bench = new Bench({ segmentSize: 100 }, false);
  for (let n = 0; n < 4; n++) await bench.append(200).done;
  const letGo = [bench.log.hold(), bench.log.hold()];
  const count = bench.log.segments.length;
  bench.log.removeBelow(count);
  letGo[0]();
  letGo[0]();
  bench.log.removeBelow(count);
  assert.equal(bench.log.segments.length, count);
  letGo[1]();
  bench.log.removeBelow(count);
  assert.equal(bench.log.segments.length, 1);
  await bench.log.close();
});

Deno.test("what is not a segment's name is left alone; what a crash left unfinished is no segment", async () => {
  const disk = await threeSegments();
  for (const name of ["0000004.wal", "4.wal", "000004.wal.bak", "notes.txt"]) {
    disk.setBytes(`/data/wal/${name}`, Uint8Array.of(1));
  }
  disk.setBytes(FILES.segment(4), new Uint8Array(0));
  disk.setBytes(FILES.segment(5), disk.readWhole(FILES.segment(3)).slice(0, 20));
  const found = findSegments(disk, FILES, 0);
  assert.deepEqual(numbers(found.log), [1, 2, 3]);
  assert.deepEqual(found.stray, [4, 5]);
  assert.deepEqual((await replay(disk)).seqs, upTo(5));
});

Deno.test("segments below the oldest that is needed are strays; a missing one is damage", async () => {
  const disk = await threeSegments();
  const found = findSegments(disk, FILES, 2);
  assert.deepEqual([numbers(found.log), found.stray], [[2, 3], [1]]);
  const size = disk.stat(FILES.segment(2))!.size;
  disk.remove(FILES.segment(2));
  const gap = findSegments(disk, FILES, 0);
  assert.deepEqual(numbers(gap.log), [1, 3]);
  assert.deepEqual(gap.log.map(({ limit }) => limit), [Infinity, undefined]);
  assert.deepEqual(gap.missing, [{ file: FILES.segment(2), offset: 0, bytes: size }]);
  assert.throws(() => findSegments(disk, FILES, 2), {
    error: "CorruptedData",
    message: /000002\.wal is missing/,
  });
  assert.deepEqual(numbers(findSegments(disk, FILES, 3).log), [3]);
  disk.remove(FILES.segment(3));
  assert.throws(() => findSegments(disk, FILES, 3), { message: /000003\.wal is missing/ });
});

Deno.test("the newest segment that the manifest knows of is missed when it is gone, cut or emptied", async () => {
  const lost = [{ file: FILES.segment(3), offset: 0, bytes: 0 }];
  const sound = (await threeSegments()).readWhole(FILES.segment(3));
  assert.deepEqual(findSegments(await threeSegments(), FILES, 1, 3).missing, []);
  for (const left of [undefined, 0, 1, HEADER_SIZE / 2 - 1]) {
    const disk = await threeSegments();
    if (left === undefined) disk.remove(FILES.segment(3));
    else disk.setBytes(FILES.segment(3), sound.slice(0, left));
    const found = findSegments(disk, FILES, 1, 3);
    assert.deepEqual(numbers(found.log), [1, 2]);
    assert.deepEqual(found.missing, lost);
    assert.equal(found.log[1].limit, Infinity, "the one before had been durable to its end");
    assert.deepEqual(findSegments(disk, FILES, 1).missing, [], "format 1 did not tell");
    // Nor does one that nobody was told of count.
    assert.deepEqual(findSegments(disk, FILES, 1, 2).missing, []);
  }
  const alone = await threeSegments();
  for (const number of [1, 2, 3]) alone.remove(FILES.segment(number));
  assert.deepEqual(findSegments(alone, FILES, 3, 3).missing, lost);
});

Deno.test("a segment that is no longer needed is not missed, though it was the newest that the manifest knew", async () => {
  // A flush during the opening may say that the log begins with the new segment before the opening says so.
  const disk = await threeSegments();
  for (const number of [1, 2]) disk.remove(FILES.segment(number));
  const found = findSegments(disk, FILES, 3, 2);
  assert.deepEqual(numbers(found.log), [3]);
  assert.deepEqual(found.missing, []);
});

Deno.test("a log that goes on behind a beginning that is gone is newer than its manifest, and refused", async () => {
  const disk = await threeSegments();
  for (const number of [1, 2]) disk.remove(FILES.segment(number));
  for (const newest of [0, 2, 3]) {
    assert.throws(() => findSegments(disk, FILES, 2, newest), {
      message: /000002\.wal is missing/,
    });
  }
});

Deno.test("bytes beyond what the next segment vouches for are torn, not lost", async () => {
  const disk = await threeSegments();
  const first = disk.readWhole(FILES.segment(1));
  disk.setBytes(FILES.segment(1), Uint8Array.of(...first, ...first.slice(44, 90)));
  const { seqs, results } = await replay(disk);
  assert.deepEqual(seqs, upTo(5));
  assert.deepEqual(results.flatMap(({ losses }) => losses), []);
});

Deno.test("a torn tail of any kind ends the log quietly", async () => {
  const bench = new Bench({}, false);
  for (let i = 0; i < 3; i++) await bench.append(50).done;
  const path = FILES.segment(1);
  const whole = bench.world.disk.readWhole(path);
  const tails: Record<string, Uint8Array> = {
    zeros: new Uint8Array(5000),
    "random bytes": bench.world.random.bytes(500),
    "an older frame again": whole.slice(44, 120),
    "the whole file again": whole,
    "half a frame": whole.slice(44, 60),
  };
  for (const [what, tail] of Object.entries(tails)) {
    const disk = new SimDisk();
    disk.setBytes(path, Uint8Array.of(...whole, ...tail));
    const { seqs, results } = await replay(disk);
    assert.deepEqual(seqs, [1, 2, 3], what);
    assert.deepEqual(results.map(({ tornBytes }) => tornBytes), [tail.length], what);
    assert.deepEqual(results.flatMap(({ losses }) => losses), [], what);
  }
  await bench.log.close();
});

Deno.test("a frame inside a value is no frame, also when the record around it is damaged", async () => {
  // Somebody stores a copy of this very log in it, or what he takes for the next frames of it.
  const bench = new Bench({}, false);
  await bench.append(30).done;
  await bench.append(30).done;
  const disk = bench.world.disk;
  const path = FILES.segment(1);
  const copy = disk.readWhole(path);
  const at = copy.length;
  const done = bench.log.append(3, "write", [
    {
      kind: 0,
      tree: { id: 1 },
      key: utf8("backup"),
      value: Uint8Array.of(...copy, ...copy.slice(44)),
    },
  ]);
  await done;
  await bench.log.append(4, "write", [{
    kind: 0,
    tree: { id: 1 },
    key: utf8("k4"),
    value: utf8(""),
  }]);
  await bench.log.close();
  disk.corrupt(path, at + 30, 0xff);
  const { seqs, results } = await replay(disk);
  assert.deepEqual(seqs, [1, 2, 4]);
  const [loss] = results[0].losses;
  assert.deepEqual([loss.file, loss.offset], [path, at]);
  assert.equal(results[0].losses.length, 1);
});
