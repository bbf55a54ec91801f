/**
 * Every I/O call site of the engine fails once, in every way, at its first calls: the engine says so in its own terms, does
 * not hang, acknowledges nothing that is gone after a restart or a power loss, and works again when it is opened
 * again.
 * @module
 */
import assert from "node:assert/strict";
import { type Engine, KIND_DELETE, KIND_MERGE, KIND_PUT } from "../../src/engine/mod.ts";
import { fromUtf8, PairError, utf8 } from "../../src/model/mod.ts";
import { DiskError, type SimDiskCall, type SimDiskVerdict } from "../../src/runtime/mod.ts";
import type { SimDiskImage, SimRuntime } from "../../src/runtime/mod.ts";
import { contents, engineWorld, openTestEngine, SMALL } from "../support/engine.ts";
import { firstSeed, reached, wanted } from "../support/ladder.ts";

const OPTIONS = { ...SMALL, memtableSize: 1500, log: { ...SMALL.log, segmentSize: 2500 } };
const BATCHES = 40;
const FAULTS: readonly SimDiskVerdict[] = ["EIO", "ENOSPC", "EMFILE", "EROFS", "short"];

/** What a path is for, so that calls can be told apart by what they do. */
function kindOf(path: string): string {
  return path.replace(/\d{6}/, "N").replace(/~\d+/, "~I").replace("/data", "") || "/";
}

/** What the script was told. */
interface Told {
  acknowledged: number;
  attempted: number;
  created: boolean;
  errors: unknown[];
  /** Called after each acknowledgement and each failure. */
  after?: () => void;
}

/** Batch n puts its number and a key of its own, adds its number to a list, and removes a key of an earlier batch. */
function write(engine: Engine, n: number): Promise<void> {
  const tree = engine.tree("main")!;
  return engine.write([
    { tree, kind: KIND_PUT, key: utf8("n"), value: utf8(String(n)) },
    { tree, kind: KIND_PUT, key: utf8(`k${n}`), value: utf8("v".repeat(n * 3)) },
    { tree, kind: KIND_DELETE, key: utf8(`k${n - 5}`), value: utf8("") },
    // Counted twice or not at all, an operand shows.
    { tree, kind: KIND_MERGE, key: utf8("sum"), value: utf8(String(n)) },
  ]);
}

