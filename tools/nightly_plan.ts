/**
 * What the nightly run does next, and the table at its end: decisions on values alone.
 * @module
 */
import type { Row } from "../tests/support/ladder.ts";

/** How far a row has come. */
export interface Progress {
  readonly name: string;
  readonly row: Row;
  /** Checked, in the row's unit. */
  count: number;
  /** Parts begun, also in earlier runs: the seeds of the next one follow from it. */
  parts: number;
  /** What is being checked now. */
  underWay: number;
  /** Time of the processes, in s. */
  seconds: number;
  readonly failures: Failure[];
}

/** A part that failed, and how to see it again. */
export interface Failure {
  readonly row: string;
  readonly seed: number;
  readonly count: number;
  readonly text: string;
}

/** A row that failed so often has shown what it has to show. */
const FAILURES_MAX = 5;

/** A row at its beginning. */
export function startOf(name: string, row: Row): Progress {
  return { name, row, count: 0, parts: 0, underWay: 0, seconds: 0, failures: [] };
}

/** The seed of the next part of a row. @param first  the seed of the run */
export function nextSeed({ row, parts }: Progress, first: number): number {
  // A finite row is the same each time; its seed says which part of it is meant.
  return (row.finite ? 1 : first) + parts * row.stride;
}

/** Whether all rows have reached their second figure, or have failed too often to go on. */
export function isDone(rows: readonly Progress[]): boolean {
  return rows.every((each) => each.count >= each.row.second || isBroken(each));
}

/**
 * The row that is furthest behind.
 * @param enough  whether the time is up: then only what has not reached its figure is taken
 * @returns undefined when there is nothing to begin
 */
export function pickRow(rows: readonly Progress[], enough: boolean): Progress | undefined {
  const share = ({ count, underWay, row }: Progress) => (count + underWay) / row.second;
  const open = rows.filter((each) =>
    !isBroken(each) && (share(each) < 1 || !(enough || each.row.finite))
  );
  return open.sort((a, b) => share(a) - share(b))[0];
}

function isBroken({ failures, row, parts }: Progress): boolean {
  // Beyond its parts a finite row has nothing else to try.
  const over = row.finite === true && parts * row.part >= row.second && failures.length > 0;
  return over || failures.length >= FAILURES_MAX;
}

/** The closing table. */
export function tableOf(rows: readonly Progress[]): string {
  const lines = [["row", "checked", "of", "unit", "seconds", "failures"]];
  for (const { name, row, count, seconds, failures } of rows) {
    const seeds = failures.map(({ seed }) => `seed ${seed}`).join(", ");
    lines.push([
      name,
      grouped(count),
      grouped(row.second),
      row.unit,
      grouped(Math.round(seconds)),
      failures.length === 0 ? "0" : `${failures.length} (${seeds})`,
    ]);
  }
  const widths = lines[0].map((_, i) => Math.max(...lines.map((line) => line[i].length)));
  return lines.map((line) => line.map((cell, i) => cell.padEnd(widths[i])).join("  ").trimEnd())
    .join("\n");
}

/** 1234567 as `1,234,567`. */
export function grouped(value: number): string {
  return String(value).replaceAll(/\B(?=(\d{3})+$)/g, ",");
}

/** How far the suites of a row came, as they printed it: the least of them; undefined when none did. */
export function readLadderLine(output: string, row: string): { count: number } | undefined {
  let least: number | undefined;
  for (const [, json] of output.matchAll(/^ladder (\{.*\})$/gm)) {
    const figures = JSON.parse(json) as { row: string; count: number };
    if (figures.row === row) least = Math.min(least ?? Infinity, figures.count);
  }
  return least === undefined ? undefined : { count: least };
}
