/**
 * RocksDB in the engine bench, driven by its own `db_bench` (Debian: rocksdb-tools).
 * @module
 */
import type { Figure, Outcome, Spec } from "./spec.ts";
import { WRITES_PER_SECOND } from "./workload.mjs";
import { filesBelow, runMeasured } from "./process.ts";

/** Ten bits a key, which is what 0.01 false positives take. */
const BLOOM_BITS = 10;

/** Runs one group. @throws Error when db_bench fails, or says nothing of a row */
export async function runRocksdb(program: string, spec: Spec): Promise<Outcome> {
  const { group, dir, set } = spec;
  const figures: Record<string, Figure> = {};
  let peakBytes = 0;
  let output = "";
  const bench = async (benchmarks: string, db: string, ...more: string[]) => {
    const args = [
      `--benchmarks=${benchmarks}`,
      `--db=${db}`,
      `--num=${set.count}`,
      `--reads=${set.reads}`,
      "--key_size=16",
      `--value_size=${set.valueBytes}`,
      "--compression_type=none",
      `--bloom_bits=${BLOOM_BITS}`,
      `--cache_size=${set.cache}`,
      `--write_buffer_size=${set.memtable}`,
      "--seek_nexts=10",
      "--histogram=1",
      "--seed=42",
      ...more,
    ];
    const done = await runMeasured(program, args, {});
    peakBytes = Math.max(peakBytes, done.peakBytes);
    output = done.output;
    return parse(output);
  };
  const keep = (found: Map<string, Figure>, names: readonly string[]) => {
    for (const name of names) {
      const figure = found.get(name);
      if (figure === undefined) throw new Error(`db_bench says nothing of ${name}:\n${output}`);
      figures[name] = figure;
    }
  };
  if (group === "reopen") {
    if (spec.step === "leave") {
      const rows = spec.settle ? "fillrandom,flush,compact,waitforcompaction" : "fillrandom";
      const small = set.table === undefined ? [] : [
        `--target_file_size_base=${set.table}`,
        "--open_files=-1",
      ];
      await bench(rows, dir, ...small);
      return { figures, peakBytes, diskBytes: 0 };
    }
    const started = performance.now();
    await bench("levelstats", dir, "--use_existing_db=1");
    return { figures, peakBytes, diskBytes: 0, reopenMs: performance.now() - started };
  }
  if (group === "sync") {
    for (const writers of [1, 16, 64]) {
      const found = await bench(
        "fillrandom",
        `${dir}/${writers}`,
        "--sync=1",
        `--threads=${writers}`,
        // fillsync would divide the number by a thousand.
        `--writes=${Math.ceil(set.syncs / writers)}`,
      );
      const figure = found.get("fillrandom");
      if (figure === undefined) throw new Error(`db_bench says nothing of fillrandom:\n${output}`);
      figures[`fillsync ${writers}`] = figure;
    }
    return { figures, peakBytes, diskBytes: 0 };
  }
  if (group === "seq") {
    keep(await bench("fillseq,flush,waitforcompaction,readseq", dir), ["fillseq", "readseq"]);
    return { figures, peakBytes, diskBytes: filesBelow(dir, /\.sst$/).bytes };
  }
  const rows = ["fillrandom", "overwrite", "readrandom", "readmissing", "seekrandom"];
  const found = await bench(
    "fillrandom,overwrite,flush,waitforcompaction,stats,readrandom,readmissing,seekrandom",
    dir,
  );
  keep(found, rows);
  // The line of the sum over all levels: Write(GB) is its ninth figure.
  const sum = /^\s*Sum\s+(.*)$/m.exec(output)?.[1].trim().split(/\s+/) ?? [];
  const written = Number(sum[8]) * 2 ** 30;
  const diskBytes = filesBelow(dir, /\.sst$/).bytes;
  keep(
    await bench(
      "readwhilewriting",
      dir,
      "--use_existing_db=1",
      `--benchmark_write_rate_limit=${WRITES_PER_SECOND * (16 + set.valueBytes)}`,
    ),
    ["readwhilewriting"],
  );
  // Counted in a run of their own, for counting takes time.
  await bench("readrandom,readmissing,seekrandom", dir, "--use_existing_db=1", "--statistics=1");
  const misses = /^rocksdb\.block\.cache\.data\.miss COUNT : (\d+)$/m.exec(output)?.[1];
  const user = 2 * set.count * (16 + set.valueBytes);
  return {
    figures,
    peakBytes,
    diskBytes,
    ...(Number.isFinite(written) ? { writeAmplification: written / user } : {}),
    ...(misses === undefined ? {} : { blocksPerRead: Number(misses) / (3 * set.reads) }),
  };
}

/** The rows of db_bench's output. */
function parse(output: string): Map<string, Figure> {
  const found = new Map<string, Figure>();
  const row = /^(\w+)\s*:.* (\d+) ops\/sec/;
  const percentiles = /^Percentiles: P50: ([\d.]+) .*P99: ([\d.]+) P99\.9: ([\d.]+)/;
  let last: string | undefined;
  for (const line of output.split("\n")) {
    const [, name, rate] = row.exec(line) ?? [];
    if (name !== undefined) found.set(last = name, { rate: Number(rate) });
    const [, p50, p99, p999] = percentiles.exec(line) ?? [];
    const figure = last === undefined ? undefined : found.get(last);
    if (p50 === undefined || figure === undefined || figure.p50 !== undefined) continue;
    found.set(last!, { ...figure, p50: Number(p50), p99: Number(p99), p999: Number(p999) });
  }
  return found;
}
