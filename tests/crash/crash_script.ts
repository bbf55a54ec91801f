/**
 * A script for crash tests: from one seed the options of an engine, batches for its trees, and when it
 * flushes, compacts, makes and drops a tree, closes and opens again; and a record of what it was told.
 *
 * Every batch puts its number under "n" in two trees and changes a few keys of both, so that a state is
 * the first n batches, whole and in order, or it is wrong.
 * @module
 */
import {
  COMPACTION_STRATEGIES,
  type Engine,
  type EngineOptions,
  KIND_DELETE,
  KIND_MERGE,
  KIND_PUT,
} from "../../src/engine/mod.ts";
import type { Snapshot } from "../../src/engine/mod.ts";
import { utf8 } from "../../src/model/mod.ts";
import { type SimDiskImage, SimRandom, type SimRuntime } from "../../src/runtime/mod.ts";
import { engineWorld, openTestEngine, SMALL } from "../support/engine.ts";

/** One change. Only the first tree has an operator. */
interface Change {
  readonly tree: "main" | "side";
  readonly kind: 0 | 1 | 2;
  readonly key: string;
  readonly value: string;
}

/** One tree's keys and values. */
export type State = ReadonlyMap<string, string>;

/** What the script does. */
export interface Plan {
  readonly seed: number;
  readonly options: EngineOptions;
  /** Whether disk and workers take time, so that jobs and writes interleave. */
  readonly delays: boolean;
  /** Whether there is one writer, who waits for each answer, and no pause in between. */
  readonly lone: boolean;
  /** Batch n is `batches[n - 1]`. */
  readonly batches: readonly (readonly Change[])[];
  /** `states[n]`: both trees after the first n batches. */
  readonly states: readonly { readonly main: State; readonly side: State }[];
}

/** What the script was told before the world stopped. */
export interface Told {
  /** Batches that must survive: acknowledged, and durable by the sync mode. */
  durable: number;
  attempted: number;
  /** Whether each tree was made. */
  created: boolean;
  /** The tree that comes and goes: what was last asked for and answered; undefined while it is in between. */
  extra: boolean | undefined;
}

/** The world at one point of the script. */
export interface CrashPoint {
  readonly told: Told;
  readonly image: SimDiskImage;
  /** The call that was about to be made. */
  readonly call: string;
}

const KEYS = 14;

/** Batches of most scripts, and of those that go on until the log has come to know its disk. */
const BATCHES = 60;
const BATCHES_LONG = 170;

/** A plan from a seed. */
export function makePlan(seed: number): Plan {
  // One writer at a time for long enough: then the log syncs on its own thread.
  const lone = seed % 5 === 2;
  const batchCount = lone ? BATCHES_LONG : BATCHES;
  const random = new SimRandom(seed);
  // Most seeds promise durability at the acknowledgement; the relaxed modes promise order alone.
  const syncMode = (["always", "always", "always", "always", "batch", "none"] as const)[seed % 6];
  const options: EngineOptions = {
    ...SMALL,
    memtableSize: 1000 + random.below(2800),
    maxImmutables: 1 + random.below(3),
    blockCacheSize: random.below(2) * 8192,
    ...(random.below(4) === 0 ? { encryption: { key: random.bytes(32) } } : {}),
    table: {
      ...SMALL.table,
      blockSize: 64 + random.below(600),
      compression: [(["none", "lz4", "snappy", "zstd"] as const)[seed % 4]],
      partitionSize: seed % 3 === 0 ? 1 : 65536,
    },
    log: {
      ...SMALL.log,
      syncMode,
      syncEvery: 1 + random.below(8),
      segmentSize: 1000 + random.below(5000),
    },
    compaction: {
      ...SMALL.compaction,
      strategy: COMPACTION_STRATEGIES[random.below(COMPACTION_STRATEGIES.length)],
      windowMs: 1 + random.below(50),
      l0Trigger: 1 + random.below(3),
      baseLevelSize: 1500 + random.below(4000),
      targetTableSize: 600 + random.below(1500),
    },
  };
  const batches: Change[][] = [];
  const states = [{ main: new Map<string, string>(), side: new Map<string, string>() }];
  for (let n = 1; n <= batchCount; n++) {
    const changes: Change[] = [
      { tree: "main", kind: KIND_PUT, key: "n", value: String(n) },
      { tree: "side", kind: KIND_PUT, key: "n", value: String(n) },
    ];
    for (let i = 0; i <= random.below(4); i++) {
      const tree = random.below(3) === 0 ? "side" : "main";
      const kinds = tree === "main"
        ? [KIND_PUT, KIND_PUT, KIND_DELETE, KIND_MERGE]
        : [KIND_PUT, KIND_DELETE];
      const kind = kinds[random.below(kinds.length)] as 0 | 1 | 2;
      const long = random.below(12) === 0 ? 700 : 80;
      const value = `${n}.${i}${"v".repeat(random.below(long))}`;
      changes.push({ tree, kind, key: `k${random.below(KEYS)}`, value });
    }
    batches.push(changes);
    const before = states[n - 1];
    const after = { main: new Map(before.main), side: new Map(before.side) };
    for (const { tree, kind, key, value } of changes) apply(after[tree], kind, key, value);
    states.push(after);
  }
  return { seed, options, delays: !lone && random.below(3) === 0, lone, batches, states };
}

