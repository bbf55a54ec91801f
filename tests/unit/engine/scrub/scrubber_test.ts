/**
 * The scrub of a whole engine on the simulated disk and clock: damage is found and taken out of use, a
 * round goes on after a restart, and nothing is reported where all is sound.
 * @module
 */
import assert from "node:assert/strict";
import { Files } from "../../../../src/engine/files.ts";
import {
  type Engine,
  type EngineJob,
  type EngineOptions,
  KIND_PUT,
  type Tree,
} from "../../../../src/engine/mod.ts";
import { type PairError, utf8 } from "../../../../src/model/mod.ts";
import { SimRandom, type SimRuntime, SimWorkers } from "../../../../src/runtime/mod.ts";
import {
  contents,
  engineWorld,
  jobHandler,
  openTestEngine,
  SMALL,
} from "../../../support/engine.ts";

const FILES = new Files("/data");
const INTERVAL_MS = 400_000;
const OPTIONS: EngineOptions = {
  ...SMALL,
  scrub: { intervalMs: INTERVAL_MS },
};
/** Longer than what a start waits and the round of a small store takes. */
const ROUND_MS = 40_000;

/** A world that notes which files were verified, to the end and well. */
function watchedWorld(
  world: SimRuntime,
  parts: { count: number; then?: () => void } = { count: Infinity },
) {
  const verified: string[] = [];
  const handler = jobHandler(world);
  const workers = new SimWorkers({
    clock: world.clock,
    random: world.random,
    handler: (message) => {
      const job = message as EngineJob;
      const result = handler(message);
      if (job.type !== "scrub") return result;
      if (--parts.count === 0) parts.then?.();
      if (result === undefined) verified.push(job.target.path.slice("/data/".length));
      return result;
    },
  });
  return { world: { ...world, workers }, verified };
}

async function open(world: SimRuntime, options = OPTIONS): Promise<Engine> {
  return await world.clock.runUntil(openTestEngine(world, options));
}

async function fill(world: SimRuntime, engine: Engine, tree: Tree, from: number, to: number) {
  for (let i = from; i < to; i++) {
    const key = utf8(`key ${String(i).padStart(4, "0")}`);
    await world.clock.runUntil(
      engine.write([{ tree, kind: KIND_PUT, key, value: utf8(`value ${i} ${"x".repeat(40)}`) }]),
    );
  }
}

/** A closed store with tables, archived segments and a log of several segments. */
async function store(world: SimRuntime): Promise<Map<string, string>> {
  const options = {
    ...OPTIONS,
    scrub: { intervalMs: 0 },
    log: { ...SMALL.log, archive: true, segmentSize: 1000 },
  };
  const engine = await open(world, options);
  const tree = await world.clock.runUntil(engine.createTree("main"));
  await fill(world, engine, tree, 0, 200);
  await world.clock.runUntil(engine.flush());
  await world.clock.advance(5000);
  await fill(world, engine, tree, 200, 225);
  const held = contents(engine);
  await world.clock.runUntil(engine.close());
  return held;
}

/** All files that a scrub is for. */
function filesOf(world: SimRuntime): string[] {
  const segments = world.disk.list(FILES.walDir).filter((name) => name.endsWith(".wal"));
  const archived = world.disk.list(FILES.archiveDir);
  const tables = world.disk.list(FILES.treesDir).flatMap((dir) =>
    world.disk.list(`${FILES.treesDir}/${dir}`).map((name) => `tenants/${dir}/${name}`)
  );
  return [
    ...tables,
    ...segments.map((name) => `wal/${name}`),
    ...archived.map((name) => `wal/archive/${name}`),
  ];
}

function tableOf(world: SimRuntime): string {
  return `/data/${filesOf(world).filter((file) => file.endsWith(".sst")).sort().at(-1)!}`;
}

const withArchive = { ...OPTIONS, log: { ...SMALL.log, archive: true, segmentSize: 1000 } };

function problems(world: SimRuntime): string[] {
  return world.log.events.filter(({ level }) => level === "warn" || level === "error").map((
    { event },
  ) => event);
}

