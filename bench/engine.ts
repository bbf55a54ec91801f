/**
 * The engine beside RocksDB: the same operations, keys and sizes, one after the other in one run.
 *
 * RocksDB is driven by its own `db_bench` (Debian: rocksdb-tools), one thread, no compression, bloom
 * filter of 10 bits a key, 256 MiB block cache; ours runs in this process with the same settings. A peer
 * that is not installed is named, and its column stays empty.
 * @module
 */
import { DEFAULT_ENGINE_OPTIONS, type Engine, KIND_PUT, openEngine } from "../src/engine/mod.ts";
import { machine } from "../src/embedded/mod.ts";
import { SimRandom } from "../src/runtime/mod.ts";
import type { Row } from "./report.ts";
import { which } from "./peers.ts";

const KEY_BYTES = 16;
const VALUE_BYTES = 100;

/** Sixteen digits, as db_bench makes them. */
function keyOf(number: number): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(String(number).padStart(KEY_BYTES, "0"));
}

/** Operations a second of `count` calls of `run`. */
async function rate(count: number, run: () => Promise<void> | void): Promise<number> {
  const started = performance.now();
  await run();
  return count / (performance.now() - started) * 1000;
}

async function withEngine<T>(
  syncMode: "always" | "none",
  dir: string,
  run: (engine: Engine) => Promise<T>,
): Promise<T> {
  const world = machine({ workers: 2 });
  const options = { ...DEFAULT_ENGINE_OPTIONS, log: { ...DEFAULT_ENGINE_OPTIONS.log, syncMode } };
  const engine = await openEngine(world, dir, options);
  try {
    return await run(engine);
  } finally {
    await engine.close();
    await world.workers.close();
  }
}

/** Writes `count` keys in the order that `pick` gives; waits for each `window` of them. */
async function fill(
  engine: Engine,
  count: number,
  window: number,
  pick: (i: number) => number,
): Promise<void> {
  const tree = engine.tree("bench") ?? await engine.createTree("bench");
  const value = new SimRandom(1).bytes(VALUE_BYTES);
  for (let i = 0; i < count;) {
    let done: Promise<void> | undefined;
    for (let j = 0; j < window && i < count; j++, i++) {
      done = engine.write([{ tree, kind: KIND_PUT, key: keyOf(pick(i)), value }]);
    }
    await done;
    for (let wait = engine.admit(tree); wait !== undefined; wait = engine.admit(tree, true)) {
      await wait;
    }
  }
}

async function ours(count: number, dir: string): Promise<Map<string, number>> {
  const rates = new Map<string, number>();
  const random = new SimRandom(42);
  await withEngine("none", `${dir}/seq`, async (engine) => {
    rates.set("fillseq", await rate(count, () => fill(engine, count, 100, (i) => i)));
  });
  await withEngine("none", `${dir}/random`, async (engine) => {
    const pick = () => random.below(count);
    rates.set("fillrandom", await rate(count, () => fill(engine, count, 100, pick)));
    await engine.flush();
    const tree = engine.tree("bench")!;
    let found = 0;
    rates.set(
      "readrandom",
      await rate(count, () => {
        for (let i = 0; i < count; i++) if (engine.get(tree, keyOf(random.below(count)))) found++;
      }),
    );
    const missing = new TextEncoder().encode(".");
    rates.set(
      "readmissing",
      await rate(count, () => {
        for (let i = 0; i < count; i++) {
          // As db_bench does it: a key that exists, with a byte more.
          const key = new Uint8Array(KEY_BYTES + 1);
          key.set(keyOf(random.below(count)));
          key.set(missing, KEY_BYTES);
          if (engine.get(tree, key)) throw new Error("found what is not there");
        }
      }),
    );
    if (found === 0) throw new Error("nothing was found");
  });
  const syncs = Math.ceil(count / 20);
  for (const writers of [1, 64]) {
    await withEngine("always", `${dir}/sync${writers}`, async (engine) => {
      const write = () => fill(engine, syncs, writers, () => random.below(count));
      rates.set(`fillsync, ${writers} writer${writers > 1 ? "s" : ""}`, await rate(syncs, write));
    });
  }
  return rates;
}

async function rocksdb(count: number, dir: string): Promise<Map<string, number>> {
  const rates = new Map<string, number>();
  const program = await which("db_bench");
  if (program === undefined) return rates;
  const common = [
    `--num=${count}`,
    `--key_size=${KEY_BYTES}`,
    `--value_size=${VALUE_BYTES}`,
    "--compression_type=none",
    "--bloom_bits=10",
    `--cache_size=${256 << 20}`,
    "--seed=42",
  ];
  const run = async (benchmarks: string, ...more: string[]) => {
    const args = [`--benchmarks=${benchmarks}`, ...common, ...more];
    const { stdout } = await new Deno.Command(program, { args, stderr: "null" }).output();
    const text = new TextDecoder().decode(stdout);
    const found = text.matchAll(/^(\w+)\s+:.* (\d+) ops\/sec/gm);
    return new Map([...found].map(([, name, ops]) => [name, Number(ops)]));
  };
  const sequential = await run("fillseq", `--db=${dir}/rocks-seq`);
  const random = await run("fillrandom,readrandom,readmissing", `--db=${dir}/rocks-random`);
  for (const [name, value] of [...sequential, ...random]) rates.set(name, value);
  const syncs = Math.ceil(count / 20);
  for (const writers of [1, 64]) {
    const name = `fillsync, ${writers} writer${writers > 1 ? "s" : ""}`;
    // fillsync divides num by 1000 unless it is told how many writes to make.
    const each = Math.ceil(syncs / writers);
    const found = await run(
      "fillrandom",
      "--sync=1",
      `--threads=${writers}`,
      `--writes=${each}`,
      `--db=${dir}/rocks-sync${writers}`,
    );
    const value = found.get("fillrandom");
    if (value !== undefined) rates.set(name, value);
  }
  return rates;
}

/** Runs both and returns a row an operation. */
export async function benchEngine(count: number): Promise<Row[]> {
  const dir = await Deno.makeTempDir({ prefix: "pairdb-bench-" });
  try {
    const theirs = await rocksdb(count, dir);
    const mine = await ours(count, dir);
    return [...mine].map(([name, pairdb]) => {
      const peers: Record<string, number> = {};
      const rocksdb = theirs.get(name);
      if (rocksdb !== undefined) peers.RocksDB = rocksdb;
      return { name: `${name} (16 B, 100 B)`, unit: "ops/s", pairdb, peers };
    });
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}
