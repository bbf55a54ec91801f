/**
 * Engines for tests: small options that make everything happen often, an operator that shows the order
 * of its operands, and a simulated world whose workers run the real table jobs.
 * @module
 */
import {
  DEFAULT_ENGINE_OPTIONS,
  type Engine,
  type EngineJob,
  type EngineOptions,
  type MergeOperator,
  openEngine,
  runEngineJob,
} from "../../src/engine/mod.ts";
import { isPaid } from "../../src/engine/throttle.ts";
import { fromUtf8, utf8, VERSION_OPERATORS } from "../../src/model/mod.ts";
import {
  type Runtime,
  type SimRuntime,
  simRuntime,
  type SimRuntimeOptions,
} from "../../src/runtime/mod.ts";

/** Concatenates: base, then each operand in order, with commas between. */
export const appendOperator: MergeOperator = {
  name: "append",
  merge(_key, base, operands) {
    const parts = base === undefined ? [...operands] : [base, ...operands];
    return utf8(parts.map((part) => new TextDecoder().decode(part)).join(","));
  },
};

/** The mark of a value that is dead. */
export const DEAD = "\u2020";

/** As {@link appendOperator}, but a value that begins with {@link DEAD} is dead and always was: as good as none. */
export const mortalOperator: MergeOperator = {
  name: "mortal",
  merge(key, base, operands) {
    const living = base === undefined || isDead(base, 0) ? undefined : base;
    return appendOperator.merge(key, living, operands);
  },
  deadSince: (value, start) => isDead(value, start) ? 1 : 0,
  floor: (_value, start, end) => end - start,
  floorOfLost: (_nowMs, floor) => floor + 100,
};

function isDead(value: Uint8Array, start: number): boolean {
  return utf8(DEAD).every((byte, i) => value[start + i] === byte);
}

/** What engines of tests and their workers know. */
const OPERATORS: readonly MergeOperator[] = [appendOperator, mortalOperator, ...VERSION_OPERATORS];

/** Everything small: a few dozen writes flush, a few flushes compact. */
export const SMALL: EngineOptions = {
  ...DEFAULT_ENGINE_OPTIONS,
  // Its tests say when.
  scrub: { intervalMs: 0 },
  quiet: { hours: undefined, transferShare: 1 },
  memtableSize: 2048,
  table: { ...DEFAULT_ENGINE_OPTIONS.table, blockSize: 256, falsePositives: 0.05 },
  blockCacheSize: 4096,
  rowCacheSize: 8192,
  compaction: {
    strategy: "leveled",
    windowMs: 1000,
    tombstoneGraceMs: 86_400_000,
    l0Trigger: 2,
    l0Slowdown: 1000,
    l0Stop: 1000,
    baseLevelSize: 4096,
    targetTableSize: 1024,
    tableSizeMultiplier: 2,
  },
};

/** A simulated world whose workers carry out table jobs on its own disk. */
export function engineWorld(options: SimRuntimeOptions = {}): SimRuntime {
  const world: SimRuntime = simRuntime({ ...options, handler: (job) => jobHandler(world)(job) });
  return world;
}

/** Carries out jobs on a world's disk. A throttled job ends when its writes are paid for, on the world's clock. */
export function jobHandler(world: SimRuntime): (job: unknown) => unknown {
  return (message) => {
    const job = message as EngineJob;
    const result = runEngineJob(world.disk, OPERATORS, job);
    const throttle = "throttle" in job ? job.throttle : undefined;
    if (throttle === undefined || new Int32Array(throttle)[1] === 0) return result;
    const words = new Int32Array(throttle);
    return paid(world, words, words[5]).then(() => result);
  };
}

/** Resolves when all is paid that was drawn so far, or there is no limit any more. */
async function paid(
  world: SimRuntime,
  words: Int32Array<SharedArrayBuffer>,
  place: number,
): Promise<void> {
  while (words[1] > 0 && !isPaid(words, place)) await world.clock.sleep(10);
}

/** Opens an engine at `/data`. */
export function openTestEngine(
  world: Runtime,
  options: EngineOptions = SMALL,
): Promise<Engine> {
  return openEngine(world, "/data", options, OPERATORS);
}

/** What a tree holds, as text. */
export function contents(engine: Engine, tree = "main"): Map<string, string> {
  const found = new Map<string, string>();
  const cursor = engine.scan(engine.tree(tree)!, {});
  try {
    while (cursor.next()) found.set(fromUtf8(cursor.key), fromUtf8(cursor.value));
  } finally {
    cursor.close();
  }
  return found;
}