Deno.test("a round verifies every table, closed segment and archived segment, and the next comes when it is due [R5, B6]", async () => {
  const base = engineWorld({ delays: true });
  await store(base);
  const before = filesOf(base);
  assert.ok(before.filter((file) => file.startsWith("tenants/")).length > 3);
  assert.ok(before.some((file) => file.startsWith("wal/archive/")));
  const { world, verified } = watchedWorld(base);
  const engine = await open(world, withArchive);
  await world.clock.advance(ROUND_MS);
  // The segment that is open is not read; those that this start left are.
  assert.deepEqual(verified.toSorted(), before.toSorted());
  const { scrubRounds, scrubFiles, scrubBytes } = engine.stats();
  assert.deepEqual([scrubRounds, scrubFiles], [1, before.length]);
  assert.ok(scrubBytes > 0);
  const [job] = engine.jobs({ ended: true });
  assert.deepEqual([job.kind, job.state, job.tree], ["scrub", "completed", undefined]);
  const { running, nextAtMs, startedAtMs, damaged } = engine.scrub();
  assert.deepEqual([running, damaged], [false, []]);
  assert.equal(nextAtMs, startedAtMs + INTERVAL_MS * 3 / 4);
  verified.length = 0;
  await world.clock.advance(INTERVAL_MS * 3 / 4);
  assert.equal(engine.stats().scrubRounds, 2);
  assert.ok(verified.length >= before.length, `${verified.length}`);
  assert.deepEqual(problems(world), []);
  await world.clock.runUntil(engine.close());
});

Deno.test("a round that is interrupted after any part goes on after the next start, and leaves nothing out [B6]", async () => {
  const base = engineWorld({ delays: true });
  await store(base);
  const image = base.disk.snapshotImage();
  const all = filesOf(base);
  let interrupted = 0;
  for (let count = 1;; count++) {
    const first = engineWorld({ delays: true, image, seed: count });
    let stop = false;
    const { world, verified } = watchedWorld(first, { count, then: () => stop = true });
    const engine = await open(world);
    for (let ms = 0; !stop && ms < ROUND_MS; ms += 1) {
      await world.clock.advance(ms < 29_000 ? 1000 : 1);
      if (ms < 29_000) ms += 999;
    }
    const { startedAtMs } = engine.scrub();
    await world.clock.runUntil(engine.close());
    if (!stop) break;
    interrupted++;
    const next = engineWorld({
      delays: true,
      image: world.disk.snapshotImage(),
      startWallMs: world.clock.wallMs(),
      seed: count,
    });
    const again = watchedWorld(next);
    const second = await open(again.world);
    await again.world.clock.advance(ROUND_MS);
    assert.equal(second.scrub().startedAtMs, startedAtMs, "the same round");
    assert.equal(second.stats().scrubRounds, 1);
    const seen = [...verified, ...again.verified];
    for (const file of all) assert.ok(seen.includes(file), `${file} after ${count} parts`);
    // What was done is not done again, but for the file that was interrupted.
    assert.ok(
      seen.length <= all.length + 1,
      `${seen.length} of ${all.length} after ${count} parts`,
    );
    await again.world.clock.runUntil(second.close());
  }
  assert.ok(interrupted >= all.length, `${interrupted} interruptions`);
});

Deno.test("a crash in the middle of a round costs work, and leaves nothing out [B6]", async () => {
  const base = engineWorld({ delays: true });
  await store(base);
  const all = filesOf(base);
  let stop = false;
  const { world } = watchedWorld(base, { count: 7, then: () => stop = true });
  const crashed = await open(world);
  while (!stop) await world.clock.advance(10);
  const next = engineWorld({
    delays: true,
    image: world.disk.snapshotImage(),
    startWallMs: world.clock.wallMs(),
  });
  await world.clock.runUntil(crashed.close());
  next.disk.crash("drop");
  const again = watchedWorld(next);
  const engine = await open(again.world);
  await again.world.clock.advance(ROUND_MS);
  for (const file of all) assert.ok(again.verified.includes(file), file);
  await again.world.clock.runUntil(engine.close());
});

