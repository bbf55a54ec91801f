/**
 * Bench reports: a table for people, a file for later.
 * @module
 */

/** One figure, and the same of others in the same run. */
export interface Row {
  readonly name: string;
  readonly unit: string;
  readonly pairdb: number;
  readonly peers: Readonly<Record<string, number>>;
}

function figure(value: number): string {
  const digits = value < 10 ? 2 : value < 100 ? 1 : 0;
  return value.toLocaleString("en-US", { maximumFractionDigits: digits });
}

/**
 * The rows as a table: ours, then each peer's figure and the ratio of ours to it. A row without any peer
 * beside it says nothing and is left out.
 */
export function table(rows: readonly Row[]): string {
  const peers = [...new Set(rows.flatMap((row) => Object.keys(row.peers)))];
  const lines = [["", "", "PairDB", ...peers.flatMap((peer) => [peer, "ratio"])]];
  for (const { name, unit, pairdb, peers: theirs } of rows) {
    if (Object.keys(theirs).length === 0) continue;
    const cells = peers.flatMap((peer) =>
      theirs[peer] === undefined
        ? ["-", "-"]
        : [figure(theirs[peer]), (pairdb / theirs[peer]).toFixed(2)]
    );
    lines.push([name, unit, figure(pairdb), ...cells]);
  }
  const widths = lines[0].map((_, column) => Math.max(...lines.map((line) => line[column].length)));
  return lines.map((line) =>
    line.map((cell, column) =>
      column < 2 ? cell.padEnd(widths[column]) : cell.padStart(widths[column])
    ).join("  ").trimEnd()
  ).join("\n");
}

/** Where a run is kept, and what stands above it. */
export interface Place {
  readonly day: string;
  /** The path in `bench/results/` without its ending. */
  readonly base: string;
  readonly machine: { readonly cores: number; readonly deno: string; readonly os: string };
  /** One line for people. */
  readonly head: string;
}

/** The place of a run of today. */
export function placeOf(what: string): Place {
  const day = new Date().toISOString().slice(0, 10);
  const base = new URL(`./results/${day}-${what}`, import.meta.url).pathname;
  const machine = {
    cores: navigator.hardwareConcurrency,
    deno: Deno.version.deno,
    os: `${Deno.build.os} ${Deno.build.arch}`,
  };
  const head = `${what}, ${day}, ${machine.cores} cores, Deno ${machine.deno}, ${machine.os}`;
  return { day, base, machine, head };
}

/** Writes a run to `bench/results/`, as JSON and as text. Returns the path without its ending. */
export async function save(what: string, rows: readonly Row[], notes: string[]): Promise<string> {
  const { day, base, machine, head } = placeOf(what);
  await Deno.writeTextFile(
    `${base}.json`,
    JSON.stringify({ day, machine, notes, rows }, null, 2) + "\n",
  );
  await Deno.writeTextFile(`${base}.txt`, `${[head, ...notes].join("\n")}\n\n${table(rows)}\n`);
  return base;
}
