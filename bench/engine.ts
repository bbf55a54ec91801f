// deno-lint-ignore-file no-console -- a long bench says where it is
/**
 * The engine beside RocksDB, LevelDB (classic-level) and LMDB: the same rows on the same data, each
 * store in processes of its own, the stores taking turns, the median of several rounds.
 *
 * All get the same memory for memtables and blocks, no compression, and a bloom filter of ten bits a
 * key where they have one. A store that is not installed is named, and its column stays away.
 * @module
 */
import { filesBelow, runMeasured } from "./engine/process.ts";
import { runRocksdb } from "./engine/rocksdb.ts";
import type { DataSet, Figure, Group, Outcome, Spec } from "./engine/spec.ts";
import { busy } from "./machine.ts";
import { which } from "./peers.ts";
import type { Row } from "./report.ts";

const MIB = 1 << 20;
const HERE = new URL("./engine/", import.meta.url).pathname;

/** The sets of data, by the letter that chooses them. */
function dataSets(count: number): Readonly<Record<string, DataSet>> {
  const usual = { memtable: 64 * MIB, cache: 256 * MIB, syncs: Math.ceil(count / 20) };
  return {
    a: { name: "16 B, 100 B", count, reads: count, valueBytes: 100, ...usual },
    b: { name: "16 B, 1 KiB", count, reads: Math.ceil(count / 4), valueBytes: 1024, ...usual },
    // 16 MiB twice for memtables and 32 MiB of cache: an eighth to a quarter of the data.
    c: {
      name: "16 B, 100 B, little memory",
      count: count * 3,
      reads: Math.ceil(count / 2),
      valueBytes: 100,
      memtable: 16 * MIB,
      cache: 32 * MIB,
      syncs: 0,
    },
  };
}

/** A store of the bench; undefined result: it does not take part in the group. */
interface Store {
  readonly name: string;
  run(spec: Spec): Promise<Outcome>;
}