Deno.test("a damaged table is named, kept from compactions and left in place, over a restart, until it is sound again [R6]", async () => {
  const world = engineWorld({ delays: true });
  const held = await store(world);
  const path = tableOf(world);
  world.disk.corrupt(path, 30, 4);
  let engine = await open(world);
  await world.clock.advance(ROUND_MS);
  for (const again of [false, true]) {
    if (again) {
      await world.clock.runUntil(engine.close());
      engine = await open(world);
    }
    const { damaged } = engine.scrub();
    assert.deepEqual(damaged.map(({ file }) => file), [path]);
    assert.match(damaged[0].problem, /checksum/);
    assert.equal(damaged[0].tree, engine.tree("main")!.id);
    const { compactionsStopped, scrubDamagedTables } = engine.stats();
    assert.deepEqual([compactionsStopped, scrubDamagedTables], [1, 1]);
    assert.ok(world.disk.stat(path) !== undefined);
  }
  assert.ok(
    world.log.named("scrub found damage").some(({ level, fields }) =>
      level === "error" && fields.file === path
    ),
  );
  // What is sound is served, what is not says so: nothing is missing without a word.
  const tree = engine.tree("main")!;
  let served = 0;
  let refused = 0;
  for (const [key, value] of held) {
    try {
      const found = engine.get(tree, utf8(key));
      assert.equal(found && new TextDecoder().decode(found), value);
      served++;
    } catch (error) {
      assert.match(String(error), /checksum|Cannot read/i);
      refused++;
    }
  }
  assert.ok(served > 150 && refused > 0, `${served} served, ${refused} refused`);
  // Repaired, by whoever has the file: the next round finds that.
  world.disk.corrupt(path, 30, 4);
  await world.clock.advance(INTERVAL_MS);
  assert.deepEqual(engine.scrub().damaged, []);
  assert.equal(engine.stats().compactionsStopped, 0);
  assert.deepEqual(contents(engine), held);
  await world.clock.runUntil(engine.close());
});

Deno.test("a damaged table that is dropped with its tree is forgotten [R6]", async () => {
  const world = engineWorld({ delays: true });
  await store(world);
  world.disk.corrupt(tableOf(world), 30, 4);
  const engine = await open(world);
  await world.clock.advance(ROUND_MS);
  assert.equal(engine.scrub().damaged.length, 1);
  await world.clock.runUntil(engine.dropTree(engine.tree("main")!));
  await world.clock.advance(INTERVAL_MS);
  assert.deepEqual(engine.scrub().damaged, []);
  await world.clock.runUntil(engine.close());
});

Deno.test("a closed log segment that is damaged is written to tables from memory and kept aside: nothing is lost [R6]", async () => {
  const world = engineWorld({ delays: true });
  const held = await store(world);
  const engine = await open(world);
  const segment = filesOf(world).filter((file) => file.startsWith("wal/0")).sort()[0];
  world.disk.corrupt(`/data/${segment}`, 200, 1);
  await world.clock.advance(ROUND_MS);
  assert.deepEqual(world.log.named("scrub found damage").map(({ fields }) => fields.file), [
    `/data/${segment}`,
  ]);
  assert.equal(world.disk.stat(`/data/${segment}`), undefined);
  assert.deepEqual(world.disk.list(FILES.quarantineDir), [segment.slice(4)]);
  assert.equal(engine.stats().quarantinedFiles, 1);
  await world.clock.runUntil(engine.close());
  const again = await open(world);
  assert.deepEqual(again.recovery.losses, []);
  assert.deepEqual(contents(again), held);
  await world.clock.runUntil(again.close());
});

Deno.test("an archived segment that is damaged is kept aside, also by its last byte [R6]", async () => {
  const world = engineWorld({ delays: true });
  await store(world);
  const engine = await open(world, withArchive);
  const archived = filesOf(world).filter((file) => file.startsWith("wal/archive/")).sort();
  // The length of the first one stands in the second: its last byte counts.
  const path = `/data/${archived[0]}`;
  world.disk.corrupt(path, world.disk.stat(path)!.size - 1, 1);
  await world.clock.advance(ROUND_MS);
  assert.equal(world.disk.stat(path), undefined);
  assert.equal(world.disk.list(FILES.quarantineDir).length, 1);
  assert.equal(engine.stats().walArchivedSegments, archived.length - 1);
  await world.clock.runUntil(engine.close());
});

