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
  return Math.round(value).toLocaleString("en-US");
}

/** The rows as a table: ours, then each peer with the ratio of ours to it. */
export function table(rows: readonly Row[]): string {
  const lines = [["", "PairDB", "peer", "ratio"]];
  for (const { name, unit, pairdb, peers } of rows) {
    const named = Object.entries(peers);
    if (named.length === 0) lines.push([name, `${figure(pairdb)} ${unit}`, "(not installed)", ""]);
    named.forEach(([peer, value], i) =>
      lines.push([
        i === 0 ? name : "",
        i === 0 ? `${figure(pairdb)} ${unit}` : "",
        `${peer} ${figure(value)}`,
        (pairdb / value).toFixed(2),
      ])
    );
  }
  const widths = lines[0].map((_, column) => Math.max(...lines.map((line) => line[column].length)));
  return lines.map((line) =>
    line.map((cell, column) =>
      column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column])
    )
      .join("  ")
  ).join("\n");
}

/** Writes a run to `bench/results/`, as JSON and as text. Returns the path without its ending. */
export async function save(what: string, rows: readonly Row[], notes: string[]): Promise<string> {
  const day = new Date().toISOString().slice(0, 10);
  const base = new URL(`./results/${day}-${what}`, import.meta.url).pathname;
  const machine = {
    cores: navigator.hardwareConcurrency,
    deno: Deno.version.deno,
    os: `${Deno.build.os} ${Deno.build.arch}`,
  };
  await Deno.writeTextFile(
    `${base}.json`,
    JSON.stringify({ day, machine, notes, rows }, null, 2) + "\n",
  );
  const head = `${what}, ${day}, ${machine.cores} cores, Deno ${machine.deno}, ${machine.os}`;
  await Deno.writeTextFile(`${base}.txt`, `${[head, ...notes].join("\n")}\n\n${table(rows)}\n`);
  return base;
}