function apply(state: Map<string, string>, kind: number, key: string, value: string): void {
  if (kind === KIND_PUT) state.set(key, value);
  else if (kind === KIND_DELETE) state.delete(key);
  else state.set(key, state.has(key) ? `${state.get(key)},${value}` : value);
}

/** Writes batch n. */
function write(engine: Engine, plan: Plan, n: number): Promise<void> {
  const trees = { main: engine.tree("main")!, side: engine.tree("side")! };
  return engine.write(
    plan.batches[n - 1].map(({ tree, kind, key, value }) => ({
      tree: trees[tree],
      kind,
      key: utf8(key),
      value: utf8(value),
    })),
  );
}

async function script(world: SimRuntime, plan: Plan, told: Told): Promise<void> {
  const random = new SimRandom(plan.seed ^ 0x5eed);
  const always = plan.options.log.syncMode === "always";
  let engine = await openTestEngine(world, plan.options);
  await engine.createTree("main", { mergeOperator: "append" });
  await engine.createTree("side");
  told.created = true;
  let snapshot: Snapshot | undefined;
  let acknowledged = 0;
  const writeOne = async (n: number) => {
    told.attempted = Math.max(told.attempted, n);
    await write(engine, plan, n);
    acknowledged = Math.max(acknowledged, n);
    if (always) told.durable = acknowledged;
  };
  const total = plan.batches.length;
  for (let n = 1; n <= total;) {
    const group = plan.lone ? 1 : Math.min(1 + random.below(4), total - n + 1);
    await Promise.all(Array.from({ length: group }, (_, i) => writeOne(n + i)));
    n += group;
    const choice = random.below(plan.lone ? 120 : 40);
    if (choice === 0) {
      await engine.flush();
      told.durable = acknowledged;
    } else if (choice === 1) {
      await engine.compact();
      told.durable = acknowledged;
    } else if (choice === 2) {
      snapshot?.release();
      snapshot = engine.snapshot();
    } else if (choice < 6) {
      const extra = engine.tree("extra");
      told.extra = undefined;
      if (extra === undefined) {
        const made = await engine.createTree("extra");
        told.extra = true;
        // Its first write may be lost; the tree may not.
        await engine.write([{ tree: made, kind: KIND_PUT, key: utf8("a"), value: utf8("b") }]);
      } else {
        await engine.dropTree(extra);
        told.extra = false;
      }
    } else if (choice === 6) {
      await engine.close();
      told.durable = acknowledged;
      engine = await openTestEngine(world, plan.options);
      snapshot = undefined;
    }
  }
  await engine.close();
  told.durable = acknowledged;
}

/** Runs the script once, and keeps the world as it was before each change of the disk. */
export async function crashPoints(plan: Plan): Promise<CrashPoint[]> {
  const points: CrashPoint[] = [];
  const told: Told = { durable: 0, attempted: 0, created: false, extra: false };
  const world = engineWorld({ seed: plan.seed, delays: plan.delays });
  world.disk.hook = ({ op, path }) => {
    if (!CHANGES.has(op)) return undefined;
    // Images share the files' bytes: a copy costs the names alone.
    points.push({ told: { ...told }, image: world.disk.snapshotImage(), call: `${op} ${path}` });
    return undefined;
  };
  const run = script(world, plan, told);
  await (plan.delays ? world.clock.runUntil(run) : run);
  return points;
}

const CHANGES: ReadonlySet<string> = new Set([
  "create",
  "append",
  "sync",
  "syncNow",
  "makeDir",
  "rename",
  "link",
  "remove",
  "removeDir",
  "syncDir",
  "syncFile",
]);