function stateAfter(count: number): Map<string, string> {
  const state = new Map<string, string>();
  if (count > 0) state.set("n", String(count));
  const numbers = Array.from({ length: count }, (_, i) => i + 1);
  if (count > 0) state.set("sum", numbers.join(","));
  for (let n = Math.max(1, count - 4); n <= count; n++) state.set(`k${n}`, "v".repeat(n * 3));
  return new Map([...state].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Goes through everything an engine does, and goes on after failures as a server would. */
async function script(world: SimRuntime, told: Told): Promise<void> {
  const attempt = async <T>(run: () => Promise<T> | T): Promise<T | undefined> => {
    try {
      // Time passes while it waits: retries and slowdowns are on the clock.
      return await world.clock.runUntil(Promise.resolve().then(run), 60_000);
    } catch (error) {
      told.errors.push(error);
      told.after?.();
      return undefined;
    }
  };
  let engine = await attempt(() => openTestEngine(world, OPTIONS));
  if (engine === undefined) return;
  await attempt(() => engine!.createTree("main", { mergeOperator: "append" }));
  told.created = engine.tree("main") !== undefined;
  if (!told.created) {
    await attempt(() => engine!.close());
    return;
  }
  const extra = await attempt(() => engine!.createTree("extra"));
  for (let n = 1; n <= BATCHES; n++) {
    told.attempted = n;
    const done = await attempt(() => write(engine!, n).then(() => true));
    // As one client: a batch that failed may be there or not, so it goes no further.
    if (done === undefined) break;
    told.acknowledged = n;
    told.after?.();
    if (n === 12) await attempt(() => engine!.flush());
    if (n === 20) await attempt(() => engine!.compact());
    if (n === 24 && extra !== undefined) await attempt(() => engine!.dropTree(extra));
    if (n === 28) {
      await attempt(() => engine!.close());
      engine = await attempt(() => openTestEngine(world, OPTIONS));
      if (engine === undefined) return;
    }
    // What was acknowledged is there, or the failure to read it has a name.
    await attempt(() => {
      const found = engine!.get(engine!.tree("main")!, utf8(`k${n}`));
      assert.equal(found?.length, n * 3, `k${n} right after its acknowledgement`);
      assert.deepEqual(contents(engine!), stateAfter(n));
    });
    await attempt(() => world.clock.sleep(400));
  }
  await attempt(() => engine!.flush());
  await attempt(() => engine!.close());
}

async function reopen(world: SimRuntime, told: Told, where: string, lied = false): Promise<void> {
  const engine = await world.clock.runUntil(openTestEngine(world, OPTIONS));
  if (!lied) assert.deepEqual(engine.recovery.losses, [], where);
  const tree = engine.tree("main") ??
    await engine.createTree("main", { mergeOperator: "append" });
  const n = engine.get(tree, utf8("n"));
  const count = n === undefined ? 0 : Number(fromUtf8(n));
  assert.ok(count >= told.acknowledged, `${where}: ${count} of ${told.acknowledged} acknowledged`);
  assert.ok(count <= told.attempted, `${where}: ${count} of ${told.attempted} attempted`);
  assert.deepEqual(contents(engine), stateAfter(count), where);
  await write(engine, count + 1);
  await engine.compact();
  assert.deepEqual(contents(engine), stateAfter(count + 1), where);
  await engine.close();
}

/** A place in the engine that calls the disk, for one kind of path. */
interface Site {
  readonly op: string;
  readonly kind: string;
  /** The line that called. */
  readonly line: string;
  /** Calls from there in an undisturbed run. */
  count: number;
}

/** The engine's line that is calling the disk; "" when the disk was called from elsewhere. */
function callingLine(): string {
  const frames = new Error().stack!.split("\n");
  return /src\/(engine\/[^)]*)/.exec(frames.find((frame) => frame.includes("/src/engine/")) ?? "")
    ?.[1] ?? "";
}

/** The sites of an undisturbed run. */
async function findSites(): Promise<Site[]> {
  const sites = new Map<string, Site>();
  const world = engineWorld({
    hook: ({ op, path }) => {
      const site = { op, kind: kindOf(path), line: callingLine(), count: 0 };
      const key = `${op} ${site.kind} ${site.line}`;
      if (!sites.has(key)) sites.set(key, site);
      sites.get(key)!.count++;
      return undefined;
    },
  });
  const told: Told = { acknowledged: 0, attempted: 0, created: false, errors: [] };
  await script(world, told);
  assert.deepEqual(told.errors, []);
  assert.equal(told.acknowledged, BATCHES);
  return [...sites.values()];
}

/** The script with one failure; then a restart, and from the same state a power loss and a restart. */
async function run(site: Site, hit: number, fault: SimDiskVerdict): Promise<boolean> {
  const where = `${fault} at ${site.op} ${site.kind} from ${site.line}, call ${hit}`;
  let seen = 0;
  let failed = false;
  const hook = ({ op, path }: SimDiskCall): SimDiskVerdict => {
    if (failed || op !== site.op || kindOf(path) !== site.kind) return undefined;
    if (callingLine() !== site.line || seen++ !== hit) return undefined;
    failed = true;
    return fault;
  };
  const world = engineWorld({ hook });
  const told: Told = { acknowledged: 0, attempted: 0, created: false, errors: [] };
  // A flush at the end could make up for what was not durable before.
  const losses: { told: Told; image: SimDiskImage }[] = [];
  told.after = () => {
    if (!failed || losses.length === 2) return;
    losses.push({ told: { ...told }, image: world.disk.snapshotImage() });
  };
  await script(world, told);
  for (const error of told.errors) {
    const named = error instanceof PairError || error instanceof DiskError;
    if (!named) {
      throw new Error(`${where}: ${(error as Error).name} out of the API`, { cause: error });
    }
  }
  assert.equal(world.clock.pendingCount, 0, `${where}: timers left after close`);
  world.disk.hook = undefined;
  const image = world.disk.snapshotImage();
  await reopen(engineWorld({ image }), told, `${where}, restarted`);
  // When a sync fails at the end of one life, the next one sees bytes in the system's cache that no sync
  // will ever write, and cannot know. It may report their loss then, and still must have all that counts.
  const lied = site.op.startsWith("sync") && site.kind.startsWith("/wal/");
  for (const [i, loss] of [...losses, { told, image }].entries()) {
    const powerLoss = engineWorld({ image: loss.image });
    powerLoss.disk.crash("drop");
    await reopen(powerLoss, loss.told, `${where}, power lost ${i}`, lied);
  }
  return failed;
}

Deno.test("no failing disk call loses an acknowledged write, hangs, or leaks an untyped error", async () => {
  const hits = wanted("io");
  const sites = await findSites();
  // From this many on, the calls of a site fail: a long run is cut into parts by it.
  const from = firstSeed() - 1;
  let injected = 0;
  let missed = 0;
  const problems: string[] = [];
  for (const site of sites) {
    if (problems.length > 2) break;
    // The manifest's one line serves flushes, new trees and the close: later calls are other cases.
    const { count } = site;
    const calls = new Set([1, count >> 2, count >> 1, count - 1].filter((call) => call < count));
    for (let hit = from; hit < Math.min(from + hits, site.count); hit++) calls.add(hit);
    for (const hit of calls) {
      for (const fault of FAULTS) {
        if (fault === "short" && site.op !== "append") continue;
        try {
          if (await run(site, hit, fault)) injected++;
          else missed++;
        } catch (error) {
          problems.push(
            `${(error as Error).message.slice(0, 500)} ${(error as Error).cause ?? ""}`,
          );
        }
      }
    }
  }
  assert.deepEqual(problems, []);
  // The script is the same each time, so every call that was counted is met again.
  assert.equal(missed, 0);
  assert.ok(sites.length > 40, `${sites.length} call sites`);
  reached("io", hits, hits, { sites: sites.length, injected });
});