Deno.test("under writes, compactions, drops and restarts nothing is reported that is well [B6]", async () => {
  const world = engineWorld({ delays: true, seed: 21 });
  const options = { ...withArchive, scrub: { intervalMs: 2000 } };
  const random = new SimRandom(5);
  let engine = await open(world, options);
  let files = 0;
  for (let n = 0; n < 40; n++) {
    const name = `t${n % 3}`;
    const tree = engine.tree(name) ?? await world.clock.runUntil(engine.createTree(name));
    await fill(world, engine, tree, random.below(100), 100 + random.below(100));
    await world.clock.advance(random.below(3000));
    if (n % 7 === 6) await world.clock.runUntil(engine.dropTree(tree));
    if (n % 9 === 8) {
      files += engine.stats().scrubFiles;
      await world.clock.runUntil(engine.close());
      engine = await open(world, options);
    }
  }
  const { scrubRounds, scrubSkippedFiles, scrubFiles } = engine.stats();
  assert.ok(
    scrubRounds > 10 && files + scrubFiles > 200,
    `${scrubRounds} rounds, ${files + scrubFiles} files`,
  );
  assert.equal(scrubSkippedFiles, 0);
  assert.deepEqual(engine.scrub().damaged, []);
  assert.deepEqual(problems(world).filter((event) => event !== "cache not warmed"), []);
  await world.clock.runUntil(engine.close());
});

Deno.test("a thread that dies is no verdict: the part is tried again, and a file that cannot be read is passed over and counted [W2]", async () => {
  const base = engineWorld({ delays: true });
  await store(base);
  const target = tableOf(base);
  const handler = jobHandler(base);
  const isScrub = (job: unknown) => (job as EngineJob).type === "scrub";
  for (const [failures, skipped] of [[2, 0], [Infinity, 1]]) {
    let left = failures;
    const workers = new SimWorkers({
      clock: base.clock,
      random: base.random,
      handler,
      dies: (job) =>
        isScrub(job) && (job as { target: { path: string } }).target.path === target && left-- > 0,
    });
    const world = { ...base, workers };
    const engine = await open(world, {
      ...OPTIONS,
      scrub: { ...OPTIONS.scrub, intervalMs: 40_000 },
    });
    await world.clock.advance(60_000);
    const { scrubRounds, scrubSkippedFiles } = engine.stats();
    assert.ok(scrubRounds >= 1);
    assert.ok(skipped === 0 ? scrubSkippedFiles === 0 : scrubSkippedFiles >= 1);
    assert.deepEqual(engine.scrub().damaged, []);
    await world.clock.runUntil(engine.close());
  }
});

Deno.test("a table that the disk cannot read is named [R6, R7]", async () => {
  const world = engineWorld({ delays: true });
  await store(world);
  const path = tableOf(world);
  const engine = await open(world);
  world.disk.hook = (call) => call.op === "readAt" && call.path === path ? "EIO" : undefined;
  await world.clock.advance(ROUND_MS);
  assert.deepEqual(engine.scrub().damaged.map(({ file }) => file), [path]);
  world.disk.hook = undefined;
  await world.clock.runUntil(engine.close());
});

Deno.test("it rests in quiet hours, says so, and goes on after them [B6]", async () => {
  const startWallMs = Date.UTC(2026, 4, 3, 7, 59);
  const world = engineWorld({ delays: true, startWallMs });
  await store(world);
  const options = {
    ...OPTIONS,
    quiet: { hours: { fromMs: 8 * 3_600_000, toMs: 9 * 3_600_000 }, transferShare: 1 },
  };
  await world.clock.advance(Date.UTC(2026, 4, 3, 8) - world.clock.wallMs());
  const engine = await open(world, options);
  await world.clock.advance(3_000_000);
  const { running, waitsFor, late } = engine.scrub();
  assert.deepEqual([running, waitsFor, late], [true, "quiet hours", true]);
  assert.equal(engine.stats().scrubFiles, 0);
  assert.equal(engine.stats().scrubLate, 1);
  await world.clock.advance(700_000);
  assert.ok(engine.stats().scrubRounds >= 1);
  assert.equal(engine.scrub().waitsFor, undefined);
  await world.clock.runUntil(engine.close());
});