/** A store whose process prints figures as JSON. */
function inJavaScript(
  name: string,
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Store {
  return {
    name,
    async run(spec) {
      const { output, peakBytes } = await runMeasured(
        program,
        [...args, JSON.stringify(spec)],
        env,
      );
      const { figures, counters } = JSON.parse(output) as {
        figures: Record<string, Figure>;
        counters: Record<string, number>;
      };
      const { count, valueBytes, reads } = spec.set;
      const user = 2 * count * (16 + valueBytes);
      return {
        figures,
        peakBytes,
        diskBytes: counters.diskBytes ?? filesBelow(spec.dir, /./).bytes,
        ...(counters.tableBytesWritten === undefined
          ? {}
          : { writeAmplification: counters.tableBytesWritten / user }),
        ...(counters.readBlocks === undefined || !(counters.blocksRead >= 0)
          ? {}
          : { blocksPerRead: counters.readBlocks / (2.25 * reads) }),
        ...(counters.ms === undefined ? {} : { reopenMs: counters.ms }),
      };
    },
  };
}

async function stores(): Promise<{ stores: Store[]; missing: string[] }> {
  const found: Store[] = [
    inJavaScript("PairDB", Deno.execPath(), ["run", "-A", `${HERE}pairdb.ts`]),
  ];
  const missing: string[] = [];
  const dbBench = await which("db_bench");
  if (dbBench === undefined) missing.push("RocksDB (db_bench, Debian's rocksdb-tools)");
  else found.push({ name: "RocksDB", run: (spec) => runRocksdb(dbBench, spec) });
  const node = await which("node");
  const peers = `${HERE}peers`;
  for (const [name, script] of [["classic-level", "level.mjs"], ["lmdb", "lmdb.mjs"]]) {
    const installed = await Deno.stat(`${peers}/node_modules/${name}`).then(
      () => true,
      () => false,
    );
    if (node === undefined || !installed) {
      missing.push(`${name} (Node, and npm install --no-package-lock --prefix bench/engine/peers)`);
    } else {
      found.push(inJavaScript(name, node, [`${HERE}${script}`], { PAIRDB_BENCH_PEERS: peers }));
    }
  }
  return { stores: found, missing };
}

/** The groups of rows, in the order they run in. Set c has no `sync`, and only set a has `reopen`. */
export const GROUPS = ["seq", "random", "sync", "reopen"] as const satisfies readonly Group[];

/** What to run. */
export interface EngineBench {
  /** Keys of the first two data sets; the third has three times as many. */
  readonly count: number;
  /** Rounds; the median of each figure counts. */
  readonly rounds: number;
  /** Letters of the data sets. */
  readonly sets: string;
  /** Those of {@link GROUPS} to run. */
  readonly groups: readonly string[];
}

/** Runs all stores and returns the rows, and what there is to say about the run. */
export async function benchEngine(
  { count, rounds, sets, groups }: EngineBench,
): Promise<{ rows: Row[]; notes: string[] }> {
  const { stores: all, missing } = await stores();
  const rows: Row[] = [];
  const before = busy();
  for (const letter of sets) {
    const set = dataSets(count)[letter];
    if (set === undefined) throw new Error(`there is no data set "${letter}": a, b or c`);
    for (const group of GROUPS) {
      if (!groups.includes(group) || (group === "sync" && set.syncs === 0)) continue;
      if (group === "reopen") {
        if (letter === "a") rows.push(...await reopenRows(all, set, rounds));
        continue;
      }
      const outcomes = new Map<string, Outcome[]>(all.map(({ name }) => [name, []]));
      for (let round = 1; round <= rounds; round++) {
        for (const store of all) {
          console.error(`${set.name}: ${group}, round ${round} of ${rounds}, ${store.name}`);
          outcomes.get(store.name)!.push(await runOnce(store, set, group));
        }
      }
      rows.push(...rowsOf(set, group, outcomes));
    }
  }
  const notes = [
    `${count} keys, median of ${rounds} round${rounds === 1 ? "" : "s"}; times in microseconds`,
    "RocksDB is Debian's db_bench, which is built with assertions",
    "a store that is opened again was written out by the system first (sync)",
    `the machine was ${before} before, ${busy()} after; what else runs on it lowers the figures`,
    ...missing.map((name) => `not installed: ${name}`),
  ];
  return { rows, notes };
}

async function runOnce(store: Store, set: DataSet, group: Group): Promise<Outcome> {
  const dir = await Deno.makeTempDir({ prefix: "pairdb-bench-" });
  try {
    return await store.run({ group, dir, set });
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

function rowsOf(
  set: DataSet,
  group: Group,
  outcomes: ReadonlyMap<string, readonly Outcome[]>,
): Row[] {
  const rows: Row[] = [];
  const row = (name: string, unit: string, of: (outcome: Outcome) => number | undefined) => {
    const values = new Map<string, number>();
    for (const [store, runs] of outcomes) {
      const value = median(runs.map(of));
      if (value !== undefined) values.set(store, value);
    }
    const { PairDB, ...peers } = Object.fromEntries(values);
    if (PairDB === undefined) return;
    rows.push({ name: `${name} (${set.name})`, unit, pairdb: PairDB, peers });
  };
  const names = Object.keys(outcomes.get("PairDB")![0].figures);
  for (const name of names) row(name, "ops/s", (outcome) => outcome.figures[name]?.rate);
  for (const name of names) {
    for (const at of ["p50", "p99", "p999"] as const) {
      row(`${name} ${at}`, "us", (outcome) => outcome.figures[name]?.[at]);
    }
  }
  row("worst event loop turn", "ms", (outcome) => {
    const turns = names.map((name) => outcome.figures[name]?.worstTurnMs);
    const known = turns.filter((turn) => turn !== undefined);
    return known.length === 0 ? undefined : Math.max(...known);
  });
  row(`peak memory, ${group}`, "MB", ({ peakBytes }) => peakBytes / 1e6 || undefined);
  if (group === "sync") return rows;
  row(`disk after ${group}`, "MB", ({ diskBytes }) => diskBytes / 1e6);
  row("write amplification", "x", ({ writeAmplification }) => writeAmplification);
  row("data blocks read per read", "x", ({ blocksPerRead }) => blocksPerRead);
  return rows;
}

/** What it takes to open a store again: one whose writes are only in its log, and one of many tables. */
async function reopenRows(all: readonly Store[], set: DataSet, rounds: number): Promise<Row[]> {
  const rows: Row[] = [];
  // LMDB has neither a log nor tables.
  const those = all.filter(({ name }) => name !== "lmdb");
  const logs = { ...set, memtable: 1 << 30 };
  // About a tenth of a megabyte each: a thousand of them and more at a million keys.
  const tables = { ...set, table: 96 << 10 };
  const logRates = new Map<string, number[]>();
  const openMs = new Map<string, number[]>();
  const note = (into: Map<string, number[]>, name: string, value: number) =>
    into.set(name, [...into.get(name) ?? [], value]);
  for (let round = 1; round <= rounds; round++) {
    for (const store of those) {
      console.error(`${set.name}: reopen, round ${round} of ${rounds}, ${store.name}`);
      const log = await reopen(store, logs, false, LOG_FILE);
      note(logRates, store.name, log.bytes / 1e6 / (log.ms / 1000));
      const many = await reopen(store, tables, true, TABLE_FILE);
      note(openMs, store.name, many.ms / many.files * 1000);
    }
  }
  for (
    const [name, unit, found] of [
      ["recovery of the log", "MB/s", logRates],
      ["opening 1,000 tables", "ms", openMs],
    ] as const
  ) {
    const values = [...found].map(([store, runs]) => [store, median(runs)!] as const);
    const { PairDB, ...peers } = Object.fromEntries(values);
    rows.push({ name: `${name} (${set.name})`, unit, pairdb: PairDB, peers });
  }
  return rows;
}

const LOG_FILE = /\.(wal|log)$/;
const TABLE_FILE = /\.(sst|ldb)$/;

async function reopen(store: Store, set: DataSet, settle: boolean, kind: RegExp) {
  const dir = await Deno.makeTempDir({ prefix: "pairdb-bench-" });
  try {
    await store.run({ group: "reopen", step: "leave", settle, dir, set });
    const files = filesBelow(dir, kind);
    // What the system still has to write of it would be written beside what is timed.
    if (await which("sync") !== undefined) await runMeasured("sync", [], {});
    const { reopenMs } = await store.run({ group: "reopen", step: "return", dir, set });
    return { ms: reopenMs!, ...files };
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

function median(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined).sort((a, b) => a - b);
  return known[known.length >> 1];
}