Deno.test("it keeps to the budget, and leaves it to others as long as it has time [B6]", async () => {
  const world = engineWorld({ delays: true });
  await store(world);
  const rate = 4096;
  const engine = await open(world, { ...OPTIONS, guards: { ...SMALL.guards, throttle: rate } });
  // Somebody takes all there is, and more: until the round is late nothing is left for it.
  const transfer = engine.activity("transfer", engine.tree("main")!);
  void transfer.advance(rate * 200);
  await world.clock.advance(ROUND_MS);
  assert.equal(engine.stats().scrubFiles, 0);
  transfer.end();
  engine.setThrottle(0);
  engine.setThrottle(rate);
  const startedMs = world.clock.monotonicMs();
  while (engine.scrub().running) await world.clock.advance(1000);
  const seconds = (world.clock.monotonicMs() - startedMs) / 1000;
  const { scrubBytes, scrubRounds } = engine.stats();
  assert.equal(scrubRounds, 1);
  // Each read is rounded up to a KiB, and most are smaller.
  assert.ok(scrubBytes / seconds < rate * 1.2, `${scrubBytes} bytes in ${seconds} s`);
  await world.clock.runUntil(engine.close());
});

Deno.test("a round that is asked for begins at once, from the first file on, and makes no pauses [B6]", async () => {
  const first = engineWorld({ seed: 4 });
  await store(first);
  const parts: { count: number; then?: () => void } = { count: Infinity };
  const { world, verified } = watchedWorld(first, parts);
  const engine = await open(world, withArchive);
  await world.clock.advance(ROUND_MS);
  assert.equal(engine.scrub().rounds, 1);
  const files = filesOf(world).filter((file) => verified.includes(file)).sort();
  assert.ok(files.length > 5, files.join());

  // No round is due.
  verified.length = 0;
  engine.startScrub();
  const { running, late, nextAtMs } = engine.scrub();
  assert.deepEqual([running, late, nextAtMs], [true, false, undefined]);
  await world.clock.advance(50);
  assert.equal(engine.scrub().rounds, 2);
  assert.deepEqual(verified.sort(), files);

  // One is under way: what it has verified is verified again.
  verified.length = 0;
  parts.count = 4;
  parts.then = () => engine.startScrub();
  engine.startScrub();
  await world.clock.advance(50);
  assert.equal(engine.scrub().rounds, 3);
  assert.equal(engine.scrub().running, false);
  assert.deepEqual([...new Set(verified)].sort(), files);
  assert.ok(verified.length > files.length, "some were verified twice");
  assert.deepEqual(problems(world), []);
  await world.clock.runUntil(engine.close());
  assert.throws(() => engine.startScrub(), { error: "Unavailable" });
});

Deno.test("where there is no scrub none can be begun", async () => {
  const world = engineWorld();
  const engine = await open(world, { ...OPTIONS, scrub: { intervalMs: 0 } });
  assert.throws(() => engine.startScrub(), { error: "InvalidArgument" });
  assert.equal(engine.scrub().running, false);
  await world.clock.runUntil(engine.close());
});

Deno.test("a SCRUB that is damaged is a round that begins anew; an interval of 0 is none", async () => {
  const world = engineWorld({ delays: true });
  await store(world);
  let engine = await open(world);
  await world.clock.advance(ROUND_MS);
  await world.clock.runUntil(engine.close());
  world.disk.corrupt(FILES.scrub, 25, 1);
  engine = await open(world);
  assert.equal(world.log.named("scrub begins anew").length, 1);
  await world.clock.advance(ROUND_MS);
  assert.equal(engine.stats().scrubRounds, 1);
  await world.clock.runUntil(engine.close());
  engine = await open(world, { ...OPTIONS, scrub: { intervalMs: 0 } });
  await world.clock.advance(10 * INTERVAL_MS);
  assert.equal(engine.stats().scrubRounds, 1);
  assert.equal(engine.scrub().nextAtMs, undefined);
  await world.clock.runUntil(engine.close());
});

Deno.test("what a scrub has found damaged gets into no checkpoint, although an earlier one knows its digest", async () => {
  const world = engineWorld({ delays: true });
  await store(world);
  const path = tableOf(world);
  const engine = await open(world);
  await world.clock.runUntil(engine.checkpoint("before"));
  world.disk.corrupt(path, 100, 1);
  await world.clock.advance(ROUND_MS);
  assert.deepEqual(engine.scrub().damaged.map(({ file }) => file), [path]);
  await assert.rejects(world.clock.runUntil(engine.checkpoint("after")), (error: PairError) => {
    assert.ok(["ChecksumFailed", "CorruptedData"].includes(error.error), error.error);
    assert.ok(error.message.includes(path), error.message);
    return true;
  });
  assert.deepEqual(engine.checkpoints().map(({ name }) => name), ["before"]);
  await world.clock.runUntil(engine.close());
});
